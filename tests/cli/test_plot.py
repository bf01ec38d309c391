"""`coil plot`: that a picture comes out, of the right size, and that it shows the sound."""

import struct
import zlib

from support import CoilTest, sine, write_wav


def read_png(path):
    """Width, height, and rows of RGBA bytes. 8-bit RGBA without interlacing, which is what cairo writes."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    at, data = 8, b""
    while at < len(content):
        size, name = struct.unpack(">I4s", content[at:at + 8])
        if name == b"IHDR":
            width, height, depth, kind = struct.unpack(">IIBB", content[at + 8:at + 18])
            assert (depth, kind) == (8, 6)
        if name == b"IDAT":
            data += content[at + 8:at + 8 + size]
        at += 12 + size
    raw, stride, rows = zlib.decompress(data), 4 * width, []
    above = bytearray(stride)
    for y in range(height):
        line = bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
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
    def test_picture_shows_the_tone_where_it_is(self):
        # Left silence, right a tone: the right spectrogram has one bright line, the left none.
        write_wav(self.path("silence.wav"), [[0.0] * 48000])
        write_wav(self.path("tone.wav"), [sine(48000, 1000, 48000)])
        self.coil("plot", "silence.wav", "tone.wav", "-o", "out.png", "--title", "A tone")
        width, height, rows = read_png(self.path("out.png"))
        self.assertGreater(width, 2000)
        self.assertGreater(height, 1000)

        def brightest(x):
            light = [sum(row[4 * x:4 * x + 3]) for row in rows[height // 2:height - 150]]
            return max(light), height // 2 + light.index(max(light))

        dark, _ = brightest(width // 4)
        bright, y = brightest(3 * width // 4)
        self.assertGreater(bright, dark + 300)
        for x in (5 * width // 8, 7 * width // 8):
            self.assertLess(abs(brightest(x)[1] - y), 4)

    def test_any_length_rate_and_channel_count(self):
        for frames, rate, channels in ((1, 48000, 1), (100, 8000, 2), (30000, 192000, 3)):
            write_wav(self.path("in.wav"), [sine(frames, 440, rate)] * channels, rate=rate)
            self.coil("plot", "in.wav", "in.wav", "-o", "out.png")
            self.assertEqual(self.path("out.png").read_bytes()[:4], b"\x89PNG")
            self.path("out.png").unlink()

    def test_errors(self):
        write_wav(self.path("in.wav"), [[0.5] * 100])
        write_wav(self.path("empty.wav"), [[]])
        for arguments, code in ((["in.wav", "missing.wav", "-o", "out.png"], 1), (["in.wav", "empty.wav", "-o", "out.png"], 1),
                                (["in.wav", "-", "-o", "out.png"], 2), (["in.wav", "in.wav", "-o", "missing/out.png"], 1),
                                (["in.wav", "in.wav"], 2)):
            self.coil("plot", *arguments, code=code)
            self.assertEqual(self.names(), ["empty.wav", "in.wav"])
