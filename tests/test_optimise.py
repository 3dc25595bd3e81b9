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
    optimise.freeze(module, [name for name, _ in module.named_parameters() if name.startswith("0.")], norms=False)
    module.train()
    optimise.hold_still(module)
    before = module[0][1].running_mean.clone()
    module[0](torch.randn(3, 3, 2, 2))
    assert torch.equal(module[0][1].running_mean, before)
    assert module[1][0].weight.requires_grad
    assert not module[0][0].weight.requires_grad


@pytest.mark.parametrize("kind", ["cosine", "step", "constant", "onecycle"])
def test_schedules_rise_and_end_as_their_name_says(kind):
    parameter = nn.Parameter(torch.zeros(2, 2))
    optimizer = optimise.make_optimizer("sgd", [{"params": [parameter], "lr": 1.0}], 1.0)
    schedule = optimise.make_schedule(kind, optimizer, num_steps=100, num_warm=10)["scheduler"]
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert max(rates) == pytest.approx(1.0)
    assert rates[0] < 0.2
    end = {"cosine": 0.01, "onecycle": 0.01, "step": 0.011, "constant": 1.0}[kind]
    assert rates[-1] <= end
    assert kind != "constant" or rates[-1] == 1.0
