// What two ranks say when they meet: the handshake's message as bytes, and what to make of it.
#pragma once

#include <muster/error.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace muster::world {

constexpr std::uint32_t protocol_version = 1;
constexpr std::size_t max_token_bytes = 256;
constexpr std::size_t hello_bytes = 296;  // of every version, so that versions can tell each other

// What the host (the lower rank, which accepts) thinks of its visitor (the higher, which connects).
enum class Verdict : std::uint32_t {
  welcome,
  other_version,
  other_token,
  other_size,
  rank_outside,  // of the world, or not above the host's
  rank_taken,
};

struct Hello {
  std::uint32_t version = protocol_version;
  Verdict verdict = Verdict::welcome;  // a visitor's own hello says welcome
  std::int32_t rank = 0;
  std::int32_t size = 1;
  std::int32_t holder = 0;  // with rank_taken: the process that has the rank
  std::uint64_t arena_bytes = 0;
  std::string token;  // at most max_token_bytes

  friend bool operator==(const Hello&, const Hello&) = default;
};

std::array<std::byte, hello_bytes> format_hello(const Hello& hello);

// Nothing when the bytes are no hello. Of another protocol version only version, rank and size are
// read. Makes no judgement on the values: any process can have sent them.
std::optional<Hello> parse_hello(std::span<const std::byte> bytes);

// What both sides see from the two hellos alone. rank_taken is the host's to add.
Verdict judge(const Hello& visitor, const Hello& host);

// An Error's code and text for a verdict other than welcome. Names ranks and both values.
ErrorCode code_of(Verdict verdict);
std::string explain(Verdict verdict, const Hello& visitor, const Hello& host);

}  // namespace muster::world
