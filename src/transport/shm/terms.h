// What the members of a call must agree on.
#pragma once

#include "transport/shm/endpoint.h"
#include "transport/shm/header.h"

#include <cstddef>
#include <span>

namespace muster::transport::shm {

// Checks the headers of a call of `outer` rows against each other, and fills in where each member's
// section begins in the output's rows. All spans are by position; `arenas` has the sizes of the
// arenas that the headers' offsets lie in. Throws mismatch, naming both sides' values.
void check_terms(const Endpoint& endpoint,
                 std::span<const Header> headers,
                 std::size_t outer,
                 std::span<const std::size_t> arenas,
                 std::span<std::size_t> row_offsets);

}  // namespace muster::transport::shm
