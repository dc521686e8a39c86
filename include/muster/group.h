/// @file
/// An ordered list of ranks.
#pragma once

#include <muster/export.h>

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace muster {

/// An ordered list of unique world ranks. A member's position is its section's place in the output.
/// It need not be the whole world, sorted, or contiguous. A value type.
class MUSTER_EXPORT Group {
 public:
  /// @throws Error invalid_argument for an empty list, a negative rank or a duplicate.
  Group(std::initializer_list<int> ranks);
  explicit Group(std::vector<int> ranks);

  /// Ranks 0 to size - 1.
  /// @throws Error invalid_argument unless size > 0.
  static Group range(int size);

  int size() const noexcept { return static_cast<int>(ranks_.size()); }
  /// The world rank at a position. 0 <= position < size().
  int operator[](int position) const noexcept { return ranks_[static_cast<std::size_t>(position)]; }
  std::span<const int> ranks() const noexcept { return ranks_; }

  /// The position of a world rank, if it is a member.
  std::optional<int> position(int rank) const noexcept;

  /// "[0,1,2]"
  std::string to_string() const;

  friend bool operator==(const Group&, const Group&) = default;

 private:
  std::vector<int> ranks_;
};

}  // namespace muster
