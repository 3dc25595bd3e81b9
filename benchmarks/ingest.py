"""How fast clips come out of an archive: vidbench's fetch against `tar xzf` on the same file, side by side.

    python benchmarks/ingest.py [--megabytes 400] [--rounds 3]

Clips are noise in MP4's outermost boxes (real ones compress as little), 1.5 MB each, half of them of wanted classes in
the second figure. A server in another process hands the archive over on this machine; tar reads it from the disk.
"""

import argparse
import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

LABELS = ("archery", "arm wrestling")


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4) + kind + content


def make_mirror(folder: Path, megabytes: int) -> Path:
    """A mirror of one archive; returns the archive's path."""
    rows, archive = ["label,youtube_id,time_start,time_end,split"], folder / "400" / "val" / "part_0.tar.gz"
    archive.parent.mkdir(parents=True)
    with gzip.open(archive, "wb", compresslevel=6) as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
        for number in range(megabytes * 2 // 3):
            data = box(b"ftyp", b"isom") + box(b"mdat", os.urandom(1_500_000)) + box(b"moov", bytes(900))
            info = tarfile.TarInfo(f"{number:011d}_000001_000011.mp4")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
            rows.append(f"{LABELS[number % 2]},{number:011d},1,11,val")
    official = "https://s3.amazonaws.com/kinetics/400/val/part_0.tar.gz"
    (archive.parent / "k400_val_path.txt").write_text(official + "\n")
    (folder / "400" / "annotations").mkdir()
    (folder / "400" / "annotations" / "val.csv").write_text("\n".join(rows) + "\n")
    return archive


def timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    from vidbench.data.fetch import Order, fetch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        archive = make_mirror(folder / "mirror", args.megabytes)
        serve = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"]
        web = subprocess.Popen(
            [*serve, str(folder / "mirror")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            assert web.stdout
            mirror = "http://127.0.0.1:" + web.stdout.readline().split(" port ")[1].split()[0]
            times: dict[str, list[float]] = {"tar xzf": [], "fetch, all": [], "fetch, half of the classes": []}
            for _ in range(args.rounds):
                for name, taken in times.items():
                    out = folder / "out"
                    out.mkdir()
                    classes = LABELS[:1] if "half" in name else None
                    order = Order("kinetics400", "val", classes=classes, data_dir=out, mirrors=(mirror,))
                    unpack = ["tar", "xzf", str(archive), "-C", str(out)]
                    work = (lambda: fetch(order)) if "fetch" in name else (lambda: subprocess.run(unpack, check=True))  # noqa: B023
                    taken.append(timed(work))
                    shutil.rmtree(out)
            size = archive.stat().st_size / 1e6
            for name, taken in times.items():
                print(f"{name:28} {size / min(taken):7.0f} MB/s   {min(times['tar xzf']) / min(taken):.2f} x tar")
        finally:
            web.terminate()
            web.wait()


if __name__ == "__main__":
    main()
