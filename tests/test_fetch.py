"""Datasets come whole or in part, once each, from a server that holds what the published ones hold."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import filelock
import pytest

from vidbench.arguments import FETCH, FetchConfig
from vidbench.data import catalog
from vidbench.data import fetch as fetching
from vidbench.data.arriving import Arriving, RangeFile, Restarted
from vidbench.data.catalog import find_dataset
from vidbench.data.classes import load_labels
from vidbench.data.decode import read_clip
from vidbench.data.fetch import Order, fetch, make_plan
from vidbench.data.fetch_plan import MOST_PROBES
from vidbench.data.index import draw_subset, load_records
from vidbench.data.order import Known, addresses, class_names, kinetics_rows, mp4_damage, shares
from vidbench.data.web import Patience
from vidbench.records import AnnotationError, ConfigError, FetchError

ROOT = Path(__file__).resolve().parents[1]
HASTY = Patience(tries=2, connect_s=5, read_s=5, wait_s=0.01)


# ---------------------------------------------------------------- a server like the published ones


class Server:
    """Files in memory over HTTP, with ranges and ETags; counts what it sends."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.sent = 0
        self.rate = 0.0  # bytes a second of one answer; 0: as fast as it goes
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                server.answer(self)

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):
                pass

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, handler) -> None:
        path = urllib.parse.unquote(handler.path)
        self.asked.append(path)
        data = self.files.get(path)
        if data is None:
            handler.send_error(404)
            return
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        start = 0
        if (wanted := handler.headers.get("Range", "")) and handler.headers.get("If-Range", etag) == etag:
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        handler.send_header("Content-Length", str(len(data) - start))
        handler.send_header("ETag", etag)
        handler.end_headers()
        for at in range(start, len(data), 1 << 14):
            piece = data[at : at + (1 << 14)]
            handler.wfile.write(piece)
            self.sent += len(piece)
            if self.rate:
                time.sleep(len(piece) / self.rate)

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4) + kind + content


def clip_bytes(name: str, size: int = 3000) -> bytes:
    """What passes for an MP4 file of a clip: right boxes around noise that only this name has."""
    noise = hashlib.shake_256(name.encode()).digest(size)
    return box(b"ftyp", b"isom") + box(b"mdat", noise) + box(b"moov", b"\0" * 40)


def tar_gz(members: dict[str, bytes], *, compressed: bool = True) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(memory.getvalue(), 1, mtime=0) if compressed else memory.getvalue()


def youtube_id(number: int) -> str:
    """Eleven characters; every fifth begins with a minus sign."""
    return ("-" if number % 5 == 0 else "") + hashlib.sha256(str(number).encode()).hexdigest()[: 11 - (number % 5 == 0)]


class Cvdf:
    """The published layout of a Kinetics split on a server: some classes, clips in some archives, known damage.

    Each archive holds clips of all classes. One listed clip is in no archive, one has no moov box, one is empty, and
    one archive is a plain tar with folders and macOS's files in it.
    """

    def __init__(self, server, *, version="400", split="val", classes=4, per_class=6, num_archives=3, size=3000):
        self.server, self.split = server, split
        self.base = "/m/" + version
        self.labels = load_labels(f"kinetics{version[:3]}")[5 : 5 + classes]
        names = [(label, number) for number in range(per_class) for label in self.labels]
        self.label_of = {f"{youtube_id(i)}_{i:06d}_{i + 10:06d}": label for i, (label, _) in enumerate(names)}
        self.clips = {name: clip_bytes(name, size) for name in self.label_of}
        everything = list(self.clips)
        self.absent, self.unfinished, self.empty = everything[-1], everything[-2], everything[-3]
        self.clips[self.unfinished] = box(b"ftyp", b"isom") + box(b"mdat", b"x" * 500)
        self.clips[self.empty] = b""
        stored = [name for name in everything if name != self.absent]
        self.archives = {}
        for number in range(num_archives):
            members = {f"{name}.mp4": self.clips[name] for name in stored[number::num_archives]}
            if number == 1:
                members = {f"./{split}/{name}": data for name, data in members.items()}
                members |= {f"./{split}/._{youtube_id(3)}_000003_000013.mp4": b"junk", "readme.txt": b"hello"}
            blank = " " if number == 2 else "_"
            self.archives[f"{self.base}/{split}/part{blank}{number}.tar.gz"] = tar_gz(members, compressed=number != 1)
        server.files |= self.archives
        official = "https://s3.amazonaws.com/kinetics/" + version
        lines = [official + path.removeprefix(self.base) for path in self.archives]
        server.files[f"{self.base}/{split}/k{version}_{split}_path.txt"] = ("\n".join(lines) + "\n").encode()
        rows = [f'"{label}",{n[:11]},{int(n[12:18])},{int(n[19:])},{split},0' for n, label in self.label_of.items()]
        listing = "label,youtube_id,time_start,time_end,split,is_cc\r\n" + "\r\n".join(rows) + "\r\n"
        server.files[f"{self.base}/annotations/{split}.csv"] = listing.encode()
        server.files[f"{self.base}/annotations/{split}.txt"] = "\n".join(
            f"{n[:11]},{int(n[12:18])},{int(n[19:])},{label}" for n, label in self.label_of.items()
        ).encode()

    @property
    def mirror(self) -> str:
        return self.server.url + "/m"

    @property
    def good(self) -> set[str]:
        return set(self.clips) - {self.absent, self.unfinished, self.empty}

    @property
    def num_bytes(self) -> int:
        return sum(map(len, self.archives.values()))

    def order(self, root: Path, **more) -> Order:
        return Order("kinetics400", self.split, data_dir=root, mirrors=(self.mirror,), **more)


def clips_in(root: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in root.rglob("*.mp4")}


def leftovers(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in root.rglob("*.part*")] + [
        str(path) for path in (root / ".fetch" / "archives").glob("*")
    ]


# ---------------------------------------------------------------- Kinetics


def test_a_whole_split_comes_and_what_is_lacking_is_accounted_for(server, tmp_path):
    cvdf = Cvdf(server)
    outcome = fetch(cvdf.order(tmp_path), patience=HASTY)
    assert clips_in(tmp_path) == {name: cvdf.clips[name] for name in cvdf.good}
    assert outcome.lost == {cvdf.unfinished: "no moov atom", cvdf.empty: "empty"}
    assert (outcome.num_wanted, outcome.num_there, outcome.num_new, outcome.not_hosted) == (24, 21, 21, 1)
    assert outcome.exit_status == 3
    assert outcome.num_bytes == cvdf.num_bytes
    assert leftovers(tmp_path) == []
    known = Known(tmp_path, "val")
    assert known.complete
    assert known.hosted == set(cvdf.clips) - {cvdf.absent}
    assert known.lost == outcome.lost
    facts = known.archives
    assert {url.rpartition("/")[2]: one["sha256"] for url, one in facts.items()} == {
        path.rpartition("/")[2]: hashlib.sha256(data).hexdigest() for path, data in cvdf.archives.items()
    }


def test_the_clips_are_where_the_index_looks_for_them(server, tmp_path):
    cvdf = Cvdf(server)
    fetch(cvdf.order(tmp_path), patience=HASTY)
    records = load_records("kinetics400", tmp_path, "val")
    assert {record.video_id for record in records if record.status == "ok"} == cvdf.good
    assert all(record.label == cvdf.label_of[record.video_id] for record in records)


def test_a_second_fetch_asks_for_nothing(server, tmp_path):
    cvdf = Cvdf(server)
    fetch(cvdf.order(tmp_path), patience=HASTY)
    server.asked.clear()
    outcome = fetch(cvdf.order(tmp_path), patience=HASTY)
    assert server.asked == []
    assert (outcome.num_there, outcome.num_new) == (21, 0)


def test_only_the_wanted_classes_are_kept(server, tmp_path):
    cvdf = Cvdf(server)
    wanted = cvdf.labels[:2]
    fetch(cvdf.order(tmp_path, classes=wanted), patience=HASTY)
    assert set(clips_in(tmp_path)) == {name for name in cvdf.good if cvdf.label_of[name] in wanted}
    assert {path.parent.name for path in tmp_path.rglob("*.mp4")} == set(wanted)


def test_more_classes_are_taken_from_those_archives_that_hold_them(server, tmp_path):
    cvdf = Cvdf(server)
    fetch(cvdf.order(tmp_path, classes=cvdf.labels[:2]), patience=HASTY)
    server.asked.clear()
    fetch(cvdf.order(tmp_path), patience=HASTY)
    assert set(clips_in(tmp_path)) == cvdf.good
    before = Known(tmp_path, "val").archives
    server.asked.clear()
    next(tmp_path.rglob("*.mp4")).unlink()
    fetch(cvdf.order(tmp_path), patience=HASTY)
    assert len([path for path in server.asked if "part" in path]) == 1, "its archive is known"
    assert Known(tmp_path, "val").archives.keys() == before.keys()
    assert set(clips_in(tmp_path)) == cvdf.good


def test_a_part_is_spread_over_the_classes_and_reading_stops_when_it_is_full(server, tmp_path):
    cvdf = Cvdf(server, per_class=40, num_archives=6)
    outcome = fetch(cvdf.order(tmp_path, limit=8), patience=HASTY)
    found = clips_in(tmp_path)
    counts = [sum(cvdf.label_of[name] == label for name in found) for label in cvdf.labels]
    assert counts == [2, 2, 2, 2]
    assert outcome.complete
    assert outcome.exit_status == 0
    assert len([path for path in server.asked if "tar.gz" in path]) < 6 + MOST_PROBES
    assert leftovers(tmp_path) == []
    assert not Known(tmp_path, "val").complete, "not all archives were read"


def test_a_larger_part_with_the_same_seed_holds_the_smaller_one(server, tmp_path):
    cvdf = Cvdf(server, per_class=20, num_archives=7)
    for limit in (5, 11):
        fetch(cvdf.order(tmp_path / "grown", limit=limit, seed=3), patience=HASTY)
    fetch(cvdf.order(tmp_path / "fresh", limit=11, seed=3), patience=HASTY)
    grown, fresh = (set(clips_in(tmp_path / name)) for name in ("grown", "fresh"))
    assert grown == fresh
    assert len(fresh) == 11
    others = []
    for seed in (4, 5, 6):
        fetch(cvdf.order(tmp_path / str(seed), limit=11, seed=seed), patience=HASTY)
        others.append(set(clips_in(tmp_path / str(seed))))
    assert any(other != fresh for other in others)


def test_damaged_clips_do_not_fill_a_part(server, tmp_path):
    cvdf = Cvdf(server, classes=3, per_class=3, num_archives=2)
    outcome = fetch(cvdf.order(tmp_path, per_class=3), patience=HASTY)
    assert set(clips_in(tmp_path)) == cvdf.good
    assert outcome.num_there == 6


def test_replacements_take_the_place_of_damaged_videos_of_train(server, tmp_path):
    cvdf = Cvdf(server, split="train")
    other = sorted(cvdf.good)[0]
    new = {name: clip_bytes(name + " again") for name in (cvdf.unfinished, other)}
    new["unlisted-xx_000001_000011"] = clip_bytes("unlisted")
    members = {f"replacement_for_corrupted_k400/{name}.mp4": data for name, data in new.items()}
    server.files["/m/400/replacement_for_corrupted_k400.tgz"] = tar_gz(members)
    outcome = fetch(cvdf.order(tmp_path), patience=HASTY)
    found = clips_in(tmp_path)
    assert found[cvdf.unfinished] == new[cvdf.unfinished]
    assert found[other] == new[other]
    assert set(found) == cvdf.good | {cvdf.unfinished}
    assert outcome.lost == {cvdf.empty: "empty"}
    server.asked.clear()
    fetch(cvdf.order(tmp_path), patience=HASTY)
    assert server.asked == []


def test_an_archive_that_is_not_there_costs_its_clips_only_and_is_asked_for_again_on_demand(server, tmp_path):
    cvdf = Cvdf(server)
    path, data = next(iter(cvdf.archives.items()))
    del server.files[path]
    outcome = fetch(cvdf.order(tmp_path), patience=HASTY)
    assert 0 < outcome.num_there < 21
    assert "404" in outcome.problems[0]
    assert outcome.exit_status == 1
    server.files[path] = data
    server.asked.clear()
    assert fetch(cvdf.order(tmp_path), patience=HASTY).num_new == 0
    assert server.asked == []
    assert fetch(cvdf.order(tmp_path, retry_failed=True), patience=HASTY).num_there == 21


def test_retrying_looks_for_damage_in_what_is_there(server, tmp_path):
    cvdf = Cvdf(server)
    fetch(cvdf.order(tmp_path), patience=HASTY)
    paths = sorted(path for path in tmp_path.rglob("*.mp4"))
    paths[0].write_bytes(paths[0].read_bytes()[:100])
    paths[1].write_bytes(b"")
    fetch(cvdf.order(tmp_path, retry_failed=True), patience=HASTY)
    assert clips_in(tmp_path) == {name: cvdf.clips[name] for name in cvdf.good}


@pytest.mark.parametrize("how", ["cut", "changed byte"])
def test_a_damaged_archive_is_said_and_the_others_are_read(server, tmp_path, how):
    cvdf = Cvdf(server)
    path, data = next(iter(cvdf.archives.items()))
    middle = len(data) // 2
    server.files[path] = data[:middle] if how == "cut" else data[:middle] + b"\xff\0\xff\0" + data[middle + 4 :]
    outcome = fetch(cvdf.order(tmp_path), patience=HASTY)
    assert "part_0.tar.gz" in outcome.problems[0], "which archive it was"
    assert outcome.exit_status == 1
    assert outcome.num_there >= 14
    good = {name: cvdf.clips[name] for name in cvdf.good}
    assert clips_in(tmp_path).items() <= good.items()
    assert leftovers(tmp_path) == []


def test_a_list_that_leads_elsewhere_is_refused(server, tmp_path):
    cvdf = Cvdf(server)
    server.files["/m/400/val/k400_val_path.txt"] = b"https://example.org/part_0.tar.gz\n"
    with pytest.raises(FetchError, match="leads elsewhere"):
        fetch(cvdf.order(tmp_path), patience=HASTY)
    assert clips_in(tmp_path) == {}


def test_a_web_page_in_place_of_the_annotations_is_refused_and_not_kept(server, tmp_path):
    cvdf = Cvdf(server)
    server.files["/m/400/annotations/val.csv"] = b"<html><body>Please log in</body></html>"
    with pytest.raises((FetchError, AnnotationError)):
        fetch(cvdf.order(tmp_path), patience=HASTY)
    assert not (tmp_path / "annotations" / "val.csv").exists()


def test_mirrors_are_tried_in_order(server, tmp_path):
    cvdf = Cvdf(server)
    order = Order("kinetics400", "val", data_dir=tmp_path, mirrors=(server.url + "/nothing", cvdf.mirror))
    assert fetch(order, patience=HASTY).num_there == 21


def test_kinetics600_is_read_from_its_complete_text_lists(server, tmp_path):
    cvdf = Cvdf(server, version="600")
    del server.files["/m/600/annotations/val.csv"]
    order = Order("kinetics600", data_dir=tmp_path, mirrors=(cvdf.mirror,))
    assert fetch(order, patience=HASTY).num_there == 21


def test_mini_kinetics_is_taken_out_of_the_archives_of_kinetics400(server, tmp_path):
    cvdf = Cvdf(server)
    small = set(load_labels("mini_kinetics200"))
    chosen = [name for name, label in cvdf.label_of.items() if label in small][:4]
    server.files["/m/val_ytid_list.txt"] = "\n".join(name[:11] for name in chosen).encode()
    fetch(Order("mini_kinetics200", data_dir=tmp_path, mirrors=(cvdf.mirror,)), patience=HASTY)
    assert chosen
    assert set(clips_in(tmp_path)) == set(chosen)
    assert {record.label for record in load_records("mini_kinetics200", tmp_path, "val")} <= small


def test_real_clips_come_through_unchanged_and_pass_the_look_at_their_boxes(server, shared_dir, tmp_path):
    folder = shared_dir / "data" / "kinetics400"
    clips = {path.stem: path.read_bytes() for path in (folder / "val").rglob("*.mp4")}
    base = "https://s3.amazonaws.com/kinetics/400/val"
    server.files |= {
        "/m/400/annotations/val.csv": (folder / "annotations" / "val.csv").read_bytes(),
        "/m/400/val/k400_val_path.txt": f"{base}/part_0.tar.gz\n".encode(),
        "/m/400/val/part_0.tar.gz": tar_gz({f"{name}.mp4": data for name, data in clips.items()}),
    }
    order = Order("kinetics400", "val", classes=("arm wrestling", "bungee jumping"), data_dir=tmp_path)
    outcome = fetch(Order(**{**vars(order), "mirrors": (server.url + "/m",)}), patience=HASTY)
    assert clips_in(tmp_path) == clips
    assert outcome.lost == {}
    assert outcome.not_hosted == outcome.num_wanted - 4 > 90


# ---------------------------------------------------------------- plans


def test_a_dry_run_says_what_it_takes_and_writes_nothing(server, tmp_path):
    cvdf = Cvdf(server, size=30000)
    plan = make_plan(cvdf.order(tmp_path / "data", classes=cvdf.labels[:1]), dry=True, patience=HASTY)
    text = plan.text()
    assert "24 videos listed, 6 wanted, 0 of them there" in text
    assert "3 of 3 to be read" in text
    assert "CC BY 4.0" in text
    assert " free at " in text
    assert "B/s, as measured" in text
    assert plan.costs[0].download_bytes == pytest.approx(cvdf.num_bytes, rel=0.01)
    assert plan.fits
    assert not (tmp_path / "data").exists()


def test_a_part_is_expected_to_read_less(server, tmp_path):
    cvdf = Cvdf(server, per_class=60, num_archives=8)
    whole = make_plan(cvdf.order(tmp_path), dry=True, patience=HASTY)
    part = make_plan(cvdf.order(tmp_path, limit=8), dry=True, patience=HASTY)
    assert part.costs[0].download_bytes < whole.costs[0].download_bytes / 3
    assert part.costs[0].num_clips == 8


def test_a_disk_that_cannot_hold_it_is_refused_before_anything_is_fetched(server, tmp_path, monkeypatch):
    cvdf = Cvdf(server)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 200 * 10**6})())
    with pytest.raises(FetchError, match=r"needs .*but its disk has 200 MB free; ask for fewer"):
        fetch(cvdf.order(tmp_path), patience=HASTY)
    assert not make_plan(cvdf.order(tmp_path), dry=True, patience=HASTY).fits
    assert clips_in(tmp_path) == {}


def test_archives_named_after_other_classes_are_left_out(server, tmp_path):
    cvdf = Cvdf(server)
    label, other = cvdf.labels[:2]
    official = "https://s3.amazonaws.com/kinetics/400/val/"
    names = {}
    for wanted in (label, other):
        clips = {f"{name}.mp4": data for name, data in cvdf.clips.items() if cvdf.label_of[name] == wanted}
        names[wanted] = f"{wanted}.tar.gz"
        server.files[f"/m/400/val/{wanted}.tar.gz"] = tar_gz(clips)
    server.files["/m/400/val/k400_val_path.txt"] = "\n".join(official + name for name in names.values()).encode()
    fetch(cvdf.order(tmp_path, classes=(label,)), patience=HASTY)
    assert not any(other in path for path in server.asked)
    assert {cvdf.label_of[name] for name in clips_in(tmp_path)} == {label}


# ---------------------------------------------------------------- stopped, full, and two at once


def command(cvdf: Cvdf, root: Path, *more: str) -> list[str]:
    words = [sys.executable, str(ROOT / "scripts" / "fetch.py"), "kinetics400", "--split", cvdf.split]
    return [*words, "--mirror", cvdf.mirror, "--data-dir", str(root), *more]


def run(words: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(words, capture_output=True, text=True, timeout=120)


def test_the_command_fetches_and_its_exit_status_tells_what_lacks(server, tmp_path):
    cvdf = Cvdf(server)
    done = run(command(cvdf, tmp_path))
    assert done.returncode == 3, done.stderr
    assert "21 of 24 videos wanted are in" in done.stdout
    assert "1 no moov atom" in done.stdout
    assert "1 are not in the published copy" in done.stdout
    assert set(clips_in(tmp_path)) == cvdf.good
    done = run(command(cvdf, tmp_path, "--classes", ",".join(cvdf.labels[:1]), "--dry-run"))
    assert done.returncode == 0, done.stderr
    assert "0 of 3 to be read" in done.stdout


def test_the_recipe_of_the_documentation_works_with_pythons_own_server(server, tmp_path):
    cvdf = Cvdf(server)
    for path, data in server.files.items():
        file = tmp_path / "mirror" / path.removeprefix("/m/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    page = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8").splitlines()
    recipe = next(line for line in page if line.startswith("python scripts/fetch.py") and "http://127.0.0.1" in line)
    serve = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"]
    with subprocess.Popen(
        [*serve, str(tmp_path / "mirror")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as web:
        try:
            port = web.stdout.readline().split(" port ")[1].split()[0]
            words = shlex.split(recipe.replace(":8000", f":{port}"))[2:]
            script = [sys.executable, str(ROOT / "scripts" / "fetch.py")]
            done = run([*script, *words, "--data-dir", str(tmp_path / "data")])
        finally:
            web.terminate()
    assert done.returncode == 3, done.stdout + done.stderr  # one of the class's clips is empty in this copy
    assert set(clips_in(tmp_path / "data")) == {n for n in cvdf.good if cvdf.label_of[n] == "arm wrestling"}


@pytest.mark.slow
@pytest.mark.parametrize("part", [(), ("--limit", "150")], ids=["whole", "part"])
def test_a_fetch_killed_twenty_times_ends_the_same_and_reads_little_twice(server, tmp_path, part):
    cvdf = Cvdf(server, per_class=60, num_archives=4, size=25000)
    undisturbed = run(command(cvdf, tmp_path / "once", *part))
    assert undisturbed.returncode == (0 if part else 3), undisturbed.stderr
    sent_once, server.sent = server.sent, 0
    server.rate = 600_000
    kills = 0
    root = tmp_path / "killed"
    words = command(cvdf, root, *part)
    while kills < 20:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = server.sent
        deadline = time.monotonic() + 20
        while process.poll() is None and server.sent < before + sent_once // 50 and time.monotonic() < deadline:
            time.sleep(0.005)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        good = {name: cvdf.clips[name] for name in cvdf.good}
        assert clips_in(root).items() <= good.items()
    server.rate = 0
    run(words)
    assert kills == 20
    assert clips_in(root) == clips_in(tmp_path / "once")
    assert leftovers(root) == []
    assert server.sent <= 1.2 * sent_once


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
def test_ctrl_c_ends_it_within_seconds_and_the_same_command_goes_on(server, tmp_path):
    cvdf = Cvdf(server, per_class=60, num_archives=4, size=25000)
    server.rate = 100_000  # each archive takes 14 s
    process = subprocess.Popen(command(cvdf, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while len(clips_in(tmp_path)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert process.returncode == 130
    assert "To continue:" in errors
    assert "Traceback" not in errors
    server.rate = 0
    assert run(command(cvdf, tmp_path)).returncode == 3
    assert set(clips_in(tmp_path)) == cvdf.good
    assert server.sent <= 1.2 * cvdf.num_bytes


@pytest.mark.skipif(os.name == "nt", reason="limits the size of files")
def test_what_the_system_refuses_to_write_is_said_in_one_sentence(server, tmp_path):
    import resource

    cvdf = Cvdf(server, per_class=60, num_archives=4, size=25000)

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))

    done = subprocess.run(command(cvdf, tmp_path), preexec_fn=limit, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "cannot be written: File too large" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert run(command(cvdf, tmp_path)).returncode == 3
    assert set(clips_in(tmp_path)) == cvdf.good


def test_what_a_killed_fetch_was_just_writing_is_taken_away(server, tmp_path):
    cvdf = Cvdf(server)
    (tmp_path / ".fetch" / "archives").mkdir(parents=True)
    (tmp_path / ".fetch" / ".val.json-abc.tmp").write_text("{")
    (tmp_path / ".fetch" / "archives" / ".part.json-abc.tmp").write_text("{")
    fetch(cvdf.order(tmp_path), patience=HASTY)
    assert list((tmp_path / ".fetch").rglob("*.tmp")) == []
    assert leftovers(tmp_path) == []


def test_a_second_fetch_into_the_same_folder_waits_for_nothing_and_says_so(server, tmp_path):
    cvdf = Cvdf(server)
    (tmp_path / ".fetch").mkdir()
    with filelock.FileLock(tmp_path / ".fetch" / "held"), pytest.raises(FetchError, match="Another fetch is working"):
        fetch(cvdf.order(tmp_path), patience=HASTY)
    assert fetch(cvdf.order(tmp_path), patience=HASTY).num_there == 21


def test_a_disk_that_fills_is_said_in_one_sentence_and_the_next_call_goes_on(server, tmp_path, monkeypatch):
    cvdf = Cvdf(server)
    real, left = os.replace, [5]

    def replace(source, target):
        if str(target).endswith(".mp4"):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device", str(target))
        return real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(FetchError, match=r"cannot be written: No space left on device; what is there is kept"):
        fetch(cvdf.order(tmp_path), patience=HASTY)
    assert len(clips_in(tmp_path)) == 5
    monkeypatch.setattr(os, "replace", real)
    fetch(cvdf.order(tmp_path), patience=HASTY)
    assert set(clips_in(tmp_path)) == cvdf.good
    assert leftovers(tmp_path) == []


# ---------------------------------------------------------------- what is read while it comes


def test_a_file_that_changes_on_the_server_while_it_is_read_is_read_anew(server, tmp_path):
    server.files["/a"] = b"old" * 200_000
    server.rate = 2_000_000
    file = Arriving([server.url + "/a"], tmp_path / "a", patience=HASTY)
    assert file.read(6) == b"oldold"
    file.close()
    assert (tmp_path / "a.part").stat().st_size
    server.files["/a"], server.rate = b"new" * 200_000, 0
    file = Arriving([server.url + "/a"], tmp_path / "a", patience=HASTY)
    try:
        data = b"".join(iter(lambda: file.read(1 << 16), b""))
    except Restarted:  # the old beginning was read before the server said that it is another file now
        pass
    else:
        assert data == server.files["/a"]
    finally:
        file.close()
    with Arriving([server.url + "/a"], tmp_path / "a", patience=HASTY) as file:
        assert file.readall() == server.files["/a"]


def test_an_arriving_file_gives_all_bytes_in_order_and_its_hash(server, tmp_path):
    server.files["/a"] = os.urandom(700_001)
    with Arriving([server.url + "/a"], tmp_path / "a", patience=HASTY) as file:
        data = b"".join(iter(lambda: file.read(100_000), b""))
    assert data == server.files["/a"]
    assert file.result.sha256 == hashlib.sha256(data).hexdigest()
    file.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_remote_file_is_read_at_any_place(server):
    server.files["/z"] = os.urandom(3_000_000)
    remote = RangeFile([server.url + "/none", server.url + "/z"], patience=HASTY)
    with io.BufferedReader(remote, 1 << 16) as file:
        for start, size in ((2_900_000, 90_000), (5, 40), (100_000, 300_000), (2_999_999, 50), (0, 1)):
            file.seek(start)
            assert file.read(size) == server.files["/z"][start : start + size]
        file.seek(0, os.SEEK_END)
        assert file.read(10) == b""
        assert file.tell() == 3_000_000


# ---------------------------------------------------------------- UCF101, HMDB51, Something-Something, vidmini


def ucf_server(server) -> dict[str, bytes]:
    """A zip of flat files like the published one, and split files, of two classes."""
    stems = [f"{label}_g{group:02d}" for label in ("Archery", "HandStandPushups") for group in (1, 2, 9)]
    names = [f"v_{stem}_c{clip:02d}.avi" for stem in stems for clip in (1, 2)]
    clips = {name: b"RIFF" + hashlib.shake_256(name.encode()).digest(50_000) for name in names}
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_STORED) as archive:
        for name, data in clips.items():
            archive.writestr(f"UCF101/{name}", data)
    server.files["/m/UCF101_videos.zip"] = memory.getvalue()
    labels = load_labels("ucf101")
    folder = {"Archery": "Archery", "HandStandPushups": "HandstandPushups"}
    paths = {name: f"{folder[name.split('_')[1]]}/{name}" for name in names}
    for fold in (1, 2, 3):
        tested = [paths[name] for name in names if ("_g01_" in name or "_g02_" in name)]
        trained = [f"{paths[n]} {labels.index(paths[n].split('/')[0]) + 1}" for n in names if paths[n] not in tested]
        server.files[f"/m/ucf101_splits/testlist0{fold}.txt"] = ("\r\n".join(tested) + "\r\n").encode()
        server.files[f"/m/ucf101_splits/trainlist0{fold}.txt"] = ("\r\n".join(trained) + "\r\n").encode()
    numbered = "\n".join(f"{number} {label}" for number, label in enumerate(labels, 1))
    server.files["/m/ucf101_splits/classInd.txt"] = numbered.encode()
    return {f"UCF-101/{paths[name]}": data for name, data in clips.items()}


def test_ucf101_comes_out_of_the_remote_zip_video_by_video(server, tmp_path):
    files = ucf_server(server)
    order = Order("ucf101", "test", data_dir=tmp_path, mirrors=(server.url + "/m",))
    outcome = fetch(order, patience=HASTY)
    assert (outcome.num_wanted, outcome.num_there, outcome.exit_status) == (8, 8, 0)
    for path, data in files.items():
        assert (tmp_path / path).exists() == ("_g09_" not in path)
        assert "_g09_" in path or (tmp_path / path).read_bytes() == data
    assert all(record.status == "ok" for record in load_records("ucf101", tmp_path, "test"))


def test_a_few_videos_of_ucf101_cost_a_few_bytes_and_are_those_that_an_evaluation_draws(server, tmp_path):
    ucf_server(server)
    order = Order("ucf101", "test", limit=2, seed=5, data_dir=tmp_path, mirrors=(server.url + "/m",))
    fetch(order, patience=HASTY)
    records = load_records("ucf101", tmp_path, "test")
    there = [record.video_id for record in records if record.status == "ok"]
    assert there == [record.video_id for record in draw_subset(records, 2, 5)]


def test_a_damaged_zip_is_said(server, tmp_path):
    ucf_server(server)
    data = server.files["/m/UCF101_videos.zip"]
    server.files["/m/UCF101_videos.zip"] = data[:20_000] + b"\0" * 100 + data[20_100:]
    with pytest.raises(FetchError, match="is damaged"):
        fetch(Order("ucf101", "test", data_dir=tmp_path, mirrors=(server.url + "/m",)), patience=HASTY)


@pytest.mark.parametrize("name", ["ucf101", "hmdb51"])
def test_a_dry_run_beside_other_files_says_what_it_takes_and_writes_nothing(server, tmp_path, name):
    {"ucf101": ucf_server, "hmdb51": hmdb_server}[name](server)
    (tmp_path / "notes.txt").write_text("mine")
    order = Order(name, "test", data_dir=tmp_path, mirrors=(server.url + "/m",))
    text = make_plan(order, dry=True, patience=HASTY).text()
    assert f"{ {'ucf101': 8, 'hmdb51': 51}[name] } videos listed" in text
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def hmdb_server(server) -> dict[str, bytes]:
    """Three videos of each class of HMDB51, with names that shells trip over, and all its split files."""
    files = {}
    for label in load_labels("hmdb51"):
        names = [f"a#1 [x]&;({n})!_{label}_f_nm_np1_fr_med_{n}.avi" for n in range(3)]
        for name in names:
            files[f"hmdb51_org/{label}/{name}"] = b"RIFF" + name.encode() * 9
        for fold in (1, 2, 3):
            lines = "".join(f"{name} {code} \n" for name, code in zip(names, (1, 2, 0)))
            server.files[f"/m/hmdb51_splits/{label}_test_split{fold}.txt"] = lines.encode()
    server.files |= {f"/m/{path}": data for path, data in files.items()}
    return files


def test_hmdb51_comes_one_by_one_with_the_names_as_they_are(server, tmp_path):
    files = hmdb_server(server)
    lost_path = next(path for path in files if path.endswith("_wave_f_nm_np1_fr_med_1.avi"))
    del server.files["/m/" + lost_path]
    outcome = fetch(Order("hmdb51", "test", data_dir=tmp_path, mirrors=(server.url + "/m",)), patience=HASTY)
    assert (outcome.num_wanted, outcome.num_there, outcome.exit_status) == (51, 50, 3)
    assert list(outcome.lost.values()) == ["the server answered 404"]
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*.avi")}
    assert found == {path: data for path, data in files.items() if path.endswith("_1.avi") and path != lost_path}
    assert sum(record.status == "ok" for record in load_records("hmdb51", tmp_path, "test")) == 50


def test_what_needs_a_registration_is_told_with_its_folder(tmp_path):
    with pytest.raises(ConfigError, match=rf"Register at https://.* and put them into {tmp_path}; then the same"):
        fetch(Order("ssv2", data_dir=tmp_path))


@pytest.mark.parametrize("zipped", [False, True])
def test_parts_of_something_something_are_read_as_one_archive(tmp_path, zipped):
    labels = load_labels("somethingv2")
    videos = {f"20bn-something-something-v2/{number}.webm": os.urandom(4000 + number) for number in (7, 8, 9)}
    entries = [{"id": str(n), "template": labels[n].replace("something", "[something]")} for n in (7, 9)]
    (tmp_path / "something-something-v2-validation.json").write_text(json.dumps(entries))
    whole = tar_gz(videos)
    for number, start in enumerate(range(0, len(whole), 5000)):
        name, data = f"20bn-something-something-v2-{number:02d}", whole[start : start + 5000]
        if zipped:
            with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
                archive.writestr(name, data)
        else:
            (tmp_path / name).write_bytes(data)
    outcome = fetch(Order("ssv2", data_dir=tmp_path))
    assert (outcome.num_wanted, outcome.num_there) == (2, 2)
    found = {path.name: path.read_bytes() for path in tmp_path.rglob("*.webm")}
    assert found == {f"{n}.webm": videos[f"20bn-something-something-v2/{n}.webm"] for n in (7, 9)}
    (tmp_path / ("20bn-something-something-v2-01" + (".zip" if zipped else ""))).unlink()
    next(tmp_path.rglob("*.webm")).unlink()
    with pytest.raises(FetchError, match=r"Part 01 .* is not in"):
        fetch(Order("ssv2", data_dir=tmp_path))


def test_vidmini_is_there_and_its_train_split_is_drawn(tmp_path):
    assert fetch(Order("vidmini")).num_there == 144
    outcome = fetch(Order("vidmini", "train", per_class=1, data_dir=tmp_path))
    assert (outcome.num_there, outcome.num_new) == (12, 12)
    assert len(load_records("vidmini", tmp_path, "train")) == 12
    with pytest.raises(ConfigError, match=r"--mirror.* do nothing for it"):
        fetch(Order("vidmini", mirrors=("https://example.org",)))


def test_the_test_split_of_vidmini_is_drawn_where_it_did_not_come_along(tmp_path, monkeypatch):
    shipped = find_dataset("vidmini")
    there = shipped.default_dir / "videos" / "Recede" / "v_Recede_g01_c01.mp4"
    monkeypatch.setitem(catalog.DATASETS, "vidmini", dataclasses.replace(shipped, default_dir=tmp_path / "vidmini"))
    monkeypatch.setitem(fetching.MINI, "test", 1)
    assert fetch(Order("vidmini")).num_new == 12
    again = fetch(Order("vidmini"))
    assert (again.num_there, again.num_new) == (12, 0)
    drawn = tmp_path / "vidmini" / there.relative_to(shipped.default_dir)
    assert (read_clip(drawn, [0, 9]).frames == read_clip(there, [0, 9]).frames).all()


# ---------------------------------------------------------------- small rules


def test_shares_differ_by_one_unless_a_class_has_no_more():
    available = {"a": 9, "b": 2, "c": 9, "d": 9}
    for seed in range(5):
        for limit in range(1, 30):
            found = shares(available, None, limit, seed)
            assert sum(found.values()) == min(limit, 29)
            rich = [found[name] for name in "acd"]
            assert max(rich) - min(rich) <= 1
            assert found["b"] == 2 or max(rich) - found["b"] <= 1
            smaller = shares(available, None, limit - 1, seed)
            assert all(smaller[name] <= found[name] for name in available)
    assert shares(available, 3, None, 0) == {"a": 3, "b": 2, "c": 3, "d": 3}


def test_classes_may_be_named_with_commas_or_hold_commas():
    labels = load_labels("somethingv2")
    name = next(label for label in labels if "," in label)
    assert class_names([name, labels[0]], labels) == (name, labels[0])
    assert class_names(["arm wrestling,bungee jumping"], load_labels("kinetics400")) == (
        "arm wrestling",
        "bungee jumping",
    )
    with pytest.raises(ConfigError, match=r"'arm wresting'.*'arm wrestling'"):
        class_names(["arm wresting"], load_labels("kinetics400"))


@pytest.mark.parametrize(
    "text",
    [
        "label,youtube_id,time_start,time_end,split\nyoga,-0123456789,5,15,val\n",
        "yoga,-0123456789,5,15,validate\n",
        "-0123456789,5,15,yoga\n",
        "-0123456789\t5.0\t15.0\tyoga\n",
        "yoga/-0123456789_000005_000015.mp4\n",
        "yoga/-0123456789_000005_000015\n",
    ],
)
def test_lists_of_kinetics_are_read_in_the_forms_in_use(text):
    header, row = kinetics_rows(text, load_labels("kinetics600"), "val", "here")
    assert header[:4] == ["label", "youtube_id", "time_start", "time_end"]
    assert row[:2] == ["yoga", "-0123456789"]
    assert [float(value) for value in row[2:4]] == [5, 15]


def test_what_is_no_list_of_kinetics_is_refused():
    with pytest.raises(AnnotationError, match="2 of 2 lines are no video"):
        kinetics_rows("<html>\n<p>hello</p>\n", ("yoga",), "val", "here")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (box(b"ftyp", b"isom") + box(b"mdat", b"x" * 50), "no moov atom"),
        (clip_bytes("a")[:200], "cut: 200 of"),
        (b"<html>not a video</html>", "not an MP4 file"),
        (box(b"ftyp", b"isom") + bytes(100), "no box at byte 12"),
        (clip_bytes("a"), ""),
        (box(b"ftyp", b"isom") + box(b"moov", b"") + (1).to_bytes(4) + b"mdat" + (66).to_bytes(8) + b"x" * 50, ""),
        (box(b"ftyp", b"isom") + box(b"moov", b"") + bytes(4) + b"mdat" + b"x" * 50, ""),
    ],
)
def test_damage_shows_in_the_outermost_boxes(data, words):
    found = mp4_damage(io.BytesIO(data), len(data))
    assert found.startswith(words) if words else found == ""


def test_official_addresses_are_given_to_the_mirrors_in_order():
    order = Order("kinetics400", mirrors=("http://a/x/", "http://b"))
    official = "https://s3.amazonaws.com/kinetics/400/val/part 1.tar.gz"
    assert addresses(order, official) == ["http://a/x/400/val/part 1.tar.gz", "http://b/400/val/part 1.tar.gz"]
    assert addresses(Order("kinetics400"), official) == [official]
    with pytest.raises(FetchError, match="leads elsewhere"):
        addresses(order, "https://s3.amazonaws.com/kineticsx/400/val/part.tar.gz")


def test_the_command_line_is_the_order():
    config = FETCH.parse_or_exit(
        ["hmdb51", "--split", "all", "--classes", "golf,kick", "pour", "--limit", "9", "--parallel", "2"]
    )
    assert config.order == Order("hmdb51", "all", classes=("golf", "kick", "pour"), limit=9, num_parallel=2)
    assert config.order.splits == ("train", "test")
    assert FetchConfig(dataset="ssv2").checked().dataset == "somethingv2"
    assert FETCH.parse_or_exit(["kinetics400", "--mirror", "http://a,http://b"]).order.mirrors == (
        "http://a",
        "http://b",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["kinetics4000"], "No dataset is called 'kinetics4000'"),
        (["kinetics400", "--split", "vol"], "--split must be one of train, val, test, all"),
        (["kinetics400", "--mirror", "ftp://x"], "--mirror must begin with https:// or http://"),
        (["hmdb51", "--fold", "4"], "--fold must be from 1 to 3"),
        (["csv"], "a list of paths and labels is not fetched"),
    ],
)
def test_a_wrong_order_is_said_before_anything_is_done(words, message, tmp_path):
    done = run([sys.executable, str(ROOT / "scripts" / "fetch.py"), *words, "--data-dir", str(tmp_path / "x")])
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "name", ["kinetics400", "kinetics600", "kinetics700_2020", "mini_kinetics200", "ucf101", "hmdb51"]
)
def test_every_source_of_a_card_is_below_one_of_its_bases(name):
    card = find_dataset(name)
    fetched = [source for source in card.sources if source.kind]
    assert fetched
    for source in fetched:
        assert addresses(Order(name), source.url) == [source.url]
