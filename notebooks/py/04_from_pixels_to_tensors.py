# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 4. From pixels to tensors: what exactly does the network see?
#
# No network has ever seen a video. It sees a box of numbers of a fixed shape, and between the file and the box lie five decisions: which
# frames, what size, which part, what scale, which order of axes. Get one of them wrong and nothing breaks; the accuracy is lower, and no
# one knows why. This chapter takes each decision by hand, compares with the kit pixel for pixel, and in the end breaks each on
# purpose, on data where the truth is known.

# %% [markdown] tags=["links"]
# **Time** 45 minutes · **You need** nothing but the kit · **Download** none · **Device** CPU will do
#
# [Syllabus](README.md) · [Solutions](solutions/04_from_pixels_to_tensors_solutions.ipynb)

# %% tags=["install"]
import importlib.util

if importlib.util.find_spec("vidbench") is None:
    raise SystemExit("vidbench is not installed here; in its checkout, `make lab` opens the notebooks with it.")

# %% tags=["imports"]
import json
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from vidbench.data import sample
from vidbench.data.cache import ClipCache
from vidbench.data.catalog import find_dataset
from vidbench.data.decode import open_video, read_clip
from vidbench.data.load import ViewReader, read_views
from vidbench.data.mini import APPEARANCE
from vidbench.data.process import normalise, resize, target_size, three_crops
from vidbench.models import find_card, load_model
from vidbench.notebook import open_dataset
from vidbench.predict import softmax
from vidbench.visualize import (
    accuracy_bars,
    confusion,
    contact_sheet,
    film_strip,
    histogram,
    sampling_diagram,
    side_by_side,
)
from vidbench.widgets import sampling_slider

# %% tags=["parameters"]
DATASET = "vidmini"
DATA_DIR = None

# %% [markdown]
# ## What did the network see in training?
#
# That is a fact about its weights, and the kit keeps it beside them, on the model's *card*. Which of these lines could you find out from the
# weights alone, if the card were lost?

# %%
data = open_dataset(DATASET, DATA_DIR, limit=48)
spec = find_card("mini_r2plus1d.vidmini_v1").input
pd.Series(asdict(spec), name="the card says").to_frame()

# %% [markdown]
# Next to none. The network accepts other sizes, other numbers of frames and any scale, and answers with the same composure. Here is the
# other side: a video, with whatever size, rate and length its file happens to have.

# %%
path = data.path(data.records[-1])
with open_video(path) as video:
    table, info = video.table, video.info
clip = read_clip(path, sample.middle_indices(table.num_frames, 32))
title = f"{info.width} x {info.height} pixels, {table.num_frames} frames"
film_strip(clip.frames, clip.pts_s, num=6, title=title)


# %% [markdown]
# ## Which part, and what size?
#
# Nearly all networks take a square (the mini models, whose card is above, are an exception), and nearly no camera makes one. There are three ways out: stretch the frame, cut a square out of it, or
# pad it with black. What does each of them lose?

# %%
def pad(picture, side):
    """The whole picture, scaled into a black square; uint8 (side, side, 3)."""
    h, w, _ = picture.shape
    height, width = round(side * h / max(h, w)), round(side * w / max(h, w))
    top, left = (side - height) // 2, (side - width) // 2
    square = np.zeros((side, side, 3), np.uint8)
    square[top : top + height, left : left + width] = resize(picture[None], (height, width))[0]
    return square


# %%
frame, side = clip.frames[16], 112
h, w, _ = frame.shape
stretched = resize(frame[None], (side, side))[0]
short = resize(frame[None], target_size(h, w, side))[0]  # the short side becomes 112, shapes stay
one_end, centre, other_end = three_crops(short, side)
pictures = {"source": frame, "stretched": stretched, "padded": pad(frame, side)}
side_by_side({**pictures, "one end": one_end, "centre": centre, "other end": other_end})

# %% [markdown]
# Stretching keeps everything and makes people thinner. Cropping keeps shapes and throws the sides away, with whoever stood there; three
# crops and the mean of their scores get them back, at three times the work. Padding keeps both and spends pixels on black bars with
# hard edges. None of these is wrong. Wrong is one thing only: another one than in training.
#
# And how is a frame made smaller at all? Halving it by the bilinear rule should average squares of four pixels. By hand, and then the
# library's way: do they agree to the last level? And does the same hold for a sixth of the size?

# %%
for k in (2, 6):
    tiles = frame[: h // k * k, : w // k * k]
    averages = np.rint(tiles.reshape(h // k, k, w // k, k, 3).mean((1, 3))).astype(np.uint8)
    bilinear = resize(tiles[None], (h // k, w // k))[0]
    print(f"1 in {k}: {np.abs(bilinear.astype(int) - averages).mean():.1f} levels apart on average")
kth = tiles[::k, ::k].copy()
side_by_side({"average of all": averages, "bilinear": bilinear, "every 6th pixel": kth})

# %% [markdown]
# Halving is exact. Far below that the bilinear rule looks at a few pixels and jumps over the rest, while an average looks at all of them;
# thin lines flicker from frame to frame, and a network may take that for motion. Both are called "resize", and libraries differ in what
# they do when nobody asks.
#
# ## Which frames?
#
# The card wants a fixed number of frames, the video has another. The first idea: spread them evenly. Cut the video into as many shares as
# frames are wanted, and take the middle of each.

# %%
n, t = table.num_frames, spec.num_frames
mine = np.array([int((share + 0.5) * n / t) for share in range(t)])
print("the same as the library's rule:", np.array_equal(mine, sample.uniform(n, t)[0]))
sampling_diagram(mine, n, frame_rate=info.frame_rate, title="uniform: the whole video")

# %% [markdown]
# The second idea: neighbouring frames in a window somewhere (or every second one, the *stride*; papers write frames times stride).
# Before you run it: which of the two shows more of a long action, and which shows a fast one better?

# %%
dense = sample.dense(n, t, stride=1)[0]
sampling_diagram(dense, n, frame_rate=info.frame_rate, title=f"dense: {t} neighbouring frames")

# %%
rows = {"uniform": mine[::2], "dense": dense[::2]}
frames = [frame for indices in rows.values() for frame in read_clip(path, indices).frames]
contact_sheet(frames, [f"{name} {i}" for name, indices in rows.items() for i in indices], columns=8)

# %% [markdown]
# Uniform sees beginning and end and knows nothing about speed: a slow video and a fast one look alike. Dense knows speed and may miss
# the end, or all of the action.
#
# Three remedies are in use. The first, for training: draw one frame at random from each of equal segments, anew in every epoch (Temporal
# Segment Networks). The second, for testing: several clips of one video, and their scores averaged.

# %%
epochs = np.concatenate([sample.segments(n, 8, seed=epoch) for epoch in range(4)])
sampling_diagram(epochs, n, frame_rate=info.frame_rate, title="segments: the same video in four epochs")

# %%
windows = sample.dense(n, 8, stride=2, num_clips=5)
sampling_diagram(windows, n, frame_rate=info.frame_rate, title="five clips of the same video")


# %% [markdown]
# ## Frames or seconds?
#
# The third remedy: count in seconds. The card of a real network says 15 frames per second; the video has its own rate. So ask for
# moments, and take the frame that is on screen then. How even are the steps, if the rates do not divide?

# %%
def on_screen(moments_s):
    """The frames on screen at these moments, where the rate is constant; int (T,)."""
    return np.minimum(np.floor(moments_s * info.frame_rate + 1e-6), n - 1).astype(int)


down = on_screen(np.arange(16) / 15)
print("steps between frames:", np.diff(down))
sampling_diagram(down, n, frame_rate=info.frame_rate, title="down-sampled to 15 frames per second")

# %% [markdown]
# A clip of a fixed number of frames sees more time, the lower its rate:
#
# ![The same number of frames of one video at three rates: the lower the rate, the longer the time they span, and the further a walker gets.](../images/frame_rate.jpg)
#
# The next picture shows both ways, down and up, where the rates do divide.
#
# ![One second of a video. Down to half its rate the clip keeps every other frame; up to double its rate every frame comes twice, and nothing new is seen.](../images/resample.png)
#
# Now up, with rates that do not. What can a clip of 40 frames per second hold, if the camera took fewer?

# %%
up = on_screen(np.arange(16) / 40)
for rate, ours in ((15, down), (40, up)):
    library = sample.clips(table.pts_s, info.frame_rate, 16, rate, from_start=True)[0]
    print(f"{rate} frames per second: the same as the library's rule:", np.array_equal(ours, library))
sampling_diagram(up, n, frame_rate=info.frame_rate, title="up-sampled; orange is repeated")

# %% [markdown]
# Steps of unequal length below, repeated frames above: no picture is made up, and none is mixed from two. Sampling in time never adds
# anything; it decides what is left out.
#
# Try it: move the slider, and find the rate at which the clip covers the whole video, and the one at which frames begin to repeat.

# %%
sampling_slider(path)

# %% [markdown]
# Two cases that break home-made code. A video may be *too short* for the clip: then the last frame is repeated, or the video begins again,
# or it is refused; what was done in training is on the card (`short`). And a video may have *no constant rate*: phones drop frames in the
# dark, screens record only when something moves. Take the time stamps of a camera that stalls for a while. Which rule shows the stall?

# %%
wanted = np.arange(12) * 2
for rule in ("repeat", "loop"):
    print(f"{rule:7}", sample.fit(wanted, 9, rule))

# %%
stalled = np.concatenate([np.arange(30) / 30, 2 + np.arange(30) / 30])
by_count, by_time = sample.uniform(60, 12)[0], sample.clips(stalled, 20.0, 12, 4.0)[0]
print("by count:", by_count, "\nby time: ", by_time)
sampling_diagram(np.stack([by_count, by_time]), 60, pts_s=stalled, title="by count, by time")

# %% [markdown]
# By count, the stall vanishes: the clip jumps over it. By time, the frame that stood on the screen is repeated, as a viewer saw it. The kit
# reads time stamps and never trusts `count / rate`.
#
# ## What scale?
#
# A pixel is a whole number up to 255. Networks train well when their inputs are around zero and not much wider than one: divide by 255,
# subtract a mean, divide by a spread. Whose mean: this video's?

# %%
mean, std = np.array(spec.mean), np.array(spec.std)
pixels = resize(clip.frames, spec.resize)
measured = pixels.reshape(-1, 3) / 255
values = {"card mean": mean, "mean here": measured.mean(0)}
values |= {"card spread": std, "spread here": measured.std(0)}
pd.DataFrame(values, index=["red", "green", "blue"]).round(3)

# %% [markdown]
# No: the card's. The numbers come from the training set (or from a habit of its time) and are part of the weights. Measuring one's own set and
# "correcting" the mean is one of the mistakes that stay silent.

# %%
by_hand = (pixels / 255 - mean) / std
library = normalise(pixels, replace(spec, layout="NTHWC"))
print(f"largest difference to the library: {np.abs(by_hand - library).max():.1e}")
histogram(by_hand[::4, ::2, ::2].ravel(), unit="value after scaling", title="All channels", bins=40)

# %% [markdown]
# ## Which order of axes?
#
# A clip in memory is time, height, width, colour. The card says `NCTHW`: colour before time. Moving an axis and reshaping give arrays of
# the same shape. What does the first frame look like after each?

# %%
tiny = resize(clip.frames, (60, 80))
moved = np.moveaxis(tiny, -1, 0)
confetti = tiny.reshape(moved.shape)
print(moved.shape, confetti.shape, moved.dtype == confetti.dtype)
first = {"moveaxis": moved, "reshape": confetti, "channels reversed": moved[::-1]}
side_by_side({name: np.moveaxis(array[:, 0], 0, -1).copy() for name, array in first.items()})

# %% [markdown]
# The same shape, the same type, no error. One is the frame, one is confetti, and one looks fine to everybody who does not know what colour
# things had: OpenCV reads blue first, nearly all networks were trained with red first.
#
# ## What exactly does the network see?
#
# All five decisions in one cell, by hand: frames, size, part, scale, axes.

# %%
indices = (np.arange(spec.num_frames) + 0.5) * table.num_frames / spec.num_frames
chosen = read_clip(path, indices.astype(int)).frames
chosen = resize(chosen, spec.resize)
top, left = ((a - b) // 2 for a, b in zip(spec.resize, spec.crop))
chosen = chosen[:, top : top + spec.crop[0], left : left + spec.crop[1]]
mine = np.moveaxis((chosen / 255 - mean) / std, -1, 0)[None].astype(np.float32)
print(spec.layout, mine.shape, mine.dtype)

# %% [markdown]
# And the kit's own path, in two halves: `read_views` makes the pixels, the model does the rest on its device. A hook on the network
# writes down what it is really given. If any step of ours differs, here it must show.

# %%
model = load_model("mini_r2plus1d.vidmini_v1", num_threads=1)
views, caught = read_views(path, spec), []


def write_down(module, inputs):
    caught.append(inputs[0].clone())


hook = model.network.module.register_forward_pre_hook(write_down)
logits = model.logits([views.pixels])[0]
hook.remove()
print(f"{(views.pixels[0] != chosen).sum()} of {chosen.size} pixels differ")
print(f"largest difference of what went in: {np.abs(caught[0].numpy() - mine).max():.1e}")
film_strip(views.pixels[0], num=8, title="all that the network sees")

# %% [markdown]
# Not one pixel differs, and what is left is the last digit of a fraction in single precision. So this strip, and nothing else, is what the
# network sees of the video. Could *you* name the class from it? If not, do not expect it of the network; if yes, size is no excuse for a mistake.
#
# ## What does it cost, and when to keep it?
#
# Reading a video means decoding it, every time: in every epoch and for every model with the same input. The kit can keep the finished
# views as NumPy arrays. How much time does that save, what does it cost in disk, and what would it be for a real set and a real card?

# %%
folder = tempfile.TemporaryDirectory()


def seconds_to_read(**options):
    """Seconds to read all videos of ``data`` once, in this process."""
    start = time.perf_counter()
    with ViewReader(data.root, spec, num_workers=0, **options) as reader:
        list(reader.stream(enumerate(data.records)))
    return time.perf_counter() - start


cached = {"cache_dir": folder.name}
runs = {"no cache": {}, "filling it": cached, "from the cache": cached}
spent = {name: seconds_to_read(**options) for name, options in runs.items()}
(pd.Series(spent, name="ms per video") * 1000 / len(data.records)).round(1).to_frame()

# %%
arrays = sorted(Path(folder.name).glob("*/*.npy"))
in_files = sum(data.path(record).stat().st_size for record in data.records) / len(data.records)
in_cache = sum(array.stat().st_size for array in arrays) / len(arrays)
sizes = {"video file": in_files, "views as uint8": in_cache, "views as float32": 4 * in_cache}
(pd.Series(sizes, name="kB per video") / 1000).round(1).to_frame()

# %%
real = find_card("r2plus1d_18.kinetics400_v1").input
videos = dict(find_dataset("kinetics400").counts)["train"]
each = real.num_views * real.num_frames * real.crop[0] * real.crop[1] * 3
print(f"Kinetics-400, {videos} videos of {real.num_views} views: {videos * each / 1e12:.2f} TB as uint8")

# %% [markdown]
# Time for disk. Filling costs extra, because every byte is written and hashed. Keep *whole numbers* and scale later: as fractions the same
# views take more room and hold nothing more.
#
# An entry is an array and a note that vouches for it; its name is a hash of all that shaped the pixels. Which of these changes must lead
# to another entry: another mean, another crop, another number of frames?

# %%
cache, note = ClipCache(folder.name), json.loads(arrays[0].with_suffix(".json").read_text())
print(f"{np.load(arrays[0], mmap_mode='r').shape}, vouched for by {', '.join(note)}")
for change in ({"mean": (0.4,) * 3}, {"crop": (48, 64)}, {"num_frames": 8}):
    before = len(list(Path(folder.name).glob("*/*.npy")))
    read_views(path, replace(spec, **change), cache=cache)
    print(f"{len(list(Path(folder.name).glob('*/*.npy'))) - before} new entries for {change}")
folder.cleanup()

# %% [markdown]
# The mean comes after the pixels, so the entry stays good. The other two make other pixels, and an old entry in their place would be the
# most silent mistake of all. A warning for training: what is cached is frozen. Cache a random crop or a random start, and every epoch
# sees the same one.
#
# ## What does a mistake cost?
#
# Now break it. From here on the videos are always the mini set's, because only there the truth is known: some classes can be told from
# one frame, the others come in pairs that are each other's *reverse*. First its model, fed as the card says.

# %%
mini, rng = open_dataset("vidmini"), np.random.default_rng(0)
truth = np.array([record.label_index for record in mini.records])
one_frame = np.array([record.label in APPEARANCE for record in mini.records])


def read_all(spec):
    """The views of every video of the mini set as a card asks for them; uint8 (1, T, h, w, 3) each."""
    return [read_views(mini.path(record), spec).pixels for record in mini.records]


def answers(batches, spec=spec):
    """Probabilities (N, K) of the videos, scaled as a card says."""
    model.spec = spec
    return softmax(np.concatenate(model.logits(batches)))


right = read_all(spec)
results = {"as the card says": answers(right)}
print(f"{(results['as the card says'].argmax(1) == truth).sum()} of {len(truth)} right")


# %% [markdown]
# Each of the mistakes below is easily made and has been. There are those of pixels and order ...

# %%
def reshaped(views):
    """Views as (T, C, h, w), as many loaders give them, reshaped to (C, T, h, w); shown in our order."""
    return np.moveaxis(np.moveaxis(views, -1, 2).reshape(1, 3, -1, *spec.crop), 1, -1)


mistakes = {
    "blue and red swapped": lambda views: views[..., ::-1],
    "reshaped axes": reshaped,
    "upside down": lambda views: views[:, :, ::-1],
    "mirrored": lambda views: views[:, :, :, ::-1],
    "backwards": lambda views: views[:, ::-1],
    "shuffled in time": lambda views: views[:, rng.permutation(views.shape[1])],
}
for name, change in mistakes.items():
    results[name] = answers([np.ascontiguousarray(change(views)) for views in right])

# %% [markdown]
# ... those of scale, where the pixels are right and the card is not; and those of choice: neighbouring frames in place of spread ones, or a
# crop out of the full picture that was never scaled. Sort them before you run the cell: which costs nothing, which costs half, which
# costs all? And which raises an error?

# %%
choices = {
    "first 16 frames": replace(spec, sampling="clips_from_start", frame_rate=None),
    "middle 16 frames": replace(spec, sampling="dense", frame_rate=None),
    "cropped, not scaled": replace(spec, resize=(120, 160)),
}
for name, other in choices.items():
    results[name] = answers(read_all(other))
results["no mean, no spread"] = answers(right, replace(spec, mean=(0.0,) * 3, std=(1.0,) * 3))
results["not divided by 255"] = answers(right, replace(spec, mean=(0.0,) * 3, std=(1 / 255,) * 3))
counts = {name: int((p.argmax(1) == truth).sum()) for name, p in results.items()}
accuracy_bars({name: (count, len(truth)) for name, count in counts.items()}, chance=1 / 12)

# %% [markdown]
# Not one error, not one warning. And "in silence" can be measured: how sure is the network of its answers? Split them by what can be told
# from one frame, too. Which mistakes leave one kind of class alone and destroy the other?

# %%
hits = {name: p.argmax(1) == truth for name, p in results.items()}
columns = {
    "one frame is enough": [hit[one_frame].mean() for hit in hits.values()],
    "order decides": [hit[~one_frame].mean() for hit in hits.values()],
    "mean confidence": [p.max(1).mean() for p in results.values()],
}
(100 * pd.DataFrame(columns, index=results)).round().astype(int).add_suffix(" (%)")

# %% [markdown]
# Read it line by line, with the truth at hand.
#
# * **Backwards**: classes of one frame hardly notice. Those of order are *all* wrong, and the network is as sure as ever. It is even
#   right: a sitting-down played backwards *is* a standing-up. What is wrong is the label that we hold against it.
# * **Shuffled**, each clip in an order of its own: what is left to see is a figure that jumps about. Order suffers most.
# * **First frames**: order is nearly lost. The action has barely begun: the network sees a held pose and leaves the pair altogether, or takes
#   the state at the start, a door still open, for the end of the partner.
# * **Not divided**: still confident. High confidence says nothing about whether the input was right.
# * **Blue and red**: next to nothing, *here*. The mini set's colours are drawn at random, so the network had to learn to ignore them. On
#   data with grass and skin the same mistake will cost. A test set can be blind to a mistake, so compare pixels and not accuracies.
#
# Mirrored is the strangest line: a part of order is gone, and hardly anything else. Which classes?

# %%
matrix = np.zeros((12, 12), int)
np.add.at(matrix, (truth, results["mirrored"].argmax(1)), 1)
confusion(matrix, mini.labels, normalise=False)

# %% [markdown]
# One pair, swapped as a whole: the one whose names hold *left* and *right*. Mirroring is among the most common augmentations, and for such
# classes it trains on wrong labels. The dataset Something-Something names sides in some of its classes.
#
# ## Summary
#
# * Five decisions turn a file into a tensor: frames, size, part, scale, axes. They belong to the weights; the card holds them.
# * Stretch, crop and pad are all right, and all wrong where training did something else.
# * Sampling by count ignores speed and stalls, sampling by time does not. Up-sampling repeats, down-sampling drops.
# * A cache trades disk for time. Whole numbers, scaled later, under a name that knows everything that shaped the pixels.
# * Wrong preprocessing raises no error, and the network often stays confident. Compare what goes into the network, pixel by pixel, with what should.
#
# ## Exercises
#
# 1. **Sorted as text.** A video stored as pictures `1.jpg` to `60.jpg` is often read in the order of a text sort: 1, 10, 11, ... Rebuild this
#    mistake for the mini set. Which kind of class suffers, and why so much less than from shuffling?
# 2. **How small may it be?** Make the views coarser, to 28x36 pixels and 14x18, and back to their size. At which size does
#    each kind of class break?
# 3. **Seconds instead of shares.** Feed the model by the rule `clips` at 5, 12.5 and 25 frames per second. Predict first, from the diagrams of
#    this chapter, which rate is as good as the card's own rule.

# %% [markdown] tags=["next"]
# [Solutions](solutions/04_from_pixels_to_tensors_solutions.ipynb) · Next: [5. Predict](05_predict.ipynb)
