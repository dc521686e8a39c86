// The output's shape and type, while a model is loaded.
#pragma once

#include "attributes.h"

namespace muster::onnxruntime {

// Sets the output's element type and shape. Symbolic extents keep their names, but for the gathered
// one: "batch" over 4 ranks becomes "4*batch", unless the sections' sizes are given.
void infer_output_shape(OrtShapeInferContext& context, Dialect dialect);

}  // namespace muster::onnxruntime
