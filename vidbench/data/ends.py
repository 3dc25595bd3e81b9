"""Where a video file should end by what its own container says, to tell files that were cut short."""

from __future__ import annotations

import os


def cut_short(path: str | os.PathLike, file_size: int, container: str) -> str:
    """A sentence where the container says that the file should be longer, else an empty string.

    Frame counts in headers are no evidence for AVI, where they are wrong in whole data sets (HMDB51).

    Args:
        path: the file.
        file_size: its bytes.
        container: FFmpeg's name of the format; any other than MP4, Matroska, AVI and MPEG-TS promises nothing.
    """
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
