"""What a notebook shows of videos and runs, as HTML: tables, scores, videos with what is known of them.

No widgets and no kernel: ``vidbench.widgets`` puts these into its boxes.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vidbench import review, visualize
from vidbench.data.decode import open_video
from vidbench.data.pictures import data_uri
from vidbench.data.strips import info_words, read_strip, scaled_size
from vidbench.intervals import proportion
from vidbench.metrics import is_correct, percent
from vidbench.records import STATUSES, ConfigError, Row, UnreadableVideo, VidbenchError, VideoRecord
from vidbench.transcode import playable
from vidbench.utils import printable

PLAYER_WIDTH = 400  # CSS pixels
THUMBNAIL_SIDE = 120  # pixels, short side of the frames of a strip
TOP = 5


def text(value: object, limit: int = 200) -> str:
    """Foreign text as HTML: control characters written out, markup escaped."""
    return html.escape(printable(value, limit))


def sentence(problem: object) -> str:
    """What went wrong, as a paragraph."""
    return f'<p class="problem" role="alert">{text(problem, 500)}</p>'


def table(header: Sequence[str], lines: Sequence[Sequence[object]], name: str) -> str:
    """An HTML table with a header row; the first cell of a line heads it."""
    head = "".join(f'<th scope="col">{text(word)}</th>' for word in header)
    body = ""
    for first, *rest in lines:
        body += f'<tr><th scope="row">{text(first)}</th>' + "".join(f"<td>{text(cell)}</td>" for cell in rest) + "</tr>"
    return f'<table aria-label="{text(name)}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def score_table(ranked: Sequence[tuple[str, float]], truth: Sequence[str | None], name: str) -> str:
    """Classes with their scores as numbers and bars, the true ones marked in words too."""
    lines = ""
    for label, score in ranked:
        is_true = label in truth
        kind, mark = (' class="true"', " (true)") if is_true else ("", "")
        bar = f'<span class="bar" style="width: {max(1, round(120 * min(1, max(0, score))))}px"></span>'
        lines += (
            f'<tr{kind}><th scope="row">{text(label, 60)}{mark}</th><td class="n">{score:.3f}</td><td>{bar}</td></tr>'
        )
    return f'<table aria-label="{text(name)}"><tbody>{lines}</tbody></table>'


def frame_img(jpeg: bytes, alt: str, width: int) -> str:
    """An ``<img>`` element that holds its picture; ``alt`` is escaped, ``width`` in CSS pixels."""
    return f'<img src="{data_uri(jpeg)}" alt="{text(alt, 400)}" style="width: {width}px">'


def shown_width(height: int, width: int) -> int:
    """CSS pixels for a picture: small videos are drawn larger, upright ones not taller than wide ones."""
    return round(PLAYER_WIDTH * min(1.0, width / height))


def video_html(path: str | Path, alt: str, *, max_kb: float = 8000) -> str:
    """A video element with the file, or a copy that browsers play, inside; a sentence where there is none."""
    try:
        video = playable(path, max_kb=max_kb)
    except VidbenchError as problem:
        return sentence(f"{Path(path).name} cannot be shown: {problem}")
    notes = [f"Shown as an H.264 copy, because {video.made_because}."] if video.made_because else []
    notes += [f"Only a part can be read: {video.problem}."] if video.problem else []
    width = shown_width(video.info.height, video.info.width)
    return (
        f'<video controls loop muted playsinline preload="auto" aria-label="{text(alt, 400)}" src="{video.uri}" '
        f'style="width: {width}px">{text(alt, 400)}</video>' + "".join(f"<p>{text(note, 400)}</p>" for note in notes)
    )


class EmbeddedVideo:
    """A video for a notebook cell, with frames of it for hosts that do not show videos."""

    def __init__(self, path: str | Path, alt: str, max_kb: float):
        self.path, self.alt, self.max_kb = Path(path), printable(alt, 400), max_kb

    def _repr_mimebundle_(self, include=None, exclude=None):
        words = video_html(self.path, self.alt, max_kb=self.max_kb)
        bundle = {"text/plain": self.alt, "text/html": f"<figure>{words}</figure>"}
        try:
            figure = strip_of(self.path)
        except VidbenchError:
            return bundle
        picture, about = figure._repr_mimebundle_()
        return picture | bundle, {name: {**facts, "alt": self.alt} for name, facts in about.items()}


def show_video(path: str | Path, *, alt: str, max_kb: float = 200) -> EmbeddedVideo:
    """A video in a cell's output, with controls, playing without a kernel.

    Args:
        path: a video file; one that browsers do not play is shown as an H.264 copy.
        alt: what is to be seen, for those who do not see it.
        max_kb: most size of what is embedded, in kB of 1000 bytes. Outputs that are kept in git stay at 200.

    Returns:
        An object that IPython displays. Where the video cannot be read, or no copy is small enough, it is a sentence.

    Raises:
        ConfigError: ``alt`` is empty.
    """
    if not alt.strip():
        raise ConfigError("alt must say what the video shows, for readers who do not see it")
    return EmbeddedVideo(path, alt, max_kb)


def strip_of(path: str | Path, num: int = 6) -> visualize.AltFigure:
    """A film strip of a video file; raises ``UnreadableVideo``."""
    clip = read_strip(path, num, THUMBNAIL_SIDE)
    return visualize.film_strip(clip.frames, clip.pts_s, num=num)


def middle_frame(path: Path) -> np.ndarray | None:
    """The middle frame of a video, uint8 (H, W, 3), small; ``None`` where it cannot be read."""
    try:
        with open_video(path) as video:
            size = scaled_size(video.info.height, video.info.width, THUMBNAIL_SIDE)
            return video.read(lambda table: [table.num_frames // 2], size=size).frames[0]
    except UnreadableVideo:
        return None


def record_html(record: VideoRecord, root: Path) -> str:
    """A record's player and what is known about it."""
    facts = [("video", record.video_id), ("class", record.label or "none"), ("split", record.split or "none")]
    facts += [("group", record.group)] if record.group else []
    if record.status != "ok":
        facts += [("status", record.status), ("because", record.reason or STATUSES[record.status])]
        return sentence(f"{record.video_id} is listed, and cannot be used.") + table(
            ("fact", "value"), facts, f"facts of {record.video_id}"
        )
    path = root / record.path
    player = video_html(path, f"{record.label or 'video'}: {record.video_id}")
    return player + table(("fact", "value"), [*facts, *_file_facts(path)], f"facts of {record.video_id}")


def _file_facts(path: Path) -> list[tuple[str, str]]:
    try:
        with open_video(path) as video:
            info, status = video.info, video.status
    except UnreadableVideo as problem:
        return [("status", problem.status), ("because", problem.reason)]
    return [*info_words(info), ("file", f"{path.stat().st_size / 1000:.0f} kB, {status}")]


def accuracy_html(run: review.Run, verdicts: dict) -> str:
    """The run's accuracy as listed and re-scored, with the sentence that says how they differ."""
    score = review.rescore(run.rows, verdicts)
    lines = [("as listed", percent(score.listed), score.listed["n"] if score.listed else 0)]
    lines += [("re-scored", percent(score.rescored), score.rescored["n"] if score.rescored else 0)]
    words = table(("top-1", "accuracy", "n"), lines, f"accuracy of {run.name}")
    done = len(run.rows)
    unfinished = f"<p>The run is not finished: {done} of {run.num_listed} videos.</p>" if done < run.num_listed else ""
    return f"<p><b>{text(run.name)}</b></p>{words}<p>{text(score.note, 600)}</p>{unfinished}"


def row_html(row: Row, root: Path, verdict: review.Verdict | None = None) -> str:
    """A row's video, its best classes and its verdict."""
    alt = f"{row.label or 'video'}: {row.video_id}"
    words = video_html(root / row.path, alt)
    if row.predicted:
        words += score_table(
            [(name, score) for name, _, score in row.top[:TOP]], [row.label], f"scores of {row.video_id}"
        )
        if row.label not in [name for name, _, _ in row.top[:TOP]]:
            behind = f", behind {row.rank} others" if row.rank >= 0 else ""
            words += f"<p>true class: {text(row.label or 'not known')}{behind}</p>"
    else:
        words += f"<p>{text(row.status)}: {text(row.reason, 400)}</p>"
    if verdict:
        named = f", to be seen: {text(verdict.label)}" if verdict.label else ""
        words += f"<p>verdict: {text(verdict.verdict.replace('_', ' '))}{named}</p>"
    return words


def comparison_html(comparison: review.Comparison, names: Sequence[str]) -> str:
    """Accuracies on the shared videos, the table of who is right, and the difference with its interval."""
    n = len(comparison.pairs)
    lines = []
    for place, name in enumerate(names):
        k = sum(is_correct(pair[place], 1) for pair in comparison.pairs)
        lines.append((name, percent(proportion(k, n)), n))
    words = table(("run", "top-1", "n"), lines, "accuracy on the shared videos")
    who = {"both": "both", "a": f"only {names[0]}", "b": f"only {names[1]}", "neither": "neither"}
    counts = [(title, len(comparison.group(name))) for name, title in who.items()]
    words += table(("right at top-1", "videos"), counts, "who is right")
    return words + f"<p>{text(comparison.sentence(*names), 600)}</p>"


def pair_html(a: Row, b: Row, names: Sequence[str], root: Path) -> str:
    """A video with what both runs say about it, side by side."""
    words = video_html(root / a.path, f"{a.label}: {a.video_id}")
    for row, name in zip((a, b), names):
        words += f"<p><b>{text(name)}</b></p>"
        if row.predicted:
            ranked = [(label, score) for label, _, score in row.top[:TOP]]
            words += score_table(ranked, [row.label], f"scores of {name}")
        else:
            words += f"<p>{text(row.status)}: {text(row.reason, 400)}</p>"
    return words
