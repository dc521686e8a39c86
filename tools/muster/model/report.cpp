#include "model/report.h"

#include "exit_status.h"
#include "printable.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

namespace muster::tool {

int make_report_file() {
  const int fd = ::memfd_create("muster-report", 0);  // inherited: no close-on-exec
  if (fd < 0) throw Failure(fmt::format("run: no file for the report: {}", strerror(errno)));
  return fd;
}

void write_report(int fd, const ModelReport& report) {
  // A name in a model may be anything; JSON is UTF-8.
  const std::string text = report.dump(-1, ' ', false, ModelReport::error_handler_t::replace);
  if (::pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    throw Failure("run: cannot write the report");
  }
}

ModelReport read_report(int fd) {
  std::string text;
  std::array<char, 4096> piece{};
  ssize_t read = 0;
  while ((read = ::pread(fd, piece.data(), piece.size(), static_cast<off_t>(text.size()))) > 0) {
    text.append(piece.data(), static_cast<std::size_t>(read));
  }
  return text.empty() ? ModelReport() : ModelReport::parse(text);
}

namespace {

std::string milliseconds(const ModelReport& seconds) {
  return fmt::format("{:.3f} ms", 1e3 * seconds.get<double>());
}

void print_outputs(const ModelReport& outputs) {
  for (const ModelReport& output : outputs) {
    const std::string file = output.contains("file") ? output["file"].get<std::string>() : "";
    fmt::print("{:<20} {:<9} {:<20} {}\n",
               printable(output["name"]),
               output["dtype"].get<std::string>(),
               output["shape"].dump(),
               printable(file));
  }
}

void print_profile(const ModelReport& profile) {
  fmt::print("{:<28} {:>8} {:>12}\n", "operator", "count", "time");
  for (const ModelReport& row : profile) {
    fmt::print("{:<28} {:>8} {:>12}\n",
               printable(row["operator"]),
               row["count"].get<int>(),
               milliseconds(row["seconds"]));
  }
}

}  // namespace

void print_report(const ModelReport& report) {
  print_outputs(report["outputs"]);
  if (!report["profile"].is_null()) print_profile(report["profile"]);
  fmt::print("first run {}", milliseconds(report["first_run_seconds"]));
  if (report["runs"].get<int>() > 0) {
    fmt::print("; {} more: {} each (median)",
               report["runs"].get<int>(),
               milliseconds(report["run_seconds"]));
  }
  fmt::print("; gathers a run: {}, {:.1f} % of the time, {:.0f} % of them pushed\n",
             report["gathers"].get<int>(),
             100 * report["gather_share"].get<double>(),
             100 * report["pushed_share"].get<double>());
}

}  // namespace muster::tool
