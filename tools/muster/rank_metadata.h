// What `muster shard` writes into a model's metadata, and `muster run` compares with its ranks.
#pragma once

namespace muster::tool {

inline constexpr const char* rank_key = "muster.rank";    // the rank that the model is for
inline constexpr const char* ranks_key = "muster.ranks";  // of how many

}  // namespace muster::tool
