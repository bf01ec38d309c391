"""Trains a small model on a task from easy to hard, and then so that its memory lasts."""

import json
import math
import time

import torch
from torch.nn import functional

from safetensors_file import write_safetensors

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
FUSED = {"fused": True} if DEVICE == "cuda" else {}
SHARE_RIGHT = 0.98
PENALTY = 1e-2
SHARE_LEARNING = 0.6  # of the time, at most


def idle_steps(model, layers, matters):
    """The logarithm of what frames that do not matter do to the memory of these layers: they should neither decay it
    nor write, which the short sequences of a training can hardly show. Half of it is the worst head and frame.
    """
    total = 0
    for layer in layers:
        mixer = model.backbone.layers[layer].mixer
        moved = mixer.dt[~matters] * (1 + mixer.A_log.exp()) + 1e-12
        total = total + (moved.mean(0).log().mean() + moved.max().log()) / 2
    return total / len(layers)


class Training:
    """A course has `levels`, examples(level, batch): ids, the answers of the last frames, and which frames matter; and
    forgotten(model, matters). Level None draws from all that the model is to know.
    """

    def __init__(self, model, course, rate, batch, seconds):
        self.model, self.course, self.rate, self.batch = model, course, rate, batch
        self.optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=0, **FUSED)
        self.began, self.seconds = time.monotonic(), seconds
        self.recent = 0.0

    def passed(self):
        """the share of the time"""
        return (time.monotonic() - self.began) / self.seconds

    def step(self, level, rate, penalty, report):
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        ids, wanted, matters = self.course.examples(level, self.batch)
        logits = self.model(ids)[:, -wanted.shape[1] :]
        loss = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())
        lost = self.course.forgotten(self.model, matters) if penalty else torch.zeros(())
        (loss + penalty * lost).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if report % 10 == 0:  # asking a GPU for a number waits for it
            right = (logits.argmax(-1) == wanted).double().mean().item()
            self.recent += 0.2 * (right - self.recent)
        if report % 100 == 0:
            print(
                f"step {report}: level {level}, loss {loss.item():.2g}, right {self.recent:.4f}, {lost.item():.2f}",
                flush=True,
            )

    def learn(self, steps, penalty=0.0):
        """Returns whether the model was right at all levels."""
        level = 0
        for i in range(steps):
            if self.passed() > SHARE_LEARNING:
                return False
            self.step(level, self.rate * min(1, (i + 1) / 100), penalty, i)
            if self.recent >= SHARE_RIGHT:
                level, self.recent = level + 1, 0.0
                if level == self.course.levels:
                    return True
        return False

    def last(self, steps):
        """With a penalty on forgetting, and a rate that falls."""
        before = self.passed()
        for i in range(steps):
            done = max(i / steps, (self.passed() - before) / (1 - before))
            if done > 1:
                return
            self.step(None, self.rate * math.exp(-4 * done), PENALTY, i)


def share_right(model, examples):
    ids, wanted, _ = examples
    with torch.no_grad():
        return (model(ids)[:, -wanted.shape[1] :].argmax(-1) == wanted).double().mean().item()


def write_model(path, model, card):
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"config": json.dumps(model.config()), "card": json.dumps(card)}
    write_safetensors(path, model.tensors(), metadata)


def card(name, task, description, data, longest, right):
    return {
        "name": name,
        "task": task,
        "description": description,
        "channels": 1,
        "latency_frames": 0,
        "training": {"data": data, "longest": longest},
        "metrics": {f"share right at {longest} tokens": round(right, 4)},
        "licence": "MIT",
    }
