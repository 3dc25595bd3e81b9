"""Figures say what the data says, and their words arrive where a notebook is read."""

from __future__ import annotations

import numpy as np

from vidbench import visualize


def test_a_figure_has_words_and_a_picture():
    figure = visualize.sampling_diagram([0, 4, 8], 9)
    assert "0, 4, 8" in figure.alt
    assert np.isfinite(figure.get_size_inches()).all()
    assert figure.data().startswith(b"\x89PNG")
