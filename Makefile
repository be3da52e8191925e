# SPDX-License-Identifier: MIT
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test browser clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.player: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.player

# adds torch, the package-borne generator and the builder of GeForce engines; without them their tests are
# skipped and say so
$(VENV)/.export: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,export,ffhq,tensorrt-rtx]'
	touch $@

demo: $(VENV)/.player
	$(BIN)/facepuppet demo --out demo.mp4

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

browser: $(VENV)/.dev
	$(BIN)/python -m pytest -m browser

clean:
	rm -rf $(VENV) build *.egg-info demo.mp4
