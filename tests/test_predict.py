"""From logits to a prediction: averaging, ranking, and one label space mapped to another."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vidbench.data import mini
from vidbench.data.classes import load_labels
from vidbench.data.decode import Video, read_clip
from vidbench.data.drawn.ink import FRAME_RATE
from vidbench.data.process import views_from_frames
from vidbench.data.sample import middle_indices
from vidbench.models import CARDS, load_model
from vidbench.predict import (
    LabelMap,
    actions_in,
    average,
    natural_window_s,
    predict,
    predict_over_time,
    rank_of,
    softmax,
    top,
)
from vidbench.records import AnnotationError, ConfigError, UnreadableVideo, WeightsError

ROOT = Path(__file__).resolve().parents[1]
SPEC = CARDS["mini2d.vidmini_v1"].input
DATA = ("Archery", "Punch", "PushUps", "Knitting")
MODEL = ("archery", "knitting", "punching bag", "push up", "punching person (boxing)")


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


# ------------------------------------------------------------------------------------------------------ averaging


def test_logits_or_probabilities_are_averaged_as_the_card_says():
    logits = np.float32([[4.0, 0.0, 0.0], [0.0, 2.5, 0.0], [0.0, 2.5, 0.0]])
    of_logits = average(logits, replace(SPEC, average="logits"))
    of_probabilities = average(logits, replace(SPEC, average="probabilities"))
    np.testing.assert_allclose(of_logits, np.exp([4 / 3, 5 / 3, 0]) / np.exp([4 / 3, 5 / 3, 0]).sum(), rtol=1e-6)
    by_hand = np.mean([np.exp(row) / np.exp(row).sum() for row in logits.astype(float)], axis=0)
    np.testing.assert_allclose(of_probabilities, by_hand, rtol=1e-6)
    assert of_logits.dtype == of_probabilities.dtype == np.float64
    assert abs(of_probabilities.sum() - 1) < 1e-6


def test_the_two_rules_can_disagree():
    logits = np.float32([[9.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 5.0, 0.0]])
    assert average(logits, replace(SPEC, average="logits")).argmax() == 1
    assert softmax(np.float32([9.0, 0, 0])).argmax() == 0
    sure = np.float32([[20.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    assert average(sure, replace(SPEC, average="logits")).argmax() == 0
    mixed = np.float32([[20.0, 0.0, 19.0], [-20.0, 0.0, 1.0], [-20.0, 0.0, 1.0]])
    assert average(mixed, replace(SPEC, average="logits"))[0] < 0.01
    assert average(mixed, replace(SPEC, average="probabilities"))[0] > 0.2


def test_large_logits_do_not_overflow():
    assert np.isfinite(softmax(np.float32([3e38, -3e38, 0.0]))).all()


# -------------------------------------------------------------------------------------------------------- ranking


def test_a_tie_counts_against_us():
    scores = np.float32([0.4, 0.4, 0.2])
    assert [rank_of(scores, k) for k in range(3)] == [1, 1, 2]
    assert rank_of(np.float32([0.5, 0.3, 0.2]), 0) == 0
    assert rank_of(np.zeros(6, np.float32), 2) == 5, "a network that says nothing is never right"


def test_a_sure_network_keeps_the_order_of_its_small_scores():
    scores = average(np.float32([[30.0, -80.0, -90.0, -120.0, -130.0]]), replace(SPEC, average="logits"))
    assert [rank_of(scores, k) for k in range(5)] == [0, 1, 2, 3, 4]


def test_a_true_class_that_ties_is_listed_behind_the_others():
    scores = np.array([0.5, 0.5, 0.0])
    assert rank_of(scores, 0) == 1
    assert top(scores, 2, last=0) == [1, 0]


def test_two_dataset_classes_cannot_share_a_model_class(tmp_path):
    path = write(tmp_path / "m.csv", f"dataset_label,model_label\n{DATA[0]},{MODEL[0]}\n{DATA[1]},{MODEL[0]}\n")
    with pytest.raises(AnnotationError, match=r"m\.csv:3: .* mapped to two classes"):
        LabelMap.from_csv(path, DATA, MODEL)


def test_the_best_come_first_and_ties_by_index():
    scores = np.float32([0.1, 0.4, np.nan, 0.4, -np.inf, 0.0])
    assert top(scores, 3) == [1, 3, 0]
    assert top(scores, 99) == [1, 3, 0, 5], "what has no score is left out"
    assert top(scores, 0) == []
    assert top(scores, 3, last=1) == [3, 1, 0], "a true class that ties comes behind"
    assert top(scores, 3, last=0) == [1, 3, 0], "and only behind what it ties with"


def test_small_probabilities_of_a_sure_network_are_no_ties():
    scores = average(np.float32([[0.0, -120.0, -119.0, -121.0]]), SPEC)
    assert [rank_of(scores, k) for k in range(4)] == [0, 2, 1, 3]


def test_a_class_without_a_score_has_no_rank():
    assert rank_of(np.float32([0.5, -np.inf, 0.1]), 1) == -1
    assert rank_of(np.float32([0.5, -np.inf, 0.1]), 2) == 1


# ----------------------------------------------------------------------------------------------------- label maps


def test_the_best_score_of_several_model_classes_counts(tmp_path):
    path = write(
        tmp_path / "m.csv",
        "dataset_label,model_label\nPunch,punching bag\nArchery,archery\n\nPunch,punching person (boxing)\n",
    )
    found = LabelMap.from_csv(path, DATA, MODEL)
    scores = np.float32([[0.1, 0.5, 0.05, 0.2, 0.15], [0.3, 0.1, 0.4, 0.1, 0.1]])
    mapped = found.apply(scores)
    assert mapped.shape == (2, 4)
    assert mapped.dtype == np.float32
    np.testing.assert_array_equal(mapped[:, 1], np.float32([0.15, 0.4]))
    np.testing.assert_array_equal(mapped[:, 0], scores[:, 0])
    assert np.isneginf(mapped[:, 2:]).all()
    assert found.unmapped == ("PushUps", "Knitting")
    assert [found.is_mapped(k) for k in range(4)] == [True, True, False, False]
    facts = found.facts()
    assert (facts["source"], facts["n_mapped"], facts["n_unmapped"]) == ("m.csv", 2, 2)
    assert facts["unmapped"] == ["PushUps", "Knitting"]
    assert len(facts["sha256"]) == 64


def test_scores_of_another_model_are_a_programming_error(tmp_path):
    found = LabelMap.by_name(("archery",), MODEL)
    with pytest.raises(ValueError, match="4 scores for 5 classes"):
        found.apply(np.zeros(4, np.float32))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r":1: the header must be dataset_label,model_label"),
        ("model_label,dataset_label\narchery,Archery\n", r":1: the header must be"),
        ("dataset_label,model_label\n", r"maps no class"),
        ("dataset_label,model_label\nArchery,archry\n", r":2: the model has no class 'archry'. Did you mean 'archery'"),
        ("dataset_label,model_label\nArchery,archery\narchery,archery\n", r":3: the dataset has no class 'archery'"),
        ("dataset_label,model_label\nArchery,archery\nArchery,archery\n", r":3: this row comes twice"),
        ("dataset_label,model_label\nArchery,archery\nPunch,archery\n", r":3: .*'archery' is mapped to two classes"),
        ("dataset_label,model_label\nArchery,archery,1\n", r":2: 3 columns instead of 2"),
        ("dataset_label,model_label\nArchery\n", r":2: 1 columns instead of 2"),
        ('dataset_label,model_label\n"Archery,archery\n', r"is no CSV text"),
        ("dataset_label,model_label\nArchery,\x1b[31mred\n", r":2: the model has no class '.*x1b\[31mred'"),
    ],
)
def test_a_bad_label_map_is_refused_with_its_line(tmp_path, text, words):
    path = write(tmp_path / "m.csv", text)
    with pytest.raises(AnnotationError, match=words):
        LabelMap.from_csv(path, DATA, MODEL)


def test_a_label_map_that_is_no_text_or_no_file_is_refused(tmp_path):
    (tmp_path / "b.csv").write_bytes(b"dataset_label,model_label\n\xff\xfe\x00,\x00\n")
    with pytest.raises(AnnotationError, match="is no CSV text"):
        LabelMap.from_csv(tmp_path / "b.csv", DATA, MODEL)
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(AnnotationError, match="cannot be read"):
            LabelMap.from_csv(path, DATA, MODEL)


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(tmp_path):
    (tmp_path / "m.csv").write_bytes(b"\xef\xbb\xbfdataset_label,model_label\r\nArchery,archery\r\n")
    assert LabelMap.from_csv(tmp_path / "m.csv", DATA, MODEL).columns[0] == (0,)


def test_names_agree_whatever_their_case_and_an_exact_one_goes_first():
    found = LabelMap.by_name(("Knitting", "a", "b"), ("knitting", "A", "a", "c"))
    assert found.columns == ((0,), (2,), ())
    with pytest.raises(AnnotationError, match="No class name"):
        LabelMap.by_name(("x",), ("y",))


def test_kinetics_400_and_600_share_369_names():
    found = LabelMap.by_name(load_labels("kinetics400"), load_labels("kinetics600"))
    assert len(found.unmapped) == 400 - 369
    assert max(map(len, found.columns)) == 1


def known(dataset: str, model: str) -> LabelMap:
    return LabelMap.known(load_labels(dataset), load_labels(model))


def test_known_names_join_what_kinetics_renamed_and_split():
    found = known("kinetics400", "kinetics600")
    by_name = {
        name: {found.model_labels[place] for place in places}
        for name, places in zip(found.dataset_labels, found.columns)
    }
    assert by_name["abseiling"] == {"abseiling"}
    assert by_name["dying hair"] == {"dyeing hair"}
    assert by_name["passing American football (not in game)"] == {"passing american football (not in game)"}
    assert by_name["hugging"] == {"hugging (not baby)", "hugging baby"}
    assert by_name["sniffing"] == by_name["vault"] == set()
    assert len(found.unmapped) == 32 - 9 - 2  # absent by name; renamed or spelt otherwise; split
    assert found.facts()["source"] == "known"
    assert len(found.facts()["sha256"]) == 64


def test_known_names_of_the_finer_list_are_not_given_the_coarser_class():
    found = known("kinetics600", "kinetics400")
    assert {"hugging baby", "hugging (not baby)", "smelling feet"} <= set(found.unmapped)
    assert found.is_mapped(found.dataset_labels.index("dyeing hair"))


@pytest.mark.parametrize("dataset", ["kinetics400", "kinetics600", "kinetics700", "kinetics710"])
@pytest.mark.parametrize("model", ["kinetics400", "kinetics600", "kinetics700", "kinetics710"])
def test_no_class_of_the_model_is_known_as_two_of_the_dataset(dataset, model):
    used = [place for places in known(dataset, model).columns for place in places]
    assert len(used) == len(set(used))
    names = set(load_labels(dataset)) & set(load_labels(model))
    assert len(known(dataset, model).unmapped) <= len(load_labels(dataset)) - len(names)


def test_the_page_about_datasets_counts_the_classes_that_are_joined():
    page = (Path(__file__).resolve().parents[1] / "docs" / "datasets.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| Kinetics-(\d+) \| Kinetics-(\d+) \| (\d+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    assert len(lines) == 4
    for data, model, by_name, joined, without in lines:
        pair = load_labels(f"kinetics{data}"), load_labels(f"kinetics{model}")
        named, found = LabelMap.by_name(*pair), LabelMap.known(*pair)
        assert len(pair[0]) - len(named.unmapped) == int(by_name)
        assert (len(pair[0]) - len(found.unmapped), len(found.unmapped)) == (int(joined), int(without))


def test_other_spellings_of_a_users_own_folders_are_known():
    found = LabelMap.known(("hurling sport", "something of mine", "zumba"), load_labels("kinetics400"))
    assert [found.model_labels[place] for places in found.columns for place in places] == ["hurling (sport)", "zumba"]
    assert found.unmapped == ("something of mine",)


@pytest.mark.parametrize(("dataset", "model"), [("ucf101", "kinetics400"), ("kinetics700", "kinetics600")])
def test_known_joins_all_that_names_joins(dataset, model):
    pair = load_labels(dataset), load_labels(model)
    named, known = LabelMap.by_name(*pair).columns, LabelMap.known(*pair).columns
    assert all(not wanted or wanted == found for wanted, found in zip(named, known))
    assert LabelMap.known(("SURFING water", "mine"), ("yoga", "surfing water")).columns == ((1,), ())


def test_nothing_known_is_said():
    with pytest.raises(AnnotationError, match="known as one of the model's"):
        LabelMap.known(("mine",), load_labels("kinetics400"))


def test_the_shipped_map_covers_its_nine_classes(request):
    path = request.config.rootpath / "scripts" / "label_maps" / "ucf101_to_kinetics600.csv"
    found = LabelMap.from_csv(path, load_labels("ucf101"), load_labels("kinetics600"))
    names = [name for name, places in zip(found.dataset_labels, found.columns) if places]
    assert names == [
        "Archery",
        "BabyCrawling",
        "BasketballDunk",
        "HorseRace",
        "PlayingPiano",
        "PlayingViolin",
        "Punch",
        "PushUps",
        "Surfing",
    ]
    assert sum(map(len, found.columns)) == 10


# ---------------------------------------------------------------------------------------------------- whole videos


def test_a_video_is_predicted_from_its_file(make_video, tmp_path):
    path = make_video(tmp_path / "clip.mp4", num_frames=20, width=80, height=60)
    model = load_model("mini_r2plus1d", "random")
    found = predict(model, path)
    assert (found.status, found.labels) == ("ok", load_labels("vidmini"))
    assert found.logits.shape == (1, 12)
    assert found.scores.shape == (12,)
    assert abs(found.scores.sum() - 1) < 1e-5
    assert [label for label, _ in found.top(12)] == [found.labels[k] for k in top(found.scores, 12)]


def test_every_view_of_the_card_is_predicted(make_video, tmp_path):
    path = make_video(tmp_path / "clip.mp4", num_frames=40, width=80, height=60)
    model = load_model("mini_r2plus1d", "random")
    model.spec = replace(model.spec, num_frames=8, frame_rate=12.5, sampling="clips", num_clips=3, num_crops=3)
    assert predict(model, path, batch_size=4).logits.shape == (9, 12)


def test_an_unreadable_video_says_why(tmp_path):
    model = load_model("mini2d", "random")
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(UnreadableVideo, match="empty"):
        predict(model, tmp_path / "a.mp4")
    with pytest.raises(UnreadableVideo, match="missing"):
        predict(model, tmp_path / "b.mp4")


def test_logits_that_are_not_finite_are_no_prediction(make_video, tmp_path):
    path = make_video(tmp_path / "clip.mp4", num_frames=20, width=80, height=60)
    model = load_model("mini2d", "random")
    model.network.module.head.bias.data[3] = float("nan")
    with pytest.raises(UnreadableVideo, match="nonfinite"):
        predict(model, path)


def test_a_model_can_be_given_by_name(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="There is no model"):
        predict("mini3d.unknown", tmp_path / "a.mp4")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match="not on this machine"):
        predict("movinet_a0_stream", tmp_path / "a.mp4")


# ------------------------------------------------------------------------------------------------------ over time


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A long drawn video, and when each action happens."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    labels = ["SitDown", "StandUp", "HoldUmbrella", "RightToLeft", "LeftToRight"]
    return path, mini.write_long(path, labels, seed=5)


def test_a_window_is_scored_like_a_file_that_holds_only_its_frames(film, tmp_path):
    path, truth = film
    model = load_model("mini_r2plus1d")
    timeline = predict_over_time(model, path, window_s=1.6, stride_s=0.7, batch_size=3)
    frames = read_clip(path, lambda table: range(table.num_frames)).frames
    for number in (0, 4, len(timeline.scores) - 1):
        first, end = np.round(timeline.windows_s[number] * FRAME_RATE - 1e-6).astype(int)
        first = int(np.ceil(timeline.windows_s[number, 0] * FRAME_RATE - 1e-6))
        views = views_from_frames(frames[first:end], middle_indices(end - first, 16)[None], model.spec)
        (logits,) = model.logits([views])
        np.testing.assert_allclose(timeline.scores[number], softmax(logits)[0], atol=1e-4)
    assert timeline.scores.shape == (len(timeline.windows_s), 12)
    np.testing.assert_allclose(timeline.scores.sum(1), 1, atol=1e-5)
    assert timeline.windows_s[-1, 1] == pytest.approx(truth[-1][1])
    assert timeline.status == "ok"


def test_windows_inside_an_action_name_it(film):
    path, truth = film
    timeline = predict_over_time("mini_r2plus1d", path, window_s=2.0, stride_s=0.25)
    for start, end, label in truth:
        middle = (start + end) / 2
        assert timeline.top(middle, 1)[0][0] == label
        assert timeline.top(middle, 3)[0][1] == timeline.scores[np.abs(timeline.times_s - middle).argmin()].max()


def test_the_truth_of_a_window_begins_with_the_action_at_its_middle():
    truth = [(0.0, 2.0, "a"), (2.0, 3.0, "b"), (3.5, 5.0, "a")]
    windows = [[0.0, 1.9], [1.0, 2.6], [1.6, 2.8], [2.0, 4.9], [2.1, 2.9], [3.1, 3.4], [1.0, 4.4], [2.6, 3.6]]
    expected = [("a",), ("a", "b"), ("b", "a"), ("a", "b"), ("b",), (), ("b", "a"), ("b", "a")]
    assert actions_in(np.array(windows), truth) == expected
    assert actions_in([[0.0, 1.0]], []) == [()]


def test_a_video_shorter_than_a_window_gives_what_predict_gives():
    path = ROOT / "data/vidmini/videos/Approach/v_Approach_g01_c01.mp4"
    model = load_model("mini2d")
    timeline = predict_over_time(model, path, window_s=60)
    np.testing.assert_allclose(timeline.scores, predict(model, path).scores[None], atol=1e-6)


def test_memory_and_batch_size_do_not_change_the_scores(film, monkeypatch):
    path, _ = film
    model = load_model("mini_r2plus1d")
    expected = predict_over_time(model, path, batch_size=40).scores
    monkeypatch.setattr("vidbench.predict.PIECE_BYTES", 5 * 160 * 120 * 3)  # five pictures at a time
    np.testing.assert_allclose(predict_over_time(model, path, batch_size=2).scores, expected, atol=1e-5)


def test_only_the_pictures_of_one_batch_are_held(film, monkeypatch):
    path, _ = film
    model, sizes = load_model("mini_r2plus1d"), []
    read = Video.read

    def watched(video, indices, size=None):
        sizes.append(len(indices))
        return read(video, indices, size)

    monkeypatch.setattr(Video, "read", watched)
    monkeypatch.setattr("vidbench.predict.PIECE_BYTES", 7 * 160 * 120 * 3)
    predict_over_time(model, path, batch_size=2)
    assert max(sizes) <= 7
    assert len(sizes) > 10


def test_a_card_with_a_rate_says_how_long_a_window_is(film):
    path, _ = film
    card = CARDS["r2plus1d_18.kinetics400_v1"].input
    assert natural_window_s(card) == pytest.approx(16 / 15)
    model = load_model("mini_r2plus1d")
    model.spec = replace(model.spec, sampling="clips", frame_rate=10.0, num_clips=3)
    timeline = predict_over_time(model, path)
    assert timeline.windows_s[0].tolist() == [0.0, 1.6]
    assert timeline.windows_s[1, 0] == pytest.approx(0.8)


def test_a_damaged_long_video_gives_what_can_be_read(film, tmp_path):
    data = bytearray(film[0].read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    (tmp_path / "damaged.mp4").write_bytes(data)
    timeline = predict_over_time("mini2d", tmp_path / "damaged.mp4", batch_size=2)
    assert timeline.status == "partial"
    assert timeline.reason
    assert np.isfinite(timeline.scores).all()


@pytest.mark.parametrize(
    "options", [{"window_s": 0}, {"stride_s": -1.0}, {"stride_s": float("nan")}, {"batch_size": 0}]
)
def test_lengths_must_be_above_zero(film, options):
    with pytest.raises(ConfigError, match=f"{next(iter(options))} must be above 0"):
        predict_over_time("mini2d", film[0], **options)


def test_a_batch_is_a_whole_number_of_windows(film):
    with pytest.raises(ConfigError, match=r"batch_size must be a whole number of windows, not 2\.5"):
        predict_over_time("mini2d", film[0], batch_size=2.5)


def test_far_too_many_windows_are_refused_before_any_work(film):
    with pytest.raises(ConfigError, match="over a million windows"):
        predict_over_time("mini2d", film[0], stride_s=1e-7)


def test_an_unreadable_long_video_is_named(tmp_path):
    write(tmp_path / "text.mp4", "no film")
    with pytest.raises(UnreadableVideo, match="not_media"):
        predict_over_time("mini2d", tmp_path / "text.mp4")
