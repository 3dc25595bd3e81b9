"""How close a whole evaluation on a GPU comes to the slower of its two halves, reading and the network.

    python benchmarks/gpu.py --data-dir FOLDER --model r3d_18 --videos 400 --rounds 7
    python benchmarks/gpu.py --data-dir FOLDER --model swin3d_t --videos 60 --rounds 5 --cached

FOLDER is a folder of classes; its videos are copied until there are ``--videos`` of them. Each round reads all videos
with as many workers as an evaluation takes and no network, runs the network on what was read, and evaluates, in turn,
in one process. Random weights and the card's own views. With ``--cached`` the clips are read from a cache that was
filled before, and the number to look at is clips/s of the evaluation over clips/s of the network alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import statistics
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def copies(source: Path, target: Path, count: int) -> Path:
    """``count`` videos in a folder of classes: those of ``source`` again and again."""
    found = sorted(path for path in source.glob("*/*") if path.is_file())
    if not found:
        sys.exit(f"{source} has no folders with videos in them")
    for number in range(count):
        path = found[number % len(found)]
        place = target / path.parent.name / f"{number:06d}{path.suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    return target


def reading_alone(plan, config) -> tuple[float, list]:
    """Wall seconds of reading every video in workers, start of the workers included, and the pixels."""
    from vidbench.data import load
    from vidbench.plan import limits_of, workers_of
    from vidbench.records import Views

    began = time.monotonic()
    reader = load.ViewReader(
        plan.root,
        plan.spec,
        num_workers=workers_of(config),
        decoder=config.decoder,
        limits=limits_of(config),
        cache_dir=None if config.no_cache else config.cache_dir,
        ahead=2 * config.batch_size + workers_of(config),
    )
    with reader:
        found = [views.pixels for _, views in reader.stream(enumerate(plan.records)) if isinstance(views, Views)]
    return time.monotonic() - began, found


def forward_alone(model, pixels, batch_size: int) -> float:
    """Wall seconds of the network on pixels that are already there, one batch behind as an evaluation is."""
    from vidbench.local import batches, one_behind

    began = time.monotonic()
    for scores in one_behind(model.submit(batch, batch_size) for batch in batches(pixels, batch_size)):
        scores()
    return time.monotonic() - began


@contextlib.contextmanager
def timed(**modules):
    """Wall seconds that functions take, by name; each is given with the module that calls it."""
    seconds = dict.fromkeys(modules, 0.0)
    kept = {name: getattr(module, name) for name, module in modules.items()}

    def watch(name):
        def call(*args, **more):
            began = time.monotonic()
            try:
                return kept[name](*args, **more)
            finally:
                seconds[name] += time.monotonic() - began

        return call

    for name, module in modules.items():
        setattr(module, name, watch(name))
    try:
        yield seconds
    finally:
        for name, module in modules.items():
            setattr(module, name, kept[name])


def settled_model(config, plan, pixels):
    from vidbench import models
    from vidbench.local import load_model

    model = load_model(config, plan, models.choose_device(config.device))
    tuning = models.tune(model, pixels[: config.batch_size], config.batch_size, config.precision)
    model.settle(tuning.precision, tuning.memory_format)
    forward_alone(model, list(islice(pixels, 2 * config.batch_size)), config.batch_size)
    return model


def spread(values: list[float]) -> str:
    """The median, and the smallest and largest."""
    return f"{statistics.median(values):.3f} [{min(values):.3f}, {max(values):.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--model", default="r3d_18")
    parser.add_argument("--videos", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--num-clips", type=int)
    parser.add_argument("--cached", action="store_true")
    args = parser.parse_args()

    from vidbench import evaluate as module
    from vidbench import local
    from vidbench.arguments import EvaluateConfig
    from vidbench.plan import make_plan
    from vidbench.utils import usable_cores

    ratios, loops, rates = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        base = {
            "model": args.model, "weights": "random", "new_head": True, "dataset": "folder", "device": args.device,
            "data_dir": str(copies(args.data_dir, Path(folder) / "videos", args.videos)), "no_cache": not args.cached,
            "cache_dir": str(Path(folder) / "cache"), "results_dir": folder, "precision": args.precision, "top_n": 1,
            "batch_size": args.batch_size, "num_clips": args.num_clips,
        }  # fmt: skip
        config = EvaluateConfig(**base, run_name="plan").checked()
        plan = make_plan(config)
        _, pixels = reading_alone(plan, config)
        model = settled_model(config, plan, pixels)
        for turn in range(args.rounds):
            read_s, pixels = reading_alone(plan, config)
            forward_s = forward_alone(model, pixels, args.batch_size)
            del pixels
            began = time.monotonic()
            with timed(load_model=local, finish=module) as apart:
                outcome = module.evaluate(EvaluateConfig(**base, run_name=f"turn{turn}"))
            wall = time.monotonic() - began
            timing = json.loads((Path(outcome.run_folder) / "manifest.json").read_text())["timing"]
            ratios.append(wall / max(read_s, forward_s))
            loops.append(timing["seconds"]["wall"] / max(read_s, forward_s))
            rates.append(timing["clips_per_s"] / (len(plan.records) / forward_s))
            print(
                f"round {turn + 1}: reading {read_s:.2f} s, network {forward_s:.2f} s, evaluation {wall:.2f} s (its "
                f"loop {timing['seconds']['wall']:.2f} s, loading the network {apart['load_model']:.2f} s, "
                f"the report {apart['finish']:.2f} s), of the slower half {ratios[-1]:.3f}, clips/s over the network's "
                f"{rates[-1]:.3f}",
                flush=True,
            )
    print(
        f"{args.model}, {plan.spec.num_views} views of {plan.spec.num_frames} frames, {model.precision} "
        f"{model.memory_format}, {len(plan.records)} videos{', cached' * args.cached}, {model.device_name}, "
        f"{usable_cores()} cores: evaluation over the slower half {spread(ratios)}, its loop {spread(loops)}, its "
        f"clips/s over the network's {spread(rates)}, {args.rounds} rounds"
    )


if __name__ == "__main__":
    main()
