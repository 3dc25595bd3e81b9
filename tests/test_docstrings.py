"""Everything public says what it is for, and a list of arguments is a whole list."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

import vidbench

PACKAGE = Path(vidbench.__file__).parent
MODULES = sorted(
    ".".join(("vidbench", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)


def public_members(name: str) -> dict[str, object]:
    """The module, and its public functions, classes, methods and properties, by dotted name."""
    module = importlib.import_module(name)
    return {name: module} | {f"{name}.{word}": value for word, value in members_of(module, name).items()}


def members_of(module, name: str) -> dict[str, object]:
    found = {}
    for word, value in vars(module).items():
        if word.startswith("_") or getattr(value, "__module__", None) != name:
            continue
        if inspect.isclass(value) or inspect.isfunction(inspect.unwrap(value)):
            found[word] = value
        if inspect.isclass(value):
            found |= {f"{word}.{part}": getattr(value, part) for part in own_parts(value)}
    return found


def own_parts(kind: type) -> list[str]:
    parts = (_is_method, lambda value: isinstance(value, property | classmethod | staticmethod))
    return [part for part, value in vars(kind).items() if part[0] != "_" and any(test(value) for test in parts)]


def _is_method(value: object) -> bool:
    """A function under its own name; a field whose default is a lambda is none."""
    return inspect.isfunction(value) and value.__name__ != "<lambda>"


def docstring(value: object) -> str:
    """What somebody wrote about it: a method may leave that to the one it overrides, a class may not.

    The signature that ``dataclass`` writes where a class has no docstring is none.
    """
    if not inspect.isclass(value):
        return inspect.getdoc(value) or ""
    text = vars(value).get("__doc__") or ""
    return "" if text.startswith(f"{value.__name__}(") else inspect.cleandoc(text)


def listed_arguments(text: str) -> set[str] | None:
    """The names under ``Args:``, several to a line where one sentence holds for all; ``None`` without such a list."""
    if "Args:\n" not in text:
        return None
    section = re.split(r"\n\s*\n|\n(?=\S)", text.split("Args:\n", 1)[1] + "\n")[0]
    return {one.strip() for line in re.findall(r"^    (?! )(.+?):", section, re.M) for one in line.split(",")}


def parameters_of(value: object) -> set[str]:
    return {key for key in inspect.signature(value).parameters if key[0] != "_" and key not in ("self", "cls")}


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_has_a_docstring(name):
    silent = [word for word, value in public_members(name).items() if not docstring(value).strip()]
    assert not silent, f"say in a docstring what these are for: {', '.join(silent)}"


@pytest.mark.parametrize("name", MODULES)
def test_a_list_of_arguments_names_every_argument_and_no_other(name):
    wrong = {}
    for word, value in public_members(name).items():
        listed = listed_arguments(inspect.cleandoc(value.__doc__ or "")) if callable(value) else None
        if listed is not None and (listed ^ parameters_of(value)):
            wrong[word] = sorted(listed ^ parameters_of(value))
    assert not wrong, f"the Args of these docstrings leave out, or have too much: {wrong}"


# --- the readers themselves


def test_the_reader_of_members_sees_functions_classes_and_their_parts():
    members = public_members("vidbench.records")
    assert {"vidbench.records", "vidbench.records.Row", "vidbench.records.Row.as_json"} <= set(members)
    assert not any("Any" in word or "dataclass" in word for word in members)  # imported, not its own


def test_the_reader_of_arguments_sees_lines_shared_and_continued():
    text = "Does.\n\nArgs:\n    one, two: numbers,\n        in seconds: no.\n    three: it.\n\nReturns:\n    four: no."
    assert listed_arguments(text) == {"one", "two", "three"}
    assert listed_arguments("Does, with no list.") is None


def test_a_class_is_not_described_by_its_base_or_by_dataclass():
    from dataclasses import make_dataclass

    class Silent(int):
        pass

    assert docstring(Silent) == docstring(make_dataclass("Point", ["x"])) == ""
    assert docstring(make_dataclass("Named", ["x"], namespace={"__doc__": "A place."})) == "A place."
