"""What a run of train.py leaves for the next one and for export.py: a folder with the run's record and, of every job,
three files.

weights and moments are those before the learning rate fell, from which the next run goes on; average is the result,
after it fell. The moments are stored as bfloat16: half the size, and a rounding of 0.4 % is lost in their noise."""
import json
import os

import numpy as np

from flat_layout import layout

RECORD = "run.json"


def to_bfloat16(values):
    bits = np.ascontiguousarray(values, "<f4").view("<u4")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def from_bfloat16(stored):
    return (stored.astype("<u4") << 16).view("<f4")


def _write(path, **arrays):
    # write under another name first: a run may be killed while it writes
    partial = f"{path}.partial"
    with open(partial, "wb") as f:
        np.savez(f, **arrays)
    os.replace(partial, path)


def write_state(folder, name, weights, moment1, moment2):
    _write(folder / f"{name}-weights.npz", weights=weights)
    _write(folder / f"{name}-moments.npz", moment1=to_bfloat16(moment1), moment2=to_bfloat16(moment2))


def write_average(folder, name, average):
    _write(folder / f"{name}-average.npz", average=average)


def write_record(folder, record):
    (folder / RECORD).write_text(json.dumps(record, indent=1))


def read_record(folder):
    return json.loads((folder / RECORD).read_text())


def read_state(folder, name):
    """weights, moment1, moment2"""
    with np.load(folder / f"{name}-weights.npz") as w, np.load(folder / f"{name}-moments.npz") as m:
        return w["weights"], from_bfloat16(m["moment1"]), from_bfloat16(m["moment2"])


def read_result(folder, name):
    """the trained parameters by name, and the job's record"""
    record = read_record(folder)["jobs"][name]
    with np.load(folder / f"{name}-average.npz") as file:
        average = file["average"]
    return {key: average[start:end].reshape(shape) for key, shape, start, end in layout(record["tensors"])[0]}, record
