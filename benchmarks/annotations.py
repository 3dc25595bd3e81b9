"""Time and memory of reading annotation files of a million rows: python benchmarks/annotations.py [--rows N]."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from vidbench.data.classes import load_labels  # noqa: E402
from vidbench.utils import machine_facts  # noqa: E402

LABELS = load_labels("kinetics400")
READ = """
import sys, time, json
sys.path.insert(0, sys.argv[1])
from vidbench.data.index import load_records
import logging
logging.disable(logging.ERROR)
began, cpu = time.perf_counter(), time.process_time()
records = load_records(sys.argv[2], sys.argv[3], "val", annotations=sys.argv[4])
seconds = time.perf_counter() - began
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(json.dumps([len(records), seconds, time.process_time() - cpu, peak / 1024]))
"""


def write_kinetics(path: Path, rows: int) -> None:
    with path.open("w") as file:
        file.write("label,youtube_id,time_start,time_end,split,is_cc\n")
        for n in range(rows):
            file.write(f'"{LABELS[n % 400]}",{n:011d},{n % 900},{n % 900 + 10},val,0\n')


def write_csv(path: Path, rows: int) -> None:
    with path.open("w") as file:
        file.write("path,label,split,group\n")
        for n in range(rows):
            file.write(f"{LABELS[n % 400]}/video {n:07d}.mp4,{LABELS[n % 400]},val,film {n // 7}\n")


def write_list(path: Path, rows: int) -> None:
    with path.open("w") as file:
        file.writelines(f"{LABELS[n % 400]}/video {n:07d}.mp4\t{LABELS[n % 400]}\n" for n in range(rows))


def write_datalist(path: Path, rows: int) -> None:
    entries = [
        {"path": f"{n % 400}/video {n:07d}", "class_name": LABELS[n % 400], "label": n % 400, "num_frames": 250}
        for n in range(rows)
    ]
    path.write_text(json.dumps(entries))


FORMS = {
    "Kinetics' CSV": ("kinetics400", "a.csv", write_kinetics),
    "CSV of paths": ("csv", "a.csv", write_csv),
    "lines of path and label": ("csv", "a.txt", write_list),
    "datalist.json": ("csv", "a.json", write_datalist),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    print(
        f"{machine_facts()}\n| file | rows | wall, s | CPU, s | peak memory, MB |\n| --- | ---: | ---: | ---: | ---: |"
    )
    for name, (dataset, file, write) in FORMS.items():
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / file, options.rows)
            command = [sys.executable, "-c", READ, str(ROOT), dataset, folder, str(Path(folder) / file)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows, wall, cpu, peak = json.loads(done.stdout)
        print(f"| {name} | {rows:,} | {wall:.1f} | {cpu:.1f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
