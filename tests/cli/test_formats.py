"""Formats, sample rates, channel counts, alignment and metadata."""

import itertools
import math
import os
import struct

from support import CoilTest, Wav, noise, sine, write_filter_model, write_matrix_model, write_wav


def delay_of(output, reference, frames):
    """The small delay, in frames, that best explains the difference of `output` and `reference`: least squares with
    its slope.

    """
    slopes = {i: (reference[i + 1] - reference[i - 1]) / 2 for i in frames}
    return -sum((output[i] - reference[i]) * slopes[i] for i in frames) / sum(
        slope * slope for slope in slopes.values()
    )


class Formats(CoilTest):
    def test_samples_of_16_bits_survive(self):
        samples = [-32768, 32767, 0, 1, -1, 12345, -12345] * 9
        write_wav(self.path("in.wav"), [samples], kind=16)
        self.process("in.wav", "out.wav", "--no-dither")
        out = Wav(self.path("out.wav"))
        self.assertEqual((out.bits, out.is_float, out.rate), (16, False, 48000))
        self.assertEqual(out.channels, [samples])

    def test_samples_of_24_bits_survive(self):
        samples = [-(1 << 23), (1 << 23) - 1, 0, 1, -1, 1234567]
        write_wav(self.path("in.wav"), [samples, samples[::-1]], kind=24)
        self.process("in.wav", "out.wav")
        out = Wav(self.path("out.wav"))
        self.assertEqual((out.bits, out.is_float), (24, False))
        self.assertEqual(out.channels, [samples, samples[::-1]])

    def test_float_samples_survive_beyond_full_scale(self):
        samples = [0.0, 1.5, -3.25, 1e-30, 0.1]
        write_wav(self.path("in.wav"), [samples])
        self.process("in.wav", "out.wav")
        out = Wav(self.path("out.wav"))
        self.assertTrue(out.is_float)
        self.assertNotIn(b"PEAK", out.chunks)  # it would contain the time of day
        self.assertEqual(out.channels[0][:3], samples[:3])
        self.assertAlmostEqual(out.channels[0][4], 0.1, places=7)

    def test_lossless_containers_and_back(self):
        samples = [round(30000 * value) for value in noise(3001, seed=1, amplitude=1)]
        write_wav(self.path("in.wav"), [samples, samples[::-1]], kind=16, rate=44100)
        write_matrix_model(self.path("any_rate.safetensors"), [[1]], sample_rate=None)
        for extension in ["flac", "aiff", "aif", "caf", "w64", "au", "wav"]:
            with self.subTest(extension):
                there, back = f"there.{extension}", f"back_{extension}.wav"
                self.process("in.wav", there, "--no-dither", model="any_rate.safetensors")
                self.process(there, back, "--no-dither", model="any_rate.safetensors")
                out = Wav(self.path(back))
                self.assertEqual((out.bits, out.rate), (16, 44100))
                self.assertEqual(out.channels, [samples, samples[::-1]])

    def test_rf64(self):
        write_wav(self.path("in.wav"), [[100, 200, 300]], kind=16)
        self.process("in.wav", "out.rf64", "--no-dither")
        self.assertEqual(self.path("out.rf64").read_bytes()[:4], b"RF64")
        self.process("out.rf64", "back.wav", "--no-dither")
        self.assertEqual(Wav(self.path("back.wav")).channels, [[100, 200, 300]])

    def test_lossy_formats_in_and_out(self):
        signal = sine(48000, 440, 48000)
        write_wav(self.path("in.wav"), [signal])
        for extension in ["ogg", "opus", "mp3"]:
            with self.subTest(extension):
                self.process("in.wav", f"there.{extension}")
                self.process(f"there.{extension}", f"as_before.{extension}")
                self.process(f"there.{extension}", f"back_{extension}.wav")
                self.assertEqual(Wav(self.path(f"back_{extension}.wav")).bits, 24)
                self.process(f"there.{extension}", f"back_{extension}.wav", "--bits", "32f")
                back = Wav(self.path(f"back_{extension}.wav"))
                self.assertGreaterEqual(back.frames, 48000)
                self.assertLess(back.frames, 48000 + 4000)
                middle = back.channels[0][20000:30000]
                self.assertAlmostEqual(
                    math.sqrt(sum(x * x for x in middle) / len(middle)), 0.5 / math.sqrt(2), delta=0.03
                )

    def test_bits_and_format_as_asked(self):
        write_wav(self.path("in.wav"), [noise(100, seed=2)])
        for bits, expected in [("16", (16, False)), ("24", (24, False)), ("32", (32, False)), ("32f", (32, True))]:
            self.process("in.wav", f"out{bits}.wav", "--bits", bits)
            out = Wav(self.path(f"out{bits}.wav"))
            self.assertEqual((out.bits, out.is_float), expected)
        self.process("in.wav", "named.dat", "--format", "flac", "--bits", "16")
        self.assertEqual(self.path("named.dat").read_bytes()[:4], b"fLaC")

    def test_float_input_into_flac_takes_24_bits(self):
        write_wav(self.path("in.wav"), [noise(1000, seed=3)])
        report = self.json_lines(self.process("in.wav", "out.flac", "--json"))[0]
        self.assertIn("24", report["format"])

    def test_format_that_cannot_hold_it(self):
        write_wav(self.path("in.wav"), [[0.0] * 10] * 6)
        self.process("in.wav", "out.mp3", code=1)
        self.assertIn("6 channels", self.stderr)
        self.assertEqual(self.names(), ["in.wav"])

    def test_a_take_without_sound(self):
        write_wav(self.path("in.wav"), [[]])
        for extension in ("wav", "aiff", "caf", "w64", "au", "ogg", "flac"):
            self.process("in.wav", f"out.{extension}")
            self.assertEqual(Wav(self.process(f"out.{extension}", "-")).frames, 0)
            os.unlink(self.path(f"out.{extension}"))
        for extension in ("mp3", "opus"):
            self.process("in.wav", f"out.{extension}", code=1)
            self.assertIn("has no sound in it", self.stderr)
        self.assertEqual(self.names(), ["in.wav"])

    def test_a_take_of_one_frame(self):
        write_wav(self.path("in.wav"), [[0.25]])
        for extension in ("wav", "aiff", "caf", "w64", "au", "flac", "ogg", "opus", "mp3"):
            self.process("in.wav", f"out.{extension}")
            self.assertEqual(Wav(self.process(f"out.{extension}", "-")).frames, 1, extension)

    def test_rates_and_channels_beyond_an_encoder(self):
        write_wav(self.path("in.wav"), [noise(1000, seed=1)], rate=700000)
        for extension in ("flac", "ogg"):
            report = self.json_lines(self.process("in.wav", f"out.{extension}", "--json"))[0]
            self.assertEqual(report["output_rate"], 192000)
            self.assertIn("has no 700000 Hz", self.stderr)
        write_wav(self.path("in.wav"), [[0.25] * 10] * 256)
        for extension in ("ogg", "opus", "flac", "mp3"):
            self.process("in.wav", f"wide.{extension}", code=1)
            self.assertIn("cannot hold 256 channels", self.stderr)

    def test_channels_stay_apart(self):
        write_filter_model(self.path("filter.safetensors"))
        channels = [noise(5000, seed=c) for c in range(7)]
        write_wav(self.path("all.wav"), channels, rate=44100)
        self.process("all.wav", "all_out.wav", model="filter.safetensors")
        together = Wav(self.path("all_out.wav"))
        self.assertEqual(len(together.channels), 7)
        for c in (0, 3, 6):
            write_wav(self.path("one.wav"), [channels[c]], rate=44100)
            self.process("one.wav", "one_out.wav", model="filter.safetensors")
            alone = Wav(self.path("one_out.wav")).channels[0]
            self.assertEqual(alone, together.channels[c])
            self.assertGreater(max(map(abs, alone)), 0.05)

    def test_model_of_two_channels(self):
        write_matrix_model(self.path("swap.safetensors"), [[0, 1], [0.5, 0]])
        left, right = noise(20000, seed=4), noise(20000, seed=5)
        write_wav(self.path("in.wav"), [left, right])
        self.process("in.wav", "out.wav", model="swap.safetensors")
        out = Wav(self.path("out.wav"))
        for a, b in zip(out.channels[0], right):
            self.assertAlmostEqual(a, b, places=6)
        for a, b in zip(out.channels[1], left):
            self.assertAlmostEqual(a, 0.5 * b, places=6)
        write_wav(self.path("mono.wav"), [left])
        self.process("mono.wav", "no.wav", model="swap.safetensors", code=1)
        self.assertIn("2 channels", self.stderr)

    def test_output_is_aligned_and_exactly_as_long_at_any_rate(self):
        rates = [8000, 11025, 22050, 32000, 44100, 44101, 48000, 88200, 96000, 192000]
        for rate, frames in itertools.product(rates, [0, 1, 2, 777, 6001]):
            with self.subTest(rate=rate, frames=frames):
                # Up to a third of the lower rate, so that both rates can represent it.
                signal = [0.0] * frames
                for hz in (313, 700, 1530, 2600):
                    signal = [a + b for a, b in zip(signal, sine(frames, hz, rate, amplitude=0.2))]
                write_wav(self.path("in.wav"), [signal], rate=rate)
                self.process("in.wav", "out.wav")
                out = Wav(self.path("out.wav"))
                self.assertEqual((out.rate, out.frames), (rate, frames))
                if frames == 6001:
                    inner = range(1500, frames - 1500)
                    self.assertLess(abs(delay_of(out.channels[0], signal, inner)), 1e-3)
                    error = max(abs(out.channels[0][i] - signal[i]) for i in inner)
                    self.assertLess(error, 1e-5)  # the passband ripple of both filters, and float32

    def test_impulse_stays_where_it_is(self):
        for rate in (44100, 96000):
            signal = [0.0] * 9000
            signal[4321] = 1.0
            write_wav(self.path("in.wav"), [signal], rate=rate)
            self.process("in.wav", "out.wav")
            out = Wav(self.path("out.wav")).channels[0]
            self.assertEqual(max(range(len(out)), key=lambda i: abs(out[i])), 4321)

    def test_latency_of_the_model_is_taken_out(self):
        # The card states a latency that the model does not have, so the output comes too early by that much.
        card = {"name": "early", "sample_rate": 48000, "channels": 1, "latency_frames": 100, "controls": []}
        write_matrix_model(self.path("early.safetensors"), [[1]], card=card)
        signal = noise(10000, seed=6)
        write_wav(self.path("in.wav"), [signal])
        self.process("in.wav", "out.wav", model="early.safetensors")
        out = Wav(self.path("out.wav")).channels[0]
        self.assertEqual(len(out), 10000)
        for i in (0, 1, 5000, 9899):
            self.assertAlmostEqual(out[i], signal[i + 100], places=6)
        self.assertEqual(out[9900:], [0.0] * 100)

    def test_block_size_does_not_matter(self):
        write_filter_model(self.path("filter.safetensors"))
        write_wav(self.path("in.wav"), [noise(20011, seed=7)])
        outputs = []
        for block in (1, 7, 64, 4096, 100000):
            self.process("in.wav", "out.wav", "--block", block, model="filter.safetensors")
            outputs.append(Wav(self.path("out.wav")).channels[0])
        peak = max(map(abs, outputs[0]))
        for other in outputs[1:]:
            # 1e-5: the engine's tolerance between executions.
            self.assertLess(max(abs(a - b) for a, b in zip(outputs[0], other)), 1e-5 * max(1, peak))

    def test_metadata_is_kept(self):
        def chunk(name, data):
            return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

        texts = chunk(
            b"LIST",
            b"INFO" + chunk(b"INAM", b"A title\0") + chunk(b"IART", b"Somebody\0") + chunk(b"ICMT", b"Remark\0\0"),
        )
        bext = chunk(
            b"bext",
            b"A description".ljust(256, b"\0")
            + b"Originator".ljust(32, b"\0")
            + b"Ref".ljust(32, b"\0")
            + b"2024-01-02"
            + b"03:04:05"
            + struct.pack("<II", 123456, 0)
            + struct.pack("<H", 1)
            + b"\0" * 254,
        )
        cue = chunk(
            b"cue ",
            struct.pack("<I", 2)
            + struct.pack("<II4sIII", 1, 10, b"data", 0, 0, 10)
            + struct.pack("<II4sIII", 2, 77, b"data", 0, 0, 77),
        )
        smpl = chunk(
            b"smpl", struct.pack("<9I", 0, 0, 20833, 64, 0, 0, 0, 1, 0) + struct.pack("<6I", 0, 0, 5, 50, 0, 0)
        )
        write_wav(self.path("in.wav"), [[0] * 100], kind=16, chunks=texts + bext + cue + smpl)
        self.process("in.wav", "out.wav")
        out = Wav(self.path("out.wav"))
        for text in (b"A title", b"Somebody", b"Remark"):
            self.assertIn(text, out.chunks[b"LIST"])
        self.assertIn(b"A description", out.chunks[b"bext"])
        self.assertIn(b"2024-01-02", out.chunks[b"bext"])
        self.assertEqual(struct.unpack("<I", out.chunks[b"bext"][338:342])[0], 123456)
        self.assertEqual(struct.unpack("<I", out.chunks[b"cue "][:4])[0], 2)
        self.assertEqual(struct.unpack("<6I", out.chunks[b"cue "][28:52])[5], 77)
        self.assertEqual(struct.unpack("<I", out.chunks[b"smpl"][12:16])[0], 64)
        self.process("in.wav", "out.flac")
        flac = self.path("out.flac").read_bytes()
        for text in (b"A title", b"Somebody"):
            self.assertIn(text, flac)

    def test_two_runs_give_the_same_bytes(self):
        write_wav(self.path("in.wav"), [noise(5000, seed=8)])
        for extension in ("wav", "flac"):
            for name in ("a", "b"):
                self.process("in.wav", f"{name}.{extension}", "--bits", "16")
            self.assertEqual(self.path(f"a.{extension}").read_bytes(), self.path(f"b.{extension}").read_bytes())
