// The MPI that this build of muster knows, for `muster bench --against mpi`.
#pragma once

#include <optional>
#include <string>

namespace muster::tool {

struct MpiInstallation {
  std::string mpiexec;   // starts MPI programs
  std::string standard;  // the version of the MPI standard
};

// Nothing in a build without MPI.
std::optional<MpiInstallation> mpi_installation();

}  // namespace muster::tool
