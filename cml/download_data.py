"""Make sure that the mini set is whole, and fetch a few dozen clips of Kinetics-400 where that is possible.

vidmini comes with the project and is all that the shipped evaluation and the notebooks need. The clips of Kinetics
are for a look at real data: VIDBENCH_KINETICS_CLIPS says how many (40; 0 for none), VIDBENCH_KINETICS_URL names
another copy of the archives. Run again, it fetches what is missing and nothing else.
"""

import hashlib
import json
import logging
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent if "__file__" in globals() else Path("cml").resolve()
sys.path[:0] = [str(HERE), str(HERE.parent)]

from cml_session import ROOT, end  # noqa: E402

NUM_CLIPS, MOST_CLIPS = 40, 1000


def broken_classes(root: Path) -> list[str]:
    """Classes of ``root``'s splits whose clips are missing or differ from those the manifest was made from.

    Raises:
        OSError, ValueError: the manifest or a split file is missing or damaged.
    """
    splits = json.loads((root / "manifest.json").read_text(encoding="utf-8"))["splits"]
    found = []
    for split, entry in splits.items():
        lines = (root / "splits" / f"{split}list01.txt").read_text(encoding="utf-8").splitlines()
        names = [line.split()[0] for line in lines if line.strip()]
        for label, expected in entry["classes"].items():
            paths = [root / "videos" / name for name in names if name.startswith(f"{label}/")]
            if not all(path.is_file() for path in paths):
                found.append(f"{label} ({split}: clips are missing)")
                continue
            digests = "".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
            if hashlib.sha256(digests.encode()).hexdigest() != expected["files_sha256"]:
                found.append(f"{label} ({split}: clips have changed)")
    return found


def check_mini_set(root: Path) -> bool:
    """Say whether the mini set is whole."""
    try:
        broken = broken_classes(root)
    except (OSError, ValueError, KeyError) as problem:
        broken = [f"{type(problem).__name__}: {problem}"]
    if broken:
        print(f"{root} is not whole: {'; '.join(broken)}. `git checkout -- data/vidmini` brings it back.")
        return False
    num_clips = sum(1 for _ in (root / "videos").rglob("*.mp4"))
    print(f"vidmini is ready: {num_clips} clips in {root}. Nothing had to be downloaded.", flush=True)
    return True


def clips_wanted(text: str) -> int | None:
    """A number of clips from its text, or ``None``."""
    return int(text) if text.isascii() and text.isdigit() and int(text) <= MOST_CLIPS else None


def fetch_kinetics(root: Path, wanted: int) -> None:
    """Fetch clips of Kinetics-400 and say what came of it; what cannot be had is no failure."""
    from kinetics_sample import OFFICIAL, fetch_sample

    from vidbench.data.catalog import find_dataset
    from vidbench.utils import printable

    logging.getLogger("vidbench").setLevel(logging.ERROR)  # most of the split is not there, and that is as it should be
    base_url = os.environ.get("VIDBENCH_KINETICS_URL") or OFFICIAL
    print(f"Kinetics-400: looking for {wanted} clips of the validation split, from {printable(base_url)}.", flush=True)
    sample = fetch_sample(root, wanted, base_url)
    if sample.problem:
        print(
            f"Kinetics-400: {sample.clips} of {wanted} clips are there, more cannot be had now ({sample.problem}); the "
            "mini set serves the notebooks and the shipped evaluation, and running this script again tries once more."
        )
    else:
        print(f"Kinetics-400: {sample.added} clips added, {sample.megabytes:.0f} MB read.")
    if sample.clips:
        print(f"{sample.clips} clips of {sample.classes} classes are in {root}. {find_dataset('kinetics400').notes[0]}")
        print("To evaluate them: python scripts/evaluate.py @scripts/configs/kinetics400-r2plus1d.txt --present-only")


def main() -> int:
    if not check_mini_set(ROOT / "data" / "vidmini"):
        return 1
    text = os.environ.get("VIDBENCH_KINETICS_CLIPS", "").strip() or str(NUM_CLIPS)
    wanted = clips_wanted(text)
    if wanted is None:
        print(f"VIDBENCH_KINETICS_CLIPS must be a whole number from 0 to {MOST_CLIPS}; it is {text[:40]!r}.")
        return 1
    if wanted:
        fetch_kinetics(ROOT / "data" / "raw" / "kinetics400", wanted)
    return 0


if __name__ == "__main__":
    end(main())
