# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 9. Modern models: what do transformers change?
#
# I3D, S3D, R(2+1)D, TimeSformer, MViT, Video Swin, VideoMAE: what did each of them change, and what does it cost? This chapter takes them apart. Most of what tells them
# apart follows from how they are built and not from what they have learnt, so it can be counted and measured here without a single
# published weight: what a fresh network can know, how far it sees in time, what one more frame costs. What they reach is quoted, with its source.

# %% [markdown] tags=["links"]
# **Time** 60 minutes · **You need** nothing but the kit · **Download** none · **Device** CPU will do
#
# [Syllabus](README.md) · [Solutions](solutions/09_modern_models_solutions.ipynb)

# %% tags=["install"]
import importlib.util

if importlib.util.find_spec("vidbench") is None:
    raise SystemExit("vidbench is not installed here; in its checkout, `make lab` opens the notebooks with it.")

# %% tags=["imports"]
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.functional import conv2d, conv3d

from vidbench.costs import cost_of, count_macs, seconds_of_view
from vidbench.data import mini
from vidbench.data.load import read_views
from vidbench.explain import frames_seen
from vidbench.models import build_module, find_card, load_model
from vidbench.nets.inflate import inflate
from vidbench.notebook import open_dataset
from vidbench.predict import predict
from vidbench.tokens import attention, attention_map, hide, tube_mask
from vidbench.visualize import accuracy_bars, film_strip, heat_overlay, named_points, score_bars

# %% tags=["parameters"]
DATASET = "vidmini"
DATA_DIR = None
TIMESFORMER = None  # a folder with a published checkpoint of TimeSformer, to see where a trained one attends
MOVINET = None  # the weights file of MoViNet-A0-Stream, to see a network that knows the classes of Kinetics-600

# %% [markdown]
# ## I3D: a network for pictures, blown up
#
# Networks that know pictures were there first. **I3D** gives each filter of such a network an axis of time: it is repeated along time and divided by
# the number of repetitions. That is called *inflation*.
#
# ![Inflation: a filter of 3 by 3 pixels is repeated along time and divided, so that a still video gives what the image gave.](../images/inflation.png)
#
# By hand it is one line.

# %%
torch.manual_seed(0)
flat = torch.randn(8, 3, 3, 3)  # 8 filters that see 3 colours in 3 x 3 pixels
deep = flat[:, :, None].repeat(1, 1, 3, 1, 1) / 3
print("shapes:", tuple(flat.shape), "and", tuple(deep.shape))
print("as the library's:", torch.allclose(deep, inflate(flat, 3)))

# %% [markdown]
# **What does a freshly inflated network know of time?** Below, the filters see a clip of the mini set in which somebody sits down (with
# other data, its first video). Their answers are averaged over places and times, as at the end of a network. Write down which pairs you expect to be equal:
# a still video and its picture; the clip and the same clip backwards. And with filters that are not repeated but drawn at random?

# %%
data = open_dataset(DATASET, DATA_DIR)
record = data.of("SitDown")[0] if "SitDown" in data.classes else data.records[0]
spec = replace(find_card("videomae_base.kinetics400").input, num_clips=1, num_crops=1)
clip = read_views(data.path(record), spec).pixels[0]
film_strip(clip, title=record.label)


# %%
def answer(video, filters):
    """What filters say of a clip (C, T, H, W), averaged over all places and times."""
    return conv3d(video[None], filters).relu().mean((0, 2, 3, 4))


video = torch.from_numpy(clip).permute(3, 0, 1, 2) / 255
still, picture = video[:, :1].expand_as(video), conv2d(video[:, 0][None], flat).relu().mean((0, 2, 3))
print("still video as its picture:", torch.allclose(answer(still, deep), picture, rtol=1e-3))
for name, filters in {"inflated": deep, "random": torch.randn(deep.shape)}.items():
    same = torch.allclose(answer(video, filters), answer(video.flip(1), filters), rtol=1e-3)
    print(f"{name} filters: forwards as backwards: {same}")


# %% [markdown]
# A still video gives what its picture gave: that is what makes the image network's knowledge worth having. But one repeated filter is the same
# read from either end, so freshly inflated filters cannot tell sitting down from standing up. What a network knows of the direction of
# time, it has to learn from videos.
#
# I3D was published as two such networks: one sees the pictures, the other their optical flow, and the scores of both are added.
#
# ![Two-stream network: one CNN sees a single frame, the other a stack of optical flow, which is the motion between neighbouring frames; their scores are averaged.](../images/two_stream.jpg)
#
# (The drawing has the older form, whose first network sees one picture; in I3D both see whole clips.)
#
# ## S3D and R(2+1)D: space and time apart
#
# A filter over space and time has many weights. **S3D** and **R(2+1)D** split it: first within each frame, then along time.
#
# ![R(2+1)D: each 3-D kernel of 3 by 3 by 3 is split in two, one of 1 by 3 by 3 within a frame and one of 3 by 1 by 1 along time, with a non-linearity between them.](../images/r2plus1d.jpg)
#
# How many channels lie between the two halves is a choice. S3D keeps as many as there were; R(2+1)D takes as many as use up the weights of the
# whole filter. **Who saves what?** For 64 channels in and out R(2+1)D puts 144 between.

# %%
def split(between):
    """A 3-D filter in two halves."""
    within, along = nn.Conv3d(64, between, (1, 3, 3), bias=False), nn.Conv3d(between, 64, (3, 1, 1), bias=False)
    return nn.Sequential(within, nn.ReLU(), along)


kinds = {"whole": nn.Conv3d(64, 64, 3, bias=False), "split, S3D": split(64), "split, R(2+1)D": split(144)}
pd.Series({name: sum(p.numel() for p in kind.parameters()) for name, kind in kinds.items()}, name="weights").to_frame()

# %% [markdown]
# S3D saves more than half of the weights, R(2+1)D none. What both win is one more non-linearity for the same reach. S3D is otherwise I3D: the same blocks of four branches. Its variant S3D-G adds *gating*, which weighs each channel by a look at the
# whole clip.
#
# One thing all convolutions share: the **same weights at each moment**. So what happens to weights and work when such a network gets more frames?
# And to those of a transformer?

# %%
rows = {}
for name in ("r2plus1d_18.kinetics400_v1", "timesformer_base.kinetics400"):
    for frames in (8, 16, 32):
        card = find_card(name)
        if card.kind == "transformers":  # built anew for each number of frames
            card = replace(card, options={**card.options, "num_frames": frames}, num_frames=(frames, frames))
        cost = cost_of(card, num_frames=frames)
        rows[card.architecture, frames] = {"parameters (M)": cost.params / 1e6, "multiply-adds (G)": cost.macs / 1e9}
pd.DataFrame(rows).T.round(3).rename_axis(["network", "frames"])

# %% [markdown]
# The convolutional network has the same parameters for every length; the work grows in step with the frames. The transformer has a learnt
# vector for each place in time, so its parameters grow a little, and a network that was trained with one number of frames does not
# simply take another.
#
# ## TimeSformer: no convolution at all
#
# **TimeSformer** cuts each frame into patches and treats each patch as a *token*, a word of a sentence. In **attention** each token
# asks other tokens and takes in a weighted mean of what they hold. Everything depends on whom it may ask:
#
# ![Where one patch of a TimeSformer attends. Joint: to every patch of every frame. Divided: first to its own place in all frames, then to all patches of its own frame. Space only: to its own frame alone.](../images/attention.jpg)
#
# The authors tried all three. **What does a longer clip cost each of them?** With joint attention every token asks every token. Sketch the three
# curves before you run the cell.

# %%
kinds, curves = {"joint": "joint", "divided": "base", "space only": "space"}, {}
for name, size in kinds.items():
    card, points = find_card(f"timesformer_{size}.kinetics400"), []
    for t in (8, 32, 64, 96):
        longer = replace(card, options={**card.options, "num_frames": t}, num_frames=(t, t))
        points.append((t, cost_of(longer, num_frames=t).macs / 1e12, ""))
    curves[name] = points
named_points(curves, x="frames", y="multiply-adds of a view (T)", lines=True, title="counted")

# %%
shares = {name: {t: 1000 * total / t for t, total, _ in points} for name, points in curves.items()}
pd.DataFrame(shares).round(1).rename_axis("frames", axis=0).add_suffix(": G a frame", axis=1)

# %% [markdown]
# The table has the work *per frame*. With space only it is the same for every length. Divided attention pays for a second set of layers, and
# hardly more for a longer clip: each token asks only one more token for every frame added. Joint attention asks about
# everything, and what a frame costs grows with the length. For the shortest clip joint is even the cheaper of the two, because it has no layers of its own
# for time.
#
# Space only never learns in which order its frames came; exercise 3 shows it. [The authors](https://arxiv.org/abs/2102.05095) report it close to the
# others on Kinetics, and far behind on Something-Something, where the direction of time decides.
#
# ## MViT: tokens that become fewer
#
# Another way to pay less: begin with many short tokens and end with few long ones, as convolutional networks do. **MViT** pools tokens between stages.
#
# ![MViT: from stage to stage the grid of tokens gets coarser in space and each token longer, as in a convolutional network; the number of frames of tokens stays.](../images/multiscale.png)
#
# Where in space or time does it get coarser? Build the network, let a clip of shapes without content through, and write down what each block gives.

# %%
with torch.device("meta"):
    mvit, stages = build_module(find_card("mvit_v2_s")).eval(), []
    for block in mvit.blocks:
        block.register_forward_hook(lambda _, given, made: stages.append((*made[1], made[0].shape[-1])))
    with torch.no_grad():
        mvit(torch.empty(1, 3, 16, 224, 224))
counts = {stage: stages.count(stage) for stage in stages}
table = pd.DataFrame(list(counts), columns=["time", "height", "width", "length of a token"])
table.assign(tokens=table.time * table.height * table.width, blocks=list(counts.values()))

# %% [markdown]
# In space only. Time is halved once, before the first block, and then kept.
#
# ## Video Swin: attention in windows
#
# **Video Swin** keeps attention local again: a token asks the tokens of its window, and windows shift between blocks.
#
# ![Video Swin: attention stays in windows of neighbouring tokens, in space and in time. In every second block the windows are shifted by half their length, so that neighbours meet.](../images/windows.png)
#
# That looks like a convolution. **How far does each network see in time?** It can be measured without any training: take the middle of a layer's
# output and ask by its gradient on which frames it depends. Guess after how many stages the middle of a clip of 64 frames
# has seen the whole clip.

# %%
nets = {
    "R(2+1)D": (build_module(find_card("r2plus1d_18")), ["stem", "layer1", "layer2", "layer3", "layer4"], 1),
    "S3D": (build_module(find_card("s3d")).features, ["0", "2", "6", "12", "15"], 1),
    "Video Swin": (build_module(find_card("swin3d_t")), ["patch_embed", "features.0.0", "features.0.1"], -1),
}
noise, reach = torch.randn(1, 3, 64, 32, 32), {}
for name, (net, layers, channels) in nets.items():
    seen = frames_seen(net.eval(), layers, noise, channels=channels) > 0
    reach[name] = dict(zip(layers, seen.sum(1)))
pd.concat({name: pd.Series(found) for name, found in reach.items()}).to_frame("frames seen")

# %% [markdown]
# The convolutions widen step by step, and see all of it only late. (Pooling and strides over time speed that up: each later step is then worth more
# frames.) A window sees all its frames in the first block, and the shift adds its neighbours in the next. With joint or
# divided attention there is nothing to measure: every token reaches every frame in the first block.
#
# So this is what transformers change: far-apart moments meet early, or at once. Whether a network *uses* what it sees is another question, for weights
# that have learnt something.
#
# ## VideoMAE: learning without labels
#
# **VideoMAE** takes a plain transformer with joint attention and changes how it is trained. Most tokens of a clip are hidden, and the network has
# to paint them. What it paints is thrown away; what it had to understand in order to paint is kept and then trained with labels.
#
# ![VideoMAE in pretraining: most patches are hidden, the same ones in every frame. A large encoder sees only the visible ones, a small decoder paints the hidden ones, and no label is needed.](../images/masked.jpg)
#
# Which to hide? Here it hides **tubes**, the same places at all times:

# %%
grid, ratio = (8, 14, 14), 0.9  # tokens of a clip in time, down and across; each holds two frames of 16 x 16 pixels
tubes = tube_mask(grid, ratio)
film_strip(hide(clip, tubes), title="tubes")

# %% [markdown]
# The other way would be to draw hidden tokens afresh at each time:

# %%
scattered = np.concatenate([tube_mask((1, *grid[1:]), ratio, seed=t) for t in range(grid[0])])
print("hidden:", *(f"{mask.mean():.1%}" for mask in (tubes, scattered)))
film_strip(hide(clip, scattered), title="scattered")


# %% [markdown]
# Just as much is hidden. **How could a network cheat?** In a video the same place looks nearly the same a moment later. So let
# a cheater copy: a hidden token gets the visible one at its place that is nearest in time, and grey where there is none. How many can it copy,
# and how wrong is it on those?

# %%
def cheat(mask):
    """The share of hidden tokens that can be copied, and the mean error of the copies in grey levels."""
    apart = np.abs(np.subtract.outer(np.arange(len(mask)), np.arange(len(mask))))[:, :, None, None]
    nearest = np.where(mask[None], 99, apart).argmin(1)  # of the visible tokens at the same place
    known = mask & ~mask.all(0)
    parts = clip.reshape(8, 2, 14, 16, 14, 16, 3).transpose(0, 2, 4, 1, 3, 5, 6).astype(float)
    copied = np.take_along_axis(parts, nearest[..., None, None, None, None], 0)
    error = np.abs(copied - parts)[known].mean() if known.any() else np.nan
    grey = np.abs(parts - 127)[mask].mean()
    return {"can be copied": known.sum() / mask.sum(), "error": error, "error of plain grey": grey}


pd.DataFrame({"tubes": cheat(tubes), "scattered": cheat(scattered)}).T.round(2)

# %% [markdown]
# From a scattered mask many can be copied, with an error well below that of plain grey, and nothing has been understood. From tubes nothing can: whoever wants to
# paint a tube has no other moment to copy from, and has to guess from what is around it. (The error of tubes is empty because there is no copy.)
#
# Hiding has a second use. The encoder gets *only* what is visible. **What does that save?**

# %%
with torch.device("meta"):
    encoder = build_module(find_card("videomae_base.kinetics400")).videomae.encoder
    whole, visible = (count_macs(encoder, torch.empty(1, n, 768)) for n in (tubes.size, int((~tubes).sum())))
print(f"all {tubes.size} tokens: {whole / 1e9:.1f} G multiply-adds; {(~tubes).sum()} visible ones: {visible / 1e9:.1f} G")
print(f"share of tokens {(~tubes).mean():.3f}, share of multiply-adds {visible / whole:.3f}")

# %% [markdown]
# Even less than the share of tokens that it sees, because in joint attention each of them has fewer others to ask. The savings hold for pretraining alone: to classify,
# the encoder sees all tokens.
#
# ## Where does a TimeSformer look?
#
# Attention is a list of shares, so it can be drawn. There is one catch. The published weights do not come with the kit. Unless `TIMESFORMER` above names
# a folder with a checkpoint, the network below is built with random weights: its map shows the *mechanism*, and not what a trained one attends to.
# What do you expect of attention that has learnt nothing?

# %%
sformer = load_model("timesformer_base.kinetics400", TIMESFORMER or "random", device="auto")
view = read_views(data.path(record), sformer.spec).pixels[0]
print(f"weights: {sformer.weights_source};", *sformer.notes)
heat_overlay(view, attention_map(sformer, view))

# %%
shares = attention(sformer, view).mean(0)  # of the class token's attention in each frame, averaged over the heads
even, (t, h, w) = 1 / shares[0].size, shares.shape
print(f"{t} frames of {h} x {w} patches; of its frame a patch gets {even:.4f} if all get the same")
print(f"smallest {shares.min() / even:.2f}, largest {shares.max() / even:.2f} of that")

# %% [markdown]
# The picture divides by the largest share, so even a nearly flat map is bright; the printed figures say how flat it is. Random weights ask everybody about the
# same: no patch gets a multiple of its even share. What pattern there is comes from the pixels and from chance. A picture like this must not be shown without
# the figures of the second cell. With a checkpoint in `TIMESFORMER`, the same two cells show a trained network.
#
# And even then: attention says from where a layer took its answer, not why. How a map is tested against the truth is shown in [chapter 5](05_predict.ipynb).

# %%
del sformer  # hundreds of megabytes that nothing below needs

# %% [markdown]
# ## What do they reach, and what do they cost?
#
# First what was **published**, as the cards of the kit have it. Read the third and fourth column before the second: who was measured on
# what, and with how many views?

# %%
CHOSEN = {
    "I3D": "i3d.rgb_imagenet_k400", "S3D": "s3d.kinetics400_v1", "R(2+1)D": "r2plus1d_18.kinetics400_v1",
    "MViT v1 B": "mvit_v1_b.kinetics400_v1", "MViT v2 S": "mvit_v2_s.kinetics400_v1",
    "Swin T": "swin3d_t.kinetics400_v1", "Swin B": "swin3d_b.kinetics400_imagenet22k_v1",
    "VideoMAE S": "videomae_small.kinetics400", "VideoMAE B": "videomae_base.kinetics400",
    "TimeSformer": "timesformer_base.kinetics400", "TimeSformer HR": "timesformer_hr.kinetics400",
}  # fmt: skip
cards = {name: find_card(card) for name, card in CHOSEN.items()}
told = {name: vars(card.reported) for name, card in cards.items()}
pd.set_option("display.max_colwidth", None)
pd.DataFrame(told).T[["top1", "on", "protocol", "source"]]

# %% [markdown]
# No two families share a protocol. Some figures are averages over many views of a video, some are of a single view; one is of another set of videos;
# and some networks had seen large sets of pictures before, as the name of Swin B's card says.
#
# Now what we **count**: parameters, and multiply-adds of one view as the card has it. A published accuracy belongs to
# all views of a video, so its cost is that of a view *times* the views.

# %%
costs = {name: cost_of(card) for name, card in cards.items()}
counted = {
    name: {"parameters (M)": cost.params / 1e6, "G a view": cost.macs / 1e9, "views": cost.views,
           "G a video": cost.macs_of_video / 1e9}
    for name, cost in costs.items()
}  # fmt: skip
pd.DataFrame(counted).T.round(1).astype({"views": int})

# %% [markdown]
# Both together make a chart that every paper has. Before you look: which network would you expect at its upper left, where accuracy is high and cost is low?

# %%
groups = {"convolution": [], "convolution, test set": [], "attention": []}
for name, card in cards.items():
    kind = "attention" if name.split()[0] in ("MViT", "Swin", "VideoMAE", "TimeSformer") else "convolution"
    kind += "" if card.reported.on == "kinetics400 val" else ", test set"
    groups[kind].append((costs[name].macs_of_video / 1e9, card.reported.top1, name))
words = {"x": "multiply-adds of a video, all views (G), counted here", "y": "published top-1 on Kinetics-400 (%)"}
named_points(groups, **words, log=True, title="protocols differ from point to point: see the table above")

# %% [markdown]
# The transformers lie higher. But be slow to conclude. The points differ in more than their architecture: in the pictures seen before, in the length of training,
# in the years of practice behind the recipe, in views. The R(2+1)D here has few layers and small pictures. To say that *attention* made the difference, somebody has to change attention alone.
#
# The table before also says what views do. Swin T takes less than I3D for one view, and more for a video, because it was measured with more of them.
#
# **Is a multiply-add a unit of time?** Here is the time of one view on this machine, for 16 frames each, and what it makes for each multiply-add.

# %%
times = {}
for name in ("R(2+1)D", "S3D", "Swin T", "VideoMAE S"):
    net = load_model(CHOSEN[name], "random", device="auto")
    net.spec = replace(net.spec, num_frames=16)
    seconds, work = seconds_of_view(net, num=2), cost_of(net.card, num_frames=16).macs / 1e9
    times[name] = {"G a view": work, "seconds a view": seconds, "ms a G": 1000 * seconds / work}
print("measured on", net.device_name)
pd.DataFrame(times).T.round(2)

# %% [markdown]
# If it were, the last column would hold one number. It does not: memory has to be moved too, and some operations keep a processor busier than others.
# (A busy machine makes times longer, so they are no benchmark; [docs/models.md](../docs/models.md) has repeated ones of many models, with their spread.) Counted cost compares designs, measured time decides on *your* machine.
#
# ## And does it need time at all?
#
# All this is about looking across frames. Whether that pays depends on the classes. The mini set has both kinds: classes that one frame tells, and pairs that only the
# direction of time tells apart. Two networks come with the kit, with weights that were trained on it: one sees single frames, the other is a small R(2+1)D.
# (This section always uses the mini set.)

# %%
drawn = open_dataset("vidmini")
truth = np.array([one.label for one in drawn.records])
order, bars = np.isin(truth, list(mini.PARTNER)), {}
for name in ("mini2d", "mini_r2plus1d"):
    net = load_model(f"{name}.vidmini_v1", device="auto")
    views = [read_views(drawn.path(one), net.spec).pixels for one in drawn.records]
    right = np.array(net.labels)[np.concatenate(net.logits(views, 16)).argmax(1)] == truth
    for kind, chosen in {"appearance": ~order, "order": order}.items():
        bars[f"{name}, {kind}"] = (int(right[chosen].sum()), int(chosen.sum()))
accuracy_bars(bars)

# %%
small = {name: cost_of(find_card(name)) for name in ("mini2d", "mini_r2plus1d")}
pd.DataFrame({name: {"parameters (k)": c.params / 1e3, "multiply-adds (M)": c.macs / 1e6} for name, c in small.items()}).T.round(1)

# %% [markdown]
# On classes of appearance the two are close; on classes of order the network of single frames fails, and it is not even the cheaper one. No amount of attention *within* frames would
# have saved it. The question that decides is not convolution or attention but whether, and how far, a network sees across time, and whether your classes need that.
# What the intervals are worth is the subject of [chapter 6](06_evaluate.ipynb); [chapter 5](05_predict.ipynb) looks into the pairs, and
# [chapter 7](07_does_it_need_time.ipynb) takes time away from a network piece by piece.
#
# ## A network that has learnt the real thing
#
# One pretrained network is small enough to pass around as a file: MoViNet, a streaming network for telephones that sees a video frame by frame and keeps a memory. If
# `MOVINET` names its weights, it says what it thinks of the video above. It knows Kinetics-600, so drawn figures are foreign to it.

# %%
if MOVINET is None:
    print("MOVINET is None: no pretrained network runs here. Set it to the file movinet_a0_stream_k600_int8.tflite.")
said = MOVINET and predict(load_model("movinet_a0_stream.k600_int8", MOVINET), data.path(record))
score_bars({"MoViNet-A0-Stream": said}) if said else None

# %% [markdown]
# ## Summary
#
# * Inflation makes a video network of an image network; it starts blind to the direction of time.
# * Splitting filters into space and time saves weights (S3D) or buys non-linearities (R(2+1)D).
# * Attention lets far-apart moments meet in the first block. Joint attention pays for it with a cost per frame that grows with the clip; divided attention, windows and pooled tokens are ways around.
# * VideoMAE learns from hidden tubes. Scattered masks could be filled by copying.
# * A map of attention needs its figures beside it: an untrained network has one too.
# * A published accuracy belongs to its protocol, its cost to all its views, and neither says what made the difference.
#
# ## Exercises
#
# 1. **Centre.** `inflate(flat, 3, "centre")` puts the filter into the middle frame and zeros around it. Is a still video still as its picture? Are forwards and
#    backwards the same? And how far does a stack of three such layers see in time before training: what does `frames_seen` say, and why?
# 2. **How much to hide?** Plot, for ratios from 0.5 to 0.95, how many tokens of a scattered mask can be copied, and what share of the encoder's multiply-adds is left.
#    What speaks for the ratio that VideoMAE uses?
# 3. **Blind by construction.** Build a small TimeSformer of each kind with random weights and give it a clip forwards and backwards. Which kinds give the same logits? Take the
#    embedding of time away (set it to zero) and try again. What does that say about where a transformer keeps the order?

# %% [markdown] tags=["next"]
# [Solutions](solutions/09_modern_models_solutions.ipynb) · Next: [10. Your own videos](10_your_own_videos.ipynb)
