"""Draw the pictures of images/ from vidmini, and list them with their descriptions in images/README.md.

python scripts/make_images.py              # all of them
python scripts/make_images.py gop views    # some of them
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle

from vidbench import visualize
from vidbench.data import mini, sample
from vidbench.data.decode import packet_table, read_clip
from vidbench.data.drawn.ink import FRAME_RATE
from vidbench.data.process import center_crop, resize, target_size, three_crops
from vidbench.utils import atomic_writer
from vidbench.visualize import BLUE, INK, LINE, MUTED, ORANGE, SERIES, WIDTH, AltFigure

ROOT = Path(__file__).resolve().parents[1]
IMAGES, VIDEOS = ROOT / "images", ROOT / "data" / "vidmini" / "videos"
WALK = VIDEOS / "LeftToRight" / "v_LeftToRight_g05_c01.mp4"
SIT = VIDEOS / "SitDown" / "v_SitDown_g02_c02.mp4"
SPACE, TIME, BOTH = "#dbe8f2", "#fbe0cf", "#e8dff0"  # what a layer sees: one frame, time only, both at once
ELSEWHERE = {
    "report.png": "the head of the page that `python scripts/evaluate.py @scripts/configs/vidmini-2d.txt` writes, as "
    "headless Chromium shows it"
}

# --- a sheet of paper, measured in inches from its lower left corner


class Sheet:
    """A figure to draw boxes, arrows and pictures on; all lengths are inches."""

    def __init__(self, height: float, alt: str, *, photo: bool = True):
        self.figure = AltFigure((WIDTH, height), alt=alt, photo=photo)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_xlim(0, WIDTH)
        self.axes.set_ylim(0, height)
        self.axes.set_axis_off()

    def words(self, x, y, text, **look):
        self.axes.text(x, y, text, **{"fontsize": 8.5, "ha": "center", "va": "center", "color": INK, **look})

    def box(self, x, y, width, height, text="", *, fill=SPACE, edge=BLUE, **look):
        shape = "round,pad=0,rounding_size=0.05"
        self.axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=shape, fc=fill, ec=edge, lw=1))
        self.words(x + width / 2, y + height / 2, text, **look)

    def frame(self, x, y, width, height, colour=ORANGE, **look):
        self.axes.add_patch(Rectangle((x, y), width, height, fill=False, ec=colour, **{"lw": 1.6, **look}))

    def arrow(self, start, end, colour=MUTED, **look):
        style = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 1, "shrinkB": 1, "lw": 1.1, **look}
        self.axes.add_patch(FancyArrowPatch(start, end, color=colour, **style))

    def line(self, start, end, colour=LINE, **look):
        self.axes.plot(*zip(start, end), color=colour, **{"lw": 1, **look})

    def picture(self, image, x, y, height, *, edge=None, layer=1.0) -> float:
        """Draw a picture of this height; returns its width."""
        width = height * image.shape[1] / image.shape[0]
        place = (x, x + width, y, y + height)
        self.axes.imshow(image, extent=place, interpolation="antialiased", aspect="auto", zorder=layer)
        self.axes.set_xlim(0, WIDTH)
        self.axes.set_ylim(0, self.figure.get_figheight())
        if edge:
            self.frame(x, y, width, height, edge, lw=1, zorder=layer)
        return width

    def stack(self, images, x, y, height, step=0.09):
        """Pictures one behind the other, the first in front; returns the whole width."""
        for n in reversed(range(len(images))):
            width = self.picture(images[n], x + n * step, y + n * step, height, edge="white", layer=1 - 0.01 * n)
        return width + (len(images) - 1) * step

    def block(self, x, y, width, height, depth, text, *, fill, edge, **look):
        """A box with a third side: a convolution that reaches through time."""
        lid = [(x, y + height), (x + depth, y + height + depth), (x + width + depth, y + height + depth)]
        side = [(x + width, y), (x + width + depth, y + depth), (x + width + depth, y + height + depth)]
        for corners in ([*lid, (x + width, y + height)], [*side, (x + width, y + height)]):
            self.axes.add_patch(Polygon(corners, fc=fill, ec=edge, lw=1))
        self.axes.add_patch(Rectangle((x, y), width, height, fc=fill, ec=edge, lw=1))
        self.words(x + width / 2, y + height / 2, text, **look)


def frames_of(path: Path, num: int) -> tuple[np.ndarray, np.ndarray]:
    """``num`` frames spread evenly over a video, uint8 (num, H, W, 3), and their times in seconds."""
    clip = read_clip(path, lambda table: sample.middle_indices(len(table.pts_s), num))
    return clip.frames, clip.pts_s


def key_of_colours(sheet: Sheet, y: float, *entries: tuple[str, str, str], step: float = 2.35) -> None:
    for n, (fill, edge, text) in enumerate(entries):
        sheet.box(0.1 + step * n, y, 0.22, 0.16, fill=fill, edge=edge)
        sheet.words(0.4 + step * n, y + 0.08, text, ha="left", fontsize=8, color=MUTED)


SEES_SPACE = (SPACE, BLUE, "sees one frame at a time")
SEES_TIME = (TIME, ORANGE, "sees the order of time")
SEES_BOTH = (BOTH, SERIES[3], "sees space and time at once")


# --- the task, sampling and files


def draw_task() -> AltFigure:
    """A clip goes in, a class comes out; the scores are those of the shipped model."""
    from vidbench.predict import predict

    best = predict("mini_r2plus1d.vidmini_v1", SIT).top(3)
    listed = ", ".join(f"{label} {score:.2f}" for label, score in best)
    sheet = Sheet(1.75, f"A clip of many frames goes into a network, which gives every class a score: {listed}.")
    frames, _ = frames_of(SIT, 5)
    sheet.stack(frames[::-1], 0.1, 0.35, 0.9)
    sheet.words(0.85, 0.17, "a clip: T frames", color=MUTED)
    sheet.arrow((2.0, 0.9), (2.75, 0.9))
    sheet.box(2.8, 0.5, 1.25, 0.8, "network", weight="bold", fontsize=10)
    sheet.arrow((4.1, 0.9), (4.7, 0.9))
    for n, (label, score) in enumerate(best):
        y = 1.22 - 0.36 * n
        sheet.words(5.65, y, label, ha="right", weight="bold" if n == 0 else "normal")
        sheet.axes.add_patch(Rectangle((5.72, y - 0.1), max(0.01, 1.3 * score), 0.2, fc=BLUE if n == 0 else "#b3bcc6"))
        sheet.words(5.78 + 1.3 * score, y, f"{score:.2f}", ha="left", fontsize=8)
    sheet.words(6.2, 0.17, "a score for every class", color=MUTED)
    return sheet.figure


def draw_resample() -> AltFigure:
    """Ten frames a second, made five and twenty."""
    pts, rate = np.arange(10) / 10, 10.0
    rows = {
        "down to 5 fps": sample.frames_at(np.arange(5) / 5, pts, rate),
        "video: 10 fps": np.arange(10),
        "up to 20 fps": sample.frames_at(np.arange(20) / 20, pts, rate),
    }
    down, up = rows["down to 5 fps"], rows["up to 20 fps"]
    alt = f"One second at 10 frames per second. Down to 5 it keeps frames {', '.join(map(str, down))}; up to 20 every "
    alt += f"frame comes {len(up) // 10} times, and nothing new is seen."
    sheet = Sheet(2.35, alt, photo=False)
    left, length = 1.25, 6.2
    for (name, indices), y in zip(rows.items(), (1.95, 1.25, 0.55)):
        sheet.words(0.08, y, name, ha="left", weight="bold" if y == 1.25 else "normal")
        step = length / len(indices)
        for n, index in enumerate(indices):
            x = left + n * step
            twice = (indices == index).sum() > 1
            colour = ORANGE if twice else BLUE
            side = 0.25
            sheet.axes.add_patch(Rectangle((x, y - side / 2), side, side, fc=colour, ec="none"))
            sheet.words(x + side / 2, y, str(index), color="white", fontsize=7.5)
            if y != 1.25:
                inner, outer = (1.25 + 0.15, y - 0.17) if y > 1.25 else (1.25 - 0.15, y + 0.17)
                sheet.arrow((left + index * length / 10 + side / 2, inner), (x + side / 2, outer), colour, lw=0.8)
    sheet.line((left, 0.27), (left + length, 0.27))
    for tenth in (0, 0.25, 0.5, 0.75, 1.0):
        sheet.line((left + tenth * length, 0.24), (left + tenth * length, 0.3))
        sheet.words(left + tenth * length, 0.13, f"{tenth:g} s", fontsize=7.5, color=MUTED)
    return sheet.figure


def draw_frame_rate() -> AltFigure:
    """The same number of frames at three rates: the lower the rate, the more time the network sees."""
    table = read_clip(WALK, lambda table: range(len(table.pts_s)))
    rates, num = (25, 8, 3), 8
    spans = [f"{num / rate:.1f} s at {rate} fps" for rate in rates]
    sheet = Sheet(3.0, f"{num} frames of the same video span {', '.join(spans)}; the walker gets further each time.")
    height = 0.6
    for n, rate in enumerate(rates):
        (indices,) = sample.clips(table.pts_s, FRAME_RATE, num, rate, from_start=True)
        y = 2.3 - 0.98 * n
        sheet.words(0.05, y + 0.38, f"{rate} fps", ha="left", weight="bold", fontsize=10)
        sheet.words(0.05, y + 0.18, f"{num / rate:.1f} s", ha="left", color=MUTED)
        for place, index in enumerate(indices):
            sheet.picture(table.frames[index], 0.75 + place * 0.85, y, height)
        whole = 0.85 * num - 0.05
        sheet.line((0.75, y - 0.12), (0.75 + whole, y - 0.12), "#d9dee4", lw=3, solid_capstyle="butt")
        xs = 0.75 + table.pts_s[indices] / table.pts_s[-1] * whole
        sheet.axes.plot(xs, np.full(num, y - 0.12), "o", color=BLUE, ms=4)
    sheet.words(0.05, 0.22, "in the video", ha="left", fontsize=7.5, color=MUTED)
    return sheet.figure


def draw_order() -> AltFigure:
    """A clip forwards and backwards: other classes, the same frames."""
    frames, _ = frames_of(SIT, 8)
    alt = "The same 8 frames twice: forwards a figure sits down, backwards it stands up. "
    sheet = Sheet(1.85, alt + "Only their order tells the two classes apart.")
    for y, name, strip in ((0.98, "SitDown", frames), (0.08, "StandUp", frames[::-1])):
        sheet.words(0.05, y + 0.3, name, ha="left", weight="bold")
        for n, frame in enumerate(strip):
            sheet.picture(frame, 0.85 + 0.84 * n, y, 0.6)
        sheet.arrow((0.85, y + 0.7), (7.5, y + 0.7), lw=0.9)
    sheet.words(0.05, 1.7, "time", ha="left", fontsize=7.5, color=MUTED)
    return sheet.figure


def draw_classes() -> AltFigure:
    """One frame of each class of vidmini."""
    images = [frames_of(sorted((VIDEOS / name).glob("*.mp4"))[8], 1)[0][0] for name in mini.CLASSES]
    pairs = ", ".join(" and ".join(pair) for pair in mini.PAIRS)
    alt = f"One frame of each of vidmini's {len(mini.CLASSES)} classes. A frame shows {', '.join(mini.APPEARANCE)}; "
    return visualize.contact_sheet(images, mini.CLASSES, alt=f"{alt}it cannot tell {pairs} apart.")


def draw_views() -> AltFigure:
    """Three clips of a video, three crops of each: nine views, whose scores are averaged."""
    table = read_clip(WALK, lambda table: range(len(table.pts_s)))
    num, length = 3, 16
    starts = sample.window_starts(len(table.frames), length, num)
    alt = f"A video gives {num} clips of {length} frames, from frames {', '.join(map(str, starts))} on, and each clip "
    sheet = Sheet(2.75, f"{alt}3 square crops: {3 * num} views, whose scores are averaged.")
    left, width = 0.75, 6.75
    sheet.words(0.05, 2.5, "video", ha="left")
    for n in range(len(table.frames)):
        x = left + n / len(table.frames) * width
        inside = ((n >= starts) & (n < starts + length)).any()
        sheet.line((x, 2.4), (x, 2.6), BLUE if inside else LINE, lw=1.6 if inside else 1)
    for n, start in enumerate(starts):
        x = 0.75 + n * 2.35
        middle = left + (start + length / 2) / len(table.frames) * width
        sheet.arrow((middle, 2.36), (x + 0.95, 2.08), BLUE)
        image = table.frames[start + length // 2]
        wide = sheet.picture(image, x, 0.62, 1.4)
        for m, colour in enumerate((ORANGE, "white", BLUE)):
            edge = 0.02 + 0.03 * m  # so that no line hides another
            sheet.frame(
                x + (wide - 1.4) / 2 * m + edge,
                0.62 + edge,
                1.4 - 2 * edge,
                1.4 - 2 * edge,
                colour,
                ls=("-", "--", "-")[m],
            )
        sheet.words(x + 0.93, 0.49, f"clip {n + 1}: left, centre, right crop", fontsize=7.5, color=MUTED)
    sheet.box(2.05, 0.06, 3.9, 0.28, f"{num} clips × 3 crops = {3 * num} views → average")
    return sheet.figure


def draw_gop() -> AltFigure:
    """The first groups of pictures of a shipped clip, as its file holds them."""
    table = packet_table(WALK)
    return visualize.gop_diagram(table.picture_types, pts_s=table.pts_s, dts_s=table.dts_s, sizes=table.sizes, num=25)


def draw_geometry() -> AltFigure:
    """What happens to one frame before a network sees it."""
    frame = read_clip(WALK, [30]).frames
    small = resize(frame, target_size(frame.shape[1], frame.shape[2], 64))
    padded = np.zeros((1, small.shape[2], small.shape[2], 3), np.uint8)
    top = (small.shape[2] - small.shape[1]) // 2
    padded[:, top : top + small.shape[1]] = small
    images = {
        "frame": frame[0],
        "short side 64": small[0],
        "centre crop": center_crop(small, 64)[0],
        "right crop": three_crops(small, 64)[2][0],
        "stretched": resize(frame, (64, 64))[0],
        "padded": padded[0],
    }
    return visualize.side_by_side(images)


# --- architectures


def draw_single_frame() -> AltFigure:
    alt = (
        "Single-frame 2-D network: every frame goes through the same 2-D CNN on its own, and the scores are averaged. "
    )
    sheet = Sheet(2.3, alt + "Shuffled frames give the same answer.")
    for n, frame in enumerate(frames_of(WALK, 3)[0]):
        y = 1.7 - 0.62 * n
        sheet.picture(frame, 0.1, y, 0.52)
        sheet.arrow((0.85, y + 0.26), (1.45, y + 0.26))
        sheet.box(1.5, y + 0.04, 1.5, 0.44, "2-D CNN")
        sheet.arrow((3.05, y + 0.26), (3.6, y + 0.26))
        sheet.box(3.65, y + 0.04, 1.0, 0.44, "scores", fill="white", edge=LINE)
        sheet.arrow((4.7, y + 0.26), (5.3, 1.34))
    sheet.box(5.35, 1.1, 0.95, 0.5, "average", fill="white", edge=MUTED)
    sheet.arrow((6.35, 1.35), (6.75, 1.35))
    sheet.words(7.1, 1.35, "class", weight="bold")
    sheet.words(3.0, 0.18, "the same weights for every frame", ha="left", fontsize=8, color=MUTED)
    key_of_colours(sheet, 0.1, SEES_SPACE)
    return sheet.figure


def draw_cnn_rnn() -> AltFigure:
    alt = "CNN and RNN: a 2-D CNN turns each frame into features, and an LSTM or GRU reads these in order of time; "
    sheet = Sheet(2.75, alt + "its last state gives the class.")
    for n, frame in enumerate(frames_of(WALK, 4)[0]):
        x = 0.25 + 1.5 * n
        sheet.picture(frame, x + 0.15, 0.42, 0.62)
        sheet.arrow((x + 0.56, 1.06), (x + 0.56, 1.28))
        sheet.box(x, 1.3, 1.12, 0.4, "2-D CNN")
        sheet.arrow((x + 0.56, 1.72), (x + 0.56, 1.98))
        sheet.box(x, 2.0, 1.12, 0.45, "LSTM", fill=TIME, edge=ORANGE)
        sheet.arrow((x + 1.12, 2.22), (x + 1.5, 2.22), ORANGE)
    sheet.words(6.3, 2.22, "class", weight="bold", ha="left")
    sheet.words(6.3, 1.5, "the same weights\nfor every frame", ha="left", fontsize=7.5, color=MUTED)
    key_of_colours(sheet, 0.1, SEES_SPACE, SEES_TIME)
    return sheet.figure


def draw_conv3d() -> AltFigure:
    alt = "3-D convolution: kernels of 3 frames by 3 by 3 pixels slide over the whole clip, layer by layer, and see "
    sheet = Sheet(2.2, alt + "motion; at the end all places and times are averaged to one vector of scores.")
    sheet.stack(frames_of(WALK, 6)[0], 0.1, 0.62, 0.85, 0.1)
    sheet.arrow((1.85, 1.2), (2.3, 1.2))
    for n, (x, height, depth, text) in enumerate(
        ((2.4, 0.95, 0.4, "3×3×3"), (3.8, 0.75, 0.32, "3×3×3"), (5.05, 0.5, 0.2, "3×3×3"))
    ):
        sheet.block(x, 1.05 - height / 2, 0.72 - 0.06 * n, height, depth, text, fill=BOTH, edge=SERIES[3])
        end = x + 0.72 - 0.06 * n + depth
        sheet.arrow((end + 0.03, 1.2), (end + 0.2, 1.2))
    sheet.box(6.1, 0.92, 0.68, 0.55, "average\nT, H, W", fill="white", edge=MUTED, fontsize=8)
    sheet.arrow((6.8, 1.2), (7.02, 1.2))
    sheet.words(7.28, 1.2, "class", weight="bold")
    key_of_colours(sheet, 0.1, SEES_BOTH)
    return sheet.figure


def draw_r2plus1d() -> AltFigure:
    alt = "R(2+1)D: each 3-D kernel of 3 by 3 by 3 is split in two, one of 1 by 3 by 3 within a frame and one of "
    sheet = Sheet(2.5, alt + "3 by 1 by 1 along time, with a non-linearity between them.")
    kernels = [
        (0.35, (3, 3, 3), BOTH, SERIES[3], "3-D kernel\n3×3×3"),
        (2.75, (1, 3, 3), SPACE, BLUE, "within a frame\n1×3×3"),
        (4.95, (3, 1, 1), TIME, ORANGE, "along time\n3×1×1"),
    ]
    for left, (t, h, w), fill, edge, text in kernels:
        draw_kernel(sheet, left, 1.0, t, h, w, fill, edge)
        sheet.words(left + 0.65, 0.55, text, fontsize=8.5)
    sheet.words(2.2, 1.5, "→", fontsize=16, color=MUTED)
    sheet.words(4.5, 1.5, "ReLU", color=MUTED)
    sheet.arrow((4.05, 1.28), (4.95, 1.28))
    sheet.words(6.7, 1.5, "repeated in\nevery layer", fontsize=8, color=MUTED)
    key_of_colours(sheet, 0.08, SEES_BOTH, SEES_SPACE, SEES_TIME)
    return sheet.figure


def draw_kernel(sheet: Sheet, left: float, bottom: float, t: int, h: int, w: int, fill, edge) -> None:
    """A kernel as a cuboid of cells; time runs to the back."""
    cell, back = 0.27, 0.17
    x0, y0 = left + (3 - w) * cell / 2 + (3 - t) * back / 2, bottom + (3 - h) * cell / 2 + (3 - t) * back / 2
    for k in reversed(range(t)):
        for i in range(h):
            for j in range(w):
                x, y = x0 + j * cell + k * back, y0 + i * cell + k * back
                sheet.block(x, y, cell, cell, back, "", fill=fill, edge=edge)


def draw_two_stream() -> AltFigure:
    alt = "Two-stream network: one CNN sees a single frame, the other a stack of optical flow, which is the motion "
    sheet = Sheet(2.5, alt + "between neighbouring frames; their scores are averaged.")
    clip = read_clip(WALK, [30, 33, 36, 39]).frames
    flows = [flow_picture(before, after) for before, after in itertools.pairwise(clip)]
    sheet.picture(clip[0], 0.1, 1.55, 0.75)
    sheet.words(1.65, 1.92, "one frame", ha="center", fontsize=8, color=MUTED)
    sheet.stack(flows, 0.1, 0.45, 0.75, 0.08)
    sheet.words(1.72, 0.82, "optical flow", ha="center", fontsize=8, color=MUTED)
    for y, text, fill, edge in (
        (1.67, "2-D CNN\nspatial stream", SPACE, BLUE),
        (0.57, "2-D CNN\ntemporal stream", TIME, ORANGE),
    ):
        sheet.arrow((2.15, y + 0.25), (2.6, y + 0.25))
        sheet.box(2.65, y, 1.5, 0.5, text, fill=fill, edge=edge)
        sheet.arrow((4.2, y + 0.25), (4.65, y + 0.25))
        sheet.box(4.7, y + 0.03, 0.8, 0.44, "scores", fill="white", edge=LINE)
        sheet.arrow((5.55, y + 0.25), (5.95, 1.38))
    sheet.box(6.0, 1.12, 0.85, 0.5, "average", fill="white", edge=MUTED)
    sheet.arrow((6.88, 1.37), (7.05, 1.37))
    sheet.words(7.3, 1.37, "class", weight="bold")
    key_of_colours(sheet, 0.1, SEES_SPACE, SEES_TIME)
    return sheet.figure


def flow_picture(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Optical flow between two frames as colours on white: hue is direction, strength is speed; uint8 (H, W, 3)."""
    first, second = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (before, after))
    first, second = (cv2.GaussianBlur(grey, (0, 0), 1.5) for grey in (first, second))
    still = np.zeros((*first.shape, 2), np.float32)
    flow = cv2.calcOpticalFlowFarneback(first, second, still, 0.5, 3, 21, 5, 7, 1.5, 0)
    flow -= np.median(flow, axis=(0, 1))  # without the camera's own motion
    speed, angle = cv2.cartToPolar(flow[..., 0], flow[..., 1])
    strength = np.clip(speed / max(1e-6, np.percentile(speed, 99)), 0, 1)
    hsv = np.stack([angle * 90 / np.pi, 255 * strength, np.full_like(angle, 245)], -1).astype(np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def draw_tsn() -> AltFigure:
    alt = "Temporal segment network: the video is cut into equal segments, one frame of each goes through the same 2-D "
    sheet = Sheet(2.75, alt + "CNN, and a consensus, such as the average, joins their scores.")
    table = read_clip(WALK, lambda table: range(len(table.pts_s)))
    num, left, width = 4, 0.1, 6.2
    (indices,) = sample.segments(len(table.frames), num)
    for n, index in enumerate(indices):
        x = left + n * width / num
        fill = "#e9edf1" if n % 2 else "#f4f6f8"
        sheet.axes.add_patch(Rectangle((x, 0.38), width / num, 0.3, fc=fill, ec="none"))
        sheet.words(x + width / num / 2, 0.46, f"segment {n + 1}", fontsize=7.5, color=MUTED)
        at = left + (index + 0.5) / len(table.frames) * width
        sheet.line((at, 0.55), (at, 0.72), BLUE, lw=2)
        sheet.picture(table.frames[index], at - 0.4, 0.78, 0.6)
        sheet.arrow((at, 1.4), (at, 1.62))
        sheet.box(at - 0.55, 1.65, 1.1, 0.38, "2-D CNN")
        sheet.arrow((at, 2.05), (at, 2.3))
    sheet.box(left, 2.33, width, 0.32, "consensus: average of the segments' scores", fill="white", edge=MUTED)
    sheet.arrow((left + width + 0.03, 2.49), (6.75, 2.49))
    sheet.words(7.1, 2.49, "class", weight="bold")
    key_of_colours(sheet, 0.1, SEES_SPACE)
    return sheet.figure


def draw_inflation() -> AltFigure:
    alt = "Inflation, from an image network to I3D: a filter of 3 by 3 pixels is repeated 3 times along time and "
    sheet = Sheet(2.3, alt + "divided by 3, so that a still video gives what the image gave.", photo=False)
    draw_kernel(sheet, 0.4, 0.9, 1, 3, 3, SPACE, BLUE)
    sheet.words(1.1, 0.45, "image network\n3×3", fontsize=8.5)
    sheet.arrow((2.0, 1.4), (2.75, 1.4))
    sheet.words(2.38, 1.62, "repeat,\ndivide by 3", fontsize=8, color=MUTED, va="bottom")
    draw_kernel(sheet, 3.05, 0.9, 3, 3, 3, BOTH, SERIES[3])
    sheet.words(3.75, 0.45, "video network\n3×3×3", fontsize=8.5)
    sheet.words(6.2, 1.4, "a still video gives\nwhat the image gave", fontsize=8.5, color=MUTED)
    key_of_colours(sheet, 0.05, SEES_SPACE, SEES_BOTH)
    return sheet.figure


def draw_multiscale() -> AltFigure:
    alt = "MViT: from stage to stage the grid of tokens gets coarser in space and each token longer, "
    sheet = Sheet(2.5, alt + "as in a convolutional network; the number of frames of tokens stays.", photo=False)
    for n, (cells, length) in enumerate(((8, 0.16), (4, 0.3), (2, 0.5), (1, 0.8))):
        left, side = 0.25 + 1.9 * n, 1.12
        for depth in reversed(range(3)):
            draw_grid(sheet, left + 0.1 * depth, 0.95 + 0.1 * depth, side / cells, cells, cells, lambda *_: BOTH)
        sheet.axes.add_patch(Rectangle((left, 0.6), 1.3 * length / 0.8, 0.14, fc=TIME, ec=ORANGE, lw=1))
        if n < 3:
            sheet.arrow((left + 1.45, 1.5), (left + 1.85, 1.5))
    sheet.words(0.25, 0.42, "orange: the length of one token", ha="left", fontsize=8, color=MUTED)
    key_of_colours(sheet, 0.05, SEES_BOTH)
    return sheet.figure


def draw_grid(sheet: Sheet, left, bottom, cell, rows, columns, fill, *, edge=SERIES[3], lw=0.8) -> None:
    """A grid of cells; ``fill(row, column)`` gives a colour, rows counted from above."""
    for row, column in itertools.product(range(rows), range(columns)):
        place = (left + column * cell, bottom + (rows - 1 - row) * cell)
        sheet.axes.add_patch(Rectangle(place, cell, cell, fc=fill(row, column), ec=edge, lw=lw))


def draw_windows() -> AltFigure:
    alt = "Video Swin: attention stays in windows of neighbouring tokens, in space and in time. In every second block "
    sheet = Sheet(2.75, alt + "the windows are shifted by half their length, so that neighbours meet.", photo=False)
    tints = (SPACE, TIME, BOTH, "#dff0e3")
    for left, shift, words in ((0.5, 0, "one block"), (4.1, 2, "the next block")):

        def tint(row, column, shift=shift):
            return tints[2 * ((row + shift) // 4 % 2) + (column + shift) // 4 % 2]

        draw_grid(sheet, left, 0.62, 0.22, 8, 12, tint, edge="white")
        for place in range(0 if shift == 0 else 2, 13, 4):
            sheet.line((left + 0.22 * place, 0.62), (left + 0.22 * place, 2.38), INK, lw=1.6)
        for place in range(0 if shift == 0 else 2, 9, 4):
            sheet.line((left, 0.62 + 0.22 * place), (left + 2.64, 0.62 + 0.22 * place), INK, lw=1.6)
        sheet.words(left + 1.32, 2.55, words, weight="bold")
        sheet.words(left + 1.32, 0.46, "time →", fontsize=8, color=MUTED)
        sheet.words(left - 0.16, 1.5, "place", fontsize=8, color=MUTED, rotation=90)
    sheet.arrow((3.35, 1.5), (3.8, 1.5))
    sheet.words(0.5, 0.15, "a token attends to the tokens of its window", ha="left", fontsize=8, color=MUTED)
    return sheet.figure


def draw_attention() -> AltFigure:
    alt = "Where one patch (dark) of a TimeSformer attends; patches that it does not ask are faded. Joint: every "
    alt += "patch of every frame. Divided: first its own place in all frames (orange), then all patches of its own "
    sheet = Sheet(3.1, alt + "frame (blue). Space only: its own frame alone.")
    frames = frames_of(WALK, 3)[0]
    purple = SERIES[3]
    looks = {  # a colour for each patch that is asked
        "joint": lambda frame, row, column: purple,
        "divided": lambda frame, row, column: BLUE if frame == 1 else ORANGE if (row, column) == (1, 2) else None,
        "space only": lambda frame, row, column: BLUE if frame == 1 else None,
    }
    for n, (words, look) in enumerate(looks.items()):
        y = 2.2 - 0.88 * n
        sheet.words(1.0, y + 0.36, words, ha="right", weight="bold")
        for frame in range(3):
            left = 1.25 + 1.2 * frame
            width = sheet.picture(frames[frame], left, y, 0.72)
            for row, column in itertools.product(range(3), range(4)):
                colour, asks = look(frame, row, column), (frame, row, column) == (1, 1, 2)
                fill, alpha = (INK, 0.9) if asks else (colour, 0.45) if colour else ("white", 0.8)
                place = (left + column * width / 4, y + (2 - row) * 0.24)
                sheet.axes.add_patch(Rectangle(place, width / 4, 0.24, fc=fill, ec="none", alpha=alpha, zorder=3))
                sheet.frame(*place, width / 4, 0.24, "white", lw=0.8, zorder=4)
    texts = ("every patch\nof every frame", "own place in all frames,\nthen all of the own frame", "own frame alone")
    for n, text in enumerate(texts):
        sheet.words(5.0, 2.56 - 0.88 * n, text, ha="left", fontsize=8, color=MUTED)
    asked = (purple, purple, "asked at once"), (ORANGE, ORANGE, "asked over time"), (BLUE, BLUE, "asked within a frame")
    key_of_colours(sheet, 0.1, (INK, INK, "the patch that asks"), *asked, step=1.8)
    return sheet.figure


def draw_masked() -> AltFigure:
    from vidbench.tokens import hide, tube_mask

    alt = "VideoMAE in pretraining: most patches are hidden, the same ones in every frame. A large encoder sees only "
    sheet = Sheet(2.3, alt + "the visible ones, a small decoder paints the hidden ones, and no label is needed.")
    clip = frames_of(WALK, 4)[0]
    mask = tube_mask((2, 6, 8), 0.9, seed=1)
    sheet.stack(clip[::-1], 0.1, 0.75, 0.75, 0.08)
    sheet.arrow((1.45, 1.25), (1.7, 1.25))
    sheet.stack(hide(clip, mask)[::-1], 1.75, 0.75, 0.75, 0.08)
    sheet.arrow((3.1, 1.25), (3.4, 1.25))
    sheet.box(3.45, 0.85, 1.15, 0.85, "encoder\nvisible patches", fill=BOTH, edge=SERIES[3])
    sheet.arrow((4.62, 1.25), (4.87, 1.25))
    sheet.box(4.9, 1.0, 0.85, 0.5, "decoder", fill=BOTH, edge=SERIES[3])
    sheet.arrow((5.77, 1.25), (6.0, 1.25))
    sheet.stack(clip[::-1], 6.05, 0.75, 0.75, 0.08)
    for x, words in ((0.75, "a clip"), (2.4, "tubes hidden"), (6.7, "to be painted")):
        sheet.words(x, 0.55, words, fontsize=8, color=MUTED)
    key_of_colours(sheet, 0.1, SEES_BOTH)
    return sheet.figure


DRAWINGS: dict[str, Callable[[], AltFigure]] = {
    "task": draw_task,
    "classes": draw_classes,
    "order": draw_order,
    "frame_rate": draw_frame_rate,
    "resample": draw_resample,
    "geometry": draw_geometry,
    "views": draw_views,
    "gop": draw_gop,
    "single_frame": draw_single_frame,
    "cnn_rnn": draw_cnn_rnn,
    "conv3d": draw_conv3d,
    "r2plus1d": draw_r2plus1d,
    "two_stream": draw_two_stream,
    "tsn": draw_tsn,
    "inflation": draw_inflation,
    "multiscale": draw_multiscale,
    "windows": draw_windows,
    "attention": draw_attention,
    "masked": draw_masked,
}


def draw(name: str) -> tuple[str, bytes, str]:
    """File name, bytes and description of one picture."""
    with visualize.style():
        figure = DRAWINGS[name]()
    return f"{name}.{'jpg' if figure.photo else 'png'}", figure.data(), figure.alt


def readme(described: dict[str, str]) -> str:
    """images/README.md: every file with its description, and who makes it."""
    lines = ["Pictures for the pages of this project. Beside each file stands its alt text.", ""]
    lines += ["Drawn by `python scripts/make_images.py`:", ""]
    lines += [f"* `{file}`: {alt}" for file, alt in described.items()]
    lines += ["", "Made elsewhere:", "", *(f"* `{file}`: {maker}." for file, maker in ELSEWHERE.items())]
    return "\n".join(lines) + "\n"


def described_before() -> dict[str, str]:
    """File → description, as images/README.md has it."""
    path = IMAGES / "README.md"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    pairs = [line.removeprefix("* `").split("`: ", 1) for line in lines if line.startswith("* `")]
    return {pair[0]: pair[1] for pair in pairs if pair[0] not in ELSEWHERE}


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(DRAWINGS)}")
    names = parser.parse_args(argv).names or list(DRAWINGS)
    if unknown := [name for name in names if name not in DRAWINGS]:
        parser.error(f"no drawing is called {', '.join(unknown)}; known: {', '.join(DRAWINGS)}")
    described = described_before()
    for name in names:
        file, data, alt = draw(name)
        with atomic_writer(IMAGES / file) as out:
            out.write(data)
        described[file] = alt
        print(f"{file}: {len(data) / 1000:.1f} kB", flush=True)
    order = {f"{name}.{ending}": None for name in DRAWINGS for ending in ("png", "jpg")}
    with atomic_writer(IMAGES / "README.md", "w") as out:
        out.write(readme({file: described[file] for file in order if file in described}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
