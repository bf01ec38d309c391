// Unpacks with zlib into a temporary file.
#include "sensor/links/gzip_file.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/error.h"

namespace coil::sensor {
namespace {

constexpr size_t kReadBytes = 1 << 18;

std::string temporary_folder() {
  std::error_code ignored;
  const std::string folder = std::filesystem::temp_directory_path(ignored).string();
  return folder.empty() ? "/tmp" : folder;
}

Error no_room() {
  return Error("cannot be unpacked into " + temporary_folder() + ": " + std::strerror(errno) +
               "; TMPDIR names another folder, or gunzip -c FILE | coil stream needs none");
}

int make_temporary() {
  std::string name = temporary_folder() + "/coil-XXXXXX";
  const int descriptor = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor < 0) throw no_room();
  ::unlink(name.c_str());
  return descriptor;
}

void write_all(int descriptor, const char* data, size_t bytes) {
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor, data, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw no_room();
    data += written, bytes -= size_t(written);
  }
}

}  // namespace

bool is_gzip(int descriptor) {
  unsigned char begin[3] = {};
  return ::pread(descriptor, begin, sizeof begin, 0) == sizeof begin && begin[0] == 0x1f && begin[1] == 0x8b &&
         begin[2] == 8;
}

UnpackedFile unpack_gzip(int descriptor) {
  const int own = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (own < 0 || ::lseek(own, 0, SEEK_SET) < 0) throw Error(std::string("cannot be read: ") + std::strerror(errno));
  const std::unique_ptr<gzFile_s, decltype(&gzclose_r)> packed(::gzdopen(own, "rb"), ::gzclose_r);
  if (!packed) throw Error("cannot be unpacked: not enough memory");
  UnpackedFile file{make_temporary(), {}};
  try {
    std::vector<char> bytes(kReadBytes);
    for (int count = 1; count > 0;) {
      count = ::gzread(packed.get(), bytes.data(), unsigned(bytes.size()));
      if (count > 0) write_all(file.descriptor, bytes.data(), size_t(count));
    }
  } catch (...) {
    ::close(file.descriptor);
    throw;
  }
  int code = Z_OK;
  const char* said = ::gzerror(packed.get(), &code);
  if (code == Z_BUF_ERROR)
    file.damage = "ends in the middle of the compressed data";
  else if (code != Z_OK && code != Z_STREAM_END)
    file.damage = std::string("is damaged: ") + (code == Z_ERRNO ? std::strerror(errno) : said);
  ::lseek(file.descriptor, 0, SEEK_SET);
  return file;
}

}  // namespace coil::sensor
