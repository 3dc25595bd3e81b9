"""Datasets come whole or in part, once each, from a server that holds what the published ones hold."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vidbench.data import fetch as fetching
from vidbench.data.catalog import load_labels
from vidbench.data.fetch import Order, fetch
from vidbench.data.index import load_records
from vidbench.data.order import Known, lost
from vidbench.data.web import Patience
from vidbench.records import AnnotationError, FetchError

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
    assert leftovers(tmp_path) == []
    hosted, why = lost(tmp_path, "val")
    assert hosted == set(cvdf.clips) - {cvdf.absent}
    assert why == outcome.lost
    facts = Known(tmp_path, "val").archives
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
    assert len([path for path in server.asked if "tar.gz" in path]) < 6 + fetching.MOST_PROBES
    assert leftovers(tmp_path) == []
    assert lost(tmp_path, "val")[0] is None, "not all archives were read"


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
    assert outcome.problems
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
