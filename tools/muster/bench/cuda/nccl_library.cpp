#include "bench/cuda/nccl_library.h"

#include "machine/nccl_file.h"

#include <dlfcn.h>

#include <memory>

namespace muster::tool {
namespace {

constexpr int first_with_windows = NCCL_VERSION(2, 28, 0);

template <typename Function>
bool look_up(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

void look_up_windows(void* handle, NcclLibrary& nccl) {
  int version = 0;
  nccl.version(&version);
  const bool complete = version >= first_with_windows &&
                        look_up(handle, "ncclMemAlloc", nccl.allocate) &&
                        look_up(handle, "ncclMemFree", nccl.free) &&
                        look_up(handle, "ncclCommWindowRegister", nccl.register_window) &&
                        look_up(handle, "ncclCommWindowDeregister", nccl.deregister_window);
  if (!complete) nccl.register_window = nullptr;
}

std::unique_ptr<const NcclLibrary> load() {
  void* handle = ::dlopen(nccl_file(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return nullptr;
  auto nccl = std::make_unique<NcclLibrary>();
  const bool complete = look_up(handle, "ncclGetVersion", nccl->version) &&
                        look_up(handle, "ncclGetUniqueId", nccl->unique_id) &&
                        look_up(handle, "ncclCommInitRank", nccl->init) &&
                        look_up(handle, "ncclCommAbort", nccl->abort) &&
                        look_up(handle, "ncclAllGather", nccl->all_gather) &&
                        look_up(handle, "ncclGetErrorString", nccl->error_string);
  if (!complete) return nullptr;
  look_up_windows(handle, *nccl);
  return nccl;
}

}  // namespace

const NcclLibrary* nccl_library() {
  static const std::unique_ptr<const NcclLibrary> loaded = load();
  return loaded.get();
}

}  // namespace muster::tool
