"""Findings about files survive a kill, and hold only for files that are as they were."""

from __future__ import annotations

import json
import os

import pytest

from vidbench.data.journal import FileJournal, file_stamp
from vidbench.records import RunError


@pytest.fixture
def root(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(name.encode() * 3)
    return tmp_path


def journal(root, made_by="one") -> FileJournal:
    return FileJournal(root / "notes" / "files.jsonl", root, made_by)


def fill(root, *names, made_by="one") -> None:
    with journal(root, made_by) as kept:
        for name in names:
            kept.add(name, file_stamp(root, name), {"status": "ok", "name": name})


def known(root, made_by="one") -> list[str]:
    with journal(root, made_by) as kept:
        return [name for name in ("a.mp4", "b.mp4", "c.mp4") if kept.get(name)]


def test_what_was_found_is_known_the_next_time(root):
    fill(root, "a.mp4")
    fill(root, "b.mp4")
    assert known(root) == ["a.mp4", "b.mp4"]
    with journal(root) as kept:
        assert kept.get("a.mp4")["name"] == "a.mp4"


def test_a_changed_or_removed_file_is_not_known(root):
    fill(root, "a.mp4", "b.mp4")
    (root / "a.mp4").write_bytes(b"another length")
    os.unlink(root / "b.mp4")
    assert known(root) == []


def test_a_file_of_equal_size_that_was_written_again_is_not_known(root):
    fill(root, "a.mp4")
    later = (root / "a.mp4").stat().st_mtime_ns + 1_000_000
    os.utime(root / "a.mp4", ns=(later, later))
    assert known(root) == []


def test_findings_of_another_version_do_not_count(root):
    fill(root, "a.mp4", made_by="old")
    assert known(root, "new") == []
    assert known(root, "old") == ["a.mp4"]


@pytest.mark.parametrize("torn", [b'{"path": "b.m', b'{"path": "b.mp4"}', b"\0\0\0\0"])
def test_a_line_cut_off_by_a_kill_is_dropped_and_the_rest_stays(root, torn):
    fill(root, "a.mp4")
    path = root / "notes" / "files.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert known(root) == ["a.mp4"]
    assert path.read_bytes() == whole
    fill(root, "b.mp4")
    assert known(root) == ["a.mp4", "b.mp4"]
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_spoilt_line_in_the_middle_costs_only_itself(root):
    fill(root, "a.mp4")
    path = root / "notes" / "files.jsonl"
    path.write_bytes(b'[1]\n"x"\n{"size": 3}\n\xff\xfe\n' + path.read_bytes())
    assert known(root) == ["a.mp4"]


def test_a_second_writer_is_refused_by_name(root):
    with journal(root), pytest.raises(RunError, match=r"Another process writes .*files\.jsonl"), journal(root):
        pass
    assert known(root) == []


def test_a_folder_that_cannot_be_made_is_one_sentence(root):
    with pytest.raises(RunError, match="cannot be written"), FileJournal(root / "a.mp4" / "x", root, ""):
        pass


def test_only_regular_files_have_a_stamp(root):
    assert file_stamp(root, "a.mp4")[0] == 15
    assert file_stamp(root, "") == file_stamp(root, "no.mp4") == file_stamp(root, "bad\0name") == (-1, -1)
