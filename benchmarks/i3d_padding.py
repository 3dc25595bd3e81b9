"""What TensorFlow's padding costs I3D: the network against the same one padded evenly by its own layers.

    python benchmarks/i3d_padding.py [--frames 16] [--size 224] [--processes 11] [--pairs 8] [--device cpu]

Both hold the very same weights. Where memory comes to lie differs from process to process and moves the ratio by more
than the padding does, so each of several fresh processes runs pairs of both, in turn, and which of them begins changes
from pair to pair and from process to process. A process counts as the median of its pairs' ratios; the result is the
median over processes with its 95 % interval, that of the sign test. The evenly padded network gives other numbers and
is no I3D: it is the cheapest that a port can be.

Times are the process's CPU time on one core, on a GPU the wall time.
"""

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def evenly_padded(module, nn):
    """The same network with half the kernel as padding at both ends, which TensorFlow's is not."""
    for name, child in module.named_children():
        if type(child).__name__ == "SameConv":
            plain = nn.Conv3d(child.in_channels, child.out_channels, child.kernel_size, child.stride,
                              [size // 2 for size in child.kernel_size], bias=False)  # fmt: skip
            plain.weight = child.weight
            setattr(module, name, plain)
        elif type(child).__name__ == "SamePool":
            # 3 pads 1; the last pool, of size 2, pads nothing
            setattr(module, name, nn.MaxPool3d(child.size, child.stride, [(size - 1) // 2 for size in child.size]))
        else:
            evenly_padded(child, nn)
    return module


def timed(module, clip, torch) -> float:
    clock = time.perf_counter if clip.is_cuda else time.process_time
    start = clock()
    module(clip)
    if clip.is_cuda:
        torch.cuda.synchronize()
    return clock() - start


def measure_pairs(options) -> dict:
    """Ratios and seconds of this process, which keeps its memory as an evaluation does."""
    import torch

    from vidbench.nets.i3d import I3D
    from vidbench.utils import keep_freed_memory

    keep_freed_memory(large_blocks=True)
    torch.set_num_threads(1)
    ours = I3D().eval().to(options.device)
    shared = {id(value): value for value in (*ours.parameters(), *ours.buffers())}
    plain = evenly_padded(copy.deepcopy(ours, shared), torch.nn)
    clip = torch.rand(1, 3, options.frames, options.size, options.size, device=options.device) * 2 - 1
    ratios, seconds = [], []
    with torch.inference_mode():
        assert ours(clip).shape == plain(clip).shape
        for pair in range(options.pairs):
            order = (ours, plain) if (pair + options.one) % 2 else (plain, ours)
            found = {module: timed(module, clip, torch) for module in order}
            ratios.append(found[ours] / found[plain])
            seconds.append(found[ours])
    return {"ratios": ratios, "seconds": seconds}


def in_fresh_process(number: int, options) -> dict:
    """What ``measure_pairs`` gives in an interpreter of its own; ``number`` decides which network begins."""
    words = [f"--{name}={getattr(options, name)}" for name in ("frames", "size", "pairs", "device")]
    done = subprocess.run([sys.executable, __file__, *words, f"--one={number}"], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("frames", 16), ("size", 224), ("processes", 11), ("pairs", 8)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)  # measure here, for the process that asks
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(measure_pairs(options)))
        return
    from scipy.stats import quantile_test

    found = []
    for number in range(options.processes):
        found.append(in_fresh_process(number, options))
        low, middle, high = (f(found[-1]["ratios"]) for f in (min, statistics.median, max))
        print(f"process {number + 1}: {middle:.3f} [{low:.3f}, {high:.3f}]", flush=True)
    medians = [statistics.median(one["ratios"]) for one in found]
    low, high = quantile_test(medians, q=1.0, p=0.5).confidence_interval(0.95)
    seconds = [value for one in found for value in one["seconds"]]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"I3D, {options.frames} frames of {options.size}, {options.device}: {statistics.median(medians):.3f} "
        f"[{low:.3f}, {high:.3f}] of the evenly padded network's time; {options.processes} processes of "
        f"{options.pairs} pairs each, {statistics.median(seconds):.2f} s a clip; load {load}"
    )


if __name__ == "__main__":
    main()
