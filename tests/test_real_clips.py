"""Real clips, official lists and a real Kinetics-600 model, end to end."""

import json
from pathlib import Path

import pytest
from test_decode import HMDB51, ODD

from vidbench.arguments import EvaluateConfig
from vidbench.evaluate import evaluate

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.shared


@pytest.fixture(params=["movinet_a0_stream.k600_int8", "movinet_a0_stream.k600"], ids=["tflite", "torch"])
def movinet(request, shared_dir, tmp_path):
    def run(**asked):
        values = {
            "model": request.param,
            "weights": str(shared_dir / "data" / "weights" / "movinet_a0_stream_k600_int8.tflite"),
            "no_cache": True, "results_dir": str(tmp_path), "run_name": "run", "num_workers": 2, **asked,
        }  # fmt: skip
        return evaluate(EvaluateConfig(**values))

    return run


def rows_of(outcome) -> list[dict]:
    return [json.loads(line) for line in (outcome.run_folder / "rows.jsonl").read_text().splitlines()]


def test_movinet_is_right_on_all_four_kinetics_400_clips(movinet, shared_dir):
    outcome = movinet(
        dataset="kinetics400", data_dir=str(shared_dir / "data" / "kinetics400"), label_map="names", present_only=True
    )
    assert outcome.metrics["n_listed"] == 4
    assert outcome.metrics["top1"]["listed"]["k"] == 4
    assert outcome.exit_status == 0
    page = (outcome.run_folder / "report.html").read_text()
    assert "arm wrestling" in page
    assert "Mapped labels" in page


def test_the_full_list_counts_absent_clips_as_skipped(movinet, shared_dir):
    outcome = movinet(
        dataset="kinetics400", data_dir=str(shared_dir / "data" / "kinetics400"), label_map="names",
        classes=("arm wrestling", "bungee jumping"),
    )  # fmt: skip
    assert outcome.metrics["n_ok"] == 4
    assert outcome.metrics["statuses"]["missing"] == outcome.metrics["n_listed"] - 4 > 50
    assert outcome.metrics["top1"]["listed"]["n"] == outcome.metrics["n_listed"]
    assert outcome.exit_status == 3


@pytest.mark.slow
def test_movinet_reaches_95_percent_on_the_official_ucf101_test_groups(movinet, shared_dir):
    outcome = movinet(
        dataset="ucf101", data_dir=str(shared_dir / "data" / "ucf101"), present_only=True,
        label_map=str(ROOT / "scripts" / "label_maps" / "ucf101_to_kinetics600.csv"),
    )  # fmt: skip
    assert outcome.metrics["n_listed"] >= 30
    assert outcome.metrics["n_skipped"] == 0
    assert outcome.metrics["top1"]["listed"]["value"] >= 0.95
    assert all(row["group"] for row in rows_of(outcome))
    assert (outcome.run_folder / "report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_the_torch_path_runs_on_real_clips_and_says_it_is_no_result(shared_dir, tmp_path):
    asked = EvaluateConfig(
        model="r3d_18", weights="random", dataset="kinetics400", data_dir=str(shared_dir / "data" / "kinetics400"),
        present_only=True, no_cache=True, num_clips=1, results_dir=str(tmp_path), precision="fp32", num_workers=2,
    )  # fmt: skip
    outcome = evaluate(asked)
    assert outcome.metrics["n_ok"] == 4
    assert "no result" in outcome.summary.lower()
    assert [row["num_frames"] for row in rows_of(outcome)] == [300, 300, 300, 300]


def evaluate_list(folder: Path, names: list[str], tmp_path: Path) -> dict[str, dict]:
    """One row a file, from a list of paths and the single-frame mini model with random weights."""
    (tmp_path / "list.csv").write_text("path,label\n" + "".join(f'"{name}",abseiling\n' for name in names))
    asked = EvaluateConfig(
        model="r3d_18", weights="random", dataset="csv", data_dir=str(folder), annotations=str(tmp_path / "list.csv"),
        label_map="names", no_cache=True, num_clips=1, num_frames=2, results_dir=str(tmp_path), precision="fp32",
        num_workers=2, top_n=1, max_skipped=1,
    )  # fmt: skip
    rows = rows_of(evaluate(asked))
    assert [row["path"] for row in rows] == names
    return {row["path"]: row for row in rows}


def test_every_odd_file_ends_as_one_row_with_its_status_and_frame_count(shared_dir, tmp_path):
    rows = evaluate_list(shared_dir / "data" / "odd", sorted(ODD), tmp_path)
    found = {name: (row["status"], row["num_frames"]) for name, row in rows.items()}
    assert found == {name: (status, num_frames) for name, (status, num_frames, _, _) in ODD.items()}


def test_the_hmdb51_clips_are_whole_whatever_their_headers_say(shared_dir, tmp_path):
    folder = shared_dir / "data" / "hmdb51" / "hmdb51_org"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.avi"))
    rows = evaluate_list(folder, names, tmp_path)
    found = {Path(name).parts[0]: (row["status"], row["num_frames"]) for name, row in rows.items()}
    assert found == {name: ("ok", num_frames) for name, (num_frames, _) in HMDB51.items()}
