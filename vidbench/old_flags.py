"""What the flags of the Applied ML Prototype that this kit succeeds mean today."""

from __future__ import annotations

from collections.abc import Sequence

from vidbench.records import ConfigError
from vidbench.utils import printable, quoted
from vidbench.words import Given

# (--model_type, --model_trained_on) → our name
OLD_MODELS = {
    ("i3d", "kinetics-400"): "i3d.tfhub_kinetics400",
    ("i3d", "kinetics-600"): "i3d.tfhub_kinetics600",
}
OLD_FLAGS = ("--model-type", "--model-trained-on", "--kinetics-version", "--kinetics-split", "--num-videos")


def translate_old_flags(given: dict[str, Given]) -> tuple[dict[str, Given], list[str]]:
    """Flags of the Applied ML Prototype that this kit succeeds → ours, with a note on each.

    Where an old flag and the new one are both given, the new one counts.

    Raises:
        ConfigError: an old value that has become nothing here; begins with the place where it was given.
    """
    old = {flag: given[flag] for flag in OLD_FLAGS if flag in given}
    result = {flag: item for flag, item in given.items() if flag not in OLD_FLAGS}
    notes = []

    def becomes(flags: Sequence[str], new: str, value: str | list | bool) -> None:
        typed = " ".join(f"--{flag[2:].replace('-', '_')} {printable(old[flag].value, 60)}" for flag in flags)
        place = old[flags[0]].place
        if new in result:
            notes.append(f"{place}: {typed} is set aside, because {new} is given ({result[new].place})")
        else:
            result[new] = Given(value, place)
            notes.append(f"{place}: {typed} is now {new} {printable(value, 60)}")

    model_flags = [flag for flag in OLD_FLAGS[:2] if flag in old]
    if "--model" in result and model_flags:
        becomes(model_flags, "--model", "")
    elif model_flags:
        becomes(model_flags, "--model", _old_model(old))
    if "--kinetics-version" in old:
        becomes(["--kinetics-version"], "--dataset", _old_dataset(old["--kinetics-version"]))
    for flag, new in (("--kinetics-split", "--split"), ("--num-videos", "--limit")):
        if flag in old:
            becomes([flag], new, old[flag].value)
    return result, notes


def _old_model(old: dict[str, Given]) -> str:
    for flag, values in (("--model-type", ("i3d",)), ("--model-trained-on", ("kinetics-400", "kinetics-600"))):
        typed = "--" + flag[2:].replace("-", "_")
        if flag not in old:
            place = next(iter(old.values())).place
            raise ConfigError(f"{place}: {typed} must be given too ({' or '.join(values)}); or use --model NAME")
        if old[flag].value not in values:
            raise ConfigError(
                f"{old[flag].place}: {typed} must be {' or '.join(values)}, not {quoted(old[flag].value)}; "
                "other models are chosen by --model NAME"
            )
    return OLD_MODELS[str(old["--model-type"].value), str(old["--model-trained-on"].value)]


def _old_dataset(item: Given) -> str:
    if item.value not in ("400", "600", "700"):
        raise ConfigError(f"{item.place}: --kinetics_version must be 400, 600 or 700, not {quoted(item.value)}")
    return f"kinetics{item.value}"
