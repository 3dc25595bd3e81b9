"""What TensorFlow's padding costs I3D: the network against the same one padded evenly by its own layers.

python benchmarks/i3d_padding.py [--frames 16] [--size 224] [--repeats 5] [--device cpu]

Both hold the same weights and run in turn, so that whatever else the machine does meets both; the ratio of each pair is
taken, and their median is what counts. The evenly padded one gives other numbers and is no I3D: it is the cheapest that
a port can be.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def evenly_padded(module):
    """The same network with half the kernel as padding at both ends, which TensorFlow's is not."""
    from torch import nn

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
            evenly_padded(child)
    return module


def timed(module, clip, torch) -> float:
    start = time.perf_counter() if clip.is_cuda else time.process_time()
    module(clip)
    if clip.is_cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() if clip.is_cuda else time.process_time()) - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("frames", 16), ("size", 224), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    import copy

    import torch

    from vidbench.nets.i3d import I3D

    ours = I3D().eval().to(options.device)
    plain = evenly_padded(copy.deepcopy(ours))
    clip = torch.rand(1, 3, options.frames, options.size, options.size, device=options.device) * 2 - 1
    ratios, seconds = [], []
    with torch.inference_mode():
        timed(ours, clip, torch), timed(plain, clip, torch)
        for repeat in range(options.repeats):
            pair = (ours, plain) if repeat % 2 else (plain, ours)
            found = {module: timed(module, clip, torch) for module in pair}
            ratios.append(found[ours] / found[plain])
            seconds.append(found[ours])
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    print(
        f"I3D, {options.frames} frames of {options.size}, {options.device}, {torch.get_num_threads()} threads: "
        f"{middle:.3f} [{low:.3f}, {high:.3f}] of the evenly padded network's time, n={options.repeats}; "
        f"{statistics.median(seconds):.2f} s a clip ({'wall' if clip.is_cuda else 'CPU'})"
    )


if __name__ == "__main__":
    main()
