// A model's inputs, read from files.
#pragma once

#include "model/npy.h"
#include "model/options.h"

#include <onnxruntime_cxx_api.h>

#include <string>
#include <vector>

namespace muster::tool {

// Owns the memory that the values view.
struct ModelInputs {
  std::vector<std::string> names;
  std::vector<NpyArray> arrays;
  std::vector<Ort::Value> values;
};

// Reads what the options name and checks it against what the model declares: each input once, its
// type, its number of dimensions, its fixed extents, and that extents of one name are equal.
// Throws Failure, naming input, file and both values.
ModelInputs read_inputs(const Ort::Session& session, const ModelOptions& options, int rank);

}  // namespace muster::tool
