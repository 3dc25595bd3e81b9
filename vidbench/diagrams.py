"""Figures of a report as places in a drawing: percent from left and top, or a path in a square of 100 by 100."""

from __future__ import annotations

from collections.abc import Sequence


def reliability_places(bins: Sequence[dict]) -> list[dict]:
    """A reliability diagram (``calibration.reliability``) as bars and points.

    Returns:
        ``{left, width, top, height, x, y, low, high}`` a bin: the bar of its accuracy, and the point at its mean
        confidence with the ends of its interval; percent from left and top.
    """
    return [
        {
            "left": 100 * line["from"],
            "width": 100 * (line["to"] - line["from"]),
            "top": 100 - 100 * line["accuracy"],
            "height": 100 * line["accuracy"],
            "x": 100 * line["confidence"],
            "y": 100 - 100 * line["accuracy"],
            "low": 100 - 100 * line["low"],
            "high": 100 - 100 * line["high"],
        }
        for line in bins
    ]


def risk_path(curve: Sequence[Sequence[float]]) -> dict:
    """A risk-coverage curve as an SVG path, and the risk at the upper edge.

    Args:
        curve: ``[coverage, risk]`` pairs, coverage rising, as ``calibration.summary`` gives them.

    Returns:
        ``{path, highest}``: a path in a square of 100 by 100, and the risk (a multiple of 0.1) that its top stands for.

    >>> risk_path([[0.5, 0.0], [1.0, 0.1]])
    {'path': 'M50.00 100.00 L100.00 50.00', 'highest': 0.2}
    """
    highest = min(1.0, round(int(10 * max(risk for _, risk in curve) + 1) / 10, 1))
    places = [f"{100 * coverage:.2f} {100 - 100 * risk / highest:.2f}" for coverage, risk in curve]
    return {"path": "M" + " L".join(places), "highest": highest}


def risks_at(curve: Sequence[Sequence[float]], coverages: Sequence[float] = (0.5, 0.8, 0.9, 1.0)) -> list[dict]:
    """The risk when at least so large a share of the videos is answered, as ``{coverage, risk}``.

    >>> risks_at([[0.5, 0.0], [1.0, 0.1]], (0.4, 0.6))
    [{'coverage': 0.5, 'risk': 0.0}, {'coverage': 1.0, 'risk': 0.1}]
    """
    found = []
    for wanted in coverages:
        coverage, risk = next((pair for pair in curve if pair[0] >= wanted - 1e-9), curve[-1])
        found.append({"coverage": coverage, "risk": risk})
    return found
