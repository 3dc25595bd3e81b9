# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 1. Video is data: what is in a file?
#
# A film is pictures and the times at which they are shown. A file is bytes. Between the two stand a container, a codec and a clock, and
# each of them can hand you another picture than the one you asked for. This chapter opens a video by hand, names its parts, and then
# shows what the common ways of reading one get wrong, on clips in which every picture carries its own number.

# %% [markdown] tags=["links"]
# **Time** 45 minutes · **You need** nothing but the kit · **Download** none · **Device** CPU will do
#
# [Syllabus](README.md) · [Solutions](solutions/01_video_is_data_solutions.ipynb)

# %% tags=["install"]
import importlib.util

if importlib.util.find_spec("vidbench") is None:
    raise SystemExit("vidbench is not installed here; in its checkout, `make lab` opens the notebooks with it.")

# %% tags=["imports"]
import os
import tempfile
from dataclasses import asdict
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd

from vidbench.data.barcode import read_number, read_numbers, write_numbered
from vidbench.data.decode import packet_table, probe, read_clip
from vidbench.data.sample import frames_at
from vidbench.notebook import open_dataset
from vidbench.records import UnreadableVideo
from vidbench.visualize import film_strip, gop_diagram, side_by_side

# %% tags=["parameters"]
DATASET = "vidmini"
DATA_DIR = None

# %% [markdown]
# ## A file is bytes
#
# **What does a video look like before anyone decodes it?** The next cell takes the first video of the dataset and shows how its file
# begins. Before you run it: a short film of small pictures, three bytes a pixel, would take some megabytes. How many will there be?

# %%
data = open_dataset(DATASET, DATA_DIR)
path = data.path(data.records[0])
probe(path)  # stops here, and says why, if this is no video
print(f"{path.name}: {path.stat().st_size:,} bytes")
path.read_bytes()[:48]

# %% [markdown]
# Far fewer. And the first bytes are no pixels; they are a name. `ftyp` marks an MP4 file, `RIFF` an AVI file, `1A 45 DF A3` Matroska and
# WebM. That is the *container*: the format which says what else is in the file and where.
#
# ## The container and its streams
#
# **What does the container promise?** PyAV hands us FFmpeg, the library that nearly every program uses to read video.

# %%
with av.open(str(path)) as container:
    stream = container.streams.video[0]
    codec, tick = stream.codec_context, stream.time_base
    facts = {"container": container.format.long_name, "streams": len(container.streams)}
    facts |= {"codec": codec.name, "width": codec.width, "height": codec.height}
    facts |= {"pixel format": codec.pix_fmt, "tick in seconds": tick}
    facts |= {"pictures by the header": stream.frames, "rate by the header": stream.average_rate}
pd.Series(facts, name="what the header says").to_frame()

# %% [markdown]
# A container holds *streams*: pictures, often sound, sometimes subtitles or a cover. The *codec* is the language in which the pictures are
# written, and it is not tied to the container: an MP4 file can hold H.264, H.265 or AV1. Note the words *by the header*. Nothing was
# counted here, and a header can be wrong: in the dataset HMDB51 it often is.
#
# ## Packets
#
# **What is in a stream?** Not pictures but *packets*: the bytes of one picture each, as a rule. Guess before you run: are they of similar size?

# %%
with av.open(str(path)) as container:
    packets = [packet for packet in container.demux(video=0) if packet.size]
rows = pd.DataFrame([(p.size, p.is_keyframe, p.dts, p.pts) for p in packets])
rows.columns = ["bytes", "key frame", "decoded at tick", "shown at tick"]
rows.head(8)

# %% [markdown]
# Two things to keep in mind until the section on key frames: the first packet is far larger than the others, and each packet may carry two
# times, one for decoding and one for showing.
#
# ## Decoding by hand
#
# **How do packets become pictures?** The decoder takes packets and gives back pictures in a format of its own, with a time stamp each. Then they are
# converted to what a network takes: red, green and blue, one byte each.

# %%
MOST = 100  # pictures are large; a long video would fill the memory
with av.open(str(path)) as container:
    pictures = list(islice(container.decode(video=0), MOST))
by_hand = np.stack([picture.to_ndarray(format="rgb24") for picture in pictures])
film_strip(by_hand, num=6)

# %% [markdown]
# **How much did the codec save?** Note the four axes too, they stay the same through the whole course: time, height, width, channel.

# %%
print("T H W C =", by_hand.shape, by_hand.dtype)
decoded, written = by_hand[0].nbytes, rows["bytes"].mean()
print(f"one picture: {decoded:,} bytes decoded, {written:,.0f} in the file")
print(f"ratio: {decoded / written:.0f} to one")

# %% [markdown]
# This ratio is the reason for everything that is difficult in this chapter. A codec gets there by not writing down what it can predict from
# other pictures.
#
# ## The same with the library
#
# **Does the library give the same pictures?** `read_clip` decodes only what the frames asked for need, checks the file on the way, and
# turns pictures upright. On a sound file it must agree with the slow way above, pixel by pixel.

# %%
clip = read_clip(path, range(len(by_hand)))
print("same pixels:", np.array_equal(clip.frames, by_hand))
pd.Series(asdict(clip.info), name="what the library counted").to_frame()

# %% [markdown]
# `num_frames` and `frame_rate` are counted here, `header_frames` is what the header promises. A disagreement is worth a look at the file; most
# often the header is wrong.
#
# ## Time stamps and frame rate
#
# **What is the frame rate?** A stream counts time in ticks, fractions of a second that it chooses itself, and a picture's time stamp is a number of ticks. A
# rate is stored nowhere that binds anyone. It follows from the time stamps: pictures after the first, over the time from the first to the last.

# %%
print("first stamps in ticks:", [picture.pts for picture in pictures[:5]], "of", tick, "s")
steps = np.diff(clip.pts_s)
print(f"between pictures: {1000 * steps.min():.1f} to {1000 * steps.max():.1f} ms")
print(f"frame rate: {len(steps) / (clip.pts_s[-1] - clip.pts_s[0]):.3f} pictures per second")

# %% [markdown]
# Steps that are all equal make a *constant* frame rate. Do not count on it; below is a file where they differ.
#
# ## A film with known truth
#
# **How can we tell which picture a program gives us?** By its looks we cannot: neighbouring pictures are nearly the same. So we draw
# our own film, in which each picture carries its number as a bar code of ten blocks.

# %%
scratch = tempfile.TemporaryDirectory()
folder = Path(scratch.name)
numbered = write_numbered(folder / "numbered.mp4", 24, gop=12, b_frames=2)
frames = read_clip(numbered, range(24)).frames
film_strip(frames, num=6)

# %% [markdown]
# White is one, black is zero, the block on the right counts least. Read the number of one picture by hand: the blocks are 16 pixels wide,
# so their middles begin at 8.

# %%
row = frames[17][20, :, 0]
bits = (row[8::16] > 127).astype(int)
number = int("".join(map(str, bits)), 2)
print(bits, "=", number, "and the library reads", read_number(frames[17]))

# %% [markdown]
# From here on the truth is known: picture *k* must show the number *k*, whoever reads the file.
#
# ## Key frames and groups of pictures
#
# **Which picture depends on which?** Three types do the work. An *I* picture stands alone. A *P* picture is predicted from earlier ones, and a
# *B* picture from both sides. Before you run: in which order must the file hold a B picture and the later one that it leans on?

# %%
table = packet_table(numbered)
gop_diagram(table.picture_types, pts_s=table.pts_s, dts_s=table.dts_s, sizes=table.sizes)

# %% [markdown]
# The upper row is the file, the lower row the screen. What a B picture leans on comes first in the file though it is shown later, so the
# arrows cross: *decode order* is not *presentation order*, and that is why a packet carries two times. From one I picture to the next is a *group of
# pictures* (GOP). The bars show the gain: a picture costs less the more it may lean on others.
#
# The price is paid by whoever wants a single picture. **How many packets must be decoded to
# show just one?** Decoding can begin at a *key frame* only: an I picture before which nothing is needed by what comes after it.

# %%
order = np.argsort(table.pts_s)  # order[k] is the packet of picture k
starts = np.flatnonzero(table.keys)
cost = [order[k] - starts[starts <= order[k]].max() + 1 for k in range(24)]
print("packets from the key frame to picture k, k = 0, 1, 2, ...\n", *cost)

# %% [markdown]
# Pictures next to a key frame are cheap, those at the end of a group are not. A reader that "jumps to picture *k*" and does not go back to the
# key frame first cannot be right.
#
# **And what does the dataset's own video look like?**

# %%
own = packet_table(path)
print("types in the file's order:", own.picture_types[:60])
print(f"{own.keys.sum()} key frames among {len(own.keys)} packets")

# %% [markdown]
# Clips cut to a few seconds often have one key frame alone; then every picture leans on the first one in the end.
#
# **What happens when a packet is lost?** Here the same numbered film is written without B pictures, a P packet is left out, and the
# rest decoded. Before you run: which pictures will be damaged?

# %%
LOST = 4
plain = write_numbered(folder / "plain.mp4", 24, gop=12, b_frames=0)
with av.open(str(plain)) as container:
    packets = list(container.demux(video=0))
kept = packets[:LOST] + packets[LOST + 1 :]
damaged = np.stack([p.to_ndarray(format="rgb24") for packet in kept for p in packet.decode()])
print("numbers shown:", *read_numbers(damaged))
wrong = "From the lost packet to the next key frame the bar code is wrong and the ball leaves crumbs."
film_strip(damaged[:14], num=7, alt=wrong)


# %% [markdown]
# The bar codes are wrong and the ball leaves crumbs behind until the next key frame, because each P picture changes the one before it. There is one
# picture fewer, too, so from there on the place in the strip is no longer the number in the bar code. And no exception was raised: the decoder hides the
# gap as well as it can. A careful reader has to notice by other means.
#
# ## Colour
#
# **How does a codec store colour?** Not as red, green and blue. Its `yuv420p` has a plane for brightness, Y, and two for colour, U and V. Look
# at the sizes of the three planes.

# %%
def pixels(plane):  # rows in memory may be longer than the picture is wide
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


y, u, v = map(pixels, pictures[0].reformat(format="yuv420p").planes)
side_by_side({name: np.dstack([plane] * 3) for name, plane in zip("YUV", (y, u, v))})


# %% [markdown]
# Colour has half the width and half the height: that is what 4:2:0 means. Eyes do not mind. **When do pixels mind?** When colour changes from
# one pixel to the next: here are red lines on blue, drawn and then encoded.

# %%
def lines(number, width, height):
    picture = np.full((height, width, 3), (30, 60, 220), np.uint8)
    picture[:, ::8] = (230, 30, 30)
    return picture


drawn = lines(0, 64, 48)
encoded = write_numbered(folder / "lines.mp4", 1, width=64, height=48, picture=lines)
alt = "Drawn: thin, bright red lines on blue. After 4:2:0 they are twice as wide, dark and purple."
side_by_side({"drawn": drawn, "after 4:2:0": read_clip(encoded, [0]).frames[0]}, alt=alt)

# %% [markdown]
# Thin coloured things lose their colour. **And what are the numbers in Y?** Our bar code is pure black and pure white, so the dark and the bright
# values of Y in it show which numbers mean black and white.

# %%
with av.open(str(numbered)) as container:
    picture = list(container.decode(video=0))[17]
y, u, v = map(pixels, picture.planes)
dark, bright = np.percentile(y[:40], [10, 95])
print(f"Y in the bar code: black is {dark:.0f}, white is {bright:.0f}")

# %% [markdown]
# Not from 0 to 255. This is *limited range*: black is 16 and white is 235, a habit of television. Who takes these numbers for full range gets
# grey blacks and dull whites.
#
# **How does one come back to red, green and blue?** With a matrix, and two of them are common. Which of them does the library take? The cell
# after the next one compares with its pixels.

# %%
BLACK, WHITE, FULL = 16, 235, 255
WEIGHTS = {"BT.601": (0.299, 0.114), "BT.709": (0.2126, 0.0722)}  # of red and blue in brightness


def to_rgb(y, u, v, red, blue):
    light = (y.astype(float) - BLACK) / (WHITE - BLACK)
    u, v = ((plane.repeat(2, 0).repeat(2, 1) - 128.0) / 112 for plane in (u, v))
    r, b = light + (1 - red) * v, light + (1 - blue) * u
    g = (light - red * r - blue * b) / (1 - red - blue)
    return (np.dstack([r, g, b]).clip(0, 1) * FULL).round().astype(np.uint8)


# %%
theirs = read_clip(numbered, [17]).frames[0].astype(int)
for name, weights in WEIGHTS.items():
    far = np.abs(to_rgb(y, u, v, *weights) - theirs)
    print(f"{name}: on average {far.mean():.1f} levels from the library's pixels")
UNSAID = (2, 0)  # FFmpeg's codes for a matrix and a range that the file does not name
print("tagged:", (int(picture.colorspace), int(picture.color_range)) != UNSAID)

# %% [markdown]
# A file may carry a tag that says which matrix it was written with. Ours carries none, and then FFmpeg takes BT.601, as does the library. Other programs
# guess BT.709 where pictures are large. No error betrays the wrong one, only colours that are a little off in every picture.
#
# ## Variable frame rate
#
# **What if the steps between pictures differ?** Telephones slow down in the dark, screen recorders write a picture when something moves. Here
# is such a film: quick, then slow, then quick again.

# %%
steps = [0.04] * 20 + [0.25] * 10 + [0.02] * 20
times = np.cumsum(steps) - steps[0]
phone = write_numbered(folder / "phone.mp4", len(times), times_s=times)
info = probe(phone)
print(f"{info.num_frames} pictures in {info.duration_s:.2f} s, {info.frame_rate:.2f} a second on average")

# %% [markdown]
# **Which picture is on the screen at 2 seconds?** The usual way multiplies time by the average rate. The right way looks into the time stamps.

# %%
AT = 2.0
pts_s = np.sort(packet_table(phone).pts_s)
wrong, right = int(AT * info.frame_rate), int(frames_at(AT, pts_s, info.frame_rate))
print(f"time times rate: picture {wrong}, shown at {times[wrong]:.2f} s")
print(f"time stamps:     picture {right}, shown at {times[right]:.2f} s")

# %% [markdown]
# The average is the rate of no moment of this film. Chapter 4 comes back to this: a network is trained at one rate and should be fed at that rate,
# by the clock and not by counting.
#
# ## What programs get wrong
#
# **Does it matter which program reads the file?** We write the same numbered pictures in six ways. None of these files is damaged.

# %%
N, CLIPS = 60, {}
slow = np.cumsum([0.04] * 30 + [0.2] * 15 + [0.02] * 15)
CLIPS["H.264 in MP4"] = write_numbered(folder / "a.mp4", N)
CLIPS["H.264, variable rate"] = write_numbered(folder / "b.mp4", N, times_s=slow)
CLIPS["the same in Matroska"] = write_numbered(folder / "c.mkv", N, times_s=slow)
late = 2 + np.arange(N) / 25
CLIPS["H.264, starts at 2 s"] = write_numbered(folder / "d.mp4", N, times_s=late)
CLIPS["MPEG-4 with B in AVI"] = write_numbered(folder / "e.avi", N, codec="mpeg4")
CLIPS["H.264 in a transport stream"] = write_numbered(folder / "f.ts", N)

# %% [markdown]
# The first reader is the library's: it counts pictures in the order of showing. The second asks OpenCV for one picture after the other.

# %%
os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"  # it logs pages of complaints and carries on


def strict(path):
    return read_numbers(read_clip(path, lambda table: range(table.num_frames)).frames)


def opencv_in_order(path):
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    return [read_number(capture.retrieve()[1]) for _ in iter(capture.grab, False)]


# %% [markdown]
# The third does what many data loaders do to save time: it believes the header's count and jumps to each picture. The fourth jumps by time: it
# takes *k* over the frame rate, seeks there, and decodes up to that time.

# %%
def opencv_jumping(path):
    capture, numbers = cv2.VideoCapture(str(path)), []
    for k in range(int(capture.get(cv2.CAP_PROP_FRAME_COUNT))):
        capture.set(cv2.CAP_PROP_POS_FRAMES, k)
        found, picture = capture.read()
        numbers.append(read_number(picture) if found else -1)
    return numbers


# %%
def pyav_by_time(path):
    numbers = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for k in range(N):
            target = int(k / stream.average_rate / stream.time_base)
            container.seek(target, stream=stream)
            found = (p for p in islice(container.decode(stream), N) if p.pts >= target)
            picture = next(found, None)
            numbers.append(read_number(picture.to_ndarray(format="rgb24")) if picture else -1)
    return numbers


# %% [markdown]
# TorchCodec and decord join where they are installed. Then every reader reads every file, and the bar codes are the judge; where
# a reader gives more or fewer pictures than were written, the table says that as well. Before
# you run: which of the four will be right everywhere?

# %%
def judged(reader, path):
    try:
        numbers = list(reader(path))
    except Exception as problem:
        return f"fails: {type(problem).__name__}"
    wrong = sum(number != k for k, number in enumerate(numbers[:N]))
    return f"{wrong} wrong" + (f", {len(numbers)} for {N}" if len(numbers) != N else "")


def others(name):
    return lambda path: read_numbers(read_clip(path, range(N), decoder=name).frames)


# %%
READERS = {f.__name__: f for f in (strict, opencv_in_order, opencv_jumping, pyav_by_time)}
READERS |= {name: others(name) for name in ("torchcodec", "decord") if find_spec(name)}
results = {name: [judged(f, path) for path in CLIPS.values()] for name, f in READERS.items()}
pd.DataFrame(results, index=list(CLIPS)).rename(columns=lambda name: name.replace("_", " "))

# %% [markdown]
# Reading in order is right in every file. Each way of jumping is right in some files only: it stumbles over variable rates, over clocks that do
# not begin at zero, over B pictures in AVI (which has no place for a time of showing), over containers without an index, and it raises nothing. A model fed such pictures still gives an answer, and
# the answers an accuracy, and nobody sees that they belong to other pictures.
#
# ## Broken files
#
# **What does a reader say about half a file?** Downloads stop, disks fill up. Here the end of a file is missing.

# %%
whole = CLIPS["the same in Matroska"].read_bytes()
half = folder / "half.mkv"
half.write_bytes(whole[: len(whole) // 2])
print("OpenCV:", len(opencv_in_order(half)), "pictures, no exception")
clip = read_clip(half, [0])
print(f"library: {clip.info.num_frames} pictures, {clip.status}: {clip.reason}")

# %% [markdown]
# `partial` is one of the words that stay with a video all the way into an evaluation's table. **And a file that is no video at all?** It happens: a
# server's page that says "not found" is stored under the name of the video.

# %%
page = folder / "page.mp4"
page.write_text("<html>404: this video is no longer available</html>")
try:
    read_clip(page, [0])
except UnreadableVideo as problem:
    print(problem)
scratch.cleanup()

# %% [markdown]
# The library raises one kind of exception with a reason in words. In an evaluation such a video keeps its place in the list and counts as wrong;
# leaving it out would make the score look better than it is. Chapter 6 shows how much.
#
# ## Summary
#
# - A *container* holds streams; a *codec* writes pictures as packets; a *time stamp* says when each is shown. Frame rate and number of
#   pictures follow from these, whatever the header says.
# - Most pictures are written as changes to others. Decoding starts at a *key frame*, the order in the file is not the order on
#   the screen, and a lost packet spoils all that lean on it.
# - Colour is stored as brightness and two smaller colour planes, in limited range, under one of two matrices.
# - Reading in order and counting is right. Jumping by number or by time is right for some files, and silent for the others.
#
# ## Exercises
#
# 1. Write the numbered film with `gop=1` and with `gop=60`. How large are the files, and how many packets must be decoded for the last picture
#    of each? Which would you choose for training, which for an archive?
# 2. Draw a picture of coloured stripes (grey, red, green, blue, yellow, a tone of skin) and convert it with both matrices. Which
#    colours move most, and why does grey not move at all?
# 3. Write a film whose second half is shown at half the speed, and read it at 10 pictures per second by its time stamps. Show
#    with the bar code that the same stretch of time always has the same number of pictures.

# %% [markdown] tags=["next"]
# [Solutions](solutions/01_video_is_data_solutions.ipynb) · Next: [2. Fetch and organise](02_fetch_and_organise.ipynb)
