"""What a notebook asks first: which videos are there, and where it may write.

Everything that can be missing (a name, a folder, videos) ends as one sentence that says what to set.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from vidbench.data.catalog import REPOSITORY, DatasetCard, find_dataset
from vidbench.data.index import dataset_labels, draw_subset, load_records
from vidbench.records import AnnotationError, ConfigError, VideoRecord
from vidbench.utils import plural, printable
from vidbench.utils import quiet as quiet  # chapters take it from here

WAY_OUT = 'Set DATA_DIR to the folder that holds it, or DATASET = "vidmini", which comes with the kit.'


@dataclass(frozen=True, repr=False)
class Dataset:
    """The videos of one split that are there.

    Args:
        name: as the catalogue has it.
        root: the folder that record paths are relative to.
        split: ``train``, ``val`` or ``test``.
        labels: class names in index order, those without a video included.
        records: usable records whose file is there, in listed order.
        num_listed: entries of the whole list, those that are not there or cannot be used included.
    """

    name: str
    root: Path
    split: str
    labels: tuple[str, ...]
    records: tuple[VideoRecord, ...]
    num_listed: int

    def __repr__(self) -> str:
        absent = self.num_listed - len(self.records)
        rest = f" ({self.num_listed} are listed, {absent} are left out)" if absent else ""
        classes = plural(len(self.classes), "class", "classes")
        return f"{self.name} {self.split}: {plural(len(self.records), 'video')} of {classes}{rest}"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that have a video here, in index order."""
        present = {record.label for record in self.records}
        return tuple(label for label in self.labels if label in present)

    def of(self, label: str) -> tuple[VideoRecord, ...]:
        """The records of one class; empty where there is none."""
        return tuple(record for record in self.records if record.label == label)

    def path(self, record: VideoRecord) -> Path:
        """Where a record's file lies."""
        return self.root / record.path


def open_dataset(
    name: str, data_dir: str | os.PathLike | None = None, split: str | None = None, *, limit=None, seed: int = 0
) -> Dataset:
    """The videos of a split that are there, for a notebook's settings ``DATASET`` and ``DATA_DIR``.

    Args:
        name: a dataset of ``vidbench.data.catalog``.
        data_dir: its folder; ``None`` means the place where the kit keeps it.
        split: ``None`` means the one that is evaluated by default.
        limit: at most so many videos, at least 1, drawn evenly over the classes; ``None`` for all.
        seed: of that draw.

    Raises:
        ConfigError: an unknown name or split, or a limit below 1.
        AnnotationError: no folder, no list, or none of the listed videos; says what to set.
    """
    card = find_dataset(name)
    split = split or card.default_split
    if card.splits and split not in card.splits:
        raise ConfigError(f"{card.title} has the splits {', '.join(card.splits)}, not {printable(split, 40)!r}.")
    if limit is not None and limit < 1:
        raise ConfigError(f"limit must be at least 1 video, got {limit!r}; None takes all of them.")
    root = Path(data_dir).expanduser() if data_dir else card.default_dir
    listed, labels = _listed(card, root, split)
    usable = [record for record in listed if record.status == "ok"]
    if not usable:
        videos = plural(len(listed), "video")
        raise AnnotationError(f"{card.title} lists {videos} for {split}, but none of them is below {root}. {WAY_OUT}")
    chosen = usable if limit is None else draw_subset(usable, limit, seed)
    return Dataset(name, root, split, labels, tuple(chosen), len(listed))


def _listed(card: DatasetCard, root: Path, split: str) -> tuple[list[VideoRecord], tuple[str, ...]]:
    if not root.is_dir():
        raise AnnotationError(f"{card.title} is not here: there is no folder {printable(root, 160)}. {WAY_OUT}")
    try:
        return load_records(card.name, root, split), dataset_labels(card.name, root)
    except AnnotationError as problem:
        raise AnnotationError(f"{problem} {WAY_OUT}") from None


def work_folder(name: str) -> Path:
    """A folder that may be written to, made where needed: ``results/notebooks/NAME`` in the checkout, or, where that is
    read-only, one of the same name among the system's temporary files. VIDBENCH_WORK_DIR names another parent.

    Raises:
        ConfigError: neither can be written to.
    """
    chosen = os.environ.get("VIDBENCH_WORK_DIR")
    usual = REPOSITORY / "results" / "notebooks", Path(tempfile.gettempdir()) / f"vidbench-{_user()}"
    for parent in (Path(chosen),) if chosen else usual:
        folder = parent / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        return folder
    raise ConfigError(
        f"Nothing can be written, neither below {REPOSITORY} nor in {tempfile.gettempdir()}; "
        "set the environment variable TMPDIR to a folder with room and start the notebook again."
    )


def scratch_folder(name: str, *, keep_s: float = 86_400) -> Path:
    """A new folder in ``work_folder(name)``, for one run of a notebook; two at a time do not meet.

    A kernel that is shut down cleans nothing up, so folders there in which nothing has changed for ``keep_s`` seconds
    are removed first.
    """
    parent = work_folder(name)
    for old in parent.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - max(path.stat().st_mtime for path in (old, *old.rglob("*"))) > keep_s:
                shutil.rmtree(old)
    return Path(tempfile.mkdtemp(dir=parent))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "user"
