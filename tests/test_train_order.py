"""Which videos an epoch takes: weighted, balanced, several views each, the easy ones first, divided among processes."""

from __future__ import annotations

import signal
from collections import Counter

import numpy as np
import pytest

from vidbench.records import AnnotationError, VideoRecord
from vidbench.samplers import EpochOrder, RankBatches, read_weights
from vidbench.train_data import make_loader


def numbers(order: EpochOrder, epoch: int = 0) -> list[int]:
    order.set_epoch(epoch)
    return [number for _, number, _ in order]


def test_the_order_of_an_epoch_depends_on_seed_and_epoch_alone():
    order = EpochOrder([0] * 90 + [4] * 10, seed=3)
    first, second = numbers(order), numbers(order, 1)
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second
    assert numbers(order) == first
    assert numbers(EpochOrder([0] * 90 + [4] * 10, seed=4)) != first
    assert {epoch for epoch, _, _ in order} == {0}


def test_balanced_epochs_draw_each_class_alike_often():
    labels = np.array([0] * 900 + [2] * 80 + [5] * 20)
    drawn = labels[numbers(EpochOrder(labels, seed=3, balanced=True))]
    counts = np.bincount(drawn, minlength=6)
    assert counts[[1, 3, 4]].sum() == 0
    # each of three classes gets a third of 1,000; a binomial's standard deviation is 15
    assert all(abs(counts[k] - 1000 / 3) < 5 * 15 for k in (0, 2, 5))


def test_weights_say_how_often_a_video_is_drawn():
    weights = np.array([0.0, 1.0, 3.0] * 400)
    counts = np.bincount(np.array(numbers(EpochOrder([0] * 1200, seed=1, weights=weights))) % 3, minlength=3)
    assert counts[0] == 0
    assert abs(counts[1] - 300) < 5 * 15  # a quarter of 1,200
    labels = np.array([0] * 1100 + [1] * 100)
    weights = np.where(np.arange(1200) % 2, 0.0, 7.0)
    drawn = np.array(numbers(EpochOrder(labels, seed=1, weights=weights, balanced=True)))
    assert (drawn % 2 == 0).all()
    assert abs((labels[drawn] == 1).sum() - 600) < 5 * 18  # half of the views: weights count within a class


def test_each_video_comes_as_often_as_views_are_asked_for_and_each_view_has_a_number():
    order = EpochOrder([0, 1] * 5, seed=0, num_views=3)
    places = list(order)
    assert len(order) == len(places) == 30
    assert {(number, turn) for _, number, turn in places} == {(n, t) for n in range(10) for t in range(3)}
    assert all(sorted(n for _, n, _ in places[k : k + 10]) == list(range(10)) for k in (0, 10, 20))
    again = [(n, turn) for _, n, turn in EpochOrder([0] * 9 + [1], seed=0, balanced=True)]
    assert len(set(again)) == len(again) == 10  # a video drawn twice is not the same view twice


def test_a_curriculum_begins_with_the_easiest_third_of_each_class_and_ends_with_all():
    labels = [0] * 12 + [1] * 6
    difficulty = [*range(12, 0, -1), 50, 10, 40, 20, 60, 30]
    order = EpochOrder(labels, seed=5, difficulty=difficulty, easy_epochs=4)
    easy = [set(numbers(order, epoch)) for epoch in range(6)]
    assert easy[0] == {8, 9, 10, 11, 13, 15}  # 4 of 12 with difficulty 1 to 4, 2 of 6 with 10 and 20
    assert easy[2] == {4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 14}  # two thirds
    assert easy[0] < easy[1] < easy[2] < easy[3] < easy[4] == easy[5] == set(range(18))
    counts = Counter(numbers(order))
    assert sum(counts.values()) == len(order) == 18  # as many views as ever
    assert set(counts.values()) == {3}


def test_processes_divide_an_epoch_and_together_take_the_batches_of_one():
    labels = [0] * 29
    whole = list(RankBatches(EpochOrder(labels, seed=2), 6))
    parts = [list(RankBatches(EpochOrder(labels, seed=2), 3, rank, 2)) for rank in range(2)]
    assert [a + b for a, b in zip(*parts)] == whole
    assert len(whole) == len(RankBatches(EpochOrder(labels, seed=2), 3, 1, 2)) == 4  # of 29, 24 fill batches of 6
    seen = [number for batches in parts for batch in batches for _, number, _ in batch]
    assert len(seen) == len(set(seen)) == 24


def test_batches_learnt_from_before_a_stop_are_left_out_of_that_epoch_alone():
    batches = RankBatches(EpochOrder([0] * 20, seed=2), 4)
    batches.sampler.set_epoch(3)
    whole = list(batches)
    batches.begin_at(3, 2)
    assert list(batches) == whole[2:]
    assert len(batches) == 5
    batches.sampler.set_epoch(4)
    assert len(list(batches)) == 5


def records(*names: str) -> list[VideoRecord]:
    return [VideoRecord(name, name, "A", 0) for name in names]


def test_weights_are_read_by_path_whatever_the_order(tmp_path):
    file = tmp_path / "weights.csv"
    file.write_text("weight,note,path\n2,x,b.mp4\n0.5,,a.mp4\n9,,other.mp4\n")
    assert read_weights(file, records("a.mp4", "b.mp4")).tolist() == [0.5, 2.0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("path,number\na.mp4,1\n", "first line names the columns path and weight"),
        ("", "first line names the columns path and weight"),
        ("path,weight\na.mp4,1\n", "has no weight for 1 of 2 training videos, the first: b.mp4"),
        ("path,weight\na.mp4,1\nb.mp4,-1\n", "weights.csv:3: a weight must be a number of at least 0, not '-1'"),
        ("path,weight\na.mp4,1\nb.mp4\n", "weights.csv:3: a weight must be a number"),
        ("path,weight\na.mp4,nan\nb.mp4,1\n", "weights.csv:2: a weight must be a number"),
        ("path,weight\na.mp4,0\nb.mp4,0\n", "gives all training videos the weight 0"),
    ],
)
def test_a_table_of_weights_that_cannot_be_used_is_one_sentence(tmp_path, content, words):
    file = tmp_path / "weights.csv"
    file.write_text(content)
    with pytest.raises(AnnotationError, match=words):
        read_weights(file, records("a.mp4", "b.mp4"))
    with pytest.raises(AnnotationError, match="cannot be read: No such file"):
        read_weights(tmp_path / "none.csv", records("a.mp4"))


class Masks:
    """A set of two training clips, each of which says whether Ctrl-C can reach the process that makes it."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, place: tuple[int, int, int]) -> bool:
        return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs masks of signals")
def test_ctrl_c_while_workers_start_is_heard_by_the_training_alone():
    loader = make_loader(Masks(), EpochOrder([0, 0], seed=1), batch_size=2, num_workers=1)
    assert [batch.tolist() for batch in loader] == [[True, True]]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
