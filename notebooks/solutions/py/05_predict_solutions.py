# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Solutions to chapter 5: what does a model say about a video, and why?
#
# One way each; yours may differ and be right. All use the mini set, where the truth is known.

# %% [markdown] tags=["links"]
# [The chapter](../05_predict.ipynb) · [Syllabus](../README.md)

# %% tags=["install"]
import importlib.util

if importlib.util.find_spec("vidbench") is None:
    raise SystemExit("vidbench is not installed here; in its checkout, `make lab` opens the notebooks with it.")

# %% tags=["imports"]
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from vidbench.data import mini
from vidbench.data.load import read_views
from vidbench.explain import grad_cam, view_of_mask
from vidbench.models import load_model
from vidbench.notebook import open_dataset
from vidbench.predict import actions_in, predict_over_time
from vidbench.visualize import accuracy_bars, heat_overlay, histogram, timeline

# %%
drawn = open_dataset("vidmini")
net = load_model("mini_r2plus1d.vidmini_v1", device="auto")
views = [read_views(drawn.path(one), net.spec) for one in drawn.records]
labels = np.array([one.label for one in drawn.records])
partner = np.array([mini.PARTNER.get(label, label) for label in labels])

# %% [markdown]
# ## 1. Frozen
#
# `np.repeat` fills each clip with its middle frame. A frozen clip has nothing left of time, neither order nor motion.

# %%
frozen = np.stack([np.repeat(view.pixels[0, 8:9], 16, axis=0) for view in views])
(logits,) = net.logits([frozen], batch_size=16)
answers = np.array(net.labels)[logits.argmax(1)]
is_order = partner != labels
bars = {
    "appearance": (int((answers == labels)[~is_order].sum()), int((~is_order).sum())),
    "order": (int((answers == labels)[is_order].sum()), int(is_order.sum())),
    "order, right pair": (int(((answers == labels) | (answers == partner))[is_order].sum()), int(is_order.sum())),
}
accuracy_bars(bars)

# %%
pd.crosstab(labels[is_order], answers[is_order], rownames=["true"], colnames=["answer"])

# %% [markdown]
# Appearance survives freezing largely, although the network has never seen a frozen clip. Order is gone, and with it
# much of the pair: without motion, a walking figure is hardly told from one that stands. Where the pair is still right, it depends on the pair:
# of sitting and standing the answer is nearly always the same one, between the doors it is divided. A network over time has to answer something about a clip without time, and
# which class that is says nothing about the clip. The two classes of a pair get much the same answers, as was to be
# expected.

# %% [markdown]
# ## 2. A finer grid
#
# The same clips as in the chapter, at two layers: share of all heat that falls on the actor, beside the share of
# pixels that are actor.

# %%
rows = []
for label in drawn.classes:
    for index in (0, 4, 8):
        view = read_views(drawn.path(drawn.of(label)[index]), net.spec)
        mask = view_of_mask(mini.actor_mask(label, index), view.indices[0], net.spec)
        for layer in ("blocks.2", "blocks.1"):
            heat = grad_cam(net, view.pixels[0], label, layer=layer)
            rows.append({"layer": layer, "heat on actor": heat[mask].sum() / heat.sum(), "area of actor": mask.mean()})
            rows[-1]["denser on actor"] = heat[mask].mean() > heat[~mask].mean()
pd.DataFrame(rows).groupby("layer").mean().round(3)

# %%
view = read_views(drawn.path(drawn.of("SitDown")[2]), net.spec)
heat_overlay(view.pixels[0], grad_cam(net, view.pixels[0], "SitDown", layer="blocks.1"), num=6)

# %% [markdown]
# The finer map looks sharper, and on average about as much or a little more of its heat falls on the actor. But it is
# less reliable here: it fails in some of these clips, probably because channels of an earlier layer are not yet about classes. Sharper is
# not truer.

# %% [markdown]
# ## 3. Nothing known
#
# A film with three empty scenes, scored as in the chapter.

# %%
scratch = tempfile.TemporaryDirectory()
film = Path(scratch.name) / "film.mp4"
acts = [
    "OpenDoor",
    mini.NOBODY,
    "SitDown",
    "PlayGuitar",
    mini.NOBODY,
    "RightToLeft",
    "Approach",
    mini.NOBODY,
    "HoldBalloon",
]
truth = mini.write_long(film, acts, seed=11)
scored = predict_over_time(net, film, window_s=2.0, stride_s=0.1)
timeline(scored.times_s, scored.scores, scored.labels, truth=truth, top=6)

# %% [markdown]
# The score of the best class, by what the window holds and whether that answer is right:

# %%
held = actions_in(scored.windows_s, truth)
best, name = scored.scores.max(1), np.array(scored.labels)[scored.scores.argmax(1)]
holds = ["nobody" if h == (mini.NOBODY,) else "one action" if len(h) == 1 else "a cut" for h in held]
kinds = ["empty" if what == "nobody" else "right" if n in h else "wrong" for what, h, n in zip(holds, held, name)]
histogram(100 * best, unit="%", bins=np.arange(0, 101, 10), groups=kinds, title="score of the best class")

# %%
threshold = 0.5
known = pd.DataFrame({"window holds": holds, "best class": kinds, "answered": best >= threshold})
known = known.groupby(["window holds", "best class"])["answered"].agg(["sum", "count"])
known.rename(columns={"sum": "answered", "count": "windows"})

# %% [markdown]
# The threshold catches the empty scenes, since scores are low there, and inside actions it costs next to nothing. At
# cuts it does neither: confident mistakes pass, and right answers are lost. (The windows overlap, so there are fewer
# independent cases than the table counts.) It works this well because the empty scenes are places like those of the training clips. A
# network can be confident of a picture unlike anything it has seen. Better than a threshold alone: train with a class
# of its own for *none of these*, choose the threshold on videos set apart for it, and cut a film at its scene changes
# before scoring.

# %%
scratch.cleanup()

# %% [markdown] tags=["next"]
# Back to [5. Predict](../05_predict.ipynb) or to the [syllabus](../README.md).
