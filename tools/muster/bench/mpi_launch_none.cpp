// Stands in for mpi_launch.cpp in a build without MPI.
#include "bench/mpi_launch.h"

namespace muster::tool {

std::optional<MpiInstallation> mpi_installation() {
  return std::nullopt;
}

}  // namespace muster::tool
