"""Trains a small Mamba-2 on induction heads, and writes it as a model file.

    cd train && python -m tasks.induction --out ../presets/tasks

Needs torch; uses a GPU if there is one. The input is random tokens (1 to 15). Token 0 is among them once, and comes
again at the end. The model then names the token that followed it the first time. Training sees at most 256 tokens.
Source: Gu & Dao 2023, sec. 4.1.2.
"""

import argparse
import pathlib

import torch
from torch.nn import functional

from safetensors_file import read_safetensors

from .lasting import DEVICE, Training, card, idle_steps, share_right, write_model
from .models import LanguageModel, Mamba2

VOCAB, MARK, LONGEST = 16, 0, 256
LENGTHS = (8, 16, 32, 64, 128, LONGEST)
D_MODEL, HEADDIM, D_STATE, LAYERS = 32, 16, 16, 2
RATE, BATCH = 3e-3, 32
LEAST_DECAY = 0.1  # of each frame in the first layer


class Induction:
    levels = len(LENGTHS)

    def examples(self, level, batch):
        length = LENGTHS[level] if level is not None else int(torch.randint(LENGTHS[0], LONGEST + 1, ()))
        ids = torch.randint(1, VOCAB, (batch, length), device=DEVICE)
        first = torch.randint(0, length - 2, (batch,), device=DEVICE)
        rows = torch.arange(batch, device=DEVICE)
        ids[rows, first] = MARK
        ids[:, -1] = MARK
        matters = ids == MARK
        matters[rows, first + 1] = True
        return ids, ids[rows, first + 1].unsqueeze(1), matters

    def forgotten(self, model, matters):
        """The last layer has to remember. What the others remember for longer than a training sequence would only
        drift.
        """
        *early, last = range(len(model.backbone.layers))
        drift = 0
        for layer in early:
            mixer = model.backbone.layers[layer].mixer
            drift = drift + functional.relu(LEAST_DECAY - mixer.A_log.exp() * mixer.dt).mean()
        return idle_steps(model, [last], matters) + 1000 * drift


def save(model, path):
    right = share_right(model, Induction().examples(len(LENGTHS) - 1, 128))
    print(f"right at {LONGEST} tokens: {right:.4f}", flush=True)
    description = "Token 0 comes once, and again at the end; names the token that followed it the first time."
    write_model(
        path,
        model,
        card("Induction heads, mamba2", "induction", description, "random tokens from a seed", LONGEST, right),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3000, help="of the first training, at most")
    parser.add_argument("--lasting-steps", type=int, default=600, help="of the second training")
    parser.add_argument("--seconds", type=float, default=1e9, help="when both trainings end at the latest")
    parser.add_argument("--go-on", type=pathlib.Path, help="a model file: only the second training, from there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    model = LanguageModel(VOCAB, D_MODEL, [Mamba2(D_MODEL, HEADDIM, D_STATE) for _ in range(LAYERS)])
    if options.go_on:
        tensors, _ = read_safetensors(options.go_on)
        model.load_state_dict({name: torch.tensor(value) for name, value in tensors.items()})
    model.to(DEVICE)
    training = Training(model, Induction(), RATE, BATCH, options.seconds)
    path = options.out / "induction_mamba2.safetensors"
    if not options.go_on:
        training.learn(options.steps)
        save(model, path)
    training.last(options.lasting_steps)
    save(model, path)


if __name__ == "__main__":
    main()
