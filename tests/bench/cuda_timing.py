"""Times calls on a GPU by CUDA events."""

import statistics

import torch

RUNS, WARM_UP = 15, 3


def milliseconds(call):
    """median and least of RUNS calls, after WARM_UP others"""
    times = []
    for run in range(RUNS + WARM_UP):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        end.synchronize()
        if run >= WARM_UP:
            times.append(begin.elapsed_time(end))
    return statistics.median(times), min(times)
