"""What a run of train.py leaves for the next one and for export.py: one file with every job's weights, optimiser
state and record.
"""
import json
import os

import numpy as np

STATE = ("weights", "moment1", "moment2", "average")
ALIGNMENT = 64  # float32: GPU libraries want the start of a tensor on 256 bytes


def layout(tensors):
    """name, shape, first and last index in a job's flat vectors of each of its tensors, then the vectors' length"""
    at, places = 0, []
    for name, shape in tensors:
        size = int(np.prod(shape))
        places.append((name, shape, at, at + size))
        at += -(-size // ALIGNMENT) * ALIGNMENT
    return places, at


class Checkpoint:
    """jobs: name -> {"record": JSON object, "weights", "moment1", "moment2", "average": flat float32 arrays}"""

    def __init__(self, scales, jobs):
        self.scales, self.jobs = scales, jobs

    def write(self, path):
        arrays = {f"{name}/{part}": job[part] for name, job in self.jobs.items() for part in STATE}
        meta = {"scales": self.scales, "jobs": {name: job["record"] for name, job in self.jobs.items()}}
        # under another name first: a run may be killed while it writes
        partial = f"{path}.partial"
        with open(partial, "wb") as f:
            np.savez(f, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)
        os.replace(partial, path)

    @classmethod
    def read(cls, path):
        with np.load(path) as file:
            meta = json.loads(file["meta"].tobytes())
            jobs = {
                name: {"record": record, **{part: file[f"{name}/{part}"] for part in STATE}}
                for name, record in meta["jobs"].items()
            }
        return cls(meta["scales"], jobs)

    def best(self, prefix):
        """name of the job with the lowest validation ESR among those whose model begins with the prefix"""
        names = [n for n, j in self.jobs.items() if j["record"]["model"].startswith(prefix) and j["record"]["history"]]
        # nan_to_num: a job that diverged must not win
        return min(
            names, key=lambda n: np.nan_to_num(self.jobs[n]["record"]["history"][-1]["validation_esr"], nan=np.inf)
        )

    def best_of_each_model(self):
        return [self.best(model) for model in dict.fromkeys(j["record"]["model"] for j in self.jobs.values())]

    def for_export(self, name):
        """state, shape, x_scale, y_scale, metrics, training of a job, as export() takes them; the averaged weights"""
        job = self.jobs[name]
        record = job["record"]
        state = {
            key: job["average"][start:end].reshape(shape) for key, shape, start, end in layout(record["tensors"])[0]
        }
        scores = {k: v for k, v in record["metrics"].items() if k != "each"}
        training = {k: record[k] for k in ("steps", "seed", "lr", "seconds")}
        training["command"] = "python3 train/train.py, as in train/README.md"
        return state, record["shape"], self.scales["x"], self.scales["y"], scores, training
