"""A video file through PyAV in a strict form: every picture is accounted for, and only what is needed is decoded."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from vidbench.data.ends import cut_short
from vidbench.data.packets import (
    Packets,
    decoding_runs,
    demux,
    display_order,
    pick_stream,
    skippable_packets,
    start_points,
)
from vidbench.data.video import (
    LONGEST_FRAME_S,
    Clock,
    Limits,
    Video,
    as_unreadable,
    check_pixels,
    decoder_words,
    timetable,
)
from vidbench.records import UnreadableVideo, VideoInfo

# Containers that hold pictures themselves. Playlists (concat, hls, dash, sdp, image2) name other files: left out.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,asf,gif,apng,ogg,"
    "h264,hevc,m4v,mjpeg,ivf,obu,av1,nut,mxf,dv,rm,vc1"
)

FRAME_BUDGET = 192 * 2**20  # bytes of decoded pictures kept while counting


class _Mistrust(Exception):
    """The sparse way met something it was not made for; the frames are counted by a full decode instead."""


class PyAVVideo(Video):
    """The strict reader.

    Opening demultiplexes the whole file once, which costs a few milliseconds and gives every time stamp. Where
    container and codec promise one picture a packet, frames are then read the sparse way (``_read_sparse``);
    everywhere else, and wherever the sparse way meets damage, all pictures are decoded and counted (``_count``).
    """

    def __init__(self, path: str | os.PathLike, limits: Limits):
        super().__init__(path, limits)
        self.reformatter = VideoReformatter()
        self._turn: tuple[int, int, Orientation] | None = None
        self.kept: list | None = None
        self.counted = self.ignores_edits = False
        self.opened = contextlib.ExitStack()
        self.packets = Packets()
        try:
            self._look()
        except BaseException:
            self.close()
            raise

    def _look(self) -> None:
        """What the file holds, without decoding where that can be avoided."""
        self._index()
        listed = self.stream.frames if self.format.startswith("mov,") else 0
        missing = listed - len(self.packets) if listed else 0
        if missing > 0 or (listed and not self.packets.has_usable_times(self.stream.time_base)):
            missing = self._without_edits()
        self.name = self.stream.codec_context.codec.name
        self.order = display_order(self.format, self.name, self.stream, self.packets)
        if self.packets.corrupt:
            self.reason = "the file ends, or is damaged, within a picture"
        else:
            self.reason = cut_short(self.path, self.file_size, self.format)
        if missing > 0 and not self.reason:
            self.reason = f"its index lists {listed} pictures, {listed - missing} are there"
        if not self.order or self.reason:
            self._count()
        else:
            self.starts = start_points(self.name, str(self.codec.codec_tag), self.packets)
            self._set_table([self.packets.pts[k] for k in self.order], self.packets.durations[self.order[-1]])

    def close(self) -> None:
        self.kept = None
        self.packets = Packets()
        self.opened.close()

    @property
    def turn(self) -> tuple[int, int, Orientation]:
        """Width, height and orientation of the first picture, which is decoded where none was yet."""
        if self._turn is None:
            with as_unreadable():
                self._decode(np.zeros(1, np.int64))
        assert self._turn, "a picture was decoded"
        return self._turn

    @property
    def info(self) -> VideoInfo:
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
        self.opened.close()
        self.container = self.opened.enter_context(self._open())
        self.format = self.container.format.name
        self.stream = pick_stream(self.container)
        self.codec = self._codec(self.stream)
        self.packets = Packets.of(self.container, self.stream, self.limits, self.clock)

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

    def _open(self) -> av.container.InputContainer:
        return open_container(self.path, self.limits, self.clock, self.ignores_edits)

    def _codec(self, stream):
        codec = stream.codec_context
        codec.thread_type = "NONE"
        codec.thread_count = 1
        codec.options = {"max_pixels": most_pixels(self.limits)}
        return codec

    def _set_table(self, pts: list, last_duration: int | None) -> None:
        self.table = timetable(pts, self.stream.time_base, self.stream.average_rate)
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
        skippable = skippable_packets(self.name, self.packets)
        for start, targets in decoding_runs(self.starts, [self.order[i] for i in wanted], self.packets.pts):
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
        frames = self.kept if self.kept is not None else self.all_frames()
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
        for frame in self.all_frames():
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
        if num_frames < len(self.order):
            return f"{num_frames} pictures from {len(self.order)} packets"
        return ""

    def all_frames(self) -> Iterator:
        """Every picture of the file in display order, from a fresh decoder; damage is counted in ``errors``."""
        with self.fresh() as (codec, packets):
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
    def fresh(self):
        """A decoder that has seen nothing yet, with all packets and the end mark."""
        container = self._open()
        try:
            stream = pick_stream(container)
            codec = self._codec(stream)
            packets = demux(container, stream)
            yield codec, packets
        finally:
            container.close()

    def _see(self, frame) -> None:
        if self._turn is None:
            check_pixels(frame.width, frame.height, self.limits)
            self._turn = frame.width, frame.height, Orientation.of(frame)
        elif (frame.width, frame.height) != self._turn[:2]:
            was, now = f"{self._turn[0]}x{self._turn[1]}", f"{frame.width}x{frame.height}"
            raise UnreadableVideo("size_changed", f"the picture size changes from {was} to {now}")


def open_container(path: str, limits: Limits, clock: Clock, ignores_edits: bool = False) -> av.container.InputContainer:
    """Open a file with PyAV: no playlist, no other file, no address is followed from it.

    Args:
        path: absolute; whatever characters are in it, it is a name.
        limits: of the video; ``max_pixels`` counts here.
        clock: the time left for opening.
        ignores_edits: whether an MP4 file's edit list is left out of account.

    Raises:
        UnreadableVideo: ``missing``, ``not_media`` or ``timeout``.
    """
    options = {
        "format_whitelist": FORMATS,
        "protocol_whitelist": "file",
        "max_pixels": most_pixels(limits),
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
        raise UnreadableVideo("not_media", decoder_words(problem)) from None


def most_pixels(limits: Limits) -> str:
    """For FFmpeg, which counts the rows as padded in memory; ``PyAVVideo`` keeps the limit itself."""
    return str(min(2 * limits.max_pixels + 2**16, 2**31 - 1))


def _check_claims(codec, packets: Packets, limits: Limits) -> None:
    """Say so where pictures were refused for their size, told by the header or, in Motion JPEG, by themselves."""
    sizes = [(codec.width, codec.height)]
    for content in packets.content if codec.name == "mjpeg" else ():
        place = content.find(b"\xff\xc0")  # a start-of-frame marker: length, precision, height, width
        sizes.append(struct.unpack(">HH", content[place + 5 : place + 9].ljust(4, b"\0"))[::-1])
    for width, height in sizes:
        check_pixels(width, height, limits)


class _Sink:
    """Takes wanted pictures, converts them to RGB and turns them upright, into one array."""

    def __init__(self, video: PyAVVideo, num_frames: int):
        self.video, self.num_frames = video, num_frames
        self.frames = np.empty((0, video.codec.height, video.codec.width, 3), np.uint8)

    def put(self, place: int, frame) -> None:
        width, height, orientation = self.video.turn
        if not len(self.frames):
            shape = (width, height) if orientation.swaps else (height, width)
            self.frames = self.video._room_for(self.num_frames, *shape)
        rgb = self.video.reformatter.reformat(frame, format="rgb24", threads=1)
        plane = rgb.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:height, : width * 3]
        self.frames[place] = orientation.apply(rows.reshape(height, width, 3))


@dataclass(frozen=True, slots=True)
class Orientation:
    """How the display matrix turns a picture: its right angles, mirroring included; other parts are left out.

    Args:
        degrees: clockwise, 0, 90, 180 or 270, after mirroring.
        mirrored: left and right are exchanged first.
    """

    degrees: int = 0
    mirrored: bool = False

    @classmethod
    def of(cls, frame) -> Orientation:
        """That of a decoded frame; upright where it carries no display matrix."""
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
        """Whether height and width change places."""
        return self.degrees in (90, 270)

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """A picture (H, W, C) turned upright, without copying it."""
        if self.mirrored:
            picture = picture[:, ::-1]
        return np.rot90(picture, -(self.degrees // 90)) if self.degrees else picture


class _Reread:
    """Packets by position, from the file once more, for files whose packets are too large to keep."""

    def __init__(self, video: PyAVVideo):
        self.video, self.position = video, 0
        self.container: av.container.InputContainer | None = None

    def __enter__(self) -> _Reread:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __getitem__(self, k: int):
        if self.container is None or k < self.position:
            self.close()
            self.container = self.video._open()
            self.packets, self.position = demux(self.container, pick_stream(self.container)), 0
        for packet in self.packets:
            self.position += 1
            if self.position > k:
                return packet
        raise _Mistrust("the file gave fewer packets the second time")

    def close(self) -> None:
        if self.container is not None:
            self.container.close()
