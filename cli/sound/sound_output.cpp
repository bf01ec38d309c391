// libsndfile's callbacks on a part file.
#include "cli/sound/sound_output.h"

#include <sys/stat.h>
#include <unistd.h>

#include <string_view>

namespace coil::cli {
namespace {

int descriptor(void* output) { return static_cast<SoundOutput*>(output)->part().descriptor(); }

}  // namespace

SNDFILE* SoundOutput::open(SF_INFO& info) {
  SF_VIRTUAL_IO io = calls();
  return sf_open_virtual(&io, SFM_WRITE, &info, this);
}

SF_VIRTUAL_IO SoundOutput::calls() {
  SF_VIRTUAL_IO io = {};
  io.get_filelen = [](void* output) -> sf_count_t {
    struct stat found;
    return ::fstat(descriptor(output), &found) == 0 ? found.st_size : -1;
  };
  io.seek = [](sf_count_t offset, int whence, void* output) -> sf_count_t {
    return ::lseek(descriptor(output), offset, whence);
  };
  io.read = [](void* data, sf_count_t bytes, void* output) -> sf_count_t {
    return ::read(descriptor(output), data, static_cast<size_t>(bytes));
  };
  io.write = [](const void* data, sf_count_t bytes, void* output) {
    return static_cast<SoundOutput*>(output)->write(data, bytes);
  };
  io.tell = [](void* output) -> sf_count_t { return ::lseek(descriptor(output), 0, SEEK_CUR); };
  return io;
}

sf_count_t SoundOutput::write(const void* data, sf_count_t bytes) {
  if (part_.write({static_cast<const char*>(data), static_cast<size_t>(bytes)})) return bytes;
  if (error_.empty()) error_ = part_.error();
  return 0;
}

}  // namespace coil::cli
