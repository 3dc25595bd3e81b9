# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 4. From pixels to tensors: solutions
#
# One way each; yours may differ. All three need the mini set's ground truth, so they leave `DATASET` alone.

# %% [markdown] tags=["links"]
# [The chapter](../04_from_pixels_to_tensors.ipynb) · [Syllabus](../README.md)

# %% tags=["install"]
import importlib.util

if importlib.util.find_spec("vidbench") is None:
    raise SystemExit("vidbench is not installed here; in its checkout, `make lab` opens the notebooks with it.")

# %% tags=["imports"]
from dataclasses import replace

import numpy as np
import pandas as pd

from vidbench.data import sample
from vidbench.data.decode import read_clip
from vidbench.data.load import read_views
from vidbench.data.mini import APPEARANCE
from vidbench.data.process import resize, views_from_frames
from vidbench.models import load_model
from vidbench.notebook import open_dataset
from vidbench.visualize import accuracy_bars, sampling_diagram, side_by_side

# %% tags=["parameters"]
DATASET = "vidmini"
DATA_DIR = None

# %%
mini = open_dataset("vidmini")
model = load_model("mini_r2plus1d.vidmini_v1", num_threads=1)
spec = model.spec
truth = np.array([record.label_index for record in mini.records])
one_frame = np.array([record.label in APPEARANCE for record in mini.records])


# %%
def score(batches):
    """(number right, n) of the classes that one frame is enough for, and of those that order decides."""
    right = np.concatenate(model.logits(batches)).argmax(1) == truth
    return {
        "one frame": (int(right[one_frame].sum()), int(one_frame.sum())),
        "order": (int(right[~one_frame].sum()), int((~one_frame).sum())),
    }


def bars(scores):
    both = [(name, half) for name in scores for half in scores[name]]
    return accuracy_bars({f"{name}: {half}": scores[name][half] for name, half in both})


# %% [markdown]
# ## 1. Sorted as text
#
# Pictures are numbered from 1. As text, `10.jpg` and `11.jpg` come before `2.jpg`.

# %%
record = mini.records[-1]
num_frames = len(read_clip(mini.path(record), lambda table: range(table.num_frames)).frames)
order = sorted(range(num_frames), key=lambda number: f"{number + 1}.jpg")
print("read as 1, 10, 11, ...:", [number + 1 for number in order][:16])
taken = np.array(order)[sample.uniform(num_frames, spec.num_frames)[0]]
sampling_diagram(taken, num_frames, frame_rate=25, title="spread evenly over the wrong order")


# %%
def as_text(record):
    """The views of a video whose frames were sorted as text."""
    frames = read_clip(mini.path(record), lambda table: range(table.num_frames)).frames
    order = np.array(sorted(range(len(frames)), key=lambda number: f"{number + 1}.jpg"))
    return views_from_frames(frames, order[sample.uniform(len(frames), spec.num_frames)], spec)


right = [read_views(mini.path(record), spec).pixels for record in mini.records]
rng = np.random.default_rng(0)
scores = {"right": score(right), "as text": score([as_text(record) for record in mini.records])}
bars(scores | {"shuffled": score([views[:, rng.permutation(spec.num_frames)] for views in right])})


# %% [markdown]
# The damage is small, and that is what makes this mistake last for years. The diagram shows why: the sort keeps runs of ten in order, and
# only the single digits come between them, so most neighbouring frames of a clip still go forwards. It is the classes of order
# that can notice. Shuffling each clip anew leaves no run, and these classes fall
# far; not to a coin's toss, because many answers leave the pair. (One shuffle for all clips can do anything: try a few seeds.)
#
# ## 2. How small may it be?
#
# The network keeps its input size; what is lost is detail.

# %%
def coarse(views, height, width):
    """The same views with no more detail than height x width pixels."""
    return resize(resize(views[0], (height, width)), spec.crop)[None]


sizes = {"56x72": (56, 72), "28x36": (28, 36), "14x18": (14, 18), "7x9": (7, 9)}
side_by_side({name: coarse(right[-1], *size)[0, 0] for name, size in sizes.items()})

# %%
bars({name: score([coarse(views, *size) for views in right]) for name, size in sizes.items()})

# %% [markdown]
# Both kinds fall, and down to the third size their intervals overlap: neither falls first. One could have expected the classes of order to
# hold out longer, because where a figure *goes* can be seen when it is a blot, while what it *holds* sits in strings and spokes. But
# these weights have never seen a blot. So a part of the loss is no missing detail, it is an input unlike those of training, and only a network
# trained on coarse views could tell the two apart. At the coarsest size the classes of order are not even at chance: the network hardly
# gives these answers any more.
#
# ## 3. Seconds instead of shares
#
# A clip at a fixed rate covers a fixed time: the frames over the rate. The clips of the mini set last two to three seconds.

# %%
rates = (5.0, 12.5, 25.0)
covered = {rate: spec.num_frames / rate for rate in rates}
pd.Series(covered, name="seconds covered").rename_axis("frames per second").to_frame()


# %%
def at(rate):
    """The views of all videos at a frame rate, from the middle of each."""
    other = replace(spec, sampling="clips", frame_rate=rate)
    return [read_views(mini.path(record), other).pixels for record in mini.records]


bars({"the card's rule": score(right)} | {f"{rate:g} per second": score(at(rate)) for rate in rates})

# %% [markdown]
# The slowest rate covers the whole of each clip, with the last frame repeated in short ones, and does as well as the card's rule. The
# fastest sees a window in the middle and misses the beginning or the end of slow actions; it is the classes of order that mind. Two
# things change with the rate at once: what the clip *covers*, and how far things move from frame to frame, which at the fastest rate is less than in
# any clip of the training. This experiment cannot tell the two apart.

# %% [markdown] tags=["next"]
# Back to [4. From pixels to tensors](../04_from_pixels_to_tensors.ipynb) or to the [syllabus](../README.md).
