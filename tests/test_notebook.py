"""What a notebook asks first: which videos are there, and where it may write."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from vidbench import notebook
from vidbench.data.decode import probe
from vidbench.notebook import open_dataset, work_folder
from vidbench.records import AnnotationError, ConfigError, UnreadableVideo

ROOT = Path(__file__).resolve().parents[1]


def test_the_mini_set_is_there_without_a_folder():
    data = open_dataset("vidmini")
    assert len(data.records) == data.num_listed == 144
    assert data.classes == data.labels
    assert len(data.labels) == 12
    assert all(data.path(record).is_file() for record in data.records)
    assert repr(data) == "vidmini test: 144 videos of 12 classes"


def test_records_of_a_class_are_in_listed_order():
    data = open_dataset("vidmini")
    chosen = data.of("SitDown")
    assert chosen == tuple(record for record in data.records if record.label == "SitDown")
    assert chosen
    assert data.of("Yodel") == ()


def test_a_limit_is_drawn_evenly_and_the_same_each_time():
    few, again = open_dataset("vidmini", limit=24), open_dataset("vidmini", limit=24)
    assert few.records == again.records
    assert [len(few.of(label)) for label in few.classes] == [2] * 12
    assert open_dataset("vidmini", limit=24, seed=1).records != few.records


def test_absent_videos_are_left_out_and_counted(tmp_path):
    root = tmp_path / "vidmini"
    shutil.copytree(ROOT / "data" / "vidmini", root)
    shutil.rmtree(root / "videos" / "SitDown")
    data = open_dataset("vidmini", root)
    assert len(data.records) == 132
    assert "SitDown" in data.labels
    assert "SitDown" not in data.classes
    assert repr(data) == "vidmini test: 132 videos of 11 classes (144 are listed, 12 are left out)"


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (("ucf102",), ConfigError, "No dataset is called 'ucf102'. Did you mean 'ucf101'?"),
        (("vidmini", None, "val"), ConfigError, r"vidmini has the splits train, test, not 'val'\."),
        (("vidmini", None, None, 0), ConfigError, "limit must be at least 1 video, got 0; None takes all of them"),
        (("kinetics400", "nowhere"), AnnotationError, r"Kinetics-400 is not here: .*nowhere\. Set DATA_DIR .*vidmini"),
        (("ucf101", "empty"), AnnotationError, r"testlist01.*Set DATA_DIR"),
        (("vidmini", "bare"), AnnotationError, r"lists 144 videos for test, but none of them is below .*bare\. Set"),
    ],
)
def test_what_is_missing_is_one_sentence_that_says_what_to_set(tmp_path, monkeypatch, arguments, error, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    shutil.copytree(ROOT / "data" / "vidmini", "bare", ignore=shutil.ignore_patterns("videos"))
    with pytest.raises(error, match=sentence) as caught:
        open_dataset(*arguments[:3], **({"limit": arguments[3]} if len(arguments) > 3 else {}))
    assert "\n" not in str(caught.value)


@pytest.mark.shared
def test_real_data_open_by_name_and_folder(shared_dir):
    data = open_dataset("ucf101", shared_dir / "data" / "ucf101")
    assert data.num_listed == 3783
    assert 0 < len(data.records) < 180
    assert all(data.path(record).is_file() for record in data.records)
    assert len(data.labels) == 101


def test_exceptions_show_themselves_in_a_notebook_as_their_sentence():
    assert ConfigError("Set this.")._render_traceback_() == ["Set this."]
    assert UnreadableVideo("empty", "0 bytes")._render_traceback_() == ["empty: 0 bytes"]


def test_an_unreadable_video_is_shown_with_its_file(tmp_path):
    (tmp_path / "page.mp4").write_text("<html>not found</html>")
    with pytest.raises(UnreadableVideo) as caught:
        probe(tmp_path / "page.mp4")
    (sentence,) = caught.value._render_traceback_()
    assert sentence == f"{tmp_path}/page.mp4: {caught.value}"
    assert "page.mp4" not in str(caught.value)  # rows name the path themselves


def test_work_goes_to_results_in_the_checkout(tmp_path, monkeypatch):
    monkeypatch.delenv("VIDBENCH_WORK_DIR", raising=False)
    monkeypatch.setattr(notebook, "REPOSITORY", tmp_path)
    assert work_folder("06_evaluate") == tmp_path / "results" / "notebooks" / "06_evaluate"
    assert work_folder("06_evaluate").is_dir()


def test_work_goes_to_a_temporary_folder_where_the_checkout_is_read_only(tmp_path, monkeypatch):
    monkeypatch.delenv("VIDBENCH_WORK_DIR", raising=False)
    (tmp_path / "results").write_text("a file where the folder would be: not even root can write below it")
    monkeypatch.setattr(notebook, "REPOSITORY", tmp_path)
    monkeypatch.setattr(notebook.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    folder = work_folder("06_evaluate")
    assert folder.is_relative_to(tmp_path / "tmp")
    assert folder.is_dir()
    assert list(folder.iterdir()) == []


def test_work_goes_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDBENCH_WORK_DIR", str(tmp_path))
    assert work_folder("06_evaluate") == tmp_path / "06_evaluate"


def test_nowhere_to_write_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VIDBENCH_WORK_DIR", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="Nothing can be written"):
        work_folder("06_evaluate")


def test_every_run_of_a_notebook_gets_a_folder_of_its_own_and_old_ones_go(tmp_path, monkeypatch):
    monkeypatch.setattr(notebook, "REPOSITORY", tmp_path)
    first = notebook.scratch_folder("06_evaluate")
    (first / "rows.jsonl").write_text("{}")
    second = notebook.scratch_folder("06_evaluate")
    assert first != second
    assert first.parent == second.parent == tmp_path / "results" / "notebooks" / "06_evaluate"
    os.utime(first, (1e9, 1e9))
    third = notebook.scratch_folder("06_evaluate")  # a run in the first one has written a moment ago
    assert sorted(second.parent.iterdir()) == sorted([first, second, third])
    os.utime(first / "rows.jsonl", (1e9, 1e9))
    fourth = notebook.scratch_folder("06_evaluate")
    assert sorted(second.parent.iterdir()) == sorted([second, third, fourth])


def test_quiet_drops_what_is_written_past_python_and_nothing_after(capfd):
    def fail():
        with notebook.quiet():
            os.write(2, b"greetings")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"
