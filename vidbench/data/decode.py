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

import bisect
import contextlib
import itertools
import os
import stat
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata, util

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from vidbench.data.pictures import frame_rate, read_series
from vidbench.records import Clip, ConfigError, UnreadableVideo, VideoInfo
from vidbench.utils import nearest_hint, printable

DECODERS = ("pyav", "opencv", "torchcodec", "decord")
PACKAGES = {"pyav": "av", "opencv": "opencv-python", "torchcodec": "torchcodec", "decord": "decord"}

# Containers that hold pictures themselves. Playlists (concat, hls, dash, sdp, image2) name other files: left out.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,asf,gif,apng,ogg,"
    "h264,hevc,m4v,mjpeg,ivf,obu,av1,nut,mxf,dv,rm,vc1"
)

# Codecs whose pictures come one a packet in MP4 and Matroska.
ONE_PICTURE_A_PACKET = {"h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4", "mjpeg", "prores", "ffv1", "png"}

PICTURE_TYPES = {1: "I", 2: "P", 3: "B"}  # FFmpeg's AVPictureType; what else there is belongs to old codecs

PACKET_BUDGET = 64 * 2**20  # bytes of compressed packets kept between the two passes
FRAME_BUDGET = 192 * 2**20  # bytes of decoded pictures kept while counting
LONGEST_FRAME_S = 60  # seconds; time stamps further apart than this on average are no times
DEFAULT_RATE = 25.0  # frames per second where neither time stamps nor header give one


@dataclass(frozen=True)
class Limits:
    """What one video may cost.

    Args:
        seconds: wall time from opening to the last frame. In-process it is looked at between packets;
            ``vidbench.data.load`` enforces it on its workers.
        megabytes: bytes of the frames asked for, and the memory of a worker process, in MiB.
        max_pixels: of one picture, width times height, refused before memory is taken for it.
        max_frames: pictures in one video.
    """

    seconds: float = 60.0
    megabytes: int = 2048
    max_pixels: int = 8192 * 8192
    max_frames: int = 200_000

    def __post_init__(self):
        for name in ("seconds", "megabytes", "max_pixels", "max_frames"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"the limit {name} must be above 0, got {getattr(self, name)!r}")


@dataclass(frozen=True, slots=True, eq=False)
class VideoTable:
    """When the pictures of a video are shown: what a sampler needs, known before any is decoded.

    Args:
        pts_s: float64, shape (N,), seconds from the first picture, non-decreasing. Where the file gives no
            usable time stamps (none, or running backwards) they are spaced evenly at its average rate.
        frame_rate: frames per second, above 0; see ``VideoInfo.frame_rate``.
    """

    pts_s: np.ndarray
    frame_rate: float

    @property
    def num_frames(self) -> int:
        """N."""
        return len(self.pts_s)


Indices = Sequence[int] | np.ndarray | Callable[[VideoTable], Sequence[int]]


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
    with _as_unreadable():
        clock = _Clock(limits)
        with _open_container(os.path.abspath(os.fspath(path)), _most_pixels(limits), clock) as container:
            stream = _pick_stream(container)
            codec = stream.codec_context
            _check_pixels(codec.width, codec.height, limits)
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
            return _Orientation.of(frame).swaps
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
    with open_video(path, limits=limits) as video, _as_unreadable():
        types: dict = {}
        for frame in video._all_frames():
            types[frame.pts] = "?" if frame.pts in types else PICTURE_TYPES.get(int(frame.pict_type), "?")
        with video._fresh() as (_, stream_packets):
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


@contextlib.contextmanager
def open_video(path: str | os.PathLike, *, decoder: str = "pyav", limits: Limits | None = None) -> Iterator[Video]:
    """Open a video for several reads; ``with open_video(path) as video: video.read([0, 5])``."""
    if decoder not in DECODERS:
        raise ConfigError(f"unknown decoder {decoder!r}.{nearest_hint(decoder, DECODERS)}")
    limits = limits or Limits()
    _need(decoder)
    with _naming(path):
        with _as_unreadable():
            video = (_PictureVideo if os.path.isdir(path) else _VIDEOS[decoder])(path, limits)
        try:
            yield video
        finally:
            video.close()


def decoder_version(name: str) -> str:
    """The installed version of a decoder with the FFmpeg it carries, for keys and manifests.

    >>> decoder_version("pyav").startswith("av ")
    True
    """
    if name not in DECODERS:
        raise ConfigError(f"unknown decoder {name!r}.{nearest_hint(name, DECODERS)}")
    _need(name)
    version = f"{PACKAGES[name]} {metadata.version(PACKAGES[name])}"
    if name == "pyav":
        version += " libavcodec " + ".".join(map(str, av.library_versions["libavcodec"]))
    return version


def _need(decoder: str) -> None:
    module = {"pyav": "av", "opencv": "cv2"}.get(decoder, decoder)
    if util.find_spec(module) is None:
        raise ConfigError(
            f"the decoder {decoder!r} needs the package {PACKAGES[decoder]}, which is not installed; "
            f"run `pip install {PACKAGES[decoder]}` or use decoder='pyav'"
        )


# ---------------------------------------------------------------- what is wrong with a file


def check_file(path: str | os.PathLike) -> int:
    """The size in bytes of a regular file that is not empty; raises ``UnreadableVideo``. Opens nothing."""
    try:
        facts = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path):
            raise UnreadableVideo("not_regular", "a symbolic link to a file that does not exist") from None
        raise UnreadableVideo("missing", "no such file") from None
    except PermissionError:
        raise UnreadableVideo("missing", "no permission to look into its folder") from None
    except (OSError, ValueError) as problem:
        text = getattr(problem, "strerror", None) or str(problem)
        status = "not_regular" if os.path.islink(os.fsencode(path).replace(b"\0", b"")) else "missing"
        raise UnreadableVideo(status, f"cannot be looked up: {printable(text)}") from None
    if not stat.S_ISREG(facts.st_mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
        kind = kinds.get(stat.S_IFMT(facts.st_mode), "a device")
        raise UnreadableVideo("not_regular", f"{kind}, not a file")
    if facts.st_size == 0:
        raise UnreadableVideo("empty", "the file has 0 bytes")
    return facts.st_size


@contextlib.contextmanager
def _naming(path: str | os.PathLike):
    """Note the file on an ``UnreadableVideo`` that carries no note yet; its reason leaves the path out."""
    try:
        yield
    except UnreadableVideo as problem:
        if not getattr(problem, "__notes__", None):
            problem.add_note(printable(os.fspath(path), 200))
        raise


@contextlib.contextmanager
def _as_unreadable(status: str = "decode_error"):
    """Whatever a decoder raises about a file becomes ``UnreadableVideo``; our own mistakes in arguments pass."""
    try:
        yield
    except (UnreadableVideo, ConfigError):
        raise
    except MemoryError:
        raise UnreadableVideo("memory", "decoding needs more memory than there is") from None
    except Exception as problem:
        raise UnreadableVideo(status, _words(problem)) from None


def _words(problem: BaseException) -> str:
    text = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
    return f"the decoder says: {printable(text, 120)}"


class _Clock:
    """The time that opening a video and reading from it for the first time may take together, and each later read."""

    def __init__(self, limits: Limits):
        self.seconds, self.end, self.rests = limits.seconds, time.monotonic() + limits.seconds, False

    def go_on(self) -> None:
        if self.rests:
            self.end, self.rests = time.monotonic() + self.seconds, False

    def rest(self) -> None:
        self.rests = True

    def check(self) -> None:
        if time.monotonic() > self.end:
            raise UnreadableVideo("timeout", f"not read within the limit of {self.seconds:g} s")

    @property
    def left(self) -> float:
        return max(0.1, self.end - time.monotonic())


class _Mistrust(Exception):
    """The sparse way met something it was not made for; the frames are counted by a full decode instead."""


# ---------------------------------------------------------------- what all decoders share


class Video:
    """An open video: ``info``, ``pts_s``, ``table`` and ``read``; made by ``open_video``."""

    def __init__(self, path: str | os.PathLike, limits: Limits):
        self.path, self.limits, self.clock = os.path.abspath(os.fspath(path)), limits, _Clock(limits)
        self.file_size = check_file(path)
        self.reason = ""
        self.table: VideoTable

    @property
    def info(self) -> VideoInfo:
        """Count, rate, size and codec of the pictures; decodes only where packets do not tell."""
        raise NotImplementedError

    @property
    def pts_s(self) -> np.ndarray:
        """float64, shape (N,), when each picture is shown; see ``VideoTable``."""
        return self.table.pts_s

    @property
    def status(self) -> str:
        """``ok``, or ``partial`` where ``reason`` says that the file is damaged or cut short."""
        return "partial" if self.reason else "ok"

    def close(self) -> None:
        """Give back the file."""

    def read(self, indices: Indices, size: tuple[int, int] | None = None) -> Clip:
        """The frames at ``indices``; see ``read_clip``."""
        self.clock.go_on()
        try:
            return self._read(indices, size)
        finally:
            self.clock.rest()

    def _read(self, indices: Indices, size: tuple[int, int] | None) -> Clip:
        chosen = self._choose(indices)
        with _as_unreadable():
            frames = self._decode(np.unique(chosen))
        if frames is None:  # damage was met, and the pictures counted anew
            try:
                chosen = self._choose(indices)
            except ValueError as problem:
                raise UnreadableVideo("decode_error", f"some pictures cannot be decoded: {problem}") from None
            with _as_unreadable():
                frames = self._decode(np.unique(chosen))
        positions, inverse = np.unique(chosen, return_inverse=True)
        if not np.array_equal(positions, chosen):
            frames = frames[inverse]
        if size is not None:
            frames = _scaled(frames, size)
        return Clip(frames, chosen, self.pts_s[chosen], self.info, self.status, self.reason)

    def _decode(self, wanted: np.ndarray) -> np.ndarray | None:
        """The pictures at ``wanted`` (rising, no repeats), or ``None`` when the table had to be made anew."""
        raise NotImplementedError

    def _choose(self, indices: Indices) -> np.ndarray:
        chosen = np.asarray(indices(self.table) if callable(indices) else indices)
        if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
            raise ValueError(f"indices must be whole numbers in one row, got {chosen.dtype} {chosen.shape}")
        chosen, num_frames = chosen.astype(np.int64), self.table.num_frames
        if chosen.size and not (chosen.min() >= 0 and chosen.max() < num_frames):
            raise ValueError(f"frames {chosen.min()} to {chosen.max()} were asked of a video of {num_frames} frames")
        return chosen

    def _room_for(self, num_frames: int, height: int, width: int) -> np.ndarray:
        _check_pixels(width, height, self.limits)
        megabytes = num_frames * height * width * 3 / 2**20
        if megabytes > self.limits.megabytes:
            raise UnreadableVideo(
                "too_large",
                f"the {num_frames} frames asked for take {megabytes:.0f} MB, over the limit of {self.limits.megabytes}",
            )
        return np.empty((num_frames, height, width, 3), np.uint8)


def _scaled(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import cv2

    height, width = size
    scaled = np.empty((len(frames), height, width, 3), np.uint8)
    for frame, target in zip(frames, scaled, strict=True):
        target[:] = cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
    return scaled


def _table(pts: Sequence[int | None], time_base, average_rate) -> VideoTable:
    """The table of pictures in display order from their time stamps in ticks of ``time_base`` seconds."""
    rate = float(average_rate) if average_rate else 0.0
    if not 1 / LONGEST_FRAME_S <= rate <= 1e5:
        rate = DEFAULT_RATE
    count, ticks = len(pts), time_base or 0
    usable = bool(count and ticks) and all(stamp is not None for stamp in pts)
    if usable:
        usable = all(a <= b for a, b in itertools.pairwise(pts))
        usable = usable and (count == 1 or 0 < (pts[-1] - pts[0]) * ticks <= LONGEST_FRAME_S * count)
    if not usable:
        return VideoTable(np.arange(count) / rate, rate)
    seconds = np.array([(stamp - pts[0]) * ticks.numerator / ticks.denominator for stamp in pts], np.float64)
    if count > 1:
        rate = (count - 1) / float(seconds[-1])
    return VideoTable(seconds, rate)


# ---------------------------------------------------------------- PyAV


class _PyAVVideo(Video):
    """The strict reader.

    Opening demultiplexes the whole file once, which costs a few milliseconds and gives every time stamp. Where
    container and codec promise one picture a packet, frames are then read the sparse way (``_read_sparse``);
    everywhere else, and wherever the sparse way meets damage, all pictures are decoded and counted (``_count``).
    """

    def __init__(self, path: str | os.PathLike, limits: Limits):
        super().__init__(path, limits)
        self.reformatter = VideoReformatter()
        self.turn = None  # the first picture's (width, height, orientation)
        self.kept: list | None = None
        self.counted = self.ignores_edits = False
        self.container = None
        try:
            self._look()
        except BaseException:
            self.close()
            raise

    def _look(self) -> None:
        """What the file holds, without decoding where that can be avoided."""
        self._index()
        listed = self.stream.frames if self.container.format.name.startswith("mov,") else 0
        missing = listed - len(self.packets) if listed else 0
        if missing > 0 or (listed and not self.packets.has_usable_times(self.stream.time_base)):
            missing = self._without_edits()
        self.name = self.stream.codec_context.codec.name
        self.order = _display_order(self.container.format.name, self.name, self.stream, self.packets)
        self.reason = _cut_short(self.path, self.file_size, self.container.format.name, self.packets)
        if missing > 0 and not self.reason:
            self.reason = f"its index lists {listed} pictures, {listed - missing} are there"
        if self.order is None or self.reason:
            self._count()
        else:
            self.starts = _start_points(self.name, str(self.codec.codec_tag), self.packets)
            self._set_table([self.packets.pts[k] for k in self.order], self.packets.durations[self.order[-1]])

    def decode_all(self) -> None:
        """Decode every picture once, so that damage anywhere in the file shows in ``status`` and ``reason``.

        Raises:
            UnreadableVideo: as ``open_video``; the time limit holds for this call anew.
        """
        self.clock.go_on()
        try:
            if not self.counted:
                with _as_unreadable():
                    self._count()
        finally:
            self.clock.rest()

    def close(self) -> None:
        self.kept = None
        self.packets = None
        if self.container is not None:
            self.container.close()

    @property
    def info(self) -> VideoInfo:
        if self.turn is None:
            with _as_unreadable():
                self._decode(np.zeros(1, np.int64))
        width, height, orientation = self.turn
        if orientation.swaps:
            width, height = height, width
        return VideoInfo(
            num_frames=self.table.num_frames,
            frame_rate=self.table.frame_rate,
            duration_s=float(self.table.pts_s[-1]) + self.last_s,
            width=width,
            height=height,
            codec=self.codec.codec.canonical_name,
            rotation=orientation.degrees,
            header_frames=max(0, self.stream.frames),
        )

    # ---- opening

    def _index(self) -> None:
        if self.container is not None:
            self.container.close()
        self.container = self._open()
        self.stream = _pick_stream(self.container)
        self.codec = self._codec(self.stream)
        self.packets = _Packets.of(self.container, self.stream, self.limits, self.clock)

    def _without_edits(self) -> int:
        """Look at an MP4 file without its edit list, which says what part of it is shown; returns how many pictures
        are missing even so.

        The edit list is followed, as players do, and may leave packets out. It goes by time, so where time stamps
        repeat or are absurd it would leave out pictures at random: there it is ignored.
        """
        believable = self.packets.has_usable_times(self.stream.time_base)
        self.ignores_edits = True
        self._index()
        missing = self.stream.frames - len(self.packets)
        if believable:
            self.ignores_edits = False
            self._index()
        return missing

    def _open(self):
        return _open_container(self.path, self._most_pixels, self.clock, self.ignores_edits)

    def _codec(self, stream):
        codec = stream.codec_context
        codec.thread_type = "NONE"
        codec.thread_count = 1
        codec.options = {"max_pixels": self._most_pixels}
        return codec

    @property
    def _most_pixels(self) -> str:
        return _most_pixels(self.limits)

    def _set_table(self, pts: list, last_duration: int | None) -> None:
        self.table = _table(pts, self.stream.time_base, self.stream.average_rate)
        self.last_s = 1 / self.table.frame_rate
        if last_duration and 0 < last_duration * (self.stream.time_base or 0) <= LONGEST_FRAME_S:
            self.last_s = float(last_duration * self.stream.time_base)

    # ---- reading

    def _decode(self, wanted: np.ndarray) -> np.ndarray | None:
        if self.counted:
            return self._read_counted(wanted)
        try:
            return self._read_sparse(wanted)
        except (_Mistrust, av.error.FFmpegError):
            self._count()
            return None

    def _read_sparse(self, wanted: np.ndarray) -> np.ndarray:
        """Decode from the last safe key frame before each wanted picture, leaving out what nothing refers to.

        Pictures that are not wanted and that no other picture refers to are skipped inside the decoder; groups of
        pictures without a wanted one are not decoded at all; only wanted pictures are converted.
        """
        sink = _Sink(self, len(wanted))
        by_stamp = {self.packets.pts[self.order[i]]: place for place, i in enumerate(wanted)}
        with _Reread(self) as again:
            self._follow(wanted, by_stamp, sink, again if self.packets.kept is None else self.packets.kept)
        if by_stamp:
            raise _Mistrust("a wanted picture did not come out")
        return sink.frames

    def _follow(self, wanted: np.ndarray, by_stamp: dict, sink: _Sink, packets) -> None:
        skippable = _skippable(self.name, self.packets)
        for start, targets in _runs(self.starts, [self.order[i] for i in wanted], self.packets.pts):
            for k in range(start, max(targets) + 1):
                if k not in targets and skippable is not None and skippable[k]:
                    continue
                self.clock.check()
                if skippable is None:
                    self.codec.skip_frame = "DEFAULT" if k in targets else "NONREF"
                self._take(packets[k], by_stamp, sink)
            self._take(None, by_stamp, sink)
            self.codec.flush_buffers()

    def _take(self, packet, by_stamp: dict, sink: _Sink) -> None:
        for frame in self.codec.decode(packet):
            if frame.is_corrupt or frame.interlaced_frame:
                raise _Mistrust("damage, or fields that may come one a packet")
            self._see(frame)
            place = by_stamp.pop(frame.pts, None)
            if place is not None:
                sink.put(place, frame)

    def _read_counted(self, wanted: np.ndarray) -> np.ndarray:
        sink = _Sink(self, len(wanted))
        places = {int(i): place for place, i in enumerate(wanted)}
        frames = self.kept if self.kept is not None else self._all_frames()
        for number, frame in enumerate(frames):
            place = places.pop(number, None)
            if place is not None:
                sink.put(place, frame)
            if not places:
                break
        if places:
            raise UnreadableVideo("decode_error", "a second decode gave fewer frames than the first")
        return sink.frames

    def _count(self) -> None:
        """Decode everything once: the number of pictures, their time stamps, and whether any is damaged."""
        self.counted, self.kept, stamps, room, damaged, last = True, [], [], FRAME_BUDGET, 0, None
        self.errors = 0
        for frame in self._all_frames():
            stamps.append(frame.pts)
            damaged += frame.is_corrupt
            last = frame.duration
            if len(stamps) > self.limits.max_frames:
                raise UnreadableVideo("too_large", f"more than the limit of {self.limits.max_frames} frames")
            if self.kept is not None:
                self.kept.append(frame)
                room -= sum(plane.buffer_size for plane in frame.planes)
                self.kept = self.kept if room > 0 else None
        if not stamps:
            _check_claims(self.codec, self.packets, self.limits)
            if self.errors or self.reason:
                raise UnreadableVideo("decode_error", self.reason or "the decoder refuses every packet")
            raise UnreadableVideo("no_frames", "no picture could be decoded")
        self.reason = self.reason or self._damage(len(stamps), damaged)
        self._set_table(stamps, last)

    def _damage(self, num_frames: int, damaged: int) -> str:
        if damaged or self.errors:
            return f"{damaged} of {num_frames} pictures damaged, {self.errors} packets refused"
        if self.order is not None and num_frames < len(self.order):
            return f"{num_frames} pictures from {len(self.order)} packets"
        return ""

    def _all_frames(self) -> Iterator:
        """Every picture of the file in display order, from a fresh decoder; damage is counted in ``errors``."""
        with self._fresh() as (codec, packets):
            self.errors = 0
            for packet in packets:
                self.clock.check()
                try:
                    frames = codec.decode(packet)
                except MemoryError:
                    raise
                except (av.error.FFmpegError, UnicodeError) as problem:
                    if isinstance(problem, av.error.EOFError):
                        break
                    self.errors += 1
                    continue
                for frame in frames:
                    self._see(frame)
                    yield frame

    @contextlib.contextmanager
    def _fresh(self):
        """A decoder that has seen nothing yet, with all packets and the end mark."""
        container = self._open()
        try:
            stream = _pick_stream(container)
            codec = self._codec(stream)
            packets = _demux(container, stream)
            yield codec, packets
        finally:
            container.close()

    def _see(self, frame) -> None:
        if self.turn is None:
            _check_pixels(frame.width, frame.height, self.limits)
            self.turn = frame.width, frame.height, _Orientation.of(frame)
        elif (frame.width, frame.height) != self.turn[:2]:
            was, now = f"{self.turn[0]}x{self.turn[1]}", f"{frame.width}x{frame.height}"
            raise UnreadableVideo("size_changed", f"the picture size changes from {was} to {now}")


def _open_container(path: str, most_pixels: str, clock: _Clock, ignores_edits: bool = False):
    options = {
        "format_whitelist": FORMATS,
        "protocol_whitelist": "file",
        "max_pixels": most_pixels,
        "threads": "1",
        "ignore_editlist": str(int(ignores_edits)),
    }
    try:
        return av.open("file:" + path, metadata_errors="ignore", timeout=clock.left, options=options)
    except PermissionError:
        raise UnreadableVideo("missing", "no permission to read it") from None
    except MemoryError:
        raise
    except Exception as problem:
        clock.check()
        raise UnreadableVideo("not_media", _words(problem)) from None


def _most_pixels(limits: Limits) -> str:
    """For FFmpeg, which counts the rows as padded in memory; ``_PyAVVideo._see`` keeps the limit itself."""
    return str(min(2 * limits.max_pixels + 2**16, 2**31 - 1))


def _check_claims(codec, packets: _Packets, limits: Limits) -> None:
    """Say so where pictures were refused for their size, told by the header or, in Motion JPEG, by themselves."""
    sizes = [(codec.width, codec.height)]
    for content in packets.content if codec.name == "mjpeg" else ():
        place = content.find(b"\xff\xc0")  # a start-of-frame marker: length, precision, height, width
        sizes.append(struct.unpack(">HH", content[place + 5 : place + 9].ljust(4, b"\0"))[::-1])
    for width, height in sizes:
        _check_pixels(width, height, limits)


def _check_pixels(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        raise UnreadableVideo(
            "too_large", f"pictures of {width}x{height} are over the limit of {limits.max_pixels} pixels"
        )


class _Sink:
    """Takes wanted pictures, converts them to RGB and turns them upright, into one array."""

    def __init__(self, video: _PyAVVideo, num_frames: int):
        self.video, self.num_frames, self.frames = video, num_frames, None
        if num_frames == 0:
            width, height = video.codec.width, video.codec.height
            self.frames = np.empty((0, height, width, 3), np.uint8)

    def put(self, place: int, frame) -> None:
        width, height, orientation = self.video.turn
        if self.frames is None:
            shape = (width, height) if orientation.swaps else (height, width)
            self.frames = self.video._room_for(self.num_frames, *shape)
        rgb = self.video.reformatter.reformat(frame, format="rgb24", threads=1)
        plane = rgb.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height, : width * 3]
        self.frames[place] = orientation.apply(rows.reshape(height, width, 3))


@dataclass(frozen=True, slots=True)
class _Orientation:
    """How the display matrix turns a picture: its right angles, mirroring included; other parts are left out.

    Args:
        degrees: clockwise, 0, 90, 180 or 270, after mirroring.
        mirrored: left and right are exchanged first.
    """

    degrees: int = 0
    mirrored: bool = False

    @classmethod
    def of(cls, frame) -> _Orientation:
        try:
            matrix = struct.unpack("=9i", bytes(frame.side_data["DISPLAYMATRIX"])[:36])
        except (KeyError, struct.error):
            return cls()
        a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
        if abs(a) + abs(d) >= abs(b) + abs(c):
            a, b, c, d = (-1 if a < 0 else 1), 0, 0, (-1 if d < 0 else 1)
        else:
            a, b, c, d = 0, (-1 if b < 0 else 1), (-1 if c < 0 else 1), 0
        mirrored = a * d - b * c < 0
        if mirrored:
            a, b = -a, -b
        return cls({(1, 0): 0, (0, 1): 90, (-1, 0): 180, (0, -1): 270}[a, b], mirrored)

    @property
    def swaps(self) -> bool:
        return self.degrees in (90, 270)

    def apply(self, picture: np.ndarray) -> np.ndarray:
        if self.mirrored:
            picture = picture[:, ::-1]
        return np.rot90(picture, -(self.degrees // 90)) if self.degrees else picture


# ---------------------------------------------------------------- packets


def _pick_stream(container):
    """The first video stream that is not an attached picture (cover art)."""
    if not container.streams:
        raise UnreadableVideo("not_media", "a container without any stream")
    for stream in container.streams.video:
        if stream.codec_context is None or "attached_pic" in str(stream.disposition).lower():
            continue
        for other in container.streams:
            if other.index != stream.index:
                other.discard = av.stream.Discard.all
        return stream
    raise UnreadableVideo("no_video_stream", "there are no moving pictures in it, or their codec is unknown")


def _demux(container, stream) -> Iterator:
    """Packets of one stream; an error of the container ends them, the end mark is ``None``."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except MemoryError:
            raise
        except (av.error.FFmpegError, UnicodeError):
            yield None
            return
        yield packet if packet.size or packet.pts is not None or packet.dts is not None else None


class _Packets:
    """What one pass over the container tells, and the packets themselves while they are small."""

    def __init__(self):
        self.pts, self.keys, self.dropped, self.sizes, self.durations = [], [], [], [], []
        self.corrupt = False
        self.kept: list | None = []
        self.slices: list | None = None

    @classmethod
    def of(cls, container, stream, limits: Limits, clock: _Clock) -> _Packets:
        table, room = cls(), PACKET_BUDGET
        for packet in _demux(container, stream):
            clock.check()
            if packet is None:
                break
            if len(table.pts) >= limits.max_frames:
                raise UnreadableVideo("too_large", f"more than the limit of {limits.max_frames} frames")
            table.pts.append(packet.pts)
            table.keys.append(packet.is_keyframe)
            table.dropped.append(packet.is_discard)
            table.sizes.append(packet.size)
            table.durations.append(packet.duration)
            table.corrupt |= packet.is_corrupt
            room -= packet.size
            if room < 0:
                table.kept = None
            elif table.kept is not None:
                table.kept.append(packet)
        return table

    def __len__(self) -> int:
        return len(self.pts)

    def has_usable_times(self, time_base) -> bool:
        """Whether each picture has a time stamp of its own, on average at most ``LONGEST_FRAME_S`` apart."""
        if None in self.pts or len(set(self.pts)) < len(self.pts):
            return False
        if len(self.pts) < 2:
            return True
        return (max(self.pts) - min(self.pts)) * (time_base or 0) <= LONGEST_FRAME_S * (len(self.pts) - 1)

    @property
    def content(self) -> Iterator[bytes]:
        """The packets' bytes, where they were kept."""
        return (bytes(packet) for packet in self.kept or ())


class _Reread:
    """Packets by position, from the file once more, for files whose packets are too large to keep."""

    def __init__(self, video: _PyAVVideo):
        self.video, self.container, self.position = video, None, 0

    def __enter__(self) -> _Reread:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __getitem__(self, k: int):
        if self.container is None or k < self.position:
            self.close()
            self.container = self.video._open()
            self.packets, self.position = _demux(self.container, _pick_stream(self.container)), 0
        for packet in self.packets:
            self.position += 1
            if self.position > k:
                return packet
        raise _Mistrust("the file gave fewer packets the second time")

    def close(self) -> None:
        if self.container is not None:
            self.container.close()


def _display_order(container: str, codec: str, stream, packets: _Packets) -> list[int] | None:
    """Positions of packets in the order in which their pictures are shown, or ``None`` where packets and pictures
    may not go one to one (then only a full decode tells)."""
    if codec not in ONE_PICTURE_A_PACKET or not len(packets) or packets.corrupt:
        return None
    if None in packets.pts or len(set(packets.pts)) < len(packets) or not packets.keys[0] or 0 in packets.sizes:
        return None
    if container == "avi":
        if any(a >= b for a, b in itertools.pairwise(packets.pts)):
            return None
    elif not container.startswith(("mov,", "matroska,")):
        return None
    if min(packets.pts) != packets.pts[0] or not _all_coded(codec, stream.codec_context.extradata, packets):
        return None
    shown = [k for k in range(len(packets)) if not packets.dropped[k]]
    return sorted(shown, key=packets.pts.__getitem__) or None


def _all_coded(codec: str, extradata: bytes | None, packets: _Packets) -> bool:
    """Whether each packet has exactly one picture to show. Not so: damaged units of H.264 and HEVC, packed B-frames
    and "not coded" pictures of MPEG-4, the hidden reference pictures of VP8 and VP9."""
    if codec not in ("h264", "hevc", "mpeg4", "vp8", "vp9"):
        return True
    if packets.kept is None:
        return False
    if codec in ("h264", "hevc"):
        packets.slices = _slices(codec, extradata or b"", packets.content)
        return packets.slices is not None
    test = {"mpeg4": _is_one_vop, "vp8": _vp8_shows, "vp9": _vp9_shows}[codec]
    return all(test(content) for content in packets.content)


@dataclass(frozen=True, slots=True)
class _Slice:
    """What the units of one packet say about its picture.

    Args:
        kind: type of its first slice: ITU-T H.264 table 7-1, H.265 table 7-1.
        layer: temporal layer, 0 in H.264.
        unused: no picture of the same layer refers to it, and the packet holds no parameter sets.
    """

    kind: int
    layer: int
    unused: bool


def _slices(codec: str, extradata: bytes, contents: Iterator[bytes]) -> list[_Slice] | None:
    """The picture of each packet; ``None`` where a packet is not a chain of length-prefixed units with a slice among
    them. Source: ISO/IEC 14496-15."""
    if len(extradata) < (7 if codec == "h264" else 23) or extradata[0] != 1:
        return None
    width = (extradata[4 if codec == "h264" else 21] & 3) + 1
    read = _h264_unit if codec == "h264" else _hevc_unit
    slices = []
    for content in contents:
        found, unused, place = None, True, 0
        while place + width + 1 < len(content):
            head = place + width
            kind, layer, is_slice, needed = read(content[head], content[head + 1])
            if is_slice and found is None:
                found = kind, layer
            unused = unused and not needed
            place = head + int.from_bytes(content[place:head], "big")
        if found is None or place != len(content):
            return None
        slices.append(_Slice(*found, unused))
    return slices


def _h264_unit(first: int, _: int) -> tuple[int, int, bool, bool]:
    """Type, layer, whether a slice, whether others need it."""
    kind = first & 31
    return kind, 0, kind in (1, 2, 5) and first < 128, first & 0x60 != 0 or kind in (7, 8)


def _hevc_unit(first: int, second: int) -> tuple[int, int, bool, bool]:
    """Type, layer, whether a slice, whether others need it: even types below 16 are sub-layer non-reference."""
    kind = first >> 1 & 63
    is_slice = kind < 32 and first < 128
    return kind, (second & 7) - 1, is_slice, kind in (32, 33, 34) or (is_slice and (kind > 14 or kind % 2 == 1))


def _is_one_vop(content: bytes) -> bool:
    """Whether an MPEG-4 packet has one picture that is coded; a skipped one has few bytes and no macroblocks."""
    return len(content) > 16 and content.count(b"\0\0\1\xb6") == 1


def _vp8_shows(content: bytes) -> bool:
    return bool(content[0] & 0x10)


def _vp9_shows(content: bytes) -> bool:
    """``show_frame`` of a lone VP9 frame; a superframe shows its last one. Source: VP9 bitstream specification 6.2."""
    if content[-1] & 0xE0 == 0xC0:
        return True
    bits = f"{int.from_bytes(content[:2], 'big'):016b}"
    place = 5 if bits[2:4] == "11" else 4  # after the frame marker, the profile, and profile 3's reserved bit
    shows_existing, shows = bits[place] == "1", bits[place + 2] == "1"
    return shows_existing or shows


def _start_points(codec: str, codec_tag: str, packets: _Packets) -> list[int]:
    """Packets from which decoding gives the same pictures as from the start, for those shown at or after them.

    Key frames of H.264 count only as IDR: a recovery point may need several pictures before it is clean. Those of HEVC
    count as IDR, CRA and BLA. Both only in streams whose parameter sets are outside the packets (``avc1``, ``hvc1``).
    """
    keys = [k for k, key in enumerate(packets.keys) if key and k]
    if codec in ("h264", "hevc"):
        if codec_tag.strip("\0") in ("avc3", "hev1", "dvhe", "dva1"):
            return [0]
        clean = {5} if codec == "h264" else set(range(16, 22))
        keys = [k for k in keys if packets.slices[k].kind in clean]
    return [0, *keys]


def _skippable(codec: str, packets: _Packets) -> list[bool] | None:
    """Which packets need not be decoded for other pictures; ``None`` leaves that to the decoder (MPEG-4).

    VP9 and AV1 carry probabilities over from any picture, so nothing is left out there. In HEVC a "non-reference"
    picture may still be referred to from a higher temporal layer, so all must be in one layer.
    """
    if codec == "mpeg4":
        return None
    if packets.slices is None or {unit.layer for unit in packets.slices} != {0}:
        return [False] * len(packets)
    return [unit.unused for unit in packets.slices]


def _runs(starts: list[int], targets: list[int], pts: list[int]) -> list[tuple[int, set[int]]]:
    """Wanted packets grouped by where decoding has to start for them: ``(start, {wanted, ...})``, in file order."""
    runs: dict[int, set[int]] = {}
    for k in targets:
        place = bisect.bisect_right(starts, k) - 1
        while place and pts[starts[place]] > pts[k]:
            place -= 1
        runs.setdefault(starts[place], set()).add(k)
    return sorted(runs.items())


# ---------------------------------------------------------------- files that end too early


def _cut_short(path: str, file_size: int, container: str, packets: _Packets) -> str:
    """A sentence when the container itself shows that the file is cut short or damaged, else an empty string.

    Frame counts in headers are no evidence for AVI, where they are wrong in whole data sets (HMDB51).
    """
    if packets.corrupt:
        return "the file ends, or is damaged, within a picture"
    rules = {"mov": _mp4_promises, "matroska": _matroska_promises, "avi": _avi_promises, "mpegts": _ts_promises}
    rule = rules.get(container.split(",")[0])
    with open(path, "rb") as file:
        promised = rule(file, file_size) if rule else 0
    if promised > file_size:
        return f"the file is cut short: {file_size} of at least {promised} bytes"
    return ""


def _mp4_promises(file, file_size: int) -> int:
    """Where the last box of an MP4 file ends."""
    place = 0
    known = (b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"sidx", b"mfra", b"styp", b"uuid", b"wide")
    for _ in range(100_000):
        file.seek(place)
        head = file.read(16)
        if len(head) < 8 or head[4:8] not in known:
            return place
        size = int.from_bytes(head[:4], "big")
        size = int.from_bytes(head[8:16], "big") if size == 1 else size
        if size < 8:
            return place
        place += size
        if place > file_size:
            return place
    return place


def _avi_promises(file, file_size: int) -> int:
    """Where the RIFF lists of an AVI file end; one byte of padding may be missing."""
    place = 0
    while place + 8 < file_size:
        file.seek(place)
        head = file.read(8)
        if head[:4] != b"RIFF":
            break
        size = int.from_bytes(head[4:], "little")
        if size in (0, 0xFFFFFFFF):
            break
        place += 8 + size
    return place - 1 if place == file_size + 1 else place


def _matroska_promises(file, file_size: int) -> int:
    """Where the segment of a Matroska file ends; 0 where it does not say. Source: RFC 8794, section 4."""
    place = 0
    for wanted in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):
        file.seek(place)
        head = file.read(12)
        if len(head) < 12 or head[:4] != wanted or not head[4]:
            return 0
        length = 9 - head[4].bit_length()
        size = int.from_bytes(head[4 : 4 + length], "big") & ((1 << 7 * length) - 1)
        if size == (1 << 7 * length) - 1:
            return 0
        place += 4 + length + size
    return place


def _ts_promises(file, file_size: int) -> int:
    """MPEG-TS comes in packets of 188 bytes."""
    if file.read(1) == b"G" and file_size % 188:
        return file_size + 188 - file_size % 188
    return 0


# ---------------------------------------------------------------- folders of numbered pictures

PICTURE_CODECS = {"JPEG": "mjpeg", "PNG": "png", "WEBP": "webp", "BMP": "bmp"}
PICTURE_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")  # 8 bits a channel, or fewer


class _PictureVideo(Video):
    """A folder of numbered pictures; those that cannot be decoded are left out, and make it ``partial``."""

    def __init__(self, path: str | os.PathLike, limits: Limits):
        self.path, self.limits, self.clock = os.path.abspath(os.fspath(path)), limits, _Clock(limits)
        series = read_series(self.path)
        self.names, self.file_size, self.reason = series.names, series.num_bytes, series.reason
        self.num_listed, self.rate, self.counted = len(series.names), frame_rate(self.path), False
        if self.num_listed > limits.max_frames:
            raise UnreadableVideo("too_large", f"more than the limit of {limits.max_frames} frames")
        self._set_table()
        try:
            self.size, self.codec = self._look(self.names[0])
        except _Damaged:
            self._count()

    def _set_table(self) -> None:
        rate = self.rate or DEFAULT_RATE
        self.table = VideoTable(np.arange(len(self.names)) / rate, rate)

    @property
    def info(self) -> VideoInfo:
        (width, height), count, rate = self.size, len(self.names), self.table.frame_rate
        return VideoInfo(count, rate, count / rate, width, height, self.codec, header_frames=self.num_listed)

    def decode_all(self) -> None:
        """Decode every picture once, so that damage in any of them shows; raises ``UnreadableVideo``."""
        self.clock.go_on()
        try:
            if not self.counted:
                self._count()
        finally:
            self.clock.rest()

    def _count(self) -> None:
        self.counted, good, size = True, [], None
        for name in self.names:
            self.clock.check()
            with contextlib.suppress(_Damaged):
                found, self.codec = self._look(name)
                self._pixels(name)
                size = size or found
                good.append(name)
        if not good:
            raise UnreadableVideo("no_frames", "none of its pictures can be decoded")
        self.size = size
        if len(good) < len(self.names):
            lost = f"{len(self.names) - len(good)} of {len(self.names)} pictures cannot be decoded"
            self.reason, self.names = "; ".join(filter(None, (self.reason, lost))), tuple(good)
        self._set_table()

    def _decode(self, wanted: np.ndarray) -> np.ndarray | None:
        width, height = self.size
        frames = self._room_for(len(wanted), height, width)
        for frame, number in zip(frames, wanted, strict=True):
            self.clock.check()
            try:
                pixels = self._pixels(self.names[number])
            except _Damaged:
                self._count()
                return None
            if pixels.shape != frame.shape:
                now = f"{pixels.shape[1]}x{pixels.shape[0]}"
                raise UnreadableVideo("size_changed", f"the picture size changes from {width}x{height} to {now}")
            frame[:] = pixels
        return frames

    def _look(self, name: str) -> tuple[tuple[int, int], str]:
        """Width and height, and codec, of a picture by its header."""
        with self._open(name) as picture:
            return picture.size, PICTURE_CODECS[picture.format]

    def _pixels(self, name: str) -> np.ndarray:
        """uint8 (H, W, 3), RGB; as it lies in the file, whatever its EXIF says of turning it."""
        with self._open(name) as picture:
            return np.asarray(picture.convert("RGB"))

    @contextlib.contextmanager
    def _open(self, name: str):
        from PIL import Image

        try:
            with Image.open(os.path.join(self.path, name), formats=tuple(PICTURE_CODECS)) as picture:
                _check_pixels(*picture.size, self.limits)
                if picture.mode not in PICTURE_MODES:
                    raise _Damaged(f"pictures of mode {picture.mode}")
                yield picture
        except (UnreadableVideo, MemoryError, _Damaged):
            raise
        except Exception as problem:  # Pillow raises OSError, SyntaxError, ValueError and more
            raise _Damaged(str(problem)) from None


class _Damaged(Exception):
    """A picture that cannot be decoded."""


# ---------------------------------------------------------------- other decoders, for comparison


class _Foreign(Video):
    """What the comparison decoders share: the strict reader looks at the file first, so that none of them meets a
    pipe, a playlist or a picture over the limit. They count, decode and convert to RGB by their own rules; times are
    the strict reader's where the counts agree."""

    def __init__(self, path: str | os.PathLike, limits: Limits):
        super().__init__(path, limits)
        strict = _PyAVVideo(path, limits)
        try:
            self.strict_info, self.table = strict.info, strict.table
        finally:
            strict.close()
        count = self._load()
        if count < 1:
            raise UnreadableVideo("no_frames", "the decoder gives no picture")
        if count > limits.max_frames:
            raise UnreadableVideo("too_large", f"more than the limit of {limits.max_frames} frames")
        if count != self.table.num_frames:
            self.table = VideoTable(np.arange(count) / self.table.frame_rate, self.table.frame_rate)

    def _load(self) -> int:
        """Open the file and count its pictures."""
        raise NotImplementedError

    @property
    def info(self) -> VideoInfo:
        duration = float(self.pts_s[-1]) + 1 / self.table.frame_rate
        return replace(self.strict_info, num_frames=self.table.num_frames, duration_s=duration)

    def _stack(self, frames: list[np.ndarray]) -> np.ndarray:
        if len({frame.shape for frame in frames}) > 1:
            raise UnreadableVideo("size_changed", "the picture size changes within the video")
        height, width = frames[0].shape[:2] if frames else (self.strict_info.height, self.strict_info.width)
        stack = self._room_for(len(frames), height, width)
        for target, frame in zip(stack, frames, strict=True):
            target[:] = frame
        return stack


class _OpenCVVideo(_Foreign):
    """OpenCV's FFmpeg reader, frame after frame: it never seeks, because its seeking is not exact."""

    def _load(self) -> int:
        import cv2

        self.cv2, count = cv2, 0
        capture = self._capture()
        while capture.grab() and count <= self.limits.max_frames:
            self.clock.check()
            count += 1
        capture.release()
        return count

    def _capture(self):
        options = [self.cv2.CAP_PROP_N_THREADS, 1]
        capture = self.cv2.VideoCapture("file:" + self.path, self.cv2.CAP_FFMPEG, options)
        if not capture.isOpened():
            raise UnreadableVideo("not_media", "OpenCV does not open it")
        return capture

    def _decode(self, wanted: np.ndarray) -> np.ndarray:
        places, frames, capture = set(wanted.tolist()), [], self._capture()
        for number in range(max(places, default=-1) + 1):
            self.clock.check()
            if not capture.grab():
                raise UnreadableVideo("decode_error", "OpenCV stopped before the last frame")
            if number in places:
                frames.append(self.cv2.cvtColor(capture.retrieve()[1], self.cv2.COLOR_BGR2RGB))
        capture.release()
        return self._stack(frames)


class _TorchCodecVideo(_Foreign):
    """TorchCodec in its exact mode; imports torch, and needs FFmpeg on the system."""

    def _load(self) -> int:
        try:
            from torchcodec.decoders import VideoDecoder
        except (ImportError, OSError, RuntimeError) as problem:
            words = printable(str(problem).strip().splitlines()[0], 120)
            raise ConfigError(f"torchcodec cannot be used, it may lack FFmpeg's libraries: {words}") from None
        self.decoder = VideoDecoder(self.path, dimension_order="NHWC", seek_mode="exact", num_ffmpeg_threads=1)
        return len(self.decoder)

    def _decode(self, wanted: np.ndarray) -> np.ndarray:
        if not len(wanted):
            return self._stack([])
        return self._stack(list(self.decoder.get_frames_at(indices=wanted.tolist()).data.numpy()))


class _DecordVideo(_Foreign):
    """decord, which nobody maintains any more."""

    def _load(self) -> int:
        import decord

        self.decoder = decord.VideoReader(self.path, ctx=decord.cpu(0), num_threads=1)
        return len(self.decoder)

    def _decode(self, wanted: np.ndarray) -> np.ndarray:
        return self._stack(list(self.decoder.get_batch(wanted.tolist()).asnumpy()) if len(wanted) else [])


_VIDEOS = {"pyav": _PyAVVideo, "opencv": _OpenCVVideo, "torchcodec": _TorchCodecVideo, "decord": _DecordVideo}
