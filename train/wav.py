"""Mono 32-bit float WAV files."""
import pathlib
import struct

import numpy as np


def write(path, samples, rate):
    data = np.asarray(samples, "<f4").tobytes()
    with open(path, "wb") as f:
        f.write(b"RIFF" + struct.pack("<I", 50 + len(data)) + b"WAVE")
        f.write(b"fmt " + struct.pack("<IHHIIHHH", 18, 3, 1, rate, 4 * rate, 4, 32, 0))
        f.write(b"fact" + struct.pack("<II", 4, len(data) // 4))
        f.write(b"data" + struct.pack("<I", len(data)) + data)


def read(path):
    """samples, rate"""
    blob = pathlib.Path(path).read_bytes()
    if blob[:4] != b"RIFF" or blob[8:12] != b"WAVE":
        raise ValueError(f"{path}: not a WAV file")
    at, form = 12, None
    while at + 8 <= len(blob):
        name, size = blob[at : at + 4], struct.unpack_from("<I", blob, at + 4)[0]
        body = at + 8
        if name == b"fmt ":
            tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", blob, body)
            if tag == 0xFFFE:
                tag = struct.unpack_from("<H", blob, body + 24)[0]
            form = tag, channels, bits
        elif name == b"data":
            if form != (3, 1, 32):
                raise ValueError(f"{path}: not mono 32-bit float")
            return np.frombuffer(blob, "<f4", min(size, len(blob) - body) // 4, body).copy(), rate
        at = body + size + size % 2
    raise ValueError(f"{path}: no data chunk")
