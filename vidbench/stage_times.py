"""Where the time of a run goes, stage by stage, and what limits its speed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable

from vidbench.records import Views
from vidbench.runs import section
from vidbench.utils import peak_rss_mb

STAGES = {
    "decode": "reading files and decoding the frames wanted",
    "transform": "resizing and cropping",
    "transfer": "copying to the device",
    "forward": "the network",
}


class StageClock:
    """Adds up what each stage costs in this session."""

    def __init__(self):
        self.began = time.monotonic()
        self.seconds = {"decode": 0.0, "transform": 0.0, "tuning": 0.0}
        self.num_videos, self.memory_kept = 0, False

    def add(self, many: Iterable[Views]) -> None:
        """Count these videos and the seconds that reading them took."""
        for views in many:
            self.num_videos += 1
            for stage, seconds in views.seconds.items():
                self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    @contextlib.contextmanager
    def apart(self):
        """Time that belongs to no video: trying out how the network runs best."""
        began = time.monotonic()
        yield
        self.seconds["tuning"] += time.monotonic() - began

    def facts(self, model, before: dict | None, num_workers: int, num_networks: int = 1) -> dict:
        """Stage seconds of all sessions of a run, peak memory, and which stage limits the speed."""
        seconds = {**self.seconds, "wall": time.monotonic() - self.began}
        for stages in (model.seconds, (before or {}).get("seconds", {})):
            for stage, value in stages.items():
                seconds[stage] = seconds.get(stage, 0.0) + value
        before = before or {}
        num_videos = self.num_videos + before.get("num_videos", 0)
        working = seconds["wall"] - seconds["tuning"]
        return {
            "sessions": before.get("sessions", 0) + 1,
            "num_videos": num_videos,
            "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
            "clips_per_s": round(num_videos / working, 3) if working > 0 else 0.0,
            "bottleneck": bottleneck(seconds, num_workers, num_networks),
            "peak_rss_mb": max(peak_rss_mb(), before.get("peak_rss_mb", 0)),
            "device_name": model.device_name,
            "halved_batches": model.halved_batches + before.get("halved_batches", 0),
        }


def bottleneck(seconds: dict[str, float], num_workers: int, num_networks: int = 1) -> str:
    """``decode`` or ``forward``: the side that keeps the other waiting; ``start`` where neither explains the time.

    ``decode`` and ``transform`` are CPU seconds spread over the workers, ``forward`` and
    ``transfer`` wall seconds spread over the processes that run the network.
    """
    reading = (seconds.get("decode", 0) + seconds.get("transform", 0)) / max(1, num_workers)
    network = (seconds.get("forward", 0) + seconds.get("transfer", 0)) / num_networks
    if reading + network < 0.5 * (seconds.get("wall", 0) - seconds.get("tuning", 0)):
        return "start"
    return "decode" if reading > network else "forward"


def stage_seconds(manifest: dict, timing: dict | None = None) -> dict[str, float]:
    """Seconds by stage, those that were measured and above 0; ``wall`` among them."""
    timing = timing or section(manifest, "timing")
    found = timing.get("seconds")
    seconds = found if isinstance(found, dict) else timing
    known = {stage: seconds.get(stage) for stage in (*STAGES, "wall")}
    return {stage: float(value) for stage, value in known.items() if isinstance(value, (int, float)) and value > 0}


def bottleneck_words(manifest: dict, timing: dict | None = None) -> list[str]:
    """One sentence on what limits the speed and what would help; none where no time was taken."""
    timing, run = timing or section(manifest, "timing"), section(manifest, "run")
    seconds = stage_seconds(manifest, timing)
    if not set(seconds) & set(STAGES):
        return []
    workers = max(1, run.get("num_workers") or 1)
    reading = (seconds.get("decode", 0) + seconds.get("transform", 0)) / workers
    network = seconds.get("transfer", 0) + seconds.get("forward", 0)
    rate = f"{timing['clips_per_s']:.3g} clips/s; " if timing.get("clips_per_s") else ""
    each = f"{reading:.1f} s each in {workers} workers" if workers > 1 else f"{reading:.1f} s"
    if timing.get("bottleneck") == "start":
        return [
            f"{rate}most of the time was start-up or waiting: too short, or too busy a machine, to say what limits it"
        ]
    if (timing.get("bottleneck") or ("decode" if reading > network else "forward")) == "decode":
        return [f"{rate}decoding limits it ({each}, the network {network:.1f} s): more cores or the clip cache help"]
    help_ = "a GPU helps" if run.get("device", "cpu") == "cpu" else "lower precision or a larger batch may help"
    if not str(run.get("library", "torch")).startswith("torch"):
        help_ = "more cores help"  # it runs nowhere else
    return [f"{rate}the network limits it ({network:.1f} s, decoding {each}): {help_}"]


def stages(manifest: dict, timing: dict) -> dict:
    """Stage times: ``{lines: [{name, what, seconds, share}], sentence, facts}``; shares of the longest stage."""
    seconds = stage_seconds(manifest, timing)
    longest = max((seconds[stage] for stage in STAGES if stage in seconds), default=0)
    lines = [
        {"name": stage, "what": what, "seconds": f"{seconds[stage]:.1f}", "share": seconds[stage] / longest}
        for stage, what in STAGES.items()
        if stage in seconds
    ]
    facts = {
        "wall time": f"{seconds['wall']:.1f} s" if "wall" in seconds else None,
        "speed": f"{timing['clips_per_s']:.3g} clips/s" if timing.get("clips_per_s") else None,
        "peak memory": f"{timing['peak_rss_mb']:.0f} MB" if timing.get("peak_rss_mb") else None,
        "sessions": timing.get("sessions"),
        "device": timing.get("device_name") or timing.get("device"),
    }
    kept = {name: str(value) for name, value in facts.items() if value}
    return {"lines": lines, "sentence": " ".join(bottleneck_words(manifest, timing)), "facts": kept}
