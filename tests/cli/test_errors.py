"""Exit codes and messages: one clear line that says what is wrong and what would be right."""

import gzip
import json
import os
import pathlib
import pickle
import struct
import tarfile
import zipfile

from support import CoilTest, write_filter_model, write_matrix_model, write_model, write_wav

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"


class Errors(CoilTest):
    def setUp(self):
        super().setUp()
        write_wav(self.path("in.wav"), [[0.5] * 10])

    def fails(self, code, words, *arguments, **options):
        self.coil(*arguments, code=code, **options)
        lines = self.stderr.splitlines()
        self.assertEqual(len(lines), 1, self.stderr)
        for word in words:
            self.assertIn(word, lines[0])
        self.assertEqual([name for name in self.names() if name != "in.wav"], [])

    def test_help_and_version(self):
        self.assertIn(b"Exit codes", self.coil("--help"))
        self.assertIn(b"--set", self.coil("process", "--help"))
        self.assertRegex(self.coil("--version"), rb"^coil \d+\.\d+\.\d+\n$")

    def test_usage(self):
        process = ["process", "in.wav", "-o", "out.wav", "-m", "identity.safetensors"]
        self.fails(2, ["subcommand"])
        self.fails(2, ["'nonsense'", "process, capture, preset, info, generate, stream, plot, verify"], "nonsense")
        self.fails(2, ["--output", "process --help"], "process", "in.wav", "-m", "identity.safetensors")
        self.fails(2, ["--model"], "process", "in.wav", "-o", "out.wav")
        self.fails(2, ["inputs"], "process", "-o", "out.wav", "-m", "identity.safetensors")
        self.fails(2, ["--block"], *process, "--block", "0")
        self.fails(2, ["--jobs"], *process, "--jobs", "-3")
        self.fails(2, ["--gain"], *process, "--gain", "loud")
        self.fails(2, ["--format xyz", "flac"], *process, "--format", "xyz")
        self.fails(2, ["--bits 17", "24"], *process, "--bits", "17")
        self.fails(2, ["--unknown"], *process, "--unknown")
        self.fails(2, ["--json", "-o -"], "process", "in.wav", "-o", "-", "-m", "identity.safetensors", "--json")
        self.fails(2, ["flac", "WAV"], "process", "in.wav", "-o", "-", "-m", "identity.safetensors", "--format", "flac")
        self.fails(2, ["-o -"], "process", ".", "-o", "-", "-m", "identity.safetensors")
        self.fails(2, ["only input"], "process", "-", "in.wav", "-o", "out", "-m", "identity.safetensors")
        self.fails(2, ["standard input"], "process", "-", "-o", ".", "-m", "identity.safetensors")

    def test_folder_without_sound(self):
        self.path("empty/none.txt").write_text("")
        self.coil("process", "empty", "-o", "out", "-m", "identity.safetensors", code=2)
        self.assertIn("'empty'", self.stderr)

    def test_input_that_is_missing_or_no_sound(self):
        self.path("text.wav").write_text("hello")
        for name, words in (("missing.wav", "No such file"), ("text.wav", "cannot be read as a sound file")):
            self.coil("process", name, "-o", "out.wav", "-m", "identity.safetensors", code=1)
            self.assertIn(name, self.stderr)
            self.assertIn(words, self.stderr)
            self.assertNotIn("out.wav", self.names())

    def test_model_that_is_missing(self):
        for command in (["process", "in.wav", "-o", "out.wav", "-m"], ["info"]):
            self.fails(3, ["'no-such-model'"], *command, "no-such-model")
            self.fails(3, ["folder/no.safetensors"], *command, "folder/no.safetensors")

    def test_presets_are_found_by_name(self):
        write_matrix_model(self.path("one/loud.safetensors"), [[2]])
        write_matrix_model(self.path("two/quiet.safetensors"), [[0.5]])
        environment = {**os.environ, "COIL_PRESETS": f"{self.folder}/one:{self.folder}/two"}
        for name, peak in (("loud", 1.0), ("quiet.safetensors", 0.25)):
            line = json.loads(self.coil("process", "in.wav", "-o", "out.wav", "-m", name, "--json", env=environment))
            self.assertAlmostEqual(10 ** (line["peak_db"] / 20), peak, places=5)
        self.coil("info", "lod", code=3, env=environment)
        self.assertIn("loud", self.stderr)
        self.assertIn("quiet", self.stderr)

    def test_models_that_are_something_else(self):
        """Every command that loads a model names the kind of such a file, also if it replaces a directory's weights."""
        with zipfile.ZipFile(self.path("torch"), "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps({"weight": 1}))
            archive.writestr("archive/data/0", bytes(400000))
        with zipfile.ZipFile(self.path("zip"), "w") as archive:
            archive.writestr("readme.txt", "a model")
        with tarfile.open(self.path("tar"), "w") as archive:
            archive.add(self.path("in.wav"), "in.wav")
        pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
        nam = {
            "version": "0.5.4",
            "metadata": {"name": "Amp"},
            "architecture": "WaveNet",
            "config": {"layers": [{"channels": 16}]},
            "weights": [0.5] * 500,
        }
        aida = {
            "in_shape": [None, None, 1],
            "layers": [{"type": "lstm", "shape": [None, None, 16], "weights": [[[0.5] * 64]]}],
        }
        kinds = {
            "Git LFS pointer": pointer,
            "HTML page": b"\n<!DOCTYPE html>\n<html><head></head></html>",
            "Neural Amp Modeler": json.dumps(nam).encode(),
            "RTNeural": json.dumps(aida).encode(),
            "JSON": b'{"a": 1}',
            "PyTorch": self.path("torch").read_bytes(),
            "zip archive": self.path("zip").read_bytes(),
            "gzip": gzip.compress(b"model"),
            "tar archive": self.path("tar").read_bytes(),
            "pickle": pickle.dumps([1, 2, 3]),
            "ONNX": b"\x08\x07\x12\x07pytorch\x1a\x052.1.0:\x80\x02",
            "WAV": self.path("in.wav").read_bytes(),
            "is empty": b"",
            "zeros": bytes(5000),
            "Not Found": b"Not Found\n",
            "cut off": self.path("identity.safetensors").read_bytes()[:60],
        }
        for name in ("torch", "zip", "tar"):
            os.unlink(self.path(name))
        model = self.path("model/model.safetensors")
        self.path("model/config.json").write_text('{"model_type": "mamba"}')
        commands = (["info"], ["process", "in.wav", "-o", "out.wav", "-m"], ["stream", "-m"], ["bench"])
        for i, (words, content) in enumerate(kinds.items()):
            model.write_bytes(content)
            for command in commands if i == 0 else commands[:1]:
                for path in ("model/model.safetensors", "model"):
                    with self.subTest(words, command=command, path=path):
                        self.coil(*command, path, code=3, input=b"")
                        self.assertEqual(len(self.stderr.splitlines()), 1, self.stderr)
                        self.assertIn("model/model.safetensors: is ", self.stderr)
                        self.assertIn(words, self.stderr)

    def test_models_that_are_broken(self):
        good = self.path("identity.safetensors").read_bytes()
        length = struct.unpack("<Q", good[:8])[0]
        broken = {
            "empty": b"",
            "short": good[:5],
            "header cut": good[:40],
            "data cut": good[:-4],
            "length": struct.pack("<Q", 1 << 60) + good[8:],
            "json": good[:8] + b"{" * length + good[8 + length :],
            "not a model": b"RIFF" + b"\0" * 100,
        }
        for name, content in broken.items():
            with self.subTest(name):
                self.path("broken.safetensors").write_bytes(content)
                self.fails(3, ["broken.safetensors"], "info", "broken.safetensors")
                self.fails(3, ["broken.safetensors"], "process", "in.wav", "-o", "out.wav", "-m", "broken.safetensors")

    def test_model_with_a_tensor_of_the_wrong_shape(self):
        config = {
            "model_type": "coil",
            "d_input": 1,
            "d_model": 1,
            "d_output": 1,
            "direct": True,
            "norm_f": False,
            "layers": [],
        }
        one = ([1, 1], [0])
        write_model(
            self.path("shape.safetensors"),
            config,
            {
                "backbone.in_proj.weight": ([2, 1], [0, 0]),
                "backbone.in_proj.bias": ([1], [0]),
                "backbone.out_proj.weight": one,
                "backbone.out_proj.bias": ([1], [0]),
                "backbone.direct.weight": one,
            },
        )
        self.fails(3, ["shape.safetensors", "backbone.in_proj.weight", "(1, 1)", "(2, 1)"], "info", "shape.safetensors")

    def test_token_models_are_refused(self):
        model = GOLDEN / "mamba1_lm_v97_tied.safetensors"
        self.fails(3, ["token"], "process", "in.wav", "-o", "out.wav", "-m", model)

    def test_models_whose_output_is_not_as_wide_as_their_input_are_refused(self):
        config = {"model_type": "coil", "d_input": 1, "d_model": 1, "d_output": 2, "norm_f": False, "layers": []}
        write_model(
            self.path("wide.safetensors"),
            config,
            {
                "backbone.in_proj.weight": ([1, 1], [1]),
                "backbone.in_proj.bias": ([1], [0]),
                "backbone.out_proj.weight": ([2, 1], [1, 1]),
                "backbone.out_proj.bias": ([2], [0, 0]),
            },
        )
        self.fails(3, ["1 channel", "into 2"], "process", "in.wav", "-o", "out.wav", "-m", "wide.safetensors")

    def test_controls(self):
        write_filter_model(self.path("knobs.safetensors"), controls=True)
        process = ["process", "in.wav", "-o", "out.wav", "-m", "knobs.safetensors", "--set"]
        self.fails(2, ["'gain'", "drive (0 to 10)", "tone (0 to 1)", "level (-40 to 12 dB)"], *process, "gain=1")
        self.fails(2, ["drive=11", "0 to 10"], *process, "drive=11")
        self.fails(2, ["drive=-0.1", "0 to 10"], *process, "drive=-0.1")
        self.fails(2, ["drive=nan", "0 to 10"], *process, "drive=nan")
        self.fails(2, ["drive=much", "0 to 10"], *process, "drive=much")
        self.fails(2, ["drive=", "0 to 10"], *process, "drive=")
        self.fails(2, ["drive", "NAME=VALUE"], *process, "drive")
        self.fails(
            2, ["no controls"], "process", "in.wav", "-o", "out.wav", "-m", "identity.safetensors", "--set", "drive=1"
        )
