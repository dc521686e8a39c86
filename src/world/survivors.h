// Agreement on who is left of a group.
#pragma once

#include "muster/group.h"
#include "world/deadline.h"
#include "world/state.h"

namespace muster::world {

// See World::survivors.
Group survivors(State& state, const Group& group, Deadline deadline);

}  // namespace muster::world
