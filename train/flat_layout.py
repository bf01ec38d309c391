"""A job's tensors in one flat vector."""

import numpy as np

ALIGNMENT = 64  # in float32 values: GPU libraries need tensors aligned to 256 bytes


def layout(tensors):
    """name, shape, first and last index of each tensor in a job's flat vector, then the vector's length"""
    at, places = 0, []
    for name, shape in tensors:
        size = int(np.prod(shape))
        places.append((name, shape, at, at + size))
        at += -(-size // ALIGNMENT) * ALIGNMENT
    return places, at
