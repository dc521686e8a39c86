// What the launcher tells a rank, in environment variables.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace muster::world {

struct LauncherEnvironment {
  int rank = 0;                      // MUSTER_RANK
  int size = 1;                      // MUSTER_WORLD_SIZE
  std::filesystem::path rendezvous;  // MUSTER_RENDEZVOUS: a directory of this user, mode 0700
  std::string token;                 // MUSTER_TOKEN: tells jobs of one user apart
};

// Nothing when no launcher started this process (none of the variables is set).
// Throws invalid_argument, naming the variable, when some are missing or a value is wrong.
std::optional<LauncherEnvironment> read_launcher_environment();

}  // namespace muster::world
