# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 2. Fetch and organise: solutions
#
# One way each; yours may differ. What counts is the answer to the question behind it.

# %% [markdown] tags=["links"]
# [The chapter](../02_fetch_and_organise.ipynb) · [Syllabus](../README.md)

# %% tags=["install"]
import importlib.util

if importlib.util.find_spec("vidbench") is None:
    raise SystemExit("vidbench is not installed here; in its checkout, `make lab` opens the notebooks with it.")

# %% tags=["imports"]
import logging
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from vidbench.data.check import check_videos, count_states, fetch_states, make_ledger
from vidbench.data.decode import read_clip
from vidbench.data.fetch import Order, fetch
from vidbench.data.index import draw_subset, load_records
from vidbench.data.practice import PracticeServer, publish_kinetics
from vidbench.metrics import wilson
from vidbench.notebook import open_dataset
from vidbench.records import VideoRecord
from vidbench.visualize import histogram

# %% tags=["parameters"]
DATASET = "vidmini"
DATA_DIR = None

# %% [markdown]
# ## 1. A damaged archive
#
# A sound copy this time, so that whatever is missing comes from the one archive that is cut.

# %%
scratch = tempfile.TemporaryDirectory()
here, mini = Path(scratch.name), open_dataset("vidmini")
made = publish_kinetics(here / "mirror", mini.records, mini.root, num_archives=4, num_troubled=0)
server = PracticeServer(made.folder)
part = made.folder / "400/val/part_2.tar.gz"
sound = part.read_bytes()
half = part.write_bytes(sound[: len(sound) // 2])
print(f"{part.name}: {half:,} of {len(sound):,} bytes are left")

# %%
logging.getLogger("vidbench").setLevel(logging.ERROR)
home = here / "kinetics400"


def fetch_and_count(**options):
    """Fetch the whole split; what came, what was said, and the ledger."""
    outcome = fetch(Order("kinetics400", "val", data_dir=home, mirrors=(server.url,), **options))
    print(f"{outcome.num_there} of {outcome.num_wanted} are there; archives with a problem: {len(outcome.problems)}")
    print(*(problem.replace(server.url, "") for problem in outcome.problems))
    records = load_records("kinetics400", home, "val")
    ledger = make_ledger(check_videos(records, home), fetched=fetch_states(home, "val", records))
    return pd.Series(count_states(ledger), name="videos").loc[lambda counts: counts > 0].to_frame()


fetch_and_count()

# %% [markdown]
# The clips before the cut are kept, and the other archives came whole. What lay behind the cut is *not fetched* and not *not hosted*: as long as one
# archive was not read to its end, nobody can say that it holds nothing more. Now repair the server. Does the same order do?

# %%
_ = part.write_bytes(sound)
fetch_and_count()

# %% [markdown]
# No: an archive that was found damaged twice is not asked for every time. The order has to say that it is worth another try, which is
# `--retry-failed` on the command line.

# %%
repaired = fetch_and_count(retry_failed=True)
server.close()
scratch.cleanup()
repaired

# %% [markdown]
# ## 2. What does stratifying buy?
#
# A split of forty classes of fifty videos each, about as many as a class of Kinetics' validation split has, and a model that is right on each class with its own probability.
# Whether it is right on a video is drawn once: then the split has one true accuracy, and both samples estimate that.

# %%
CLASSES, EACH, DRAWN, TIMES = 40, 50, 200, 300
rng = np.random.default_rng(0)
easy = rng.uniform(0.1, 1.0, CLASSES)
right = rng.random((CLASSES, EACH)) < easy[:, None]
records = [VideoRecord(f"{k}-{n}", f"{k}-{n}.mp4", f"class {k}", k) for k in range(CLASSES) for n in range(EACH)]
is_right = dict(zip((record.video_id for record in records), right.ravel()))
print(f"accuracy on the whole split: {right.mean():.1%}")

# %%
shares = {"stratified": [], "at random": []}
for seed in range(TIMES):
    some = draw_subset(records, DRAWN, seed)  # the draw of evaluate.py --limit: evenly over the classes
    shares["stratified"].append(np.mean([is_right[record.video_id] for record in some]))
    shares["at random"].append(rng.permutation(right.ravel())[:DRAWN].mean())
values = 100 * np.concatenate(list(shares.values()))
histogram(values, unit="accuracy in %", groups=np.repeat(list(shares), TIMES), title="Samples of 200 videos")

# %%
spread = {name: 100 * np.std(some) for name, some in shares.items()}
low, high = wilson(round(right.mean() * DRAWN), DRAWN)
print(*(f"{name}: standard deviation {value:.2f} points" for name, value in spread.items()), sep="\n")
print(f"the interval that a report prints: {100 * (high - low) / 2:.2f} points to each side")
print(f"a random sample of {DRAWN * (spread['at random'] / spread['stratified']) ** 2:.0f} scatters like the even one")

# %% [markdown]
# Both samples are right on average; the even one scatters less, because it cannot happen to draw many videos of the easy classes. How much it
# gains depends on how much the classes differ. The interval in a report does not know about the strata: for an even sample it is somewhat too wide,
# which errs on the safe side.
#
# ## 3. A cheaper cache

# %%
QUALITY = 95
data = open_dataset(DATASET, DATA_DIR, limit=12)
clips = [read_clip(data.path(record), lambda table: range(min(64, table.num_frames))).frames for record in data.records]


def as_jpeg(frame):
    """One picture, encoded; OpenCV takes blue first."""
    return cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]


packed = [[as_jpeg(frame) for frame in frames] for frames in clips]
raw = sum(frames.nbytes for frames in clips)
small = sum(picture.nbytes for pictures in packed for picture in pictures)
print(f"{raw:,} bytes as arrays, {small:,} as JPEG: {raw / small:.1f} to one")

# %%
began = time.perf_counter()
opened = [np.stack([cv2.imdecode(picture, cv2.IMREAD_COLOR)[..., ::-1] for picture in some]) for some in packed]
jpeg_s = time.perf_counter() - began
began = time.perf_counter()
copies = [frames.copy() for frames in clips]
copy_s = time.perf_counter() - began
far = np.concatenate([np.abs(a.astype(int) - b).ravel() for a, b in zip(opened, clips)])
print(f"off by {far.mean():.2f} levels on average, {np.percentile(far, 99):.0f} or less for 99 % of the values")
print(f"opening takes {jpeg_s / copy_s:.0f} times as long as copying the arrays")

# %% [markdown]
# The disk is relieved, the processor is not: every clip is decoded again each time, which is what a cache is there to avoid. And the pixels move
# a little, on top of what the video's own codec did to them. For an evaluation that has to give the same number as yesterday, arrays are the safer
# choice; for training, where frames are changed at random anyway, and on a disk that is too small, JPEG can be the better one.

# %% [markdown] tags=["next"]
# Back to [2. Fetch and organise](../02_fetch_and_organise.ipynb) or to the [syllabus](../README.md).
