# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Solutions to chapter 9: what do transformers change?
#
# One way each; yours may differ and be right. None needs a weight that somebody trained.

# %% [markdown] tags=["links"]
# [The chapter](../09_modern_models.ipynb) · [Syllabus](../README.md)

# %% tags=["install"]
import importlib.util

if importlib.util.find_spec("vidbench") is None:
    raise SystemExit("vidbench is not installed here; in its checkout, `make lab` opens the notebooks with it.")

# %% tags=["imports"]
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn.functional import conv2d, conv3d

from vidbench.costs import count_macs
from vidbench.data.load import read_views
from vidbench.explain import frames_seen
from vidbench.models import build_module, find_card
from vidbench.nets.inflate import inflate
from vidbench.notebook import open_dataset
from vidbench.tokens import tube_mask
from vidbench.visualize import named_points

# %%
drawn = open_dataset("vidmini")
spec = replace(find_card("videomae_base.kinetics400").input, num_clips=1, num_crops=1)
clip = read_views(drawn.path(drawn.of("SitDown")[0]), spec).pixels[0]
video = torch.from_numpy(clip).permute(3, 0, 1, 2) / 255

# %% [markdown]
# ## 1. Centre
#
# The filter sees one frame, so its answer to a still video is that of the picture, and the order of frames does not matter to it.

# %%
torch.manual_seed(0)
flat = torch.randn(8, 3, 3, 3)
deep = inflate(flat, 3, "centre")
picture = conv2d(video[:, 0][None], flat).relu().mean((0, 2, 3))
still = conv3d(video[:, :1].expand_as(video)[None], deep).relu().mean((0, 2, 3, 4))
print("still as its picture:", torch.allclose(still, picture, rtol=1e-3))
ways = [conv3d(one[None], deep).relu().mean((0, 2, 3, 4)) for one in (video, video.flip(1))]
print("forwards as backwards:", torch.allclose(*ways, rtol=1e-3))


# %% [markdown]
# Three layers of length 3 *could* see seven frames. `frames_seen` measures what really arrives, and zeros let nothing through.

# %%
def stack(how):
    """Three layers over time, each inflated from a filter of one pixel."""
    layers = [nn.Conv3d(3, 3, (3, 1, 1), padding=(1, 0, 0), bias=False) for _ in range(3)]
    for layer in layers:
        layer.weight.data = inflate(torch.randn(3, 3, 1, 1), 3, how)
    return nn.Sequential(*layers)


for how in ("mean", "centre"):
    (seen,) = frames_seen(stack(how), ["2"], torch.randn(1, 3, 16, 4, 4)) > 0
    print(f"{how}: {seen.sum()} frames")

# %% [markdown]
# A centred stack begins as the image network on single frames and sees one of them, though it has room for more. It can grow as soon as training moves its zeros. Its field before training is narrower than its shape allows.
#
# ## 2. How much to hide?

# %%
with torch.device("meta"):
    encoder = build_module(find_card("videomae_base.kinetics400")).videomae.encoder
    whole = count_macs(encoder, torch.empty(1, 8 * 14 * 14, 768))
ratios, curves = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95), {"can be copied": [], "multiply-adds left": []}
for ratio in ratios:
    scattered = np.concatenate([tube_mask((1, 14, 14), ratio, seed=t) for t in range(8)])
    copied = (scattered & ~scattered.all(0)).sum() / scattered.sum()
    with torch.device("meta"):
        left = count_macs(encoder, torch.empty(1, int((~scattered).sum()), 768)) / whole
    curves["can be copied"].append((ratio, 100 * copied, ""))
    curves["multiply-adds left"].append((ratio, 100 * left, ""))
named_points(curves, x="share of hidden tokens", y="%", lines=True)

# %% [markdown]
# Hiding more makes copying harder and the encoder cheaper, so both curves speak for a high ratio. Even near its end a scattered mask leaves something to copy, which is
# why VideoMAE does not scatter. How high is too high, when too little is left to understand the clip from, cannot be read from here: that takes training.
#
# ## 3. Blind by construction
#
# Small networks of each kind. A fresh network of the library has an embedding of time that is all zeros already; afterwards it is filled with random numbers, as
# training would fill it with better ones.

# %%
size = {"hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 192}
batch = video[None, :, :8, ::4, ::4].transpose(1, 2) - 0.5
for name in ("joint", "base", "space"):
    card = find_card(f"timesformer_{name}.kinetics400")
    torch.manual_seed(0)
    net = build_module(replace(card, options={**card.options, **size, "image_size": 56})).eval()
    embedding = getattr(net.timesformer.embeddings, "time_embeddings", None)
    for spread in (0, 1) if embedding is not None else (0,):
        with torch.inference_mode():
            if spread:
                nn.init.normal_(embedding)
            same = torch.allclose(net(batch), net(batch.flip(1)), atol=1e-4)
        kind = "none" if embedding is None else "random" if embedding.any() else "zero"
        print(f"{card.options['attention_type']}, embedding of time {kind}: the same logits: {same}")

# %% [markdown]
# *Space only* has no embedding of time and no layer over time; forwards and backwards are the same to it whatever it learns. The other two tell
# them apart by their embedding of time, and not without it. Attention itself knows no order: it takes a weighted mean, and a mean does not mind how its parts are sorted. All
# that this transformer knows of before and after is what its embedding of time wrote on the tokens. A convolution has the order in its weights.

# %% [markdown] tags=["next"]
# Back to [9. Modern models](../09_modern_models.ipynb) or to the [syllabus](../README.md).
