# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 10. Your own videos: solutions
#
# Each solution stands alone. They use the practice clips of the chapter, drawn once more here.

# %% [markdown] tags=["links"]
# [The chapter](../10_your_own_videos.ipynb) · [Syllabus](../README.md)

# %% tags=["install"]
import importlib.util

if importlib.util.find_spec("vidbench") is None:
    raise SystemExit("vidbench is not installed here; in its checkout, `make lab` opens the notebooks with it.")

# %% tags=["imports"]
import csv
import logging
import tempfile
from pathlib import Path

import numpy as np

from vidbench.arguments import EvaluateConfig, TrainConfig
from vidbench.data.index import load_records
from vidbench.data.mini import encode_clip
from vidbench.data.process import get_frames, resize
from vidbench.data.split import random_splits, write_splits
from vidbench.evaluate import evaluate
from vidbench.metrics import is_correct
from vidbench.review import read_run
from vidbench.train import train
from vidbench.visualize import accuracy_bars, histogram

# %%
logging.getLogger("vidbench").setLevel(logging.ERROR)
scratch = tempfile.TemporaryDirectory()
FOLDER = Path(scratch.name)
MOVES = {"come": (0, 1), "go": (0, -1), "roll_left": (-1, 0), "roll_right": (1, 0)}


def film(move, place, take, num_frames=40):
    """As in the chapter."""
    (across, nearer), wall = MOVES[move], np.random.default_rng(place).integers(30, 226, (6, 8, 3))
    wall, rng = np.kron(wall, np.ones((20, 20, 1))), np.random.default_rng([place, take])
    rows, columns = np.mgrid[0:120, 0:160]
    (y, x), tint, frames = rng.uniform((40, 60), (80, 100)), rng.integers(0, 256, 3), []
    for t in np.linspace(-1, 1, num_frames):
        ball = (columns - x - 45 * across * t) ** 2 + (rows - y) ** 2 < (16 + 10 * nearer * t) ** 2
        frames.append(np.where(ball[..., None], tint, wall) + rng.normal(0, 4, (120, 160, 3)))
    return np.clip(frames, 0, 255).astype(np.uint8)


# %%
def draw(names):
    """The practice clips below FOLDER / clips, classes under new names, and their records."""
    rows = [("path", "label", "group")]
    for number, move in enumerate(MOVES):
        (FOLDER / "clips" / names[move]).mkdir(parents=True, exist_ok=True)
        for place in range(14):
            for take in (2 * number, 2 * number + 1):
                path = f"{names[move]}/place{place:02d}_take{take}.mp4"
                (FOLDER / "clips" / path).write_bytes(encode_clip(film(move, place, take)))
                rows.append((path, names[move], f"place{place}"))
    with open(FOLDER / "clips" / "annotations.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return load_records("csv", FOLDER / "clips", "test")


def tuned(name, parts, **options):
    """Rows of the test clips after a training on these parts."""
    write_splits(parts, FOLDER / f"{name}.csv")
    shared = {"dataset": "csv", "data_dir": str(FOLDER / "clips"), "annotations": str(FOLDER / f"{name}.csv")}
    shared |= {"cache_dir": str(FOLDER / "cache"), "results_dir": str(FOLDER), "num_workers": 0}
    recipe = {"val_split": "val", "batch_size": 8, "learning_rate": 3e-3, "epochs": 8, "no_tensorboard": True, **options}
    train(TrainConfig(model="mini_r2plus1d.vidmini_v1", **shared, **recipe, run_name=name))
    weights = str(FOLDER / name / "best.safetensors")
    done = evaluate(EvaluateConfig(**shared, weights=weights, split="test", run_name=f"{name}-test"))
    return read_run(done.run_folder)


def counts(rows):
    return sum(is_correct(row, 1) for row in rows), len(rows)


# %% [markdown]
# ## 1. The mirror
#
# The names say nothing of left and right any more, so the kit cannot know that a mirrored clip changes its class.

# %%
SHARES = {"train": 0.5, "val": 0.2, "test": 0.3}
records = draw({"come": "come", "go": "go", "roll_left": "a", "roll_right": "b"})
rows = {}
for name, no_flip in {"as they are": True, "mirrored": False}.items():
    rows[name] = tuned(name.replace(" ", "-"), random_splits(records, SHARES), no_flip=no_flip).rows
scores = {name: [100 * row.top[0][2] for row in part if row.label in "ab"] for name, part in rows.items()}
histogram(
    [score for part in scores.values() for score in part], unit="%", bins=np.arange(0, 101, 10),
    groups=[name for name, part in scores.items() for _ in part], title="score of the best class, clips of a and b",
)  # fmt: skip

# %%
accuracy_bars({name: counts([row for row in part if row.label in "ab"]) for name, part in rows.items()}, chance=0.5)

# %% [markdown]
# The two that are each other's mirror image: half of their training clips had the wrong label, and the network divides its belief between them. Its accuracy can hide that. A hair's breadth is
# enough to name one of the two, and the epoch that was kept is one in which it fell well on the validation clips; another seed may turn all of them round. Whether an augmentation keeps the label is a
# question about your classes, and scores answer it sooner than accuracies.

# %% [markdown]
# ## 2. The leak
#
# Clips of one place on both sides, and the classifier that knows nothing but pictures.

# %%
records = draw({move: move for move in MOVES})
tiny = {
    r.path: resize(get_frames(FOLDER / "clips" / r.path, 8)[0], (9, 12)).ravel().astype(float) for r in records
}


def nearest(parts):
    """(right, n) of the nearest thumbnail."""
    pixels = np.array([tiny[r.path] for r in parts["train"]])
    found = [parts["train"][np.abs(pixels - tiny[r.path]).sum(1).argmin()].label for r in parts["test"]]
    return sum(label == r.label for label, r in zip(found, parts["test"])), len(found)


figures = {}
for by in ("group", "clip"):
    drawn = [nearest(random_splits(records, SHARES, by=by, seed=seed, allow_leak=True)) for seed in range(8)]
    figures[f"by {by}"] = tuple(np.sum(drawn, axis=0))
accuracy_bars(figures, chance=1 / len(MOVES))

# %% [markdown]
# The wall says which place it is, and here every place was filmed for every class, so knowing the wall again helps little: the figure hardly moves, and its intervals, which pool
# draws of the same clips, are narrower than they may be. Where each class has places of its own (a kitchen for cooking, a pool for swimming), it is the
# other way round, and the leak is most of the figure, as [chapter 8](../08_train_hmdb.ipynb) shows.

# %% [markdown]
# ## 3. How few?
#
# The same validation and test clips, and a half or a quarter of the places to learn from.

# %%
parts = random_splits(records, SHARES)
places = sorted({record.group for record in parts["train"]})
results = {"nearest thumbnail": nearest(parts)}
for share in (4, 2, 1):
    some = {**parts, "train": [r for r in parts["train"] if r.group in places[::share]]}
    results[f"1/{share} of the training clips"] = counts(tuned(f"part{share}", some, no_flip=True).rows)
accuracy_bars(results, chance=1 / len(MOVES))

# %% [markdown]
# With fewer clips there are fewer steps as well, since an epoch is shorter: part of the fall is that. To ask about the clips alone, give the smaller parts more epochs.
# And with so few test clips, neighbouring intervals overlap almost always: first make the test part larger, then compare.

# %%
scratch.cleanup()

# %% [markdown] tags=["next"]
# Back to [10. Your own videos](../10_your_own_videos.ipynb) or to the [syllabus](../README.md).
