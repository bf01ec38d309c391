"""Trains a small Mamba-3 or a Mamba-2 of the same width on the parity of bits, and writes it as a model file.

    cd train && python -m tasks.parity --model mamba3 --out ../presets/tasks
    cd train && python -m tasks.parity --model mamba3 --out ../presets/tasks --go-on LEARNED.safetensors

Needs torch; some minutes on one core. The input is a token that begins (2) and bits (0, 1). After each bit the model
says whether the number of ones so far is odd. Training sees at most 160 bits.
"""

import argparse
import json
import math
import pathlib

import torch
from torch.nn import functional

from safetensors_file import read_safetensors, write_safetensors

from .models import LanguageModel, Mamba2, Mamba3

VOCAB, BEGIN, LONGEST = 3, 2, 160
D_MODEL, HEADDIM, BATCH = 8, 8, 16
SHARE_RIGHT = 0.999


def examples(batch, bits):
    """ids (batch, 1 + bits), the parity after each bit"""
    drawn = torch.randint(0, 2, (batch, bits))
    drawn[: batch // 4] &= torch.randint(0, 8, (batch // 4, bits)) == 0  # rows of few ones
    ids = torch.cat([torch.full((batch, 1), BEGIN), drawn], 1)
    return ids, drawn.cumsum(1) % 2


def share_right(model, bits, batch=64):
    ids, wanted = examples(batch, bits)
    with torch.no_grad():
        return (model(ids)[:, 1:].argmax(-1) == wanted).double().mean().item()


def forgotten(model):
    """What bits do to the memory besides turning it by whole half turns, which short sequences cannot show: logarithms
    of the decay, of the distance from the next half turn, and of what is written that the bits before do not cancel.
    A zero should write nothing, and a one nothing together with the frame after it; what a one writes itself, the next
    one takes back.
    """
    layer = model.backbone.layers[0]
    bits = model.backbone.embedding.weight[:BEGIN].unsqueeze(0)
    *_, dt, decay, now, turns = layer.mixer.projected(layer.norm(bits))
    written = dt[:, 0].square().sum() + ((1 - now[:, 1]) * dt[:, 1]).square().sum()
    return (decay.sum() + 1e-9).log() + ((turns.sin().square().sum() + 1e-18).log() + written.log()) / 2


def train(model, steps, rate, lasting=0.0):
    """First, sequences become longer when the model is right, until it is at the longest. Then, with the weight
    `lasting` of forgotten(), they have any length, and the rate falls to a millionth.
    """
    optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=0)
    bits = 4
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * (math.exp(-10 * step / steps) if lasting else min(1, (step + 1) / 50))
        ids, wanted = examples(
            BATCH // 4 if lasting else BATCH, int(torch.randint(4, LONGEST + 1, ())) if lasting else bits
        )
        logits = model(ids)[:, 1:]
        loss = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())
        (loss + lasting * forgotten(model) if lasting else loss).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        right = (logits.argmax(-1) == wanted).double().mean().item()
        if step % 100 == 0:
            lost = f", forgotten {forgotten(model).item():.2f}" if lasting else ""
            print(f"step {step}: {wanted.shape[1]} bits, loss {loss.item():.2g}, right {right:.4f}{lost}", flush=True)
        if lasting == 0 and right >= SHARE_RIGHT:
            if bits == LONGEST and loss.item() < 1e-2:
                break
            bits = min(LONGEST, bits + max(1, bits // 8))
    return bits


def mamba3(seed):
    torch.manual_seed(seed)
    return LanguageModel(VOCAB, D_MODEL, [Mamba3(D_MODEL, HEADDIM, d_state=4)])


def mamba2(seed):
    torch.manual_seed(seed)
    return LanguageModel(VOCAB, D_MODEL, [Mamba2(D_MODEL, HEADDIM, d_state=16)])


def card(kind, right):
    return {
        "name": f"Parity, {kind}",
        "task": "parity",
        "description": "Says after each bit whether the number of ones so far is odd. Token 2 begins.",
        "channels": 1,
        "latency_frames": 0,
        "training": {"data": "random bits from a seed", "longest": LONGEST},
        "metrics": {f"share right at {LONGEST} bits": round(right, 4)},
        "licence": "MIT",
    }


def save(model, kind, folder):
    folder.mkdir(parents=True, exist_ok=True)
    right = share_right(model, LONGEST)
    print(f"right at {LONGEST} bits: {right:.4f}")
    metadata = {"config": json.dumps(model.config()), "card": json.dumps(card(kind, right))}
    write_safetensors(folder / f"parity_{kind}.safetensors", model.tensors(), metadata)


def learned(options):
    """A model that is right at all lengths that training sees."""
    make = mamba3 if options.model == "mamba3" else mamba2
    if options.go_on:
        model = make(0)
        tensors, _ = read_safetensors(options.go_on)
        model.load_state_dict({name: torch.tensor(value) for name, value in tensors.items()})
        return model
    for seed in range(options.seeds):
        model = make(seed)
        bits = train(model, options.steps, 1e-2)
        print(f"seed {seed}: learned to {bits} bits, right at {LONGEST}: {share_right(model, LONGEST):.4f}", flush=True)
        if share_right(model, LONGEST) >= SHARE_RIGHT:
            break
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, default=4, help="tried until one learns it")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--model", choices=["mamba3", "mamba2"], required=True)
    parser.add_argument("--go-on", type=pathlib.Path, help="a model file: only the second training, from there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = learned(options)
    if options.model == "mamba3":
        model.double()
        train(model, options.steps, 5e-3, lasting=1e-2)
    save(model, options.model, options.out)


if __name__ == "__main__":
    main()
