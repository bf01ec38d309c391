"""Sound files that are damaged, cut off or joined: what can be read is processed, and what is missing is said."""

import random
import struct

from support import CoilTest, Wav, noise, write_wav


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


class Ogg(SoundDamage):
    FRAMES = 200000

    def make_noise(self, name, seed=1, rate=48000, frames=FRAMES):
        write_wav(self.path("source.wav"), [noise(frames, seed)], rate=rate)
        self.process("source.wav", name)
        return self.path(name).read_bytes()

    def pages(self, content):
        starts, at = [], content.find(b"OggS")
        while at >= 0:
            starts.append(at)
            at = content.find(b"OggS", at + 4)
        return starts

    def test_damaged_and_missing_pages(self):
        for extension in ("ogg", "opus"):
            content = self.make_noise(f"whole.{extension}")
            starts = self.pages(content)
            page = len(starts) // 2
            at, end = starts[page], starts[page + 1]
            for bad in (content[:at + 60] + b"\x55" * 20 + content[at + 80:], content[:at] + content[end:], content[:at] + b"OgxS" + content[at + 4:]):
                with self.subTest(extension, size=len(bad)):
                    self.path(f"in.{extension}").write_bytes(bad)
                    report = self.report(f"in.{extension}")
                    self.assertEqual((report["damaged"], report["truncated"], report["damaged_places"]), (True, False, 1))
                    self.assertEqual(report["frames"] + report["lost_frames"], self.FRAMES)
                    self.assertGreater(report["lost_frames"], 1000)
                    self.assertLess(report["first_damage_s"], self.FRAMES / 48000)
                    self.assertGreater(report["first_damage_s"], 0.9)
                    self.assertIn("damaged in 1 place", self.stderr)

    def test_cut_off(self):
        for extension in ("ogg", "opus"):
            content = self.make_noise(f"whole.{extension}")
            whole = self.report(f"whole.{extension}")
            self.assertFalse(whole["damaged"] or whole["truncated"])
            for length in (len(content) // 2, self.pages(content)[-1]):
                self.path(f"in.{extension}").write_bytes(content[:length])
                report = self.report(f"in.{extension}")
                self.assertEqual((report["damaged"], report["truncated"]), (False, True))

    def test_chained(self):
        for extension in ("ogg", "opus"):
            first, second = self.make_noise(f"a.{extension}", frames=30000), self.make_noise(f"b.{extension}", seed=2, frames=50000)
            alone = [Wav(self.process(f"{name}.{extension}", "-", "--bits", "32f")).channels[0] for name in "ab"]
            self.path(f"in.{extension}").write_bytes(first + second)
            together = Wav(self.process(f"in.{extension}", "-", "--bits", "32f"))
            self.assertEqual(together.channels[0], alone[0] + alone[1])
            report = self.report(f"in.{extension}")
            self.assertEqual((report["frames"], report["damaged"], report["truncated"]), (80000, False, False))

    def test_chained_in_another_format(self):
        content = self.make_noise("a.ogg", frames=30000) + self.make_noise("b.ogg", rate=44100) * 2
        self.path("in.ogg").write_bytes(content)
        report = self.report("in.ogg")
        self.assertEqual(report["frames"], 30000)
        self.assertIn("2 more files", report["left_out"])
        self.assertIn("44100 Hz", self.stderr)


class Mp3(SoundDamage):
    def frames_of(self, content):
        """Offsets of the frames of 48 kHz MPEG-1 layer III."""
        kbits = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
        at, starts = content.find(b"\xff\xfb"), []
        while at + 4 <= len(content) and content[at:at + 2] == b"\xff\xfb":
            starts.append(at)
            at += 144 * 1000 * kbits[content[at + 2] >> 4] // 48000 + (content[at + 2] >> 1 & 1)
        return starts

    def make_mp3(self, name="whole.mp3", seed=1, rate=48000, frames=96000):
        write_wav(self.path("source.wav"), [noise(frames, seed)], rate=rate)
        self.process("source.wav", name)
        return self.path(name).read_bytes()

    def test_cut_off(self):
        content = self.make_mp3()
        whole = self.report("whole.mp3")
        self.assertEqual((whole["frames"], whole["damaged"], whole["truncated"]), (96000, False, False))
        starts = self.frames_of(content)
        self.assertGreater(len(starts), 50)
        without_count = content[starts[1]:]
        for cut in (content[:len(content) // 2], content[:starts[40]], without_count[:len(without_count) // 2 + 7]):
            self.path("in.mp3").write_bytes(cut)
            report = self.report("in.mp3")
            self.assertEqual((report["damaged"], report["truncated"]), (False, True))
            self.assertIn("ends before", self.stderr)
        self.path("in.mp3").write_bytes(without_count)
        self.assertFalse(self.report("in.mp3")["truncated"])
        self.path("in.mp3").write_bytes(content + b"TAG" + bytes(125))
        self.assertFalse(self.report("in.mp3")["truncated"])

    def test_variable_bit_rate_without_a_count(self):
        write_wav(self.path("source.wav"), [[0.0001 * (i % 100 - 50) / 50 for i in range(96000)] + noise(96000, seed=1)])
        self.process("source.wav", "whole.mp3")
        content = self.path("whole.mp3").read_bytes()
        starts = self.frames_of(content)
        sizes = [b - a for a, b in zip(starts, starts[1:])]
        self.assertGreater(max(sizes), 2 * min(sizes))
        self.path("in.mp3").write_bytes(content[starts[1]:])
        self.assertGreaterEqual(self.report("in.mp3")["frames"], 192000)

    def test_damage_does_not_end_it(self):
        content = self.make_mp3()
        at = self.frames_of(content)[40]
        self.path("in.mp3").write_bytes(content[:at] + b"\x55" * 100 + content[at + 100:])
        report = self.report("in.mp3")
        self.assertEqual((report["damaged"], report["damaged_places"]), (True, 1))
        self.assertGreater(report["frames"], 96000 - 5 * 1152)
        self.assertAlmostEqual(report["first_damage_s"], 0.96, delta=0.1)

    def test_joined(self):
        first, second = self.make_mp3("a.mp3", frames=30000), self.make_mp3("b.mp3", seed=2, frames=50000)
        alone = [Wav(self.process(f"{name}.mp3", "-", "--bits", "32f")).channels[0] for name in "ab"]
        tag = b"ID3\3\0\0\0\0\0\x14" + bytes(20)
        for between in (b"", tag, b"TAG" + bytes(125) + tag):
            self.path("in.mp3").write_bytes(first + between + second)
            self.assertEqual(Wav(self.process("in.mp3", "-", "--bits", "32f")).channels[0], alone[0] + alone[1])
            report = self.report("in.mp3")
            self.assertEqual((report["frames"], report["damaged"], report["truncated"]), (80000, False, False))
