# `make demo` and `make test` need only Python, pip and make; both work from .venv, made on first use.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# An environment that forbids it has every process compile every module again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test lint lists suite browser registry benchmark predicting streaming fuzz signals full-disk slow docs gallery release-check clean
demo: $(STAMP)
	$(BIN)/compare-models --demo --output_dir demo-output --overwrite --stitch-crop-size 24

# All at once: the checkers work on one core each, and some tests wait.
test: $(STAMP)
	$(MAKE) --jobs 3 lint lists suite

suite: $(STAMP) browser
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Chromium, for the tests of pages, if it can be had without asking; else they are skipped. BROWSER=none leaves it out.
browser: $(STAMP)
	test "$(BROWSER)" = none || $(BIN)/python scripts/browser.py

lists: $(STAMP)
	$(BIN)/python scripts/registry.py --check

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

registry: $(STAMP)
	$(BIN)/python scripts/spec_table.py
	$(BIN)/python scripts/registry.py

benchmark: $(STAMP)
	mkdir -p build
	$(BIN)/python -m pytest tests/benchmarks -q -m benchmark --benchmark-json=build/timings.json
	PYTHONPATH=tests:. $(BIN)/python -m benchmarks.report build/timings.json
	PYTHONPATH=tests:. $(BIN)/python -m benchmarks.comparison_report build/timings.json
	PYTHONPATH=tests:. $(BIN)/python -m benchmarks.predict_speed
	PYTHONPATH=tests:. $(BIN)/python -m benchmarks.host_report $(if $(BESIDE),--beside $(BESIDE))

# Twenty models under three caps, each in a process of its own: half an hour on two cores.
predicting: $(STAMP)
	PYTHONPATH=tests:. $(BIN)/python -m benchmarks.predicting

# Scans of 4 GB, which repeat real frames, through inference and an epoch of training; made and deleted in TMPDIR.
streaming: $(STAMP)
	$(BIN)/python scripts/stream_large_scans.py

# A thousand damaged inputs for each reader, and twenty signals of each kind for each command: an hour or two each.
fuzz: $(STAMP)
	PYTHONPATH=tests:. $(BIN)/python -m fuzzing

signals: $(STAMP)
	PYTHONPATH=tests:. $(BIN)/python -m fuzzing.signals

# Every kind of file, then every command, on disks that are full at many places: half an hour.
full-disk: $(STAMP)
	PYTHONPATH=tests:. $(BIN)/python -m fuzzing.full_disk

slow: $(STAMP)
	$(BIN)/python -m pytest -q -m slow

# The variable silences a notice about the future of mkdocs, which is no warning about these pages.
docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open build/site/index.html, or serve it: $(BIN)/python -m http.server --directory build/site"

# The pictures of docs/gallery.md and of README.md, from what the commands write today: some minutes, and Chromium.
gallery: $(STAMP)
	PYTHONPATH=. $(BIN)/python scripts/gallery.py

release-check: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build
	$(BIN)/python scripts/release_check.py

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -e '.[test]'
	# ptychodus, whose own readers open what is written here, asks for more than they need. It wants Python 3.11.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile pydantic 2>/dev/null \
		&& $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps ptychodus 2>/dev/null \
		|| echo "ptychodus cannot be had here; tests that need it are skipped"
	# pip compiles on one core; tests of other packages are never imported.
	-$(BIN)/python -m compileall -q -j 0 -x '/tests?/' .venv/lib
	touch $@

clean:
	rm -rf .venv demo-output build dist *.egg-info
