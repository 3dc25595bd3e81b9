"""What networks reach on nine classes of UCF101, over several seeds, on the official split and on one that leaks.

    python benchmarks/accuracy.py DATA [--seeds 3] [--only NAME ...] [--out results/accuracy]
    python benchmarks/accuracy.py DATA --write          # what is done, into docs/training.md; trains nothing

DATA is ``../shared/data`` or a folder like it: ``ucf101`` with the clips that are there and the official lists, and
``weights``. Every row is made by the commands that it stands for: ``train.py`` with a file of ``scripts/configs``, then
``evaluate.py`` with the weights of its last epoch (no epoch is chosen), once, on clips whose sources were not trained
on. A tenth of the training clips, whole sources, validates. The leaking split has as many clips, drawn by the seed
from all clips without regard to their sources. Everything continues where it was stopped.

An interval pools the answers of all seeds and knows that those of one source are alike (``clustered_proportion``).
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from vidbench.data import index  # noqa: E402
from vidbench.data.decode import read_clip  # noqa: E402
from vidbench.data.process import resize  # noqa: E402
from vidbench.data.sample import uniform  # noqa: E402
from vidbench.data.split import random_splits, write_splits  # noqa: E402
from vidbench.intervals import clustered_proportion  # noqa: E402
from vidbench.metrics import is_correct  # noqa: E402
from vidbench.runs import read_json, read_rows  # noqa: E402
from vidbench.utils import write_json  # noqa: E402

NINE = ["Archery", "BabyCrawling", "BasketballDunk", "HorseRace", "PlayingPiano", "PlayingViolin", "Punch"]
NINE += ["PushUps", "Surfing"]
SIDES = ("official", "leaking")
START, END = "<!-- accuracy: begin -->", "<!-- accuracy: end -->"
SQUEEZENET = "--backbone-weights", "weights/squeezenet1_0_imagenet_fp16.pt"
OWN_SIZE = "--short-side", "256", "--crop", "227"  # what SqueezeNet was trained on
MOVINET = "--weights", "weights/movinet_a0_stream_k600_int8.tflite"


@dataclass(frozen=True)
class Recipe:
    """A row of the table.

    Args:
        config: file of ``scripts/configs``, without ``train-ucf101-`` and suffix.
        says: in the table.
        begins: an option and a file below DATA that training begins with.
        after: the recipe whose last epoch it goes on from.
        options: what it changes of the file.
        suffix: of the name of its runs, where another recipe has the same file.
    """

    config: str
    says: str
    begins: tuple[str, ...] = ()
    after: str = ""
    options: tuple[str, ...] = ()
    suffix: str = ""

    @property
    def name(self) -> str:
        """What its runs are called, before split and seed."""
        return self.config + self.suffix


RECIPES = (
    Recipe("mini", "R(2+1)D of 0.25 million weights, from scratch"),
    Recipe("tsn-squeezenet", "TSN on SqueezeNet (ImageNet), frozen", SQUEEZENET),
    Recipe("tsn-squeezenet-all", "the same, then all of it", after="tsn-squeezenet"),
    Recipe("cnn-rnn-squeezenet", "CNN + LSTM on SqueezeNet (ImageNet), frozen", SQUEEZENET),
    Recipe("cnn-rnn-squeezenet-all", "the same, then all of it", after="cnn-rnn-squeezenet"),
    Recipe("tsn-squeezenet", "TSN on SqueezeNet, frozen, at 227x227", SQUEEZENET, "", OWN_SIZE, "-227"),
    Recipe("cnn-rnn-squeezenet", "CNN + LSTM on SqueezeNet, frozen, at 227x227", SQUEEZENET, "", OWN_SIZE, "-227"),
    Recipe("movinet-head", "MoViNet-A0 (Kinetics-600), its last layer", MOVINET),
    Recipe("movinet", "the same, then all of it", after="movinet-head"),
)


# ---------------------------------------------------------------- splits


def make_lists(data: Path, out: Path, seeds: range) -> None:
    """``official.csv``, and ``leaking-SEED.csv``: path, label, split and group of the nine classes' clips."""
    root = data / "ucf101"
    official = {
        split: index.load_records("ucf101", root, split, classes=NINE, present_only=True) for split in ("train", "test")
    }
    write_splits(official, out / "official.csv")
    records = [record for part in official.values() for record in part]
    share = len(official["test"]) / len(records)
    for seed in seeds:
        parts = random_splits(records, {"train": 1 - share, "test": share}, seed=seed, by="clip", allow_leak=True)
        write_splits(parts, out / f"leaking-{seed}.csv")


def list_of(out: Path, side: str, seed: int) -> Path:
    return out / ("official.csv" if side == "official" else f"leaking-{seed}.csv")


# ---------------------------------------------------------------- training and testing


def name_of(recipe: str, side: str, seed: int) -> str:
    return f"{recipe}-{side}-{seed}"


def run(recipe: Recipe, side: str, seed: int, data: Path, out: Path) -> None:
    """Train and test; nothing where that was done before."""
    name = name_of(recipe.name, side, seed)
    if (out / f"{name}.json").is_file():
        return
    videos = ["--dataset", "csv", "--data-dir", data / "ucf101", "--annotations", list_of(out, side, seed)]
    places = ["--results-dir", out, "--cache-dir", out / "clips"]
    begins = [recipe.begins[0], data / recipe.begins[1]] if recipe.begins else []
    if recipe.after:
        begins = ["--weights", out / name_of(recipe.after, side, seed) / "last.safetensors"]
    more = ["--seed", seed, "--val-share", "0.1", "--run-name", name, "--no-tensorboard", *recipe.options]
    whole, began = not (out / name).exists(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command("train.py", f"@scripts/configs/train-ucf101-{recipe.config}.txt", *videos, *places, *begins, *more)
    took = used_since(began) if whole else None  # a run that was continued has no time
    weights = ["--weights", out / name / "last.safetensors", "--split", "test"]
    command("evaluate.py", *weights, *videos, *places, "--run-name", f"{name}-test", "--precision", "fp32")
    write_json(out / f"{name}.json", {"cpu_s": took})


def used_since(before) -> float:
    """Seconds of processor that finished child processes have used since."""
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round(now.ru_utime + now.ru_stime - before.ru_utime - before.ru_stime, 1)


def command(script: str, *options) -> None:
    words = [sys.executable, str(ROOT / "scripts" / script), *map(str, options)]
    print(time.strftime("%H:%M:%S"), " ".join(words[1:]), flush=True)
    done = subprocess.run(words, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{script} ended with {done.returncode}; the same command goes on.")


# ---------------------------------------------------------------- what pictures alone give


def thumbnails(data: Path, out: Path, side: str, seed: int) -> tuple[np.ndarray, list[str]]:
    """Which test clips logistic regression on eight frames of 12x9 pixels has right, and their sources."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    made = {}
    for split in ("train", "test"):
        records = index.load_records("csv", data / "ucf101", split, annotations=list_of(out, side, seed))
        seen = [small(data / "ucf101" / record.path) for record in records]
        made[split] = np.array(seen), np.array([record.label_index for record in records]), records
    found = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(*made["train"][:2])
    pixels, labels, records = made["test"]
    return found.predict(pixels) == labels, [record.group for record in records]


def small(path: Path) -> np.ndarray:
    clip = read_clip(path, lambda table: uniform(len(table.pts_s), 8)[0])
    return resize(clip.frames, (9, 12)).ravel() / 255


# ---------------------------------------------------------------- the table


def answers(recipe: Recipe, side: str, seed: int, data: Path, out: Path) -> tuple[np.ndarray, list[str]]:
    """Which test clips a finished run has right, and their sources."""
    records = index.load_records("csv", data / "ucf101", "test", annotations=list_of(out, side, seed))
    rows = read_rows(out / f"{name_of(recipe.name, side, seed)}-test" / "rows.jsonl", records)[0]
    return np.array([is_correct(row, 1) for row in rows]), [row.group for row in rows]


def cell(found: list[tuple[np.ndarray, list[str]]]) -> tuple[str, str]:
    """Top-1 of each seed, and of all with an interval; percent."""
    if not found:
        return "-", "-"
    each = ", ".join(f"{100 * right.mean():.1f}" for right, _ in found)
    pooled = np.concatenate([right for right, _ in found])
    all_ = clustered_proportion(pooled, [group for _, groups in found for group in groups])
    assert all_, "no run is empty"
    return each, f"{100 * all_['value']:.1f} [{100 * all_['low']:.1f}, {100 * all_['high']:.1f}]"


def table(data: Path, out: Path, seeds: range) -> list[str]:
    lines = [
        "| network | top-1 of each seed, % | of all, % | leaking split: each | of all | core minutes |",
        "| --- | --- | --- | --- | --- | ---: |",
    ]
    lines.append(row("logistic regression on 12x9 thumbnails", {
        "official": [thumbnails(data, out, "official", 0)],
        "leaking": [thumbnails(data, out, "leaking", seed) for seed in seeds],
    }, []))  # fmt: skip
    for recipe in RECIPES:
        done = {
            side: [seed for seed in seeds if (out / f"{name_of(recipe.name, side, seed)}.json").is_file()]
            for side in SIDES
        }
        found = {side: [answers(recipe, side, seed, data, out) for seed in done[side]] for side in SIDES}
        kept = [read_json(out / f"{name_of(recipe.name, 'official', seed)}.json") for seed in done["official"]]
        took = [facts["cpu_s"] / 60 for facts in kept if facts.get("cpu_s")]
        lines.append(row(recipe.says, found, took))
    return lines


def row(says: str, found: dict, minutes: list[float]) -> str:
    took = f"{np.median(minutes):.1f}" if minutes else "-"
    return f"| {' | '.join([says, *cell(found['official']), *cell(found['leaking']), took])} |"


def order(seeds: range) -> list[tuple[str, int, Recipe]]:
    """All runs: a first seed of everything on the official split, then the other seeds, then the split that leaks."""
    return [(side, seed, recipe) for side in SIDES for seed in seeds for recipe in RECIPES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=[recipe.name for recipe in RECIPES])
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "accuracy")
    parser.add_argument("--write", action="store_true", help="put the table of what is done into docs/training.md")
    args = parser.parse_args()
    data, out, seeds = args.data.resolve(), args.out.resolve(), range(args.seeds)
    out.mkdir(parents=True, exist_ok=True)
    make_lists(data, out, seeds)
    if not args.write:
        for side, seed, recipe in order(seeds):
            if recipe.name in (args.only or [recipe.name]):
                run(recipe, side, seed, data, out)
    text = "\n".join(table(data, out, seeds))
    print(text)
    if args.write:
        page = ROOT / "docs" / "training.md"
        before, _, rest = page.read_text(encoding="utf-8").partition(START)
        page.write_text(f"{before}{START}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
