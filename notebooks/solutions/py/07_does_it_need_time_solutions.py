# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Solutions to chapter 7: which actions cannot be told from one frame?
#
# One way each; yours may differ and be right.

# %% [markdown] tags=["links"]
# [The chapter](../07_does_it_need_time.ipynb) · [Syllabus](../README.md)

# %% tags=["install"]
import importlib.util

if importlib.util.find_spec("vidbench") is None:
    raise SystemExit("vidbench is not installed here; in its checkout, `make lab` opens the notebooks with it.")

# %% tags=["imports"]
import logging

import numpy as np

from vidbench import temporal
from vidbench.data import mini
from vidbench.data.corrupt import STRENGTHS
from vidbench.data.load import read_views
from vidbench.intervals import paired_difference
from vidbench.models import load_model
from vidbench.notebook import open_dataset, scratch_folder
from vidbench.study_arguments import TemporalConfig
from vidbench.visualize import accuracy_bars, change_bars, class_sheet

# %% [markdown]
# ## 1. Which frame?
#
# The study keeps for each run which videos it got right, in the order of the unchanged run's rows. So two changed runs
# can be compared with each other as well.

# %%
logging.getLogger("vidbench").setLevel(logging.ERROR)
RUNS = scratch_folder("07_does_it_need_time")
config = {"model": "mini_r2plus1d.vidmini_v1", "dataset": "vidmini", "single_frame": "none", "no_cache": True}
found = temporal.study(TemporalConfig(**config, changes=("freeze-first", "freeze-middle"), out=str(RUNS / "frozen")))
first, middle = (line["entry"].right for line in found.changes)
rows = found.plain.entry.rows
groups, is_order = [row.group for row in rows], np.array([row.label in mini.ORDER for row in rows])
kinds = {"appearance": ~is_order, "order": is_order}
parts = {kind: [groups[place] for place in np.flatnonzero(of)] for kind, of in kinds.items()}
change_bars(
    {f"{kind}, middle": paired_difference(first[of], middle[of], parts[kind]) for kind, of in kinds.items()},
    what="accuracy against the first frame",
)

# %% [markdown]
# One expects the middle frame to be better for order classes, where the posture tells at least *which pair* it is, and
# the figure points that way. But both intervals hold zero: with so few videos the difference is not shown, and a fair
# report says just that. `scripts/power.py` says how many videos would decide it.

# %% [markdown]
# ## 2. Two frames
#
# The clip becomes a standstill, a jump, and another standstill.

# %%
drawn, net = open_dataset("vidmini"), load_model("mini_r2plus1d.vidmini_v1")
records = [record for record in drawn.records if record.label in mini.ORDER]
clips = [read_views(drawn.path(record), net.spec).pixels[0] for record in records]
t = len(clips[0])
two = np.repeat([t // 4, 3 * t // 4], t // 2)
class_sheet({"unchanged": clips[0][::2], "two frames": clips[0][two][::2], "swapped": clips[0][two[::-1]][::2]}, num=8)


# %%
def right(changed):
    """How many of the clips the network names rightly, and how many there are."""
    said = [net.labels[scores.argmax()] for scores in net.logits([clip[None] for clip in changed])]
    return sum(name == record.label for name, record in zip(said, records)), len(records)


orders = {"unchanged": np.arange(t), "two frames": two, "swapped": two[::-1]}
accuracy_bars({name: right([clip[order] for clip in clips]) for name, order in orders.items()})

# %% [markdown]
# Two frames are enough for most order clips, although the network never saw such a jump in training; the frozen clip of
# the chapter was enough for few. And swapped, nearly all of them are wrong: how two pictures differ, and which comes
# first, is most of what direction means here.

# %% [markdown]
# ## 3. Noise that stands still
#
# The same strength, once drawn anew for every frame and once for the clip.

# %%
deviation = 255 * STRENGTHS["gaussian-noise"][0]  # of severity 1


def noisy(clip, frames_apart, seed):
    """The clip with noise on it: another one in each frame, or one for all."""
    t, h, w, c = clip.shape
    noise = np.random.default_rng(seed).normal(0, deviation, (t if frames_apart else 1, h, w, c))
    return np.clip(np.rint(clip + noise), 0, 255).astype(np.uint8)


ways = {"moving noise": True, "standing noise": False}
spoilt = {name: [noisy(clip, apart, seed) for seed, clip in enumerate(clips)] for name, apart in ways.items()}
class_sheet({name: some[0][::2] for name, some in spoilt.items()}, num=8)

# %%
accuracy_bars({"unchanged": right(clips), **{name: right(some) for name, some in spoilt.items()}})

# %% [markdown]
# Frame for frame the two are equally noisy, and nobody could tell their pictures apart. What stands still hardly
# matters; what moves ruins the answers. So it is the motion of the noise and not the noise, and a network that had met
# noise in training might have learnt to look past it.

# %% [markdown] tags=["next"]
# Back to [7. Does it need time](../07_does_it_need_time.ipynb) or to the [syllabus](../README.md).
