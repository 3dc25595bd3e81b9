"""An audit finds decoders out: other pictures, other colours, other answers."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vidbench import audit as auditing
from vidbench.arguments import EvaluateConfig
from vidbench.audit import NUM_NUMBERED, NUMBERED, PixelSums, audit, compare_pixels, number_test, text, write_audit
from vidbench.data import decode
from vidbench.data.strict import PyAVVideo
from vidbench.plan import make_plan
from vidbench.records import ConfigError, Row, UnreadableVideo
from vidbench.study_arguments import AUDIT, AuditConfig

ROOT = Path(__file__).resolve().parents[1]
MODEL = "mini_r2plus1d.vidmini_v1"
CONFIG = {"model": MODEL, "dataset": "vidmini", "data_dir": str(ROOT / "data/vidmini")}


class Late(PyAVVideo):
    """Gives the picture after the one asked for, but for the last."""

    def _decode(self, wanted):
        later, places = np.unique(np.minimum(wanted + 1, self.table.num_frames - 1), return_inverse=True)
        return super()._decode(later)[places]


class LateAlone(PyAVVideo):
    """Right while it reads on, one picture late where it has to seek."""

    def _decode(self, wanted):
        return super()._decode(np.minimum(wanted + (len(wanted) == 1), self.table.num_frames - 1))


class Narrow(PyAVVideo):
    """Takes one colour range for the other."""

    def _decode(self, wanted):
        frames = super()._decode(wanted)
        return np.rint(frames * (219 / 255) + 16).astype(np.uint8)


class Refusing(PyAVVideo):
    def _decode(self, wanted):
        raise UnreadableVideo("decode_error", "it will not")


@pytest.fixture
def pretend(monkeypatch):
    """Another decoder under a name that is not installed here."""

    def put(kind):
        monkeypatch.setattr(decode, "_need", lambda name: None)
        monkeypatch.setitem(decode._VIDEOS, "decord", kind)

    return put


@pytest.fixture(scope="module")
def plan():
    return make_plan(EvaluateConfig(**CONFIG, classes=("SitDown", "OpenDoor")))


@pytest.fixture
def one_video(monkeypatch):
    name = "h264, B-frames.mp4"
    monkeypatch.setattr(auditing, "NUMBERED", {name: NUMBERED[name]})


def test_the_strict_decoder_gives_every_picture_at_its_index():
    lines = number_test(("pyav",))
    assert [line["video"] for line in lines] == list(NUMBERED)
    for line in lines:
        assert line["problem"] == ""
        assert (line["pictures"], line["right"], line["alone"]) == (NUM_NUMBERED,) * 3
        black, white = (16, 235) if "full range" in line["video"] else (0, 255)
        assert abs(line["black"] - black) < 3
        assert abs(line["white"] - white) < 3


@pytest.mark.parametrize(("kind", "right"), [(Late, 1), (LateAlone, NUM_NUMBERED)])
def test_a_decoder_that_is_a_picture_late_is_found_out(kind, right, pretend, one_video):
    pretend(kind)
    strict, late = number_test(("pyav", "decord"))
    assert (strict["right"], strict["alone"]) == (NUM_NUMBERED, NUM_NUMBERED)
    assert (late["right"], late["alone"]) == (right, 1)  # the last picture has none behind it


def test_a_decoder_that_takes_one_colour_range_for_the_other_is_found_out(pretend, one_video, plan):
    pretend(Narrow)
    strict, narrow = number_test(("pyav", "decord"))
    assert (strict["black"], strict["white"]) == (0, 255)
    assert (narrow["black"], narrow["white"]) == (16, 235)
    found = compare_pixels(plan, "pyav", "decord", SimpleNamespace(compare=3, seed=0))
    assert (found["n_videos"], found["n_unreadable"]) == (3, 0)
    assert found["gain"] == pytest.approx(219 / 255, abs=1e-3)
    assert found["offset"] == pytest.approx(16, abs=0.1)
    assert 16 <= found["largest"] <= 20


def test_a_decoder_that_reads_nothing_is_counted_not_compared(pretend, one_video, plan):
    pretend(Refusing)
    _, refused = number_test(("pyav", "decord"))
    assert (refused["right"], refused["problem"]) == (0, "decode_error: it will not")
    found = compare_pixels(plan, "pyav", "decord", SimpleNamespace(compare=4, seed=0))
    assert (found["n_videos"], found["n_unreadable"], found["mean"]) == (0, 4, None)


def test_an_encoder_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setattr(auditing, "NUMBERED", {"odd.mp4": {"codec": "libnone"}})
    (line,) = number_test(("pyav",))
    assert line["right"] == 0
    assert line["problem"].startswith("cannot be written here")


def test_pixel_sums_are_those_of_all_pixels_at_once():
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, 256, (2, 3, 7, 11, 3), np.uint8)
    sums = PixelSums()
    for one, other in zip(a, b):
        sums.add(one, other)
    difference = a.astype(int) - b
    gain, offset = np.polyfit(a.ravel().astype(float), b.ravel().astype(float), 1)
    expected = {"mean": np.abs(difference).mean(), "largest": np.abs(difference).max(), "gain": gain, "offset": offset}
    assert sums.facts() == pytest.approx(expected)
    assert set(PixelSums().facts().values()) == {None}


def variant(name, answers, skipped=()):
    rows = [
        Row(n, f"v{n}", f"v{n}.mp4", "a", 0, "test", f"g{n // 2}", "ok", top=() if n in skipped else (("x", k, 0.9),))
        for n, k in enumerate(answers)
    ]
    right = np.array([bool(row.top) and row.top[0][1] == 0 for row in rows])
    return SimpleNamespace(name=name, entry=SimpleNamespace(rows=rows, right=right))


def test_a_flip_is_another_answer_right_or_wrong_or_none():
    first, other = variant("pyav", [0, 0, 1, 1, 2, 0]), variant("opencv", [0, 1, 1, 2, 2, 0], skipped=[5])
    found = auditing._flips(first, other)
    assert (found["flips"]["k"], found["flips"]["n"], found["flips"]["n_groups"]) == (3, 6, 3)
    assert (found["change"]["only_a"], found["change"]["only_b"]) == (2, 0)


def test_a_whole_audit_writes_its_tables(tmp_path, one_video):
    config = AuditConfig(
        **CONFIG, classes=("SitDown",), limit=6, compare=2, num_workers=0, no_cache=True, out=str(tmp_path / "out"),
        decoders=("pyav", "opencv"),
    )  # fmt: skip
    found = audit(config)
    assert list(found.decoders) == ["pyav", "opencv"]
    assert len(found.indices) == 2
    assert found.flips[0]["flips"]["n"] == 6
    assert sorted(path.name for path in (tmp_path / "out/runs").iterdir()) == ["opencv", "pyav"]
    folder = write_audit(found, tmp_path / "out")
    for name, number in (("indices", 2), ("pixels", 1), ("flips", 1)):
        with open(folder / f"{name}.csv", newline="") as file:
            assert len(list(csv.DictReader(file))) == number
    said = text(found)
    assert "top-1 100.0 %" in said
    assert "another answer on" in said


def test_a_wrong_choice_of_decoders_is_one_sentence(capsys, tmp_path):
    for names, words in ((["pyav"], "must be two or more of"), (["pyav", "vlc"], "must be one of")):
        with pytest.raises(SystemExit) as leaving:
            AUDIT.parse_or_exit(["--model", MODEL, "--dataset", "vidmini", "--decoders", *names])
        assert leaving.value.code == 2
        assert f"--decoders {words} pyav, opencv" in capsys.readouterr().err
    missing = next(name for name in ("decord", "torchcodec") if name not in auditing.versions(None))
    with pytest.raises(ConfigError, match=f"'{missing}' needs the package"):
        audit(AuditConfig(**CONFIG, decoders=("pyav", missing), out=str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()
