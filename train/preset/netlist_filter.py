"""The linear parts of a netlist between two of its nodes, as a filter that the knobs set.

Nodal analysis without the parts that are not linear gives the response from one node to another at any setting. In the
model file it is a bank of real poles that stay where they are; what each adds to the sum is a function of the knobs.
"""

import re

import numpy as np

RATE_HZ = 48000
# At 48 kHz. They are dense where coupling capacitors have their corners. The negative ones bend the treble, where a
# sampled filter's phase cannot follow the circuit's.
POLES_HZ = np.append(np.geomspace(2, 200, 8), np.geomspace(420, 12000, 5))
POLES = np.append(np.exp(-2 * np.pi * POLES_HZ / RATE_HZ), [-0.5, -0.8])
HZ = np.geomspace(2, 20000, 90)
# Of an octave's energy: music has little above 2 kHz. What is below hearing must not get out of hand: where it was left
# out, the bank amplified it.
WEIGHT = np.minimum(1, (2000 / HZ) ** 1.5) * np.where(HZ < 18, 0.1, 1)
LEAK = 1e-12
NO_SOURCE_OHM = 1e12
TRACK_END = 0.0005  # as the solver has it
FIT_SETTINGS, CHECK_SETTINGS, SEED = 1500, 300, 3
RIDGE = 1e-11  # a device's `ridge` may be larger: large residues that cancel cost the engine's floats digits
GAIN_UNITS = 24
UNITS = {"": 1, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6}


def number(text):
    value, unit = re.fullmatch(r"([-+0-9.eE]*[0-9.])([pnumkM]?)", text).groups()
    return float(value) * UNITS[unit]


def taper(name, turn):
    def audio(x, half):
        root = 1 / half - 1
        return (root ** (2 * x) - 1) / (root * root - 1)

    return {
        "linear": lambda: turn,
        "audio": lambda: audio(turn, 0.15),
        "audio10": lambda: audio(turn, 0.1),
        "audio30": lambda: audio(turn, 0.3),
        "reverse": lambda: 1 - audio(1 - turn, 0.15),
        "s": lambda: turn * turn * (3 - 2 * turn),
    }[name]()


class Network:
    """The linear parts of a netlist. `response` takes many settings at once."""

    def __init__(self, path):
        lines = [line.split("#")[0].split() for line in path.read_text().splitlines()]
        self.statements = [words for words in lines if words]
        self.knobs = {w[1]: [float(x) for x in w[2:5]] for w in self.statements if w[0] == "knob"}
        self.stages = {w[1]: w[2] for w in self.statements if w[0] == "stage"}
        self.volts = {w[2]: number(w[3]) for w in self.statements if w[0] == "stage"}  # full scale at nodes
        self.volts |= {"out": number(w[1]) for w in self.statements if w[0] == "output_volts"}
        self.high_pass_hz = {w[2]: float(w[4]) for w in self.statements if w[0] == "stage" and len(w) > 4}
        self.nodes, self.sources = {}, []
        for words in self.statements:
            self._add(words, None, None)

    def node(self, name):
        return -1 if name == "0" else self.nodes.setdefault(name, len(self.nodes))

    def _add(self, words, stamp, turn):
        """Calls stamp(matrix, a, b, value); without it, gives the nodes their numbers."""
        kind = words[0]
        stamp = stamp or (lambda *_: None)
        turn = turn or (lambda _: 0.5)
        if kind == "R":
            stamp("g", self.node(words[2]), self.node(words[3]), 1 / number(words[4]))
        elif kind == "C":
            stamp("c", self.node(words[2]), self.node(words[3]), number(words[4]))
        elif kind == "rheostat":
            ohm = number(words[4]) * (TRACK_END + taper(words[5], turn(words[6])))
            stamp("g", self.node(words[2]), self.node(words[3]), 1 / ohm)
        elif kind == "pot":
            ohm, share = number(words[5]), taper(words[6], turn(words[7]))
            top, wiper, bottom = (self.node(word) for word in words[2:5])
            stamp("g", top, wiper, 1 / (ohm * (TRACK_END + 1 - share)))
            stamp("g", wiper, bottom, 1 / (ohm * (TRACK_END + share)))
        elif kind == "V":
            stamp("v", self.node(words[2]), self.node(words[3]), None)
        elif kind == "opamp":  # what drives a node from a part that is not linear
            stamp("v", self.node(words[4]), -1, None)
        elif kind in ("follower", "amplifier"):
            gain = number(words[-1]) if kind == "amplifier" or len(words) > 4 else 1
            plus, minus = (words[2], words[3]) if kind == "amplifier" else (words[2], "0")
            out = words[4] if kind == "amplifier" else words[3]
            stamp("v", self.node(out), -1, (self.node(plus), self.node(minus), gain))

    def response(self, settings, knobs, hz, drive, listen, source_ohm):
        """Volts at each node of `listen` for an ampere into `drive`: [settings, hz, listen]."""
        count = len(settings)
        position = {name: np.full(count, values[2]) for name, values in self.knobs.items()}
        position |= {name: settings[:, i] for i, name in enumerate(knobs)}
        turn = lambda name: (position[name] - self.knobs[name][0]) / (self.knobs[name][1] - self.knobs[name][0])
        stamps = []
        for words in [*self.statements, ["V", "input", "in", "0", "0"], ["R", "source", drive, "0", str(source_ohm)]]:
            self._add(words, lambda *stamp: stamps.append(stamp), turn)
        driven = [stamp for stamp in stamps if stamp[0] == "v"]
        n = len(self.nodes)
        matrices = {kind: np.zeros((count, n + len(driven), n + len(driven))) for kind in "gc"}
        matrices["g"][:, range(n), range(n)] = LEAK
        for kind, a, b, value in stamps:
            if kind == "v":
                continue
            for p, q in ((a, b), (b, a)):
                if p >= 0:
                    matrices[kind][:, p, p] += value
                    if q >= 0:
                        matrices[kind][:, p, q] -= value
        for row, (_, a, b, control) in enumerate(driven, n):
            terms = [(a, 1), (b, -1)] + (
                [] if control is None else [(control[0], -control[2]), (control[1], control[2])]
            )
            for node, sign in terms[:2]:
                if node >= 0:
                    matrices["g"][:, node, row] += sign
            for node, sign in terms:
                if node >= 0:
                    matrices["g"][:, row, node] += sign
        side = np.zeros((n + len(driven), 1))
        side[self.node(drive)] = 1
        wanted = [self.node(name) for name in listen]
        return np.stack(
            [
                np.linalg.solve(matrices["g"] + 2j * np.pi * f * matrices["c"], side[None])[:, wanted, 0]
                for f in np.atleast_1d(hz)
            ],
            axis=1,
        )

    def filter_response(self, settings, knobs, hz, start, end, source_ohm):
        """From the volts at `start` with the knobs at their defaults, behind its high-pass, to those at `end`:
        [settings, hz]."""
        now = self.response(settings, knobs, hz, start, [end], source_ohm)[:, :, 0]
        defaults = np.array([[self.knobs[name][2] for name in knobs]])
        start_volts = self.response(defaults, knobs, hz, start, [start], source_ohm)[:, :, 0]
        return now / (start_volts * high_pass(hz, self.high_pass_hz.get(start, 0)))


def high_pass(hz, corner_hz):
    """As rendering.cpp does it; 1 without a corner."""
    if corner_hz == 0:
        return np.ones(len(hz))
    pole = np.exp(-2 * np.pi * corner_hz / RATE_HZ)
    z = np.exp(-2j * np.pi * hz / RATE_HZ)
    return pole * (1 - z) / (1 - pole * z)


def channel_responses(hz):
    """Of the bank's channels, one real pole each; the last one passes what comes in."""
    z = np.exp(-2j * np.pi * hz / RATE_HZ)[:, None]
    return np.concatenate([(1 - POLES) / (1 - POLES * z), np.ones((len(hz), 1))], axis=1)


def drawn(count, knobs, seed):
    """Positions from -1 to 1, more of them near the ends; the corners first."""
    corners = np.array(np.meshgrid(*[[-1, 1]] * knobs)).reshape(knobs, -1).T
    more = np.sin(np.random.default_rng(seed).uniform(-np.pi / 2, np.pi / 2, size=(count, knobs)))
    return np.concatenate([corners, more])[: max(count, len(corners))]


class Filter:
    """Residues of the bank as a linear function of units tanh(W k + b) of the knobs k (-1 to 1).

    A knob that is a gain in the main may scale the bank's input; the residues then hold what else it does."""

    def __init__(self, network, settings, start, end):
        self.network, self.start, self.end = network, start, end
        self.knobs, self.source_ohm = settings["knobs"], settings.get("source_ohm", NO_SOURCE_OHM)
        self.gain_knob, self.ridge = settings.get("gain"), settings.get("ridge", RIDGE)
        generator = np.random.default_rng(SEED)
        hidden, count = settings["units"], len(self.knobs)
        self.weight = generator.normal(size=(hidden, count)) * 1.2 / np.sqrt(count)
        alone = np.arange(hidden // 3)  # units of one knob
        self.weight[alone] *= np.sqrt(count) * np.eye(count)[alone % count]
        self.bias = generator.uniform(-1.5, 1.5, size=hidden)
        if "steepest" in settings:
            self._make_steep(generator, settings["steepest"])
        self.bias[0], self.weight[0] = 2.0, 0  # a constant
        span = np.array([network.knobs[name][:2] for name in self.knobs])
        self.place = lambda k: span[:, 0] + (k + 1) / 2 * (span[:, 1] - span[:, 0])
        if self.gain_knob:
            self._fit_gain()
        self._fit()
        k = drawn(CHECK_SETTINGS, count, SEED + 1)
        wanted = self.wanted(k)
        energy = lambda response: np.abs(response) ** 2 @ WEIGHT
        self.error = energy(self.response(k, HZ) - wanted) / energy(wanted)

    def _make_steep(self, generator, steepest):
        """For knobs whose effect is steep near their ends: half of the units follow one knob, at slopes up to
        `steepest`, and more of them lie near the ends. The others follow all knobs, less steeply."""
        hidden, count = self.weight.shape
        centres = drawn(hidden, count, SEED)[:hidden]
        direction = generator.normal(size=(hidden, count))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        slope = 1.2 * np.exp(generator.uniform(0, np.log(steepest) / 2, size=hidden))
        alone = np.arange(hidden // 2)
        direction[alone] = np.eye(count)[alone % count]
        slope[alone] = np.exp(generator.uniform(np.log(0.7), np.log(steepest), size=len(alone)))
        centres[alone] = np.sign(centres[alone]) * np.sqrt(np.abs(centres[alone]))
        self.weight = direction * slope[:, None]
        self.bias = -(self.weight * centres).sum(1)

    def wanted(self, k):
        return self.network.filter_response(self.place(k), self.knobs, HZ, self.start, self.end, self.source_ohm)

    def units(self, k):
        return np.tanh(k @ self.weight.T + self.bias)

    def gain(self, k):
        if not self.gain_knob:
            return np.ones(len(k))
        turn = k[:, self.knobs.index(self.gain_knob)]
        return np.tanh(turn[:, None] * self.gain_weight[:, 0] + self.gain_bias) @ self.gain_values

    def response(self, k, hz):
        return self.gain(k)[:, None] * ((self.units(k) @ self.residues) @ channel_responses(hz).T)

    def _fit_gain(self):
        """Of the mean level over the knob, the others at their defaults; as good at the low end as at the high."""
        turn = np.linspace(-1, 1, 200)
        ranges = [self.network.knobs[name] for name in self.knobs]
        k = np.tile([2 * (default - low) / (high - low) - 1 for low, high, default in ranges], (len(turn), 1))
        k[:, self.knobs.index(self.gain_knob)] = turn
        level = np.sqrt(np.abs(self.wanted(k)) ** 2 @ WEIGHT)
        level /= level.max()
        generator = np.random.default_rng(SEED)
        self.gain_weight = generator.normal(size=(GAIN_UNITS, 1)) * 1.5
        self.gain_bias = generator.uniform(-2, 2, size=GAIN_UNITS)
        units = np.tanh(turn[:, None] * self.gain_weight[:, 0] + self.gain_bias)
        self.gain_values = np.linalg.lstsq(units / level[:, None], np.ones(len(turn)), rcond=1e-8)[0]

    def _fit(self):
        """Least squares of the error as a share of each setting's own energy."""
        k = drawn(FIT_SETTINGS, len(self.knobs), SEED)
        wanted = self.wanted(k) / self.gain(k)[:, None] * np.sqrt(WEIGHT)
        channels, units = channel_responses(HZ) * np.sqrt(WEIGHT)[:, None], self.units(k)
        energy = (np.abs(wanted) ** 2).sum(1)
        h, m = units.shape[1], channels.shape[1]
        gram = (channels.conj().T @ channels).real  # the same at all settings but for their weight
        left = np.kron((units / energy[:, None]).T @ units, gram)
        right = np.einsum("ki,km->im", units / energy[:, None], (wanted @ channels.conj()).real).reshape(-1)
        scale = np.sqrt(np.diag(left))
        left = left / np.outer(scale, scale) + self.ridge * np.eye(h * m)
        self.residues = (np.linalg.solve(left, right / scale) / scale).reshape(h, m)

    def put_film(self, film):
        """Scales that are 1 + what the film vector says, and no shifts; the unit that is a constant takes the 1 off."""
        channels = len(POLES) + 1
        if self.gain_knob:
            values = np.repeat(self.gain_values[:, None], channels, axis=1)
            weight, bias = np.concatenate([self.gain_weight, [[0]]]), np.append(self.gain_bias, 2)
            values = np.concatenate([values, np.full((1, channels), -1 / np.tanh(2))])
            film.add(weight, bias, channels, [self.gain_knob], values)
            film.add_nothing(channels)
        values = self.residues.copy()
        values[0] -= 1 / np.tanh(2)
        film.add(self.weight, self.bias, channels, self.knobs, values)
        film.add_nothing(channels)
