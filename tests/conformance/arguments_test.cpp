// Wrong arguments: refused before anything is sent, and the communicator goes on.
#include "conformance/gather.h"
#include "conformance/suite.h"

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace muster::test {
namespace {

constexpr std::int64_t row_count = 4;
constexpr std::int64_t extent = 8;
constexpr std::int64_t huge = std::int64_t{1} << 62;

struct WrongCall {
  std::string what;
  std::function<void(Communicator&)> call;
};

// Right arguments, each wrong call changes one of them. bfloat16, gathered along dimension 1.
struct Right {
  explicit Right(const Rank& rank)
      : size(rank.world.size()),
        memory(rank.memory.allocate(rank.world,
                                    Place::buffer,
                                    static_cast<std::size_t>(row_count * extent * 2 * (size + 1)))),
        stream(rank.memory.stream()),
        shard{memory.data, DataType::bfloat16, {row_count, extent}},
        full{memory.data + row_count * extent * 2, DataType::bfloat16, {row_count, extent * size}} {
  }

  std::int64_t size;
  Block memory;
  Stream stream;
  ConstTensorView shard;
  TensorView full;
};

WrongCall wrong(std::string what,
                Right right,
                const std::function<void(Right&)>& spoil,
                int dim = 1) {
  spoil(right);
  return {std::move(what), [right, dim](Communicator& communicator) {
            communicator.all_gather(right.shard, right.full, dim, right.stream);
          }};
}

std::vector<WrongCall> wrong_views(const Right& right) {
  const std::int64_t whole = extent * right.size;
  const auto both = [](Right& r, DataType dtype) { r.shard.dtype = r.full.dtype = dtype; };
  return {
      wrong("null shard", right, [](Right& r) { r.shard.data = nullptr; }),
      wrong("null output", right, [](Right& r) { r.full.data = nullptr; }),
      wrong("dtypes differ", right, [](Right& r) { r.shard.dtype = DataType::float16; }),
      wrong("unknown dtype", right, [&](Right& r) { both(r, static_cast<DataType>(0)); }),
      wrong("unknown dtype", right, [&](Right& r) { both(r, static_cast<DataType>(99)); }),
      wrong(
          "dimension 2", right, [](Right&) {}, 2),
      wrong(
          "dimension -3", right, [](Right&) {}, -3),
      wrong("scalars", right, [](Right& r) { r.shard.shape = r.full.shape = Shape(); }),
      wrong("another row",
            right,
            [&](Right& r) {
              r.full.shape = {row_count + 1, whole};
            }),
      wrong("another dimension",
            right,
            [&](Right& r) {
              r.full.shape = {row_count, whole, 1};
            }),
      wrong("output too small",
            right,
            [&](Right& r) {
              r.full.shape = {row_count, extent - 1};
            }),
      wrong("narrow shard stride", right, [](Right& r) { r.shard.row_stride = extent * 2 - 1; }),
      wrong("narrow output stride", right, [&](Right& r) { r.full.row_stride = whole * 2 - 1; }),
      wrong("stride that overflows",
            right,
            [](Right& r) { r.shard.row_stride = std::numeric_limits<std::size_t>::max() / 2; }),
      wrong("size that overflows",
            right,
            [](Right& r) {
              r.shard.shape = {huge, 4};
              r.full.shape = {huge, 4 * r.size};
            }),
      wrong("rows of half bytes",
            right,
            [](Right& r) {
              r.shard.dtype = r.full.dtype = DataType::uint4;
              r.shard.shape = {row_count, 3};
              r.full.shape = {row_count, 3 * r.size};
            }),
  };
}

std::vector<WrongCall> wrong_overlaps(const Right& right) {
  const auto at = [](Right& r, std::ptrdiff_t place) {
    r.shard.data = static_cast<const std::byte*>(r.full.data) + place;
    r.shard.row_stride = static_cast<std::size_t>(2 * extent * r.size);
  };
  std::vector<WrongCall> calls{
      wrong("shard that begins before the output", right, [&](Right& r) { at(r, -2); }),
      wrong("shard that runs beyond its row",
            right,
            [&](Right& r) { at(r, static_cast<std::ptrdiff_t>(2 * extent * r.size - 2)); }),
  };
  if (right.size == 1) return calls;
  calls.push_back(wrong("shard with its own stride", right, [&](Right& r) {
    at(r, 0);
    r.shard.row_stride.reset();
  }));
  return calls;
}

std::vector<WrongCall> wrong_sections(const Right& right) {
  const std::int64_t whole = extent * right.size;
  std::vector<WrongCall> calls;
  for (const Section section : {Section{-1, extent},
                                Section{0, -1},
                                Section{whole, 1},
                                Section{whole - 1, 2},
                                Section{std::numeric_limits<std::int64_t>::max(), extent},
                                Section{1, std::numeric_limits<std::int64_t>::max()}}) {
    calls.push_back(
        {"section " + std::to_string(section.offset) + "+" + std::to_string(section.extent),
         [right, section](Communicator& communicator) {
           communicator.all_gather_in_place(right.full, 1, section, right.stream);
         }});
  }
  if (right.size == 1) return calls;
  calls.push_back({"extent that does not divide", [right](Communicator& communicator) {
                     TensorView full = right.full;
                     full.shape = full.shape.with(1, extent * right.size - 1);
                     communicator.all_gather_in_place(full, 1, std::nullopt, right.stream);
                   }});
  return calls;
}

void refuse_and_go_on(const Rank& rank, const std::vector<WrongCall>& calls, const char* tag) {
  const Group group = Group::range(rank.world.size());
  Communicator communicator(rank.world, group, rank.options(tag));
  for (std::size_t i = 0; i < calls.size(); ++i) {
    // Some ranks refuse a call that others do not even make.
    const bool mine = (i + static_cast<std::size_t>(rank.world.rank())) % 3 != 0;
    if (mine) {
      require_error(
          ErrorCode::invalid_argument, calls[i].what, [&] { calls[i].call(communicator); });
      communicator.check();
    }
    gather_and_check(rank, communicator, plain_gather(group.size(), 3, 17));
  }
}

CONFORMANCE_TEST(RefusesWrongViewsAndGoesOn) {
  refuse_and_go_on(rank, wrong_views(Right(rank)), "views");
}

CONFORMANCE_TEST(RefusesOverlapsAndGoesOn) {
  refuse_and_go_on(rank, wrong_overlaps(Right(rank)), "overlaps");
}

CONFORMANCE_TEST(RefusesWrongSectionsAndGoesOn) {
  refuse_and_go_on(rank, wrong_sections(Right(rank)), "sections");
}

CONFORMANCE_TEST(RefusesAStreamOfNoDevice) {
  if (rank.memory.options(rank.world).device != Device::cpu()) return;
  const Right right(rank);
  const Stream stream(right.memory.data);
  refuse_and_go_on(rank,
                   {{"a stream",
                     [&](Communicator& communicator) {
                       communicator.all_gather(right.shard, right.full, 1, stream);
                     }},
                    {"a stream",
                     [&](Communicator& communicator) {
                       communicator.all_gather_in_place(right.full, 1, std::nullopt, stream);
                     }}},
                   "streams");
}

CONFORMANCE_TEST(NamesTheValuesThatItRefuses) {
  Communicator communicator(rank.world, Group::range(rank.world.size()), rank.options("values"));
  Right right(rank);
  right.shard.dtype = DataType::float16;
  require_text(
      require_error(ErrorCode::invalid_argument,
                    "dtypes",
                    [&] { communicator.all_gather(right.shard, right.full, 1, right.stream); }),
      {"all_gather", "float16", "bfloat16"});
  right.shard.dtype = DataType::bfloat16;
  require_text(
      require_error(ErrorCode::invalid_argument,
                    "dimension",
                    [&] { communicator.all_gather(right.shard, right.full, 3, right.stream); }),
      {"gather_dim 3", "[-2, 2)", "[4, 8]"});
}

}  // namespace
}  // namespace muster::test
