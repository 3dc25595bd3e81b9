"""The recipe moves the weights as it says: steps, means, what is frozen, teachers, and when training stops."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vidbench import distil, models, train_data, trained
from vidbench.data import catalog, load, mini
from vidbench.data.classes import load_labels
from vidbench.data.parents import find_time_pairs
from vidbench.learner import TrainedNetwork
from vidbench.records import ConfigError, RunError, VideoRecord
from vidbench.train import train

STILL = {"weights": None, "freeze": "norms", "dropout": 0.0, "schedule": "constant", "warmup_epochs": 0, "epochs": 1}
STILL |= {"optimizer": "sgd", "weight_decay": 0.0, "clip_norm": 0}


def last(outcome) -> dict[str, torch.Tensor]:
    return load_file(outcome.run_folder / "last.safetensors")


def moved(outcome, before: dict) -> set[str]:
    after = last(outcome)
    return {key for key in before if not torch.equal(before[key], after[key])}


def shipped() -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in models.load_model("mini_r2plus1d").network.module.state_dict().items()}


def farthest(a: dict, b: dict) -> float:
    return max((a[key] - b[key]).abs().max().item() for key in a if a[key].is_floating_point())


def test_accumulated_batches_make_the_step_of_one_large_batch(training):
    large = last(train(training(**STILL, batch_size=8, learning_rate=0.01, run_name="large")))
    small = last(train(training(**STILL, batch_size=4, accumulate=2, learning_rate=0.01, run_name="small")))
    assert farthest(large, shipped()) > 1e-3
    assert farthest(large, small) < 1e-5  # sums in another order: 1.6e-7 where weights moved by 0.018


def test_gradients_are_clipped_to_the_norm_that_was_asked_for(training):
    outcome = train(training(**(STILL | {"clip_norm": 1e-3}), batch_size=16, learning_rate=0.5))  # a single step
    before, after = shipped(), last(outcome)
    distance = sum(float(((after[key] - before[key]).double() ** 2).sum()) for key in before) ** 0.5
    assert distance == pytest.approx(0.5 * 1e-3 * 1.9, rel=1e-3)  # Nesterov's first step: gradient and 0.9 of it again


def test_the_running_mean_is_that_of_the_weights_after_each_step(training, monkeypatch):
    averaged = last(train(training(**(STILL | {"epochs": 2}), ema=0.75, learning_rate=0.05, run_name="mean")))
    seen = []

    def look(module, *_):
        seen.append({key: value.clone() for key, value in module.network.state_dict().items()})

    monkeypatch.setattr(TrainedNetwork, "on_train_batch_end", look)
    plain = last(train(training(**(STILL | {"epochs": 2}), learning_rate=0.05, run_name="plain")))
    mean = seen[0]
    for weights in seen[1:]:
        mean = {key: 0.75 * mean[key] + 0.25 * weights[key] for key in mean}
    assert len(seen) == 6
    assert farthest(mean, averaged) < 1e-6
    assert farthest(plain, averaged) > 1e-4


@pytest.mark.parametrize(("freeze", "learning"), [("norms", 0), ("partial-norms", 1)])
def test_frozen_norms_are_those_that_do_not_move(training, freeze, learning):
    options = STILL | {"freeze": freeze, "dropout": None}
    before = shipped()
    found = moved(train(training(**options, learning_rate=0.05)), before)
    module = models.load_model("mini_r2plus1d").network.module
    norms = [name for name, part in module.named_modules() if isinstance(part, torch.nn.BatchNorm3d)]
    for name in norms[learning:]:
        assert not any(key.startswith(name + ".") for key in found)
    for name in norms[:learning]:
        assert {f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var")} <= found
    others = {key for key in before if key.rpartition(".")[0] not in norms}
    assert others <= found


def test_a_frozen_backbone_is_the_image_network_inside(training):
    options = {"model": "cnn_lstm", "network": ("backbone=squeezenet1_1", "hidden=7"), "freeze": "backbone"}
    options |= {"num_frames": 3, "short_side": 40, "crop": 32, "epochs": 1, "warmup_epochs": 0, "learning_rate": 0.1}
    outcome = train(training(**options))
    card = models.with_options(models.find_card("cnn_lstm"), {"backbone": "squeezenet1_1", "hidden": 7})
    fresh = models.load_model("cnn_lstm", "random", labels="vidmini", options=card.options).network.module.state_dict()
    found = moved(outcome, fresh)
    assert {key.partition(".")[0] for key in found} == {"rnn", "fc"}
    assert found == {key for key in fresh if not key.startswith("base_model.")}


def test_lower_blocks_move_less_by_the_factor_of_their_rate(training):
    before = shipped()
    options = STILL | {"layer_decay": 0.1, "head_rate": 2.0}
    decayed = last(train(training(**options, batch_size=16, learning_rate=0.01, run_name="decayed")))
    plain = last(train(training(**STILL, batch_size=16, learning_rate=0.01, run_name="plain")))
    factors = {"head.weight": 2.0, "blocks.2.first.0.weight": 0.1, "blocks.1.first.0.weight": 0.01}
    factors |= {"blocks.0.first.0.weight": 1e-3, "stem.3.weight": 1e-4, "stem.0.weight": 1e-5}
    for key, factor in factors.items():
        step, small = plain[key] - before[key], decayed[key] - before[key]
        ratio = float((small * step).sum() / (step * step).sum())
        assert ratio == pytest.approx(factor, rel=0.05), key  # a single step; what a float32 weight can hold


def test_dropout_of_everything_leaves_only_the_bias_of_the_last_layer_to_learn(training):
    options = STILL | {"freeze": "backbone", "dropout": 1 - 1e-9}
    assert moved(train(training(**options, learning_rate=0.1)), shipped()) == {"head.bias"}


def test_training_stops_when_validation_has_not_improved_for_as_long_as_was_asked(training):
    outcome = train(training(**(STILL | {"epochs": 9}), learning_rate=1e-9, patience=2))  # 100 % from the start
    assert json.loads((outcome.run_folder / "finished.json").read_text()) == {"epochs": 3}
    assert outcome.summary.startswith("best epoch 1 of 3:")
    weights = last(outcome)
    (outcome.run_folder / "finished.json").unlink()  # as if killed before it was written
    again = train(training(**(STILL | {"epochs": 9}), learning_rate=1e-9, patience=2))
    assert again.summary == outcome.summary
    assert farthest(last(again), weights) == 0


def test_bf16_trains_on_a_processor_and_fp16_is_refused_in_a_sentence(training):
    half = last(train(training(**STILL, precision="bf16", learning_rate=1e-3, run_name="half")))
    full = last(train(training(**STILL, precision="fp32", learning_rate=1e-3, run_name="full")))
    assert half["stem.0.weight"].dtype == torch.float32  # mixed: the weights themselves stay whole
    print(farthest(half, full), farthest(full, shipped()))
    assert 0 < farthest(half, full) < 0.5 * farthest(full, shipped())
    with pytest.raises(ConfigError, match="fp16"):
        train(training(precision="fp16"))


# ---------------------------------------------------------------- teachers


def test_the_distillation_loss_is_the_softened_divergence():
    teacher, student = torch.tensor([[0.6, 0.3, 0.1]]).log(), torch.tensor([[0.2, 0.5, 0.3]]).log()
    by_hand = 0.6 * np.log(0.6 / 0.2) + 0.3 * np.log(0.3 / 0.5) + 0.1 * np.log(0.1 / 0.3)
    assert distil.distillation_loss(student, teacher, 1.0).item() == pytest.approx(by_hand, abs=1e-6)
    p, q = (np.sqrt(part) / np.sqrt(part).sum() for part in (np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.5, 0.3])))
    softened = 4 * (p * np.log(p / q)).sum()  # half of a logit is the root of its exponential
    assert distil.distillation_loss(student, teacher, 2.0).item() == pytest.approx(softened, abs=1e-6)
    assert distil.distillation_loss(student, student + 3, 2.0).item() == pytest.approx(0, abs=1e-6)
    both = torch.stack([student, teacher], 1)  # two segments, of which the second agrees
    assert distil.distillation_loss(both, teacher, 1.0).item() == pytest.approx(by_hand / 2, abs=1e-6)


@pytest.fixture(scope="module")
def stored(tmp_path_factory, training_cache):
    """A finished run of the shipped model over the clips that trainings here take."""
    from vidbench.arguments import EvaluateConfig
    from vidbench.evaluate import evaluate

    where = {"results_dir": str(tmp_path_factory.mktemp("runs")), "cache_dir": training_cache, "num_workers": 0}
    which = {"limit": 24, "classes": ("HoldBalloon", "RideBicycle", "SitDown", "StandUp"), "split": "test"}
    return evaluate(EvaluateConfig(model="mini_r2plus1d", dataset="vidmini", **which, **where)).run_folder


def test_stored_scores_are_joined_by_video(stored):
    run = distil.teacher_run(stored, models.load_model("mini_r2plus1d").labels)
    backwards = [VideoRecord(row.path, row.path) for row in reversed(run.rows)]
    found = distil.stored_scores(run, backwards)
    logits = np.load(stored / "logits.npy").mean(1)
    expected = torch.from_numpy(logits).log_softmax(-1).numpy()[::-1]
    assert found.shape == (24, 12)
    np.testing.assert_allclose(found, np.maximum(expected, np.log(distil.SMALLEST)), atol=1e-4)
    with pytest.raises(ConfigError, match=r"has no prediction for 1 of 25 training videos, the first: new\.mp4"):
        distil.stored_scores(run, [*backwards, VideoRecord("new", "new.mp4")])
    with pytest.raises(ConfigError, match="has 12 other classes than the 2 that are trained on"):
        distil.teacher_run(stored, ["a", "b"])


def test_a_teacher_alone_makes_the_loss_where_its_share_is_one(training, stored):
    options = {"teacher": str(stored), "epochs": 1, "warmup_epochs": 0, "learning_rate": 0.01}
    alone = last(train(training(**options, distil=1.0, run_name="alone")))
    smooth = last(train(training(**options, distil=1.0, label_smoothing=0.9, run_name="smooth")))
    assert farthest(alone, smooth) == 0  # labels count nothing
    half = last(train(training(**options, distil=0.5, run_name="half")))
    none = last(train(training(**(options | {"teacher": None}), run_name="none")))
    without = last(train(training(**options, distil=0.0, run_name="without")))
    assert farthest(half, alone) > 1e-4 < farthest(half, none)
    assert farthest(without, none) == 0


def test_labels_and_teacher_share_the_loss_as_asked(training, stored):
    seen = {}

    def loss_of(share: float, name: str) -> float:
        def keep(module, batch, batch_idx):
            seen[name] = module.loss(*batch).item()
            return

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TrainedNetwork, "training_step", keep)
            train(training(teacher=str(stored), distil=share, epochs=1, batch_size=16, dropout=0.0, run_name=name))
        return seen[name]

    labels, teacher, both = (loss_of(share, f"share{share}") for share in (0.0, 1.0, 0.25))
    assert both == pytest.approx(0.75 * labels + 0.25 * teacher, rel=1e-5)
    assert abs(labels - teacher) > 0.01


def test_a_live_teacher_says_of_a_view_what_the_model_says(training, training_cache):
    model = models.load_model("mini_r2plus1d")
    teacher = distil.Teacher("mini_r2plus1d", None, model.labels, model.spec.num_frames, "cpu")
    root = models.__file__.rpartition("/vidbench/")[0] + "/data/vidmini"
    paths = sorted(__import__("pathlib").Path(root).rglob("*.mp4"))[:3]
    views = [load.read_views(path, model.spec).pixels for path in paths]
    pixels = torch.from_numpy(np.concatenate([view[:1] for view in views])).permute(0, 1, 4, 2, 3).float() / 255
    expected = torch.from_numpy(np.concatenate(model.logits([view[:1] for view in views]))).log_softmax(-1)
    torch.testing.assert_close(teacher(pixels), expected, atol=1e-4, rtol=1e-4)
    larger = torch.nn.functional.interpolate(pixels.flatten(0, 1), scale_factor=2).unflatten(0, pixels.shape[:2])
    assert (teacher(larger).argmax(1) == expected.argmax(1)).all()  # made smaller for it again


def test_a_live_teacher_teaches(training):
    options = {"epochs": 1, "warmup_epochs": 0, "distil": 1.0, "mixup": 0.4}
    taught = last(train(training(**options, teacher="mini_r2plus1d", run_name="taught")))
    by_another = last(train(training(**options, teacher="mini2d", teacher_weights=None, run_name="another")))
    assert farthest(taught, by_another) > 1e-4


def test_the_surest_videos_of_a_run_come_first(training, stored):
    rows = [json.loads(line) for line in (stored / "rows.jsonl").read_text().splitlines()]
    run = distil.teacher_run(stored, models.load_model("mini_r2plus1d").labels)
    from vidbench.train import difficulty
    from vidbench.train_task import make_task

    config = training(curriculum=str(stored)).checked()
    task = make_task(config)
    kept = train_data.Stored(task.sides.train, [], 0, [1.0] * len(task.sides.train))
    sure = {row["path"]: row["top"][0][2] for row in rows if row["rank"] == 0}
    found = difficulty(config, task, kept)
    assert len(run.rows) == 24
    for record, value in zip(kept.records, found):
        assert np.exp(-value) == pytest.approx(sure[record.path], abs=1e-5)
    assert train(training(curriculum="length", epochs=1, run_name="short")).exit_status == 0


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"teacher": "mini_r2"}, ConfigError, "There is no model 'mini_r2'"),
        ({"teacher": "."}, RunError, "run folder"),
        ({"teacher": "mini_r2plus1d", "teacher_weights": "random"}, ConfigError, "random weights teaches nothing"),
        ({"teacher": "r3d_18", "teacher_weights": "random"}, ConfigError, "random weights teaches nothing"),
        ({"teacher": "movinet_a0_stream.k600_int8"}, ConfigError, "must be a network in torch"),
        ({"teacher_weights": "random"}, ConfigError, "belongs to --teacher"),
        ({"teacher": ".", "mixup": 0.2}, ConfigError, "leave --mixup and --cutmix out"),
        ({"curriculum": "hardest"}, ConfigError, "must be 'length' or a run folder"),
        ({"curriculum_epochs": 3}, ConfigError, "belongs to --curriculum"),
        ({"multi_scale": True, "min_scale": 0.3}, ConfigError, "two ways to crop"),
        ({"speed": 0.5}, ConfigError, "must be at least 1"),
        ({"reverse": "all"}, ConfigError, "--reverse must be 'known' or a CSV file of pairs, not 'all'"),
        ({"max_stride": 2}, ConfigError, "--speed spreads them over a part"),
        ({"video_weights": "none.csv"}, Exception, "none.csv cannot be read"),
    ],
)
def test_recipes_that_cannot_be_are_one_sentence(training, options, error, words):
    with pytest.raises(error, match=words):
        train(training(**options))


def test_datasets_without_known_pairs_are_not_played_backwards_unless_a_table_says_which(training, tmp_path):
    table = tmp_path / "pairs.csv"
    table.write_text("class,backwards\nSurfing,Skiing\n")
    ucf101 = catalog.find_dataset("ucf101")
    labels = load_labels("ucf101")
    with pytest.raises(ConfigError, match=r"no classes of ucf101 are known to be each other played backwards"):
        find_time_pairs("known", ucf101, labels)
    assert find_time_pairs(str(table), ucf101, labels) == (("Surfing", "Skiing"),)
    assert find_time_pairs(None, catalog.find_dataset("vidmini"), labels) == ()


def test_clips_played_backwards_reach_the_batches_with_their_partners_label(training, monkeypatch):
    seen, told = [], []
    monkeypatch.setattr(TrainedNetwork, "on_train_batch_start", lambda module, batch, _: seen.extend(batch[1].tolist()))
    outcome = train(training(reverse="known", classes=("SitDown", "HoldBalloon"), epochs=4), tell=told.append)
    shown = Counter(mini.CLASSES[label] for label in seen)
    assert set(shown) == {"SitDown", "StandUp", "HoldBalloon"}, "videos of StandUp were left out"
    assert told[1] == "clips of 8 of 12 classes are played backwards, half of them; others never"
    assert trained.read_facts(outcome.run_folder / "last.safetensors")["recipe"]["reverse"] == "known"
    with pytest.raises(RunError, match=r'recipe\.reverse was "known", now it is null'):
        train(training(classes=("SitDown", "HoldBalloon"), epochs=4))


def test_pixels_side_by_side_are_the_same_training_but_for_last_digits(training):
    plain = train(training(**STILL, batch_size=8, learning_rate=0.01, run_name="plain"))
    other = train(training(**STILL, batch_size=8, learning_rate=0.01, channels_last=True, run_name="other"))
    assert farthest(last(plain), shipped()) > 1e-3
    assert farthest(last(plain), last(other)) < 1e-5
    assert other.metrics["listed"]["top1"] == plain.metrics["listed"]["top1"]


def test_a_table_of_weights_reaches_the_batches(training, tmp_path):
    from vidbench.train import make_loader
    from vidbench.train_task import make_task, who_trains

    config = training(epochs=1, batch_size=4)
    task = make_task(config.checked())
    kept = train_data.Stored(task.sides.train, [], 0, [1.0] * len(task.sides.train))
    chosen = [record.path for record in kept.records[::3]]
    lines = [f"{record.path},{float(record.path in chosen)}" for record in kept.records]
    (tmp_path / "weights.csv").write_text("\n".join(["path,weight", *lines]) + "\n")
    config = training(epochs=1, batch_size=4, video_weights=str(tmp_path / "weights.csv")).checked()
    loader = make_loader(config, task, kept, None, who_trains(config), "cpu")
    drawn = [number for batch in loader.batch_sampler for _, number, _ in batch]
    assert len(drawn) == len(kept.records) // 4 * 4
    assert {kept.records[number].path for number in drawn} <= set(chosen)
