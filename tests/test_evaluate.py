"""An evaluation gives every listed video one row, the same bytes however it was run, and says what it is worth."""

import csv
import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vidbench import models
from vidbench.arguments import EVALUATE, EvaluateConfig
from vidbench.evaluate import EXIT_OK, EXIT_SKIPPED, evaluate
from vidbench.local import one_behind
from vidbench.manifest import command
from vidbench.records import ConfigError, RunError, WeightsError
from vidbench.stage_times import bottleneck

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ("rows.jsonl", "logits.npy", "predictions.csv", "metrics.json")
MODEL = "mini_r2plus1d.vidmini_v1"


def config(tmp_path, **changed) -> EvaluateConfig:
    values = {
        "model": MODEL, "dataset": "vidmini", "data_dir": str(ROOT / "data" / "vidmini"), "limit": 25, "batch_size": 4,
        "num_workers": 2, "no_cache": True, "results_dir": str(tmp_path / "results"), "run_name": "run",
        "device": "cpu", "precision": "fp32", **changed,
    }  # fmt: skip
    return EvaluateConfig(**values)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in RESULTS}


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    outcome = evaluate(config(tmp_path_factory.mktemp("reference")))
    return outcome, bytes_of(outcome.run_folder)


@pytest.fixture
def mixed_folder(tmp_path):
    """Seven good videos of two classes, and four that cannot be read."""
    folder = tmp_path / "videos"
    sources = sorted((ROOT / "data" / "vidmini" / "videos").glob("*/*.mp4"))
    classes = sorted({source.parent.name for source in sources})[:2]
    for name in classes:
        (folder / name).mkdir(parents=True)
    for number, source in enumerate([s for s in sources if s.parent.name == classes[0]][:4]):
        shutil.copyfile(source, folder / classes[0] / f"a{number}.mp4")
    for number, source in enumerate([s for s in sources if s.parent.name == classes[1]][:3]):
        shutil.copyfile(source, folder / classes[1] / f"b{number}.mp4")
    (folder / classes[0] / "a1_empty.mp4").write_bytes(b"")
    (folder / classes[0] / "a2_text.mp4").write_text("no video\n" * 100)
    (folder / classes[1] / "b0_dangling.mp4").symlink_to("nowhere.mp4")
    cut = sources[0].read_bytes()
    (folder / classes[1] / "b9_cut.mp4").write_bytes(cut[: len(cut) // 2])
    return folder


def test_every_listed_video_has_its_row_in_listed_order(reference):
    outcome, _ = reference
    rows = rows_of(outcome.run_folder)
    assert [row["index"] for row in rows] == list(range(25))
    assert len({row["video_id"] for row in rows}) == 25
    assert outcome.metrics["n_listed"] == 25
    assert outcome.metrics["n_ok"] + outcome.metrics["n_skipped"] == 25
    assert outcome.exit_status == EXIT_OK
    logits = np.load(outcome.run_folder / "logits.npy", allow_pickle=False)
    assert logits.shape == (25, 1, 12)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_the_number_of_workers_changes_no_byte(tmp_path, reference, num_workers):
    outcome = evaluate(config(tmp_path, num_workers=num_workers))
    assert bytes_of(outcome.run_folder) == reference[1]


def test_the_clip_cache_changes_no_byte(tmp_path, reference):
    for name in ("cold", "warm"):
        cached = config(tmp_path, no_cache=False, cache_dir=str(tmp_path / "clips"), run_name=name)
        assert bytes_of(evaluate(cached).run_folder) == reference[1]
    assert len(list((tmp_path / "clips").rglob("*.npy"))) == 25


def test_batch_size_changes_logits_within_rounding_and_no_prediction(tmp_path, reference):
    outcome = evaluate(config(tmp_path, batch_size=7))
    ours, theirs = (np.load(o.run_folder / "logits.npy", allow_pickle=False) for o in (outcome, reference[0]))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    assert [row["top"][0][0] for row in rows_of(outcome.run_folder)] == [
        row["top"][0][0] for row in rows_of(reference[0].run_folder)
    ]


def test_a_stopped_run_continues_to_the_same_bytes(tmp_path, reference):
    class Stop:
        def start(self, *_):
            pass

        def update(self, done, skipped):
            if done >= 8:
                raise KeyboardInterrupt

        def stop(self):
            pass

    first = evaluate(config(tmp_path), progress=Stop())
    assert first.exit_status == 130
    assert "8 of 25" in first.summary
    assert len(rows_of(first.run_folder)) == 8
    assert bytes_of(evaluate(config(tmp_path)).run_folder) == reference[1]


def test_a_finished_run_is_reported_again_without_a_model(tmp_path, reference, monkeypatch):
    outcome = evaluate(config(tmp_path))
    (outcome.run_folder / "report.html").unlink()
    monkeypatch.setattr(models, "load_model", None)
    for again in (config(tmp_path), config(tmp_path, report_only=True)):
        assert evaluate(again).metrics == outcome.metrics
    assert (outcome.run_folder / "report.html").exists()


def test_report_only_refuses_a_run_that_is_not_finished(tmp_path):
    outcome = evaluate(config(tmp_path))
    rows = outcome.run_folder / "rows.jsonl"
    rows.write_bytes(b"".join(rows.read_bytes().splitlines(keepends=True)[:8]))
    with pytest.raises(RunError, match="8 of 25 rows"):
        evaluate(config(tmp_path, report_only=True))
    with pytest.raises(RunError, match=r"a run folder\?"):
        evaluate(config(tmp_path, report_only=True, run_name="other"))


def test_report_only_refuses_options_of_another_run(tmp_path):
    evaluate(config(tmp_path))
    for changed, key in (
        ({"num_clips": 3}, "spec.num_clips"),
        ({"top_n": 12}, "run.top_n"),
        ({"seed": 7}, "dataset.seed"),
    ):
        with pytest.raises(RunError, match=key):
            evaluate(config(tmp_path, report_only=True, **changed))


def copy_of_vidmini(tmp_path) -> Path:
    return Path(shutil.copytree(ROOT / "data" / "vidmini", tmp_path / "vidmini"))


def test_a_report_needs_no_videos(tmp_path):
    folder = copy_of_vidmini(tmp_path)
    outcome = evaluate(config(tmp_path, data_dir=str(folder)))
    shutil.rmtree(folder / "videos")
    assert evaluate(config(tmp_path, data_dir=str(folder), report_only=True)).metrics == outcome.metrics


def test_a_video_that_changed_is_not_taken_for_the_one_that_was_predicted(tmp_path):
    folder = copy_of_vidmini(tmp_path)
    outcome = evaluate(config(tmp_path, data_dir=str(folder)))
    victim = folder / rows_of(outcome.run_folder)[9]["path"]
    other = next(
        path for path in (folder / "videos" / "PlayGuitar").iterdir() if path.stat().st_size != victim.stat().st_size
    )
    shutil.copyfile(other, victim)
    with pytest.raises(RunError, match=f"{victim.name} has changed"):
        evaluate(config(tmp_path, data_dir=str(folder)))


def test_a_video_that_was_missing_is_predicted_once_it_is_there(tmp_path, reference):
    folder = copy_of_vidmini(tmp_path)
    victim = folder / rows_of(reference[0].run_folder)[9]["path"]
    victim.rename(tmp_path / "aside.mp4")
    first = evaluate(config(tmp_path, data_dir=str(folder)))
    assert (first.metrics["statuses"]["missing"], first.exit_status) == (1, EXIT_SKIPPED)
    (tmp_path / "aside.mp4").rename(victim)
    again = evaluate(config(tmp_path, data_dir=str(folder)))
    assert again.exit_status == EXIT_OK
    assert bytes_of(again.run_folder) == reference[1]


def test_weights_that_do_not_fit_leave_the_run_name_free(tmp_path):
    bad = tmp_path / "bad.safetensors"
    bad.write_text("no weights")
    with pytest.raises(WeightsError):
        evaluate(config(tmp_path, weights=str(bad)))
    assert not (tmp_path / "results" / "run").exists()
    assert evaluate(config(tmp_path, limit=4)).exit_status == EXIT_OK


def test_the_command_in_the_manifest_is_this_run(tmp_path):
    asked = config(tmp_path, limit=4, classes=("SitDown", "StandUp"))
    words = json.loads((evaluate(asked).run_folder / "manifest.json").read_text())["command"]
    again = EVALUATE.parse_or_exit([*words[2:], "--results-dir", str(tmp_path / "results")])
    assert again == asked.checked()


def test_the_command_in_the_manifest_holds_no_login():
    words = command(EvaluateConfig(model="i3d.tfhub_kinetics400", weights="https://me:secret@example.org/a?id=3"))
    assert words[-2:] == ["--weights", "https://example.org/a?id=3"]


@pytest.mark.parametrize(
    ("changed", "key"),
    [({"batch_size": 5}, "run.batch_size"), ({"num_clips": 2}, "spec.num_clips"), ({"limit": 24}, "dataset.limit"),
     ({"precision": "bf16"}, "run.precision_asked"), ({"timeout": 5}, "decode.seconds"),
     ({"model": "mini2d.vidmini_v1"}, "model.name")],
)  # fmt: skip
def test_a_changed_configuration_is_refused_by_name(tmp_path, changed, key):
    evaluate(config(tmp_path))
    before = bytes_of(tmp_path / "results" / "run")
    with pytest.raises(RunError, match=key):
        evaluate(config(tmp_path, **changed))
    assert bytes_of(tmp_path / "results" / "run") == before


def test_unreadable_videos_stay_in_the_list_and_count_as_wrong(tmp_path, mixed_folder):
    outcome = evaluate(
        config(
            tmp_path, dataset="folder", data_dir=str(mixed_folder), label_map="names", limit=None, batch_size=3, top_n=2
        )
    )
    rows = {row["video_id"]: row for row in rows_of(outcome.run_folder)}
    assert len(rows) == 11
    status = {Path(name).name: row["status"] for name, row in rows.items()}
    assert status["a1_empty"] == "empty"
    assert status["a2_text"] == "not_media"
    assert status["b0_dangling"] == "not_regular"
    assert status["b9_cut"] not in ("ok", "empty")
    assert all(status[name] == "ok" for name in ("a0", "a1", "a2", "a3", "b0", "b1", "b2"))
    metrics = outcome.metrics
    assert (metrics["n_listed"], metrics["n_ok"] + metrics["n_skipped"]) == (11, 11)
    assert metrics["top1"]["listed"]["n"] == 11
    assert metrics["top1"]["readable"]["n"] == metrics["n_ok"]
    assert metrics["top1"]["listed"]["k"] == metrics["top1"]["readable"]["k"]
    assert outcome.exit_status == EXIT_SKIPPED
    logits = np.load(outcome.run_folder / "logits.npy", allow_pickle=False)
    for row in rows.values():
        assert np.isfinite(logits[row["index"]]).all() == (row["status"] in ("ok", "partial"))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_broken_file_of_a_class_that_the_model_lacks_is_called_both(tmp_path, mixed_folder, num_workers):
    lost, kept = sorted(path.name for path in mixed_folder.iterdir())
    label_map = tmp_path / "map.csv"
    label_map.write_text(f"dataset_label,model_label\n{kept},{kept}\n")
    asked = {"dataset": "folder", "data_dir": str(mixed_folder), "label_map": str(label_map), "limit": None}
    outcome = evaluate(config(tmp_path, **asked, num_workers=num_workers))
    rows = {Path(row["video_id"]).name: row for row in rows_of(outcome.run_folder) if row["label"] == lost}
    assert {row["status"] for row in rows.values()} == {"unknown_label"}
    unmapped = f"no class of the model is mapped to {lost}"
    assert {rows[f"a{number}"]["reason"] for number in range(4)} == {unmapped}
    assert rows["a1_empty"]["reason"].startswith(f"{unmapped}; besides, the file itself is empty: ")
    assert rows["a2_text"]["reason"].startswith(f"{unmapped}; besides, the file itself is not_media: ")
    assert outcome.metrics["ledger"]["states"]["no_class"] == len(rows) == 6


def test_few_classes_need_no_top_n(tmp_path, mixed_folder):
    asked = {"dataset": "folder", "data_dir": str(mixed_folder), "label_map": "names", "limit": None}
    outcome = evaluate(config(tmp_path, **asked))
    assert json.loads((outcome.run_folder / "manifest.json").read_text())["run"]["top_n"] == 2
    assert {len(row["top"]) for row in rows_of(outcome.run_folder) if row["top"]} == {2}
    with open(outcome.run_folder / "predictions.csv", newline="") as file:
        assert [name for name in next(csv.reader(file)) if name.startswith("pred")] == ["pred_1", "pred_2"]
    assert evaluate(config(tmp_path, **asked, report_only=True)).metrics == outcome.metrics
    with pytest.raises(RunError, match=r"run\.top_n was 2, now it is 1"):
        evaluate(config(tmp_path, **asked, report_only=True, top_n=1))


@pytest.fixture
def partial_copy(tmp_path):
    """Twelve of the 144 videos of vidmini's test split, with the list of all."""
    source, folder = ROOT / "data" / "vidmini", tmp_path / "copy"
    shutil.copytree(source / "splits", folder / "splits")
    for video in sorted((source / "videos").glob("*/*g01_c01.mp4")):
        (folder / "videos" / video.parent.name).mkdir(parents=True)
        shutil.copyfile(video, folder / "videos" / video.parent.name / video.name)
    return folder


def fetched(folder: Path, lost: dict) -> None:
    """What a fetch leaves below a data folder, whose archives were all read."""
    archive = {"state": "read", "num_bytes": 1, "sha256": "0", "clips": dict.fromkeys(lost, 1)}
    state = {"schema": 1, "listed_archives": 1, "rate": 1.0, "sizes": {}, "archives": {"a": archive}, "lost": lost}
    (folder / ".fetch").mkdir()
    (folder / ".fetch" / "test.json").write_text(json.dumps(state))


@pytest.mark.parametrize("present_only", [False, True])
def test_a_run_accounts_for_every_annotated_video(tmp_path, partial_copy, present_only):
    fetched(partial_copy, {"v_SitDown_g02_c01": "no moov atom"})
    asked = {"data_dir": str(partial_copy), "limit": None, "max_skipped": 1.0, "present_only": present_only}
    outcome = evaluate(config(tmp_path, **asked))
    ledger = outcome.metrics["ledger"]
    assert outcome.metrics["n_listed"] == (12 if present_only else 144)
    assert ledger["n_annotated"] == 144
    assert {state: n for state, n in ledger["states"].items() if n} == {"ok": 12, "not_hosted": 131, "fetch_failed": 1}
    right = outcome.metrics["top1"]["readable"]["k"]
    assert ledger["bounds"] == {"low": right / 144, "high": (right + 132) / 144, "n": 144, "n_read": 12, "n_lost": 0}
    assert json.loads((outcome.run_folder / "metrics.json").read_text())["ledger"] == ledger
    with open(outcome.run_folder / "ledger.csv", newline="") as file:
        lines = {line["video_id"]: line for line in csv.DictReader(file)}
    assert len(lines) == 144
    lost = lines["v_SitDown_g02_c01"]
    assert (lost["state"], lost["reason"]) == ("fetch_failed", "no moov atom")
    ends = f"{100 * right / 144:.1f} to {100 * (right + 132) / 144:.1f} %"
    assert f"top-1 over all 144 annotated videos is {ends} (132 not read" in outcome.summary
    page = (outcome.run_folder / "report.html").read_text()
    assert "no moov atom" in page
    again = evaluate(config(tmp_path, **asked, report_only=True))
    assert again.metrics["ledger"] == ledger
    assert (outcome.run_folder / "report.html").read_text() == page


def test_the_share_of_skipped_videos_decides_the_exit_status(tmp_path, mixed_folder):
    asked = {"dataset": "folder", "data_dir": str(mixed_folder), "label_map": "names", "limit": None, "top_n": 2}
    assert evaluate(config(tmp_path, **asked, max_skipped=0.5)).exit_status == EXIT_OK
    assert evaluate(config(tmp_path, **asked, max_skipped=0.1)).exit_status == EXIT_SKIPPED


def test_a_label_space_that_differs_is_refused_before_any_work(tmp_path):
    with pytest.raises(ConfigError, match="--label-map names"):
        evaluate(config(tmp_path, model="r3d_18", weights="random"))
    assert not (tmp_path / "results").exists()


def test_random_weights_are_called_no_result_everywhere(tmp_path):
    outcome = evaluate(config(tmp_path, weights="random", limit=3))
    page = (outcome.run_folder / "report.html").read_text()
    with open(outcome.run_folder / "predictions.csv", newline="") as file:
        notes = {row["note"] for row in csv.DictReader(file)}
    assert "no result" in outcome.summary.lower()
    assert "no result" in page.lower()
    assert notes == {"random weights: no result"}


def test_a_network_that_gives_nan_costs_rows_and_not_the_run(tmp_path, monkeypatch):
    submit = models.Model.submit

    def sometimes_nan(self, pixels, batch_size):
        found = submit(self, pixels, batch_size)()
        found[0] = np.full_like(found[0], np.nan)
        return lambda: found

    monkeypatch.setattr(models.Model, "submit", sometimes_nan)
    outcome = evaluate(config(tmp_path, limit=8))
    assert [row["status"] for row in rows_of(outcome.run_folder)] == ["nonfinite", *["ok"] * 3] * 2
    assert outcome.metrics["statuses"] == {"ok": 6, "nonfinite": 2}


def test_a_dry_run_says_what_it_costs_and_writes_nothing(tmp_path):
    outcome = evaluate(config(tmp_path, dry_run=True))
    assert outcome.exit_status == EXIT_OK
    for word in ("25 listed", "25 present", "hours", "disk", MODEL, "weights    part of vidbench"):
        assert word in outcome.summary
    assert not (tmp_path / "results").exists()


def test_other_weights_do_not_continue_a_run(tmp_path, monkeypatch):
    outcome = evaluate(config(tmp_path))
    rows = outcome.run_folder / "rows.jsonl"
    rows.write_bytes(b"".join(rows.read_bytes().splitlines(keepends=True)[:8]))
    load_model = models.load_model

    def other(*args, **more):
        model = load_model(*args, **more)
        model.weights_sha256 = "0" * 64
        return model

    monkeypatch.setattr(models, "load_model", other)
    with pytest.raises(RunError, match="weights have the hash"):
        evaluate(config(tmp_path))


def test_the_manifest_says_what_each_stage_cost(reference):
    facts = json.loads((reference[0].run_folder / "manifest.json").read_text())
    assert set(facts["timing"]["seconds"]) == {"decode", "transform", "transfer", "forward", "tuning", "wall"}
    assert all(seconds >= 0 for seconds in facts["timing"]["seconds"].values())
    assert facts["timing"]["peak_rss_mb"] > 50
    assert facts["timing"]["num_videos"] == 25
    assert facts["timing"]["bottleneck"] in ("decode", "forward", "start")
    assert len(facts["model"]["weights_sha256"]) == 64
    assert facts["environment"]["packages"]["av"]


def test_the_bottleneck_is_the_side_that_keeps_the_other_waiting():
    assert bottleneck({"decode": 30, "transform": 2, "forward": 10}, num_workers=2) == "decode"
    assert bottleneck({"decode": 30, "transform": 2, "forward": 10}, num_workers=4) == "forward"
    assert bottleneck({"decode": 1, "transform": 0, "forward": 1, "wall": 13, "tuning": 2}, num_workers=1) == "start"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_videos(tmp_path):
    """Peak memory of 1,000 videos is at most 1.1 times that of 100, each in a process of its own."""
    script = ROOT / "benchmarks" / "evaluation.py"
    done = subprocess.run(
        [sys.executable, str(script), "memory", "--videos", "100", "1000"], capture_output=True, text=True, check=True
    )
    ratio = float(re.search(r"ratio ([\d.]+)", done.stdout).group(1))
    assert ratio <= 1.1, done.stdout


def test_the_benchmark_of_a_gpu_runs_on_a_processor(monkeypatch, capsys):
    """Few have the GPU that it is for; here it must only go through."""
    path = ROOT / "benchmarks" / "gpu.py"
    options = ["--data-dir", str(ROOT / "data" / "vidmini" / "videos"), "--model", "mini2d", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", [str(path), *options, "--videos", "5", "--rounds", "1", "--cached"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    runpy.run_path(str(path), run_name="__main__")
    first, last = capsys.readouterr().out.splitlines()
    assert re.match(r"round 1: reading [\d.]+ s, network [\d.]+ s, evaluation [\d.]+ s", first)
    assert re.search(r"5 videos, cached, .*clips/s over the network's [\d.]+ \[[\d.]+, [\d.]+\], 1 rounds$", last)


def test_a_new_head_runs_any_network_on_any_classes_and_says_that_it_is_no_result(tmp_path):
    changed = {"model": "mini2d", "dataset": "folder", "data_dir": str(ROOT / "data" / "vidmini" / "videos")}
    outcome = evaluate(config(tmp_path, **changed, new_head=True, limit=12))
    facts = json.loads((outcome.run_folder / "manifest.json").read_text())
    assert facts["model"]["new_head"] is facts["model"]["random"] is True
    assert np.load(outcome.run_folder / "logits.npy").shape == (12, 1, 12)
    assert "the last layer is new and random" in outcome.summary


def test_weights_of_other_classes_do_not_become_a_result_by_a_new_head(tmp_path):
    weights = models.SHIPPED / "mini2d.vidmini_v1.safetensors"
    two = tmp_path / "two"
    for name in ("SitDown", "StandUp"):
        shutil.copytree(ROOT / "data" / "vidmini" / "videos" / name, two / name)
    changed = {"model": "mini2d", "dataset": "folder", "data_dir": str(two), "weights": str(weights), "top_n": 2}
    with pytest.raises(ConfigError, match="has the 12 classes of vidmini and not the 2 of folder"):
        evaluate(config(tmp_path, **changed, new_head=True, limit=4))
    assert not (tmp_path / "results" / "run").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"label_map": "names"}, "nothing for --label-map to join"),
        ({"model": "movinet_a0_stream.k600_int8"}, "needs a network in torch"),
    ],
)
def test_a_new_head_where_there_cannot_be_one_is_refused(tmp_path, changed, message):
    with pytest.raises(ConfigError, match=message):
        config(tmp_path, **changed, new_head=True).checked()


def test_one_behind_gives_every_item_once_when_the_next_is_there():
    seen = []

    def numbers():
        for number in range(4):
            seen.append(number)
            yield number

    given = [(item, len(seen)) for item in one_behind(numbers())]
    assert given == [(0, 2), (1, 3), (2, 4), (3, 4)]
    assert list(one_behind([])) == []


@pytest.mark.gpu
def test_a_gpu_ends_with_the_rows_of_the_processor(tmp_path, reference):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    outcome = evaluate(config(tmp_path, device="cuda"))
    ours, theirs = rows_of(outcome.run_folder), rows_of(reference[0].run_folder)
    assert [row["top"][0][:2] for row in ours] == [row["top"][0][:2] for row in theirs]
    logits = [np.load(folder / "logits.npy") for folder in (outcome.run_folder, reference[0].run_folder)]
    np.testing.assert_allclose(*logits, atol=1e-3)
    facts = json.loads((outcome.run_folder / "manifest.json").read_text())
    assert facts["run"]["device"] == "cuda"
    again = evaluate(config(tmp_path, device="cuda", run_name="again"))
    assert np.array_equal(np.load(again.run_folder / "logits.npy"), logits[0])
