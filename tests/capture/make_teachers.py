"""Writes small captures in the formats of other programs, with random weights, and the output of those programs' own
cores for a signal. python3 make_teachers.py FOLDER PLAY_NAM PLAY_RTNEURAL (both from peers/)

The reference vectors were made with NeuralAmpModelerCore 0.5.5 (commit daae2d0, 2026-08), RTNeural (commit 1fb1f07)
and, for Proteus, PyTorch 1.13, in which such captures are trained; they are numbers only."""
import json
import math
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

FRAMES = 512


def numbers(count, seed, scale=0.5):
    rng = random.Random(seed)
    return [round(rng.gauss(0, scale), 3) for _ in range(count)]


def signal():
    rng = random.Random(1)
    return [
        struct.unpack("f", struct.pack("f", 0.6 * math.sin(0.0004 * t * t) + 0.15 * rng.gauss(0, 1)))[0]
        for t in range(FRAMES)
    ]


def nam(architecture, config, count, seed, version="0.5.4", **more):
    return {
        "version": version,
        "architecture": architecture,
        "config": config,
        "weights": numbers(count, seed),
        "sample_rate": 48000,
        **more,
    }


FILMS = (
    "conv_pre_film",
    "conv_post_film",
    "input_mixin_pre_film",
    "input_mixin_post_film",
    "activation_pre_film",
    "activation_post_film",
    "layer1x1_post_film",
    "head1x1_post_film",
)


def array(**fields):
    return {
        "input_size": 1,
        "condition_size": 1,
        "channels": 4,
        "head_size": 1,
        "kernel_size": 3,
        "dilations": [1, 2, 4],
        "activation": "Tanh",
        "gated": False,
        "head_bias": True,
        **fields,
    }


def wavenet_count(config):
    """The number of weights for a config."""

    def matrix(inputs, outputs, taps=1, groups=1, bias=True):
        return inputs * outputs * taps // groups + (outputs if bias else 0)

    count = 1
    for a in config["layers"]:
        channels, condition = a["channels"], a["condition_size"]
        bottleneck = a.get("bottleneck", channels)
        layers = len(a["dilations"])
        taps = a.get("kernel_sizes") or [a["kernel_size"]] * layers
        modes = a.get("gating_mode", "gated" if a.get("gated") else "none")
        modes = modes if isinstance(modes, list) else [modes] * layers
        layer1, head1 = a.get("layer1x1", {"active": True, "groups": 1}), a.get("head1x1", {"active": False})
        head_inputs = head1["out_channels"] if head1["active"] else bottleneck
        count += matrix(a["input_size"], channels, bias=False)
        for i in range(layers):
            z = bottleneck * (1 if modes[i] == "none" else 2)
            count += matrix(channels, z, taps[i], a.get("groups_input", 1))
            count += matrix(condition, z, 1, a.get("groups_input_mixin", 1), bias=False)
            count += matrix(bottleneck, channels, 1, layer1["groups"]) if layer1["active"] else 0
            count += matrix(bottleneck, head_inputs, 1, head1["groups"]) if head1["active"] else 0
            for key, size in zip(FILMS, (channels, z, condition, z, z, bottleneck, channels, head_inputs)):
                film = a.get(key)
                if film and film.get("active", True):
                    count += matrix(condition, size * (2 if film.get("shift", True) else 1), 1, film.get("groups", 1))
        head = a.get("head") or {"out_channels": a["head_size"], "kernel_size": 1, "bias": a["head_bias"]}
        count += matrix(head_inputs, head["out_channels"], head["kernel_size"], bias=head["bias"])
    if config.get("head"):
        head, inputs = config["head"], head["out_channels"]
        for i, taps in enumerate(config["head"]["kernel_sizes"]):
            outputs = config["head"]["out_channels" if i + 1 == len(config["head"]["kernel_sizes"]) else "channels"]
            count += matrix(inputs, outputs, taps)
            inputs = outputs
    return count


def wavenet(seed, *arrays, version="0.5.4", **config):
    config = {"layers": list(arrays), "head": None, "head_scale": 0.5, **config}
    return nam("WaveNet", config, wavenet_count(config), seed, version)


def without(fields, *names):
    return {key: value for key, value in fields.items() if key not in names}


def a1_files():
    files = {}
    second = {"input_size": 4, "channels": 2, "dilations": [8]}
    files["a1_wavenet"] = wavenet(1, array(head_size=2, head_bias=False), array(**second))
    files["a1_gated"] = wavenet(2, array(gated=True, head_size=2, activation="ReLU"), array(gated=True, **second))
    files["a1_wavenet"]["metadata"] = {
        "name": "Test amp",
        "modeled_by": "make_teachers.py",
        "gear_make": "None",
        "input_level_dbu": 18.3,
        "output_level_dbu": 12.3,
        "loudness": -20.0,
    }
    return files


def a2_files():
    files = {}
    a2 = without(
        array(
            head={"out_channels": 1, "kernel_size": 5, "bias": True},
            kernel_sizes=[4, 2, 6],
            channels=3,
            activation={"type": "LeakyReLU", "negative_slope": 0.05},
        ),
        "head_size",
        "head_bias",
        "kernel_size",
        "gated",
    )
    files["a2_wavenet"] = wavenet(3, a2, version="0.7.0")
    files["a2_head_dilation"] = wavenet(
        4, {**a2, "head": {"out_channels": 1, "kernel_size": 3, "head_dilation": 4, "bias": False}}, version="0.7.0"
    )
    one = {"active": True, "groups": 2}
    files["a2_grouped"] = wavenet(
        5,
        array(channels=8, bottleneck=4, groups_input=2, layer1x1=one, head1x1={**one, "out_channels": 6}),
        version="0.6.0",
    )
    files["a2_depthwise"] = wavenet(6, array(groups_input=4, layer1x1={"active": True, "groups": 4}), version="0.6.0")
    files["a2_no_layer1x1"] = wavenet(7, array(layer1x1={"active": False, "groups": 1}), version="0.6.0")
    films = {key: {"active": True, "shift": i % 2 == 0, "groups": 1} for i, key in enumerate(FILMS)}
    heads = {"layer1x1": {"active": True, "groups": 1}, "head1x1": {"active": True, "out_channels": 3, "groups": 1}}
    modes = {
        "gating_mode": ["gated", "blended", "none"],
        "secondary_activation": ["Sigmoid", "Hardtanh", "Sigmoid"],
        "activation": ["Tanh", "Softsign", "ReLU"],
    }
    for name, mode in (
        ("none", {"gating_mode": "none"}),
        ("gated", {"gating_mode": "gated", "secondary_activation": "Tanh"}),
        ("blended", {"gating_mode": "blended"}),
        ("mixed", modes),
    ):
        files["a2_film_" + name] = wavenet(
            8, without(array(bottleneck=2, **heads, **films, **mode), "gated"), version="0.6.0"
        )
    inner = wavenet(9, array(channels=2, head_size=2), version="0.6.0")
    grouped = {key: {"active": True, "shift": True, "groups": 2} for key in ("conv_pre_film", "activation_post_film")}
    files["a2_condition"] = wavenet(
        10, array(condition_size=2, groups_input_mixin=2, **grouped), condition_dsp=inner, version="0.6.0"
    )
    files["a2_post_head"] = wavenet(
        11,
        array(head_size=3),
        version="0.7.0",
        head={"channels": 4, "out_channels": 1, "kernel_sizes": [3, 2], "activation": "ReLU"},
    )
    files["a2_slimmable"] = wavenet(
        12,
        array(channels=3, slimmable={"method": "slice_channels_uniform", "kwargs": {"allowed_channels": [1, 3]}}),
        version="0.7.0",
    )
    bent = [
        "Tanh",
        "Hardtanh",
        "Fasttanh",
        "ReLU",
        "LeakyReLU",
        "Sigmoid",
        "SiLU",
        "Hardswish",
        "Softsign",
        {"type": "LeakyHardtanh", "min_val": -0.4, "max_val": 0.3, "min_slope": 0.1, "max_slope": 0.2},
        {"type": "PReLU", "negative_slopes": [0.1, 0.2, 0.3, 0.4]},
        {"type": "PReLU", "negative_slope": 0.3},
    ]
    files["a2_activations"] = wavenet(13, array(dilations=[1] * len(bent), activation=bent), version="0.6.0")
    return files


def other_nam_files():
    files = {}
    for layers, name in ((1, "lstm"), (2, "lstm_two")):
        hidden = 4
        count = sum(4 * hidden * ((1 if i == 0 else hidden) + hidden) + 6 * hidden for i in range(layers)) + hidden + 1
        files[name] = nam("LSTM", {"input_size": 1, "hidden_size": hidden, "num_layers": layers}, count, 14 + layers)
    conv = {"channels": 4, "dilations": [1, 2, 4], "batchnorm": False, "activation": "ReLU"}
    files["convnet"] = nam("ConvNet", conv, 4 * 2 + 4 + 2 * (32 + 4) + 5, 20)
    files["convnet_norm"] = nam(
        "ConvNet", {**conv, "batchnorm": True, "activation": "Tanh"}, 8 + 17 + 2 * (32 + 17) + 5, 21
    )
    at = 8
    for inputs in (4, 4, 4):  # variances and epsilons must be positive
        for i in [*range(at + 4, at + 8), at + 16]:
            files["convnet_norm"]["weights"][i] = abs(files["convnet_norm"]["weights"][i]) + 0.1
        at += 17 + inputs * 8
    files["linear"] = nam("Linear", {"receptive_field": 12, "bias": True}, 13, 22)
    files["linear_long"] = nam("Linear", {"receptive_field": 300, "bias": False}, 300, 23)
    files["linear_long"]["weights"] = numbers(300, 23, 0.05)
    return files


def nam_files():
    files = {**a1_files(), **a2_files(), **other_nam_files()}
    files["container"] = {
        "version": "0.7.0",
        "architecture": "SlimmableContainer",
        "weights": [],
        "sample_rate": 48000,
        "config": {
            "submodels": [{"max_value": 0.5, "model": files["lstm"]}, {"max_value": 1.0, "model": files["a2_wavenet"]}]
        },
    }
    return files


def table(rows, columns, seed, scale=0.5):
    values = numbers(rows * columns, seed, scale)
    return [values[i * columns : (i + 1) * columns] for i in range(rows)]


def layer(kind, size, weights, activation="", **more):
    return {"type": kind, "activation": activation, "shape": [None, None, size], "weights": weights, **more}


def rtneural_files():
    def lstm(inputs, hidden, seed):
        return layer(
            "lstm",
            hidden,
            [table(inputs, 4 * hidden, seed), table(hidden, 4 * hidden, seed + 1), numbers(4 * hidden, seed + 2)],
        )

    def gru(inputs, hidden, seed):
        return layer(
            "gru",
            hidden,
            [table(inputs, 3 * hidden, seed), table(hidden, 3 * hidden, seed + 1), table(2, 3 * hidden, seed + 2)],
        )

    def dense(inputs, outputs, seed, activation=""):
        return layer("dense", outputs, [table(inputs, outputs, seed), numbers(outputs, seed + 1)], activation)

    def file(*layers, inputs=1, **more):
        return {"in_shape": [None, None, inputs], **more, "layers": list(layers)}

    conv = layer(
        "conv1d", 4, [[table(1, 4, 60 + k) for k in range(3)], numbers(4, 64)], "tanh", kernel_size=[3], dilation=[2]
    )
    norm = layer("batchnorm", 4, [numbers(4, 65), numbers(4, 66), numbers(4, 67), [0.5, 1.2, 0.8, 2.0]], epsilon=0.01)
    return {
        "aida_lstm": file(
            lstm(1, 4, 40),
            dense(4, 1, 43),
            in_skip=1,
            in_gain=-3.0,
            out_gain=2.0,
            samplerate=44100,
            metadata={"name": "Test", "license": "CC0"},
        ),
        "aida_gru": file(gru(1, 4, 45), dense(4, 1, 48), in_skip=0, out_gain=-6.0),
        "aida_knob": file(lstm(2, 3, 50), dense(3, 1, 53), inputs=2, in_skip=1),
        "rtneural_stack": file(
            dense(1, 3, 54, "tanh"),
            lstm(3, 4, 55),
            gru(4, 3, 58),
            dense(3, 3, 61, "relu"),
            layer("prelu", 3, [[[0.1, 0.2, 0.3]]]),
            dense(3, 1, 63, "sigmoid"),
        ),
        "rtneural_conv": file(conv, norm, layer("activation", 4, [], "elu"), dense(4, 1, 68)),
    }


def proteus_file(unit, inputs, hidden, seed, skip=1, layers=1):
    gates = (4 if unit == "LSTM" else 3) * hidden
    state = {"lin.weight": table(1, hidden, seed), "lin.bias": numbers(1, seed + 1)}
    for i in range(layers):
        state[f"rec.weight_ih_l{i}"] = table(gates, inputs if i == 0 else hidden, seed + 10 * i + 2)
        state[f"rec.weight_hh_l{i}"] = table(gates, hidden, seed + 10 * i + 3)
        state[f"rec.bias_ih_l{i}"] = numbers(gates, seed + 10 * i + 4)
        state[f"rec.bias_hh_l{i}"] = numbers(gates, seed + 10 * i + 5)
    return {
        "model_data": {
            "model": "SimpleRNN",
            "input_size": inputs,
            "skip": skip,
            "output_size": 1,
            "unit_type": unit,
            "num_layers": layers,
            "hidden_size": hidden,
            "bias_fl": True,
        },
        "state_dict": state,
    }


def proteus_files():
    return {
        "proteus": proteus_file("LSTM", 1, 4, 70),
        "proteus_knob": proteus_file("LSTM", 2, 4, 80),
        "proteus_gru": proteus_file("GRU", 1, 4, 90, skip=0),
        "proteus_two": proteus_file("LSTM", 1, 3, 100, layers=2),
    }


KNOB = 0.3


def play_torch(file, sound):
    import torch

    data, state = file["model_data"], {
        key: torch.tensor(value, dtype=torch.float64) for key, value in file["state_dict"].items()
    }
    kind = torch.nn.LSTM if data["unit_type"] == "LSTM" else torch.nn.GRU
    network = kind(data["input_size"], data["hidden_size"], data["num_layers"]).double()
    network.load_state_dict({key[4:]: value for key, value in state.items() if key.startswith("rec.")})
    frames = torch.tensor([[[x] + [KNOB] * (data["input_size"] - 1)] for x in sound], dtype=torch.float64)
    out = network(frames)[0] @ state["lin.weight"].T + state["lin.bias"]
    return (out + data["skip"] * frames[:, :, :1]).flatten().tolist()


def main(folder, play_nam, play_rtneural):
    folder = pathlib.Path(folder)
    sound = signal()
    vectors = {"input": sound}
    scratch = pathlib.Path(tempfile.mkdtemp())

    def play(program, path, samples, *more):
        (scratch / "in").write_bytes(struct.pack(f"{len(samples)}f", *samples))
        subprocess.run([program, path, scratch / "in", scratch / "out", *more], check=True, stdout=subprocess.DEVNULL)
        return list(struct.unpack(f"{len(samples)}f", (scratch / "out").read_bytes()))

    def write(name, ending, file):
        path = folder / (name + ending)
        path.write_text(json.dumps(file, separators=(",", ":")) + "\n")
        return path

    for name, file in nam_files().items():
        vectors[name] = play(play_nam, write(name, ".nam", file), sound)
    for name, file in rtneural_files().items():
        # Gains and skip are AIDA-X's additions around RTNeural's network.
        gain, after = (10 ** (file.get(key, 0) / 20) for key in ("in_gain", "out_gain"))
        knobs = [str(KNOB)] * (file["in_shape"][-1] - 1)
        out = play(play_rtneural, write(name, ".json", file), [gain * x for x in sound], *knobs)
        vectors[name] = [after * (y + file.get("in_skip", 0) * gain * x) for x, y in zip(sound, out)]
    for name, file in proteus_files().items():
        write(name, ".json", file)
        vectors[name] = play_torch(file, sound)

    header, data = {}, b""
    for name, values in vectors.items():
        piece = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": [len(values)], "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    (folder / "outputs.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


if __name__ == "__main__":
    main(*sys.argv[1:])
