import builtins
import dataclasses

import numpy as np
import pytest
from conftest import read_barcode

from vidbench.data import process
from vidbench.data.decode import read_clip
from vidbench.data.process import get_frames, store_frames
from vidbench.data.sample import uniform
from vidbench.records import ConfigError, InputSpec, RunError, UnreadableVideo

RNG = np.random.default_rng


def spec(**changes) -> InputSpec:
    fields = {"num_frames": 4, "frame_rate": None, "resize": (10, 14), "crop": (6, 8)}
    fields |= {"mean": (0.43216, 0.394666, 0.37645), "std": (0.22803, 0.22145, 0.216989)}
    return InputSpec(**{**fields, **changes})


def noise(*shape, seed=0) -> np.ndarray:
    return RNG(seed).integers(0, 256, shape, np.uint8)


def smooth(t, h, w) -> np.ndarray:
    """Pictures as videos have them: gradients, edges and a little grain."""
    y, x = np.mgrid[0:h, 0:w]
    frames = np.stack([(127 + 120 * np.sin((x * (c + 1) + y * 2) / 9)) for c in range(3)], -1)
    frames = frames + RNG(1).normal(0, 4, (t, h, w, 3))
    frames[:, h // 3 : h // 2, w // 4 : w // 2] = 230
    return np.clip(frames, 0, 255).astype(np.uint8)


# --- sizes


@pytest.mark.parametrize(
    ("size", "resize", "expected"),
    [
        ((240, 320), 128, (128, 170)),
        ((320, 240), 128, (170, 128)),
        ((256, 340), 256, (256, 340)),
        ((100, 100), 7, (7, 7)),
        ((240, 320), (128, 171), (128, 171)),
        ((1080, 1920), 256, (256, 455)),
        ((1, 9), 4, (4, 36)),
    ],
)
def test_target_size_rounds_the_long_side_down(size, resize, expected):
    assert process.target_size(*size, resize) == expected


def test_target_size_is_torchvisions_for_every_shape():
    functional = pytest.importorskip("torchvision.transforms.functional")
    for height in (64, 97, 144, 240, 339, 358):
        for width in (63, 97, 176, 319, 320, 426):
            for side in (112, 128, 171, 224, 256):
                theirs = functional._compute_resized_output_size((height, width), [side])
                assert list(process.target_size(height, width, side)) == theirs


@pytest.mark.parametrize("values", [(0, 3, 4), (3, 4, 0), (3, 4, (4, 0)), (3, 4, (1, 2, 3))])
def test_sizes_below_one_pixel_are_refused(values):
    with pytest.raises(ValueError, match="at least 1 pixel"):
        process.target_size(*values)


# --- resize


@pytest.mark.parametrize("backend", ["opencv", "numpy"])
@pytest.mark.parametrize(("size", "wanted"), [((47, 61), (30, 22)), ((20, 31), (53, 44)), ((240, 320), (128, 171))])
def test_resize_is_torchvisions_without_antialias_to_one_level(backend, size, wanted):
    torch = pytest.importorskip("torch")
    from torchvision.transforms import functional

    if backend == "opencv":
        pytest.importorskip("cv2")
    for frames in (noise(3, *size, 3), smooth(3, *size)):
        theirs = functional.resize(torch.from_numpy(frames).permute(0, 3, 1, 2), list(wanted), antialias=False)
        theirs = theirs.permute(0, 2, 3, 1).numpy()
        ours = process.resize(frames, wanted, backend=backend)
        difference = np.abs(ours.astype(int) - theirs)
        assert ours.dtype == np.uint8
        assert difference.max() <= 1
        assert difference.mean() < 0.003


def test_both_backends_agree_to_one_level():
    pytest.importorskip("cv2")
    differing = total = 0
    for seed in range(40):
        rng = RNG(seed)
        frames = noise(2, *rng.integers(1, 70, 2), 3, seed=seed)
        wanted = tuple(int(side) for side in rng.integers(1, 70, 2))
        a, b = (process.resize(frames, wanted, backend=name).astype(int) for name in ("opencv", "numpy"))
        assert a.shape == (2, *wanted, 3)
        assert np.abs(a - b).max() <= 1
        differing, total = differing + (a != b).sum(), total + a.size
    assert differing < 0.005 * total


def test_without_opencv_resize_still_works_and_says_so(monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest, **more):
        if name == "cv2":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert process.resize_backend() == "numpy"
    half = process.resize(np.array([[[[0] * 3, [100] * 3, [50] * 3, [150] * 3]]], np.uint8), (1, 2))
    assert half[0, 0, :, 0].tolist() == [50, 100]


def test_resize_keeps_axes_apart_and_takes_views_and_no_frames():
    frames = np.zeros((5, 12, 20, 3), np.uint8)
    frames[2, :, 10:] = (10, 20, 30)
    small = process.resize(frames, (6, 10))
    assert small.shape == (5, 6, 10, 3)
    assert small[2, :, 5:].reshape(-1, 3).tolist() == [[10, 20, 30]] * 30
    assert not small[[0, 1, 3, 4]].any()
    flipped = frames[::-1, :, ::-1]
    assert (process.resize(flipped, (6, 10)) == small[::-1, :, ::-1]).all()
    assert process.resize(frames[:0], (6, 10)).shape == (0, 6, 10, 3)
    assert process.resize(frames, (12, 20)) is frames


@pytest.mark.parametrize(
    "bad", [np.zeros((2, 3, 4, 3), np.float32), np.zeros((3, 4, 3), np.uint8), np.zeros((2, 3, 4, 1), np.uint8)]
)
def test_resize_refuses_what_is_not_a_stack_of_rgb_frames(bad):
    with pytest.raises(ValueError, match="uint8"):
        process.resize(bad, (2, 2))


# --- crops


def test_center_crop_keeps_the_axes_apart():
    frames = np.zeros((5, 12, 20, 3), np.uint8)
    frames[:, :, 10] = 255
    cropped = process.center_crop(frames, 8)
    assert cropped.shape == (5, 8, 8, 3)
    assert (cropped[:, :, 4] == 255).all()


def test_center_crop_takes_torchvisions_pixels_for_odd_and_even_margins():
    torch = pytest.importorskip("torch")
    from torchvision.transforms import functional

    for h in range(8, 14):
        for w in range(9, 16):
            frames = noise(2, h, w, 3, seed=h * w)
            theirs = functional.center_crop(torch.from_numpy(frames).permute(0, 3, 1, 2), [7, 8])
            assert (process.center_crop(frames, (7, 8)) == theirs.permute(0, 2, 3, 1).numpy()).all()


def test_three_crops_run_along_the_longer_side():
    wide = np.broadcast_to(np.arange(21, dtype=np.uint8)[None, None, :, None], (2, 10, 21, 3))
    assert [crop[0, 0, 0, 0] for crop in process.three_crops(wide, 8)] == [0, 6, 13]
    tall = np.broadcast_to(np.arange(21, dtype=np.uint8)[None, :, None, None], (2, 21, 10, 3))
    assert [crop[0, 0, 0, 0] for crop in process.three_crops(tall, 8)] == [0, 6, 13]
    assert {crop.shape for crop in process.three_crops(tall, 8)} == {(2, 8, 8, 3)}
    assert (process.three_crops(wide, 8)[1] == process.center_crop(wide, 8)).all()


def test_a_crop_larger_than_the_frame_is_refused_and_never_padded():
    for crop in (process.center_crop, process.three_crops):
        with pytest.raises(ValueError, match="11x8 does not fit into frames of 10x20"):
            crop(noise(1, 10, 20, 3), (11, 8))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"resize": 7, "crop": (8, 9)}, "does not fit"),
        ({"resize": (10, 14), "crop": (12, 8)}, "does not fit"),
        ({"resize": (10, 14), "crop": (0, 8)}, "does not fit"),
        ({"num_crops": 2}, "1 .centre., 3"),
        ({"num_clips": 0}, "counted from 1"),
        ({"layout": "TCHW"}, "Unknown axis order"),
    ],
)
def test_a_card_that_cannot_be_is_refused_before_any_video(changes, words):
    with pytest.raises(ConfigError, match=words):
        process.check_spec(spec(**changes))


def test_a_wide_crop_fits_a_short_side_below_its_width_where_the_frames_are_wide_enough():
    wide, tall = noise(4, 12, 20, 3), noise(4, 20, 12, 3)
    asked = spec(resize=8, crop=(8, 9), num_crops=3)
    assert process.views_from_frames(wide, np.arange(4)[None], asked).shape == (3, 4, 8, 9, 3)
    words = "A crop of 8x9 does not fit into frames of 20x12 that are resized to 13x8: a short side of 9 holds it"
    with pytest.raises(ConfigError, match=words):
        process.views_from_frames(tall, np.arange(4)[None], asked)
    assert process.views_from_frames(tall, np.arange(4)[None], dataclasses.replace(asked, resize=9)).shape == (
        3,
        4,
        8,
        9,
        3,
    )


# --- views


def test_views_run_clip_by_clip_and_crop_by_crop():
    frames = noise(7, 20, 33, 3)
    positions = np.array([[0, 2, 2, 6], [5, 4, 3, 0]])
    card = spec(resize=11, crop=(9, 8), num_crops=3, num_clips=2)
    views = process.views_from_frames(frames, positions, card)
    assert views.shape == (6, 4, 9, 8, 3)
    resized = process.resize(frames, (11, 18))
    for clip in range(2):
        for number, crop in enumerate(process.three_crops(resized, (9, 8))):
            assert (views[3 * clip + number] == crop[positions[clip]]).all()
    one = process.views_from_frames(frames, positions, dataclasses.replace(card, num_crops=1))
    assert (one == views[1::3]).all()


def test_each_frame_in_use_is_resized_once_and_no_other(monkeypatch):
    seen = []
    real = process.resize
    monkeypatch.setattr(process, "resize", lambda frames, size: seen.append(len(frames)) or real(frames, size))
    process.views_from_frames(noise(9, 20, 30, 3), np.array([[1, 1, 5], [5, 7, 1]]), spec())
    assert seen == [3]


@pytest.mark.parametrize("positions", [[[0, 3]], [[-1, 0]], [0, 1], np.zeros((0, 2), int)])
def test_positions_out_of_range_are_refused(positions):
    with pytest.raises(ValueError, match="positions"):
        process.views_from_frames(noise(3, 20, 30, 3), np.array(positions), spec())


# --- normalise


@pytest.mark.parametrize(
    ("layout", "expected", "where"),
    [
        ("NCTHW", (2, 3, 5, 7, 9), lambda n, t, h, w, c: (n, c, t, h, w)),
        ("NTCHW", (2, 5, 3, 7, 9), lambda n, t, h, w, c: (n, t, c, h, w)),
        ("NTHWC", (2, 5, 7, 9, 3), lambda n, t, h, w, c: (n, t, h, w, c)),
        ("NCHW", (10, 3, 7, 9), lambda n, t, h, w, c: (5 * n + t, c, h, w)),
    ],
)
def test_normalise_puts_each_value_in_its_place(layout, expected, where):
    pixels, card = noise(2, 5, 7, 9, 3), spec(layout=layout)
    values = process.normalise(pixels, card)
    assert values.shape == expected
    assert values.dtype == np.float32
    for place in [(0, 0, 0, 0, 0), (1, 3, 2, 8, 1), (1, 4, 6, 5, 2)]:
        exact = (pixels[place] / 255 - card.mean[place[-1]]) / card.std[place[-1]]
        assert values[where(*place)] == pytest.approx(exact, abs=1e-6)


def test_one_view_normalises_without_a_batch_axis():
    assert process.normalise(noise(5, 7, 9, 3), spec()).shape == (3, 5, 7, 9)


@pytest.mark.parametrize(
    "name", ["R3D_18_Weights", "S3D_Weights", "MViT_V1_B_Weights", "MViT_V2_S_Weights", "Swin3D_T_Weights"]
)
@pytest.mark.parametrize("size", [(240, 320), (256, 340), (340, 256), (97, 131)])
def test_pixels_are_those_of_torchvisions_presets(name, size):
    torch = pytest.importorskip("torch")
    from torchvision.models import video

    preset = getattr(video, name).KINETICS400_V1.transforms()
    resize = preset.resize_size[0] if len(preset.resize_size) == 1 else tuple(preset.resize_size)
    card = spec(resize=resize, crop=tuple(preset.crop_size), mean=tuple(preset.mean), std=tuple(preset.std))
    frames = smooth(4, *size)
    ours = process.normalise(process.views_from_frames(frames, np.arange(4)[None], card), card)[0]
    theirs = preset(torch.from_numpy(frames).permute(0, 3, 1, 2)).numpy()
    assert ours.shape == theirs.shape
    difference = np.abs(ours - theirs)
    assert difference.max() <= 1.001 / 255 / min(preset.std), "one level at most"
    assert difference.mean() < 0.003 / 255 / min(preset.std), "and in three values of a thousand"


# --- frames out of a video, and into pictures


@pytest.fixture(scope="module")
def numbered(make_video, tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("frames") / "clip.mp4", num_frames=41, width=128, height=96)


def test_get_frames_takes_those_that_a_spread_view_takes_and_counts_for_itself(numbered):
    for number in (1, 16, 41):
        frames, total = get_frames(numbered, number)
        assert total == 41
        assert [read_barcode(frame) for frame in frames] == uniform(41, number)[0].tolist()
    frames, _ = get_frames(numbered, None)
    assert [read_barcode(frame) for frame in frames] == list(range(41))
    assert frames.shape == (41, 96, 128, 3)
    assert frames.dtype == np.uint8


def test_a_short_video_gives_each_frame_once(numbered):
    frames, total = get_frames(numbered, 60)
    assert (len(frames), total) == (41, 41)
    with pytest.raises(ValueError, match="n_frames is at least 1"):
        get_frames(numbered, 0)


def test_get_frames_says_why_there_are_none(tmp_path):
    (tmp_path / "words.mp4").write_text("no video")
    with pytest.raises(UnreadableVideo) as caught:
        get_frames(tmp_path / "words.mp4")
    assert caught.value.status == "not_media"


def test_stored_frames_are_a_video_in_the_same_order(numbered, tmp_path):
    frames, _ = get_frames(numbered, 13)
    assert store_frames(frames, tmp_path / "a" / "clip", frame_rate=7.5) == 13
    clip = read_clip(tmp_path / "a" / "clip", range(13))
    assert [read_barcode(frame) for frame in clip.frames] == uniform(41, 13)[0].tolist()
    assert (clip.status, clip.info.frame_rate) == ("ok", 7.5)
    assert np.abs(clip.frames.astype(int) - frames).mean() < 4  # of 255: JPEG at 95
    assert clip.frames[..., 0].mean() == pytest.approx(frames[..., 0].mean(), abs=1)  # red is still red
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["clip"]


def test_store_frames_writes_into_nothing_that_is_there_and_leaves_nothing_half_done(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "img_00007.jpg").write_bytes(b"mine")
    with pytest.raises(RunError, match="holds pictures already"):
        store_frames(noise(2, 8, 12, 3), tmp_path / "full")
    assert (tmp_path / "full" / "img_00007.jpg").read_bytes() == b"mine"

    def broken():
        yield noise(8, 12, 3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store_frames(broken(), tmp_path / "new")
    for frames in ([], [noise(8, 12)], noise(1, 8, 12, 3).astype(float)):
        with pytest.raises(ValueError, match="frame"):
            store_frames(frames, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
    (tmp_path / "new").mkdir()  # an empty one may be there
    assert store_frames(noise(2, 8, 12, 3), tmp_path / "new") == 2


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"pictures cannot be written to .*clip: "):
        store_frames(noise(2, 8, 12, 3), tmp_path / "file" / "clip")
