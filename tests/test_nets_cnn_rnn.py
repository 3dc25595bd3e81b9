"""CNN + RNN: the batch is the first axis everywhere, time the second, and neither is taken for the other."""

import numpy as np
import pytest
import torch

from vidbench.cards import cnn_rnn
from vidbench.models import build_module, load_model
from vidbench.nets.backbone import image_network
from vidbench.nets.cnn_rnn import CnnRnn
from vidbench.records import ConfigError, WeightsError


def net(seed=0, **options):
    torch.manual_seed(seed)
    return CnnRnn(7, **{"hidden": 20, **options}).eval()


def clips(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


KINDS = [{}, {"rnn": "gru"}, {"level": True}, {"bidirectional": True}, {"num_layers": 2, "rnn": "gru"}]


@pytest.mark.parametrize("options", KINDS, ids=str)
@torch.inference_mode()
def test_videos_of_a_batch_change_places_and_nothing_else(options):
    """The published recipe gives its LSTM batch-first tensors without saying so: videos then run into each other."""
    module, batch = net(**options), clips(4, 3, 3, 40, 36)
    order = torch.tensor([2, 0, 3, 1])
    found = module(batch)
    torch.testing.assert_close(module(batch[order]), found[order], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(module(batch[1:2]), found[1:2], atol=1e-5, rtol=1e-4)
    assert (found[0] - found[1]).abs().max() > 1e-4
    assert torch.equal(module(batch), found)


def test_the_recipes_mistake_is_one_that_these_tests_see():
    module, batch = net(), clips(4, 3, 3, 40, 36)
    module.rnn.batch_first = False
    order = torch.tensor([2, 0, 3, 1])
    assert (module(batch[order]) - module(batch)[order]).abs().max() > 1e-4


@pytest.mark.parametrize("options", KINDS, ids=str)
@torch.inference_mode()
def test_the_order_of_frames_matters_and_every_frame_counts(options):
    module, video = net(**options), clips(1, 5, 3, 40, 36)
    found = module(video)
    assert (module(video.flip(1)) - found).abs().max() > 1e-5
    for t in range(5):
        other = video.clone()
        other[:, t] = clips(3, 40, 36, seed=t + 1)
        assert (module(other) - found).abs().max() > 1e-7, f"frame {t} is not seen"


@pytest.mark.parametrize(("kind", "cell"), [("lstm", torch.nn.LSTMCell), ("gru", torch.nn.GRUCell)])
@torch.inference_mode()
def test_it_is_an_image_network_and_a_cell_stepped_by_hand(kind, cell):
    """Largest difference here 1e-6."""
    module, video = net(rnn=kind, backbone="resnet18"), clips(2, 4, 3, 40, 36)
    image = image_network("resnet18").eval()
    image.load_state_dict(module.base_model.state_dict(), strict=False)
    image.fc = torch.nn.Identity()
    step = cell(512, 20)
    step.load_state_dict({key.removesuffix("_l0"): value for key, value in module.rnn.state_dict().items()})
    state = None
    for t in range(4):
        state = step(image(video[:, t]), state)
    hidden = state[0] if kind == "lstm" else state
    torch.testing.assert_close(module(video), module.fc(hidden), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_every_parameter_learns(options):
    module = net(**options).train()
    module(clips(2, 3, 3, 40, 36)).square().sum().backward()
    assert [name for name, value in module.named_parameters() if value.grad is None or not value.grad.any()] == []


@torch.inference_mode()
def test_any_number_of_frames_and_any_backbone_works():
    module = net()
    for t, h, w in ((1, 40, 36), (6, 33, 64)):
        assert module(clips(2, t, 3, h, w)).shape == (2, 7)
    assert net(backbone="squeezenet1_1")(clips(1, 2, 3, 40, 36)).shape == (1, 7)


@torch.inference_mode()
def test_levelled_features_may_have_any_size_and_others_not():
    """SqueezeNet's are ten times as large as ResNet's; a network of the kind must not depend on that."""
    video = clips(2, 3, 3, 40, 36)
    for level, same in ((True, True), (False, False)):
        module = net(level=level)
        found, image = module(video), module.base_model.forward
        module.base_model.forward = lambda x, image=image: 10 * image(x) + 3
        assert torch.allclose(module(video), found, atol=1e-4) is same
    assert net(level=True).state_dict().keys() == net().state_dict().keys()


def test_what_cannot_be_is_refused_in_one_sentence():
    for options in ({"rnn": "elman"}, {"hidden": 0}, {"num_layers": 0}):
        with pytest.raises(ConfigError, match="rnn is one of lstm, gru, hidden and num_layers at least 1"):
            CnnRnn(7, **options)
    for shape in ((2, 3, 4, 40, 36), (2, 3, 40, 36), (2, 0, 3, 40, 36)):
        with pytest.raises(ConfigError, match=r"A CNN \+ RNN takes clips \(N, T, 3, H, W\) with T at least 1, not"):
            net()(torch.empty(shape))


@pytest.mark.parametrize("card", cnn_rnn.CARDS, ids=lambda card: card.name)
def test_a_card_takes_its_own_views_and_has_no_weights(card):
    with torch.device("meta"):
        module = build_module(card).eval()
        assert module(torch.empty(2, card.input.num_frames, 3, *card.input.crop)).shape == (2, 400)
    with pytest.raises(WeightsError, match=f"{card.name} comes without weights: nobody published"):
        load_model(card.name)


def test_an_image_networks_file_fills_the_backbone(tmp_path):
    torch.manual_seed(8)
    image = image_network("resnet18", num_classes=365)
    torch.save({"state_dict": {f"module.{k}": v for k, v in image.state_dict().items()}}, tmp_path / "places.pth")
    model = load_model("cnn_lstm", labels=("a", "b"), backbone_weights=tmp_path / "places.pth")
    own = model.network.module.state_dict()
    kept = {k: v for k, v in image.state_dict().items() if not k.startswith("fc.")}
    assert all(torch.equal(own[f"base_model.{key}"], value) for key, value in kept.items())
    pixels = np.random.default_rng(0).integers(0, 256, (1, 16, 40, 48, 3), np.uint8)
    assert model.logits([pixels])[0].shape == (1, 2)
    assert model.random_weights


def test_another_file_than_the_backbones_is_refused(tmp_path):
    image = image_network("resnet18").state_dict()
    torch.save({key: value for key, value in image.items() if "layer4" not in key}, tmp_path / "cut.pth")
    with pytest.raises(WeightsError, match=r"does not fit the backbone resnet18: it lacks 'layer4.0.conv1.weight'"):
        load_model("cnn_lstm", backbone_weights=tmp_path / "cut.pth")
