// Prints what was measured.
#pragma once

#include "bench/gather_case.h"
#include "bench/measure.h"

#include <string>
#include <vector>

namespace muster::tool {

struct Row {
  std::string impl, transport, placement;
  Timing timing;
  std::size_t wrong = 0;  // bytes, over all ranks
};

// A table as that of NCCL's tests, or one JSON object a line.
class Report {
 public:
  explicit Report(bool json) : json_(json) {}

  // What the machine is, and which libraries take part: "# …", out of the way of JSON.
  void note(const std::string& text) const;
  void heading() const;
  // Throws Failure when nobody takes them.
  void rows(const GatherCase& gather, const std::vector<Row>& rows) const;

 private:
  bool json_;
};

}  // namespace muster::tool
