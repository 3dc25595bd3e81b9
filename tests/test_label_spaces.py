"""Across label spaces nothing is evaluated unasked, and a map counts what it leaves out: every model, every dataset."""

import pytest

from vidbench import models
from vidbench.data import catalog
from vidbench.data.classes import LABELS_FOLDER, load_labels
from vidbench.plan import make_label_map
from vidbench.records import AnnotationError, ConfigError

SPACES = {card.labels: card for card in models.CARDS.values()}  # one model of each label space
DATASETS = [card for card in catalog.DATASETS.values() if card.labels]
PAIRS = [(space, dataset.name) for space in SPACES for dataset in DATASETS]


def test_every_model_and_every_dataset_names_its_label_space():
    for card in models.CARDS.values():
        assert len(models.labels_of(card)) == card.num_classes
        assert (LABELS_FOLDER / f"{card.labels}.txt").is_file(), card.name
    for card in catalog.DATASETS.values():
        assert card.labels is None or (LABELS_FOLDER / f"{card.labels}.txt").is_file(), card.name
    assert len(SPACES) >= 5
    assert len(DATASETS) >= 8


@pytest.mark.parametrize(("space", "dataset"), PAIRS)
def test_other_classes_are_refused_or_mapped_with_the_rest_counted(space, dataset):
    card = SPACES[space]
    labels, predicted = load_labels(catalog.DATASETS[dataset].labels), models.labels_of(card)
    if labels == predicted:
        assert make_label_map(None, labels, card) is None
        return
    with pytest.raises(ConfigError, match=rf"the {len(predicted)} classes of {space}, the data have {len(labels)} "):
        make_label_map(None, labels, card)
    same = {name.casefold() for name in labels} & {name.casefold() for name in predicted}
    if not same:
        with pytest.raises(AnnotationError, match="pass --label-map FILE"):
            make_label_map("names", labels, card)
        return
    facts = make_label_map("names", labels, card).facts()
    assert facts["n_mapped"] == sum(name.casefold() in same for name in labels)
    assert facts["n_mapped"] + facts["n_unmapped"] == len(labels)
    assert len(facts["unmapped"]) == facts["n_unmapped"]


def test_the_same_names_in_another_order_are_another_label_space():
    card = SPACES["vidmini"]
    turned = models.labels_of(card)[::-1]
    with pytest.raises(ConfigError, match="12 names agree"):
        make_label_map(None, turned, card)
    found = make_label_map("names", turned, card)
    assert found.columns == tuple((11 - k,) for k in range(12))
