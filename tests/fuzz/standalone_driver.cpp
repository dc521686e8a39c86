// Drives a fuzz target without libFuzzer, which g++ does not have: random bytes and mutated seeds,
// for a number of seconds. Usage: fuzz_TARGET [SECONDS [SEED]] or fuzz_TARGET FILE...
#include "fuzz_target.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

namespace {

using muster::fuzz::Input;
using Random = std::mt19937_64;

constexpr const char* crash_file = "fuzz-crash.bin";
const Input* current = nullptr;

std::size_t below(Random& random, std::size_t bound) {
  return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random);
}

std::uint8_t any_byte(Random& random) {
  return static_cast<std::uint8_t>(below(random, 256));
}

Input random_input(Random& random) {
  Input input(below(random, 1024));
  std::ranges::generate(input, [&] { return any_byte(random); });
  return input;
}

// What tends to break parsers: one bit, one byte, a word at its limits, a run moved, an end cut off
// or added.
void mutate(Input& input, Random& random) {
  if (input.empty()) input.push_back(any_byte(random));
  const std::size_t at = below(random, input.size());
  const std::size_t length = 1 + below(random, std::min<std::size_t>(8, input.size() - at));
  const auto begin = input.begin() + static_cast<std::ptrdiff_t>(at);
  const auto end = begin + static_cast<std::ptrdiff_t>(length);
  switch (below(random, 7)) {
    case 0:
      *begin = static_cast<std::uint8_t>(*begin ^ (1U << below(random, 8)));
      break;
    case 1:
      *begin = any_byte(random);
      break;
    case 2:
      std::fill(begin, end, std::uint8_t{0});
      break;
    case 3:
      std::fill(begin, end, std::uint8_t{0xff});
      break;
    case 4:
      std::rotate(input.begin(), begin, end);
      break;
    case 5:
      input.resize(at);
      break;
    default:
      input.resize(input.size() + length, any_byte(random));
      break;
  }
}

Input next_input(const std::vector<Input>& seeds, Random& random) {
  if (seeds.empty() || below(random, 16) == 0) return random_input(random);
  Input input = seeds[below(random, seeds.size())];
  for (std::size_t times = below(random, 6); times > 0; --times) mutate(input, random);
  return input;
}

void run(const Input& input) {
  current = &input;
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

// Keeps the input that ends the process. Sanitizers raise SIGABRT with abort_on_error=1.
void keep_input(int signal) {
  if (std::FILE* file = std::fopen(crash_file, "wb")) {
    std::fwrite(current->data(), 1, current->size(), file);
    std::fclose(file);
  }
  std::fprintf(stderr, "the input is in %s: run this again with it as argument\n", crash_file);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

int replay(int count, char** files) {
  for (int i = 0; i < count; ++i) {
    std::ifstream in(files[i], std::ios::binary);
    run(Input(std::istreambuf_iterator<char>(in), {}));
  }
  return 0;
}

int fuzz_for(double seconds, std::uint64_t seed) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::duration<double>(seconds);
  const std::vector<Input> seeds = muster::fuzz::seeds();
  Random random(seed);
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  for (const Input& input : seeds) run(input);
  std::size_t inputs = seeds.size();
  for (; inputs % 256 != 0 || Clock::now() < deadline; ++inputs) run(next_input(seeds, random));
  std::printf("%zu inputs\n", inputs);
  return 0;
}

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789.") == std::string::npos;
}

}  // namespace

int main(int argc, char** argv) {
  for (int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE}) std::signal(signal, keep_input);
  if (argc > 1 && !is_number(argv[1])) return replay(argc - 1, argv + 1);
  const double seconds = argc > 1 ? std::stod(argv[1]) : 10;
  const std::uint64_t seed = argc > 2 ? std::stoull(argv[2]) : std::random_device()();
  return fuzz_for(seconds, seed);
}
