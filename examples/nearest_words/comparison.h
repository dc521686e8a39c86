/// @file
/// What muster saves: a gather into place against a gather on dimension 0 and a transpose.
#pragma once

#include "matrix.h"

/// Median times over many rounds, in milliseconds.
struct Times {
  double in_place = 0;
  double transposed = 0;
};

/// Gathers every rank's `shard` along the last dimension into `full`, both ways in turn.
Times compare(muster::World& world,
              muster::Communicator& everyone,
              const Matrix& shard,
              const Matrix& full,
              const muster::GatherPlan& plan);
