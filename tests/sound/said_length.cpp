// Formats without chunks: an intact file is not reported as cut off, a truncated one is, and the existing sound is
// read.
#include <sndfile.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/sound/sound_reader.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;

constexpr int64_t kFrames = 3001;

int64_t read_all(cli::SoundReader& reader) {
  std::vector<float> block(size_t(512 * reader.info().channels));
  int64_t frames = 0;
  while (const int64_t more = reader.read(block)) frames += more;
  return frames;
}

struct Case {
  const char* name;
  int format, channels;
};

TEST_CASE("truncated files of formats without chunks are reported as such") {
  for (const Case& tried : std::vector<Case>{{"voc", SF_FORMAT_VOC | SF_FORMAT_PCM_16, 1},
                                             {"voc", SF_FORMAT_VOC | SF_FORMAT_PCM_U8, 1},
                                             {"voc", SF_FORMAT_VOC | SF_FORMAT_ULAW, 1},
                                             {"sph", SF_FORMAT_NIST | SF_FORMAT_PCM_16, 2},
                                             {"sph", SF_FORMAT_NIST | SF_FORMAT_PCM_24, 1},
                                             {"sph", SF_FORMAT_NIST | SF_FORMAT_ULAW, 2},
                                             {"avr", SF_FORMAT_AVR | SF_FORMAT_PCM_16, 2},
                                             {"avr", SF_FORMAT_AVR | SF_FORMAT_PCM_S8, 1},
                                             {"iff", SF_FORMAT_SVX | SF_FORMAT_PCM_16, 1},
                                             {"iff", SF_FORMAT_SVX | SF_FORMAT_PCM_S8, 1},
                                             {"mat", SF_FORMAT_MAT4 | SF_FORMAT_PCM_16, 2},
                                             {"mat", SF_FORMAT_MAT4 | SF_FORMAT_DOUBLE | SF_ENDIAN_BIG, 1},
                                             {"mat", SF_FORMAT_MAT5 | SF_FORMAT_PCM_16, 2},
                                             {"mat", SF_FORMAT_MAT5 | SF_FORMAT_FLOAT, 1},
                                             {"mpc", SF_FORMAT_MPC2K | SF_FORMAT_PCM_16, 2},
                                             {"sds", SF_FORMAT_SDS | SF_FORMAT_PCM_16, 1},
                                             {"sds", SF_FORMAT_SDS | SF_FORMAT_PCM_24, 1},
                                             {"paf", SF_FORMAT_PAF | SF_FORMAT_PCM_16, 2},
                                             {"paf", SF_FORMAT_PAF | SF_FORMAT_PCM_24, 1},
                                             {"sf", SF_FORMAT_IRCAM | SF_FORMAT_FLOAT, 2},
                                             {"sf", SF_FORMAT_IRCAM | SF_FORMAT_PCM_16, 1}}) {
    const test::TempDir folder;
    const std::filesystem::path path = folder / ("sound." + std::string(tried.name));
    SF_INFO info = {};
    info.samplerate = 8000, info.channels = tried.channels, info.format = tried.format;
    SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
    REQUIRE(file != nullptr);
    const std::vector<float> samples(size_t(kFrames * tried.channels), 0.25f);
    REQUIRE(sf_writef_float(file, samples.data(), kFrames) == kFrames);
    sf_close(file);
    const auto size = std::filesystem::file_size(path);
    for (const uintmax_t cut : {uintmax_t{0}, uintmax_t{3}, size / 3 | 1}) {  // odd, because PAF and IRCAM state no
                                                                              // length
      INFO(tried.name << std::hex << " " << tried.format << std::dec << " without its last " << cut << " bytes");
      std::filesystem::resize_file(path, size - cut);
      const auto reader = cli::open_reader(path);
      const int64_t frames = read_all(*reader);
      CHECK(reader->faults().truncated == (cut > 0));
      if (cut == 0) CHECK(frames >= kFrames);
      if (cut > 3) CHECK(frames > kFrames / 2);
    }
  }
}

}  // namespace
