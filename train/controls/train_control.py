#!/usr/bin/python3
"""Trains a network of another kind on a preset's takes, for comparison, and prints its errors on the test takes:

    train/controls/train_control.py FOLDER --network a1 --rate 0.004 --cpu-seconds 80 [--device cuda]

FOLDER is what `train/make_preset NAME --steps tables render_train render_test --work FOLDER` made. Networks: a1 and a2,
the WaveNet shapes of Neural Amp Modeler's standard and A2 captures, and lstm, one layer of 16 cells. Each hears the
knobs as further constant inputs. Every eighth take is held out of the training, to choose among learning rates.
"""

import argparse
import csv
import json
import pathlib
import sys
import time

import numpy as np
import torch
from torch import nn

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "train"))
from preset import sound  # noqa: E402

HELD_OUT = 8  # every so many takes
EXCERPTS, EXCERPT_FRAMES = {"cpu": 2, "cuda": 16}, 8192  # of a step of a1 and a2
LANES, SEGMENT_FRAMES, SEGMENTS = {"cpu": 16, "cuda": 256}, 512, 32  # lstm: lanes start anew after SEGMENTS
UNSCORED = 8  # segments of a lane
MOST_FRAMES = 1 << 15  # that an LSTM on a GPU takes at once
HEAD_SCALE = {"a1": 0.2, "a2": 0.1}  # 0.02 and 0.01 there, where targets have an rms of about 0.1 and not 1
LEAST_ENERGY = 1e-3  # of a batch, where the targets have an energy of 1 on average
LARGEST_GRADIENT = 1.0  # its norm
A1_DILATIONS = [1 << i for i in range(10)]
A2_DILATIONS = [1, 3, 7, 17, 41, 101, 239] * 2 + [1, 13] + [1, 3, 7, 17, 41, 101, 239]
A2_TAPS = [6] * 14 + [15, 15] + [6] * 7


class Layers(nn.Module):
    """One array of dilated convolutions; the sum of their activations goes to the head."""

    def __init__(self, inputs, condition, channels, taps, dilations, activation, head_channels, head_taps, head_bias):
        super().__init__()
        conv = lambda i, o, k=1, d=1, bias=True: nn.Conv1d(i, o, k, dilation=d, bias=bias)
        self.activation = activation
        self.enter = conv(inputs, channels, bias=False)
        self.convs = nn.ModuleList(conv(channels, channels, k, d) for k, d in zip(taps, dilations))
        self.mixes = nn.ModuleList(conv(condition, channels, bias=False) for _ in taps)
        self.outs = nn.ModuleList(conv(channels, channels) for _ in taps)
        self.head = conv(channels, head_channels, head_taps, bias=head_bias)
        self.reach = sum((k - 1) * d for k, d in zip(taps, dilations)) + head_taps - 1

    def forward(self, x, condition, head=None):
        """`x` becomes shorter by what each convolution needs of the past; so do condition and head, at their start."""
        x = self.enter(x)
        for conv, mix, out in zip(self.convs, self.mixes, self.outs):
            z = conv(x)
            z = self.activation(z + mix(condition[..., -z.shape[-1] :]))
            head = z if head is None else head[..., -z.shape[-1] :] + z
            x = x[..., -z.shape[-1] :] + out(z)
        return x, self.head(head)


class WaveNet(nn.Module):
    def __init__(self, name, knobs):
        super().__init__()
        condition = 1 + knobs
        if name == "a1":
            common = ([3] * 10, A1_DILATIONS, torch.tanh)
            arrays = [Layers(1, condition, 16, *common, 8, 1, False), Layers(16, condition, 8, *common, 1, 1, True)]
        else:
            leaky = nn.functional.leaky_relu
            arrays = [Layers(1, condition, 8, A2_TAPS, A2_DILATIONS, leaky, 1, 16, True)]
        self.arrays = nn.ModuleList(arrays)
        self.reach = sum(array.reach for array in self.arrays)
        self.head_scale = HEAD_SCALE[name]

    def forward(self, condition):
        """(batch, 1 + knobs, frames) to (batch, frames - reach)."""
        x, head = condition[:, :1], None
        for array in self.arrays:
            x, head = array(x, condition, head)
        return self.head_scale * head[:, 0]


class Lstm(nn.Module):
    CELLS = 16

    def __init__(self, knobs):
        super().__init__()
        self.cells = nn.LSTM(1 + knobs, self.CELLS, batch_first=True)
        self.out = nn.Linear(self.CELLS, 1)

    def forward(self, condition, state=None):
        hidden, state = self.cells(condition.transpose(1, 2), state)
        return self.out(hidden)[..., 0], state


def multiply_adds(network, name):
    if name == "lstm":
        return sum(w.numel() for key, w in network.named_parameters() if "weight" in key)
    return sum(conv.weight.numel() for conv in network.modules() if isinstance(conv, nn.Conv1d))


class Takes:
    """Dry and wet sound of a table, with the knobs from -1 to 1."""

    def __init__(self, table, ranges=None):
        with open(table, newline="") as f:
            rows = list(csv.DictReader(f))
        knobs = [name for name in rows[0] if name not in ("wet", "dry")]
        at = np.array([[float(row[name]) for name in knobs] for row in rows]).reshape(len(rows), len(knobs))
        self.ranges = ranges or (at.min(0), at.max(0))
        low, high = self.ranges
        self.knobs = torch.tensor(2 * (at - low) / (high - low) - 1, dtype=torch.float32)
        read = lambda name: torch.tensor(sound.read(table.parent / name), dtype=torch.float32)
        self.dry = torch.stack([read(row["dry"]) for row in rows])
        self.wet = torch.stack([read(row["wet"]) for row in rows])

    def to(self, device):
        self.dry, self.wet, self.knobs = (x.to(device) for x in (self.dry, self.wet, self.knobs))

    def scale(self, dry, wet):
        self.dry, self.wet = self.dry / dry, self.wet / wet

    def condition(self, rows, dry):
        knobs = self.knobs[rows][:, :, None].expand(-1, -1, dry.shape[-1])
        return torch.cat([dry[:, None], knobs], 1)

    def excerpts(self, rows, starts, frames):
        at = starts[:, None] + torch.arange(frames, device=self.dry.device)
        return self.dry[rows[:, None], at], self.wet[rows[:, None], at]


def ratio(found, wanted):
    return ((found - wanted) ** 2).mean() / ((wanted**2).mean() + LEAST_ENERGY)


def drawn(generator, rows, frames, size, count):
    picked = rows[torch.randint(len(rows), (count,), generator=generator)]
    return picked, torch.randint(frames - size + 1, (count,), generator=generator)


def wavenet_losses(network, takes, rows, generator):
    """Endless: the loss of a step and its number of scored frames."""
    device, size = takes.dry.device, network.reach + EXCERPT_FRAMES
    count = EXCERPTS[device.type]
    while True:
        picked, starts = (x.to(device) for x in drawn(generator, rows, takes.dry.shape[1], size, count))
        dry, wet = takes.excerpts(picked, starts, size)
        yield ratio(network(takes.condition(picked, dry)), wet[:, network.reach :]), count * EXCERPT_FRAMES


def lstm_losses(network, takes, rows, generator):
    device, size = takes.dry.device, SEGMENT_FRAMES * SEGMENTS
    lanes = LANES[device.type]
    while True:
        picked, starts = (x.to(device) for x in drawn(generator, rows, takes.dry.shape[1], size, lanes))
        dry, wet = takes.excerpts(picked, starts, size)
        state = None
        for i in range(SEGMENTS):
            part = slice(i * SEGMENT_FRAMES, (i + 1) * SEGMENT_FRAMES)
            with torch.set_grad_enabled(i >= UNSCORED):
                found, state = network(takes.condition(picked, dry[:, part]), state)
            state = tuple(x.detach() for x in state)
            if i >= UNSCORED:
                yield ratio(found, wet[:, part]), lanes * SEGMENT_FRAMES


def train(network, name, takes, rows, options):
    """Adam with a cosine of the rate over the budget. Returns frames and seconds of processor time."""
    generator = torch.Generator().manual_seed(options.seed)
    losses = (lstm_losses if name == "lstm" else wavenet_losses)(network, takes, rows, generator)
    optimiser = torch.optim.Adam(network.parameters(), lr=options.rate)
    begun, frames = time.process_time(), 0
    for loss, count in losses:
        used = time.process_time() - begun
        share = frames / (1e6 * options.million_frames) if options.million_frames else used / options.cpu_seconds
        if share >= 1:
            break
        optimiser.param_groups[0]["lr"] = options.rate * (0.5 + 0.5 * np.cos(np.pi * share))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
        optimiser.step()
        frames += count
    return frames, used


def output(network, name, takes, row):
    """Of one take, from silence on."""
    dry = takes.dry[row]
    if name != "lstm":
        return network(takes.condition(row, nn.functional.pad(dry, (network.reach, 0))))
    found, state = [], None
    for part in takes.condition(row, dry).split(MOST_FRAMES, 2):
        part, state = network(part, state)
        found.append(part)
    return torch.cat(found, 1)


@torch.no_grad()
def errors(network, name, takes, rows):
    """The error-to-signal ratio of each take."""
    found = torch.cat([output(network, name, takes, row) for row in rows.to(takes.dry.device)[:, None]])
    wanted = takes.wet[rows]
    return [float(x) for x in ((found - wanted) ** 2).sum(1) / (wanted**2).sum(1)]


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--network", choices=("a1", "a2", "lstm"), required=True)
    parser.add_argument("--rate", type=float, default=0.004, help="of Adam")
    parser.add_argument("--cpu-seconds", type=float, default=80)
    parser.add_argument("--million-frames", type=float, help="instead of the processor time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--table", default="train.csv", help="in the folder")
    return parser.parse_args()


def main():
    options = parsed()
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    takes = Takes(options.folder / options.table)
    tests = {part: Takes(options.folder / f"{part}.csv", takes.ranges) for part in ("recorded", "synthetic")}
    dry_rms, wet_rms = (float(x.square().mean().sqrt()) for x in (takes.dry, takes.wet))
    for part in (takes, *tests.values()):
        part.scale(dry_rms, wet_rms)
        part.to(options.device)
    name, knobs = options.network, takes.knobs.shape[1]
    network = (Lstm(knobs) if name == "lstm" else WaveNet(name, knobs)).to(options.device)
    rows = torch.arange(len(takes.dry))
    held_out = rows[HELD_OUT - 1 :: HELD_OUT]
    learned = torch.tensor([row for row in rows if row not in held_out])
    frames, seconds = train(network, name, takes, learned, options)
    result = {"network": name, "rate": options.rate, "device": options.device, "seed": options.seed}
    result |= {"multiply_adds": multiply_adds(network, name), "million_frames": frames / 1e6, "cpu_seconds": seconds}
    result["esr_held_out"] = float(np.mean(errors(network, name, takes, held_out)))
    for part, test in tests.items():
        found = errors(network, name, test, torch.arange(len(test.dry)))
        result[part] = {"esr_mean": float(np.mean(found)), "esr_worst": float(np.max(found))}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
