"""Lossy encoders, --quality, and --rate."""

import json
import math

from support import CoilTest, Wav, noise, sine, write_wav

SECONDS = 2


class Encoders(CoilTest):
    def setUp(self):
        super().setUp()
        write_wav(self.path("in.wav"), [noise(44100 * SECONDS, seed=1), noise(44100 * SECONDS, seed=2)], rate=44100)

    def kbits(self, name):
        """Counts only sound: the first pages of an Ogg file hold code books, tags and pictures, and have the
        position 0."""
        data = self.path(name).read_bytes()
        if data[:4] != b"OggS":
            return len(data) * 8 / 1000 / SECONDS
        at = size = 0
        while at < len(data):
            position, segments = int.from_bytes(data[at + 6 : at + 14], "little", signed=True), data[at + 26]
            length = 27 + segments + sum(data[at + 27 : at + 27 + segments])
            size += length if position > 0 else 0
            at += length
        return size * 8 / 1000 / SECONDS

    def encode(self, name, *arguments, source="in.wav"):
        """The kbit/s of the output."""
        self.report = self.json_lines(self.process(source, name, "--json", *arguments))[0]
        return self.kbits(name)


class Qualities(Encoders):
    def test_more_quality_is_more_bits(self):
        for ending in ("mp3", "ogg", "opus"):
            rates = [self.encode("out." + ending, "--quality", quality) for quality in ("0", "2.5", "5", "10")]
            self.assertEqual(rates, sorted(rates), ending)
            self.assertGreater(rates[-1], 2 * rates[0], ending)

    def test_bit_rates(self):
        for text in ("64k", "128", "320k"):
            wanted = float(text.rstrip("k"))
            self.assertAlmostEqual(
                self.encode("out.mp3", "--quality", text), wanted, delta=0.05 * wanted + 8
            )  # and one frame
            self.assertAlmostEqual(self.encode("out.opus", "--quality", text), wanted, delta=0.1 * wanted)
            # Vorbis aims at the quality that has this rate for music, and has larger headers.
            self.assertAlmostEqual(self.encode("out.ogg", "--quality", text), wanted, delta=0.25 * wanted + 16)
        self.encode("out.mp3", "--quality", "100k")  # not a rate of MP3
        self.assertAlmostEqual(self.kbits("out.mp3"), 112, delta=8)

    def test_more_than_the_encoder_has(self):
        for name, wanted, most in (("out.mp3", "500k", 320), ("out.opus", "1000k", 512), ("out.ogg", "900k", 499)):
            self.encode(name, "--quality", wanted)
            self.assertIn(
                f"{most} kbit/s at most at this rate, and is set to that in place of {wanted[:-1]}", self.stderr
            )
        self.encode("out.mp3", "--quality", "320k", "--rate", "16000")
        self.assertIn("160 kbit/s at most", self.stderr)

    def test_what_is_no_quality(self):
        for text in ("loud", "-1", "5x", "k", "1e9", "nan", "0.5k", "192kb"):
            self.process("in.wav", "out.mp3", "--quality=" + text, code=2)
            self.assertIn("a quality from 0 to 10", self.stderr)
        self.process("in.wav", "out.wav", "--quality", "5", code=2)
        self.assertIn("no output is one of these", self.stderr)
        self.assertEqual(self.names(), ["in.wav"])

    def test_files_without_loss_among_others_are_as_before(self):
        self.path("in/x")
        self.encode("in/a.ogg")
        self.process("in.wav", "in/b.flac")
        self.process("in", "out", "--quality", "9")
        self.process("in/b.flac", "alone.flac")
        self.assertEqual(self.path("out/b.flac").read_bytes(), self.path("alone.flac").read_bytes())
        self.assertGreater(self.kbits("out/a.ogg"), 1.5 * self.kbits("in/a.ogg"))

    def test_no_lower_bit_rate_than_the_inputs(self):
        for source, quality in (
            ("in.mp3", "320k"),
            ("in.mp3", "10"),
            ("in.ogg", "6"),
            ("in.opus", "256k"),
            ("in.mp3", "64k"),
        ):
            before = self.encode(source, "--quality", quality)
            for ending in ("mp3", "ogg", "opus"):
                with self.subTest(source, quality=quality, ending=ending):
                    after = self.encode("out." + ending, source=source)
                    # Except for the frame of an MP3 file that states its length.
                    self.assertGreaterEqual(after + 8, min(before, 320))
                    self.assertNotIn("kbit/s", self.stderr)
        self.encode("in.ogg", "--quality", "10")
        self.encode("out.mp3", source="in.ogg")
        self.assertIn("320 kbit/s at most at this rate", self.stderr)

    def test_a_picture_in_the_input_is_no_bit_rate(self):
        plain = self.encode("in.mp3", "--quality", "96k")
        picture = b"APIC" + (200000).to_bytes(4, "big") + bytes(2) + b"\0image/png\0\3\0" + bytes(200000 - 13)
        size = len(picture)
        tag = b"ID3\3\0\0" + bytes((size >> shift) & 127 for shift in (21, 14, 7, 0))
        self.path("in.mp3").write_bytes(tag + picture + self.path("in.mp3").read_bytes())
        self.encode("plain.opus", source="in.mp3")
        self.assertLess(self.kbits("plain.opus"), 200)
        self.assertGreater(self.kbits("in.mp3"), 5 * plain)

    def test_resume_knows_the_quality(self):
        self.process("in.wav", "out.mp3", "--resume", "--quality", "5")
        for arguments, redone in (
            (["--quality", "5"], False),
            (["--quality", "5.0"], False),
            (["--quality", "6"], True),
            (["--quality", "6k"], True),
            ([], True),
            (["--rate", "48000"], True),
            (["--rate", "48000"], False),
        ):
            line = self.json_lines(self.process("in.wav", "out.mp3", "--resume", "--json", *arguments))[0]
            self.assertEqual("resumed" not in line, redone, arguments)


class Rates(Encoders):
    def test_length_and_pitch(self):
        for rate in (44100, 48000, 22050, 96000):
            write_wav(self.path("tone.wav"), [sine(44101, 1000, 44100)], rate=44100)
            self.encode("out.wav", "--rate", rate, source="tone.wav")
            out = Wav(self.path("out.wav"))
            self.assertEqual((out.rate, out.frames), (rate, math.floor(44101 * rate / 44100 + 0.5)))
            self.assertEqual((self.report["frames"], self.report["rate"]), (44101, 44100))
            self.assertEqual((self.report["output_frames"], self.report["output_rate"]), (out.frames, rate))
            expected = sine(out.frames, 1000, rate)
            middle = slice(out.frames // 4, out.frames * 3 // 4)
            self.assertLess(max(abs(a - b) for a, b in zip(out.channels[0][middle], expected[middle])), 1e-4)
            self.assertNotIn("resampled", self.stderr)

    def test_a_stream_says_how_long_it_is(self):
        out = Wav(self.process("in.wav", "-", "--rate", "48000"))
        self.assertEqual((out.rate, out.frames), (48000, 48000 * SECONDS))
        self.process("in.wav", "out.wav", "--rate", "48000")
        self.assertEqual(out.channels, Wav(self.path("out.wav")).channels)

    def test_opus_of_441_is_resampled_with_a_word(self):
        self.encode("out.opus")
        self.assertIn("the output's format has no 44100 Hz; it is resampled to 48000 Hz", self.stderr)
        self.assertEqual(self.report["output_rate"], 48000)
        self.process("out.opus", "back.wav", "--bits", "32f")
        back = Wav(self.path("back.wav"))
        self.assertEqual((back.rate, back.frames), (48000, 48000 * SECONDS))
        self.process("in.wav", "out.opus", "--rate", "48000")
        self.assertNotIn("resampled", self.stderr)

    def test_other_rates_that_a_format_has_not(self):
        for rate, name, expected in (
            (22050, "a.opus", 24000),
            (11025, "b.opus", 12000),
            (96000, "c.opus", 48000),
            (96000, "d.mp3", 48000),
            (23000, "e.mp3", 24000),
            (7350, "f.mp3", 8000),
        ):
            write_wav(self.path("any.wav"), [noise(2000, seed=3)], rate=rate)
            self.encode(name, source="any.wav")
            self.assertEqual(self.report["output_rate"], expected, name)
            self.assertIn(f"has no {rate} Hz; it is resampled to {expected} Hz", self.stderr)

    def test_what_cannot_be(self):
        self.process("in.wav", "out.opus", "--rate", "44100", code=1)
        self.assertIn("opus cannot hold 44100 Hz; --rate can be 48000, 24000, 16000, 12000, 8000", self.stderr)
        for rate in ("0", "999", "1000000", "fast"):
            self.process("in.wav", "out.wav", "--rate", rate, code=2)
            self.assertIn("--rate", self.stderr)
        write_wav(self.path("six.wav"), [[0.5] * 10] * 6)
        self.process("six.wav", "out.mp3", code=1)
        self.assertIn("cannot hold 6 channels", self.stderr)


class Manifests(Encoders):
    def test_lines_with_rate_and_quality(self):
        lines = [
            {"input": "in.wav", "output": "a.mp3", "quality": "320k"},
            {"input": "in.wav", "output": "b.mp3"},
            {"input": "in.wav", "output": "c.wav", "rate": 22050},
            {"input": "in.wav", "output": "d.mp3", "quality": 0},
        ]
        self.path("list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        self.coil("process", "--manifest", "list.jsonl", "-m", "identity.safetensors", "--quality", "128k")
        self.assertAlmostEqual(self.kbits("a.mp3"), 320, delta=12)
        self.assertAlmostEqual(self.kbits("b.mp3"), 128, delta=12)
        self.assertEqual(Wav(self.path("c.wav")).rate, 22050)
        self.assertLess(self.kbits("d.mp3"), 128)
        for field in ({"quality": "best"}, {"quality": []}, {"rate": "48k"}, {"rate": 5}, {"rate": 44100.5}):
            self.path("list.jsonl").write_text(json.dumps({"input": "in.wav", "output": "e.mp3", **field}))
            self.coil("process", "--manifest", "list.jsonl", "-m", "identity.safetensors", code=2)
            self.assertIn("line 1", self.stderr)
            self.assertIn("quality" if "quality" in field else "'rate'", self.stderr)


if __name__ == "__main__":
    import unittest

    unittest.main()
