# The thin front door. Under it `snakemake`, `dvc repro` and `fishbone --help` work on their own.
STUDY ?= quick
PROFILE ?= default
PYTHON ?= python3
# Installed from the lock by the first target that needs it; a changed lock installs again.
READY := .venv/installed

export STUDY PROFILE ROOM
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: setup reproduce pull publish test test-avx2 lint docs mutate bench clean

setup: $(READY)
	@echo "== ready: . .venv/bin/activate, then fishbone --help"

reproduce: $(READY)
	@echo "== study '$$STUDY' with profile '$$PROFILE'"
	@fishbone reproduce --study "$$STUDY" --profile "$$PROFILE"

pull: $(READY)
	@echo "== recorded results of the study '$$STUDY'"
	@fishbone pull --study "$$STUDY"

publish: $(READY)
	@echo "== small results of the study '$$STUDY' into recorded/"
	@fishbone publish --study "$$STUDY"

test: $(READY)
	@echo "== tests (slow ones: .venv/bin/pytest -m slow)"
	@python -m pytest

# What computes gradients, once more with the kernels of processors without AVX-512.
LEARNING := nn curvature pruning federated split wire gan $(addprefix stages/test_,train.py prune.py federate.py gan.py)
test-avx2: $(READY)
	@echo "== tests of what learns, on AVX2 alone"
	@ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 python -m pytest $(addprefix tests/,$(LEARNING))

lint: $(READY)
	@echo "== ruff, mypy, snakefmt, snakemake --lint"
	@ruff check .
	@ruff format --check .
	@mypy
	@snakefmt --check Snakefile workflow
	@snakemake --lint

docs: $(READY)
	@NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet
	@echo "== site/index.html; with its search: python3 -m http.server --directory site"

# ROOM: folders of src/fishbone, or folder/module.
ROOM ?= curvature pruning federated split gan wire
mutate: $(READY)
	@python tests/mutate.py $$ROOM

bench: $(READY)
	@echo "== paired benchmarks; leave the machine alone meanwhile"
	@for file in benchmarks/*.py; do echo "-- $$file"; python $$file || exit 1; done

clean: $(READY)
	@fishbone clean --study "$$STUDY"

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "Fishbone needs Python 3.11 or newer; '$(PYTHON)' is not. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
		|| { echo "'$(PYTHON)' has no venv module. On Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@echo "== setting up .venv from requirements.lock (a few minutes, once)"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)
