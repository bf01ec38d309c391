"""`coil preset`: a rig as a preset of hosts, with everything that it needs."""

import base64
import json
import struct

from support import CoilTest, Wav, noise, write_matrix_model, write_wav


class Preset(CoilTest):
    def setUp(self):
        super().setUp()
        write_matrix_model(self.path("rigs/half.safetensors"), [[0.5]])
        write_wav(self.path("rigs/box.wav"), [[0.0, 0.5]])
        self.rig = {
            "rig": 1,
            "stages": [
                {"type": "model", "file": "half.safetensors"},
                {"type": "cabinet", "microphones": [{"file": "box.wav", "level_db": -3}]},
            ],
        }
        self.write(self.rig)

    def write(self, rig, name="rigs/lead.coil"):
        self.path(name).write_text(json.dumps(rig))
        return name

    def preset(self, target, *arguments, rig="rigs/lead.coil", code=0):
        self.coil("preset", rig, "-o", target, *arguments, code=code)
        return self.path(target)

    def test_a_rig_with_its_files_sounds_the_same_without_them(self):
        write_wav(self.path("in.wav"), [noise(1000, 1)])
        self.coil("process", "in.wav", "-o", "before.wav", "--chain", "rigs/lead.coil")
        self.preset("whole.coil")
        self.path("rigs/half.safetensors").unlink()
        self.path("rigs/box.wav").unlink()
        self.coil("process", "in.wav", "-o", "after.wav", "--chain", "whole.coil")
        self.assertEqual(Wav(self.path("after.wav")).channels, Wav(self.path("before.wav")).channels)
        self.assertEqual(json.loads(self.path("whole.coil").read_text())["name"], "whole")

    def test_a_vst3_preset_is_one_chunk_with_the_rig(self):
        file = self.preset("lead.vstpreset").read_bytes()
        magic, version, class_id, offset = struct.unpack("<4si32sq", file[:48])
        self.assertEqual((magic, version, class_id), (b"VST3", 1, b"ABCDEF019182FAEB436F696C436F6931"))
        self.assertEqual(struct.unpack("<4si4sqq", file[offset:]), (b"List", 1, b"Comp", 48, offset - 48))
        rig = json.loads(file[48:offset])
        model = rig["stages"][0]
        self.assertEqual(
            base64.b64decode(rig["embedded"]["models"][model["hash"]]), self.path("rigs/half.safetensors").read_bytes()
        )
        response = rig["embedded"]["responses"][rig["stages"][1]["microphones"][0]["checksum"]]
        self.assertEqual(struct.unpack("<2f", base64.b64decode(response["channels"][0])), (0.0, 0.5))

    def test_an_lv2_preset_is_a_bundle_with_the_rig_in_the_wrappers_base64(self):
        self.write(dict(self.rig, name='Lead "1"'))
        bundle = self.preset("lead.lv2")
        manifest = (bundle / "manifest.ttl").read_text()
        self.assertIn("<https://coil.invalid/plugin/preset/Lead%20%221%22>", manifest)
        self.assertIn("rdfs:seeAlso <preset.ttl>", manifest)
        preset = (bundle / "preset.ttl").read_text()
        self.assertIn('rdfs:label "Lead \\"1\\""', preset)
        text = preset.split(':StateString> "')[1].split('"')[0]
        size, letters = text.split(".", 1)
        alphabet = ".ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+"
        bits = sum(alphabet.index(letter) << (6 * i) for i, letter in enumerate(letters))
        state = (bits & ((1 << 8 * int(size)) - 1)).to_bytes(int(size), "little")
        self.assertEqual(json.loads(state)["name"], 'Lead "1"')

    def test_what_is_wrong_is_said_and_nothing_is_written(self):
        self.preset("lead.txt", code=2)
        self.assertIn("must end in .vstpreset, in .lv2", self.stderr)
        self.preset("lead.vstpreset", rig="none.coil", code=2)
        self.assertIn("none.coil: cannot be read", self.stderr)
        many = dict(self.rig, stages=[*self.rig["stages"], *[{"type": "gate"}] * 9])
        self.preset("many.vstpreset", rig=self.write(many, "rigs/many.coil"), code=3)
        self.assertIn("(gate) is one too many", self.stderr)
        self.assertFalse(self.path("many.vstpreset").exists())
        self.preset("many.coil", rig="rigs/many.coil")
        two = dict(self.rig, stages=[{"type": "gate"}, *self.rig["stages"], self.rig["stages"][0]])
        self.preset("two.vstpreset", rig=self.write(two, "rigs/two.coil"))
        loud = dict(self.rig, input_db=50)
        self.preset("loud.vstpreset", rig=self.write(loud, "rigs/loud.coil"))
        self.assertIn("a gain before the stages of 50 dB as 40 dB", self.stderr)
        self.preset("nowhere/lead.vstpreset", code=1)
        self.assertIn("nowhere", self.stderr)


if __name__ == "__main__":
    import unittest

    unittest.main()
