#include "muster/communicator.h"

#include "muster/error.h"
#include "muster/plan.h"
#include "transport/transport.h"
#include "world/meeting.h"
#include "world/state.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace muster {

namespace {

constexpr std::size_t longest_tag = 1024;

[[noreturn]] void throw_invalid(const std::string& what) {
  throw Error(ErrorCode::invalid_argument, "all_gather: " + what);
}

// A tensor's extent in memory: from its first byte to behind its last.
std::size_t span_of(const Rows& rows, std::size_t stride) {
  if (rows.bytes() == 0) return 0;
  std::size_t span = 0;
  if (__builtin_mul_overflow(rows.outer - 1, stride, &span) ||
      __builtin_add_overflow(span, rows.row_bytes, &span)) {
    throw_invalid(
        fmt::format("{} rows with a row stride of {} bytes overflow", rows.outer, stride));
  }
  return span;
}

// The distance from row to row of a view. One row has none, and nothing depends on it.
std::size_t stride_of(const char* name, const ConstTensorView& view, const Rows& rows) {
  const std::size_t stride = view.row_stride.value_or(rows.row_bytes);
  if (rows.outer > 1 && stride < rows.row_bytes) {
    throw_invalid(
        fmt::format("the {} has a row stride of {} bytes, less than its rows of {} bytes: "
                    "rows must not overlap",
                    name,
                    stride,
                    rows.row_bytes));
  }
  if (view.data == nullptr && rows.bytes() != 0) {
    throw_invalid(fmt::format("the {} of {} bytes is null", name, rows.bytes()));
  }
  return stride;
}

void require_same_but_gathered(const ConstTensorView& shard, const TensorView& full, int dim) {
  if (shard.dtype != full.dtype) {
    throw_invalid(fmt::format(
        "the shard is {}, the output {}", to_string(shard.dtype), to_string(full.dtype)));
  }
  const bool same = shard.shape.dimensions() == full.shape.dimensions() &&
                    full.shape.with(dim, shard.shape[dim]) == shard.shape;
  if (!same || shard.shape[dim] > full.shape[dim]) {
    throw_invalid(
        fmt::format("the shard's shape {} and the output's {} must be equal but in dimension "
                    "{}, where the output is the longer",
                    shard.shape.to_string(),
                    full.shape.to_string(),
                    dim));
  }
}

// Where in the output's rows the shard lies, if it is in place; throws for any other overlap.
std::int64_t in_place_offset(const transport::Gather& g,
                             std::size_t shard_span,
                             std::size_t output_span) {
  const auto shard = reinterpret_cast<std::uintptr_t>(g.shard);
  const auto output = reinterpret_cast<std::uintptr_t>(g.output);
  if (shard_span == 0 || output_span == 0 || shard >= output + output_span ||
      output >= shard + shard_span) {
    return transport::Gather::not_in_place;
  }
  const bool in_place = shard >= output &&
                        shard - output <= g.output_row_bytes - g.shard_row_bytes &&
                        (g.outer == 1 || g.shard_stride == g.output_stride);
  if (!in_place) {
    throw_invalid(
        "the shard overlaps the output without being its own section of it (same place and "
        "same row stride); use separate memory or all_gather_in_place");
  }
  return static_cast<std::int64_t>(shard - output);
}

transport::Gather checked(const ConstTensorView& shard, const TensorView& full, int gather_dim) {
  const Rows shard_rows = rows_of(shard.shape, shard.dtype, gather_dim);
  const Rows full_rows = rows_of(full.shape, full.dtype, gather_dim);
  const int dim = shard.shape.normalized(gather_dim);
  require_same_but_gathered(shard, full, full.shape.normalized(gather_dim));
  transport::Gather gather{.dtype = shard.dtype,
                           .shard_shape = shard.shape,
                           .gather_dim = dim,
                           .outer = shard_rows.outer,
                           .shard = static_cast<const std::byte*>(shard.data),
                           .shard_row_bytes = shard_rows.row_bytes,
                           .shard_stride = stride_of("shard", shard, shard_rows),
                           .output = static_cast<std::byte*>(full.data),
                           .output_row_bytes = full_rows.row_bytes,
                           .output_stride = stride_of("output", full, full_rows)};
  gather.in_place_offset = in_place_offset(
      gather, span_of(shard_rows, gather.shard_stride), span_of(full_rows, gather.output_stride));
  return gather;
}

// Where in the rows of `full` a section begins, in bytes.
std::size_t place_of(const TensorView& full, int gather_dim, const Section& section) {
  const int dim = full.shape.normalized(gather_dim);
  const std::int64_t extent = full.shape[dim];
  if (section.offset < 0 || section.extent < 0 || section.offset > extent ||
      section.extent > extent - section.offset) {
    throw_invalid(fmt::format("the section at {} of extent {} is outside dimension {} of {}",
                              section.offset,
                              section.extent,
                              dim,
                              full.shape.to_string()));
  }
  return rows_of(full.shape.with(dim, section.offset), full.dtype, dim).row_bytes;
}

// The section at that place, as a shard.
ConstTensorView shard_at(std::size_t place,
                         const TensorView& full,
                         int gather_dim,
                         const Section& section) {
  const auto* data = static_cast<const std::byte*>(full.data);
  return {.data = data == nullptr ? nullptr : data + place,
          .dtype = full.dtype,
          .shape = full.shape.with(gather_dim, section.extent),
          .row_stride =
              full.row_stride.value_or(rows_of(full.shape, full.dtype, gather_dim).row_bytes)};
}

Section equal_section(const Shape& full, int gather_dim, const Group& group, int position) {
  const int dim = full.normalized(gather_dim);
  if (full[dim] % group.size() != 0) {
    throw_invalid(
        fmt::format("dimension {} of {} does not divide into {} equal sections; say where "
                    "this member's section lies",
                    dim,
                    full.to_string(),
                    group.size()));
  }
  const std::int64_t extent = full[dim] / group.size();
  return {.offset = position * extent, .extent = extent};
}

}  // namespace

// The views that the channel is prepared for. Layers gather the same ones call after call.
class PreparedViews {
 public:
  bool is(const ConstTensorView& shard, const TensorView& full, int dim) const {
    return valid_ && dim == dim_ && same(shard, shard_) && same(full, full_);
  }
  void forget() { valid_ = false; }
  void remember(const ConstTensorView& shard, const TensorView& full, int dim) {
    shard_ = shard;
    full_ = full;
    dim_ = dim;
    valid_ = true;
  }

 private:
  static bool same(const ConstTensorView& a, const ConstTensorView& b) {
    return a.data == b.data && a.dtype == b.dtype && a.shape == b.shape &&
           a.row_stride == b.row_stride;
  }

  bool valid_ = false;
  ConstTensorView shard_;
  ConstTensorView full_;
  int dim_ = 0;
};

class Communicator::Implementation {
 public:
  Implementation(std::shared_ptr<world::State> state, Group group, CommunicatorOptions options)
      : options_(std::move(options)),
        operation_(fmt::format("Communicator on group {}{}",
                               group.to_string(),
                               options_.tag.empty() ? "" : " with tag '" + options_.tag + "'")),
        state_(std::move(state)),
        claim_(*state_,
               {world::Topic::communicator, checked_group(std::move(group)), options_.tag},
               world::Clock::now()),
        position_(*this->group().position(state_->rank())),
        holds_(*state_) {
    if (!claim_.owns()) {
      throw Error(
          ErrorCode::invalid_argument,
          operation_ + ": this rank has such a communicator already; give each a tag of its own");
    }
    connect(transport::candidates(options_));
  }

  const Group& group() const noexcept { return claim_.subject().group; }
  int position() const noexcept { return position_; }
  const CommunicatorOptions& options() const noexcept { return options_; }
  transport::Channel& channel() noexcept { return *channel_; }
  void require_own_process(std::string_view operation) const {
    state_->require_own_process(operation);
  }

  void all_gather(const ConstTensorView& shard, const TensorView& full, int dim, Stream stream) {
    state_->require_own_process("all_gather");
    if (!prepared_.is(shard, full, dim)) {
      prepared_.forget();
      channel_->prepare(checked(shard, full, dim));
      prepared_.remember(shard, full, dim);
    }
    channel_->all_gather(stream);
  }

  void all_gather_in_place(const TensorView& full, int dim, const Section& section, Stream stream) {
    state_->require_own_process("all_gather");
    const std::size_t place = place_of(full, dim, section);
    transport::Gather gather = checked(shard_at(place, full, dim, section), full, dim);
    // Said here, since a section without bytes is in place too, wherever its view points.
    gather.in_place_offset = static_cast<std::int64_t>(place);
    prepared_.forget();
    channel_->prepare(gather);
    channel_->all_gather(stream);
  }

 private:
  Group checked_group(Group group) const {
    state_->require_member(group, operation_);
    if (options_.tag.size() > longest_tag) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("Communicator on group {}: a tag of {} bytes; the longest is {}",
                              group.to_string(),
                              options_.tag.size(),
                              longest_tag));
    }
    if (options_.timeout.count() < 0) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{}: a timeout of {} ms", operation_, options_.timeout.count()));
    }
    return group;
  }

  // By the first transport that connects all members.
  void connect(const std::vector<Transport>& candidates) {
    for (const Transport candidate : candidates) {
      channel_.reset();
      holds_.release();
      const auto failure = open_channel(candidate);
      try {
        if (meet(candidate, candidate == candidates.back(), failure)) return;
      } catch (const Error& error) {
        if (failure && error.code() != ErrorCode::mismatch) throw Error(*failure);
        throw;
      }
    }
  }

  // Returns why this member has no channel, if so: the others wait to hear of it.
  std::optional<Error> open_channel(Transport transport) {
    try {
      channel_ = transport::open_channel(transport, state_, group(), options_);
    } catch (const Error& error) {
      return error;
    }
    return std::nullopt;
  }

  // Finds the other members, each of which brings its kind of device, its choice of transport and
  // its channel's introduction, or nothing in its place when it has no channel. Returns whether the
  // channel connects them all; for the last channel that there is throws unsupported if not.
  bool meet(Transport transport, bool last, std::optional<Error> failure) {
    std::vector<std::byte> body{static_cast<std::byte>(options_.device.kind()),
                                static_cast<std::byte>(options_.transport)};
    const std::vector<std::byte> choices = body;
    const auto introduction = channel_ ? channel_->introduction() : std::vector<std::byte>();
    body.insert(body.end(), introduction.begin(), introduction.end());
    world::Meeting meeting = meeting_with(body);
    try {
      const auto found = connect_channel(transport, choices, meeting.gather(holds_));
      if (!failure || (found && found->code() == ErrorCode::mismatch)) failure = found;
      meeting.confirm();
      // All members find a mismatch, once they know each other: until then nobody goes.
      if (failure && failure->code() == ErrorCode::mismatch) throw Error(*failure);
      const auto objection = votes(transport) ? objection_of_any(failure, transport) : failure;
      if (!objection) return true;
      if (last || objection->code() != ErrorCode::unsupported) throw Error(*objection);
    } catch (...) {
      abandon(meeting.withdraw());
      throw;
    }
    abandon(meeting.withdraw());
    return false;
  }

  // Each has a time of its own: to open a channel, and to connect it, may take as long.
  world::Meeting meeting_with(std::span<const std::byte> body) const {
    return {*state_, claim_.subject(), body, world::deadline_after(options_.timeout), operation_};
  }

  void abandon(std::shared_ptr<const world::Hold> hold) noexcept {
    if (channel_) channel_->abandon(std::move(hold));
  }

  // On GPUs one member may reach what another does not. On the CPU all have mapped all that there
  // is since they joined.
  static bool votes(Transport transport) { return transport != Transport::shm; }

  // Returns why these members cannot gather together, or not by this channel, if the others are to
  // hear of that.
  std::optional<Error> connect_channel(Transport transport,
                                       std::span<const std::byte> choices,
                                       std::vector<std::vector<std::byte>> bodies) {
    try {
      for (int i = 0; i < group().size(); ++i) {
        auto& theirs = bodies[static_cast<std::size_t>(i)];
        require_same_choices(i, choices, theirs);
        theirs.erase(theirs.begin(), theirs.begin() + static_cast<std::ptrdiff_t>(choices.size()));
      }
      if (const auto lacking = without_channel(bodies)) {
        return votes(transport) ? std::nullopt : lacking;
      }
      channel_->connect(bodies);
    } catch (const Error& error) {
      if (!votes(transport) && error.code() != ErrorCode::mismatch) throw;
      return error;
    }
    return std::nullopt;
  }

  // A member that has no channel says why itself.
  std::optional<Error> without_channel(
      std::span<const std::vector<std::byte>> introductions) const {
    const auto empty = std::ranges::find_if(introductions, &std::vector<std::byte>::empty);
    if (empty == introductions.end()) return std::nullopt;
    const int rank = group()[static_cast<int>(empty - introductions.begin())];
    return Error(ErrorCode::peer_lost,
                 fmt::format("{}: rank {} cannot take part, and says why", operation_, rank),
                 rank);
  }

  void require_same_choices(int i,
                            std::span<const std::byte> mine,
                            std::span<const std::byte> theirs) const {
    if (theirs.size() >= mine.size() && std::ranges::equal(mine, theirs.first(mine.size()))) return;
    const bool device = theirs.empty() || theirs.front() != mine.front();
    throw Error(
        ErrorCode::mismatch,
        fmt::format("{}: rank {} {} than rank {}, which is {}",
                    operation_,
                    group()[i],
                    device ? "gathers on another kind of device" : "has chosen another transport",
                    state_->rank(),
                    device ? "on " + options_.device.to_string()
                           : "for " + std::string(to_string(options_.transport))),
        group()[i]);
  }

  // Members tell each other whether they are connected. Returns why one of them is not: this member
  // for its own reason, the others for another's. An error that is not unsupported comes first, and
  // so all members decide alike whether to try another transport.
  std::optional<Error> objection_of_any(const std::optional<Error>& own, Transport transport) {
    constexpr std::byte connected{0xff};  // else an ErrorCode
    constexpr std::byte none_known{0xfe};
    std::vector<std::vector<std::byte>> answers;
    try {
      answers = answers_to(own ? static_cast<std::byte>(own->code()) : connected);
    } catch (const Error&) {
      if (own) throw Error(*own);
      throw;
    }
    std::optional<Error> objection = own;
    for (int i = 0; i < group().size(); ++i) {
      const auto& answer = answers[static_cast<std::size_t>(i)];
      const std::byte theirs = answer.size() == 1 ? answer.front() : none_known;
      if (i == position_ || theirs == connected) continue;
      const bool unsupported = theirs == static_cast<std::byte>(ErrorCode::unsupported);
      if (objection && (unsupported || objection->code() != ErrorCode::unsupported)) continue;
      objection = Error(unsupported ? ErrorCode::unsupported : ErrorCode::peer_lost,
                        fmt::format("{}: rank {} cannot take part by {}, and says why",
                                    operation_,
                                    group()[i],
                                    to_string(transport)),
                        group()[i]);
    }
    return objection;
  }

  std::vector<std::vector<std::byte>> answers_to(std::byte mine) {
    world::Meeting meeting = meeting_with(std::span(&mine, 1));
    world::Holds none_written(*state_);
    auto answers = meeting.gather(none_written);
    meeting.confirm();
    return answers;
  }

  const CommunicatorOptions options_;
  const std::string operation_;  // for errors
  const std::shared_ptr<world::State> state_;
  const world::Claim claim_;
  const int position_;
  world::Holds holds_;  // on what the channel writes to: goes after it
  std::unique_ptr<transport::Channel> channel_;
  PreparedViews prepared_;
};

Communicator::Communicator(World& world, Group group, CommunicatorOptions options)
    : implementation_(
          std::make_unique<Implementation>(world.state_, std::move(group), std::move(options))) {}
Communicator::~Communicator() = default;
Communicator::Communicator(Communicator&&) noexcept = default;
Communicator& Communicator::operator=(Communicator&&) noexcept = default;

const Group& Communicator::group() const noexcept {
  return implementation_->group();
}
int Communicator::position() const noexcept {
  return implementation_->position();
}
const CommunicatorOptions& Communicator::options() const noexcept {
  return implementation_->options();
}

void Communicator::all_gather(const ConstTensorView& shard,
                              const TensorView& full,
                              int gather_dim,
                              Stream stream) {
  implementation_->all_gather(shard, full, gather_dim, stream);
}

void Communicator::all_gather_in_place(const TensorView& full,
                                       int gather_dim,
                                       std::optional<Section> section,
                                       Stream stream) {
  if (!section) section = equal_section(full.shape, gather_dim, group(), position());
  implementation_->all_gather_in_place(full, gather_dim, *section, stream);
}

void Communicator::check() {
  implementation_->require_own_process("check");
  implementation_->channel().check();
}
void Communicator::abort(std::string_view text) {
  implementation_->require_own_process("abort");
  implementation_->channel().abort(text);
}
std::size_t Communicator::control_bytes() const noexcept {
  return implementation_->channel().control_bytes();
}

}  // namespace muster
