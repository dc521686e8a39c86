// One rank's run of a model, with ONNX Runtime.
#pragma once

#include "model/options.h"

namespace muster::tool {

// Throws Failure, saying why, if this muster cannot run models.
void require_engine();

// The rank's whole life: its result is the exit status. Throws Failure.
int run_model_rank(const ModelOptions& options);

}  // namespace muster::tool
