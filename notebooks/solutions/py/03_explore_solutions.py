# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 3. Explore: solutions
#
# One way each; yours may differ. What counts is the answer to the question behind it.

# %% [markdown] tags=["links"]
# [The chapter](../03_explore.ipynb) · [Syllabus](../README.md)

# %% tags=["install"]
import importlib.util

if importlib.util.find_spec("vidbench") is None:
    raise SystemExit("vidbench is not installed here; in its checkout, `make lab` opens the notebooks with it.")

# %% tags=["imports"]
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from vidbench.data.decode import read_clip
from vidbench.data.mini import encode_clip
from vidbench.data.process import resize
from vidbench.data.survey import LOOK, look_alikes, picture_code, survey
from vidbench.notebook import open_dataset
from vidbench.records import VideoRecord
from vidbench.visualize import accuracy_bars, histogram

# %% tags=["parameters"]
DATASET = "vidmini"
DATA_DIR = None

# %% [markdown]
# What all three need: one look at every video, and the classifier that answers with its nearest neighbour.

# %%
data = open_dataset(DATASET, DATA_DIR, limit=600)
looks = [look for look in survey(data.records, data.root) if look.thumbnail is not None]
labels = np.array([look.record.label for look in looks])
groups = np.array([look.record.group or look.record.video_id for look in looks])
chance = 1 / len(data.classes)


# %%
def bars(features):
    """Accuracy of the nearest neighbour among all other videos, and among those of other groups."""
    distance = cdist(features, features)
    others, strangers = ~np.eye(len(looks), dtype=bool), groups[:, None] != groups[None]
    counts = {}
    for name, allowed in {"any other video": others, "none of its group": strangers}.items():
        answers = labels[np.where(allowed, distance, np.inf).argmin(1)]
        counts[name] = int((answers == labels).sum()), len(labels)
    return accuracy_bars(counts, chance=chance)


# %% [markdown]
# ## 1. Colour alone
#
# Three numbers a video: is that enough to recognise a place?

# %%
colour = np.stack([look.thumbnail.mean((0, 1)) for look in looks])
bars(colour)

# %% [markdown]
# Three numbers already lift the first bar above chance on the mini set: a group's colours come back in its other clip. The leak does not
# need a good model, nor a detailed picture. It is smaller than with thumbnails, because many places share a mean colour.
#
# ## 2. Can the file tell the class?
#
# No picture, only what the file says: its duration, and the bytes a frame. Both are put on one scale, or the larger unit decides alone.

# %%
facts = pd.DataFrame([look.facts() for look in looks])
numbers = np.stack([facts.duration_s, facts.file_size / facts.num_frames], 1)
numbers = (numbers - numbers.mean(0)) / np.maximum(numbers.std(0), 1e-9)
bars(numbers)

# %% [markdown]
# Look at the second bar's interval. Where it includes chance, nothing is shown: the files do not tell. On the mini set that is by
# construction, as lengths are drawn at random and every frame is encoded at the same quality, though a busier class takes a few bytes
# more. Where the interval lies above chance on other data, a network could be right for the wrong reason: it does not see file sizes,
# but it does see what they come from, such as one camera for one class, or strong compression.
#
# ## 3. A copy cut later
#
# Make the copy, and see that one frame from the middle does not give it away.

# %%
scratch = tempfile.TemporaryDirectory()
original = data.path(data.records[0])
frames = read_clip(original, lambda table: range(table.num_frames)).frames
later = Path(scratch.name) / "later.mp4"
later.write_bytes(encode_clip(resize(frames[13:], (96, 128)), quantiser=32))
(copy,) = survey([VideoRecord("later", later.name, labels[0], 0)], scratch.name)
pairs = look_alikes([*looks, copy])
print([(one.record.video_id, bits) for one, other, bits in pairs if copy in (one, other)])


# %% [markdown]
# An empty list: not found. (In a clip where nothing moves it would be found, as the middle then looks like any other moment.)
#
# So compare many moments. A code for every fifth frame of each video; two videos are as different as their two most similar moments. The
# copy's moments lie between the original's, but a few frames off they still look alike.

# %%
def codes_of(path):
    """The picture codes of every fifth frame; bool (M, 64)."""
    frames = read_clip(path, lambda table: range(0, table.num_frames, 5), size=LOOK.crop).frames
    codes = [code for frame in frames if (code := picture_code(frame)) is not None]
    return np.array(codes).reshape(-1, 64)


known = [codes_of(data.path(look.record)) for look in looks]
searched = codes_of(later)
closest = np.array([min((a != b).sum() for a in codes for b in searched) for codes in known])
best = int(closest.argmin())
print(f"closest: {looks[best].record.video_id}, {closest[best]} bits; next: {np.sort(closest)[1]}")
scratch.cleanup()

# %%
histogram(closest, unit="bits between the most similar moments", title="The copy and each video")

# %% [markdown]
# The original stands alone on the left. The price: as many codes a video as it has fifths of frames, and a comparison of all with all, so
# the cost grows with the square of that number. The false alarms grow as well: the more moments two videos have, the more alike their most
# similar ones are by accident, so the threshold has to be lower than for one frame each. Real systems therefore ask for *several* matching
# moments in the same order.

# %% [markdown] tags=["next"]
# Back to [3. Explore](../03_explore.ipynb) or to the [syllabus](../README.md).
