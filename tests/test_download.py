"""A download is the whole right file under its name, or one sentence; and a second try takes up the first."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import io
import json
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest

from vidbench.data import download as module
from vidbench.data.archives import stream_members
from vidbench.data.download import download, open_stream
from vidbench.data.web import Patience, checked_url, retry_after
from vidbench.records import FetchError

ROOT = Path(__file__).resolve().parents[1]
HASTY = Patience(tries=3, connect_s=2, read_s=0.5, wait_s=0.02, most_wait_s=3)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


class Server:
    """Serves ``files`` by path on this machine, and can be told to misbehave.

    ``cuts`` are the bytes after which the next answers end; ``log`` holds (path, Range, If-Range) of each request.
    """

    def __init__(self, files: dict[str, bytes], *, certificate=None):
        self.files, self.log, self.cuts = files, [], []
        self.ranges, self.validator, self.headers, self.moved = True, True, {}, {}
        self.pause_s, self.sent = 0.0, 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version, wbufsize = "HTTP/1.1", 1 << 16

            def log_message(self, *_):
                pass

            def do_GET(self):
                try:
                    outer.answer(self)
                except OSError:
                    self.close_connection = True

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass

        self.http = Quiet(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.http.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    def answer(self, handler) -> None:
        path, wanted = handler.path.partition("?")[0], handler.headers.get("Range")
        self.log.append((handler.path, wanted, handler.headers.get("If-Range")))
        body = self.files.get(path)
        if path in self.moved or body is None:
            handler.send_response(302 if path in self.moved else 404)
            handler.send_header("Location", self.moved.get(path, ""))
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        etag, begin = f'"{hashlib.md5(body).hexdigest()}"', 0
        if wanted and self.ranges and handler.headers.get("If-Range") in (None, etag):
            begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
        handler.send_response(206 if begin else 200)
        headers = {"Content-Length": str(len(body) - begin)}
        headers |= {"ETag": etag} if self.validator else {}
        headers |= {"Content-Range": f"bytes {begin}-{len(body) - 1}/{len(body)}"} if begin else {}
        for name, value in (headers | self.headers).items():
            if value is not None:
                handler.send_header(name, value)
        handler.end_headers()
        end = begin + self.cuts.pop(0) if self.cuts else len(body)
        for start in range(begin, min(end, len(body)), 1 << 16):
            piece = body[start : min(start + (1 << 16), end)]
            time.sleep(self.pause_s)
            handler.wfile.write(piece)
            self.sent += len(piece)
        handler.close_connection = end < len(body) or self.headers.get("Content-Length", "") is None


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def body() -> bytes:
    return noise(300_001)


@pytest.fixture
def server(body):
    with Server({"/a.bin": body}) as running:
        yield running


def refused(call, *words: str) -> FetchError:
    """The error of a call, which must be one sentence or two and hold these words."""
    with pytest.raises(FetchError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 700
    assert all(word in text for word in words), text
    return caught.value


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------- every fault of the torture server


def load_faults():
    path = ROOT.parent / "shared" / "torture" / "fault_server.py"
    if not path.is_file():
        return None
    import importlib.util

    spec = importlib.util.spec_from_file_location("fault_server", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


FAULTS = load_faults()
CASES = FAULTS.CASES if FAULTS else {"absent": ("", "")}
ONE_REQUEST = {"403", "404", "410", "407", "429day", "badlength", "html200", "empty200", "tofile", "toftp"}
ONE_REQUEST |= {"endless", "gzbomb"}
WORDS = {
    "403": "403", "404": "404", "407": "407", "410": "410", "429day": "asks to come back after", "500": "500",
    "badlength": "'-5' as its length", "badstatus": "not HTTP", "bighead": "head is too long", "corrupt": "SHA-256",
    "cut": "ended early", "empty200": "empty file", "endless": "more than 1 MB", "gzbomb": "more than 1 MB",
    "html200": "web page", "longer": "SHA-256", "loop": "redirections", "loop2": "redirections", "reset": "reset",
    "shorter": "ended early", "stallhead": "no answer within", "todown": "nobody answers", "tofile": "no web address",
    "toftp": "no web address", "tologin": "web page",
}  # fmt: skip
# Half of what is left, then silence: who continues gets the other half, and needs no more than two requests.
SOLVED_BY_CONTINUING = {"stall"}
# Bytes that a reader has already been given cannot be taken back.
TOO_LATE_FOR_A_STREAM = {"corruptonce", "etagchange"}


@pytest.fixture(scope="module")
def faults():
    if FAULTS is None:
        pytest.skip("needs the fault server of ../shared, which is not part of this repository")
    with FAULTS.FaultServer(size=60_000) as running:
        yield running


@pytest.mark.shared
def test_the_torture_server_has_the_cases_we_know():
    if FAULTS is None:
        pytest.skip("needs the fault server of ../shared, which is not part of this repository")
    refusals = {name for name, (outcome, _) in CASES.items() if outcome == FAULTS.REFUSE}
    assert len(CASES) == 48
    assert refusals == set(WORDS) | SOLVED_BY_CONTINUING


@pytest.mark.shared
@pytest.mark.parametrize("case", CASES)
def test_every_http_fault_ends_with_the_right_file_or_one_sentence(case, faults, tmp_path):
    faults.reset()
    folder = tmp_path / "inside"
    target, url = folder / "file.bin", f"{faults.url}/{case}/file.bin"
    patience = dataclasses.replace(HASTY, read_s=10) if case == "gzbomb" else HASTY  # it is packed when it is asked for
    limits = {"sha256": faults.sha256, "patience": patience, "most_bytes": 1_000_000}
    outcome = CASES[case][0]
    if outcome == FAULTS.REFUSE and case not in SOLVED_BY_CONTINUING:
        refused(lambda: download(url, target, **limits), WORDS[case])
        assert not target.exists()
        assert set(names(folder)) <= {"file.bin.part", "file.bin.part.json", "file.bin.part.lock"}
        assert len(faults.log) == 1 if case in ONE_REQUEST else len(faults.log) <= 11
    else:
        found = download(url, target, **limits)
        assert target.read_bytes() == faults.body
        assert (found.num_bytes, found.sha256) == (len(faults.body), faults.sha256)
        assert names(folder) == ["file.bin"]
        assert len(faults.log) <= 3
        assert (len(faults.log) > 1) == (outcome == FAULTS.RETRY_OK or case in {"redirect", "stall"})
    assert names(tmp_path) == ["inside"]


@pytest.mark.shared
@pytest.mark.parametrize("case", CASES)
def test_every_http_fault_of_a_stream_gives_the_right_bytes_or_one_sentence(case, faults):
    faults.reset()

    def read() -> bytes:
        limits = {"sha256": faults.sha256, "patience": HASTY, "most_bytes": 1_000_000}
        with open_stream(f"{faults.url}/{case}/file.bin", **limits) as file:
            return b"".join(iter(lambda: file.read(7000), b""))

    if case in TOO_LATE_FOR_A_STREAM or (CASES[case][0] == FAULTS.REFUSE and case not in SOLVED_BY_CONTINUING):
        refused(read)
        assert len(faults.log) <= 11
    else:
        assert read() == faults.body
        assert len(faults.log) <= 3


@pytest.mark.shared
@pytest.mark.parametrize("case", ["longer", "shorter"])
def test_a_size_that_is_known_refuses_before_the_body(case, faults, tmp_path):
    faults.reset()
    size = len(faults.body)
    refused(lambda: download(f"{faults.url}/{case}/x", tmp_path / "x", size=size, patience=HASTY), f"expected {size}")
    assert len(faults.log) == 1
    assert names(tmp_path) == []


# ---------------------------------------------------------------- a part is continued, or not


def break_off(server, target: Path, after: int) -> None:
    """Leave a part of ``after`` bytes, as a killed download does."""
    server.cuts = [after]
    refused(lambda: download(f"{server.url}/a.bin", target, patience=Patience(tries=1)), "ended")
    assert target.with_name(target.name + ".part").stat().st_size == after
    server.log.clear()


def test_an_interrupted_download_continues_where_it_stopped(server, body, tmp_path):
    target = tmp_path / "a.bin"
    break_off(server, target, 123_457)
    found = download(f"{server.url}/a.bin", target)
    assert target.read_bytes() == body
    assert (found.resumed_from, found.transferred) == (123_457, len(body) - 123_457)
    assert found.sha256 == sha256(body)
    assert found.etag == server.log[0][2] != ""
    assert server.log[0][1] == "bytes=123457-"
    assert names(tmp_path) == ["a.bin"]


def test_a_part_without_a_validator_starts_again(server, body, tmp_path):
    server.validator = False
    break_off(server, tmp_path / "a.bin", 1000)
    assert download(f"{server.url}/a.bin", tmp_path / "a.bin").transferred == len(body)
    assert server.log == [("/a.bin", None, None)]
    assert (tmp_path / "a.bin").read_bytes() == body


def test_a_file_that_changed_on_the_server_is_never_mixed(server, tmp_path):
    break_off(server, tmp_path / "a.bin", 200_000)
    server.files["/a.bin"] = changed = noise(250_000, seed=1)
    download(f"{server.url}/a.bin", tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == changed


@pytest.mark.parametrize(
    "given", ["bytes 0-300000/300001", "bytes 200000-250000/300001", "bytes 200000-300000/*", "", "x"]
)
def test_another_range_than_asked_for_is_not_appended(given, server, body, tmp_path):
    break_off(server, tmp_path / "a.bin", 200_000)
    server.headers = {"Content-Range": given}
    download(f"{server.url}/a.bin", tmp_path / "a.bin", patience=HASTY)
    assert (tmp_path / "a.bin").read_bytes() == body
    assert [wanted for _, wanted, _ in server.log] == ["bytes=200000-", None]


def test_another_length_than_the_range_is_not_appended(server, tmp_path):
    break_off(server, tmp_path / "a.bin", 200_000)
    server.headers, server.cuts = {"Content-Length": "50000"}, [50_000]
    refused(lambda: download(f"{server.url}/a.bin", tmp_path / "a.bin", patience=Patience(tries=1)), "another range")
    assert names(tmp_path) == []
    assert server.log[0][1] == "bytes=200000-"


def test_a_part_of_another_address_is_not_continued(server, tmp_path):
    break_off(server, tmp_path / "a.bin", 200_000)
    server.files["/b.bin"] = other = noise(300_001, seed=2)
    download(f"{server.url}/b.bin", tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == other
    assert server.log == [("/b.bin", None, None)]


@pytest.mark.parametrize("notes", ["", "[1]", "{", '{"url": 3}', '{"url": "x", "validator": null}', "[" * 100_000])
def test_a_part_with_unusable_notes_starts_again(notes, server, body, tmp_path):
    break_off(server, tmp_path / "a.bin", 200_000)
    (tmp_path / "a.bin.part.json").write_text(notes)
    download(f"{server.url}/a.bin", tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == body


def test_a_part_that_was_whole_needs_no_request(server, body, tmp_path):
    break_off(server, tmp_path / "a.bin", 200_000)
    (tmp_path / "a.bin.part").write_bytes(body)  # killed between the last byte and the renaming
    assert download(f"{server.url}/a.bin", tmp_path / "a.bin", sha256=sha256(body)).transferred == 0
    assert server.log == []


def test_a_part_with_other_bytes_is_found_by_the_hash_and_fetched_anew(server, body, tmp_path):
    break_off(server, tmp_path / "a.bin", 200_000)
    (tmp_path / "a.bin.part").write_bytes(bytes(200_000))
    found = download(f"{server.url}/a.bin", tmp_path / "a.bin", sha256=sha256(body), patience=HASTY)
    assert (tmp_path / "a.bin").read_bytes() == body
    assert len(server.log) == 2
    assert found.sha256 == sha256(body)


def test_a_part_that_another_program_writes_to_is_refused(server, tmp_path):
    def interfere(done, total):
        with open(tmp_path / "a.bin.part", "ab") as file:
            file.write(b"x")

    refused(lambda: download(f"{server.url}/a.bin", tmp_path / "a.bin", progress=interfere), "another program")
    assert not (tmp_path / "a.bin").exists()


def test_many_cuts_with_progress_between_them_are_no_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WORTH_IT", 50_000)
    body = noise(1_000_000)
    with Server({"/a.bin": body}) as server:
        server.cuts = [60_000] * 12
        found = download(f"{server.url}/a.bin", tmp_path / "a", sha256=sha256(body), patience=HASTY)
        assert len(server.log) == 13 > HASTY.tries
    assert found.transferred == len(body)


@pytest.mark.slow
def test_twenty_kills_change_nothing_and_cost_little(tmp_path):
    body = noise(12_000_000)
    code = "import sys; from vidbench.data.download import download; download(sys.argv[1], sys.argv[2])"
    with Server({"/a.bin": body}) as server:
        server.pause_s = 0.02
        command = [sys.executable, "-c", code, f"{server.url}/a.bin", str(tmp_path / "a.bin")]
        generator, kills = random.Random(4), 0
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        while kills < 20 and not (tmp_path / "a.bin").exists():
            process = subprocess.Popen(command, env=environment)
            deadline = time.monotonic() + 60
            sent = server.sent
            while server.sent == sent and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(generator.uniform(0, 0.12))
            process.send_signal(signal.SIGKILL)
            process.wait(60)
            kills += 1
        assert kills == 20, "the download was over before it was killed 20 times"
        subprocess.run(command, env=environment, check=True, timeout=120)
        assert (tmp_path / "a.bin").read_bytes() == body
        assert names(tmp_path) == ["a.bin"]
        assert server.sent <= 1.2 * len(body)


# ---------------------------------------------------------------- what is there already, hashes, sizes


def test_a_file_that_is_there_is_not_asked_for(server, body, tmp_path):
    (tmp_path / "a.bin").write_bytes(body)
    found = download(f"{server.url}/a.bin", tmp_path / "a.bin", sha256=sha256(body).upper(), size=len(body))
    assert (found.num_bytes, found.sha256, found.transferred) == (len(body), sha256(body), 0)
    assert server.log == []


def test_a_file_that_is_there_and_wrong_is_replaced_only_by_the_right_one(server, body, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"old")
    server.files["/bad.bin"] = noise(5, seed=9)
    refused(
        lambda: download(f"{server.url}/bad.bin", tmp_path / "a.bin", sha256=sha256(body), patience=HASTY), "SHA-256"
    )
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    download(f"{server.url}/a.bin", tmp_path / "a.bin", sha256=sha256(body))
    assert (tmp_path / "a.bin").read_bytes() == body


def test_a_folder_at_the_target_is_left_alone(server, tmp_path):
    (tmp_path / "a.bin" / "mine").mkdir(parents=True)
    assert refused(lambda: download(f"{server.url}/a.bin", tmp_path / "a.bin"), "not a file").spoils == "file"
    assert (tmp_path / "a.bin" / "mine").is_dir()


def test_an_answer_without_a_length_needs_a_size_or_hash(server, body, tmp_path):
    server.headers = {"Content-Length": None}
    refused(lambda: download(f"{server.url}/a.bin", tmp_path / "a"), "does not tell its length")
    download(f"{server.url}/a.bin", tmp_path / "a", sha256=sha256(body))
    download(f"{server.url}/a.bin", tmp_path / "b", size=len(body))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == body


def test_a_size_over_the_limit_is_refused_before_the_body(tmp_path):
    large = bytes(40_000_000)  # more than sockets hold on the way
    with Server({"/a.bin": large}) as server:
        refused(lambda: download(f"{server.url}/a.bin", tmp_path / "a", most_bytes=300_000), "more than 300 kB")
    assert server.sent < len(large)
    assert names(tmp_path) == []


def test_a_hash_that_is_none_is_a_mistake_of_the_caller(tmp_path):
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        download("http://127.0.0.1:9/x", tmp_path / "x", sha256="abc")


def test_an_empty_file_is_right_where_it_must_be_empty(tmp_path):
    with Server({"/empty": b""}) as server:
        refused(lambda: download(f"{server.url}/empty", tmp_path / "a"), "empty")
        assert download(f"{server.url}/empty", tmp_path / "b", size=0).num_bytes == 0
    assert names(tmp_path) == ["b"]


# ---------------------------------------------------------------- addresses


def test_mirrors_are_tried_in_order(server, body, tmp_path):
    mirrors = [f"{server.url}/also-missing", f"{server.url}/a.bin"]
    found = download(f"{server.url}/missing", tmp_path / "a", mirrors=mirrors)
    assert [path for path, *_ in server.log] == ["/missing", "/also-missing", "/a.bin"]
    assert found.url == mirrors[1]
    problem = refused(lambda: download(f"{server.url}/x", tmp_path / "b", mirrors=mirrors[:1]), "/x ", "/also-missing ")
    assert problem.http_status == 404


@pytest.mark.parametrize(
    "url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "http://", "x", "", "http://[::1", "http:///x"]
)
def test_only_web_addresses_are_asked(url, tmp_path):
    refused(lambda: download(url, tmp_path / "x"), "not an http or https address")
    refused(lambda: open_stream("http://127.0.0.1:9/x", mirrors=[url]), "not an http or https address")
    assert names(tmp_path) == []


def test_blanks_in_an_address_are_quoted_and_quotes_kept(tmp_path):
    with Server({"/part%201/b%26c%20d.tgz": b"hello"}) as server:
        download(f"{server.url}/part 1/b%26c%20d.tgz", tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == b"hello"
    assert checked_url("http://h/%7Ea?b=c d&e=%20#f") == "http://h/%7Ea?b=c%20d&e=%20"


def test_messages_keep_passwords_and_tokens_to_themselves(server, tmp_path):
    url = server.url.replace("//", "//me:secret1@") + "/missing?token=secret2"
    text = str(refused(lambda: download(url, tmp_path / "a"), "404"))
    assert "secret" not in text


def test_notes_beside_a_part_hold_no_password_and_continue_all_the_same(server, body, tmp_path):
    server.cuts = [123_457]
    url = server.url.replace("//", "//me:secret@") + "/a.bin"
    refused(lambda: download(url, tmp_path / "a.bin", patience=Patience(tries=1)), "ended")
    assert "secret" not in (tmp_path / "a.bin.part.json").read_text()
    assert download(url, tmp_path / "a.bin").resumed_from == 123_457


def test_retry_after_is_a_number_or_a_date():
    assert retry_after(" 7 ") == 7
    in_a_minute = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 60))
    assert 55 < retry_after(in_a_minute) <= 60
    for text in ("", "-3", "1.5", "soon", "9" * 5000, "Mon, 99 Foo 2026", "٣"):
        assert retry_after(text) == 0


# ---------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A key and certificate for 127.0.0.1 that nobody has signed."""
    if not shutil.which("openssl"):
        pytest.skip("needs the program openssl to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    command = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=vidbench-test -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(["openssl", *command.split(), *files], check=True, capture_output=True, timeout=60)
    (folder / "both.pem").write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return folder


def test_a_certificate_nobody_signed_is_trusted_only_when_given(certificate, body, tmp_path, monkeypatch):
    with Server({"/a.bin": body}, certificate=certificate / "both.pem") as server:
        refused(lambda: download(f"{server.url}/a.bin", tmp_path / "a"), "cannot be verified", "--ca-bundle")
        assert server.log == []
        download(f"{server.url}/a.bin", tmp_path / "a", ca_bundle=certificate / "cert.pem")
        assert (tmp_path / "a").read_bytes() == body
        with open_stream(f"{server.url}/a.bin", ca_bundle=certificate / "cert.pem") as file:
            assert file.read(10) == body[:10]
        elsewhere = server.url.replace("127.0.0.1", "localhost")  # not the name in the certificate
        refused(lambda: download(f"{elsewhere}/a.bin", tmp_path / "b", ca_bundle=certificate / "cert.pem"), "verified")


def test_a_bundle_adds_to_the_usual_authorities(certificate):
    session = module.Link(certificate / "cert.pem", Patience(), None).session
    manager = session.get_adapter("https://example.org/").poolmanager
    context = manager.connection_pool_kw["ssl_context"]
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert session.verify is True  # requests loads its own authorities as well


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bundle_that_is_none_is_refused(content, tmp_path, server):
    path = tmp_path / "bundle.pem"
    if content:
        path.write_text(content)
    problem = refused(lambda: download(f"{server.url}/a.bin", tmp_path / "a", ca_bundle=path), "not a PEM file")
    assert problem.spoils == "all"


def test_https_never_leads_to_http(certificate, server, tmp_path):
    with Server({}, certificate=certificate / "both.pem") as safe:
        safe.moved = {"/a.bin": f"{server.url}/a.bin"}
        ask = lambda: download(f"{safe.url}/a.bin", tmp_path / "a", ca_bundle=certificate / "cert.pem")  # noqa: E731
        refused(ask, "not encrypted")
    assert server.log == []


# ---------------------------------------------------------------- time, disk, others


def test_a_trickle_counts_as_silence(tmp_path):
    with Server({"/a.bin": noise(3_000_000)}) as server:
        server.pause_s = 0.2
        patience = Patience(tries=2, read_s=5, wait_s=0.01, slow_s=0.3, slow_rate=10_000_000)
        refused(lambda: download(f"{server.url}/a.bin", tmp_path / "a", patience=patience), "bytes a second", "2 tries")
        assert len(server.log) == 2


def test_a_disk_without_room_is_said_before_the_body(server, body, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=module.RESERVE + len(body) - 1))
    problem = refused(lambda: download(f"{server.url}/a.bin", tmp_path / "a"), "needs 300 kB more", "make room")
    assert problem.spoils == "all"
    assert names(tmp_path) == []
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=module.RESERVE + len(body)))
    download(f"{server.url}/a.bin", tmp_path / "a")


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on file sizes")
def test_a_write_that_fails_is_one_sentence_and_the_part_is_continued(server, body, tmp_path):
    code = (
        "import resource, sys\n"
        "from vidbench.data.download import download\n"
        "from vidbench.records import FetchError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)\n"
        "try:\n"
        "    download(sys.argv[1], sys.argv[2])\n"
        "except FetchError as problem:\n"
        "    print(problem.spoils, problem)\n"
    )
    command = [sys.executable, "-c", code, f"{server.url}/a.bin", str(tmp_path / "a"), "100000"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60
    )
    assert "cannot be written" in done.stdout, done.stderr
    assert done.stdout.startswith("file ")
    assert len(server.log) == 1
    download(f"{server.url}/a.bin", tmp_path / "a", sha256=sha256(body))
    assert (tmp_path / "a").read_bytes() == body


def test_two_downloads_of_one_file_do_not_meet(server, body, tmp_path):
    server.pause_s, outcomes = 0.1, []

    def fetch():
        try:
            outcomes.append(download(f"{server.url}/a.bin", tmp_path / "a").sha256)
        except FetchError as problem:
            outcomes.append(str(problem))

    threads = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(text == sha256(body) or "by another process" in text for text in outcomes) == [True, True]
    assert sha256(body) in outcomes
    assert names(tmp_path) == ["a"]


def test_a_stopped_download_keeps_its_part(server, tmp_path):
    stop = threading.Event()
    server.pause_s = 0.01
    progress = lambda done, total: stop.set()  # noqa: E731
    refused(lambda: download(f"{server.url}/a.bin", tmp_path / "a", stop=stop, progress=progress), "stopped", "kept")
    assert 0 < (tmp_path / "a.part").stat().st_size < 300_001


# ---------------------------------------------------------------- reading without storing


def test_a_stream_is_taken_up_where_it_broke(server, body):
    server.cuts = [100_000, 50_000]
    with open_stream(f"{server.url}/a.bin", patience=HASTY) as file:
        assert file.read(10) == body[:10]
        assert file.tell() == 10
        assert body[:10] + file.read() == body
        assert (file.num_bytes, file.transferred, file.total) == (len(body), len(body), len(body))
        assert file.sha256 == sha256(body)
    assert [wanted for _, wanted, _ in server.log] == [None, "bytes=100000-", "bytes=150000-"]


def test_a_stream_without_ranges_reads_the_beginning_again_and_compares(server, body):
    server.ranges, server.cuts = False, [100_000]
    with open_stream(f"{server.url}/a.bin", patience=HASTY) as file:
        assert file.readall() == body
        assert file.transferred == len(body) + 100_000


def test_a_stream_that_changed_under_way_is_refused(server):
    server.cuts = [100_000]
    with open_stream(f"{server.url}/a.bin", patience=HASTY) as file:
        file.read(1000)
        server.files["/a.bin"] = noise(300_001, seed=5)
        refused(file.readall, "changed while it was being read")


def test_a_mirror_takes_over_in_the_middle_of_a_stream(server, body):
    server.files["/b.bin"] = body
    server.cuts = [100_000]
    with open_stream(f"{server.url}/a.bin", mirrors=[f"{server.url}/b.bin"], patience=Patience(tries=1)) as file:
        first = file.read(1000)
        del server.files["/a.bin"]
        assert first + file.read() == body
        assert file.url.endswith("/b.bin")


def test_a_stream_of_the_wrong_file_fails_at_its_end_at_the_latest(server, body):
    with open_stream(f"{server.url}/a.bin", sha256=sha256(b"other")) as file:
        refused(file.readall, "SHA-256")
    refused(lambda: open_stream(f"{server.url}/a.bin", size=7), "expected 7")
    refused(lambda: open_stream(f"{server.url}/gone"), "404")


def test_a_closed_stream_asks_for_no_more(tmp_path):
    with Server({"/a.bin": noise(30_000_000)}) as server:
        server.pause_s = 0.002
        with open_stream(f"{server.url}/a.bin") as file:
            file.read(1000)
        time.sleep(0.3)
        assert server.sent < 20_000_000
        with pytest.raises(ValueError, match="closed"):
            file.read(1)


def test_a_tar_is_read_from_a_connection_that_keeps_breaking():
    files = {f"val/clip {n}.mp4": noise(40_000 + n, n) for n in range(20)}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    with Server({"/part 0.tar.gz".replace(" ", "%20"): buffer.getvalue()}) as server:
        server.cuts = [1, 99_999, 300_000, 1000]
        patience = Patience(tries=6, wait_s=0.01)
        with open_stream(f"{server.url}/part 0.tar.gz", patience=patience) as file:
            read = {member.name: member.read() for member in stream_members(file)}
            assert file.sha256 == sha256(buffer.getvalue())
    assert read == files


def test_nothing_is_asked_of_the_network_by_importing():
    code = "import socket; socket.socket = None; import vidbench.data.download, vidbench.data.archives"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60)


def test_a_port_where_nobody_listens_is_one_sentence(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x"
        refused(lambda: download(url, tmp_path / "x", patience=HASTY), "nobody answers there", "3 tries")


def test_notes_tell_version_and_address(server, tmp_path):
    break_off(server, tmp_path / "a.bin", 5000)
    notes = json.loads((tmp_path / "a.bin.part.json").read_text())
    assert notes["url"] == f"{server.url}/a.bin"
    assert notes["total"] == 300_001
    assert notes["validator"] == notes["etag"] != ""
