"""Trains all jobs side by side in one process: on a GPU each job's step is one CUDA graph on its own stream; on a CPU
they take turns.

A job is one model at one learning rate, named model@lr. A run can be continued from its checkpoint by a later run."""
import argparse
import json
import math
import os
import pathlib
import time

# more hardware queues than jobs, or streams wait for each other; read when CUDA starts
os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "32")

import numpy as np
import torch

import circuit
import dataset
import export
import metrics
import models
from checkpoint import STATE, Checkpoint, layout

START = time.time()
BETAS, EPSILON, WEIGHT_DECAY, CLIP = (0.9, 0.98), 1e-8, 1e-4, 1.0
SLOW_RATE, WARM_UP_STEPS, FLOOR = 0.3, 100, 0.005
AVERAGE = 0.999
SPECTRAL_WEIGHT = 0.002
INDEX_ROWS = 4096
# batch, frames of a segment, frames at its start that are run but not scored (the state starts at zero there)
SEGMENTS = {"lstm_16": (64, 4096, 1024)}
SEGMENT = (8, 16384, 4096)
JOBS = (
    "s4d_8x6@0.008",
    "s4d_8x6@0.012",
    "s4d_8x6@0.016",
    "s4d_9x5@0.012",
    "s4d_10x5p3@0.012",
    "s4d_8x8p2@0.012",
    "wavenet_standard@0.002",
    "wavenet_standard@0.004",
    "wavenet_standard@0.008",
    "wavenet_feather@0.004",
    "wavenet_feather@0.008",
    "wavenet_nano@0.004",
    "wavenet_nano@0.008",
    "wavenet_nano@0.016",
    "lstm_16@0.004",
    "lstm_16@0.008",
    "lstm_16@0.016",
)
ALIAS_HERTZ = 5000


def say(*words):
    print(f"[{time.time() - START:6.1f}]", *words, flush=True)


def pre_emphasis(y):
    return y[..., 1:] - metrics.PRE_EMPHASIS * y[..., :-1]


def spectral_distance(p, y, windows):
    total = 0.0
    for window in windows:
        n = len(window)
        P, Y = [
            torch.stft(s.flatten(0, 1), n, n // 4, window=window, center=False, return_complex=True).abs()
            for s in (p, y)
        ]
        convergence = ((P - Y).pow(2).sum() / Y.pow(2).sum().clamp(min=1e-6)).clamp(min=1e-8).sqrt()
        total = total + convergence + (torch.log(P + 1e-3) - torch.log(Y + 1e-3)).abs().mean()
    return total / len(windows)


class Data:
    """The three parts as tensors, in units in which the training input has RMS 1/4 and the training target RMS 1."""

    def __init__(self, parts, device, scales=None):
        self.scales = scales or {"x": 4 * float(parts["train"]["x"].std()), "y": float(parts["train"]["y"].std())}
        self.device = device
        move = lambda a, s: torch.from_numpy(a / np.float32(s)).to(device)
        self.parts = {
            name: {
                "x": move(p["x"], self.scales["x"]),
                "y": move(p["y"], self.scales["y"]),
                "knobs": torch.from_numpy(p["knobs"]).to(device),
                "source": p["source"],
            }
            for name, p in parts.items()
        }


class Job:
    def __init__(self, name, data, seed=0, segment=None, rest_share=0.0):
        self.name, self.data, self.seed, self.rest_share = name, data, seed, rest_share
        self.model_name, lr = name.split("@")
        self.lr = float(lr)
        torch.manual_seed(seed)
        self.model = models.MODELS[self.model_name]().to(data.device)
        self.batch, self.length, self.unscored = segment or SEGMENTS.get(self.model_name, SEGMENT)
        # all parameters and gradients are views into two vectors: the optimiser is a dozen operations, whatever the
        # model
        named = dict(self.model.named_parameters())
        self.tensors = [[n, list(p.shape)] for n, p in named.items()]
        self.parameters = sum(p.numel() for p in named.values())
        places, size = layout(self.tensors)
        self.weights = torch.zeros(size, device=data.device)
        self.gradient = torch.zeros_like(self.weights)
        rate = torch.ones_like(self.weights)
        for n, shape, start, end in places:
            p = named[n]
            self.weights[start:end] = p.detach().flatten()
            p.data = self.weights[start:end].view(shape)
            p.grad = self.gradient[start:end].view(shape)
            if n.split(".")[-1] in models.SLOW_PARAMETERS:
                rate[start:end] = SLOW_RATE
        self.rate, self.decay = rate, WEIGHT_DECAY * (rate == 1).float()
        self.moment1, self.moment2, self.average = torch.zeros_like(rate), torch.zeros_like(rate), self.weights.clone()
        scalar = lambda v, dtype=torch.float32: torch.full((), v, dtype=dtype, device=data.device)
        self.step_lr, self.count, self.loss, self.skipped = scalar(0.0), scalar(0.0), scalar(0.0), scalar(0.0)
        self.row = torch.zeros(1, dtype=torch.long, device=data.device)
        self.index = torch.zeros(INDEX_ROWS, 2, self.batch, dtype=torch.long, device=data.device)
        self.frames = torch.arange(self.length, device=data.device)
        self.windows = [
            torch.hann_window(n, device=data.device) for n in (512, 2048) if n <= self.length - self.unscored
        ]
        self.stream = torch.cuda.Stream() if data.device == "cuda" else None
        self.steps, self.seconds, self.history, self.graph, self.alone_ms = 0, 0.0, [], None, None
        self.drawn = False

    def step(self):
        train = self.data.parts["train"]
        e, o = self.index.index_select(0, self.row)[0]
        at = (e * train["x"].shape[1] + o)[:, None] + self.frames
        x, y = train["x"].view(-1)[at][:, None], train["y"].view(-1)[at][:, None]
        p = self.model(x, train["knobs"][e])
        # at an excerpt's start the circuit is at rest, as the model's zero state has to be: there all frames count
        scored = ((o == 0)[:, None] | (self.frames >= self.unscored))[:, None].float()
        error, target = (p - y) * scored, y * scored
        pe, ye = pre_emphasis(p - y) * scored[..., :-1], pre_emphasis(y) * scored[..., :-1]
        loss = pe.pow(2).sum() / (ye.pow(2).sum() + 1e-3) + error.pow(2).sum() / (target.pow(2).sum() + 1e-3)
        loss = loss + SPECTRAL_WEIGHT * spectral_distance(
            p[..., self.unscored :], y[..., self.unscored :], self.windows
        )
        self.gradient.zero_()
        loss.backward()
        with torch.no_grad():
            self.update()
            self.row.add_(1)
            self.loss.lerp_(loss.detach(), 0.01)

    def update(self):
        """AdamW with a clipped gradient, and a running average of the weights; a step whose gradient is not finite
        is left out
        """
        g = self.gradient
        norm = g.norm()
        good = torch.isfinite(norm)
        self.skipped.add_(1 - good.float())
        g.copy_(torch.where(good, g * (CLIP / (norm + 1e-6)).clamp(max=1.0), torch.zeros_like(g)))
        self.count.add_(1)
        self.moment1.lerp_(g, 1 - BETAS[0])
        self.moment2.mul_(BETAS[1]).addcmul_(g, g, value=1 - BETAS[1])
        root = (self.moment2 / (1 - BETAS[1] ** self.count)).sqrt().add_(EPSILON)
        lr = self.step_lr * self.rate
        self.weights.mul_(1 - lr * self.decay)
        self.weights.sub_(lr / (1 - BETAS[0] ** self.count) * self.moment1 / root)
        self.average.add_(
            (self.weights - self.average) * torch.clamp((1 + self.count) / (10 + self.count), max=AVERAGE).neg().add(1)
        )

    def prepare(self):
        """before a step: the rows of segments to draw, a function of seed and step number alone, so that a continued
        run goes on as one run would
        """
        if self.steps % INDEX_ROWS == 0 or not self.drawn:
            rng = np.random.default_rng([self.seed, self.steps // INDEX_ROWS])
            count, length = self.data.parts["train"]["x"].shape
            excerpts, offsets = [
                rng.integers(0, n, (INDEX_ROWS, self.batch)) for n in (count, length - self.length + 1)
            ]
            if self.rest_share:
                offsets[rng.random(offsets.shape) < self.rest_share] = 0
            rows = np.stack([excerpts, offsets], 1)
            self.index.copy_(torch.from_numpy(rows))
            self.row.fill_(self.steps % INDEX_ROWS)
            self.drawn = True

    def launch(self, progress):
        """one step; progress through the learning-rate schedule in 0 .. 1"""
        factor = min(1.0, (self.steps + 1) / WARM_UP_STEPS) * (
            FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        )
        if self.stream is None:
            self.prepare()
            self.step_lr.fill_(self.lr * factor)
            self.step()
        else:
            with torch.cuda.stream(self.stream):
                self.prepare()
                self.step_lr.fill_(self.lr * factor)
                self.graph.replay()
                self.done.record(self.stream)
        self.steps += 1

    def ready(self):
        return self.stream is None or self.done.query()

    def capture(self):
        """records the step as a graph; the steps run for it are undone"""
        if self.stream is None:
            return
        before = [t.clone() for t in self.mutable()]
        torch.cuda.synchronize()  # what was set up on the default stream
        with torch.cuda.stream(self.stream):
            self.prepare()
            self.row.zero_()  # far from the last row
            for _ in range(2):
                self.step()
        self.stream.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.step()
        torch.cuda.synchronize()
        start = time.time()
        for _ in range(5):
            self.graph.replay()
        torch.cuda.synchronize()
        self.alone_ms = (time.time() - start) / 5 * 1e3
        for t, b in zip(self.mutable(), before):
            t.copy_(b)
        self.drawn = False
        self.done = torch.cuda.Event()
        self.done.record(self.stream)
        torch.cuda.synchronize()

    def mutable(self):
        return [self.weights, self.moment1, self.moment2, self.average, self.count, self.loss, self.skipped, self.row]

    @torch.no_grad()
    def outputs(self, x, knobs, size=32):
        """the averaged model's output"""
        kept = self.weights.clone()
        self.weights.copy_(self.average)
        y = torch.cat([self.model(x[i : i + size][:, None], knobs[i : i + size])[:, 0] for i in range(0, len(x), size)])
        self.weights.copy_(kept)
        return y

    def mark(self):
        p = self.data.parts["validation"]
        esr = metrics.summary(self.outputs(p["x"], p["knobs"]).cpu().numpy(), p["y"].cpu().numpy())["esr"]
        self.history.append(
            {
                "steps": self.steps,
                "seconds": round(self.seconds, 1),
                "validation_esr": esr,
                "training_loss": self.loss.item(),
            }
        )

    def test(self):
        p = self.data.parts["test"]
        wet, target = self.outputs(p["x"], p["knobs"]).cpu().numpy(), p["y"].cpu().numpy()
        result = metrics.summary(wet, target)
        for source in sorted(set(p["source"])):
            own = [i for i, s in enumerate(p["source"]) if s == source]
            result[f"esr_{source}"] = metrics.summary(wet[own], target[own])["esr"]
        tone = torch.from_numpy(metrics.sine(ALIAS_HERTZ, circuit.SAMPLE_RATE) / np.float32(self.data.scales["x"])).to(
            self.data.device
        )
        response = self.outputs(tone[None], torch.tensor([[1.0, 0.5]], device=self.data.device))[0].cpu().numpy()
        result["aliasing_db"] = metrics.aliasing_db(response, ALIAS_HERTZ, circuit.SAMPLE_RATE)
        result["validation_esr"] = self.history[-1]["validation_esr"]
        return result

    def state(self, result=None):
        record = {
            "model": self.model_name,
            "lr": self.lr,
            "seed": self.seed,
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
            "tensors": self.tensors,
            "shape": getattr(self.model, "shape", None),
            "macs": self.model.macs,
            "parameters": self.parameters,
            "ms_per_step_alone": self.alone_ms,
            "skipped_steps": int(self.skipped.item()),
            "training_loss": self.loss.item(),
            "history": self.history,
            "metrics": result or {},
            "segment": [self.batch, self.length, self.unscored],
        }
        return {"record": record, **{part: getattr(self, part).detach().cpu().numpy() for part in STATE}}

    def load(self, state):
        record = state["record"]
        if record["tensors"] != self.tensors:
            raise ValueError(f"{self.name}: the checkpoint holds another model")
        for part in STATE:
            getattr(self, part).copy_(torch.from_numpy(state[part]))
        self.steps, self.seconds, self.history = record["steps"], record["seconds"], list(record["history"])
        self.count.fill_(self.steps)
        self.loss.fill_(record["training_loss"])
        self.skipped.fill_(record["skipped_steps"])
        self.drawn = False


def train(jobs, schedule, stop_at, max_steps, save, save_every=60.0, marks=4):
    """Runs all jobs until the clock says stop_at or each has made max_steps in this run; schedule: first and last
    progress.
    """
    start, saved = time.time(), time.time()
    first_steps = {j.name: j.steps for j in jobs}
    before = {j.name: j.seconds for j in jobs}
    due = [start + (stop_at - start) * (i + 1) / (marks + 1) for i in range(marks)]
    active = list(jobs)
    while active:
        now = time.time()
        for j in list(active):
            if not j.ready():
                continue
            made = j.steps - first_steps[j.name]
            share = max((now - start) / max(stop_at - start, 1e-9), made / max_steps)
            j.seconds = before[j.name] + now - start
            if share >= 1:
                active.remove(j)
                continue
            j.launch(schedule[0] + (schedule[1] - schedule[0]) * share)
        if due and now > due[0]:
            due.pop(0)
            synchronize(jobs)
            for j in jobs:
                j.mark()
            say("validation", {j.name: (j.steps, round(j.history[-1]["validation_esr"], 6)) for j in jobs})
        if now - saved > save_every:
            saved = now
            synchronize(jobs)
            save()
        if jobs[0].stream is not None:
            time.sleep(0.0001)
    synchronize(jobs)
    for j in jobs:
        j.mark()


def synchronize(jobs):
    if jobs[0].stream is not None:
        torch.cuda.synchronize()


def report(jobs, results):
    print(
        f"{'job':24s} {'MAC':>6s} {'params':>6s} {'steps':>7s} {'ms':>6s} {'alone':>6s} {'val ESR':>9s} "
        f"{'test ESR':>9s} {'pre-emph':>9s} {'median':>9s} {'recorded':>9s} {'alias dB':>8s}"
    )
    for j in sorted(jobs, key=lambda j: results[j.name]["esr"]):
        r = results[j.name]
        print(
            f"{j.name:24s} {j.model.macs:6d} {j.parameters:6d} {j.steps:7d} "
            f"{1e3 * j.seconds / max(j.steps, 1):6.1f} {j.alone_ms or float('nan'):6.1f} "
            f"{r['validation_esr']:9.6f} {r['esr']:9.6f} {r['esr_pre']:9.6f} {r['esr_median']:9.6f} "
            f"{r.get('esr_recorded', float('nan')):9.6f} {r['aliasing_db']:8.1f}"
        )


def main(argv=None):
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    a.add_argument(
        "--out", type=pathlib.Path, required=True, help="folder for checkpoint.npz, metrics.json and the preset"
    )
    a.add_argument("--jobs", nargs="+", default=JOBS, metavar="MODEL@LR")
    a.add_argument(
        "--seconds", type=float, default=540, help="wall time of the whole run, data and evaluation included"
    )
    a.add_argument("--reserve", type=float, default=40, help="part of it that is kept for the last evaluation")
    a.add_argument("--max-steps", type=int, default=10**9, help="stop each job after this many steps of this run")
    a.add_argument(
        "--progress", type=float, nargs=2, default=(0.0, 1.0), help="part of the cosine schedule that this run covers"
    )
    a.add_argument("--checkpoint-in", type=pathlib.Path, help="continue its jobs; jobs it does not hold start anew")
    a.add_argument(
        "--best", action="store_true", help="continue, of each model in the checkpoint, the job best on validation"
    )
    a.add_argument("--takes", type=pathlib.Path, default=dataset.TAKES, help="packed recordings (pack_data.py)")
    a.add_argument("--synthetic-only", action="store_true", help="do without recordings")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--scale", type=float, default=1.0, help="share of the excerpts to make")
    a.add_argument("--length", type=int, default=dataset.LENGTH, help="frames of an excerpt")
    a.add_argument(
        "--segment",
        type=int,
        nargs=3,
        help="batch, frames and unscored frames of all jobs, instead of each model's own",
    )
    a.add_argument(
        "--rest-share",
        type=float,
        default=0.0,
        help="share of segments taken from an excerpt's start, at rest, and scored from their first frame",
    )
    a.add_argument("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    a.add_argument("--preset", default="green_overdrive", help="name of the exported file")
    o = a.parse_args(argv)
    start = time.time()

    torch.backends.cudnn.allow_tf32 = False  # its 10-bit products would limit the controls
    o.out.mkdir(parents=True, exist_ok=True)
    takes = None if o.synthetic_only else o.takes
    parts = {name: dataset.make(name, takes, o.seed, o.length, o.scale) for name in dataset.PARTS}
    checkpoint = Checkpoint.read(o.checkpoint_in) if o.checkpoint_in else None
    data = Data(parts, o.device, checkpoint and checkpoint.scales)
    say(
        "data",
        {n: (len(p["x"]), f"{p['x'].size / circuit.SAMPLE_RATE:.0f} s") for n, p in parts.items()},
        data.scales,
        o.device,
    )

    jobs = []
    for name in checkpoint.best_of_each_model() if o.best else o.jobs:
        job = Job(name, data, o.seed, o.segment, o.rest_share)
        if checkpoint and name in checkpoint.jobs:
            job.load(checkpoint.jobs[name])
        job.capture()
        jobs.append(job)
        say(
            name,
            "from step",
            job.steps,
            "MAC",
            job.model.macs,
            "parameters",
            job.parameters,
            "ms per step alone",
            job.alone_ms and round(job.alone_ms, 2),
        )

    def save(results=None):
        Checkpoint(data.scales, {j.name: j.state(results and results[j.name]) for j in jobs}).write(
            o.out / "checkpoint.npz"
        )

    train(jobs, o.progress, start + o.seconds - o.reserve, o.max_steps, save)
    save()
    say("trained")
    results = {j.name: j.test() for j in jobs}
    save(results)
    tone = metrics.sine(ALIAS_HERTZ, circuit.SAMPLE_RATE)
    own = metrics.aliasing_db(circuit.process(tone, 1.0, 0.5), ALIAS_HERTZ, circuit.SAMPLE_RATE)
    final = Checkpoint.read(o.out / "checkpoint.npz")
    index = [
        {"source": s, "drive": float(k[0]), "tone": float(k[1])}
        for s, k in zip(parts["test"]["source"], parts["test"]["knobs"])
    ]
    record = {
        "arguments": {k: v.name if isinstance(v, pathlib.Path) else v for k, v in vars(o).items()},
        "circuit_aliasing_db": own,
        "test_excerpts": index,
        "jobs": {n: j["record"] for n, j in final.jobs.items()},
    }
    (o.out / "metrics.json").write_text(json.dumps(record, indent=1))
    if any(j.model_name.startswith("s4d_") for j in jobs):
        export.export(o.out / f"{o.preset}.safetensors", *final.for_export(final.best("s4d_")))
    report(jobs, results)
    print(f"the circuit's own aliasing: {own:.1f} dB")
    say("done")


if __name__ == "__main__":
    main()
