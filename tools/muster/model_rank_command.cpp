// `muster run-model`: what `muster run -n N model.onnx` starts as each rank
#include "commands.h"
#include "model/rank.h"

#include <memory>

namespace muster::tool {

Command add_model_rank(CLI::App& app) {
  const auto options = std::make_shared<ModelOptions>();
  add_model_options(app, *options);
  app.group("");  // not in the help
  return [options] { return run_model_rank(*options); };
}

}  // namespace muster::tool
