"""Where the time of a run goes, stage by stage, and what limits its speed."""

from __future__ import annotations

from vidbench.runs import section

STAGES = {
    "decode": "reading files and decoding the frames wanted",
    "transform": "resizing and cropping",
    "transfer": "copying to the device",
    "forward": "the network",
}


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
