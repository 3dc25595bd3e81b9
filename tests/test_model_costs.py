"""docs/models.md says what the cards say and what was measured; measuring goes on where it stopped."""

import csv
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from vidbench.models import CARDS
from vidbench.records import ConfigError

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "benchmarks" / "models.py"


@pytest.fixture(scope="module")
def costs():
    spec = importlib.util.spec_from_file_location("benchmarks_models", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_in_step_with_the_cards_and_the_measurements(costs):
    text = costs.PAGE.read_text(encoding="utf-8")
    assert text == costs.generated(text, []), "run: python benchmarks/models.py write"


def test_every_network_is_counted_and_has_the_parameters_of_its_card(costs):
    counts = costs.read(costs.COUNTS)["counts"]
    assert {name for name, card in CARDS.items() if card.can_be_random} == set(counts)
    for name, found in counts.items():
        assert found["params"] == CARDS[name].params, name
        assert found["view"] == list(costs.view_shape(CARDS[name])), f"{name}: run benchmarks/models.py count"
        assert found["macs"] > 0


@pytest.mark.parametrize("name", ["mini2d.vidmini_v1", "r3d_18.kinetics400_v1", "tsn_resnet18.untrained"])
def test_counting_again_gives_what_is_written(costs, name):
    found = costs.count(CARDS[name])
    assert found == costs.read(costs.COUNTS)["counts"][name]


def test_a_multiply_add_is_counted_once():
    # of a network that can be counted by hand: 3x3 filters from 3 to 5 planes on 4x6 pixels, then 5 to 7 numbers
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, 3, padding=1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(5, 7)
    )
    counter = FlopCounterMode(display=False)
    with counter:
        net(torch.zeros(1, 3, 4, 6))
    assert counter.get_total_flops() // 2 == 3 * 5 * 9 * 24 + 5 * 7


@pytest.mark.shared
def test_counts_are_those_of_the_table_of_models(costs, shared_dir):
    counts = costs.read(costs.COUNTS)["counts"]
    with open(shared_dir / "reference" / "models.csv", newline="") as file:
        rows = {row["model"]: row for row in csv.DictReader(file) if row["library"] == "torchvision"}
    compared = 0
    for name, found in counts.items():
        row = rows.get(CARDS[name].architecture) if CARDS[name].build.startswith("torchvision.") else None
        if row is None:
            continue
        parts = [part.split(" at ") for part in row["gmacs_per_view"].split(", ")]
        at = {int(part[1].removesuffix("f")): float(part[0]) for part in parts if len(part) == 2}
        expected = at[found["view"][0]] if at else float(row["gmacs_per_view"])
        assert abs(found["macs"] / 1e9 - expected) < 0.05, name
        assert found["params"] == int(row["params"])
        compared += 1
    assert compared == 10
    assert abs(counts["i3d.rgb_imagenet_k400"]["macs"] / 1e9 - 434.946) < 0.001  # at 250 frames


@pytest.mark.shared
def test_counts_of_pytorchvideo_are_its_zoos_or_a_little_below(costs, shared_dir):
    # The zoo does not say what it counts: some of its figures are ours, X3D's are 8 % higher.
    counts = costs.read(costs.COUNTS)["counts"]
    with open(shared_dir / "reference" / "published_results.csv", newline="") as file:
        zoo = {row["weights_url"]: row for row in csv.DictReader(file)}
    shares = {}
    for name, card in CARDS.items():
        if card.kind == "torchhub":
            row = zoo[card.weights.url]
            shares[name] = counts[name]["macs"] / 1e9 / float(row["gflops_per_view"])
            assert abs(counts[name]["params"] / 1e6 - float(row["params_m"])) < 0.006, name
    assert len(shares) == 12
    assert all(0.9 < share < 1.001 for share in shares.values()), shares
    assert abs(shares["slowfast_r50.kinetics400_ptv"] - 1) < 1e-3
    assert abs(shares["slow_r50.kinetics400_ptv"] - 1) < 1e-3


def asked(out, *names, batch_sizes=(1,), **more):
    """The options of ``measure``."""
    usual = {"seconds": 0.01, "precisions": ["fp32"], "memory_format": "contiguous", "budget": 600, "limit": 300}
    usual |= {"in_process": True, "again": False, "note": "", "device": "cpu"}
    return SimpleNamespace(out=out, models=names, batch_sizes=list(batch_sizes), **usual | more)


def test_measuring_goes_on_where_it_stopped_and_the_page_shows_it(costs, tmp_path, monkeypatch):
    out = tmp_path / "here.json"
    words = ["--device", "cpu", "--seconds", "0.01", "--precisions", "fp32", "--batch-sizes", "1", "--models", "mini2d"]
    run = [sys.executable, str(SCRIPT), "measure", *words, "--out", str(out)]
    first = subprocess.run(run, capture_output=True, text=True, timeout=300)
    assert first.returncode == 0, first.stderr
    before = json.loads(out.read_text())
    monkeypatch.setattr(costs, "device_facts", lambda device: before["device"])  # other tests set threads
    costs.measure_all(asked(out, "mini2d", "mini_r2plus1d", batch_sizes=(2, 1)))
    found = json.loads(out.read_text())
    rows = {(row["model"].partition(".")[0], row["batch_size"]): row for row in found["rows"]}
    assert list(rows) == [("mini2d", 1), ("mini2d", 2), ("mini_r2plus1d", 1), ("mini_r2plus1d", 2)]
    assert found["rows"][0] == before["rows"][0], "what was there is not measured again"
    for row in rows.values():
        assert row["n"] >= 5
        assert 0 < row["p50_ms"] <= row["p95_ms"]
        assert row["views_per_s"] > 0
        assert row["peak_mb"] > 100
    text = costs.page(costs.read(costs.COUNTS), [found])
    shown = f"{rows['mini2d', 1]['p50_ms']:.1f} ({rows['mini2d', 1]['p95_ms']:.1f})"
    assert f"| {shown} |" in text.replace("\N{NO-BREAK SPACE}", " ")
    assert found["device"]["name"] in text


def test_what_fails_is_a_row_with_its_reason_and_another_device_is_refused(costs, tmp_path):
    out = tmp_path / "here.json"
    costs.measure_all(asked(out, "mini2d", batch_sizes=(1, 8), in_process=False, limit=0.2))
    found = json.loads(out.read_text())
    assert [row["failed"] for row in found["rows"]] == ["took longer than 0 s"] * 2
    assert "took longer than 0 s" in costs.page(costs.read(costs.COUNTS), [found])
    assert costs.resumed(out, found["device"], again=True) == {}
    with pytest.raises(ConfigError, match=r"was measured with name .*, and this is another: name another --out"):
        costs.resumed(out, {**found["device"], "name": "another"}, again=False)


def test_a_network_that_fails_does_not_end_the_others(costs, monkeypatch):
    args = SimpleNamespace(seconds=0.01, in_process=True)
    key = ("mini2d.vidmini_v1", "fp32", 1, "contiguous")
    monkeypatch.setattr(costs.models, "build_module", lambda card: 1 / 0)
    (row,) = costs.measure_model(key[0], "cpu", [key], args, float("inf"))
    assert row == {**dict(zip(costs.KEY, key)), "failed": "ZeroDivisionError: division by zero"}
    assert not list(costs.measure_model(key[0], "cpu", [key], args, 0.0)), "nothing is begun after the deadline"


def test_published_and_measured_numbers_never_share_a_table(costs):
    text = costs.PAGE.read_text(encoding="utf-8")
    heads = [line for line in text.splitlines() if line.startswith("| model |")]
    assert len(heads) > 10
    for line in heads:
        assert not ("published" in line and ("ms" in line or "views/s" in line))
    for card in CARDS.values():
        assert f"`{card.name}`" in text
        if card.reported:
            assert card.reported.source in text
            assert card.reported.protocol in text
