"""Pictures that carry their own number."""

from __future__ import annotations

import av
import numpy as np
import pytest

from vidbench.data.barcode import draw_number, read_number, read_numbers, write_numbered
from vidbench.data.decode import packet_table, probe, read_clip
from vidbench.records import ConfigError


@pytest.mark.parametrize(("width", "height"), [(160, 120), (40, 12), (322, 97)])
def test_a_number_is_read_as_it_was_drawn(width, height):
    for number in (0, 1, 341, 682, 1023):
        picture = draw_number(number, width, height)
        assert picture.shape == (height, width, 3)
        assert picture.dtype == np.uint8
        assert read_number(picture) == number


def test_a_number_survives_noise_and_scaling():
    rng = np.random.default_rng(0)
    picture = draw_number(619, 160, 120)[::2, ::2].astype(float) + rng.normal(0, 30, (60, 80, 3))
    assert read_number(picture.clip(0, 255).astype(np.uint8)) == 619


@pytest.mark.parametrize("number", [-1, 1024])
def test_a_number_that_does_not_fit_is_refused(number):
    with pytest.raises(ValueError, match="between 0 and 1023"):
        draw_number(number)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {}),
        ("a.mkv", {"gop": 5, "b_frames": 0}),
        ("a.avi", {"codec": "mpeg4"}),
        ("a.ts", {"width": 96, "height": 64}),
        ("a.webm", {"codec": "libvpx-vp9", "b_frames": 0}),
    ],
)
def test_a_written_file_gives_its_numbers_back(tmp_path, name, options):
    path = write_numbered(tmp_path / name, 31, **options)
    assert path == tmp_path / name
    clip = read_clip(path, range(31))
    assert read_numbers(clip.frames).tolist() == list(range(31))
    assert clip.info.num_frames == 31


def test_pictures_are_shown_at_the_times_given(tmp_path):
    times = np.cumsum([0.04, 0.3, 0.02, 0.5, 0.1])
    clip = read_clip(write_numbered(tmp_path / "a.mp4", 5, times_s=times), range(5))
    np.testing.assert_allclose(clip.pts_s, times - times[0], atol=1e-4)
    assert read_numbers(clip.frames).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("times", [[0, 1, 1], [0, 2, 1], [0, 1], [0, 1, np.inf]])
def test_times_must_rise_one_a_picture(tmp_path, times):
    with pytest.raises(ConfigError, match="3 rising times"):
        write_numbered(tmp_path / "a.mp4", 3, times_s=times)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_frames": 0}, "between 1 and 1024, got 0"),
        ({"num_frames": 1025}, "between 1 and 1024, got 1025"),
        ({"width": 161}, "even numbers of pixels, got 161x120"),
        ({"height": 0}, "even numbers of pixels, got 160x0"),
    ],
)
def test_what_cannot_be_written_is_refused_before_there_is_a_file(tmp_path, options, words):
    with pytest.raises(ConfigError, match=words):
        write_numbered(tmp_path / "a.mp4", **options)
    assert list(tmp_path.iterdir()) == []


def test_another_picture_can_be_drawn(tmp_path):
    def draw(number, width, height):
        return np.full((height, width, 3), (200, 10 * number, 30), np.uint8)

    path = write_numbered(tmp_path / "a.mp4", 3, width=48, height=32, picture=draw)
    frames = read_clip(path, [0, 2]).frames
    assert frames.shape == (2, 32, 48, 3)
    assert frames[1, :, :, 1].mean() - frames[0, :, :, 1].mean() > 10


# ---------------------------------------------------------------- the packets of such a file


def test_packets_come_in_decode_order_with_their_types(tmp_path):
    table = packet_table(write_numbered(tmp_path / "a.mp4", 24, gop=12, b_frames=2))
    assert table.picture_types[:7] == "IPBBPBB"
    assert sorted(table.picture_types) == sorted("I" * 2 + "P" * 8 + "B" * 14)
    assert np.flatnonzero(table.keys).tolist() == [0, 12]
    assert (np.diff(table.dts_s) > 0).all()
    assert (table.dts_s <= table.pts_s).all()
    np.testing.assert_allclose(np.sort(table.pts_s), np.arange(24) / 25, atol=1e-6)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert table.sizes.tolist() == [packet.size for packet in container.demux(video=0) if packet.size]


def test_without_b_pictures_both_orders_are_the_same(tmp_path):
    table = packet_table(write_numbered(tmp_path / "a.mkv", 20, gop=7, b_frames=0))
    assert table.picture_types == "IPPPPPPIPPPPPPIPPPPP"
    assert (np.diff(table.pts_s) > 0).all()


def test_times_count_from_the_first_picture_shown(tmp_path):
    table = packet_table(write_numbered(tmp_path / "a.mp4", 9, times_s=3 + np.arange(9) / 10))
    assert table.pts_s.min() == 0
    assert table.pts_s.max() == pytest.approx(0.8)


@pytest.mark.shared
def test_packets_that_are_not_shown_have_no_type(shared_dir):
    path = shared_dir / "data" / "odd" / "discard_first_keyframe.mp4"
    table = packet_table(path)
    assert table.picture_types.count("?") == 30 - probe(path).num_frames == 5
    assert (table.pts_s[:5] < 0).all()
