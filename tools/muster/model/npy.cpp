#include "model/npy.h"

#include "exit_status.h"

#include <fmt/format.h>
#include <muster/error.h>
#include <muster/shape.h>
#include <unistd.h>
#include <xtensor/xnpy.hpp>

#include <cerrno>
#include <cstring>
#include <fstream>

namespace muster::tool {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void complain(const fs::path& path, const std::string& what) {
  throw Failure(fmt::format("{}: {}", path.string(), what));
}

[[noreturn]] void complain_unwritten(const fs::path& path, int error) {
  complain(path, fmt::format("cannot be written: {}", strerror(error)));
}

// xtensor's reader trusts the header's shape.
void require_whole(const fs::path& path, const std::ifstream& stream, xt::detail::npy_file& file) {
  if (!stream) complain(path, "is cut short");
  const std::vector<std::int64_t> extents(file.m_shape.begin(), file.m_shape.end());
  std::int64_t bytes = 0;
  if (extents.size() > Shape::max_dimensions ||
      __builtin_mul_overflow(Shape(extents).elements(), file.m_word_size, &bytes) ||
      bytes != static_cast<std::int64_t>(file.n_bytes())) {
    complain(path, "has a shape that no tensor has");
  }
}

NpyArray parse(const fs::path& path, std::ifstream& stream) {
  auto file = xt::detail::load_npy_file(stream);
  require_whole(path, stream, file);
  if (file.m_typestring.front() == '>') complain(path, "is big-endian");
  if (file.m_fortran_order && file.m_shape.size() > 1) {
    complain(path, "is in Fortran order; save numpy.ascontiguousarray() of it");
  }
  const auto* begin = reinterpret_cast<const std::byte*>(file.ptr());
  return {.type = file.m_typestring.substr(1),
          .shape = {file.m_shape.begin(), file.m_shape.end()},
          .data = {begin, begin + file.n_bytes()}};
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
  // The rename would replace a file that may not be written.
  if (::access(path.c_str(), W_OK) != 0 && errno != ENOENT) complain_unwritten(path, errno);
  const fs::path unfinished = path.parent_path() / fmt::format(".muster-{}.npy", ::getpid());
  std::ofstream stream(unfinished, std::ios::binary | std::ios::trunc);
  if (!stream) complain_unwritten(path, errno);
  const char order = type.ends_with('1') && type.size() == 2 ? '|' : '<';
  xt::detail::write_header(stream, order + type, false, shape);
  stream.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
  stream.close();
  if (stream && ::rename(unfinished.c_str(), path.c_str()) == 0) return;
  const int error = errno;
  ::unlink(unfinished.c_str());
  complain_unwritten(path, error);
}

}  // namespace muster::tool
