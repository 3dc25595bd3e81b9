"""Asks an http or https address for a file, from any byte on, and judges the answer before and while it is read.

Nothing here switches off the verification of TLS, and nothing follows an address that is not http or https.
"""

from __future__ import annotations

import email.utils
import os
import re
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass

from vidbench.records import FetchError
from vidbench.utils import printable

PIECE = 1 << 20  # bytes asked of the connection at a time
MOST_REDIRECTS = 10
PASSING = {408, 425, 429, 500, 502, 503, 504}  # answers that another try may mend


@dataclass(frozen=True)
class Patience:
    """How long to wait and how often to try.

    Args:
        tries: failures in a row, without progress worth naming, after which an address is given up.
        connect_s: seconds to wait for a connection.
        read_s: seconds that a server may be silent.
        wait_s: seconds before the second try; twice as many before each later one.
        most_wait_s: seconds that one such wait may last; a server that asks for more (``Retry-After``) is given up.
        slow_s: seconds over which the rate is measured.
        slow_rate: bytes a second; less than that over ``slow_s`` counts as a failure.
    """

    tries: int = 5
    connect_s: float = 10
    read_s: float = 30
    wait_s: float = 1
    most_wait_s: float = 60
    slow_s: float = 60
    slow_rate: float = 1000


@dataclass(frozen=True)
class Goal:
    """What a file must be.

    Args:
        sha256: hexadecimal digits, or ``None`` where not known.
        size: bytes, or ``None`` where not known.
        most_bytes: a larger file is refused.
    """

    sha256: str | None
    size: int | None
    most_bytes: int

    def mismatch(self, num_bytes: int, sha256: str) -> str:
        """What is wrong with a whole file, or nothing."""
        if self.size is not None and num_bytes != self.size:
            return f"it has {num_bytes} bytes, expected {self.size}"
        if self.sha256 and sha256 != self.sha256:
            return f"its SHA-256 is {sha256[:16]}…, expected {self.sha256[:16]}…"
        return ""

    def too_large(self, url: str) -> str:
        """The sentence about an address that gives more bytes than expected."""
        return f"{short(url)} gives more than {megabytes(self.most_bytes)}, which is not the file expected."


def is_address(text: object) -> bool:
    """Whether a text begins as an http or https address does.

    >>> is_address("https://example.org/a.mp4"), is_address("http.mp4")
    (True, False)
    """
    return isinstance(text, str) and re.match(r"https?://", text, re.IGNORECASE) is not None


def checked_url(url: str) -> str:
    """The address, where it is a complete http or https one; blanks and the like in its path quoted.

    Raises:
        FetchError: any other address.

    >>> checked_url("https://example.org/a b/part 1.tar.gz")
    'https://example.org/a%20b/part%201.tar.gz'
    """
    try:
        parts = urllib.parse.urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise FetchError(f"{printable(url, 200)} is not an http or https address.")
    path = urllib.parse.quote(parts.path, safe="/%:@!$&'()*+,;=~-._")
    query = urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, query, ""))


class Again(Exception):
    """A failure that another try may mend."""

    def __init__(self, reason: str, wait_s: float = 0, status: int | None = None):
        super().__init__(reason)
        self.wait_s, self.status = wait_s, status


class Stale(Exception):
    """The server does not continue our part; it must start again."""


class Link:
    """Asks addresses and judges the answers' heads."""

    def __init__(self, ca_bundle: str | os.PathLike | None, patience: Patience, stop: threading.Event | None):
        self.patience, self.stop = patience, stop or threading.Event()
        self.session = _session(ca_bundle)

    def close(self) -> None:
        """Close its connections."""
        self.session.close()

    def sleep(self, seconds: float) -> None:
        """Wait for so many seconds; raises ``FetchError`` at once where the download is stopped."""
        self.stop.wait(seconds)
        self.check_stop()

    def check_stop(self) -> None:
        """Raises ``FetchError`` where the download was stopped."""
        if self.stop.is_set():
            raise FetchError("The download was stopped; what was fetched so far is kept.", spoils="all")

    def ask(self, url: str, offset: int, validator: str, goal: Goal) -> Answer:
        """Request a file from a byte on.

        Raises:
            Again: another try may help.
            Stale: the server does not give that part of that version.
            FetchError: this address will not do.
        """
        self.check_stop()
        headers = {"Accept-Encoding": "identity", "User-Agent": "vidbench"}
        if offset:
            headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
        response = self._follow(url, headers)
        try:
            _check_status(response, url, offset, self.patience)
            answer = Answer(response, self, url)
            answer.check_head(offset, validator, goal)
        except BaseException:
            response.close()
            raise
        return answer

    def _follow(self, url: str, headers: dict):
        """The answer at the end of the redirections, each of which must be as good an address as the first."""
        here = url
        for _ in range(MOST_REDIRECTS + 1):
            response = self._get(here, headers)
            location = self.session.get_redirect_target(response)
            if location is None:
                return response
            response.close()
            try:
                there = checked_url(urllib.parse.urljoin(here, location))
            except (FetchError, ValueError):
                raise FetchError(
                    f"{short(url)} leads to {printable(location, 100)}, which is no web address."
                ) from None
            if here.startswith("https:") and not there.startswith("https:"):
                raise FetchError(f"{short(url)} leads from https to {short(there)}, which is not encrypted.")
            here = there
        raise FetchError(f"{short(url)} leads on and on: more than {MOST_REDIRECTS} redirections.")

    def _get(self, url: str, headers: dict):
        import requests

        patience = self.patience
        try:
            return self.session.get(
                url,
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=(patience.connect_s, patience.read_s),
            )
        except requests.exceptions.SSLError as problem:
            if "CERTIFICATE_VERIFY_FAILED" not in str(problem):
                raise Again("the encrypted connection failed") from None
            raise FetchError(
                f"{short(url)} has a certificate that cannot be verified; if you trust it, give the missing "
                "certificates as a PEM file with --ca-bundle."
            ) from None
        except requests.exceptions.Timeout:
            raise Again(f"no answer within {patience.read_s:g} s") from None
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as problem:
            raise FetchError(f"{short(url)} cannot be asked: {printable(problem, 120)}.") from None
        except (requests.exceptions.RequestException, OSError, ValueError) as problem:
            raise Again(network_words(problem) + through_proxy(url)) from None


def _session(ca_bundle: str | os.PathLike | None):
    """A session of requests that trusts, besides the usual authorities, those in a file."""
    import requests
    import requests.adapters
    from urllib3.util.ssl_ import create_urllib3_context

    session = requests.Session()
    if ca_bundle is None:
        return session
    context = create_urllib3_context()
    try:
        context.load_verify_locations(cafile=os.fspath(ca_bundle))
    except (OSError, ValueError) as problem:  # ssl.SSLError is an OSError
        reason = printable(getattr(problem, "strerror", None) or problem, 120)
        raise FetchError(
            f"{printable(ca_bundle, 200)} is not a PEM file of certificates: {reason}.", spoils="all"
        ) from None

    class Trusting(requests.adapters.HTTPAdapter):
        def init_poolmanager(self, *args, **options):
            super().init_poolmanager(*args, **options, ssl_context=context)

        def proxy_manager_for(self, *args, **options):
            return super().proxy_manager_for(*args, **options, ssl_context=context)

    session.mount("https://", Trusting())
    return session


def _check_status(response, url: str, offset: int, patience: Patience) -> None:
    status = response.status_code
    if status == 200 or (status == 206 and offset):
        return
    if status == 416 and offset:
        raise Stale("the server has no bytes where our part ends")
    reason = f"the server answered {status} {printable(response.reason or '', 60)}".rstrip()
    if status not in PASSING:
        raise FetchError(f"{short(url)} cannot be had: {reason}.", http_status=status)
    wait_s = retry_after(response.headers.get("Retry-After", ""))
    if wait_s > patience.most_wait_s:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + wait_s))
        raise FetchError(f"{short(url)} is busy: {reason} and asks to come back after {when}.", http_status=status)
    raise Again(reason, wait_s, status)


def retry_after(text: str) -> float:
    """Seconds that a ``Retry-After`` header asks to wait: a number or a date; 0 where it is neither.

    >>> retry_after("120"), retry_after("soon")
    (120.0, 0.0)
    """
    if re.fullmatch(r"\s*\d{1,9}\s*", text, re.ASCII):
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0


class Answer:
    """The head of an answer, and its body piece by piece.

    ``total`` is the whole file's size or ``None``; ``continues`` whether the body goes on from the byte asked for;
    ``validator`` what ``If-Range`` may name this version by, or empty.
    """

    def __init__(self, response, link: Link, url: str):
        self.response, self.link, self.url = response, link, url
        headers = response.headers
        self.etag = printable(headers.get("ETag", ""), 200)
        self.encoded = headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity")
        self.chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        self.length = self._length()
        self.continues = response.status_code == 206
        self.total = None if self.encoded else self.length
        self.validator = "" if self.encoded else _validator(headers)

    def close(self) -> None:
        """Give the connection back, or up where something of the answer is unread."""
        self.response.close()

    def _length(self) -> int | None:
        text = self.response.headers.get("Content-Length")
        if text is None or self.chunked:
            return None
        if not re.fullmatch(r"\d{1,18}", text.strip(), re.ASCII):
            raise FetchError(f"{short(self.url)} gives {printable(text, 30)!r} as its length.")
        return int(text)

    def check_head(self, offset: int, validator: str, goal: Goal) -> None:
        """Refuse what cannot be the file; see ``Link.ask`` for the exceptions."""
        if self.continues:
            self._check_range(offset, validator)
        known = goal.size is not None or goal.sha256 is not None
        if self.length is None and not self.chunked and not known:
            raise FetchError(
                f"{short(self.url)} does not tell its length, so that a cut could not be told from the end: "
                "it is taken only where its size or SHA-256 is known."
            )
        if self.total == 0 and goal.size != 0:
            raise FetchError(f"{short(self.url)} gives an empty file.")
        if self.total is not None and goal.size is not None and self.total != goal.size:
            raise FetchError(f"{short(self.url)} has {self.total} bytes, expected {goal.size}.")
        if self.total is not None and self.total > goal.most_bytes:
            raise FetchError(goal.too_large(self.url))

    def _check_range(self, offset: int, validator: str) -> None:
        found = re.fullmatch(
            r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", self.response.headers.get("Content-Range", ""), re.ASCII
        )
        first, last, total = map(int, found.groups()) if found else (-1, -1, -1)
        if first != offset or last + 1 != total or self.length not in (None, total - offset) or self.encoded:
            raise Stale("the server gave another range than asked for")
        if self.validator and self.validator != validator:
            raise Stale("the file changed on the server")
        self.total, self.validator = total, validator

    def pieces(self) -> Iterator[bytes]:
        """The body, decoded, until its proper end.

        Raises:
            Again: the connection broke, ended early or went to sleep.
            FetchError: the body is a web page.
        """
        first = not self.continues
        since, slow = time.monotonic(), 0
        got = 0
        while data := self._read():
            self.link.check_stop()
            if first:
                self._refuse_page(data)
                first = False
            got, slow = got + len(data), slow + len(data)
            yield data
            now = time.monotonic()
            if now - since >= self.link.patience.slow_s:
                if slow < self.link.patience.slow_rate * (now - since):
                    raise Again(f"it came at {slow / (now - since):.0f} bytes a second")
                since, slow = now, 0
        if self.length is not None and not self.encoded and got != self.length:
            raise Again(f"the connection ended after {got} of {self.length} bytes")

    def _read(self) -> bytes:
        import urllib3.exceptions

        try:
            return self.response.raw.read1(PIECE, decode_content=True)
        except urllib3.exceptions.ReadTimeoutError:
            raise Again(f"the server fell silent for {self.link.patience.read_s:g} s") from None
        except urllib3.exceptions.DecodeError:
            raise FetchError(f"{short(self.url)} is said to be compressed, but is not.") from None
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as problem:
            raise Again(network_words(problem)) from None

    def _refuse_page(self, data: bytes) -> None:
        start = data[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        says_html = "html" in self.response.headers.get("Content-Type", "").lower()
        is_page = re.match(rb"<(!doctype html|html|head|body)", start) or (says_html and start.startswith(b"<"))
        if is_page and not re.search(r"\.x?html?$", urllib.parse.urlsplit(self.url).path):
            raise FetchError(
                f"{short(self.url)} gives a web page in place of the file; it may ask you to log in or agree."
            )


def _validator(headers) -> str:
    """What ``If-Range`` may carry: a strong ETag, or else the date of the last change."""
    etag = headers.get("ETag", "").strip()
    if re.fullmatch(r'"[\x21\x23-\x7e]{1,200}"', etag):
        return etag
    date = headers.get("Last-Modified", "").strip()
    return date if not etag and re.fullmatch(r"[A-Za-z0-9 ,:+-]{10,40}", date) else ""


def network_words(problem: Exception) -> str:
    """Why something could not be had over the network, in a few words, whichever library says so.

    >>> network_words(OSError(-2, "Name or service not known")), network_words(OSError(5, "Input/output error"))
    ('the name of the server is not known here', 'OSError: Input/output error')
    """
    status = getattr(problem, "code", None)  # of urllib's HTTPError
    if isinstance(status, int):
        return f"the server answered {status} {printable(getattr(problem, 'reason', ''), 60)}".rstrip()
    text = str(problem)
    for mark, words in (
        ("NameResolutionError", "the name of the server is not known here"),
        ("Name or service not known", "the name of the server is not known here"),
        ("Temporary failure in name resolution", "the name of the server cannot be looked up now"),
        ("nodename nor servname", "the name of the server is not known here"),  # macOS
        ("getaddrinfo failed", "the name of the server is not known here"),  # Windows
        ("CERTIFICATE_VERIFY_FAILED", "its certificate cannot be verified"),
        ("timed out", "no answer in time"),
        ("Connection refused", "nobody answers there"),
        ("actively refused", "nobody answers there"),  # Windows
        ("Network is unreachable", "there is no network"),
        ("Connection reset", "the connection was reset"),
        ("IncompleteRead", "the connection ended early"),
        ("LineTooLong", "the answer's head is too long"),
        ("BadStatusLine", "the answer is not HTTP"),
        ("ProxyError", "the proxy refuses"),
        ("RemoteDisconnected", "the server hung up"),
    ):
        if mark in text or mark == type(problem).__name__:
            return words
    text = re.sub(r"^<urlopen error (.*)>$|\[Errno -?\d+\] ", r"\1", (text.strip().splitlines() or [""])[0])
    return printable(f"{type(problem).__name__}: {text}".rstrip(": ."), 160)


def through_proxy(url: str) -> str:
    """Which variable sends requests for an address through a proxy, as the end of a reason; empty where none does."""
    import urllib.request

    scheme, host = url.partition(":")[0], urllib.parse.urlsplit(url).hostname or ""
    proxies = urllib.request.getproxies()
    name = next((f"{word.upper()}_PROXY" for word in (scheme, "all") if proxies.get(word)), "")
    return f", through the proxy that {name} names" if name and not urllib.request.proxy_bypass(host) else ""


def short(url: str) -> str:
    """An address for a message: without user, password and query, which may hold secrets."""
    parts = urllib.parse.urlsplit(url)
    host = (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
    return printable(f"{parts.scheme}://{host}{parts.path}", 200)


def megabytes(num_bytes: float) -> str:
    """A size for people.

    >>> megabytes(1_500_000), megabytes(1_500_000_000), megabytes(20)
    ('1.5 MB', '1.5 GB', '20 bytes')
    """
    num_bytes = round(num_bytes)
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if num_bytes >= unit:
            return f"{num_bytes / unit:.3g} {name}"
    return f"{num_bytes} bytes"
