#include "serialization.h"

#include <fmt/format.h>
#include <muster/error.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace muster::tensorrt {

namespace {

constexpr std::array<char, 4> magic{'M', 'S', 'T', 'R'};
constexpr std::uint32_t newest_version = 2;
constexpr TypeId any_type = -1;

class Writer {
 public:
  template <typename T>
  void put(T value) {
    const std::size_t end = bytes_.size();
    bytes_.resize(end + sizeof(value));
    std::memcpy(bytes_.data() + end, &value, sizeof(value));
  }

  template <typename List>
  void put_list(const List& values) {
    put(static_cast<std::uint32_t>(values.size()));
    for (const auto value : values) put(value);
  }

  // With its length in place of the one that was put as the third word.
  std::vector<std::byte> finish() && {
    const auto length = static_cast<std::uint32_t>(bytes_.size());
    std::memcpy(bytes_.data() + 2 * sizeof(length), &length, sizeof(length));
    return std::move(bytes_);
  }

 private:
  std::vector<std::byte> bytes_;
};

[[noreturn]] void refuse_serialized(const std::string& what) {
  throw Error(ErrorCode::invalid_argument, "a serialized AllGather layer " + what);
}

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <typename T>
  T get() {
    if (rest_.size() < sizeof(T)) refuse_serialized("ends too early");
    T value;
    std::memcpy(&value, rest_.data(), sizeof(T));
    rest_ = rest_.subspan(sizeof(T));
    return value;
  }

  template <typename T>
  std::vector<T> get_list() {
    const auto length = get<std::uint32_t>();
    if (length > rest_.size() / sizeof(T)) refuse_serialized("ends too early");
    std::vector<T> values(length);
    for (T& value : values) value = get<T>();
    return values;
  }

  bool empty() const { return rest_.empty(); }

 private:
  std::span<const std::byte> rest_;
};

// Behind the magic.
Settings read_own(Reader reader, std::size_t length) {
  const auto version = reader.get<std::uint32_t>();
  if (version == 0 || version > newest_version) {
    refuse_serialized(fmt::format(
        "has version {} of the format; this library reads up to {}", version, newest_version));
  }
  if (reader.get<std::uint32_t>() != length) refuse_serialized("has another length than it says");
  Settings settings;
  settings.gather_dim = reader.get<std::int32_t>();
  const auto type = reader.get<TypeId>();
  if (type != any_type) settings.type_id = type;
  settings.timeout = std::chrono::milliseconds(reader.get<std::int64_t>());
  settings.group = Group(reader.get_list<std::int32_t>());
  settings.sizes = reader.get_list<std::int64_t>();
  const auto name = reader.get_list<char>();
  settings.name.assign(name.begin(), name.end());
  if (version >= 2) settings.share_communicator = reader.get<std::uint8_t>() != 0;
  if (!reader.empty()) refuse_serialized("has bytes behind its end");
  return settings;
}

// TensorRT-LLM's: the type, and the ranks out of a std::set, to the end.
Settings read_tensorrt_llm(Reader reader, const std::string& name) {
  Settings settings;
  settings.name = name;
  settings.type_id = reader.get<TypeId>();
  std::vector<int> ranks;
  while (!reader.empty()) ranks.push_back(reader.get<std::int32_t>());
  if (!std::is_sorted(ranks.begin(), ranks.end())) refuse_serialized("has an unknown format");
  settings.group = Group(std::move(ranks));
  return settings;
}

}  // namespace

std::vector<std::byte> serialize(const Settings& settings) {
  Writer writer;
  for (const char letter : magic) writer.put(letter);
  writer.put(newest_version);
  writer.put(std::uint32_t{0});
  writer.put(std::int32_t{settings.gather_dim});
  writer.put(settings.type_id.value_or(any_type));
  writer.put(std::int64_t{settings.timeout.count()});
  writer.put_list(settings.group.ranks());
  writer.put_list(settings.sizes);
  writer.put_list(settings.name);
  writer.put(static_cast<std::uint8_t>(settings.share_communicator));
  return std::move(writer).finish();
}

Settings deserialize(std::span<const std::byte> bytes, const std::string& name) {
  const bool own =
      bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
  Settings settings = own ? read_own(Reader(bytes.subspan(magic.size())), bytes.size())
                          : read_tensorrt_llm(Reader(bytes), name);
  check(settings);
  return settings;
}

}  // namespace muster::tensorrt
