# make reproduce-table1 [PAPERS=kl_loss|kl_rpn] [SCALE=mini|lite|lite600|paper] [LENGTH=4] [SEEDS=3] [DATA=DIR] [WEIGHTS=FILE|none] [DEVICE=cuda] [GPUS=8] [PUBLISH=1]
PYTHON ?= python3
PAPERS ?= kl_loss kl_rpn
VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/bash
export SCALE LENGTH SEEDS DATA WEIGHTS OUT DEVICE JOBS WORKERS SPLITS AMP BATCH ACCUMULATE GPUS RESTARTS SKIP_BAD_BOXES RESULTS PUBLISH WEIGHTS_VGGM

# variables as a shell reads them: NAME='value', also where the value has quotes of its own
given = $(foreach name,$(1),$(name)='$(subst ','\'',$($(name)))')

# refused before anything is installed: a table that is not there, one folder for two reports, a
# number that is none, another word than those that a setting has, no data, a path that is not there
TABLES := $(patsubst reproduce-%,%,$(filter reproduce-%,$(MAKECMDGOALS)))
$(foreach table,$(TABLES),$(if $(wildcard $(PAPERS:%=experiments/%/$(table)/rows.py)),,\
  $(error There is no $(table) in: $(PAPERS). There are: $(wildcard experiments/*/*/rows.py))))
ifneq ($(RESULTS),)
  REPORTED := $(foreach table,$(TABLES),$(wildcard $(PAPERS:%=experiments/%/$(table)/rows.py)))
  $(if $(word 2,$(REPORTED)),$(error RESULTS is the folder of one report, and each of $(REPORTED:experiments/%/rows.py=%) would replace the one before; name one table, and one of the PAPERS))
endif
ifneq ($(TABLES),)
  REFUSED := $(shell $(call given,GPUS RESTARTS JOBS SEEDS LENGTH SCALE DEVICE RESULTS PUBLISH) \
    bash -c 'source experiments/common.sh' 2>&1)
  $(if $(REFUSED),$(error $(patsubst %.,%,$(subst error: ,,$(REFUSED)))))
endif
ifneq ($(filter train,$(MAKECMDGOALS)),)
  $(if $(DATA),,$(error Which images? make train DATA=DIR, the folder of your labeled photos))
endif
ifneq ($(TABLES)$(filter train,$(MAKECMDGOALS)),)
  ABSENT := $(shell $(call given,DATA WEIGHTS WEIGHTS_VGGM) GPUS= RESTARTS= \
    bash -c 'source scripts/launch.sh; check_paths DATA WEIGHTS WEIGHTS_VGGM' 2>&1)
  $(if $(ABSENT),$(error $(patsubst %.,%,$(subst error: ,,$(ABSENT)))))
endif

.PHONY: help install train test test-faults test-docs lint benchmark report explore doctor demo tensorboard clean
help: ## this list
	@sed -n 's/^\([a-z%-]*\):.*## /\1\t/p' Makefile | expand -t 22

install: $(VENV)/installed ## create .venv and install everything (also done by the targets below)
$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4))' || \
	  { echo "Python 3.11.4 or newer is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet torch torchvision
	$(BIN)/python -m pip install --quiet ".[dev]"
	@touch $@

reproduce-%: install ## reproduce-table1 .. -table6, -figure3, -figure5, -figure6, -controls, ...: train, evaluate, print paper | committed | yours
	@for paper in $(PAPERS); do if [ -d experiments/$$paper/$* ]; then \
	    export PYTHON=$(BIN)/python; experiments/$$paper/$*/train.sh && experiments/$$paper/$*/eval.sh || exit $$?; fi; done

train: install ## DATA=DIR [RUN=own/small] [WEIGHTS=FILE|none] [SPLITS=TRAIN:VAL] [EPOCHS=N] [FROM=CHECKPOINT] [GPUS=N]: train on your own labeled photos
	PYTHON=$(BIN)/python && source scripts/launch.sh && \
	launch "$$GPUS" scripts.train $(or $(RUN),own/small) --data "$(DATA)" --out "$(or $(OUT),runs)" --device $(or $(DEVICE),auto) \
	  --workers $(or $(WORKERS),0) --weights "$(or $(WEIGHTS),auto)" --amp $(or $(AMP),off) \
	  $(if $(SPLITS),--splits $(SPLITS)) $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(BATCH),--batch-size $(BATCH)) $(if $(ACCUMULATE),--accumulate $(ACCUMULATE)) $(if $(FROM),--from "$(FROM)")

test: install ## every test but the slow ones of test-faults and test-docs, on the CPU, without network
	$(BIN)/python -m pytest

test-faults: install ## inject every fault of docs/faults.md: kill, damage, fill, cut off; up to 20 minutes on 2 cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "fault or slow_fault"

test-docs: install ## run every command of README.md and docs/ at a tiny size, or check its options alone; about a quarter of an hour on 2 cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m docs

lint: install ## ruff, its formatter and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: install ## operators, post-processing, networks, loading, scoring beside their peers; about 20 minutes on 2 cores
	$(BIN)/python -m scripts.speed --device $(or $(DEVICE),auto) --out $(or $(OUT),runs)/benchmark $(if $(PARTS),--parts $(PARTS))

report: install ## [OUT=runs]: one page, report.html, with everything that was measured, beside the papers' numbers
	$(BIN)/python -m scripts.report_page $(if $(OUT),--results "$(OUT)")

explore: install ## [DATA=DIR] [RUN=own/small] [CHECKPOINT=FILE] [IMAGES=12]: one page, explore.html: labels, augmentation, anchors, RoIs; without DATA the rendered scenes
	$(BIN)/python -m scripts.explore $(RUN) $(if $(DATA),--data "$(DATA)") $(if $(SCALE),--scale $(SCALE)) --device $(or $(DEVICE),auto) \
	  $(if $(SPLITS),--splits $(SPLITS)) $(if $(CHECKPOINT),--checkpoint "$(CHECKPOINT)") $(if $(IMAGES),--images $(IMAGES))

doctor: install ## versions, torchvision's operators, GPU, disk, shared memory; one line that fixes each failure
	@$(BIN)/python -m scripts.doctor

demo: install ## in three minutes: render scenes, train a small detector, make its sigmas honest, score it, draw four
	@PYTHON=$(BIN)/python scripts/demo.sh

tensorboard: install ## watch training at http://localhost:6006
	$(BIN)/tensorboard --logdir $(or $(OUT),runs) --host localhost

clean: ## remove .venv and caches; runs/ and datasets/ stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
