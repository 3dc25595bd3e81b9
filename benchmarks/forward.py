"""How long one forward pass takes in each memory format and precision, side by side in one run.

    python benchmarks/forward.py [--out benchmarks/forward.md] [--threads N] [--device auto]
    python benchmarks/forward.py --kept-memory

Every option of a model is timed in turn, round after round, so that whatever else the machine does hits all of them
alike; the table shows medians. Shipped weights where there are any, else random ones: speed does not depend on them.
The change of the probabilities is against fp32, contiguous; what `--precision auto` picks follows from both.

`--kept-memory` compares a process that keeps its memory from batch to batch with one that does not, in turn.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vidbench import forward
from vidbench.forward import TorchNetwork, choose_device
from vidbench.metrics import softmax
from vidbench.models import find_card, load_model
from vidbench.utils import atomic_writer, git_commit, machine_facts, package_versions

# model, weights, frames a view, views a batch, rounds
CASES = (
    ("mini2d.vidmini_v1", None, 8, 8, 9),
    ("mini_r2plus1d.vidmini_v1", None, 16, 8, 9),
    ("r3d_18.kinetics400_v1", "random", 16, 2, 7),
    ("s3d.kinetics400_v1", "random", 64, 1, 5),
)
OPTIONS = tuple((precision, form) for precision in ("fp32", "bf16") for form in forward.MEMORY_FORMATS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="write the table there too")
    parser.add_argument("--threads", type=int, help="cores for the network (default: torch's choice)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--models", default="", help="only models whose name contains this")
    parser.add_argument("--kept-memory", action="store_true", help="compare keeping memory with giving it back")
    args = parser.parse_args()
    if args.kept_memory:
        print(KEPT_HEADING)
        for case in CASES[1:]:
            if args.models in case[0]:
                print(kept_memory(case[0]), flush=True)
        return
    device = choose_device(args.device)
    lines = heading(device, args.threads)
    for name, weights, num_frames, batch_size, rounds in CASES:
        if args.models in name:
            lines += measure(name, weights, num_frames, batch_size, rounds, device, args.threads)
            print("\n".join(lines[-len(OPTIONS) :]), flush=True)
    text = "\n".join(lines) + "\n"
    if args.out:
        with atomic_writer(args.out, "w") as file:
            file.write(text)
    print(text)


def heading(device: str, threads: int | None) -> list[str]:
    import torch

    machine, versions = machine_facts(), package_versions()
    threads = threads or torch.get_num_threads()
    where = torch.cuda.get_device_name(device) if device.startswith("cuda") else machine["processor"]
    return [
        "# Forward passes",
        "",
        "`python benchmarks/forward.py --out benchmarks/forward.md`",
        "",
        f"{where}, {machine['cores']} cores, {threads} threads, torch {versions['torch']}, "
        f"commit {git_commit(Path(__file__).parents[1]) or 'unknown'}. Medians of n rounds, all options in turn; "
        "smallest and largest in brackets. Probabilities are compared with fp32 contiguous on noise; "
        f"`--precision auto` takes bf16 only below {forward.BF16_TOLERANCE} with every best class the same, and any "
        f"other choice than the first only at {forward.WORTH_IT} of its time or less.",
        "",
        "| model | frames x views | precision | memory format | n | seconds a view | of first | CPU s | change of p |",
        "|---|---|---|---|---|---|---|---|---|",
    ]


def measure(name, weights, num_frames, batch_size, rounds, device, threads) -> list[str]:
    """One table row an option, as Markdown."""
    card = find_card(name)
    if weights is None and not (Path(forward.__file__).parent / "weights" / card.weights.file).is_file():
        weights = "random"
    model = load_model(name, weights, device=device, num_threads=threads)
    spec = replace(card.input, num_frames=num_frames)
    shape = (batch_size, num_frames, *spec.crop, 3)
    pixels = [np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)]
    networks = {option: copy_of(model, spec, option) for option in OPTIONS}
    scores = {}
    for _ in range(3 if rounds >= 7 else 1):  # warm-up: the first calls pay for memory and for compiled kernels
        scores = {option: network.logits(pixels, batch_size)[0] for option, network in networks.items()}
    times: dict[tuple[str, str], list[float]] = {option: [] for option in OPTIONS}
    cores: dict[tuple[str, str], list[float]] = {option: [] for option in OPTIONS}
    for _ in range(rounds):
        for option, network in networks.items():
            start, used = time.perf_counter(), time.process_time()
            network.logits(pixels, batch_size)
            times[option].append((time.perf_counter() - start) / batch_size)
            cores[option].append((time.process_time() - used) / batch_size)
    plain = statistics.median(times[OPTIONS[0]])
    rows = []
    for option in OPTIONS:
        median = statistics.median(times[option])
        change = np.abs(softmax(scores[OPTIONS[0]]) - softmax(scores[option])).max()
        rows.append(
            f"| {name}{' (random weights)' if weights else ''} | {num_frames} x {batch_size} | {' | '.join(option)} "
            f"| {rounds} | {median:.4f} ({min(times[option]):.4f}-{max(times[option]):.4f}) | {median / plain:.2f} "
            f"| {statistics.median(cores[option]):.4f} | {change:.1e} |"
        )
    return rows


KEPT_HEADING = """| model | n | seconds a batch of 8, given back | kept | ratio | peak MB, given back | kept |
|---|---|---|---|---|---|---|"""
KEPT_PROGRAM = """
import sys, time
import numpy as np
sys.path.insert(0, sys.argv[1])
from vidbench import models, utils
if sys.argv[3] == "kept":
    utils.keep_freed_memory(large_blocks=True)
card = models.find_card(sys.argv[2])
model = models.load_model(sys.argv[2], "random", device="cpu")
shape = (1, card.input.num_frames, *card.input.crop, 3)
pixels = [np.random.default_rng(k).integers(0, 256, shape, dtype=np.uint8) for k in range(8)]
model.logits(pixels, 8)
times = []
while len(times) < 5:
    start = time.perf_counter()
    model.logits(pixels, 8)
    times.append(time.perf_counter() - start)
print(sorted(times)[2], utils.peak_rss_mb())
"""


def kept_memory(name: str, rounds: int = 5) -> str:
    """One table row: processes with and without kept memory, in turn."""
    found: dict[str, list] = {"given back": [], "kept": []}
    for _ in range(rounds):
        for how, results in found.items():
            command = [sys.executable, "-c", KEPT_PROGRAM, str(Path(__file__).resolve().parents[1]), name, how]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            results.append([float(word) for word in done.stdout.split()])
    (back_s, back_mb), (kept_s, kept_mb) = (map(statistics.median, zip(*found[how])) for how in found)
    ratios = [kept[0] / back[0] for back, kept in zip(found["given back"], found["kept"])]
    return (
        f"| {name} | {rounds} | {back_s:.3f} | {kept_s:.3f} | {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f}-{max(ratios):.2f}) | {back_mb:.0f} | {kept_mb:.0f} |"
    )


def copy_of(model, spec, option: tuple[str, str]) -> TorchNetwork:
    """The model's network once more, with weights of its own in another memory format."""
    import copy

    module = copy.deepcopy(model.network.module)
    return TorchNetwork(module, spec, device=model.device, precision=option[0], memory_format=option[1])


if __name__ == "__main__":
    main()
