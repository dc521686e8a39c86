# The whole job from a bare Debian: each goal installs what it needs first, and may be run again.
.DEFAULT_GOAL := help
.PHONY: help demo test lint format sanitize sanitize-address sanitize-thread bench clean

RANKS ?= 4
# What the demo looks up: a text file, or some words (make demo WORDS="apple paris").
WORDS ?= README.md

muster := build/release/tools/muster/muster
sources = $(shell git ls-files '*.h' '*.cpp' '*.cu' '*.cuh')

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

demo: ## Find nearest words in a language model's vocabulary that is split over four ranks
	tools/setup demo
	test -f build/release/build.ninja || cmake --preset release -DBUILD_TESTING=OFF
	cmake --build --preset release
	examples/nearest_words/fetch_model build/demo
	$(muster) run -n $(RANKS) build/release/examples/nearest_words/nearest_words build/demo/model $(WORDS)

test: ## Build and run every test
	tools/setup test
	cmake --preset release -DBUILD_TESTING=ON
	cmake --build --preset release
	ctest --preset release

lint: ## Check the formatting, and the sources with clang-tidy
	tools/setup lint
	clang-format --dry-run -Werror $(sources)
	cmake --preset release -DBUILD_TESTING=ON
	run-clang-tidy -quiet -p build/release '$(CURDIR)/(src|layers|tools|examples|tests)/.*\.cpp$$'

format: ## Format the sources
	tools/setup lint
	clang-format -i $(sources)

sanitize: sanitize-address sanitize-thread ## Run the thread-rank tests under ASan + UBSan, then TSan

sanitize-address:
	tools/setup test
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
