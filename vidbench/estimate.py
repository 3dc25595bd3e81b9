"""What an evaluation would cost, without doing it."""

from __future__ import annotations

import time
from pathlib import Path

from vidbench import models
from vidbench.asked import asked_facts, asked_words
from vidbench.data import load
from vidbench.local import size_of
from vidbench.manifest import changed_fields
from vidbench.plan import Plan, limits_of, workers_of
from vidbench.records import UnreadableVideo, VideoRecord
from vidbench.runs import read_rows
from vidbench.utils import plural, printable


def describe_plan(config, plan: Plan, folder: Path) -> str:
    """Videos, weights, bytes, hours and disk of an evaluation, without doing it.

    The time is measured on up to three of the videos, with random weights where the real ones
    would have to be fetched (they cost the same).
    """
    sizes = [size_of(plan.root / record.path) if record.status == "ok" else 0 for record in plan.records]
    present = [record for record, size in zip(plan.records, sizes) if size]
    done = len(read_rows(folder / "rows.jsonl", plan.records)[0])
    left = sum(size > 0 for size in sizes[done:])
    off_card, megabytes = "" if plan.on_card else " (off its card)", sum(sizes) / 1e6
    how = {"asked": asked_facts(config.protocol), "changed": changed_fields(plan)}
    lines = [
        f"model      {plan.card.name}, {plan.spec.num_views} view(s) a video{off_card}",
        *(f"protocol   {words}" for words in [asked_words({"protocol": how})] if words),
        f"videos     {len(plan.records)} listed, {len(present)} present ({megabytes:.3g} MB), {done} already done",
        f"weights    {models.describe_weights(plan.card, config.weights)}",
        f"run folder {folder}",
    ]
    if not present:
        return "\n".join([*lines, f"nothing to time: no listed video is below {printable(plan.root)}"])
    tried = present[:: max(1, len(present) // 3)][:3]
    seconds, cached = measure_cost(config, plan, tried)
    disk = 0 if config.no_cache else cached * left
    disk += 4 * plan.spec.num_views * plan.num_scores * len(plan.records)
    hours, what = seconds * left / 3600, "logits" if config.no_cache else "the clip cache and logits"
    lines += [
        f"time       about {rounded(hours)} hours ({rounded(hours * 60)} minutes) for what is "
        f"present and not done ({plural(left, 'video')}): {rounded(seconds)} s each on this machine, "
        f"measured on {len(tried)}",
        f"disk       about {rounded(disk / 1e6)} MB for {what}",
    ]
    return "\n".join(lines)


def rounded(value: float) -> str:
    """A number with two digits that count, without an exponent, for an estimate.

    >>> [rounded(value) for value in (0.000512, 4.26, 173.2, 12760)]
    ['0.00051', '4.3', '170', '13,000']
    """
    return f"{float(f'{value:.2g}'):,.12g}"


def measure_cost(config, plan: Plan, records: list[VideoRecord]) -> tuple[float, float]:
    """Wall seconds and cache bytes a video, on this machine."""
    device = models.choose_device(config.device)
    random = plan.card.can_be_random and not (config.weights and Path(config.weights).exists())
    weights, labels = "random" if random else config.weights, plan.labels if plan.new_head else None
    model = models.load_model(plan.card.name, weights, device=device, labels=labels)
    model.spec = plan.spec
    reading, pixels = [], []
    for record in records:
        began = time.process_time()
        try:
            path = plan.root / record.path
            pixels.append(load.read_views(path, plan.spec, decoder=config.decoder, limits=limits_of(config)).pixels)
        except UnreadableVideo:
            continue
        reading.append(time.process_time() - began)
    if not pixels:
        return 0.0, 0.0
    model.logits(pixels[:1], config.batch_size)
    began = time.monotonic()
    model.logits(pixels, config.batch_size)
    network_s = (time.monotonic() - began) / len(pixels)
    read = sum(reading) / len(reading) / max(1, workers_of(config))
    return (read + network_s if device == "cpu" else max(read, network_s)), sum(p.nbytes for p in pixels) / len(pixels)
