"""`coil generate`: greedy and sampled tokens, text, sound, resuming from states, and errors for unusable prompts."""

import array
import json
import math
import pathlib
import random
import shutil
import struct

from support import CoilTest, write_model

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
JAMBA = GOLDEN / "hybrids" / "jamba_a"


def tensor(path, name):
    """Shape and values of an I64 or F64 tensor."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    entry = json.loads(data[8 : 8 + size])[name]
    begin, end = (8 + size + offset for offset in entry["data_offsets"])
    return entry["shape"], array.array({"I64": "q", "F64": "d"}[entry["dtype"]], data[begin:end])


class Generate(CoilTest):
    def ids(self, *arguments, stdin=None):
        out = self.coil("generate", JAMBA, "--window", 64, *arguments, input=stdin)
        return [int(line) for line in out.split()]

    def test_greedy_takes_what_the_reference_finds_likeliest(self):
        io = JAMBA.parent / "jamba_a.io.safetensors"
        (_, frames), tokens = tensor(io, "input")
        (_, _, vocab), logits = tensor(io, "output")
        last = logits[(frames - 1) * vocab : frames * vocab]
        prompt = " ".join(str(token) for token in tokens[:frames])
        self.assertEqual(self.ids("-n", 1, stdin=prompt.encode()), [max(range(vocab), key=last.__getitem__)])

    def test_state_goes_on_where_the_stream_was(self):
        drawn = ["--temperature", 1.5, "--top-k", 20, "--top-p", 0.95]
        options = [*drawn, "--seed", 7]
        whole = self.ids("--tokens", "1,2,3", "-n", 12, *options)
        state = ["--state", self.path("here.safetensors")]
        parts = self.ids("--tokens", "1,2", "-n", 0, *options, *state)
        parts += self.ids("--tokens", "3", "-n", 5, *options, *state)
        parts += self.ids("--tokens", "", "-n", 7, *options, *state)
        self.assertEqual(parts, whole)
        self.assertNotEqual(self.ids("--tokens", "1,2,3", "-n", 12, *drawn, "--seed", 8), whole)
        self.assertNotEqual(whole, self.ids("--tokens", "1,2,3", "-n", 12))

    def test_top_k_of_one_and_a_tiny_top_p_are_greedy(self):
        greedy = self.ids("--tokens", "4 5", "-n", 8)
        self.assertEqual(self.ids("--tokens", "4 5", "-n", 8, "--temperature", 2, "--top-k", 1), greedy)
        self.assertEqual(self.ids("--tokens", "4 5", "-n", 8, "--temperature", 2, "--top-p", 1e-9), greedy)
        self.assertEqual(self.ids("--tokens", "4 5", "-n", 8, "--stop", greedy[0]), [])

    def test_what_cannot_be_used(self):
        for arguments, words in (
            ([JAMBA, "--window", 9, "--tokens", "1,53"], "'53' is not a token id; the vocabulary has ids from 0 to 52"),
            ([JAMBA, "--window", 9, "--tokens", "1,x"], "'x' is not a token id"),
            ([JAMBA, "--window", 9, "--tokens", ""], "nothing to go on from"),
            (["identity.safetensors", "--tokens", "1"], "takes no token ids"),
        ):
            self.coil("generate", *arguments, code=2)
            self.assertIn(words, self.stderr)
        self.coil("generate", JAMBA, "--tokens", "1", code=3)
        self.assertIn("--window N", self.stderr)

    def test_bench_takes_a_window(self):
        report = json.loads(self.coil("bench", JAMBA, "--window", 16, "--seconds", 0.01, "--json"))
        self.assertIn("jamba_a", json.dumps(report))

    def test_info_says_how_large_the_state_is(self):
        small, large = (json.loads(self.coil("info", JAMBA, "--window", n, "--json")) for n in (16, 160))
        # one attention layer: keys and values of 2 heads of 6, values padded to 8
        self.assertEqual(large["state_bytes"] - small["state_bytes"], 144 * 2 * (6 + 8) * 4)
        self.assertIn("attention", small["structure"])


class GenerateText(CoilTest):
    # the model has 53 tokens: first and further bytes of characters of two bytes
    PIECES = [*range(0xC3, 0xE0), *range(0x92, 0xAA)]

    def setUp(self):
        super().setUp()
        self.model = pathlib.Path(self.path("model"))
        shutil.copytree(JAMBA, self.model)
        self.tokenizer = {
            "added_tokens": [],
            "decoder": {"type": "ByteFallback"},
            "model": {
                "type": "BPE",
                "byte_fallback": True,
                "vocab": {f"<0x{byte:02X}>": token for token, byte in enumerate(self.PIECES)},
                "merges": [],
            },
        }
        self.write_tokenizer()
        self.end_at(None)

    def write_tokenizer(self):
        (self.model / "tokenizer.json").write_text(json.dumps(self.tokenizer))

    def end_at(self, token):
        config = json.loads((self.model / "config.json").read_text())
        (self.model / "config.json").write_text(json.dumps({**config, "eos_token_id": token}))

    def generated(self, *arguments, stdin=None, code=0):
        return self.coil("generate", self.model, "--window", 64, *arguments, input=stdin, code=code).decode()

    def text_of(self, tokens):
        return bytes(self.PIECES[int(token)] for token in tokens).decode(errors="replace")

    def test_text_is_that_of_the_tokens(self):
        drawn = ["--temperature", 1.5, "--seed", 3, "-n", 40]
        tokens = [self.PIECES.index(byte) for byte in "\u00e9\u0152".encode()]
        wanted = self.text_of(self.generated("--tokens", ",".join(map(str, tokens)), *drawn).split())
        self.assertEqual(self.generated("--text", "\u00e9\u0152", *drawn), wanted)
        self.assertEqual(self.generated("--text", *drawn, stdin="\u00e9\u0152".encode()), wanted)
        self.assertRegex(wanted, "[\u00d2-\u07e9]")

    def test_state_goes_on_within_a_character(self):
        drawn = ["--temperature", 1.5, "--seed", 5]
        whole = self.generated("--text", "\u00e9", "-n", 12, *drawn)
        state = self.path("here.safetensors")
        parts = [self.generated("--text", "\u00e9", "-n", 1, *drawn, "--state", state)]
        for _ in range(11):
            parts.append(self.generated("--text", "", "-n", 1, *drawn, "--state", state))
        self.assertEqual("".join(parts), whole.removesuffix("\ufffd"))
        self.assertIn("", parts)

    def test_ends_at_the_end_of_the_text(self):
        drawn = ["--temperature", 1.5, "--seed", 3, "-n", 12]
        tokens = self.generated("--tokens", "0,30", *drawn).split()
        self.end_at([int(tokens[7])])
        wanted = self.text_of(tokens[: tokens.index(tokens[7])])
        self.assertEqual(self.generated("--text", self.text_of([0, 30]), *drawn), wanted)
        self.assertEqual(self.generated("--tokens", "0,30", *drawn).split(), tokens)

    def test_what_is_left_out_of_a_prompt_is_said(self):
        self.generated("--text", "\u00e9x", "-n", 1)
        self.assertIn("no tokens for 1 character of the prompt", self.stderr)
        self.generated("--text", "-", "-n", 1, stdin=b"\xc3\xa9\xff")
        self.assertIn("is not valid UTF-8", self.stderr)

    def test_what_cannot_be_used(self):
        self.generated("--text", "a", "--tokens", "1", code=2)
        self.generated("--text", "", code=2)
        self.assertIn("by --text TEXT", self.stderr)
        self.tokenizer["model"]["vocab"]["x"] = 53
        self.write_tokenizer()
        self.generated("--text", "a", code=1)
        self.assertIn("ids up to 53, but the vocabulary of the model ends at 52", self.stderr)
        self.tokenizer["model"]["type"] = "WordPiece"
        self.write_tokenizer()
        self.generated("--text", "a", code=1)
        self.assertIn("tokenizer.json: model.type 'WordPiece' is not supported", self.stderr)
        (self.model / "tokenizer.json").unlink()
        (self.model / "tokenizer.model").touch()
        self.generated("--text", "a", code=2)
        self.assertIn("needs a tokenizer.json in its folder, and there is none (tokenizer.model", self.stderr)


def write_token_model(path, vocab, **fields):
    """A Mamba of one layer with random weights."""
    rng = random.Random(1)
    width, inner, states = 4, 8, 2
    shapes = {
        "embeddings.weight": [vocab, width],
        "layers.0.norm.weight": [width],
        "layers.0.mixer.in_proj.weight": [2 * inner, width],
        "layers.0.mixer.conv1d.weight": [inner, 1, 4],
        "layers.0.mixer.conv1d.bias": [inner],
        "layers.0.mixer.x_proj.weight": [1 + 2 * states, inner],
        "layers.0.mixer.dt_proj.weight": [inner, 1],
        "layers.0.mixer.dt_proj.bias": [inner],
        "layers.0.mixer.A_log": [inner, states],
        "layers.0.mixer.D": [inner],
        "layers.0.mixer.out_proj.weight": [width, inner],
        "norm_f.weight": [width],
    }
    config = {
        "model_type": "mamba",
        "hidden_size": width,
        "intermediate_size": inner,
        "state_size": states,
        "conv_kernel": 4,
        "time_step_rank": 1,
        "num_hidden_layers": 1,
        "vocab_size": vocab,
        "tie_word_embeddings": True,
        **fields,
    }
    tensors = {
        f"backbone.{name}": (shape, [rng.gauss(0, 1) for _ in range(math.prod(shape))])
        for name, shape in shapes.items()
    }
    write_model(path, config, tensors)


class GenerateSound(CoilTest):
    def setUp(self):
        super().setUp()
        write_token_model(self.path("audio.safetensors"), 256, sample_rate=16000)

    def generated(self, *arguments, code=0):
        drawn = ["--tokens", "128", "-n", 600, "--temperature", 1, "--seed", 2]
        return self.coil("generate", "audio.safetensors", *drawn, *arguments, code=code)

    def test_tokens_become_samples(self):
        tokens = [int(line) for line in self.generated().split()]
        self.assertGreater(len(set(tokens)), 50)
        wanted = []
        for token in tokens:  # the inverse of mu-law's companding
            companded = token / 127.5 - 1
            wanted.append(math.copysign((256 ** abs(companded) - 1) / 255, companded))
        for arguments in ([], ["--rate", 8000]):
            self.generated("-o", "out.wav", *arguments)
            data = pathlib.Path(self.path("out.wav")).read_bytes()
            (rate,) = struct.unpack_from("<I", data, data.index(b"fmt ") + 12)
            self.assertEqual(rate, arguments[1] if arguments else 16000)
            samples = array.array("h", data[data.index(b"data") + 8 :])
            self.assertEqual(len(samples), len(wanted))
            for sample, value in zip(samples, wanted):
                self.assertAlmostEqual(sample / 32768, max(-1, min(32767 / 32768, value)), delta=0.51 / 32768)
        piped = self.generated("-o", "-")
        self.assertEqual(piped[piped.index(b"data") + 8 :], samples.tobytes())

    def test_what_cannot_be_sound(self):
        write_token_model(self.path("silent.safetensors"), 256)
        self.coil("generate", "silent.safetensors", "--tokens", "1", "-o", "out.wav", code=2)
        self.assertIn("states no sample_rate; give the rate of the sound by --rate HZ", self.stderr)
        write_token_model(self.path("words.safetensors"), 250)
        self.coil("generate", "words.safetensors", "--tokens", "1", "-o", "out.wav", "--rate", 8000, code=2)
        self.assertIn("has 256 tokens, but the model has 250", self.stderr)
        self.generated("-o", "out.opus", "--rate", 11025, code=2)
        self.assertIn("has no rate of 11025 Hz", self.stderr)
        self.generated("--rate", 8000, code=2)
        self.assertEqual(self.names(), [])
