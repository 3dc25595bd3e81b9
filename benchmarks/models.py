"""What each model costs: parameters and multiply-adds of every card, time and memory on this machine; docs/models.md.

    python benchmarks/models.py count                          parameters and MACs of all cards, into benchmarks/costs/
    python benchmarks/models.py measure --models r3d_18 s3d --out benchmarks/costs/NAME.json
    python benchmarks/models.py write                          docs/models.md from the cards and benchmarks/costs/*.json

On a GPU machine, offline, everything in one process and in a given time:

    python benchmarks/models.py measure --device cuda --in-process --seconds 0.3 --budget 140 --out NAME.json

Copy the file into benchmarks/costs/ of a checkout and run ``write`` there. ``measure`` goes on where FILE ends, so the
same line again fills what is missing; what did not fit or failed is kept with its reason (``--again`` tries it anew).

Networks have the initial values of their libraries, because time does not depend on weights. Latency is the network
alone, from a normalised batch on the device to logits, one batch at a time; throughput runs from uint8 views in memory
to logits in memory, a batch handed over before the last one's scores are asked for, as in an evaluation. Precision is
what an evaluation means by it: fp32 without TF32, bf16 and fp16 by autocast, fixed algorithms.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from vidbench import models  # noqa: E402
from vidbench.costs import cost_of  # noqa: E402
from vidbench.records import ConfigError, VidbenchError  # noqa: E402
from vidbench.utils import git_commit, machine_facts, package_versions, printable, write_json  # noqa: E402

COSTS = ROOT / "benchmarks" / "costs"
COUNTS = COSTS / "counts.json"
PAGE = ROOT / "docs" / "models.md"
BEGIN, END = "<!-- models: begin -->", "<!-- models: end -->"
STREAM_FRAMES = 50  # of a network that takes a video of any length: 10 s at 5 frames a second, as MoViNet was tested
KEY = ("model", "precision", "batch_size", "memory_format")
TYPICAL = [  # one of each kind and size, the cheap ones first
    "mini_r2plus1d.vidmini_v1",
    "movinet_a0_base.k600",
    "movinet_a0_stream.k600",
    "movinet_a2_base.k600",
    "cnn_lstm.untrained",
    "single_frame_resnet18.untrained",
    "tsn_resnet50.kinetics400",
    "tsm_resnet50.kinetics400",
    "r3d_18.kinetics400_v1",
    "mc3_18.kinetics400_v1",
    "r2plus1d_18.kinetics400_v1",
    "resnet3d50_c2d.kinetics400_8x8",
    "resnet3d50_i3d.kinetics400_32x2",
    "resnet3d50_i3d_nl5.kinetics400_32x2",
    "s3dg.kinetics400",
    "s3d.kinetics400_v1",
    "mvit_v2_s.kinetics400_v1",
    "mvit_v1_b.kinetics400_v1",
    "swin3d_t.kinetics400_v1",
    "swin3d_b.kinetics400_v1",
    "videomae_small.kinetics400",
    "videomae_base.kinetics400",
    "timesformer_base.kinetics400",
    "vivit_base.kinetics400",
    "i3d.rgb_imagenet_k400",
]


# ------------------------------------------------------------------------------------------------- one view


def view_shape(card) -> tuple[int, int, int, int]:
    """Frames, height, width and channels of one view as the card feeds it."""
    return (card.input.num_frames or STREAM_FRAMES, *card.input.crop, len(card.input.mean))


# --------------------------------------------------------------------------------------------------- counting


def count(card) -> dict:
    """Parameters of a card's network and the multiply-adds of one view, as ``vidbench.costs`` counts them.

    Returns:
        ``params``, ``macs`` (whole numbers) and ``view`` (T, H, W, C).
    """
    cost = cost_of(card, num_frames=view_shape(card)[0])
    return {"params": cost.params, "macs": cost.macs, "view": list(view_shape(card))}


def count_all(names: list[str], file: Path) -> None:
    """Count and write; a network that cannot be built here keeps what the file says of it."""
    before = read(file)["counts"] if file.is_file() else {}
    found = {}
    for name in models.CARDS:
        card = models.CARDS[name]
        if name in names and card.can_be_random:
            try:
                found[name] = count(card)
            except VidbenchError as problem:
                print(f"{name}: {problem}", file=sys.stderr)
        if name in before and name not in found:
            found[name] = before[name]
    write_json(file, {"torch": package_versions(("torch",))["torch"], "counts": found})


# -------------------------------------------------------------------------------------------------- measuring


def device_facts(device: str) -> dict:
    """The device and the libraries, as far as they decide what is measured."""
    import torch

    machine = machine_facts()
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else machine["processor"]
    facts = {"name": name, "kind": device.partition(":")[0], "cores": machine["cores"]}
    if not device.startswith("cuda"):
        facts["threads"] = torch.get_num_threads()
    versions = package_versions(("torch", "torchvision", "transformers"))
    return {**facts, **versions, "cuda": torch.version.cuda if device.startswith("cuda") else None}


def measure_all(args) -> None:
    """Measure what the file does not have yet, model after model; the file is whole after each measurement."""
    device = models.choose_device(args.device)
    facts = device_facts(device)
    rows = resumed(args.out, facts, args.again)
    began = time.monotonic()
    for name in chosen(args.models):
        todo = [key for key in wanted(name, args) if key not in rows]
        left = args.budget - (time.monotonic() - began)
        if not todo or left <= 0:
            continue
        found: Iterable[dict]
        if args.in_process:
            found = measure_model(name, device, todo, args, began + args.budget)
        else:
            found = in_subprocess(name, todo, args, min(left, args.limit))
        for row in found:
            rows[tuple(row[part] for part in KEY)] = row
            print(sentence(row), flush=True)
            save(args.out, facts, rows, args)


def wanted(name: str, args) -> list[tuple]:
    return [
        (name, precision, batch_size, args.memory_format)
        for precision in args.precisions
        for batch_size in sorted(args.batch_sizes)
    ]


def chosen(patterns: list[str]) -> list[str]:
    """Names of cards that patterns or architectures stand for, each once; finished programs are left out."""
    names = []
    for pattern in patterns:
        found = fnmatch.filter(models.CARDS, pattern) or [models.find_card(pattern).name]
        names += [name for name in found if models.CARDS[name].can_be_random]
    return list(dict.fromkeys(names))


def resumed(file: Path, facts: dict, again: bool) -> dict:
    """Rows of the file by key; refuses one of another device or other libraries."""
    if not file.is_file():
        return {}
    old = read(file)
    other = [name for name in facts if old["device"].get(name) != facts[name]]
    if other:
        name = other[0]
        raise ConfigError(
            f"{file} was measured with {name} {old['device'].get(name)}, and this is {facts[name]}: name another --out."
        )
    rows = {tuple(row[part] for part in KEY): row for row in old["rows"]}
    return {key: row for key, row in rows.items() if not (again and "failed" in row)}


def save(file: Path, facts: dict, rows: dict, args) -> None:
    asked = {"seconds": args.seconds, "date": time.strftime("%Y-%m-%d"), "commit": git_commit(ROOT), "note": args.note}
    write_json(file, {"device": facts, **asked, "rows": list(rows.values())})


def in_subprocess(name: str, todo: list[tuple], args, limit: float) -> list[dict]:
    """Rows of one model from a process of its own; what it has not measured in time is a row with the reason."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        words = ["measure", "--in-process", "--device", args.device, "--models", name, "--out", str(out)]
        words += ["--seconds", str(args.seconds), "--memory-format", args.memory_format, "--precisions"]
        words += [*dict.fromkeys(key[1] for key in todo), "--batch-sizes", *{str(key[2]) for key in todo}]
        reason = f"took longer than {limit:.0f} s"
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, timeout=limit)
            last = done.stderr.strip().splitlines()[-1:] or [f"the process ended with status {done.returncode}"]
            reason = printable(last[0], 160)
        rows = read(out)["rows"] if out.is_file() else []
    have = {tuple(row[part] for part in KEY) for row in rows}
    return rows + [{**dict(zip(KEY, key)), "failed": reason} for key in todo if key not in have]


def measure_model(name: str, device: str, todo: list[tuple], args, deadline: float) -> Iterator[dict]:
    """Rows of one model, measured here; stops before a measurement that would begin after the deadline."""
    import torch

    from vidbench.forward import TorchNetwork

    card, network = models.CARDS[name], None
    for key in todo:
        if time.monotonic() > deadline:
            break
        try:
            if network is None:
                with torch.device(device):
                    module = models.build_module(card)
                network = TorchNetwork(module, card.input, device=device)
            network.configure(key[1], key[3])
            row = measure(network, card, key[2], args.seconds)
        except Exception as problem:  # of any library: the reason is the result, and the next network is measured
            words = str(problem).strip().splitlines() or [""]
            row = {"failed": printable(f"{type(problem).__name__}: {words[0]}", 160)}
        if device.startswith("cuda"):
            torch.cuda.empty_cache()
        yield {**dict(zip(KEY, key)), **row}


def measure(network, card, batch_size: int, seconds: float) -> dict:
    """Milliseconds of a batch, views per second and peak memory of a network on its device.

    Args:
        seconds: about as long latency is measured, after two calls to warm up; at least 5 calls, at most 50.
    """
    views = random_views(card, batch_size, network.device)
    for _ in range(2):
        network.logits([views], batch_size)
    forget_peak(network.device)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 5 or (time.perf_counter() - began < seconds and len(times) < 50):
        before = network.seconds["forward"]
        network.logits([views], batch_size)
        times.append((network.seconds["forward"] - before) * 1000)
    p50, p95 = np.percentile(times, [50, 95])
    if network.halved:
        raise MemoryError(f"{batch_size} views do not fit into the memory of {network.device} together")
    return {
        "n": len(times),
        "p50_ms": round(float(p50), 3),
        "p95_ms": round(float(p95), 3),
        "views_per_s": round(throughput(network, views, batch_size, min(len(times), 20)), 3),
        "peak_mb": peak_mb(network.device),
    }


def throughput(network, views: np.ndarray, batch_size: int, calls: int) -> float:
    """Views per second when each batch is handed over before the scores of the one before are asked for."""
    began = time.perf_counter()
    waiting = network.submit([views], batch_size)
    for _ in range(calls - 1):
        submitted = network.submit([views], batch_size)
        waiting.result()
        waiting = submitted
    waiting.result()
    return calls * batch_size / (time.perf_counter() - began)


def random_views(card, batch_size: int, device: str) -> np.ndarray:
    """uint8 views (N, T, H, W, C), in memory that a GPU copies from by itself where there is one."""
    from vidbench.gpu import is_cuda, pinned

    shape = (batch_size, *view_shape(card))
    views = pinned(shape) if is_cuda(device) else np.empty(shape, np.uint8)
    views[:] = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return views


def forget_peak(device: str) -> None:
    """Let the peak of memory be counted from now on, where the system can do that."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb(device: str) -> float:
    """Peak memory in MB (2**20 bytes): of tensors on a GPU; of the whole process, libraries included, on a CPU."""
    if device.startswith("cuda"):
        import torch

        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    from vidbench.utils import peak_rss_mb

    return peak_rss_mb()


def sentence(row: dict) -> str:
    what = f"{row['model']} {row['precision']} batch {row['batch_size']}"
    if "failed" in row:
        return f"{what}: {row['failed']}"
    return (
        f"{what}: p50 {row['p50_ms']:.1f} ms, p95 {row['p95_ms']:.1f} ms (n={row['n']}), {row['views_per_s']:.1f} "
        f"views/s, {row['peak_mb']:.0f} MB"
    )


# -------------------------------------------------------------------------------------------------- the page


def page(counts: dict, measured: list[dict]) -> str:
    """The generated part of docs/models.md.

    Args:
        counts: content of counts.json.
        measured: contents of the files of ``measure``, one a device.
    """
    parts = [heading(counts, measured)]
    for family in models.FAMILIES:
        parts.append(family_section(family, counts["counts"], measured))
    parts += [details(one, number) for number, one in enumerate(measured, 1)]
    return "\n\n".join(parts)


def heading(counts: dict, measured: list[dict]) -> str:
    devices = [f"{number}. {device_sentence(one)}" for number, one in enumerate(measured, 1)]
    return "\n".join([f"Counted with torch {counts['torch']}. Measured on:", "", *devices])


def device_sentence(one: dict) -> str:
    device = one["device"]
    names = ("torch", "torchvision", "transformers", "python", "cuda")
    versions = ", ".join(f"{name} {device[name]}" for name in names if device.get(name))
    cores = f"{device['threads']} thread(s) on {device['cores']} cores; " if device.get("threads") else ""
    note = f" {one['note']}" if one.get("note") else ""
    return f"**{device['name']}**, {one['date']}: {cores}{versions}.{note}"


def family_section(family, counts: dict, measured: list[dict]) -> str:
    title = family.__doc__.splitlines()[0].rstrip(".")
    numbers = range(1, len(measured) + 1)
    head = ["model", "classes of", "one view", "views a video", "params", "GMACs a view"]
    head += [f"{number}: {what}" for number in numbers for what in ("ms, one view in fp32", "best views/s")]
    rows = [card_row(card, counts.get(card.name, {}), measured) for card in family.CARDS]
    published = [published_row(card) for card in family.CARDS if card.reported]
    parts = [f"### {title}", "", table(head, rows, left=3)]
    if published:
        heads = ["model", "published top-1, %", "top-5, %", "on", "protocol", "source"]
        parts += ["", table(heads, published, left=1, right=3)]
    return "\n".join(parts)


def card_row(card, counted: dict, measured: list[dict]) -> list[str]:
    t, h, w, _ = view_shape(card)
    spec = card.input
    rate = f", {spec.frame_rate:.4g} fps" if spec.frame_rate else ""
    frames = str(t) if spec.num_frames else "any number"
    views = "1" if spec.num_views == 1 else f"{spec.num_clips} x {spec.num_crops}"
    params, macs = counted.get("params") or card.params, counted.get("macs")
    row = [f"`{card.name}`", card.labels, f"{frames} x {h} x {w}{rate}", views]
    row += [f"{params:,}" if params else "?", f"{macs / 1e9:,.2f}" if macs else "not counted"]
    for one in measured:
        row += list(best_of([found for found in one["rows"] if found["model"] == card.name]))
    return [cell.replace(" ", "\N{NO-BREAK SPACE}") for cell in row]  # or a narrow page breaks 16 x 112 x 112 in five


def best_of(rows: list[dict]) -> tuple[str, str]:
    """p50 (p95) of one view in fp32, and the highest throughput with how it was reached."""
    fine = [row for row in rows if "failed" not in row]
    single = [row for row in fine if row["precision"] == "fp32" and row["batch_size"] == 1]
    latency = f"{single[0]['p50_ms']:.1f} ({single[0]['p95_ms']:.1f})" if single else ""
    best = max(fine, key=lambda row: row["views_per_s"], default=None)
    if best is None:
        return latency, ""
    return latency, f"{best['views_per_s']:.1f} ({best['precision']}, batch {best['batch_size']})"


def published_row(card) -> list[str]:
    found = card.reported
    scores = ["not given" if value is None else f"{value:g}" for value in (found.top1, found.top5)]
    return [f"`{card.name}`", *scores, found.on, found.protocol, found.source]


def details(one: dict, number: int) -> str:
    """Everything that was measured on one device."""
    rows = []
    for row in one["rows"]:
        how = [f"`{row['model']}`", row["precision"], str(row["batch_size"]), row["memory_format"].replace("_", " ")]
        if "failed" in row:
            rows.append([*how, "", "", "", "", row["failed"]])
            continue
        figures = [str(row["n"]), f"{row['p50_ms']:.1f}", f"{row['p95_ms']:.1f}", f"{row['views_per_s']:.2f}"]
        rows.append([*how, *figures, f"{row['peak_mb']:,.0f}"])
    memory = "of tensors on the device" if one["device"]["kind"] == "cuda" else "of the process, libraries included"
    head = ["model", "precision", "batch", "memory format", "n", "p50, ms", "p95, ms", "views/s", "peak, MB"]
    title = f"### All measurements {number}: {one['device']['name']}"
    return "\n".join([title, "", f"n calls after two to warm up; peak memory {memory}.", "", table(head, rows, left=2)])


def table(head: list[str], rows: list[list[str]], left: int, right: int | None = None) -> str:
    """A Markdown table whose columns from ``left`` to ``right`` are numbers."""
    right = len(head) if right is None else right
    rule = ["---:" if left <= place < right else "---" for place in range(len(head))]
    clean = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *clean])


def read(file: Path) -> dict:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise ConfigError(f"{printable(file)} cannot be read: {printable(problem, 120)}.") from None


def sources(files: list[Path]) -> list[dict]:
    """Contents of the measured files, in the order of their names."""
    found = files or [file for file in sorted(COSTS.glob("*.json")) if file != COUNTS]
    return [read(file) for file in found]


def generated(text: str, files: list[Path]) -> str:
    """A page with its part between the markers made again."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError(f"{PAGE} must hold {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n\n{page(read(COUNTS), sources(files))}\n\n{END}{after}"


# --------------------------------------------------------------------------------------------------- command line


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    counting = commands.add_parser("count", help="parameters and MACs of one view, without computing anything")
    counting.add_argument("--models", nargs="+", default=["*"], metavar="NAME")
    counting.add_argument("--out", type=Path, default=COUNTS)
    measuring = commands.add_parser("measure", help="time and memory on this machine")
    measuring.add_argument(
        "--models", nargs="+", default=TYPICAL, metavar="NAME", help="names, architectures, patterns"
    )
    measuring.add_argument("--device", default="auto")
    measuring.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=("fp32", "bf16", "fp16"))
    measuring.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 8])
    measuring.add_argument("--memory-format", default="contiguous", choices=("contiguous", "channels_last"))
    measuring.add_argument("--seconds", type=float, default=0.5, help="of measuring latency (default: 0.5)")
    measuring.add_argument("--in-process", action="store_true", help="all models in this process, not one in each")
    measuring.add_argument("--limit", type=float, default=300, help="seconds a model may take in its own process")
    measuring.add_argument("--budget", type=float, default=36000, help="seconds after which nothing new is begun")
    measuring.add_argument("--again", action="store_true", help="try once more what failed before")
    measuring.add_argument("--note", default="", help="a sentence for the page about this machine")
    measuring.add_argument("--out", type=Path, required=True, metavar="FILE")
    writing = commands.add_parser("write", help="docs/models.md")
    writing.add_argument("files", nargs="*", type=Path, help="default: all of benchmarks/costs/")
    return parser.parse_args()


def main() -> int:
    args = parse()
    if args.command == "count":
        count_all(chosen(args.models), args.out)
    elif args.command == "measure":
        measure_all(args)
    else:
        PAGE.write_text(generated(PAGE.read_text(encoding="utf-8"), args.files), encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except VidbenchError as problem:
        print(f"models.py: {problem}", file=sys.stderr)
        sys.exit(2)
