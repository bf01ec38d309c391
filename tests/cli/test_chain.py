"""`coil process --chain`: the stages of a rig give the same result as separate steps, and faults in a rig cause
errors."""

import base64
import json
import os
import struct

from support import CoilTest, Wav, noise, write_filter_model, write_matrix_model, write_wav


def convolved(x, h):
    return [sum(h[k] * x[t - k] for k in range(min(len(h), t + 1))) for t in range(len(x))]


class Chain(CoilTest):
    def setUp(self):
        super().setUp()
        self.sound = noise(3000, 1)
        write_wav(self.path("in.wav"), [self.sound])

    def rig(self, *stages, name="rig.coil", **fields):
        self.path(name).write_text(json.dumps({"rig": 1, "stages": list(stages), **fields}))
        return name

    def chain(self, rig, *arguments, source="in.wav", target="out.wav", code=0, **options):
        return self.coil("process", source, "-o", target, "--chain", rig, *arguments, code=code, **options)

    def out(self, name="out.wav", channel=0):
        return Wav(self.path(name)).channels[channel]

    def assert_close(self, found, right, places=5):
        self.assertEqual(len(found), len(right))
        for a, b in zip(found, right):
            self.assertAlmostEqual(a, b, places=places)

    def test_a_model_and_a_cabinet_are_the_model_and_then_the_convolution(self):
        write_filter_model(self.path("amp.safetensors"), controls=1)
        response = noise(200, 2)
        write_wav(self.path("box.wav"), [response])
        self.process("in.wav", "model.wav", "--set", "drive=0.3", model="amp.safetensors")
        right = convolved(self.out("model.wav"), response)
        rig = self.rig(
            {"type": "model", "file": "amp.safetensors", "controls": {"drive": 0.3}},
            {"type": "cabinet", "microphones": [{"file": "box.wav"}], "normalise": False},
        )
        self.chain(rig)
        self.assert_close(self.out(), right, places=4)

    def test_files_are_found_beside_the_rig(self):
        write_matrix_model(self.path("rigs/half.safetensors"), [[0.5]])
        write_wav(self.path("rigs/ir/one.wav"), [[0.5]])
        rig = self.rig(
            {"type": "model", "file": "half.safetensors"},
            {"type": "cabinet", "microphones": [{"file": "ir/one.wav"}], "normalise": False},
            {"type": "gain", "db": 12.0411998},
            name="rigs/a.coil",
        )
        self.chain(rig)
        self.assert_close(self.out(), self.sound)

    def test_a_cabinet_is_found_by_its_name(self):
        response = noise(100, 3)
        write_wav(self.path("library/cabinets/small_box.wav"), [response])
        rig = self.rig({"type": "cabinet", "microphones": [{"file": "small_box"}], "normalise": False})
        folders = {**os.environ, "COIL_PRESETS": str(self.path("library"))}
        self.chain(rig, env=folders)
        self.assert_close(self.out(), convolved(self.sound, response), places=4)
        write_wav(self.path("small_box"), [[0.5]])  # a file of that name beside the rig goes first
        self.chain(rig, target="here.wav", env=folders)
        self.assert_close(self.out("here.wav"), [0.5 * x for x in self.sound], places=4)

    def test_an_unknown_cabinet_is_told_which_there_are(self):
        self.chain(self.rig({"type": "cabinet", "microphones": [{"file": "large_box"}]}), code=3)
        self.assertIn("cabinet 'large_box': no such file or cabinet; the cabinets are: american_1x12", self.stderr)

    def test_bypass_mix_and_stereo(self):
        write_matrix_model(self.path("minus.safetensors"), [[-1]])
        write_wav(self.path("stereo.wav"), [self.sound, [-x for x in self.sound]])
        rig = self.rig(
            {"type": "model", "file": "minus.safetensors", "bypassed": True},
            {"type": "model", "file": "minus.safetensors", "mix": 0.25},
        )
        self.chain(rig, source="stereo.wav")
        self.assert_close(self.out(), [0.5 * x for x in self.sound])
        self.assert_close(self.out(channel=1), [-0.5 * x for x in self.sound])

    def test_a_response_of_another_rate_and_another_output_rate(self):
        write_wav(self.path("box.wav"), [[0.0] * 48 + [1.0] + [0.0] * 951], rate=96000)
        rig = self.rig({"type": "cabinet", "microphones": [{"file": "box.wav"}]})
        self.chain(rig, "--rate", "24000")
        self.assertEqual(len(self.out()), 1500)
        self.assertEqual(Wav(self.path("out.wav")).rate, 24000)

    def test_resume_knows_the_rig_and_what_it_names(self):
        write_wav(self.path("box.wav"), [[0.5]])
        stages = {"type": "cabinet", "microphones": [{"file": "box.wav"}], "normalise": False}
        rig = self.rig(stages)
        self.chain(rig, "--resume")
        before = self.path("out.wav").stat().st_mtime_ns
        self.chain(rig, "--resume")
        self.assertEqual(self.path("out.wav").stat().st_mtime_ns, before)
        write_wav(self.path("box.wav"), [[0.25]])
        self.chain(rig, "--resume")
        self.assert_close(self.out(), [0.25 * x for x in self.sound])

    def test_a_rig_brings_files_along_and_has_gains_and_a_mix_around_its_stages(self):
        half = base64.b64encode(struct.pack("<2f", 0.0, 0.5)).decode()
        response = {"sample_rate_hz": 48000, "channels": [half]}
        cabinet = {"type": "cabinet", "microphones": [{"file": "gone.wav", "checksum": "1"}], "normalise": False}
        write_matrix_model(self.path("minus.safetensors"), [[-1]])
        model_bytes = base64.b64encode(self.path("minus.safetensors").read_bytes()).decode()
        hash_of = json.loads(self.coil("info", "minus.safetensors", "--json"))["hash"]
        self.path("minus.safetensors").unlink()
        model = {"type": "model", "file": "minus.safetensors", "hash": hash_of}
        rig = self.rig(
            model,
            cabinet,
            input_db=6.0205999,
            output_db=-6.0205999,
            mix=0.25,
            embedded={"responses": {"1": response}, "models": {hash_of: model_bytes}},
        )
        self.chain(rig)
        late = [0.0] + self.sound[:-1]
        self.assert_close(self.out(), [0.5 * (0.75 * a - 0.25 * b) for a, b in zip(self.sound, late)])
        self.assertNotIn("another model", self.stderr)
        wrong = self.rig(dict(model, hash="00"), embedded={"models": {"00": model_bytes}}, name="wrong.coil")
        self.chain(wrong, code=3)
        self.assertIn("embedded.models.00 is another model than its name says", self.stderr)
        write_matrix_model(self.path("minus.safetensors"), [[-1]])
        self.chain(self.rig(dict(model, hash="00")))
        self.assertIn("is another model than the one that the rig was saved with", self.stderr)

    def test_a_model_hears_one_channel_and_its_gate_follows_what_it_hears(self):
        write_matrix_model(self.path("minus.safetensors"), [[-1]])
        quiet = [0.001 * x for x in self.sound]
        write_wav(self.path("stereo.wav"), [self.sound * 10, quiet * 10])
        model = {"type": "model", "file": "minus.safetensors"}
        self.chain(self.rig(dict(model, channels="sum")), source="stereo.wav")
        right = [-0.5 * (a + b) for a, b in zip(self.sound * 10, quiet * 10)]
        self.assert_close(self.out(), right)
        self.assert_close(self.out(channel=1), right)
        self.chain(self.rig(dict(model, channels="right", gate_db=-20)), source="stereo.wav")
        self.assertLess(max(abs(x) for x in self.out()[20000:]), 1e-6)
        self.chain(self.rig(dict(model, channels="left", gate_db=-20)), source="stereo.wav")
        self.assert_close(self.out(channel=1)[20000:], [-x for x in self.sound * 10][20000:])

    def test_a_folder_and_a_manifest(self):
        write_wav(self.path("takes/a.wav"), [self.sound])
        write_wav(self.path("takes/b.wav"), [self.sound[:100]])
        rig = self.rig({"type": "gain", "db": 6.0205999})
        self.chain(rig, source="takes", target="made/")
        self.assert_close(self.out("made/a.wav"), [2 * x for x in self.sound])
        self.path("list.jsonl").write_text('{"input": "in.wav", "output": "x.wav"}\n')
        self.coil("process", "--manifest", "list.jsonl", "--chain", rig)
        self.assert_close(self.out("x.wav"), [2 * x for x in self.sound])
        self.path("list.jsonl").write_text('{"input": "in.wav", "output": "x.wav", "set": {"drive": 1}}\n')
        self.coil("process", "--manifest", "list.jsonl", "--chain", rig, code=2)
        self.assertIn("'set' belongs to --model", self.stderr)

    def test_what_is_wrong_is_said(self):
        gain = self.rig({"type": "gain"})
        for rig, code, words in (
            ("none.coil", 2, "cannot be read"),
            ("in.wav", 2, "is not a rig"),
            (self.rig({"type": "reverb"}, name="type.coil"), 3, "must be one of gain"),
            (self.rig({"type": "model", "file": "no_such"}, name="m.coil"), 3, "no_such"),
            (
                self.rig({"type": "model", "file": "identity.safetensors", "controls": {"drive": 1}}, name="c.coil"),
                3,
                "no control 'drive'",
            ),
            (self.rig({"type": "cabinet", "microphones": [{"file": "no.wav"}]}, name="ir.coil"), 3, "no.wav"),
        ):
            self.chain(rig, code=code)
            self.assertIn(words, self.stderr)
            self.assertIn(rig, self.stderr)
            self.assertFalse(self.path("out.wav").exists())
        self.chain(gain, "--device", "cuda", code=2)
        self.chain(gain, "--set", "drive=1", code=2)
        self.chain(gain, "-m", "identity.safetensors", code=2)
        self.coil("process", "in.wav", "-o", "out.wav", code=2)
        self.assertIn("--model or --chain is needed", self.stderr)
        write_wav(self.path("six.wav"), [self.sound] * 6)
        self.chain(gain, source="six.wav", code=1)
        self.assertIn("1 or 2 channels", self.stderr)
        self.chain(self.rig({"type": "gain", "dB": 3}, name="w.coil"))
        self.assertIn("dB", self.stderr)


if __name__ == "__main__":
    import unittest

    unittest.main()
