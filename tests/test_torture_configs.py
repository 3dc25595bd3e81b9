"""Every bad configuration ends as its maker expects: used as written, or refused in one sentence with its place."""

from __future__ import annotations

import re

import pytest

from vidbench.arguments import EVALUATE

OK, REFUSE = "ok", "refused-with-clear-error"

# what the sentence must hold, where the file's note says what a person needs to know
SAYS = {
    "unknown_option.txt": r":12: unknown option '--bathc_size'\. Did you mean '--batch-size'",
    "abbreviation.txt": r":8: unknown option '--batch'\. Did you mean '--batch-size'",
    "bad_int.txt": r":8: --batch-size must be a whole number from 1 to 4096, or 'auto', not 'eight'",
    "float_int.txt": r":8: --batch-size must be a whole number .* not '8.5'",
    "negative_batch.txt": r":8: --batch-size .* not '-8'",
    "zero_batch.txt": r":8: --batch-size .* not '0'",
    "huge_batch.txt": r":8: --batch-size .* not '99999999999999999999'",
    "negative_videos.txt": r":9: --limit .* not '-1'",
    "zero_videos.txt": r":9: --limit .* not '0'",
    "zero_frames.txt": r":11: --num-frames .* not '0'",
    "top_n_401.txt": r":10: --top-n must be at most 400, the number of classes, not 401",
    "top_n_0.txt": r":10: --top-n .* not '0'",
    "unknown_model.txt": r":1: --model_type must be i3d, not 'i4d'",
    "unknown_version.txt": r":5: --kinetics_version must be 400, 600 or 700, not '401'",
    "label_mismatch.txt": r":1: --model .*600 classes.*kinetics400 has 400 .*--label-map names",
    "missing_required.txt": r":1: --model_type must be given too",
    "value_missing.txt": r":12: --num-videos needs a value",
    "dash_value.txt": r":7: --results-dir needs a value; '-results' begins with a dash",
    "env_value.txt": r":7: --results-dir holds a '\$'",
    "results_traversal.txt": r":7: --results-dir '.*/proc/x' cannot be made or written to: No such file",
    "empty.txt": r"--model and --dataset must be given",
    "only_comments.txt": r"--model and --dataset must be given",
    "self_include.txt": r"self_include.txt:1: .* was read before",
    "loop_a.txt": r"loop_b.txt:1: .*loop_a.txt' was read before",
    "include_missing.txt": r"include_missing.txt:12: no file .*no/such/file.txt",
    "does_not_exist.txt": r"no file .*does_not_exist.txt",
    "directory.txt": r"directory.txt is no regular file",
    "latin1.txt": r"latin1.txt:7: not UTF-8 at byte \d+",
    "utf16.txt": r"utf16.txt is UTF-16",
    "nul.txt": r"nul.txt:7: a NUL character at byte \d+",
    "binary.txt": r"binary.txt",
    "long_line.txt": r"long_line.txt is larger than 256 KiB",
}


@pytest.mark.shared
def test_every_bad_configuration_is_used_as_written_or_refused_in_one_sentence(torture, tmp_path, monkeypatch, capsys):
    folder, items = torture("configs")
    monkeypatch.chdir(tmp_path)
    items = [item for item in items if item["group"].startswith("configs")]
    assert len(items) > 40
    wrong = []
    for item in items:
        capsys.readouterr()
        try:
            config, outcome = EVALUATE.parse_or_exit([f"@{folder / item['path']}"]), OK
        except SystemExit as left:
            config, outcome = None, REFUSE if left.code == 2 else f"status {left.code}"
        said = capsys.readouterr().err
        name = item["path"].removeprefix("configs/")
        if outcome not in item["expect"]:
            wrong.append(f"{name}: {outcome}: {said}")
        elif outcome == REFUSE and not refused_well(name, said):
            wrong.append(f"{name}: said {said[:600]}")
        elif outcome == OK and not used_as_written(name, config, said):
            wrong.append(f"{name}: {config} {said}")
    assert not wrong, "\n".join(wrong)
    assert not list(tmp_path.iterdir()), "looking at a configuration leaves nothing behind"


def refused_well(name: str, said: str) -> bool:
    sentence, hint = said.splitlines()
    known = re.search(SAYS.get(name, re.escape(name)), sentence)
    return (
        bool(known)
        and len(said) < 500
        and hint.startswith("(evaluate.py --help")
        and all(map(str.isprintable, said.splitlines()))
    )


def used_as_written(name: str, config, said: str) -> bool:
    """The values of the good file, but for the one that the file's name is about."""
    results = {"hash_in_value.txt": "runs/#1", "space_in_value.txt": "my results"}.get(name, "results")
    batch_size = 4 if name == "twice_conflict.txt" else 8
    expected = ("i3d.tfhub_kinetics400", "kinetics400", "val", results, batch_size, 16, 5, 100)
    found = (
        config.model, config.dataset, config.split, config.results_dir, config.batch_size, config.limit, config.top_n,
        config.num_frames,
    )  # fmt: skip
    twice = ":12: --batch-size was given before" in said
    became = ("is now --model i3d", "is now --dataset", "is now --split val", "is now --limit 16")
    return found == expected and all(words in said for words in became) and twice == (name == "twice_conflict.txt")


@pytest.mark.shared
def test_every_refused_configuration_has_its_sentence_tested(torture):
    _, items = torture("configs")
    refused = {item["path"].removeprefix("configs/") for item in items if item["expect"] == [REFUSE]}
    refused = {name for name in refused if "/" not in name}
    assert refused - set(SAYS) == {"loop_b.txt"}
