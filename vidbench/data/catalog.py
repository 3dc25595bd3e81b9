"""What we know about each dataset: one card each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vidbench.data.classes import load_labels
from vidbench.records import ConfigError
from vidbench.utils import nearest_hint, quoted

_ABOVE = Path(__file__).resolve().parents[2]
REPOSITORY = _ABOVE if (_ABOVE / "pyproject.toml").is_file() else Path()  # a checkout, or else the current folder


@dataclass(frozen=True)
class Source:
    """A file that the dataset's authors, or a named mirror, offer.

    Args:
        what: what is in it.
        url: where it was published; not all of these still answer. ``{path}`` and ``{label}`` stand for a video's own.
        sha256: of the whole file, or ``None`` where nobody here has verified one.
        size_gb: of the download, ``None`` where unknown.
        kind: what ``vidbench.data.fetch`` does with it: ``annotations`` (a list of videos), ``ids`` (identifiers that
            select from such a list), ``archives`` (a list of archives), ``archive`` (videos), ``replacement`` (videos
            that take the place of damaged ones), ``files`` (one address a video), ``splits`` (one address a split
            file, or an archive of them), ``held videos`` and ``held splits`` (archives that are not downloaded, but
            unpacked where they lie in the data folder), or nothing: a page for people.
        split: the split that it belongs to; all where empty.
        into: where it is kept below the data folder.
    """

    what: str
    url: str
    sha256: str | None = None
    size_gb: float | None = None
    kind: str = ""
    split: str = ""
    into: str = ""


@dataclass(frozen=True)
class Hosted:
    """What the published copy of a split holds.

    Args:
        split: its name; empty for all splits in one.
        num_videos: files in it.
        gb: 10**9 bytes to download.
    """

    split: str
    num_videos: int
    gb: float


@dataclass(frozen=True)
class DatasetCard:
    """Facts about one dataset.

    Args:
        name: as ``--dataset`` takes it.
        title: as people write it.
        labels: name of the class list for ``load_labels``; ``None`` where the data bring their own.
        splits: the names a split can have; empty where any is allowed.
        default_split: the split to evaluate where none is named.
        folds: how many official train/test divisions there are; 1 where there is one.
        layout: the importer in ``vidbench.data.index`` that reads its annotation files.
        default_dir: where the data lie unless the user says otherwise.
        licence: of annotations and videos, as far as stated by their owners.
        sources: downloads.
        counts: videos listed officially, by split (``train1`` is split ``train`` of fold 1).
        group: what two videos share that must not lie in two splits.
        citation: the paper.
        notes: traps, one sentence each.
        aliases: other names that ``find_dataset`` takes.
        comes: how it is fetched: ``archives``, ``files``, ``zip``, ``shipped``, ``by hand``, or nothing.
        bases: beginnings of the addresses in ``sources`` that a mirror takes the place of.
        hosted: what the published copy holds, by split; the rest of ``counts`` is not to be had.
        damage: what is known to be wrong with the published copy, one sentence each.
        by_hand: what people have to do themselves, and where to put it.
        page: where the terms are.
    """

    name: str
    title: str
    labels: str | None
    splits: tuple[str, ...]
    default_split: str
    layout: str
    default_dir: Path
    licence: str
    folds: int = 1
    sources: tuple[Source, ...] = ()
    counts: tuple[tuple[str, int], ...] = ()
    group: str = ""
    citation: str = ""
    notes: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    comes: str = ""
    bases: tuple[str, ...] = ()
    hosted: tuple[Hosted, ...] = ()
    damage: tuple[str, ...] = ()
    by_hand: str = ""
    page: str = ""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in index order; none where the data bring their own."""
        return load_labels(self.labels) if self.labels else ()

    def sources_of(self, kind: str, split: str = "") -> list[Source]:
        """Its sources of one kind, those of a split and those of all splits, in the order to be tried."""
        return [source for source in self.sources if source.kind == kind and source.split in ("", split)]


KINETICS_NOTES = (
    "Videos stay under YouTube's and their uploaders' terms; many are gone, so name the number you evaluated.",
    "Class order is the case-sensitive sort of the names; sorting folder names with underscores swaps two classes.",
    "Identifiers may begin with a minus sign.",
)
KINETICS_LICENCE = "annotations CC BY 4.0 (one paper lists CC BY-NC 4.0); videos belong to their uploaders"
KINETICS_GROUP = "the YouTube identifier"
KINETICS_BASE = "https://s3.amazonaws.com/kinetics"  # the copy of the Common Visual Data Foundation
KINETICS_PAGE = "https://github.com/cvdfoundation/kinetics-dataset"
KINETICS_SPLITS = ("train", "val", "test")


def _raw(name: str) -> Path:
    return REPOSITORY / "data" / "raw" / name


def _kinetics_archives(folder: str, splits: tuple[str, ...] = KINETICS_SPLITS) -> list[Source]:
    base = f"{KINETICS_BASE}/{folder}"
    return [
        Source(
            f"list of archives, {split}",
            f"{base}/{split}/k{folder}_{split}_path.txt",
            kind="archives",
            split=split,
            into=f"annotations/k{folder}_{split}_path.txt",
        )
        for split in splits
    ]


def _kinetics_lists(folder: str, splits: tuple[str, ...] = KINETICS_SPLITS, suffixes: dict | None = None):
    suffixes = suffixes or {}
    return [
        Source(
            f"annotations, {split}",
            f"{KINETICS_BASE}/{folder}/annotations/{split}.{suffixes.get(split, 'csv')}",
            kind="annotations",
            split=split,
            into=f"annotations/{split}.csv",
        )
        for split in splits
    ]


def _kinetics(version: str, title: str, folder: str, counts: tuple, citation: str, notes: tuple = (), **more):
    complete = {"train": "txt", "val": "txt"} if version == "600" else {}
    sources = _kinetics_lists(folder, suffixes=complete) + _kinetics_archives(folder)
    return DatasetCard(
        name=f"kinetics{version}",
        title=title,
        labels=f"kinetics{version}",
        splits=KINETICS_SPLITS,
        default_split="val",
        layout="kinetics",
        default_dir=_raw(f"kinetics{version}"),
        licence=KINETICS_LICENCE,
        sources=tuple(sources) + more.pop("sources", ()),
        counts=counts,
        group=KINETICS_GROUP,
        citation=citation,
        notes=KINETICS_NOTES + notes,
        comes="archives",
        bases=(KINETICS_BASE,),
        page=KINETICS_PAGE,
        **more,
    )


K400_DAMAGE = (
    "About 1,400 files of train do not open (no moov atom); 1,392 of them have a replacement.",
    "Some files have 0 bytes.",
    "About 8,000 annotated videos of train are not in the copy, and 1,000 to 2,000 files of train are not annotated.",
    "Archives were seen that hold macOS's ._ files, folders, or no gzip compression (part 120 of train).",
)
MINI_KINETICS_BASE = "https://raw.githubusercontent.com/s9xie/Mini-Kinetics-200/master"
HMDB_BASES = (
    "https://huggingface.co/datasets/CVML-TueAI/HMDB51/resolve/main",
    "https://raw.githubusercontent.com/yjxiong/temporal-segment-networks/master/data",
    "http://serre-lab.clps.brown.edu/wp-content/uploads/2013/10",
)
UCF_BASES = (
    "https://storage.googleapis.com/thumos14_files",
    "https://raw.githubusercontent.com/yjxiong/temporal-segment-networks/master/data",
    "https://www.crcv.ucf.edu/data/UCF101",
    "http://ftp.tugraz.at/pub/feichtenhofer/tsfusion/data",
)
SSV2_PAGE = "https://developer.qualcomm.com/software/ai-datasets/something-something"

_CARDS = (
    DatasetCard(
        name="vidmini",
        title="vidmini",
        labels="vidmini",
        splits=("train", "test"),
        default_split="test",
        layout="vidmini",
        default_dir=REPOSITORY / "data" / "vidmini",
        licence="Apache-2.0, drawn by this project",
        counts=(("test", 144),),
        group="the scene, gNN within its class",
        citation="vidbench, vidbench/data/mini.py",
        notes=("Only the test split is in git; scripts/make_mini.py draws the train split.",),
        comes="shipped",
    ),
    _kinetics(
        "400",
        "Kinetics-400",
        "400",
        (("train", 246534), ("val", 19906), ("test", 39805)),
        "W. Kay et al., The Kinetics Human Action Video Dataset, 2017, https://arxiv.org/abs/1705.06950",
        ("Most of its val split lies in Kinetics-600's and Kinetics-700's train or val splits.",),
        sources=(
            Source(
                "replacement of damaged videos, train",
                f"{KINETICS_BASE}/400/replacement_for_corrupted_k400.tgz",
                kind="replacement",
                split="train",
            ),
        ),
        hosted=(Hosted("train", 240258, 370), Hosted("val", 19881, 30), Hosted("test", 38685, 56)),
        damage=K400_DAMAGE,
    ),
    _kinetics(
        "600",
        "Kinetics-600",
        "600",
        (("val", 30000), ("test", 72924)),
        "J. Carreira et al., A Short Note about Kinetics-600, 2018, https://arxiv.org/abs/1808.01340",
        ("32 names of Kinetics-400 are not among its classes.", "Six identifiers occur twice in val with two labels."),
        hosted=(Hosted("train", 427549, 648), Hosted("val", 29793, 43), Hosted("test", 72924, 88)),
        damage=(
            "Its train.csv and val.csv list about half of the videos; train.txt and val.txt are complete and are read.",
            "Names of archives hold spaces.",
        ),
    ),
    _kinetics(
        "700",
        "Kinetics-700-2020",
        "700_2020",
        (),
        "L. Smaira et al., A Short Note on the Kinetics-700-2020 Human Action Dataset, 2020, "
        "https://arxiv.org/abs/2010.10864",
        aliases=("kinetics700_2020",),
        hosted=(Hosted("train", 534073, 603), Hosted("val", 33914, 48), Hosted("test", 64260, 59)),
        damage=("About 5 % of the clips of test are shorter than 9 s; that is how they were cut.",),
    ),
    DatasetCard(
        name="mini_kinetics200",
        title="Mini-Kinetics-200",
        labels="mini_kinetics200",
        splits=("train", "val"),
        default_split="val",
        layout="kinetics",
        default_dir=_raw("mini_kinetics200"),
        licence=f"{KINETICS_LICENCE}; its lists of identifiers state none",
        sources=(
            *_kinetics_lists("400", ("train", "val")),
            *(
                Source(
                    f"identifiers, {split}",
                    f"{MINI_KINETICS_BASE}/{split}_ytid_list.txt",
                    kind="ids",
                    split=split,
                    into=f"annotations/{split}_ytid_list.txt",
                )
                for split in ("train", "val")
            ),
            *_kinetics_archives("400", ("train", "val")),
        ),
        counts=(("train", 80000), ("val", 5000)),
        group=KINETICS_GROUP,
        citation="S. Xie et al., Rethinking Spatiotemporal Feature Learning, ECCV 2018, "
        "https://arxiv.org/abs/1712.04851",
        notes=(
            *KINETICS_NOTES[:1],
            "400 train and 25 val videos of each of 200 classes of Kinetics-400, taken out of its archives.",
            "Its authors give no class order; here it is the sort of the names, others use another one.",
        ),
        comes="archives",
        bases=(KINETICS_BASE, MINI_KINETICS_BASE),
        hosted=(Hosted("train", 240258, 370), Hosted("val", 19881, 30)),
        damage=K400_DAMAGE,
        page=KINETICS_PAGE,
    ),
    DatasetCard(
        name="ucf101",
        title="UCF101",
        labels="ucf101",
        splits=("train", "test"),
        default_split="test",
        layout="ucf101",
        default_dir=_raw("ucf101"),
        licence="none stated; research use",
        folds=3,
        sources=(
            Source("videos, zip", f"{UCF_BASES[0]}/UCF101_videos.zip", size_gb=6.96, kind="zip"),
            Source("videos, RAR", f"{UCF_BASES[2]}/UCF101.rar", size_gb=6.48, kind="held videos", into="UCF-101"),
            Source(
                "videos as pictures of 256 pixels, a zip in three parts (.001 to .003)",
                f"{UCF_BASES[3]}/ucf101_jpegs_256.zip.001",
                kind="held videos",
                into="jpegs_256",
            ),
            *(
                Source(
                    f"split file {name}",
                    f"{UCF_BASES[1]}/ucf101_splits/{name}.txt",
                    kind="splits",
                    into=f"ucfTrainTestlist/{name}.txt",
                )
                for name in ("classInd", *(f"{split}list0{fold}" for fold in (1, 2, 3) for split in ("train", "test")))
            ),
            Source(
                "split files, zip",
                f"{UCF_BASES[2]}/UCF101TrainTestSplits-RecognitionTask.zip",
                kind="held splits",
                into="ucfTrainTestlist",
            ),
        ),
        counts=(
            *(("train1", 9537), ("test1", 3783)),
            *(("train2", 9586), ("test2", 3734)),
            *(("train3", 9624), ("test3", 3696)),
        ),
        group="the source video, gNN within its class",
        citation="K. Soomro, A. R. Zamir, M. Shah, UCF101, 2012, https://arxiv.org/abs/1212.0402",
        notes=(
            "Class order is that of classInd.txt; a plain sort swaps four classes.",
            "Files of HandstandPushups begin with v_HandStandPushups.",
            "The server's certificate chain is incomplete.",
        ),
        comes="zip",
        bases=UCF_BASES,
        hosted=(Hosted("", 13320, 6.96),),
        damage=(
            "Its authors' RAR lies on a server whose certificate chain is incomplete; the zip is a copy of it.",
            "The server of the pictures was seen not to answer in 2024; copies are passed on under these names.",
        ),
        page="https://www.crcv.ucf.edu/data/UCF101.php",
    ),
    DatasetCard(
        name="hmdb51",
        title="HMDB51",
        labels="hmdb51",
        splits=("train", "test"),
        default_split="test",
        layout="hmdb51",
        default_dir=_raw("hmdb51"),
        licence="CC BY 4.0",
        folds=3,
        sources=(
            Source("videos, one by one", f"{HMDB_BASES[0]}/{{path}}", kind="files"),
            Source(
                "videos, RAR of a RAR for each class",
                f"{HMDB_BASES[2]}/hmdb51_org.rar",
                size_gb=2.16,
                kind="held videos",
                into="hmdb51_org",
            ),
            Source(
                "split files, one by one",
                f"{HMDB_BASES[1]}/hmdb51_splits/{{label}}_test_split{{fold}}.txt",
                kind="splits",
                into="testTrainMulti_7030_splits/{label}_test_split{fold}.txt",
            ),
            Source(
                "split files, RAR",
                f"{HMDB_BASES[2]}/test_train_splits.rar",
                kind="held splits",
                into="testTrainMulti_7030_splits",
            ),
        ),
        counts=tuple((f"{split}{fold}", n) for fold in (1, 2, 3) for split, n in (("train", 3570), ("test", 1530))),
        group="the source film, the file name up to its class",
        citation="H. Kuehne et al., HMDB: A Large Video Database for Human Motion Recognition, ICCV 2011",
        notes=(
            "About a quarter of the videos (1,666 of 6,766) are in neither train nor test of a fold.",
            "536 file names hold characters that shells and glob() read as patterns.",
            "The frame count in the files' headers is often wrong by one.",
        ),
        comes="files",
        bases=HMDB_BASES,
        hosted=(Hosted("", 6766, 2.16),),
        damage=("Its authors' RAR of RARs no longer answers; the videos come one by one from a copy.",),
        page="https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/",
    ),
    DatasetCard(
        name="somethingv2",
        title="Something-Something v2",
        labels="somethingv2",
        splits=("train", "val", "test"),
        default_split="val",
        layout="somethingv2",
        default_dir=_raw("somethingv2"),
        licence="Qualcomm's research terms; must not be passed on",
        sources=(Source("all", SSV2_PAGE),),
        counts=(("train", 168913), ("val", 24777), ("test", 27157)),
        citation="R. Goyal et al., The something something video database, ICCV 2017, https://arxiv.org/abs/1706.04261",
        notes=("Classes name left and right: flipping a video changes its class.",),
        aliases=("ssv2",),
        comes="by hand",
        hosted=(Hosted("", 220847, 19.4),),
        by_hand=f"Register at {SSV2_PAGE}, download the parts of the videos (20bn-something-something-v2-00, -01, ...) "
        "and the labels (something-something-v2-*.json, or labels/*.json), and put them",
        page=SSV2_PAGE,
    ),
    DatasetCard(
        name="folder",
        title="a folder of classes",
        labels=None,
        splits=(),
        default_split="test",
        layout="folder",
        default_dir=_raw("folder"),
        licence="yours",
        notes=("CLASS/VIDEO, or SPLIT/CLASS/VIDEO; class order is the sort of the folder names, or labels.txt.",),
    ),
    DatasetCard(
        name="csv",
        title="a list of paths and labels",
        labels=None,
        splits=(),
        default_split="test",
        layout="csv",
        default_dir=_raw("csv"),
        licence="yours",
        notes=("Columns path and label, lines of `path label`, or a datalist.json with its four keys.",),
    ),
)
DATASETS = {card.name: card for card in _CARDS}
ALIASES = {alias: card.name for card in _CARDS for alias in card.aliases}


def find_dataset(name: str) -> DatasetCard:
    """The card of a dataset, by name or alias; raises ``ConfigError`` with the nearest names for one we do not know."""
    name = ALIASES.get(name, name)
    if name not in DATASETS:
        raise ConfigError(f"No dataset is called {quoted(name, 80)}.{nearest_hint(name, [*DATASETS, *ALIASES])}")
    return DATASETS[name]


def split_sizes(name: str, split: str, fold: int | str | None = None) -> tuple[int, ...]:
    """How many videos a split has: as listed officially, then in the published copy; empty where neither is known.

    Args:
        name: of the dataset's card; one we do not know has no known sizes.
        split: its name on the card.
        fold: number of the division, where there are several.

    >>> split_sizes("kinetics400", "val"), split_sizes("ucf101", "test", 1), split_sizes("csv", "test")
    ((19906, 19881), (3783,), ())
    """
    card = DATASETS.get(name)
    if card is None or not split:
        return ()
    counts, hosted = dict(card.counts), {item.split: item.num_videos for item in card.hosted}
    listed = counts.get(f"{split}{fold or ''}") or counts.get(split)
    copied = hosted.get(split)
    if listed and copied and copied > listed:  # Mini-Kinetics is taken out of the archives of another dataset
        copied = None
    return tuple(dict.fromkeys(number for number in (listed, copied) if number))


HOW_IT_COMES = {
    "archives": "archives, read as a stream",
    "files": "video by video",
    "zip": "video by video, out of a remote zip",
    "shipped": "part of this repository; the train split is drawn",
    "by hand": "by hand, after a registration; then unpacked and checked here",
}


def describe_cards() -> str:
    """The datasets that ``scripts/fetch.py`` knows, as Markdown: a table, and a section each. Ends with a line end."""
    cards = [card for card in DATASETS.values() if card.comes]
    rows = ["| name | dataset | classes | listed | published copy | how it comes |", "|---|---|---:|---|---|---|"]
    rows += [_row_of(card) for card in cards]
    return "\n".join([*rows, "", *(line for card in cards for line in _section_of(card))]).rstrip() + "\n"


def _row_of(card: DatasetCard) -> str:
    names = ", ".join(f"`{name}`" for name in (card.name, *card.aliases))
    listed = ", ".join(f"{split} {count:,}" for split, count in card.counts) or "not known here"
    copy = ", ".join(f"{item.split} {item.num_videos:,} ({item.gb:g} GB)".strip() for item in card.hosted) or "-"
    comes = HOW_IT_COMES[card.comes]
    return f"| {names} | {card.title} | {len(load_labels(card.labels or ''))} | {listed} | {copy} | {comes} |"


def _section_of(card: DatasetCard) -> list[str]:
    lines = [f"### {card.title}", "", f"- Terms: {card.licence}." + (f" See <{card.page}>." if card.page else "")]
    lines += [f"- Damage known: {sentence}" for sentence in card.damage]
    lines += [f"- {sentence}" for sentence in card.notes]
    if card.by_hand:
        lines.append(f"- {card.by_hand} into `{_shown(card.default_dir)}` or the folder of `--data-dir`.")
    lines += [f"- {source.what}: `{source.url}`" for source in card.sources]
    if card.citation:
        lines.append(f"- Paper: {card.citation}")
    return [*lines, ""]


def _shown(folder: Path) -> str:
    return folder.relative_to(REPOSITORY).as_posix()
