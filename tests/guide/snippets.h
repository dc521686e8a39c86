/// @file
/// The snippets of the project's pages as functions.
#pragma once

#include <muster/muster.h>

#include <span>

struct Snippet {
  const char* page;
  int line;
  void (*run)(muster::World& world);  ///< what one rank does
  bool needs_gpu;
};

std::span<const Snippet> snippets();
