# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 3. Explore: what is in a dataset?
#
# Nobody would train on a table without looking at its columns; with videos it happens every day, because looking takes longer. This
# chapter looks: at the list, at the pictures, at the files, and at what two videos have in common that they should not. Each look
# ends in a decision that a later accuracy depends on.

# %% [markdown] tags=["links"]
# **Time** 50 minutes · **You need** nothing but the kit · **Download** none · **Device** CPU will do
#
# [Syllabus](README.md) · [Solutions](solutions/03_explore_solutions.ipynb)

# %% tags=["install"]
import importlib.util

if importlib.util.find_spec("vidbench") is None:
    raise SystemExit("vidbench is not installed here; in its checkout, `make lab` opens the notebooks with it.")

# %% tags=["imports"]
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from vidbench.data.catalog import find_dataset
from vidbench.data.check import Part, check_videos, describe_leaks, find_leaks
from vidbench.data.decode import read_clip
from vidbench.data.index import check_groups, describe, load_records
from vidbench.data.mini import encode_clip
from vidbench.data.process import resize
from vidbench.data.survey import look_alikes, picture_code, probe_all, same_bytes, survey
from vidbench.notebook import open_dataset
from vidbench.records import AnnotationError, UnreadableVideo, VideoRecord
from vidbench.visualize import (
    accuracy_bars,
    class_balance,
    class_sheet,
    contact_sheet,
    histogram,
    resolution_scatter,
)
from vidbench.widgets import clip_player, dataset_browser

# %% tags=["parameters"]
DATASET = "vidmini"
DATA_DIR = None

# %% [markdown]
# ## Who is on the list?
#
# A dataset is two things: a folder of files, and a *list* that says which of them count, what each shows, and on which side of a split
# it stands. The list comes first. Before any video is opened, what can it tell?

# %%
data = open_dataset(DATASET, DATA_DIR)
print(data)
pd.options.display.max_colwidth = 120
entries = pd.DataFrame(list(data.records))
entries = entries[["video_id", "label", "label_index", "split", "group"]]
entries.sample(min(6, len(entries)), random_state=0)

# %% [markdown]
# One line is a *record*. The label is a class name, its index the place of that name in the list of the dataset's authors (sorting
# the names oneself often gives another order, and then every prediction is off by a few classes). The *group* names the source that a
# clip was cut from. It looks like the least important column; by the end of this chapter it is the one that decides what an accuracy
# is worth.
#
# ## How many of each?
#
# Suppose one class had half of all videos. What would a program score that answers with this class every time, without looking?

# %%
class_balance(data.records)


# %% [markdown]
# On the mini set all bars are equal: it was drawn that way. Real sets have a few large classes and a long tail. Make such a list out of
# this one, in which each class keeps fewer videos than the one before it, and let the program that does not look answer on both.

# %%
def always_the_largest(records):
    """(number right, n) of a program that always answers with the largest class."""
    counts = Counter(record.label for record in records)
    return max(counts.values()), len(records)


keep = {label: max(1, len(data.of(label)) // (place + 1)) for place, label in enumerate(data.classes)}
uneven = [record for label in data.classes for record in data.of(label)[: keep[label]]]
chance = 1 / len(data.classes)
lists = {"as listed": data.records, "uneven": uneven}
accuracy_bars({name: always_the_largest(those) for name, those in lists.items()}, chance=chance)


# %% [markdown]
# The same empty program looks far better on the uneven list. So an accuracy needs company: what the largest class alone
# would score, and the mean over classes, which the empty program cannot raise (it is right on one class and wrong on all others).
# Both are printed in [chapter 6](06_evaluate.ipynb).
#
# ## What do the classes look like?
#
# A row for each class: the frame in the middle of some of its videos. Which classes could you name without the word beside them? Then look
# *along* a row: what stays the same from clip to clip, and what could a network take for the class although it is only the place, the light
# or the person?

# %%
def frame_at(record, share=0.5):
    """One frame, ``share`` of the way through, grey where there is none; uint8 (H, W, 3)."""
    try:
        return read_clip(data.path(record), lambda table: [int(share * (len(table.pts_s) - 1))]).frames[0]
    except UnreadableVideo:
        return np.full((48, 64, 3), 128, np.uint8)


shown = data.classes[:18]
class_sheet({label: [frame_at(record) for record in data.of(label)[:9]] for label in shown}, num=9)

# %% [markdown]
# Some neighbours in a row share their place. Keep that in mind.
#
# Now a quiz. Write down a class for each letter before you go on; the names are in the bar chart at the top.

# %%
rng = np.random.default_rng(3)
quiz = [rng.permutation(data.of(label))[0] for label in rng.permutation(data.classes)[:6]]
contact_sheet([frame_at(record) for record in quiz], "ABCDEF"[: len(quiz)])

# %% [markdown]
# The answers, with three moments from each clip. Were you wrong where you lacked attention, or where one frame does not hold the answer?

# %%
moments = [frame_at(record, share) for record in quiz for share in (0.05, 0.5, 0.95)]
names = [f"{letter}: {record.label}" for letter, record in zip("ABCDEF", quiz)]
contact_sheet(moments, [name for pair in zip(names, names, names) for name in pair], columns=6)

# %% [markdown]
# On the mini set that question has an exact answer. Some classes can be told from any frame; the others come in pairs that differ by
# the direction of time alone, and there nobody who sees a single frame, and is not told
# when it was taken, can do better than toss a coin. On real data the same is true of
# *opening* and *closing*, and of far fewer classes than one would think: that is measured in [chapter 7](07_does_it_need_time.ipynb).
#
# ## Watch some
#
# Stills hide half of the matter. Play a clip, then step through it frame by frame: at which frame do you become sure of the class?
# Then browse the whole set: choose a class, look at several clips, and note one thing that all of them share and that is *not* the action.

# %%
clip_player(data.path(quiz[0]), title="A")

# %%
dataset_browser(data.records, data.root)

# %% [markdown]
# ## What do the files say?
#
# Next the files themselves. To open each to its end takes a while on a large set; a *header* takes a moment, and it says how many frames
# follow, at which rate, how large, in which codec. `probe_all` reads the headers of the whole split, and `describe` puts them beside the list, one row a class. What
# would surprise you in a set of clips that were made for one purpose?

# %%
probes = probe_all(data.records, data.root)
columns = ["videos", "groups", "median_s", "longest_s", "frame_rates", "sizes", "codecs"]
describe(data.records, probes)[columns].round(2).head(15)

# %%
facts = pd.DataFrame([probe.facts() for probe in probes])
histogram(facts.duration_s, unit="s", title="How long are the clips?")

# %%
resolution_scatter(facts.width, facts.height, title="How large are the pictures?")

# %% [markdown]
# The mini set is a laboratory: one size, one rate, one codec, and durations between two fixed ends. Collected sets are not. UCF101 mixes
# two frame rates, Kinetics almost any rate and size, portrait included. Each disc more in this picture is a decision to take in
# [chapter 4](04_from_pixels_to_tensors.ipynb): what happens to a wide picture, and is a clip of so many frames counted in frames or in
# seconds?
#
# A header is a promise. In HMDB51 many headers promise a frame more than there is. `survey` does not believe: it opens each file, counts its time
# stamps, and brings along the frame in the middle as a thumbnail. Do the two agree?

# %%
some = open_dataset(DATASET, DATA_DIR, limit=600).records
looks = survey(some, data.root)
promised = {probe.record.video_id: probe.header.num_frames for probe in probes if probe.header}
counted = {look.record.video_id: look.info.num_frames for look in looks if look.info}
wrong = [name for name in counted if promised.get(name) != counted[name]]
print(f"{len(wrong)} of {len(counted)} headers promise another number of frames than is there")

# %% [markdown]
# One more use of thumbnails: the mean of all of a class. What would you see if a class were always filmed in the same place?

# %%
seen = [look for look in looks if look.thumbnail is not None]
thumbnails = {label: [] for label in shown}
for look in seen:
    thumbnails.setdefault(look.record.label, []).append(look.thumbnail)
means = [np.mean(thumbnails[label] or [seen[0].thumbnail], 0).astype(np.uint8) for label in shown]
contact_sheet(means, shown, alt=f"The mean of all thumbnails of each class: {', '.join(shown)}.")


# %% [markdown]
# A mean in which you recognise something is a warning: a network may learn that in place of the action. On the mini set most of it is
# mush, because places and colours were drawn at random for every group; at most the doors leave an upright shadow.
#
# ## Does the test know the training set?
#
# Back to the groups. Videos are cut from longer ones, so two clips can share place, light, people and camera. How many clips does a group
# have here, and how alike are they?

# %%
def sheet(records):
    """Frames from the middle, with the groups of the videos below them."""
    groups = [Path(record.group or record.video_id).name for record in records]
    return contact_sheet([frame_at(record) for record in records], groups)


sizes = Counter(look.record.group for look in seen if look.record.group)
largest = [group for group, size in sizes.most_common(3) if size > 1]
alike = [look.record for group in largest for look in seen if look.record.group == group]
least, most = (f(sizes.values(), default=0) for f in (min, max))
print(f"{len(sizes)} groups, of {least} to {most} clips each")
sheet(alike[:6] or some[:6])

# %% [markdown]
# Now the most stupid classifier there is. It has no weights and has never seen motion: it takes the thumbnail of a video, finds the
# most similar thumbnail among the others, and answers with that one's class.
#
# Let it first use all other videos, as after a random split, and then all but those of the same group. How much can the second answer
# differ from the first, if the classifier looks at *actions*?

# %%
labels = np.array([look.record.label for look in seen])
groups = np.array([look.record.group or look.record.video_id for look in seen])
# a thumbnail as eight rows of nine blocks
pictures = np.stack([look.thumbnail.reshape(8, 6, 9, 8, 3).mean((1, 3)).ravel() for look in seen])
pictures -= pictures.mean(1, keepdims=True)  # how bright a video is as a whole does not count
distance = cdist(pictures, pictures)

# %%
others, strangers = ~np.eye(len(seen), dtype=bool), groups[:, None] != groups[None]
answers = {
    name: labels[np.where(allowed, distance, np.inf).argmin(1)]
    for name, allowed in {"any other video": others, "none of its group": strangers}.items()
}
right = {name: (int((answer == labels).sum()), len(labels)) for name, answer in answers.items()}
accuracy_bars(right, chance=chance)

# %% [markdown]
# The difference is what a random split gives away: the classifier recognises the *place*, finds the other clip that was cut from the
# same source, and reads the answer off its label. Nothing of that helps with a new video. A network with a million weights can do the
# same, and better: code that [split UCF101 at random](https://github.com/jfzhang95/pytorch-video-recognition/issues/14) was found to score far
# lower on the official split.
#
# On the mini set the second bar deserves a closer look. It lies *below* chance, though its interval still touches it. Is that bad luck? A
# classifier that knows nothing should be right once in as many answers as there are classes. What does this one answer?

# %%
pairs = zip(labels, answers["none of its group"])
wrong = Counter(f"{true} → {given}" for true, given in pairs if true != given)
pd.Series(dict(wrong.most_common(8)), name="videos").rename_axis("true → answer").to_frame()

# %% [markdown]
# It answers with the *partner* of a pair. The two classes of a pair are drawn in the same places, and the list's groups do not say so:
# group three of the one class and group three of the other have different names. With its own group out of reach, the classifier finds
# the partner in the same place, and is wrong for sure. Two lessons in one table: a group must name *whatever* is shared, not only what
# is shared within a class; and a score below chance is as much a sign of a leak as one that is too good.
#
# ## How to split, then?
#
# By groups, never by videos. The kit refuses lists that share a group. Cut this one at random first, and ask for its verdict.

# %%
order = np.random.default_rng(0).permutation(len(some))
cut = len(some) // 4
train, test = [some[place] for place in order[cut:]], [some[place] for place in order[:cut]]
try:
    check_groups(train, test)
    print("No group is on both sides; if the list names none, nobody can tell.")
except AnnotationError as problem:
    print(problem)

# %%
names = sorted({record.group or record.video_id for record in some})
held_out = set(np.random.default_rng(0).permutation(names)[: max(1, len(names) // 4)])
test = [record for record in some if (record.group or record.video_id) in held_out]
train = [record for record in some if (record.group or record.video_id) not in held_out]
check_groups(train, test)
print(f"{len(train)} videos to train on, {len(test)} to test on, and no group on both sides")

# %% [markdown]
# Where a dataset's authors offer a split, take theirs: it was made with knowledge that is not in the file names, and only then can
# numbers be compared.
#
# ## Do two splits share a video?
#
# Groups protect from what the list knows. A video that somebody uploads again has a new name, and no list can tell where it comes from. The
# only way to trust an alarm is to set a fire: three copies of a *test* video, as the web makes them, are offered to the training set under new names.

# %%
target, uploads = test[0], tempfile.TemporaryDirectory()
frames = read_clip(data.path(target), lambda table: range(min(table.num_frames, 300)), size=(192, 256)).frames
copies = {
    "small and dark": (resize(frames, (96, 128)) * 0.7).astype(np.uint8),
    "second half": frames[len(frames) // 2 :],
    "mirrored": frames[:, :, ::-1].copy(),
}
for name, pixels in copies.items():
    copy = Path(uploads.name) / f"{name}.mp4"
    copy.write_bytes(encode_clip(pixels, quantiser=34, frame_rate=15))
new = [VideoRecord(name, f"{name}.mp4", target.label, target.label_index, "train") for name in copies]
contact_sheet([pixels[0] for pixels in (frames, *copies.values())], ["the test video", *copies])

# %% [markdown]
# No two of these files have a name or their bytes in common, and the frame rate differs too. `find_leaks` compares names and sources, then bytes, then pictures: five of each video, each
# boiled down to a few bits that hardly change when a picture is scaled or darkened. Two videos are reported when three pictures of one have their like in
# the other. It is what `python scripts/check.py NAME --leaks` does. Which of the three will it find, and what else?

# %%
sides = {"train": (train, data.root), "new": (new, uploads.name), "test": (test, data.root)}
card, parts = find_dataset(DATASET), []
for name, (those, root) in sides.items():
    parts.append(Part.of(card, name, root, those, check_videos(those, root, codes=True)))
leaks = find_leaks(parts)
uploads.cleanup()
print(describe_leaks(leaks).replace("; ", ";\n           "))
members = {record.video_id for leak in leaks for _, record in leak.members}
pd.Series({name: name in members for name in copies}, name="found").to_frame()

# %% [markdown]
# The small, dark copy and the half are found, and on the mini set nothing else is reported: that two clips were drawn in one place is not enough. The mirrored one
# stays hidden: its pictures are other pictures, to a hash. So an empty list of leaks is no
# proof, and the group split keeps its place as the first line of defence. On real data the search finds more than copies. In UCF101's first official
# split two clips of one basketball game, with the same score on the screen, stand in training and in test under two group numbers.
#
# ## What is missing or broken?
#
# Every listed video has to end somewhere. Count the whole list first, with what is not there, and then what the survey could not open.

# %%
listed = Counter(record.status for record in load_records(DATASET, data.root, data.split))
opened = Counter(look.status for look in looks)
pd.DataFrame({"in the list": listed, "when opened": opened}).fillna(0).astype(int)

# %% [markdown]
# Videos that are listed and not there are no detail. Of Kinetics a part vanishes from the web every year, and a score on what is left is
# a score on another dataset: say how many there were.
#
# On the mini set everything is `ok`. But would we notice trouble? Set another fire. Copy some clips of the
# mini set into a folder of classes, to be damaged on purpose.

# %%
scratch, mini = tempfile.TemporaryDirectory(), open_dataset("vidmini", limit=16)
mess = Path(scratch.name)
for place, record in enumerate(mini.records):
    target = mess / f"class {place % 4}" / f"clip{place:02d}.mp4"
    target.parent.mkdir(exist_ok=True)
    shutil.copy(mini.path(record), target)
files = sorted(mess.glob("*/*"), key=lambda path: path.stem)

# %% [markdown]
# First what happens to files: a download that broke off before it began, one that stopped half-way, and a web page that says *not found*
# under the name of a video. Then what happens to collections: a file that lies in two classes, a copy that was scaled and encoded again at another rate, and a clip
# from a phone that was held upright. Last, the quietest: a file moved into the wrong class.

# %%
files[0].write_bytes(b"")
files[1].write_bytes(files[1].read_bytes()[: files[1].stat().st_size // 2])
files[2].write_text("<html><body>404 Not Found</body></html>")
planted = {files[0]: "empty", files[1]: "half a file", files[2]: "a web page"}

# %%
twice = Path(shutil.copy(files[3], files[4].with_stem("clip03-again")))
small = resize(read_clip(files[5], lambda table: range(table.num_frames)).frames, (96, 128))
again, upright = files[6].with_stem("clip05-small"), files[7].with_stem("clip05-upright")
again.write_bytes(encode_clip(small, quantiser=34, frame_rate=15))
upright.write_bytes(encode_clip(np.rot90(small, axes=(1, 2)).copy()))
moved = files[8].rename(files[9].with_name(files[8].name))
planted |= {twice: "the same file in two classes", again: "encoded again"}
planted |= {upright: "held upright", moved: "in the wrong class"}

# %% [markdown]
# Before you run the survey over it: which of these will it find, and by which sign?

# %%
mess_looks = survey(load_records("folder", mess, "test"), mess)
bad = [look for look in mess_looks if look.status != "ok"]
pd.DataFrame([look.facts() for look in bad])[["video_id", "status", "reason"]]

# %% [markdown]
# The three damaged files, each with its reason. A loader that skips what it cannot read would have lost them without a word, and one that
# puts *another video in their place* would even have kept the count.

# %%
kinds = {k: (k.info.width, k.info.height, round(k.info.frame_rate)) for k in mess_looks if k.info}
((usual, _),) = Counter(kinds.values()).most_common(1)
odd = [look for look, kind in kinds.items() if kind != usual]
pd.DataFrame([look.facts() for look in odd])[["video_id", "width", "height", "frame_rate"]]

# %% [markdown]
# A table of sizes and rates shows what is not like the rest. Copies show in no table: they are fine files. Bytes that are equal are the
# easy case. The copy that was encoded again is another file, byte for byte. What survives another size and codec is where the picture
# gets brighter and where darker. `picture_code` writes that down in bits: eight rows of nine blocks, one bit for each step from a block to
# the next. Equal pictures have equal bits; how many of them differ between two unrelated videos?

# %%
codes = [picture_code(look.thumbnail) for look in seen]
codes = np.array([code for code in codes if code is not None])
bits = (codes[:, None] != codes[None]).sum(-1)[np.triu_indices(len(codes), 1)]
histogram(bits, unit="bits that differ, of 64", title="Any two videos of the set")

# %%
for same in same_bytes(mess_looks, mess):
    print("the same bytes:", " = ".join(look.record.video_id for look in same))
for one, other, different in look_alikes(mess_looks):
    print(f"{different} bits differ: {one.record.video_id} and {other.record.video_id}")

# %% [markdown]
# Around the middle of the scale two pictures have nothing to do with each other; near zero they are the same. The search finds the copy
# of equal bytes and the one that was encoded again. It would *not* find a copy that was cut a second later, and on real data it finds clips of
# one source as well, which is a finding too.
#
# Which of the planted troubles has nothing found?

# %%
copies = [look for one, other, _ in look_alikes(mess_looks) for look in (one, other)]
told = {look.record.path for look in (*bad, *odd, *copies)}
found = {what: path.relative_to(mess).as_posix() in told for path, what in planted.items()}
scratch.cleanup()
pd.Series(found, name="found").rename_axis("planted").to_frame()

# %% [markdown]
# The wrong label stays. No property of the file gives it away, because nothing about the file is wrong; it takes eyes, and eyes are
# expensive. The cheapest way to spend them is on the videos where a good model is sure and *wrong*: the error browser of
# [chapter 6](06_evaluate.ipynb).
#
# ## Summary
#
# * A list comes before the files. Count what it names, what is there, and what can be opened; none of these numbers may get lost.
# * With uneven classes a program that does not look scores well. Give the largest class and the mean over classes beside an accuracy.
# * Look along a class, not only across classes: what is the same in all of its clips and is not the action, a network will find.
# * Clips of one source belong on one side of a split. A classifier that compares thumbnails shows in seconds whether they do.
# * Headers describe a whole split in a moment; counting takes longer and is right. Sizes, rates and statuses come from one pass over the files.
# * Copies need a comparison of contents, within a folder and between splits, and some stay hidden. Wrong labels need eyes.
#
# ## Exercises
#
# 1. **Colour alone.** Give the stupid classifier nothing but the mean colour of each thumbnail, three numbers. How much of the leak is
#    left, with and without the own group?
# 2. **Can the file tell the class?** Use no picture at all: only the duration and the bytes per frame. Is that above chance, with its
#    interval, once the own group is out of reach? What would it mean if it were?
# 3. **A copy cut later.** Make a copy of a clip that leaves out its first 13 frames, check that `look_alikes` misses it, and write a search
#    that finds it. What does it cost, and how many false alarms does it raise?

# %% [markdown] tags=["next"]
# [Solutions](solutions/03_explore_solutions.ipynb) · Next: [4. From pixels to tensors](04_from_pixels_to_tensors.ipynb)
