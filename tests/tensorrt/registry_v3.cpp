// TensorRT's plugin registry from release 10 on, as far as it keeps resources, after the words of
// its documentation: one mutex, references counted by key, and release() with the last.
#include <NvInfer.h>
#include <muster/export.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace muster::test {
namespace {

using nvinfer1::IPluginCreatorInterface;
using nvinfer1::IPluginResource;

// Without `override`: what each release has differs.
class Registry final : public nvinfer1::IPluginRegistry {
 public:
  ~Registry() noexcept = default;

#if NV_TENSORRT_MAJOR < 11
  bool registerCreator(nvinfer1::IPluginCreator&, const char*) noexcept {
    return false;
  }
  bool deregisterCreator(const nvinfer1::IPluginCreator&) noexcept {
    return false;
  }
  nvinfer1::IPluginCreator* const* getPluginCreatorList(std::int32_t*) const noexcept {
    return nullptr;
  }
  nvinfer1::IPluginCreator* getPluginCreator(const char*, const char*, const char*) noexcept {
    return nullptr;
  }
#endif
  bool registerCreator(IPluginCreatorInterface&, const char*) noexcept {
    return false;
  }
  bool deregisterCreator(const IPluginCreatorInterface&) noexcept {
    return false;
  }
  IPluginCreatorInterface* getCreator(const char*, const char*, const char*) noexcept {
    return nullptr;
  }
  IPluginCreatorInterface* const* getAllCreators(std::int32_t*) const noexcept {
    return nullptr;
  }
  IPluginCreatorInterface* const* getAllCreatorsRecursive(std::int32_t*) noexcept {
    return nullptr;
  }
  void setErrorRecorder(nvinfer1::IErrorRecorder*) noexcept {}
  nvinfer1::IErrorRecorder* getErrorRecorder() const noexcept {
    return nullptr;
  }
  bool isParentSearchEnabled() const {
    return false;
  }
  void setParentSearchEnabled(bool) {}
  PluginLibraryHandle loadLibrary(const char*) noexcept {
    return nullptr;
  }
  void deregisterLibrary(PluginLibraryHandle) noexcept {}

  IPluginResource* acquirePluginResource(const char* key, IPluginResource* offered) noexcept {
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_[key];
    if (!entry.resource) entry.resource.reset(offered->clone());
    ++entry.references;
    return entry.resource.get();
  }

  std::int32_t releasePluginResource(const char* key) noexcept {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key);
    if (found == entries_.end()) return 1;
    if (--found->second.references > 0) return 0;
    const std::int32_t status = found->second.resource->release();
    entries_.erase(found);
    return status;
  }

 private:
  struct Entry {
    std::unique_ptr<IPluginResource> resource;
    int references = 0;
  };

  std::mutex mutex_;
  std::map<std::string, Entry> entries_;
};

}  // namespace
}  // namespace muster::test

extern "C" MUSTER_EXPORT nvinfer1::IPluginRegistry* getPluginRegistry() noexcept {
  static muster::test::Registry registry;
  return &registry;
}
