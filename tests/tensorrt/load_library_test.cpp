// The plugin library as TensorRT itself loads it, in a program that is not linked with it.
#include <NvInfer.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace muster::test {
namespace {

constexpr auto namespaces = {"muster", "tensorrt_llm"};

nvinfer1::IPluginCreator* creator_in(const std::string& plugin_namespace) {
  return getPluginRegistry()->getPluginCreator("AllGather", "1", plugin_namespace.c_str());
}

TEST(LoadLibrary, FindsTheCreatorInBothNamespacesUntilItIsDeregistered) {
  for (const char* name : namespaces) ASSERT_EQ(creator_in(name), nullptr) << name;
  const auto library = getPluginRegistry()->loadLibrary(MUSTER_TENSORRT_LIBRARY);
  ASSERT_NE(library, nullptr);
  for (const char* name : namespaces) EXPECT_NE(creator_in(name), nullptr) << name;
  getPluginRegistry()->deregisterLibrary(library);
  for (const char* name : namespaces) EXPECT_EQ(creator_in(name), nullptr) << name;
}

TEST(LoadLibrary, GivesACreatorThatMakesPlugins) {
  const auto library = getPluginRegistry()->loadLibrary(MUSTER_TENSORRT_LIBRARY);
  ASSERT_NE(library, nullptr);
  const std::vector<std::int32_t> group{0, 1};
  const nvinfer1::PluginField field("group", group.data(), nvinfer1::PluginFieldType::kINT32, 2);
  const nvinfer1::PluginFieldCollection fields{1, &field};
  for (const char* name : namespaces) {
    nvinfer1::IPluginV2* plugin = creator_in(name)->createPlugin("layer", &fields);
    ASSERT_NE(plugin, nullptr) << name;
    EXPECT_STREQ(plugin->getPluginType(), "AllGather");
    EXPECT_STREQ(plugin->getPluginNamespace(), name);
    plugin->destroy();
  }
  getPluginRegistry()->deregisterLibrary(library);
}

}  // namespace
}  // namespace muster::test
