"""Writes torch_stft.safetensors: a segment, its multi-resolution STFT loss and PyTorch's gradient in double precision.
python3 make_torch_stft.py OUT"""
import sys

import torch

from make_torch_gradients import write

FRAMES, WINDOWS, LEAST_POWER = 2048, (128, 512, 1024), 1e-5


def magnitudes(signal, window):
    spectra = torch.stft(
        signal, window, window // 4, window=torch.hann_window(window), center=False, return_complex=True
    )
    return (spectra.abs() ** 2 + LEAST_POWER).sqrt()


def loss_of(output, target):
    losses = []
    for window in WINDOWS:
        x, y = magnitudes(output, window), magnitudes(target, window)
        losses.append(((x - y).norm() / y.norm()) + (x.log() - y.log()).abs().mean())
    return sum(losses) / len(losses)


def main():
    torch.manual_seed(3)
    torch.set_default_dtype(torch.float64)
    output, target = ((torch.randn(FRAMES) * 0.5).float().double() for _ in range(2))
    output.requires_grad_()
    loss = loss_of(output, target)
    loss.backward()
    tensors = {"output": output.detach(), "target": target, "loss": loss.detach().reshape(1), "gradient": output.grad}
    write(sys.argv[1], tensors, {"made_by": f"make_torch_stft.py, PyTorch {torch.__version__}"})


main()
