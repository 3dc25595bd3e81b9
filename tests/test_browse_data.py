"""The browser of videos: every listed video has its place, names stay text, and nothing else of the disk is shown."""

from __future__ import annotations

import html
import http.client
import json
import re
import shutil
import sys
import threading

import pytest
from conftest import chromium
from test_pages import SHIFTED

from vidbench import browse_data, cli
from vidbench.browse_arguments import BROWSE
from vidbench.browse_data import Videos, list_videos
from vidbench.browse_server import Server
from vidbench.data import strips
from vidbench.data.index import load_splits
from vidbench.data.strips import Strips
from vidbench.records import Row
from vidbench.runs import encode_row

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_video):
    """Own videos: one of a hostile name, that browsers do not play; five of "wave", one of them no video."""
    root = tmp_path_factory.mktemp("own") / "gestures"
    make_video(root / HOSTILE / "a&b<i>.avi", num_frames=9, codec="mpeg4", b_frames=0)
    make_video(root / "wave" / "0.mp4", num_frames=11, width=96, height=160)
    for number in (1, 2, 3):
        shutil.copyfile(root / "wave" / "0.mp4", root / "wave" / f"{number}.mp4")
    (root / "wave" / "2.mp4").write_text("no video")
    (root / "wave" / "9.mp4").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def get(folder, tmp_path_factory):
    """``get(path)`` gives status, headers and body of an answer about the videos of ``folder``."""
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(browse_data, "PER_PAGE", 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    config = BROWSE.parse_or_exit(["folder", "--data-dir", str(folder)])
    with list_videos(config) as videos, Server(tmp_path_factory.mktemp("results"), 0, videos=videos) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def ask(path, **headers):
            connection = http.client.HTTPConnection(*server.server_address, timeout=60)
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            return answer.status, answer.headers, body

        ask.url, ask.results = server.url.removesuffix("data"), server.results.folder
        yield ask
        server.shutdown()
        thread.join(timeout=10)
    monkeypatch.undo()


def page(get, path):
    status, _, body = get(path)
    assert status == 200, path
    return body.decode()


def articles(text):
    return [html.unescape(re.sub(r"<[^>]*>", "", part)) for part in re.findall(r"<article>.*?</article>", text, re.S)]


def test_classes_are_listed_with_their_counts(get):
    rows = re.findall(r'<a href="(class\?n=\d)"><bdi>(.*?)</bdi>.*?<td class="num">(\d+)</td>', page(get, "/data"))
    assert rows == [("class?n=0", html.escape(HOSTILE), "1"), ("class?n=1", "wave", "5")]
    assert get("/picture?n=1")[2].startswith(b"\xff\xd8")
    assert 'href="data"' in page(get, "/")


def test_a_class_shows_each_of_its_videos_once_page_by_page(get):
    text, shown = page(get, "/class?n=1"), []
    while True:
        shown += articles(text)
        following = re.search(r'<a href="([^"]*)" rel="next">', text)
        if not following:
            break
        text = page(get, "/" + html.unescape(following[1]))
    assert [re.search(r"wave/\d", words)[0] for words in shown] == [f"wave/{n}" for n in (0, 1, 2, 3, 9)]
    assert "11 frames at 25 per second, 0.44 s, 96x160, h264" in shown[0]
    assert re.search("not_media.*Nothing to see: the decoder says", shown[2], re.S)
    assert "Nothing to see: the file has 0 bytes." in shown[4]
    assert text.count("<img ") == 0  # the last page holds the empty file only


def test_names_stay_text(get):
    for path in ("/data", "/class?n=0", "/video?n=0"):
        text = page(get, path)
        assert html.escape(HOSTILE) in text
        assert HOSTILE not in text
        assert "<i>" not in text


def test_a_video_is_played_whole_or_in_parts_and_its_page_alone_may_do_so(get):
    status, headers, whole = get("/play?n=1")
    assert (status, headers["Content-Type"], headers["Accept-Ranges"]) == (200, "video/mp4", "bytes")
    assert whole[4:8] == b"ftyp"
    status, headers, part = get("/play?n=1", Range="bytes=100-")
    assert (status, part) == (206, whole[100:])
    assert headers["Content-Range"] == f"bytes 100-{len(whole) - 1}/{len(whole)}"
    assert get("/play?n=1", Range=f"bytes={len(whole)}-")[0] == 416
    text, copied = page(get, "/video?n=1"), page(get, "/video?n=0")
    assert 'src="play?n=1"' in text
    assert "H.264 copy" not in text
    assert "Shown as an H.264 copy, because <bdi>browsers do not open AVI files</bdi>." in copied
    policies = {path: get(path)[1]["Content-Security-Policy"] for path in ("/", "/data", "/class?n=1", "/video?n=1")}
    assert [path for path, policy in policies.items() if "media-src 'self'" in policy] == ["/video?n=1"]
    assert [path for path, policy in policies.items() if "img-src data: 'self'" in policy] == ["/data"]


def test_a_video_that_cannot_be_read_says_so_on_its_page(get):
    text = page(get, "/video?n=3")
    assert "It cannot be played: " in text
    assert "<video" not in text
    assert get("/play?n=3")[0] == 404


@pytest.mark.parametrize(
    "path",
    ["/class", "/class?n=2", "/class?n=1&page=4", "/class?n=1&page=0", "/class?n=wave", "/class?n=-1", "/video?n=6",
     "/video?n=../x", "/play?n=/etc/passwd", "/play?n=1/../2", "/play?n=%2e%2e", "/play?n=٣", "/data/wave/0.mp4",
     "/wave/0.mp4", "/video/1"],
)  # fmt: skip
def test_what_is_no_place_in_the_list_is_not_found(get, path):
    assert get(path.replace("٣", "%D9%A3"))[0] == 404


@pytest.fixture
def answered(get, folder):
    """A run on three of the videos: right on one, wrong on another, and one that it skipped."""
    told = [  # video, status, rank, classes with scores, bytes of the file
        ("wave/0", "ok", 0, (("wave", 1, 0.75), ("<i>nod", 0, 0.25)), (folder / "wave" / "0.mp4").stat().st_size),
        ("wave/1", "ok", 1, (("<i>nod", 0, 0.625), ("wave", 1, 0.375)), 7),
        ("wave/9", "empty", -1, (), 0),
        ("wave/5", "ok", 0, (("wave", 1, 1.0),), 7),  # not in the list
    ]
    lines = []
    for index, (video, status, rank, top, size) in enumerate(told):
        row = Row(
            index, video, f"{video}.mp4", "wave", 1, "", "", status, "0 bytes", rank=rank, top=top, file_size=size
        )
        lines.append(encode_row(row))
    for name, where in (("mine", folder), ("another's", folder.parent)):
        made = get.results / name
        made.mkdir()
        dataset = {"name": "folder", "data_dir": str(where), "n_listed": len(told)}
        manifest = {"schema": 1, "model": {"name": "n"}, "dataset": dataset, "labels": ["<i>nod", "wave"]}
        (made / "manifest.json").write_text(json.dumps(manifest))
        (made / "rows.jsonl").write_bytes(b"".join(lines))
    yield
    for made in get.results.iterdir():
        shutil.rmtree(made)


def test_answers_of_a_run_stand_beside_its_videos(get, answered):
    text = page(get, "/class?n=1")
    assert re.findall("<option[^>]*>([^<]*)</option>", text) == ["mine", "all", "right", "wrong"]
    assert "rightwave&nbsp;75.0&nbsp;%, &lt;i&gt;nod&nbsp;25.0&nbsp;%" in re.sub("<[^>]*>", "", text)
    assert '<td class="num" data-value="0.333' in page(get, "/data")
    shown = {show: articles(page(get, f"/class?n=1&run=mine&show={show}")) for show in ("all", "right", "wrong")}
    assert {show: [re.search(r"wave/\d", words)[0] for words in found] for show, found in shown.items()} == {
        "all": ["wave/0", "wave/1"], "right": ["wave/0"], "wrong": ["wave/1", "wave/9"]}  # fmt: skip
    assert "said about a file of another size" in shown["wrong"][0]
    assert "skipped (empty): 0 bytes" in shown["wrong"][1]
    assert 'href="video?n=5&amp;run=mine&amp;show=wrong" rel="next"' in page(get, "/video?n=2&run=mine&show=wrong")
    assert 'href="class?n=1&amp;page=1&amp;run=mine&amp;show=all"' in page(get, "/video?n=1&run=mine&show=wrong")
    for path in ("/class?n=1&run=another%2527s", "/class?n=1&run=..", "/data?show=<b>"):
        assert get(path.replace("<", "%3C"))[0] == 404


def test_a_file_that_changed_is_looked_at_again(folder, tmp_path):
    root = shutil.copytree(folder, tmp_path / "own")
    records = load_splits("folder", root, "all")
    with Strips(records, root, num_workers=0) as shown:
        assert [strip.status for strip in shown.of([1, 3])] == ["ok", "not_media"]
        kept = shown.of([1])[0]
        shutil.copyfile(root / "wave" / "1.mp4", root / "wave" / "2.mp4")
        assert shown.of([3])[0].status == "ok"
        assert shown.of([1])[0] is kept
        assert len(kept.jpegs) == len(kept.indices) == 6
        assert kept.size == (160, 96)


def test_a_page_waits_a_while_for_videos_that_hang_and_shows_them_when_they_are_read(folder, monkeypatch):
    let_go, read = threading.Event(), strips._strip_as_views

    def hanging(path, spec, **options):
        assert not path.endswith("1.mp4") or let_go.wait(30)
        return read(path, spec, **options)

    monkeypatch.setattr(strips, "_strip_as_views", hanging)
    monkeypatch.setattr(browse_data, "PAGE_S", 0.5)
    monkeypatch.setattr(browse_data, "PER_PAGE", 5)
    with Videos("own", load_splits("folder", folder, "all"), folder, num_workers=0) as videos:
        text = browse_data.class_page(videos, 1, 1, browse_data.Choice())
        assert ["Still being read" in words for words in articles(text)] == [False, True, True, True, True]
        assert '4 videos are still being read. <a href="class?n=1&amp;page=1">' in text
        let_go.set()
        assert videos.strips.of([2])[0].jpegs
        monkeypatch.setattr(browse_data, "PAGE_S", 30)
        assert "till being read" not in browse_data.class_page(videos, 1, 1, browse_data.Choice())
    with pytest.raises(ValueError, match="closed"):
        videos.strips.of([2])


def test_what_is_no_fault_of_a_video_is_heard_by_who_asks_and_ends_nothing(folder, monkeypatch):
    read, broken = strips._strip_as_views, [RuntimeError("no process can be started")]

    def once(path, spec, **options):
        if broken:
            raise broken.pop()
        return read(path, spec, **options)

    monkeypatch.setattr(strips, "_strip_as_views", once)
    with Strips(load_splits("folder", folder, "all"), folder, num_workers=0) as shown:
        with pytest.raises(RuntimeError, match="no process can be started"):
            shown.of([1])
        assert shown.of([1])[0].jpegs


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["vidminy"], "Did you mean 'vidmini'"),
        (["vidmini", "--split", "val"], "--split must be one of"),
        (["vidmini", "--data-dir", "nowhere"], "nowhere is not a folder"),
        (["--split", "test"], "--split says which videos, and needs --dataset"),
    ],
)
def test_videos_that_cannot_be_listed_are_one_sentence(tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["vidbench", "browse", *words])
    assert cli.main() == 2
    said = capsys.readouterr()
    assert says in said.err
    assert (said.out, "Traceback" in said.err) == ("", False)


def test_videos_without_a_class_come_last():
    from vidbench.records import VideoRecord

    records = [VideoRecord(str(n), f"{n}.mp4", label, index) for n, (label, index) in enumerate(
        [(None, -1), ("b", 1), ("a", 0), ("b", 1)])]  # fmt: skip
    with Videos("x", records, ".", num_workers=0) as videos:
        assert [(shown.label, shown.places) for shown in videos.classes] == [
            ("a", (2,)), ("b", (1, 3)), ("no label", (0,))]  # fmt: skip


def test_the_pages_are_accessible_and_play(get):
    sync_api = pytest.importorskip("playwright.sync_api")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    browser_path = chromium()
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 390, "height": 800})
        problems = []
        tab.on("console", lambda message: problems.append(message.text))
        tab.goto(get.url + "data")
        for link in ("", "wave", "wave/1"):  # from page to page by the keyboard
            if link:
                tab.get_by_role("link", name=link).focus()
                with tab.expect_navigation():
                    tab.keyboard.press("Enter")
            assert [violation["id"] for violation in axe.run(tab).response["violations"]] == [], tab.url
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert tab.evaluate(SHIFTED) == 0
        tab.wait_for_function("document.querySelector('video').currentTime > 0", timeout=20_000)
        browser.close()
    assert problems == []
