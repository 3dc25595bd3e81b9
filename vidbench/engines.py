"""Where an evaluation runs and where its results go, as its configuration says.

In this process, in one for each GPU, or on many machines; into a folder, or to an object store.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from vidbench import devices, distribute, evaluate
from vidbench.local import Here
from vidbench.plan import run_folder
from vidbench.records import RunError
from vidbench.remote import RemoteRun, Sending, is_remote


def run(config, *, progress=None) -> evaluate.Outcome:
    """``vidbench.evaluate.evaluate`` where the configuration wants it; arguments and errors are its own.

    Of results on an object store the outcome's ``run_folder`` is the address, without a login.
    """
    if not is_remote(config.results_dir):
        return evaluate.evaluate(config, progress=progress, engine=choose(config))
    config = config.checked()
    with tempfile.TemporaryDirectory(prefix="vidbench-") as folder:
        name = run_folder(config).name
        remote = RemoteRun(f"{config.results_dir.rstrip('/')}/{name}", Path(folder) / name)
        remote.fetch()
        here = dataclasses.replace(config, results_dir=folder, run_name=name)
        try:
            outcome = evaluate.evaluate(here, progress=Sending(remote, progress), engine=choose(config))
        except RunError as problem:
            raise RunError(str(problem).replace(str(remote.folder), remote.address)) from None
        if outcome.metrics:
            remote.send_all()
        summary = outcome.summary.replace(str(remote.folder), remote.address)
        return dataclasses.replace(outcome, run_folder=remote.address, summary=summary)


def choose(config):
    """The engine of an ``EvaluateConfig``: ``Here``, ``OnDevices`` or ``OnRay``."""
    if config.engine == "ray":
        return distribute.OnRay
    return devices.OnDevices if config.devices else Here
