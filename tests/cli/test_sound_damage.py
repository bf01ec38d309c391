"""Sound files that are damaged, cut off or joined: what can be read is processed, and what is missing is said."""

import random
import struct

from support import CoilTest, Wav, write_wav


def never_zero(frames, seed):
    """16-bit noise without zeros, so that a zero in an output is a sample that was lost."""
    rng = random.Random(seed)
    return [rng.choice((-1, 1)) * rng.randint(1, 20000) for _ in range(frames)]


class SoundDamage(CoilTest):
    def report(self, source, target="out.wav", *arguments):
        return self.json_lines(self.process(source, target, "--no-dither", "--json", *arguments))[0]

    def make(self, name, samples, rate=48000):
        write_wav(self.path("source.wav"), [samples], rate=rate, kind=16)
        self.process("source.wav", name, "--no-dither")
        return self.path(name).read_bytes()


class Flac(SoundDamage):
    FRAMES = 60000
    BLOCK = 4096  # frames that libsndfile encodes at once

    def check(self, content, truncated=False):
        """Each sample that comes out is the one that went in, or is silence and counted."""
        whole = never_zero(self.FRAMES, seed=1)
        self.path("in.flac").write_bytes(content)
        report = self.report("in.flac")
        out = Wav(self.path("out.wav")).channels[0]
        self.assertEqual(report["frames"], len(out))
        lost = [i for i, sample in enumerate(out) if sample == 0]
        self.assertEqual([i for i, sample in enumerate(out) if sample not in (0, whole[i])], [])
        self.assertEqual(report.get("lost_frames", 0), len(lost))
        if lost:
            self.assertAlmostEqual(report["first_damage_s"], lost[0] / 48000)
            self.assertIn("damaged in", self.stderr)
            self.assertIn(f"{len(lost)} frames lost", self.stderr)
        self.assertEqual(report["truncated"], truncated)
        if not truncated:
            self.assertEqual(len(out), self.FRAMES)
        return report

    def setUp(self):
        super().setUp()
        self.content = self.make("whole.flac", never_zero(self.FRAMES, seed=1))
        self.audio = len(self.content) // 20  # behind the metadata

    def test_whole_file_is_not_called_damaged(self):
        report = self.check(self.content)
        self.assertFalse(report["damaged"])
        self.assertNotIn("warning", self.stderr)

    def test_bytes_overwritten(self):
        rng = random.Random(2)
        for count in (1, 40, 300, 20000):
            for place in range(3):
                with self.subTest(count=count, place=place):
                    at = rng.randrange(self.audio, len(self.content) - count)
                    bad = bytes((byte + rng.randint(1, 255)) % 256 for byte in self.content[at:at + count])
                    report = self.check(self.content[:at] + bad + self.content[at + count:])
                    self.assertTrue(report["damaged"])
                    self.assertGreaterEqual(report["lost_frames"], self.BLOCK // 2)
                    self.assertLessEqual(report["lost_frames"], self.BLOCK * (2 + count * self.FRAMES // len(self.content) // 2000))

    def test_bytes_missing_and_inserted(self):
        middle = len(self.content) // 2
        for removed, inserted in ((500, b""), (30000, b""), (0, bytes(500)), (0, b"\xff\xf8\xc9\x18" * 100)):
            with self.subTest(removed=removed, inserted=inserted[:4]):
                self.assertTrue(self.check(self.content[:middle] + inserted + self.content[middle + removed:])["damaged"])

    def test_two_places(self):
        content = bytearray(self.content)
        for at in (len(content) // 3, 2 * len(content) // 3):
            content[at:at + 20] = bytes(20)
        self.assertEqual(self.check(bytes(content))["damaged_places"], 2)
        self.assertIn("2 places", self.stderr)

    def test_damage_at_the_end_is_filled(self):
        self.assertTrue(self.check(self.content[:-60] + b"\x55" * 60)["damaged"])

    def test_cut_off(self):
        for length in (len(self.content) // 2, len(self.content) - 30):
            self.assertFalse(self.check(self.content[:length], truncated=True)["damaged"])

    def test_checksum_of_the_whole(self):
        content = bytearray(self.content)
        content[8 + 18] ^= 1  # the MD5 in STREAMINFO
        report = self.check(bytes(content))
        self.assertTrue(report["damaged"])
        self.assertIn("checksum", self.stderr)
        content[8 + 18:8 + 34] = bytes(16)  # not known
        self.assertFalse(self.check(bytes(content))["damaged"])

    def test_joined(self):
        first, second = never_zero(5000, seed=3), never_zero(30000, seed=4)
        tag = b"TAG" + bytes(125)
        for between in (b"", tag):
            self.path("in.flac").write_bytes(self.make("a.flac", first) + between + self.make("b.flac", second))
            report = self.report("in.flac")
            self.assertEqual(Wav(self.path("out.wav")).channels[0], first + second)
            self.assertFalse(report["damaged"] or report["truncated"] or "left_out" in report)
            piped = Wav(self.process("in.flac", "-", "--no-dither"))
            self.assertEqual(piped.channels[0], first + second)

    def test_joined_in_another_format(self):
        first = never_zero(5000, seed=3)
        self.path("in.flac").write_bytes(self.make("a.flac", first) + self.make("b.flac", first, rate=44100))
        self.assertIn("1 channel at 44100 Hz", self.report("in.flac")["left_out"])
        self.assertIn("not processed: 1 more file", self.stderr)
        self.assertEqual(Wav(self.path("out.wav")).channels[0], first)

    def test_streaminfo_destroyed(self):
        self.assertTrue(self.check(self.content[:8] + b"\xff" * 34 + self.content[42:])["frames"] > 0)

    def test_marker_within_a_picture(self):
        picture = b"\x06" + struct.pack(">I", 60)[1:] + (b"fLaC\0\0\0\x22" * 8)[:60]
        self.check(self.content[:4] + b"\0" + self.content[5:42] + picture + self.content[42:])

    def test_nothing_but_a_marker(self):
        for content in (b"fLaC", self.content[:42], self.content[:42] + bytes(1000)):
            self.path("in.flac").write_bytes(content)
            self.process("in.flac", "out.wav", code=1 if content == b"fLaC" else 0)
