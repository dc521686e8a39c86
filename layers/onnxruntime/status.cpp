#include "status.h"

#include <muster/error.h>

#include <exception>
#include <new>

namespace muster::onnxruntime {

namespace {

OrtErrorCode code_of(const std::exception& error) {
  if (const auto* own = dynamic_cast<const Error*>(&error)) {
    if (own->code() == ErrorCode::invalid_argument) return ORT_INVALID_ARGUMENT;
    if (own->code() == ErrorCode::unsupported) return ORT_NOT_IMPLEMENTED;
    return ORT_FAIL;
  }
  if (const auto* engine = dynamic_cast<const Ort::Exception*>(&error)) {
    const OrtErrorCode code = engine->GetOrtErrorCode();
    return code == ORT_EP_FAIL ? ORT_FAIL : code;
  }
  return ORT_FAIL;
}

}  // namespace

std::string describe(const std::exception& error) {
  const auto* own = dynamic_cast<const Error*>(&error);
  return own == nullptr ? error.what() : std::string(to_string(own->code())) + ": " + own->what();
}

OrtStatus* guarded(const std::string& context, const std::function<void()>& function) noexcept {
  try {
    try {
      function();
      return nullptr;
    } catch (const std::exception& error) {
      return Ort::GetApi().CreateStatus(code_of(error), (context + describe(error)).c_str());
    }
  } catch (...) {  // no memory for the text
    return Ort::GetApi().CreateStatus(ORT_FAIL, "muster: out of memory");
  }
}

}  // namespace muster::onnxruntime
