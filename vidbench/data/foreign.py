"""Other decoders behind the same call, for comparison: OpenCV, TorchCodec and decord, where they are installed."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np

from vidbench.data.strict import PyAVVideo
from vidbench.data.video import Limits, Video, VideoTable
from vidbench.records import ConfigError, UnreadableVideo, VideoInfo
from vidbench.utils import printable


class _Foreign(Video):
    """What the comparison decoders share: the strict reader looks at the file first, so that none of them meets a
    pipe, a playlist or a picture over the limit. They count, decode and convert to RGB by their own rules; times are
    the strict reader's where the counts agree."""

    def __init__(self, path: str | os.PathLike, limits: Limits):
        super().__init__(path, limits)
        strict = PyAVVideo(path, limits)
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

    @property
    def utf8_path(self) -> str:
        """The path as text that becomes the file's name when it is written as UTF-8. OpenCV crashes on other text."""
        try:
            return os.fsencode(self.path).decode("utf-8")
        except UnicodeDecodeError:
            raise UnreadableVideo("not_media", "this decoder takes no file name that is not UTF-8") from None

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


class OpenCVVideo(_Foreign):
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
        capture = self.cv2.VideoCapture("file:" + self.utf8_path, self.cv2.CAP_FFMPEG, options)
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


class TorchCodecVideo(_Foreign):
    """TorchCodec in its exact mode; imports torch, and needs FFmpeg on the system."""

    def _load(self) -> int:
        try:
            from torchcodec.decoders import VideoDecoder
        except (ImportError, OSError, RuntimeError) as problem:
            words = printable(str(problem).strip().splitlines()[0], 120)
            raise ConfigError(f"torchcodec cannot be used, it may lack FFmpeg's libraries: {words}") from None
        self.decoder = VideoDecoder(self.utf8_path, dimension_order="NHWC", seek_mode="exact", num_ffmpeg_threads=1)
        return len(self.decoder)

    def _decode(self, wanted: np.ndarray) -> np.ndarray:
        if not len(wanted):
            return self._stack([])
        return self._stack(list(self.decoder.get_frames_at(indices=wanted.tolist()).data.numpy()))


class DecordVideo(_Foreign):
    """decord, which nobody maintains any more."""

    def _load(self) -> int:
        import decord

        self.decoder = decord.VideoReader(self.utf8_path, ctx=decord.cpu(0), num_threads=1)
        return len(self.decoder)

    def _decode(self, wanted: np.ndarray) -> np.ndarray:
        return self._stack(list(self.decoder.get_batch(wanted.tolist()).asnumpy()) if len(wanted) else [])
