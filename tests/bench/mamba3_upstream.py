"""Times the kernels of mamba_ssm's Mamba-3 (bf16) for the shapes of gpu_bench's `mamba3`: SISO by Triton, MIMO by
TileLang if that is installed; needs mamba_ssm.ops on Python's path.

"""

import torch
from cuda_timing import milliseconds

BATCH, FRAMES, HEADS, HEADDIM, D_STATE, RANK = 8, 4096, 32, 64, 128, 4


def uniform(low, high, *shape):
    return torch.rand(*shape, device="cuda") * (high - low) + low


def common():
    """dt A, dt, the share of this frame before its sigmoid, the angles' speeds, D"""
    dt = uniform(0.001, 0.1, BATCH, HEADS, FRAMES)
    return (
        dt * uniform(-10, -0.7, 1, HEADS, 1),
        dt,
        uniform(-3, 3, BATCH, HEADS, FRAMES).bfloat16(),
        uniform(-1, 1, BATCH, FRAMES, HEADS, D_STATE // 4).bfloat16(),
        uniform(-1, 1, HEADS),
    )


def siso():
    from mamba_ssm.ops.triton.mamba3.mamba3_siso_combined import mamba3_siso_combined

    q, k = (uniform(-1, 1, BATCH, FRAMES, 1, D_STATE).bfloat16() for _ in range(2))
    v, z = (uniform(-1, 1, BATCH, FRAMES, HEADS, HEADDIM).bfloat16() for _ in range(2))
    q_bias, k_bias = (uniform(0, 1, HEADS, D_STATE) for _ in range(2))
    adt, dt, trap, angles, d = common()
    return lambda: mamba3_siso_combined(q, k, v, adt, dt, trap, q_bias, k_bias, angles, d, z, chunk_size=64)


def mimo():
    from mamba_ssm.ops.tilelang.mamba3.mamba3_mimo import mamba3_mimo

    q, k = (uniform(-1, 1, BATCH, FRAMES, RANK, 1, D_STATE).bfloat16() for _ in range(2))
    v, z = (uniform(-1, 1, BATCH, FRAMES, HEADS, HEADDIM).bfloat16() for _ in range(2))
    q_bias, k_bias = (uniform(0, 1, HEADS, RANK, D_STATE) for _ in range(2))
    up, gate, down = (uniform(0, 1, HEADS, RANK, HEADDIM) for _ in range(3))
    adt, dt, trap, angles, d = common()
    return lambda: mamba3_mimo(
        q, k, v, adt, dt, trap, q_bias, k_bias, up, gate, down, angles, d, z, 64 // RANK, 4, torch.bfloat16
    )


def main():
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}: Mamba-3 of mamba_ssm, bf16, ms: median, least")
    for name, kernel in (("SISO (Triton)", siso), ("MIMO (TileLang)", mimo)):
        try:
            with torch.no_grad():
                print("%-16s  %-6.3f  %.3f" % (name, *milliseconds(kernel())), flush=True)
        except ImportError as missing:
            print(f"{name}: {missing}", flush=True)


if __name__ == "__main__":
    main()
