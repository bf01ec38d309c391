"""One model file from a network, a filter that the knobs set, and a network behind it or none."""

import json

import numpy as np

import safetensors_file
from preset import bends, netlist_filter

POLYNOMIAL_UNITS, POLYNOMIAL_SEED = {1: 64, 2: 64, 3: 160, 4: 224}, 5  # by the number of knobs
POLYNOMIAL_RCOND = {1: 1e-10, 2: 1e-10, 3: 1e-7, 4: 1e-7}  # many units need no large values
LEAST_OF_ROW = 1e-4  # of the output row, as a share of its largest value: some are divided by it


class Film:
    """The film vector as a function of the knobs: hidden units and what each adds."""

    def __init__(self, knobs):
        self.knobs, self.weights, self.biases, self.rows = knobs, [], [], []
        self.sizes = []

    def add(self, weight, bias, size, knobs, values):
        """`size` more values of the vector: values[hidden, size] by units of the knobs that are named."""
        wide = np.zeros((len(weight), len(self.knobs)))
        wide[:, [self.knobs.index(name) for name in knobs]] = weight
        self.weights.append(wide), self.biases.append(bias)
        self.rows.append((sum(self.sizes), values)), self.sizes.append(size)

    def add_nothing(self, size):
        self.sizes.append(size)

    def tensors(self):
        weight, bias = np.concatenate(self.weights), np.concatenate(self.biases)
        out, at = np.zeros((sum(self.sizes), len(bias))), 0
        for begin, values in self.rows:
            out[begin : begin + values.shape[1], at : at + len(values)] = values.T
            at += len(values)
        return {
            "controls.layers.0.weight": weight,
            "controls.layers.0.bias": bias,
            "controls.layers.1.weight": out,
            "controls.layers.1.bias": np.zeros(len(out)),
        }


def polynomial_units(count):
    """Units of `count` knobs and what of each gives the linear and quadratic terms."""
    generator = np.random.default_rng(POLYNOMIAL_SEED)
    weight = 0.5 * generator.normal(size=(POLYNOMIAL_UNITS[count], count)) / np.sqrt(count)
    bias = generator.uniform(-1.2, 1.2, size=POLYNOMIAL_UNITS[count])
    k = netlist_filter.drawn(4000, count, POLYNOMIAL_SEED)
    terms = np.stack(
        [k[:, i] for i in range(count)] + [k[:, i] * k[:, j] for i in range(count) for j in range(i, count)], 1
    )
    units = np.tanh(k @ weight.T + bias)
    values = np.linalg.lstsq(units, terms, rcond=POLYNOMIAL_RCOND[count])[0]
    error = np.abs(units @ values - terms).max()
    assert error < 1e-3, f"the knobs' quadratic terms are off by {error:.1e}"
    return weight, bias, values


class Network:
    """A network that `coil capture --network stage` has made."""

    def __init__(self, path, bent=None):
        self.tensors, metadata = safetensors_file.read_safetensors(path)
        self.config = json.loads(metadata["config"])
        self.bent = bent
        self.columns = [control["name"] for control in json.loads(metadata["card"])["controls"]]
        self.knobs = [name for name in self.columns if not name.endswith(bends.SUFFIX)]
        self.layers = self.config["layers"][0]["repeat"]
        assert len(self.config["layers"]) == 1 and not self.config["direct"]
        self.slow_path = self.config.get("slow_path")
        self.modulated = bool(self.knobs or self.slow_path)
        self.row = self.tensors["backbone.out_proj.weight"].astype(float)
        least = LEAST_OF_ROW * np.abs(self.row).max()
        self.row = np.where(np.abs(self.row) < least, np.copysign(least, self.row), self.row)

    def put_layers(self, tensors, first):
        for name, tensor in self.tensors.items():
            if name.startswith("backbone.layers."):
                number, rest = name.removeprefix("backbone.layers.").split(".", 1)
                tensors[f"backbone.layers.{first + int(number)}.{rest}"] = tensor

    def put_film(self, film, inner):
        """Of the layers, then of the row: as a film part in front of it if that lies within the chain."""
        if not self.knobs:
            layers = 2 * self.config["d_model"] * self.layers
            return film.add_nothing(layers + 2 * self.row.size if self.slow_path else 0)
        values = self.tensors["controls.weight"].astype(float)
        assert not self.tensors["controls.bias"].any()
        if inner:
            values = self.inner_rows(values)
        curved = self.bent and self.bent.curves
        weight, bias, terms = self.bent.units(self.columns) if curved else polynomial_units(len(self.knobs))
        film.add(weight, bias, len(values), self.knobs, terms @ values.T)

    def inner_rows(self, values):
        """Of the film vector, where the row is within the chain: scales of what it takes, and no shift."""
        values = values.astype(float)
        values[-self.row.size :] /= self.row[0][:, None]
        return np.concatenate([values, np.zeros((self.row.size, values.shape[1]))])

    def put_slow_path(self, tensors, config, knobs, film_size):
        """At the start of a chain: hears the same input, and changes nothing behind the row."""
        if not self.slow_path:
            return
        assert self.columns == self.knobs, "a slow path hears the knobs as they are, not bent"
        config["slow_path"] = self.slow_path | {"output": False}
        tensors |= {name: tensor for name, tensor in self.tensors.items() if name.startswith("slow.")}
        for name in ("slow.out_proj.weight", "slow.out_proj.bias"):
            rows = self.inner_rows(self.tensors[name].reshape(len(self.tensors[name]), -1))
            rows = np.concatenate([rows, np.zeros((film_size - len(rows), rows.shape[1]))])
            tensors[name] = rows.reshape(film_size, *self.tensors[name].shape[1:])
        weight = self.tensors["slow.in_proj.weight"]
        features = weight.shape[1] - len(self.knobs)
        wide = np.zeros((len(weight), features + (len(knobs) if self.knobs else 0)))
        wide[:, :features] = weight[:, :features]
        wide[:, [features + knobs.index(name) for name in self.knobs]] = weight[:, features:]
        tensors["slow.in_proj.weight"] = wide


def bank_parts(front, gain):
    parts = [{"type": "film"}] if front.modulated else []
    parts.append({"type": "linear", "name": "row", "d_out": 1, "bias": False})
    parts.append({"type": "linear", "name": "spread", "d_out": len(netlist_filter.POLES) + 1, "bias": False})
    if gain:
        parts.append({"type": "film"})
    s4d = {"type": "s4d", "name": "filter", "d_state": 2, "mode": "complex", "discretization": "zoh"}
    return parts + [s4d, {"type": "film"}]


def bank_tensors(layer):
    """Real poles as modes of steps of one frame; the channels' responses are 1 at 0 Hz, the last one's everywhere."""
    poles = np.append(netlist_filter.POLES, 0.5)
    rate = np.log(np.abs(poles)) + 1j * np.pi * (poles < 0)
    c = -rate / 2  # y = 2 Re(C h), and the input's gain is (pole - 1) / rate
    c[-1] = 0
    kernel = f"{layer}.filter.kernel"
    return {
        f"{kernel}.log_dt": np.zeros(len(poles)),
        f"{kernel}.log_A_real": np.log(-rate.real)[:, None],
        f"{kernel}.A_imag": rate.imag[:, None],
        f"{kernel}.C": np.stack([c.real, c.imag], -1)[:, None],
        f"{layer}.filter.D": np.append(np.zeros(len(poles) - 1), 1),
    }


def write(path, front, fitted, scale, back, knobs, card):
    """`fitted` is the filter (netlist_filter.Filter), `scale` the gain behind it between the two levels, `back` the
    network behind that or None."""
    film = Film(list(knobs))
    channels = len(netlist_filter.POLES) + 1
    layer = f"backbone.layers.{front.layers}"
    tensors = {"backbone.in_proj.weight": front.tensors["backbone.in_proj.weight"]}
    front.put_layers(tensors, 0)
    front.put_film(film, inner=True)
    tensors[f"{layer}.row.weight"] = front.row
    tensors[f"{layer}.spread.weight"] = np.ones((channels, 1))
    tensors |= bank_tensors(layer)
    fitted.put_film(film)
    parts = bank_parts(front, fitted.gain_knob)
    layers = [*front.config["layers"]]
    config = {key: front.config[key] for key in ("model_type", "sample_rate", "d_input", "d_model")}
    config |= {"d_output": 1, "in_proj_bias": False, "out_proj_bias": False, "direct": False, "norm_f": False}
    if back:
        d_model = back.config["d_model"]
        parts.append({"type": "linear", "name": "next", "d_out": d_model, "bias": False})
        tensors[f"{layer}.next.weight"] = scale * np.repeat(back.tensors["backbone.in_proj.weight"], channels, axis=1)
        back.put_layers(tensors, front.layers + 1)
        assert not back.slow_path, "a slow path must be at the start of the chain"
        back.put_film(film, inner=False)
        tensors["backbone.out_proj.weight"] = back.tensors["backbone.out_proj.weight"]
    else:
        tensors["backbone.out_proj.weight"] = np.full((1, channels), scale)
    layers.append({"residual": False, "parts": parts})
    config["layers"] = layers + ([*back.config["layers"]] if back else [])
    tensors |= film.tensors()
    front.put_slow_path(tensors, config, list(knobs), sum(film.sizes))
    config["controls"] = {
        "count": len(knobs),
        "hidden": len(tensors["controls.layers.0.bias"]),
        "output": bool(back and back.knobs),
    }
    arrays = {name: np.asarray(tensor, np.float32) for name, tensor in tensors.items()}
    safetensors_file.write_safetensors(path, arrays, {"config": json.dumps(config), "card": json.dumps(card)})
