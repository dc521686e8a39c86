/// @file
/// AllGather for a network under construction: nodes of domain `muster` in an ONNX graph.
///
/// This is a library of its own (CMake target muster::onnx), built where protobuf is. Its classes
/// `::onnx::...` are generated from the format's own definition; a program that already has others
/// of that name (libonnx) cannot link both.
///
/// Nothing here communicates, and nothing needs ranks: it writes nodes that the operator library
/// for ONNX Runtime carries out.
#pragma once

#include <muster/dtype.h>
#include <muster/group.h>
#include <onnx/onnx-ml.pb.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace muster::onnx {

/// The domain of muster's operators and the version of it that this library writes.
inline constexpr const char* operator_domain = "muster";
inline constexpr std::int64_t operator_version = 1;

/// What a call of all_gather() may leave out.
struct AllGatherOptions {
  std::string name{};    ///< of the node; by default made from the tensor's name
  std::string output{};  ///< of the gathered tensor; by default made from the tensor's name
  /// Extents along gather_dim in group order, where sections are unequal; empty: all are equal.
  std::vector<std::int64_t> sizes{};
  /// Cast to this type before the gather and back after it, to send fewer bytes.
  std::optional<DataType> wire_type{};
};

/// Adds an AllGather of `tensor` to the end of `graph`: each rank of `group` contributes its
/// `tensor`, and the result is all of them in group order along `gather_dim` (which may be
/// negative). Returns the result's name.
///
/// The result's element type and shape are declared in the graph as far as those of `tensor` are
/// (as graph input, initializer, value_info or output); its extent along gather_dim is the group's
/// size times that of `tensor`, or the sum of options.sizes. For a `wire_type` other than the
/// tensor's own, a Cast stands before the gather and one behind it.
///
/// The graph's model must import muster's domain: see import_operators(). Node names must be the
/// same on all ranks, since ranks find each other by them; so must the group and the sizes.
/// Not to be called for one graph by two threads at once. On an error the graph is unchanged.
///
/// @throws Error invalid_argument, naming the tensor, when the graph has none of that name, its
///         type cannot be gathered (strings, complex and sub-byte elements, sequences), it is a
///         scalar or has more than 8 dimensions, gather_dim is outside its shape, `sizes` are not
///         one for each member or do not hold this rank's extent, a name is taken, or a wire_type
///         is given and the type of `tensor` is not declared.
std::string all_gather(::onnx::GraphProto& graph,
                       const std::string& tensor,
                       const Group& group,
                       int gather_dim = 0,
                       const AllGatherOptions& options = {});

/// Lets `model` use muster's operators. Safe to repeat.
/// @throws Error invalid_argument when the model imports another version of the domain.
void import_operators(::onnx::ModelProto& model);

/// The node alone, for those who keep a graph's names, order and types themselves. Checks nothing:
/// what is wrong with it is refused where a session is made of the model.
::onnx::NodeProto all_gather_node(const std::string& name,
                                  const std::string& input,
                                  const std::string& output,
                                  const Group& group,
                                  int gather_dim,
                                  const std::vector<std::int64_t>& sizes);

/// The element type of an `::onnx::TensorProto::DataType`, if muster has it.
std::optional<DataType> dtype_of(int onnx_type) noexcept;
/// The `::onnx::TensorProto::DataType` of an element type.
int onnx_type_of(DataType dtype) noexcept;
/// Whether a node can gather elements of that type: not complex, and not smaller than a byte.
bool can_gather(DataType dtype) noexcept;

}  // namespace muster::onnx
