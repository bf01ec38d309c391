// libsndfile's callbacks for a part file.
#include "cli/sound/sound_output.h"

#include <sys/stat.h>
#include <unistd.h>

#include <string_view>

namespace coil::cli {
namespace {

SoundOutput& self(void* output) { return *static_cast<SoundOutput*>(output); }

int descriptor(void* output) { return self(output).part().descriptor(); }

}  // namespace

SNDFILE* SoundOutput::open(SF_INFO& info) {
  SF_VIRTUAL_IO io = calls();
  return sf_open_virtual(&io, SFM_WRITE, &info, this);
}

SF_VIRTUAL_IO SoundOutput::calls() {
  SF_VIRTUAL_IO io = {};
  io.get_filelen = [](void* output) -> sf_count_t {
    struct stat found;
    return ::fstat(descriptor(output), &found) == 0 ? self(output).in_view(found.st_size) : -1;
  };
  io.seek = [](sf_count_t offset, int whence, void* output) -> sf_count_t {
    const SoundOutput& sound = self(output);
    struct stat found = {};
    if (whence == SEEK_END && ::fstat(descriptor(output), &found) != 0) return -1;
    const off_t from = whence == SEEK_SET   ? 0
                       : whence == SEEK_END ? sound.in_view(found.st_size)
                                            : sound.in_view(::lseek(descriptor(output), 0, SEEK_CUR));
    const off_t place = ::lseek(descriptor(output), sound.in_file(from + offset), SEEK_SET);
    return place < 0 ? place : sound.in_view(place);
  };
  io.read = [](void* data, sf_count_t bytes, void* output) -> sf_count_t {
    return ::read(descriptor(output), data, static_cast<size_t>(bytes));
  };
  io.write = [](const void* data, sf_count_t bytes, void* output) { return self(output).write(data, bytes); };
  io.tell = [](void* output) -> sf_count_t { return self(output).in_view(::lseek(descriptor(output), 0, SEEK_CUR)); };
  return io;
}

sf_count_t SoundOutput::write(const void* data, sf_count_t bytes) {
  const int64_t place = in_view(::lseek(part_.descriptor(), 0, SEEK_CUR));
  const sf_count_t before = std::clamp<int64_t>(room_at_ - place, 0, bytes);
  if (before > 0 && !write_all(data, before)) return 0;
  if (before == bytes) return bytes;
  if (room_ > 0) ::lseek(part_.descriptor(), in_file(place + before), SEEK_SET);
  return write_all(static_cast<const char*>(data) + before, bytes - before) ? bytes : 0;
}

bool SoundOutput::write_all(const void* data, sf_count_t bytes) {
  if (part_.write({static_cast<const char*>(data), static_cast<size_t>(bytes)})) return true;
  if (error_.empty()) error_ = part_.error();
  return false;
}

}  // namespace coil::cli
