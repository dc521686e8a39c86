#include "bench/progress.h"

#include <fmt/format.h>

#include <cstdio>

namespace muster::tool {

void Progress::show(std::size_t step, const std::string& what) const {
  if (!shown_) return;
  constexpr std::size_t width = 30;
  const std::size_t done = width * step / steps_;
  fmt::print(
      stderr, "\r\033[K[{:#<{}}{:.<{}}] {}/{}  {}", "", done, "", width - done, step, steps_, what);
  std::fflush(stderr);
}

void Progress::clear() const noexcept {
  if (!shown_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
}

}  // namespace muster::tool
