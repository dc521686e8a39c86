# The whole job from a bare Debian: each goal installs what it needs first, and may be run again.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test fetch-for-tests lint format sanitize sanitize-address sanitize-thread bench clean

RANKS ?= 4
# What the demo looks at (make demo FILES="some/file another").
FILES ?= README.md Makefile CMakeLists.txt CMakePresets.json LICENSE docs/idea.svg \
         src/communicator.cpp bench/plot.py tools/setup .clang-format .gitignore \
         $(muster) build/demo/magika/model.onnx

# The folders that clang-tidy looks at; .ci/run leaves the tests out, to keep within its time.
LINTED ?= src|layers|tools|examples|tests

muster := build/release/tools/muster/muster
operators := build/release/layers/onnxruntime/libmuster_onnxruntime.so
python := build/onnxruntime/venv/bin/python
sources = $(shell git ls-files '*.h' '*.cpp' '*.cu' '*.cuh')

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

demo: ## Tell what kinds of files these are, by a network that is split over four ranks
	tools/setup demo
	layers/onnx/fetch_proto build
	examples/file_types/fetch_model build/demo
	cmake --preset release $(if $(wildcard build/release/build.ninja),,-DBUILD_TESTING=OFF)
	cmake --build --preset release
	rm -rf build/demo/split
	$(muster) shard build/demo/magika/model.onnx -n $(RANKS) -o build/demo/split
	$(muster) run -n $(RANKS) $(python) examples/file_types/file_types.py \
	  $(operators) build/demo/magika build/demo/split $(FILES)

# What is fetched for tests besides what setup installs; without it they are left out.
fetch-for-tests:
	-layers/onnx/fetch_proto build
	-examples/file_types/fetch_model build/demo

test: ## Build and run every test
	tools/setup test
	$(MAKE) --no-print-directory fetch-for-tests
	cmake --preset release -DBUILD_TESTING=ON
	cmake --build --preset release
	ctest --preset release

lint: ## Check the formatting, and the sources with clang-tidy
	tools/setup lint
	$(MAKE) --no-print-directory fetch-for-tests
	clang-format --dry-run -Werror $(sources)
	cmake --preset lint
	cmake --build --preset lint
	set -o pipefail; run-clang-tidy -quiet -p build/lint -checks=-bugprone-suspicious-include \
	  '$(CURDIR)/(($(LINTED))/.*\.cpp|build/lint/($(LINTED))/.*\.cxx)$$' 2>&1 | \
	  sed -e '/^clang-tidy[-0-9]* -/d' -e '/warnings generated\.$$/d' -e '/^Suppressed .* warnings/d'

format: ## Format the sources
	tools/setup lint
	clang-format -i $(sources)

sanitize: sanitize-address sanitize-thread ## Run the thread-rank tests under ASan + UBSan, then TSan

sanitize-address:
	tools/setup test
	$(MAKE) --no-print-directory fetch-for-tests
	cmake --preset asan
	cmake --build --preset asan
	ctest --preset asan

sanitize-thread:
	tools/setup test
	cmake --preset tsan
	cmake --build --preset tsan
	ctest --preset tsan

bench: ## Measure all-gather against MPI and plain copies
	tools/setup bench
	test -f build/release/build.ninja || cmake --preset release -DBUILD_TESTING=OFF
	cmake --build --preset release
	$(muster) bench all_gather -n 2 --against mpi,memcpy

clean: ## Delete what was built and fetched
	rm -rf build
