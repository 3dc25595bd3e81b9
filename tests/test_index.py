import dataclasses
import json
import logging
import os
from collections import Counter

import pytest

from vidbench.data import index
from vidbench.data.classes import load_labels
from vidbench.data.index import check_groups, draw_subset, filter_classes, load_records, records_fingerprint
from vidbench.records import AnnotationError, ConfigError, VideoRecord

HEADER = "label,youtube_id,time_start,time_end,split\n"


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return root


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def statuses(records):
    return [record.status for record in records]


# --- the real lists


@pytest.mark.shared
@pytest.mark.parametrize(("fold", "train", "test"), [(1, 9537, 3783), (2, 9586, 3734), (3, 9624, 3696)])
def test_ucf101_lists_as_many_videos_as_its_authors_say(shared_dir, fold, train, test):
    root = shared_dir / "data" / "ucf101"
    lists = [load_records("ucf101", root, split, fold) for split in ("train", "test")]
    assert [len(records) for records in lists] == [train, test]
    groups = {int(record.group[-2:]) for record in lists[1]}
    assert groups == set(range(7 * fold - 6, 7 * fold + 1))
    assert {record.label_index for record in lists[1]} == set(range(101))


@pytest.mark.shared
def test_ucf101_finds_the_clips_that_are_there(shared_dir):
    root = shared_dir / "data" / "ucf101"
    listed = load_records("ucf101", root, "test")
    assert Counter(statuses(listed)) == {"missing": 3747, "ok": 36}
    present = load_records("ucf101", root, "test", present_only=True)
    assert present == [record for record in listed if record.status == "ok"]
    assert all((root / record.path).is_file() for record in present)
    assert {record.group[-3:] for record in present} == {"g01", "g02", "g03"}
    first = present[0]
    assert (first.video_id, first.label, first.label_index) == ("v_Archery_g01_c01", "Archery", 2)
    assert first.group == "Archery/v_Archery_g01"
    punch = load_records("ucf101", root, "test", classes=["Punch"])
    assert {record.label for record in punch} == {"Punch"}
    assert punch[0].label_index == 70, "classes keep the index of the whole dataset"


@pytest.mark.shared
def test_ucf101_takes_the_class_from_the_folder_not_from_the_file(shared_dir):
    records = load_records("ucf101", shared_dir / "data" / "ucf101", "train")
    handstand = [record for record in records if "v_HandStandPushups" in record.path]
    assert handstand
    assert {record.label for record in handstand} == {"HandstandPushups"}


@pytest.mark.shared
def test_kinetics_lists_all_of_its_val_split_and_finds_four(shared_dir):
    root = shared_dir / "data" / "kinetics400"
    listed = load_records("kinetics400", root, "val")
    assert len(listed) == 19906
    assert Counter(statuses(listed)) == {"missing": 19902, "ok": 4}
    assert min(Counter(record.label_index for record in listed).values()) == 46
    assert len({record.label_index for record in listed}) == 400
    assert sum(record.group.startswith("-") for record in listed) > 100
    present = load_records("kinetics400", root, "val", present_only=True)
    assert [record.video_id for record in present] == [
        "BdMiTo_OtnU_000024_000034",
        "ehLnj7pXnYE_000027_000037",
        "dAeUFSdYG1I_000010_000020",
        "zkXOcxGnUhs_000025_000035",
    ]
    assert all((root / record.path).is_file() for record in present)
    assert all(record.path.split("/")[1] == record.label for record in present)


@pytest.mark.shared
@pytest.mark.parametrize("fold", [1, 2, 3])
def test_hmdb51_lists_as_many_videos_as_its_authors_say_and_keeps_films_apart(shared_dir, fold):
    root = shared_dir / "data" / "hmdb51"
    train, test = (load_records("hmdb51", root, split, fold) for split in ("train", "test"))
    assert (len(train), len(test)) == (3570, 1530)
    lists = (root / "testTrainMulti_7030_splits").glob(f"*_test_split{fold}.txt")
    assert Counter(code for path in lists for *_, code in index.read_hmdb_split(path)) == {1: 3570, 2: 1530, 0: 1666}
    assert set(Counter(record.label for record in test).values()) == {30}
    assert sum(not record.group for record in train + test) == 0
    check_groups(train, test)


@pytest.mark.shared
def test_hmdb51_finds_files_whose_names_break_globs(shared_dir):
    root = shared_dir / "data" / "hmdb51"
    present = [
        record
        for split in ("train", "test")
        for fold in (1, 2, 3)
        for record in load_records("hmdb51", root, split, fold, present_only=True)
    ]
    files = {path.relative_to(root).as_posix() for path in root.glob("hmdb51_org/*/*.avi")}
    assert {record.path for record in present} <= files
    assert any("(" in record.path for record in present)


@pytest.mark.shared
def test_something_lists_its_val_split(shared_dir):
    records = load_records("somethingv2", shared_dir / "data" / "somethingv2", "val")
    assert len(records) == 24777
    assert statuses(records).count("missing") == 24777
    assert records[0].label == "Spinning something that quickly stops spinning"


def test_the_mini_set_is_complete():
    from vidbench.data.catalog import DATASETS

    card = DATASETS["vidmini"]
    records = load_records("vidmini", card.default_dir, "test")
    assert len(records) == dict(card.counts)["test"]
    assert set(statuses(records)) == {"ok"}
    assert Counter(record.label_index for record in records) == dict.fromkeys(range(12), 12)
    assert all(record.group.startswith(f"{record.label}/v_{record.label}_g") for record in records)


# --- Kinetics


def kinetics(root, rows, split="val", header=HEADER):
    write(root / "annotations" / "val.csv", header + "\n".join(rows) + "\n")
    return load_records("kinetics400", root, split)


@pytest.mark.parametrize(
    "path",
    [
        "val/zumba/AbCdEfGhIjK_000007_000017.mp4",
        "val/AbCdEfGhIjK_000007_000017.mp4",
        "val/part_3/AbCdEfGhIjK_000007_000017.webm",
        "val/some_folder/zumba/AbCdEfGhIjK_000007_000017.MKV",
        "zumba/AbCdEfGhIjK_000007_000017.mp4",
        "AbCdEfGhIjK_000007_000017.mp4",
    ],
)
def test_kinetics_finds_its_file_in_any_of_the_usual_places(tmp_path, path):
    touch(tmp_path, path)
    (record,) = kinetics(tmp_path, ["zumba,AbCdEfGhIjK,7,17,val"])
    assert (record.status, record.path) == ("ok", path)


def test_kinetics_takes_the_copy_in_the_folder_of_the_label(tmp_path):
    touch(tmp_path, *(f"val/{name}/AbCdEfGhIjK_000007_000017.mp4" for name in ("abseiling", "air_drumming", "zumba")))
    (record,) = kinetics(tmp_path, ["air drumming,AbCdEfGhIjK,7,17,val"])
    assert record.path == "val/air_drumming/AbCdEfGhIjK_000007_000017.mp4"


@pytest.mark.parametrize(
    "path", ["val/abcdefghijk_000007_000017.mp4", "val/AbCdEfGhIjK_7_17.mp4", "val/AbCdEfGhIjK_000007_000017.txt"]
)
def test_kinetics_names_match_exactly(tmp_path, path):
    touch(tmp_path, path)
    (record,) = kinetics(tmp_path, ["zumba,AbCdEfGhIjK,7,17,val"])
    assert record.status == "missing"
    assert record.path == "val/zumba/AbCdEfGhIjK_000007_000017.mp4"


def test_one_video_at_two_times_is_two_clips_of_one_group(tmp_path):
    records = kinetics(tmp_path, ["zumba,AbCdEfGhIjK,7,17,val", "zumba,AbCdEfGhIjK,20,30,val"])
    assert statuses(records) == ["missing", "missing"]
    assert len({record.video_id for record in records}) == 2
    assert {record.group for record in records} == {"AbCdEfGhIjK"}


def test_a_video_listed_three_times_with_two_labels_names_both_and_counts_every_line(tmp_path):
    rows = [f"{label},AbCdEfGhIjK,7,17,val" for label in ("zumba", "abseiling", "zumba")]
    records = kinetics(tmp_path, rows)
    assert statuses(records) == ["duplicate"] * 3
    assert len({record.video_id for record in records}) == 3


def test_rows_of_other_splits_are_not_of_this_one(tmp_path):
    rows = ["zumba,AbCdEfGhIjK,7,17,train", "zumba,bbbbbbbbbbb,7,17,validate", "zumba,ccccccccccc,7,17,test"]
    assert [record.group for record in kinetics(tmp_path, rows)] == ["bbbbbbbbbbb"]


def test_a_test_list_without_labels_can_be_predicted(tmp_path):
    touch(tmp_path, "val/AbCdEfGhIjK_000007_000017.mp4")
    (record,) = kinetics(tmp_path, ["AbCdEfGhIjK,7,17,val"], header="youtube_id,time_start,time_end,split\n")
    assert (record.status, record.label, record.label_index) == ("ok", None, -1)
    (record,) = kinetics(tmp_path, [",AbCdEfGhIjK,7,17,val"])
    assert (record.status, record.label, record.label_index) == ("ok", None, -1)


def test_a_label_that_is_a_path_stays_out_of_paths(tmp_path):
    (record,) = kinetics(tmp_path, ["../../etc,AbCdEfGhIjK,7,17,val"])
    assert record.status == "unknown_label"
    assert record.path == "val/AbCdEfGhIjK_000007_000017.mp4"


def test_a_spelling_in_use_is_read_as_the_class_it_stands_for(tmp_path):
    path = tmp_path / "val.csv"
    rows = ["hurling sport", "Hurling (Sport)", "massaging persons head"]
    path.write_text(
        "label,youtube_id,time_start,time_end,split\n"
        + "".join(f"{r},{'x' * 10}{n},1,11,val\n" for n, r in enumerate(rows))
    )
    labels = load_labels("kinetics400")
    records = index.kinetics_records(path, tmp_path, "val", labels)
    assert [r.label for r in records] == ["hurling (sport)", "Hurling (Sport)", "massaging person's head"]
    assert [r.label_index for r in records] == [161, -1, 196]


@pytest.mark.parametrize("name", ["annotations/val.csv", "val.csv", "annotations/validate.csv", "validation.csv"])
def test_the_annotation_file_is_found_under_its_usual_names(tmp_path, name):
    write(tmp_path / name, HEADER + "zumba,AbCdEfGhIjK,7,17,val\n")
    assert len(load_records("kinetics400", tmp_path, "val")) == 1


def test_no_annotation_file_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(AnnotationError, match=r"annotations/val\.csv.*Pass --annotations FILE"):
        load_records("kinetics400", tmp_path, "val")
    words = r"is not a folder; expected the data of Kinetics-400 in it\. Pass its place as --data-dir, or fetch it: "
    with pytest.raises(AnnotationError, match=words):
        load_records("kinetics400", tmp_path / "none", "val")
    with pytest.raises(ConfigError, match="No dataset"):
        load_records("kinetics", tmp_path, "val")


# --- UCF101


def ucf(root, test, train="", classes=None):
    from vidbench.data.classes import load_labels

    names = classes or load_labels("ucf101")
    lists = root / "ucfTrainTestlist"
    write(lists / "classInd.txt", "".join(f"{number} {name}\r\n" for number, name in enumerate(names, 1)))
    write(lists / "testlist01.txt", test)
    if train:
        write(lists / "trainlist01.txt", train)
    return load_records("ucf101", root, "test")


def test_ucf101_paths_match_in_case(tmp_path):
    touch(tmp_path, "UCF-101/Archery/v_Archery_g01_c01.avi")
    lines = "Archery/v_Archery_g01_c01.avi\nArchery/V_Archery_g01_c01.avi\narchery/v_Archery_g01_c02.avi\n"
    records = ucf(tmp_path, lines)
    assert statuses(records) == ["ok", "missing", "unknown_label"]


def test_ucf101_with_another_class_order_is_refused(tmp_path):
    from vidbench.data.classes import load_labels

    with pytest.raises(AnnotationError, match=r"classInd\.txt has the same names in another order: index 34"):
        ucf(tmp_path, "Archery/v_Archery_g01_c01.avi\n", classes=sorted(load_labels("ucf101")))


def test_ucf101_with_leaking_lists_is_refused_when_loaded(tmp_path):
    train, test = "Archery/v_Archery_g08_c01.avi 3\n", "Archery/v_Archery_g08_c02.avi\n"
    with pytest.raises(AnnotationError, match=r"shares 1 source video .*Archery/v_Archery_g08"):
        ucf(tmp_path, test, train)
    assert len(ucf(tmp_path, test, "Punch/v_Punch_g08_c02.avi 71\n")) == 1, "g08 of another class is another video"


@pytest.mark.parametrize("line", ["/etc/passwd", "../x/y.avi", "v_Archery.avi", "C:\\x\\y.avi", "~/x/y.avi"])
def test_ucf101_lines_that_are_no_path_become_bad_rows(tmp_path, line):
    (record,) = ucf(tmp_path, line + "\n")
    assert (record.status, record.path, record.video_id) == ("bad_row", "", "line 1")


# --- HMDB51


def hmdb(root, **lines):
    from vidbench.data.classes import load_labels

    for label in load_labels("hmdb51"):
        write(root / "testTrainMulti_7030_splits" / f"{label}_test_split1.txt", lines.get(label, "unused.avi 0 \n"))
    return root


def test_hmdb51_uses_neither_unused_clips_nor_the_order_of_split_files(tmp_path):
    lines = "a[1]_climb_f_cm_np1_ba_med_0.avi 2 \nb_climb_f_cm_np1_ba_med_0.avi 1 \nc_climb_f_cm_np1_ba_med_0.avi 0 \n"
    hmdb(tmp_path, climb=lines, climb_stairs="d_climb_stairs_f_cm_np1_ba_med_0.avi 2 \n")
    touch(tmp_path, "hmdb51_org/climb/a[1]_climb_f_cm_np1_ba_med_0.avi")
    climb, stairs = load_records("hmdb51", tmp_path, "test")
    assert (climb.label_index, stairs.label_index) == (5, 6)
    assert (climb.status, stairs.status) == ("ok", "missing")
    assert (climb.group, stairs.group) == ("climb/a[1]", "climb_stairs/d")
    (train,) = load_records("hmdb51", tmp_path, "train")
    assert train.group == "climb/b"


def test_hmdb51_says_which_class_has_no_split_file(tmp_path):
    hmdb(tmp_path)
    (tmp_path / "testTrainMulti_7030_splits" / "wave_test_split1.txt").unlink()
    with pytest.raises(AnnotationError, match="split file of class wave"):
        load_records("hmdb51", tmp_path, "test")
    with pytest.raises(AnnotationError, match="No video is listed in split 'test'"):
        load_records("hmdb51", hmdb(tmp_path), "test")


# --- Something-Something


def test_something_reads_templates_with_and_without_brackets(tmp_path):
    entries = [
        {"id": "12", "template": "Closing [something]"},
        {"id": 13, "template": "Closing something"},
        {"id": "14"},
        {"id": "15", "template": "Eating [something]"},
        {"id": "../x", "template": "Closing something"},
        7,
    ]
    write(tmp_path / "something-something-v2-validation.json", json.dumps(entries))
    touch(tmp_path, "videos/12.webm")
    records = load_records("somethingv2", tmp_path, "val")
    assert statuses(records) == ["ok", "missing", "missing", "unknown_label", "bad_row", "bad_row"]
    assert records[0].path == "videos/12.webm"
    assert [record.label_index for record in records[:3]] == [5, 5, -1]


@pytest.mark.parametrize("value", [[], {}, {"a": "1"}, {"a": "0", "b": "0"}, {"a": None}, {"a": True}, {"a": "x"}])
def test_something_labels_must_be_numbered_from_0(tmp_path, value):
    with pytest.raises(AnnotationError, match="expected"):
        index.read_ssv2_labels(write(tmp_path / "labels.json", json.dumps(value)))


# --- folders of classes


def test_a_folder_of_classes_lists_every_video_once(tmp_path):
    touch(tmp_path, "b/2.mp4", "b/1.AVI", "b/1.mp4", "a/deep/er/x.webm", "a/notes.txt", "b/.hidden.mp4", "a c/[1].mkv")
    os.mkfifo(tmp_path / "b" / "pipe.mp4")
    (tmp_path / "b" / "broken.mp4").symlink_to("nowhere")
    (tmp_path / "b" / "empty.mp4").touch()
    records = load_records("folder", tmp_path, "test")
    assert [record.path for record in records] == [
        "a/deep/er/x.webm", "a c/[1].mkv", "b/1.AVI", "b/1.mp4", "b/2.mp4", "b/broken.mp4", "b/empty.mp4", "b/pipe.mp4",
    ]  # fmt: skip
    assert len({record.video_id for record in records}) == 8
    assert [record.label_index for record in records] == [0, 1, 2, 2, 2, 2, 2, 2]
    assert index.dataset_labels("folder", tmp_path) == ("a", "a c", "b")


def test_a_folder_with_splits_takes_the_one_asked_for_and_counts_classes_over_all(tmp_path):
    touch(tmp_path, "train/a/1.mp4", "train/b/1.mp4", "validation/b/2.mp4")
    (record,) = load_records("folder", tmp_path, "val")
    assert (record.path, record.video_id, record.label_index, record.split) == ("validation/b/2.mp4", "b/2", 1, "val")
    with pytest.raises(AnnotationError, match="has folders for train, val, none for 'test'; pass --split train"):
        load_records("folder", tmp_path, "test")


@pytest.mark.parametrize(("name", "asked"), [("valid", "val"), ("Validation", "validation"), ("val", "valid")])
def test_a_folder_for_validation_may_be_spelled_otherwise(tmp_path, name, asked):
    touch(tmp_path, "train/a/1.mp4", f"{name}/a/2.mp4", f"{name}/b/2.mp4")
    records = load_records("folder", tmp_path, asked)
    assert [(record.path, record.split) for record in records] == [(f"{name}/{c}/2.mp4", "val") for c in "ab"]
    assert index.own_splits("folder", tmp_path) == ["train", "val"]


def test_classes_called_like_a_split_are_classes_and_two_folders_for_one_split_are_refused(tmp_path):
    touch(tmp_path, "classes/invalid/1.mp4", "classes/valid/2.mp4", "two/train/a/1.mp4", "two/val/a/2.mp4")
    assert [record.label for record in load_records("folder", tmp_path / "classes", "test")] == ["invalid", "valid"]
    touch(tmp_path, "two/valid/a/3.mp4")
    with pytest.raises(AnnotationError, match="has the folders val and valid, which both mean val: rename"):
        load_records("folder", tmp_path / "two", "train")


def test_labels_txt_gives_a_folder_its_order(tmp_path, caplog):
    touch(tmp_path, "a/1.mp4", "b/1.mp4", "other/1.mp4")
    (tmp_path / "labels.txt").write_text("b\na\nnever seen\n")
    records = load_records("folder", tmp_path, "test")
    assert [(record.label, record.label_index) for record in records] == [("a", 1), ("b", 0)]
    assert "1 folder " in caplog.text


def test_a_folder_without_classes_or_videos_says_so(tmp_path):
    with pytest.raises(AnnotationError, match="holds no folder"):
        load_records("folder", tmp_path, "test")
    (tmp_path / "a").mkdir()
    with pytest.raises(AnnotationError, match="No video is listed"):
        load_records("folder", tmp_path, "test")


def test_a_folder_that_contains_itself_ends(tmp_path):
    touch(tmp_path, "a/1.mp4")
    (tmp_path / "a" / "loop").symlink_to("..")
    records = load_records("folder", tmp_path, "test")
    assert records[0].path == "a/1.mp4"
    assert len(records) < 5


@pytest.mark.skipif(os.name != "posix", reason="needs file names of raw bytes")
def test_a_file_name_that_is_no_text_becomes_a_bad_row(tmp_path):
    touch(tmp_path, "a/1.mp4")
    with open(os.fsencode(tmp_path) + b"/a/\xff.mp4", "wb"):
        pass
    good, bad = load_records("folder", tmp_path, "test")
    assert (good.status, bad.status, bad.path) == ("ok", "bad_row", "")
    bad.reason.encode()


# --- lists of paths


def test_a_list_gives_the_same_records_as_csv_and_as_lines(tmp_path):
    touch(tmp_path, "x/1.mp4")
    table = write(tmp_path / "a.csv", "label,path\nsit down,x/1.mp4\nrun,x/2.mp4\n")
    lines = write(tmp_path / "a.txt", "x/1.mp4\tsit down\nx/2.mp4\trun\n")
    for path in (table, lines):
        records = load_records("csv", tmp_path, "test", annotations=path)
        assert [(r.path, r.label, r.label_index, r.status) for r in records] == [
            ("x/1.mp4", "sit down", 1, "ok"),
            ("x/2.mp4", "run", 0, "missing"),
        ]


def test_numbers_in_a_list_are_indices(tmp_path):
    path = write(tmp_path / "list.txt", "a b.mp4 10\nc.mp4 2\n")
    records = load_records("csv", tmp_path, "test")
    assert [(record.path, record.label_index) for record in records] == [("a b.mp4", 10), ("c.mp4", 2)]
    assert len(index.dataset_labels("csv", tmp_path)) == 11
    (tmp_path / "labels.txt").write_text("zero\none\ntwo\n")
    records = load_records("csv", tmp_path, "test", annotations=path)
    assert [(record.label, record.status) for record in records] == [("10", "unknown_label"), ("two", "missing")]


def test_a_csv_list_may_hold_splits_and_groups(tmp_path):
    write(tmp_path / "annotations.csv", "path,label,split,group\na.mp4,x,train,g1\nb.mp4,x,validation,g2\n")
    (record,) = load_records("csv", tmp_path, "val")
    assert (record.path, record.group, record.split) == ("b.mp4", "g2", "val")
    with pytest.raises(AnnotationError, match="No video is listed in split 'test'"):
        load_records("csv", tmp_path, "test")


def test_a_datalist_names_its_own_classes(tmp_path):
    entries = [
        {"path": "b", "class_name": "run", "label": 1, "num_frames": 3},
        {"path": "a/v_1", "class_name": "sit", "label": 0, "num_frames": 9},
    ]
    write(tmp_path / "datalist.json", json.dumps(entries))
    assert index.dataset_labels("csv", tmp_path) == ("sit", "run")
    assert [record.label_index for record in load_records("csv", tmp_path, "test")] == [1, 0]


# --- picking


def some_records(*counts, split="test"):
    return [
        VideoRecord(f"v{label}_{number}", f"{label}/{number}", str(label), label, split, f"g{label}_{number // 2}")
        for number in range(max(counts))
        for label, count in enumerate(counts)
        if number < count
    ]


def test_a_subset_keeps_order_shares_and_smaller_subsets():
    records = some_records(50, 50, 100, 8)
    places = {record.video_id: place for place, record in enumerate(records)}
    smaller = set()
    for limit in (1, 5, 10, 20, 52, 104, 207):
        drawn = draw_subset(records, limit, seed=3)
        order = [places[record.video_id] for record in drawn]
        assert order == sorted(set(order))
        assert len(drawn) == limit
        counts = Counter(record.label_index for record in drawn)
        for label, total in enumerate((50, 50, 100, 8)):
            assert abs(counts[label] - limit * total / 208) < 2
        assert smaller <= set(order)
        smaller = set(order)
    assert draw_subset(records, 208, 3) == draw_subset(records, 9999, 3) == records


def test_a_subset_is_the_same_again_and_another_with_another_seed():
    records = some_records(40, 40, 40)
    assert draw_subset(records, 12, 1) == draw_subset(records, 12, 1)
    assert draw_subset(records, 12, 1) != draw_subset(records, 12, 2)
    known = [record.video_id for record in draw_subset(records, 4, 0)]
    assert known == ["v2_0", "v1_19", "v0_26", "v0_29"], "the draw is part of published numbers and must not change"


def test_a_subset_does_not_depend_on_what_is_wrong_with_a_record():
    records = some_records(30, 30)
    damaged = [dataclasses.replace(r, status="missing") if i % 3 else r for i, r in enumerate(records)]
    ids = [[record.video_id for record in draw_subset(some, 10, 5)] for some in (records, damaged, records[::-1])]
    assert ids[0] == ids[1] == ids[2][::-1]


def test_every_record_is_drawn_equally_often():
    records = some_records(12, 24)
    drawn = Counter(record.video_id for seed in range(600) for record in draw_subset(records, 6, seed))
    assert len(drawn) == 36
    assert 60 < min(drawn.values()) < max(drawn.values()) < 145, "each is expected 100 times"


def test_a_subset_has_at_least_one_record():
    with pytest.raises(ValueError, match="at least 1"):
        draw_subset(some_records(3), 0, 0)


def test_classes_are_filtered_by_name_and_unknown_names_are_refused():
    records = [*some_records(2, 2, 2), VideoRecord("line 9", "", status="bad_row", reason="x")]
    kept = filter_classes(records, ["2", "0"], ["0", "1", "2"])
    assert [record.video_id for record in kept] == ["v0_0", "v2_0", "v0_1", "v2_1", "line 9"]
    with pytest.raises(AnnotationError, match=r"no class 'Archer' .*'Archery'"):
        filter_classes(records, ["Archer"], ["Archery", "Punch"])


def test_a_fingerprint_changes_with_the_list_and_not_with_the_disk():
    records = some_records(2, 3)
    known = records_fingerprint(records)
    assert known == records_fingerprint(iter(records))
    assert len(known) == 64
    moved = [dataclasses.replace(record, path="elsewhere", status="missing", reason="x") for record in records]
    assert records_fingerprint(moved) == known
    changes = ({"label": "x"}, {"label_index": 4}, {"video_id": "x"}, {"group": "x"}, {"split": "x"}, {"end_s": 1.0})
    for change in changes:
        assert records_fingerprint([dataclasses.replace(records[0], **change), *records[1:]]) != known
    assert records_fingerprint(records[::-1]) != known
    assert records_fingerprint(records[:-1]) != known


def test_splits_that_share_videos_or_sources_are_refused():
    train = some_records(4, split="train")
    check_groups(train, [VideoRecord("other", "p", group="g9"), VideoRecord("third", "p")])
    with pytest.raises(AnnotationError, match=r"shares 1 video .*v0_2"):
        check_groups(train, [VideoRecord("v0_2", "p", group="g9")])
    with pytest.raises(AnnotationError, match=r"shares 1 source video .*g0_1"):
        check_groups(train, [VideoRecord("other", "p", group="g0_1")])


def test_what_is_wrong_is_logged_in_one_line(tmp_path, caplog):
    rows = [f"zumba,AbCdEfGhI{number:02d},7,17,val" for number in range(50)] + ["nothing,AbCdEfGhIjK,7,17,val"]
    kinetics(tmp_path, rows)
    assert [record.getMessage() for record in caplog.records] == ["kinetics400: 50 missing, 1 unknown_label"]


def test_what_lies_beside_the_videos_of_a_folder_of_classes_is_said(tmp_path, caplog):
    for name in ("a/1.mp4", "a/2.mp4x", "b/3.mp4", "b/.hidden.txt", "loose.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with caplog.at_level(logging.WARNING, logger="vidbench"):
        records = load_records("folder", root=tmp_path, split="test")
    assert [record.path for record in records] == ["a/1.mp4", "b/3.mp4"]
    assert "left out: 1 video directly in" in caplog.text
    assert "left out: 1 file in the class folders" in caplog.text
    assert "2.mp4x" in caplog.text


# --- tables of what is listed


class Fact:
    """Stands for what a probe or a survey found."""

    def __init__(self, record, **values):
        self.values = {name: getattr(record, name) for name in ("video_id", "label", "split", "group", "status")}
        known = {"file_size": 0, "duration_s": None, "frame_rate": None, "width": None, "height": None, "codec": None}
        self.values |= known | values

    def facts(self):
        return self.values


def listed():
    rows = [("a", "run", "g1", "ok"), ("b", "run", "g1", "ok"), ("c", "run", "g2", "missing"), ("d", "jump", "", "ok")]
    return [VideoRecord(name, name, label, 0, "test", group, status=status) for name, label, group, status in rows]


def test_a_table_of_classes_counts_what_is_listed():
    table = index.describe(listed())
    assert list(table.index) == ["run", "jump"]
    assert table.loc["run"].to_dict() == {"videos": 3, "usable": 2, "groups": 2}
    assert table.loc["jump"].to_dict() == {"videos": 1, "usable": 1, "groups": 0}
    assert int(table["videos"].sum()) == len(listed())


def test_a_table_with_facts_sums_and_names_what_files_hold():
    records = listed()
    told = [(3_000_000, 2.0, 25.0, 320, 240), (1_000_000, 4.0, 29.97, 320, 240), None, (500_000, 1.0, 25.0, 64, 48)]
    names = ("file_size", "duration_s", "frame_rate", "width", "height")
    facts = [
        Fact(record, **(dict(zip(names, values, strict=True), codec="h264") if values else {}))
        for record, values in zip(records, told, strict=True)
    ]
    run = index.describe(records, facts).loc["run"]
    assert (run["megabytes"], run["seconds"]) == (4.0, 6.0)
    assert (run["shortest_s"], run["median_s"], run["longest_s"]) == (2.0, 3.0, 4.0)
    assert (run["frame_rates"], run["sizes"], run["codecs"]) == ("25, 29.97", "320x240", "h264")
    by_size = index.describe(records, facts, by="size")
    assert by_size.loc["320x240", "videos"] == 2
    assert int(by_size["videos"].sum()) == len(records)  # one without a size keeps its row


def test_many_different_values_are_counted_not_listed():
    records = [VideoRecord(str(n), str(n), "run", 0) for n in range(5)]
    facts = [Fact(record, frame_rate=10.0 + min(n, 4), codec="h264") for n, record in enumerate(records)]
    assert index.describe(records, facts).loc["run", "frame_rates"] == "10, 11, 12, and 2 more"


def test_facts_of_another_list_and_unknown_columns_are_refused():
    records = listed()
    with pytest.raises(ValueError, match="not those of these 4 records"):
        index.describe(records, [Fact(record) for record in records[:3]])
    with pytest.raises(ValueError, match="no column 'codec'"):
        index.describe(records, by="codec")


def test_an_empty_list_is_an_empty_table():
    assert len(index.describe([])) == 0
    assert len(index.describe([], [])) == 0
