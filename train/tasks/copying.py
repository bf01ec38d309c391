"""Trains a small Mamba-2 on selective copying, and writes it as a model file.

    cd train && python -m tasks.copying --out ../presets/tasks
    cd train && python -m tasks.copying --out OUT --model s4d

Needs torch; uses a GPU if there is one. The input is 16 tokens (1 to 14) at random places among noise (0). Then 16
times the token that asks (15): the model names the tokens in their order. Training sees at most 256 tokens of noise.
Source: Gu & Dao 2023, sec. 4.1.1. With --model s4d, it trains a network of fixed filters to compare; it is not written.
"""

import argparse
import pathlib

import torch

from safetensors_file import read_safetensors

from .lasting import DEVICE, Training, card, idle_steps, share_right, write_model
from .models import S4D, LanguageModel, Mamba2

VOCAB, NOISE, ASK, COPIED, LONGEST = 16, 0, 15, 16, 256
D_MODEL, HEADDIM, D_STATE = 64, 32, 64
RATE, BATCH = 2e-3, 64


def sequences(batch, copied, length):
    """ids with `length` tokens before the questions, the answers, which frames matter"""
    ids = torch.full((batch, length + copied), NOISE, device=DEVICE)
    places = torch.rand(batch, length, device=DEVICE).argsort(1)[:, :copied].sort(1).values
    wanted = torch.randint(1, ASK, (batch, copied), device=DEVICE)
    ids.scatter_(1, places, wanted)
    ids[:, length:] = ASK
    return ids, wanted, ids != NOISE


class Copying:
    """Each level copies one token more."""

    levels = COPIED

    def examples(self, level, batch):
        copied = COPIED if level is None else level + 1
        longest = LONGEST if level is None else 3 * copied + 8
        return sequences(batch, copied, int(torch.randint(copied + 1, longest + 1, ())))

    def forgotten(self, model, matters):
        return idle_steps(model, range(len(model.backbone.layers)), matters)


class Unpenalised(Copying):
    """For fixed filters, which no token can make forget less."""

    def forgotten(self, model, matters):
        return torch.zeros((), device=DEVICE)


def save(model, path, kind):
    right = share_right(model, sequences(64, COPIED, LONGEST))
    print(f"{kind}: right at {LONGEST} tokens: {right:.4f}", flush=True)
    if kind == "s4d":
        print(f"right at 4096 tokens: {share_right(model, sequences(16, COPIED, 4096)):.4f}", flush=True)
        return
    description = "Token 15 asks for the tokens 1 to 14 that came among the noise (0), in their order."
    write_model(
        path,
        model,
        card("Selective copying, mamba2", "copying", description, "random tokens from a seed", LONGEST, right),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--model", choices=["mamba2", "s4d"], default="mamba2")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--steps", type=int, default=30000, help="of the first training, at most")
    parser.add_argument("--lasting-steps", type=int, default=5000, help="of the second training")
    parser.add_argument("--seconds", type=float, default=1e9, help="when both trainings end at the latest")
    parser.add_argument("--go-on", type=pathlib.Path, help="a model file: only the second training, from there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    if options.model == "mamba2":
        mixers, course = [Mamba2(D_MODEL, HEADDIM, D_STATE) for _ in range(options.layers)], Copying()
    else:
        mixers, course = [S4D(D_MODEL, D_STATE // 2) for _ in range(options.layers)], Unpenalised()
    model = LanguageModel(VOCAB, D_MODEL, mixers)
    if options.go_on:
        tensors, _ = read_safetensors(options.go_on)
        model.load_state_dict({name: torch.tensor(value) for name, value in tensors.items()})
    model.to(DEVICE)
    training = Training(model, course, options.rate, options.batch, options.seconds)
    path = options.out / "copying_mamba2.safetensors"
    if not options.go_on:
        training.learn(options.steps)
        save(model, path, options.model)
    training.last(options.lasting_steps)
    save(model, path, options.model)


if __name__ == "__main__":
    main()
