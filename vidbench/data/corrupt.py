"""A video made worse on the way to the network: nine corruptions, each at five severities, the same every time.

They act on frames that are resized already and not yet cropped, as ImageNet-C's do, so that a severity means the same
for a small video and a large one. Every random choice belongs to the video (``retime.video_seed``) and the frame, and
is shared by the severities of a corruption: what is lost at 2 is lost at 3 too.

Source:
    Five severities, and several of the strengths: D. Hendrycks and T. Dietterich, 2019, https://arxiv.org/abs/1903.12261.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from vidbench.data.retime import held_at
from vidbench.records import ConfigError, UnreadableVideo
from vidbench.utils import nearest_hint, printable

STRENGTHS = {  # one value a severity, 1 to 5
    "gaussian-noise": (0.08, 0.12, 0.18, 0.26, 0.38),  # standard deviation, where white is 1
    "motion-blur": (0.04, 0.07, 0.10, 0.14, 0.19),  # length of the stroke in short sides
    "low-light": (0.5, 0.3, 0.18, 0.1, 0.05),  # share of the light that is left
    "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),  # share of the distance from the frame's mean that is left
    "h264": (28, 34, 39, 44, 50),  # constant rate factor of x264
    "packet-loss": (0.01, 0.02, 0.05, 0.1, 0.2),  # share of slices that never arrive
    "frame-drop": (0.1, 0.25, 0.4, 0.6, 0.8),  # share of frames that never arrive; the one before stays on screen
    "frame-rate": (12.0, 6.0, 3.0, 1.5, 0.75),  # frames per second, each held
    "resolution": (1.5, 2.0, 3.0, 4.0, 6.0),  # times smaller, and enlarged again
}
SEVERITIES = (1, 2, 3, 4, 5)
CODED = ("h264", "packet-loss")  # need every frame between the first and the last one
CODES = {name: code for code, name in enumerate(STRENGTHS)}  # for random streams; keep the order
FULL_WELL, READ_NOISE = 1000.0, 2.0  # electrons of a white pixel in full light, and those that come by themselves
GAMMA = 2.2
LOSSY_CRF, LOSSY_GOP, LOSSY_SLICES, LOSSY_RATE = 23, 25, 4, 25  # the stream that loses packets: a live one, no B-frames
Packet = tuple[int | None, bytes]  # number of its frame; content


def parse_corrupt(value) -> tuple[str, int]:
    """``("h264", 3)`` for ``h264:3``.

    Raises:
        ConfigError: no such corruption or severity.
    """
    name, _, severity = value.partition(":") if isinstance(value, str) else ("", "", "")
    if name not in STRENGTHS or severity not in map(str, SEVERITIES):
        hint = nearest_hint(name, STRENGTHS) if name and name not in STRENGTHS else ""
        raise ConfigError(
            f"a corruption must be NAME:SEVERITY, with a severity from 1 to 5 and a name among {', '.join(STRENGTHS)}, "
            f"not {printable(value, 60)!r}.{hint}"
        )
    return name, int(severity)


def lost_frames(indices: np.ndarray, pts_s: np.ndarray, frame_rate: float, corrupt: str | None, seed: int):
    """The frames that are seen in place of those asked for, where frames do not arrive; else those themselves.

    Args:
        indices: int64, any shape: frames in display order.
        pts_s: float64, shape (N,), time stamps in seconds.
        frame_rate: of the video, frames per second.
        corrupt: ``NAME:SEVERITY`` or ``None``.
        seed: of the video.

    Returns:
        int64, same shape; no index is later than the one it stands for. The first frame always arrives.
    """
    if corrupt is None:
        return indices
    name, severity = parse_corrupt(corrupt)
    strength = STRENGTHS[name][severity - 1]
    if name == "frame-rate":
        return held_at(indices, pts_s, frame_rate, strength)
    if name != "frame-drop":
        return indices
    arrived = np.random.default_rng([seed, CODES[name]]).random(len(pts_s)) >= strength
    arrived[0] = True
    return np.maximum.accumulate(np.where(arrived, np.arange(len(pts_s)), 0))[indices]


def corrupted(frames: np.ndarray, numbers: np.ndarray, corrupt: str, seed: int) -> np.ndarray:
    """Frames made worse; those of ``lost_frames`` are returned as they are.

    Args:
        frames: uint8, shape (M, H, W, 3), resized; for ``CODED`` ones without a gap.
        numbers: int64, shape (M,): their places in the video, rising.
        corrupt: ``NAME:SEVERITY``.
        seed: of the video.

    Returns:
        uint8, same shape.

    Raises:
        UnreadableVideo: ``decode_error``, where the encoder refuses pictures of this size.
    """
    name, severity = parse_corrupt(corrupt)
    strength = STRENGTHS[name][severity - 1]
    if name in CODED:
        return _recoded(frames, name, strength, [seed, CODES[name]])
    change = FRAME_BY_FRAME.get(name)
    if change is None:
        return frames
    make = change(strength, np.random.default_rng([seed, CODES[name]]))
    streams = (np.random.default_rng([seed, CODES[name], int(number)]) for number in numbers)
    return np.stack([make(frame, stream) for frame, stream in zip(frames, streams, strict=True)])


# ---------------------------------------------------------------- frame by frame


def _as_pixels(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def _noise(deviation: float, _):
    return lambda frame, rng: _as_pixels(frame + 255 * deviation * rng.standard_normal(frame.shape, np.float32))


def _blur(share: float, rng):
    """A straight stroke of the camera, in one direction a video."""
    import cv2

    angle = rng.uniform(0, np.pi)

    def make(frame, _):
        kernel = stroke(share * min(frame.shape[:2]), angle)
        return cv2.filter2D(frame, -1, kernel, borderType=cv2.BORDER_REFLECT)

    return make


def stroke(length: float, angle: float) -> np.ndarray:
    """A line of ``length`` pixels through the middle as weights, float32, square with an odd side; they sum to 1."""
    half = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * half + 1,) * 2, np.float32)
    along = np.linspace(-length / 2, length / 2, 16 * half + 1)
    x, y = half + along * np.cos(angle), half + along * np.sin(angle)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for dx in (0, 1):
        for dy in (0, 1):
            weight = np.abs(1 - dx - (x - left)) * np.abs(1 - dy - (y - top))
            np.add.at(kernel, (top + dy, left + dx), weight)
    return kernel / kernel.sum()


def _dark(share: float, _):
    """Less light, counted in electrons: dark and grainy."""

    def make(frame, rng):
        electrons = rng.poisson((frame / 255.0) ** GAMMA * share * FULL_WELL)
        read = np.maximum(electrons + READ_NOISE * rng.standard_normal(frame.shape, np.float32), 0)
        return _as_pixels(255 * (read / FULL_WELL) ** (1 / GAMMA))

    return make


def _flat(share: float, _):
    return lambda frame, rng: _as_pixels((frame - frame.mean()) * share + frame.mean())


def _coarse(times: float, _):
    import cv2

    def make(frame, _):
        height, width = frame.shape[:2]
        size = max(1, round(width / times)), max(1, round(height / times))
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)

    return make


FRAME_BY_FRAME = {
    "gaussian-noise": _noise,
    "motion-blur": _blur,
    "low-light": _dark,
    "contrast": _flat,
    "resolution": _coarse,
}

# ---------------------------------------------------------------- through an encoder


def _recoded(frames: np.ndarray, name: str, strength: float, seed: list[int]) -> np.ndarray:
    """Frames through H.264 and back, sides rounded up to even numbers on the way."""
    import av

    height, width = frames.shape[1:3]
    even = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    try:
        if name == "h264":
            packets = _encode(even, crf=round(strength))
        else:
            packets = _lose(_encode(even, crf=LOSSY_CRF, lossy=True), strength, np.random.default_rng(seed))
        return _decode(packets, even)[:, :height, :width]
    except av.FFmpegError as problem:
        raise UnreadableVideo("decode_error", f"it cannot be coded again: {printable(problem, 120)}") from None


def _encode(frames: np.ndarray, *, crf: int, lossy: bool = False) -> list[Packet]:
    """Packets of an H.264 stream in the order of decoding."""
    import av

    codec = av.CodecContext.create("libx264", "w")
    codec.height, codec.width = frames.shape[1:3]
    codec.pix_fmt, codec.time_base, codec.framerate = "yuv420p", Fraction(1, LOSSY_RATE), Fraction(LOSSY_RATE)
    codec.options = {"crf": str(crf), "threads": "1", "preset": "veryfast"}
    if lossy:
        more = f"slices={LOSSY_SLICES}:keyint={LOSSY_GOP}:bframes=0:scenecut=0"
        codec.options = {**codec.options, "x264-params": more}
    packets = []
    for number, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame.pts, frame.time_base = number, codec.time_base
        packets += codec.encode(frame)
    packets += codec.encode(None)
    return [(packet.pts, bytes(packet)) for packet in packets]


def _lose(packets: list[Packet], share: float, rng: np.random.Generator) -> list[Packet]:
    """Packets without the slices that never arrive; the first frame and the parameter sets always do."""
    found = []
    for number, content in packets:
        chances = iter(rng.random(64))
        units = [
            unit
            for unit in content.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]
            if not (unit[0] & 31 in (1, 5) and next(chances) < share and number)
        ]
        if units:  # an empty packet would end the stream for the decoder
            found.append((number, b"".join(b"\0\0\0\1" + unit for unit in units)))
    return found


def _decode(packets: list[Packet], like: np.ndarray) -> np.ndarray:
    """Frames out of packets, with what FFmpeg makes of holes; a frame that is not there leaves the one before."""
    import av

    codec = av.CodecContext.create("h264", "r")
    codec.thread_type = "NONE"
    codec.options = {"flags": "+output_corrupt", "ec": "guess_mvs+deblock"}
    found: dict[int | None, np.ndarray] = {}
    for number, content in [*packets, (None, None)]:
        packet = None if content is None else av.Packet(content)
        if packet is not None:
            packet.pts = packet.dts = number
        try:
            arrived = codec.decode(packet)
        except av.InvalidDataError:  # nothing left of this frame
            continue
        for frame in arrived:
            found[frame.pts] = frame.to_ndarray(format="rgb24")
    out, last = np.empty_like(like), like[0]
    for number, target in enumerate(out):
        last = found.get(number, last)
        target[...] = last
    return out
