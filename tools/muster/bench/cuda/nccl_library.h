// NCCL, opened at run time: `muster` needs it neither to start nor to gather.
#pragma once

#include <nccl.h>

namespace muster::tool {

struct NcclLibrary {
  decltype(&ncclGetVersion) version;
  decltype(&ncclGetUniqueId) unique_id;
  decltype(&ncclCommInitRank) init;
  decltype(&ncclCommAbort) abort;
  decltype(&ncclAllGather) all_gather;
  decltype(&ncclGetErrorString) error_string;

  // For symmetric windows; all null before 2.28.
  decltype(&ncclMemAlloc) allocate;
  decltype(&ncclMemFree) free;
  decltype(&ncclCommWindowRegister) register_window;
  decltype(&ncclCommWindowDeregister) deregister_window;
};

// Null where there is no NCCL.
const NcclLibrary* nccl_library();

}  // namespace muster::tool
