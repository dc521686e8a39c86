#include "bench/mpi_launch.h"

namespace muster::tool {

std::optional<MpiInstallation> mpi_installation() {
  return MpiInstallation{.mpiexec = MUSTER_MPIEXEC, .standard = MUSTER_MPI_STANDARD};
}

}  // namespace muster::tool
