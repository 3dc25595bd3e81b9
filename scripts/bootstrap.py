"""Make the environment, then run a command in it.

    python scripts/bootstrap.py evaluate [options of evaluate.py]   evaluate the shipped model on the shipped mini set
    python scripts/bootstrap.py test [options of pytest]            run every test
    python scripts/bootstrap.py lab [options of jupyterlab]         open the notebooks
    python scripts/bootstrap.py html                                write the notebooks as a web site into site/
    python scripts/bootstrap.py install                             only make the environment
    python scripts/bootstrap.py clean                               remove the environment, caches and results

Needs Python 3.11 to 3.13 with venv and, for the first call, a package index. The environment is the folder .venv
beside scripts/, or the one that VIDBENCH_VENV names.
"""

# Nothing that Python 2.7 cannot read. From 3.6 on, bootstrap_steps.py looks for a Python that will do.

import sys

if __name__ == "__main__":
    if sys.version_info < (3, 6):  # noqa: UP036
        sys.exit(
            "bootstrap: vidbench needs Python 3.11, 3.12 or 3.13; this is {}.{}. Begin the same command with one of "
            "those, such as python3.12, or make with PYTHON=python3.12.".format(*sys.version_info[:2])
        )
    sys.dont_write_bytecode = True  # or clean would find the folder that it made itself
    from bootstrap_steps import run_command

    sys.exit(run_command(__file__, __doc__, sys.argv[1:]))
