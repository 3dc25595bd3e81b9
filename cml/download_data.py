"""Make sure that the mini set, which comes with the project, is whole.

Nothing is downloaded: vidmini is all that the shipped evaluation and the notebooks need. Kinetics, UCF101, HMDB51 and
Something-Something are too large, or not free, to be fetched unasked; see the README for how to name your own copy.
"""

import hashlib
import json
import sys
from pathlib import Path


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


def main() -> int:
    project = Path(__file__).resolve().parents[1] if "__file__" in globals() else Path.cwd()
    root = project / "data" / "vidmini"
    try:
        broken = broken_classes(root)
    except (OSError, ValueError, KeyError) as problem:
        broken = [f"{type(problem).__name__}: {problem}"]
    if broken:
        print(f"{root} is not whole: {'; '.join(broken)}. `git checkout -- data/vidmini` brings it back.")
        return 1
    num_clips = sum(1 for _ in (root / "videos").rglob("*.mp4"))
    print(f"vidmini is ready: {num_clips} clips in {root}. Nothing had to be downloaded.")
    return 0


if __name__ == "__main__":
    status = main()
    if status:
        sys.exit(status)
