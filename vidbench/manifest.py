"""Everything that decides the numbers of a run, as its manifest holds it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from vidbench import hubs, models
from vidbench.asked import asked_facts
from vidbench.data import decode, flow, index
from vidbench.data.parents import parents_facts
from vidbench.kinds import shard_numbers
from vidbench.plan import Choice, Plan, limits_of, run_folder, top_n_of, workers_of
from vidbench.records import InputSpec
from vidbench.utils import (
    git_commit,
    jsonable,
    machine_facts,
    package_versions,
    sha256_of_file,
    sha256_of_json,
    without_login,
)


def asked(config, choice: Choice) -> dict:
    """The sections of a manifest that follow from the options alone."""
    return {
        "model": {"name": choice.card.name, "weights": weights_facts(config), **no_result(config)},
        "spec": spec_facts(choice.spec),
        "dataset": {
            "name": choice.dataset.name,
            "split": choice.split,
            "fold": config.fold if choice.dataset.folds > 1 else None,
            "classes": list(config.classes) if config.classes else None,
            "limit": config.limit,
            "seed": config.seed,
            "present_only": config.present_only,
            "shard": list(shard_numbers(config.shard)) if config.shard else None,
        },
        "decode": {"decoder": config.decoder, **dataclasses.asdict(limits_of(config))},
        "run": {
            "batch_size": config.batch_size,
            "precision_asked": config.precision,
            "seed": config.seed,
            "top_n": config.top_n,  # null: not named, and settled by the number of classes
        },
    }


def weights_facts(config) -> dict | str | None:
    """Which weights the options name: name and hash of what lies here, else their word."""
    weights = str(config.weights) if config.weights else None
    if weights and weights != "random" and Path(weights).is_file():
        return {"file": Path(weights).name, "sha256": sha256_of_file(weights)}
    if weights and weights != "random" and Path(weights).is_dir():
        return {"folder": Path(weights).name, "sha256": hubs.hash_of_folder(weights)}
    return weights


def no_result(config) -> dict:
    """Whether the network, or its last layer, is random: the run then gives no result."""
    if not config.new_head:
        return {"random": config.weights == "random"}
    return {"random": config.weights in (None, "random"), "new_head": True}


def manifest(config, plan: Plan, device: str) -> dict:
    """Everything that decides the numbers, and the environment they were made in."""
    facts = asked(config, plan)
    more = {
        "model": {
            "labels": plan.dataset.name if plan.new_head else plan.card.labels,
            "num_classes": plan.num_scores,
            "reported": dataclasses.asdict(plan.card.reported) if plan.card.reported else None,
        },
        "dataset": {
            "data_dir": str(plan.root),
            "n_listed": len(plan.records),
            "n_in_split": plan.num_in_split,
            "records_sha256": index.records_fingerprint(plan.records),
            "n_in_list": plan.whole[0],
            "list_sha256": plan.whole[1],
            "labels_sha256": sha256_of_json(list(plan.labels)),
        },
        "decode": {"version": decode.decoder_version(config.decoder), **flow_facts(plan.spec)},
        "run": {"device": device, "num_workers": workers_of(config), "library": models.library_version(plan.card)},
    }
    more["run"]["top_n"] = top_n_of(config, plan)
    facts = {name: {**part, **more.get(name, {})} for name, part in facts.items()}
    return {
        "run_name": run_folder(config).name,
        **facts,
        "label_map": plan.label_map.facts() if plan.label_map else None,
        "labels": list(plan.labels),
        "parents": parents_facts(config.parents, plan.labels),
        "protocol": {
            "on_card": plan.on_card,
            "num_views": plan.spec.num_views,
            "changed": changed_fields(plan),
            "asked": asked_facts(config.protocol),
            "target": config.target if config.target != "card" else None,
        },
        "command": command(config),
        "environment": {"packages": package_versions(), "machine": machine_facts(), "commit": git_commit()},
    }


def spec_facts(spec: InputSpec) -> dict:
    """An input as a manifest holds it; one of unchanged pictures alone says no more than runs always did."""
    facts, plain = jsonable(dataclasses.asdict(spec)), {"modality": "rgb", "temporal": None, "corrupt": None}
    return {name: value for name, value in facts.items() if name not in plain or value != plain[name]}


def flow_facts(spec: InputSpec) -> dict:
    """Which method found the motion, where a network looks at it."""
    return {"flow": flow.flow_version()} if spec.has_flow else {}


def command(config) -> list[str]:
    """The words that make this run again: every option that is not at its default; addresses without their logins."""
    words = ["python", "scripts/evaluate.py"]
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value == field.default or field.name in ("results_dir", "report_only", "dry_run"):
            continue
        words.append("--" + field.name.replace("_", "-"))
        values = () if value is True else value if isinstance(value, tuple) else (value,)
        words += [without_login(str(word)) for word in values]
    return words


def changed_fields(plan: Plan) -> dict:
    """Input fields that differ from the card: ``{name: [card, used]}``."""
    card, used = dataclasses.asdict(plan.card.input), dataclasses.asdict(plan.spec)
    return jsonable({name: [card[name], used[name]] for name in card if card[name] != used[name]})
