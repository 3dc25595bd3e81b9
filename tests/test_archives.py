"""An archive becomes regular files inside one folder, all of them, or one sentence and no folder."""

from __future__ import annotations

import errno
import gzip
import io
import os
import random
import shutil
import stat
import struct
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from vidbench.data import archives as module
from vidbench.data.archives import (
    MARKER,
    JoinedFile,
    Limits,
    extract,
    find_parts,
    join_parts,
    read_marker,
    safe_name,
    stream_members,
)
from vidbench.records import ArchiveError, FetchError


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


FILES = {"val/arm wrestling/a[1].mp4": noise(3001, 1), "val/b!(2).mp4": noise(70_000, 2), "-c;&.avi": noise(512, 3)}
FILES["empty.txt"] = b""


def header(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, **more) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data) if kind in (tarfile.REGTYPE, tarfile.AREGTYPE) else 0
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def make_tar(members=None, *, gz: bool = True) -> bytes:
    """A tar of (info, bytes); of FILES where none are given."""
    members = [header(name, data) for name, data in FILES.items()] if members is None else members
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0) if gz else buffer.getvalue()


def make_zip(files: dict[str, bytes] = FILES) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def make_rar(files: dict[str, bytes], *, method: int = 0x30) -> bytes:
    """A RAR 4 archive; with another method than ``0x30`` its data are not what that method would make of them."""

    def block(kind: int, flags: int, body: bytes, data: bytes = b"") -> bytes:
        head = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
        return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head + data

    out = b"Rar!\x1a\x07\x00" + block(0x73, 0, bytes(6))
    for name, data in files.items():
        raw = name.encode()
        facts = (len(data), len(data), 3, zlib.crc32(data), 0x51000000, 29, method, len(raw), 0o100644)
        out += block(0x74, 0x8000, struct.pack("<IIBIIBBHI", *facts) + raw, data)
    return out + block(0x7B, 0x4000, b"")


def put(folder: Path, data: bytes, name: str = "a.tar.gz") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    """Every regular file below a folder, without the marker."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != MARKER]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def streamed(data: bytes, **options) -> dict[str, bytes]:
    return {member.name: member.read() for member in stream_members(io.BytesIO(data), **options)}


def refused(call, *words: str) -> FetchError:
    with pytest.raises(FetchError) as caught:
        call()
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 700
    assert all(word in text for word in words), text
    return caught.value


# ---------------------------------------------------------------- every archive of the torture kit

OUTSIDE, OTHER, LINK = "leads out of the folder", "absolute or from another system", "a link, a device or the like"
TORTURE = {  # what extract does: the number of files, or words of the refusal
    "absolute.tar.gz": OTHER,
    "backslash.tar.gz": OTHER,
    "bad_crc.tar.gz": "incorrect data check",
    "bad_header_sum.tar": "no tar archive",
    "bad_sum_in_middle.tar": "a header is damaged",
    "bit_flips.tar.gz": "damaged",
    "block_device.tar.gz": LINK,
    "bomb_10k_files.tar.gz": "more than 5000 files",
    "bomb_50mb.tar.gz": "more than 20000000",
    "bomb_50mb.zip": "more than 20000000",
    "bomb_deep_dirs.tar.gz": "too deep",
    "case.tar.gz": 2,
    "char_device.tar.gz": LINK,
    "cut_at_member.tar": "without a tar's end mark",
    "dotdot.rar": OUTSIDE,
    "dotdot.tar.gz": OUTSIDE,
    "dotdot.zip": OUTSIDE,
    "dotdot_deep.tar.gz": OUTSIDE,
    "drive.tar.gz": OTHER,
    "empty.tar.gz": "is empty",
    "empty_tar.tar.gz": "holds no files",
    "fifo.tar.gz": LINK,
    "file_then_dir.tar.gz": "as a file and as a folder",
    "good.tar": 6,
    "good.tar.gz": 6,
    "good_stored.rar": 2,
    "gz_of_mp4.tar.gz": "no",
    "hardlink_abs.tar.gz": LINK,
    "hardlink_inside.tar.gz": LINK,
    "hardlink_out.tar.gz": LINK,
    "html.tar.gz": "a web page",
    "mode_000.tar.gz": 2,
    "mtime_weird.tar.gz": 2,
    "name_300.tar.gz": "too long",
    "name_latin1.tar.gz": "not UTF-8",
    "name_newline.tar.gz": "control characters",
    "no_end_blocks.tar": "fetch it again",
    "owner_root.tar.gz": 2,
    "path_5000.tar.gz": "too long",
    "realpath_limit.tar.gz": LINK,
    "setuid.tar.gz": 2,
    "sparse_1gib.tar": LINK,
    "symlink_abs_escape.tar.gz": LINK,
    "symlink_chain.tar.gz": LINK,
    "symlink_dir_escape.tar.gz": LINK,
    "symlink_inside.tar.gz": LINK,
    "symlink_read.tar.gz": LINK,
    "tar_named.tar.gz": 6,
    "trailing_garbage.tar.gz": "other data after its end",
    "trunc_00.tar.gz": "is empty",
    "trunc_10.tar.gz": "ends early",
    "trunc_50.rar": "has no end mark",
    "trunc_50.tar.gz": "ends early",
    "trunc_90.tar.gz": "ends early",
    "trunc_99.tar.gz": "ends early",
    "twice.tar.gz": "twice",
    "zip_named.tar.gz": OUTSIDE,
}
ONLY_ON_DISK = {"file_then_dir.tar.gz"}  # two members that cannot both be files; a stream writes none


@pytest.fixture(scope="module")
def kit(request):
    return request.getfixturevalue("torture")("archives")


def limits_of(item: dict) -> Limits:
    return Limits(most_bytes=item.get("limit_mb", 2000) * 10**6, most_files=item.get("limit_files", 100_000))


def surroundings(folder: Path) -> list:
    return sorted((str(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*"))


@pytest.mark.shared
def test_the_torture_kit_has_the_archives_we_know(kit):
    _, items = kit
    assert {Path(item["path"]).name for item in items} == set(TORTURE)
    assert len(items) == 57
    for item in items:
        outcome = "ok" if isinstance(TORTURE[Path(item["path"]).name], int) else "refused-with-clear-error"
        assert outcome in item["expect"], item


@pytest.mark.shared
@pytest.mark.parametrize("name", TORTURE)
def test_every_torture_archive_is_unpacked_whole_or_refused(name, kit, tmp_path):
    folder, items = kit
    item = next(item for item in items if Path(item["path"]).name == name)
    before = surroundings(folder)
    unpack = lambda: extract(folder / item["path"], tmp_path / "in" / "out", limits=limits_of(item))  # noqa: E731
    if isinstance(TORTURE[name], int):
        found = unpack()
        assert found.num_files == TORTURE[name] == len(tree(tmp_path / "in" / "out"))
        assert all(stat.S_IMODE(path.stat().st_mode) & 0o7600 == 0o600 for path in found.folder.rglob("*.mp4"))
        assert os.listdir(tmp_path / "in") == ["out"]
    else:
        refused(unpack, TORTURE[name])
        assert os.listdir(tmp_path / "in") == []
    assert surroundings(folder) == before
    assert os.listdir(tmp_path) == ["in"]


@pytest.mark.shared
@pytest.mark.parametrize("name", [name for name in TORTURE if ".tar" in name])
def test_every_torture_tar_is_streamed_whole_or_refused(name, kit):
    folder, items = kit
    item = next(item for item in items if Path(item["path"]).name == name)
    read = lambda: streamed((folder / item["path"]).read_bytes(), limits=limits_of(item))  # noqa: E731
    if isinstance(TORTURE[name], int):
        assert len(read()) == TORTURE[name]
    elif name == "zip_named.tar.gz":
        refused(read, "ZIP archive, which cannot be read as a stream")
    elif TORTURE[name] in ("holds no files", "no"):
        assert read() == {}
    elif name not in ONLY_ON_DISK:
        refused(read, TORTURE[name])


# ---------------------------------------------------------------- good archives


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.tar.gz", make_tar()),
        ("a.tar", make_tar(gz=False)),
        ("plain-tar-named.tar.gz", make_tar(gz=False)),
        ("a.zip", make_zip()),
        ("zip-named.tar", make_zip()),
        ("a.rar", make_rar(FILES)),
    ],
)
def test_a_good_archive_gives_the_same_files(name, data, tmp_path):
    seen = []
    found = extract(put(tmp_path, data, name), tmp_path / "out", num_files=4, progress=lambda *now: seen.append(now))
    assert tree(tmp_path / "out") == FILES
    assert (found.num_files, found.num_listed, found.num_bytes) == (4, 4, sum(map(len, FILES.values())))
    assert seen[-1] == (4, found.num_bytes)
    assert sorted(os.listdir(tmp_path)) == sorted([name, "out"])


def test_a_stream_gives_the_files_however_few_bytes_come_at_a_time():
    class Drops(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, random.randint(1, 700)))

    for gz in (True, False):
        members = stream_members(Drops(make_tar(gz=gz)), num_files=4)
        assert {member.name: b"".join(iter(lambda m=member: m.read(999), b"")) for member in members} == FILES


def test_members_that_are_not_read_are_skipped():
    read = {}
    for number, member in enumerate(stream_members(io.BytesIO(make_tar()))):
        if number % 2:
            read[member.name] = member.read()
        else:
            member.read(number)
    assert read == {name: FILES[name] for name in list(FILES)[1::2]}


def test_gzip_streams_in_a_row_and_zeros_at_the_end_are_one_archive():
    plain = make_tar(gz=False)
    assert streamed(gzip.compress(plain[:5000]) + gzip.compress(plain[5000:])) == FILES
    assert streamed(make_tar() + bytes(3000)) == FILES
    assert streamed(plain + bytes(10_000)) == FILES


def test_long_names_of_both_formats_are_read():
    long = "val/" + "x" * 150 + "/" + "ü" * 100 + ".mp4"
    for style in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=style) as tar:
            info, data = header(long, b"clip")
            tar.addfile(info, io.BytesIO(data))
        assert streamed(buffer.getvalue()) == {long: b"clip"}


def test_what_macos_adds_is_left_out(tmp_path):
    files = FILES | {"val/._b.mp4": b"x", "__MACOSX/val/b.mp4": b"x", ".DS_Store": b"x"}
    members = [header(name, data) for name, data in files.items()]
    assert streamed(make_tar(members)) == FILES
    assert extract(put(tmp_path, make_zip(files), "a.zip"), tmp_path / "out").num_listed == 4
    assert tree(tmp_path / "out") == FILES


def test_only_what_is_wanted_is_written(tmp_path):
    path = put(tmp_path, make_tar())
    want = lambda name: name.startswith("val/")  # noqa: E731
    found = extract(path, tmp_path / "out", want=want, selection="val")
    assert set(tree(tmp_path / "out")) == {name for name in FILES if want(name)}
    assert (found.num_files, found.num_listed) == (2, 4)
    refused(lambda: extract(path, tmp_path / "out"), "was made from a.tar.gz")


def test_permissions_owners_and_times_are_ours(tmp_path):
    extract(put(tmp_path, make_tar([header("a", b"1", mode=0o6777, mtime=5)])), tmp_path / "out")
    facts = (tmp_path / "out" / "a").stat()
    assert stat.S_IMODE(facts.st_mode) & 0o7111 == 0
    assert facts.st_mtime > 1_000_000


# ---------------------------------------------------------------- finished, stopped, in the way


def test_a_finished_folder_is_not_made_again(tmp_path):
    path = put(tmp_path, make_tar())
    first = extract(path, tmp_path / "out")
    before = surroundings(tmp_path)
    again = extract(path, tmp_path / "out")
    assert again.was_there
    assert (again.num_files, again.num_bytes) == (first.num_files, first.num_bytes)
    assert surroundings(tmp_path) == before
    assert read_marker(tmp_path / "out")["archive"] == "a.tar.gz"


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    refused(lambda: extract(put(tmp_path, make_tar()), tmp_path / "out"), "holds other files", "move it away")
    (tmp_path / "file").write_text("mine")
    refused(lambda: extract(tmp_path / "a.tar.gz", tmp_path / "file"), "not a folder")
    assert tree(tmp_path / "out") == {"mine.txt": b"mine"}


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "out").mkdir()
    assert extract(put(tmp_path, make_tar()), tmp_path / "out").num_files == 4


def test_what_a_killed_call_left_is_cleared(tmp_path):
    (tmp_path / ".out.extracting" / "val").mkdir(parents=True)
    (tmp_path / ".out.extracting" / "val" / "half.mp4").write_bytes(b"half")
    extract(put(tmp_path, make_tar()), tmp_path / "out")
    assert tree(tmp_path / "out") == FILES
    assert sorted(os.listdir(tmp_path)) == ["a.tar.gz", "out"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"archive": 1}', "[" * 100_000])
def test_a_marker_that_cannot_be_read_is_none(text, tmp_path):
    (tmp_path / MARKER).write_text(text)
    assert read_marker(tmp_path) is None


def test_two_at_once_do_not_meet(tmp_path):
    path, problems = put(tmp_path, make_tar()), []

    def meanwhile(*_):
        if not problems:
            problems.append(refused(lambda: extract(path, tmp_path / "out"), "by another process"))

    extract(path, tmp_path / "out", progress=meanwhile)
    assert len(problems) == 1
    assert tree(tmp_path / "out") == FILES


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    def full(file, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "_write_all", full)
    problem = refused(lambda: extract(put(tmp_path, make_tar()), tmp_path / "out"), "No space left", "nothing of it")
    assert problem.spoils == "all"
    assert os.listdir(tmp_path) == ["a.tar.gz"]


def test_a_disk_that_cannot_hold_it_is_said_first(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=100))
    refused(lambda: extract(put(tmp_path, make_tar()), tmp_path / "out"), "make room")
    assert os.listdir(tmp_path) == ["a.tar.gz"]


def test_an_archive_that_is_not_there_is_said(tmp_path):
    refused(lambda: extract(tmp_path / "none.zip", tmp_path / "out"), "none.zip is not there")


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize("kind", ["tar.gz", "tar", "zip", "rar"])
def test_no_cut_is_taken_for_the_whole(kind, tmp_path):
    data = {"tar.gz": make_tar(), "tar": make_tar(gz=False), "zip": make_zip(), "rar": make_rar(FILES)}[kind]
    last = len(data.rstrip(b"\0")) if kind == "tar" else len(data) - (14 if kind == "rar" else 0)
    generator = random.Random(7)
    for length in [0, 1, 511, 512, 513, last - 1, *(generator.randrange(last) for _ in range(25))]:
        path = put(tmp_path, data[:length], f"a.{kind}")
        refused(lambda path=path: extract(path, tmp_path / "out"))
        assert os.listdir(tmp_path) == [path.name]
        if kind.startswith("tar"):
            refused(lambda length=length: streamed(data[:length]))


@pytest.mark.parametrize("kind", ["tar.gz", "zip", "rar"])
def test_no_flipped_bit_changes_a_file_unseen(kind, tmp_path):
    data = {"tar.gz": make_tar(), "zip": make_zip(), "rar": make_rar(FILES)}[kind]
    generator, num_refused = random.Random(8), 0
    for _ in range(60):
        damaged = bytearray(data)
        damaged[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        try:
            extract(put(tmp_path, bytes(damaged), f"a.{kind}"), tmp_path / "out", num_files=4)
        except ArchiveError:
            num_refused += 1
        else:  # in a field that changes no file's bytes, as a time stamp
            assert sorted(tree(tmp_path / "out").values()) == sorted(FILES.values())
            shutil.rmtree(tmp_path / "out")
    assert num_refused > 40


def test_a_count_that_is_wrong_is_refused(tmp_path):
    refused(lambda: extract(put(tmp_path, make_tar()), tmp_path / "out", num_files=5), "holds 4 files, expected 5")
    refused(lambda: streamed(make_tar(), num_files=3), "holds 4 files, expected 3")
    assert os.listdir(tmp_path) == ["a.tar.gz"]


def test_a_missing_end_mark_passes_only_with_the_right_count():
    plain = make_tar([header("a", b"1" * 512), header("b", b"2" * 512)], gz=False)[:2048]
    refused(lambda: streamed(plain), "end mark")
    refused(lambda: streamed(plain, num_files=3), "end mark")
    assert set(streamed(plain, num_files=2)) == {"a", "b"}


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end():
    plain = bytearray(make_tar([header(f"{n}.mp4", noise(600, n)) for n in range(5)], gz=False))
    plain[3 * 1536 + 100] ^= 1  # the fourth member's header
    refused(lambda: streamed(bytes(plain)), "a header is damaged")
    refused(lambda: streamed(gzip.compress(bytes(plain)), num_files=3), "a header is damaged")


def test_data_after_the_end_are_refused():
    plain = make_tar(gz=False)
    refused(lambda: streamed(make_tar() + b"more"), "other data after its end")
    refused(lambda: streamed(plain + plain), "other data after its end mark")
    refused(lambda: streamed(gzip.compress(plain) + gzip.compress(plain)), "other data after its end mark")


def test_a_rar_that_ends_between_two_files_passes_only_with_the_right_count(tmp_path):
    path = put(tmp_path, make_rar(FILES)[:-7], "a.rar")  # without its last block
    refused(lambda: extract(path, tmp_path / "out"), "no end mark")
    refused(lambda: extract(path, tmp_path / "out", num_files=5), "holds 4 files, expected 5")
    assert extract(path, tmp_path / "out", num_files=4).num_files == 4


# ---------------------------------------------------------------- hostile archives


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../x", OUTSIDE),
        ("a/../../x", OUTSIDE),
        ("a/..", OUTSIDE),
        ("/x", OTHER),
        ("//x", OTHER),
        ("C:x", OTHER),
        ("a\\..\\x", OTHER),
        ("a\x00b", "control"),
        ("a\x1b[31m", "control"),
        ("a\udcff", "UTF-8"),
        ("x" * 256, "too long"),
        ("ü" * 128, "too long"),
        ("a/" * 40 + "x", "too deep"),
        ("/".join(["abcdefgh" * 8] * 20), "too long"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(name, words):
    refused(lambda: safe_name(name), words)


def test_names_that_datasets_have_pass():
    for name in ("-abc_000001_000011.mp4", "a/#437_[x]!(1);&@~+.avi", "v/é ü/日本.mp4", "...", "a/..b/c..", "x" * 255):
        assert safe_name(name) == name
    assert (safe_name("./a//b/./c/"), safe_name("."), safe_name("")) == ("a/b/c", "", "")


KINDS = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE, b"V"]


@pytest.mark.parametrize("kind", KINDS)
def test_only_files_and_folders_are_admitted(kind, tmp_path):
    data = make_tar([header("a", b"1"), header("val/b", kind=kind, linkname="../../x")])
    refused(lambda: extract(put(tmp_path, data), tmp_path / "out"), LINK)
    assert os.listdir(tmp_path) == ["a.tar.gz"]


def test_a_sparse_file_under_the_type_of_a_regular_one_is_refused():
    sparse = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.realsize": str(1 << 40),
        "GNU.sparse.name": "a",
    }
    info = tarfile.TarInfo("a")
    info.size, info.pax_headers = 512, sparse
    data = info.tobuf(tarfile.PAX_FORMAT) + b"1\n0\n512\n".ljust(512, b"\0") + bytes(1024)
    refused(lambda: streamed(data), LINK)


def test_a_link_in_a_zip_is_refused(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc")
    refused(lambda: extract(put(tmp_path, buffer.getvalue(), "a.zip"), tmp_path / "out"), LINK)


def test_a_header_that_asks_for_much_memory_is_refused():
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, 1 << 32
        refused(lambda info=info: streamed(info.tobuf() + bytes(4096)), "larger than any should be")


def test_a_long_chain_of_headers_is_refused():
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 0
    refused(lambda: streamed(info.tobuf(tarfile.USTAR_FORMAT) * 5000), "damaged")


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_the_ratio_has_a_limit(kind, tmp_path):
    zeros = bytes(20_000_000)
    data = make_tar([header("a", zeros)]) if kind == "tar.gz" else make_zip({"a": zeros})
    refused(lambda: extract(put(tmp_path, data, f"a.{kind}"), tmp_path / "out"), "more than 100 times its size")
    assert os.listdir(tmp_path) == [f"a.{kind}"]
    extract(tmp_path / f"a.{kind}", tmp_path / "out", limits=Limits(most_ratio=2000))
    assert (tmp_path / "out" / "a").stat().st_size == len(zeros)


def test_a_file_twice_is_refused_in_every_format(tmp_path):
    refused(lambda: streamed(make_tar([header("a", b"1"), header("./a", b"2")])), "a twice")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a", "2")
    refused(lambda: extract(put(tmp_path, buffer.getvalue(), "a.zip"), tmp_path / "out"), "a twice")
    twice = make_rar({"a/b": b"1", "a//b": b"2"})
    refused(lambda: extract(put(tmp_path, twice, "a.rar"), tmp_path / "out"), "a/b twice")


# ---------------------------------------------------------------- RAR that needs a program


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Puts a program ``unrar`` on an otherwise empty PATH; call with Python code that unpacks into ``folder``."""
    if sys.platform == "win32":
        pytest.skip("writes a script that only Unix can start")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    monkeypatch.setenv("PATH", str(bin_folder))

    def install(code: str) -> None:
        path = bin_folder / "unrar"
        path.write_text(
            f"#!{sys.executable}\nimport pathlib, sys, os\nfolder = pathlib.Path(sys.argv[-1])\n"
            f"files = {FILES!r}\n"
            "def write(name, data):\n"
            "    (folder / name).parent.mkdir(parents=True, exist_ok=True)\n"
            "    (folder / name).write_bytes(data)\n" + code
        )
        path.chmod(0o755)

    return install


ALL = "for name, data in files.items(): write(name, data)\n"


def test_a_compressed_rar_without_a_program_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    path = put(tmp_path, make_rar(FILES, method=0x33), "a.rar")
    refused(lambda: extract(path, tmp_path / "out"), "apt-get install unar", "brew install unar", "7-Zip")
    assert os.listdir(tmp_path) == ["a.rar"]


def test_a_compressed_rar_is_unpacked_by_a_program_and_checked(tool, tmp_path):
    tool(ALL)
    path = put(tmp_path, make_rar(FILES, method=0x33), "a.rar")
    found = extract(path, tmp_path / "out", want=lambda name: name != "empty.txt", selection="no empty one")
    assert tree(tmp_path / "out") == {name: data for name, data in FILES.items() if data}
    assert (found.num_files, found.num_listed) == (3, 4)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (ALL + "sys.exit(3)", "status 3"),
        (ALL + "write('empty.txt', b'no')", "empty.txt is missing or damaged"),
        (ALL + "write('val/b!(2).mp4', bytes(70000))", "missing or damaged"),
        (ALL + "(folder / 'empty.txt').unlink()", "missing or damaged"),
        (ALL + "write('more', b'')", "more, which is not in the list"),
        (ALL + "os.remove(folder / 'empty.txt'); os.symlink('/etc/hostname', folder / 'empty.txt')", "not in the list"),
        (ALL + "os.symlink('/etc', folder / 'etc')", "not in the list"),
    ],
)
def test_what_a_program_unpacks_wrongly_is_not_taken(code, words, tool, tmp_path):
    tool(code)
    refused(lambda: extract(put(tmp_path, make_rar(FILES, method=0x33), "a.rar"), tmp_path / "out"), words)
    assert sorted(os.listdir(tmp_path)) == ["a.rar", "bin"]


def test_a_second_program_is_asked_where_the_first_fails(tool, tmp_path):
    tool(ALL)
    (tmp_path / "bin" / "unrar").rename(tmp_path / "bin" / "bsdtar")
    tool("write('val/half', b''); sys.exit(1)")
    assert extract(put(tmp_path, make_rar(FILES, method=0x33), "a.rar"), tmp_path / "out").num_files == 4
    assert tree(tmp_path / "out") == FILES


# ---------------------------------------------------------------- parts


def cut(folder: Path, data: bytes, names: list[str]) -> list[Path]:
    """The data in so many files, of different lengths."""
    marks = sorted(random.Random(3).sample(range(1, len(data)), len(names) - 1))
    pieces = [data[a:b] for a, b in zip([0, *marks], [*marks, len(data)], strict=True)]
    return [put(folder, piece, name) for name, piece in zip(names, pieces, strict=True)]


@pytest.mark.parametrize(
    ("names", "data"),
    [
        (["ucf101_jpegs_256.zip.001", "ucf101_jpegs_256.zip.002", "ucf101_jpegs_256.zip.003"], make_zip()),
        ([f"20bn-something-something-v2-{n:02}" for n in range(12)], make_tar()),
    ],
)
def test_an_archive_in_parts_is_read_as_one(names, data, tmp_path):
    parts = cut(tmp_path, data, names)
    put(tmp_path, b"another", names[0][:-1] + "x")
    assert find_parts(parts[-1]) == parts
    extract(find_parts(parts[0]), tmp_path / "out", num_files=4)
    assert tree(tmp_path / "out") == FILES


def test_a_missing_part_is_named(tmp_path):
    parts = cut(tmp_path, make_tar(), [f"a.tar.gz.{n:03}" for n in range(1, 5)])
    parts[3].unlink()
    refused(lambda: extract(find_parts(parts[0]), tmp_path / "out"), "ends early")
    parts[1].write_bytes(b"")
    refused(lambda: find_parts(parts[0]), "a.tar.gz.002 is missing or empty")
    parts[0].unlink()
    refused(lambda: join_parts(parts[2]), "a.tar.gz.001 is missing or empty")
    refused(lambda: find_parts(tmp_path / "a.tar.gz"), "does not end in a part's number")


def test_joined_files_read_and_seek_like_one(tmp_path):
    data = noise(10_007)
    paths = cut(tmp_path, data, ["x00", "x01", "x02", "x03"])
    generator, plain = random.Random(5), io.BytesIO(data)
    with io.BufferedReader(JoinedFile(paths), 300) as joined:
        for _ in range(300):
            place, size = generator.randrange(11_000), generator.randrange(4000)
            assert joined.seek(place) == plain.seek(place)
            assert joined.read(size) == plain.read(size)
        assert joined.seek(-5, io.SEEK_END) == len(data) - 5
        assert joined.read() == data[-5:]
    with JoinedFile(paths) as joined, pytest.raises(ValueError, match="negative"):
        joined.seek(-1)


@pytest.mark.slow
def test_extraction_keeps_up_with_tar(tmp_path):
    """The rate of extract is at least 0.8 of that of ``tar xzf``, the best of three each."""
    import subprocess
    import time

    if not shutil.which("tar") or not shutil.which("gzip"):
        pytest.skip("needs the programs tar and gzip")
    members = [header(f"val/{n}.mp4", noise(1_500_000, n)) for n in range(40)]
    path = put(tmp_path, make_tar(members))

    def seconds(call) -> float:
        best = float("inf")
        for _ in range(3):
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
            start = time.perf_counter()
            call()
            best = min(best, time.perf_counter() - start)
        return best

    def with_tar():
        (tmp_path / "out").mkdir()
        subprocess.run(["tar", "xzf", str(path), "-C", str(tmp_path / "out")], check=True, timeout=120)

    assert 0.8 * seconds(lambda: extract(path, tmp_path / "out")) <= seconds(with_tar)
