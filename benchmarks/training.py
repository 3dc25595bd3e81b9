"""What training costs beside its network: each step next to a bare forward and backward pass over the same batch.

    python benchmarks/training.py [--threads 1] [--write]
    python benchmarks/training.py --workers 1 [--rounds 3] [--only mini]

Trains with ``vidbench.train.train`` on the shipped clips of vidmini, their frames in the cache. Each step is followed
by a bare one: the same batch, once more forward and backward through a copy of the network, without optimiser, logs and
data. So both see the same machine, and each step gives one ratio. Waiting for data is the time from the end of one step
to the beginning of the next. A second training, without bare steps, tells the memory after each epoch.

With ``--workers`` other processes make the views, as train.py has it where it may. Bare steps in between would give
them time, so there trainings with and without bare steps take turns, and the clock of one is held beside the other's.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import psutil  # noqa: E402
import torch  # noqa: E402
from page import put  # noqa: E402

from vidbench import optimise  # noqa: E402
from vidbench.arguments import TrainConfig  # noqa: E402
from vidbench.distil import network_scores  # noqa: E402
from vidbench.learner import TrainedNetwork  # noqa: E402
from vidbench.train import train  # noqa: E402
from vidbench.utils import machine_facts, package_versions  # noqa: E402

SKIPPED = 3  # first steps, which fetch memory
FOUR = ("HoldBalloon", "RideBicycle", "SitDown", "StandUp")
CASES: dict[str, dict] = {
    "mini_r2plus1d, 16 frames of 56x72": {"model": "mini_r2plus1d", "batch_size": 8, "epochs": 5},
    "r3d_18, 16 frames of 112x112": {"model": "r3d_18", "batch_size": 2, "epochs": 1, "limit": 24, "classes": FOUR},
}


class Watched(TrainedNetwork):
    """A network in training with hooks that time its steps and, where asked for, bare ones beside them."""

    bare = True
    steps: list[dict[str, tuple[float, float]]] = []  # noqa: RUF012 - read by the program, one training at a time
    memory: list[float] = []  # noqa: RUF012

    def on_train_epoch_start(self) -> None:
        self.mark = now()

    def on_train_batch_start(self, batch, batch_idx: int) -> None:
        self.begun = now()
        super().on_train_batch_start(batch, batch_idx)

    def on_train_batch_end(self, outputs, batch, batch_idx: int) -> None:
        ended = now()
        super().on_train_batch_end(outputs, batch, batch_idx)
        step = {"wait": since(self.mark, self.begun), "work": since(self.begun, ended)}
        if self.bare:
            step["bare"] = bare_step(self, copy.deepcopy(self.network), batch)
        Watched.steps.append(step)
        self.mark = now()

    def on_train_epoch_end(self) -> None:
        Watched.memory.append(psutil.Process().memory_info().rss / 1e6)


def now() -> tuple[float, float]:
    """Seconds by the clock, and of the processor in this process."""
    return time.perf_counter(), time.process_time()


def since(begin: tuple[float, float], end: tuple[float, float]) -> tuple[float, float]:
    return end[0] - begin[0], end[1] - begin[1]


def bare_step(module: TrainedNetwork, network: torch.nn.Module, batch) -> tuple[float, float]:
    """Forward and backward of a batch that is ready, as the recipe's loss has it."""
    pixels, labels = batch[0].float() / 255, batch[1]
    network.zero_grad(set_to_none=True)
    begin = now()
    optimise.loss_of(network_scores(network, pixels, module.task.spec), labels, smoothing=0.1).backward()
    return since(begin, now())


def measure(case: dict, folder: Path, bare: bool, workers: int = 0) -> tuple[list[dict], list[float]]:
    """Times of all steps but the first, and memory in MB after each epoch."""
    import vidbench.train

    Watched.bare, Watched.steps, Watched.memory = bare, [], []
    where: dict = {
        "cache_dir": str(folder / "clips"),
        "results_dir": tempfile.mkdtemp(dir=folder),
        "no_tensorboard": True,
    }
    options: dict = {"dataset": "vidmini", "split": "test", "weights": "random", "num_workers": workers}
    options.update(case, device="cpu")
    with mock.patch.object(vidbench.train, "TrainedNetwork", Watched):
        train(TrainConfig(**options, **where, precision="fp32", val_share=0.2))
    return Watched.steps[SKIPPED:], Watched.memory


def ratios(steps: list[dict], clock: int) -> tuple[list[float], list[float]]:
    """Samples a second of training over those of the bare step, and the share of a step that waits; by step."""
    speed = [step["bare"][clock] / (step["wait"][clock] + step["work"][clock]) for step in steps]
    return speed, [step["wait"][clock] / (step["wait"][clock] + step["work"][clock]) for step in steps]


def spread(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def beside_workers(name: str, case: dict, workers: int, rounds: int) -> None:
    """Print, round by round, what training with workers makes of the bare step's samples a second, by the clock."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        measure({**case, "epochs": 1}, Path(folder), bare=False)  # fills the cache
        for number in range(rounds):
            bare = statistics.median(step["bare"][0] for step in measure(case, Path(folder), bare=True)[0])
            steps = measure(case, Path(folder), bare=False, workers=workers)[0]
            waits = sum(step["wait"][0] for step in steps)
            whole = waits + sum(step["work"][0] for step in steps)
            found.append((bare * len(steps) / whole, waits / whole))
            print(
                f"{name}, round {number + 1}: {found[-1][0]:.3f} of the bare step's samples/s, waiting "
                f"{found[-1][1]:.3f}; {len(steps)} steps of {1e3 * whole / len(steps):.0f} ms; load "
                f"{os.getloadavg()[0]:.1f}",
                flush=True,
            )
    for what, values in zip(("samples/s of the bare step's", "waiting"), zip(*found, strict=True), strict=True):
        print(f"{what}: median {statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}], {rounds} rounds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=0, help="processes that make views, where the clock counts")
    parser.add_argument("--rounds", type=int, default=3, help="with --workers")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--only", help="cases whose name holds this text")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    facts, load = machine_facts(), os.getloadavg()[0]
    rows, memories = [], []
    for name, case in CASES.items():
        if options.only and options.only not in name:
            continue
        if options.workers:
            beside_workers(name, case, options.workers, options.rounds)
            continue
        with tempfile.TemporaryDirectory() as folder:
            measure({**case, "epochs": 1, "run_name": "cache"}, Path(folder), bare=False)  # fills it
            steps, _ = measure(case, Path(folder), bare=True)
            _, memory = measure(case, Path(folder), bare=False) if case["epochs"] > 1 else ([], [])
        cells = [spread(part) for clock in (0, 1) for part in ratios(steps, clock)]
        rows.append(f"| {name} | {case['batch_size']} | {len(steps)} | {' | '.join(cells)} |")
        if memory:
            memories.append(f"`{case['model']}`: {', '.join(f'{value:.0f}' for value in memory)} MB after each epoch")
    if options.workers:
        return
    lines = [
        "## Training beside its network",
        "",
        f"`python benchmarks/training.py --threads {options.threads} --write`: each step of `train.py` beside a bare "
        "forward and backward pass over the same batch,",
        "step by step in one process, cache warm, fp32, views made in the process that trains. Median and quartiles "
        "over steps. The aims: 0.90 of the bare",
        "step's samples a second, and less than 0.10 of a step spent waiting for data.",
        f"Machine: {facts['processor']}, {facts['cores']} cores; torch {package_versions()['torch']}. Load when it "
        f"began: {load:.1f}.",
        "",
        "| network | batch | steps | samples/s of the bare step's, by the clock | waiting for data, by the clock "
        "| samples/s, by CPU time | waiting, by CPU time |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *rows,
        "",
        *memories,
    ]
    print("\n".join(lines))
    if options.write:
        put("training", lines)


if __name__ == "__main__":
    main()
