# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 8. Train on HMDB51: solutions
#
# Each solution stands alone. They use the mini set, with training clips drawn as in the chapter, and the features of its image network.

# %% [markdown] tags=["links"]
# [The chapter](../08_train_hmdb.ipynb) · [Syllabus](../README.md)

# %% tags=["install"]
import importlib.util

if importlib.util.find_spec("vidbench") is None:
    raise SystemExit("vidbench is not installed here; in its checkout, `make lab` opens the notebooks with it.")

# %% tags=["imports"]
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from vidbench.data import mini
from vidbench.data.load import read_views
from vidbench.intervals import paired_difference
from vidbench.models import load_model
from vidbench.notebook import open_dataset
from vidbench.visualize import accuracy_bars, change_bars

# %%
scratch = tempfile.TemporaryDirectory()
for _ in mini.make_mini(Path(scratch.name), "train", seed=7, per_class=12):
    pass
training, test = open_dataset("vidmini", scratch.name, "train"), open_dataset("vidmini")
image = load_model("mini2d.vidmini_v1", device="cpu")
spec, eye = replace(image.spec, num_frames=16), image.network.module.eval()
eye.head = nn.Identity()


@torch.inference_mode()
def features(data):
    """As in the chapter: float (videos, frames, channels), and classes."""
    pixels = (torch.from_numpy(read_views(data.path(record), spec).pixels[0]) for record in data.records)
    seen = [eye((clip.permute(0, 3, 1, 2) / 255 - 0.5) / 0.25) for clip in pixels]
    return torch.stack(seen), torch.tensor([record.label_index for record in data.records])


(x, y), (x_test, y_test) = features(training), features(test)


# %%
class Reader(nn.Module):
    """A recurrent network over the features of frames, and a last layer on its last step."""

    def __init__(self, cell=nn.LSTM, **options):
        super().__init__()
        self.rnn = cell(x.shape[-1], 100, batch_first=True, **options)
        self.last = nn.Linear(100 * (2 if options.get("bidirectional") else 1), len(training.labels))

    def forward(self, x):
        steps = self.rnn(x)[0]
        if self.rnn.bidirectional:  # the one that reads backwards has seen everything at the first frame
            return self.last(torch.cat([steps[:, -1, :100], steps[:, 0, 100:]], 1))
        return self.last(steps[:, -1])


def fit(head, optimiser, batch_size=16, reduction="mean", epochs=30):
    """Train a head; the loss of a batch is a mean or a sum over its videos."""
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(batch_size):
            loss = functional.cross_entropy(head(x[batch]), y[batch], reduction=reduction)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return head.eval()


def right(head, features=x_test):
    """Which test videos it has right."""
    with torch.inference_mode():
        return head(features).argmax(1) == y_test


# %% [markdown]
# ## 1. Time backwards

# %%
torch.manual_seed(0)
reader = Reader()
fit(reader, torch.optim.AdamW(reader.parameters(), 1e-3))
order = torch.tensor([record.label in mini.PARTNER for record in test.records])
bars = {}
for part, mask in {"appearance": ~order, "order": order}.items():
    for name, seen in {"forwards": x_test, "backwards": x_test.flip(1)}.items():
        bars[f"{part}, {name}"] = (int(right(reader, seen)[mask].sum()), int(mask.sum()))
accuracy_bars(bars)

# %% [markdown]
# Appearance classes hardly notice. Order classes fall below a coin between the two of a pair: a clip of sitting down, played backwards, *is* one of standing up, and the network says so. That is
# not an error but the proof that it reads the order.

# %% [markdown]
# ## 2. The sum
#
# With AdamW a factor on the loss changes almost nothing, because it divides by the gradient's own size. So plain SGD, at one rate for all.

# %%
bars = {}
for reduction in ("sum", "mean"):
    for size in (8, 32):
        torch.manual_seed(0)
        head = Reader()
        fit(head, torch.optim.SGD(head.parameters(), 0.2, momentum=0.9), size, reduction)
        hit = right(head)
        bars[f"{reduction} of {size}"] = (int(hit.sum()), len(hit))
accuracy_bars(bars, chance=1 / len(test.labels))

# %% [markdown]
# At this rate the mean learns with either batch. The sum makes each step as many times longer as there are videos in the batch, too long for both; at some smaller rate it would learn, and at another one for
# every batch. That is the mistake: a rate that is right for one batch size is wrong for the next, and nobody can take it over from a paper.

# %% [markdown]
# ## 3. Another reader

# %%
hits = {}
for name, options in {"LSTM": {}, "GRU": {"cell": nn.GRU}, "LSTM, both ways": {"bidirectional": True}}.items():
    torch.manual_seed(0)
    head = Reader(**options)
    fit(head, torch.optim.AdamW(head.parameters(), 1e-3))
    hits[name] = right(head).numpy()
accuracy_bars({name: (int(hit.sum()), len(hit)) for name, hit in hits.items()}, chance=1 / len(test.labels))

# %% [markdown]
# They do. But that is a blunt question: the readers judged the same videos, and two models compare best where they disagree.

# %%
lstm, groups = hits.pop("LSTM"), [record.group for record in test.records]
changes = {name: paired_difference(lstm, hit, groups) for name, hit in hits.items()}
change_bars(changes, what="accuracy against the LSTM")

# %% [markdown]
# The one that reads both ways is better than the LSTM on these videos, although their bars overlap. The GRU gains as much, but has more videos wrong that the LSTM had right, and
# its interval holds zero: that it is better is not shown. And each was trained once; another seed is another network, so repeat it with several before you believe either.
# How many videos it would take, [chapter 6](../06_evaluate.ipynb) says.

# %%
scratch.cleanup()

# %% [markdown] tags=["next"]
# Back to [8. Train on HMDB51](../08_train_hmdb.ipynb) or to the [syllabus](../README.md).
