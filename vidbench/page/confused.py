"""Which classes a run takes for which: matrix, pairs, and categories of classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidbench import metrics as figures
from vidbench.data.parents import class_parents

MAX_MATRIX = 40  # classes of a whole confusion matrix; with more, the most confused ones are shown
NUM_CONFUSED = 20  # classes of that smaller matrix
NUM_PAIRS = 30  # of the most frequent confusions; a third of it beside a whole matrix


def confusion(matrix: np.ndarray, labels: Sequence[str]) -> dict | None:
    """A confusion matrix as cells for the page: all classes that occur, or the most confused of them.

    Args:
        matrix: int64 (K, K + 1), as ``metrics.confusion_matrix`` gives it.
        labels: K class names.

    Returns:
        ``{classes, lines: [{label, cells: [{count, shade, right}], rest, lost}], whole}``; ``None`` where nothing was
        predicted. A shade is 0 (none) to 8 (all videos of the class). ``rest`` counts answers outside the shown
        classes, ``lost`` skipped videos and answers outside the label space.
    """
    square = matrix[:, :-1]
    occur = np.flatnonzero(matrix.sum(axis=1) + square.sum(axis=0))
    if len(occur) > MAX_MATRIX:  # classes of which nothing was read have nothing to show
        occur = np.flatnonzero(square.sum(axis=1) + square.sum(axis=0))
    if not square.sum():
        return None
    whole = len(occur) <= MAX_MATRIX
    shown = occur if whole else np.sort(most_confused_classes(square, NUM_CONFUSED))
    lines = []
    for index in shown.tolist():
        total = max(1, int(matrix[index].sum()))
        cells = [
            {"count": int(count), "shade": int(np.ceil(8 * count / total)), "right": column == index}
            for column, count in zip(shown, square[index, shown])
        ]
        rest = int(square[index].sum()) - sum(cell["count"] for cell in cells)
        lines.append({"label": labels[index], "cells": cells, "rest": rest, "lost": int(matrix[index, -1])})
    return {"classes": [labels[index] for index in shown.tolist()], "lines": lines, "whole": whole}


def most_confused_classes(square: np.ndarray, number: int) -> np.ndarray:
    """Up to ``number`` classes, those of the most frequent confusions first; int64."""
    chosen: dict[int, None] = {}
    for true, said in _pairs_by_count(square):
        if len(chosen.keys() | {true, said}) > number:
            break
        chosen |= {true: None, said: None}
    return np.array(list(chosen) or range(min(number, len(square))), np.int64)


def parent_content(matrix: np.ndarray, labels: Sequence[str], manifest: dict) -> dict | None:
    """Confusion between categories of classes, the user's own or the authors'; ``None`` where there are none.

    Returns:
        ``{lines, matrix, source}``: ``lines`` as ``metrics.by_parent`` gives them, ``matrix`` as ``confusion`` does, in
        which an answer of the same category is right, ``source`` the name of the user's file, else empty.
    """
    parents, source = class_parents(manifest, labels)
    if parents is None or not matrix[:, :-1].sum():
        return None
    names, summed = figures.parent_matrix(matrix, parents)
    return {"lines": figures.by_parent(matrix, parents), "matrix": confusion(summed, names), "source": source}


def _pairs_by_count(square: np.ndarray) -> list[tuple[int, int]]:
    """Pairs ``(true, said)`` of different classes with a count, most frequent first, ties by share and index."""
    wrong = square.copy()
    np.fill_diagonal(wrong, 0)
    true, said = np.nonzero(wrong)
    share = wrong[true, said] / square.sum(axis=1)[true]
    order = np.lexsort((said, true, -share, -wrong[true, said]))
    return [(int(true[i]), int(said[i])) for i in order]


def confused_pairs(matrix: np.ndarray, labels: Sequence[str]) -> list[dict]:
    """The most frequent confusions, ``{true, said, count, n, share, back}``: ``back`` counts the other direction."""
    square, listed = matrix[:, :-1], matrix.sum(axis=1)
    return [
        {
            "true": labels[true],
            "said": labels[said],
            "count": int(square[true, said]),
            "n": int(listed[true]),
            "share": float(square[true, said] / listed[true]),
            "back": int(square[said, true]),
        }
        for true, said in _pairs_by_count(square)[:NUM_PAIRS]
    ]
