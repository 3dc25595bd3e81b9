"""Which frames of a video a network sees: arithmetic on counts, rates and time stamps.

Every rule is a pure function from numbers to int64 indices in display order. ``indices_for`` picks
the rule that a model's card names; the others can be used alone, in a notebook for instance.

Two rules hold throughout. A video without a single frame is an error, and any other video gives
indices that are in range, also when it has one frame. Without a seed a rule is the deterministic
one for testing; with a seed it is the random one for training, and the same seed gives the same
frames.
"""

from __future__ import annotations

import numpy as np

from vidbench.records import InputSpec, UnreadableVideo

SAMPLINGS = ("clips", "clips_from_start", "dense", "uniform", "segments", "stream")
BY_COUNT = ("uniform", "segments")  # rules that spread frames over a video, whatever its rate
SHORT_RULES = ("repeat", "loop", "error")

EXACT_S = 20e-6  # stamps in ticks of 1/90000 s lie this near to a constant rate
ROUNDED_S = 1.01e-3  # WebM and FLV round each stamp to milliseconds, the first one too
SLACK = 1e-6  # of a frame, against binary fractions: 3 / 25 * 25 must not fall to 2
MOST_FRAMES = 10_000_000  # indices of one video that are worth making


def middle_indices(num_available: int, num_wanted: int) -> np.ndarray:
    """Frame indices spread evenly over a video, one from the middle of each share.

    The video is cut into ``num_wanted`` equal shares. A video with fewer frames than that
    repeats some of them, in order; it is never padded with black.

    Args:
        num_available: frames in the video, at least 1.
        num_wanted: frames in the clip, at least 1.

    Returns:
        int64, shape ``(num_wanted,)``, non-decreasing, in ``[0, num_available)``.

    Raises:
        ValueError: a count is below 1.

    Source:
        Test-time rule of Temporal Segment Networks, https://arxiv.org/abs/1608.00859.

    >>> middle_indices(10, 5)
    array([1, 3, 5, 7, 9])
    >>> middle_indices(3, 4)
    array([0, 1, 1, 2])
    """
    _check_counts(num_available=num_available, num_wanted=num_wanted)
    return (2 * np.arange(num_wanted, dtype=np.int64) + 1) * num_available // (2 * num_wanted)


def uniform(num_available: int, num_wanted: int, num_clips: int = 1, *, seed=None) -> np.ndarray:
    """Clips that each span the whole video at even steps, one clip's frames between another's.

    The video is cut into ``num_clips * num_wanted`` equal shares; clip ``c`` takes the middle of
    shares ``c``, ``c + num_clips``, and so on. With a seed, each clip moves as a whole by a random
    part of a step, so its steps stay even.

    Returns:
        int64, shape ``(num_clips, num_wanted)``, each row non-decreasing, in ``[0, num_available)``.

    Raises:
        ValueError: a count is below 1.

    >>> uniform(16, 4, num_clips=2)
    array([[ 1,  5,  9, 13],
           [ 3,  7, 11, 15]])
    """
    _check_counts(num_available=num_available, num_wanted=num_wanted, num_clips=num_clips)
    if seed is None:
        return np.ascontiguousarray(middle_indices(num_available, num_wanted * num_clips).reshape(-1, num_clips).T)
    offsets = np.random.default_rng(seed).random((num_clips, 1))
    return _floor_shares(np.arange(num_wanted) + offsets, num_available, num_wanted)


def segments(num_available: int, num_wanted: int, num_clips: int = 1, *, seed=None) -> np.ndarray:
    """One frame of each of ``num_wanted`` equal segments: the middle one, or with a seed any.

    Without a seed this is ``uniform``. With one, each segment draws on its own, so steps between
    frames vary: the training rule of Temporal Segment Networks.

    Returns:
        int64, shape ``(num_clips, num_wanted)``, each row non-decreasing, in ``[0, num_available)``.

    Raises:
        ValueError: a count is below 1.

    Source:
        Temporal Segment Networks, https://arxiv.org/abs/1608.00859.

    >>> segments(30, 3)
    array([[ 5, 15, 25]])
    """
    if seed is None:
        return uniform(num_available, num_wanted, num_clips)
    _check_counts(num_available=num_available, num_wanted=num_wanted, num_clips=num_clips)
    offsets = np.random.default_rng(seed).random((num_clips, num_wanted))
    return _floor_shares(np.arange(num_wanted) + offsets, num_available, num_wanted)


def window_starts(num_available: int, span: int, num_clips: int = 1, *, from_start=False, seed=None) -> np.ndarray:
    """First frames of ``num_clips`` windows of ``span`` frames, spread from the first to the last.

    Several windows run from the very start to the very end, ``floor(c * (num_available - span) /
    (num_clips - 1))``. A single window lies in the middle, or at the start with ``from_start``.
    With a seed, starts are drawn among all possible ones, different ones while they last. A video
    shorter than a window gives 0 every time.

    Returns:
        int64, shape ``(num_clips,)``, in ``[0, max(0, num_available - span)]``.

    Raises:
        ValueError: a count is below 1.

    >>> window_starts(100, 16, 5)
    array([ 0, 21, 42, 63, 84])
    >>> window_starts(100, 16), window_starts(100, 16, from_start=True)
    (array([42]), array([0]))
    """
    _check_counts(num_available=num_available, span=span, num_clips=num_clips)
    last = max(0, num_available - span)
    if seed is not None:
        return np.random.default_rng(seed).choice(last + 1, num_clips, replace=num_clips > last + 1)
    if num_clips == 1:
        return np.array([0 if from_start else last // 2], np.int64)
    return np.arange(num_clips, dtype=np.int64) * last // (num_clips - 1)


def dense(
    num_available: int, num_wanted: int, stride: int = 1, num_clips: int = 1, *, short="repeat", seed=None
) -> np.ndarray:
    """Clips of ``num_wanted`` frames at a fixed stride, counted in frames whatever the frame rate.

    This is the "N x stride" of papers, 8x8 or 32x2: a window of ``(num_wanted - 1) * stride + 1``
    frames, placed by ``window_starts``.

    Returns:
        int64, shape ``(num_clips, num_wanted)``, in ``[0, num_available)``.

    Raises:
        ValueError: a count is below 1, or an unknown rule for short videos.
        UnreadableVideo: ``too_short``, where ``short`` is ``error``.

    >>> dense(100, 4, stride=8)
    array([[37, 45, 53, 61]])
    >>> dense(5, 4, stride=2), dense(5, 4, stride=2, short="loop")
    (array([[0, 2, 4, 4]]), array([[0, 2, 4, 1]]))
    """
    _check_counts(num_available=num_available, num_wanted=num_wanted, stride=stride)
    span = (num_wanted - 1) * stride + 1
    starts = window_starts(num_available, span, num_clips, seed=seed)
    steps = np.arange(num_wanted, dtype=np.int64) * stride
    return fit(starts[:, None] + steps, num_available, short)


def clips(
    pts_s: np.ndarray,
    frame_rate: float,
    num_wanted: int,
    rate: float | None,
    num_clips: int = 1,
    *,
    short="repeat",
    from_start=False,
    seed=None,
) -> np.ndarray:
    """Clips of ``num_wanted`` frames at ``rate`` frames per second, spread over the video.

    The video is thought of as resampled to ``rate`` (``num_at_rate``, ``frames_at``); all windows
    of ``num_wanted`` neighbouring frames of that are possible clips, and ``window_starts`` chooses.

    Torchvision's reference evaluation (``UniformClipSampler`` over all windows, one frame apart)
    chooses the same frames of a video with a constant frame rate, but for two things: a single
    clip is its first window (here with ``from_start``; else the middle one), and a video with too
    few frames is left out there. Its 32-bit fractions can differ by one frame where ours are exact.

    Args:
        pts_s: float64, shape (N,), time stamps in seconds, non-decreasing.
        frame_rate: of the video, frames per second.
        num_wanted: T, frames in a clip, at least 1.
        rate: of the clip, frames per second; ``None`` takes every frame.
        num_clips: C, at least 1.
        short: one of ``SHORT_RULES``.
        from_start: a single clip begins with the video, instead of lying in its middle.
        seed: draws the clips' places; ``None`` spreads them evenly.

    Returns:
        int64, shape ``(num_clips, num_wanted)``, in ``[0, N)``.

    Raises:
        ValueError: a count is below 1, or a rate is not positive.
        UnreadableVideo: ``no_frames``; or ``too_short``, where ``short`` is ``error``.

    >>> clips(np.arange(10) / 10, 10.0, 3, 5.0, num_clips=2)
    array([[0, 2, 4],
           [4, 6, 8]])
    """
    times = _Resampled(pts_s, frame_rate, rate)
    starts = window_starts(times.count, num_wanted, num_clips, from_start=from_start, seed=seed)
    positions = fit(starts[:, None] + np.arange(num_wanted), times.count, short)
    return times.frames(positions)


def stream(pts_s: np.ndarray, frame_rate: float, rate: float | None, num_wanted: int = 0) -> np.ndarray:
    """All frames of a video at ``rate`` frames per second, from the first one on.

    Args:
        pts_s: float64, shape (N,), time stamps in seconds, non-decreasing.
        frame_rate: of the video, frames per second.
        rate: wanted, frames per second; ``None`` takes every frame.
        num_wanted: stop after so many; 0 takes all.

    Returns:
        int64, shape ``(1, T)`` with T at least 1, non-decreasing, in ``[0, N)``.

    Raises:
        ValueError: a rate is not positive.
        UnreadableVideo: ``no_frames``; ``too_large`` for stamps that would give ten million frames.

    >>> stream(np.arange(12) / 25, 25.0, 5.0)
    array([[ 0,  5, 10]])
    """
    times = _Resampled(pts_s, frame_rate, rate)
    count = min(times.count, num_wanted) if num_wanted else times.count
    if count > MOST_FRAMES:
        raise UnreadableVideo("too_large", f"its time stamps give {count:,} frames at {rate:g} frames per second")
    return times.frames(np.arange(count, dtype=np.int64))[None]


def indices_for(spec: InputSpec, pts_s: np.ndarray, frame_rate: float, *, seed=None) -> np.ndarray:
    """The frames that a model's card asks for.

    ``spec.sampling`` names the rule: ``clips``, ``clips_from_start`` (a single clip begins with the
    first frame), ``dense`` (the stride is the whole number nearest to the video's rate over the
    card's), ``uniform`` and ``segments`` (by count, whatever the rates), ``stream`` (always one
    clip). ``uniform`` and ``segments`` repeat frames of a short video in order, also with ``loop``.

    Args:
        spec: the card's preprocessing.
        pts_s: float64, shape (N,), time stamps in seconds, non-decreasing.
        frame_rate: of the video, frames per second.
        seed: whatever ``numpy.random.default_rng`` takes: a random choice, for training.

    Returns:
        int64, shape ``(num_clips, T)``, positions in display order, in ``[0, N)``; one more a clip for a card with
        optical flow.

    Raises:
        ValueError: a card with counts or names that cannot be.
        UnreadableVideo: ``no_frames``; or ``too_short``, where ``spec.short`` is ``error``.
    """
    if spec.sampling not in SAMPLINGS:
        raise ValueError(f"unknown sampling {spec.sampling!r}; known: {', '.join(SAMPLINGS)}")
    pts_s = _checked_stamps(pts_s)
    n, t, c = len(pts_s), spec.num_frames + spec.has_flow, spec.num_clips
    if spec.sampling == "stream":
        return stream(pts_s, frame_rate, spec.frame_rate, spec.num_frames)
    if spec.sampling in BY_COUNT:
        _check_short(t, n, spec.short)
        return {"uniform": uniform, "segments": segments}[spec.sampling](n, t, c, seed=seed)
    if spec.sampling == "dense":
        stride = _stride(frame_rate, spec.frame_rate)
        return dense(n, t, stride, c, short=spec.short, seed=seed)
    from_start = spec.sampling == "clips_from_start"
    return clips(pts_s, frame_rate, t, spec.frame_rate, c, short=spec.short, from_start=from_start, seed=seed)


def time_windows(duration_s: float, window_s: float, stride_s: float) -> np.ndarray:
    """Windows of one length that walk over a video, a step apart; the last one ends with the video.

    The last step may be shorter than the others. A video shorter than a window gives one window, the whole video.

    Args:
        duration_s: of the video in seconds, above 0.
        window_s: length of a window in seconds, above 0.
        stride_s: from one window's start to the next one's, in seconds, above 0.

    Returns:
        float64, shape ``(N, 2)``, N at least 1: start and end in seconds from the first frame.

    Raises:
        ValueError: a length that is not above 0.
        UnreadableVideo: ``too_large`` for ten million windows.

    >>> time_windows(7.0, 2.0, 2.0).tolist()
    [[0.0, 2.0], [2.0, 4.0], [4.0, 6.0], [5.0, 7.0]]
    """
    for name, value in (("duration_s", duration_s), ("window_s", window_s), ("stride_s", stride_s)):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be above 0, got {value}")
    if duration_s <= window_s:
        return np.array([[0.0, duration_s]])
    last = duration_s - window_s
    if last / stride_s > MOST_FRAMES:
        raise UnreadableVideo("too_large", f"steps of {stride_s:g} s give more than {MOST_FRAMES:,} windows")
    starts = np.arange(int(last / stride_s + SLACK) + 1) * stride_s
    starts = np.minimum(starts, last)
    if last - starts[-1] > SLACK:
        starts = np.append(starts, last)
    return np.stack([starts, starts + window_s], axis=1)


def indices_in_windows(spec: InputSpec, pts_s: np.ndarray, frame_rate: float, windows: np.ndarray) -> list[np.ndarray]:
    """The frames of each window, chosen as if the window were a video of its own.

    A window holds the frames whose time stamps lie in it; one without any (a pause in a variable frame rate) holds
    the frame that is on screen when it begins.

    Args:
        spec: the card's preprocessing; its ``num_clips`` clips are spread over each window.
        pts_s: float64, shape (M,), time stamps in seconds, non-decreasing.
        frame_rate: of the video, frames per second.
        windows: float64, shape (N, 2), start and end in seconds from the first frame.

    Returns:
        N arrays int64 ``(num_clips, T)`` with positions in ``[0, M)``; T may differ for ``stream`` only.

    Raises:
        UnreadableVideo: ``too_short``, where ``spec.short`` is ``error``.
    """
    pts_s = _checked_stamps(pts_s)
    edges = np.searchsorted(pts_s - pts_s[0], np.asarray(windows) - SLACK / max(frame_rate, 1.0))
    chosen = []
    for first, end in edges:
        first = min(first, len(pts_s) - 1) if end > first else max(first - 1, 0)
        end = max(end, first + 1)
        chosen.append(first + indices_for(spec, pts_s[first:end], frame_rate))
    return chosen


def fit(positions: np.ndarray, num_available: int, short: str) -> np.ndarray:
    """Positions beyond the end, brought back into a short video.

    ``repeat`` repeats the last frame, ``loop`` begins again, ``error`` raises ``too_short``.

    Returns:
        int64, same shape, in ``[0, num_available)``.

    >>> fit(np.array([1, 2, 3, 4]), 3, "repeat"), fit(np.array([1, 2, 3, 4]), 3, "loop")
    (array([1, 2, 2, 2]), array([1, 2, 0, 1]))
    """
    _check_short(int(positions.max()) + 1, num_available, short)
    return positions % num_available if short == "loop" else np.minimum(positions, num_available - 1)


def num_at_rate(num_frames: int, frame_rate: float, rate: float) -> int:
    """How many frames a video has once resampled to another frame rate, at least 1.

    ``floor(num_frames * rate / frame_rate)``; where the video's rate is a whole multiple of the
    wanted one, the first frame of a begun step counts too, as in torchvision.

    >>> num_at_rate(300, 30.0, 15.0), num_at_rate(301, 30.0, 15.0), num_at_rate(300, 30000 / 1001, 15.0)
    (150, 151, 150)
    """
    step = frame_rate / rate
    if abs(step - round(step)) < SLACK and round(step) >= 1:
        return -(-num_frames // round(step))
    return max(1, int(min(num_frames / step + SLACK, 2**53)))


def frames_at(times_s: np.ndarray, pts_s: np.ndarray, frame_rate: float) -> np.ndarray:
    """The frame on screen at each time: the last one whose time stamp is not later.

    Stamps that follow a constant rate (``constant_rate``) count as that rate, so the answer is
    ``floor(time * rate)`` and a stamp rounded to milliseconds cannot lose a frame. Other stamps
    are taken at their word. Either way a time may be early by a millionth of a frame (or of a
    second), because 3 / 25 is not a binary number.

    Args:
        times_s: seconds from the first frame, any shape, at least 0.
        pts_s: float64, shape (N,), time stamps in seconds, non-decreasing.
        frame_rate: of the video, frames per second; used where the stamps say nothing.

    Returns:
        int64, shape of ``times_s``, in ``[0, N)``.

    >>> frames_at(np.array([0.0, 0.1, 0.5, 9.0]), np.array([0.0, 0.1, 0.2, 1.0]), 4.0)
    array([0, 1, 2, 3])
    """
    pts_s = _checked_stamps(pts_s)
    rate = constant_rate(pts_s, frame_rate)
    if rate:
        found = np.floor(np.minimum(np.asarray(times_s) * rate, len(pts_s)) + SLACK).astype(np.int64)
    else:
        found = np.searchsorted(pts_s - pts_s[0], np.asarray(times_s) + SLACK, side="right") - 1
    return np.clip(found, 0, len(pts_s) - 1).astype(np.int64)


def constant_rate(pts_s: np.ndarray, frame_rate: float) -> float | None:
    """The constant frame rate that time stamps follow, or ``None`` where they vary.

    Tried are the whole, half and NTSC rates (``n * 1000 / 1001``) next to the measured one, and that
    itself. All stamps must lie within 20 microseconds of ``k / rate``, or else within a millisecond,
    the rounding of WebM and FLV; the nearest rate wins. Stamps that are no time at all (NaN, or all
    equal) leave ``frame_rate``.

    >>> constant_rate(np.round(np.arange(90) / 30, 3), 29.997)
    30.0
    >>> constant_rate(np.array([0.0, 0.1, 0.2, 1.0]), 4.0) is None
    True
    """
    steps = np.arange(len(pts_s))
    with np.errstate(invalid="ignore", over="ignore"):
        offsets = pts_s - pts_s[0]
    if len(pts_s) < 2 or not np.isfinite(offsets[-1]) or offsets[-1] <= 0:
        return frame_rate if np.isfinite(frame_rate) and frame_rate > 0 else 1.0
    measured = float(steps[-1] / offsets[-1])
    candidates = [round(measured), round(measured * 1.001) / 1.001, round(2 * measured) / 2, measured]
    errors = {rate: float(np.abs(offsets - steps / rate).max()) for rate in candidates if rate > 0}
    exact = [rate for rate, error in errors.items() if error <= EXACT_S]
    if exact:
        return float(exact[0])
    best = min(errors, key=lambda rate: errors[rate])
    return float(best) if errors[best] <= min(ROUNDED_S, 0.5 / best) else None


class _Resampled:
    """A video thought of as resampled to ``rate``: how many frames, and which ones."""

    def __init__(self, pts_s, frame_rate: float, rate: float | None):
        if rate is not None and not (np.isfinite(rate) and rate > 0):
            raise ValueError(f"a frame rate must be above 0, got {rate}")
        self.pts_s, self.rate = _checked_stamps(pts_s), rate
        n = len(self.pts_s)
        self.native = constant_rate(self.pts_s, frame_rate) or (n - 1) / float(self.pts_s[-1] - self.pts_s[0])
        self.count = n if rate is None or n == 1 else num_at_rate(n, self.native, rate)

    def frames(self, positions: np.ndarray) -> np.ndarray:
        """Indices in display order of resampled positions, any shape."""
        if self.rate is None or len(self.pts_s) == 1:
            return np.asarray(positions, np.int64)
        return frames_at(positions / self.rate, self.pts_s, self.native)


def _floor_shares(places: np.ndarray, num_available: int, num_shares: int) -> np.ndarray:
    """Places counted in shares, as frame indices; the minimum guards against rounding up to the end."""
    return np.minimum(np.floor(places * (num_available / num_shares)).astype(np.int64), num_available - 1)


def _stride(frame_rate: float, rate: float | None) -> int:
    if rate is None or not (np.isfinite(frame_rate) and frame_rate > 0):
        return 1
    return max(1, round(frame_rate / rate))


def _checked_stamps(pts_s) -> np.ndarray:
    pts_s = np.asarray(pts_s, np.float64)
    if pts_s.ndim != 1:
        raise ValueError(f"time stamps must have one axis, got shape {pts_s.shape}")
    if not len(pts_s):
        raise UnreadableVideo("no_frames", "the video has no frame to choose from")
    return pts_s


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")


def _check_short(num_needed: int, num_available: int, short: str) -> None:
    if short not in SHORT_RULES:
        raise ValueError(f"unknown rule for short videos {short!r}; known: {', '.join(SHORT_RULES)}")
    if short == "error" and num_available < num_needed:
        raise UnreadableVideo(
            "too_short", f"{num_available} frames at the model's frame rate, but it takes {num_needed} and repeats none"
        )
