// `muster shard`, where it was built without ONNX's file format.
#include "commands.h"
#include "exit_status.h"

namespace muster::tool {

Command add_shard(CLI::App& app) {
  app.allow_extras();
  app.footer(
      "Built without protobuf, or without the definition of ONNX's file format: `tools/setup "
      "build`\n"
      "and `layers/onnx/fetch_proto build` bring them.\n\nExample:\n"
      "  muster shard model.onnx -n 4 -o model4");
  return []() -> int {
    throw Failure(
        "shard: this muster was built without protobuf or ONNX's file format; `muster shard "
        "--help` "
        "says how to get them");
  };
}

}  // namespace muster::tool
