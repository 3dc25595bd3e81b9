"""TensorFlow's SAME padding, which depends on the size of the input."""

from __future__ import annotations


def same_padding(length: int, size: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an axis, so that a window of ``size`` gives ``ceil(length / stride)`` values.

    An odd number of zeros has the one more behind.

    Source:
        https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2

    >>> same_padding(172, 3, 2), same_padding(43, 3, 2), same_padding(43, 1, 2)
    ((0, 1), (1, 1), (0, 0))
    """
    total = max((-(-length // stride) - 1) * stride + size - length, 0)
    return total // 2, total - total // 2
