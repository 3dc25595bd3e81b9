# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 5. Predict: what does a model say about a video, and why?
#
# A network takes a stack of pictures and gives one number for each class. This chapter follows those numbers: from
# the network's output to a score, from one clip to a long video, and back to the pixels and moments that the network
# went by. Because the mini set is drawn, we know what happens in every frame, and can tell where the network is right
# for the right reason.

# %% [markdown] tags=["links"]
# **Time** 45 minutes · **You need** nothing but the kit · **Download** none · **Device** CPU will do
#
# [Syllabus](README.md) · [Solutions](solutions/05_predict_solutions.ipynb)

# %% tags=["install"]
import importlib.util

if importlib.util.find_spec("vidbench") is None:
    raise SystemExit("vidbench is not installed here; in its checkout, `make lab` opens the notebooks with it.")

# %% tags=["imports"]
from dataclasses import replace

import numpy as np
import pandas as pd

from vidbench.data import mini
from vidbench.data.classes import load_labels
from vidbench.data.decode import read_clip
from vidbench.data.load import read_views
from vidbench.explain import grad_cam, view_of_mask
from vidbench.models import find_card, load_model
from vidbench.notebook import open_dataset, quiet, work_folder
from vidbench.plan import make_label_map
from vidbench.predict import LabelMap, actions_in, predict, predict_over_time, softmax, top
from vidbench.records import WeightsError
from vidbench.visualize import accuracy_bars, contact_sheet, film_strip, heat_overlay, score_bars, timeline
from vidbench.widgets import clip_player

# %% tags=["parameters"]
DATASET = "vidmini"
DATA_DIR = None
MODEL = "mini_r2plus1d.vidmini_v1"  # for other data: a model that knows their classes
WEIGHTS = None  # a file, where the model's weights are not shipped
I3D = None  # the folder of I3D's SavedModel from TF-Hub, for the last section
LABEL_MAP = None  # "names" or a CSV file, where model and data name their classes differently

# %% [markdown]
# ## What comes out of the network?
#
# A model is a network with its weights and its card: which classes it knows, and what kind of clip it was trained on.
# Before you run the next cell: how many numbers will the network give for one video?

# %%
data = open_dataset(DATASET, DATA_DIR)
model = load_model(MODEL, WEIGHTS, device="auto")
label_map = make_label_map(LABEL_MAP, data.labels, model.card)
print(data, model.card.name, f"knows {len(model.labels)} classes", sep="\n")

# %% [markdown]
# One for each class it knows, whatever is in the video. Here is a video, as the model sees it: its frames chosen,
# resized and cropped as the card asks ([chapter 4](04_from_pixels_to_tensors.ipynb) shows how).

# %%
record = data.of(data.classes[-1])[0]
views = read_views(data.path(record), model.spec)
print("views, frames, height, width, channels:", views.pixels.shape)
film_strip(views.pixels[0], title=record.label)

# %% [markdown]
# The numbers that the last layer gives are called **logits**. They may be negative, have no unit and no upper end.
# The largest one wins; but what do the others mean?

# %%
(logits,) = model.logits([views.pixels])
best = np.argsort(-logits[0])[:5]
pd.DataFrame({"class": [model.labels[k] for k in best], "logit": logits[0, best].round(2)})

# %% [markdown]
# ## From logits to scores
#
# The **softmax** takes the exponential of each logit and divides by the sum, so that all scores are positive and sum
# to one. Written by hand it is two lines. Taking the largest logit away first changes nothing, because the sum
# shrinks by the same factor, and keeps the exponential from overflowing.

# %%
powers = np.exp(logits[0] - logits[0].max())
by_hand = powers / powers.sum()
print("sums to", by_hand.sum().round(6))
print("as the library's:", np.allclose(by_hand, softmax(logits)[0]))


# %% [markdown]
# A score looks like a probability. Is it one? Multiply all logits by the same number: the network ranks the classes
# as before, so nothing about the video has changed. Guess what happens to the score of the best class.

# %%
def in_words(scores):
    """The best classes in the dataset's words, best first."""
    scores = scores if label_map is None else label_map.apply(scores)
    return [(data.labels[k], float(scores[k])) for k in top(scores, 5)]


score_bars(
    {f"logits x {factor}": in_words(softmax(factor * logits)[0]) for factor in (0.25, 1, 3)}, truth=record.label, top=4
)

# %% [markdown]
# Same order, other scores. How large a score is depends on how long and how hard the network was trained, and it is
# not the share of videos on which the network is right. Read it as an order of preference. Whether it can be trusted
# further is a question for [chapter 6](06_evaluate.ipynb).
#
# ## Whose classes are these?
#
# The scores belong to the model's classes. A dataset may name its classes otherwise, or have others. UCF101 calls one
# *HorseRace*; the classes of Kinetics-600 are *riding or walking with horse* and hundreds more. A **label map** says
# which belong together. Even the two versions of Kinetics do not agree: how many of the older one's names do you
# expect to be missing in the newer one?

# %%
names = LabelMap.by_name(load_labels("kinetics400"), load_labels("kinetics600"))
print(len(names.unmapped), "of", len(names.dataset_labels), "names of Kinetics-400 are not in Kinetics-600, such as")
print(*names.unmapped[:6], sep="\n")

# %% [markdown]
# Some were renamed, some split. A model of the newer version can never name them: through a label map such a class
# has no score at all, and an evaluation counts its videos as wrong and does not leave them out. Mapping by guesswork
# would be worse, so a map is either *equal names* or a file that people can read.
#
# ## One video of every class
#
# `predict` does all of that: frames, network, softmax. One example of each class, with what the model says, is the
# quickest way to see whether anything is wrong: a swapped label list shows at once.

# %%
shown = [data.of(label)[-1] for label in data.classes[:12]]
said = [in_words(predict(model, data.path(one)).scores)[0] for one in shown]
middle = [read_clip(data.path(one), lambda table: [table.num_frames // 2]).frames[0] for one in shown]
contact_sheet(middle, [label if label == one.label else f"not {label}" for one, (label, _) in zip(shown, said)])

# %% [markdown]
# A picture that is marked *not ...* is a mistake. Notice that one picture does not tell you some of these classes: is
# the figure at the door opening or closing it?
#
# ## A long video
#
# Real videos are not cut to one action. To score a long one, a window walks over it, and each window is taken for a
# short video of its own. For the mini set we draw a film in which the truth is known to the frame: actions one after
# the other, with a cut between two, and one scene with **nobody** in it. (With other data, the largest file is taken,
# and there is no truth to draw.)

# %%
ACTIONS = ["SitDown", "StandUp", "HoldUmbrella", mini.NOBODY, "LeftToRight", "OpenDoor", "RideBicycle"]
film, truth = work_folder("05_predict") / "film.mp4", None
if DATASET == "vidmini":
    truth = mini.write_long(film, ACTIONS, seed=3)
else:
    film = max(map(data.path, data.records), key=lambda path: path.stat().st_size)
clip = read_clip(film, lambda table: np.linspace(0, table.num_frames - 1, 12).astype(int))
film_strip(clip.frames, clip.pts_s, num=12)

# %% [markdown]
# Before you run the next cell: what should the scores do at a cut, where a window holds the end of one action and the
# start of another? And what will the network say while nobody is there?

# %%
over_time = predict_over_time(model, film, stride_s=0.2)
moments = over_time.scores if label_map is None else label_map.apply(over_time.scores)
print(f"{len(moments)} windows of {np.diff(over_time.windows_s[0])[0]:.2f} s")
timeline(over_time.times_s, moments, data.labels, truth=truth, top=6)

# %% [markdown]
# While a window lies inside one action, the right class is near the top. Two things are worth a second look.
#
# In the empty scene no class rises; yet the scores of a window sum to one, and some class is best there as
# everywhere. A list of best classes alone would not tell you that nothing happens: *none of these* is not among the
# answers. Worse are the cuts. Half of one action and half of another can look like a third, and the network may be
# confident of an action that is nowhere in the film at that moment.
#
# How often is the best class the true one? It depends on what a window holds, so we count windows inside one action
# and windows across a cut apart, and leave out those that touch the empty scene.

# %%
actions = actions_in(over_time.windows_s, truth or [])
best = [data.labels[k] for k in moments.argmax(1)]
counts = {}
for kind, wanted in {"one action": 1, "across a cut": 2}.items():
    chosen = [n for n, held in enumerate(actions) if len(held) == wanted and mini.NOBODY not in held]
    counts[f"{kind}: at its middle"] = (sum(best[n] == actions[n][0] for n in chosen), len(chosen))
    counts[f"{kind}: any in it"] = (sum(best[n] in actions[n] for n in chosen), len(chosen))
accuracy_bars(counts, what="share of windows")

# %% [markdown]
# (The windows overlap, so they are far from independent: take these intervals as too narrow.)
#
# **How long should a window be?** A short one sees part of an action, a long one mixes several. Put the four lengths
# below in order before you run the cell.

# %%
lengths = {length: predict_over_time(model, film, window_s=length, stride_s=0.2) for length in (0.5, 1.0, 2.0, 4.0)}
for length, found in lengths.items() if truth else []:
    at_middle = [held[0] for held in actions_in(found.windows_s, truth)]
    right = [model.labels[k] == label for k, label in zip(found.scores.argmax(1), at_middle) if label in model.labels]
    print(f"windows of {length} s: {np.mean(right):.0%} of {len(right)} name the action at their middle")
timeline(lengths[0.5].times_s, lengths[0.5].scores, model.labels, truth=truth, top=6)

# %% [markdown]
# In this film the best of them is near the length of the clips that the network was trained on. In windows of 0.5 s, classes that one frame
# can tell stay put, while the classes of a pair take turns with each other and with strangers: the beginning and the end of the action are no longer in
# the same window.
#
# In JupyterLab the player below steps through the film frame by frame, with the best classes at that moment.

# %%
clip_player(film, times_s=over_time.times_s, scores=moments, labels=data.labels, truth=truth, title="film")

# %% [markdown]
# ## Ambiguity
#
# The difference between the two best scores is the **margin**. A small one can mean two things: the network is torn between two classes,
# or it knows none. What parts the two is how much of the score the two best hold together. For the window in which it is most torn,
# look at the frames before you look at its scores (printed above them): would you hesitate too?

# %%
ordered = np.sort(np.nan_to_num(moments, neginf=0), axis=1)
margin, together = ordered[:, -1] - ordered[:, -2], ordered[:, -1] + ordered[:, -2]
torn, lost = (int(np.where(kind, margin, np.inf).argmin()) for kind in (together > 0.5, together <= 0.5))
start, end = over_time.windows_s[torn]
chosen = read_clip(film, lambda table: np.flatnonzero((table.pts_s >= start) & (table.pts_s < end)))
for name, n in {"torn": torn, "knows none": lost}.items():
    best_two = " · ".join(f"{label} {score:.2f}" for label, score in in_words(over_time.scores[n])[:2])
    print(f"{name}, {over_time.windows_s[n][0]:.1f} s to {over_time.windows_s[n][1]:.1f} s: {best_two}")
film_strip(chosen.frames, chosen.pts_s, title="the window in which the network is most torn")

# %% [markdown]
# In the drawn film the torn window holds the cut from sitting down to standing up: both are in it, and both answers are half true.
# The window that knows none lies in the empty scene, where each class gets a little. A small margin tells you where to look first, and
# the sum of the two what to look for. The converse does not hold, as the cuts showed: a large margin is no proof.
#
# ## Several views, one prediction
#
# Papers rarely score one clip. They take several clips of a video and several crops of each, and average. Each of
# these is a **view**. Here are more views than the card asks for, of one video of each class, and the video whose
# views differ most. Two rules of averaging are in use: average the **logits** and take one softmax, or average the
# **probabilities**. Can the two disagree?
#
# ![A video gives several clips of equal length, spread over its time, and each clip square crops from left, centre and right: as many views as clips times crops, whose scores are averaged.](../images/views.jpg)

# %%
some = [data.of(label)[0] for label in data.classes[:12]]
model.spec = replace(model.card.input, num_clips=1 if model.spec.sampling == "stream" else 4, num_crops=3)
many = [predict(model, data.path(one)).logits for one in some]
model.spec = model.card.input
most = int(np.argmax([softmax(views).std(0).max() for views in many]))
panels = {
    f"view {n + 1} of {len(many[most])}": softmax(many[most][n])
    for n in sorted({0, len(many[most]) // 2, len(many[most]) - 1})
}
panels |= {"logits averaged": softmax(many[most].mean(0)), "probabilities averaged": softmax(many[most]).mean(0)}
score_bars({name: in_words(values) for name, values in panels.items()}, top=3, truth=some[most].label)

# %% [markdown]
# A little, here; a lot, where one sure view pulls averaged logits its way while averaged probabilities give each view
# at most one full vote. The card names the rule that belongs to the model's published score: a figure belongs to its
# number of views *and* its rule. With views that the card does not name, a score is **off-card** and must not stand
# beside published ones.
#
# ## Does it see time, or just pictures?
#
# From here on we need ground truth about time, so the following sections always use the mini set and its two models.
# One scores single frames and averages them:
#
# ![Single-frame 2-D network: every frame goes through the same 2-D CNN on its own, and the scores are averaged. Shuffled frames give the same answer.](../images/single_frame.jpg)
#
# The other, an R(2+1)D network, has convolutions over time as well:
#
# ![R(2+1)D: each 3-D kernel of 3 by 3 by 3 is split in two, one of 1 by 3 by 3 within a frame and one of 3 by 1 by 1 along time, with a non-linearity between them.](../images/r2plus1d.jpg)
#
# *SitDown* and *StandUp*
# are drawn alike, one of them played backwards.

# %%
drawn = open_dataset("vidmini")
nets = {"single frames": load_model("mini2d.vidmini_v1"), "3-D": load_model("mini_r2plus1d.vidmini_v1")}
sitting = drawn.of("SitDown")[2]
film_strip(read_clip(drawn.path(sitting), lambda table: range(table.num_frames)).frames, title="SitDown")

# %% [markdown]
# Cover all but one frame with your hand: could you say which way it goes? What will the single-frame network's two
# best scores be?

# %%
score_bars({name: predict(net, drawn.path(sitting)) for name, net in nets.items()}, truth="SitDown", top=3)

# %% [markdown]
# It found the pair and cannot choose inside it. One clip is an anecdote, so let us read all of them once, for both
# networks, and look at pairs only: which of the two classes of its pair does each clip get?

# %%
clips = {
    name: np.concatenate([read_views(drawn.path(one), net.spec).pixels for one in drawn.records])
    for name, net in nets.items()
}
labels = np.array([one.label for one in drawn.records])
partner = np.array([mini.PARTNER.get(label, label) for label in labels])  # the same, played backwards
is_order = partner != labels
classes, inside = np.array(drawn.labels), {}
for name, net in nets.items():
    (scored,) = net.logits([clips[name]], batch_size=16)
    of_true, of_partner = (scored[classes == column[:, None]] for column in (labels, partner))
    right = (of_true > of_partner)[is_order]
    inside[f"{name}, inside pairs"] = (int(right.sum()), len(right))
accuracy_bars(inside, chance=0.5)

# %% [markdown]
# The interval of the single-frame network holds chance, as was to be expected: whatever one frame shows, it shows in both
# classes equally often. A model that did better here would be reading something it should not, such as the order of
# files.
#
# ## Playing frames backwards, and shuffling them
#
# If a network uses the order of time, destroying the order must hurt it, and on the classes that depend on order
# only. Write down your guess for both networks: appearance and order classes, played backwards and shuffled.

# %%
rng, answers = np.random.default_rng(0), {}
orders = {"as filmed": lambda clip: clip, "backwards": lambda clip: clip[::-1], "shuffled": rng.permutation}
for name, net in nets.items():
    for order, change in orders.items():
        (scored,) = net.logits([np.stack([change(clip) for clip in clips[name]])], batch_size=16)
        answers[name, order] = classes[scored.argmax(1)]
changed = {name: int((answers[name, "as filmed"] != answers[name, "shuffled"]).sum()) for name in nets}
print(*(f"{name}: shuffling changed {n} of {len(labels)} answers" for name, n in changed.items()), sep="\n")

# %%
groups, bars = {"appearance": ~is_order, "order": is_order}, {}
for group, chosen in groups.items():
    for order in orders:
        right = (answers["3-D", order] == labels)[chosen]
        bars[f"{group}, {order}"] = (int(right.sum()), len(right))
accuracy_bars(bars)

# %% [markdown]
# The single-frame network never changes its answer: it averages frames, and a mean has no order. The 3-D network
# keeps its appearance classes (but for a few clips, well inside the intervals) and loses the order classes, and
# those alone. Backwards and shuffled are different losses, though. What does it call an order clip that is played
# backwards?

# %%
backwards = answers["3-D", "backwards"][is_order]
swapped = int((backwards == partner[is_order]).sum())
accuracy_bars({"named as the partner": (swapped, len(backwards))}, what="share of reversed clips")

# %% [markdown]
# The other class of the pair. A film of sitting down, played backwards, *is* a film of standing up: the network did
# not fail, it answered about the clip it was given. This is the strongest evidence that it reads the direction of
# time and not some trace of it.
#
# ## Where does it look?
#
# **Grad-CAM** asks which parts of the last feature map speak for a class: it weighs each channel of the map by how fast the
# class's logit would rise with it (the gradient, averaged over the map), sums the channels and drops what is negative. The kit takes it from the library captum. It gives heat in space
# *and*, for a network over time, in time. Which parts of a sitting figure tell the direction?

# %%
net = nets["3-D"]
view = read_views(drawn.path(sitting), net.spec)
heat = grad_cam(net, view.pixels[0], "SitDown")
heat_overlay(view.pixels[0], heat, num=6)

# %% [markdown]
# The heat is coarse, because the last feature map has few cells, and enlarging it makes it look smoother than it is.
# And a convincing picture proves little: we like explanations that point at people. Here the truth is known, because
# the set's code can say which pixels show the actor, with what the figure sits on, holds, rides or opens.

# %%
mask = view_of_mask(mini.actor_mask("SitDown", 2), view.indices[0], net.spec)
alt = "The frames, and below them the figure and its chair in yellow."
heat_overlay(view.pixels[0], mask.astype(float), num=6, alt=alt)


# %% [markdown]
# So we can measure: how much hotter is it on the actor than beside it? A fair test needs two controls. Actors stand
# near the middle, so heat in the middle would score well by luck: therefore the same heat is also held against actors
# of *other* clips of the class. And a network that has learnt nothing should not pass.

# %%
def look(net, per_class=3):
    """Label, heat for it, and actor mask of some clips of every class, each from another scene."""
    for one in (drawn.of(label)[4 * n] for label in drawn.classes for n in range(per_class)):
        view = read_views(drawn.path(one), net.spec)
        mask = mini.actor_mask(one.label, drawn.of(one.label).index(one))
        yield one.label, grad_cam(net, view.pixels[0], one.label), view_of_mask(mask, view.indices[0], net.spec)


nets["untrained"] = load_model("mini_r2plus1d.vidmini_v1", "random")
looks = {name: list(look(net)) for name, net in nets.items()}

# %%
tests = {}
for name, found in looks.items():
    on_actor = [heat[mask].mean() > heat[~mask].mean() for _, heat, mask in found]
    others = [[m for other, _, m in found if other == label and m is not mask] for label, _, mask in found]
    by_luck = [np.mean([heat[m].mean() for m in rest]) for (_, heat, _), rest in zip(found, others)]
    on_own = [heat[mask].mean() > luck for (_, heat, mask), luck in zip(found, by_luck)]
    tests[f"{name}: over backdrop"] = (sum(on_actor), len(found))
    tests[f"{name}: over luck"] = (sum(on_own), len(found))
accuracy_bars(tests, chance=0.5, what="share of clips")

# %% [markdown]
# Both trained networks find their evidence on the actor, more than luck explains; the untrained one does so less
# reliably, though not never: figures have strong edges, and any network reacts to edges. That is what Grad-CAM can
# show. It does not show *how* the evidence is used: the single-frame network looks at the right place and still
# cannot tell the direction.
#
# ## When does it look?
#
# Heat has a time axis too. Beside its mean in each frame stands how much the actor's outline changes there. Should
# the heat follow the motion?

# %%
crossing = drawn.of("LeftToRight")[2]
view = read_views(drawn.path(crossing), net.spec)
heat = grad_cam(net, view.pixels[0], "LeftToRight").mean((1, 2))
mask = view_of_mask(mini.actor_mask("LeftToRight", 2), view.indices[0], net.spec)
motion = np.abs(np.gradient(mask.astype(float), axis=0)).mean((1, 2))
both = np.stack([heat / heat.max(), motion / motion.max()], 1)
timeline(view.indices[0] / view.info.frame_rate, both, ["heat", "motion"], what="relative size")

# %% [markdown]
# Roughly, in this clip. Is that the rule? The correlation of the two over time, for every clip tested
# above, says how far the picture can be trusted.

# %%
agreement = []
for label, heat, mask in looks["3-D"]:
    motion = np.abs(np.gradient(mask.astype(float), axis=0)).mean((1, 2))
    agreement.append({"class": label, "correlation": np.corrcoef(heat.mean((1, 2)), motion)[0, 1]})
table = pd.DataFrame(agreement).groupby("class")["correlation"].agg(["mean", "min", "max", "count"])
table.round(2).sort_values("mean", ascending=False)

# %% [markdown]
# Few clips a class, and they differ: for several order classes heat rises with motion; for others it hardly does, and the appearance classes have no
# reason to follow it. *When* a network looks is harder to read from Grad-CAM than *where*: its steps in time are few,
# and evidence at rest (who is standing now, who was sitting before) is evidence too.
#
# ## The same network twice: I3D through TF-Hub, and in torch
#
# Nothing above depends on who wrote the network. **I3D** was published through TF-Hub as a
# *SavedModel*: a finished program of TensorFlow, with its weights inside. The kit runs it as it is, and has the same network in torch, which
# takes its weights out of that folder and runs on the GPU where there is one. Does it matter which of the two you take?
#
# For an answer `I3D` above has to name the folder. Where it is `None`, the cell asks TF-Hub once and shows what a user is told if that fails, and the torch
# network runs with random weights: then its answer is no result.

# %%
i3d, ways = load_model("i3d.rgb_imagenet_k400", I3D or "random", device="auto"), {}
spec = replace(find_card("i3d.tfhub_kinetics400").input, num_frames=16)
i3d.spec = replace(spec, layout=i3d.spec.layout)  # the pixels in the hub's range
pixels = read_views(data.path(record), spec).pixels
try:
    with quiet():  # TensorFlow greets at length
        hub = load_model("i3d.tfhub_kinetics400", I3D)
        hub.spec, ways["TF-Hub"] = spec, hub.logits([pixels])[0]
except WeightsError as problem:
    print("TF-Hub:", problem)
ways[f"torch on {i3d.device}"] = i3d.logits([pixels])[0]
for way, scores in ways.items():
    print(f"{way}: {scores.shape[1]} classes, first {i3d.labels[scores[0].argmax()]}")
print("largest difference:", np.ptp(list(ways.values()), axis=0).max() if I3D else f"none to give; {i3d.notes[0]}")

# %% [markdown]
# With the weights, the two agree but for rounding: a network is its weights and its arithmetic, whoever computes it. The kit's tests prove that with
# a SavedModel of the same form and random weights. What may *not* be the same for both is what they are fed:
# DeepMind's own code gives pixels from -1 to 1, the example for TF-Hub from 0 to 1. The card has it, and
# [chapter 4](04_from_pixels_to_tensors.ipynb) shows what the wrong range does.
#
# ## Summary
#
# * A network gives a logit for each class it knows. Softmax turns logits into scores that sum to one; their order is
#   what the network says, their size is not how often it is right.
# * Scores speak of the model's classes. A label map translates them, and a class without a counterpart cannot be
#   predicted.
# * A long video is scored by windows. At cuts and in scenes without any known action the best score means little.
# * Views are averaged, by logits or by probabilities; the card says which, and how many.
# * On drawn pairs, a single-frame model stays at chance; reversing frames turns a class into its partner, shuffling
#   destroys it, and classes of appearance survive both.
# * Grad-CAM shows where evidence was found. Against the truth it holds in space, and only partly in time.
# * A network is its weights and its arithmetic: I3D is the same through TF-Hub and in torch, if it is fed the same.

# %% [markdown]
# ## Exercises
#
# 1. **Frozen.** Repeat the middle frame of each clip until the clip is full. Which classes does the 3-D network still
#    know, and which class of each pair does it choose? Guess first.
# 2. **A finer grid.** Compute Grad-CAM for `layer="blocks.1"` of the 3-D network. The picture looks sharper. Does
#    more of the heat fall on the actor?
# 3. **Nothing known.** Draw a film with several empty scenes. Choose a threshold below which you would answer
#    *nothing known*. Does it catch the empty scenes, and the confident mistakes at cuts? What does it cost inside
#    actions?

# %% [markdown] tags=["next"]
# [Solutions](solutions/05_predict_solutions.ipynb) · Next: [6. Evaluate](06_evaluate.ipynb)
