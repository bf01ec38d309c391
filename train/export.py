"""Writes a trained S4D stack as a Coil model file, from a model or from a checkpoint of train.py; puts the figures of
evaluate.py and evaluate_rates.py into its card. The weights of a file that is there already stay as they are, bit for
bit; what its card says of the device is written anew."""
import argparse
import json
import pathlib
import struct

import numpy as np

from circuit import INPUT_PEAK_VOLTS, OUTPUT_PEAK_VOLTS, SAMPLE_RATE
from dry import TEST_TAKES, TRAIN_TAKES, VALIDATION_TAKES


# After so much silence the output is within -120 dBFS of where it ends up, wherever the knobs are: -81 dBFS after 1 s,
# -104 after 2 s, -122 after 3 s.
SETTLE_SECONDS = 3


def config(shape):
    return {
        "model_type": "coil",
        "sample_rate": SAMPLE_RATE,
        "d_input": 1,
        "d_model": shape["d_model"],
        "d_output": 1,
        "direct": True,
        "norm_f": False,
        "layers": [
            {
                "repeat": shape["layers"],
                "residual": True,
                "parts": [
                    {
                        "type": "s4d",
                        "name": "mixer",
                        "d_state": 2 * shape["pairs"],
                        "mode": "complex",
                        "discretization": "zoh",
                    },
                    {"type": "linear", "name": "in_proj", "d_out": shape["d_model"], "bias": True},
                    {"type": "film"},
                    {"type": "tanh"},
                    {"type": "linear", "name": "out_proj", "d_out": shape["d_model"], "bias": False},
                ],
            }
        ],
        "controls": {"count": 2, "hidden": shape["hidden"]},
    }


def card(metrics, training):
    return {
        "name": "Green Overdrive",
        "task": "overdrive",
        "description": (
            "A two-op-amp guitar overdrive of the TS808 circuit, learned from a simulation of it, with its "
            "drive, tone and level knobs."
        ),
        "sample_rate": SAMPLE_RATE,
        "channels": 1,
        "latency_frames": 0,
        "settle_frames": SETTLE_SECONDS * SAMPLE_RATE,
        "controls": [
            {"name": "drive", "min": 0, "max": 10, "default": 5, "unit": "", "to": "network"},
            {"name": "tone", "min": 0, "max": 10, "default": 5, "unit": "", "to": "network"},
            {"name": "level", "min": -40, "max": 12, "default": 0, "unit": "dB", "to": "output_gain_db"},
        ],
        "input_peak_volts": INPUT_PEAK_VOLTS,
        "output_peak_volts": OUTPUT_PEAK_VOLTS,
        "training": dict(
            training,
            data=(
                "synthetic guitar-like signals and dry takes (MIT, Copyright (c) 2023 Steven Atkinson, "
                "github.com/tone-3000/neural-amp-modeler-wasm, "
                f"commit fea1e13bbf4d0ec535cd9ba184562e37215c51e5); takes trained on: {', '.join(TRAIN_TAKES)}; "
                f"validation: {', '.join(VALIDATION_TAKES)}; "
                f"held out for the metrics: {', '.join(TEST_TAKES)}"
            ),
        ),
        "metrics": metrics,
        "licence": "CC0-1.0",
    }


def renewed(old):
    """a card of this module's with what was measured for `old`"""
    return dict(old, **card(old["metrics"], {key: value for key, value in old["training"].items() if key != "data"}))


def scaled(state, x_scale, y_scale):
    """Weights that take and give digital full scale, from weights trained on x / x_scale and y / y_scale."""
    state = {k: np.asarray(v, np.float32).copy() for k, v in state.items()}
    state["backbone.in_proj.weight"] /= x_scale
    state["backbone.direct.weight"] *= y_scale / x_scale
    state["backbone.out_proj.weight"] *= y_scale
    state["backbone.out_proj.bias"] *= y_scale
    return state


def write_safetensors(path, tensors, metadata):
    header, offset = {"__metadata__": metadata}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + 4 * tensor.size]}
        offset += 4 * tensor.size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            f.write(np.ascontiguousarray(tensor, "<f4").tobytes())


def read_safetensors(path):
    """tensors, metadata; F32 alone"""
    blob = pathlib.Path(path).read_bytes()
    start = 8 + struct.unpack_from("<Q", blob)[0]
    header = json.loads(blob[8:start])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] != "F32":
            raise ValueError(f"{name}: {entry['dtype']}, expected F32")
        begin, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(blob[start + begin : start + end], "<f4").reshape(entry["shape"])
    return tensors, metadata


def export(path, state, shape, x_scale, y_scale, metrics, training):
    write_safetensors(
        path,
        scaled(state, x_scale, y_scale),
        {"config": json.dumps(config(shape)), "card": json.dumps(card(metrics, training))},
    )


def engine_metrics(evaluation):
    """a card's metrics from what evaluate.py wrote about a preset"""
    r = evaluation["preset"]
    scores = {
        "measured": "by the engine on the held-out pairs (train/evaluate.py); settled: after 1 s of silence",
        "test_excerpts": r["all"]["excerpts"],
    }
    for part, suffix in (("all", ""), ("synthetic", "_synthetic"), ("recorded", "_recorded")):
        if part in r:
            scores[f"esr{suffix}"], scores[f"esr{suffix}_settled"] = r[part]["esr"], r[f"{part}_settled"]["esr"]
    scores["esr_pre_emphasised"] = r["all"]["esr_pre"]
    scores["esr_worst_knob_cell"] = max(c["esr"] for c in r["knobs"])
    scores["aliasing_5khz_db"], scores["circuit_aliasing_5khz_db"] = (
        r["aliasing"]["db"],
        evaluation["circuit_aliasing_db"],
    )
    scores["silence_first_second_peak_dbfs"], scores["silence_later_peak_dbfs"] = (
        r["silence"]["start_peak_dbfs"],
        r["silence"]["settled_dbfs"],
    )
    return scores


def other_rates(measured):
    """what evaluate_rates.py wrote, as a card has it: error in dB against the model at its own rate, by rate and way"""
    table = {
        f"{r['rate_hz']}": {way: round(r[f"{way}_esr_db"], 1) for way in ("steps", "resample")}
        for r in measured["rates"]
    }
    return {
        "measured": "by the engine (train/evaluate_rates.py): ESR in dB against the preset at its own rate",
        "test_excerpts": measured["rates"][0]["excerpts"],
        "esr_db": table,
    }


def better_way(table):
    """the way whose worst error is the smaller"""
    return min(("resample", "steps"), key=lambda way: max(errors[way] for errors in table.values()))


def with_other_rates(metadata, measured):
    """metadata with these figures, and the better way as the default. Only what differs from the format's default
    stands in the config, so that the model's hash stays if the default does."""
    card_now, config_now = json.loads(metadata["card"]), json.loads(metadata["config"])
    card_now["other_rates"] = other_rates(measured)
    config_now.pop("rate_scaling", None)
    if better_way(card_now["other_rates"]["esr_db"]) == "steps":
        config_now["rate_scaling"] = "steps"
    return dict(metadata, card=json.dumps(card_now), config=json.dumps(config_now))


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument(
        "--checkpoint",
        type=pathlib.Path,
        help="of train.py; without it the file at --out is kept but for its card's figures",
    )
    arguments.add_argument("--job", help="default: the S4D job with the lowest validation ESR")
    arguments.add_argument("--evaluation", type=pathlib.Path, help="JSON that evaluate.py wrote")
    arguments.add_argument("--rates", type=pathlib.Path, help="JSON that evaluate_rates.py wrote")
    arguments.add_argument("--out", type=pathlib.Path, required=True)
    options = arguments.parse_args()
    if options.checkpoint:
        from checkpoint import Checkpoint

        checkpoint = Checkpoint.read(options.checkpoint)
        name = options.job or checkpoint.best("s4d_")
        export(options.out, *checkpoint.for_export(name))
        print(f"{options.out}: {name}, {options.out.stat().st_size} bytes")
    else:
        tensors, metadata = read_safetensors(options.out)
        write_safetensors(options.out, tensors, dict(metadata, card=json.dumps(renewed(json.loads(metadata["card"])))))
    if options.evaluation:
        tensors, metadata = read_safetensors(options.out)
        card_now = dict(
            json.loads(metadata["card"]), metrics=engine_metrics(json.loads(options.evaluation.read_text()))
        )
        write_safetensors(options.out, tensors, dict(metadata, card=json.dumps(card_now)))
        print(f"{options.out}: {card_now['metrics']}")
    if options.rates:
        tensors, metadata = read_safetensors(options.out)
        metadata = with_other_rates(metadata, json.loads(options.rates.read_text()))
        write_safetensors(options.out, tensors, metadata)
        print(
            f"{options.out}: {json.loads(metadata['card'])['other_rates']['esr_db']}, rate_scaling "
            f"{json.loads(metadata['config']).get('rate_scaling', 'resample')}"
        )


if __name__ == "__main__":
    main()
