"""What training will see, before it begins: its first clips, its classes and its learning rates, as one page.

The clips are those of the first steps themselves: the same loader draws them, and the same seed mixes them.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vidbench import optimise
from vidbench.augment import label_of
from vidbench.data.sample import middle_indices
from vidbench.learner import TrainedNetwork
from vidbench.page.fill import render
from vidbench.page.mistakes import thumbnail
from vidbench.plots.curves import named_points
from vidbench.plots.figure import SERIES
from vidbench.plots.sampling import run_words
from vidbench.plots.words import listing
from vidbench.train_data import Drawn, Stored, usable
from vidbench.train_task import Outcome
from vidbench.utils import atomic_writer, plural

PAGE = "preview.html"
NUM_CLIPS = 24  # shown at most; as many batches as that takes
NUM_FRAMES = 16  # of a clip's film strip
NUM_POINTS = 97  # of a curve of learning rates
EXIT_OK = 0


@dataclass(frozen=True)
class Batch:
    """What a step learns from.

    Args:
        places: (epoch, number of the video, turn) of each clip, N of them.
        pixels: as the network is given them, but for mean and standard deviation: float (N, T, 3, H, W) from 0 to 1.
        labels: int64 (N,), or float (N, K) where clips are mixed.
        views: the clips before they were mixed, uint8 (N, T, 3, H, W).
    """

    places: list[tuple[int, int, int]]
    pixels: torch.Tensor
    labels: torch.Tensor
    views: torch.Tensor


def preview(module: TrainedNetwork, loader, kept: Stored, folder: Path) -> Outcome:
    """Write ``preview.html`` into a run's folder; trains nothing.

    Args:
        module: the network before its first step, with its recipe.
        loader: of the training's batches.
        kept: the training videos.
        folder: of the run; made where it is not there.
    """
    batches, steps = list(first_batches(module, loader)), steps_of(module)
    content = {
        "model": module.task.card.name,
        "data": module.task.dataset.name,
        "facts": facts(module, loader, kept),
        "smoothing": module.config.label_smoothing,
        "batches": shown_batches(module, loader.dataset, batches),
        **classes(module.task, kept),
        **rates(module),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_writer(folder / PAGE, "w") as file:
        file.write(render(content, "preview.html.j2"))
    numbered = f"{len(batches)} batches" if len(batches) > 1 else "batch"
    number = sum(len(batch["clips"]) for batch in content["batches"])
    said = f"{folder / PAGE}: {plural(number, 'clip')} of the first {numbered}, "
    said += f"{plural(len(content['classes']), 'class', 'classes')}, {plural(steps, 'step')}; nothing was trained"
    return Outcome(folder, said, EXIT_OK, {})


def first_batches(module: TrainedNetwork, loader) -> Iterator[Batch]:
    """The first batches of the first epoch, as its steps get them; at least one, and up to ``NUM_CLIPS`` clips."""
    num = min(len(loader), max(1, NUM_CLIPS // module.config.batch_size))
    places = itertools.islice(loader.batch_sampler, num)
    for number, (drawn, batch) in enumerate(zip(places, loader)):
        module.seed_step(0, number)
        pixels, labels = module.mixed(*batch[:2])
        yield Batch(drawn, pixels, labels, batch[0])


def steps_of(module: TrainedNetwork) -> int:
    """Steps of the whole training, where it does not stop early."""
    return module.steps_an_epoch * module.config.epochs


# ---------------------------------------------------------------- facts


def facts(module: TrainedNetwork, loader, kept: Stored) -> list[dict]:
    """What is trained on what and for how long, as ``{name, value, note}``."""
    config, task = module.config, module.task
    learning, still = counts = [
        sum(p.numel() for p in module.network.parameters() if p.requires_grad == learns) for learns in (True, False)
    ]
    views = len(loader.batch_sampler.sampler)
    over = views - len(loader) * config.batch_size
    left = f"{over} of its {plural(views, 'view')} too few for one more" if over else "none of its views left over"
    height, width = task.spec.crop
    out = f"{len(kept.skipped)} more left out, which cannot be used" if kept.skipped else "none left out"
    some = ", unless validation stops it before" if config.patience else ""
    return [
        _fact("Parameters that learn", f"{learning:,}", f"of {sum(counts):,}"),
        _fact("Held still", f"{still:,}", f"--freeze {config.freeze}"),
        _fact("A clip", f"{task.num_frames} frames of {height}x{width}", "frames, height and width in pixels"),
        _fact("Training videos", len(kept.records), out),
        _fact("Validation videos", len(task.sides.val), "each one counts, readable or not"),
        _fact("An epoch", plural(len(loader), "batch", "batches"), f"of {plural(config.batch_size, 'clip')}; {left}"),
        _fact("Steps an epoch", module.steps_an_epoch, f"each of {plural(config.accumulate, 'batch', 'batches')}"),
        _fact("Steps in all", f"{steps_of(module):,}", f"in {plural(config.epochs, 'epoch')}{some}"),
    ]


def _fact(name: str, value: object, note: str) -> dict:
    return {"name": name, "value": str(value), "note": note}


# ---------------------------------------------------------------- clips


def shown_batches(module: TrainedNetwork, clips, batches: Sequence[Batch]) -> list[dict]:
    """Batches for the page: ``{number, size, clips}``, of all clips together ``NUM_CLIPS``."""
    found, room = [], NUM_CLIPS
    for number, batch in enumerate(batches, 1):
        shown = [shown_clip(module, clips, batch, place) for place in range(min(room, len(batch.places)))]
        room -= len(shown)
        found.append({"number": number, "size": len(batch.places), "clips": shown})
    return found


def shown_clip(module: TrainedNetwork, clips, batch: Batch, number: int) -> dict:
    """One clip for the page: its frames, its label or labels, its file, and what chance decided."""
    place, labels = batch.places[number], module.task.labels
    drawn, record = clips.how_drawn(place), clips.records[place[1]]
    label = label_of(record.label_index, drawn.turned, clips.mirrored, clips.partners)
    assert torch.equal(drawn.view, batch.views[number]), "what is told is told of this very view"
    target = batch.labels[number]
    shares = {labels[int(target)]: 1.0} if target.ndim == 0 else dict(zip(labels, target.tolist()))
    return {
        "labels": sorted(((name, share) for name, share in shares.items() if share > 0), key=lambda pair: -pair[1]),
        "mixed": target.ndim > 0,
        "listed": record.label,
        "relabelled": record.label_index != label,
        "path": record.path,
        "which": f"{run_words(drawn.frames).capitalize()}, out of {drawn.num_frames}",
        "changes": changes(drawn, clips.how),
        "strip": strip(batch.pixels[number], drawn.frames),
    }


def strip(pixels: torch.Tensor, numbers: np.ndarray) -> list[dict]:
    """Frames of a clip, float (T, 3, H, W) from 0 to 1, as small pictures with their numbers in the video."""
    frames = (pixels * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    chosen = middle_indices(len(frames), min(NUM_FRAMES, len(frames)))
    return [{"number": int(numbers[i]), **thumbnail(frames[i])} for i in chosen]


def changes(drawn: Drawn, how) -> list[str]:
    """What a view shows otherwise than its video, in words, in the order in which it came about."""
    words = ["played backwards"] * drawn.turned.backwards + ["mirrored"] * drawn.turned.mirrored
    words += [told for name, values in drawn.changes if (told := change_words(name, values, drawn.size))]
    if how is not None and how.rand_augment:
        words.append("two operations of RandAugment, which it does not name")
    return words


def change_words(name: str, values: dict, size: tuple[int, int]) -> str:
    """What a transform of torchvision drew, in words; empty where it changed nothing.

    >>> change_words("RandomResizedCrop", {"top": 3, "left": 0, "height": 50, "width": 64}, (60, 80))
    'crop of 50x64 out of 60x80'
    >>> change_words("ColorJitter", {"fn_idx": [], "brightness_factor": 1.1, "hue_factor": -0.02}, (60, 80))
    'brightness 110 %, hue -7°'
    """
    if name == "RandomErasing":
        return f"a rectangle of {values['h']}x{values['w']} blanked" if values["v"] is not None else ""
    if "angle" in values:
        return f"turned by {values['angle']:.0f}°"
    if "fn_idx" in values:
        factors = ((word, values.get(f"{word}_factor")) for word in ("brightness", "contrast", "saturation"))
        words = [f"{word} {100 * factor:.0f} %" for word, factor in factors if factor is not None]
        hue = values.get("hue_factor")
        return ", ".join([*words, *([f"hue {360 * hue:+.0f}°"] if hue is not None else [])])
    return f"crop of {values['height']}x{values['width']} out of {size[0]}x{size[1]}"


# ---------------------------------------------------------------- classes


def classes(task, kept: Stored) -> dict:
    """Videos of each class that train and validate, and how the two were parted."""
    train, val = (Counter(r.label for r in records if usable(r)) for records in (kept.records, task.sides.val))
    lines = [{"label": label, "train": train[label], "val": val[label]} for label in task.labels]
    there = [line for line in lines if line["train"] or line["val"]]
    sources = [len({r.group for r in records if r.group}) for records in (kept.records, task.sides.val)]
    return {
        "classes": there,
        "num_absent": len(lines) - len(there),
        "divided": task.sides.how,
        "sources": sources if all(sources) else None,
    }


# ---------------------------------------------------------------- learning rates


def rates(module: TrainedNetwork) -> dict:
    """The learning rates of all steps: a figure, and a line for each group of parameters."""
    config, steps, groups = module.config, steps_of(module), module.groups()
    places = drawn_steps(steps, round(module.steps_an_epoch * config.warmup_epochs))
    values = optimise.rates_at(module.configure_optimizers()["lr_scheduler"], places)  # type: ignore[arg-type]
    lines, curves = [], dict[tuple, str]()  # parameters that do not decay have the rates of those that do
    for group, of_group, where in zip(groups, values.T, group_names(module, groups), strict=True):
        curves.setdefault(tuple(of_group), where)
        lines.append(
            {
                "where": where,
                "kind": "weights" if group["params"][0].dim() > 1 else "biases and norms",
                "number": sum(p.numel() for p in group["params"]),
                "weight_decay": group["weight_decay"],
                "first": of_group[0],
                "highest": of_group.max(),
                "last": of_group[-1],
            }
        )
    return {
        "schedule": config.schedule,
        "groups": lines,
        "figure": rate_figure(places, curves, f"{config.schedule}: {plural(steps, 'step')}"),
        "num_curves": len(curves),
        "most_curves": len(SERIES),
    }


def drawn_steps(num_steps: int, num_warm: int) -> list[int]:
    """The steps at which rates are drawn: evenly spread ones, and both sides of each corner of a schedule."""
    corners = {num_warm, *(int(np.ceil(part * num_steps)) for part in optimise.STEPS)}
    even = np.linspace(0, num_steps - 1, min(num_steps, NUM_POINTS)).round().astype(int).tolist()
    both = {corner - side for corner in corners for side in (0, 1)}
    return sorted({*even, *(step for step in both if 0 <= step < num_steps)})


def rate_figure(steps: Sequence[int], curves: dict[tuple, str], title: str):
    """Learning rates against steps, as HTML with a text alternative; of many curves the outermost and some between."""
    from markupsafe import Markup

    ordered = sorted(curves, key=max, reverse=True)
    chosen = middle_indices(len(ordered), min(len(ordered), len(SERIES)))
    chosen[[0, -1]] = 0, len(ordered) - 1
    shown = {curves[ordered[i]]: ordered[i] for i in chosen}
    points = {name: list(zip(steps, curve, itertools.repeat(""))) for name, curve in shown.items()}
    figure = named_points(points, x="step", y="learning rate", lines=True, marks=False, title=title)
    told = [
        f"{name}: {curve[0]:.2g} at the first step, {max(curve):.2g} at the highest, step "
        f"{steps[int(np.argmax(curve))] + 1}, and {curve[-1]:.2g} at the last"
        for name, curve in shown.items()
    ]
    figure.alt = f"Learning rate at each step. {'; '.join(told)}."
    return Markup(figure.html())  # which escapes its words


def group_names(module: TrainedNetwork, groups: Sequence[dict]) -> list[str]:
    """What each group of parameters is: blocks by their names, or in a word where all but the last layer go alike."""
    names = {id(p): name for name, p in module.network.named_parameters()}
    of_group = [[names[id(p)] for p in group["params"]] for group in groups]
    blocks = [list(dict.fromkeys(optimise.block_of(n) for n in found if n not in module.head)) for found in of_group]
    one_rate = len({group["lr"] for group, inside in zip(groups, blocks) if inside}) == 1
    with_head = [any(name in module.head for name in found) for found in of_group]
    word = "all layers" if any(head and inside for head, inside in zip(with_head, blocks)) else "all but the last layer"
    return [(word if one_rate else listing(inside, 3)) if inside else "last layer" for inside in blocks]
