// AllGather for a network under construction.
#include "adapter.h"
#include "engine.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <muster/error.h>
#include <muster/tensorrt.h>

#include <algorithm>

namespace muster::tensorrt {

namespace {

using nvinfer1::INetworkDefinition;
using nvinfer1::ITensor;

[[noreturn]] void fail(const ITensor& tensor, const std::string& what, ErrorCode code) {
  throw Error(code, fmt::format("all_gather of tensor \"{}\": {}", tensor.getName(), what));
}

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::invalid_argument, what);
}

bool has_layer(const INetworkDefinition& network, const std::string& name) {
  for (std::int32_t i = 0; i < network.getNbLayers(); ++i) {
    if (network.getLayer(i)->getName() == name) return true;
  }
  return false;
}

std::string new_name(const INetworkDefinition& network, const ITensor& tensor) {
  const std::string stem = std::string(tensor.getName()) + "/AllGather";
  std::string name = stem;
  for (int i = 2; has_layer(network, name); ++i) name = fmt::format("{}_{}", stem, i);
  return name;
}

Settings settings_of(const INetworkDefinition& network,
                     const ITensor& tensor,
                     const Group& group,
                     int gather_dim,
                     const AllGatherOptions& options) {
  if (!options.name.empty() && has_layer(network, options.name)) {
    refuse(fmt::format("the network has a layer \"{}\" already", options.name));
  }
  Settings settings{.name = options.name.empty() ? new_name(network, tensor) : options.name,
                    .group = group,
                    .gather_dim = gather_dim,
                    .sizes = options.sizes,
                    .type_id = std::nullopt,
                    .timeout = options.timeout,
                    .share_communicator = options.share_communicator};
  if (options.wire_type) settings.type_id = type_id_of(*options.wire_type);
  check(settings);
  return settings;
}

void check_tensor(const ITensor& tensor, const Settings& settings) {
  const auto type = static_cast<TypeId>(tensor.getType());
  const TypeId wire = settings.type_id.value_or(type);
  to_dtype(type);
  if (!is_for_plugins(wire)) {
    refuse(fmt::format("TensorRT's plugins take no {}; cast it", type_name(wire)));
  }
  const nvinfer1::Dims dims = tensor.getDimensions();
  const auto extent = std::int64_t{dims.d[gather_dimension(settings, dims.nbDims)]};
  if (extent < 0) return;  // dynamic
  gathered_extent(settings, extent);
  const auto& sizes = settings.sizes;
  if (!sizes.empty() && std::ranges::find(sizes, extent) == sizes.end()) {
    refuse(fmt::format("its extent {} along dimension {} is none of the sizes [{}]",
                       extent,
                       settings.gather_dim,
                       fmt::join(sizes, ", ")));
  }
}

ITensor& cast(INetworkDefinition& network, ITensor& tensor, nvinfer1::DataType type) {
  if (tensor.getType() == type) return tensor;
  auto* layer = network.addCast(tensor, type);
  if (layer == nullptr) {
    fail(tensor,
         fmt::format("TensorRT does not cast it to {}", type_name(static_cast<TypeId>(type))),
         ErrorCode::system);
  }
  return *layer->getOutput(0);
}

}  // namespace

ITensor& all_gather(INetworkDefinition& network,
                    ITensor& tensor,
                    const Group& group,
                    int gather_dim,
                    const AllGatherOptions& options) {
  Settings settings;
  try {
    settings = settings_of(network, tensor, group, gather_dim, options);
    check_tensor(tensor, settings);
  } catch (const Error& error) {
    fail(tensor, error.what(), error.code());
  }
  initLibMusterPlugins(nullptr, nullptr);
  const nvinfer1::DataType own = tensor.getType();
  const auto wire = settings.type_id ? static_cast<nvinfer1::DataType>(*settings.type_id) : own;
  ITensor* gathered = add_layer(network, cast(network, tensor, wire), settings);
  if (gathered == nullptr) fail(tensor, "TensorRT does not add the layer", ErrorCode::system);
  // Without a wire type it is of its own type whatever it says: before TensorRT 10, a tensor inside
  // a network says float for half and int8 too.
  return settings.type_id ? cast(network, *gathered, own) : *gathered;
}

std::unique_ptr<nvinfer1::IGpuAllocator> arena_allocator(std::shared_ptr<World> world,
                                                         Device device) {
  return make_allocator(ArenaMemory(std::move(world), device));
}

}  // namespace muster::tensorrt
