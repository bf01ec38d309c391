"""Further functions of a knob from which the network learns, because a device may change steeply near a knob's end.

In training each is a column of the table, as if it were one more knob. In the model file, units of the knobs
themselves give the linear and quadratic terms of all columns.
"""

import json

import numpy as np

import safetensors_file
from preset import netlist_filter

SUFFIX = "_bent"
GRID = np.linspace(-1, 1, 4001)
UNITS, SEED, FIT_SETTINGS, RCOND = {1: 64, 2: 160, 3: 384, 4: 384}, 5, 6000, 1e-7  # units by the number of knobs
MOST_ERROR = 0.01  # of a term, all of which are from -1 to 1


class Bends:
    """What the device's `bends` say: a knob's share of its track ("share"), or the share of a voltage that a resistor
    in ohm has in series with the rest of the track."""

    def __init__(self, texts, netlist_path, knobs):
        network, bends = netlist_filter.Network(netlist_path), texts.get("bends", {})
        self.knobs = knobs  # that the network learns
        self.ranges = {name: values[:2] for name, values in network.knobs.items()}
        self.curves = {knob: self._curve(network, knob, bends[knob]) for knob in knobs if knob in bends}

    def _curve(self, network, knob, what):
        """Values on GRID, rising from -1 to 1."""
        part = next(words for words in network.statements if words[0] in ("pot", "rheostat") and words[-1] == knob)
        curve = netlist_filter.taper(part[-2], (GRID + 1) / 2)
        if what != "share":
            rest = curve if part[0] == "rheostat" else 1 - curve
            curve = what / (what + netlist_filter.number(part[-3]) * (netlist_filter.TRACK_END + rest))
        curve = curve if curve[-1] > curve[0] else -curve
        return 2 * (curve - curve[0]) / (curve[-1] - curve[0]) - 1

    def _scaled(self, knob, position):
        low, high = self.ranges[knob]
        return 2 * (position - low) / (high - low) - 1

    def _position(self, knob, scaled):
        low, high = self.ranges[knob]
        return low + (scaled + 1) / 2 * (high - low)

    def spread(self, rows, knobs):
        """Every second setting is spread evenly over the bent knobs."""
        columns = [(i, knob) for i, knob in enumerate(knobs) if knob in self.curves]
        for row in rows[1::2]:
            for i, knob in columns:
                scaled = np.interp(self._scaled(knob, float(row[i])), self.curves[knob], GRID)
                row[i] = f"{self._position(knob, scaled):.3f}"
        return rows

    def columns(self, row):
        """The further columns of a setting, by name."""
        return {
            knob + SUFFIX: f"{self._position(knob, np.interp(self._scaled(knob, float(row[knob])), GRID, curve)):.4f}"
            for knob, curve in self.curves.items()
            if knob in row
        }

    def terms(self, k, names):
        """Linear and quadratic terms of the columns `names` at the knobs k, from -1 to 1."""
        of = {name: k[:, i] for i, name in enumerate(self.knobs)}
        of |= {knob + SUFFIX: np.interp(of[knob], GRID, curve) for knob, curve in self.curves.items()}
        columns = [of[name] for name in names]
        products = [a * b for i, a in enumerate(columns) for b in columns[i:]]
        return np.stack(columns + products, 1)

    def _units(self, generator):
        """Weights and biases: a third of one knob, the others of two; as steep as the curves where they stand."""
        count = len(self.knobs)
        weight, bias = np.zeros((UNITS[count], count)), np.zeros(UNITS[count])
        for unit in range(UNITS[count]):
            alone = count == 1 or unit < UNITS[count] // 3
            for i in [unit % count] if alone else generator.choice(count, 2, replace=False):
                curve = self.curves.get(self.knobs[i])
                if curve is None or generator.random() < 0.5:
                    at, slope = generator.uniform(-1, 1), generator.uniform(0.2, 1.5)
                else:
                    at = np.interp(generator.uniform(-1, 1), curve, GRID)
                    slope = np.interp(at, GRID, np.gradient(curve, GRID)) * generator.uniform(0.5, 1.5)
                weight[unit, i] = slope * generator.choice([-1, 1])
                bias[unit] -= weight[unit, i] * at
        return weight, bias

    def units(self, names):
        """Units of the knobs, and what of each gives the terms of the columns `names`."""
        weight, bias = self._units(np.random.default_rng(SEED))
        k = netlist_filter.drawn(FIT_SETTINGS, len(self.knobs), SEED)
        for i, knob in enumerate(self.knobs):
            if knob in self.curves:
                k[::2, i] = np.interp(k[::2, i], self.curves[knob], GRID)
        found, wanted = np.tanh(k @ weight.T + bias), self.terms(k, names)
        values = np.linalg.lstsq(found, wanted, rcond=RCOND)[0]
        error = np.abs(found @ values - wanted).max()
        assert error < MOST_ERROR, f"the knobs' quadratic terms are off by {error:.1e}"
        return weight, bias, values

    def write(self, source, target, card):
        """The model that `coil capture` made of the table with further columns, as one of the knobs alone."""
        tensors, metadata = safetensors_file.read_safetensors(source)
        names = [control["name"] for control in json.loads(metadata["card"])["controls"]]
        weight, bias, values = self.units(names)
        config = json.loads(metadata["config"])
        config["controls"] = {"count": len(self.knobs), "hidden": len(bias), "output": config["controls"]["output"]}
        film = tensors.pop("controls.weight").astype(float)
        tensors |= {
            "controls.layers.0.weight": weight,
            "controls.layers.0.bias": bias,
            "controls.layers.1.weight": film @ values.T,
            "controls.layers.1.bias": tensors.pop("controls.bias"),
        }
        arrays = {name: np.asarray(tensor, np.float32) for name, tensor in tensors.items()}
        safetensors_file.write_safetensors(target, arrays, {"config": json.dumps(config), "card": json.dumps(card)})
