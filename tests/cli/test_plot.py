"""`coil plot`: makes a picture of the right size that shows the sound."""

import math
import struct
import zlib

from support import CoilTest, sine, write_wav


def read_png(path):
    """Width, height, and rows of RGBA bytes. 8-bit RGBA without interlacing, which is what cairo writes."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    at, data = 8, b""
    while at < len(content):
        size, name = struct.unpack(">I4s", content[at : at + 8])
        if name == b"IHDR":
            width, height, depth, kind = struct.unpack(">IIBB", content[at + 8 : at + 18])
            assert (depth, kind) == (8, 6)
        if name == b"IDAT":
            data += content[at + 8 : at + 8 + size]
        at += 12 + size
    raw, stride, rows = zlib.decompress(data), 4 * width, []
    above = bytearray(stride)
    for y in range(height):
        line = bytearray(raw[y * (stride + 1) + 1 : (y + 1) * (stride + 1)])
        method = raw[y * (stride + 1)]
        for i in range(stride):
            left = line[i - 4] if i >= 4 else 0
            corner = above[i - 4] if i >= 4 else 0
            if method == 1:
                line[i] = (line[i] + left) & 255
            elif method == 2:
                line[i] = (line[i] + above[i]) & 255
            elif method == 3:
                line[i] = (line[i] + (left + above[i]) // 2) & 255
            elif method == 4:
                guess = left + above[i] - corner
                distances = (abs(guess - left), abs(guess - above[i]), abs(guess - corner))
                nearest = (left, above[i], corner)[distances.index(min(distances))]
                line[i] = (line[i] + nearest) & 255
        rows.append(line)
        above = line
    return width, height, rows


class Plot(CoilTest):
    def test_picture_shows_tones_where_they_are(self):
        write_wav(self.path("low.wav"), [sine(48000, 1000, 48000)])
        write_wav(self.path("high.wav"), [sine(48000, 8000, 48000)])
        self.coil("plot", "low.wav", "high.wav", "-o", "out.png", "--title", "Two tones")
        width, height, rows = read_png(self.path("out.png"))
        self.assertGreater(width, 2000)
        self.assertGreater(height, 1000)

        def column(x):
            return [sum(row[4 * x : 4 * x + 3]) for row in rows[540 : height - 120]]  # within the spectrogram

        positions = []
        for x in (width // 8, width // 4, 5 * width // 8, 3 * width // 4):
            light = column(x)
            positions.append(light.index(max(light)))
            self.assertGreater(max(light), sorted(light)[len(light) // 2] + 300)
        self.assertLess(abs(positions[0] - positions[1]), 4)
        self.assertLess(abs(positions[2] - positions[3]), 4)
        # Three octaves; the axis has 760 rows from 40 Hz to 20 kHz.
        self.assertAlmostEqual(positions[1] - positions[2], 3 * 760 / math.log2(20000 / 40), delta=5)

    def test_any_length_rate_and_channel_count(self):
        for frames, rate, channels in ((1, 48000, 1), (100, 8000, 2), (30000, 192000, 3)):
            write_wav(self.path("in.wav"), [sine(frames, 440, rate)] * channels, rate=rate)
            self.coil("plot", "in.wav", "in.wav", "-o", "out.png")
            self.assertEqual(self.path("out.png").read_bytes()[:4], b"\x89PNG")
            self.path("out.png").unlink()

    def test_errors(self):
        write_wav(self.path("in.wav"), [[0.5] * 100])
        write_wav(self.path("empty.wav"), [[]])
        for arguments, code in (
            (["in.wav", "missing.wav", "-o", "out.png"], 1),
            (["in.wav", "empty.wav", "-o", "out.png"], 1),
            (["in.wav", "-", "-o", "out.png"], 2),
            (["in.wav", "in.wav", "-o", "missing/out.png"], 1),
            (["in.wav", "in.wav"], 2),
        ):
            self.coil("plot", *arguments, code=code)
            self.assertEqual(self.names(), ["empty.wav", "in.wav"])
