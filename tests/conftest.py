"""Fixtures: real data beside the checkout, and small videos drawn on the spot."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]

# A shell that starts the tests in the background has them ignore Ctrl-C, and every program they start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Beside other processes of the tests each computes with its share of the cores, and so do the programs that it starts:
# threads that outnumber the cores wait for each other, and wait by computing.
if (sharers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))) > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // sharers)))

# Long files, the longest first: where files are spread over processes, one of these would else run on alone at the end.
EARLY = (
    "test_notebooks.py",
    "test_kills.py",
    "test_imports.py",
    "test_hubs.py",
    "test_types.py",
    "test_train_kills.py",
    "test_probe.py",
    "test_train.py",
    "test_train_recipe.py",
    "test_real_clips.py",
)


def chromium() -> str:
    """The path of the system's Chromium; skips the test where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("needs Chromium (Debian: apt-get install chromium fonts-dejavu-core)")


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def pytest_collection_modifyitems(config, items):
    """Leave out what needs the internet, unless ``-m`` asks for it; begin with the files that take long."""
    items.sort(key=lambda item: EARLY.index(item.path.name) if item.path.name in EARLY else len(EARLY))
    if "network" in config.getoption("-m"):
        return
    for item in items:
        if item.get_closest_marker("network"):
            item.add_marker(pytest.mark.skip(reason="needs the internet: -m network asks for it"))


SLOW_S = 60  # a test that takes longer is named as soon as it ends


class Told:
    """Names failures and slow tests at once: a whole run takes long, and one that is cut off would never say them."""

    def __init__(self, plugins):
        self.plugins, self.lost = plugins, False

    def pytest_testnodedown(self, error):
        self.lost = self.lost or bool(error)  # a process ended, and the rest of its file with it

    def pytest_sessionfinish(self, session):
        if self.lost:  # no outcome of tests: running those that failed once more would not run those that are lost
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def pytest_runtest_logreport(self, report):
        if report.failed or report.duration > SLOW_S:
            took = f"{'failed' if report.failed else report.outcome} after {report.duration:.0f} s"
            terminal = self.plugins.get_plugin("terminalreporter")
            terminal.write_line(f"\n{report.nodeid}: {took} {str(report.longrepr or '')[-300:]}")


def pytest_configure(config):
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Told(config.pluginmanager), "told")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Real clips, splits and generators that lie beside the checkout; skips where they are absent."""
    folder = ROOT.parent / "shared"
    if not (folder / "data" / "README.md").is_file():
        pytest.skip("needs the real clips of ../shared, which are not part of this repository")
    return folder


@pytest.fixture(scope="session")
def torture(shared_dir, tmp_path_factory):
    """Call with group names (``videos``, ``caches``, ``annotations``, ``configs``, ``checkpoints``): makes the bad
    inputs once and gives ``(folder, items)``, the items of the generator's manifest."""
    made: dict[tuple, tuple] = {}

    def make(*groups: str):
        if groups not in made:
            folder = tmp_path_factory.mktemp("torture") / "-".join(groups)
            script = shared_dir / "torture" / "make_torture.py"
            subprocess.run(
                [sys.executable, str(script), str(folder), "--only", ",".join(groups)],
                check=True,
                capture_output=True,
                timeout=900,
            )
            items = json.loads((folder / "manifest.json").read_text())["items"]
            made[groups] = folder, [item for item in items if item["group"].split(".")[0] in groups]
        return made[groups]

    return make


def barcode_frame(number: int, width: int, height: int) -> np.ndarray:
    """A frame that carries its own number in eight black and white blocks; uint8 (H, W, 3)."""
    rows, columns = np.mgrid[0:height, 0:width]
    frame = np.stack(
        [columns * 255 // max(1, width - 1), rows * 255 // max(1, height - 1), rows * 0 + number * 37 % 256], -1
    )
    for bit in range(8):
        frame[: height // 3, bit * width // 8 : (bit + 1) * width // 8] = 255 * (number >> (7 - bit) & 1)
    return frame.astype(np.uint8)


def read_barcode(frame: np.ndarray) -> int:
    """The number drawn by ``barcode_frame``, from a decoded frame (H, W, 3)."""
    height, width = frame.shape[:2]
    number = 0
    for bit in range(8):
        left, right = bit * width // 8, (bit + 1) * width // 8
        margin = (right - left) // 4
        number = number * 2 + int(frame[height // 12 : height // 4, left + margin : right - margin].mean() > 127)
    return number


@pytest.fixture(scope="session")
def make_video():
    """Call with a path: encodes ``num_frames`` numbered frames and returns the path."""

    def make(
        path,
        *,
        num_frames=40,
        width=128,
        height=96,
        frame_rate=25,
        codec="libx264",
        pix_fmt="yuv420p",
        gop=12,
        b_frames=2,
        pts=None,
        time_base=None,
        draw=barcode_frame,
    ):
        import av

        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        options = {"threads": "1", "g": str(gop)}
        if codec == "libx264":
            options |= {"preset": "veryfast", "crf": "20", "bf": str(b_frames)}
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=frame_rate, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
            if time_base:
                stream.codec_context.time_base = time_base
            for number in range(num_frames):
                frame = av.VideoFrame.from_ndarray(draw(number, width, height), format="rgb24")
                frame.pts = number if pts is None else pts[number]
                frame.time_base = time_base or Fraction(1, frame_rate)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.fixture(scope="session")
def training_cache(tmp_path_factory) -> str:
    """Frames of the clips that trainings of the tests read, kept from one to the next."""
    return str(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def training(tmp_path, training_cache):
    """Call with options of ``train.py``: a configuration that trains for seconds, on 24 shipped clips."""

    def make(**more):
        from vidbench.arguments import TrainConfig

        values = {"model": "mini_r2plus1d", "weights": "random", "dataset": "vidmini", "split": "test", "limit": 24}
        values |= {"classes": ("HoldBalloon", "RideBicycle", "SitDown", "StandUp")}
        values |= {"epochs": 2, "batch_size": 5, "num_workers": 0, "device": "cpu"}
        values |= {} if "val_split" in more else {"val_share": 0.25}
        values |= {"cache_dir": training_cache, "results_dir": str(tmp_path / "results"), "no_tensorboard": True}
        return TrainConfig(**(values | more))

    return make
