import numpy as np
import pytest

from vidbench.data import sample
from vidbench.records import InputSpec, UnreadableVideo

NTSC = 30000 / 1001


def spec(**changes) -> InputSpec:
    fields = {"num_frames": 4, "frame_rate": None, "resize": 8, "crop": (8, 8), "mean": (0, 0, 0), "std": (1, 1, 1)}
    return InputSpec(**{**fields, **changes})


def even(num_frames, rate, first=0.0):
    return first + np.arange(num_frames) / rate


# --- tables worked out by hand


@pytest.mark.parametrize(
    ("available", "wanted", "expected"),
    [
        (10, 5, [1, 3, 5, 7, 9]),
        (3, 4, [0, 1, 1, 2]),
        (1, 3, [0, 0, 0]),
        (7, 7, [0, 1, 2, 3, 4, 5, 6]),
        (100, 3, [16, 50, 83]),
        (9, 1, [4]),
    ],
)
def test_middle_indices_take_the_middle_of_equal_shares(available, wanted, expected):
    indices = sample.middle_indices(available, wanted)
    assert indices.tolist() == expected
    assert indices.dtype == np.int64


def test_several_uniform_clips_interleave_and_each_spans_the_video():
    assert sample.uniform(12, 3, num_clips=2).tolist() == [[1, 5, 9], [3, 7, 11]]
    assert sample.uniform(12, 3).tolist() == [[2, 6, 10]]


def test_segments_without_a_seed_take_their_centres():
    assert sample.segments(250, 3).tolist() == [[41, 125, 208]]


@pytest.mark.parametrize(
    ("available", "span", "clips", "expected"),
    [
        (150, 16, 5, [0, 33, 67, 100, 134]),
        (150, 128, 1, [11]),
        (16, 16, 3, [0, 0, 0]),
        (17, 16, 3, [0, 0, 1]),
        (5, 16, 2, [0, 0]),
    ],
)
def test_windows_run_from_the_first_frame_to_the_last(available, span, clips, expected):
    assert sample.window_starts(available, span, clips).tolist() == expected


def test_a_lone_window_lies_in_the_middle_unless_asked_to_start_at_the_start():
    assert sample.window_starts(150, 128, from_start=True).tolist() == [0]
    pts = even(150, 15.0)
    assert sample.indices_for(spec(num_frames=128, frame_rate=15.0), pts, 15.0)[0, 0] == 11
    from_start = spec(num_frames=128, frame_rate=15.0, sampling="clips_from_start")
    assert sample.indices_for(from_start, pts, 15.0)[0].tolist() == list(range(128))


def test_dense_keeps_its_stride_and_sits_in_the_middle():
    assert sample.dense(100, 8, stride=8)[0].tolist() == [21, 29, 37, 45, 53, 61, 69, 77]
    assert sample.dense(20, 3, stride=2, num_clips=3).tolist() == [[0, 2, 4], [7, 9, 11], [15, 17, 19]]


def test_dense_by_a_card_uses_the_nearest_whole_stride():
    card = spec(sampling="dense", num_frames=3, frame_rate=15.0)
    assert sample.indices_for(card, even(9, NTSC), NTSC).tolist() == [[2, 4, 6]]
    assert sample.indices_for(card, even(9, 10.0), 10.0).tolist() == [[3, 4, 5]]


def test_short_videos_repeat_the_last_frame_begin_again_or_are_refused():
    assert sample.dense(3, 6).tolist() == [[0, 1, 2, 2, 2, 2]]
    assert sample.dense(3, 7, short="loop").tolist() == [[0, 1, 2, 0, 1, 2, 0]]
    with pytest.raises(UnreadableVideo, match=r"3 frames .* takes 6") as caught:
        sample.dense(3, 6, short="error")
    assert caught.value.status == "too_short"
    assert sample.dense(6, 6, short="error").tolist() == [[0, 1, 2, 3, 4, 5]]


def test_short_is_counted_at_the_rate_of_the_clip():
    # 1 s at 30 fps is 15 frames at 15 fps: enough frames in the file, too few for the model
    card = spec(num_frames=16, frame_rate=15.0, short="error")
    with pytest.raises(UnreadableVideo, match="15 frames"):
        sample.indices_for(card, even(30, 30.0), 30.0)
    repeat = sample.indices_for(spec(num_frames=16, frame_rate=15.0), even(30, 30.0), 30.0)
    assert repeat[0].tolist() == [*range(0, 30, 2), 28]


@pytest.mark.parametrize("sampling", ["uniform", "segments"])
def test_uniform_refuses_short_videos_only_when_told_to(sampling):
    assert sample.indices_for(spec(sampling=sampling), even(2, 5.0), 5.0).tolist() == [[0, 0, 1, 1]]
    with pytest.raises(UnreadableVideo, match="too_short"):
        sample.indices_for(spec(sampling=sampling, short="error"), even(3, 5.0), 5.0)


def test_stream_takes_every_fifth_frame_for_movinet_and_all_without_a_rate():
    movinet = spec(sampling="stream", num_frames=0, frame_rate=5.0)
    assert sample.indices_for(movinet, even(52, 25.0), 25.0).tolist() == [[*range(0, 52, 5)]]
    thirty = sample.indices_for(movinet, even(300, NTSC), NTSC)[0]
    assert thirty.tolist()[:8] == [0, 5, 11, 17, 23, 29, 35, 41]
    assert len(thirty) == 50
    every = spec(sampling="stream", num_frames=0)
    assert sample.indices_for(every, even(7, 25.0), 25.0).tolist() == [[0, 1, 2, 3, 4, 5, 6]]
    assert sample.indices_for(spec(sampling="stream", num_frames=3), even(7, 25.0), 25.0).tolist() == [[0, 1, 2]]


# --- frame rates and time stamps


@pytest.mark.parametrize(
    ("native", "rate"),
    [(25, 5), (25, 25), (30, 15), (NTSC, 15), (NTSC, 25), (24000 / 1001, 15), (50, 7.5), (12, 15), (10, 30), (60, 1)],
)
@pytest.mark.parametrize("first", [0.0, 1 / 3, 1234.567])
def test_a_constant_rate_gives_the_floor_of_exact_fractions(native, rate, first):
    from fractions import Fraction

    exact = Fraction(native).limit_denominator(1001) / Fraction(rate).limit_denominator(1001)
    n = 400
    times = np.arange(sample.num_at_rate(n, native, rate)) / rate
    expected = [min(n - 1, int(k * exact)) for k in range(len(times))]
    assert sample.frames_at(times, even(n, native, first), native).tolist() == expected


@pytest.mark.parametrize("native", [30.0, NTSC, 25.0, 24000 / 1001, 12.0, 59.94005994])
def test_stamps_rounded_to_milliseconds_lose_no_frame(native):
    exact, rounded = even(400, native), np.round(even(400, native), 3)
    measured = 399 / rounded[-1]
    assert sample.constant_rate(rounded, measured) == pytest.approx(native, rel=1e-9)
    times = np.arange(50) / (native / 2)
    assert sample.frames_at(times, rounded, measured).tolist() == sample.frames_at(times, exact, native).tolist()


def test_ntsc_and_whole_rates_are_told_apart_in_a_short_clip():
    assert sample.constant_rate(even(5, NTSC), NTSC) == pytest.approx(NTSC, rel=1e-12)
    assert sample.constant_rate(even(5, 30.0), 30.0) == 30.0


def test_a_variable_rate_shows_the_last_frame_whose_stamp_is_not_later():
    pts = np.array([5.0, 5.04, 5.08, 5.5, 5.54, 6.9])
    times = np.array([0.0, 0.0399, 0.04, 0.49, 0.5, 0.53, 1.0, 1.8999, 1.9, 30.0])
    assert sample.frames_at(times, pts, 2.6).tolist() == [0, 0, 1, 2, 3, 3, 4, 4, 5, 5]


def test_a_gap_of_one_dropped_frame_is_seen_in_the_stamps():
    pts = np.delete(even(50, 25.0), 10)
    times = np.array([9, 10, 11, 12]) / 25
    assert sample.frames_at(times, pts, 25.0).tolist() == [9, 9, 10, 11]


def test_stamps_that_are_no_time_fall_back_to_the_frame_rate():
    for pts in (np.zeros(8), np.full(8, np.nan), np.arange(8)[::-1] * 1.0):
        assert sample.frames_at(np.array([0.0, 0.1, 0.3]), pts, 10.0).tolist() == [0, 1, 3]


def test_a_time_span_beyond_reason_is_refused_instead_of_filling_memory():
    pts = np.array([0.0, 0.1, 1e12])
    with pytest.raises(UnreadableVideo, match="too_large"):
        sample.stream(pts, 3e-12, 5.0)
    assert sample.clips(pts, 3e-12, 4, 5.0, 3).tolist()[0] == [0, 1, 1, 1]


def test_a_video_without_a_frame_is_unreadable_in_every_rule():
    for sampling in sample.SAMPLINGS:
        with pytest.raises(UnreadableVideo, match="no_frames"):
            sample.indices_for(spec(sampling=sampling), np.zeros(0), 25.0)


def torchvision_indices(num_frames, native, rate, wanted, clips):
    """Reference evaluation of torchvision in exact fractions: resample, all windows, spread evenly."""
    step = native / rate
    if float(step).is_integer():
        resampled = np.arange(num_frames)[:: int(step)]
    else:
        resampled = np.floor(np.arange(int(np.floor(num_frames / step))) * step).astype(int)
    windows = np.lib.stride_tricks.sliding_window_view(resampled, wanted)
    return windows[np.floor(np.linspace(0, len(windows) - 1, clips)).astype(int)]


@pytest.mark.parametrize("num_frames", [60, 150, 249, 250, 298, 300, 301, 303])
@pytest.mark.parametrize(("native", "rate"), [(30.0, 15.0), (25.0, 15.0), (NTSC, 15.0), (30.0, 7.5), (12.5, 15.0)])
def test_clips_are_those_of_torchvisions_reference_evaluation(num_frames, native, rate):
    for wanted, clips in [(8, 5), (12, 12)]:
        ours = sample.clips(even(num_frames, native), native, wanted, rate, clips)
        assert ours.tolist() == torchvision_indices(num_frames, native, rate, wanted, clips).tolist()
    ours = sample.clips(even(num_frames, native), native, 10, rate, from_start=True)
    assert ours.tolist() == torchvision_indices(num_frames, native, rate, 10, 1).tolist()


@pytest.mark.parametrize(("native", "rate", "count"), [(30.0, 15.0, 301), (25.0, 15.0, 250), (24.0, 15.0, 239)])
def test_resampling_keeps_as_many_frames_as_torchvision(native, rate, count):
    torch = pytest.importorskip("torch")
    from torchvision.datasets.video_utils import VideoClips

    theirs = VideoClips._resample_video_idx(int(np.floor(count * rate / native)), native, rate)
    theirs = torch.arange(count)[theirs]
    ours = sample.stream(even(count, native), native, rate)[0]
    assert ours.tolist() == theirs.tolist()


# --- training


@pytest.mark.parametrize("sampling", ["clips", "dense", "uniform", "segments"])
def test_a_seed_gives_the_same_frames_again_and_another_seed_others(sampling):
    card, pts = spec(sampling=sampling, num_clips=3, frame_rate=12.5), even(200, 25.0)
    first = sample.indices_for(card, pts, 25.0, seed=[7, 1])
    assert (first == sample.indices_for(card, pts, 25.0, seed=[7, 1])).all()
    assert (first != sample.indices_for(card, pts, 25.0, seed=[7, 2])).any()
    assert len({tuple(row) for row in first.tolist()}) == 3


def test_random_segments_stay_in_their_segment_and_reach_all_of_it():
    drawn = sample.segments(30, 3, num_clips=3000, seed=0)
    for segment in range(3):
        values, counts = np.unique(drawn[:, segment], return_counts=True)
        assert values.tolist() == list(range(10 * segment, 10 * segment + 10))
        assert counts.min() > 200, "each frame is drawn about 300 times"
    steps = np.unique(np.diff(drawn, axis=1))
    assert steps.min() == 1
    assert steps.max() == 19


def test_random_uniform_clips_keep_even_steps():
    drawn = sample.uniform(40, 4, num_clips=500, seed=3)
    assert np.unique(np.diff(drawn, axis=1)).tolist() == [10]
    assert np.unique(drawn[:, 0]).tolist() == list(range(10))


def test_random_windows_reach_the_first_and_the_last_frame():
    drawn = sample.dense(20, 4, stride=2, num_clips=2000, seed=5)  # more clips than windows: drawn again
    assert len({*sample.window_starts(40, 4, 30, seed=5).tolist()}) == 30
    assert np.unique(drawn[:, 0]).tolist() == list(range(14))
    assert drawn.max() == 19


# --- whatever comes


def test_any_video_gives_indices_in_range_and_in_the_promised_shape():
    rng = np.random.default_rng(20)
    for trial in range(3000):
        n = int(rng.choice([1, 2, 3, rng.integers(1, 40), rng.integers(1, 2000)]))
        native = float(rng.choice([25, NTSC, 30, 0.5, 120, rng.uniform(0.1, 300)]))
        pts = even(n, native, rng.choice([0, 3.2]))
        if trial % 3 == 1:
            pts = np.sort(rng.choice([rng.uniform(0, 30, n), np.round(pts, 3), np.zeros(n)]))
        if trial % 3 == 2:
            native = float(rng.choice([native, 0.0, np.nan, np.inf, -1.0]))
        sampling = str(rng.choice(sample.SAMPLINGS))
        card = spec(
            sampling=sampling,
            num_frames=int(rng.integers(1, 40)) if sampling != "stream" else int(rng.integers(0, 5)),
            frame_rate=rng.choice([None, 5.0, 7.5, 15.0, float(rng.uniform(0.2, 60))]),
            num_clips=int(rng.integers(1, 12)),
            short=str(rng.choice(["repeat", "loop"])),
        )
        indices = sample.indices_for(card, pts, native, seed=rng.choice([None, 4]))
        assert indices.dtype == np.int64
        assert indices.min() >= 0
        assert indices.max() < n
        if sampling == "stream":
            assert indices.shape[0] == 1
            assert indices.shape[1] >= 1
        else:
            assert indices.shape == (card.num_clips, card.num_frames)
        if card.short == "repeat" or sampling in ("stream", "uniform", "segments"):
            assert (np.diff(indices, axis=1) >= 0).all(), "time never runs backwards"


def test_impossible_cards_are_named():
    pts = even(9, 25.0)
    with pytest.raises(ValueError, match="unknown sampling 'clip'; known: clips"):
        sample.indices_for(spec(sampling="clip"), pts, 25.0)
    with pytest.raises(ValueError, match="unknown rule for short videos 'pad'"):
        sample.indices_for(spec(short="pad"), pts, 25.0)
    with pytest.raises(ValueError, match="above 0, got 0"):
        sample.indices_for(spec(frame_rate=0.0), pts, 25.0)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        sample.indices_for(spec(num_frames=0), pts, 25.0)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        sample.middle_indices(0, 4)


# --- windows that walk over a long video


def test_windows_are_a_step_apart_and_the_last_one_ends_with_the_video():
    assert sample.time_windows(7.0, 2.0, 2.0).tolist() == [[0, 2], [2, 4], [4, 6], [5, 7]]
    assert sample.time_windows(6.0, 2.0, 2.0).tolist() == [[0, 2], [2, 4], [4, 6]]
    assert sample.time_windows(2.0, 2.0, 0.5).tolist() == [[0, 2]]
    assert sample.time_windows(0.3, 2.0, 0.5).tolist() == [[0, 0.3]]
    thirds = sample.time_windows(0.9, 0.3, 0.1)  # 0.6 / 0.1 is a little below 6 in binary
    assert len(thirds) == 7
    assert thirds[-1, 1] == pytest.approx(0.9)


def test_windows_cover_every_moment():
    rng = np.random.default_rng(2)
    for _ in range(300):
        duration, window, stride = rng.uniform(0.1, 20), rng.uniform(0.1, 9), rng.uniform(0.05, 3)
        windows = sample.time_windows(duration, window, min(stride, window))
        assert windows[0, 0] == 0
        assert windows[-1, 1] == pytest.approx(duration)
        assert (windows[1:, 0] <= windows[:-1, 1] + 1e-9).all()
        assert (np.diff(windows[:, 0]) > 0).all()
        np.testing.assert_allclose(windows[:, 1] - windows[:, 0], min(window, duration))


@pytest.mark.parametrize("lengths", [(0.0, 1.0, 1.0), (5.0, -1.0, 1.0), (5.0, 1.0, float("nan"))])
def test_lengths_of_windows_must_be_above_zero(lengths):
    with pytest.raises(ValueError, match="must be above 0"):
        sample.time_windows(*lengths)


def test_a_window_is_read_as_a_video_of_its_own():
    pts = even(50, 25.0, first=3.0)
    windows = np.array([[0.0, 0.4], [0.8, 1.6]])
    first, second = sample.indices_in_windows(spec(sampling="uniform", num_clips=2), pts, 25.0, windows)
    np.testing.assert_array_equal(first, sample.uniform(10, 4, 2))
    np.testing.assert_array_equal(second, 20 + sample.uniform(20, 4, 2))
    streamed = sample.indices_in_windows(spec(sampling="stream", num_frames=0, frame_rate=5.0), pts, 25.0, windows)
    assert [indices.tolist() for indices in streamed] == [[[0, 5]], [[20, 25, 30, 35]]]


def test_frames_on_the_edge_belong_to_one_window_whatever_the_binary_fractions():
    pts = even(300, NTSC)
    edges = np.arange(0, 300, 7) / NTSC
    windows = np.stack([edges[:-1], edges[1:]], 1)
    found = sample.indices_in_windows(spec(sampling="stream", num_frames=0), pts, NTSC, windows)
    np.testing.assert_array_equal(np.concatenate(found, axis=1)[0], np.arange(len(windows) * 7))


def test_a_window_in_a_pause_holds_the_frame_on_screen():
    pts = np.array([0.0, 0.1, 0.2, 4.0, 4.1])
    (indices,) = sample.indices_in_windows(spec(sampling="uniform"), pts, 1.0, np.array([[1.0, 2.0]]))
    assert indices.tolist() == [[2, 2, 2, 2]]
