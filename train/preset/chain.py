"""Devices of a network, a filter that the knobs set, and another network or none; a device's texts say which."""

import csv
import json
import shutil
import tomllib

from preset import bends, chain_file, netlist_filter, sound


# What `coil capture` calls these networks in front of a filter.
STAGES = {"auto": "stage", "plain": "stage", "slow-path": "slow-stage", "fixed-slow-path": "fixed-slow-stage"}


def settings_of(netlist_path):
    return tomllib.loads(netlist_path.with_suffix(".toml").read_text())["filter"]


def has_back(texts):
    return "to" in texts.get("filter", {})


def front_knobs(texts, names):
    """The knobs that the first network learns."""
    if "filter" not in texts:
        return names
    if has_back(texts):
        return texts["filter"].get("before", [])
    return [name for name in names if name not in texts["filter"]["knobs"]]


def bent(options, netlist_path):
    """The knobs of the first network, with what their bends add. A slow path would hear them as they are."""
    names = list(netlist_filter.Network(netlist_path).knobs)
    texts = options.texts if options.network == "plain" else {}
    return bends.Bends(texts, netlist_path, front_knobs(options.texts, names))


def card_of(netlist):
    """Enough for the engine to know the knobs."""
    controls = [{"name": name, "min": k[0], "max": k[1], "default": k[2]} for name, k in netlist.knobs.items()]
    return {"name": "", "sample_rate": sound.RATE_HZ, "channels": 1, "controls": controls}


def write_alone(options, netlist_path, work):
    """work/model.safetensors of a network with no filter."""
    curves = bent(options, netlist_path)
    if curves.curves:
        card = card_of(netlist_filter.Network(netlist_path))
        curves.write(work / "network.safetensors", work / "model.safetensors", card)
    else:
        shutil.copyfile(work / "network.safetensors", work / "model.safetensors")
    shutil.copyfile(work / "network.json", work / "model.json")


def write(options, netlist_path, work, with_back):
    """work/model.safetensors, or without the network behind it work/front_filter.safetensors."""
    settings, network = options.texts["filter"], netlist_filter.Network(netlist_path)
    end = network.stages[settings["to"]] if has_back(options.texts) else "out"
    fitted = netlist_filter.Filter(network, settings, network.stages[settings["from"]], end)
    print(f"filter: off by {fitted.error.mean():.1e} of its energy, at worst {fitted.error.max():.1e}")
    whole = with_back or not has_back(options.texts)
    scale = network.volts[network.stages[settings["from"]]] / network.volts[end]
    front = chain_file.Network(work / "front.safetensors", bent(options, netlist_path))
    back = chain_file.Network(work / "back.safetensors") if with_back else None
    target = work / ("model.safetensors" if whole else "front_filter.safetensors")
    chain_file.write(target, front, fitted, scale, back, network.knobs, card_of(network))
    if whole:
        parts = [
            json.loads((work / f"{part}.json").read_text()) for part in ("front", "back") if part == "front" or back
        ]
        total = {key: sum(part[key] for part in parts) for key in ("million_frames", "seconds", "cpu_seconds")}
        quality = " and ".join(part["quality"] for part in parts)
        filter_error = {"mean": fitted.error.mean(), "worst": fitted.error.max()}
        (work / "model.json").write_text(json.dumps(total | {"quality": quality, "filter_error": filter_error}))


def play_front(options, work):
    """What the network behind the filter hears: each take through what stands before it, at its setting.

    It learns the knobs that `after` names. They need not reach it: all settings of its knobs have equal weight."""
    (work / "heard").mkdir(exist_ok=True)
    rows, learned = [], options.texts["filter"].get("after", [])
    with open(work / "back.csv", newline="") as f:
        for row in csv.DictReader(f):
            settings = [f"{name}={value}" for name, value in row.items() if name not in ("wet", "dry")]
            heard = f"heard/{row['wet']}"
            sound.write(
                work / heard,
                sound.process(options.coil, work / "front_filter.safetensors", work / row["dry"], settings),
            )
            rows.append({"wet": row["wet"], "dry": heard} | {name: row[name] for name in learned})
    with open(work / "back_heard.csv", "w", newline="") as f:
        writer = csv.DictWriter(f, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
