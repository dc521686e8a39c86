// A rank's program that gathers by itself and runs a network with the layer, in one process.
//
//   muster run -n N program ENGINE LAYER MODEL program|layer
//
// The last argument says who joins the world first. MODEL gathers float x [1] to y [N].
#include <muster/muster.h>

#include <onnxruntime_cxx_api.h>

#include <dlfcn.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

void open_engine(const char* library) {
  void* handle = ::dlopen(library, RTLD_NOW | RTLD_LOCAL);  // stays open
  if (handle == nullptr) throw std::runtime_error(::dlerror());
  using GetApiBase = const OrtApiBase* (*)();
  const auto get_base = reinterpret_cast<GetApiBase>(::dlsym(handle, "OrtGetApiBase"));
  Ort::InitApi(get_base()->GetApi(21));
}

void require_ranks(const std::vector<float>& values, const char* who) {
  for (std::size_t rank = 0; rank < values.size(); ++rank) {
    if (values[rank] != static_cast<float>(rank)) throw std::runtime_error(who);
  }
}

void gather(muster::Communicator& communicator, float mine) {
  const int ranks = communicator.group().size();
  std::vector<float> all(static_cast<std::size_t>(ranks), -1);
  communicator.all_gather(
      {&mine, muster::DataType::float32, {1}}, {all.data(), muster::DataType::float32, {ranks}}, 0);
  require_ranks(all, "the program's gather went wrong");
}

void run(Ort::Session& session, float mine) {
  const std::array<std::int64_t, 1> shape{1};
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const auto x = Ort::Value::CreateTensor<float>(memory, &mine, 1, shape.data(), shape.size());
  const std::array inputs{"x"}, outputs{"y"};
  const auto results =
      session.Run(Ort::RunOptions(), inputs.data(), &x, inputs.size(), outputs.data(), 1);
  const auto* y = results.front().GetTensorData<float>();
  require_ranks({y, y + results.front().GetTensorTypeAndShapeInfo().GetElementCount()},
                "the session's gather went wrong");
}

void be_a_rank(const std::vector<std::string>& arguments) {
  open_engine(arguments.at(0).c_str());
  Ort::Env environment;
  Ort::SessionOptions options;
  const bool layer_first = arguments.at(3) == "layer";
  if (layer_first) options.RegisterCustomOpsLibrary(arguments.at(1).c_str());
  muster::World world = muster::World::join();
  if (!layer_first) options.RegisterCustomOpsLibrary(arguments.at(1).c_str());

  muster::Communicator communicator(world, muster::Group::range(world.size()));
  Ort::Session session(environment, arguments.at(2).c_str(), options);
  const auto mine = static_cast<float>(world.rank());
  for (int turn = 0; turn < 3; ++turn) {
    gather(communicator, mine);
    run(session, mine);
  }
  std::puts("gathered");
}

}  // namespace

int main(int argc, char** argv) try {
  be_a_rank({argv + 1, argv + argc});
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
