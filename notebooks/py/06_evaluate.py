# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 6. Evaluate: what is an accuracy worth?
#
# "This model is right in ninety of a hundred videos" is a sentence about videos nobody has seen yet, made from some
# that somebody tried. This chapter makes such a number, asks how far chance may have moved it, breaks videos on
# purpose to see what happens to it, and compares two models so that the answer could also have been *we do not know*.

# %% [markdown] tags=["links"]
# **Time** 70 minutes · **You need** nothing but the kit · **Download** none · **Device** CPU will do
#
# [Syllabus](README.md) · [Solutions](solutions/06_evaluate_solutions.ipynb)

# %% tags=["install"]
import importlib.util

if importlib.util.find_spec("vidbench") is None:
    raise SystemExit("vidbench is not installed here; in its checkout, `make lab` opens the notebooks with it.")

# %% tags=["imports"]
import json
import logging
import shutil
from collections import Counter
from itertools import cycle

import numpy as np
import pandas as pd

from vidbench import protocol
from vidbench.arguments import EvaluateConfig
from vidbench.data import mini
from vidbench.evaluate import evaluate
from vidbench.manifest_words import protocol_table
from vidbench.metrics import is_correct, percent, proportion, row_confusion, summarise, summary_line, wilson
from vidbench.models import CARDS
from vidbench.notebook import open_dataset, scratch_folder
from vidbench.page.cautions import cautions
from vidbench.published import published
from vidbench.review import Verdict, compare, read_run, rescore
from vidbench.visualize import accuracy_bars, confusion, histogram, per_class_bars, reliability
from vidbench.widgets import error_browser, run_comparison

# %% tags=["parameters"]
DATASET = "vidmini"
DATA_DIR = None
MODEL = "mini2d.vidmini_v1"  # for other data: a model that knows their classes
OPTIONS = {}  # of every run with it, such as {"weights": FILE, "label_map": "names"}
OTHER = "mini_r2plus1d.vidmini_v1"  # what it is compared with: another model, or the same with other options
OTHER_OPTIONS = {}

# %% [markdown]
# ## From eight clips
#
# An evaluation takes a model and a list of videos, and ends as a **run**: a folder with one row for each listed
# video. The cell below says where runs go and how one is made; nothing happens yet.

# %%
data = open_dataset(DATASET, DATA_DIR)
RUNS = scratch_folder("06_evaluate")  # its own folder; those of earlier days are removed
logging.getLogger("vidbench").setLevel(logging.ERROR)  # what is missing is said in the rows
if data.num_listed > len(data.records):  # a partial copy: evaluate what is there, and have the report say so
    OPTIONS, OTHER_OPTIONS = ({"present_only": True, **options} for options in (OPTIONS, OTHER_OPTIONS))


def run_of(name, model, dataset=DATASET, data_dir=DATA_DIR, **options):
    """Evaluate into RUNS/name, and read the run."""
    words = {"model": model, "dataset": dataset, "data_dir": data_dir, "run_name": name, "no_cache": True}
    evaluate(EvaluateConfig(**words, results_dir=str(RUNS), **options))
    return read_run(RUNS / name)


data

# %% [markdown]
# Eight clips are quickly done, and many a demonstration ends there. They are drawn evenly over the classes, by a seed.
# Before you run it: suppose six of them turn out right. What do you know about the model?

# %%
few = run_of("eight", MODEL, limit=8, **OPTIONS)
print(summary_line(summarise(few.rows, few.labels)))


# %% [markdown]
# The brackets hold the 95 % interval (Wilson's): accuracies with which so many of 8 would be no surprise. It is a
# wide one. Would another eight clips have told another story?

# %%
def counts(rows, k=1):
    """How many rows are right at top-k, and how many there are."""
    return sum(is_correct(row, k) for row in rows), len(rows)


tries = {
    f"seed {seed}": counts(run_of(f"eight-{seed}", MODEL, limit=8, seed=seed, **OPTIONS).rows) for seed in range(1, 5)
}
accuracy_bars(tries)

# %% [markdown]
# The same model each time: what differs is chance. Whoever may choose the seed may choose the figure. So the draw has
# to be fixed before anyone looks, and the interval has to stand beside the number.
#
# ## To the whole split

# %%
whole = run_of("whole", MODEL, **OPTIONS)
right, n = counts(whole.rows)
accuracy_bars({"8 clips": counts(few.rows), "whole split": (right, n)}, chance=1 / len(whole.labels))

# %% [markdown]
# Far above guessing, and with an interval that begins to say something. Does such an interval keep its promise? We
# can test it: take the whole split for the truth, draw eight rows many times, and count how often the interval of the
# eight holds the accuracy of all.

# %%
rng = np.random.default_rng(0)
is_right = np.array([is_correct(row, 1) for row in whole.rows])
drawn = [int(rng.choice(is_right, min(8, n), replace=False).sum()) for _ in range(2000)]
held = [low <= is_right.mean() <= high for low, high in (wilson(k, min(8, n)) for k in drawn)]
print(f"the interval of the draw holds the accuracy of the split in {np.mean(held):.1%} of {len(drawn)} draws")
histogram(
    100 * np.array(drawn) / min(8, n), unit="%", bins=np.arange(-6.25, 112.5, 12.5), title="accuracy of eight clips"
)

# %% [markdown]
# It does, as nearly as it can: with so few clips only nine results are possible, so it cannot hit its mark exactly.
# The histogram is what you choose from when you try seeds.
#
# How many videos are enough? The interval shrinks with the square root of their number.

# %%
share = right / n
table = pd.DataFrame({"videos": [8, 50, n, 500, 2000, 20000]})
ends = [wilson(round(share * videos), videos) for videos in table["videos"]]
table["± points"] = [round(50 * (high - low), 1) for low, high in ends]
table

# %% [markdown]
# A difference of one point between two models is invisible on a few hundred videos, and published tables are full of
# such differences. One more caution: the interval takes videos as independent. Clips cut from the same source (a
# **group**) resemble each other, and count for less than their number.

# %%
summary = summarise(whole.rows, whole.labels)
print(summary["n_listed"], "videos from", summary["n_groups"], "groups, the largest with", summary["largest_group"])

# %% [markdown]
# ## Right, or nearly right?
#
# **Top-5** counts a video as right when the true class is among the five best. With twelve classes that is generous;
# but looking at several values of k tells something about *how* the model is wrong. What do you expect between top-1
# and top-2?

# %%
accuracy_bars({f"top-{k}": counts(whole.rows, k) for k in (1, 2, 3, 5)})

# %% [markdown]
# On the mini set the single-frame model jumps at top-2: when it is wrong, the truth is nearly always its second
# choice. Somewhere it hesitates between two. Which classes are those?
#
# ## Class by class

# %%
per_class_bars(whole.rows, whole.labels)

# %% [markdown]
# With a dozen videos a class, each interval is long, and the order of neighbouring classes means nothing. But the gap
# between the two ends is real. The mean over classes, which counts each once, is the same as the accuracy where
# all classes are equally large:

# %%
mean = summary["mean_class_accuracy"]
print(f"accuracy {share:.1%}, mean over {mean['n_classes_listed']} classes {mean['listed']:.1%}")

# %% [markdown]
# The confusion matrix says what the wrong answers were: a row is a true class, a column an answer. Look for cells
# that mirror each other.

# %%
matrix = row_confusion(whole.rows, whole.labels)
present = np.flatnonzero(matrix.sum(1))
rest = matrix[present].sum(1) - matrix[np.ix_(present, present)].sum(1)  # skipped, or a class that is not listed
confusion(np.c_[matrix[np.ix_(present, present)], rest], [whole.labels[k] for k in present])

# %% [markdown]
# On the mini set nearly all mistakes form pairs: approach and recede, open and close, sit and stand, left and right.
# Each pair differs by the direction of time only, and this model sees single frames. An accuracy of all classes hid
# that completely.
#
# ## Sure and wrong
#
# Does a high score at least mean that the answer is right? Here are the scores of the best class, for right and for
# wrong answers.

# %%
best = [100 * row.top[0][2] for row in whole.rows if row.predicted]
kinds = ["right" if is_correct(row, 1) else "wrong" for row in whole.rows if row.predicted]
groups = kinds if len(set(kinds)) > 1 else None
histogram(best, unit="%", bins=np.arange(0, 101, 10), groups=groups, title="score of the best class")

# %% [markdown]
# High scores are right, and scores about one half are a toss: the model divides its belief between the two classes of
# a pair. Here scores are informative. That has to be measured for each model; scores of large networks are often too
# high.
#
# ## Is a score a probability?
#
# If it were, then of all answers with one score just that share would be right. A **reliability diagram** draws the one
# against the other: bins of scores from left to right, larger points for more videos, and an interval for each.

# %%
found = json.loads((whole.folder / "metrics.json").read_text())["calibration"]
print(f"expected calibration error {found['ece']:.1%}, n={found['n']}")
reliability(found["reliability"])

# %% [markdown]
# On the mini set nearly all videos lie in two of the points, the toss-ups and the sure ones, and both are close to the
# line. The other points hold a few videos each, and their intervals say how little that is. The **expected calibration
# error** is the mean distance from the line; with few videos it is above zero by chance alone, so it is no figure to
# compare models by.
#
# Where scores are off, all logits can be divided by one number, the **temperature**, which changes no answer, only how
# sure it is. It is fitted on half of the videos. What will it do to the other half?

# %%
scaling = found["temperature"] or {"temperature": float("nan"), "before": {}, "after": {}}
print(f"temperature {scaling['temperature']:.2f}")
pd.DataFrame({name: scaling[name] for name in ("before", "after")}).T.round(3)

# %% [markdown]
# Here the calibration error shrinks, while the other two, which also ask whether true classes get high scores, become a
# little worse: a temperature fitted on so few videos follows their chances. Calibrate with many videos, and never with
# those whose figures you report.
#
# Even scores that are no probabilities can be good for something: to keep silent when unsure. Take only the surest
# share of the answers. How fast should the accuracy fall as more are given?

# %%
ranked = sorted((row for row in whole.rows if row.predicted), key=lambda row: -row.top[0][2])
accuracy_bars({f"surest {share} %": counts(ranked[: len(ranked) * share // 100]) for share in (25, 50, 75, 100)})

# %% [markdown]
# On the mini set the surest quarter holds hardly a mistake: those are mostly appearance classes. A system that may ask a
# person for the rest gains more from this order than from a point of accuracy.
#
# ## What is lost must stay in the count
#
# Files break. Links die, downloads stop half way, servers answer with an error page that is saved under the video's
# name. Many kits leave such videos out, or put others in their place. Let us provoke it: we copy the mini set and
# damage videos that the model got **wrong**. What will happen to its accuracy? (This section always uses the mini
# set.)

# %%
SINGLE = "mini2d.vidmini_v1"
base = whole if (DATASET, MODEL) == ("vidmini", SINGLE) else run_of("base", SINGLE, "vidmini", None)
copy = RUNS / "broken_set"
shutil.copytree(open_dataset("vidmini").root, copy)
damage = {
    "deleted": lambda path: path.unlink(),
    "emptied": lambda path: path.write_bytes(b""),
    "an error page": lambda path: path.write_text("<html>404 Not Found</html>"),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:2000]),
}
wrong = [row for row in base.rows if not is_correct(row, 1)]
for row, break_it in zip(wrong[::2], cycle(damage.values())):
    break_it(copy / row.path)

# %%
broken = run_of("broken", SINGLE, "vidmini", str(copy))
pd.DataFrame(sorted(Counter(row.status for row in broken.rows).items()), columns=["status", "videos"])

# %% [markdown]
# No crash, and every listed video has its row: the damaged ones with a status and a reason. Now the accuracy, once
# over all listed videos and once over those that could be read.

# %%
after = summarise(broken.rows, broken.labels)
figures = {"before": summarise(base.rows, base.labels)["listed"]["top1"]}
figures |= {f"after, of {part}": after[part]["top1"] for part in ("listed", "readable")}
accuracy_bars({name: (value["k"], value["n"]) for name, value in figures.items()})

# %% [markdown]
# The model has not changed, and neither has the truth. Yet the figure over readable videos went up, because the hard
# ones were lost. Over listed videos, where a skipped one counts as wrong, it did not: that figure cannot be raised by
# losing videos. So vidbench reports it first, with the **coverage** beside it. What the truth would have been lies
# between two ends:

# %%
right_still, listed = after["listed"]["top1"]["k"], after["n_listed"]
print(f"all lost ones wrong: {right_still / listed:.1%}")
print(f"all lost ones right: {(right_still + after['n_skipped']) / listed:.1%}")
print(f"coverage: {percent(proportion(after['n_ok'], listed))}, n={listed}")

# %% [markdown]
# ## What is in a run?
#
# Everything a report needs lies in the run's folder, so that any table can be made again without the model.

# %%
files = {path.name: f"{path.stat().st_size / 1000:.1f} kB" for path in sorted(whole.folder.iterdir()) if path.is_file()}
pd.Series(files, name="size").to_frame()

# %% [markdown]
# `held` is the lock that keeps two programs from writing one run. `report.html` is one file that opens in any browser and can be mailed; [its guide](../docs/reading-a-report.md)
# explains it from top to bottom. Here is its head, for the model and split of this chapter:
#
# ![A report's head: accuracy with its interval, coverage, groups, and the verdict on the published figure](../images/report.png)
#
# Read the boxes at its top first. They say what keeps a figure from being a result: random weights, a subset, an
# input other than the model's card asks for. This is what our eight clips would carry:

# %%
for note in cautions(few.manifest, summarise(few.rows, few.labels)):
    print(f"{note['title']}: {note['text']}")

# %% [markdown]
# Next, the **protocol**. Two figures can be compared when these lines agree, and not otherwise.

# %%
pd.set_option("display.max_colwidth", None)
pd.DataFrame(protocol_table(whole.manifest), columns=["what", "how"]).set_index("what")

# %% [markdown]
# Published figures have protocols too, and they differ. Look at views and data before you rank these models:

# %%
known = {card.name: card.reported for card in CARDS.values() if card.reported and card.reported.top1}
table = {name: [value.top1, value.on, value.protocol] for name, value in list(known.items())[:6]}
pd.DataFrame(table, ["top-1 (%)", "on", "protocol"]).T

# %% [markdown]
# ## More views
#
# Many of these figures come from several clips of each video and several crops of each clip, whose scores are averaged.
# Each such **view** costs as much as the first. Is it worth it? A run with many views holds the smaller ones too, so
# the **view ladder** needs no further run: 5 clips and 3 crops also tell what fewer of them would have given.

# %%
many = run_of("views", MODEL, num_clips=5, num_crops=3, **OPTIONS)
rungs = json.loads((many.folder / "metrics.json").read_text())["view_ladder"]
ladder = {f"clips {rung['num_clips']}, crops {rung['num_crops']}": rung["top1"] for rung in rungs}
accuracy_bars({name: (value["k"], value["n"]) for name, value in ladder.items()})

# %% [markdown]
# Before you name a winner: these are the same videos, so the question is on how many the answers differ.

# %%
print(compare(whole.rows, many.rows).sentence("one view", "all views"))

# %% [markdown]
# On the mini set nothing is shown to be gained, for all that work. Its videos are short, and one clip of the whole
# picture holds the action. Where one clip can miss it, in long videos, more clips help more; the ladder says when to
# stop climbing. But a figure from many views belongs beside others from as many, never beside one from a single view.
#
# ## Is it what was published?
#
# Suppose a paper, or a card, names a figure for the weights that you have run. Yours is another one. Is something wrong?
# For the mini models the published figure is the one that was recorded when they were trained. Four runs of this
# chapter used the same weights: which of them can confirm it, and which can contradict it?

# %%
runs = {"eight clips": few, "whole split": whole, "damaged copy": broken, "many views": many}
for name, run in runs.items():
    told = json.loads((run.folder / "metrics.json").read_text())["published"]
    print(f"{name}: {protocol.sentence(told[0]) if told else 'nothing was published about these weights'}\n")

# %% [markdown]
# Each run gets one of four words. **REPRODUCED** takes everything: the same protocol, the whole split, and a figure as
# close as can be told. **CONSISTENT** says only that nothing contradicts: the interval of eight clips is so wide that
# hardly any claim would fall outside. **NOT COMPARABLE** names what differs, here the views, and says nothing about
# figures. The fourth, **NOT REPRODUCED**, needs a run of the same protocol whose interval leaves the figure out: that is
# the word that makes a look at the pipeline worth its time.
#
# Much depends on what the source says. The kit keeps a table of published results; what share of them state each
# part of their protocol?

# %%
results = list(published().values())
parts = {"frames": "num_frames", "frame rate": "rate", "clips": "num_clips", "crops": "num_crops", "crop size": "crop"}
parts |= {"mean": "mean", "averaging": "average", "number of videos": "num_videos"}
stated = {word: sum(getattr(row, name) not in (None, "", ()) for row in results) for word, name in parts.items()}
accuracy_bars({word: (count, len(results)) for word, count in stated.items()}, what="share that state it")

# %% [markdown]
# What nobody states can neither agree nor differ, so most published figures can at best be consistent. (How views are
# averaged matters only where there are several, which is so for most rows of this table.) If you publish a figure,
# publish all of these lines.
#
# `--protocol card` runs what the card says, `--protocol fast` takes one view and says so, and `--protocol FILE` sets
# single fields; [the guide](../docs/evaluation.md) has examples, and `--target` names another row of the table.
#
# A run that was stopped goes on where it was: the same command continues it, and ends with the same bytes. When all
# rows are there, it only reads them:

# %%
again = {"model": MODEL, "dataset": DATASET, "data_dir": DATA_DIR, "run_name": "whole", "no_cache": True, **OPTIONS}
print(evaluate(EvaluateConfig(**again, results_dir=str(RUNS))).summary.splitlines()[-1])

# %% [markdown]
# ## Look at the mistakes
#
# Numbers say how often; only looking says why. In JupyterLab, the browser below sorts the mistakes, plays them, and
# takes your verdict: *label wrong*, *ambiguous*, *two actions*, *undecodable*.

# %%
error_browser(whole.folder, data.root)

# %% [markdown]
# Real datasets have wrong labels, and a reviewer's verdicts change the figure. But in which direction? Suppose
# somebody reviews mistakes only, and finds three of them ambiguous. Then suppose the same for three right answers.

# %%
by_kind = {
    kind: [row for row in whole.rows if is_correct(row, 1) == (kind == "right")][:3] for kind in ("wrong", "right")
}
for kind, rows in by_kind.items():
    print(f"{kind}: {rescore(whole.rows, {row.video_id: Verdict(row.video_id, 'ambiguous') for row in rows})}\n")

# %% [markdown]
# Verdicts on mistakes can only raise the figure, verdicts on right answers only lower it. So the raw figure stays the
# result, the re-scored one stands beside it, and a review that means to correct a figure must look at right answers
# as well.
#
# ## Two models
#
# The second model's convolutions run over time. Before you run the cell: the two intervals may overlap or not. What
# else could you look at, given that both models saw the same videos?

# %%
other = run_of("other", OTHER, **OTHER_OPTIONS)
accuracy_bars({"first": counts(whole.rows), "second": counts(other.rows)})

# %%
comparison = compare(whole.rows, other.rows)
names = {"both": "both right", "a": "only the first right", "b": "only the second right", "neither": "both wrong"}
print(*(f"{words}: {len(comparison.group(name))}" for name, words in names.items()), sep="\n")
print(comparison.sentence("first", "second"))

# %% [markdown]
# Videos on which both are right, or both wrong, say nothing about which is better. Only those count on which they
# **disagree**: if the models were equally good, these should fall either way like a coin. The interval of the
# difference is made from them. It leaves out zero where one side wins too often for a coin, and as a rule it is
# narrower than what two separate intervals would suggest.

# %%
run_comparison(whole.folder, other.folder, data.root)


# %% [markdown]
# ## Does the difference come from time?
#
# Better is not yet *why*. On the mini set we know which classes need time, so we can ask where the two models differ.
# Three questions, for each: the appearance classes; whether an order clip gets its **pair** right; and which of the
# two it names, where the pair is right. The dashed line is chance inside a pair. (This section always uses the mini
# set.)

# %%
def by_truth(rows):
    """(right, n) on appearance classes, on naming the pair of an order class, and inside the pair."""
    appearance = [row for row in rows if row.label in mini.APPEARANCE]
    order = [row for row in rows if row.label in mini.PARTNER]
    named = [row for row in order if row.top[0][0] in (row.label, mini.PARTNER[row.label])]
    return {"appearance": counts(appearance), "pair": (len(named), len(order)), "inside pairs": counts(named)}


# %%
TIMED = "mini_r2plus1d.vidmini_v1"
base_3d = other if (DATASET, OTHER) == ("vidmini", TIMED) else run_of("base_3d", TIMED, "vidmini", None)
both = {"single frame": by_truth(base.rows), "3-D": by_truth(base_3d.rows)}
accuracy_bars({f"{name}: {part}": value for name, parts in both.items() for part, value in parts.items()}, chance=0.5)

# %% [markdown]
# There is the answer. Both models know the appearance classes, and both know which pair an order clip belongs to.
# Inside the pair the single-frame model is at chance, as it must be, and the 3-D model is not. But for a clip or two,
# the whole difference in accuracy is the direction of time. Had it come from somewhere else, this figure
# would have shown that too.
#
# ## Summary
#
# * An accuracy belongs to its number of videos and its interval. Eight clips say little; a whole split says more, and
#   still not everything.
# * Draw first, look later: whoever tries seeds chooses the result.
# * Every listed video stays in the count. A figure over readable videos alone can rise because hard ones were lost;
#   report the coverage.
# * Top-k, classes and the confusion matrix say how a model is wrong. What its scores promise has to be measured, on many
#   videos; their order is useful even where the promise is not kept.
# * More views cost in proportion; the ladder says what they bring.
# * A published figure is reproduced by its own protocol on the whole split; anything less is consistent at best.
# * Two figures compare when their protocols agree. Two models compare best on the same videos, where they disagree.
# * *Better* is not *why*: that takes videos whose truth is known.
#
# ## Exercises
#
# 1. **How many videos?** Suppose one model is right in 67 % and another in 70 % of videos. How many videos must a
#    split have until their Wilson intervals no longer overlap?
# 2. **The other way round.** Damage videos that the model got *right*. What happens to the two accuracies now? Which
#    of them could a careless, and which a dishonest, evaluator prefer?
# 3. **Another test split.** Draw 8 clips a class with another seed (`mini.make_mini`), and evaluate both models on
#    them. Do the accuracies agree with those of this chapter, within their intervals?

# %% [markdown] tags=["next"]
# [Solutions](solutions/06_evaluate_solutions.ipynb) · Next: [7. Does it need time](07_does_it_need_time.ipynb)
