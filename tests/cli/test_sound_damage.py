"""Damaged, truncated and joined sound files: everything readable is processed, and everything missing is reported."""

import random
import shutil
import struct
import subprocess
import unittest

from support import CoilTest, Wav, noise, write_wav


def never_zero(frames, seed):
    """16-bit noise without zeros, so that a zero in an output is a lost sample."""
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
        """Each output sample equals the input, or is silence and counted."""
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
        self.audio = len(self.content) // 20  # after the metadata

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
                    bad = bytes((byte + rng.randint(1, 255)) % 256 for byte in self.content[at : at + count])
                    report = self.check(self.content[:at] + bad + self.content[at + count :])
                    self.assertTrue(report["damaged"])
                    self.assertGreaterEqual(report["lost_frames"], self.BLOCK // 2)
                    self.assertLessEqual(
                        report["lost_frames"], self.BLOCK * (2 + count * self.FRAMES // len(self.content) // 2000)
                    )

    def test_bytes_missing_and_inserted(self):
        middle = len(self.content) // 2
        for removed, inserted in ((500, b""), (30000, b""), (0, bytes(500)), (0, b"\xff\xf8\xc9\x18" * 100)):
            with self.subTest(removed=removed, inserted=inserted[:4]):
                self.assertTrue(
                    self.check(self.content[:middle] + inserted + self.content[middle + removed :])["damaged"]
                )

    def test_two_places(self):
        content = bytearray(self.content)
        for at in (len(content) // 3, 2 * len(content) // 3):
            content[at : at + 20] = bytes(20)
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
        content[8 + 18 : 8 + 34] = bytes(16)  # not known
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


@unittest.skipUnless(shutil.which("ffmpeg"), "ffmpeg makes FLAC in Ogg")
class FlacInOgg(SoundDamage):
    FRAMES = 200000

    def make_ogg(self, name, seed=1):
        write_wav(self.path("source.wav"), [never_zero(self.FRAMES, seed)], rate=48000, kind=16)
        command = ["ffmpeg", "-v", "error", "-y", "-i", "source.wav", "-c:a", "flac", "-metadata", "title=Take", name]
        subprocess.run(command, cwd=self.folder, check=True)
        return self.path(name).read_bytes()

    def check(self, content, damaged, truncated=False):
        """Each output sample equals the input at its time, or is silence and counted."""
        self.path("in.oga").write_bytes(content)
        report = self.report("in.oga")
        out = Wav(self.path("out.wav")).channels[0]
        whole = never_zero(self.FRAMES, seed=1)
        self.assertEqual([i for i, sample in enumerate(out) if sample not in (0, whole[i])], [])
        self.assertEqual(report.get("lost_frames", 0), sum(sample == 0 for sample in out))
        self.assertEqual((report["damaged"], report["truncated"]), (damaged, truncated))
        if not truncated:
            self.assertEqual(len(out), self.FRAMES)
        return report

    def test_damage_and_cuts(self):
        content = self.make_ogg("whole.oga")
        self.check(content, damaged=False)
        self.assertNotIn("warning", self.stderr)
        self.assertIn(b"Take", self.process("whole.oga", "-", "--no-dither"))
        pages = [i for i in range(len(content)) if content.startswith(b"OggS", i)]
        at, end = pages[len(pages) // 2 : len(pages) // 2 + 2]
        for bad in (
            content[: at + 100] + b"\x55" * 20 + content[at + 120 :],
            content[:at] + content[end:],
            content[:at] + b"OgxS" + content[at + 4 :],
        ):
            self.assertGreater(self.check(bad, damaged=True)["lost_frames"], 1000)
            self.assertIn("damaged in 1 place", self.stderr)
        for length in (at, len(content) // 2 + 77):
            self.check(content[:length], damaged=False, truncated=True)

    def test_chained(self):
        first, second = self.make_ogg("a.oga"), self.make_ogg("b.oga", seed=2)
        self.path("in.oga").write_bytes(first + second)
        report = self.report("in.oga")
        self.assertEqual((report["frames"], report["damaged"], report["truncated"]), (2 * self.FRAMES, False, False))
        expected = never_zero(self.FRAMES, seed=1) + never_zero(self.FRAMES, seed=2)
        self.assertEqual(Wav(self.path("out.wav")).channels[0], expected)


class InTime(SoundDamage):
    """After damage, sound continues at the right time; a decoder may need `settling` frames until its output is
    normal.

    """

    def floats_of(self, name):
        return Wav(self.process(name, "-", "--bits", "32f")).channels[0]

    def check_in_time(self, whole, damaged, places, settling):
        extension = whole.rsplit(".")[-1]
        self.path(f"damaged.{extension}").write_bytes(damaged)
        report = self.report(f"damaged.{extension}")
        self.assertEqual((report["damaged"], report["damaged_places"], report["truncated"]), (True, places, False))
        expected, found = self.floats_of(whole), self.floats_of(f"damaged.{extension}")
        self.assertEqual((len(found), report["frames"]), (len(expected), len(expected)))
        silent = [i for i, sample in enumerate(found) if sample == 0]
        self.assertGreaterEqual(len(silent), report["lost_frames"])
        self.assertGreater(report["lost_frames"], 1000)
        self.assertEqual(silent[0], round(report["first_damage_s"] * 48000))
        near = set()
        for i in silent:
            if i + 1 < len(found) and found[i + 1] != 0:
                near.update(range(i + 1, i + 1 + settling))
        wrong = [i for i, (a, b) in enumerate(zip(expected, found)) if abs(a - b) > 1e-3 and b != 0 and i not in near]
        self.assertEqual(wrong, [])
        return report


class Ogg(InTime):
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
        for extension, settling in (("ogg", 2048), ("opus", 20000)):
            content = self.make_noise(f"whole.{extension}")
            starts = self.pages(content)
            page = len(starts) // 2
            at, end = starts[page], starts[page + 1]
            for bad in (
                content[: at + 60] + b"\x55" * 20 + content[at + 80 :],
                content[:at] + content[end:],
                content[:at] + b"OgxS" + content[at + 4 :],
                content[: starts[page - 1]] + content[at:],
                content[: at - 300] + content[at + 300 :],
            ):
                with self.subTest(extension, size=len(bad)):
                    self.check_in_time(f"whole.{extension}", bad, 1, settling)
                    self.assertIn("damaged in 1 place", self.stderr)

    def test_damage_in_two_places_and_up_to_the_end(self):
        content = self.make_noise("whole.ogg", frames=400000)
        starts = self.pages(content)
        bad = bytearray(content)
        for page in (len(starts) // 3, 2 * len(starts) // 3):
            bad[starts[page] + 60 : starts[page] + 80] = b"\x55" * 20
        report = self.check_in_time("whole.ogg", bytes(bad), 2, 2048)
        for page in range(3, len(starts) - 1):  # only the last page follows
            bad[starts[page] + 60 : starts[page] + 80] = b"\x55" * 20
        self.assertGreater(
            self.check_in_time("whole.ogg", bytes(bad), 1, 2048)["lost_frames"], 3 * report["lost_frames"] // 2
        )

    def test_a_recording_that_does_not_begin_at_0(self):
        content = self.make_noise("whole.ogg", frames=420000)
        starts = self.pages(content)
        middle = content[: starts[2]] + content[starts[12] :]  # as from a broadcast: the headers, then later pages
        self.path("in.ogg").write_bytes(middle)
        whole = self.report("in.ogg")
        self.assertFalse(whole["damaged"] or whole["truncated"])
        self.assertLess(whole["frames"], 420000 - 10 * 20000)
        at = starts[14] - starts[12] + starts[2]
        self.path("bad.ogg").write_bytes(middle[: at + 60] + b"\x55" * 20 + middle[at + 80 :])
        bad = self.report("bad.ogg")
        self.assertEqual(bad["frames"], whole["frames"])
        self.assertTrue(10000 < bad["lost_frames"] < 40000, bad)

    def test_damage_in_one_of_two_joined(self):
        first, second = self.make_noise("a.ogg"), self.make_noise("b.ogg", seed=2)
        at = self.pages(first)[5]
        bad = first[: at + 60] + b"\x55" * 20 + first[at + 80 :]
        self.path("whole.ogg").write_bytes(first + second)
        self.check_in_time("whole.ogg", bad + second, 1, 2048)
        report = self.check_in_time("whole.ogg", first + second[: at + 60] + b"\x55" * 20 + second[at + 80 :], 1, 2048)
        self.assertGreater(report["first_damage_s"], self.FRAMES / 48000)

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
            first, second = self.make_noise(f"a.{extension}", frames=30000), self.make_noise(
                f"b.{extension}", seed=2, frames=50000
            )
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


class Mp3(InTime):
    def frames_of(self, content):
        """Offsets of the frames of 48 kHz MPEG-1 layer III."""
        kbits = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
        at, starts = content.find(b"\xff\xfb"), []
        while at + 4 <= len(content) and content[at : at + 2] == b"\xff\xfb":
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
        without_count = content[starts[1] :]
        for cut in (content[: len(content) // 2], content[: starts[40]], without_count[: len(without_count) // 2 + 7]):
            self.path("in.mp3").write_bytes(cut)
            report = self.report("in.mp3")
            self.assertEqual((report["damaged"], report["truncated"]), (False, True))
            self.assertIn("ends before", self.stderr)
        self.path("in.mp3").write_bytes(without_count)
        self.assertFalse(self.report("in.mp3")["truncated"])
        self.path("in.mp3").write_bytes(content + b"TAG" + bytes(125))
        self.assertFalse(self.report("in.mp3")["truncated"])

    def test_variable_bit_rate_without_a_count(self):
        write_wav(
            self.path("source.wav"), [[0.0001 * (i % 100 - 50) / 50 for i in range(96000)] + noise(96000, seed=1)]
        )
        self.process("source.wav", "whole.mp3")
        content = self.path("whole.mp3").read_bytes()
        starts = self.frames_of(content)
        sizes = [b - a for a, b in zip(starts, starts[1:])]
        self.assertGreater(max(sizes), 2 * min(sizes))
        self.path("in.mp3").write_bytes(content[starts[1] :])
        self.assertGreaterEqual(self.report("in.mp3")["frames"], 192000)

    def test_what_follows_damage_stays_in_time(self):
        rng = random.Random(1)
        for arguments in ((), ("--quality", "128k")):
            write_wav(self.path("source.wav"), [noise(96000, seed=1)])
            self.process("source.wav", "whole.mp3", *arguments)
            content = self.path("whole.mp3").read_bytes()
            middle = len(content) // 2
            for length in (400, 3000):
                for bad in (bytes(rng.randrange(255) for _ in range(length)), b"\x55" * length, b""):
                    with self.subTest(arguments, length=length, bad=bad[:4]):
                        if arguments:  # constant bit rate: positions follow from bytes alone
                            bad += b"\0" * (length - len(bad))
                        self.check_in_time("whole.mp3", content[:middle] + bad + content[middle + length :], 1, 4000)

    def test_damage_in_two_places(self):
        content = bytearray(self.make_mp3())
        for at in (len(content) // 3, 2 * len(content) // 3):
            content[at : at + 1000] = b"\x55" * 1000
        self.path("in.mp3").write_bytes(content)
        report = self.report("in.mp3")
        self.assertEqual((report["damaged"], report["damaged_places"], report["frames"]), (True, 2, 96000))

    def test_damage_within_frames(self):
        """All headers are intact: the damage shows in the encoder's checksum, or in data that overlap another frame."""
        content, rng = self.make_mp3(), random.Random(1)
        starts = self.frames_of(content)
        for beginning, length in ((80, 60), (150, 1), (4, 20), (6, 30)):
            with self.subTest(beginning=beginning, length=length):
                at = starts[40] + beginning
                bad = bytes(byte ^ rng.randrange(1, 256) for byte in content[at : at + length])
                self.path("in.mp3").write_bytes(content[:at] + bad + content[at + length :])
                report = self.report("in.mp3")
                self.assertEqual((report["damaged"], report["truncated"], report["frames"]), (True, False, 96000))
                self.assertIn("damaged", self.stderr)
        at = starts[40] + 80  # a program that changes levels records it in a tag
        tag = b"APETAGEX" + struct.pack("<IIII8x", 2000, 55, 1, 0) + b"\x0b\0\0\0\0\0\0\0MP3GAIN_UNDO\0+001,+001,N"
        self.path("in.mp3").write_bytes(content[:at] + bytes(9) + content[at + 9 :] + tag)
        self.assertFalse(self.report("in.mp3")["damaged"])

    def test_whole_frames_missing(self):
        content = self.make_mp3()
        starts = self.frames_of(content)
        in_time = 0
        for place in range(20, 60, 4):
            for count in (1, 2, 5):
                with self.subTest(place=place, count=count):
                    self.path("in.mp3").write_bytes(content[: starts[place]] + content[starts[place + count] :])
                    report = self.report("in.mp3")
                    self.assertTrue(report["damaged"] or report["truncated"])
                    if not report["damaged"]:
                        continue
                    self.assertEqual((report["damaged_places"], report["truncated"]), (1, False))
                    self.assertEqual(report["frames"], 96000)
                    self.assertAlmostEqual(report["first_damage_s"], place * 1152 / 48000, delta=0.08)
                    in_time += 1
        self.assertGreater(in_time, 8)  # the neighbouring frames determine the position

    def test_damage_and_no_count(self):
        self.make_mp3()
        self.process("source.wav", "whole.mp3", "--quality", "128k")
        content = self.path("whole.mp3").read_bytes()
        starts = [
            at
            for at in range(len(content) - 384)
            if content[at : at + 2] == b"\xff\xfb" and content[at + 384 : at + 386] == b"\xff\xfb"
        ]
        content = content[starts[1] :]
        self.path("whole.mp3").write_bytes(content)
        middle = len(content) // 2
        self.check_in_time("whole.mp3", content[:middle] + b"\x55" * 2000 + content[middle + 2000 :], 1, 4000)

    def test_joined(self):
        first, second = self.make_mp3("a.mp3", frames=30000), self.make_mp3("b.mp3", seed=2, frames=50000)
        alone = [Wav(self.process(f"{name}.mp3", "-", "--bits", "32f")).channels[0] for name in "ab"]
        tag = b"ID3\3\0\0\0\0\0\x14" + bytes(20)
        for between in (b"", tag, b"TAG" + bytes(125) + tag):
            self.path("in.mp3").write_bytes(first + between + second)
            self.assertEqual(Wav(self.process("in.mp3", "-", "--bits", "32f")).channels[0], alone[0] + alone[1])
            report = self.report("in.mp3")
            self.assertEqual((report["frames"], report["damaged"], report["truncated"]), (80000, False, False))


class AroundTheSound(SoundDamage):
    """Data before or after the sound of a file without chunks."""

    def test_padding_and_tags(self):
        tag = b"ID3\3\0\0\0\0\0\x14" + bytes(20)
        tag_with_footer = b"ID3\4\0\x10\0\0\0\x14" + bytes(20) + b"3DI\4\0\x10\0\0\0\x14"
        for extension in ("mp3", "ogg", "opus", "flac"):
            write_wav(self.path("source.wav"), [noise(9000, seed=1)])
            self.process("source.wav", f"whole.{extension}")
            content = self.path(f"whole.{extension}").read_bytes()
            whole = Wav(self.process(f"whole.{extension}", "-", "--bits", "32f")).channels
            for name, content in (
                ("zeros", content + bytes(5000)),
                ("rest", content + bytes(range(1, 250)) * 9),
                ("tag", tag + content),
                ("tag with a footer", tag_with_footer + content),
            ):
                with self.subTest(extension, around=name):
                    self.path(f"in.{extension}").write_bytes(content)
                    report = self.report(f"in.{extension}")
                    self.assertEqual((report["frames"], report["damaged"], report["truncated"]), (9000, False, False))
                    self.assertEqual(Wav(self.process(f"in.{extension}", "-", "--bits", "32f")).channels, whole)

    def test_mp3_behind_something_else(self):
        write_wav(self.path("source.wav"), [noise(9000, seed=1)])
        self.process("source.wav", "whole.mp3")
        whole = Wav(self.process("whole.mp3", "-", "--bits", "32f")).channels
        self.path("in.mp3").write_bytes(bytes(range(250)) + self.path("whole.mp3").read_bytes())
        self.assertEqual(Wav(self.process("in.mp3", "-", "--bits", "32f")).channels, whole)

    def test_nothing_of_mp3_inside(self):
        for content in (bytes(5000), bytes(range(256)) * 20, b"text " * 1000):
            self.path("in.mp3").write_bytes(content)
            self.process("in.mp3", "out.wav", code=1)
            self.assertEqual(len(self.stderr.splitlines()), 1, self.stderr)
            self.assertIn("no MPEG audio was found", self.stderr)

    def test_joined_in_one_channel_and_in_two(self):
        for extension in ("mp3", "ogg", "flac"):
            content = b""
            for channels in (1, 2):
                write_wav(self.path("source.wav"), [noise(9000, seed=1)] * channels)
                self.process("source.wav", f"part.{extension}")
                content += self.path(f"part.{extension}").read_bytes()
            self.path(f"in.{extension}").write_bytes(content)
            report = self.report(f"in.{extension}")
            self.assertEqual(report["frames"], 9000)
            self.assertIn("of 2 channels", report["left_out"])
