// Running an ONNX model on the ranks of a job: what is asked for.
#pragma once

#include <CLI/CLI.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace muster::tool {

// The hidden command with which a rank's process is started.
inline constexpr const char* model_rank_command = "run-model";

struct ModelInput {
  std::string name;
  std::string file;  // "{rank}" in it is the rank's number
};

struct ModelOptions {
  std::string model;  // an .onnx file, "{rank}" in it as above; or a directory that shard made
  std::vector<ModelInput> inputs;
  std::string output;  // a directory; with "{rank}" in it one for each rank
  int repeat = 1;
  bool profile = false;
  int report_fd = -1;  // where rank 0 writes its report
};

// Is that what to run, rather than a program? An .onnx file is, and so is a directory, unless it
// holds no rank0.onnx and its name is that of a program on PATH.
bool is_model(const std::string& argument);

// The model and its options as a command line's arguments. Throws CLI::ParseError.
void add_model_options(CLI::App& app, ModelOptions& options);

// What a rank of the job is started with: this program again, with the hidden
// command and the model's own arguments. Empty if all that was asked for is help.
// Throws Failure, before any rank is started, for options that are wrong and for files that are not
// there.
std::vector<std::string> rank_command(const std::vector<std::string>& arguments,
                                      int ranks,
                                      int report_fd);

// A name with "{rank}" replaced.
std::filesystem::path for_rank(const std::string& pattern, int rank);

// What the rank loads.
std::filesystem::path model_of(const ModelOptions& options, int rank);

}  // namespace muster::tool
