// What ONNX Runtime calls when it loads libmuster_onnxruntime_microsoft.so.
#include "registration.h"

// The engine's own name for it. Registers AllGather in the domain `com.microsoft`.
extern "C" MUSTER_EXPORT OrtStatus* ORT_API_CALL RegisterCustomOps(OrtSessionOptions* options,
                                                                   const OrtApiBase* base) {
  return muster::onnxruntime::register_domain(
      options, base, muster::onnxruntime::Dialect::microsoft);
}
