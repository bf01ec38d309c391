"""Files whose rate differs from the model's: rescaled steps or resampled signal."""

import json
import pathlib

from support import CoilTest, Wav, noise, sine, write_filter_model, write_wav

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


class Rates(CoilTest):
    def setUp(self):
        super().setUp()
        for name, fields in (
            ("plain", {}),
            ("steps", {"rate_scaling": "steps"}),
            ("resample", {"rate_scaling": "resample"}),
        ):
            write_filter_model(self.path(f"{name}.safetensors"), fields=fields)

    def output(self, rate, *arguments, model="plain"):
        write_wav(self.path("in.wav"), [sine(rate // 2, 1000, rate)], rate=rate)
        self.process("in.wav", "out.wav", *arguments, model=f"{model}.safetensors")
        out = Wav(self.path("out.wav"))
        self.assertEqual((out.rate, out.frames), (rate, rate // 2))
        return out.channels[0]

    def test_both_ways_are_close_but_not_the_same(self):
        for rate in (44100, 96000):
            steps, resampled = self.output(rate, "--rate-scaling", "steps"), self.output(
                rate, "--rate-scaling", "resample"
            )
            middle = slice(rate // 10, rate * 2 // 5)
            error = sum((a - b) ** 2 for a, b in zip(steps[middle], resampled[middle]))
            energy = sum(b**2 for b in resampled[middle])
            self.assertLess(error, 1e-4 * energy)
            self.assertGreater(error, 0)

    def test_the_model_says_which_way_unless_the_option_does(self):
        for rate in (44100, 96000):
            steps, resampled = self.output(rate, "--rate-scaling", "steps"), self.output(
                rate, "--rate-scaling", "resample"
            )
            self.assertEqual(self.output(rate), resampled)
            self.assertEqual(self.output(rate, model="resample"), resampled)
            self.assertEqual(self.output(rate, model="steps"), steps)
            self.assertEqual(self.output(rate, "--rate-scaling", "resample", model="steps"), resampled)

    def test_at_the_models_own_rate_there_is_nothing_to_choose(self):
        self.assertEqual(
            self.output(48000, "--rate-scaling", "steps"), self.output(48000, "--rate-scaling", "resample")
        )

    def test_info_says_which_way(self):
        for model, way, words in (
            ("plain", "resample", "resampled; --rate-scaling steps is possible"),
            ("steps", "steps", "steps are rescaled"),
        ):
            info = json.loads(self.coil("info", f"{model}.safetensors", "--json"))
            self.assertEqual((info["rate_scaling"], info["steps_can_be_rescaled"]), (way, True))
            self.assertIn(words, self.coil("info", f"{model}.safetensors").decode())
        info = json.loads(self.coil("info", GOLDEN / "mamba1_d16_l2.safetensors", "--json"))
        self.assertEqual((info["rate_scaling"], info["steps_can_be_rescaled"]), ("resample", False))

    def test_what_cannot_be_is_refused(self):
        write_wav(self.path("in.wav"), [noise(100, 1)], rate=44100)
        self.process("in.wav", "out.wav", "--rate-scaling", "steps", model=GOLDEN / "mamba1_d16_l2.safetensors", code=2)
        self.assertIn("--rate-scaling steps: its layers hold a Mamba part", self.stderr)
        self.process("in.wav", "out.wav", "--rate-scaling", "stretch", code=2)
        write_filter_model(self.path("wrong.safetensors"), fields={"rate_scaling": "stretch"})
        self.process("in.wav", "out.wav", model="wrong.safetensors", code=3)
        self.assertIn("config.rate_scaling must be 'steps' or 'resample'", self.stderr)
        self.assertEqual(self.names(), ["in.wav"])
