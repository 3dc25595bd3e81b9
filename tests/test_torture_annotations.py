"""Every annotation file of the torture set gives records with a reason or one clear sentence."""

import subprocess
import sys
import time
from collections import Counter

import pytest

from vidbench.data import index
from vidbench.data.classes import check_labels, read_labels
from vidbench.records import AnnotationError

pytestmark = pytest.mark.shared
OK, SKIPPED, REFUSED = "ok", "skipped-with-reason", "refused-with-clear-error"
CLASSES = ("abseiling", "air drumming", "answering questions", "applauding", "zumba")
QUOTED = ("playing guitar, loud", 'say "hi"')
UCF_CLASSES = ("Abseiling", "AirDrumming", "AnsweringQuestions", "Applauding", "Zumba")


@pytest.fixture(scope="module")
def annotations(torture):
    folder, items = torture("annotations")
    return folder / "annotations", {item["path"].split("/")[1]: item for item in items}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "labels.txt").write_text("\n".join(CLASSES))
    return tmp_path


def ucf(path):
    split = "test" if path.name.startswith("testlist") else "train"
    records = index.ucf_records(path, UCF_CLASSES, split, lambda name: True)
    if split == "test":
        index.check_groups(index.ucf_records(path.parent / "trainlist01.txt", UCF_CLASSES, "train", bool), records)
    return records


def read(path, group: str, root):
    """The records of a file, or nothing for a file that holds none."""
    if group in ("annotations.csv", "annotations.good"):
        labels = QUOTED if path.name == "quoted.csv" else CLASSES
        return index.kinetics_records(path, root, "val", labels)
    if path.name == "ssv2_labels.json":
        return index.read_ssv2_labels(path) and []
    if group == "annotations.json":
        return index.load_records("csv", root, "val", annotations=path)
    if path.name.startswith("hmdb"):
        return index.read_hmdb_split(path) and []
    if path.name.startswith("classInd"):
        return check_labels(index.read_class_index(path), UCF_CLASSES, path.name) or []
    if group == "annotations.split":
        return ucf(path)
    assert group == "annotations.labelmap"
    return check_labels(read_labels(path), CLASSES, path.name) or []


def outcome(path, group, root):
    """The manifest's word, the records, and the sentence."""
    try:
        records = read(path, group, root)
    except AnnotationError as problem:
        return REFUSED, [], str(problem)
    skipped = [record for record in records if record.status not in ("ok", "missing")]
    assert all(record.reason for record in skipped)
    return SKIPPED if skipped else OK, records, ""


def test_every_file_behaves_as_expected(annotations, root):
    folder, items = annotations
    wrong, unclear, checked = {}, {}, 0
    for name, item in items.items():
        if item["group"] == "annotations.note" or name == "million.csv":
            continue
        start = time.monotonic()
        got, records, sentence = outcome(folder / name, item["group"], root)
        assert time.monotonic() - start < 5, name
        checked += 1
        if got not in item["expect"]:
            wrong[name] = got, sentence
        if got == REFUSED and not (sentence.isprintable() and len(sentence) < 500 and sentence.endswith(".")):
            unclear[name] = sentence
        if "rows" in item.get("truth", {}) and got != REFUSED:
            assert len(records) == item["truth"]["rows"], name
    assert not wrong
    assert not unclear
    assert checked > 55


def kinetics(annotations, root, name):
    return index.kinetics_records(annotations[0] / name, root, "val", CLASSES)


@pytest.mark.parametrize(
    "name", ["good.csv", "bom.csv", "crlf.csv", "no_final_newline.csv", "blank_lines.csv", "cr_only.csv"]
)
def test_the_same_rows_in_other_clothes_are_the_same_records(annotations, root, name):
    records = kinetics(annotations, root, name)
    truth = annotations[1]["good.csv"]["truth"]
    assert [record.group for record in records] == truth["ids"]
    assert [record.label for record in records] == truth["labels"]
    assert [record.label_index for record in records] == [0, 1, 2, 3, 4]
    assert records[3].video_id == "AbCdEfGhIjK_000119_000129"
    assert (records[3].start_s, records[3].end_s) == (119.0, 129.0)


def test_identifiers_stay_text(annotations, root):
    records = kinetics(annotations, root, "ids_numeric.csv")
    assert [record.group for record in records] == annotations[1]["ids_numeric.csv"]["truth"]["ids"]


def test_hostile_identifiers_become_bad_rows_without_a_path(annotations, root):
    records = kinetics(annotations, root, "ids_hostile.csv")
    assert [record.status for record in records] == ["bad_row"] * 4
    assert {record.path for record in records} == {""}
    assert "line 2" in records[0].reason
    assert "etc/passwd" in records[0].reason


def test_hostile_paths_become_bad_rows_without_a_path(annotations, root):
    records = index.load_records("csv", root, "val", annotations=annotations[0] / "datalist_paths.json")
    assert [(record.status, record.path) for record in records] == [("bad_row", "")] * 4


def test_an_unknown_label_is_shown_and_counted(annotations, root):
    records = kinetics(annotations, root, "unknown_label.csv")
    assert Counter(record.status for record in records) == {"missing": 5, "unknown_label": 1}
    assert "'not a class' is not one of the 5 classes" in records[-1].reason
    odd = kinetics(annotations, root, "label_case_space.csv")
    assert "did you mean 'abseiling'" in odd[0].reason
    assert "did you mean 'air drumming'" in odd[1].reason


def test_labels_with_escapes_are_safe_to_print(annotations, root):
    records = kinetics(annotations, root, "labels_html.csv")
    assert all(record.label.isprintable() and record.reason.isprintable() for record in records)


def test_a_row_listed_twice_counts_once(annotations, root):
    records = kinetics(annotations, root, "dup_same.csv")
    assert [record.status for record in records] == ["missing"] * 5 + ["duplicate"]
    assert "line 7" in records[5].reason
    assert "line 2" in records[5].reason
    assert len({record.video_id for record in records}) == 6


def test_one_video_with_two_labels_takes_neither(annotations, root):
    records = kinetics(annotations, root, "dup_conflict.csv")
    assert [record.status for record in records] == ["duplicate", *["missing"] * 4, "duplicate"]
    for record in (records[0], records[5]):
        assert "'abseiling' in line 2" in record.reason
        assert "'zumba' in line 7" in record.reason


def test_ragged_rows_name_their_lines(annotations, root):
    records = kinetics(annotations, root, "ragged.csv")
    assert [record.status for record in records] == ["bad_row", "bad_row"]
    assert "line 2: 3 fields, expected 5" in records[0].reason
    assert "line 3: 7 fields, expected 5" in records[1].reason


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("latin1.csv", r"line 2 is not UTF-8 text: byte 0xe9"),
        ("semicolon.csv", r"no column 'youtube_id'.*parted by ';'"),
        ("missing_id_column.csv", r"line 1: no column 'youtube_id'"),
        ("no_header.csv", r"expected a header with youtube_id,time_start,time_end"),
        ("header_only.csv", r"header and no row"),
        ("nul.csv", r"line 6 holds a NUL"),
        ("open_quote.csv", r"line 2: "),
        ("empty.csv", r"is empty"),
        ("utf16.csv", r"UTF-16"),
        ("split_mismatch.csv", r"all 5 rows are of split train, none of 'val'"),
    ],
)
def test_a_refused_csv_says_where_and_what_was_expected(annotations, root, name, words):
    with pytest.raises(AnnotationError, match=words):
        kinetics(annotations, root, name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("classInd_0based.txt", r"line 1: '0 Abseiling'; expected '1 CLASSNAME'"),
        ("classInd_gap.txt", r"line 2: '3 Zumba'; expected '2 CLASSNAME'"),
        ("testlist_leak.txt", r"shares 1 video with the training split \(v_Abseiling_g08_c01\)"),
        ("trainlist_label_wrong.txt", r"the folder says Zumba \(5\), the number says 1"),
        ("hmdb_split_bad_flag.txt", r"line 1: 'a.avi 7'; expected 'NAME.avi CODE'"),
        ("label_map_reordered.txt", r"same names in another order: index 0"),
        ("label_map_short.txt", r"has 4 class names, expected 5"),
        ("label_map_dup.txt", r"'abseiling' twice, in lines 1 and 5"),
        ("label_map_html.txt", r"is a web page"),
        ("datalist_label_mismatch.json", r"entry 1: class_name says 'abseiling', label 3 is 'applauding'"),
        ("datalist_deep.json", r"nested too deeply"),
        ("datalist_nan.json", r"NaN is no JSON number"),
        ("datalist_trunc.json", r"no usable JSON: .*line 1"),
    ],
)
def test_a_refused_list_says_where_and_what_was_expected(annotations, root, name, words):
    with pytest.raises(AnnotationError, match=words):
        read(annotations[0] / name, annotations[1][name]["group"], root)


def test_a_group_in_both_lists_is_leakage_even_where_no_clip_is(annotations, tmp_path):
    folder, _ = annotations
    (tmp_path / "testlist01.txt").write_text("Abseiling/v_Abseiling_g08_c07.avi\n")
    (tmp_path / "trainlist01.txt").write_text((folder / "trainlist01.txt").read_text())
    with pytest.raises(AnnotationError, match=r"source video .*Abseiling_g08"):
        ucf(tmp_path / "testlist01.txt")


MILLION = """
import sys, time
from collections import Counter
from pathlib import Path
from vidbench.data import index
start = time.process_time()
records = index.kinetics_records(sys.argv[1], Path(sys.argv[2]), sys.argv[3], ("abseiling", "zumba"))
seconds = time.process_time() - start
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(seconds, peak / 1024, dict(Counter(r.status for r in records)))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("split", "status"), [("v", "unknown_label"), ("val", "bad_row")])
def test_a_million_rows_take_seconds_and_bounded_memory(annotations, tmp_path, split, status):
    folder, items = annotations
    done = subprocess.run(
        [sys.executable, "-c", MILLION, str(folder / "million.csv"), str(tmp_path), split],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    seconds, megabytes, counts = done.stdout.split(" ", 2)
    assert counts.strip() == str({status: items["million.csv"]["truth"]["rows"]})
    assert float(seconds) < items["million.csv"]["budget_s"]
    assert float(megabytes) < items["million.csv"]["budget_mb"]
    print(f"{split}: {float(seconds):.1f} s, {float(megabytes):.0f} MB")
