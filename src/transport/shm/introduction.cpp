#include "transport/shm/introduction.h"

#include <fmt/format.h>

namespace muster::transport::shm {

Error other_layout(const Endpoint& endpoint, int i) {
  return Error(ErrorCode::mismatch,
               fmt::format("Communicator on group {}: rank {} has another layout of control memory "
                           "than rank {}",
                           endpoint.group.to_string(),
                           endpoint.group[i],
                           endpoint.state->rank()),
               endpoint.group[i]);
}

void check_introduction(const Endpoint& endpoint,
                        int i,
                        const Introduction& introduction,
                        std::size_t control_bytes) {
  const std::size_t arena_bytes = endpoint.state->arena_of(endpoint.group[i]).bytes();
  if (introduction.layout != Introduction::current_layout ||
      introduction.members != static_cast<std::uint32_t>(endpoint.size()) ||
      !lies_in(introduction.control_offset, alignof(Mailbox), control_bytes, arena_bytes)) {
    throw other_layout(endpoint, i);
  }
}

}  // namespace muster::transport::shm
