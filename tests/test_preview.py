"""The preview of a training shows what its first steps get, and what its rates will be."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import chromium
from torch import nn

from vidbench import learner, optimise, preview
from vidbench.augment import Augmentation, change_pixels
from vidbench.data.classes import load_labels
from vidbench.page.fill import render
from vidbench.page.mistakes import thumbnail
from vidbench.records import ConfigError
from vidbench.train import train

MIXED = {"mixup": 0.8, "cutmix": 1.0}


@pytest.fixture
def seen(monkeypatch) -> SimpleNamespace:
    """What the network and the loss of a training get, batch by batch, and the rates of its steps, as it goes."""
    found = SimpleNamespace(pixels=[], labels=[], rates=[])
    scores, loss = learner.TrainedNetwork.logits, optimise.loss_of

    def logits(self, pixels):
        found.pixels.append(pixels.clone())
        return scores(self, pixels)

    def loss_of(logits, labels, **more):
        found.labels.append(labels.clone())
        return loss(logits, labels, **more)

    def stepping(self, optimizer) -> None:
        found.rates.append([group["lr"] for group in optimizer.param_groups])

    monkeypatch.setattr(learner.TrainedNetwork, "logits", logits)
    monkeypatch.setattr(optimise, "loss_of", loss_of)
    monkeypatch.setattr(learner.TrainedNetwork, "on_before_optimizer_step", stepping)
    return found


@pytest.mark.parametrize("mixing", [{}, MIXED], ids=["plain", "mixed"])
def test_the_pictures_are_those_of_the_first_steps(training, seen, monkeypatch, mixing):
    options = {"epochs": 1, "accumulate": 2, "seed": 3, "reverse": "known", "erase": 0.5, "head_rate": 7.0, **mixing}
    drawn = []
    taken = preview.first_batches
    monkeypatch.setattr(preview, "first_batches", lambda *given: drawn.extend(taken(*given)) or drawn)
    monkeypatch.setattr(preview, "NUM_CLIPS", 12)
    outcome = train(training(preview=True, **options))
    page = (outcome.run_folder / "preview.html").read_text(encoding="utf-8")
    assert (outcome.exit_status, seen.pixels, seen.rates) == (0, [], []), "nothing is learnt"
    assert [path.name for path in outcome.run_folder.iterdir()] == ["preview.html"]
    train(training(**options))
    assert len(seen.pixels) == 3
    for batch, pixels, labels in zip(drawn, seen.pixels, seen.labels):
        assert torch.equal(batch.pixels, pixels)
        assert torch.equal(batch.labels, labels)
    assert len(drawn) == 2
    learnt = (torch.cat(seen.pixels[:2]) * 255).round().byte().permute(0, 1, 3, 4, 2).numpy()
    pictures = [thumbnail(frame)["uri"] for clip in learnt for frame in clip]
    assert re.findall(r'<img src="(data:image/jpeg[^"]+)"', page) == pictures
    assert ("Then mixed with another clip" in page) == bool(mixing)
    if mixing:
        assert any(0 < share < 1 for share in torch.cat(seen.labels).flatten().tolist())
        return
    names = load_labels("vidmini")
    assert re.findall("<h4><bdi>(.*)</bdi></h4>", page) == [names[k] for k in torch.cat(seen.labels[:2]).tolist()]
    rates = [cells[2:5] for cells in rows(page, "rates")]
    assert rates == [[f"{rate:.2g}" for rate in (a, max(a, b), b)] for a, b in zip(*seen.rates)]


def rows(page: str, section: str) -> list[list[str]]:
    """The cells of each line of a section's table."""
    part = page.partition(f'<section id="{section}"')[2].partition("</section>")[0]
    lines = re.findall("<tr>(<th scope=.row.*?)</tr>", part)
    return [[re.sub("<.*?>", "", cell) for cell in re.findall("<t[hd].*?</t[hd]>", line)] for line in lines]


def test_what_is_told_of_a_view_is_what_was_done_to_it():
    frames = np.zeros((3, 30, 40, 3), np.uint8)
    frames[..., 0], frames[..., 1], frames[..., 2] = np.arange(1, 31)[:, None], np.arange(1, 41), 255
    how, heard = Augmentation(min_scale=1.0, flip=False, jitter=0.0, erase=1.0), []
    view = change_pixels(frames, (16, 20), how, False, np.random.default_rng(5), heard)
    again = change_pixels(frames, (16, 20), how, False, np.random.default_rng(5))
    (_, crop), (_, erased) = heard
    assert torch.equal(view, again), "to listen changes nothing"
    assert [name for name, _ in heard] == ["RandomCrop", "RandomErasing"]
    assert (view[:, 2] == 0).sum(dim=(1, 2)).tolist() == [erased["h"] * erased["w"]] * 3
    kept = view[0, :, view[0, 2].numpy() == 255]
    assert kept[0].min() >= crop["top"] + 1
    assert view[0, :2, -1, -1].tolist() in ([crop["top"] + 16, crop["left"] + 20], [0, 0])
    words = [preview.change_words(name, drawn, (30, 40)) for name, drawn in heard]
    assert words == ["crop of 16x20 out of 30x40", f"a rectangle of {erased['h']}x{erased['w']} blanked"]


def small_page(words: str) -> str:
    """A page of one clip, whose every word from outside is the same."""
    clip = {"labels": [(words, 0.5)], "mixed": True, "listed": words, "relabelled": True, "path": words}
    clip |= {"which": words, "changes": [words]}
    clip |= {"strip": [{"number": 3, "width": 8, "height": 6, "uri": thumbnail(np.zeros((6, 8, 3), np.uint8))["uri"]}]}
    group = {"where": words, "kind": words, "number": 1, "weight_decay": 0.1, "first": 0.1, "highest": 0.2, "last": 0}
    content = {"model": words, "data": words, "facts": [{"name": words, "value": words, "note": words}]}
    content |= {"smoothing": 0.1, "batches": [{"number": 1, "size": 2, "clips": [clip]}]}
    content |= {"classes": [{"label": words, "train": 2, "val": 0}], "num_absent": 3, "divided": words}
    content |= {"sources": [4, 5], "schedule": "plateau", "groups": [group], "num_curves": 9, "most_curves": 6}
    figure = preview.rate_figure([0, 1], {(0.1, 0.2): "<script>"}, "<script>")
    return render(content | {"figure": figure}, "preview.html.j2")


def test_foreign_words_stay_words():
    page = small_page("<script>alert(1)</script>\u202e")
    assert page.count("<script>") == 1, "our own"
    assert "\u202e" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;\\u202e") == 16


def test_the_page_is_accessible(tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    browser_path = chromium()
    (tmp_path / "preview.html").write_text(small_page("SitDown"), encoding="utf-8")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.goto((tmp_path / "preview.html").as_uri())
        found = [violation["id"] for violation in axe.run(tab).response["violations"]]
        browser.close()
    assert found == []


def test_groups_are_named_by_what_learns_alike():
    network = nn.ModuleDict({"stem": nn.Linear(2, 3), "blocks": nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])})
    network["head"] = nn.Linear(3, 4)
    module = SimpleNamespace(network=network, head={"head.weight", "head.bias"})

    def names(**more) -> list[str]:
        groups = optimise.parameter_groups(network, module.head, rate=1.0, weight_decay=0.0, **more)
        return preview.group_names(module, groups)

    assert names() == ["all layers"] * 2
    assert names(head_rate=5.0) == ["all but the last layer"] * 2 + ["last layer"] * 2
    assert names(layer_decay=0.5)[::2] == ["stem", "blocks.0", "blocks.1", "last layer"]


def test_one_first_step_at_a_time(training):
    with pytest.raises(ConfigError, match="--preview and --find-rate are two steps; give one of them"):
        train(training(preview=True, find_rate=True))
