#include "model/npy.h"

#include "exit_status.h"
#include "model/replacement.h"

#include <fmt/format.h>
#include <muster/error.h>
#include <muster/shape.h>
#include <xtensor/xnpy.hpp>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <span>
#include <sstream>
#include <stdexcept>

namespace muster::tool {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void complain(const fs::path& path, const std::string& what) {
  throw Failure(fmt::format("{}: {}", path.string(), what));
}

// What numpy reads at most by itself.
constexpr std::uint32_t longest_header = 10'000;

// xtensor's own reader believes a header's length and shape, however large.
std::string read_header(std::istream& stream) {
  unsigned char major = 0, minor = 0;
  xt::detail::read_magic(stream, &major, &minor);
  if (major < 1 || major > 2 || minor != 0) throw std::runtime_error("its version is unknown");
  std::uint32_t length = 0;  // little-endian, as this machine is
  stream.read(reinterpret_cast<char*>(&length), major == 1 ? 2 : 4);
  if (length > longest_header) {
    throw std::runtime_error(fmt::format("its header would have {} bytes", length));
  }
  std::string header(length, ' ');
  stream.read(header.data(), static_cast<std::streamsize>(length));
  if (!stream) throw std::runtime_error("its header is cut short");
  if (header.find('{') == std::string::npos) throw std::runtime_error("its header is empty");
  return header;
}

// Bytes of the tensor that the header announces.
std::int64_t announced(const fs::path& path,
                       const std::vector<std::int64_t>& shape,
                       std::int64_t element_bytes) {
  std::int64_t bytes = 0;
  if (shape.size() > Shape::max_dimensions ||
      __builtin_mul_overflow(Shape(shape).elements(), element_bytes, &bytes)) {
    complain(path, "has a shape that no tensor has");
  }
  return bytes;
}

NpyArray parse(const fs::path& path, std::ifstream& stream) {
  std::string type;  // with the byte order first
  bool fortran_order = false;
  std::vector<std::size_t> extents;
  xt::detail::parse_header(read_header(stream), type, &fortran_order, extents);
  NpyArray array{.type = type.substr(1), .shape = {extents.begin(), extents.end()}, .data = {}};
  const std::int64_t bytes = announced(path, array.shape, std::stoll(type.substr(2)));
  const auto file_bytes = static_cast<std::int64_t>(fs::file_size(path));
  if (bytes > file_bytes - stream.tellg()) complain(path, "is cut short");
  if (type.front() == '>') complain(path, "is big-endian");
  if (fortran_order && extents.size() > 1) {
    complain(path, "is in Fortran order; save numpy.ascontiguousarray() of it");
  }
  array.data.resize(static_cast<std::size_t>(bytes));
  stream.read(reinterpret_cast<char*>(array.data.data()), bytes);
  if (!stream) complain(path, "is cut short");
  return array;
}

}  // namespace

NpyArray read_npy(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) complain(path, strerror(errno));
  try {
    return parse(path, stream);
  } catch (const Failure&) {
    throw;
  } catch (const std::exception& error) {  // what xtensor or Shape says
    complain(path, fmt::format("is no .npy file that can be read: {}", error.what()));
  }
}

void write_npy(const fs::path& path,
               const std::string& type,
               const std::vector<std::int64_t>& shape,
               const void* data,
               std::size_t bytes) {
  Replacement file(path);
  const char order = type.ends_with('1') && type.size() == 2 ? '|' : '<';
  std::ostringstream header;
  xt::detail::write_header(header, order + type, false, shape);
  file.write(std::as_bytes(std::span(header.view())));
  file.write({static_cast<const std::byte*>(data), bytes});
  file.complete();
}

}  // namespace muster::tool
