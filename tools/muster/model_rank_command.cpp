// `muster run-model`: what `muster run -n N model.onnx` starts as each rank
#include "commands.h"
#include "exit_status.h"
#include "model/rank.h"
#include "printable.h"

#include <exception>
#include <memory>

namespace muster::tool {

Command add_model_rank(CLI::App& app) {
  const auto options = std::make_shared<ModelOptions>();
  add_model_options(app, *options);
  app.group("");  // not in the help
  return [options] {
    try {
      return run_model_rank(*options);
    } catch (const Failure& failure) {  // which may quote the model, as may the engine
      throw Failure(printable(failure.what()), failure.status());
    } catch (const std::exception& error) {
      throw Failure(printable(error.what()));
    }
  };
}

}  // namespace muster::tool
