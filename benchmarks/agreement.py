"""How often two models have the same best class on the videos of a folder, and how far their scores agree.

    python benchmarks/agreement.py FOLDER --weights FILE.tflite
    python benchmarks/agreement.py FOLDER --weights FILE.tflite --models movinet_a0_stream.k600 other.model

Both models see the same pixels, those of the first model's card. The interval of the agreement is Wilson's, 95 %;
the correlation is Pearson's, over the logits of all classes, video by video.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vidbench.data.load import read_views
from vidbench.intervals import wilson
from vidbench.models import find_card, load_model
from vidbench.predict import average

SUFFIXES = {".avi", ".mp4", ".mkv", ".webm"}
MODELS = ("movinet_a0_stream.k600", "movinet_a0_stream.k600_int8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="videos, at any depth")
    parser.add_argument("--models", nargs=2, default=MODELS, metavar="NAME")
    parser.add_argument("--weights", help="file that both models load (default: each card's own)")
    parser.add_argument("--device", default="cpu", help="of a torch network")
    args = parser.parse_args()
    paths = sorted(path for path in args.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise SystemExit(f"There is no video below {args.folder}.")
    one, other = (load(name, args) for name in args.models)
    found = [compare(one, other, path) for path in paths]
    print(summary(args.models, paths, found))


def load(name: str, args):
    device = args.device if find_card(name).kind == "torch" else "cpu"
    return load_model(name, args.weights, device=device)


def compare(first, second, path: Path) -> tuple[bool, float, float]:
    """Whether the best classes agree, the correlation of the logits, the largest change of a probability."""
    pixels = read_views(path, first.spec).pixels
    one, two = (model.logits([pixels])[0] for model in (first, second))
    change = np.abs(average(one, first.spec) - average(two, second.spec)).max()
    means = one.mean(0), two.mean(0)
    return means[0].argmax() == means[1].argmax(), float(np.corrcoef(*means)[0, 1]), float(change)


def summary(names, paths: list[Path], found: list[tuple]) -> str:
    same = [agrees for agrees, _, _ in found]
    low, high = wilson(sum(same), len(same))
    smallest, middle, largest = np.quantile([value for _, value, _ in found], (0, 0.5, 1))
    lines = [
        f"{names[0]} against {names[1]}, {len(found)} videos",
        f"same best class  {sum(same) / len(same):.1%} [{low:.1%}, {high:.1%}], n={len(same)}",
        f"correlation      median {middle:.3f}, smallest {smallest:.3f}, largest {largest:.3f}",
        f"probabilities    change by {np.median([value for _, _, value in found]):.3f} at most in half of the videos",
    ]
    return "\n".join(lines + [f"differs          {path.name}" for path, agrees in zip(paths, same) if not agrees])


if __name__ == "__main__":
    main()
