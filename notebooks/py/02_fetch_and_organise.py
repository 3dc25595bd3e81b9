# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 2. Fetch and organise: where do videos and labels come from?
#
# A label is a line in a list, a video is a file in an archive, and between the two stand names, servers and years. This chapter fetches
# samples of Kinetics and of HMDB51, joins videos to labels, counts what is missing, and works out what all of it takes on disk. The
# server runs on your own machine and its clips are drawn, so nothing here needs a network and the truth is known at every step. With the
# published copies one address changes.

# %% [markdown] tags=["links"]
# **Time** 50 minutes · **You need** nothing but the kit · **Download** none · **Device** CPU will do
#
# [Syllabus](README.md) · [Solutions](solutions/02_fetch_and_organise_solutions.ipynb)

# %% tags=["install"]
import importlib.util

if importlib.util.find_spec("vidbench") is None:
    raise SystemExit("vidbench is not installed here; in its checkout, `make lab` opens the notebooks with it.")

# %% tags=["imports"]
import argparse
import csv
import glob
import logging
import tarfile
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from vidbench.data.cache import ClipCache, predict_bytes
from vidbench.data.catalog import find_dataset
from vidbench.data.check import accuracy_bounds, by_class, check_videos, count_states, fetch_states, make_ledger
from vidbench.data.classes import load_labels
from vidbench.data.decode import read_clip
from vidbench.data.fetch import Order, fetch, make_plan
from vidbench.data.index import draw_subset, load_records
from vidbench.data.load import ViewReader
from vidbench.data.order import Known
from vidbench.data.practice import PracticeServer, publish_hmdb51, publish_kinetics
from vidbench.notebook import open_dataset
from vidbench.records import InputSpec
from vidbench.visualize import class_balance

# %% tags=["parameters"]
DATASET = "vidmini"
DATA_DIR = None

# %% [markdown]
# ## Two datasets
#
# **What are Kinetics and HMDB51?** Kinetics-400 is cut out of YouTube: ten seconds in which people do one thing, each cut from another video.
# HMDB51 is older and smaller and cut mostly out of films, many clips from one film. The kit keeps what is known of a dataset on a *card*.

# %%
cards = [find_dataset(name) for name in ("kinetics400", "hmdb51")]
table = {}
for card in cards:
    videos, gb = sum(part.num_videos for part in card.hosted), sum(part.gb for part in card.hosted)
    size = {"videos": videos, "GB": gb, "MB a video": round(1000 * gb / videos, 2)}
    table[card.title] = {"classes": len(load_labels(card.labels)), **size, "comes as": card.comes}
pd.DataFrame(table)

# %% [markdown]
# The last line matters more than one would think. HMDB51 can be had video by video, Kinetics in *archives* of about a thousand clips each.
#
# **How long does it take?** Guess for the training split of Kinetics, on a line that brings this many megabytes a second.

# %%
MB_A_SECOND = 12.5  # a line of 100 Mbit/s, used by nobody else
parts = [(card.title, part.split or "all", part.num_videos, part.gb) for card in cards for part in card.hosted]
cost = pd.DataFrame(parts, columns=["dataset", "split", "videos", "GB"])
cost["hours"] = (1000 * cost.GB / MB_A_SECOND / 3600).round(2)
cost

# %% [markdown]
# For a start nobody needs all of it. A *stratified sample*, equally many videos of each class, shows every class and costs a fraction,
# if it can be had without the rest.
#
# ## A server like the real one
#
# The published copy of Kinetics is a folder on a web server, with lists that say what is where. Here is one of the same layout, served to this
# machine alone. Its clips are those of the mini set:
#
# ![One frame of each class of the mini set: drawn figures with a balloon, an umbrella, a guitar or a bicycle, and four pairs of classes that one frame cannot tell apart.](../images/classes.jpg)
#
# They get borrowed class names, so a figure that comes nearer is called *abseiling*. What matters here is names, lists and archives. Which videos are
# in trouble is known, and stays covered until the ledger.

# %%
scratch = tempfile.TemporaryDirectory()
here, mini = Path(scratch.name), open_dataset("vidmini")
kinetics = publish_kinetics(here / "mirror", mini.records, mini.root, num_archives=6, num_troubled=3)
server = PracticeServer(kinetics.folder)
files = [path for path in sorted(kinetics.folder.rglob("*")) if path.is_file()]
pd.Series({path.relative_to(kinetics.folder).as_posix(): path.stat().st_size for path in files}, name="bytes").to_frame()

# %% [markdown]
# **What is in an archive?** Before you run it: by what do you expect to tell the class of a clip?

# %%
with tarfile.open(kinetics.folder / "400/val/part_0.tar.gz") as archive:
    members = archive.getnames()
print(f"{len(members)} files:", *members[:6], sep="\n")

# %% [markdown]
# Not by its name. A name is a YouTube identifier of eleven characters, then the second at which the clip begins and the one at which it
# ends, with six digits each. There are no folders, and no class.
#
# ## The list
#
# The class is in the list of annotations. It is text; look at it as text first.

# %%
listing = kinetics.folder / "400/annotations/val.csv"
print(*listing.read_text().splitlines()[:6], sep="\n")

# %% [markdown]
# Quotes around names that hold a blank, seconds without zeros in front, a column that says which of the videos have a free licence. **How do lines
# and files come together?** By hand: build each line's file name, and look the files of the archive up.

# %%
with open(listing, newline="") as file:
    lines = list(csv.DictReader(file))
label_of = {
    f"{line['youtube_id']}_{int(line['time_start']):06d}_{int(line['time_end']):06d}": line["label"]
    for line in lines
}
pd.Series({name: label_of[Path(name).stem] for name in members[:6]}, name="label").to_frame()

# %% [markdown]
# That is the whole join. Three things go wrong in it again and again.
#
# **Identifiers that begin with a minus sign.** YouTube's may, and those of some hundreds of videos in Kinetics' validation split do. What does a program make of such a name on its
# command line?

# %%
parser = argparse.ArgumentParser()
parser.add_argument("clips", nargs="*")
dashed = next(name for name in label_of if name.startswith("-"))
for words in ([dashed], ["--", dashed]):
    known, strange = parser.parse_known_args(words)
    print(f"given {words}: clips {known.clips}, taken for options {strange}")

# %% [markdown]
# It takes the name for an option. Programs that are called once a clip then lose exactly these clips, in silence if nobody looks at exit
# codes. Two dashes end the options; a folder before the name, even `./`, helps everywhere.
#
# **One video, two labels.** The lists of Kinetics-600 hold a few videos twice, with two cuts and two classes. Here is such a pair of
# lines. What is left of it in a dictionary by identifier, and what does the library's reader make of it?

# %%
twice = "label,youtube_id,time_start,time_end,split\nyoga,aBcDeFgHiJk,10,20,val\nluge,aBcDeFgHiJk,70,80,val\n"
rows = list(csv.DictReader(twice.splitlines()))
print("by identifier:", {row["youtube_id"]: row["label"] for row in rows})
(here / "k600" / "annotations").mkdir(parents=True)
(here / "k600" / "annotations" / "val.csv").write_text(twice)
logging.getLogger("vidbench").setLevel(logging.ERROR)  # it would warn of missing files; here we count them ourselves
pair = load_records("kinetics600", here / "k600", "val")
pd.DataFrame(pair)[["video_id", "label", "label_index", "group", "status"]]

# %% [markdown]
# In the dictionary the later line overwrites the earlier one, and one of the two clips gets the other's class. The key is identifier *and*
# start, and the reader's names hold both. Its column `group` keeps the identifier: two cuts of one video belong on one side of a split.
#
# The third thing is the *index*: a network answers with a number, and which class that is depends on the order of the names.
# **Whose order?** HMDB51 has a file for each class, named after it. Sort the files, as a program does that lists a folder, and sort the
# classes: do you get the same order?

# %%
labels = load_labels("hmdb51")
by_file = [name.removesuffix("_test.txt") for name in sorted(f"{label}_test.txt" for label in labels)]
places = range(len(labels))
{place: (labels[place], by_file[place]) for place in places if labels[place] != by_file[place]}

# %% [markdown]
# A name comes before its longer namesake, until `_test` stands behind both: *stairs* comes before *test* in the alphabet. A network trained on
# the one order and evaluated with the other is wrong on these classes, and nothing else looks odd. The kit keeps the order of each dataset in
# a file of names.
#
# ## A stratified sample
#
# **What would two videos of each class take?** A plan is made before anything is kept. It asks for the sizes of some archives and works
# out how much of them will have to be read, if chance decides where the clips of a class lie.

# %%
home = here / "kinetics400"
order = Order("kinetics400", "val", per_class=2, data_dir=home, mirrors=(server.url,))
print(*make_plan(order, dry=True).text().splitlines()[:4], sep="\n")


# %% [markdown]
# `mirrors` is the one thing that differs from the real copy. Leave it out, and the same order goes to the addresses on the card. The bytes
# to keep are too many here: the plan expects clips as large as those of Kinetics, up to what all archives hold together.
#
# An archive is a compressed stream that cannot be entered in the middle. It is read from its start, clips that are wanted are written, all
# others pass by, and reading stops as soon as every class has its share. How many of the archives do you expect to be opened?

# %%
def fetch_and_count(order):
    """Fetch, and say what came and how many archives were opened for it."""
    plan, before = make_plan(order), len(server.asked)
    outcome = fetch(order, plan=plan)
    opened = {path for path in server.asked[before:] if path.endswith(".tar.gz")}
    print(f"{outcome.num_there} of {outcome.num_wanted} wanted are there, {outcome.num_new} of them new;", end=" ")
    print(f"{len(opened)} of {plan.jobs[0].num_archives} archives opened")
    return outcome


fetch_and_count(order)
sample = open_dataset("kinetics400", home, "val")
class_balance(sample.records)

# %% [markdown]
# Every class that has videos has its share, and not every archive had to be read. **What does the same order cost a second time? And a larger
# one?**

# %%
fetch_and_count(order)
fetch_and_count(Order("kinetics400", "val", per_class=4, data_dir=home, mirrors=(server.url,)))
more = open_dataset("kinetics400", home, "val")
kept = {record.video_id for record in sample.records} <= {record.video_id for record in more.records}
print("the small sample is part of the large one:", kept)

# %% [markdown]
# What is there is not fetched again, and with the same seed a larger sample grows around a smaller one. One
# thing must be said wherever such a sample is used: it was drawn from *some archives*, in an order drawn by the seed, and not clip by clip from the
# whole split. On the command line the same is
#
# ```
# python scripts/fetch.py kinetics400 --split val --per-class 2 --dry-run
# python scripts/fetch.py kinetics400 --split val --per-class 2
# ```
#
# ## HMDB51: codes, folds and file names
#
# HMDB51's split files look different: a file for each class and each *fold*, one of three official divisions, with a number behind every name. The
# code 1 is for training, 2 for testing, and 0 for neither. Here the mini set's clips lie on the server in this form as well. **What happens to somebody
# who trains on everything that is not in the test split?**

# %%
hmdb51 = publish_hmdb51(here / "mirror", mini.records, mini.root, num_troubled=6)
lent = list(hmdb51.labels.values())
texts = [(hmdb51.folder / "hmdb51_splits" / f"{label}_test_split1.txt").read_text() for label in lent]
print(texts[0])
codes = Counter(line.split()[-1] for text in texts for line in text.splitlines())
names = {"1": "train", "2": "test", "0": "neither"}
pd.Series({names[code]: codes[code] for code in names}, name="videos in fold 1").to_frame()

# %% [markdown]
# They train on the videos of code 0 too: more than anybody they compare with, and with sources nobody vouches for. In the real dataset about a
# quarter of all videos has that code in each fold.
#
# **How does a sample come here?** Each video has an address of its own, so the seed draws videos and only those are asked for.

# %%
films = here / "hmdb51"
before = len(server.asked)
outcome = fetch(Order("hmdb51", "test", per_class=1, data_dir=films, mirrors=(server.url,)))
asked = [path for path in server.asked[before:] if path.endswith(".avi")]
print(f"{outcome.num_there} of {outcome.num_wanted} are there, {len(asked)} videos were asked for")
pd.Series(outcome.lost, name="reason", dtype=object).sort_index().to_frame()

# %% [markdown]
# Some are missing, each with its name and a reason. None was replaced by another video of its class: then the sample would have the right
# size and be another sample.
#
# **Can a program find these files?** Names of HMDB51 hold brackets, exclamation marks and ampersands. Ask Python for a file by its own name.

# %%
odd = next(path for path in sorted(films.rglob("*.avi")) if "[" in path.name)
print(odd.name)
print("found as it is:", len(list(odd.parent.glob(odd.name))))
print("found with its brackets escaped:", len(list(odd.parent.glob(glob.escape(odd.name)))))
(record,) = [record for record in load_records("hmdb51", films, "test") if record.video_id == odd.stem]
print("its source:", record.group)

# %% [markdown]
# `glob` reads brackets as a choice of letters. A loader that looks files up this way misses them, and a shell does worse with `&` and `;`.
# One more thing is in these names, and it is worth having: the source. All before the class name is the film, so the reader can say which clips
# belong together.
#
# ## What is missing?
#
# Now all of the Kinetics split. Some of its videos are in trouble on the server; afterwards one is cut in half here, as a full disk or
# an impatient copy does it, and one is deleted.

# %%
whole = Order("kinetics400", "val", data_dir=home, mirrors=(server.url,))
fetch_and_count(whole)
halved, gone = sorted(home.rglob("*.mp4"))[:2]
halved.write_bytes(halved.read_bytes()[: halved.stat().st_size // 2])
gone.unlink()
planted = kinetics.troubles | {halved.stem: "halved here", gone.stem: "deleted here"}


# %% [markdown]
# **Where does each listed video end?** In a *ledger*: one line for each, in exactly one state. `check_videos` opens what is there and decodes the
# first, the middle and the last picture; what the fetch wrote down explains the rest.

# %%
def ledger_of(records, root, split):
    """Every listed video with its state."""
    findings = check_videos(records, root)
    return make_ledger(findings, fetched=fetch_states(root, split, records))


ledger = ledger_of(load_records("kinetics400", home, "val"), home, "val")
states = pd.Series(count_states(ledger), name="videos")
print(f"{states.sum()} videos in the ledger, {len(label_of)} in the list")
states[states > 0].to_frame()

# %% [markdown]
# The numbers add up to the list: that is what makes it a ledger and not a log. **Did it find the truth?** Uncover what was planted.

# %%
found = {entry.record.video_id: entry for entry in ledger}
told = [(what, found[name].state, found[name].reason) for name, what in planted.items()]
pd.options.display.max_colwidth = 90
print("states other than ok:", sum(entry.state != "ok" for entry in ledger), "planted:", len(planted))
pd.DataFrame(told, columns=["planted", "state", "reason"])

# %% [markdown]
# Each word says what to do. What is not hosted will not come from here however often one asks; what failed may be asked for again, with `--retry-failed`. The
# deleted one counts as not fetched, since nobody can know that it was here; the same fetch brings it back. **Which classes lack videos?**

# %%
lacking = [line for line in by_class(ledger) if line["ok"] < line["listed"]]
pd.DataFrame(lacking)[["label", "listed", "ok"]]

# %% [markdown]
# **What does a hole do to an accuracy?** Suppose a model is right on this share of the videos that could be read. Nobody knows about the
# others: at worst it is wrong on all of them, at best right. The first line is our own split; the others take from the card what was listed for
# Kinetics and what the copy of today holds.

# %%
RIGHT = 0.7
card, width = find_dataset("kinetics400"), {}
numbers = {"here": (len(ledger), int(states["ok"] + states["truncated"]))}
numbers |= {f"Kinetics {part.split}": (dict(card.counts)[part.split], part.num_videos) for part in card.hosted}
for name, (listed, read) in numbers.items():
    low, high = accuracy_bounds(round(RIGHT * read), read, listed)
    width[name] = {"listed": listed, "there": read, "at worst": f"{low:.1%}", "at best": f"{high:.1%}"}
pd.DataFrame(width).T

# %% [markdown]
# Where the bounds are wider than the difference between two published scores, the difference says nothing until both name their videos. Each report of this kit
# therefore gives the coverage beside the accuracy.
#
# **And the data you have?** This is the ledger of the dataset in the settings above, or of a sample of its list where many videos are
# there to be opened.

# %%
data = open_dataset(DATASET, DATA_DIR)
own = load_records(DATASET, data.root, data.split)
own = own if len(data.records) <= 400 else draw_subset(own, 400, seed=0)
own_states = pd.Series(count_states(ledger_of(own, data.root, data.split)), name=f"{DATASET} {data.split}")
own_states[own_states > 0].to_frame()

# %% [markdown]
# ## What does it take on disk?
#
# A network does not eat files but arrays, and decoding is slow, so the kit keeps finished clips in a *cache*. How large it becomes is a
# matter of *geometry*: how many frames, how large, how many views. Guess how the cache of the validation split compares with the videos themselves.

# %%
HALF = (0.5, 0.5, 0.5)  # mean and deviation; they do not change what is stored
geometries = {
    "16 frames of 112x112": InputSpec(16, 15.0, 128, (112, 112), HALF, HALF),
    "64 frames of 224x224": InputSpec(64, 25.0, 256, (224, 224), HALF, HALF),
    "10 clips x 3 crops of 16 frames of 112x112": InputSpec(
        16, 15.0, 128, (112, 112), HALF, HALF, num_clips=10, num_crops=3
    ),
}
val = next(part for part in card.hosted if part.split == "val")
size = {name: predict_bytes(spec) for name, spec in geometries.items()}
gb = {name: round(bytes_ * val.num_videos / 1e9) for name, bytes_ in size.items()}
pd.Series({"the videos themselves": val.gb, **gb}, name="GB for Kinetics-400 val").to_frame()

# %% [markdown]
# A clip in the cache is larger than the video it comes from, or smaller, as the geometry has it: nothing is compressed, but only the frames that a model
# samples are kept. The prediction needs no video; `scripts/evaluate.py --dry-run` prints it before a run.
#
# **The trap.** Some kits keep *all* frames, and as `float32`, because that is what the network gets in the end. Work it out for a mean clip
# of 263 frames of 224x224 pixels before you run the cell. And what does it buy? Its last lines turn pixels, which a decoder gives as whole numbers from
# 0 to 255, into `float32` between 0 and 1, and back.

# %%
FRAMES, SIDE = 263, 224
for kind in ("uint8", "float32"):
    clip_bytes = FRAMES * SIDE * SIDE * 3 * np.dtype(kind).itemsize
    print(f"{kind}: {clip_bytes / 1e6:.0f} MB a clip, {clip_bytes * val.num_videos / 1e12:.2f} TB for the split")
frames = read_clip(data.path(data.records[0]), [0, 1, 2]).frames
as_float = frames.astype(np.float32) / 255
print("the same pixels:", np.array_equal((as_float * 255).round().astype(np.uint8), frames))

# %% [markdown]
# The second way takes four bytes for each number and knows no more than the first. The kit stores `uint8`, makes floats when a batch is made, and
# keeps only the frames that a model samples.
#
# **Does the prediction hold?** Put some clips of your dataset into a cache and weigh it. Then leave room for half of it: a cache may be thrown away at any
# time, so it can have a limit, and what was used longest ago goes first.

# %%
spec = geometries["16 frames of 112x112"]
some = draw_subset(data.records, min(len(data.records), 24), seed=0)
with ViewReader(data.root, spec, num_workers=2, cache_dir=here / "cache", dataset=DATASET) as reader:
    stored = len(list(reader.stream(enumerate(some))))
cache = ClipCache(here / "cache")
(before,) = cache.holdings()
print(f"predicted {stored * predict_bytes(spec):,} bytes, on disk {before.num_bytes:,}")
cache.set_limit(before.num_bytes // 2)
pd.DataFrame([before, *cache.holdings()], index=["whole", "limited"])[["geometry", "num_clips", "num_bytes"]]

# %% [markdown]
# The prediction is right to within some bytes of text a clip. `python scripts/cache.py` shows the table for the cache of all your runs, by dataset and geometry, and sets its limit.
#
# ## What may you do with it?
#
# A copy on your disk is not yours. Read the terms before you fetch, not after you publish.

# %%
pd.options.display.max_colwidth = 120
named = ("kinetics400", "hmdb51", "ucf101", "somethingv2", "vidmini")
pd.Series({find_dataset(name).title: find_dataset(name).licence for name in named}, name="terms").to_frame()

# %% [markdown]
# For Kinetics the *list* has a free licence and the *videos* do not: they belong to the people who uploaded them, who may take them back, and
# they show people who never asked to be in a dataset. HMDB51's owners name a free licence, yet its clips are cut out of films that belong to others. The only
# clips in this table that you can pass on without a second thought are the drawn ones. So a kit like this one ships lists, recipes and drawn clips, and
# everybody fetches for themselves. Do not put samples into a repository or a slide without having read the terms, and
# delete what an owner asks you to delete.
#
# ## What should stay written down?
#
# A folder of videos does not say where it came from. The fetch does: below the data folder it keeps what each archive was, byte for byte.

# %%
known = Known(home, "val")
facts = [(url.rpartition("/")[2], len(one["clips"]), one["sha256"][:12]) for url, one in sorted(known.archives.items())]
server.close()
scratch.cleanup()
pd.DataFrame(facts, columns=["archive", "clips", "SHA-256 begins"])

# %% [markdown]
# With the version, the date and this table somebody else can say whether they have the same data, and if not, where it begins to differ. Keep the
# videos as they came, in a folder that nothing else writes to; everything made from them, cached clips above all, belongs somewhere else
# and may be deleted at any time.
#
# ## Summary
#
# * A label is joined to a video by name: identifier *and* start in Kinetics, class folder and file name in HMDB51. Identifiers may begin with a
#   minus sign, names may hold brackets, and the order of classes comes from a file, not from a sort.
# * A stratified sample shows every class. Where videos come in archives, it is a sample of archives; say so.
# * Every listed video ends in one state. The ledger adds up to the list, and what cannot be read gives bounds to any accuracy.
# * A cache of clips has a predictable size. Whole numbers need one byte each; keep the frames that are used.
# * Lists and videos have different terms. Fetch for yourself, pass nothing on, and write down what you fetched.
#
# ## Exercises
#
# 1. **A damaged archive.** Publish the clips once more, cut one archive of the server in half, and fetch the whole split. What arrives, what does
#    the ledger say, and what does it take to get the rest once the server is repaired?
# 2. **What does stratifying buy?** Draw 200 videos at random, and 200 with equal shares for each class, many times over, from a split in
#    which some classes are easy and some are hard. By how much do the two accuracies scatter?
# 3. **A cheaper cache.** Keep the frames of some clips as JPEG pictures instead of arrays. How many bytes does that save, how many
#    levels do the pixels move, and how much longer does reading take?

# %% [markdown] tags=["next"]
# [Solutions](solutions/02_fetch_and_organise_solutions.ipynb) · Next: [3. Explore](03_explore.ipynb)
