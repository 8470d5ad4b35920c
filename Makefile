# One command each: `make demo` sets up and runs the main job, `make test` sets up and passes the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo setup test lowest check bench docs pictures soak clean

demo: $(VENV)/.installed
	$(BIN)/egomon replay examples/bench.mp4 --speed max

setup: $(VENV)/.installed-dev $(VENV)/s3-server/.installed

# What runs needs, without torch; an environment for the tests has it too.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@ $(VENV)/.installed

# Of the tests: an S3 server. Its botocore is newer than that of s3fs can be.
$(VENV)/s3-server/.installed:
	$(PYTHON) -m venv $(VENV)/s3-server
	$(VENV)/s3-server/bin/python -m pip install --quiet "moto[s3]>=5.2" "flask>=3.1" "flask-cors>=6"
	touch $@

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.house_numbers

# Two processes: each has models in memory, and a file's tests share what they build.
test: setup check
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile

# The lowest versions that pyproject.toml allows, all together: 8 GB in build/lowest.
lowest: $(VENV)/s3-server/.installed
	$(PYTHON) -m venv build/lowest
	build/lowest/bin/python -m pip install --quiet uv
	build/lowest/bin/python -m uv pip install --quiet --resolution lowest-direct --editable ".[dev]"
	PATH="$(abspath $(VENV))/s3-server/bin:$$PATH" build/lowest/bin/python -m pytest

# A few minutes on a machine with nothing else to do; for the README's table add --markdown.
bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/pipeline.py

docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --site-dir build/site
	@echo build/site/index.html

# Needs chromium; run it after the demonstration bundle, the example or a page has changed.
pictures: $(VENV)/.installed-dev
	$(BIN)/python docs/pictures/make.py

# With Ray, which is too much for each run of the other tests.
soak: setup
	$(BIN)/python -m pip install --quiet --editable ".[ray]"
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf $(VENV) build dist *.egg-info
