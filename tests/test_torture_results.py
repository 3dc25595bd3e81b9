"""Damaged result files and runs of other options, through the programs: one sentence, an exit status, no loss."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from vidbench import cli
from vidbench.endings import run_program

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ("rows.jsonl", "logits.npy", "predictions.csv", "metrics.json")
NUM_VIDEOS = 7


def words(folder: Path, *more: str) -> list[str]:
    """Of ``evaluate.py`` for a run in a folder."""
    return [
        "--model", "mini2d", "--dataset", "vidmini", "--data-dir", str(ROOT / "data" / "vidmini"), "--no-cache",
        "--limit", str(NUM_VIDEOS), "--batch-size", "2", "--num-workers", "0", "--device", "cpu", "--precision", "fp32",
        "--results-dir", str(folder.parent), "--run-name", folder.name, *more,
    ]  # fmt: skip


def program(name: str, given: list, capsys) -> tuple[int, str, str]:
    """Exit status and both outputs of a command; whatever is wrong, no traceback and at most one sentence."""
    capsys.readouterr()
    status = run_program(lambda: cli.COMMANDS[name].start([str(word) for word in given]), f"{name}.py")
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    if status in (1, 2):
        sentences = [line for line in err.splitlines() if not line.startswith("(") and " WARNING " not in line]
        assert len(sentences) == 1, err
        assert len(sentences[0]) < 500
    return status, out, err


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "finished"
    assert cli.COMMANDS["evaluate"].start(words(folder)) == 0
    return folder


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in RESULTS}


def lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


OWN = {  # the cases of the torture kit in the form of our own rows
    "good": (lambda data: b"".join(lines(data)[:4]), 4),
    "torn_last_line": (lambda data: data[:-25], 6),
    "torn_utf8": (lambda data: b"".join(lines(data)[:4]) + b'{"index":4,"video_id":"v\xc3', 4),
    "zero_tail": (lambda data: b"".join(lines(data)[:4]) + bytes(512), 4),
    "dup_ids": (lambda data: data + lines(data)[3], 7),
    "dup_conflict": (lambda data: data + lines(data)[3].replace(b'"rank":', b'"rank":1'), 7),
    "nan_scores": (lambda data: b"".join([*lines(data)[:5], re.sub(rb",0\.\d+\]", b",NaN]", lines(data)[5])]), 5),
    "middle_bad": (lambda data: data.replace(lines(data)[2], lines(data)[2][:20] + b"\n"), 2),
    "rows_of_another_run": (lambda data: data.replace(b'"video_id":"v_', b'"video_id":"w_'), 0),
    "empty": (lambda data: b"", 0),
}


@pytest.mark.parametrize("name", OWN)
def test_damaged_rows_are_done_again_by_the_same_command_and_refused_by_all_others(name, finished, tmp_path, capsys):
    change, whole = OWN[name]
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    good = (finished / "rows.jsonl").read_bytes()
    (folder / "rows.jsonl").write_bytes(change(good))
    assert change(good) != good
    if name == "rows_of_another_run":  # whole rows, of other videos
        status, _, err = program("compare", [finished, folder, "--out", tmp_path / "compared"], capsys)
        assert (status, "list different videos: " in err) == (1, True), err
    elif whole < NUM_VIDEOS:
        told = "has no rows yet" if not whole else f"{whole} of {NUM_VIDEOS} rows"
        for command, given in (
            ("compare", [finished, folder, "--out", tmp_path / "compared"]),
            ("merge", [finished, folder, "--out", tmp_path / "merged"]),
        ):
            status, _, err = program(command, given, capsys)
            assert (status, told in err) == (1, True), err
        status, _, err = program("evaluate", words(folder, "--report-only"), capsys)
        assert (status, f"{whole} of {NUM_VIDEOS} rows" in err) == (1, True), err
        assert not (tmp_path / "merged").exists()
    status, _, _ = program("evaluate", words(folder), capsys)
    assert status == 0
    assert bytes_of(folder) == bytes_of(finished)


@pytest.mark.shared
def test_every_result_file_of_the_torture_kit_costs_work_and_no_figure(torture, finished, tmp_path, capsys):
    made, _ = torture("configs")
    items = json.loads((made / "manifest.json").read_text())["items"]
    cases = [made / item["path"] for item in items if item["group"] == "results.resume"]
    assert {case.stem for case in cases} >= set(OWN) - {"rows_of_another_run"}
    for case in cases:
        folder = tmp_path / case.stem
        shutil.copytree(finished, folder)
        shutil.copyfile(case, folder / "rows.jsonl")
        for command, given in (
            ("compare", [finished, folder, "--out", tmp_path / "compared"]),
            ("merge", [finished, folder, "--out", tmp_path / "merged"]),
            ("evaluate", words(folder, "--report-only")),
        ):
            status, _, err = program(command, given, capsys)
            assert (status, "rows" in err) == (1, True), (case.stem, command, err)
    program("evaluate", words(folder), capsys)  # the last of them, as all are alike: none of their lines is a row
    assert bytes_of(folder) == bytes_of(finished)


MANIFESTS = {
    "other_config": (lambda facts: facts["spec"].update(num_clips=3), r"spec.num_clips was 3, now it is 1"),
    "other_labels": (lambda facts: facts["dataset"].update(labels_sha256="e" * 64), "dataset.labels_sha256 was"),
    "future_schema": (lambda facts: facts.update(schema=99), "schema 99"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_run_of_other_options_is_not_mixed(name, finished, tmp_path, capsys):
    change, said = MANIFESTS[name]
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    facts = json.loads((folder / "manifest.json").read_text())
    change(facts)
    (folder / "manifest.json").write_text(json.dumps(facts))
    before = bytes_of(folder)
    status, _, err = program("evaluate", words(folder), capsys)
    assert (status, said in err) == (1, True), err
    status, _, err = program("merge", [finished, folder, "--out", tmp_path / "merged"], capsys)
    assert status == 1, err
    assert bytes_of(folder) == before


def test_a_run_without_its_manifest_is_no_run(finished, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "manifest.json").unlink()
    for command, given in (
        ("evaluate", words(folder)),
        ("evaluate", words(folder, "--report-only")),
        ("compare", [finished, folder, "--out", tmp_path / "compared"]),
        ("merge", [finished, folder, "--out", tmp_path / "merged"]),
    ):
        status, _, err = program(command, given, capsys)
        assert (status, "manifest.json" in err) == (1, True), err


def test_a_run_folder_that_is_not_there_is_a_bad_option(finished, tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    for command in ("compare", "merge"):
        for wrong, said in ((tmp_path / "nowhere", "does not exist"), (tmp_path / "file", "is no folder")):
            status, _, err = program(command, [finished, wrong, "--out", tmp_path / "out"], capsys)
            assert (status, f"command line: RUN '{wrong}' {said}" in err) == (2, True), err
    assert not (tmp_path / "out").exists()
