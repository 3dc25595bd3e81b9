"""Every bad video ends as one outcome that its list accepts, within its budget, and nothing else happens."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from conftest import ROOT, read_barcode

from vidbench.data.decode import Limits, open_video
from vidbench.data.load import ViewReader, read_views
from vidbench.records import STATUSES, InputSpec, UnreadableVideo, VideoRecord

BUDGET_S = 10.0
LIMITS = Limits(seconds=8, megabytes=1200)
SPEC = InputSpec(8, None, (64, 64), (64, 64), (0.5,) * 3, (0.5,) * 3, sampling="uniform")

# Cut exactly between two pictures; a transport stream does not say how long it is, so nobody can tell.
WHOLE_AS_FAR_AS_ONE_CAN_TELL = {"videos/trunc/ts_050.ts"}


def look(path, spec, *, decoder, limits, cache):
    """Read views as usual, then all pictures of short videos, and say in ``reason`` what was seen."""
    views = read_views(path, spec, decoder=decoder, limits=limits, cache=cache)
    with open_video(path, decoder=decoder, limits=limits) as video:
        few = min(video.info.num_frames, 200) if video.info.width * video.info.height < 2**20 else 0
        clip = video.read(range(few))
        codes = [read_barcode(frame) for frame in clip.frames] if few and clip.info.width >= 16 else []
        pts_ms = [round(1000 * seconds, 3) for seconds in clip.pts_s]
    peak = 0
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text().splitlines()
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024
    views.seconds.update(codes=codes, pts_ms=pts_ms, peak_mb=peak)
    return views


def fingerprints(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() + str(path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


@pytest.fixture(scope="module")
def run(torture):
    """All outcomes of one run over all bad videos, with the folder and the list they came from."""
    folder, items = torture("videos")
    before = {name: fingerprints(folder / name) for name in ("CANARY", "MARKERS")}
    pairs = [(k, VideoRecord(str(k), item["path"])) for k, item in enumerate(items)]
    outcomes, last, sockets = [], time.monotonic(), 0
    with ViewReader(folder, SPEC, num_workers=2, limits=LIMITS, _read=look) as reader:
        for key, outcome in reader.stream(pairs):
            assert key == len(outcomes)
            outcomes.append((outcome, time.monotonic() - last))
            last = time.monotonic()
            if key % 40 == 0:
                sockets += sum(len(child.net_connections("inet")) for child in psutil.Process().children())
    after = {name: fingerprints(folder / name) for name in ("CANARY", "MARKERS")}
    return {"folder": folder, "items": items, "outcomes": outcomes, "sockets": sockets, "changes": (before, after)}


def class_of(outcome) -> str:
    return "skipped-with-reason" if isinstance(outcome, UnreadableVideo) else "ok"


@pytest.mark.shared
@pytest.mark.slow
def test_each_outcome_is_one_of_those_expected(run):
    assert len(run["outcomes"]) == len(run["items"]) > 350
    wrong = []
    for item, (outcome, _) in zip(run["items"], run["outcomes"], strict=True):
        assert outcome.status in STATUSES
        if class_of(outcome) not in item["expect"]:
            wrong.append((item["path"], outcome.status, outcome.reason))
        if isinstance(outcome, UnreadableVideo):
            assert outcome.reason
            assert outcome.reason.isprintable()
            assert outcome.status not in ("worker_crash", "timeout", "memory"), item["path"]
    assert not wrong


@pytest.mark.shared
@pytest.mark.slow
def test_what_was_read_is_what_is_in_the_file(run):
    wrong = []
    for item, (outcome, _) in zip(run["items"], run["outcomes"], strict=True):
        truth = item.get("truth") or {}
        if isinstance(outcome, UnreadableVideo):
            continue
        seen = outcome.seconds
        found = {"frames": outcome.info.num_frames, "display": [outcome.info.width, outcome.info.height]}
        found |= {"barcode": seen["codes"], "pts_ms": seen["pts_ms"], "rotation": outcome.info.rotation}
        wrong += [(item["path"], name, found[name]) for name, value in truth.items() if found[name] != value]
    assert not wrong


@pytest.mark.shared
@pytest.mark.slow
def test_good_files_are_ok_and_cut_ones_never(run):
    for item, (outcome, _) in zip(run["items"], run["outcomes"], strict=True):
        if item["group"] in ("videos.good", "videos.pixfmt", "videos.rotate", "videos.names"):
            assert outcome.status == "ok", item["path"]
        if item["group"] == "videos.truncated" and item["path"] not in WHOLE_AS_FAR_AS_ONE_CAN_TELL:
            assert outcome.status != "ok", item["path"]


@pytest.mark.shared
@pytest.mark.slow
def test_no_video_takes_more_time_or_memory_than_its_budget(run):
    for item, (outcome, seconds) in zip(run["items"], run["outcomes"], strict=True):
        assert seconds < item.get("budget_s", BUDGET_S), item["path"]
        if not isinstance(outcome, UnreadableVideo):
            assert outcome.seconds["peak_mb"] < item.get("budget_mb", 1500), item["path"]
    assert sum(seconds for _, seconds in run["outcomes"]) < 180


@pytest.mark.shared
@pytest.mark.slow
def test_nothing_is_executed_followed_or_changed(run):
    before, after = run["changes"]
    assert before == after
    assert not after["MARKERS"]
    assert run["sockets"] == 0
    for item, (outcome, _) in zip(run["items"], run["outcomes"], strict=True):
        if item["group"] == "videos.playlist":
            assert outcome.status == "not_media", item["path"]
    assert not os.path.exists(ROOT / "MARKERS")


@pytest.mark.shared
@pytest.mark.slow
def test_the_same_is_read_without_workers(run):
    """In this process, for those that are known to be harmless to it; pixels and reasons are the same."""
    pairs = [
        (k, VideoRecord(str(k), item["path"]))
        for k, item in enumerate(run["items"])
        if item["group"] not in ("videos.lies", "videos.mutants") and "8k" not in item["path"]
    ]
    with ViewReader(run["folder"], SPEC, num_workers=0, limits=LIMITS) as reader:
        for key, outcome in reader.stream(pairs):
            expected = run["outcomes"][key][0]
            assert (outcome.status, outcome.reason) == (expected.status, expected.reason)
            if class_of(outcome) == "ok":
                np.testing.assert_array_equal(outcome.pixels, expected.pixels)
