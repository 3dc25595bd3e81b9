# Each target first makes .venv where needed: see scripts/bootstrap.py, which also runs without make.
# More options for the command: make test ARGS="-k decode", make evaluate ARGS="--limit 20".

PYTHON ?= python3
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help evaluate test lab html clean

help:
	@echo "make evaluate   evaluate the shipped model on the shipped mini set, offline; writes a report"
	@echo "make test       run every test"
	@echo "make lab        open the notebooks in JupyterLab"
	@echo "make html       write the notebooks as a web site into site/"
	@echo "make clean      remove .venv, caches and results"
	@echo
	@echo "The first call installs requirements.txt into .venv: about 3.5 GB to download, 9 GB on disk, 5 to 15 minutes."
	@echo "Needs Python 3.11 to 3.13 (PYTHON=python3.12 chooses one). Without make: python scripts/bootstrap.py evaluate"

evaluate test lab html clean:
	@$(PYTHON) scripts/bootstrap.py $@ $(ARGS)
