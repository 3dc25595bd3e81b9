"""Bad weights files: each is refused with one sentence, nothing in it runs, and no memory is asked for in vain."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# One process for all files, so that its peak memory and its survival can be seen from outside.
PROBE = """
import json, sys, time
import torch
from vidbench.checkpoints import fit, load_state_dict_file
from vidbench.records import WeightsError

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(8, 5)

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:")) // 1024

for path in json.load(sys.stdin):
    before, start, notes = peak(), time.monotonic(), ()
    try:
        state = load_state_dict_file(path)
        net = Net()
        fit(net, state, "the test's network")
        outcome, words, notes = "ok", "", state.notes
        loaded = {k: list(v.shape) for k, v in net.state_dict().items()}
    except WeightsError as problem:
        outcome, words, loaded = "refused-with-clear-error", str(problem), None
    print(json.dumps([path, outcome, words, notes, loaded, peak() - before, time.monotonic() - start]), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes(torture):
    folder, items = torture("checkpoints")
    paths = [str(folder / item["path"]) for item in items]
    done = subprocess.run(
        [sys.executable, "-c", PROBE], input=json.dumps(paths), capture_output=True, text=True, timeout=300, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = {Path(line[0]).name: line[1:] for line in map(json.loads, done.stdout.splitlines())}
    return folder, items, found


@pytest.mark.shared
def test_every_bad_checkpoint_ends_as_expected(outcomes):
    _, items, found = outcomes
    assert len(items) >= 39
    for item in items:
        outcome, words, _, loaded, megabytes, seconds = found[Path(item["path"]).name]
        assert outcome in item["expect"], (item["path"], outcome, words)
        assert seconds < 20, item["path"]
        assert megabytes < min(300, item.get("budget_mb", 300)), (item["path"], megabytes)
        if outcome == "ok":
            assert loaded == {"fc.weight": [5, 8], "fc.bias": [5]}
        else:
            assert words.endswith((".", "…")), words
            assert "\n" not in words, words
            assert "weights_only" not in words, "torch's own advice turns the safety off"


@pytest.mark.shared
def test_no_code_from_a_checkpoint_runs(outcomes):
    folder, _, found = outcomes
    assert len([name for name in found if name.startswith("evil")]) == 4
    assert not list((folder / "MARKERS").glob("*"))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("evil_zip.pt", "asks to run 'exec'"),
        ("torchscript_like.pt", "TorchScript"),
        ("html.pt", "<html>"),
        ("lfs_pointer.safetensors", "git lfs pull"),
        ("trunc_00.pt", "empty"),
        ("missing_key.pt", "'fc.bias'"),
        ("extra_key.safetensors", "'head.extra'"),
        ("wrong_shape.pt", "400 classes where 5 are asked"),
        ("nan_weights.pt", "NaN"),
        ("huge_shape.pt", "8,464,000,020 bytes"),
        ("header_len_99mb.safetensors", "goes past its end"),
    ],
)
def test_the_sentence_names_what_is_wrong(outcomes, name, words):
    assert words in outcomes[2][name][1]


@pytest.mark.shared
def test_the_prefix_of_data_parallel_is_taken_off_and_said(outcomes):
    assert outcomes[2]["prefix_module.pt"][2] == ["took the prefix 'module.' off every name"]


def test_legacy_files_of_torch_save_still_load(tmp_path):
    # torchvision's older weights are in this format: a pickle, no zip
    import torch

    from vidbench.checkpoints import load_state_dict_file

    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.arange(4)}
    torch.save(tensors, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    state = load_state_dict_file(tmp_path / "old.pth")
    assert torch.equal(state.tensors["a"], tensors["a"])
    assert torch.equal(state.tensors["b"], tensors["b"])


def test_weights_beside_an_optimiser_are_found(tmp_path):
    import torch

    from vidbench.checkpoints import load_state_dict_file

    torch.save({"epoch": 7, "state_dict": {"module.w": torch.ones(3)}, "optimizer": {}}, tmp_path / "run.pth")
    state = load_state_dict_file(tmp_path / "run.pth")
    assert list(state.tensors) == ["w"]
    assert state.notes == ("took the weights under 'state_dict'", "took the prefix 'module.' off every name")


def test_paths_that_are_no_file_are_refused(tmp_path):
    from vidbench.checkpoints import load_state_dict_file
    from vidbench.records import WeightsError

    with pytest.raises(WeightsError, match="There is no weights file"):
        load_state_dict_file(tmp_path / "absent.pth")
    with pytest.raises(WeightsError, match="is no file"):
        load_state_dict_file(tmp_path)


def test_random_bytes_behind_every_known_beginning_are_refused(tmp_path):
    import numpy as np

    from vidbench.checkpoints import load_state_dict_file
    from vidbench.records import WeightsError

    rng = np.random.default_rng(3)
    for number, head in enumerate((b"PK\x03\x04", b"\x80\x02", b"\x80\x04", struct.pack("<Q", 64), b"")):
        for length in (1, 30, 5000):
            for suffix in (".pth", ".safetensors"):
                path = tmp_path / f"{number}-{length}{suffix}"
                path.write_bytes(head + rng.bytes(length))
                with pytest.raises(WeightsError):
                    load_state_dict_file(path)
