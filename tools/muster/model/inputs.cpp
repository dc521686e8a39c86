#include "model/inputs.h"

#include "exit_status.h"
#include "model/value_type.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <utility>

namespace muster::tool {
namespace {

struct Declared {
  std::string name;
  ONNXTensorElementDataType type;
  std::vector<std::int64_t> extents;  // -1: any
  std::vector<std::string> symbols;   // or empty
};

Declared declared_input(const Ort::Session& session, std::size_t index) {
  Ort::AllocatorWithDefaultOptions allocator;
  Declared input{.name = session.GetInputNameAllocated(index, allocator).get(),
                 .type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED,
                 .extents = {},
                 .symbols = {}};
  const Ort::TypeInfo type = session.GetInputTypeInfo(index);
  if (type.GetONNXType() != ONNX_TYPE_TENSOR) {
    throw Failure(fmt::format("run: input '{}' is no tensor", input.name));
  }
  const auto tensor = type.GetTensorTypeAndShapeInfo();
  input.type = tensor.GetElementType();
  input.extents = tensor.GetShape();
  std::vector<const char*> symbols(input.extents.size());
  if (!symbols.empty()) tensor.GetSymbolicDimensions(symbols.data(), symbols.size());
  for (const char* symbol : symbols) input.symbols.emplace_back(symbol == nullptr ? "" : symbol);
  return input;
}

// "[batch, 8]"
std::string shape_text(const Declared& input) {
  std::vector<std::string> words;
  for (std::size_t i = 0; i < input.extents.size(); ++i) {
    const std::string& symbol = input.symbols[i];
    words.push_back(input.extents[i] >= 0 ? std::to_string(input.extents[i])
                    : symbol.empty()      ? "?"
                                          : symbol);
  }
  return fmt::format("[{}]", fmt::join(words, ", "));
}

// An extent's name, the input that it was first seen in, and what it is there.
using Symbols = std::map<std::string, std::pair<std::string, std::int64_t>>;

void check(const Declared& input,
           const NpyArray& array,
           const std::string& file,
           Symbols& symbols) {
  const ValueType& type = value_type(input.type, input.name);
  if (array.type != type.npy) {
    throw Failure(fmt::format("run: input '{}' is {}, for which a file has type {}; {} has {}",
                              input.name,
                              type.name,
                              type.npy,
                              file,
                              array.type));
  }
  bool fits = array.shape.size() == input.extents.size();
  for (std::size_t i = 0; fits && i < array.shape.size(); ++i) {
    fits = input.extents[i] < 0 || input.extents[i] == array.shape[i];
  }
  if (!fits) {
    throw Failure(fmt::format("run: input '{}' has shape {}; {} has [{}]",
                              input.name,
                              shape_text(input),
                              file,
                              fmt::join(array.shape, ", ")));
  }
  for (std::size_t i = 0; i < array.shape.size(); ++i) {
    if (input.symbols[i].empty()) continue;
    const auto [seen, is_new] = symbols.try_emplace(input.symbols[i], input.name, array.shape[i]);
    if (seen->second.second != array.shape[i]) {
      throw Failure(fmt::format("run: '{}' is {} in input '{}' and {} in input '{}'",
                                input.symbols[i],
                                seen->second.second,
                                seen->second.first,
                                array.shape[i],
                                input.name));
    }
  }
}

const ModelInput& given(const ModelOptions& options, const Declared& input) {
  const auto named = [&](const ModelInput& i) { return i.name == input.name; };
  const auto found = std::find_if(options.inputs.begin(), options.inputs.end(), named);
  if (found == options.inputs.end()) {
    throw Failure(fmt::format("run: the model's input '{}' {} is missing: --input {}=FILE.npy",
                              input.name,
                              shape_text(input),
                              input.name));
  }
  if (std::count_if(options.inputs.begin(), options.inputs.end(), named) > 1) {
    throw Failure(fmt::format("run: input '{}' is given twice", input.name));
  }
  return *found;
}

void refuse_unknown(const ModelOptions& options, const std::vector<std::string>& names) {
  for (const ModelInput& input : options.inputs) {
    if (std::find(names.begin(), names.end(), input.name) == names.end()) {
      throw Failure(fmt::format("run: the model has no input '{}'; its inputs are {}",
                                input.name,
                                fmt::join(names, ", ")));
    }
  }
}

}  // namespace

ModelInputs read_inputs(const Ort::Session& session, const ModelOptions& options, int rank) {
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  std::vector<Declared> declared;
  ModelInputs inputs;
  for (std::size_t i = 0; i < session.GetInputCount(); ++i) {
    declared.push_back(declared_input(session, i));
    inputs.names.push_back(declared.back().name);
  }
  refuse_unknown(options, inputs.names);
  Symbols symbols;
  for (const Declared& input : declared) {
    const auto file = for_rank(given(options, input).file, rank);
    NpyArray& array = inputs.arrays.emplace_back(read_npy(file));
    check(input, array, file.string(), symbols);
    inputs.values.push_back(Ort::Value::CreateTensor(memory,
                                                     array.data.data(),
                                                     array.data.size(),
                                                     array.shape.data(),
                                                     array.shape.size(),
                                                     input.type));
  }
  return inputs;
}

}  // namespace muster::tool
