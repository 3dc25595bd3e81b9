"""How a run was made, in words: what its manifest says of model, data, input and machine."""

from __future__ import annotations

import shlex

from vidbench.asked import asked_words
from vidbench.runs import section
from vidbench.utils import as_tuple, plural, printable

SAMPLING = {
    "clips": "clips spread evenly over the video",
    "clips_from_start": "clips spread evenly over the video, the first one at its beginning",
    "dense": "frames at a fixed stride",
    "uniform": "the middle frame of equal shares of the video",
    "segments": "one frame from each segment of the video",
    "stream": "the whole video, frame by frame",
}
SHORT = {"repeat": "repeat their last frame", "loop": "start again", "error": "are skipped as too short"}


def protocol_words(manifest: dict) -> str:
    """Views, frames, crop, decoder and precision of a run in one line."""
    spec, decode, run = section(manifest, "spec"), section(manifest, "decode"), section(manifest, "run")
    frames = frames_words(spec)
    crop = "x".join(str(side) for side in as_tuple(spec.get("crop")))
    words = [asked_words(manifest), views_words(spec), frames, f"crop {crop}" if crop else ""]
    words += [str(decode.get("decoder") or "")]
    words += [f"{run.get('precision', '')} on {run['device']}".strip() if run.get("device") else ""]
    return ", ".join(word for word in words if word)


def views_words(spec: dict) -> str:
    """Number of views of a protocol, ``10 clips x 3 crops = 30 views``."""
    clips, crops = spec.get("num_clips") or 1, spec.get("num_crops") or 1
    if clips * crops == 1:
        return "1 view"
    return f"{plural(clips, 'clip')} x {plural(crops, 'crop')} = {clips * crops} views"


def frames_words(spec: dict) -> str:
    """Frames of a view, ``16 frames at 12.5 per second``."""
    frames, rate = spec.get("num_frames"), spec.get("frame_rate")
    if frames is None:
        return ""
    count = "all frames" if frames == 0 else plural(frames, "frame")
    return f"{count} at {rate:g} per second" if isinstance(rate, (int, float)) else count


def value_words(value) -> str:
    """A value of a manifest for people: ``none``, ``12.5``, ``112 x 112``."""
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return " x ".join(value_words(item) for item in value)
    return str(value)


def protocol_table(manifest: dict) -> list[tuple[str, str]]:
    """How the figures were made, as ``(what, how)``; entries without a value are left out."""
    names = ("spec", "dataset", "decode", "run", "model", "protocol")
    spec, dataset, decode, run, model, asked = (section(manifest, name) for name in names)
    limits = section(decode, "limits") or decode
    table = {
        "Model": model.get("name"),
        "Weights": weights_words(model),
        "Data": _data_protocol(dataset),
        "Labels": _label_words(manifest),
        "Asked for": asked_words(manifest),
        "Frames of a view": frames_words(spec),
        "Chosen": SAMPLING.get(spec.get("sampling", ""), spec.get("sampling")),
        "Optical flow": decode.get("flow"),
        "Views": views_words(spec) if spec else None,
        "Views averaged as": spec.get("average"),
        "Short videos": SHORT.get(spec.get("short", ""), spec.get("short")),
        "Resize": _resize_words(spec.get("resize")),
        "Crop": " x ".join(str(side) for side in as_tuple(spec.get("crop"))) + " pixels" if spec.get("crop") else None,
        "Mean, deviation": " / ".join(
            ", ".join(value_words(item) for item in as_tuple(spec.get(name)))
            for name in ("mean", "std")
            if spec.get(name)
        ),
        "Decoder": ", ".join(value_words(decode[name]) for name in ("decoder", "version") if decode.get(name)),
        "Limits a video": ", ".join(
            f"{value_words(limits[name])} {unit}"
            for name, unit in (("seconds", "s"), ("megabytes", "MB"))
            if limits.get(name)
        ),
        "Precision": " ".join(value_words(run[name]) for name in ("precision", "memory_format") if run.get(name)),
        "Batch": f"{plural(run['batch_size'], 'video')} on {run.get('device', '?')}" if run.get("batch_size") else None,
        "As on the model's card": {True: "yes", False: "no", None: ""}.get(asked.get("on_card")),
    }
    return [(name, str(text)) for name, text in table.items() if text]


def weights_words(model: dict) -> str:
    """Where weights come from and the start of their hash."""
    if model.get("random"):
        return "random"
    weights = model.get("weights")
    weights = weights.get("file") if isinstance(weights, dict) else weights
    digest = model.get("weights_sha256") or model.get("sha256") or ""
    words = str(weights or model.get("weights_source") or "the card's")
    return f"{words}, sha256 {str(digest)[:16]}…" if digest else words


def _data_protocol(dataset: dict) -> str:
    words = [f"{dataset.get('name', '')} {dataset.get('split') or ''}".strip()]
    words += [f"fold {dataset['fold']}" if dataset.get("fold") else ""]
    words += [f"classes {', '.join(map(str, dataset['classes']))}" if dataset.get("classes") else ""]
    words += [f"subset of {dataset['limit']}, seed {dataset.get('seed')}" if dataset.get("limit") else ""]
    return ", ".join(word for word in words if word)


def _label_words(manifest: dict) -> str:
    label_map, model = section(manifest, "label_map"), section(manifest, "model")
    words = f"{model['num_classes']} classes of the model" if model.get("num_classes") else ""
    if label_map:
        words += f", mapped to the data's ({len(label_map.get('unmapped') or ())} without a counterpart)"
    return words


def _resize_words(value) -> str | None:
    if isinstance(value, (list, tuple)):
        return f"stretched to {' x '.join(str(side) for side in value)} pixels"
    return f"short side to {value} pixels" if value else None


def environment(manifest: dict) -> list[tuple[str, str]]:
    """Versions, machine and commit, flattened to ``(name, value)``."""
    lines = []
    for name, value in section(manifest, "environment").items():
        inner = value.items() if isinstance(value, dict) else [(name, value)]
        lines += [(str(key), value_words(entry)) for key, entry in inner if entry not in (None, "")]
    return lines


def command(manifest: dict) -> str:
    """The command that makes this run again, from the manifest; quoted for a POSIX shell.

    Of a merged run the command of its first part, with a comment that names the parts.
    """
    merged = section(manifest, "merged")
    if parts := [part for part in merged.get("parts") or () if isinstance(part, dict)]:
        names = ", ".join(printable(part.get("run_name"), 60) for part in parts)
        first = {**manifest, "merged": None, "command": merged.get("command")}
        return f"{command(first)}  # the first of {len(parts)} runs that merge.py joined: {names}"
    if manifest.get("command"):
        given = manifest["command"]
        return given if isinstance(given, str) else shlex.join(map(str, given))
    model, dataset, run = (section(manifest, name) for name in ("model", "dataset", "run"))
    weights = model.get("weights")
    changed = section(section(manifest, "protocol"), "changed")
    flags = {
        "model": model.get("name"),
        "weights": "random" if model.get("random") else weights.get("file") if isinstance(weights, dict) else weights,
        "dataset": dataset.get("name"),
        "data-dir": dataset.get("data_dir"),
        "split": dataset.get("split"),
        "fold": dataset.get("fold"),
        "classes": dataset.get("classes") or None,
        "limit": dataset.get("limit"),
        "seed": dataset.get("seed"),
        "present-only": [] if dataset.get("present_only") else None,
        "label-map": section(manifest, "label_map").get("source"),
        **{name.replace("_", "-"): values[1] for name, values in changed.items() if _is_flag(name, values)},
        "protocol": _protocol_flag(section(manifest, "protocol").get("asked")),
        "batch-size": run.get("batch_size"),
        "precision": run.get("precision"),
        "decoder": section(manifest, "decode").get("decoder"),
    }
    words = ["python", "scripts/evaluate.py"]
    for name, value in flags.items():
        words += [] if value is None else [f"--{name}", *(value if isinstance(value, list) else [value])]
    return shlex.join(value_words(word) for word in words)


def _protocol_flag(asked) -> str | None:
    if isinstance(asked, dict):
        return asked.get("file")
    return None if asked == "card" else asked


def _is_flag(name: str, values) -> bool:
    flags = ("num_frames", "frame_rate", "num_clips", "num_crops")
    return name in flags and isinstance(values, (list, tuple)) and len(values) == 2
