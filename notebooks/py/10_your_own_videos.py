# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 10. Your own videos: how do I classify my own videos?
#
# Until now the videos were other people's. This chapter takes a folder of yours, one subfolder for each kind of clip, and ends with
# a model that tells them apart and a report that says how well. Most of the way is not training: it is looking, sorting out what
# is broken, and dividing the clips so that the figure at the end is worth something.

# %% [markdown] tags=["links"]
# **Time** 50 minutes · **You need** nothing but the kit · **Download** none · **Device** CPU will do
#
# [Syllabus](README.md) · [Solutions](solutions/10_your_own_videos_solutions.ipynb)

# %% tags=["install"]
import importlib.util

if importlib.util.find_spec("vidbench") is None:
    raise SystemExit("vidbench is not installed here; in its checkout, `make lab` opens the notebooks with it.")

# %% tags=["imports"]
import csv
import logging

import numpy as np
import pandas as pd

from vidbench.arguments import EvaluateConfig, TrainConfig
from vidbench.data.check import check_videos, count_states, make_ledger
from vidbench.data.decode import read_clip
from vidbench.data.index import load_records
from vidbench.data.mini import encode_clip
from vidbench.data.process import get_frames, resize
from vidbench.data.split import random_splits, write_splits
from vidbench.evaluate import evaluate
from vidbench.intervals import proportion
from vidbench.metrics import is_correct, percent, row_confusion, summarise
from vidbench.models import load_model
from vidbench.notebook import open_dataset, scratch_folder
from vidbench.predict import predict
from vidbench.records import ConfigError
from vidbench.review import read_run
from vidbench.train import train
from vidbench.visualize import accuracy_bars, class_balance, class_sheet, confusion, film_strip, score_bars
from vidbench.widgets import error_browser

# %% tags=["parameters"]
DATASET = "folder"  # a folder of classes, DATA_DIR/CLASS/VIDEO; "csv" for one with a list that knows sources
DATA_DIR = None  # None draws clips to practise on
MODEL = "mini_r2plus1d.vidmini_v1"  # what training begins with; for real clips r2plus1d_18, on a GPU

# %% [markdown]
# ## What a folder looks like
#
# A class is a subfolder, a clip is a file in it, and that is all the kit asks for. Where you have no folder at hand, the next two
# cells film one: a ball that rolls left or right, comes nearer or goes away, in front of walls. Each wall is a **place**, and
# each place was filmed several times: as in life, clips come in bunches.

# %%
FOLDER = scratch_folder("10_your_own_videos")
MOVES = {"come": (0, 1), "go": (0, -1), "roll_left": (-1, 0), "roll_right": (1, 0)}


def film(move, place, take, num_frames=40):
    """A ball in front of a wall: the place gives the wall, the take gives ball and noise; uint8 (T, 120, 160, 3)."""
    (across, nearer), wall = MOVES[move], np.random.default_rng(place).integers(30, 226, (6, 8, 3))
    wall, rng = np.kron(wall, np.ones((20, 20, 1))), np.random.default_rng([place, take])
    rows, columns = np.mgrid[0:120, 0:160]
    (y, x), tint, frames = rng.uniform((40, 60), (80, 100)), rng.integers(0, 256, 3), []
    for t in np.linspace(-1, 1, num_frames):
        ball = (columns - x - 45 * across * t) ** 2 + (rows - y) ** 2 < (16 + 10 * nearer * t) ** 2
        frames.append(np.where(ball[..., None], tint, wall) + rng.normal(0, 4, (120, 160, 3)))
    return np.clip(frames, 0, 255).astype(np.uint8)


# %%
if DATA_DIR is None:
    DATASET, DATA_DIR, rows = "csv", FOLDER / "clips", [("path", "label", "group")]
    for number, move in enumerate(MOVES):
        (DATA_DIR / move).mkdir(parents=True)
        for place in range(14):
            for take in (2 * number, 2 * number + 1):
                rows.append((f"{move}/place{place:02d}_take{take}.mp4", move, f"place{place}"))
                (DATA_DIR / rows[-1][0]).write_bytes(encode_clip(film(move, place, take)))
    with open(DATA_DIR / "annotations.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
data = open_dataset(DATASET, DATA_DIR)
data

# %% [markdown]
# A folder alone does not say which clips belong together. The list beside the practice clips does, in its column `group`: path, label and
# source. For clips of your own, such a list takes ten minutes and saves the figure at the end; names of files often hold what it needs, the day
# or the camera.
#
# ## Look first
#
# Before any tool, your eyes. Which of these classes could you tell from one frame?

# %%
middle = {
    label: [read_clip(data.path(r), lambda table: [table.num_frames // 2]).frames[0] for r in data.of(label)[:5]]
    for label in data.classes
}
class_sheet(middle, num=5)

# %% [markdown]
# On the practice clips: none. A ball in front of a wall is all that a frame shows. Here is time:

# %%
frames, total = get_frames(data.path(data.of(data.classes[-1])[0]), 8)
print(total, "pictures in the file")
film_strip(frames, title=data.classes[-1])

# %% [markdown]
# And how many are there of each? Rare classes are learnt last and measured worst.

# %%
class_balance(data.records)

# %% [markdown]
# ## What is broken?
#
# Own folders hold surprises: downloads that stopped, a photograph, a file of zero bytes. To see what happens, the next cell puts two such files
# beside the list of clips. Before you run it: what should a kit do with them?

# %%
(FOLDER / "cut.mp4").write_bytes(data.path(data.records[0]).read_bytes()[:900])
(FOLDER / "empty.mp4").write_bytes(b"")
(FOLDER / "odd.csv").write_text("path,label\ncut.mp4,a\nempty.mp4,a\n")
logging.getLogger("vidbench").setLevel(logging.ERROR)  # what is wrong is said below
pd.options.display.max_colwidth = 120
odd = check_videos(load_records("csv", FOLDER, "test", annotations=FOLDER / "odd.csv"), FOLDER, num_workers=1)
pd.DataFrame([(f.record.path, f.status, f.reason) for f in odd], columns=["file", "status", "reason"])

# %% [markdown]
# Say so, and go on. And your clips? `check_videos` opens each one and decodes its first, its middle and its last picture; the
# ledger puts each listed clip into exactly one state.

# %%
ledger = make_ledger(check_videos(data.records, data.root, num_workers=2))
count_states(ledger)

# %% [markdown]
# ## Divide, so that the figure is worth something
#
# Three parts: **train** to learn from, **val** to choose by, **test** to judge once, at the end. The tempting way is to draw clips at random. What is wrong
# with it, when every place was filmed several times?

# %%
SHARES = {"train": 0.5, "val": 0.2, "test": 0.3}
try:
    random_splits(data.records, SHARES, by="clip")
except ConfigError as problem:
    print(problem)

# %% [markdown]
# The kit refuses where it knows the sources. Clips of one source go to one side, all of them:

# %%
known = any(record.group for record in data.records)  # without sources, each clip has to count as its own
parts = random_splits(data.records, SHARES, allow_leak=not known)
LIST = FOLDER / "split.csv"
write_splits(parts, LIST)
class_balance([record for part in parts.values() for record in part])


# %% [markdown]
# ## What does nothing cost?
#
# A figure needs something to stand beside. The cheapest classifier answers with the class of the most similar training clip, by tiny pictures. If it
# does well, the task does not need a network.

# %%
def tiny(record):
    """Eight frames of twelve by nine pixels, as one vector."""
    return resize(get_frames(data.path(record), 8)[0], (9, 12)).ravel().astype(float)


train_pixels = np.array([tiny(record) for record in parts["train"]])
nearest = [np.abs(train_pixels - tiny(record)).sum(1).argmin() for record in parts["test"]]
hits = [parts["train"][k].label == record.label for k, record in zip(nearest, parts["test"])]
figures = {"nearest thumbnail": (sum(hits), len(hits))}
accuracy_bars(figures, chance=1 / len(data.classes))

# %% [markdown]
# ## Can it learn at all?
#
# Before a training of hours, two minutes of doubt. **Overfitting one batch** asks whether the network can learn a handful of clips by heart, with everything random
# switched off. A network that cannot has a wrong label, a wrong input or a wrong rate, and no recipe will help it.
# On the command line, `vidbench train ... --preview` comes before it: a page with the first clips as training will see them, each with its label.

# %%
SETTINGS = {"dataset": "csv", "data_dir": str(data.root), "annotations": str(LIST), "model": MODEL}
SETTINGS |= {"cache_dir": str(FOLDER / "cache"), "results_dir": str(FOLDER), "num_workers": 0}
TRAINING = {"val_split": "val", "batch_size": 8, "learning_rate": 3e-3, "no_flip": True, "no_tensorboard": True}
print(train(TrainConfig(**SETTINGS, **TRAINING, overfit=True, run_name="heart")).summary)

# %% [markdown]
# `no_flip` is not a detail here. Most recipes mirror half of all clips, because a mirrored guitar is a guitar. A ball that rolls left, mirrored, rolls right, and keeps its
# old label: such a recipe teaches mistakes. The kit exchanges the labels where a class name says left or right and its
# counterpart is a class too; for other names, only you know.
#
# ## Train
#
# The network begins with weights that know other videos, and gets a new last layer for your classes. Each epoch ends with whole validation
# videos; the best one is kept.

# %%
done = train(TrainConfig(**SETTINGS, **TRAINING, epochs=8, run_name="tuned"), tell=print)

# %% [markdown]
# The epoch that is kept was chosen *by* the validation clips, so its validation figure flatters. That is what the test part is for.
#
# ## Judge once
#
# The checkpoint carries its card: network, classes, input. Nothing else is needed to evaluate it.

# %%
TEST = {name: SETTINGS[name] for name in ("dataset", "data_dir", "annotations", "cache_dir", "results_dir")}
WEIGHTS = str(FOLDER / "tuned" / "best.safetensors")
outcome = evaluate(EvaluateConfig(**TEST, weights=WEIGHTS, split="test", run_name="test", num_workers=0))
print(outcome.summary.replace(str(FOLDER), "..."))

# %%
run = read_run(outcome.run_folder)
figures["fine-tuned"] = (sum(is_correct(row, 1) for row in run.rows), len(run.rows))
accuracy_bars(figures, chance=1 / len(data.classes))

# %% [markdown]
# Look at the widths before the heights: a handful of test clips gives a wide interval, however well the model does. And clips of one place
# are alike, so that they count for less than their number; the summary's second figure knows that, and with a few places in the test it says very little. To be surer,
# film more places, not more takes.

# %%
summary = summarise(run.rows, run.labels)
print("clips as if each were alone:", percent(proportion(*figures["fine-tuned"])))
if summary["clustered"]:
    print("with their sources in mind: ", percent(summary["clustered"]["top1"]))

# %% [markdown]
# ## What does it confuse?

# %%
confusion(row_confusion(run.rows, run.labels), run.labels)

# %% [markdown]
# The report has all of this and the settings behind it, in one file that can be mailed: `report.html` in the run's folder. In JupyterLab the mistakes can be
# watched:

# %%
error_browser(outcome.run_folder, data.root)

# %% [markdown]
# ## Did the other weights help?
#
# The same training from random weights, everything else alike.

# %%
scratch = train(TrainConfig(**SETTINGS, **TRAINING, epochs=8, weights="random", run_name="scratch"))
RANDOM = str(FOLDER / "scratch" / "best.safetensors")
bare = evaluate(EvaluateConfig(**TEST, weights=RANDOM, split="test", run_name="test-scratch", num_workers=0))
rows = read_run(bare.run_folder).rows
figures["from scratch"] = (sum(is_correct(row, 1) for row in rows), len(rows))
accuracy_bars(figures, chance=1 / len(data.classes))

# %% [markdown]
# On few clips this is where most of the accuracy comes from. The mini network learnt on other drawn clips which way things move; that is worth more here
# than what so few clips can teach. For real videos, begin with weights from Kinetics.
#
# ## A new clip
#
# At last, what all of it was for: a clip that no part has seen. Put the path of one of yours here.

# %%
new = FOLDER / "new.mp4"
new.write_bytes(encode_clip(film("roll_right", place=77, take=1)))
model = load_model(None, WEIGHTS, device="auto")
answer = predict(model, new)
score_bars({"a new clip": answer}, top=len(data.classes))

# %% [markdown]
# A model always names one of its classes, whatever it is shown. Show it a clip of something else and see how sure it is: scores say which class is likeliest *among
# these*, not whether it is any of them.

# %%
still = np.repeat(film("come", place=78, take=0)[:1], 40, axis=0)
(FOLDER / "still.mp4").write_bytes(encode_clip(still))
print(*(f"{label}: {score:.2f}" for label, score in predict(model, FOLDER / "still.mp4").top(2)), sep="\n")

# %% [markdown]
# ## Summary
#
# * A folder of classes is enough to begin; a column that says which clips belong together makes the figure honest.
# * Look at frames, at counts and at what is broken before training. What cannot be read is named, and counts as wrong.
# * Divide by source. Train on one part, choose by another, judge once on the third.
# * A baseline of thumbnails and one batch learnt by heart cost minutes and save days.
# * Begin with weights from other videos, and ask of each augmentation whether it keeps the label.
# * The checkpoint carries its card; the report carries the interval.
#
# ## Exercises
#
# 1. **The mirror.** Rename the classes `roll_left` and `roll_right` to `a` and `b`, and train with mirrored clips, so without `no_flip`. Of which classes is the network no longer sure, and does its accuracy show it?
# 2. **The leak.** Divide by clip, with `allow_leak=True`, and run the nearest thumbnail again. How does its figure change, and what has it learnt?
# 3. **How few?** Train on one half of the training clips, and on a quarter. When does the interval of the fine-tuned model meet that of the baseline?

# %% [markdown] tags=["next"]
# [Solutions](solutions/10_your_own_videos_solutions.ipynb) · This was the last chapter; [all of them](README.md), and [pages to look things up in](../docs/README.md)
