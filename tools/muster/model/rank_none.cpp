// Stands in for rank.cpp where ONNX Runtime was not there to build for.
#include "exit_status.h"
#include "model/rank.h"

namespace muster::tool {

void require_engine() {
  throw Failure("run: this muster was built without ONNX Runtime, it cannot run models");
}

int run_model_rank(const ModelOptions&) {
  require_engine();
  return exit_failed;
}

}  // namespace muster::tool
