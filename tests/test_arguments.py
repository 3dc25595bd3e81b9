"""Options of an evaluation: values, what they mean together, and what the predecessor's became."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import pytest

from vidbench.arguments import CHECK, DOCTOR, EVALUATE, OLD_FLAGS, TRAIN, EvaluateConfig, TrainConfig
from vidbench.ask_arguments import LS, PREDICT
from vidbench.flags import flag_of, make_parser, parse
from vidbench.kinds import switch
from vidbench.records import DECODER_MODULES, ConfigError
from vidbench.words import expand

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted([ROOT / "scripts/config.txt", *(ROOT / "scripts/configs").glob("*.txt")])
R3D = {"model": "r3d_18.kinetics400_v1", "dataset": "kinetics400"}
MINI = {"model": "mini_r2plus1d.vidmini_v1", "dataset": "vidmini"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No test finds or leaves a folder in the checkout."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(message, **values):
    with pytest.raises(ConfigError, match=message) as caught:
        EvaluateConfig(**{**R3D, **values}).checked()
    assert len(str(caught.value)) < 500


# ---------------------------------------------------------------- one value


def test_text_and_python_values_give_the_same_configuration():
    words = {"limit": "24", "batch_size": "3", "frame_rate": "12.5", "max_skipped": "2%", "classes": "abseiling"}
    values = {"limit": 24, "batch_size": 3, "frame_rate": 12.5, "max_skipped": 0.02, "classes": ["abseiling"]}
    assert EvaluateConfig(**R3D, **words) == EvaluateConfig(**R3D, **values)
    assert EvaluateConfig(**R3D, data_dir=Path("some/where")).data_dir == os.path.join("some", "where")
    assert EvaluateConfig(**R3D, num_workers="auto").num_workers is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", ""), ("model", "a\x1b[0m"), ("weights", "w$HOME/x"), ("fold", 0), ("classes", [""]), ("limit", 0),
        ("seed", -1), ("seed", 2**32), ("num_clips", 0), ("num_crops", 11), ("num_frames", 0), ("num_frames", 10**9),
        ("frame_rate", 0), ("frame_rate", -25), ("frame_rate", float("nan")), ("batch_size", 0), ("batch_size", 4097),
        ("batch_size", 8.0), ("batch_size", None), ("num_workers", -1), ("num_workers", 257), ("device", "gpu"),
        ("device", "cuda:"), ("precision", "fp8"), ("decoder", "ffmpeg"), ("timeout", 0), ("timeout", "1 min"),
        ("memory", 1), ("results_dir", "a\0b"), ("cache_dir", ""), ("run_name", "../other"), ("run_name", "a/b"),
        ("run_name", ".."), ("run_name", "-x"), ("run_name", "x" * 121), ("run_name", "a\nb"), ("top_n", 0),
        ("max_skipped", 1.01), ("max_skipped", "101%"), ("max_skipped", -0.1), ("max_skipped", "some"),
        ("average", "mean"), ("short_side", 0), ("dry_run", "yes"), ("report_only", 1),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused_by_the_name_of_its_option(name, value):
    with pytest.raises(ConfigError, match=f"^{flag_of(name)} (must|holds)"):
        EvaluateConfig(**{**R3D, name: value})


TRAINING = ["--model", "mini2d", "--dataset", "vidmini"]
IDLE = [  # a command line with an option that would do nothing, and what is said
    (EVALUATE, [*TRAINING, "--report-only", "--dry-run"], "--report-only and --dry-run both take"),
    (TRAIN, [*TRAINING, "--schedule", "plateau", "--warmup-epochs", "3"], "--warmup-epochs has no meaning for --sched"),
    (TRAIN, [*TRAINING, "--freeze", "backbone", "--layer-decay", "0.7"], "--layer-decay slows the blocks that"),
    (PREDICT, ["a.mp4", "--ca-bundle", "cert.pem"], "--ca-bundle is for files at https addresses"),
    (LS, ["models", "--results-dir", "runs"], "--results-dir is for runs"),
    (DOCTOR, ["mini2d", "--limit", "9"], "--limit counts videos of --dataset"),
    (CHECK, ["vidmini", "--leaks", "--min-frames", "9"], "--min-frames is for a check of each video"),
    (CHECK, ["vidmini", "--leaks", "--depth", "container"], "--depth must be frames or full with --leaks"),
    (CHECK, ["vidmini", "--leaks", "--depth", "full", "--compare", "bytes"], "--depth needs --compare pictures"),
]


@pytest.mark.parametrize(("program", "words", "said"), IDLE)
def test_an_option_that_would_do_nothing_is_refused(program, words, said):
    with pytest.raises(ConfigError, match=f"command line: {said}"):
        parse(program, words)


@pytest.mark.parametrize("name", ["run 1", "a.b-c_d", "été", "2024", "x" * 120])
def test_ordinary_run_names_are_taken(name):
    assert EvaluateConfig(**R3D, run_name=name).run_name == name


def test_a_configuration_cannot_be_changed_and_knows_no_other_field():
    with pytest.raises(dataclasses.FrozenInstanceError):
        EvaluateConfig(**R3D).limit = 3
    with pytest.raises(TypeError, match="bathc_size"):
        EvaluateConfig(**R3D, bathc_size=3)


# ---------------------------------------------------------------- values together


def test_what_the_cards_decide_is_filled_in():
    checked = EvaluateConfig(**MINI).checked()
    assert checked.split == "test"
    assert Path(checked.data_dir).name == "vidmini"
    assert EvaluateConfig(**R3D, data_dir="x").checked().split == "val"
    assert EvaluateConfig(model="r3d_18", dataset="kinetics400").checked().model == "r3d_18.kinetics400_v1"
    assert EvaluateConfig(**R3D, data_dir="x").checked().data_dir == "x"


def test_unknown_names_are_answered_with_known_ones():
    refused(r"^--model .*r3d_17.kinetics400_v1.*r3d_18.kinetics400_v1", model="r3d_17.kinetics400_v1")
    refused(r"^--dataset .*kinetics40.*'kinetics400'", dataset="kinetics40")
    refused(r"^--split must be one of .*val.* for kinetics400, not 'valid'", split="valid")
    refused(r"^--fold must be from 1 to 1 for kinetics400, not 2", fold=2)
    refused(r"^--classes names 'abseilin', no class of kinetics400. Did you mean 'abseiling'", classes=["abseilin"])


def test_a_fold_that_the_dataset_has_is_taken():
    config = EvaluateConfig(model="movinet_a0_stream.k600_int8", dataset="ucf101", fold=3, label_map="names")
    assert config.checked().fold == 3


def test_other_classes_need_a_label_map_and_the_sentence_offers_one():
    refused(r"600 classes.*ucf101 has 101.*--label-map names.*--label-map FILE", model="movinet_a0_stream.k600_int8",
            dataset="ucf101")  # fmt: skip
    EvaluateConfig(model="movinet_a0_stream.k600_int8", dataset="kinetics400", label_map="names").checked()


def test_files_that_are_named_must_be_there(tmp_path):
    where = re.escape(str(tmp_path))
    refused(
        rf"^--weights 'w.pt' does not exist, nor is it the word 'random' \(looked for from {where}\)", weights="w.pt"
    )
    refused(r"^--label-map 'name' does not exist, nor is it the word 'names'", label_map="name")
    refused(r"^--annotations '/no/val.csv' does not exist", annotations="/no/val.csv")
    refused(r"^--annotations '\.' is no regular file", annotations=".")
    EvaluateConfig(**R3D, weights="random").checked()


def test_folders_must_be_makeable_and_are_not_left_behind(tmp_path):
    (tmp_path / "file").write_text("")
    refused(r"^--results-dir 'file' cannot be made or written to: Not a directory", results_dir="file")
    refused(r"^--results-dir 'file/below' cannot be made", results_dir="file/below")
    refused(r"^--cache-dir '/proc/x/y' cannot be made or written to: ", cache_dir="/proc/x/y")
    refused(r"^--results-dir 'x+…' cannot be made or written to: File name too long", results_dir="x" * 4000)
    EvaluateConfig(**R3D, results_dir="a/b", cache_dir="c/d/e").checked()
    EvaluateConfig(**R3D, cache_dir="/proc/x", no_cache=True).checked()
    EvaluateConfig(**R3D, results_dir="/proc/x", dry_run=True, no_cache=True).checked()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user that a folder can refuse")
def test_a_folder_without_permission_is_refused(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    refused(r"^--results-dir 'closed' cannot be made or written to: Permission denied", results_dir="closed")


def test_options_that_a_model_cannot_follow_are_refused():
    stream = {"model": "movinet_a0_stream.k600_int8", "label_map": "names"}
    refused(r"^--num-frames has no meaning for movinet_a0_stream.k600_int8", num_frames=8, **stream)
    refused(r"^--num-clips has no meaning", num_clips=2, **stream)
    refused(r"^--frame-rate has no meaning for mini2d.vidmini_v1", frame_rate=5, model="mini2d", dataset="vidmini")
    refused(r"^--num-crops must be 1, 3 or 10", num_crops=2)
    refused(r"^--short-side must be at least 112 for r3d_18", model="r3d_18", short_side=111)
    wide = r"^--short-side must be at least 56 for mini_r2plus1d.vidmini_v1, which crops 56 x 72 pixels, not 55"
    refused(wide, **MINI, short_side=55)
    assert EvaluateConfig(**MINI, short_side=56).checked().short_side == 56
    refused(r"^--num-frames must be 16 for mvit_v2_s.kinetics400_v1, not 32", num_frames=32, model="mvit_v2_s")
    EvaluateConfig(**R3D, num_frames=32).checked()


def test_a_decoder_that_is_not_installed_is_refused(monkeypatch):
    monkeypatch.setitem(DECODER_MODULES, "decord", "no_such_module_here")
    refused(r"^--decoder decord is not installed here; pyav is", decoder="decord")


# ---------------------------------------------------------------- the predecessor


def old(*more, **values):
    words = {"model_type": "i3d", "model_trained_on": "kinetics-400", "kinetics_version": "400",
             "kinetics_split": "val"} | values  # fmt: skip
    return parse(EVALUATE, [w for k, v in words.items() for w in (f"--{k}", v)] + list(more))


def test_the_predecessors_flags_say_what_they_became():
    config, notes = old(num_videos="16", results_dir="r", batch_size="8", top_n="5", num_frames="100")
    assert (config.model, config.dataset, config.split) == ("i3d.tfhub_kinetics400", "kinetics400", "val")
    assert (config.limit, config.results_dir, config.batch_size) == (16, "r", 8)
    assert (config.top_n, config.num_frames) == (5, 100)
    assert notes == [
        "command line: --model_type i3d --model_trained_on kinetics-400 is now --model i3d.tfhub_kinetics400",
        "command line: --kinetics_version 400 is now --dataset kinetics400",
        "command line: --kinetics_split val is now --split val",
        "command line: --num_videos 16 is now --limit 16",
    ]


def test_a_new_flag_counts_more_than_the_old_one_and_that_is_said():
    config, notes = old("--model", "r3d_18.kinetics400_v1", "--limit", "4", num_videos="16")
    assert (config.model, config.limit) == ("r3d_18.kinetics400_v1", 4)
    assert "--model_type i3d --model_trained_on kinetics-400 is set aside, because --model is given" in notes[0]
    assert "--num_videos 16 is set aside, because --limit is given" in notes[3]


def test_a_model_of_600_classes_is_not_scored_on_400():
    with pytest.raises(
        ConfigError, match=r"^command line: --model .*600 classes.*kinetics400 has 400.*--label-map names"
    ):
        old(model_trained_on="kinetics-600")
    assert old(model_trained_on="kinetics-600", kinetics_version="600")[0].model == "i3d.tfhub_kinetics600"


def test_a_table_of_pairs_is_checked_with_the_options(tmp_path):
    def words(**values):
        with pytest.raises(ConfigError) as caught:
            TrainConfig(model="mini2d", **values).checked()
        return str(caught.value)

    assert "--reverse cannot be used: no classes of ucf101 are known" in words(dataset="ucf101", reverse="known")
    (tmp_path / "pairs.csv").write_text("class,backwards\nSurfing,Skiing\nSurfin,Diving\n")
    said = words(dataset="ucf101", reverse="pairs.csv")
    assert said.startswith("--reverse cannot be used: pairs.csv, line 3: 'Surfin' is not one of the 101 classes.")
    (tmp_path / "pairs.csv").write_text("class,backwards\nmine,yours\nmine,theirs\n")
    assert "line 3: 'mine' is in two pairs" in words(dataset="folder", reverse="pairs.csv", data_dir=".")


# ---------------------------------------------------------------- help and shipped configurations


def test_help_tells_every_options_default_and_consequence():
    for field in dataclasses.fields(EvaluateConfig):
        meta = field.metadata
        assert re.search(r"\. [A-Z0-9]", meta["help"]), f"{field.name}: no consequence after the first sentence"
        words = " ".join(make_parser(EVALUATE).format_help().split())
        line = words.split(f" {flag_of(field.name)} ", 1)[1][:400]
        assert meta["kind"] is switch or re.search(r"\((default: |required)", line), field.name
    for flag in OLD_FLAGS:
        assert flag.replace("-", "_").replace("__", "--") in words


def test_notes_go_to_standard_error_and_a_mistake_ends_with_status_2(capsys):
    EVALUATE.parse_or_exit(["--model", "r3d_18.kinetics400_v1", "--kinetics_version", "400"])
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "evaluate.py: command line: --kinetics_version 400 is now --dataset kinetics400\n"
    with pytest.raises(SystemExit) as left:
        EVALUATE.parse_or_exit(["--model", "r3d_18.kinetics400_v1"])
    assert left.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("evaluate.py: --dataset must be given, on the command line or in a file such as @")


def value_in(file: Path, flag: str) -> str:
    """What a configuration gives for an option, or nothing."""
    words = [word.text for word in expand([f"@{file}"])]
    return words[words.index(flag) + 1] if flag in words else ""


@pytest.mark.parametrize("file", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_configuration_can_be_used(file, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    if file.stem.startswith("train-"):
        words = [f"@{file}"]
        if (before := value_in(file, "--weights")).startswith("results/"):  # the checkpoint of a training before it
            first = file.with_name(f"{Path(before).parent.name}.txt")
            words += ["--model", value_in(first, "--model"), "--weights", "random"]
        assert TRAIN.parse_or_exit(words).run_name == file.stem
    else:
        assert EVALUATE.parse_or_exit([f"@{file}", "--dry-run"]).dry_run
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("file", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_configuration_begins_with_what_it_is_for_and_its_command(file):
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    program = "train" if file.stem.startswith("train-") else "evaluate"
    assert f"#     python scripts/{program}.py @{file.relative_to(ROOT).as_posix()}" in "\n".join(lines)
    assert max(map(len, lines)) <= 120
    places = [word.place.line for word in expand([f"@{file}"]) if word.text.startswith("--")]
    assert len(places) == len(set(places)), "one option a line"
