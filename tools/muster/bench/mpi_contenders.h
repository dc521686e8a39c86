// What a user of MPI has for a gather.
#pragma once

#include "bench/contender.h"

#include <string>
#include <vector>

namespace muster::tool {

// The name and version of the MPI library that is linked.
std::string mpi_library_version();

// MPI gathers along dimension 0: "mpi" does just that with the same bytes, which is another result
// where the dimension is an inner one; there "mpi+permute" moves the rows into place afterwards,
// and "mpi+datatype" describes the places to MPI. MPI_COMM_WORLD has the world's ranks.
std::vector<Contender> make_mpi_contenders(Workspace& workspace);

}  // namespace muster::tool
