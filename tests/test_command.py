"""The command vidbench: the same as the scripts, quick to answer, and what predict, ls, env and completion say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vidbench import answer, cli, environment, listing
from vidbench.ask_arguments import COMPLETION, LS, PREDICT, LsConfig
from vidbench.data.catalog import DATASETS
from vidbench.data.practice import PracticeServer
from vidbench.data.web import megabytes
from vidbench.flags import make_parser
from vidbench.models import list_models
from vidbench.records import ConfigError

ROOT = Path(__file__).resolve().parents[1]
CLIP = ROOT / "data" / "vidmini" / "videos" / "SitDown" / "v_SitDown_g01_c01.mp4"
HEAVY = {"torch", "torchvision", "tensorflow", "pandas", "av", "cv2", "sklearn", "matplotlib", "jinja2", "transformers"}
SCRIPTS = {  # command → script of the same name
    name: ROOT / "scripts" / f"{name.replace('-', '_')}.py"
    for name in cli.COMMANDS
    if (ROOT / "scripts" / f"{name.replace('-', '_')}.py").is_file()
}


def start(*words, cwd=ROOT, python=(), **more):
    command = [sys.executable, *python, "-m", "vidbench", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=200, **more)


def run(capsys, monkeypatch, *words) -> tuple[int, str, str]:
    """Exit status, output and errors of a command, run in this process."""
    monkeypatch.setattr(sys, "argv", ["vidbench", *map(str, words)])
    status = cli.main()
    said = capsys.readouterr()
    return status, said.out, said.err


def parser_of(name: str):
    return make_parser(cli.COMMANDS[name].program)


# --- the table


def test_every_command_is_a_script_or_one_of_four():
    assert set(cli.COMMANDS) - set(SCRIPTS) == {"predict", "ls", "env", "completion"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_nothing_but_its_command(name):
    text = SCRIPTS[name].read_text(encoding="utf-8")
    assert "run_script(__file__)" in text
    assert len(text.splitlines()) < 20


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_help_of_a_command_is_that_of_its_script_under_another_name(name, monkeypatch):
    def words() -> list[str]:
        return re.sub(r"\bvidbench\s+([a-z]+(?:-\s*[a-z]+)?)", r"\1", parser_of(name).format_help()).split()

    script = [re.sub(r"(?:scripts/)?([a-z_]+)\.py\b", lambda m: m[1].replace("_", "-"), word) for word in words()]
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/vidbench", name])
    command = words()
    assert "".join(command) == "".join(script)
    assert ".py" not in " ".join(command)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(name, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["vidbench", name, "--help"])
    status = cli.main()
    said = capsys.readouterr().out
    assert status == 0
    assert said.startswith(f"usage: vidbench {name} ")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_texts_name_scripts_that_are_commands(name):
    named = set(re.findall(r"\b([a-z_]+)\.py\b", parser_of(name).format_help()))
    assert {script.replace("_", "-") for script in named} <= set(cli.COMMANDS)


def test_help_lists_the_commands_and_imports_nothing_heavy(tmp_path):
    done = start("--help", cwd=tmp_path, python=("-X", "importtime"), env={"PYTHONPATH": str(ROOT), "PATH": ""})
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    imported = {line.rsplit("|", 1)[1].strip().partition(".")[0] for line in lines}
    assert done.returncode == 0
    assert all(re.search(rf"^  {name} ", done.stdout, re.M) for name in cli.COMMANDS)
    assert "vidbench" in imported
    assert not imported & (HEAVY | {"numpy"})


def test_an_unknown_command_gets_the_nearest_one(capsys, monkeypatch):
    status, out, err = run(capsys, monkeypatch, "evalute")
    assert (status, out) == (2, "")
    assert err.splitlines()[0] == "vidbench: there is no command 'evalute'. Did you mean 'evaluate'?"


def test_no_command_at_all_shows_the_commands_and_fails(capsys, monkeypatch):
    status, out, err = run(capsys, monkeypatch)
    assert (status, out) == (2, "")
    assert "usage: vidbench COMMAND" in err


def test_a_bad_option_names_the_command_as_it_was_typed(capsys, monkeypatch):
    status, _, err = run(capsys, monkeypatch, "evaluate", "--bathc-size", "4")
    assert status == 2
    assert err.startswith("vidbench evaluate: command line: unknown option '--bathc-size'")
    assert "(vidbench evaluate --help explains the options)" in err


def test_a_script_and_its_command_end_alike(tmp_path):
    words = ["0.80", "0.85"]
    script = subprocess.run([sys.executable, SCRIPTS["power"], *words], capture_output=True, text=True, cwd=tmp_path)
    command = start("power", *words, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""})
    assert script.returncode == command.returncode == 0
    assert script.stdout == command.stdout != ""


# --- predict


def test_predict_answers_each_file_and_says_which_it_could_not_read(tmp_path, capsys, monkeypatch):
    bad = tmp_path / "words.mp4"
    bad.write_text("no video")
    status, out, err = run(capsys, monkeypatch, "predict", CLIP, bad, tmp_path / "absent.mp4", "--top", 2)
    assert status == 3
    assert out.splitlines()[0].startswith("mini_r2plus1d.vidmini_v1: 12 classes of vidmini, 1 view")
    assert re.fullmatch(r"  +9\d\.\d%  SitDown", out.splitlines()[2])
    assert len(out.splitlines()) == 4
    assert f"{bad}: " in err
    assert "(not_media)" in err
    assert f"{tmp_path / 'absent.mp4'}: no such file (missing)" in err
    assert "knows vidmini's 12 drawn classes only" in err
    assert "Traceback" not in err


def test_predict_writes_the_probabilities_of_the_library_as_json(tmp_path, capsys, monkeypatch):
    from vidbench.predict import predict

    status, out, _ = run(capsys, monkeypatch, "predict", CLIP, "--json", "--model", "mini2d", "--top", "12")
    found = json.loads(out)
    best = {item["label"]: item["probability"] for item in found["videos"][0]["top"]}
    assert status == 0
    assert found["model"] == "mini2d.vidmini_v1"
    assert best == pytest.approx(dict(predict("mini2d", CLIP).top(12)), abs=2e-6)
    assert sum(best.values()) == pytest.approx(1, abs=1e-4)


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A server of two files, one of them no video; downloads lie in an own, empty folder until they are answered."""
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "served").mkdir()
    shutil.copy(CLIP, tmp_path / "served" / "clip.mp4")
    (tmp_path / "served" / "log-in").write_text("<!doctype html><title>Log in</title>")
    with PracticeServer(tmp_path / "served") as server:
        yield server
    assert list((tmp_path / "temporary").iterdir()) == []


def test_predict_answers_an_address_as_it_does_the_file(web, capsys, monkeypatch):
    monkeypatch.setattr(answer, "TOLD_EVERY_S", 0.0)
    login = web.url.replace("://", "://me:secret@")
    words = [
        f"{login}/clip.mp4?id=3",
        CLIP,
        f"{web.url}/absent.mp4",
        f"{web.url}/log-in",
        "--model",
        "mini2d",
        "--json",
    ]
    status, out, err = run(capsys, monkeypatch, "predict", *words)
    fetched, local, absent, page = json.loads(out)["videos"]
    assert status == 3
    assert fetched == {**local, "path": f"{web.url}/clip.mp4?id=3"}
    assert (local["status"], len(local["top"])) == ("ok", 5)
    assert (absent["path"], absent["status"]) == (f"{web.url}/absent.mp4", "missing")
    assert absent["reason"].startswith("cannot be had: the server answered 404")
    assert page["reason"].startswith("gives a web page in place of the file")
    assert web.asked == ["/clip.mp4?id=3", "/absent.mp4", "/log-in"]
    size = megabytes(CLIP.stat().st_size)
    assert f"fetching {web.url}/clip.mp4?id=3: {size} of {size}\n" in err
    assert f"{web.url}/absent.mp4: {absent['reason']} (missing)\n" in err
    assert "secret" not in out + err


def test_predict_fetches_no_file_that_is_too_large(web, tmp_path, monkeypatch):
    monkeypatch.setattr(answer, "MOST_BYTES", 1000)
    record = answer.record_of(f"{web.url}/clip.mp4", tmp_path / "temporary", None, print)
    assert (record.status, record.reason) == ("missing", "gives more than 1 kB, which is not the file expected")


def test_predict_refuses_half_an_address_before_any_work(capsys, monkeypatch):
    status, out, err = run(capsys, monkeypatch, "predict", "https:///clip.mp4")
    assert (status, out) == (2, "")
    assert "must be files or complete http or https addresses, not 'https:///clip.mp4'" in err


def test_predict_says_that_random_weights_are_no_result(capsys, monkeypatch):
    status, _, err = run(capsys, monkeypatch, "predict", CLIP, "--model", "mini2d", "--weights", "random")
    assert status == 0
    assert "no result" in err


def test_predict_refuses_an_unknown_model_in_a_sentence(capsys, monkeypatch):
    status, out, err = run(capsys, monkeypatch, "predict", CLIP, "--model", "mini2")
    assert (status, out) == (2, "")
    assert err == "vidbench predict: There is no model 'mini2'. Did you mean 'mini2d' or 'mini_r2plus1d'?\n"


def test_predict_says_that_a_checkpoint_is_not_there(tmp_path, capsys, monkeypatch):
    status, out, err = run(capsys, monkeypatch, "predict", CLIP, "--weights", tmp_path / "best.safetensors")
    assert (status, out) == (2, "")
    assert f"There is no file {tmp_path / 'best.safetensors'};" in err


def test_files_may_stand_first_or_behind_their_flag():
    first, flagged = (
        PREDICT.parse_or_exit(["a.mp4", "b.mp4", "--top", "3"]),
        PREDICT.parse_or_exit(["--top", "3", "--videos", "a.mp4", "b.mp4"]),
    )
    assert first == flagged
    assert first.videos == ("a.mp4", "b.mp4")


# --- ls


def test_ls_finds_models_by_a_pattern_or_a_part_of_the_name(capsys, monkeypatch):
    status, out, _ = run(capsys, monkeypatch, "ls", "models", "*k400*")
    names = [line.split()[0] for line in out.splitlines()[1:]]
    assert status == 0
    assert names == list_models("*k400*") != []
    _, out, _ = run(capsys, monkeypatch, "ls", "models", "movinet")
    assert [line.split()[0] for line in out.splitlines()[1:]] == list_models("*movinet*") != []


def test_ls_finds_models_by_their_classes(capsys, monkeypatch):
    status, out, _ = run(capsys, monkeypatch, "ls", "models", "kinetics400", "--json")
    found = {line["name"]: line["classes"] for line in json.loads(out)}
    assert status == 0
    assert set(found) >= {"i3d.rgb_imagenet_k400", "r2plus1d_18.kinetics400_v1"}  # the first by its classes alone
    assert [name for name, classes in found.items() if "kinetics400" not in name + classes] == []


def test_ls_as_json_holds_every_dataset(capsys, monkeypatch):
    status, out, _ = run(capsys, monkeypatch, "ls", "datasets", "--json")
    found = {line["name"]: line for line in json.loads(out)}
    assert status == 0
    assert list(found) == list(DATASETS)
    assert found["vidmini"]["there"] is True
    assert found["kinetics400"]["listed"].startswith("train 246,534")


def test_ls_answers_a_name_that_is_not_there_with_the_nearest(capsys, monkeypatch):
    status, _, err = run(capsys, monkeypatch, "ls", "datasets", "kinetic40")
    assert status == 2
    assert "none of the" in err
    assert "Did you mean" in err
    assert "kinetics400" in err


def test_ls_shows_runs_with_their_figure(tmp_path, capsys, monkeypatch):
    words = ["--model", "mini2d", "--dataset", "vidmini", "--limit", "12", "--device", "cpu", "--num-workers", "0"]
    words += ["--results-dir", tmp_path, "--run-name", "short", "--no-cache"]
    assert run(capsys, monkeypatch, "evaluate", *words)[0] == 0
    status, out, _ = run(capsys, monkeypatch, "ls", "runs", "--results-dir", tmp_path)
    row = out.splitlines()[1]
    assert status == 0
    assert row.startswith("short  mini2d.vidmini_v1  vidmini test  top-1 ")
    assert "n=12" in row


def test_ls_shows_trainings_with_what_their_validation_said_and_one_that_never_began(tmp_path, capsys, monkeypatch):
    for name in ("whole", "begun"):
        (tmp_path / name).mkdir()
        recipe = {"model": "mini2d.vidmini_v1", "dataset": "vidmini", "split": "train"}
        (tmp_path / name / "manifest.json").write_text(json.dumps({"schema": 1, "recipe": recipe}))
    (tmp_path / "whole" / "best.json").write_text(json.dumps({"summary": "validation top-1 50.0 %, epoch 1 of 2"}))
    status, out, err = run(capsys, monkeypatch, "ls", "runs", "--results-dir", tmp_path)
    rows = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert (status, err) == (0, "")
    assert "mini2d.vidmini_v1  vidmini train  training: validation top-1 50.0 %, epoch 1 of 2" in rows["whole"]
    assert "training: no epoch is whole yet" in rows["begun"]


@pytest.mark.parametrize("there", [False, True])
def test_ls_says_where_it_looked_for_runs(there, tmp_path):
    folder = tmp_path / "runs"
    if there:
        folder.mkdir()
    with pytest.raises(ConfigError, match=re.escape(str(folder))):
        listing.listing(LsConfig(what="runs", results_dir=str(folder)))


def test_the_words_of_ls_may_stand_first():
    assert LS.parse_or_exit(["models", "*k400*", "--json"]) == LsConfig(what="models", pattern="*k400*", json=True)
    assert LS.parse_or_exit(["--what", "runs"]) == LS.parse_or_exit(["runs"]) == LsConfig(what="runs")


# --- env


def test_a_trial_that_crashes_costs_one_line_and_those_after_it_run():
    jobs = [("decoder", "pyav"), ("nonsense", "x"), ("library", "ipywidgets")]
    (first, (before,)), (second, (crashed,)), (third, (after,)) = environment.run_trials(jobs, 60)
    assert [first, second, third] == jobs
    assert (before.state, after.state) == ("works", "works")
    assert crashed.state == "fails"
    assert "ended with status 1: KeyError: 'nonsense'" in crashed.words


def test_a_trial_that_hangs_costs_one_line():
    ((_, (late,)), (_, (other,))) = environment.run_trials([("library", "tensorflow"), ("decoder", "pyav")], 0.01)
    assert (late.state, late.words) == ("fails", "not done within 0.01 s")
    assert other.state == "fails"


def test_trials_are_told_section_by_section_as_they_come():
    jobs = [("decoder", "a"), ("decoder", "b"), ("device", "all"), ("library", "c")]
    made = {job: [environment.Trial(*job, "works", "x")] for job in jobs}
    coming = iter([(job, made[job]) for job in (jobs[3], jobs[1], jobs[0], jobs[2])])
    told: list[str] = []
    trials = environment._told(jobs, coming, told.append)
    assert [trial.name for trial in trials] == ["a", "b", "all", "c"]
    assert [text.split()[1] if text.startswith("  ") else text.strip() for text in told] == [
        "decoders", "b", "a", "devices", "all", "libraries", "c"
    ]  # fmt: skip


def test_a_decoder_is_tried_on_numbered_pictures(monkeypatch):
    (trial,) = environment.try_decoder("pyav")
    assert trial.state == "works"
    assert trial.words.startswith("av ")
    from vidbench.data import barcode

    monkeypatch.setattr(barcode, "read_numbers", lambda frames: barcode.np.array([0, 8, 20]))
    (trial,) = environment.try_decoder("pyav")
    assert (trial.state, trial.words) == ("fails", "asked for frames [0, 7, 20], it gave [0, 8, 20]")


def test_a_device_that_computes_wrongly_is_said_to_fail(monkeypatch):
    import torch

    assert environment.try_devices("all")[0].state == "works"
    right = torch.nn.functional.conv3d
    monkeypatch.setattr(torch.nn.functional, "conv3d", lambda *args: right(*args) + 1)
    assert environment.try_devices("all")[0] == environment.Trial(
        "device", "cpu", "fails", "a convolution came out wrong"
    )


def test_an_absent_library_is_named_with_what_it_is_for(monkeypatch):
    monkeypatch.setitem(environment.LIBRARIES, "no_such_library", "nothing")
    assert environment.try_library("no_such_library") == [
        environment.Trial("library", "no_such_library", "absent", "for nothing")
    ]


def test_what_an_extra_lacks_is_named_with_the_extra(monkeypatch):
    lines = [
        "numpy>=2",
        "numpy>=2 ; extra == 'train'",
        "no-such-package>=1; extra == 'train'",
        'nor_this ; extra == "x"',
    ]
    monkeypatch.setattr(environment.metadata, "requires", lambda name: lines)
    assert environment.missing_packages() == {"train": ["no-such-package"], "x": ["nor_this"]}
    found = environment.Found({"system": "s", "cores": 1, "free_gb": 1}, {}, (), {}, environment.missing_packages())
    assert "no-such-package: for training (vidbench train); pip install 'vidbench[train]'" in environment.tail(found)
    assert not found.works


@pytest.mark.slow
def test_env_tries_what_an_evaluation_needs_and_says_so_as_json():
    done = start("env", "--json")
    found = json.loads(done.stdout)
    states = {(trial["kind"], trial["name"]): trial["state"] for trial in found["trials"]}
    assert done.returncode == 0
    assert found["works"] is True
    assert states["decoder", "pyav"] == states["device", "cpu"] == "works"
    assert {name for kind, name in states if kind == "decoder"} == set(environment.DECODERS)
    assert {name for kind, name in states if kind == "library"} == set(environment.LIBRARIES)


def test_every_extra_of_the_project_has_its_purpose():
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras) == set(environment.PURPOSES)


# --- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "tcsh", "powershell"])
def test_there_is_a_completion_for_each_shell(shell):
    from vidbench.completion import script

    text = script(COMPLETION.parse_or_exit([shell]).shell, cli.COMMANDS)
    assert "audit-decoders" in text
    assert "mini_r2plus1d.vidmini_v1" in text


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("doc", {"doctor"}),
        ("doctor mini2", {"mini2d.vidmini_v1"}),
        ("evaluate --model mini2", {"mini2d.vidmini_v1"}),
        ("evaluate --dataset ucf", {"ucf101"}),
        ("fetch hmdb", {"hmdb51"}),
        ("evaluate --average l", {"logits"}),
        ("ls mod", {"models"}),
        ("evaluate --num-c", {"--num-clips", "--num-crops"}),
        ("predict v_", {"v_short.mp4"}),
    ],
)
def test_bash_completes(typed, offered, tmp_path):
    from vidbench.completion import script

    (tmp_path / "vidbench.sh").write_text(script("bash", cli.COMMANDS))
    (tmp_path / "v_short.mp4").touch()
    code = "source ./vidbench.sh; COMP_WORDS=(vidbench $1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); "
    code += '_shtab_vidbench; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", code, "bash", typed], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert {line.strip() for line in done.stdout.split()} == offered, done.stderr
