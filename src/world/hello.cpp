#include "world/hello.h"

#include "world/unix_socket.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include <fmt/format.h>

namespace muster::world {
namespace {

constexpr std::array<char, 8> magic = {'m', 'u', 's', 't', 'e', 'r', '\r', '\n'};

// Both ends are on one machine: its byte order. The fields up to `size` keep their places for ever.
struct Wire {
  std::array<char, 8> magic;
  std::uint32_t version;
  std::uint32_t verdict;
  std::int32_t rank;
  std::int32_t size;
  std::uint64_t arena_bytes;
  std::int32_t holder;
  std::uint32_t token_bytes;
  std::array<char, max_token_bytes> token;  // zeros behind token_bytes
};
static_assert(sizeof(Wire) == hello_bytes && std::has_unique_object_representations_v<Wire>);

}  // namespace

std::array<std::byte, hello_bytes> format_hello(const Hello& hello) {
  Wire wire{.magic = magic,
            .version = hello.version,
            .verdict = static_cast<std::uint32_t>(hello.verdict),
            .rank = hello.rank,
            .size = hello.size,
            .arena_bytes = hello.arena_bytes,
            .holder = hello.holder,
            .token_bytes = static_cast<std::uint32_t>(hello.token.size()),
            .token = {}};
  hello.token.copy(wire.token.data(), wire.token.size());
  std::array<std::byte, hello_bytes> bytes;
  std::memcpy(bytes.data(), &wire, sizeof wire);
  return bytes;
}

std::optional<Hello> parse_hello(std::span<const std::byte> bytes) {
  if (bytes.size() != hello_bytes) return std::nullopt;
  Wire wire;
  std::memcpy(&wire, bytes.data(), sizeof wire);
  if (wire.magic != magic) return std::nullopt;

  Hello hello{.version = wire.version, .rank = wire.rank, .size = wire.size, .token = {}};
  if (wire.version != protocol_version) return hello;

  if (wire.verdict > static_cast<std::uint32_t>(Verdict::rank_taken)) return std::nullopt;
  if (wire.token_bytes > max_token_bytes) return std::nullopt;
  const auto padding = std::span(wire.token).subspan(wire.token_bytes);
  if (std::ranges::any_of(padding, [](char c) { return c != '\0'; })) return std::nullopt;
  hello.verdict = static_cast<Verdict>(wire.verdict);
  hello.holder = wire.holder;
  hello.arena_bytes = wire.arena_bytes;
  hello.token.assign(wire.token.data(), wire.token_bytes);
  return hello;
}

Verdict judge(const Hello& visitor, const Hello& host) {
  if (visitor.version != host.version) return Verdict::other_version;
  if (visitor.token != host.token) return Verdict::other_token;
  if (visitor.size != host.size) return Verdict::other_size;
  if (visitor.rank == host.rank) return Verdict::rank_taken;
  if (visitor.rank < host.rank || visitor.rank >= host.size) return Verdict::rank_outside;
  return Verdict::welcome;
}

ErrorCode code_of(Verdict verdict) {
  const bool rank_is_wrong = verdict == Verdict::rank_outside || verdict == Verdict::rank_taken;
  return rank_is_wrong ? ErrorCode::invalid_argument : ErrorCode::mismatch;
}

std::string explain(Verdict verdict, const Hello& visitor, const Hello& host) {
  switch (verdict) {
    case Verdict::other_version:
      return fmt::format(
          "rank {} speaks protocol version {}, rank {} version {}: use one build of muster",
          visitor.rank,
          visitor.version,
          host.rank,
          host.version);
    case Verdict::other_token:
      return fmt::format(
          "rank {} belongs to job {:?}, rank {} to job {:?}: give each job its own directory",
          visitor.rank,
          visitor.token,
          host.rank,
          host.token);
    case Verdict::other_size:
      return fmt::format(
          "rank {} has a world of {}, rank {} a world of {}: start all ranks with the same size",
          visitor.rank,
          visitor.size,
          host.rank,
          host.size);
    case Verdict::rank_outside:
      return fmt::format("rank {} has no place with rank {} in a world of {}: ranks are 0 to {}",
                         visitor.rank,
                         host.rank,
                         host.size,
                         host.size - 1);
    case Verdict::rank_taken:
      return fmt::format(
          "rank {} is taken by {}: start each rank once", visitor.rank, process_name(host.holder));
    case Verdict::welcome:
      break;
  }
  return "welcome";
}

}  // namespace muster::world
