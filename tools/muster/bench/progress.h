// A progress bar on a terminal.
#pragma once

#include <cstddef>
#include <string>

namespace muster::tool {

class Progress {
 public:
  Progress(bool shown, std::size_t steps) : shown_(shown && steps > 1), steps_(steps) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(std::size_t step, const std::string& what) const;
  void clear() const noexcept;  // before anything else is printed

 private:
  bool shown_;
  std::size_t steps_;
};

}  // namespace muster::tool
