# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 7. Does it need time: which actions cannot be told from one frame?
#
# A network that is shown a clip need not use what makes it a clip. It may answer from the grass, the piano or the
# water, and still look like a network that understands motion. This chapter takes time away from it, piece by piece,
# and looks at which answers survive. On the mini set we know what should happen, so the method itself is on trial.

# %% [markdown] tags=["links"]
# **Time** 50 minutes · **You need** nothing but the kit · **Download** none · **Device** CPU will do
#
# [Syllabus](README.md) · [Solutions](solutions/07_does_it_need_time_solutions.ipynb)

# %% tags=["install"]
import importlib.util

if importlib.util.find_spec("vidbench") is None:
    raise SystemExit("vidbench is not installed here; in its checkout, `make lab` opens the notebooks with it.")

# %% tags=["imports"]
import logging
from dataclasses import replace

import numpy as np
import pandas as pd

from vidbench import robustness, temporal
from vidbench.data import mini
from vidbench.data.decode import read_clip
from vidbench.data.load import read_views
from vidbench.data.retime import order_of, video_seed
from vidbench.models import load_model
from vidbench.notebook import open_dataset, scratch_folder
from vidbench.predict import average
from vidbench.study_arguments import RobustnessConfig, TemporalConfig
from vidbench.visualize import accuracy_bars, change_bars, class_sheet, score_bars

# %% tags=["parameters"]
DATASET = "vidmini"
DATA_DIR = None
MODEL = "mini_r2plus1d.vidmini_v1"  # for other data: a model that knows their classes
OPTIONS = {}  # of every run with it, such as {"weights": FILE, "label_map": "names", "limit": 200}
SINGLE = "mini2d.vidmini_v1"  # scores single frames; "none" where you have no such model

# %% [markdown]
# ## Can you do it yourself?
#
# Before we ask a network: here is one frame from each of six videos a row, taken after a second. Cover the names. Which
# rows could somebody swap without your noticing? (Sections that need the truth always use the mini set.)

# %%
data = open_dataset(DATASET, DATA_DIR)
drawn = data if DATASET == "vidmini" else open_dataset("vidmini")
shown = (*mini.PAIRS[0], *mini.PAIRS[3], *mini.APPEARANCE[2:])
class_sheet({label: [read_clip(drawn.path(one), [25]).frames[0] for one in drawn.of(label)[:6]] for label in shown})

# %% [markdown]
# Guitars and bicycles need no film. Somebody who approaches and somebody who recedes do: each frame of the one could be
# a frame of the other, and so it is with sitting down and standing up. The mini set has eight such **order classes** in
# four pairs, and four **appearance classes**.
#
# ## Take time away from one clip
#
# A clip is an array of frames, and its first axis is time. So time can be changed with an index. Three changes by hand:
# which of them keep every frame, and which keep every step from one frame to the next?

# %%
net = load_model("mini_r2plus1d.vidmini_v1")
path = drawn.path(drawn.of("SitDown")[2])
frames = read_views(path, net.spec).pixels[0]
t = len(frames)
changed = {"unchanged": frames, "reverse": frames[::-1], "freeze-first": frames[[0] * t]}
changed["shuffle"] = frames[np.random.default_rng(video_seed(path)).permutation(t)]
alt = "Every second frame of a clip: as it is, backwards, its first frame alone, and in a drawn order."
class_sheet({name: some[::2] for name, some in changed.items()}, num=t // 2, alt=alt)

# %% [markdown]
# *Reverse* keeps frames and steps, and turns only their direction. *Shuffle* keeps the frames and invents jumps.
# *Freeze* keeps one frame. The library makes the same changes, with an order for each video that is the same on every
# machine:

# %%
for name in ("reverse", "freeze-first", "shuffle"):
    order = order_of(name, 1, t, video_seed(path))[0]
    print(f"{name:12}  {order}  {'as ours' if np.array_equal(frames[order], changed[name]) else 'another than ours'}")


# %% [markdown]
# Its shuffle is another one than ours: the same seed, drawn in another way. Both are fair. Now ask the network, which
# was trained on clips that run forwards only. What will it say to the film played backwards: nothing sensible, or
# something?

# %%
def said(some):
    """Classes with their probabilities, for one clip, uint8 (T, H, W, 3)."""
    (logits,) = net.logits([some[None]])
    return list(zip(net.labels, average(logits, net.spec)))


score_bars({name: said(some) for name, some in changed.items()}, truth="SitDown", top=3)

# %% [markdown]
# Backwards, it is nearly as sure as before, and of the opposite: for this network the direction of the steps *is* the
# action. One frame repeated leaves it guessing among classes that have nothing to do with chairs, and the shuffled clip
# leads it astray, though not as surely as the reversed one.
#
# ## On every video
#
# One clip is an anecdote. The study below runs the model over all videos, once unchanged and once for each of six
# changes, and then a model of single frames on the unchanged ones. Write down your guess: which change costs most, and
# which costs nothing?

# %%
logging.getLogger("vidbench").setLevel(logging.ERROR)  # what is missing is said in the rows
RUNS = scratch_folder("07_does_it_need_time")
shared = {"dataset": DATASET, "data_dir": DATA_DIR, "cache_dir": str(RUNS / "cache")}
shared |= {"present_only": len(data.records) < data.num_listed}  # a partial copy: use what is there
asked = {"model": MODEL, "single_frame": SINGLE, **shared, **OPTIONS}
found = temporal.study(TemporalConfig(**asked, out=str(RUNS / "temporal")))
lines = [*found.changes, *([found.single] if found.single else [])]
entries = {"unchanged": found.plain.entry, **{line["name"]: line["entry"] for line in lines}}
chance = 1 / len(data.labels)
accuracy_bars({name: (one.accuracy["k"], one.accuracy["n"]) for name, one in entries.items()}, chance=chance)

# %% [markdown]
# Each bar has an interval, but we do not want to know how good the model is on shuffled videos. We want to know what
# shuffling *changes*, on the same videos. That difference has an interval of its own:

# %%
change_bars({line["name"]: line["change"] for line in lines})

# %% [markdown]
# A filled point marks a change whose interval leaves out zero. On the mini set four changes of order do damage, and the
# two of speed do none that shows: half the speed, or fewer different frames a second, leave the direction alone.
# Reversing costs at least as much as taking all motion away. How can that be? A frozen clip makes the network guess,
# and a guess is sometimes right; a reversed one makes it *sure* of the wrong class.
#
# Six questions at once make six chances to be fooled. So beside each p-value stands the one that Holm's rule corrects
# for their number:

# %%
p_values = {line["name"]: [f"{line['p']:.2g}", f"{line['holm']:.2g}"] for line in found.changes}
pd.DataFrame(p_values, ["p", "corrected"]).T

# %% [markdown]
# ## Which classes?
#
# The accuracy over all classes mixes those that need time with those that do not. Here each class stands alone: what
# does playing it backwards do?

# %%
change_bars({line["label"]: line["changes"]["reverse"] for line in found.classes[:30]}, what="accuracy when reversed")

# %%
table = [
    {"class": line["label"], "needs time": line["needs_time"], "reversed, it says": line["turned"]}
    | {name: f"{100 * line['changes'][name]['value']:+.0f}" for name in temporal.MOVING}
    for line in found.classes[:30]
]
pd.DataFrame(table).set_index("class")

# %% [markdown]
# The study calls a class one that **needs time** where shuffling or reversing lowers its accuracy for sure: the whole
# interval lies below zero. Its last columns are points. On the mini set the answers to reversed videos are not just
# wrong but the *partner* class. And is the list itself right? Here the truth is known:

# %%
truth = found
if (DATASET, MODEL) != ("vidmini", "mini_r2plus1d.vidmini_v1"):
    config = {"model": "mini_r2plus1d.vidmini_v1", "dataset": "vidmini", "cache_dir": str(RUNS / "cache")}
    truth = temporal.study(TemporalConfig(**config, out=str(RUNS / "truth")))
named = {line["label"] for line in truth.classes if line["needs_time"]}
print("order classes that are named:", len(named & set(mini.ORDER)), "of", len(mini.ORDER))
print("appearance classes that are named:", len(named & set(mini.APPEARANCE)), "of", len(mini.APPEARANCE))

# %% [markdown]
# So the method can be trusted this far: with a dozen videos a class it finds what needs time and accuses nobody else.
# On real data nobody knows the truth, and the list must be read with care. It speaks of *this model on these videos*. A
# class that is missing from it may be an action that needs no time, or one for which the model found a short cut.
#
# ## One frame, fairly
#
# How much can be had without any time? There are two ways to ask: freeze the clip for the network that knows motion, or
# take a network that was trained to judge single frames. Both see no motion at all. Will they do equally well?

# %%
is_order = np.array([row.label in mini.ORDER for row in truth.plain.entry.rows])
frozen = next(line["entry"] for line in truth.changes if line["name"] == "freeze-middle")
models = {"3-D": truth.plain.entry, "3-D, frozen": frozen, "single frames": truth.single["entry"]}
kinds = {"appearance": ~is_order, "order": is_order}
accuracy_bars(
    {
        f"{name}, {kind}": (int(one.right[of].sum()), int(of.sum()))
        for kind, of in kinds.items()
        for name, one in models.items()
    }
)

# %% [markdown]
# No. The model of single frames knows nearly every appearance class, and is right on about every other order clip: it
# names the pair and tosses a coin (chapter 6 shows that), and that is as far as one frame goes. The frozen clip is a picture too, but to a network that has seen nothing
# except motion it is a strange one, and it fails on pictures that are enough. Whoever measures *the need for time* by
# freezing finds too much of it. A fair baseline is trained for what it is shown.
#
# ## How many frames a second?
#
# Time can also be thinned out. `fps:N` shows the same moments, each with the frame that would be on screen if the video
# had only N frames a second. This is one clip, sitting down:

# %%
rates = ("fps:12", "fps:6", "fps:3", "fps:1.5", "fps:0.75")
views = {rate: read_views(path, replace(net.spec, temporal=rate)).pixels[0] for rate in rates[1:]}
alt = "Every second frame of a clip, as it is and at four falling rates, at which more and more frames are the same."
class_sheet({"unchanged": frames[::2], **{rate: some[::2] for rate, some in views.items()}}, num=t // 2, alt=alt)

# %% [markdown]
# How far down will the order classes be told apart? In the last row hardly more than two different pictures are left.

# %%
slow = temporal.study(TemporalConfig(**asked | {"single_frame": "none"}, changes=rates, out=str(RUNS / "temporal")))
change_bars({line["name"]: line["change"] for line in slow.changes})

# %% [markdown]
# Remarkably far: the direction can be read from few pictures, so long as they stand in the right order. Only where the
# clip is a standstill with a jump does the accuracy fall far. The cheapest way to save decoding may be just this; on
# your own data, measure where the curve bends. Repetition is another matter: whoever wants to count push-ups needs
# more pictures than whoever wants to know that they are push-ups.
#
# ## Videos as they come
#
# Users send dark, shaky, squeezed videos. Does a network that sees motion stand that better or worse than one that sees
# pictures? Four ways to spoil a video, each mild, middling and severe, on the frame that the network gets:

# %%
middle, severities = t // 2, (1, 3, 5)
harms = ("gaussian-noise", "motion-blur", "low-light", "h264")
spoilt = {
    name: [read_views(path, replace(net.spec, corrupt=f"{name}:{n}")).pixels[0][middle] for n in severities]
    for name in harms
}
alt = "A frame, unchanged and at three severities of each of four corruptions."
class_sheet({name: [frames[middle], *some] for name, some in spoilt.items()}, alt=alt)

# %% [markdown]
# The first column is the unchanged frame. Each video is spoilt in its own way, the same in every run. Both models, all
# four harms, half of the mini set; as above, what counts is the change against the model's own unchanged run. Where
# would you expect the two models to part?

# %%
half = {"limit": 72} | asked
harm = robustness.study(
    RobustnessConfig(**half, corruptions=harms, severities=severities, out=str(RUNS / "robustness"))
)
mildest = {
    f"{line['corruption']}, {name}": line["cells"][0]["change"]
    for lines in zip(*(model["lines"] for model in harm.models))
    for name, line in zip(("3-D", "single"), lines)
}
change_bars(mildest, what="accuracy at severity 1")

# %% [markdown]
# At the mildest step only one thing is a catastrophe: noise, for the network that sees motion. To our eyes the figure
# is as plain as before, and the network of single frames takes no harm that shows. Noise differs from frame to frame, so it *moves*, everywhere and all the time; a network that
# compares frames has learnt that whatever differs means something. (Is that really the reason? The third exercise asks.)

# %%
tables = {
    model["name"]: pd.DataFrame(
        {
            line["corruption"]: [f"{100 * cell['accuracy']['value']:.0f}" for cell in line["cells"]]
            for line in model["lines"]
        },
        index=[f"severity {level}" for level in harm.severities],
    ).T
    for model in harm.models
}
pd.concat(tables, axis=1)

# %% [markdown]
# One number for all of that is the **corruption error**: the model's errors under all harms over those of the
# single-frame model. Below one it makes fewer.

# %%
print(robustness.mean_words(harm))
if harm.errors:
    print(*(f"{name}: {value:.2f}" for name, value in harm.errors.items()), sep="\n")

# %% [markdown]
# Careful: this number knows nothing of where the two began. On the mini set the single-frame model is wrong about many
# order classes before anything is spoilt, and that alone puts the figure below one. The table shows what it hides:
# under noise the network that needs time loses more. Read both.
#
# The command line has the same studies, with pages to look at: `python scripts/temporal.py --help`, `python
# scripts/robustness.py --help`; [the guide](../docs/temporal-and-robustness.md) explains every line of them.
#
# ## Summary
#
# * A network that is given time need not use it. Change the time of the same videos and compare in pairs.
# * Reversing asks about direction, shuffling about order, freezing about any motion at all, `fps:N` about how fine the
#   steps must be.
# * A class needs time where a change of order alone lowers its accuracy for sure. That speaks of a model and its
#   videos, not of the action as such.
# * What one frame can do is measured with a model of single frames; a frozen clip says too little.
# * A network that compares frames can be upset by what differs between frames for no reason. Measure what your users'
#   videos have, and look at the change as well as at the ratio.
#
# ## Exercises
#
# 1. **Which frame?** Of the changes that freeze a clip, is the first frame or the middle one the better picture? Compare
#    the two runs in pairs, apart for appearance and order classes.
# 2. **Two frames.** Show the network only two different frames of each clip, one for its first and one for its second
#    half. Does it still know the direction? And what if you swap the two?
# 3. **Noise that stands still.** Give every frame of a clip the *same* noise, as strong as at severity 1. If motion is
#    the reason, the network should hardly mind.

# %% [markdown] tags=["next"]
# [Solutions](solutions/07_does_it_need_time_solutions.ipynb) · Next: [8. Train on HMDB51](08_train_hmdb.ipynb)
