"""`coil generate`: greedy and sampled tokens, resuming from states, and errors for unusable prompts."""

import array
import json
import pathlib
import struct

from support import CoilTest

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
