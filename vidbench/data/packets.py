"""The packets of a video: which pictures they hold, in which order, and which of them other pictures need.

Known without decoding, from the container and the first bytes of each packet.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import av

from vidbench.data.video import LONGEST_FRAME_S, Clock, Limits
from vidbench.records import UnreadableVideo

# Codecs whose pictures come one a packet in MP4 and Matroska.
ONE_PICTURE_A_PACKET = {"h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4", "mjpeg", "prores", "ffv1", "png"}

PACKET_BUDGET = 64 * 2**20  # bytes of compressed packets kept between the two passes


def pick_stream(container):
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


def demux(container, stream) -> Iterator:
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


class Packets:
    """What one pass over the container tells, and the packets themselves while they are small."""

    def __init__(self):
        self.pts, self.keys, self.dropped, self.sizes, self.durations = [], [], [], [], []
        self.corrupt = False
        self.kept: list | None = []
        self.slices: list | None = None

    @classmethod
    def of(cls, container, stream, limits: Limits, clock: Clock) -> Packets:
        """Read all packets of a stream up to the end, or up to an error; raises ``UnreadableVideo`` over the limits."""
        table, room = cls(), PACKET_BUDGET
        for packet in demux(container, stream):
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


def display_order(container: str, codec: str, stream, packets: Packets) -> list[int]:
    """Positions of packets in the order in which their pictures are shown; none where packets and pictures may not go
    one to one (then only a full decode tells)."""
    if codec not in ONE_PICTURE_A_PACKET or not len(packets) or packets.corrupt:
        return []
    if None in packets.pts or len(set(packets.pts)) < len(packets) or not packets.keys[0] or 0 in packets.sizes:
        return []
    if container == "avi":
        if any(a >= b for a, b in itertools.pairwise(packets.pts)):
            return []
    elif not container.startswith(("mov,", "matroska,")):
        return []
    if min(packets.pts) != packets.pts[0] or not _all_coded(codec, stream.codec_context.extradata, packets):
        return []
    shown = [k for k in range(len(packets)) if not packets.dropped[k]]
    return sorted(shown, key=packets.pts.__getitem__)


def _all_coded(codec: str, extradata: bytes | None, packets: Packets) -> bool:
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


def start_points(codec: str, codec_tag: str, packets: Packets) -> list[int]:
    """Packets from which decoding gives the same pictures as from the start, for those shown at or after them.

    Key frames of H.264 count only as IDR: a recovery point may need several pictures before it is clean. Those of HEVC
    count as IDR, CRA and BLA. Both only in streams whose parameter sets are outside the packets (``avc1``, ``hvc1``).
    """
    keys = [k for k, key in enumerate(packets.keys) if key and k]
    if packets.slices is not None:
        if codec_tag.strip("\0") in ("avc3", "hev1", "dvhe", "dva1"):
            return [0]
        clean = {5} if codec == "h264" else set(range(16, 22))
        keys = [k for k in keys if packets.slices[k].kind in clean]
    return [0, *keys]


def skippable_packets(codec: str, packets: Packets) -> list[bool] | None:
    """Which packets need not be decoded for other pictures; ``None`` leaves that to the decoder (MPEG-4).

    VP9 and AV1 carry probabilities over from any picture, so nothing is left out there. In HEVC a "non-reference"
    picture may still be referred to from a higher temporal layer, so all must be in one layer.
    """
    if codec == "mpeg4":
        return None
    if packets.slices is None or {unit.layer for unit in packets.slices} != {0}:
        return [False] * len(packets)
    return [unit.unused for unit in packets.slices]


def decoding_runs(starts: list[int], targets: list[int], pts: list[int]) -> list[tuple[int, set[int]]]:
    """Wanted packets grouped by where decoding has to start for them: ``(start, {wanted, ...})``, in file order."""
    runs: dict[int, set[int]] = {}
    for k in targets:
        place = bisect.bisect_right(starts, k) - 1
        while place and pts[starts[place]] > pts[k]:
            place -= 1
        runs.setdefault(starts[place], set()).add(k)
    return sorted(runs.items())
