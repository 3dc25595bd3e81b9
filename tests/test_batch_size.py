"""A batch size that is found: what fits and saves time, once in the life of a run."""

import pytest
import torch
from test_evaluate import bytes_of, config

from vidbench import evaluate, forward, models
from vidbench.local import Here
from vidbench.plan import make_plan
from vidbench.records import ConfigError, RunError
from vidbench.runs import read_json

FAST = {"model": "mini2d.vidmini_v1", "num_workers": 0, "limit": 21}


@pytest.mark.parametrize(("room", "found"), [(40, 32), (8, 8), (5, 4), (1, 1)])
def test_a_batch_that_does_not_fit_is_never_chosen(monkeypatch, room, found):
    model = models.load_model("mini2d.vidmini_v1")
    tried = []

    def score(views, clock):
        tried.append(len(views))
        if len(views) > room:
            raise torch.OutOfMemoryError("full")
        return torch.zeros(len(views), 12)

    def seconds(network, views, choice):
        network.logits([views], len(views))
        return 1.0  # a batch of any size takes as long

    monkeypatch.setattr(model.network, "_score", score)
    monkeypatch.setattr(forward, "_timed", seconds)
    assert forward.find_batch_size(model) == found
    assert model.halved_batches == 0
    assert (model.precision, model.memory_format) == ("fp32", "contiguous")
    assert max(tried) <= 2 * max(8, room)


def test_a_single_view_that_does_not_fit_is_said(monkeypatch):
    model = models.load_model("mini2d.vidmini_v1")

    def score(views, clock):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(model.network, "_score", score)
    with pytest.raises(ConfigError, match=r"One view of 8 frames of .* does not fit into the memory"):
        forward.find_batch_size(model)


@pytest.mark.parametrize(("precision", "tried"), [("auto", "fp32"), ("fp32", "fp32"), ("bf16", "bf16")])
def test_a_size_is_found_in_the_precision_of_the_run(tmp_path, monkeypatch, precision, tried):
    asked = []

    def seconds(network, views, choice):
        network.configure(*choice)
        asked.append(network.precision)
        return 0.1 * len(views)

    monkeypatch.setattr(forward, "_timed", seconds)
    monkeypatch.setattr("vidbench.local.is_cuda", lambda device: True)
    asking = config(tmp_path, **FAST, batch_size="auto", precision=precision).checked()
    engine = Here(asking, make_plan(asking))
    assert engine.find_batch_size() == 8
    assert set(asked) == {tried}
    assert engine.model.precision == "fp32"


def test_a_real_network_has_a_size_that_it_can_compute():
    model = models.load_model("mini2d.vidmini_v1")
    size = forward.find_batch_size(model)
    assert size in (8, 16, 32, 64, 128, 256)
    assert model.seconds == {"transform": 0.0, "transfer": 0.0, "forward": 0.0}  # nothing of it is the run's work


def test_a_processor_takes_eight_and_a_run_keeps_what_it_began_with(tmp_path, monkeypatch):
    eight = evaluate.evaluate(config(tmp_path, **FAST, batch_size=8, run_name="eight"))
    auto = evaluate.evaluate(config(tmp_path, **FAST, batch_size="auto", run_name="auto"))
    assert bytes_of(auto.run_folder) == bytes_of(eight.run_folder)
    monkeypatch.setattr(Here, "find_batch_size", lambda self: 5)
    five = evaluate.evaluate(config(tmp_path, **FAST, batch_size="auto", run_name="five"))
    manifest = read_json(five.run_folder / "manifest.json")
    assert manifest["run"]["batch_size"] == 5
    assert manifest["command"][manifest["command"].index("--batch-size") + 1] == "5"  # makes it again anywhere
    rows = five.run_folder / "rows.jsonl"
    whole = bytes_of(five.run_folder)
    rows.write_bytes(b"".join(rows.read_bytes().splitlines(keepends=True)[:13]))
    monkeypatch.setattr(Here, "find_batch_size", None)  # is not asked again
    again = evaluate.evaluate(config(tmp_path, **FAST, batch_size="auto", run_name="five"))
    assert bytes_of(again.run_folder) == whole
    assert evaluate.evaluate(config(tmp_path, **FAST, batch_size="auto", run_name="five", report_only=True))
    with pytest.raises(RunError, match=r"run\.batch_size was 5, now it is 8"):
        evaluate.evaluate(config(tmp_path, **FAST, batch_size=8, run_name="five"))


def test_parts_of_a_list_need_a_number(tmp_path):
    with pytest.raises(ConfigError, match="--batch-size must be a number with --shard, the same one for every part"):
        evaluate.evaluate(config(tmp_path, **FAST, batch_size="auto", shard="1/2"))
