"""Copies of videos that browsers play: the file itself where they do, else H.264 made from our own frames.

Browsers play H.264 in MP4 and VP8 or VP9 in WebM, with 8 bits and 4:2:0. The Xvid of UCF101 and HMDB51, H.265,
HDR and AV1 play in some or in none. Their copies are made from the frames that ``vidbench.data.decode`` gives, so a
player shows the pictures that a network sees: no tone mapping, turned upright, damage left out. Sound is dropped.

Re-encoding happens in a process of its own with a time limit: a file that hangs or crashes the codec costs one
sentence, not the kernel. Finished copies are kept in a cache whose key is a hash over the video's bytes and
everything that shaped the copy; it can be deleted at any time.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from vidbench.data.decode import Limits, Video, VideoTable, check_file, decoder_version, open_file
from vidbench.data.strict import PyAVVideo
from vidbench.forward import cache_folder
from vidbench.records import ConfigError, UnreadableVideo, VideoInfo
from vidbench.utils import atomic_writer, printable, sha256_of_file, sha256_of_json

SCHEMA = 1
MIME = {"mp4": "video/mp4", "webm": "video/webm"}
CODECS = {"mp4": ("h264",), "webm": ("vp8", "vp9")}
SOUND = {"mp4": ("aac", "mp3"), "webm": ("opus", "vorbis")}
PIXEL_FORMATS = ("yuv420p", "yuvj420p")  # 8 bits, 4:2:0
HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics, ITU-T H.273 table 3
SIZES = ((480, 23), (320, 26), (240, 30), (160, 34))  # short side in pixels and x264's crf, tried in this order
LONG_SIDE = 1280  # pixels
TICKS = 90_000  # a second, in a copy's time stamps
CHUNK_BYTES = 384 * 2**20  # of decoded frames held at once
START_S = 20.0  # seconds that a fresh process may take to start on a busy machine
URI_BYTES = 0.75  # bytes of video in one byte of base64

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class PlayableVideo:
    """A video as a browser takes it.

    Args:
        data: the whole file.
        mime: ``video/mp4`` or ``video/webm``.
        info: of the source, not of the copy.
        made_because: why it was re-encoded; empty where it is the file itself.
        problem: one sentence where the source can be read only in part; empty where it is whole.
    """

    data: bytes
    mime: str
    info: VideoInfo
    made_because: str = ""
    problem: str = ""

    @property
    def uri(self) -> str:
        """The file as a ``data:`` URI."""
        return f"data:{self.mime};base64," + base64.b64encode(self.data).decode()

    @property
    def kilobytes(self) -> float:
        """Length of ``uri`` in kB of 1000 bytes."""
        return (len(self.data) + 2) // 3 * 4 / 1000


def playable(
    path: str | os.PathLike,
    *,
    max_kb: float = 8000,
    cache_dir: str | os.PathLike | None = None,
    limits: Limits | None = None,
) -> PlayableVideo:
    """A copy of a video that browsers play, small enough to embed; the file itself where it is that already.

    Safe to call from any number of processes: a copy appears in the cache as a whole or not at all.

    Args:
        path: a video file.
        max_kb: most length of the ``data:`` URI, in kB of 1000 bytes. Smaller and coarser copies are tried until
            one fits (``SIZES``).
        cache_dir: for finished copies; ``players`` in the user's cache folder where ``None``. A folder that cannot
            be written costs the time of making the copy again, nothing else.
        limits: what reading and re-encoding may cost, each.

    Raises:
        UnreadableVideo: the file gives no usable frame, or the time ran out; with one sentence.
        ConfigError: no copy fits into ``max_kb``.
    """
    limits = limits or Limits()
    mime, info, made_because, problem = _look(path, limits)
    most = max_kb * 1000 * URI_BYTES
    if not made_because and os.stat(path).st_size <= most:
        return PlayableVideo(Path(path).read_bytes(), mime, info)
    made_because = made_because or f"it is larger than {max_kb:g} kB"
    source = sha256_of_file(path)
    folder = Path(cache_dir) if cache_dir is not None else cache_folder() / "players"
    size = 0
    for short_side, crf in SIZES:
        data = _copy(path, source, {"short_side": short_side, "crf": crf}, folder, limits)
        if (size := len(data)) <= most:
            return PlayableVideo(data, MIME["mp4"], info, made_because, problem)
    raise ConfigError(
        f"{printable(Path(path).name, 120)}: the smallest copy for a browser takes {size / URI_BYTES / 1000:.0f} kB, "
        f"over the limit of {max_kb:g}; pass a larger max_kb, or show some of its frames with "
        "vidbench.visualize.film_strip"
    )


# ---------------------------------------------------------------- what is in the file


def _look(path: str | os.PathLike, limits: Limits) -> tuple[str, VideoInfo, str, str]:
    """``(mime, info, why browsers do not play it, what is damaged)`` of a video."""
    with open_file(path, limits=limits) as video:
        info = video.info
        kind = _container(video)
        return MIME.get(kind, ""), info, _why_not(kind, video, info), video.reason


def _container(video: PyAVVideo) -> str:
    """``mp4``, ``webm`` or FFmpeg's name of another container."""
    name = video.format
    if name.startswith("mov,"):
        return "QuickTime" if video.container.metadata.get("major_brand", "").strip() == "qt" else "mp4"
    if name.startswith("matroska,"):
        with open(video.path, "rb") as file:
            return "webm" if b"webm" in file.read(64) else "Matroska"
    return {"avi": "AVI", "mpegts": "MPEG-TS"}.get(name, name)


def _why_not(kind: str, video: PyAVVideo, info: VideoInfo) -> str:
    codec, streams = video.stream.codec_context, video.container.streams
    if kind not in CODECS:
        return f"browsers do not open {printable(kind, 40)} files"
    if info.codec not in CODECS[kind]:
        return f"not every browser decodes {printable(info.codec, 40)}"
    if int(codec.color_trc or 0) in HDR:
        return f"its brightness is coded for HDR screens ({HDR[int(codec.color_trc)]})"
    if codec.pix_fmt not in PIXEL_FORMATS:
        return f"browsers do not show the pixel format {printable(codec.pix_fmt, 40)}"
    if len(streams.video) > 1:
        return f"it has {len(streams.video)} video streams, and browsers choose for themselves"
    if any(stream.codec_context is None or stream.codec_context.name not in SOUND[kind] for stream in streams.audio):
        return "browsers do not decode its sound"
    if info.rotation or video.turn[2].mirrored:
        return "it is stored turned or mirrored"
    return "it is damaged" if video.reason else ""


# ---------------------------------------------------------------- the cache


def _copy(path: str | os.PathLike, source: str, settings: dict, folder: Path, limits: Limits) -> bytes:
    """A copy from the cache, or made now and kept there."""
    made_by = {"decoder": decoder_version("pyav"), "rules": _rules()}
    key = sha256_of_json({"schema": SCHEMA, "video": source, "settings": settings, **made_by})
    stored = folder / key[:2] / f"{key}.mp4"
    with contextlib.suppress(OSError, ValueError):
        data = stored.read_bytes()
        if hashlib.sha256(data).hexdigest() == stored.with_suffix(".sha256").read_text("ascii").strip():
            return data
        log.warning("a damaged copy is made anew: %s", stored)
    data = _make_apart(path, settings, limits)
    try:
        stored.parent.mkdir(parents=True, exist_ok=True)
        with atomic_writer(stored) as file:
            file.write(data)
        with atomic_writer(stored.with_suffix(".sha256"), "w") as file:
            file.write(hashlib.sha256(data).hexdigest() + "\n")
    except OSError as problem:
        log.warning("the copy of %s is not kept: %s", printable(path), printable(problem))
    return data


def _rules() -> str:
    """A hash of this file: another encoding rule makes other copies."""
    with contextlib.suppress(OSError):
        return sha256_of_file(__file__)
    return ""


# ---------------------------------------------------------------- re-encoding, in a process of its own


def _make_apart(path: str | os.PathLike, settings: dict, limits: Limits) -> bytes:
    """The copy, made by ``python -m vidbench.transcode``; raises ``UnreadableVideo`` whatever becomes of it."""
    with tempfile.TemporaryDirectory(prefix="vidbench-") as folder:
        target = os.path.join(folder, "copy.mp4")
        job = {"settings": settings, "limits": dataclasses.asdict(limits)}
        words = [sys.executable, "-P", "-m", "vidbench.transcode", os.path.abspath(path), target, json.dumps(job)]
        paths = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, timeout=limits.seconds + START_S, env=env
            )
        except subprocess.TimeoutExpired:
            raise UnreadableVideo("timeout", f"not re-encoded within the limit of {limits.seconds:g} s") from None
        except OSError as problem:
            raise UnreadableVideo("worker_crash", f"no process could be started: {printable(problem, 120)}") from None
        _raise_outcome(done)
        return Path(target).read_bytes()


def _raise_outcome(done: subprocess.CompletedProcess) -> None:
    """Raise what the process says went wrong with the video."""
    try:
        outcome = json.loads(done.stdout.decode().splitlines()[-1])
        status, reason = outcome["status"], outcome["reason"]
    except (ValueError, IndexError, KeyError, TypeError):
        words = printable(done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:], 160)
        raise UnreadableVideo(
            "worker_crash", f"the process that re-encodes it ended with status {done.returncode}: {words}"
        ) from None
    if status != "ok":
        raise UnreadableVideo(status, reason)


def write_copy(path: str | os.PathLike, target: str | os.PathLike, *, short_side: int, crf: int, limits: Limits):
    """Write an H.264 copy of a video, in this process: MP4, yuv420p, the index in front, every frame at its time.

    Args:
        path: a video file.
        target: the new file; overwritten.
        short_side: most pixels of the copy's shorter side; a smaller video keeps its size.
        crf: x264's constant rate factor, 0 (best) to 51.
        limits: for reading.

    Raises:
        UnreadableVideo: the file gives no usable frame, or the time ran out.
        ConfigError: the installed PyAV has no H.264 encoder.
    """
    import av

    if "libx264" not in av.codecs_available:
        raise ConfigError("this build of PyAV cannot write H.264 (libx264); run `pip install --force-reinstall av`")
    with (
        open_file(path, limits=limits) as video,
        av.open(str(target), "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}) as container,
    ):
        height, width = _size(video.info, short_side)
        stream = _output(container, height, width, crf, _aspect(video))
        last = -1
        same = (height, width) == (video.info.height, video.info.width)
        for _, pixels, time_s in walk(video, size=None if same else (height, width)):
            last = max(last + 1, round(time_s * TICKS))
            frame = av.VideoFrame.from_ndarray(_even(pixels), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG")
            frame.pts, frame.time_base = last, Fraction(1, TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _output(container, height: int, width: int, crf: int, aspect: Fraction):
    """An H.264 stream with the colours of BT.601, limited range, said in the file."""
    options = {"preset": "veryfast", "crf": str(crf), "threads": "1", "g": "50"}
    stream = container.add_stream("libx264", rate=25, options=options)
    stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
    codec = stream.codec_context
    codec.time_base = Fraction(1, TICKS)
    codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range = 6, 6, 6, 1
    codec.sample_aspect_ratio = aspect
    return stream


def _size(info: VideoInfo, short_side: int) -> tuple[int, int]:
    """Height and width of a copy: never larger than the source, never flatter than a pixel."""
    scale = min(1.0, short_side / min(info.height, info.width), LONG_SIDE / max(info.height, info.width))
    return max(1, round(info.height * scale)), max(1, round(info.width * scale))


def _aspect(video: PyAVVideo) -> Fraction:
    """Width of a pixel over its height, upright; browsers stretch the picture by it."""
    ratio = Fraction(video.stream.sample_aspect_ratio or 1)
    if not Fraction(1, 4) <= ratio <= 4:
        return Fraction(1)
    return 1 / ratio if video.info.rotation in (90, 270) else ratio


def walk(video: Video, *, step: int = 1, size: tuple[int, int] | None = None) -> Iterator[tuple]:
    """Every ``step``-th frame of an open video, a bounded number in memory at a time.

    Args:
        video: as ``vidbench.data.decode.open_video`` gives it.
        step: 1 for every frame.
        size: ``(height, width)`` to scale to; ``None`` keeps the picture's own.

    Yields:
        ``(index, pixels, time_s)``: the position in display order, uint8 (H, W, 3), seconds from the first frame.

    Raises:
        UnreadableVideo: the file gives no usable frame, or the time for a piece ran out.
    """
    info, start = video.info, 0
    span = step * max(1, CHUNK_BYTES // (info.height * info.width * 3))

    def piece(table: VideoTable) -> range:
        return range(start, min(start + span, table.num_frames), step)

    while start < video.table.num_frames:  # falls when damage is met
        clip = video.read(piece, size=size)
        yield from zip(clip.indices.tolist(), clip.frames, clip.pts_s.tolist())
        start += span


def _even(pixels: np.ndarray) -> np.ndarray:
    """Frames of odd size get their last row or column twice: 4:2:0 needs even sides."""
    height, width, _ = pixels.shape
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(pixels)


def _end_after(seconds: float) -> None:
    """Have the system end this process after so many seconds, also where nobody is left to wait for it."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _main(path: str, target: str, job: str) -> dict:
    """The work of the process; what became of it as a status and a reason."""
    asked = json.loads(job)
    try:
        check_file(path)
        write_copy(path, target, **asked["settings"], limits=Limits(**asked["limits"]))
    except UnreadableVideo as problem:
        return {"status": problem.status, "reason": problem.reason}
    except MemoryError:
        return {"status": "memory", "reason": "re-encoding needs more memory than there is"}
    except Exception as problem:  # odd data until shown otherwise: costs this video only
        return {"status": "decode_error", "reason": f"it cannot be re-encoded: {printable(problem, 120)}"}
    return {"status": "ok", "reason": ""}


if __name__ == "__main__":
    _end_after(json.loads(sys.argv[3])["limits"]["seconds"] + 2 * START_S)  # the kernel may be gone by then
    sys.stdout.write(json.dumps(_main(*sys.argv[1:])) + "\n")
