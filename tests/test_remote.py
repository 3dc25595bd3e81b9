"""A run on an object store is the run in a folder, however often it was stopped on the way."""

import fsspec
import numpy as np
import pytest
from test_evaluate import RESULTS, bytes_of, config

from vidbench import engines, evaluate, remote
from vidbench.records import ConfigError, RunError
from vidbench.remote import RemoteRun, is_remote

FAST = {"model": "mini2d.vidmini_v1", "num_workers": 0, "limit": 21, "batch_size": 4}


class Progress:
    """Notes where a run began, and stops it once at a number of rows."""

    def __init__(self, stop_at: int = 10**9):
        self.stop_at, self.began = stop_at, None

    def start(self, total, done=0, skipped=0):
        self.began = done

    def update(self, done, skipped):
        if done >= self.stop_at:
            raise KeyboardInterrupt

    def stop(self):
        pass


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return bytes_of(evaluate.evaluate(config(tmp_path_factory.mktemp("alone"), **FAST)).run_folder)


@pytest.fixture(params=["memory", "file"])
def store(request, tmp_path):
    """The address of an empty folder of runs, and its file system."""
    files = fsspec.filesystem(request.param)
    root = f"/vidbench-{tmp_path.name}" if request.param == "memory" else f"{tmp_path}/store"
    yield f"{request.param}://{root}", files
    if files.exists(root):
        files.rm(root, recursive=True)


def stored(address, files) -> dict[str, bytes]:
    return {name: files.cat_file(f"{address}/run/{name}") for name in RESULTS}


def names(address, files) -> set[str]:
    return {name.rpartition("/")[2] for name in files.ls(f"{address}/run", detail=False)}


def test_a_run_goes_to_a_store_in_pieces_and_continues_from_them(tmp_path, store, alone, monkeypatch):
    address, files = store
    asked = config(tmp_path, **FAST, results_dir=address)
    monkeypatch.setattr(remote, "PIECE_S", 0.0)
    for stop_at, begins_at in ((8, 0), (12, 8)):
        progress = Progress(stop_at)
        begun = engines.run(asked, progress=progress)
        assert (begun.exit_status, progress.began) == (130, begins_at)
        assert f"stopped after {stop_at} of 21 videos" in begun.summary
        assert f"{address}/run" in begun.summary
    assert names(address, files) == {"manifest.json", "pieces"}
    pieces = {name.rpartition("/")[2] for name in files.ls(f"{address}/run/pieces", detail=False)}
    assert pieces == {f"{first:012d}.{kind}" for first in (0, 4, 8) for kind in ("npy", "jsonl")}
    files.pipe_file(f"{address}/run/pieces/000000000012.npy", b"its rows never came")
    progress = Progress()
    outcome = engines.run(asked, progress=progress)
    assert progress.began == 12
    assert stored(address, files) == alone
    assert {"manifest.json", "report.html", "ledger.csv"} <= names(address, files)
    assert not {"pieces", "held", "holder.json"} & names(address, files)
    assert outcome.run_folder == f"{address}/run"
    assert not list((tmp_path / "results").iterdir()) if (tmp_path / "results").exists() else True


def test_a_finished_run_is_not_made_again_and_another_one_is_refused(tmp_path, store, alone):
    address, files = store
    asked = config(tmp_path, **FAST, results_dir=address)
    engines.run(asked)
    assert stored(address, files) == alone
    files.rm(f"{address}/run/report.html")
    assert "nothing was run" in engines.run(asked).summary
    assert "report.html" in names(address, files)
    with pytest.raises(RunError, match=f"^{address}/run is another run: "):
        engines.run(config(tmp_path, **{**FAST, "batch_size": 7}, results_dir=address))
    assert stored(address, files) == alone


def test_a_store_that_fails_loses_nothing_that_was_sent(tmp_path, alone, monkeypatch):
    files, address = fsspec.filesystem("memory"), f"memory:///fails-{tmp_path.name}"
    asked, send = config(tmp_path, **FAST, results_dir=address), type(files).pipe_file
    monkeypatch.setattr(remote, "PIECE_S", 0.0)

    def full(self, path, value, **options):
        if path.endswith("000000000008.jsonl"):
            raise OSError(28, "No space left on device")
        return send(self, path, value, **options)

    monkeypatch.setattr(type(files), "pipe_file", full)
    with pytest.raises(RunError, match=r"run cannot be written \(OSError.*No space left.*what was sent stays, and the"):
        engines.run(asked)
    monkeypatch.setattr(type(files), "pipe_file", send)
    progress = Progress()
    engines.run(asked, progress=progress)
    assert progress.began == 8
    assert stored(address, files) == alone
    files.rm(f"/fails-{tmp_path.name}", recursive=True)


def test_a_later_piece_takes_the_place_of_what_it_repeats(tmp_path):
    files, address = fsspec.filesystem("memory"), f"memory:///later-{tmp_path.name}"
    sent = RemoteRun(address, tmp_path / "sent")
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / "manifest.json").write_text('{"dataset": {"n_listed": 9}}')
    for first, rows, value in ((0, b"0\n1\n2\n3\n", 1.0), (2, b"two\nthree\nfour\n", 2.0), (7, b"too far\n", 3.0)):
        sent.send_piece(first, rows, np.full((rows.count(b"\n"), 2, 3), value, np.float32))
    got = RemoteRun(address, tmp_path / "got")
    got.fetch()
    assert (tmp_path / "got" / "rows.jsonl").read_bytes() == b"0\n1\ntwo\nthree\nfour\n"
    logits = np.load(tmp_path / "got" / "logits.npy", allow_pickle=False)
    assert logits.shape == (9, 2, 3)
    assert logits[:, 0, 0].tolist() == [1, 1, 2, 2, 2, 0, 0, 0, 0]
    got.drop_from(2)
    assert [first for first, _ in got._pieces()] == [0]
    files.rm(f"/later-{tmp_path.name}", recursive=True)


def test_an_address_that_nobody_knows_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match="--results-dir nosuch://b/results/run cannot be used: Protocol not known"):
        engines.run(config(tmp_path, **FAST, results_dir="nosuch://b/results"))
    with pytest.raises(ConfigError, match="is no folder of this machine"):
        evaluate.evaluate(config(tmp_path, **FAST, results_dir="memory://bucket/results"))
    address = "ftp://me:secret@127.0.0.1:9/results"
    with pytest.raises(RunError, match=r"^ftp://127.0.0.1:9/results cannot be reached \(nobody answers there\); "):
        RemoteRun(address, tmp_path / "run")
    assert is_remote("s3://bucket")
    assert not is_remote("results/s3")
