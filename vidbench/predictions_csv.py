"""``predictions.csv``: a line for each listed video, for spreadsheets and other programs."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path

from vidbench.records import RANDOM_NOTE, Row
from vidbench.utils import atomic_writer, printable, spreadsheet_cell


def write_predictions_csv(path: Path, rows: Iterable[Row], top_n: int, *, random_weights: bool = False) -> None:
    """Write one line per listed video, skipped ones included, in listed order.

    UTF-8, comma-separated, one header line. ``YouTube_Id`` is the first 11 characters of a Kinetics id
    (``youtubeid_start_end``) and the whole ``video_id`` otherwise. Scores have at most 6 significant digits, so the
    file's bytes do not depend on how a platform prints floats. Cells without a value are empty, as most are of a
    skipped video. Control characters are written out (a line break as backslash and n), and a cell that a spreadsheet
    would take for a formula, such as an id that begins with ``-``, gets an apostrophe in front
    (``utils.spreadsheet_cell`` says how to take it off).

    Args:
        path: replaced as a whole, or left as it was.
        rows: in listed order.
        top_n: number of ``pred_i`` and ``score_i`` columns.
        random_weights: adds a last column ``note`` that says on every line that the scores are no result.
    """
    numbers = range(1, top_n + 1)
    header = ["YouTube_Id", "Ground_Truth", *(f"pred_{i}" for i in numbers), *(f"score_{i}" for i in numbers)]
    header += ["video_id", "path", "split", "group", "status", "reason", "num_frames", "frame_rate", "rank"]
    with atomic_writer(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*header, "note"] if random_weights else header)
        for row in rows:
            cells = _csv_cells(row, top_n)
            writer.writerow([*cells, RANDOM_NOTE] if random_weights else cells)


def _csv_cells(row: Row, top_n: int) -> list[str]:
    top = row.top[:top_n]
    empty = [""] * (top_n - len(top))
    cells = [youtube_id(row.video_id), row.label or ""]
    cells += [label for label, _, _ in top] + empty + [f"{score:.6g}" for _, _, score in top] + empty
    cells += [row.video_id, row.path, row.split, row.group, row.status, row.reason]
    cells += [str(row.num_frames or ""), f"{row.frame_rate:.6g}" if row.frame_rate else ""]
    cells += [str(row.rank) if row.rank >= 0 else ""]
    return [spreadsheet_cell(printable(cell, len(cell) * 10 + 10)) for cell in cells]


def youtube_id(video_id: str) -> str:
    """The YouTube id within a Kinetics video id, or the id as it is.

    >>> youtube_id("-0AbCdEfGh1_000003_000013"), youtube_id("v_Archery_g01_c01")
    ('-0AbCdEfGh1', 'v_Archery_g01_c01')
    """
    match = re.fullmatch(r"([A-Za-z0-9_-]{11})_\d{6}_\d{6}", video_id)
    return match.group(1) if match else video_id
