"""Loss, rates, schedules, and what is held still."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from vidbench import optimise


def test_the_loss_is_torchs_and_the_focal_one_becomes_it():
    torch.manual_seed(0)
    logits, targets, weights = torch.randn(5, 7), torch.tensor([0, 3, 6, 3, 2]), torch.rand(7)
    plain = functional.cross_entropy(logits, targets, label_smoothing=0.1)
    torch.testing.assert_close(optimise.loss_of(logits, targets, smoothing=0.1), plain)
    torch.testing.assert_close(optimise.loss_of(logits, targets, smoothing=0.1, focal=1e-9), plain)
    weighted = functional.cross_entropy(logits, targets, weight=weights)
    torch.testing.assert_close(optimise.loss_of(logits, targets, weights=weights), weighted)
    sure = 20 * functional.one_hot(targets, 7).float()  # well classified clips count less
    ratio = optimise.loss_of(sure / 5, targets, focal=2) / optimise.loss_of(sure / 5, targets)
    assert 0 < ratio < 0.05


# Three classes with probabilities 0.7, 0.2 and 0.1; natural logarithms -0.356675, -1.609438 and -2.302585.
LOGITS = torch.tensor([[0.7, 0.2, 0.1]]).log()
SECOND = torch.tensor([1])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 1.609438),
        ({"smoothing": 0.3}, 0.8 * 1.609438 + 0.1 * (0.356675 + 2.302585)),  # 0.3 is spread over all three
        ({"focal": 2.0}, 0.8**2 * 1.609438),
        ({"focal": 2.0, "smoothing": 0.3}, 0.8 * 0.64 * 1.609438 + 0.1 * (0.09 * 0.356675 + 0.81 * 2.302585)),
        ({"focal": 2.0, "weights": torch.tensor([9.0, 0.5, 9.0])}, 0.5 * 0.64 * 1.609438),
    ],
)
def test_losses_have_the_values_computed_by_hand(options, expected):
    assert optimise.loss_of(LOGITS, SECOND, **options).item() == pytest.approx(expected, abs=1e-5)


def test_class_weights_weigh_the_mean_of_a_batch():
    logits, targets = LOGITS.repeat(2, 1), torch.tensor([1, 2])
    loss = optimise.loss_of(logits, targets, weights=torch.tensor([9.0, 0.5, 2.0]))
    assert loss.item() == pytest.approx((0.5 * 1.609438 + 2 * 2.302585) / 2.5, abs=1e-5)
    np.testing.assert_allclose(optimise.class_weights([0] * 6 + [2] * 2, 4), [8 / 12, 0, 8 / 4, 0], rtol=1e-6)


def test_each_segment_has_a_loss_of_its_own():
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 3, 5), torch.tensor([4, 1])
    parts = [functional.cross_entropy(logits[n, s][None], targets[n : n + 1]) for n in range(2) for s in range(3)]
    torch.testing.assert_close(optimise.loss_of(logits, targets), torch.stack(parts).mean())


def test_class_weights_make_classes_count_alike():
    labels = [0] * 6 + [2] * 2
    weights = optimise.class_weights(labels, 4)
    assert weights[1] == weights[3] == 0
    np.testing.assert_allclose(weights[0] * 6, weights[2] * 2)
    np.testing.assert_allclose(weights[labels].mean(), 1)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), nn.Sequential(nn.Conv2d(4, 5, 1)), nn.Linear(5, 2)
    )


def test_blocks_learn_slower_the_deeper_they_lie():
    module = network()
    groups = optimise.parameter_groups(
        module, {"2.weight", "2.bias"}, rate=1.0, weight_decay=0.1, layer_decay=0.5, head_rate=3.0
    )
    rate_of = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    found = {name: rate_of[id(p)] for name, p in module.named_parameters()}
    assert found["2.weight"] == (3.0, 0.1)
    assert found["2.bias"] == (3.0, 0.0)
    assert found["1.0.weight"] == (0.5, 0.1)
    assert found["0.0.weight"] == (0.25, 0.1)
    assert found["0.1.weight"] == (0.25, 0.0)  # a norm does not decay


def test_frozen_parts_do_not_move_their_statistics_either():
    module = network()
    optimise.freeze(module, [name for name, _ in module.named_parameters() if name.startswith("0.")], norms="none")
    module.train()
    optimise.hold_still(module)
    before = module[0][1].running_mean.clone()
    module[0](torch.randn(3, 3, 2, 2))
    assert torch.equal(module[0][1].running_mean, before)
    assert module[1][0].weight.requires_grad
    assert not module[0][0].weight.requires_grad


def rates_of(kind: str, num_steps: int, num_warm: int) -> list[float]:
    optimizer = optimise.make_optimizer("sgd", [{"params": [nn.Parameter(torch.zeros(2, 2))], "lr": 1.0}], 1.0)
    schedule = optimise.make_schedule(kind, optimizer, num_steps, num_warm)["scheduler"]
    rates = []
    for _ in range(num_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # two steps of warm-up, then half a cosine over eight: (1 + cos(pi k / 8)) / 2
        ("cosine", [0.5, 1, 1, 0.961940, 0.853553, 0.691342, 0.5, 0.308658, 0.146447, 0.038060]),
        ("step", [0.5, 1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01]),  # after 6 and 8.5 of 10
        ("constant", [0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        # from 1/25 up by a cosine over 0.3 * 10 - 1 = 2 steps, down to 4e-6 over seven
        ("onecycle", [0.04, 0.52, 1, 0.950485, 0.811747, 0.611263, 0.388741, 0.188257, 0.049519, 4e-6]),
    ],
)
def test_schedules_have_the_rates_computed_by_hand(kind, expected):
    np.testing.assert_allclose(rates_of(kind, 10, 2), expected, atol=2e-6)


@pytest.mark.parametrize("kind", ["cosine", "onecycle", "step", "constant"])
def test_rates_ahead_are_those_of_the_steps(kind):
    optimizer = optimise.make_optimizer("adamw", [{"params": [nn.Parameter(torch.zeros(2, 2))], "lr": 1.0}], 1.0)
    steps = [0, 1, 2, 5, 6, 11, 19]
    ahead = optimise.rates_at(optimise.make_schedule(kind, optimizer, 20, 3), steps)
    assert ahead.shape == (7, 1)
    assert ahead[:, 0].tolist() == [rates_of(kind, 20, 3)[step] for step in steps]


def test_a_plateau_halves_the_rate_after_more_than_five_epochs_without_progress():
    optimizer = optimise.make_optimizer("sgd", [{"params": [nn.Parameter(torch.zeros(2, 2))], "lr": 1.0}], 1.0)
    made = optimise.make_schedule("plateau", optimizer, 100, 10)
    assert made["frequency"] == optimise.NEVER  # whoever judges an epoch steps it, before the epoch's checkpoint
    rates = []
    for top1 in (0.5, 0.6, *[0.6] * 6, 0.7, *[0.7] * 6):
        made["scheduler"].step(top1)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [1.0] * 7 + [0.5] * 7 + [0.25]


def test_partly_frozen_norms_leave_the_first_one_to_learn():
    module = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)
    )
    for norms, learning in (("none", [1, 3, 4]), ("partial", [1]), ("all", [])):
        optimise.freeze(module, [], norms=norms)
        module.train()
        optimise.hold_still(module)
        before = [module[k].running_mean.clone() for k in (1, 3, 4)]
        module(torch.randn(5, 3, 2, 2))
        moved = [k for k, old in zip((1, 3, 4), before) if not torch.equal(module[k].running_mean, old)]
        assert moved == learning
        assert [k for k in (1, 3, 4) if module[k].weight.requires_grad] == learning
        assert module[0].weight.requires_grad


def test_dropout_is_set_beside_the_last_layer_or_put_before_it():
    beside = nn.ModuleDict({"drop": nn.Dropout(0.2), "head": nn.Linear(6, 2)})
    optimise.set_dropout(beside, {"head.weight", "head.bias"}, 0.7)
    assert beside["drop"].p == 0.7
    alone = nn.Sequential(nn.Linear(4, 600), nn.Linear(600, 2))
    names = list(alone.state_dict())
    optimise.set_dropout(alone, {"1.weight", "1.bias"}, 0.75)
    assert list(alone.state_dict()) == names
    nn.init.ones_(alone[1].weight)
    nn.init.zeros_(alone[1].bias)
    nn.init.zeros_(alone[0].weight)
    nn.init.ones_(alone[0].bias)
    assert alone.eval()(torch.zeros(1, 4))[0, 0] == 600
    kept = alone.train()(torch.zeros(50, 4))[:, 0] / 4  # what is kept counts 1 / (1 - 0.75) times
    assert abs(kept.mean() - 150) < 5 * (600 * 0.75 * 0.25 / 50) ** 0.5


@pytest.mark.parametrize("kind", ["cosine", "step", "constant", "onecycle"])
def test_schedules_rise_and_end_as_their_name_says(kind):
    rates = rates_of(kind, 100, 10)
    assert max(rates) == pytest.approx(1.0)
    assert rates[0] < 0.2
    end = {"cosine": 0.01, "onecycle": 0.01, "step": 0.011, "constant": 1.0}[kind]
    assert rates[-1] <= end
    assert kind != "constant" or rates[-1] == 1.0
