import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vidbench.data import catalog
from vidbench.data.catalog import DATASETS, find_dataset
from vidbench.data.classes import (
    check_labels,
    load_aliases,
    load_joins,
    load_labels,
    name_of_list,
    read_labels,
    read_text,
)
from vidbench.records import AnnotationError, ConfigError

SHIPPED = {
    "kinetics400": (400, {0: "abseiling", 308: "skiing (not slalom or crosscountry)", 399: "zumba"}),
    "kinetics600": (600, {0: "abseiling", 1: "acting in play", 599: "zumba"}),
    "kinetics700": (700, {0: "abseiling", 699: "zumba"}),
    "ucf101": (101, {0: "ApplyEyeMakeup", 34: "Hammering", 35: "HammerThrow", 46: "JumpingJack", 100: "YoYo"}),
    "hmdb51": (51, {0: "brush_hair", 5: "climb", 6: "climb_stairs", 50: "wave"}),
    "somethingv2": (174, {0: "Approaching something with your camera", 173: "Wiping something off of something"}),
    "mini_kinetics200": (200, {0: "abseiling", 199: "zumba"}),
    "vidmini": (12, {0: "Approach", 11: "StandUp"}),
    "kinetics710": (710, {0: "abseiling", 399: "zumba", 400: "poaching eggs"}),
    "somethingv1": (174, {0: "Holding something", 1: "Turning something upside down"}),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_class_lists_have_the_right_names_at_the_right_index(name):
    count, known = SHIPPED[name]
    labels = load_labels(name)
    assert len(labels) == count == len(set(labels))
    assert {index: labels[index] for index in known} == known


@pytest.mark.parametrize("name", ["kinetics400", "kinetics700"])
def test_kinetics_order_is_the_plain_sort_of_the_names(name):
    assert list(load_labels(name)) == sorted(load_labels(name))


def test_kinetics600_keeps_the_odd_spelling_that_breaks_the_sort():
    labels = load_labels("kinetics600")
    assert labels[308] == "passing American football (in game)"
    assert labels[309] == "passing american football (not in game)"


def test_ucf101_order_is_not_the_plain_sort():
    labels = load_labels("ucf101")
    assert list(labels) == sorted(labels, key=str.casefold) != sorted(labels)


def test_class_lists_are_those_that_come_with_the_data(shared_dir):
    from vidbench.data.index import read_class_index, read_ssv2_labels

    data = shared_dir / "data"
    assert read_class_index(data / "ucf101" / "ucfTrainTestlist" / "classInd.txt") == load_labels("ucf101")
    assert read_labels(data / "weights" / "movinet_k600_labels.txt") == load_labels("kinetics600")
    ssv2 = data / "somethingv2" / "something-something-v2-labels.json"
    assert read_ssv2_labels(ssv2) == load_labels("somethingv2")


def test_vidmini_has_the_classes_of_its_own_split_files():
    from vidbench.data.index import read_class_index

    assert read_class_index(DATASETS["vidmini"].default_dir / "splits" / "classInd.txt") == load_labels("vidmini")


# --- cards


@pytest.mark.parametrize("name", DATASETS)
def test_a_card_agrees_with_itself(name):
    card = find_dataset(name)
    assert card.name == name
    assert not card.splits or card.default_split in card.splits
    assert card.folds >= 1
    assert card.licence
    assert dataclasses.is_dataclass(card)
    if card.labels:
        assert load_labels(card.labels)
    for source in card.sources:
        assert source.url.startswith(("https://", "http://"))
        assert source.sha256 is None or len(source.sha256) == 64


def test_every_layout_on_a_card_has_an_importer():
    from vidbench.data.layouts import LAYOUTS

    assert {card.layout for card in DATASETS.values()} == set(LAYOUTS)


def test_other_names_lead_to_the_same_card():
    assert find_dataset("ssv2") is find_dataset("somethingv2")
    assert find_dataset("kinetics700_2020") is find_dataset("kinetics700")
    names = [*catalog.DATASETS, *catalog.ALIASES]
    assert len(names) == len(set(names))


def test_mini_kinetics_has_classes_of_kinetics400():
    labels = load_labels("mini_kinetics200")
    assert set(labels) < set(load_labels("kinetics400"))


@pytest.mark.parametrize(
    "name", [name for name, card in DATASETS.items() if card.comes in ("archives", "files", "zip")]
)
def test_a_card_that_can_be_fetched_tells_from_where_how_much_and_on_what_terms(name):
    card = find_dataset(name)
    assert card.hosted
    assert all(item.num_videos > 0 and item.gb > 0 for item in card.hosted)
    assert card.bases
    assert card.page.startswith("https://")
    for split in card.splits if card.comes == "archives" else ():
        assert len(card.sources_of("annotations", split)) == len(card.sources_of("archives", split)) == 1
        assert any(item.split == split for item in card.hosted)


def test_the_published_copies_are_no_larger_than_what_is_listed():
    for card in DATASETS.values():
        for item in card.hosted if len(card.hosted) > 1 and not card.name.startswith("mini") else ():
            assert item.num_videos <= dict(card.counts).get(item.split, item.num_videos)


def test_the_page_about_datasets_says_what_the_cards_say():
    script = Path(__file__).resolve().parents[1] / "scripts" / "dataset_table.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_unknown_dataset_gets_the_nearest_names():
    with pytest.raises(ConfigError, match=r"No dataset is called 'ucf'.*'ucf101'"):
        find_dataset("ucf")


# --- strict reading


def labels_file(tmp_path, data: bytes):
    path = tmp_path / "names.txt"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "data",
    [b"a b\nc\n", b"a b\nc", b"\xef\xbb\xbfa b\r\nc\r\n", b"a b\rc\r", b"a b\nc\n\n \n\n", b" a b \n\tc\n"],
)
def test_harmless_differences_do_not_change_the_names(tmp_path, data):
    assert read_labels(labels_file(tmp_path, data)) == ("a b", "c")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", r"is empty"),
        (b" \n\n", r"is empty"),
        (b"a\n\nb\n", r"line 2 is blank"),
        (b"a\nb\na\n", r"'a' twice, in lines 1 and 3"),
        (b"a\n\xff\n", r"line 2 is not UTF-8 text: byte 0xff at 2"),
        ("a\nb\n".encode("utf-16"), r"UTF-16"),
        (b"a\nb\0\n", r"line 2 holds a NUL"),
        (b"a\nb\x1b[2J\n", r"line 2 is no class name: 'b\\x1b\[2J'"),
        (b"<!DOCTYPE html>\n<html>\n", r"web page"),
        (b"<html><body>404", r"web page"),
        (b"a\n" + b"x" * 400 + b"\n", r"line 2 is no class name"),
    ],
)
def test_what_is_no_list_of_names_is_refused_with_its_place(tmp_path, data, words):
    with pytest.raises(AnnotationError, match=words):
        read_labels(labels_file(tmp_path, data))


def test_a_name_that_begins_like_a_tag_is_still_a_name(tmp_path):
    assert read_labels(labels_file(tmp_path, b"<3 heart\nb\n")) == ("<3 heart", "b")


def test_labels_come_from_a_path_too_and_unknown_names_are_told_apart(tmp_path):
    assert load_labels(str(labels_file(tmp_path, b"a\nb\n"))) == ("a", "b")
    with pytest.raises(AnnotationError, match=r"no class list 'kinetics40'.*'kinetics400'"):
        load_labels("kinetics40")
    with pytest.raises(AnnotationError, match="no class list"):
        load_labels(str(tmp_path))


def test_a_text_file_beyond_the_limit_is_not_read(tmp_path):
    with pytest.raises(AnnotationError, match="larger than"):
        read_text(labels_file(tmp_path, b"x" * 100), most_bytes=99)


def test_labels_in_another_order_or_number_are_told_apart():
    check_labels(["a", "b"], ("a", "b"), "the file")
    with pytest.raises(AnnotationError, match="the file has the same names in another order: index 0 is 'b'"):
        check_labels(["b", "a"], ["a", "b"], "the file")
    with pytest.raises(AnnotationError, match="other names: index 1 is 'c', expected 'b'"):
        check_labels(["a", "c"], ["a", "b"], "the file")
    with pytest.raises(AnnotationError, match="has 1 class names, expected 2"):
        check_labels(["a"], ["a", "b"], "the file")


# ---------------------------------------------------------------- names that mean the same

KINETICS = ("kinetics400", "kinetics600", "kinetics700", "kinetics710")


def test_a_list_is_known_by_its_names_in_their_order():
    labels = load_labels("kinetics600")
    assert name_of_list(labels) == "kinetics600"
    assert name_of_list(labels[::-1]) is name_of_list(labels[1:]) is None


@pytest.mark.parametrize("name", SHIPPED)
def test_an_alias_stands_for_a_class_and_is_none_itself(name):
    labels, aliases = set(load_labels(name)), load_aliases(name)
    assert set(aliases.values()) <= labels
    assert not set(aliases) & labels
    for alias, known in aliases.items():  # a spelling, not another word
        assert re.sub(r"[\W_]", "", alias).casefold() == re.sub(r"[\W_]", "", known).casefold()


def test_every_class_with_punctuation_has_torchvisions_spelling():
    for name in KINETICS[:3]:
        spelt = {re.sub(r"['()]", "", label): label for label in load_labels(name) if re.search(r"['()]", label)}
        aliases = load_aliases(name)
        assert len(spelt) == {"kinetics400": 10, "kinetics600": 19, "kinetics700": 21}[name]
        assert {alias: aliases[alias] for alias in spelt} == spelt


@pytest.mark.parametrize(("name", "other"), [(a, b) for a in KINETICS for b in KINETICS if a != b])
def test_joins_name_classes_that_the_other_list_does_not_have_by_that_name(name, other):
    labels, others = set(load_labels(name)), set(load_labels(other))
    joins = load_joins(name, other)
    assert {(join.other, join.name) for join in joins} == {(j.name, j.other) for j in load_joins(other, name)}
    assert len(joins) == len({(join.name, join.other) for join in joins})
    for join in joins:
        assert join.name in labels
        assert join.other in others
        if join.kind in ("spelling", "renamed"):  # one class: neither name is in the other list
            assert join.name not in others
            assert join.other not in labels


def test_a_class_is_renamed_to_one_class_only():
    for name in KINETICS:
        for other in KINETICS:
            joined = [join for join in load_joins(name, other) if join.kind in ("spelling", "renamed")]
            assert len({join.name for join in joined}) == len({join.other for join in joined}) == len(joined)


def test_lists_and_joins_are_those_of_the_reference(shared_dir):
    labels = shared_dir / "reference" / "labels"
    for name, file in (("kinetics710", "kinetics710_mmaction2"), ("somethingv1", "something_v1_mmaction2")):
        assert load_labels(name) == read_labels(labels / f"{file}.txt")
    absent = set(read_labels(labels / "k400_names_absent_from_k600.tsv")) - {"name"}
    joins = load_joins("kinetics400", "kinetics600")
    assert {join.name for join in joins} <= absent
    merged = {
        tuple(line.split("\t")[1:])
        for line in (labels / "diff_k400_deepmind_vs_videomaev2.tsv").read_text().split("\n")[1:]
        if line
    }
    assert {(join.name, join.other) for join in load_joins("kinetics400", "kinetics710")} >= merged
