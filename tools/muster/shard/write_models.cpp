#include "shard/write_models.h"

#include "rank_metadata.h"
#include "shard/model.h"
#include "shard/output_file.h"

#include <fmt/format.h>
#include <muster/plan.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace muster::tool {
namespace {

using ::onnx::ModelProto;
using ::onnx::TensorProto;
using Bytes = std::span<const std::byte>;

// Tensors below this stay in the model: engines read shapes and axes before they open other files.
constexpr std::size_t smallest_external = 1024;
constexpr std::size_t alignment = 64;  // of external tensors: a cache line, and any vector register

// One rank's section of a constant: runs of bytes, one a row.
class Section {
 public:
  Section(const Part& part, int rank, Bytes whole) : whole_(whole), dtype_(dtype(part)) {
    const auto& dims = part.whole->dims();
    const Shape shape(
        std::span<const std::int64_t>(dims.data(), static_cast<std::size_t>(dims.size())));
    const Shape section = shape.with(part.dim, part.sections.size(rank));
    const Shape before = shape.with(part.dim, part.sections.begin(rank));
    rows_ = rows_of(section, dtype_, part.dim);
    stride_ = rows_of(shape, dtype_, part.dim).row_bytes;
    offset_ = rows_of(before, dtype_, part.dim).row_bytes;
  }

  std::size_t bytes() const { return rows_.bytes(); }

  template <typename Write>
  void write(const Write& write_run) const {
    for (std::size_t row = 0; row < rows_.outer; ++row) {
      write_run(whole_.subspan(row * stride_ + offset_, rows_.row_bytes));
    }
  }

 private:
  static DataType dtype(const Part& part) { return *onnx::dtype_of(part.whole->data_type()); }

  Bytes whole_;
  DataType dtype_;
  Rows rows_;
  std::size_t stride_ = 0;
  std::size_t offset_ = 0;
};

// The tensors of one rank that lie outside its model.
class DataFile {
 public:
  explicit DataFile(const std::filesystem::path& path)
      : name_(path.filename().string()), file_(path) {}

  // Puts what `write(file)` writes behind the rest, and says so in the tensor.
  template <typename Write>
  void add(TensorProto& tensor, const Write& write) {
    file_.align(alignment);
    const std::size_t offset = file_.size();
    write(file_);
    tensor.clear_raw_data();
    tensor.clear_external_data();
    tensor.set_data_location(TensorProto::EXTERNAL);
    set(tensor, "location", name_);
    set(tensor, "offset", std::to_string(offset));
    set(tensor, "length", std::to_string(file_.size() - offset));
  }

  void close() { file_.close(); }

 private:
  static void set(TensorProto& tensor, const char* key, const std::string& value) {
    auto& entry = *tensor.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  }

  std::string name_;
  OutputFile file_;
};

void set_metadata(ModelProto& model, const std::string& key, int value) {
  auto& entries = *model.mutable_metadata_props();
  // A model that was split without a gather can be split again.
  auto entry = std::ranges::find(entries, key, [](const auto& it) { return it.key(); });
  auto& own = entry == entries.end() ? *entries.Add() : *entry;
  own.set_key(key);
  own.set_value(std::to_string(value));
}

class ModelWriter {
 public:
  ModelWriter(const Rewritten& rewritten,
              TensorData& data,
              int rank,
              int ranks,
              const std::filesystem::path& path,
              bool external)
      : rewritten_(rewritten), data_(data), rank_(rank), path_(path), model_(rewritten.common) {
    set_metadata(model_, rank_key, rank);
    set_metadata(model_, ranks_key, ranks);
    if (external) data_file_.emplace(path.string() + ".data");
  }

  void write() {
    if (data_file_) move_common_tensors();
    for (const Part& part : rewritten_.parts) add(part);
    for (const DeclaredExtent& declared : rewritten_.declared) declare(declared);
    OutputFile file(path_);
    file.write(model_);
    file.close();
    if (data_file_) data_file_->close();
  }

 private:
  void move_common_tensors() {
    for_each_tensor(model_, [&](TensorProto& tensor) {
      if (is_external(tensor)) move(tensor);
    });
    for (auto& tensor : *model_.mutable_graph()->mutable_initializer()) {
      const bool large = byte_size(tensor).value_or(0) >= smallest_external;
      if (!is_external(tensor) && large && tensor.has_raw_data()) move(tensor);
    }
  }

  void move(TensorProto& tensor) {
    const TensorProto source = tensor;
    std::vector<std::byte> scratch;
    const Bytes bytes = data_.bytes(source, scratch);
    data_file_->add(tensor, [&](OutputFile& file) { file.write(bytes); });
  }

  void add(const Part& part) {
    TensorProto& tensor = *model_.mutable_graph()->add_initializer();
    tensor.set_name(part.name);
    tensor.set_data_type(part.whole->data_type());
    *tensor.mutable_dims() = part.whole->dims();
    tensor.set_dims(part.dim, part.sections.size(rank_));
    if (rewritten_.parts_are_inputs) add_input(tensor);

    std::vector<std::byte> scratch;
    const Section section(part, rank_, data_.bytes(*part.whole, scratch));
    if (data_file_ && section.bytes() >= smallest_external) {
      data_file_->add(
          tensor, [&](OutputFile& file) { section.write([&](Bytes run) { file.write(run); }); });
      return;
    }
    std::string& raw = *tensor.mutable_raw_data();
    raw.reserve(section.bytes());
    section.write(
        [&](Bytes run) { raw.append(reinterpret_cast<const char*>(run.data()), run.size()); });
  }

  void add_input(const TensorProto& tensor) {
    auto& input = *model_.mutable_graph()->add_input();
    input.set_name(tensor.name());
    auto& type = *input.mutable_type()->mutable_tensor_type();
    type.set_elem_type(tensor.data_type());
    for (const auto extent : tensor.dims()) type.mutable_shape()->add_dim()->set_dim_value(extent);
  }

  void declare(const DeclaredExtent& declared) {
    auto& value = *model_.mutable_graph()->mutable_value_info(declared.value_info);
    value.mutable_type()
        ->mutable_tensor_type()
        ->mutable_shape()
        ->mutable_dim(declared.dim)
        ->set_dim_value(declared.sections.size(rank_));
  }

  const Rewritten& rewritten_;
  TensorData& data_;
  int rank_;
  std::filesystem::path path_;
  ModelProto model_;
  std::optional<DataFile> data_file_;
};

// Whether weights go to files of their own; for all ranks alike.
bool needs_data_files(const Rewritten& rewritten, const WriteOptions& options) {
  bool found = false;
  for_each_tensor(rewritten.common, [&](const auto& it) { found = found || is_external(it); });
  std::size_t largest = rewritten.common.ByteSizeLong();
  for (const Part& part : rewritten.parts) {
    found = found || is_external(*part.whole);
    const auto ranks = static_cast<std::size_t>(options.ranks);
    largest += byte_size(*part.whole).value_or(0) / ranks + part.name.size() + smallest_external;
  }
  return found || largest > options.inline_limit;
}

}  // namespace

std::string model_file_name(int rank) {
  return fmt::format("rank{}.onnx", rank);
}

void write_models(const Rewritten& rewritten,
                  TensorData& data,
                  const WriteOptions& options,
                  const std::filesystem::path& directory) {
  const bool external = needs_data_files(rewritten, options);
  for (int rank = 0; rank < options.ranks; ++rank) {
    const auto path = directory / model_file_name(rank);
    ModelWriter(rewritten, data, rank, options.ranks, path, external).write();
  }
}

}  // namespace muster::tool
