// A model file, read; and ways through all of a model.
#pragma once

#include <muster/onnx.h>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

namespace muster::tool {

// Parses a model, and checks what the rest relies on: that there is a graph whose tensors have one
// name each and are made before they are used, and that no tensor has more or fewer data than its
// shape says. External data lie in `folder` or below.
// Throws Failure, saying what is wrong.
::onnx::ModelProto parse_model(std::span<const std::byte> bytes,
                               const std::filesystem::path& folder);

// The same for a file. Throws Failure, naming it too.
::onnx::ModelProto read_model(const std::filesystem::path& path);

// Every tensor with data of its own: initializers and attributes, also those of graphs inside nodes
// and of functions.
void for_each_tensor(::onnx::ModelProto& model,
                     const std::function<void(::onnx::TensorProto&)>& visit);
void for_each_tensor(const ::onnx::ModelProto& model,
                     const std::function<void(const ::onnx::TensorProto&)>& visit);

// Every graph inside a node, at any depth: the branches of an If, the body of a Loop.
void for_each_inner_graph(const ::onnx::NodeProto& node,
                          const std::function<void(const ::onnx::GraphProto&)>& visit);

// The attribute of that name, or null.
const ::onnx::AttributeProto* find_attribute(const ::onnx::NodeProto& node,
                                             const std::string& name);

// The value of an integer attribute, or the default if there is none of that name.
std::int64_t int_attribute(const ::onnx::NodeProto& node,
                           const std::string& name,
                           std::int64_t absent);

// What to call a node in a message: its name or, if it has none, its first output's.
std::string label(const ::onnx::NodeProto& node);

}  // namespace muster::tool
