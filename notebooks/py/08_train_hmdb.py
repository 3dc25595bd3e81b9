# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 8. Train on HMDB51: how is such a network trained, and on which split?
#
# The [code of a cookbook for PyTorch](https://github.com/PacktPublishing/PyTorch-Computer-Vision-Cookbook/tree/master/Chapter10) trains an image network and a recurrent one on HMDB51: frames
# out of videos, a dataset, a ResNet18, an LSTM, a loop. This chapter walks the same way, on the mini set or on HMDB51 itself, and stops where that tutorial, as it stood when this
# was written, has a mistake: to see it, to measure it, and to put it right.

# %% [markdown] tags=["links"]
# **Time** 60 minutes · **You need** nothing but the kit · **Download** none · **Device** CPU will do
#
# [Syllabus](README.md) · [Solutions](solutions/08_train_hmdb_solutions.ipynb)

# %% tags=["install"]
import importlib.util

if importlib.util.find_spec("vidbench") is None:
    raise SystemExit("vidbench is not installed here; in its checkout, `make lab` opens the notebooks with it.")

# %% tags=["imports"]
import copy
import json
import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from IPython.display import display
from torch import nn
from torch.nn import functional

from vidbench.arguments import EvaluateConfig, ExtractConfig, TrainConfig
from vidbench.augment import Augmentation, draw_view, label_of, mirror_classes
from vidbench.data import mini
from vidbench.data.extract import extract
from vidbench.data.load import read_views
from vidbench.data.process import get_frames, resize
from vidbench.data.split import random_splits
from vidbench.evaluate import evaluate
from vidbench.metrics import is_correct
from vidbench.models import load_model
from vidbench.nets.cnn_rnn import CnnRnn
from vidbench.notebook import open_dataset, scratch_folder
from vidbench.review import read_run
from vidbench.train import train
from vidbench.visualize import accuracy_bars, film_strip

# %% tags=["parameters"]
DATASET = "vidmini"  # "hmdb51" for the real thing
DATA_DIR = None

# %% [markdown]
# ## Which videos teach?
#
# HMDB51's authors made three divisions into training and test videos; so did UCF101's. The mini set comes with its test videos only, so that the cell below draws some for
# training, of other scenes.

# %%
FOLDER = scratch_folder("08_train_hmdb")
logging.getLogger("vidbench").setLevel(logging.ERROR)
if (DATASET, DATA_DIR) == ("vidmini", None):
    for _ in mini.make_mini(FOLDER / "drawn", "train", seed=7, per_class=12):
        pass
test = open_dataset(DATASET, DATA_DIR, "test", limit=400)
training = open_dataset(DATASET, FOLDER / "drawn" if (FOLDER / "drawn").exists() else DATA_DIR, "train", limit=800)
print(training, test, sep="\n")

# %% [markdown]
# ## Frames, once
#
# Decoding a video costs more than most networks take for it, and training reads every video many times. So the tutorial writes sixteen frames of each as pictures, with two
# small functions, `get_frames` and `store_frames`. Here is how it chooses them, and how it names them. What is wrong?

# %%
wanted = 16
chosen = np.linspace(0, 300 - 1, wanted + 1, dtype=np.int16)
print(len(chosen), "frames chosen of a video of 300, the last:", chosen[-1])
print(sorted(f"frame{number}.jpg" for number in range(12)))

# %% [markdown]
# One frame too many, which a later line drops without a word: the end of every video is never seen. And the names come back from `glob` in no order at all; sorted, they would put
# `frame10` before `frame2`. A network which is to learn about time gets its frames shuffled. A third mistake waits for long videos:

# %%
with np.errstate(invalid="ignore"):
    print(np.linspace(0, 40_000 - 1, wanted + 1).astype(np.int16)[-4:])

# %% [markdown]
# The functions of that name in the kit take the frame in the middle of each of `wanted` equal parts, count the pictures themselves instead of believing the file's header, and
# number with zeros in front.

# %%
record = training.records[0]
frames, total = get_frames(training.path(record), wanted)
print(len(frames), "of", total, "frames of", record.label)
film_strip(frames, num=8)

# %% [markdown]
# For a whole list there is `scripts/extract_frames.py`; the next cell is the same call. It goes on where it was stopped, and names each video that cannot be read.

# %%
asked = {"dataset": DATASET, "data_dir": str(training.root), "split": "train", "present_only": True, "num_workers": 2}
done = extract(ExtractConfig(**asked, frames=wanted, short_side=60, out=str(FOLDER / "frames")))
entries = json.loads((FOLDER / "frames" / "datalist.json").read_text())
print(done.summary.replace(str(FOLDER), "..."))
entries[0]

# %% [markdown]
# A folder of numbered pictures is a video for everything in the kit, so training can read these or the videos. The list beside them keeps what the tutorial's list forgot: which
# split a video belongs to, and which source it was cut from.
#
# ## An image network, and one that reads its features
#
# ResNet18 looks at each frame alone. Its features go into an LSTM, one frame after the other, and what the LSTM remembers at the end is classified. Eight videos of sixteen frames
# go in at once. Which axis is which?

# %%
network = CnnRnn(len(training.labels), backbone="resnet18").eval()
clips = torch.rand(8, 16, 3, 112, 112)
with torch.inference_mode():
    print("in", tuple(clips.shape), "out", tuple(network(clips).shape))
print(f"{sum(value.numel() for value in network.parameters()):,} weights")

# %% [markdown]
# [batch, timesteps, 3, height, width], the tutorial says, and makes tensors with the batch first. But torch's LSTM takes the *first* axis for time, unless it is told
# otherwise, and the tutorial does not tell it. No error comes of that: shapes fit either way. How would you notice?
#
# A video's answer must not depend on the other videos of its batch. So change the neighbours and look.

# %%
right, wrong = copy.deepcopy(network), copy.deepcopy(network)
wrong.rnn.batch_first = False
few = clips[:4, :4, :, :56, :56]
others = torch.cat([1 - few[:3], few[3:]])
with torch.inference_mode():
    for name, module in {"batch first": right, "as in the tutorial": wrong}.items():
        print(f"{name}: the last video's scores change by {(module(few)[3] - module(others)[3]).abs().max():.4f}")

# %% [markdown]
# In the tutorial's network each video of a batch reads its predecessors. Its own notebook trains on batches of a single video, where that cannot show, and it shows as soon as
# somebody makes them larger: what it calls timesteps are then other people's videos.
#
# ## Features that somebody else learnt
#
# Training all of ResNet18 takes a GPU and an evening. **Transfer learning** keeps the image network as it is, and learns only what is on top: then its features can be computed
# once, like the frames. For photographs one takes weights from ImageNet; for the mini set's drawings the kit ships a small image network that was trained on frames like these.

# %%
image = load_model("mini2d.vidmini_v1", device="cpu")
spec = replace(image.spec, num_frames=wanted)
eye = image.network.module.eval()
eye.head = nn.Identity()  # without its last layer


@torch.inference_mode()
def features(data):
    """Of each video, float (videos, frames, channels), and its class."""
    pixels = (torch.from_numpy(read_views(data.path(record), spec).pixels[0]) for record in data.records)
    seen = [eye((clip.permute(0, 3, 1, 2) / 255 - 0.5) / 0.25) for clip in pixels]
    return torch.stack(seen), torch.tensor([record.label_index for record in data.records])


# %%
x, y = features(training)
x_test, y_test = features(test)
print("training", tuple(x.shape), "test", tuple(x_test.shape))


# %% [markdown]
# ## A loop by hand
#
# Four lines are the heart of all training: scores, loss, gradients, step. Around them lies what tutorials get wrong most often: `train()` and `eval()`, an order that is drawn
# anew in each epoch, gradients set to zero, and a loss that is a *mean*. The tutorial's is a sum over the batch: then a learning rate means something else for every batch size.

# %%
def fit(head, epochs=30, rate=1e-3, seed=0):
    """Train a head on the features; accuracy on training and test videos after each epoch."""
    torch.manual_seed(seed)
    optimiser, history = torch.optim.AdamW(head.parameters(), rate), []
    for _ in range(epochs):
        head.train()
        for batch in torch.randperm(len(x)).split(16):
            loss = functional.cross_entropy(head(x[batch]), y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        head.eval()
        history.append([float((head(a).argmax(1) == b).float().mean()) for a, b in ((x, y), (x_test, y_test))])
    return history


# %%
class Reader(nn.Module):
    """An LSTM over the features of frames, and a last layer."""

    def __init__(self, channels, num_classes):
        super().__init__()
        self.rnn, self.last = nn.LSTM(channels, 100, batch_first=True), nn.Linear(100, num_classes)

    def forward(self, x):
        return self.last(self.rnn(x)[0][:, -1])


torch.manual_seed(0)
reader = Reader(x.shape[-1], len(training.labels))
history = fit(reader)
pd.DataFrame(history, columns=["training", "test"], index=range(1, 31)).iloc[4::5].round(3).rename_axis("epoch")


# %% [markdown]
# Training accuracy rises further than test accuracy: the gap is what the network knows about these videos only. We look at test accuracy here to learn. Whoever
# *chooses* an epoch by it has trained on the test, and for choosing there is a third part, validation.
#
# What did reading in order bring? The same features, averaged over time, know everything but the order.

# %%
class Average(nn.Module):
    """A last layer on the mean of the frames' features."""

    def __init__(self, channels, num_classes):
        super().__init__()
        self.last = nn.Linear(channels, num_classes)

    def forward(self, x):
        return self.last(x.mean(1))


# %%
average = Average(x.shape[-1], len(training.labels))
fit(average, rate=1e-2)
heads = {"mean of frames": average, "LSTM": reader}
hits = {name: head(x_test).argmax(1) == y_test for name, head in heads.items()}
accuracy_bars({name: (int(hit.sum()), len(hit)) for name, hit in hits.items()}, chance=1 / len(test.labels))

# %% [markdown]
# On the mini set we know which classes need time: pairs such as sit down and stand up. Where is the difference?

# %%
order = torch.tensor([record.label in mini.PARTNER for record in test.records])
if order.any():
    split = {"appearance": ~order, "order": order}
    bars = {
        f"{part}, {name}": (int(hit[mask].sum()), int(mask.sum()))
        for part, mask in split.items() for name, hit in hits.items()
    }
    display(accuracy_bars(bars))

# %% [markdown]
# The image network sees single frames and is blind to direction; a recurrent network over the same features is not. That is the whole idea of CNN + RNN.
#
# ## The split that leaks
#
# The tutorial divides all clips at random, which looks fair. HMDB51's clips were cut from films, several from one scene; the mini set has two of each scene. Take a "classifier" that
# knows nothing at all: the class of the nearest thumbnail. Before you run it: how much better will it be when the other clip of a scene may be in its training part?

# %%
thumbs = {r.path: resize(get_frames(test.path(r), 8)[0], (9, 12)).ravel().astype(float) for r in test.records}


def nearest(by, seed):
    """(right, n) of the nearest thumbnail, half of the clips against the other half."""
    halves = random_splits(test.records, {"train": 0.5, "test": 0.5}, seed=seed, by=by, allow_leak=True)
    known = np.array([thumbs[r.path] for r in halves["train"]])
    found = [halves["train"][np.abs(known - thumbs[r.path]).sum(1).argmin()].label for r in halves["test"]]
    return sum(label == r.label for label, r in zip(found, halves["test"])), len(found)


# %%
pooled = {f"split by {by}": np.sum([nearest(by, seed) for seed in range(5)], axis=0) for by in ("clip", "group")}
accuracy_bars({name: (int(k), int(n)) for name, (k, n) in pooled.items()}, chance=1 / len(test.classes))

# %% [markdown]
# By clip it recognises scenes, not actions. By group, with all clips of a scene on one side, no more than chance is left, and that is the truth about it. A network is far better at
# recognising scenes than a thumbnail; on UCF101 and HMDB51 random splits are how figures near perfection came into being. The official splits keep
# sources together. (The bars pool five draws of the same clips; their intervals are narrower than they may be.)
#
# ## Augmentations, looked at
#
# Few videos become more by changing them: another moment, crop, mirror image, colour. Whatever is drawn must be the same for all frames of a clip, or things start to jump.
# Here are a clip and three of its training views. Look for anything that would change what the clip shows.

# %%
names = list(training.labels)
mirrored = mirror_classes(names)
label = names.index("LeftToRight") if "LeftToRight" in names else 0
record = (training.of(names[label]) or training.records)[0]
whole, _ = get_frames(training.path(record), 32)
small = resize(whole, (60, 80))
film_strip(small, num=6, title=f"as it is: {names[label]}")

# %%
how = Augmentation(min_scale=0.5, jitter=0.3)
for draw in range(3):
    rng = np.random.default_rng([3, draw])
    view, turned = draw_view(small, label, image.spec, 6, how, mirrored, rng)
    new_label = label_of(label, turned, mirrored, None)
    display(film_strip(view.permute(0, 2, 3, 1).numpy(), num=6, title=f"view {draw + 1}: {names[new_label]}"))

# %% [markdown]
# A mirrored clip of a class that names left or right gets the other one's name. The tutorial mirrors and keeps the name, which is harmless for most classes and wrong for these. HMDB51 has no
# such class; your own data may.
#
# ## The recipe
#
# All of this is `scripts/train.py` with a file of settings. For HMDB51 the file is `scripts/configs/train-hmdb51-cnn-rnn.txt`: the tutorial's frames and size, the official split, all classes,
# batch first, validation on whole videos of other sources, a checkpoint that carries its card. Here is the same call on the frames from above, with a smaller backbone that begins with nothing, for
# two epochs: enough to see what it prints, not enough to learn.

# %%
recipe = {"model": "cnn_lstm.untrained", "weights": "random", "network": ("backbone=squeezenet1_1", "level=true")}
size = {"num_frames": 8, "short_side": 60, "crop": 56, "batch_size": 8, "learning_rate": 3e-4}
places = {"dataset": "csv", "data_dir": str(FOLDER / "frames"), "cache_dir": str(FOLDER / "cache")}
places |= {"results_dir": str(FOLDER), "num_workers": 0}
trained = train(TrainConfig(**recipe, **size, **places, epochs=2, run_name="cnn-rnn", no_tensorboard=True), tell=print)

# %% [markdown]
# A split that leaks is refused there, in one sentence, unless it is asked for by name. And transfer learning is an option: from weights that know the classes' motions, the same number of epochs goes a long
# way.

# %%
size = {"num_frames": 16, "batch_size": 8, "learning_rate": 1e-3, "epochs": 2, "no_tensorboard": True}
tuned = train(TrainConfig(model="mini_r2plus1d.vidmini_v1", **size, **places, run_name="tuned"), tell=print)

# %%
shown = {"LSTM on frozen features": (int(hits["LSTM"].sum()), len(hits["LSTM"]))}
for name in ("cnn-rnn", "tuned"):
    words = {"weights": str(FOLDER / name / "last.safetensors"), "run_name": f"{name}-test", "num_workers": 0}
    words |= {"dataset": DATASET, "data_dir": DATA_DIR, "split": "test", "present_only": True, "limit": 400}
    run = read_run(evaluate(EvaluateConfig(**words, results_dir=str(FOLDER), no_cache=True)).run_folder)
    shown[f"train.py, {name}"] = (sum(is_correct(row, 1) for row in run.rows), len(run.rows))
accuracy_bars(shown, chance=1 / len(test.labels))

# %% [markdown]
# Three ways on the same test videos. The network from nothing is near chance after so few steps, and no figure about CNN + RNN: on real frames, with ImageNet's weights and
# twenty epochs on a GPU, it is another story, told by the recipe. The fine-tuned one began with weights that were trained on drawings like these. On HMDB51 they know nothing, and the bars change places.
#
# ## Summary
#
# * Frames are read once. Which ones, how they are named and what was left out decides what the network can learn.
# * Check axes with a test, not by their shapes: a video's answer must not depend on its neighbours in the batch.
# * Frozen features of an image network and a small recurrent head train in seconds, and the head alone decides whether time is seen.
# * A random split of clips lets scenes be recognised. Split by source, or take the official split.
# * Look at augmented clips, and ask whether the label still holds.
# * The loop is short; the recipe around it (validation by source, whole videos, checkpoints, resuming) is what a library is for.
#
# ## Exercises
#
# 1. **Time backwards.** Play the test features backwards into the trained LSTM. What should happen to appearance classes, and what to order classes?
# 2. **The sum.** Change the mean loss in `fit` into a sum over the batch, and train with batches of 8 and of 32 at one learning rate. Which of the two suffers, and what happens to it with a mean?
# 3. **Another reader.** Replace the LSTM by a GRU, and by one that reads both directions. Do the intervals of the three overlap?

# %% [markdown] tags=["next"]
# [Solutions](solutions/08_train_hmdb_solutions.ipynb) · Next: [9. Modern models](09_modern_models.ipynb)
