"""Tags, pictures and chunks: kept, or reported as lost."""

import struct

from support import CoilTest, Wav, floats, noise, wav_bytes, write_wav


def chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def info_list(**texts):
    return chunk(
        b"LIST", b"INFO" + b"".join(chunk(key.encode(), value.encode() + b"\0") for key, value in texts.items())
    )


def id3_frame(name, data):
    return name + struct.pack(">IH", len(data), 0) + data


def id3_tag(*frames):
    body = b"".join(frames)
    size = len(body)
    return b"ID3\x03\0\0" + bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127]) + body


PICTURE = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 9
ID3 = id3_tag(
    id3_frame(b"TIT2", b"\0A song"),
    id3_frame(b"TPE1", b"\0Somebody"),
    id3_frame(b"TXXX", b"\0MYKEY\0my value"),
    id3_frame(b"APIC", b"\0image/jpeg\0\x03cover\0" + PICTURE),
)


def all_chunks():
    cues = 3000
    return {
        b"bext": b"A description".ljust(602, b"\0") + b"A=PCM,F=48000,W=16,M=mono\r\n" * 2000,
        b"iXML": b"<BWFXML><SCENE>4</SCENE></BWFXML>" * 3,
        b"cue ": struct.pack("<I", cues)
        + b"".join(struct.pack("<II4sIII", i, i, b"data", 0, 0, i) for i in range(cues)),
        b"LIST": b"adtl"
        + chunk(b"labl", struct.pack("<I", 1) + b"Verse\0")
        + chunk(b"note", struct.pack("<I", 2) + b"odd\0\0"),
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
        texts = dict(
            INAM="A title",
            IART="Söme body",
            ICMT="Remark",
            ICRD="2025-03-04",
            ITRK="5",
            IENG="Eng",
            IKEY="key",
            ISFT="Rec 1",
            IXYZ="x",
        )
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
        self.assertEqual(
            sorted(report["lost_metadata"]),
            sorted(["bext", "iXML", "cue ", "LIST", "smpl", "inst", "acid", "cart", "axml", "umid", "abcd"]),
        )
        self.assertEqual(self.stderr.count("metadata that the output cannot hold"), 1)
        self.make(info_list(INAM="A title"), chunk(b"id3 ", ID3))
        report = self.json_lines(self.process("in.wav", "out.au", "--json"))[0]
        self.assertEqual(report["lost_metadata"], ["tags", "pictures"])

    def test_chunks_of_aiff(self):
        write_wav(self.path("in.wav"), [[0] * 1000], kind=16)
        self.process("in.wav", "in.aiff")
        content = self.path("in.aiff").read_bytes()
        extra = (
            b"NAME"
            + struct.pack(">I", 5)
            + b"Title\0"
            + b"APPL"
            + struct.pack(">I", 8)
            + b"stocmore"
            + b"MARK"
            + struct.pack(">IHHIB", 14, 1, 1, 77, 5)
            + b"Verse"
        )
        content += extra
        self.path("in.aiff").write_bytes(content[:4] + struct.pack(">I", len(content) - 8) + content[8:])
        self.process("in.aiff", "out.aiff")
        self.assertTrue(self.path("out.aiff").read_bytes().endswith(extra))
        self.process("in.aiff", "out.wav")
        out = Wav(self.path("out.wav"))
        self.assertIn(info_list(INAM="Title"), self.path("out.wav").read_bytes())
        self.assertEqual(out.chunks[b"LIST"], b"adtl" + chunk(b"labl", struct.pack("<I", 1) + b"Verse\0"))
        self.assertEqual(struct.unpack("<I", out.chunks[b"cue "][24:28])[0], 77)
        self.assertIn("left out: APPL", self.stderr)


def at(place):
    """Converts a position at 44.1 kHz to 48 kHz."""
    return (2 * place * 48000 + 44100) // (2 * 44100)


class AtAnotherRate(CoilTest):
    """Everything that counts frames is converted to the output's rate."""

    PLACES = (0, 1, 147, 1000, 1999)

    def make(self, *chunks):
        content = bytearray(
            wav_bytes(floats(noise(2000, seed=1)), 3, 32, 1, 44100, b"".join(chunk(*c) for c in chunks))
        )
        self.path("in.wav").write_bytes(content)

    def out(self, name, *arguments, source="in.wav"):
        self.process(source, name, "--rate", "48000", *arguments)
        return Wav(self.path(name)).chunks if name.endswith("wav") else self.path(name).read_bytes()

    def chunks(self, change):
        """Chunks with positions; `change` converts each of them."""
        places = [change(place) for place in self.PLACES]
        reference = change(44100 * 86400 * 3 + 5)
        return {
            b"cue ": struct.pack("<I", len(places))
            + b"".join(struct.pack("<II4sIII", i, place, b"data", 0, 0, place) for i, place in enumerate(places)),
            b"plst": struct.pack("<IIII", 1, 1, change(500), 3),
            b"LIST": b"adtl"
            + chunk(b"labl", struct.pack("<I", 1) + b"odd\0\0")
            + chunk(b"ltxt", struct.pack("<II4sHHHH", 1, change(700), b"rgn ", 1, 2, 3, 4))
            + chunk(b"ltxt", struct.pack("<II4sHHHH", 2, change(900), b"rgn ", 1, 2, 3, 4) + b"text\0"),
            b"bext": b"A description".ljust(338, b"\0")
            + struct.pack("<Q", reference)
            + b"\1\0".ljust(256, b"\0")
            + b"A=PCM\r\n",
            b"cart": b"0101".ljust(684, b"\0")
            + struct.pack("<4sI", b"MRK ", change(1234)) * 2
            + struct.pack("<4sI", b"EOD ", 0xFFFFFFFF)
            + bytes(5 * 8)
            + b"rest",
        }

    def test_chunks_of_wav(self):
        self.make(*self.chunks(lambda place: place).items())
        expected = self.chunks(at)
        for name in ("out.wav", "out.rf64", "out.w64"):
            self.out(name)
            self.process(name, "back.wav")
            found = Wav(self.path("back.wav")).chunks
            self.assertEqual({key: found.get(key) for key in expected}, expected, name)
        found = Wav(self.process("in.wav", "-", "--rate", "48000")).chunks
        self.assertEqual({key: found.get(key) for key in expected}, expected)
        self.process("in.wav", "same.wav", "--rate", "44100")
        same = Wav(self.path("same.wav")).chunks
        self.assertEqual({key: same.get(key) for key in expected}, self.chunks(lambda place: place))

    def test_loops_keep_their_length(self):
        def sampler(period, *loops):
            return struct.pack("<9I", 0, 0, period, 64, 0, 0, 0, len(loops), 0) + b"".join(
                struct.pack("<6I", 0, 0, *loop, 7, 0) for loop in loops
            )

        self.make((b"smpl", sampler(22676, (147, 293), (1470, 1616))))  # the last frame of a loop is part of it
        self.assertEqual(self.out("out.wav")[b"smpl"], sampler(20834, (160, 319), (1600, 1759)))
        self.process("in.wav", "twice.wav", "--rate", "88200")
        self.assertEqual(Wav(self.path("twice.wav")).chunks[b"smpl"], sampler(11338, (294, 587), (2940, 3233)))

    def test_ixml(self):
        def ixml(rate, stamp, reference, point, length):
            return (
                f"<BWFXML><SPEED><FILE_SAMPLE_RATE>{rate}</FILE_SAMPLE_RATE><TIMESTAMP_SAMPLE_RATE>"
                f"{rate}</TIMESTAMP_SAMPLE_RATE>"
                f"<TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI>{stamp >> 32}</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI>"
                "<TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO>"
                f"{stamp & 0xFFFFFFFF}</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO></SPEED>"
                f"<SYNC_POINT><SYNC_POINT_LOW>{point}</SYNC_POINT_LOW><SYNC_POINT_HIGH>0</SYNC_POINT_HIGH>"
                f"<SYNC_POINT_EVENT_DURATION>{length}</SYNC_POINT_EVENT_DURATION></SYNC_POINT>"
                f"<BEXT><BWF_TIME_REFERENCE_LOW>{reference & 0xFFFFFFFF}</BWF_TIME_REFERENCE_LOW>"
                f"<BWF_TIME_REFERENCE_HIGH>{reference >> 32}</BWF_TIME_REFERENCE_HIGH></BEXT><SCENE>44100</SCENE>"
                "</BWFXML>"
            ).encode()

        stamp = 44100 * 97390  # exceeds 32 bits only at 48 kHz
        self.make((b"iXML", ixml(44100, stamp, stamp, 294, 147)))
        self.assertEqual(self.out("out.wav")[b"iXML"], ixml(48000, 48000 * 97390, 48000 * 97390, 320, 160))
        self.make((b"iXML", b"<BWFXML><SPEED><FILE_SAMPLE_RATE>48048</FILE_SAMPLE_RATE>"))
        self.assertEqual(self.out("out.wav")[b"iXML"], b"<BWFXML><SPEED><FILE_SAMPLE_RATE>48048</FILE_SAMPLE_RATE>")

    def test_between_wav_and_aiff(self):
        cues = b"".join(
            struct.pack("<II4sIII", i + 1, place, b"data", 0, 0, place) for i, place in enumerate(self.PLACES)
        )
        smpl = struct.pack("<9I", 0, 0, 22676, 59, 3 << 30, 0, 0, 2, 0) + struct.pack(
            "<12I", 0, 0, 147, 293, 0, 0, 1, 1, 441, 587, 0, 0
        )
        self.make(
            (b"cue ", struct.pack("<I", 5) + cues),
            (b"smpl", smpl),
            (b"LIST", b"adtl" + chunk(b"labl", struct.pack("<I", 2) + b"Verse\0")),
        )
        aiff = self.out("out.aiff")
        self.assertNotIn("metadata", self.stderr)
        names = [b""] * 5 + [b"begin loop", b"end loop"] * 2
        names[1] = b"Verse"
        places = [at(place) for place in self.PLACES] + [160, 320, 480, 640]
        marks = b"".join(
            struct.pack(">HIB", i + 1, place, len(name)) + name + b"\0" * ((len(name) + 1) % 2)
            for i, (place, name) in enumerate(zip(places, names))
        )
        self.assertIn(b"MARK" + struct.pack(">IH", len(marks) + 2, 9) + marks, aiff)
        self.assertIn(b"INST" + struct.pack(">I6bh6H", 20, 59, 75, 0, 127, 1, 127, 0, 1, 6, 7, 2, 8, 9), aiff)
        self.process("out.aiff", "back.wav", "--rate", "44100")
        self.assertNotIn("metadata", self.stderr)
        back = Wav(self.path("back.wav")).chunks
        self.assertEqual(back[b"cue "], struct.pack("<I", 5) + cues)
        self.assertEqual(back[b"smpl"], smpl[:8] + struct.pack("<I", 22675) + smpl[12:])
        self.assertEqual(back[b"inst"], bytes([59, 75, 0, 0, 127, 1, 127]))
        self.assertEqual(back[b"LIST"], b"adtl" + chunk(b"labl", struct.pack("<I", 2) + b"Verse\0"))

    def test_loops_that_aiff_cannot_hold(self):
        loops = struct.pack("<18I", *[0, 0, 147, 293, 0, 0] * 3)
        for count, body in ((1, struct.pack("<6I", 0, 2, 147, 293, 0, 0)), (3, loops)):
            self.make((b"smpl", struct.pack("<9I", 0, 0, 22676, 59, 0, 0, 0, count, 0) + body))
            self.out("out.aiff")
            self.assertIn("left out: smpl", self.stderr)

    def test_markers_of_aiff(self):
        def markers(change):
            return (
                b"MARK"
                + struct.pack(">IH", 24, 2)
                + struct.pack(">HIB", 1, change(147), 5)
                + b"Verse"
                + struct.pack(">HIB", 2, change(1999), 2)
                + b"a\0\0"
            )

        def with_markers(name, change):
            content = self.path(name).read_bytes()
            extra = markers(change)
            return content[:4] + struct.pack(">I", len(content) + len(extra) - 8) + content[8:] + extra

        write_wav(self.path("in.wav"), [[0] * 2000], kind=16, rate=44100)
        self.process("in.wav", "in.aiff")
        self.path("in.aiff").write_bytes(with_markers("in.aiff", lambda place: place))
        self.assertTrue(self.out("out.aiff", source="in.aiff").endswith(markers(at)))

    def test_markers_of_caf(self):
        def marker(place):
            return struct.pack(">IdI4BII", 0, place, 1, 0, 0, 0, 0, 0, 0)

        def chunks(change):
            markers = struct.pack(">II", 0, 2) + marker(change(147)) + marker(change(1999))
            region = (
                struct.pack(">II", 0, 2)
                + (struct.pack(">III", 1, 0, 2) + marker(change(294)) + marker(change(588))) * 2
            )
            return (
                b"mark" + struct.pack(">Q", len(markers)) + markers + b"regn" + struct.pack(">Q", len(region)) + region
            )

        write_wav(self.path("in.wav"), [[0] * 2000], kind=16, rate=44100)
        self.process("in.wav", "in.caf")
        self.path("in.caf").write_bytes(self.path("in.caf").read_bytes() + chunks(lambda place: place))
        self.assertTrue(self.out("out.caf", source="in.caf").endswith(chunks(at)))

    def test_cue_sheet_of_flac(self):
        def sheet(change, is_cd):
            track = (
                struct.pack(">QB12s", change(588), 1, b"")
                + bytes(14)
                + b"\2"
                + struct.pack(">QB3x", 0, 0)
                + struct.pack(">QB3x", change(294), 1)
            )
            lead_out = struct.pack(">QB12s", change(1999), 170, b"") + bytes(14) + b"\0"
            body = bytes(128) + struct.pack(">QB", change(88200), is_cd) + bytes(258) + b"\2" + track + lead_out
            return b"\5" + len(body).to_bytes(3, "big") + body

        write_wav(self.path("in.wav"), [[0] * 2000], kind=16, rate=44100)
        self.process("in.wav", "in.flac")
        content = self.path("in.flac").read_bytes()
        foreign = b"\2" + (8).to_bytes(3, "big") + b"riffmore"
        self.path("in.flac").write_bytes(content[:42] + foreign + sheet(lambda place: place, 128) + content[42:])
        out = self.out("out.flac", source="in.flac")
        self.assertIn(sheet(at, 0), out)
        self.assertNotIn(foreign, out)
        self.assertIn("left out: APPLICATION", self.stderr)
        self.process("in.flac", "same.flac")
        self.assertIn(foreign, self.path("same.flac").read_bytes())

    def test_tags_that_count_frames(self):
        def id3(start, length):
            return id3_tag(
                id3_frame(b"TXXX", b"\0LOOPSTART\0" + start),
                id3_frame(b"TXXX", b"\0LOOPLENGTH\0" + length),
                id3_frame(b"TXXX", b"\0OTHER\x001000"),
            )

        self.make((b"id3 ", id3(b"147", b"1470")))
        for name in ("out.wav", "out.flac", "out.ogg", "out.opus", "out.mp3", "out.aiff"):
            with self.subTest(name):
                self.out(name)
                self.process(name, "back.wav")
                found = Wav(self.path("back.wav")).chunks[b"id3 "]
                for key, value in (("LOOPSTART", "160"), ("LOOPLENGTH", "1600"), ("OTHER", "1000")):
                    self.assertTrue(
                        any(
                            key.encode(code) + end + value.encode(code) in found
                            for code, end in (("latin-1", b"\0"), ("utf-16-le", b"\0\0\xff\xfe"))
                        ),
                        (key, found),
                    )

    def test_what_is_bound_to_a_rate_is_said_to_be_lost(self):
        self.make((b"strc", bytes(28)))
        self.out("out.wav")
        self.assertIn("left out: strc", self.stderr)
        self.process("in.wav", "same.wav")
        self.assertEqual(Wav(self.path("same.wav")).chunks[b"strc"], bytes(28))

    def test_opus_resamples_tags_too(self):
        self.make((b"id3 ", id3_tag(id3_frame(b"TXXX", b"\0LOOPSTART\x00147"))))
        self.process("in.wav", "out.opus")
        self.assertIn(b"LOOPSTART=160", self.path("out.opus").read_bytes())
