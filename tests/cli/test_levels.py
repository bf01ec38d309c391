"""Gain, clipping, dither, controls, and non-finite samples."""

import math

from support import CoilTest, Wav, noise, sine, wav_bytes, write_filter_model, write_matrix_model, write_wav


class Levels(CoilTest):
    def report(self, *arguments, **options):
        return self.json_lines(self.process("in.wav", "out.wav", "--json", *arguments, **options))[0]

    def test_gain(self):
        write_wav(self.path("in.wav"), [[0.25, -0.5]])
        report = self.report("--gain", "6.020599913")
        self.assertEqual([round(x, 6) for x in Wav(self.path("out.wav")).channels[0]], [0.5, -1.0])
        self.assertAlmostEqual(report["peak_db"], 0, places=4)
        self.assertEqual(report["clipped"], 0)

    def test_clipping_is_counted_reported_and_does_not_wrap(self):
        write_wav(self.path("in.wav"), [[0.5, 2.0, -4.0, 1.0, -1.0]])
        report = self.report("--bits", "16", "--no-dither")
        self.assertEqual(Wav(self.path("out.wav")).channels[0], [16384, 32767, -32768, 32767, -32768])
        self.assertEqual(report["clipped"], 2)
        self.assertAlmostEqual(report["peak_db"], 20 * math.log10(4), places=4)
        self.assertIn("clips in 2 samples", self.stderr)
        self.assertIn("12.0 dBFS", self.stderr)
        self.assertIn("--gain -12.1", self.stderr)

    def test_lossy_encodings_clip_and_count_as_integers_do(self):
        codes = bytes([0x90, 0x10, 0xFF, 0xA0])  # +16764, -16764, 0, +7932 of 32768
        self.path("in.wav").write_bytes(wav_bytes(codes * 500, 7, 8, 1, 48000))
        for gain, clipped in (("0", 0), ("6.5", 1000), ("60", 1500), ("200", 1500)):
            report = self.report("--gain", gain)
            self.assertEqual(report["clipped"], clipped, gain)
        self.assertIn("clips in 1500 samples", self.stderr)
        self.assertEqual(self.path("out.wav").read_bytes()[-2000:-1996], bytes([0x80, 0x00, 0xFF, 0x80]))
        report = self.json_lines(self.process("in.wav", "out.mp3", "--gain", "200", "--json"))[0]
        self.assertEqual(report["clipped"], 1500)
        self.assertNotIn("32f", self.stderr)  # MP3 does not support it

    def test_the_advised_gain_avoids_clipping(self):
        write_wav(self.path("in.wav"), [[0.5, 2.0, -4.0]])
        self.assertEqual(self.report("--bits", "16", "--gain", "-12.1")["clipped"], 0)
        self.report("--bits", "16", "--gain", "20")
        self.assertIn("--gain -12.1", self.stderr)

    def test_float_output_does_not_clip(self):
        write_wav(self.path("in.wav"), [[2.0]])
        self.assertEqual(self.report()["clipped"], 0)
        self.assertNotIn("clips", self.stderr)

    def test_silence_has_no_peak(self):
        write_wav(self.path("in.wav"), [[0.0] * 10])
        self.assertIsNone(self.report()["peak_db"])

    def test_dither_keeps_what_rounding_would_lose(self):
        # A sine of a third of a step: with rounding alone the result is silence; with dither it is preserved below the
        # noise.
        frames, hz = 48000, 1000
        write_wav(self.path("in.wav"), [sine(frames, hz, 48000, amplitude=1 / 3 / 32768)])
        self.process("in.wav", "plain.wav", "--bits", "16", "--no-dither")
        self.assertEqual(set(Wav(self.path("plain.wav")).channels[0]), {0})
        self.process("in.wav", "dithered.wav", "--bits", "16")
        out = Wav(self.path("dithered.wav")).channels[0]
        self.assertLessEqual(max(map(abs, out)), 2)
        found = 2 / frames * sum(x * math.sin(2 * math.pi * hz * i / 48000) for i, x in enumerate(out))
        # The noise (variance 1/4: dither 1/6, rounding 1/12) leaves 0.003 of uncertainty (1 sigma) in this sum.
        self.assertAlmostEqual(found, 1 / 3, delta=5 * math.sqrt(2 * 0.25 / frames))

    def test_no_dither_in_24_bits(self):
        write_wav(self.path("in.wav"), [[0.0] * 1000])
        self.process("in.wav", "out.wav", "--bits", "24")
        self.assertEqual(set(Wav(self.path("out.wav")).channels[0]), {0})

    def test_samples_that_are_not_finite_become_silence(self):
        nan, inf = float("nan"), float("inf")
        clean = noise(4000, seed=1)
        dirty = list(clean)
        for position, value in [(10, nan), (11, inf), (2000, -inf)]:
            dirty[position], clean[position] = value, 0.0
        write_filter_model(self.path("filter.safetensors"))
        for rate in (48000, 44100):
            write_wav(self.path("in.wav"), [dirty], rate=rate)
            report = self.report(model="filter.safetensors")
            self.assertEqual(report["non_finite"], 3)
            self.assertIn("3 samples not finite", self.stderr)
            found = Wav(self.path("out.wav")).channels[0]
            write_wav(self.path("in.wav"), [clean], rate=rate)
            self.assertEqual(self.report(model="filter.safetensors")["non_finite"], 0)
            self.assertEqual(found, Wav(self.path("out.wav")).channels[0])

    def test_samples_too_loud_to_be_sound_become_silence(self):
        clean = noise(4000, seed=2)
        huge = list(clean)
        for position, value in [(10, 1e38), (2000, -65.0)]:
            huge[position], clean[position] = value, 0.0
        write_filter_model(self.path("filter.safetensors"))
        for rate in (48000, 44100):
            write_wav(self.path("in.wav"), [huge], rate=rate)
            self.assertEqual(self.report(model="filter.safetensors")["too_loud"], 2)
            self.assertIn("2 samples beyond 36 dBFS", self.stderr)
            found = Wav(self.path("out.wav")).channels[0]
            write_wav(self.path("in.wav"), [clean], rate=rate)
            self.assertEqual(self.report(model="filter.safetensors")["too_loud"], 0)
            self.assertEqual(found, Wav(self.path("out.wav")).channels[0])

    def test_model_that_overflows_starts_anew_and_is_reported(self):
        write_matrix_model(self.path("loud.safetensors"), [[1e38]])
        write_wav(self.path("in.wav"), [[0.0] * 5000 + [50.0] + [0.0] * 5000])
        report = self.report("--block", "64", model="loud.safetensors")
        self.assertEqual(report["restarts"], 1)
        self.assertTrue(all(math.isfinite(x) for x in Wav(self.path("out.wav")).channels[0]))
        self.assertIn("started anew 1 time", self.stderr)

    def test_controls_act(self):
        write_filter_model(self.path("knobs.safetensors"), controls=True)
        write_wav(self.path("in.wav"), [noise(3000, seed=2)])
        outputs = {}
        for name, arguments in {
            "default": [],
            "same": ["--set", "drive=5", "--set", "tone=0.5"],
            "drive": ["--set", "drive=9.5"],
            "tone": ["--set", "tone=1"],
            "level": ["--set", "level=-20"],
        }.items():
            self.report(*arguments, model="knobs.safetensors")
            outputs[name] = Wav(self.path("out.wav")).channels[0]
        self.assertEqual(outputs["default"], outputs["same"])
        for name in ("drive", "tone"):
            self.assertGreater(max(abs(a - b) for a, b in zip(outputs["default"], outputs[name])), 0.01)
        for a, b in zip(outputs["default"], outputs["level"]):
            self.assertAlmostEqual(b, 0.1 * a, places=5)
