"""The run folder keeps what was done, refuses what does not belong to it, and says who holds it."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from vidbench.records import Row, RunError, VideoRecord
from vidbench.runs import RunFolder, encode_row, manifest_differences, read_json, read_rows

NUM_VIDEOS, NUM_VIEWS, NUM_CLASSES, BATCH = 11, 2, 5, 3


def records():
    return [VideoRecord(f"v{i}", f"v{i}.mp4", "zumba", 1) for i in range(NUM_VIDEOS)]


def rows_and_logits():
    rng = np.random.default_rng(7)
    logits = rng.standard_normal((NUM_VIDEOS, NUM_VIEWS, NUM_CLASSES)).astype(np.float32)
    rows = [
        Row(
            i,
            f"v{i}",
            f"v{i}.mp4",
            "zumba",
            1,
            "",
            "",
            "ok",
            top=(("zumba", 1, 0.9),),
            rank=0,
            num_frames=40,
            frame_rate=25.0,
        )
        for i in range(NUM_VIDEOS)
    ]
    return rows, logits


def open_run(folder, **changed):
    manifest = {"model": {"name": "m"}, "run": {"batch_size": BATCH}, "labels": ["a", "zumba"], **changed}
    return RunFolder(folder, manifest, records(), NUM_VIEWS, NUM_CLASSES, BATCH)


def fill(run):
    rows, logits = rows_and_logits()
    while len(run.rows) < NUM_VIDEOS:
        start = len(run.rows)
        run.append(rows[start : start + BATCH], logits[start : start + BATCH])


def results_of(folder):
    return (folder / "rows.jsonl").read_bytes(), (folder / "logits.npy").read_bytes()


@pytest.fixture
def finished(tmp_path):
    with open_run(tmp_path / "whole") as run:
        fill(run)
    return results_of(tmp_path / "whole")


def test_rows_and_logits_come_back_as_they_were_written(tmp_path, finished):
    rows, logits = rows_and_logits()
    assert read_rows(tmp_path / "whole" / "rows.jsonl") == (rows, 0)
    np.testing.assert_array_equal(np.load(tmp_path / "whole" / "logits.npy", allow_pickle=False), logits)


DAMAGE = {
    "torn last line": lambda data: data[:-25],
    "torn inside a character": lambda data: data + b'{"index": 6, "video_id": "v\xc3',
    "zeros after a power cut": lambda data: data + bytes(512),
    "a line twice": lambda data: data + data.splitlines(keepends=True)[-1],
    "a bad line in the middle": lambda data: data.replace(data.splitlines()[4], data.splitlines()[4][:20]),
    "NaN for a score": lambda data: data.replace(b"0.9", b"NaN"),
    "another video's row": lambda data: data.replace(b'"video_id":"v4"', b'"video_id":"v5"'),
    "an unknown status": lambda data: data.replace(b'"ok"', b'"fine"'),
    "a rank in words": lambda data: data.replace(b'"rank":0', b'"rank":"first"'),
    "no path": lambda data: data.replace(b'"path":"v4.mp4"', b'"path":null'),
    "a label that is a list": lambda data: data.replace(b'"label":"zumba"', b'"label":["zumba"]'),
    "empty": lambda data: b"",
    "deep brackets": lambda data: b"[" * 100_000 + b"\n" + data,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_rows_are_done_again_and_the_end_is_the_same(tmp_path, finished, damage):
    folder = tmp_path / "run"
    with open_run(folder) as run:
        rows, logits = rows_and_logits()
        run.append(rows[:3], logits[:3])
        run.append(rows[3:6], logits[3:6])
    path = folder / "rows.jsonl"
    path.write_bytes(damage(path.read_bytes()))
    with open_run(folder) as run:
        assert len(run.rows) % BATCH == 0
        fill(run)
    assert results_of(folder) == finished


def test_a_run_is_cut_back_to_whole_batches(tmp_path, finished):
    folder = tmp_path / "run"
    with open_run(folder) as run:
        rows, logits = rows_and_logits()
        run.append(rows[:3], logits[:3])
    with open(folder / "rows.jsonl", "ab") as file:
        file.write(encode_row(rows[3]))
    with open_run(folder) as run:
        assert len(run.rows) == 3
        fill(run)
    assert results_of(folder) == finished


def test_lost_logits_mean_that_everything_is_done_again(tmp_path, finished):
    folder = tmp_path / "run"
    with open_run(folder) as run:
        fill(run)
    (folder / "logits.npy").write_bytes(b"short")
    with open_run(folder) as run:
        assert run.rows == []
        fill(run)
    assert results_of(folder) == finished


def begin(folder):
    rows, logits = rows_and_logits()
    with open_run(folder) as run:
        run.append(rows[:BATCH], logits[:BATCH])


def test_another_manifest_is_refused_with_the_key_that_differs(tmp_path):
    begin(tmp_path / "run")
    with (
        pytest.raises(RunError, match=r"run\.batch_size was 3, now it is 8"),
        open_run(tmp_path / "run", run={"batch_size": 8}),
    ):
        pass


def test_workers_and_environment_may_change_between_sessions():
    old = {"run": {"num_workers": 1, "batch_size": 3}, "environment": {"commit": "a"}, "model": {"name": "m"}}
    new = {"run": {"num_workers": 4, "batch_size": 3}, "environment": {"commit": "b"}, "model": {"name": "m"}}
    assert manifest_differences(old, new) == []
    assert manifest_differences(old, {**new, "model": {"name": "n"}}) == [("model.name", "m", "n")]


def test_a_name_that_differs_is_named_before_a_hash():
    old = {"dataset": {"labels_sha256": "5f", "name": "a"}, "spec": {"crop": 7}}
    new = {"dataset": {"labels_sha256": "e1", "name": "b"}, "spec": {"crop": 8}}
    found = manifest_differences(old, new)
    assert [key for key, *_ in found] == ["dataset.name", "spec.crop", "dataset.labels_sha256"]


def test_a_folder_without_a_row_belongs_to_nobody(tmp_path):
    with open_run(tmp_path / "run", run={"batch_size": 8}):
        pass
    with open_run(tmp_path / "run") as run:
        fill(run)
    begin(tmp_path / "other")
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["run"] == {"batch_size": BATCH}


def test_rows_in_another_spelling_are_kept_byte_by_byte(tmp_path):
    with open_run(tmp_path / "run") as run:
        fill(run)
    path = tmp_path / "run" / "rows.jsonl"
    path.write_text("".join(json.dumps(json.loads(line)) + "\n" for line in path.read_text().splitlines()))
    before = path.read_bytes()
    with open_run(tmp_path / "run") as run:
        assert len(run.rows) == NUM_VIDEOS
    assert path.read_bytes() == before


def test_rows_that_do_not_stand_any_more_are_cut_with_their_batch(tmp_path, finished):
    with open_run(tmp_path / "run") as run:
        fill(run)
    manifest, listed = {"model": {"name": "m"}, "run": {"batch_size": BATCH}, "labels": ["a", "zumba"]}, records()
    with RunFolder(tmp_path / "run", manifest, listed, NUM_VIEWS, NUM_CLASSES, BATCH, lambda rows: 7) as run:
        assert len(run.rows) == 6
        fill(run)
    assert results_of(tmp_path / "run") == finished


def test_a_later_schema_is_refused(tmp_path):
    begin(tmp_path / "run")
    path = tmp_path / "run" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    with pytest.raises(RunError, match="schema 99"), open_run(tmp_path / "run"):
        pass


def test_a_torn_manifest_is_refused(tmp_path):
    begin(tmp_path / "run")
    (tmp_path / "run" / "manifest.json").write_text('{"schema": 1, "mod')
    with pytest.raises(RunError, match="cannot be read"), open_run(tmp_path / "run"):
        pass


def test_what_is_no_run_folder_is_said_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(RunError, match=r"file/manifest\.json does not exist: is .*/file a run folder\?$"):
        read_json(tmp_path / "file" / "manifest.json")
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(RunError, match=r"manifest\.json cannot be read \(Is a directory\); make the run again"):
        read_json(tmp_path / "manifest.json")


def test_rows_without_a_manifest_are_refused(tmp_path):
    begin(tmp_path / "run")
    (tmp_path / "run" / "manifest.json").unlink()
    with pytest.raises(RunError, match=r"no manifest\.json"), open_run(tmp_path / "run"):
        pass


def test_a_held_run_is_refused_with_its_holder_and_free_after_a_kill(tmp_path):
    code = f"""
        import sys, time
        sys.path[:0] = {[str(p) for p in sys.path]!r}
        from test_runs import open_run
        from pathlib import Path
        with open_run(Path({str(tmp_path / "run")!r})):
            print("held", flush=True)
            time.sleep(60)
    """
    holder = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=f"process {holder.pid} on"), open_run(tmp_path / "run"):
            pass
    finally:
        holder.kill()
        holder.wait()
    with open_run(tmp_path / "run") as run:
        fill(run)


def test_a_name_that_is_not_utf8_survives(tmp_path):
    row = Row(0, "bad\udce9name", "bad\udce9name.mp4", None, -1, "", "", "missing", reason="no file")
    (tmp_path / "rows.jsonl").write_bytes(encode_row(row))
    assert read_rows(tmp_path / "rows.jsonl") == ([row], 0)


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    rows, logits = rows_and_logits()
    with open_run(folder) as run:
        run.append(rows[:3], logits[:3])

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("vidbench.runs.flush", full)
        with pytest.raises(RunError, match=r"No space left on device.*after 3 of 11"):
            run.append(rows[3:6], logits[3:6])
    monkeypatch.undo()
    with open_run(folder) as run:
        assert run.rows[:3] == rows[:3]
        fill(run)
    assert read_rows(folder / "rows.jsonl") == (rows, 0)


def test_result_files_of_the_torture_kit_cost_work_and_no_figure(torture, tmp_path, finished):
    folder, _ = torture("configs")
    items = json.loads((folder / "manifest.json").read_text())["items"]
    cases = [folder / item["path"] for item in items if item["group"] == "results.resume"]
    assert len(cases) >= 10
    for case in cases:
        run_folder = tmp_path / case.stem
        begin(run_folder)
        (run_folder / "rows.jsonl").write_bytes(case.read_bytes())
        with open_run(run_folder) as run:  # none of their lines is a row of this run
            assert run.rows == []
            fill(run)
        assert results_of(run_folder) == finished
