"""Tags, pictures and chunks: kept, or said to be lost."""

import struct

from support import CoilTest, Wav, floats, noise, wav_bytes, write_wav


def chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def info_list(**texts):
    return chunk(b"LIST", b"INFO" + b"".join(chunk(key.encode(), value.encode() + b"\0") for key, value in texts.items()))


def id3_frame(name, data):
    return name + struct.pack(">IH", len(data), 0) + data


def id3_tag(*frames):
    body = b"".join(frames)
    size = len(body)
    return b"ID3\x03\0\0" + bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127]) + body


PICTURE = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 9
ID3 = id3_tag(id3_frame(b"TIT2", b"\0A song"), id3_frame(b"TPE1", b"\0Somebody"), id3_frame(b"TXXX", b"\0MYKEY\0my value"),
              id3_frame(b"APIC", b"\0image/jpeg\0\x03cover\0" + PICTURE))


def all_chunks():
    cues = 3000
    return {
        b"bext": b"A description".ljust(602, b"\0") + b"A=PCM,F=48000,W=16,M=mono\r\n" * 2000,
        b"iXML": b"<BWFXML><SCENE>4</SCENE></BWFXML>" * 3,
        b"cue ": struct.pack("<I", cues) + b"".join(struct.pack("<II4sIII", i, i, b"data", 0, 0, i) for i in range(cues)),
        b"LIST": b"adtl" + chunk(b"labl", struct.pack("<I", 1) + b"Verse\0") + chunk(b"note", struct.pack("<I", 2) + b"odd\0\0"),
        b"smpl": struct.pack("<9I", 0, 0, 20833, 64, 0, 0, 0, 1, 0) + struct.pack("<6I", 0, 0, 5, 50, 0, 0),
        b"inst": bytes([60, 0, 127, 1, 127, 0, 127]),
        b"acid": bytes(range(24)),
        b"cart": b"0101".ljust(2048, b"\0") + b"text",
        b"axml": b"<ebuCoreMain/>",
        b"umid": bytes(64),
        b"id3 ": ID3,
        b"abcd": b"whatever it is",
    }


class Metadata(CoilTest):
    def make(self, chunks=b"", behind=b""):
        content = bytearray(wav_bytes(floats(noise(2000, seed=1)), 3, 32, 1, 48000, chunks) + behind)
        content[4:8] = struct.pack("<I", len(content) - 8)
        self.path("in.wav").write_bytes(content)

    def assert_chunks(self, name, expected):
        content = self.path(name).read_bytes()
        self.assertEqual(struct.unpack("<I", content[4:8])[0], len(content) - 8)
        found = Wav(content).chunks
        for key, value in expected.items():
            self.assertEqual(found.get(key), value, key)

    def test_chunks_go_over_byte_for_byte(self):
        expected = all_chunks()
        parts = [chunk(name, data) for name, data in expected.items()]
        self.make(b"".join(parts[:6]), b"".join(parts[6:]))
        self.process("in.wav", "out.wav")
        self.assert_chunks("out.wav", expected)
        self.assertNotIn("metadata", self.stderr)
        for extension in ("w64", "rf64"):
            self.process("in.wav", f"there.{extension}")
            self.process(f"there.{extension}", "back.wav")
            self.assert_chunks("back.wav", expected)
            self.assertEqual(Wav(self.path("back.wav")).channels, Wav(self.path("out.wav")).channels)
        self.process("-", "piped.wav", input=self.path("in.wav").read_bytes())
        self.assert_chunks("piped.wav", expected)

    def test_chunks_before_the_sound_go_from_pipe_to_pipe(self):
        self.make(chunk(b"iXML", b"<BWFXML/>") + info_list(INAM="Title"), chunk(b"axml", b"<late/>"))
        out = self.process("-", "-", input=self.path("in.wav").read_bytes())
        found = Wav(out)
        self.assertEqual((found.chunks[b"iXML"], found.frames), (b"<BWFXML/>", 2000))
        self.assertEqual(struct.unpack("<I", out[4:8])[0], len(out) - 8)
        self.assertIn("left out: axml", self.stderr)

    def test_all_info_keys_survive_tags(self):
        texts = dict(INAM="A title", IART="Söme body", ICMT="Remark", ICRD="2025-03-04", ITRK="5", IENG="Eng", IKEY="key", ISFT="Rec 1", IXYZ="x")
        self.make(info_list(**texts))
        for extension in ("flac", "ogg", "mp3", "aiff", "caf"):
            with self.subTest(extension):
                self.process("in.wav", f"there.{extension}")
                self.assertNotIn("metadata", self.stderr)
                self.process(f"there.{extension}", "back.wav")
                found = Wav(self.path("back.wav")).chunks[b"LIST"]
                for key, text in texts.items():
                    self.assertIn(key.encode() + struct.pack("<I", len(text.encode()) + 1) + text.encode(), found)

    def test_pictures_and_custom_tags(self):
        self.make(behind=chunk(b"id3 ", ID3))
        for extension in ("flac", "ogg", "opus", "mp3", "aiff", "wav"):
            with self.subTest(extension):
                self.process("in.wav", f"there.{extension}")
                self.process(f"there.{extension}", f"again.{extension}")
                self.assertNotIn("metadata", self.stderr)
                self.process(f"again.{extension}", "back.wav")
                id3 = Wav(self.path("back.wav")).chunks[b"id3 "]
                self.assertIn(PICTURE, id3)
                for text in (b"A song", b"Somebody", b"MYKEY", b"my value"):
                    self.assertIn(text, id3)

    def test_application_and_cue_sheet_of_flac(self):
        write_wav(self.path("in.wav"), [[0] * 1000], kind=16)
        self.process("in.wav", "in.flac")
        content = self.path("in.flac").read_bytes()
        block = b"\x02" + (12).to_bytes(3, "big") + b"testsomething"[:12]
        self.path("in.flac").write_bytes(content[:42] + block + content[42:])
        self.process("in.flac", "out.flac")
        self.assertIn(block, self.path("out.flac").read_bytes())
        self.process("out.flac", "out.wav")
        self.assertIn("left out: APPLICATION", self.stderr)

    def test_what_a_format_cannot_hold_is_said_once(self):
        self.make(b"".join(chunk(name, data) for name, data in all_chunks().items() if name != b"id3 "))
        report = self.json_lines(self.process("in.wav", "out.flac", "--json"))[0]
        self.assertEqual(sorted(report["lost_metadata"]),
                         sorted(["bext", "iXML", "cue ", "LIST", "smpl", "inst", "acid", "cart", "axml", "umid", "abcd"]))
        self.assertEqual(self.stderr.count("metadata that the output cannot hold"), 1)
        self.make(info_list(INAM="A title"), chunk(b"id3 ", ID3))
        report = self.json_lines(self.process("in.wav", "out.au", "--json"))[0]
        self.assertEqual(report["lost_metadata"], ["tags", "pictures"])

    def test_chunks_of_aiff(self):
        write_wav(self.path("in.wav"), [[0] * 1000], kind=16)
        self.process("in.wav", "in.aiff")
        content = self.path("in.aiff").read_bytes()
        extra = b"NAME" + struct.pack(">I", 5) + b"Title\0" + b"APPL" + struct.pack(">I", 8) + b"stocmore" \
            + b"MARK" + struct.pack(">IHHIB", 14, 1, 1, 77, 5) + b"Verse"
        content += extra
        self.path("in.aiff").write_bytes(content[:4] + struct.pack(">I", len(content) - 8) + content[8:])
        self.process("in.aiff", "out.aiff")
        self.assertTrue(self.path("out.aiff").read_bytes().endswith(extra))
        self.process("in.aiff", "out.wav")
        out = Wav(self.path("out.wav"))
        self.assertIn(b"INAM\x06\0\0\0Title\0", out.chunks[b"LIST"])
        self.assertEqual(struct.unpack("<I", out.chunks[b"cue "][24:28])[0], 77)
        self.assertIn("left out: APPL", self.stderr)
