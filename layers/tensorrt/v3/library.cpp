// What TensorRT 10 and later call in a library that they load.
#include "../engine.h"
#include "creator.h"

#include <muster/export.h>

#include <array>

extern "C" {

MUSTER_EXPORT void setLoggerFinder(nvinfer1::ILoggerFinder* finder);
MUSTER_EXPORT nvinfer1::IPluginCreatorInterface* const* getCreators(std::int32_t& count);

void setLoggerFinder(nvinfer1::ILoggerFinder* finder) {
  muster::tensorrt::use_logger_of(finder);
}

nvinfer1::IPluginCreatorInterface* const* getCreators(std::int32_t& count) {
  using muster::tensorrt::CreatorV3;
  static CreatorV3 own(muster::tensorrt::own_namespace), old(muster::tensorrt::old_namespace);
  static const std::array<nvinfer1::IPluginCreatorInterface*, 2> creators{&own, &old};
  count = static_cast<std::int32_t>(creators.size());
  return creators.data();
}
}
