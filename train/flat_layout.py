"""A job's tensors in one flat vector."""

import numpy as np

ALIGNMENT = 64  # float32: GPU libraries want the start of a tensor on 256 bytes


def layout(tensors):
    """name, shape, first and last index in a job's flat vectors of each of its tensors, then the vectors' length"""
    at, places = 0, []
    for name, shape in tensors:
        size = int(np.prod(shape))
        places.append((name, shape, at, at + size))
        at += -(-size // ALIGNMENT) * ALIGNMENT
    return places, at
