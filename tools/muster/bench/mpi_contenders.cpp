#include "bench/mpi_contenders.h"

#include <mpi.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstring>
#include <memory>
#include <numeric>
#include <utility>

namespace muster::tool {
namespace {

// A committed datatype: `rows` runs of `bytes`, `stride` apart; many of them follow each other
// along the rows.
class Column {
 public:
  Column(std::size_t rows, std::size_t bytes, std::size_t stride) {
    MPI_Datatype runs = MPI_DATATYPE_NULL;
    MPI_Type_create_hvector(static_cast<int>(rows),
                            static_cast<int>(bytes),
                            static_cast<MPI_Aint>(stride),
                            MPI_BYTE,
                            &runs);
    MPI_Type_create_resized(runs, 0, static_cast<MPI_Aint>(bytes), &type_);
    MPI_Type_commit(&type_);
    MPI_Type_free(&runs);
  }
  ~Column() { MPI_Type_free(&type_); }
  Column(const Column&) = delete;
  Column& operator=(const Column&) = delete;

  MPI_Datatype type() const { return type_; }

 private:
  MPI_Datatype type_ = MPI_DATATYPE_NULL;
};

// MPI's description of a gather: counts and places in elements of some datatype.
struct Counts {
  std::vector<int> counts, places;

  void add(std::size_t count, std::size_t place) {
    counts.push_back(static_cast<int>(count));
    places.push_back(static_cast<int>(place));
  }

  void gather(
      const void* source, int mine, MPI_Datatype sent, void* output, MPI_Datatype type) const {
    const int count = counts.front();
    if (std::count(counts.begin(), counts.end(), count) == std::ssize(counts)) {
      MPI_Allgather(source, mine, sent, output, count, type, MPI_COMM_WORLD);
    } else {
      MPI_Allgatherv(
          source, mine, sent, output, counts.data(), places.data(), type, MPI_COMM_WORLD);
    }
  }
};

// The same sections, one whole section behind the other.
GatherPlan concatenated(const GatherCase& gather) {
  std::vector<Shape> sections;
  for (int rank = 0; rank < gather.ranks(); ++rank) {
    sections.push_back(Shape{static_cast<std::int64_t>(gather.shard_bytes(rank))});
  }
  return {sections, DataType::uint8, 0};
}

std::function<void()> gather_bytes(const GatherPlan& plan,
                                   std::span<std::byte> source,
                                   std::span<std::byte> output) {
  Counts sections;
  for (int rank = 0; rank < plan.members(); ++rank) {
    sections.add(plan.row_bytes(rank), plan.row_offset(rank));
  }
  return [sections, source, output] {
    sections.gather(
        source.data(), static_cast<int>(source.size()), MPI_BYTE, output.data(), MPI_BYTE);
  };
}

void permute(const GatherPlan& plan,
             const GatherPlan& sections,
             std::span<const std::byte> from,
             std::span<std::byte> to) {
  for (std::size_t row = 0; row < plan.outer(); ++row) {
    for (int rank = 0; rank < plan.members(); ++rank) {
      const std::size_t bytes = plan.row_bytes(rank);
      std::memcpy(to.data() + row * plan.output_row_bytes() + plan.row_offset(rank),
                  from.data() + sections.row_offset(rank) + row * bytes,
                  bytes);
    }
  }
}

Contender make_permuting(Workspace& workspace, const GatherPlan& sections) {
  const GatherPlan& plan = workspace.gather().plan;
  const auto scratch = std::make_shared<Mapping>(plan.output_bytes());
  const auto gather = gather_bytes(sections, workspace.source(), scratch->bytes());
  const auto output = workspace.output();
  return {"mpi+permute", "mpi", "private", workspace.source(), output, plan, [=] {
            gather();
            permute(plan, sections, scratch->bytes(), output);
          }};
}

// One receive type must serve all sections: a column as wide as their widths' greatest common
// divisor, of which each has some. The sender's type walks its shard in the same order.
Contender make_datatype(Workspace& workspace) {
  const GatherPlan& plan = workspace.gather().plan;
  std::size_t width = 0;
  for (int rank = 0; rank < plan.members(); ++rank) width = std::gcd(width, plan.row_bytes(rank));
  width = std::max<std::size_t>(width, 1);  // of a gather without a byte
  Counts columns;
  for (int rank = 0; rank < plan.members(); ++rank) {
    columns.add(plan.row_bytes(rank) / width, plan.row_offset(rank) / width);
  }
  const std::size_t mine = plan.row_bytes(workspace.rank());
  const auto sent = std::make_shared<Column>(plan.outer(), width, mine);
  const auto received = std::make_shared<Column>(plan.outer(), width, plan.output_row_bytes());
  const auto source = workspace.source(), output = workspace.output();
  return {"mpi+datatype", "mpi", "private", source, output, plan, [=] {
            columns.gather(source.data(),
                           static_cast<int>(mine / width),
                           sent->type(),
                           output.data(),
                           received->type());
          }};
}

}  // namespace

std::string mpi_library_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  const std::string version(text.data());
  return version.substr(0, version.find_first_of(",\n"));
}

std::vector<Contender> make_mpi_contenders(Workspace& workspace) {
  const GatherPlan& plan = workspace.gather().plan;
  // MPI counts in int; and an output without bytes has no width to describe.
  if (plan.output_bytes() > INT_MAX || plan.output_bytes() == 0) return {};
  const GatherPlan sections = concatenated(workspace.gather());
  const auto source = workspace.source(), output = workspace.output();
  std::vector<Contender> contenders;
  contenders.push_back(
      {"mpi", "mpi", "private", source, output, sections, gather_bytes(sections, source, output)});
  if (plan.outer() > 1) {
    contenders.push_back(make_permuting(workspace, sections));
    contenders.push_back(make_datatype(workspace));
  }
  return contenders;
}

}  // namespace muster::tool
