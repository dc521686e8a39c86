// Adds an AllGather to a graph with the installed package.
#include <muster/onnx.h>

int main() {
  ::onnx::ModelProto model;
  muster::onnx::import_operators(model);
  ::onnx::ValueInfoProto& input = *model.mutable_graph()->add_input();
  input.set_name("x");
  input.mutable_type()->mutable_tensor_type()->set_elem_type(::onnx::TensorProto::FLOAT);
  muster::onnx::all_gather(*model.mutable_graph(), "x", muster::Group{0, 1}, -1);
  return model.graph().node_size() == 1 ? 0 : 1;
}
