"""Costs are what arithmetic on paper gives, and what torchvision says of its own networks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torchvision.models import get_model_weights

from vidbench.costs import Cost, cost_of, count_macs, seconds_of_view, view_shape
from vidbench.models import find_card, load_model
from vidbench.records import ConfigError


def test_multiply_adds_are_those_of_paper_and_pencil():
    conv = torch.nn.Conv3d(3, 5, (3, 7, 2), stride=(1, 2, 1), padding=(1, 3, 0), device="meta")
    assert count_macs(conv, torch.empty(1, 3, 4, 10, 9, device="meta")) == (3 * 3 * 7 * 2) * 5 * (4 * 5 * 8)
    assert count_macs(torch.nn.Linear(6, 11, device="meta"), torch.empty(7, 6, device="meta")) == 7 * 6 * 11


@pytest.mark.parametrize("name", ["r3d_18", "r2plus1d_18", "mvit_v1_b", "mvit_v2_s"])
def test_they_are_what_torchvision_says_of_its_networks(name):
    (weights,) = get_model_weights(name)
    found = cost_of(find_card(name), num_frames=16)
    assert found.params == weights.meta["num_params"]
    assert found.macs / 1e9 == pytest.approx(weights.meta["_ops"], abs=0.001)
    assert found.views == 5
    assert found.macs_of_video == 5 * found.macs


def test_attention_of_a_library_counts_too():
    card = find_card("videomae_small.kinetics400")  # 8 x 14 x 14 tokens of 384 numbers in 12 blocks
    tokens, width = 8 * 14 * 14, 384
    block = tokens * (4 + 8) * width**2 + 2 * tokens**2 * width  # q, k, v, out and the two layers; then attention
    embedding, head = tokens * (2 * 16 * 16 * 3) * width, width * 400
    assert cost_of(card).macs == 12 * block + embedding + head


def test_attention_over_all_tokens_grows_faster_than_divided_attention():
    def growth(name):
        card = find_card(name)
        macs = [
            cost_of(replace(card, options={**card.options, "num_frames": t}, num_frames=(t, t)), num_frames=t).macs
            for t in (8, 32)
        ]
        return macs[1] / macs[0]

    space, divided, joint = (growth(f"timesformer_{kind}.kinetics400") for kind in ("space", "base", "joint"))
    assert space == pytest.approx(4, rel=0.001)
    assert divided == pytest.approx(4, rel=0.02)
    assert joint > 6


def test_frames_apart_are_a_batch_of_pictures():
    card = find_card("mini2d")
    assert cost_of(card, num_frames=6).macs == 3 * cost_of(card, num_frames=2).macs
    assert view_shape("NTHWC", 5, (7, 9)) == (1, 5, 7, 9, 3)


def test_a_stream_of_motion_has_two_channels_and_a_stream_of_frames_needs_their_number():
    rgb, flow = (cost_of(find_card(f"i3d.{stream}_imagenet_k400"), num_frames=16) for stream in ("rgb", "flow"))
    first = 7**3 * 64 * (8 * 112 * 112)  # multiply-adds of I3D's first filters, for each channel of the clip
    assert rgb.macs - flow.macs == first
    with pytest.raises(ConfigError, match=r"movinet_a0_stream.* say how many with num_frames"):
        cost_of(find_card("movinet_a0_stream.k600"))


def test_a_finished_program_is_not_counted():
    with pytest.raises(ConfigError, match=r"movinet_a0_stream\.k600_int8 comes as a finished program"):
        cost_of(find_card("movinet_a0_stream.k600_int8"))
    with pytest.raises(ConfigError, match="takes exactly 16 frames a view, not 8"):
        cost_of(find_card("mvit_v1_b"), num_frames=8)


def test_the_time_of_a_view_is_a_positive_number_of_seconds():
    assert 0 < seconds_of_view(load_model("mini_r2plus1d", "random"), num=1) < 60
    assert Cost(1, 2, 3).macs_of_video == 6
