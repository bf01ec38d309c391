"""Times PyTorch's attention (FlashAttention and cuDNN, bf16, causal) over sequence length, for comparison with
gpu_bench's `lengths`: width 1024, 16 heads.

"""

import statistics

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

WIDTH, HEADS, RUNS = 1024, 16, 7


def milliseconds(backend, frames):
    q, k, v = (torch.randn(1, HEADS, frames, WIDTH // HEADS, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    times = []
    with sdpa_kernel(backend):
        for run in range(RUNS + 2):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            scaled_dot_product_attention(q, k, v, is_causal=True)
            end.record()
            torch.cuda.synchronize()
            if run >= 2:
                times.append(begin.elapsed_time(end))
    return statistics.median(times)


def main():
    print(
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}: causal attention, bf16, width {WIDTH}, "
        f"{HEADS} heads, ms"
    )
    print("frames   FlashAttention  cuDNN")
    for power in range(10, 20):
        frames = 2**power
        print(
            f"{frames:<7d}  {milliseconds(SDPBackend.FLASH_ATTENTION, frames):<14.3f}  "
            f"{milliseconds(SDPBackend.CUDNN_ATTENTION, frames):.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
