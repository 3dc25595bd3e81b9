"""The report browser shows every run with its interval, compares runs, and gives nothing else away."""

import html
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import quote, urlencode

import numpy as np
import pytest

from vidbench import browse, cli
from vidbench.browse_server import Server, name_of
from vidbench.metrics import wilson
from vidbench.page.fill import script_source
from vidbench.records import Row
from vidbench.report import write_report
from vidbench.runs import encode_row

ROOT = Path(__file__).resolve().parents[1]
LABELS = ["sit down", "stand up", "wave"]


def make_run(results, name, right, *, labels=LABELS, listed=None, list_hash="a", random=False, model="net.weights"):
    """A run folder in which video i is right where ``right[i]``; ``None`` stands for a video that is missing."""
    folder = results / name
    folder.mkdir(parents=True)
    num_listed = len(right) if listed is None else listed
    manifest = {
        "schema": 1,
        "run_name": name,
        "model": {"name": model, "random": random},
        "dataset": {"name": "vidmini", "split": "test", "n_listed": num_listed, "records_sha256": list_hash},
        "spec": {"num_frames": 8, "frame_rate": None},
        "labels": labels,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    lines = []
    for i, good in enumerate(right):
        true, other = i % len(labels), (i + 1) % len(labels)
        common = {
            "video_id": f"v{i}",
            "path": f"v{i}.mp4",
            "label": labels[true],
            "label_index": true,
            "split": "test",
            "group": "",
        }
        if good is None:
            lines.append(encode_row(Row(i, **common, status="missing", reason="gone")))
            continue
        best = true if good else other
        top = ((labels[best], best, 0.75), (labels[(best + 1) % len(labels)], (best + 1) % len(labels), 0.25))
        lines.append(encode_row(Row(i, **common, status="ok", top=top, rank=0 if good else 1)))
    (folder / "rows.jsonl").write_bytes(b"".join(lines))
    return folder


@pytest.fixture
def site(tmp_path):
    """``get(path)`` gives status, headers and text of a page over ``tmp_path / "results"``."""
    server = Server(tmp_path / "results", port=0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def get(path, method="GET", headers=None):
        connection = http.client.HTTPConnection(*server.server_address, timeout=10)
        try:
            connection.putrequest(method, path, skip_host=bool(headers))  # sends the path as it is
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode("utf-8", "replace")
        finally:
            connection.close()

    get.results, get.port = server.results, server.server_port
    yield get
    server.shutdown()
    thread.join(timeout=10)
    server.server_close()


def tell(page):
    """A page's words without tags."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", page.partition("<body>")[2])))


def test_server_is_reached_from_this_machine_only(tmp_path):
    with Server(tmp_path, port=0) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_empty_folder_tells_how_to_make_a_run(site):
    status, _, page = site("/")
    assert status == 200
    assert "No runs yet" in page
    assert "python scripts/evaluate.py @scripts/config.txt" in page


def test_trainings_are_no_runs_to_browse(site, tmp_path):
    make_run(tmp_path / "results", "judged", [True])
    folder = tmp_path / "results" / "trained"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"schema": 1, "recipe": {"model": "net"}}))
    assert "trained" not in site("/")[2]
    assert site("/runs/trained/manifest.json")[0] == 404
    assert [run.name for run in site.results.runs()] == ["judged"]


def test_every_run_is_listed_with_its_interval_newest_first(site, tmp_path):
    rng = np.random.default_rng()
    expected = []
    for number in range(3):
        right = rng.random(11 + number) < 0.6
        folder = make_run(tmp_path / "results", f"run-{number}", list(right))
        os.utime(folder / "manifest.json", (1, 1))
        os.utime(folder / "rows.jsonl", (1000 + number,) * 2)
        low, high = wilson(int(right.sum()), len(right))
        expected.insert(0, f"{100 * right.mean():.1f} % [{100 * low:.1f}, {100 * high:.1f}]")
    words = tell(site("/")[2])
    places = [words.index(f"run-{number}") for number in (2, 1, 0)]
    assert places == sorted(places)
    for place, figures in zip(places, expected):
        assert figures in words[place : place + 200]


def test_skipped_videos_stay_in_the_count(site, tmp_path):
    make_run(tmp_path / "results", "some", [True, True, None, None])
    words = tell(site("/")[2])
    assert "50.0 %" in words
    assert "2 skipped" in words


def test_unfinished_random_begun_and_damaged_runs_are_told_apart(site, tmp_path):
    results = tmp_path / "results"
    make_run(results, "half", [True] * 5, listed=9)
    make_run(results, "dice", [True] * 5, random=True)
    make_run(results, "begun", [])
    (make_run(results, "torn", [True] * 5) / "manifest.json").write_text("{")
    (make_run(results, "odd", [True] * 5) / "manifest.json").write_text('{"labels": ["a"], "dataset": {"classes": 3}}')
    page = site("/")[2]
    lines = {name: tell("<body>" + page[page.index(f"<bdi>{name}</bdi>") :].partition("</tr>")[0]) for name in
             ("half", "dice", "begun", "torn", "odd")}  # fmt: skip
    assert "Not finished" in lines["half"]
    assert "No result" in lines["dice"]
    assert "No video has been predicted yet" in lines["begun"]
    assert "Its manifest.json is damaged" in lines["torn"]
    assert "damaged" in lines["odd"]
    assert 'class="void-value"' in page


def test_a_run_is_read_again_when_its_rows_have_grown(site, tmp_path):
    folder = make_run(tmp_path / "results", "grows", [False] * 4, listed=8)
    assert "0.0 %" in tell(site("/")[2])
    other = make_run(tmp_path / "elsewhere", "grows", [False] * 4 + [True] * 4)
    with (folder / "rows.jsonl").open("ab") as file:
        file.writelines((other / "rows.jsonl").read_bytes().splitlines(keepends=True)[4:])
    words = tell(site("/")[2])
    assert "50.0 %" in words
    assert "Not finished" not in words


def test_unchanged_runs_are_not_read_twice(site, tmp_path, monkeypatch):
    make_run(tmp_path / "results", "one", [True] * 5)
    site("/")
    monkeypatch.setattr(browse, "read_shown", lambda folder: pytest.fail(f"{folder} is read again"))
    assert site("/")[0] == 200


def test_reports_and_tables_are_served_whole(site, tmp_path):
    folder = make_run(tmp_path / "results", "one", [True, False, True])
    write_report(folder)
    (folder / "predictions.csv").write_text("YouTube_Id\nå\n", encoding="utf-8")
    status, headers, text = site("/runs/one/report.html")
    assert (status, headers.get_content_type()) == (200, "text/html")
    assert text == (folder / "report.html").read_text(encoding="utf-8")
    status, headers, text = site("/runs/one/predictions.csv")
    assert (status, headers.get_content_type(), text) == (200, "text/csv", "YouTube_Id\nå\n")
    assert "attachment" in headers["Content-Disposition"]
    assert 'href="runs/one/report.html"' in site("/")[2]
    assert site("/runs/one/metrics.json")[0] == 404  # not written yet


def test_names_of_runs_stay_text(site, tmp_path):
    name = "<script>alert(1)</script>".replace("/", "") + " & 50% 'é\n\u202e?#"
    folder = make_run(tmp_path / "results", name, [True, False], labels=["<img src=x onerror=1>", "b"], model="<i>x")
    write_report(folder)
    make_run(tmp_path / "results", "other", [True, False], labels=["<img src=x onerror=1>", "b"])
    page = site("/")[2]
    address = re.search(r'href="(runs/[^"]*/report\.html)"', page).group(1)
    assert site("/" + address)[0] == 200
    compared = site(f"/compare?run={quote(quote(name))}&run=other")
    assert compared[0] == 200
    for text in (page, compared[2]):
        for bad in ("<script>", "<img", "<i>x", "\u202e"):
            assert bad not in text


def test_a_run_ticked_in_the_list_is_found_again(site, tmp_path):
    """The value of a tick box is what the comparison looks up, whatever is in the name."""
    names = ["two  blanks", "a&b=c+d%41", 'quo"te', "line\nbreak", os.fsdecode(b"not \xff utf-8"), "é" * 100]
    for name in names:
        make_run(tmp_path / "results", name, [True, False])
    values = [html.unescape(value) for value in re.findall(r'name="run" value="([^"]*)"', site("/")[2])]
    assert sorted(map(name_of, values)) == sorted(names)
    assert site("/compare?" + urlencode([("run", value) for value in values]))[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/runs/one/rows.jsonl",
        "/runs/one/logits.npy",
        "/runs/one/",
        "/runs/one",
        "/runs/",
        "/runs/../secret/report.html",
        "/runs/%2e%2e/secret/report.html",
        "/runs/..%2fsecret/report.html",
        "/runs/one/..%2f..%2fsecret%2freport.html",
        "/runs/.hidden/report.html",
        "/runs/linked/report.html",
        "/runs/one/report.html/",
        "/runs/one%00/report.html",
        "/../../../../etc/passwd",
        "/runs/%ff%fe/report.html",
        "/runs/" + "a" * 5000 + "/report.html",
    ],
)
def test_nothing_but_the_files_of_runs_is_given_away(site, tmp_path, path):
    results = tmp_path / "results"
    (make_run(results, "one", [True]) / "report.html").write_text("fine")
    for folder in (make_run(tmp_path, "secret", [True]), make_run(results, ".hidden", [True])):
        (folder / "report.html").write_text("SECRET")
    (results / "linked").symlink_to(tmp_path / "secret")
    status, headers, text = site(path)
    assert status == 404
    assert "SECRET" not in text
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_a_link_in_a_run_folder_is_not_followed(site, tmp_path):
    (tmp_path / "secret.txt").write_text("SECRET")
    folder = make_run(tmp_path / "results", "one", [True])
    (folder / "report.html").symlink_to(tmp_path / "secret.txt")
    os.mkfifo(folder / "predictions.csv")
    assert site("/runs/one/report.html")[0] == 404
    assert site("/runs/one/predictions.csv")[0] == 404  # and does not wait for a writer


@pytest.mark.parametrize("path", ["/", "/runs/one/report.html", "/nothing", "/compare"])
def test_every_answer_forbids_foreign_scripts_and_guessing(site, tmp_path, path):
    (make_run(tmp_path / "results", "one", [True]) / "report.html").write_text("<script>1</script>")
    headers = site(path)[1]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert f"script-src {script_source()};" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_a_browser_that_asks_for_an_icon_logs_no_error(site):
    assert site("/favicon.ico")[0] == 204


def test_head_sends_the_length_and_no_page(site, tmp_path):
    make_run(tmp_path / "results", "one", [True])
    status, headers, text = site("/", method="HEAD")
    assert (status, text) == (200, "")
    assert int(headers["Content-Length"]) == len(site("/")[2].encode())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed(site, tmp_path, method):
    folder = make_run(tmp_path / "results", "one", [True])
    before = sorted((path.name, path.read_bytes()) for path in folder.iterdir())
    assert site("/runs/one/report.html", method=method)[0] == 501
    assert sorted((path.name, path.read_bytes()) for path in folder.iterdir()) == before


def test_two_runs_on_the_same_videos_are_counted_in_pairs(site, tmp_path):
    first = [True, True, True, False, False, None, True]
    second = [True, False, False, True, False, True, True]
    make_run(tmp_path / "results", "a", first)
    make_run(tmp_path / "results", "b", second)
    runs = [site.results.run("a"), site.results.run("b")]
    counts = browse.paired_counts(*runs)
    sentence = counts.pop("sentence")
    assert counts == {"n": 7, "both": 2, "first": 2, "second": 2, "neither": 1}
    words = tell(site("/compare?run=a&run=b")[2])
    assert re.match(r"b minus a: \+0\.0 points \[-\d+\.\d, \+\d+\.\d\], n=7\.", sentence)
    assert sentence in words
    assert "right on 2 and both wrong on 1" in words
    assert "Different videos" not in words
    low, high = wilson(4, 7)
    assert f"57.1 % [{100 * low:.1f}, {100 * high:.1f}], n = 7" in words


def test_measured_cost_is_shown_and_drawn_against_accuracy(site, tmp_path):
    for name, wall in (("quick", 1.0), ("slow", 40.0)):
        folder = make_run(tmp_path / "results", name, [True, False, True, True])
        manifest = json.loads((folder / "manifest.json").read_text())
        timing = {"seconds": {"wall": wall + 2, "tuning": 2.0}, "num_videos": 4, "device_name": "<b>chip</b>"}
        (folder / "manifest.json").write_text(json.dumps({**manifest, "timing": timing}))
    make_run(tmp_path / "results", "untimed", [True, False, True, True])
    page = site("/compare?run=quick&run=slow")[2]
    assert page.count('<circle class="dot"') == 2
    assert "Seconds a video, measured 0.25 on <b>chip</b> 10 on <b>chip</b>" in tell(page)
    assert "<b>chip" not in page
    assert "Accuracy against cost" not in site("/compare?run=quick&run=untimed")[2]


def test_runs_without_labels_are_not_paired(site, tmp_path):
    for name in "ab":
        folder = make_run(tmp_path / "results", name, [True, False])
        rows = [json.loads(line) | {"label": None, "label_index": -1} for line in (folder / "rows.jsonl").open()]
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    status, _, page = site("/compare?run=a&run=b")
    assert status == 200
    assert "The runs list the same videos." in tell(page)


def test_runs_on_other_videos_are_not_paired(site, tmp_path):
    make_run(tmp_path / "results", "a", [True, False])
    make_run(tmp_path / "results", "b", [True, False], list_hash="b")
    page = site("/compare?run=a&run=b")[2]
    assert "Different videos" in page
    assert "Of 2 videos" not in tell(page)


def test_classes_are_compared_widest_spread_first(tmp_path):
    make_run(tmp_path, "a", [True, True, True, True, True, True])
    make_run(tmp_path, "b", [True, False, True, True, False, False])
    results = browse.Results(tmp_path)
    table = browse.class_table([results.run("a"), results.run("b")])
    assert [(line["label"], line["spread"]) for line in table["lines"]] == [
        ("stand up", 1.0),
        ("wave", 0.5),
        ("sit down", 0.0),
    ]
    assert [value["value"] for value in table["lines"][0]["values"]] == [1.0, 0.0]


def test_only_differing_lines_of_the_protocol_are_shown(tmp_path):
    make_run(tmp_path, "a", [True], model="one.x")
    make_run(tmp_path, "b", [True], model="two.x")
    results = browse.Results(tmp_path)
    lines = browse.differing_protocol([results.run("a"), results.run("b")])
    assert lines == [{"name": "Model", "values": ["one.x", "two.x"]}]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("run=a", 400),
        ("run=a&run=a", 400),
        ("run=a&run=empty", 400),
        ("run=a&run=nobody", 404),
        ("run=a&run=..%2Fa", 404),
        ("&".join("run=a" for _ in range(99)), 400),
        ("run=a&run=b", 200),
    ],
)
def test_what_cannot_be_compared_is_said(site, tmp_path, query, status):
    make_run(tmp_path / "results", "a", [True])
    make_run(tmp_path / "results", "b", [False])
    make_run(tmp_path / "results", "empty", [])
    assert site(f"/compare?{query}")[0] == status


def test_pages_refer_to_nothing_outside(site, tmp_path):
    make_run(tmp_path / "results", "a", [True])
    make_run(tmp_path / "results", "b", [False])
    for path in ("/", "/compare?run=a&run=b", "/nothing"):
        page = site(path)[2]
        assert not re.findall(r"""(?:src|href|action)=["'](?:https?:)?//""", page)
        assert page.count("<h1>") == 1
        assert '<html lang="en">' in page


# --- the command


def program(monkeypatch, capsys, *words):
    """Exit status, output and errors of ``vidbench browse``, in this process."""
    monkeypatch.setattr(sys, "argv", ["vidbench", "browse", *map(str, words)])
    status = cli.main()
    said = capsys.readouterr()
    return status, said.out, said.err


def test_a_port_in_use_is_one_sentence(tmp_path, monkeypatch, capsys):
    with Server(tmp_path, port=0) as server:
        port = server.server_address[1]
        status, out, err = program(monkeypatch, capsys, "--results-dir", tmp_path, "--port", port)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"vidbench browse: port {port} cannot be used (")
    assert "choose another with --port" in err


@pytest.mark.parametrize(("name", "words"), [("file", "is no folder"), ("absent", "does not exist")])
def test_results_that_are_no_folder_are_refused(tmp_path, monkeypatch, capsys, name, words):
    (tmp_path / "file").write_text("")
    status, out, err = program(monkeypatch, capsys, "--results-dir", tmp_path / name)
    assert (status, out) == (2, "")
    assert f"--results-dir '{tmp_path / name}' {words}" in err


@pytest.mark.skipif(os.name == "nt", reason="ends a server as POSIX does")
@pytest.mark.parametrize(("number", "status", "words"), [(signal.SIGINT, 0, "Stopped."), (signal.SIGTERM, 143, "")])
def test_ctrl_c_ends_it_well_and_sigterm_as_it_ends_others(tmp_path, number, status, words):
    command = [sys.executable, "-m", "vidbench", "browse", "--port", "0", "--results-dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        address = re.search(r"are shown at http://(127\.0\.0\.1:\d+)/ until", process.stdout.readline())[1]
        connection = http.client.HTTPConnection(address, timeout=30)
        connection.request("GET", "/")
        assert b"No runs yet" in connection.getresponse().read()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out.strip()) == (status, words)
    assert "Traceback" not in err
    assert ("stopped. To continue: " in err) == (number == signal.SIGTERM)


@pytest.mark.parametrize(
    ("host", "status"),
    [("news.example.org:{}", 403), ("news.example.org", 200), ("localhost:{}", 200), ("127.0.0.1:{}", 200), ("", 200)],
)
def test_a_page_of_elsewhere_whose_name_was_turned_to_this_machine_reads_nothing(tmp_path, site, host, status):
    make_run(tmp_path / "results", "private", [True])
    found, _, page = site("/", headers={"Host": host.format(site.port)})
    assert found == status
    assert ("private" in page) == (status == 200)


def test_an_address_that_is_none_is_no_fault_of_ours(site, caplog):
    assert site("http://[", headers={"Host": ""})[0] == 404
    assert not caplog.records
