// The output's shape and type, while a model is loaded.
#pragma once

#include "attributes.h"

namespace muster::onnxruntime {

// Sets the output's element type and shape. Dimensions that are not known, and the symbolic names
// of all but the gathered one, stay as they are.
void infer_output_shape(OrtShapeInferContext& context, Dialect dialect);

}  // namespace muster::onnxruntime
