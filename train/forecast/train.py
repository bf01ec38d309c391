"""Trains the forecasters in parallel on one GPU, with the same batches, on synthetic series that are drawn during
training.

A run ends after a given time. The learning rate is constant except for a warm-up and a decay in the last seconds. The
state before the decay is saved, too, so that a later run can continue from it (--checkpoint-in)."""
import argparse
import pathlib
import time

import torch

from flat_layout import layout

from . import checkpoint
from .model import SHAPES, Forecaster, initial, parameter_shapes
from .normaliser import QUANTILES, targets
from .series import Pool

START = time.time()
BETAS, EPSILON, WEIGHT_DECAY, CLIP = (0.9, 0.95), 1e-8, 0.02, 1.0
RATES = {"watch": 2.5e-3, "watch_mamba": 2.5e-3, "watch_small": 5e-3}
SLOW, SLOW_RATE = ("kernel.log_dt", "kernel.log_A_real", "kernel.A_imag", "mixer.dt_bias", "mixer.A_log"), 0.3
WARM_UP_STEPS, FLOOR = 300, 0.01
AVERAGE = 0.999
NEARLY_EXACT = 0.03  # below this loss, a series loses its weight in the objective
VALIDATION_SEED, VALIDATION_SERIES = 1_000_003, 512


def say(*words):
    print(f"[{time.time() - START:6.1f}]", *words, flush=True)


def pinball(y, x, x_ref, D, seen, valid):
    """per series, the mean over the scored steps, horizons and quantiles of twice the pinball loss in asinh space"""
    target = targets(x, x_ref, D)
    horizons = target.shape[-1]
    weight = (seen.unfold(1, horizons, 1)[:, 1:] & valid[..., None]).float()
    error = target[..., None] - y.unflatten(-1, (horizons, len(QUANTILES))).float()
    loss = 0.0
    for i, q in enumerate(QUANTILES):
        loss = loss + torch.maximum(q * error[..., i], (q - 1) * error[..., i])
    return 2 / len(QUANTILES) * (loss * weight).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1)


def objective(*batch):
    """The mean logarithm of the series' losses: a series that can be forecast to a hundredth of its step weighs as much
    as one that is mostly noise. Forecasts are judged relative to each series, too.
    """
    return torch.log(pinball(*batch) + NEARLY_EXACT).mean()


class Job:
    """One model with its optimiser; all parameters are stored in one flat vector."""

    def __init__(self, name, device, seed, dtype, compiled, chunk):
        self.name, self.seed, self.chunk = name, seed, chunk
        self.tensors = [[n, list(s)] for n, s in parameter_shapes(SHAPES[name]).items()]
        places, size = layout(self.tensors)
        self.weights = torch.zeros(size, device=device)
        self.gradient, self.moment1, self.moment2 = (torch.zeros_like(self.weights) for _ in range(3))
        self.rate, self.decay = torch.ones_like(self.weights), torch.zeros_like(self.weights)
        generator = torch.Generator().manual_seed(seed)
        self.parameters = {}
        for key, shape, start, end in places:
            self.weights[start:end] = initial(key, shape, len(SHAPES[name]["layers"]), generator).flatten().to(device)
            parameter = torch.nn.Parameter(self.weights[start:end].view(shape))
            parameter.grad = self.gradient[start:end].view(shape)
            self.parameters[key] = parameter
            self.rate[start:end] = SLOW_RATE if key.endswith(SLOW) else 1.0
            self.decay[start:end] = WEIGHT_DECAY * key.endswith(("in_proj.weight", "out_proj.weight"))
        self.average = self.weights.clone()
        self.count = sum(end - start for _, _, start, end in places)
        self.model = Forecaster(SHAPES[name], self.parameters, chunk, dtype, compiled)
        # compiling again for passes without gradient would take longer than it saves
        self.uncompiled = Forecaster(SHAPES[name], self.parameters, chunk, dtype)
        self.loss_of = torch.compile(objective, dynamic=False) if compiled else objective
        self.loss, self.skipped = (torch.zeros((), device=device) for _ in range(2))
        self.steps, self.first_step, self.records, self.seconds, self.history = 0, 0, 0, 0.0, []

    def step(self, batch, factor):
        """one batch; factor: scales the learning rate"""
        frames, *rest = batch
        self.gradient.zero_()
        loss = self.loss_of(self.model(frames), *rest)
        loss.backward()
        with torch.no_grad():
            self.update(RATES[self.name] * factor * min(1.0, (self.steps + 1) / WARM_UP_STEPS))
            self.loss.lerp_(loss.detach(), 0.02 if self.steps > self.first_step else 1.0)
        self.steps += 1
        self.records += frames.shape[0] * frames.shape[1]

    def update(self, lr):
        """AdamW with gradient clipping, and a running average of the weights; skips steps whose gradient is not
        finite

        """
        g = self.gradient
        norm = g.norm()
        good = torch.isfinite(norm)
        self.skipped.add_(1 - good.float())
        g.copy_(torch.where(good, g * (CLIP / (norm + 1e-6)).clamp(max=1.0), torch.zeros_like(g)))
        count = self.steps + 1
        self.moment1.lerp_(g, 1 - BETAS[0])
        self.moment2.mul_(BETAS[1]).addcmul_(g, g, value=1 - BETAS[1])
        root = (self.moment2 / (1 - BETAS[1] ** count)).sqrt().add_(EPSILON)
        rate = lr * self.rate
        self.weights.mul_(1 - rate * self.decay)
        self.weights.sub_(rate / (1 - BETAS[0] ** count) * self.moment1 / root)
        self.average.lerp_(self.weights, 1 - min(AVERAGE, (1 + count) / (10 + count)))

    @torch.no_grad()
    def mark(self, validation, batch):
        """the objective of the averaged weights on the validation series"""
        kept = self.weights.clone()
        self.weights.copy_(self.average)
        losses = []
        for first in range(0, len(validation), batch):
            frames, *rest = validation.rows(first, first + batch)
            losses.append(pinball(self.uncompiled(frames), *rest))
        self.weights.copy_(kept)
        losses = torch.cat(losses)
        self.history.append(
            {
                "steps": self.steps,
                "records": self.records,
                "seconds": round(self.seconds, 1),
                "validation_loss": losses.mean().item(),
                "validation_log_loss": torch.log(losses + NEARLY_EXACT).mean().item(),
                "training_loss": self.loss.item(),
            }
        )
        return self.history[-1]["validation_log_loss"]

    def rounding(self, batch):
        """the objective as trained, and in float32 without compilation"""
        frames, *rest = (t[:4] for t in batch)
        with torch.no_grad():
            models = (self.uncompiled, Forecaster(SHAPES[self.name], self.parameters, self.chunk))
            return tuple(objective(model(frames), *rest).item() for model in models)

    def record(self):
        return {
            "shape": SHAPES[self.name],
            "tensors": self.tensors,
            "parameters": self.count,
            "seed": self.seed,
            "lr": RATES[self.name],
            "steps": self.steps,
            "records": self.records,
            "seconds": round(self.seconds, 1),
            "skipped_steps": int(self.skipped.item()),
            "history": self.history,
        }

    def save_state(self, folder):
        checkpoint.write_state(
            folder, self.name, *(t.cpu().numpy() for t in (self.weights, self.moment1, self.moment2))
        )
        self.saved = {"steps": self.steps, "records": self.records, "seconds": self.seconds}

    def load_state(self, folder):
        record = checkpoint.read_record(folder)["jobs"][self.name]
        if record["tensors"] != self.tensors:
            raise ValueError(f"{folder}: {self.name} is another model there")
        for own, stored in zip((self.weights, self.moment1, self.moment2), checkpoint.read_state(folder, self.name)):
            own.copy_(torch.from_numpy(stored))
        self.average.copy_(self.weights)
        self.steps, self.records, self.seconds = (record["resume"][k] for k in ("steps", "records", "seconds"))
        self.first_step, self.history = self.steps, record["history"]


class Batches:
    """Batches of new series, drawn one pool at a time; determined by the seed and the number of the first pool."""

    def __init__(self, seed, first_pool, pool_series, steps, batch, device):
        self.seed, self.pool_number, self.pool_series, self.steps, self.batch, self.device = (
            seed,
            first_pool,
            pool_series,
            steps,
            batch,
            device,
        )
        self.at, self.pool, self.drawing_seconds = pool_series, None, 0.0

    def next(self):
        if self.at + self.batch > self.pool_series:
            start = time.time()
            self.pool = Pool(self.seed * 100_000 + self.pool_number, self.pool_series, self.steps, self.device)
            if self.device == "cuda":
                torch.cuda.synchronize()
            self.drawing_seconds += time.time() - start
            self.pool_number, self.at = self.pool_number + 1, 0
        rows = self.pool.rows(self.at, self.at + self.batch)
        self.at += self.batch
        return rows


def options_of(argv):
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    a.add_argument("--out", type=pathlib.Path, required=True, help="folder for the checkpoint")
    a.add_argument("--jobs", nargs="+", default=["watch", "watch_small"], choices=SHAPES)
    a.add_argument(
        "--race",
        nargs="+",
        default=[],
        choices=SHAPES,
        help="jobs of which only the one best on validation goes on after --race-seconds",
    )
    a.add_argument("--race-seconds", type=float, default=100)
    a.add_argument("--seconds", type=float, default=560, help="wall time of the whole run")
    a.add_argument(
        "--decay-seconds", type=float, default=0, help="of it, the time at the end over which the learning rate falls"
    )
    a.add_argument("--reserve", type=float, default=15, help="of it, the time kept for the last evaluation")
    a.add_argument("--max-steps", type=int, default=10**9, help="stop after this many steps of this run")
    a.add_argument("--checkpoint-in", type=pathlib.Path, help="continue from this folder")
    a.add_argument("--steps", type=int, default=1024, help="records of a series")
    a.add_argument("--batch", type=int, default=128, help="series of a batch")
    a.add_argument("--pool", type=int, default=16384, help="series drawn at a time")
    a.add_argument("--chunk", type=int, default=64, help="steps of a chunk of the scan")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    a.add_argument("--no-compile", action="store_true")
    return a.parse_args(argv)


class Run:
    """All jobs on the same batches, until the time or the number of steps is used up."""

    def __init__(self, options):
        o = self.options = options
        self.start = time.time()
        self.stop = self.start + o.seconds - o.reserve
        self.on_gpu = o.device == "cuda"
        dtype, compiled = torch.bfloat16 if self.on_gpu else torch.float32, self.on_gpu and not o.no_compile
        self.jobs = [Job(name, o.device, o.seed, dtype, compiled, o.chunk) for name in o.jobs]
        pools = 0
        if o.checkpoint_in:
            pools = checkpoint.read_record(o.checkpoint_in)["pools"]
            for job in self.jobs:
                job.load_state(o.checkpoint_in)
        self.batches = Batches(o.seed, pools, o.pool, o.steps, o.batch, o.device)
        self.validation = Pool(VALIDATION_SEED, max(o.batch, VALIDATION_SERIES // o.batch * o.batch), o.steps, o.device)
        self.first = self.batches.next()
        self.lost, self.racing, self.decaying = {}, bool(o.race), False
        self.done, self.queue = 0, []

    def introduce(self):
        o = self.options
        say("series", o.steps, "x", o.batch, "a batch; pool drawn in", round(self.batches.drawing_seconds, 2), "s")
        for job in self.jobs:
            as_trained, plain = job.rounding(self.first)
            say(
                job.name,
                job.count,
                "parameters, from step",
                job.steps,
                f"loss as trained {as_trained:.5f}, in float32 {plain:.5f}",
            )

    def mark(self):
        marks = {}
        for job in self.jobs:
            log_loss = job.mark(self.validation, self.options.batch)
            marks[job.name] = (job.steps, round(log_loss, 5), round(job.history[-1]["validation_loss"], 5))
        say("validation", marks)

    def save(self, states):
        folder = self.options.out
        for job in self.jobs:
            if states:
                job.save_state(folder)
            checkpoint.write_average(folder, job.name, job.average.cpu().numpy())
        arguments = {k: v.name if isinstance(v, pathlib.Path) else v for k, v in vars(self.options).items()}
        checkpoint.write_record(
            folder,
            {
                "arguments": arguments,
                "pools": self.batches.pool_number,
                "race": self.lost,
                "jobs": {j.name: dict(j.record(), resume=j.saved) for j in self.jobs},
            },
        )

    def step(self):
        """one batch for all jobs"""
        now, decay_seconds = time.time(), self.options.decay_seconds
        if decay_seconds and not self.decaying and now > self.stop - decay_seconds:
            self.decaying = True
            self.save(states=True)
        factor = max(FLOOR, (self.stop - now) / decay_seconds) if self.decaying else 1.0
        batch = self.first if self.done == 0 else self.batches.next()
        for job in self.jobs:
            job.step(batch, factor)
        self.done += 1
        if self.on_gpu:
            self.queue.append(torch.cuda.Event())
            self.queue[-1].record()
            if len(self.queue) > 3:
                self.queue.pop(0).synchronize()
        for job in self.jobs:
            job.seconds += time.time() - now

    def end_race(self):
        self.racing = False
        self.mark()
        racers = [j for j in self.jobs if j.name in self.options.race]
        best = min(racers, key=lambda j: j.history[-1]["validation_log_loss"]).name
        self.lost = {j.name: j.record() for j in racers if j.name != best}
        self.jobs = [j for j in self.jobs if j.name not in self.lost]
        say("the race goes to", best)

    def train(self):
        o = self.options
        before, records = time.time(), 0
        next_word, next_mark = 0.0, time.time() + 60
        while time.time() < self.stop and self.done < o.max_steps:
            self.step()
            records += o.batch * o.steps
            if self.done in (1, 2, 20) or time.time() > next_word:
                say(
                    "step",
                    self.done,
                    {j.name: round(j.loss.item(), 4) for j in self.jobs},
                    f"{records / (time.time() - before) / 1e6:.2f} M records/s, "
                    f"drawing {self.batches.drawing_seconds:.1f} s in all",
                )
                before, records, next_word = time.time(), 0, time.time() + 20
            if self.racing and time.time() - self.start > o.race_seconds:
                self.end_race()
            if time.time() > next_mark:
                self.mark()
                next_mark = time.time() + 60


def main(argv=None):
    o = options_of(argv)
    o.out.mkdir(parents=True, exist_ok=True)
    torch.backends.cuda.matmul.allow_tf32 = True
    run = Run(o)
    run.introduce()
    if o.checkpoint_in:
        run.mark()
    run.train()
    run.mark()
    run.save(states=not run.decaying)
    say(
        "done",
        {j.name: (j.steps, f"{j.records / 1e9:.3f} G records", int(j.skipped.item())) for j in run.jobs},
        f"drawing {run.batches.drawing_seconds:.1f} s",
    )


if __name__ == "__main__":
    main()
