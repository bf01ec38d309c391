"""Reads and replaces the card in a model file."""

import json
import os
import pathlib
import struct


def read_card(path):
    return json.loads(_head(pathlib.Path(path).read_bytes())[0]["__metadata__"]["card"])


def read_config(path):
    return json.loads(_head(pathlib.Path(path).read_bytes())[0]["__metadata__"]["config"])


def write_with_card(source, target, card):
    """Writes the model at `source` with another card to `target`, atomically."""
    head, tensors = _head(pathlib.Path(source).read_bytes())
    head["__metadata__"]["card"] = json.dumps(card)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    partial = pathlib.Path(f"{target}.part")
    partial.write_bytes(struct.pack("<Q", len(text)) + text + tensors)
    os.replace(partial, target)


def _head(blob):
    size = struct.unpack_from("<Q", blob)[0]
    return json.loads(blob[8 : 8 + size]), blob[8 + size :]
