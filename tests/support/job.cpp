#include "support/job.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <system_error>

namespace muster::test {
namespace {

std::string random_token() {
  std::random_device random;
  return std::to_string(random()) + "-" + std::to_string(random());
}

}  // namespace

RendezvousDirectory::RendezvousDirectory()
    : path_((std::filesystem::temp_directory_path() / "muster-test-XXXXXX").string()) {
  if (::mkdtemp(path_.data()) == nullptr) {
    throw std::system_error(errno, std::generic_category(), "mkdtemp " + path_);
  }
}

RendezvousDirectory::~RendezvousDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

bool RendezvousDirectory::exists() const {
  return std::filesystem::exists(path_);
}

std::vector<std::string> rank_environment(int rank,
                                          int size,
                                          const std::string& directory,
                                          const std::string& token) {
  return {"MUSTER_RANK=" + std::to_string(rank),
          "MUSTER_WORLD_SIZE=" + std::to_string(size),
          "MUSTER_RENDEZVOUS=" + directory,
          "MUSTER_TOKEN=" + token};
}

Job::Job(int size, const std::string& role, const std::string& argument) {
  const std::string token = random_token();
  ranks_.reserve(static_cast<std::size_t>(size));
  for (int rank = 0; rank < size; ++rank) {
    ranks_.emplace_back(role, argument, rank_environment(rank, size, directory_.path(), token));
  }
}

std::string Job::wait(Clock::time_point deadline) {
  std::string failures;
  for (int rank = 0; rank < size(); ++rank) {
    Process& process = (*this)[rank];
    std::string words;
    while (auto line = process.line(deadline)) words += *line + '\n';
    process.wait(deadline);
    if (process.status() == 0) continue;
    failures += "rank " + std::to_string(rank) + " ended with " + std::to_string(process.status()) +
                ": " + words;
  }
  return failures;
}

}  // namespace muster::test
