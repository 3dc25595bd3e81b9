"""A run: one row per listed video, whatever happens to it; resumed where it stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
from dataclasses import dataclass
from pathlib import Path

from vidbench import forward, protocol, scores
from vidbench.data import check, ledger
from vidbench.data.parents import parents_facts
from vidbench.estimate import describe_plan
from vidbench.local import Here, size_of
from vidbench.manifest import asked, manifest
from vidbench.plan import Plan, choose, make_plan, run_folder
from vidbench.predictions_csv import write_predictions_csv
from vidbench.records import ConfigError, Row, RunError
from vidbench.remote import is_remote
from vidbench.report import write_report
from vidbench.runs import SCHEMA, RunFolder, dataset_labels, read_json, read_rows, refuse_differences
from vidbench.stage_times import StageClock
from vidbench.summary import summary_text
from vidbench.utils import (
    printable,
    write_json,
)

EXIT_OK, EXIT_SKIPPED, EXIT_INTERRUPTED = 0, 3, 130

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How an evaluation ended.

    Args:
        run_folder: where everything lies; an address, where that is an object store.
        summary: a few lines for people.
        exit_status: 0; 3 when more videos were skipped than allowed; 130 when interrupted.
        metrics: the content of ``metrics.json``; empty when interrupted.
    """

    run_folder: Path | str
    summary: str
    exit_status: int
    metrics: dict


def evaluate(config, *, progress=None, engine=None) -> Outcome:
    """Evaluate a model on a split; continue the run when its folder exists.

    Args:
        config: a ``vidbench.arguments.EvaluateConfig``.
        progress: ``start(total, done)``, ``update(done, skipped)`` and ``stop()`` are called.
        engine: called with the checked configuration and the plan, gives what reads and predicts: ``Here``, which is
            the default, or another class with its methods. ``vidbench.engines.run`` chooses it by the configuration.

    Returns:
        The outcome; rows, logits, metrics and report are in its run folder.

    Raises:
        VidbenchError: something asked for cannot be had; nothing that was written is lost.
    """
    config = config.checked()
    if engine is None and (config.engine != "local" or config.devices):
        raise ConfigError("--engine and --devices are for vidbench.engines.run, which chooses what evaluate runs on")
    if is_remote(config.results_dir):
        raise ConfigError(f"--results-dir {printable(config.results_dir)} is no folder of this machine")
    if config.report_only:
        return report_again(config)
    plan = make_plan(config)
    folder = run_folder(config)
    if config.dry_run:
        return Outcome(folder, describe_plan(with_batch_size(config, folder), plan, folder), EXIT_OK, {})
    done = len(read_rows(folder / "rows.jsonl", plan.records)[0])
    keep = functools.partial(rows_that_stand, plan)
    shape = plan.spec.num_views, plan.num_scores
    with contextlib.ExitStack() as stack:
        worker = stack.enter_context((engine or Here)(config, plan))
        worker.config = config = with_batch_size(config, folder, worker)
        if done < len(plan.records):  # before anything is written
            worker.prepare()
        facts = manifest(config, plan, worker.device)
        run = stack.enter_context(RunFolder(folder, facts, plan.records, *shape, config.batch_size, keep))
        fetched = check.fetch_states(plan.root, plan.split, (*plan.records, *plan.absent))
        ledger.write_absent(folder, plan.records, plan.absent, fetched)
        left = len(plan.records) - len(run.rows)
        try:
            if left:
                predict_missing(plan, run, worker, progress)
        except KeyboardInterrupt:
            said = (
                f"stopped after {len(run.rows)} of {len(plan.records)} videos; the same command continues in {folder}"
            )
            return Outcome(folder, said, EXIT_INTERRUPTED, {})
        keep_questions(folder, config)
        return finish(folder, config, ran=bool(left))


def report_again(config) -> Outcome:
    """Metrics, table and report of a finished run from its rows, when the options name that run."""
    folder, choice = run_folder(config), choose(config)
    config = with_batch_size(config, folder)
    old, new = read_json(folder / "manifest.json"), {"schema": SCHEMA, **asked(config, choice)}
    for name in ("device", *(() if config.top_n else ("top_n",))):
        if name in old.get("run", {}):
            new["run"][name] = old["run"][name]
    shared = {
        name: {key: part.get(key) for key in new[name]}
        if isinstance(part, dict) and isinstance(new[name], dict)
        else part
        for name, part in old.items()
        if name in new
    }
    refuse_differences(folder, shared, new)
    keep_questions(folder, config)
    return finish(folder, config, ran=False)


def with_batch_size(config, folder: Path, worker=None):
    """The configuration with a number for ``--batch-size auto``: that of the run in the folder, or a new one."""
    if config.batch_size != "auto":
        return config
    size = None
    if (folder / "rows.jsonl").exists():
        size = read_json(folder / "manifest.json").get("run", {}).get("batch_size")
    if not size:
        size = worker.find_batch_size() if worker else forward.BATCH_SIZE
    return dataclasses.replace(config, batch_size=size)


def rows_that_stand(plan: Plan, rows: list[Row]) -> int:
    """How many of the first rows of a run still speak of the files that are there.

    A file that has gone since leaves its row as it is; one that was not there and now is ends the rows that stand.

    Raises:
        RunError: a file has another size than when its row was made.
    """
    for row in rows:
        record = plan.records[row.index]
        size = size_of(plan.root / record.path) if record.status == "ok" else 0
        if size in (0, row.file_size):
            continue
        if row.file_size:
            raise RunError(
                f"{printable(record.path)} has changed since its row was made ({row.file_size} bytes then, "
                f"{size} now): use another --run-name"
            )
        log.warning("%s is there now: the rows from number %d on are made again", printable(record.path), row.index)
        return row.index
    return len(rows)


def predict_missing(plan: Plan, run: RunFolder, engine, progress) -> None:
    """Decode, predict and append every video that has no row yet, batch by batch."""
    engine.begin(run)
    todo = list(enumerate(plan.records))[len(run.rows) :]
    clock = StageClock()
    skipped = sum(not row.predicted for row in run.rows)
    if progress:
        progress.start(len(plan.records), len(run.rows), skipped)
    try:
        with contextlib.closing(engine.results(run, todo, clock)) as results:
            for rows, logits in results:
                run.append(rows, logits)
                skipped += sum(not row.predicted for row in rows)
                if progress:
                    progress.update(len(run.rows), skipped)
    finally:
        if progress:
            progress.stop()
        with contextlib.suppress(OSError):  # a full disk is append's to report
            run.update_manifest(timing=engine.timing(run, clock))


def keep_questions(folder: Path, config) -> None:
    """Write into the manifest what ``--target`` and ``--parents`` name; what neither names stays as it is."""
    before = read_json(folder / "manifest.json")
    now = dict(before)
    if config.target is not None:
        asked = None if config.target == "card" else config.target
        now["protocol"] = {**(before.get("protocol") or {}), "target": asked}
    if config.parents is not None:
        now["parents"] = parents_facts(config.parents, dataset_labels(folder, before))
    if now != before:
        write_json(folder / "manifest.json", now)


def finish(folder: Path, config, *, ran: bool) -> Outcome:
    """Metrics, tables, report and summary from the rows of a finished run; runs no model."""
    facts = read_json(folder / "manifest.json")
    rows, _ = read_rows(folder / "rows.jsonl")
    listed = facts.get("dataset", {}).get("n_listed")
    if len(rows) != listed:
        raise RunError(
            f"{folder} has {len(rows)} of {listed} rows; run the same command without --report-only to finish it"
        )
    labels = facts["labels"]
    result = scores.figures(folder, facts, rows, labels)
    dataset = facts.get("dataset", {})
    entries = ledger.run_ledger(rows, ledger.read_absent(folder, whole=not dataset.get("shard")))
    result["ledger"] = ledger.summarise_ledger(entries, result, dataset)
    result["published"] = protocol.verdicts(facts, result, result["ledger"])
    write_json(folder / "metrics.json", result)
    ledger.write_videos(entries, folder)
    write_predictions_csv(
        folder / "predictions.csv", rows, facts["run"]["top_n"], random_weights=facts["model"]["random"]
    )
    page = write_report(folder, result)
    summary = summary_text(facts, result, page)
    if not ran:
        summary += "\nnothing was run: every row was there already"
    skipped = result["n_skipped"] / result["n_listed"]
    return Outcome(folder, summary, EXIT_SKIPPED if skipped > config.max_skipped else EXIT_OK, result)
