"""A weights file on disk → tensors that fit the network, or one clear sentence.

Formats: safetensors, what ``torch.save`` writes for a dictionary of tensors, and the constants of a TFLite file.
Nothing in a file is ever executed: no full pickle, no TorchScript.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import math
import os
import pickle
import re
import struct
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from vidbench import tflite
from vidbench.data.disk import DISK_TROUBLE
from vidbench.data.web import megabytes, network_words, through_proxy
from vidbench.records import WeightsError
from vidbench.utils import atomic_writer, printable, sha256_of_file, try_to_write

# Training scripts put the weights under one of these keys, next to the optimiser and the epoch.
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "module")
PREFIX = "module."  # DataParallel writes it before every name

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class StateDict:
    """Weights read from a file.

    Args:
        tensors: name → tensor on the CPU.
        path: the file.
        sha256: of the file's bytes.
        notes: what was changed on the way, one sentence each, for the run's manifest.
    """

    tensors: dict
    path: Path
    sha256: str
    notes: tuple[str, ...] = field(default=())


def load_state_dict_file(path: str | os.PathLike) -> StateDict:
    """Read a dictionary of tensors without running anything that the file brings along.

    A dictionary under one of ``WRAPPERS`` is unwrapped and the prefix ``module.`` is taken off when every
    name has it; both are said in ``notes``.

    Raises:
        WeightsError: no such file, another format, damage, a claim larger than the file, something else than
            tensors, or a value that is not finite.
    """
    path = check_file(path)
    with path.open("rb") as file:
        head = file.read(64)
    if path.suffix == ".safetensors":
        found = _read_safetensors(path)
    elif head[4:8] == tflite.IDENTIFIER:
        found = _read_tflite(path)
    elif head.startswith(b"PK\x03\x04"):
        found = _read_torch_zip(path)
    elif head[:1] == b"\x80":
        found = _read_torch(path)
    else:
        raise WeightsError(
            f"{_named(path)} is neither safetensors nor a file that torch.save wrote, nor TFLite; it begins with "
            f"{printable(head[:24].decode('latin-1'), 40)!r}."
        )
    tensors, notes = _unwrapped(found, path)
    check_values(tensors, path)
    return StateDict(tensors, path, sha256_of_file(path), tuple(notes))


def check_file(path: str | os.PathLike) -> Path:
    """The path of a regular file that is not empty; raises ``WeightsError``."""
    path = Path(path).expanduser()
    if not path.exists():
        raise WeightsError(f"There is no weights file {_named(path)}.")
    if not path.is_file():
        raise WeightsError(f"{_named(path)} is no file.")
    try:
        with path.open("rb") as file:
            head = file.read(40)
    except OSError as problem:
        raise WeightsError(f"{_named(path)} cannot be read: {printable(problem.strerror)}.") from None
    if not head:
        raise WeightsError(f"{_named(path)} is empty (0 bytes); fetch it again.")
    if head.startswith(b"version https://git-lfs"):
        raise WeightsError(
            f"{_named(path)} is a Git LFS pointer, not the weights; run `git lfs pull` where it is from."
        )
    return path


def fit(module, state: StateDict, name: str) -> None:
    """Put the tensors into a network, every name and shape as the network has it.

    Raises:
        WeightsError: a name missing or too many, or another shape; it names them, and the two class counts where
            only the classifier differs.
    """
    wanted = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    check_fit(wanted, state, name)
    module.load_state_dict(state.tensors, strict=not any(key not in state.tensors for key in wanted))


def check_fit(wanted: dict, state: StateDict, name: str) -> None:
    """Compare names and shapes with ``{name: shape}``; raises as ``fit``, which also puts the tensors into place."""
    got = {key: tuple(value.shape) for key, value in state.tensors.items()}
    missing = [key for key in wanted if key not in got and not key.endswith("num_batches_tracked")]
    extra = [key for key in got if key not in wanted]
    if missing or extra:
        parts = [f"lacks {_some(missing)}"] * bool(missing) + [f"has {_some(extra)} that it does not know"] * bool(
            extra
        )
        raise WeightsError(f"{_named(state.path)} does not fit {name}: it {' and '.join(parts)}.")
    other = [key for key in got if got[key] != wanted[key]]
    if other:
        raise WeightsError(f"{_named(state.path)} does not fit {name}: {_shapes(other, got, wanted)}.")


def fetch(
    url: str, path: Path, sha256: str, name: str, *, can_be_random: bool = True, advice: str = "pass --weights PATH"
) -> Path:
    """Download a weights file to ``path``, complete and with the right hash, or not at all.

    Args:
        url: its address.
        path: the file to write; its folder is made.
        sha256: the whole hash in hexadecimal or its first digits (torchvision's file names carry eight).
        name: the model, for the message.
        can_be_random: whether the message may propose random weights.
        advice: how a user names a file of their own, for the message.

    Raises:
        WeightsError: the address cannot be reached, its file cannot be kept, or what came is not the file.
    """
    import http.client

    advice += ", or --weights random to try the pipeline without a result" if can_be_random else ""
    _check_place(path.parent, name, advice)
    try:
        _download(url, path, sha256, name)
    except (OSError, http.client.HTTPException) as problem:
        if isinstance(problem, OSError) and problem.errno in (*DISK_TROUBLE, errno.EFBIG):
            raise
        reason = network_words(problem) + through_proxy(url)
        raise WeightsError(
            f"The weights of {name} are not on this machine and {url} cannot be reached ({reason}). Save that file as "
            f"{path}, or {advice}."
        ) from None
    return path


def _check_place(folder: Path, name: str, advice: str) -> None:
    """Raise ``WeightsError`` where nothing can be kept in the folder, before anything is asked for."""
    try:
        try_to_write(folder)
    except OSError as problem:
        raise WeightsError(
            f"The weights of {name} are not on this machine and {_named(folder)} cannot be written to "
            f"({printable(problem.strerror)}). Name a folder that can in XDG_CACHE_HOME, or {advice}."
        ) from None


def _download(url: str, path: Path, sha256: str, name: str) -> None:
    import urllib.request

    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=30) as answer:
        length = answer.headers.get("Content-Length", "")
        log.warning("fetching the weights of %s%s", name, f", {megabytes(int(length))}" if length.isdigit() else "")
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_writer(path) as file:
            while block := answer.read(1 << 20):
                file.write(block)
                digest.update(block)
            _check_download(digest.hexdigest(), sha256, url)


def _check_download(found: str, wanted: str, url: str) -> None:
    if not found.startswith(wanted):
        raise WeightsError(f"{url} gave another file: its SHA-256 begins with {found[:12]}, not {wanted[:12]}.")


def check_hash(path: Path, sha256: str, advice: str = "delete it and fetch it again") -> str:
    """The file's SHA-256; raises ``WeightsError``, with advice, where it does not begin with ``sha256``."""
    found = sha256_of_file(path)
    if not found.startswith(sha256):
        raise WeightsError(
            f"{_named(path)} is not the published file: its SHA-256 begins with {found[: max(8, len(sha256))]}, not "
            f"{sha256}; {advice}."
        )
    return found


def _read_safetensors(path: Path) -> dict:
    import safetensors.torch
    from safetensors import SafetensorError

    length = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
    if len(head) < 8 or struct.unpack("<Q", head)[0] > length - 8:
        raise WeightsError(f"{_named(path)} is cut off or no safetensors file: its header goes past its end.")
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, ValueError, RuntimeError, RecursionError, KeyError, AttributeError) as problem:
        raise WeightsError(f"{_named(path)} is damaged or no safetensors file: {_first_line(problem)}.") from None


def _read_tflite(path: Path) -> dict:
    import torch

    return {name: torch.from_numpy(values) for name, values in tflite.read_constants(path).items()}


def _read_torch_zip(path: Path) -> dict:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as problem:
        raise WeightsError(f"{_named(path)} is cut off or damaged: {_first_line(problem)}.") from None
    names = [entry.filename for entry in entries]
    if any("/code/" in name or name.endswith("/constants.pkl") for name in names):
        raise WeightsError(
            f"{_named(path)} is a TorchScript program, which is not run here. Accepted are safetensors and "
            f"torch.save(model.state_dict(), ...)."
        )
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise WeightsError(
            f"{_named(path)} is a compressed archive, which torch.save does not write. Accepted are safetensors and "
            f"torch.save(model.state_dict(), ...)."
        )
    return _read_torch(path)


def _read_torch(path: Path) -> dict:
    import torch

    # First without data: a claim of more bytes than the file has is refused before memory is asked for.
    # No mmap=True: it does not compare a tensor's size with its record, and a short record then reads past its end.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols, in words for programmers
            _check_size(torch.load(path, map_location="meta", weights_only=True), path)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except pickle.UnpicklingError as problem:
        found = re.search(r"GLOBAL ([\w.]+)", str(problem))
        what = f"asks to run {found.group(1)!r}" if found else "holds more than tensors, or is damaged"
        raise WeightsError(
            f"{_named(path)} {what} and was not loaded. Save the weights alone: torch.save(model.state_dict(), PATH)."
        ) from None
    except (
        RuntimeError,
        ValueError,
        LookupError,
        EOFError,
        TypeError,
        AttributeError,
        OSError,
        struct.error,
    ) as problem:
        raise WeightsError(f"{_named(path)} is damaged: {_first_line(problem)}.") from None


def _check_size(found, path: Path) -> None:
    claimed = sum(math.prod(tensor.shape) * tensor.element_size() for tensor in _all_tensors(found))
    size = path.stat().st_size
    if claimed > 16 * size:  # views may share one storage, so a little more than the file is possible
        raise WeightsError(f"{_named(path)} claims {claimed:,} bytes of weights in a file of {size:,} bytes.")


def _all_tensors(value, depth: int = 0):
    if hasattr(value, "element_size"):
        yield value
    elif isinstance(value, dict) and depth < 4:
        for item in value.values():
            yield from _all_tensors(item, depth + 1)


def _unwrapped(found, path: Path) -> tuple[dict, list[str]]:
    import torch

    notes = []
    if isinstance(found, dict):
        for key in WRAPPERS:
            if isinstance(found.get(key), dict):
                found = found[key]
                notes.append(f"took the weights under {key!r}")
                break
    if not isinstance(found, dict) or not found:
        raise WeightsError(f"{_named(path)} holds no dictionary of tensors but {type(found).__name__}.")
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise WeightsError(f"{_named(path)}: {printable(key, 80)!r} is no tensor but {type(value).__name__}.")
    if all(key.startswith(PREFIX) for key in found):
        found = {key.removeprefix(PREFIX): value for key, value in found.items()}
        notes.append(f"took the prefix {PREFIX!r} off every name")
    return dict(found), notes


def check_values(tensors: dict, path: Path) -> None:
    """Raise ``WeightsError`` for a tensor that holds NaN or infinity."""
    for key, value in tensors.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise WeightsError(f"{_named(path)}: {printable(key, 80)!r} holds NaN or infinity.")


def _shapes(other: list[str], got: dict, wanted: dict) -> str:
    pairs = {(got[key][:1], wanted[key][:1]) for key in other if got[key][1:] == wanted[key][1:]}
    last = set(other) <= set(list(wanted)[-2:])  # weight and bias of the classifier
    if last and len(pairs) == 1 and all(got[key][1:] == wanted[key][1:] for key in other):
        ((found, asked),) = pairs
        return f"it has {found[0]} classes where {asked[0]} are asked for ({_some(other)})"
    key = other[0]
    more = f" and {len(other) - 1} more" if len(other) > 1 else ""
    return f"{printable(key, 80)!r} is {got[key]} in the file and {wanted[key]} in the network{more}"


def _some(names: list[str], limit: int = 4) -> str:
    shown = ", ".join(repr(printable(name, 80)) for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _first_line(problem: BaseException) -> str:
    with contextlib.suppress(IndexError):
        return printable(str(problem).strip().splitlines()[0].split(". ")[0], 200).rstrip(".")
    return type(problem).__name__


def _named(path: Path) -> str:
    return printable(path, 200)
