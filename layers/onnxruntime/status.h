// Exceptions to the engine's statuses.
#pragma once

#include "ort.h"

#include <functional>
#include <string>

namespace muster::onnxruntime {

// Calls the function and turns what it throws into a status, with `context` in front of the text;
// null if it returns. ORT_EP_FAIL is never among the statuses: on that one the engine's Python
// interface builds the session again and repeats the call, which the other ranks do not.
OrtStatus* guarded(const std::string& context, const std::function<void()>& function) noexcept;

// "peer_lost: " and so on in front of a muster::Error's text, nothing in front of others.
std::string describe(const std::exception& error);

}  // namespace muster::onnxruntime
