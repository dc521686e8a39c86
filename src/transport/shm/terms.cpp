#include "transport/shm/terms.h"

#include "muster/error.h"

#include <fmt/format.h>

#include <string>

namespace muster::transport::shm {

namespace {

// One call's headers as this member sees them.
struct Terms {
  const Endpoint& endpoint;
  std::span<const Header> headers;
  std::span<std::size_t> row_offsets;

  const Header& header(int i) const { return headers[static_cast<std::size_t>(i)]; }
  std::size_t& row_offset(int i) const { return row_offsets[static_cast<std::size_t>(i)]; }
  int rank(int i) const { return endpoint.group[i]; }

  [[noreturn]] void throw_mismatch(int i, const std::string& what) const {
    throw Error(ErrorCode::mismatch, endpoint.operation() + ": " + what, rank(i));
  }
};

void check_headers(const Terms& terms, std::size_t outer, std::span<const std::size_t> arenas) {
  const int self = terms.endpoint.self;
  const Header& own = terms.header(self);
  terms.endpoint.for_each_peer([&](int i) {
    const Header& theirs = terms.header(i);
    if (!agree(own, theirs)) {
      terms.throw_mismatch(i,
                           fmt::format("rank {} sends {}, rank {} sends {}",
                                       terms.rank(i),
                                       describe(theirs),
                                       terms.rank(self),
                                       describe(own)));
    }
    if (!is_sane(theirs, outer, arenas[static_cast<std::size_t>(i)])) {
      terms.throw_mismatch(
          i, fmt::format("rank {} describes memory that it does not have", terms.rank(i)));
    }
  });
}

// Every output must be as long as the sections together.
void check_sections(const Terms& terms) {
  const int size = terms.endpoint.size();
  std::size_t sum = 0;
  for (int i = 0; i < size; ++i) {
    terms.row_offset(i) = sum;
    if (__builtin_add_overflow(sum, terms.header(i).row_bytes, &sum)) {
      terms.throw_mismatch(i, "the sections are too long together");
    }
  }
  for (int i = 0; i < size; ++i) {
    const Header& header = terms.header(i);
    if (header.output_row_bytes == sum) continue;
    terms.throw_mismatch(i,
                         fmt::format("the sections come to rows of {} bytes along dimension {}, "
                                     "the output of rank {} has rows of {} bytes (its shard: {})",
                                     sum,
                                     header.gather_dim,
                                     terms.rank(i),
                                     header.output_row_bytes,
                                     describe(header)));
  }
}

void check_places(const Terms& terms) {
  for (int i = 0; i < terms.endpoint.size(); ++i) {
    const std::int64_t place = terms.header(i).in_place_offset;
    if (place == Gather::not_in_place || static_cast<std::size_t>(place) == terms.row_offset(i)) {
      continue;
    }
    terms.throw_mismatch(i,
                         fmt::format("rank {} has its section in place at byte {} of each row, "
                                     "where it belongs at byte {}",
                                     terms.rank(i),
                                     place,
                                     terms.row_offset(i)));
  }
}

}  // namespace

void check_terms(const Endpoint& endpoint,
                 std::span<const Header> headers,
                 std::size_t outer,
                 std::span<const std::size_t> arenas,
                 std::span<std::size_t> row_offsets) {
  const Terms terms{endpoint, headers, row_offsets};
  check_headers(terms, outer, arenas);
  check_sections(terms);
  check_places(terms);
}

}  // namespace muster::transport::shm
