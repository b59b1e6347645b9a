# The only entry: people and CI run the same recipes.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
UP_GROUPS := build serve train local
TEST_GROUPS := $(UP_GROUPS) cluster infra test check
FLEET_GROUPS := $(TEST_GROUPS) fleet
ALL_GROUPS := $(FLEET_GROUPS)

.PHONY: help up fleet mlflow down test test-slow test-fleet kind e2e check lock render bench fuzz soak h2spec proto images image-fleet _builder preview apply _pulumi clean

help:  ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: .venv/up.stamp  ## train, register, promote, sync and serve two models on this machine (PORT=0: any port)
	@$(BIN)/mainline up $(if $(PORT),--port $(PORT))

fleet: .venv/up.stamp  ## the same with all seven models (MAINLINE_DATASETS=/folder; torch is about 5 GB; PORT=)
	@$(BIN)/python -m mainline.datasets
	@$(MAKE) .venv/fleet.stamp
	@$(BIN)/mainline up --all $(if $(PORT),--port $(PORT))

mlflow: .venv/up.stamp  ## MLflow's pages over the registry of this machine, until Ctrl-C (PORT=: any free one)
	@$(BIN)/python -m mainline.registry_ui $(if $(PORT),--port $(PORT))

down:  ## stop everything that `make up` started
	@if [ -x $(BIN)/mainline ]; then $(BIN)/mainline down; fi

test: .venv/test.stamp  ## every test but the slow ones
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not cluster and not fleet"

test-slow: .venv/test.stamp  ## the slow tests
	@$(BIN)/python -m pytest -m "slow and not cluster and not fleet"

test-fleet: .venv/fleet.stamp  ## the tests that need torch and what else the fleet learns with
	@$(BIN)/python -m pytest -m "fleet and not cluster"

kind:  ## a kind cluster for `make e2e`: KServe, Argo CD, Traefik (needs kind, kubectl and docker)
	@tests/e2e/cluster/kind.sh .mainline/kind.env

e2e: .venv/test.stamp  ## on a cluster: images, the root Application, rollouts under load, failures (docs/kubernetes.md)
	@if [ -f .mainline/kind.env ]; then set -a; . .mainline/kind.env; fi; \
	  $(BIN)/python -m pytest -p no:randomly -p no:cacheprovider -m cluster tests/e2e/cluster

check: .venv/test.stamp  ## linters, types, the rendered tree and its rules, links and commands in the docs
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@$(BIN)/mainline render --check && $(BIN)/mainline check
	@$(BIN)/python -m pytest -q tests/repository

render: .venv/up.stamp  ## declarations -> clusters/
	@$(BIN)/mainline render

bench: .venv/test.stamp  ## every benchmark, side by side, with its table and a plot in .mainline/
	@$(BIN)/python -m benchmarks

fuzz: .venv/test.stamp  ## a million malformed requests against v2serve (REQUESTS= of each of five kinds, SEED=)
	@$(BIN)/python -m tests.conformance.fuzz --serve --requests $(or $(REQUESTS),200000) --seed $(or $(SEED),1)

soak: .venv/test.stamp  ## v2serve at half of its peak for an hour: memory, descriptors, latency (MINUTES=)
	@$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),60)

h2spec: .venv/test.stamp  ## HTTP/2 by the letter; needs h2spec on PATH (github.com/summerwind/h2spec)
	@$(BIN)/python -m tests.conformance.h2spec

proto: .venv/test.stamp  ## the gRPC messages, compiled again
	@cd model-servers/v2serve/codecs && $(CURDIR)/$(BIN)/python -m grpc_tools.protoc --proto_path=. \
	  --descriptor_set_out=open_inference.binpb open_inference.proto health.proto

.venv/fleet.stamp: .venv/test.stamp
	@echo "installing: fleet (torch, lightning, transformers: about 5 GB)"
	@$(INSTALL) -r pyproject.toml $(FLEET_GROUPS:%=--group %)
	@touch $@

BUILDER ?= $(shell command -v buildah || command -v docker)
REVISION := $(shell git rev-parse HEAD 2>/dev/null)
BUILD_ARGS = --build-arg REVISION=$(REVISION) $(if $(BASE),--build-arg BASE=$(BASE))
images: _builder  ## the images of the server and of the jobs, by buildah or docker (BASE= pins the base)
	@for image in v2serve:model-servers training:training-jobs; do \
	  $(BUILDER) build -f $${image#*:}/Containerfile -t mainline/$${image%%:*}:0.1.0 \
	    $(BUILD_ARGS) . || exit 1; done

image-fleet: _builder  ## the third image, for jobs that say `image: fleet`: torch and its like, gigabytes
	@$(BUILDER) build -f training-jobs/Containerfile -t mainline/training-fleet:0.1.0 --build-arg FLEET=1 $(BUILD_ARGS) .

_builder:
	@test -n "$(BUILDER)" || { echo "make: neither buildah nor docker is on PATH; install one"; exit 1; }

preview: _pulumi .venv/test.stamp  ## what `pulumi up` would do, and what the rules say to it (ENV=dev; needs pulumi and an AWS login)
	@$(BIN)/mainline check $(ENV)
	@pulumi preview --stack $(ENV) --policy-pack policies --diff

apply: _pulumi .venv/test.stamp  ## `pulumi up` under the same rules: the cloud, Argo CD, the root Application (ENV=dev)
	@$(BIN)/mainline check $(ENV)
	@pulumi up --stack $(ENV) --policy-pack policies $(if $(CI),--yes)

_pulumi:
	@if [ -z "$(ENV)" ]; then echo "make: which environment? write ENV=dev"; exit 1; fi
	@if [ ! -f "Pulumi.$(ENV).yaml" ]; then echo "make: there is no Pulumi.$(ENV).yaml; ENV is one of:" \
	  $(patsubst Pulumi.%.yaml,%,$(wildcard Pulumi.*.yaml)); exit 1; fi
	@if ! command -v pulumi >/dev/null; then echo "make: pulumi is not on PATH; install it (docs/platform.md)," \
	  "or look at clusters/$(ENV) and 'mainline cost $(ENV)', which need no engine"; exit 1; fi

lock: .venv/uv.stamp  ## solve all groups again into requirements.lock
	@$(BIN)/uv pip compile pyproject.toml $(ALL_GROUPS:%=--group %) --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header -q -o requirements.lock

clean: down  ## remove what this repository made on this machine
	@rm -rf .venv .mainline

# uv itself comes from the lock too, by hash.
.venv/uv.stamp: requirements.lock
	@test -n "$(PYTHON)" || { echo "make: python 3.11 or newer is needed; install python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@awk '/^uv==/{p=1} p{print} p&&!/\\$$/{exit}' requirements.lock > .venv/uv.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r .venv/uv.txt
	@touch $@

INSTALL = $(BIN)/uv pip install -q --python $(BIN)/python --require-hashes --compile-bytecode -c requirements.lock
EDITABLE = $(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .

.venv/up.stamp: .venv/uv.stamp pyproject.toml
	@echo "installing: $(UP_GROUPS)"
	@$(INSTALL) -r pyproject.toml $(UP_GROUPS:%=--group %)
	@$(EDITABLE)
	@touch $@

.venv/test.stamp: .venv/uv.stamp pyproject.toml
	@echo "installing: $(TEST_GROUPS)"
	@$(INSTALL) -r pyproject.toml $(TEST_GROUPS:%=--group %)
	@$(EDITABLE)
	@touch $@ .venv/up.stamp
