#include "model/rank.h"

#include "exit_status.h"
#include "machine/processor.h"
#include "model/engine.h"
#include "model/inputs.h"
#include "model/npy.h"
#include "model/profile.h"
#include "model/report.h"
#include "model/value_type.h"
#include "rank_metadata.h"

#include <fmt/format.h>
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <map>
#include <numeric>
#include <optional>

namespace muster::tool {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

const char* environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) throw Failure("run-model is what `muster run` starts as a rank");
  return value;
}

// One rank's model on all ranks would run, and gather the same section from each.
void check_rank(const Ort::Session& session, const fs::path& model, int rank, int ranks) {
  Ort::AllocatorWithDefaultOptions allocator;
  const Ort::ModelMetadata metadata = session.GetModelMetadata();
  const auto own_rank = metadata.LookupCustomMetadataMapAllocated(rank_key, allocator);
  const auto own_ranks = metadata.LookupCustomMetadataMapAllocated(ranks_key, allocator);
  if (!own_rank || !own_ranks) return;  // not made by `muster shard`
  if (own_rank.get() == std::to_string(rank) && own_ranks.get() == std::to_string(ranks)) return;
  throw Failure(
      fmt::format("run: {} is for rank {} of {}, and this is rank {} of {}: "
                  "give -n {} and the directory that `muster shard` made ({})",
                  model.string(),
                  own_rank.get(),
                  own_ranks.get(),
                  rank,
                  ranks,
                  own_ranks.get(),
                  model.has_parent_path() ? model.parent_path().string() : "."));
}

struct Measured {
  std::vector<double> seconds;                // of each run
  MusterOnnxRuntimeStatistics before, after;  // of all runs but the first, or of the only one
};

class ModelRank {
 public:
  explicit ModelRank(const ModelOptions& options);
  void run();

 private:
  Ort::Session make_session();
  void check_output(std::size_t index) const;
  void check_files() const;
  void run_once();
  Measured measure();
  void write_outputs();
  std::optional<fs::path> output_file(const std::string& name) const;
  ModelReport output_report(std::size_t index) const;
  ModelReport profile();
  void report(const Measured& measured);

  const ModelOptions& options_;
  const int rank_ = std::atoi(environment("MUSTER_RANK"));
  const int ranks_ = std::atoi(environment("MUSTER_WORLD_SIZE"));
  const std::string engine_version_ = open_engine();
  const bool profiles_ = options_.profile && rank_ == 0;
  Ort::Env env_{ORT_LOGGING_LEVEL_WARNING, "muster"};
  Ort::Session session_;
  ModelInputs inputs_;
  std::vector<std::string> output_names_;
  std::vector<Ort::Value> outputs_;
};

ModelRank::ModelRank(const ModelOptions& options)
    : options_(options), session_(make_session()), inputs_(read_inputs(session_, options, rank_)) {
  Ort::AllocatorWithDefaultOptions allocator;
  for (std::size_t i = 0; i < session_.GetOutputCount(); ++i) {
    output_names_.emplace_back(session_.GetOutputNameAllocated(i, allocator).get());
    check_output(i);
  }
  check_files();
}

Ort::Session ModelRank::make_session() {
  Ort::SessionOptions options;
  // The machine's cores are all ranks'; an engine that thinks it has them all would spin on them.
  options.SetIntraOpNumThreads(std::max(1, usable_cores() / ranks_));
  options.SetLogSeverityLevel(ORT_LOGGING_LEVEL_FATAL);  // errors are thrown as well as logged
  if (profiles_) {
    // The launcher's own directory goes with the job, however that ends.
    const fs::path ranks(environment("MUSTER_RENDEZVOUS"));
    options.EnableProfiling((ranks.parent_path() / "profile").c_str());
  }
  options.RegisterCustomOpsLibrary(layer_library().c_str());
  const fs::path model = model_of(options_, rank_);
  Ort::Session session(env_, model.c_str(), options);
  check_rank(session, model, rank_, ranks_);
  return session;
}

void ModelRank::check_output(std::size_t index) const {
  const std::string& name = output_names_[index];
  const Ort::TypeInfo type = session_.GetOutputTypeInfo(index);
  if (type.GetONNXType() != ONNX_TYPE_TENSOR) {
    throw Failure(fmt::format("run: output '{}' is no tensor", name));
  }
  if (output_file(name)) value_type(type.GetTensorTypeAndShapeInfo().GetElementType(), name);
}

void ModelRank::check_files() const {
  std::map<fs::path, std::string> outputs;  // by file
  for (const std::string& name : output_names_) {
    const auto file = output_file(name);
    if (!file) continue;
    const auto [other, is_new] = outputs.try_emplace(*file, name);
    if (is_new) continue;
    throw Failure(fmt::format("run: outputs '{}' and '{}' would both be written to {}",
                              other->second,
                              name,
                              file->string()));
  }
}

void ModelRank::run_once() {
  const auto pointers = [](const std::vector<std::string>& names) {
    std::vector<const char*> result;
    for (const std::string& name : names) result.push_back(name.c_str());
    return result;
  };
  outputs_ = session_.Run(Ort::RunOptions(),
                          pointers(inputs_.names).data(),
                          inputs_.values.data(),
                          inputs_.values.size(),
                          pointers(output_names_).data(),
                          output_names_.size());
}

Measured ModelRank::measure() {
  Measured measured{.seconds = {}, .before = layer_statistics(), .after = {}};
  for (int i = 0; i < options_.repeat; ++i) {
    if (i == 1) measured.before = layer_statistics();  // the first run makes the communicators
    const auto begin = Clock::now();
    run_once();
    measured.seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  measured.after = layer_statistics();
  return measured;
}

void ModelRank::run() {
  const Measured measured = measure();
  write_outputs();
  if (rank_ == 0 && options_.report_fd >= 0) report(measured);
}

std::optional<fs::path> ModelRank::output_file(const std::string& name) const {
  if (options_.output.empty()) return std::nullopt;
  const fs::path folder = for_rank(options_.output, rank_);
  if (rank_ != 0 && folder == options_.output) return std::nullopt;  // rank 0 writes there
  std::string file = name;                                           // a name may have slashes
  std::replace(file.begin(), file.end(), '/', '_');
  return folder / (file + ".npy");
}

void ModelRank::write_outputs() {
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    const auto file = output_file(output_names_[i]);
    if (!file) continue;
    std::error_code error;
    fs::create_directories(file->parent_path(), error);
    if (error) throw Failure(fmt::format("{}: {}", file->parent_path().string(), error.message()));
    const auto tensor = outputs_[i].GetTensorTypeAndShapeInfo();
    const ValueType& type = value_type(tensor.GetElementType(), output_names_[i]);
    write_npy(*file,
              type.npy,
              tensor.GetShape(),
              outputs_[i].GetTensorRawData(),
              tensor.GetElementCount() * type.bytes);
  }
}

ModelReport ModelRank::output_report(std::size_t index) const {
  const auto tensor = outputs_[index].GetTensorTypeAndShapeInfo();
  const std::string& name = output_names_[index];
  ModelReport output = {
      {"name", name}, {"dtype", type_name(tensor.GetElementType())}, {"shape", tensor.GetShape()}};
  if (const auto file = output_file(name)) output["file"] = file->string();
  return output;
}

ModelReport ModelRank::profile() {
  if (!profiles_) return nullptr;
  Ort::AllocatorWithDefaultOptions allocator;
  return summed_profile(session_.EndProfilingAllocated(allocator).get());
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void ModelRank::report(const Measured& measured) {
  const auto& [seconds, before, after] = measured;
  const auto rest = static_cast<std::ptrdiff_t>(seconds.size()) - 1;
  const double counted = std::accumulate(seconds.begin() + (rest > 0), seconds.end(), 0.0);
  const std::uint64_t gathers = after.gathers - before.gathers;
  const std::uint64_t pushed = after.outputs_in_arena - before.outputs_in_arena;
  const auto share = [](auto part, auto whole) {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
  };
  ModelReport outputs = ModelReport::array();
  for (std::size_t i = 0; i < outputs_.size(); ++i) outputs.push_back(output_report(i));
  write_report(
      options_.report_fd,
      {{"engine", engine_version_},
       {"first_run_seconds", seconds.front()},
       {"runs", rest},
       {"run_seconds",
        rest == 0 ? ModelReport() : ModelReport(median({seconds.begin() + 1, seconds.end()}))},
       {"gathers", gathers / static_cast<std::uint64_t>(std::max<std::ptrdiff_t>(1, rest))},
       {"gather_share", share(after.nanoseconds - before.nanoseconds, 1e9 * counted)},
       {"pushed_share", share(pushed, gathers)},
       {"outputs", outputs},
       {"profile", profile()}});
}

}  // namespace

void require_engine() {
  layer_library();
}

int run_model_rank(const ModelOptions& options) {
  ModelRank(options).run();
  return exit_success;
}

}  // namespace muster::tool
