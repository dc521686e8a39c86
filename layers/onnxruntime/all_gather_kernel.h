// One AllGather node of one session.
#pragma once

#include "attributes.h"
#include "session_number.h"
#include "wire_cast.h"

#include <muster/communicator.h>
#include <muster/tensor.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace muster::onnxruntime {

// What an application sets for a session, before it registers the library, by configuration
// entries of the session's options.
struct SessionSettings {
  std::string tag;                                             // "muster.tag"
  std::chrono::milliseconds timeout = World::default_timeout;  // "muster.timeout_ms"

  friend bool operator==(const SessionSettings&, const SessionSettings&) = default;
};

// The engine makes a session's kernels one after another on the thread that creates the session,
// and that thread may be the only one: so a constructor waits for nobody. The communicator is made
// in the first Compute, with the other ranks.
class AllGatherKernel {
 public:
  // Throws Error, or Ort::Exception.
  AllGatherKernel(const OrtKernelInfo* info, Dialect dialect, const SessionSettings& settings);

  // What the engine calls to run the node. A second call meanwhile is refused: a session must be
  // given one Run at a time, but nobody sees two that do not meet in a node.
  OrtStatus* ComputeV2(OrtKernelContext* context) noexcept;

 private:
  struct Tensor;

  void compute(OrtKernelContext* context);
  void meet();
  Shape output_shape(const Tensor& section) const;
  void gather(OrtKernelContext* context, const Tensor& section, const Tensor& output);
  void gather_cast(OrtKernelContext* context, const Tensor& section, const Tensor& output);

  std::string label_;  // for errors: "muster::AllGather node 'logits'"
  Attributes attributes_;
  CommunicatorOptions options_;  // the tag without the session's number
  std::shared_ptr<SessionNumber> session_;
  std::optional<WireCast> to_wire_, from_wire_;
  std::optional<Communicator> communicator_;
  std::atomic_flag running_;
};

// The node's label for errors.
std::string label_of(const OrtKernelInfo* info, Dialect dialect);

}  // namespace muster::onnxruntime
