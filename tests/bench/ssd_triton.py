"""Times the Triton kernels of mamba_ssm's SSD (bf16, chunks of 256) for the shapes of gpu_bench's `ssd`; needs
mamba_ssm.ops on Python's path.

"""

import torch
from cuda_timing import milliseconds
from mamba_ssm.ops.triton.ssd_combined import _mamba_chunk_scan_combined_fwd as scan


def work(batch, frames, heads, headdim, d_state):
    random = torch.Generator("cuda").manual_seed(1)
    uniform = lambda *shape: torch.rand(*shape, device="cuda", generator=random)
    x = (uniform(batch, frames, heads, headdim) * 2 - 1).bfloat16()
    dt, A, D = uniform(batch, frames, heads) * 0.1, -uniform(heads) * 10 - 0.7, uniform(heads)
    B, C = ((uniform(batch, frames, 1, d_state) * 2 - 1).bfloat16() for _ in range(2))
    return lambda: scan(x, dt, A, B, C, 256, D=D)


def main():
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}: SSD by Triton, bf16, ms: median, least")
    print("batch  frames   heads  headdim  d_state  median  least")
    for shape in (
        (8, 4096, 32, 64, 64),
        (8, 4096, 32, 64, 128),
        (8, 48000, 16, 8, 16),
        (1, 2880000, 16, 8, 16),
        (1, 1048576, 2, 64, 128),
    ):
        median, least = milliseconds(work(*shape))
        print("%-5d  %-7d  %-5d  %-7d  %-7d  %-6.3f  %.3f" % (*shape, median, least), flush=True)


if __name__ == "__main__":
    main()
