"""Standard input and output, and memory that does not grow with the signal."""

import random
import shutil
import struct
import subprocess
import sys
import unittest

from support import COIL, CoilTest, Wav, floats, noise, sine, wav_bytes, write_filter_model, write_wav


class Streams(CoilTest):
    def stream(self, content, *arguments, model="identity.safetensors", code=0):
        return self.process("-", "-", *arguments, model=model, input=content, code=code)

    def test_24_bits_in_4_bytes_are_as_many_frames_from_a_file_and_through_a_pipe(self):
        values = [(i * 7919) % 16000000 - 8000000 for i in range(2400)]
        data = b"".join((value * 256).to_bytes(4, "little", signed=True) for value in values)
        header = b"RIFF" + (36 + len(data)).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
        for numbers, size in ((1, 2), (1, 2), (48000, 4), (192000, 4), (4, 2), (24, 2)):
            header += numbers.to_bytes(size, "little")
        wide = header + b"data" + len(data).to_bytes(4, "little") + data
        self.path("wide.wav").write_bytes(wide)
        self.process("wide.wav", "file.wav", "--bits", "24")
        self.process("-", "pipe.wav", "--bits", "24", input=wide)
        for name in ("file.wav", "pipe.wav"):
            self.assertEqual(Wav(self.path(name)).channels[0], values, name)

    def test_stream_in_and_out(self):
        write_filter_model(self.path("filter.safetensors"))
        write_wav(self.path("in.wav"), [noise(20000, seed=1), noise(20000, seed=2)], rate=44100)
        self.process("in.wav", "out.wav", model="filter.safetensors")
        out = Wav(self.stream(self.path("in.wav").read_bytes(), model="filter.safetensors"))
        self.assertEqual(out.rate, 44100)
        self.assertEqual(out.channels, Wav(self.path("out.wav")).channels)

    def test_two_programs_in_a_row(self):
        write_wav(self.path("in.wav"), [sine(30000, 440, 48000)], kind="float")
        command = [COIL, "process", "-", "-o", "-", "-m", "identity.safetensors"]
        with open(self.path("in.wav"), "rb") as source:
            first = subprocess.Popen(
                command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=self.folder
            )
            second = subprocess.run(command, stdin=first.stdout, capture_output=True, cwd=self.folder, timeout=60)
            first.stdout.close()
        self.assertEqual((first.wait(), second.returncode), (0, 0))
        self.assertEqual(Wav(second.stdout).channels, Wav(self.path("in.wav")).channels)

    def test_sizes_that_the_header_leaves_open(self):
        samples = noise(1000, seed=3)
        for size in (0xFFFFFFFF, 0, 0x7FFFFFFF, 0x7FFFF000 + 44):
            out = self.stream(wav_bytes(floats(samples), 3, 32, 1, 48000, size=size))
            self.assertEqual(Wav(out).frames, 1000)
            self.assertEqual(out[4:8], b"\xff\xff\xff\xff")

    def test_blocks_of_which_the_header_leaves_open_how_many(self):
        """ADPCM, whose decoder would return silence after the last block."""
        rng, block, frames = random.Random(1), 256, 505
        blocks = b"".join(bytes((0, i, 10, 0)) + rng.randbytes(block - 4) for i in range(20))
        form = struct.pack("<HHIIHHHH", 0x11, 1, 8000, 8000 * block // frames, block, 4, 2, frames)

        def wav(size):
            head = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size)
            return b"RIFF" + struct.pack("<I", min(size + 40, 0xFFFFFFFF)) + head + blocks

        expected = Wav(self.stream(wav(len(blocks)))).channels
        self.assertEqual(len(expected[0]), 20 * frames)
        for size in (0, 0xFFFFFFFF, 0xFFFFFFF0, 0xFFFFFF00, 0xFFFFF000, 0xF0000000, 0x7FFFFFFF, 0x7FFFF000, 1 << 24):
            with self.subTest(size=hex(size)):
                self.assertEqual(Wav(self.stream(wav(size))).channels, expected)
        self.assertEqual(Wav(self.stream(wav(0)[:-100])).frames, 20 * frames)

    @unittest.skipUnless(shutil.which("ffmpeg"), "ffmpeg makes ALAC")
    def test_packet_tables_of_alac(self):
        values = [round(9000 * value) for value in noise(20000, seed=3)]
        write_wav(self.path("in.wav"), [values], rate=48000, kind=16)
        subprocess.run(["ffmpeg", "-v", "error", "-i", "in.wav", "-c:a", "alac", "in.caf"], cwd=self.folder, check=True)
        content, chunks, at = self.path("in.caf").read_bytes(), {}, 8
        while at < len(content):
            size = struct.unpack(">q", content[at + 4 : at + 12])[0]
            chunks[content[at : at + 4]] = content[at + 12 : at + 12 + size]
            at += 12 + size

        def caf(*order, table_size=None, table=chunks[b"pakt"]):
            made = content[:8]
            for name in (b"desc", b"kuki", *order):
                part = table if name == b"pakt" else chunks[name]
                size = table_size if name == b"pakt" and table_size is not None else len(part)
                made += name + struct.pack(">Q", size) + part
            return made

        expected = Wav(self.process("in.wav", "-", "--no-dither")).channels
        for size in (None, 1 << 32, 0xFFFFFFFF, 1 << 40):  # it is the last chunk, so it extends to the end
            self.path("x.caf").write_bytes(caf(b"data", b"pakt", table_size=size))
            self.assertEqual(Wav(self.process("x.caf", "-", "--no-dither")).channels, expected)
        self.assertEqual(Wav(self.stream(caf(b"pakt", b"data"), "--no-dither")).channels, expected)
        for cut in (1, 3):  # fewer packets than the table states
            self.path("x.caf").write_bytes(caf(b"pakt", b"data", table=chunks[b"pakt"][:-cut]))
            out = Wav(self.process("x.caf", "-", "--no-dither")).channels[0]
            self.assertIn("ends before", self.stderr)
            self.assertTrue(0 < len(out) < 20000 and out == expected[0][: len(out)])
        many = struct.pack(">Q", 1 << 40) + chunks[b"pakt"][8:]
        self.assertEqual(Wav(self.stream(caf(b"pakt", b"data", table=many), "--no-dither")).channels, expected)
        for size in (0, 23, 24):
            self.path("x.caf").write_bytes(caf(b"data", b"pakt", table=chunks[b"pakt"][:size]))
            self.process("x.caf", "out.wav", code=1)
            self.assertIn("'pakt'", self.stderr)
        self.stream(caf(b"data", b"pakt"), code=1)  # a pipe has not reached it yet
        self.assertIn("a file can be read", self.stderr)

    def test_known_length_is_written(self):
        for kind, frames in (("float", 100), (24, 101)):
            write_wav(self.path("in.wav"), [[0] * frames], kind=kind)
            out = self.stream(self.path("in.wav").read_bytes())
            self.assertEqual(struct.unpack("<I", out[4:8])[0], len(out) - 8)
            self.assertEqual(Wav(out).frames, frames)

    def test_encodings_of_the_stream(self):
        cases = [
            (struct.pack("<4h", 0, 1, -32768, 32767), 1, 16, 16, [0, 1, -32768, 32767]),
            (b"\0\0\0\x01\0\0\0\0\x80\xff\xff\x7f", 1, 24, 24, [0, 1, -(1 << 23), (1 << 23) - 1]),
            (struct.pack("<2i", -(1 << 31), 1 << 30), 1, 32, 32, [-(1 << 31), 1 << 30]),
            (bytes([0, 128, 255]), 1, 8, 16, [-32768, 0, 32512]),
            (struct.pack("<2d", 0.25, -2), 3, 64, 32, [0.25, -2.0]),
        ]
        for data, tag, bits, bits_out, expected in cases:
            with self.subTest(bits=bits, tag=tag):
                out = Wav(self.stream(wav_bytes(data, tag, bits, 1, 48000), "--no-dither"))
                self.assertEqual(out.bits, bits_out)
                self.assertEqual(out.channels[0], expected)

    def test_file_to_stream_and_stream_to_file(self):
        write_wav(self.path("in.wav"), [[1, 2, 3]], kind=16)
        self.process("-", "out.flac", "--no-dither", input=self.path("in.wav").read_bytes())
        out = Wav(self.process("out.flac", "-", "--no-dither", "--bits", "24"))
        self.assertEqual(out.channels[0], [256, 512, 768])

    def test_truncated_stream_is_processed_and_reported(self):
        whole = wav_bytes(floats([0.5] * 1000), 3, 32, 1, 48000)
        report = self.json_lines(self.process("-", "out.wav", "--json", input=whole[:-400]))[0]
        self.assertEqual((report["frames"], report["truncated"]), (900, True))
        self.assertEqual(Wav(self.path("out.wav")).frames, 900)
        self.assertIn("ends before", self.stderr)

    def test_streams_that_are_none(self):
        good = wav_bytes(floats([0.5] * 10), 3, 32, 1, 48000)
        for content in (
            b"",
            b"RIFF",
            b"OggS" + b"\0" * 100,
            good[:30],
            wav_bytes(b"\0" * 8, 0x1234, 8, 1, 48000),
            wav_bytes(b"", 1, 16, 0, 48000),
            wav_bytes(b"", 1, 16, 1, 0),
        ):
            with self.subTest(content[:20]):
                self.assertEqual(self.stream(content, code=1), b"")
                self.assertIn("standard input", self.stderr)

    def test_samples_behind_the_data_are_not_read_as_sound(self):
        content = wav_bytes(floats([0.5] * 10), 3, 32, 1, 48000) + b"LIST" + struct.pack("<I", 8) + b"INFOxxxx"
        self.assertEqual(Wav(self.stream(content)).frames, 10)

    def test_closed_output_is_an_error(self):
        write_wav(self.path("in.wav"), [noise(200000, seed=4)])
        process = subprocess.Popen(
            [COIL, "process", "in.wav", "-o", "-", "-m", "identity.safetensors"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        process.stdout.read(100)
        process.stdout.close()
        stderr = process.stderr.read().decode()
        process.stderr.close()
        self.assertEqual(process.wait(), 1)
        self.assertIn("standard output", stderr)

    def test_memory_does_not_grow_with_the_signal(self):
        """Compares ten minutes with ten seconds, resampled, from pipe to pipe."""

        def peak_kib(seconds):
            code = (
                "import resource, subprocess, sys; "
                "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); "
                "sys.stderr.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))"
            )
            process = subprocess.Popen(
                [sys.executable, "-c", code, COIL, "process", "-", "-o", "-", "-m", "identity.safetensors"],
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            process.stdin.write(wav_bytes(b"", 1, 16, 1, 44100, size=0xFFFFFFFF))
            second = struct.pack("<44100h", *(round(3000 * x) for x in sine(44100, 440, 44100, amplitude=1)))
            for _ in range(seconds):
                process.stdin.write(second)
            process.stdin.close()
            answer = process.stderr.read()
            process.stderr.close()
            self.assertEqual(process.wait(), 0)
            return int(answer)

        short, long = peak_kib(10), peak_kib(600)
        # The ten minutes are 50 MiB of samples; 2 MiB allow for the allocator.
        self.assertLess(long, short + 2048)
