// What a run of a model has shown, from rank 0 to the launcher.
#pragma once

#include <nlohmann/json.hpp>

namespace muster::tool {

// The fields, as `muster run --json` prints them:
//   engine                  the version of ONNX Runtime
//   first_run_seconds       the making of the communicators included
//   runs, run_seconds       how many more runs, and their median; null for none
//   gathers                 in one run
//   gather_share            of a run's time spent in AllGather nodes, waiting included
//   pushed_share            of the gathers whose output the other ranks could write to
//   outputs                 name, dtype, shape; file where it was written
//   profile                 operator, count, seconds in all runs; null without --profile
using ModelReport = nlohmann::ordered_json;

// A file without a name that children inherit. Throws Failure.
int make_report_file();
void write_report(int fd, const ModelReport& report);
// Null when rank 0 has not written one.
ModelReport read_report(int fd);

void print_report(const ModelReport& report);

}  // namespace muster::tool
