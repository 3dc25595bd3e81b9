"""Runs and videos over HTTP, to a browser on this machine: what is asked for, what is answered, and nothing else.

What a browser asks for is looked up among the names that are there; no text of a request becomes a path. Nothing can
be changed from outside.
"""

from __future__ import annotations

import contextlib
import http.server
import logging
import os
import re
import threading
import webbrowser
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

from vidbench.browse import FILES, MOST_COMPARED, Results, compare_page, list_page, message_page
from vidbench.browse_answers import SHOWS, Answers
from vidbench.browse_data import Choice, Videos, class_page, classes_page, video_page
from vidbench.endings import Terminated
from vidbench.page.fill import script_source
from vidbench.records import ConfigError, UnreadableVideo
from vidbench.utils import printable

HOST = "127.0.0.1"
PIECE = 1 << 20  # bytes of a file that are read and sent at once
POLICY = (
    f"default-src 'none'; style-src 'unsafe-inline'; script-src {script_source()}; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'self'; img-src data:"
)
OWN_PICTURES, OWN_VIDEOS = f"{POLICY} 'self'", f"{POLICY}; media-src 'self'"  # of the pages that fetch such from here
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

log = logging.getLogger(__name__)


def serve(
    results: str | os.PathLike,
    port: int,
    *,
    videos: Videos | None = None,
    open_browser: bool = False,
    choose: str = "choose another with --port",
    tell: Callable[[str], object] = print,
) -> None:
    """Serve a results folder, and the videos of a dataset, until Ctrl-C.

    Args:
        results: the folder that holds the run folders; it may come into being later.
        port: 0 takes a free one.
        videos: of a dataset, or ``None``.
        open_browser: whether to open the address in the user's browser.
        choose: how another port is chosen, for the sentence about one that cannot be used.
        tell: takes a line about where the pages are, and one at the end.

    Raises:
        ConfigError: the port cannot be used.
        Terminated: by SIGTERM, where the program listens to it.
    """
    try:
        server = Server(results, port, videos=videos)
    except OSError as problem:
        raise ConfigError(
            f"port {port} cannot be used ({problem.strerror}): stop what runs there, or {choose}"
        ) from None
    with server:
        try:
            folder = printable(results)
            what = f"Videos of {videos.name}, and runs in {folder}," if videos else f"Runs in {folder}"
            tell(f"{what} are shown at {server.url} until this is stopped.")
            if open_browser:
                threading.Thread(target=_open, args=(server.url, tell), daemon=True).start()
            server.serve_forever()
        except Terminated:
            raise
        except KeyboardInterrupt:
            tell("Stopped.")
        finally:
            server.ended = True


def _open(url: str, tell: Callable[[str], object]) -> None:
    """Beside the server: a browser in the terminal keeps its caller until it is left."""
    if not webbrowser.open(url):
        tell("There is no browser to open here: open the address yourself.")


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers ``/``, ``/compare?run=A&run=B`` (names quoted twice) and ``/runs/NAME/FILE``, and nothing else.

    With videos also ``/data``, ``/class?n=3&page=2`` and ``/video?n=17``, each with ``run=A&show=wrong`` too, and what
    they hold: ``/picture?n=3`` and ``/play?n=17``.
    """

    server_version, sys_version = "vidbench", ""
    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds that a client may be silent
    server: Server
    policy = POLICY

    def do_GET(self) -> None:
        """Answer a request; whatever goes wrong is logged, and the reader gets a page that says so."""
        self.policy = POLICY
        try:
            self.answer()
        except ConnectionError:
            self.close_connection = True  # the reader went away
        except Exception:
            if self.server.ended:
                return
            log.exception("a page could not be made")
            self.close_connection = True
            page = message_page("Not shown", "This page could not be made; the log says why.")
            self.send_page(HTTPStatus.INTERNAL_SERVER_ERROR, page)

    do_HEAD = do_GET

    def answer(self) -> None:
        """Send what the address names, as the class says; else 404, or 403 to pages of others."""
        if is_foreign(self.headers.get("Host", ""), self.server.server_port):
            text = f"This address is not one of this machine. Open {self.server.url} instead."
            return self.send_page(HTTPStatus.FORBIDDEN, message_page("Not shown", text))
        try:
            address = urlsplit(self.path)
        except ValueError:
            return self.not_found("There is no such page.")
        parts = [name_of(part) for part in address.path.split("/")[1:]]
        if parts == [""]:
            videos = self.server.videos
            self.send_page(HTTPStatus.OK, list_page(self.server.results, videos.name if videos else ""))
        elif parts == ["compare"]:
            self.compare(address.query)
        elif len(parts) == 3 and parts[0] == "runs" and parts[2] in FILES:
            self.send_file(parts[1], parts[2])
        elif parts == ["favicon.ico"]:  # every browser asks for one
            self.send_response(HTTPStatus.NO_CONTENT)
            self.end_headers()
        elif self.server.videos is None or not self.show(self.server.videos, parts, dict(fields_of(address.query))):
            self.not_found("There is no such page.")
        return None

    def show(self, videos: Videos, parts: list[str], asked: dict[str, str]) -> bool:
        """Send a page of the videos, or a video; false where there is no such page."""
        n, choice = number_below(len(videos.records), asked.get("n")), None
        if parts in (["data"], ["class"], ["video"]):
            choice = self.choice(asked)
        if parts == ["data"] and choice:
            self.policy = OWN_PICTURES
            self.send_page(HTTPStatus.OK, classes_page(videos, choice))
        elif parts == ["class"] and choice and n is not None and n < len(videos.classes):
            number = number_below(len(videos.records) + 1, asked.get("page", "1"))
            page = class_page(videos, n, number or 0, choice)
            if page is None:
                return False
            self.send_page(HTTPStatus.OK, page)
        elif parts == ["video"] and choice and n is not None:
            self.policy = OWN_VIDEOS
            self.send_page(HTTPStatus.OK, video_page(videos, n, choice))
        elif parts == ["picture"] and n is not None and n < len(videos.classes):
            self.send_bytes(videos.picture(n), "image/jpeg")
        elif parts == ["play"] and n is not None:
            self.send_video(videos, n)
        else:
            return False
        return True

    def choice(self, asked: dict[str, str]) -> Choice | None:
        """Whose answers ``run=`` names (quoted twice), the newest run's by default; ``None`` where it is not there."""
        runs = self.server.answers.runs() if self.server.answers else []
        show, name = asked.get("show", "all"), name_of(asked["run"]) if "run" in asked else None
        found = [answered for answered in runs if name in (None, answered.run.name)]
        if show not in SHOWS or (name is not None and not found):
            return None
        return Choice(runs, found[0] if found else None, show)

    def send_video(self, videos: Videos, place: int) -> None:
        """Send a video as browsers play it; 404 where it cannot be played."""
        try:
            video = videos.player(place)
        except (UnreadableVideo, ConfigError):
            return self.not_found("This video cannot be played; its page says why.")
        return self.send_bytes(video.data, video.mime)

    def send_bytes(self, data: bytes, kind: str) -> None:
        """Send a picture or video, or the part of it that is asked for; status 204 where there is nothing."""
        size = len(data)
        part = part_of(self.headers.get("Range", ""), size)
        sent = range(size) if part is None else part
        if not data:
            self.send_response(HTTPStatus.NO_CONTENT)
            return self.end_headers()
        if not sent:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{size}")
        else:
            self.send_response(HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT)
            self.send_header("Content-Type", kind)
            self.send_header("Accept-Ranges", "bytes")
            if part is not None:
                self.send_header("Content-Range", f"bytes {sent.start}-{sent.stop - 1}/{size}")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(memoryview(data)[sent.start : sent.stop])
        return None

    def compare(self, query: str) -> None:
        """Send the runs that ``run=`` names side by side: two to ``MOST_COMPARED``, else 400; 404 where one is gone."""
        asked = dict.fromkeys(name_of(value) for key, value in fields_of(query) if key == "run")
        runs = [self.server.results.run(name) for name in asked]
        if None in runs:
            return self.not_found("One of these runs is not there any more.")
        readable = [run for run in runs if run and run.metrics]
        if not 2 <= len(readable) <= MOST_COMPARED or len(readable) < len(runs):
            text = f"Tick two to {MOST_COMPARED} runs in the list; each must have figures."
            return self.send_page(HTTPStatus.BAD_REQUEST, message_page("Nothing to compare", text))
        return self.send_page(HTTPStatus.OK, compare_page(readable))

    def not_found(self, text: str) -> None:
        """Send a page of status 404 with this sentence."""
        self.send_page(HTTPStatus.NOT_FOUND, message_page("Not found", text))

    def send_page(self, status: HTTPStatus, page: str) -> None:
        """Send HTML as UTF-8, its length first; only headers where they alone were asked for (HEAD)."""
        body = page.encode("utf-8", "backslashreplace")
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_file(self, name: str, file: str) -> None:
        """Send a file of a run as it is now, piece by piece; 404 where the run has none. CSV is offered for saving."""
        opened = self.server.results.open(name, file)
        if opened is None:
            return self.not_found("This run has no such file (yet).")
        with opened:
            size = os.fstat(opened.fileno()).st_size
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", FILES[file])
            self.send_header("Content-Length", str(size))
            if file.endswith(".csv"):
                self.send_header("Content-Disposition", f'attachment; filename="{file}"')
            self.end_headers()
            if self.command != "HEAD":
                while size and (data := opened.read(min(size, PIECE))):  # it may be growing
                    self.wfile.write(data)
                    size -= len(data)
        return None

    def end_headers(self) -> None:
        for name, value in {"Content-Security-Policy": self.policy, **HEADERS}.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args) -> None:
        log.debug("%s %s", self.address_string(), printable(format % args))  # the platform asks every few seconds


def name_of(quoted: str) -> str:
    """A file's name from ``ShownRun.url``."""
    return os.fsdecode(unquote_to_bytes(quoted))


def fields_of(query: str) -> list[tuple[str, str]]:
    """Names and values of a query; none where it is not one."""
    with contextlib.suppress(ValueError):
        return parse_qsl(query, errors="surrogateescape", max_num_fields=50)
    return []


def is_foreign(host: str, port: int) -> bool:
    """Whether a ``Host`` header shows that a page of elsewhere asks, whose name was turned to this machine meanwhile.

    A browser lets such a page read what it gets only where the port is its own: the header is a name of the internet
    with this very port. A proxy before this server has a port of its own, and passes.

    >>> [is_foreign(host, 8090) for host in ("news.example.org:8090", "hub.example.org", "127.0.0.1:8090")]
    [True, False, False]
    """
    name, _, number = host.strip().lower().rpartition(":")
    here = re.fullmatch(r"[0-9.]+|\[[0-9a-f:.]*\]|(.*\.)?localhost", name)
    return number == str(port) and "." in name and not here


def number_below(end: int, text: str | None) -> int | None:
    """A whole number from 0 as it stands in an address; ``None`` where it is none, or not below ``end``.

    >>> number_below(12, "11"), number_below(12, "12"), number_below(12, "../1"), number_below(12, None)
    (11, None, None, None)
    """
    if text is None or not re.fullmatch("[0-9]{1,9}", text) or int(text) >= end:
        return None
    return int(text)


def part_of(header: str, size: int) -> range | None:
    """The bytes that a ``Range`` header asks for; an empty range where there are none, ``None`` for the whole file.

    One part in bytes is understood; what else there is may be answered with the whole file (RFC 9110, section 14.2).

    >>> part_of("bytes=2-5", 10), part_of("bytes=7-", 10), part_of("bytes=-3", 10), part_of("bytes=10-", 10)
    (range(2, 6), range(7, 10), range(7, 10), range(10, 10))
    >>> part_of("", 10), part_of("bytes=0-1,4-5", 10), part_of("bytes=5-2", 10)
    (None, None, None)
    """
    match = re.fullmatch(r"bytes=([0-9]{0,12})-([0-9]{0,12})", header.strip())
    if not match or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None
    return range(min(int(first), size), min(int(last) + 1 if last else size, size))


class Server(http.server.ThreadingHTTPServer):
    """A server for one results folder; ``server_address`` tells its port where 0 was asked for.

    Args:
        results: the folder that holds the run folders.
        port: 0 takes a free one.
        videos: of a dataset, or ``None``.
        host: 127.0.0.1 reaches this machine only.

    Raises:
        OSError: the port is taken or not allowed.
    """

    daemon_threads = True

    def __init__(self, results: str | os.PathLike, port: int, *, videos: Videos | None = None, host: str = HOST):
        self.results, self.videos, self.ended = Results(results), videos, False
        about = (videos.records, videos.dataset, videos.strips.root if videos.own else None) if videos else None
        self.answers = Answers(self.results, *about) if about else None
        super().__init__((host, port), Handler)

    @property
    def url(self) -> str:
        """The address of the first page: that of the videos, where there are any."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}/{'data' if self.videos else ''}"

    def handle_error(self, request, client_address) -> None:
        log.debug("a connection of %s ended early", client_address, exc_info=True)
