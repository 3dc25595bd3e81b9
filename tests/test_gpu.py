"""One network of each family gives on a GPU what it gives on the processor; skips without one."""

import dataclasses

import numpy as np
import pytest
import torch

from vidbench.models import load_model

FRAMES = {"i3d.rgb_imagenet_k400": 12, "s3dg": 14, "movinet_a0_base": 8, "movinet_a0_stream.k600": 6, "swin3d_t": 8}
NAMES = ["i3d.rgb_imagenet_k400", "s3dg", "resnet3d50_i3d", "tsn_resnet50", "cnn_lstm", "movinet_a0_base"]
NAMES += ["movinet_a0_stream.k600", "r2plus1d_18", "mvit_v2_s", "swin3d_t", "videomae_small", "timesformer_base"]

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize("name", NAMES)
def test_the_gpu_gives_the_logits_of_the_processor(name):
    found = []
    for device in ("cpu", "cuda"):
        model = load_model(name, "random", device=device)
        frames = FRAMES.get(name, model.spec.num_frames)
        if model.spec.num_frames:
            model.spec = dataclasses.replace(model.spec, num_frames=frames)
        shape = (2, frames, *model.spec.crop, 3)
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        found.append(model.logits([pixels], 2)[0])
    assert found[0].std() > 0
    assert np.abs(found[0] - found[1]).max() <= 1e-3 * np.abs(found[0]).max()
