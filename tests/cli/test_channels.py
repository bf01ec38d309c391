"""Loudspeakers: channels keep their positions in every container, and the mask of a WAV file is kept."""

import math
import shutil
import struct
import subprocess
import unittest

from support import CoilTest, Wav, write_wav

RATE = 48000
FRAMES = 9600
# Also low enough for a low-frequency channel, which lossy formats cut off at about 100 Hz.
TONES_HZ = [1000, 1500, 2000, 50, 700, 1200, 1700, 2300]
FL, FR, FC, LFE, BL, BR, BC, SL, SR = (1 << bit for bit in (0, 1, 2, 3, 4, 5, 8, 9, 10))
LAYOUTS = {
    "3.0": FL | FR | FC,
    "quad": FL | FR | BL | BR,
    "5.0": FL | FR | FC | BL | BR,
    "5.1": FL | FR | FC | LFE | BL | BR,
    "6.1": FL | FR | FC | LFE | BC | SL | SR,
    "7.1": FL | FR | FC | LFE | BL | BR | SL | SR,
}
VORBIS_ORDER = {
    "3.0": (FL, FC, FR),
    "quad": (FL, FR, BL, BR),
    "5.0": (FL, FC, FR, BL, BR),
    "5.1": (FL, FC, FR, BL, BR, LFE),
    "6.1": (FL, FC, FR, SL, SR, BC, LFE),
    "7.1": (FL, FC, FR, SL, SR, BL, BR, LFE),
}
SPEAKER_HZ = dict(zip((FL, FR, FC, LFE, BL, BR, SL, SR, BC), TONES_HZ + [2700]))


def speakers(mask):
    return [1 << bit for bit in range(32) if mask >> bit & 1]


def tone(samples, candidates):
    def power(hz):
        angles = [2 * math.pi * hz * i / RATE for i in range(2400, 7200)]
        window = samples[2400:7200]
        return math.hypot(
            sum(s * math.cos(a) for s, a in zip(window, angles)), sum(s * math.sin(a) for s, a in zip(window, angles))
        )

    return max(candidates, key=power)


def mask_of(content):
    wav = Wav(content)
    form = wav.chunks[b"fmt "]
    return struct.unpack("<I", form[20:24])[0] if form[:2] == b"\xfe\xff" else None


class Channels(CoilTest):
    def write(self, name, mask, frequencies, amplitudes=None):
        """An extensible WAV file with one tone per channel."""
        count = len(frequencies)
        channels = list(zip(frequencies, amplitudes or [8000] * len(frequencies)))
        samples = [round(a * math.sin(2 * math.pi * hz * i / RATE)) for i in range(FRAMES) for hz, a in channels]
        form = struct.pack("<HHIIHHHHI", 0xFFFE, count, RATE, RATE * count * 2, count * 2, 16, 22, 16, mask)
        form += b"\1\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
        data = struct.pack(f"<{len(samples)}h", *samples)
        body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
        self.path(name).write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)

    def tones(self, content, candidates):
        return [tone(channel, candidates) for channel in Wav(content).channels]

    def test_each_tone_stays_with_its_loudspeaker(self):
        for name, mask in LAYOUTS.items():
            expected = [SPEAKER_HZ[speaker] for speaker in speakers(mask)]
            self.write("in.wav", mask, expected)
            for extension in ("ogg", "opus", "flac", "aiff", "caf", "wav", "rf64", "w64"):
                with self.subTest(layout=name, container=extension):
                    self.process("in.wav", f"there.{extension}")
                    self.assertNotIn("warning", self.stderr)
                    back = self.process(f"there.{extension}", "-", "--bits", "16")
                    self.assertEqual(mask_of(back), mask)
                    if name in ("5.1", "6.1") or extension == "ogg":
                        self.assertEqual(self.tones(back, expected), expected)
                    self.process(f"there.{extension}", "back.wav", "--bits", "16")
                    self.assertEqual(mask_of(self.path("back.wav").read_bytes()), mask)

    def test_opus_keeps_what_is_soft_in_one_speaker(self):
        """At the encoder's default bit rate for 5.1 this tone was lost."""
        mask, tones = LAYOUTS["5.1"], [300, 500, 800, 100, 2000, 5000]
        self.write("in.wav", mask, tones, [6400, 6400, 6000, 4000, 3400, 1500])
        self.process("in.wav", "out.opus")
        self.assertEqual(self.tones(self.process("out.opus", "-", "--bits", "16"), tones), tones)

    def test_order_inside_ogg(self):
        """sox returns Vorbis channels in the file's order."""
        for name, order in VORBIS_ORDER.items():
            with self.subTest(layout=name):
                self.write("in.wav", LAYOUTS[name], [SPEAKER_HZ[speaker] for speaker in speakers(LAYOUTS[name])])
                self.process("in.wav", "out.ogg")
                subprocess.run(
                    ["sox", "out.ogg", "-b", "16", "raw.wav"], cwd=self.folder, check=True, stderr=subprocess.DEVNULL
                )
                expected = [SPEAKER_HZ[speaker] for speaker in order]
                self.assertEqual(self.tones(self.path("raw.wav").read_bytes(), expected), expected)

    def test_surround_speakers_at_the_sides(self):
        mask = FL | FR | FC | LFE | SL | SR
        self.write("in.wav", mask, TONES_HZ[:6])
        for extension, kept in (
            ("ogg", LAYOUTS["5.1"]),
            ("aiff", mask),
            ("caf", mask),
            ("wav", mask),
            ("flac", mask),
            ("w64", mask),
        ):
            self.process("in.wav", f"there.{extension}")
            self.assertNotIn("warning", self.stderr)
            back = self.process(f"there.{extension}", "-", "--bits", "16")
            self.assertEqual(mask_of(back), kept)
            self.assertEqual(self.tones(back, TONES_HZ[:6]), TONES_HZ[:6])

    def test_masks_of_wav_files_are_kept(self):
        for mask, channels in (
            (0, 4),
            (0, 6),
            (FC, 1),
            (FL | FR, 2),
            (0, 2),
            (FL | FR | FC | BC, 4),
            (0x3F, 4),
            (0x80000000, 3),
        ):
            with self.subTest(mask=hex(mask), channels=channels):
                self.write("in.wav", mask, TONES_HZ[:channels])
                self.process("in.wav", "out.wav")
                self.assertEqual(mask_of(self.path("out.wav").read_bytes()), mask)
                self.assertEqual(mask_of(self.process("in.wav", "-")), mask)
                self.assertEqual(mask_of(self.process("-", "-", input=self.path("in.wav").read_bytes())), mask)
                for name in ("there.flac", "there.w64"):
                    if name.endswith("flac") or channels > 2:
                        self.process("in.wav", name)
                        self.assertNotIn("warning", self.stderr)
                        usual = name.endswith("flac") and mask in (FC, FL | FR)  # the default, which need not be stated
                        self.assertEqual(mask_of(self.process(name, "-")), 0 if usual else mask, name)

    def test_short_headers_stay_short(self):
        for channels in (1, 2, 6):
            write_wav(self.path("in.wav"), [[0.5] * 100] * channels)
            self.process("in.wav", "out.wav")
            self.assertIsNone(mask_of(self.path("out.wav").read_bytes()))
            self.process("in.wav", "there.flac")
            self.process("there.flac", "out.wav")
            self.assertEqual(mask_of(self.path("out.wav").read_bytes()), LAYOUTS["5.1"] if channels == 6 else None)

    def test_layout_that_a_format_does_not_have(self):
        self.write("in.wav", FL | FR | FC | BC, TONES_HZ[:4])
        for extension in ("ogg", "opus"):
            report = self.json_lines(self.process("in.wav", f"out.{extension}", "--json"))[0]
            self.assertIn("loudspeakers", report["layout_loss"])
            self.assertIn("loudspeakers", self.stderr)
        for arguments in (["out.caf"], ["out.flac"], ["out.w64"]):
            self.process("in.wav", *arguments)
            self.assertNotIn("warning", self.stderr)
        self.process("in.wav", "out.w64", "--bits", "32f")
        self.assertIn("loudspeakers", self.stderr)

    def test_the_tag_of_flac_is_that_of_the_channels(self):
        mask = FL | FR | FC | BC
        self.write("in.wav", mask, TONES_HZ[:4])
        self.process("in.wav", "there.flac")
        self.process("there.flac", "again.flac")
        for name in ("there.flac", "again.flac"):
            self.assertEqual(self.path(name).read_bytes().count(b"WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0x0107"), 1)
        self.process("again.flac", "back.wav")
        back = self.path("back.wav").read_bytes()
        self.assertEqual((mask_of(back), self.tones(back, TONES_HZ[:4])), (mask, TONES_HZ[:4]))
        self.assertNotIn(b"WAVEFORMATEXTENSIBLE", back)  # the header states it

    def test_w64_of_floats_with_a_mask(self):
        """libsndfile reads its samples as integers."""
        self.write("in.wav", LAYOUTS["5.1"], TONES_HZ[:6])
        self.process("in.wav", "long.w64")
        self.process("in.wav", "short.w64", "--bits", "32f")
        long, short = self.path("long.w64").read_bytes(), self.path("short.w64").read_bytes()
        data = short[short.index(b"data\xf3\xac") :]
        form = bytearray(long[40:104])
        form[24:40], form[42:44], form[48:50] = short[64:80], bytes([32, 0]), bytes([3, 0])
        form[24:26] = b"\xfe\xff"
        content = long[:40] + bytes(form) + data
        self.path("in.w64").write_bytes(content[:16] + struct.pack("<Q", len(content)) + content[24:])
        back = self.process("in.w64", "-")
        self.assertEqual(
            (mask_of(back), Wav(back).channels),
            (LAYOUTS["5.1"], Wav(self.process("in.wav", "-", "--bits", "32f")).channels),
        )

    def tones_of_ffmpeg(self, name, candidates):
        subprocess.run(
            ["ffmpeg", "-v", "error", "-y", "-i", name, "-c:a", "pcm_s16le", "decoded.wav"], cwd=self.folder, check=True
        )
        content = self.path("decoded.wav").read_bytes()
        return mask_of(content), self.tones(content, candidates)

    @unittest.skipUnless(shutil.which("ffmpeg"), "ffmpeg is missing, which makes files of ALAC")
    def test_order_inside_alac(self):
        wide = FL | FR | FC | LFE | BL | BR | 1 << 6 | 1 << 7
        for mask in (FL | FR | FC | BC, LAYOUTS["5.1"], wide):
            with self.subTest(mask=hex(mask)):
                tones = (TONES_HZ + [2700])[: mask.bit_count()]
                self.write("in.wav", mask, tones)
                subprocess.run(
                    ["ffmpeg", "-v", "error", "-y", "-i", "in.wav", "-c:a", "alac", "in.caf"],
                    cwd=self.folder,
                    check=True,
                )
                self.process("in.caf", "out.wav")
                out = self.path("out.wav").read_bytes()
                self.assertEqual((mask_of(out), self.tones(out, tones)), (mask, tones))
                report = self.json_lines(self.process("in.caf", "out.caf", "--json"))[0]
                self.assertIn("ALAC", report["format"])
                self.assertNotIn("warning", self.stderr)
                self.assertEqual(self.tones_of_ffmpeg("out.caf", tones), (mask, tones))
                self.assertEqual(mask_of(self.process("out.caf", "-")), mask)

    def test_orders_that_core_audio_names(self):
        """5.1 in the order C L R Ls Rs LFE, given by tag and by labels."""
        in_file = [SPEAKER_HZ[speaker] for speaker in (FC, FL, FR, BL, BR, LFE)]
        wanted = [SPEAKER_HZ[speaker] for speaker in speakers(LAYOUTS["5.1"])]
        labels = b"".join(struct.pack(">5I", label, 0, 0, 0, 0) for label in (3, 1, 2, 5, 6, 4))
        for chunk in (struct.pack(">3I", 124 << 16 | 6, 0, 0), struct.pack(">3I", 0, 0, 6) + labels):
            self.write("in.wav", 0, in_file)
            samples = Wav(self.path("in.wav")).chunks[b"data"]
            form = struct.pack(">d4s5I", RATE, b"lpcm", 2, 12, 1, 6, 16)
            caf = b"caff\0\1\0\0" + b"".join(
                name + struct.pack(">q", len(data)) + data
                for name, data in ((b"desc", form), (b"chan", chunk), (b"data", bytes(4) + samples))
            )
            self.path("in.caf").write_bytes(caf)
            self.process("in.caf", "out.wav", "--no-dither")
            content = self.path("out.wav").read_bytes()
            self.assertEqual(mask_of(content), LAYOUTS["5.1"])
            self.assertEqual(self.tones(content, wanted), wanted)
