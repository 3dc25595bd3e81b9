"""Train the mini networks on vidmini, store their weights, and measure what was stored.

    python scripts/train_mini.py                     # both, as shipped; about 25 minutes on 2 cores
    python scripts/train_mini.py --model mini2d

Draws what is missing first, into --data-dir: the train split (seed 0) and test splits of two other
seeds. Writes the weights and beside them a .json, the card with recipe and accuracies.
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from vidbench import mini_recipe
from vidbench.data.mini import make_mini
from vidbench.records import VidbenchError

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "data" / "vidmini"
FRESH = {1: 100, 2: 200}  # test splits that nothing was chosen on: clips of each class by seed


def parse(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", choices=sorted(mini_recipe.SPECS), help="default: both")
    parser.add_argument("--data-dir", type=Path, default=ROOT / "data" / "clips", help="default: data/clips")
    parser.add_argument("--out", type=Path, default=ROOT / "vidbench" / "weights", help="default: vidbench/weights")
    parser.add_argument("--per-class", type=int, default=300, help="training clips a class (default: %(default)s)")
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order, augmentation (default: %(default)s)")
    return parser.parse_args(argv)


def draw(folder: Path, split: str, seed: int, per_class: int) -> Path:
    """The folder, after drawing what it lacks."""
    for done, total in make_mini(folder, split, seed=seed, per_class=per_class):
        if done % 600 == 0 or done == total:
            print(f"{folder}: {done}/{total} clips of split {split}", flush=True)
    return folder


def load(folder: Path, split: str) -> tuple:
    """Clips and labels of a split, ``TRAIN_FRAMES`` frames each."""
    paths, labels = mini_recipe.list_clips(folder, split)
    return mini_recipe.load_clips(paths, mini_recipe.TRAIN_FRAMES), labels


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def train_one(model: str, args: argparse.Namespace, clips, labels, fresh: dict, hardness: dict) -> None:
    """Fit, store, measure, write the card."""
    recipe = dataclasses.replace(mini_recipe.RECIPES[model], seed=args.seed)
    if args.epochs:
        recipe = dataclasses.replace(recipe, epochs=args.epochs)
    weights = args.out / f"{model}.vidmini_v1.safetensors"
    mini_recipe.save_weights(mini_recipe.fit(clips, labels, recipe, tell=say), weights)
    describe(model, recipe, weights, fresh, args.per_class, hardness)


def describe(model: str, recipe, weights: Path, fresh: dict, per_class: int, hardness: dict) -> None:
    """Measure stored weights on the shipped and the fresh test splits (folders by seed) and write their card."""
    measured = {"data/vidmini": mini_recipe.measure(model, weights, SHIPPED)}
    measured |= {
        f"test split of seed {seed}": mini_recipe.measure(model, weights, folder) for seed, folder in fresh.items()
    }
    facts = {
        "command": f"python scripts/train_mini.py --model {model}",
        "seed": recipe.seed,
        "trained_on": {"dataset": "vidmini", "split": "train", "seed": 0, "per_class": per_class},
        "measured": measured,
        "hardness": {"model": "logistic regression on 12x9 thumbnails", "test_seeds": sorted(fresh), "kinds": hardness},
    }
    mini_recipe.write_card(weights.with_suffix(".json"), recipe, weights, facts)
    for name, report in measured.items():
        say(f"{model} on {name}: " + mini_recipe.report_lines(report))


def main(argv=None) -> int:
    args = parse(argv)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        root = draw(args.data_dir / "vidmini", "train", 0, args.per_class)
        fresh = {seed: draw(args.data_dir / f"vidmini-seed{seed}", "test", seed, n) for seed, n in FRESH.items()}
        clips, labels = load(root, "train")
        say(f"{len(clips)} training clips in memory")
        held_out = [load(folder, "test") for folder in fresh.values()]
        hardness = mini_recipe.hardness((clips, labels), tuple(map(np.concatenate, zip(*held_out))))
        for kind, report in hardness.items():
            say(f"linear model on {kind} thumbnails: " + mini_recipe.report_lines(report))
        for model in [args.model] if args.model else sorted(mini_recipe.SPECS):
            train_one(model, args, clips, labels, fresh, hardness)
    except VidbenchError as problem:
        print(f"train_mini: {problem}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
