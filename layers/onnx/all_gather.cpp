#include <fmt/format.h>
#include <fmt/ranges.h>
#include <muster/error.h>
#include <muster/onnx.h>
#include <muster/onnx_names.h>
#include <muster/shape.h>

#include <algorithm>

namespace muster::onnx {
namespace {

using ::onnx::GraphProto;
using ::onnx::NodeProto;
using ::onnx::TensorShapeProto;
using ::onnx::TypeProto;

struct Request {
  GraphProto& graph;
  const std::string& tensor;
  const Group& group;
  int gather_dim;
  const AllGatherOptions& options;
};

[[noreturn]] void refuse(const Request& request, const std::string& what) {
  throw Error(ErrorCode::invalid_argument,
              fmt::format("all_gather of tensor \"{}\": {}", request.tensor, what));
}

bool is_made_by_a_node(const GraphProto& graph, const std::string& tensor) {
  return std::ranges::any_of(graph.node(), [&](const NodeProto& node) {
    return std::ranges::find(node.output(), tensor) != node.output().end();
  });
}

// An output may be declared before the node that makes it is there.
bool is_output(const GraphProto& graph, const std::string& tensor) {
  return std::ranges::any_of(graph.output(), [&](auto& value) { return value.name() == tensor; });
}

TypeProto type_of(const ::onnx::TensorProto& initializer) {
  TypeProto type;
  type.mutable_tensor_type()->set_elem_type(initializer.data_type());
  TensorShapeProto& shape = *type.mutable_tensor_type()->mutable_shape();
  for (const std::int64_t extent : initializer.dims()) shape.add_dim()->set_dim_value(extent);
  return type;
}

// What the graph declares of the tensor; nothing if it is there and nothing is declared.
std::optional<TypeProto> declared_type(const Request& request) {
  const GraphProto& graph = request.graph;
  for (const auto* values : {&graph.input(), &graph.value_info(), &graph.output()}) {
    for (const auto& value : *values) {
      if (value.name() == request.tensor && value.has_type()) return value.type();
    }
  }
  for (const auto& initializer : graph.initializer()) {
    if (initializer.name() == request.tensor) return type_of(initializer);
  }
  if (request.tensor.empty() || !is_made_by_a_node(graph, request.tensor)) {
    refuse(request, fmt::format("graph \"{}\" has none of that name", graph.name()));
  }
  return std::nullopt;
}

DataType checked_dtype(const Request& request, const TypeProto& type) {
  if (!type.has_tensor_type()) refuse(request, "it is not a dense tensor");
  const int number = type.tensor_type().elem_type();
  const auto dtype = dtype_of(number);
  if (!dtype || !can_gather(*dtype)) {
    refuse(request,
           fmt::format("elements of type {} cannot be gathered",
                       dtype ? std::string(to_string(*dtype)) : fmt::format("number {}", number)));
  }
  return *dtype;
}

void check_options(const Request& request) {
  const AllGatherOptions& options = request.options;
  const auto members = static_cast<std::size_t>(request.group.size());
  if (!options.sizes.empty() && options.sizes.size() != members) {
    refuse(request,
           fmt::format("{} sizes for the {} members of group {}",
                       options.sizes.size(),
                       members,
                       request.group.to_string()));
  }
  if (std::ranges::any_of(options.sizes, [](auto size) { return size < 0; })) {
    refuse(request, fmt::format("sizes [{}] with a negative one", fmt::join(options.sizes, ", ")));
  }
  if (options.wire_type && !can_gather(*options.wire_type)) {
    refuse(request, fmt::format("it cannot travel as {}", to_string(*options.wire_type)));
  }
}

// The extent along gather_dim of all sections together.
std::int64_t gathered_extent(const Request& request, std::int64_t section) {
  std::int64_t whole = 0;
  bool fits = !__builtin_mul_overflow(section, std::int64_t{request.group.size()}, &whole);
  if (!request.options.sizes.empty()) {
    whole = 0;
    fits = true;
    for (const std::int64_t size : request.options.sizes) {
      fits = fits && !__builtin_add_overflow(whole, size, &whole);
    }
  }
  if (!fits) refuse(request, "the gathered extent does not fit 63 bits");
  return whole;
}

void gather_dimension(const Request& request, TensorShapeProto::Dimension& dim) {
  const auto& sizes = request.options.sizes;
  const bool known = dim.has_dim_value();
  if (known && !sizes.empty() && std::ranges::find(sizes, dim.dim_value()) == sizes.end()) {
    refuse(request,
           fmt::format("its extent {} along dimension {} is none of the sizes [{}]",
                       dim.dim_value(),
                       request.gather_dim,
                       fmt::join(sizes, ", ")));
  }
  if (known || !sizes.empty()) {
    dim.set_dim_value(gathered_extent(request, dim.dim_value()));
  } else {
    dim.Clear();  // symbolic: its multiple has no name
  }
}

TypeProto gathered_type(const Request& request, TypeProto type) {
  if (!type.tensor_type().has_shape()) return type;
  TensorShapeProto& shape = *type.mutable_tensor_type()->mutable_shape();
  const int dimensions = shape.dim_size();
  const int dim = request.gather_dim < 0 ? request.gather_dim + dimensions : request.gather_dim;
  if (dimensions == 0) refuse(request, "a scalar has no dimension to gather along");
  if (dimensions > Shape::max_dimensions) {
    refuse(request,
           fmt::format(
               "{} dimensions; at most {} can be gathered", dimensions, Shape::max_dimensions));
  }
  if (dim < 0 || dim >= dimensions) {
    refuse(
        request,
        fmt::format("gather_dim {} is outside its {} dimensions", request.gather_dim, dimensions));
  }
  gather_dimension(request, *shape.mutable_dim(dim));
  return type;
}

void set_int(NodeProto& node, const char* name, std::int64_t value) {
  ::onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(::onnx::AttributeProto::INT);
  attribute.set_i(value);
}

template <typename List>
void set_ints(NodeProto& node, const char* name, const List& values) {
  ::onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(::onnx::AttributeProto::INTS);
  for (const auto value : values) attribute.add_ints(value);
}

void declare(GraphProto& graph, const std::string& tensor, const TypeProto& type) {
  ::onnx::ValueInfoProto& value = *graph.add_value_info();
  value.set_name(tensor);
  *value.mutable_type() = type;
}

// The types of what the nodes make, as far as they are known.
struct Types {
  std::optional<TypeProto> tensor;
  std::optional<TypeProto> gathered;
};

// Appends nodes to a graph. Nothing here fails.
class Builder {
 public:
  Builder(GraphProto& graph, const Request& request) : graph_(graph), names_(graph) {
    const AllGatherOptions& options = request.options;
    output_ =
        options.output.empty() ? names_.new_tensor(request.tensor + "/gathered") : options.output;
    name_ = options.name.empty() ? names_.new_node(request.tensor + "/AllGather") : options.name;
  }

  void gather(const Request& request, const std::string& input, const std::string& output) {
    *graph_.add_node() = all_gather_node(
        name_, input, output, request.group, request.gather_dim, request.options.sizes);
  }

  // Gathers a copy of another type, and casts the result back.
  void gather_as(DataType wire, const Request& request, const Types& types) {
    const std::string narrow = names_.new_tensor(request.tensor + "/wire");
    const std::string gathered = names_.new_tensor(output_ + "/wire");
    cast(request.tensor, narrow, onnx_type_of(wire), *types.tensor);
    gather(request, narrow, gathered);
    TypeProto type = *types.gathered;
    type.mutable_tensor_type()->set_elem_type(onnx_type_of(wire));
    declare(graph_, gathered, type);
    cast(gathered, output_, types.tensor->tensor_type().elem_type());
  }

  const std::string& output() const { return output_; }

 private:
  void cast(const std::string& input, const std::string& output, int onnx_type, TypeProto type) {
    cast(input, output, onnx_type);
    type.mutable_tensor_type()->set_elem_type(onnx_type);
    declare(graph_, output, type);
  }

  void cast(const std::string& input, const std::string& output, int onnx_type) {
    NodeProto& node = *graph_.add_node();
    node.set_op_type("Cast");
    node.set_name(names_.new_node(output + "/Cast"));
    node.add_input(input);
    node.add_output(output);
    set_int(node, "to", onnx_type);
  }

  GraphProto& graph_;
  Names names_;
  std::string output_;
  std::string name_;
};

void check_names(const Request& request) {
  const Names names(request.graph);
  const AllGatherOptions& options = request.options;
  const bool taken = is_output(request.graph, options.output)
                         ? is_made_by_a_node(request.graph, options.output)
                         : names.has_tensor(options.output);
  if (!options.output.empty() && taken) {
    refuse(request, fmt::format("the graph has a tensor \"{}\" already", options.output));
  }
  if (!options.name.empty() && names.has_node(options.name)) {
    refuse(request, fmt::format("the graph has a node \"{}\" already", options.name));
  }
}

}  // namespace

std::string all_gather(GraphProto& graph,
                       const std::string& tensor,
                       const Group& group,
                       int gather_dim,
                       const AllGatherOptions& options) {
  const Request request{graph, tensor, group, gather_dim, options};
  check_options(request);
  check_names(request);
  Types types;
  types.tensor = declared_type(request);
  std::optional<DataType> dtype;
  if (types.tensor) {
    dtype = checked_dtype(request, *types.tensor);
    types.gathered = gathered_type(request, *types.tensor);
  } else if (options.wire_type) {
    refuse(request, "its type must be declared in value_info to be cast back to");
  }

  Builder builder(graph, request);
  if (options.wire_type && options.wire_type != dtype) {
    builder.gather_as(*options.wire_type, request, types);
  } else {
    builder.gather(request, tensor, builder.output());
  }
  if (types.gathered && !is_output(graph, builder.output())) {
    declare(graph, builder.output(), *types.gathered);
  }
  return builder.output();
}

NodeProto all_gather_node(const std::string& name,
                          const std::string& input,
                          const std::string& output,
                          const Group& group,
                          int gather_dim,
                          const std::vector<std::int64_t>& sizes) {
  NodeProto node;
  node.set_domain(operator_domain);
  node.set_op_type("AllGather");
  node.set_name(name);
  node.add_input(input);
  node.add_output(output);
  set_ints(node, "group", group.ranks());
  set_int(node, "gather_dim", gather_dim);
  if (!sizes.empty()) set_ints(node, "sizes", sizes);
  return node;
}

void import_operators(::onnx::ModelProto& model) {
  for (const auto& import : model.opset_import()) {
    if (import.domain() != operator_domain) continue;
    if (import.version() == operator_version) return;
    throw Error(ErrorCode::invalid_argument,
                fmt::format("the model imports version {} of domain {}; this is version {}",
                            import.version(),
                            operator_domain,
                            operator_version));
  }
  ::onnx::OperatorSetIdProto& import = *model.add_opset_import();
  import.set_domain(operator_domain);
  import.set_version(operator_version);
}

}  // namespace muster::onnx
