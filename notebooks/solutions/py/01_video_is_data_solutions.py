# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Solutions to chapter 1: what is in a file?
#
# One way each; yours may differ and be right. Each solution draws its own films, so the truth is known.

# %% [markdown] tags=["links"]
# [The chapter](../01_video_is_data.ipynb) · [Syllabus](../README.md)

# %% tags=["install"]
import importlib.util

if importlib.util.find_spec("vidbench") is None:
    raise SystemExit("vidbench is not installed here; in its checkout, `make lab` opens the notebooks with it.")

# %% tags=["imports"]
import tempfile
from pathlib import Path

import av
import numpy as np
import pandas as pd

from vidbench.data.barcode import read_numbers, write_numbered
from vidbench.data.decode import packet_table, read_clip
from vidbench.data.sample import frames_at
from vidbench.visualize import sampling_diagram, side_by_side

# %%
scratch = tempfile.TemporaryDirectory()
folder = Path(scratch.name)

# %% [markdown]
# ## 1. Key frames: size against access
#
# `gop=1` makes every picture a key frame, `gop=60` only the first.

# %%
films = {gop: write_numbered(folder / f"gop{gop}.mp4", 60, gop=gop, b_frames=0) for gop in (1, 12, 60)}


# %%
def packets_for_last(path):
    table = packet_table(path)
    place, starts = int(np.argmax(table.pts_s)), np.flatnonzero(table.keys)
    return place - starts[starts <= place].max() + 1


facts = {gop: {"bytes": path.stat().st_size, "packets": packets_for_last(path)} for gop, path in films.items()}
pd.DataFrame(facts).T.rename_axis("pictures from key frame to key frame")

# %% [markdown]
# An archive takes the long groups: they are smallest. Training takes a few frames from anywhere in a video again and again, so it gains from
# short groups, or from a cache of decoded frames, which is what this kit uses (chapter 4).

# %% [markdown]
# ## 2. Which colours the matrix moves
#
# Six stripes, encoded once. The file carries no tag, so we can read it under either matrix.

# %%
COLOURS = {"grey": (128, 128, 128), "red": (220, 30, 30), "green": (30, 180, 30), "blue": (30, 30, 220)}
COLOURS |= {"yellow": (220, 210, 30), "skin": (224, 172, 138)}


def stripes(number, width, height):
    return np.repeat(np.array([list(COLOURS.values())], np.uint8), width // 6, axis=1).repeat(height, axis=0)


film = write_numbered(folder / "stripes.mp4", 1, width=192, height=96, picture=stripes)

# %%
with av.open(str(film)) as container:
    picture = next(container.decode(video=0))
seen = {name: picture.reformat(format="rgb24", src_colorspace=name) for name in ("ITU601", "ITU709")}
seen = {name: rgb.to_ndarray() for name, rgb in seen.items()}
side_by_side(seen)

# %%
middles = np.arange(6) * 32 + 16
table = pd.DataFrame({name: list(map(tuple, rgb[48, middles])) for name, rgb in seen.items()}, index=list(COLOURS))
far = np.abs(seen["ITU601"][48, middles].astype(int) - seen["ITU709"][48, middles]).max(axis=1)
table.assign(furthest=far).map(lambda value: tuple(map(int, value)) if isinstance(value, tuple) else value)

# %% [markdown]
# Grey has no colour: U and V are in the middle, both matrices add nothing to its brightness, and what they would weigh differently is
# zero. What moves a colour is its U and V, so of
# two colours of one hue the more saturated moves further; skin has little of either. And hues differ: green leans on both planes most.

# %% [markdown]
# ## 3. Half the speed
#
# The first 50 pictures come 25 a second, the other 50 at half of that, every 0.08 s.

# %%
times = np.concatenate([np.arange(50) / 25, 2 + np.arange(50) * 0.08])
film = write_numbered(folder / "slower.mp4", 100, times_s=times)
even = read_clip(film, lambda table: frames_at(np.arange(0, 6, 0.1), table.pts_s, table.frame_rate))
sampling_diagram(even.indices, 100, pts_s=times, title="10 pictures per second by time stamps")

# %%
asked, numbers = np.arange(0, 6, 0.1), read_numbers(even.frames)
begins, ends = times[numbers], np.append(times[1:], 6.0)[numbers]
on_screen = (begins <= asked + 1e-6) & (asked < ends + 1e-6)
by_number = read_numbers(read_clip(film, range(0, 100, 2)).frames)
seconds = {"by time stamps": asked[on_screen], "every other picture": times[by_number]}
rows = {name: np.histogram(found, range(7))[0] for name, found in seconds.items()}
pd.DataFrame(rows, index=range(6)).rename_axis("second").T

# %% [markdown]
# A picture counts in the first row only if its bar code says that it was on screen at the moment asked for. Every second gives equally many,
# whether it was filmed fast or slowly. Taking every other picture by its number gives the slow half fewer: its motion looks twice as quick as it was.

# %%
scratch.cleanup()

# %% [markdown] tags=["next"]
# Back to [1. Video is data](../01_video_is_data.ipynb) or to the [syllabus](../README.md).
