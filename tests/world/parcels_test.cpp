// Descriptors handed over between ranks that have met. Both ends are in this process; each has a
// thread in the place of its watcher.
#include "world/parcels.h"
#include "support/errors.h"

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace muster::world {
namespace {

using namespace std::chrono_literals;

std::vector<std::byte> label_of(const std::string& text) {
  std::vector<std::byte> label(text.size());
  std::memcpy(label.data(), text.data(), text.size());
  return label;
}

UniqueFd memory_with(const std::string& text) {
  UniqueFd fd(::memfd_create("parcel", MFD_CLOEXEC));
  EXPECT_EQ(::pwrite(fd.get(), text.data(), text.size(), 0), std::ssize(text));
  return fd;
}

std::string text_in(const UniqueFd& fd) {
  std::string text(100, '\0');
  text.resize(
      static_cast<std::size_t>(std::max<ssize_t>(::pread(fd.get(), text.data(), 100, 0), 0)));
  return text;
}

// Two ranks that have met.
class ParcelsOfTwo : public ::testing::Test {
 protected:
  ParcelsOfTwo() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    for (int rank = 0; rank < 2; ++rank) {
      const auto r = static_cast<std::size_t>(rank);
      liveness_[r] = std::make_unique<Liveness>(rank, controls_[r]);
      std::vector<UniqueFd> sockets(2);
      sockets[1 - r] = UniqueFd(ends[rank]);
      parcels_[r].open(std::move(sockets), {controls_.data(), &controls_[1]});
    }
  }
  ~ParcelsOfTwo() override {
    for (auto& liveness : liveness_) liveness.reset();  // the watchers call the parcels
  }

  void begin_to_watch(std::size_t rank) {
    liveness_[rank]->add(parcels_[rank]);
    ring_attention(controls_[rank]);
  }

  std::optional<int> give(const std::string& text, std::chrono::milliseconds timeout = 10s) {
    const UniqueFd fd = memory_with(text);
    return parcels_[0].give(fd.get(), label_of(text), *liveness_[0], deadline_after(timeout));
  }

  std::array<WorldControl, 2> controls_{};
  std::array<Parcels, 2> parcels_;
  std::array<std::unique_ptr<Liveness>, 2> liveness_;
};

TEST_F(ParcelsOfTwo, ArriveWithLabelAndDescriptorBeforeTheGiverGoesOn) {
  std::vector<std::string> seen;
  parcels_[1].set_taker([&](const Parcel& parcel) {
    EXPECT_EQ(parcel.from, 0);
    EXPECT_EQ(parcel.label, label_of(text_in(parcel.descriptor)));
    seen.push_back(text_in(parcel.descriptor));
    return true;
  });
  begin_to_watch(0);
  begin_to_watch(1);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(give("parcel " + std::to_string(i)), std::nullopt);
    ASSERT_EQ(seen.size(), static_cast<std::size_t>(i + 1));
  }
  EXPECT_EQ(seen.back(), "parcel 99");
}

TEST_F(ParcelsOfTwo, WaitForATakerWhoComesLater) {
  begin_to_watch(0);
  begin_to_watch(1);
  EXPECT_EQ(give("early"), std::nullopt);
  std::string seen;
  parcels_[1].set_taker([&](const Parcel& parcel) {
    seen = text_in(parcel.descriptor);
    return true;
  });
  EXPECT_EQ(seen, "early");
}

TEST_F(ParcelsOfTwo, NameTheRankThatCannotUseThem) {
  parcels_[1].set_taker([](const Parcel&) { return false; });
  begin_to_watch(0);
  begin_to_watch(1);
  EXPECT_EQ(give("useless"), 1);
}

TEST_F(ParcelsOfTwo, NameTheRankThatDoesNotTakeThem) {
  begin_to_watch(0);
  const Error error = test::thrown_by([&] { give("lost", 50ms); });
  EXPECT_EQ(error.code(), ErrorCode::timeout);
  EXPECT_EQ(error.peer(), 1);
}

}  // namespace
}  // namespace muster::world
