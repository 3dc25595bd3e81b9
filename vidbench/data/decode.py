"""A video to frames: exact, strict, and only as much decoding as the frames asked for need.

Frame ``i`` is the ``i``-th picture that a full decode of the file gives, in display order. Nothing is taken from
the header on trust: frames are counted, time stamps are those of the pictures, and damage is reported.

Pixels are what PyAV's ``frame.to_ndarray(format="rgb24")`` gives: swscale's conversion with the matrix and the range
that the stream is tagged with (BT.601 limited range where it says nothing), 8 bits, no tone mapping, alpha dropped.
They are then turned upright by the display matrix, mirroring included. The sample aspect ratio is not applied:
the coded size is what networks were trained on.

A video may also be a folder of numbered pictures (``vidbench.data.pictures``), which any of the decoders' names reads
with Pillow. It has 25 pictures a second unless a ``frame_rate.txt`` says otherwise.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata, util
from typing import TypeVar

import av
import numpy as np

from vidbench.data.foreign import DecordVideo, OpenCVVideo, TorchCodecVideo
from vidbench.data.packets import pick_stream
from vidbench.data.pictures import PictureVideo
from vidbench.data.strict import Orientation, PyAVVideo, open_container
from vidbench.data.video import (
    Clock,
    Indices,
    Limits,
    Video,
    VideoTable,
    as_unreadable,
    check_file,
    check_pixels,
)
from vidbench.records import DECODER_MODULES, DECODER_PACKAGES, DECODERS, Clip, ConfigError, UnreadableVideo, VideoInfo
from vidbench.utils import nearest_hint, printable

__all__ = [
    "DECODERS",
    "Indices",
    "Limits",
    "PacketTable",
    "Video",
    "VideoHeader",
    "VideoTable",
    "check_file",
    "decoder_version",
    "open_file",
    "open_video",
    "packet_table",
    "probe",
    "read_clip",
    "read_header",
]

_VIDEOS = {"pyav": PyAVVideo, "opencv": OpenCVVideo, "torchcodec": TorchCodecVideo, "decord": DecordVideo}

PICTURE_TYPES = {1: "I", 2: "P", 3: "B"}  # FFmpeg's AVPictureType; what else there is belongs to old codecs


def probe(path: str | os.PathLike, *, decoder: str = "pyav", limits: Limits | None = None) -> VideoInfo:
    """Count a video's frames and read its size and times, decoding as little as that needs.

    Raises:
        UnreadableVideo: the file gives no usable frame; its ``status`` says why.
        ConfigError: the decoder is unknown or not installed.
    """
    with open_video(path, decoder=decoder, limits=limits) as video:
        return video.info


def read_clip(
    path: str | os.PathLike,
    indices: Indices,
    *,
    size: tuple[int, int] | None = None,
    decoder: str = "pyav",
    limits: Limits | None = None,
) -> Clip:
    """Read the frames at ``indices``, the same pictures that a full decode gives there.

    Args:
        path: a video file; a relative path means the file of that name, whatever characters are in it.
        indices: positions in display order from 0, in any order, repeats allowed; or a function that is given
            the ``VideoTable`` and returns them.
        size: ``(height, width)`` to scale to with OpenCV's bilinear rule; ``None`` keeps the picture's own.
        decoder: one of ``DECODERS``.
        limits: what the video may cost; ``Limits()`` where ``None``.

    Returns:
        A clip with frames uint8 (T, H, W, 3), RGB. Its status is ``partial`` where the file is damaged or cut short.

    Raises:
        UnreadableVideo: the file gives no usable frame; its ``status`` says why.
        ValueError: an index is outside the video.
        ConfigError: the decoder is unknown or not installed.
    """
    with open_video(path, decoder=decoder, limits=limits) as video:
        return video.read(indices, size=size)


@dataclass(frozen=True, slots=True)
class VideoHeader:
    """What a file says of its video before any picture is counted; it may be wrong, see ``VideoInfo``.

    Args:
        num_frames: pictures promised, 0 where the file does not say.
        frame_rate: frames per second, 0 where the file does not say.
        duration_s: seconds, 0 where the file does not say.
        width: pixels, upright.
        height: pixels, upright.
        codec: FFmpeg's name of the codec.
    """

    num_frames: int
    frame_rate: float
    duration_s: float
    width: int
    height: int
    codec: str


def read_header(path: str | os.PathLike, *, limits: Limits | None = None) -> VideoHeader:
    """Read a video's header, and its first picture where the container can turn pictures; 0.3 to 5 ms.

    Raises:
        UnreadableVideo: the file has no header, or no video; its ``status`` says why.
    """
    limits = limits or Limits()
    if os.path.isdir(path):
        with open_video(path, limits=limits) as video:
            info = video.info
        return VideoHeader(info.num_frames, info.frame_rate, info.duration_s, info.width, info.height, info.codec)
    check_file(path)
    with as_unreadable():
        clock = Clock(limits)
        with open_container(os.path.abspath(os.fspath(path)), limits, clock) as container:
            stream = pick_stream(container)
            codec = stream.codec_context
            check_pixels(codec.width, codec.height, limits)
            width, height = codec.width, codec.height
            if container.format.name.startswith(("mov,", "matroska,")) and _lies_on_its_side(container, stream):
                width, height = height, width
            duration = (stream.duration or 0) * (stream.time_base or 0) or (container.duration or 0) / av.time_base
            rate = float(stream.average_rate or 0)
            name = codec.codec.canonical_name
            return VideoHeader(max(0, stream.frames), rate, max(0.0, float(duration)), width, height, name)


def _lies_on_its_side(container, stream) -> bool:
    """Whether the first picture is to be turned by a quarter; one that cannot be decoded is not."""
    stream.codec_context.thread_type = "NONE"
    with contextlib.suppress(av.error.FFmpegError, UnicodeError):
        for frame in container.decode(stream):
            return Orientation.of(frame).swaps
    return False


@dataclass(frozen=True, slots=True, eq=False)
class PacketTable:
    """The packets of a video in the order in which the file holds them, which is the order of decoding.

    Args:
        picture_types: one letter a packet: ``I``, ``P``, ``B``, or ``?`` where no picture came of it or none can be
            told apart by its time stamp.
        pts_s: float64, shape (N,), seconds at which the picture is shown, from the first one shown; NaN where the
            packet does not say.
        dts_s: float64, shape (N,), seconds at which it is to be decoded, on the same clock.
        sizes: int64, shape (N,), bytes.
        keys: bool, shape (N,): marked as a key frame by the container.
    """

    picture_types: str
    pts_s: np.ndarray
    dts_s: np.ndarray
    sizes: np.ndarray
    keys: np.ndarray


def packet_table(path: str | os.PathLike, *, limits: Limits | None = None) -> PacketTable:
    """What each packet of a video is; decodes the whole file once, because only pictures know their type.

    Raises:
        UnreadableVideo: the file gives no usable frame; its ``status`` says why.
    """
    check_file(path)
    with open_file(path, limits=limits) as video, as_unreadable():
        types: dict = {}
        for frame in video.all_frames():
            types[frame.pts] = "?" if frame.pts in types else PICTURE_TYPES.get(int(frame.pict_type), "?")
        with video.fresh() as (_, stream_packets):
            packets = [packet for packet in stream_packets if packet is not None and packet.size]
        first = min((stamp for stamp in types if stamp is not None), default=0)
        tick = float(video.stream.time_base or 0)

    def seconds(stamps: Iterator) -> np.ndarray:
        return np.array([np.nan if stamp is None else (stamp - first) * tick for stamp in stamps], np.float64)

    return PacketTable(
        picture_types="".join(types.get(packet.pts, "?") for packet in packets),
        pts_s=seconds(packet.pts for packet in packets),
        dts_s=seconds(packet.dts for packet in packets),
        sizes=np.array([packet.size for packet in packets], np.int64),
        keys=np.array([packet.is_keyframe for packet in packets], bool),
    )


AnyVideo = TypeVar("AnyVideo", bound=Video)


def open_video(
    path: str | os.PathLike, *, decoder: str = "pyav", limits: Limits | None = None
) -> contextlib.AbstractContextManager[Video]:
    """Open a video for several reads; ``with open_video(path) as video: video.read([0, 5])``."""
    if decoder not in DECODERS:
        raise ConfigError(f"unknown decoder {decoder!r}.{nearest_hint(decoder, DECODERS)}")
    _need(decoder)
    return _opened(PictureVideo if os.path.isdir(path) else _VIDEOS[decoder], path, limits)


def open_file(path: str | os.PathLike, *, limits: Limits | None = None) -> contextlib.AbstractContextManager[PyAVVideo]:
    """A video file as ``open_video`` opens it with PyAV, for what only that decoder knows."""
    return _opened(PyAVVideo, path, limits)


@contextlib.contextmanager
def _opened(
    kind: Callable[[str | os.PathLike, Limits], AnyVideo], path: str | os.PathLike, limits: Limits | None
) -> Iterator[AnyVideo]:
    with _naming(path):
        with as_unreadable():
            video = kind(path, limits or Limits())
        try:
            yield video
        finally:
            video.close()


@functools.cache  # asked for every video, and looked up on the disk
def decoder_version(name: str) -> str:
    """The installed version of a decoder with the FFmpeg it carries, for keys and manifests.

    >>> decoder_version("pyav").startswith("av ")
    True
    """
    if name not in DECODERS:
        raise ConfigError(f"unknown decoder {name!r}.{nearest_hint(name, DECODERS)}")
    _need(name)
    version = f"{DECODER_PACKAGES[name]} {metadata.version(DECODER_PACKAGES[name])}"
    if name == "pyav":
        version += " libavcodec " + ".".join(map(str, av.library_versions["libavcodec"]))
    return version


def _need(decoder: str) -> None:
    if util.find_spec(DECODER_MODULES[decoder]) is None:
        raise ConfigError(
            f"the decoder {decoder!r} needs the package {DECODER_PACKAGES[decoder]}, which is not installed; "
            f"run `pip install {DECODER_PACKAGES[decoder]}` or use decoder='pyav'"
        )


@contextlib.contextmanager
def _naming(path: str | os.PathLike):
    """Note the file on an ``UnreadableVideo`` that carries no note yet; its reason leaves the path out."""
    try:
        yield
    except UnreadableVideo as problem:
        if not getattr(problem, "__notes__", None):
            problem.add_note(printable(os.fspath(path), 200))
        raise
