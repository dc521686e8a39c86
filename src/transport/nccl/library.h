// NCCL, opened when it is first asked for: muster loads, and works without it, on a machine that
// has none.
#pragma once

#include <nccl.h>

#include <string>
#include <string_view>

namespace muster::transport::nccl {

// https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/api.html
struct Library {
  decltype(&ncclGetVersion) get_version;
  decltype(&ncclGetErrorString) error_string;
  decltype(&ncclGetLastError) last_error;
  decltype(&ncclGetUniqueId) unique_id;
  decltype(&ncclCommInitRankConfig) init;
  decltype(&ncclCommGetAsyncError) async_error;
  decltype(&ncclCommAbort) abort;
  decltype(&ncclAllGather) all_gather;
  decltype(&ncclSend) send;
  decltype(&ncclRecv) receive;
  decltype(&ncclGroupStart) group_start;
  decltype(&ncclGroupEnd) group_end;
  int version;  // as NCCL_VERSION_CODE
};

// The first version that can be used (its configuration has what this one's has), and the first
// that takes several ranks on one GPU.
inline constexpr int oldest_version = NCCL_VERSION(2, 18, 1);
inline constexpr int first_to_share_gpus = NCCL_VERSION(2, 30, 0);

// libnccl.so.2, which may be in this process already; or the file that MUSTER_NCCL names. Null
// where there is none, which why_no_library() explains. Thread-safe.
const Library* library();
const std::string& why_no_library();

std::string version_text(int version);  // "2.30.7"

// Throws system, with what NCCL says, unless the call succeeded or goes on in the background.
void require(ncclResult_t result, std::string_view what);

}  // namespace muster::transport::nccl
