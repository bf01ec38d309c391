"""Writes trained forecasters as Coil model files with cards, and the figures of evaluate.py into the cards."""
import argparse
import json
import pathlib

from safetensors_file import read_safetensors, write_safetensors

from . import checkpoint
from .model import CONV, EPS, EXPAND, OUTPUTS
from .normaliser import HORIZONS, INPUTS, QUANTILES, WINDOW

TITLES = {"watch": "Watch", "watch_small": "Watch small"}


def config(shape):
    """the network's config in the model file"""
    norm = {"type": "rmsnorm", "name": "norm", "eps": EPS}
    parts = {
        "s": [
            norm,
            {"type": "s4d", "name": "mixer", "d_state": 2 * shape["modes"], "mode": "complex", "discretization": "zoh"},
            {"type": "linear", "name": "out_proj", "d_out": 2 * shape["d_model"], "bias": True},
            {"type": "glu"},
        ],
        "m": [
            norm,
            {
                "type": "mamba2",
                "name": "mixer",
                "d_state": shape["d_state"],
                "d_conv": CONV,
                "expand": EXPAND,
                "headdim": shape["headdim"],
                "ngroups": 1,
                "norm_eps": EPS,
            },
        ],
    }
    return {
        "model_type": "coil",
        "d_input": INPUTS,
        "d_model": shape["d_model"],
        "d_output": OUTPUTS,
        "norm_f": True,
        "layers": [{"residual": True, "parts": parts[kind]} for kind in shape["layers"]],
    }


def card(name, training, metrics):
    return {
        "name": TITLES.get(name, name),
        "task": "forecast",
        "description": (
            "Forecasts any series of numbers, one record a step: nine quantiles of the next 64 values. Trained "
            "on synthetic series alone."
        ),
        "channels": 1,
        "latency_frames": 0,
        "forecast": {"horizons": HORIZONS, "quantiles": list(QUANTILES), "window": WINDOW, "version": 1},
        "training": training,
        "metrics": metrics,
        "licence": "CC0-1.0",
    }


def export(path, name, shape, parameters, training, metrics):
    write_safetensors(
        path, parameters, {"config": json.dumps(config(shape)), "card": json.dumps(card(name, training, metrics))}
    )


def main(argv=None):
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument(
        "--checkpoint",
        type=pathlib.Path,
        help="folder of train.py; without it the file at --out is kept but for its card's figures",
    )
    a.add_argument("--job", default="watch")
    a.add_argument("--evaluation", type=pathlib.Path, help="JSON that evaluate.py wrote")
    a.add_argument("--out", type=pathlib.Path, required=True)
    o = a.parse_args(argv)
    if o.checkpoint:
        parameters, record = checkpoint.read_result(o.checkpoint, o.job)
        training = {
            "data": "synthetic series from seeds (train/forecast/series.py); no recorded series",
            "command": "train/forecast/README.md",
            **{k: record[k] for k in ("parameters", "steps", "records", "seconds", "seed", "lr")},
        }
        validation = {"validation_loss": record["history"][-1]["validation_loss"]}
        export(o.out, o.job, record["shape"], parameters, training, validation)
        print(
            f"{o.out}: {record['parameters']} parameters, {o.out.stat().st_size} bytes, validation "
            f"{validation['validation_loss']:.5f}"
        )
    if o.evaluation:
        tensors, metadata = read_safetensors(o.out)
        now = json.loads(metadata["card"])
        table = json.loads(o.evaluation.read_text())["table"]
        now["metrics"] = dict(
            now["metrics"],
            zero_shot={
                "measured": "by the engine (train/forecast/evaluate.py): MASE and weighted quantile loss",
                **{name: table[name] for name in (o.out.stem, "seasonal naive", "linear AR")},
            },
        )
        write_safetensors(o.out, tensors, dict(metadata, card=json.dumps(now)))


if __name__ == "__main__":
    main()
