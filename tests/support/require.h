// Assertions for ranks. They run on threads and in processes where GoogleTest's do not reach, so
// they throw.
#pragma once

#include <muster/error.h>

#include <functional>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>

namespace muster::test {

inline void require(bool condition, const std::string& otherwise) {
  if (!condition) throw std::runtime_error(otherwise);
}

inline std::string described(const Error& error) {
  return std::string(to_string(error.code())) + " (peer " +
         (error.peer() ? std::to_string(*error.peer()) : "none") + "): " + error.what();
}

// What `call` throws; throws itself when that is nothing, or has another code.
inline Error require_error(ErrorCode code,
                           std::string_view what,
                           const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    require(error.code() == code,
            std::string(what) + ": due was " + std::string(to_string(code)) + ", came " +
                described(error));
    return error;
  }
  throw std::runtime_error(std::string(what) + ": due was " + std::string(to_string(code)) +
                           ", came nothing");
}

inline void require_text(const Error& error, std::initializer_list<std::string> parts) {
  for (const std::string& part : parts) {
    require(std::string_view(error.what()).find(part) != std::string_view::npos,
            "\"" + part + "\" is missing in " + described(error));
  }
}

inline void require_peer(const Error& error, int rank) {
  require(error.peer() == rank,
          "the peer is not " + std::to_string(rank) + " in " + described(error));
}

}  // namespace muster::test
