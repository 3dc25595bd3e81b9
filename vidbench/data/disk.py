"""What this machine's disk refuses, as one sentence that says what was kept."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from vidbench.records import FetchError
from vidbench.utils import printable

DISK_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}  # the next file would not fare better


@contextlib.contextmanager
def writing(path: str | os.PathLike, kept: str, *, spoils: str | None = None) -> Iterator[None]:
    """Turn an ``OSError`` of the block into a ``FetchError``.

    Args:
        path: the file or folder that is written to, for the message.
        kept: what becomes of what was written so far, the end of the sentence.
        spoils: as in ``FetchError``; ``None`` for ``all`` where the next file would fare no better, else ``file``.

    Raises:
        FetchError: the disk is full, read-only or broken, or refuses this path.
    """
    try:
        yield
    except OSError as problem:
        reason = printable(problem.strerror or type(problem).__name__, 120)
        raise FetchError(
            f"{printable(path, 200)} cannot be written: {reason}; {kept}.",
            spoils=spoils or ("all" if problem.errno in DISK_TROUBLE else "file"),
        ) from None
