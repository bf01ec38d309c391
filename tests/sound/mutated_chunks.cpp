// Thousands of damaged sound files, from fixed seeds: every one must be read or be refused with a Failure, nothing
// else.
#include <sndfile.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "tests/fuzz/chunk_walk_check.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;

std::string made(int format) {
  const test::TempDir folder;
  SF_INFO info = {};
  info.samplerate = 48000;
  info.channels = 2;
  info.format = format;
  SNDFILE* file = sf_open((folder / "sound").c_str(), SFM_WRITE, &info);
  REQUIRE(file != nullptr);
  sf_set_string(file, SF_STR_TITLE, "A title");
  sf_set_string(file, SF_STR_COMMENT, "A remark");
  const std::vector<float> samples(240, 0.25f);
  sf_writef_float(file, samples.data(), 120);
  sf_close(file);
  std::ifstream bytes(folder / "sound", std::ios::binary);
  std::ostringstream text;
  text << bytes.rdbuf();
  return text.str();
}

std::string mutated(std::string bytes, std::mt19937& random) {
  static const std::vector<std::string> kTokens = {"data",
                                                   "fmt ",
                                                   "LIST",
                                                   "INFO",
                                                   "SSND",
                                                   "COMM",
                                                   "MARK",
                                                   "cue ",
                                                   "smpl",
                                                   "bext",
                                                   "ds64",
                                                   "desc",
                                                   "pakt",
                                                   "kuki",
                                                   "chan",
                                                   std::string(4, '\0'),
                                                   std::string(4, '\xff'),
                                                   std::string(8, '\xff'),
                                                   std::string("\x10\0\0\0", 4),
                                                   std::string("\0\0\0\x10", 4),
                                                   std::string("\xf8\xff\xff\xff", 4),
                                                   std::string("\x7f\xff\xff\xff", 4),
                                                   std::string("\0\0\0\x80", 4)};
  const auto below = [&](size_t count) { return random() % std::max<size_t>(count, 1); };
  for (size_t changes = 1 + below(4); changes > 0; --changes) {
    const size_t at = below(std::min<size_t>(bytes.size(), 300));
    switch (below(5)) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1: {
        const std::string& token = kTokens[below(kTokens.size())];
        bytes.replace(at, std::min(token.size(), bytes.size() - at), token);
        break;
      }
      case 2:
        bytes.insert(at, kTokens[below(kTokens.size())]);
        break;
      case 3:
        bytes.erase(at, 1 + below(8));
        break;
      default:
        bytes.resize(below(bytes.size()));
    }
    if (bytes.empty()) bytes = "RIFF";
  }
  return bytes;
}

TEST_CASE("mutated sound files are read or refused") {
  constexpr int kMutations = 20000;
  std::vector<std::string> files;
  for (int format :
       {SF_FORMAT_WAV | SF_FORMAT_PCM_16, SF_FORMAT_WAV | SF_FORMAT_PCM_16 | SF_ENDIAN_BIG,
        SF_FORMAT_WAVEX | SF_FORMAT_PCM_24, SF_FORMAT_RF64 | SF_FORMAT_FLOAT, SF_FORMAT_W64 | SF_FORMAT_PCM_16,
        SF_FORMAT_AIFF | SF_FORMAT_PCM_16, SF_FORMAT_AIFF | SF_FORMAT_IMA_ADPCM, SF_FORMAT_CAF | SF_FORMAT_PCM_16,
        SF_FORMAT_CAF | SF_FORMAT_ALAC_16, SF_FORMAT_AU | SF_FORMAT_PCM_16, SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM,
        SF_FORMAT_WAV | SF_FORMAT_MS_ADPCM}) {
    files.push_back(made(format));
  }
  int counts[4] = {};
  for (int i = 0; i < kMutations; ++i) {
    INFO("mutation " << i);
    std::mt19937 random(static_cast<unsigned>(i));
    const std::string bytes = mutated(files[random() % files.size()], random);
    const std::span<const uint8_t> span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    const auto as_file = test::walk_and_read(std::make_shared<cli::MemoryBytes>(span), bytes.size());
    const auto as_pipe = test::walk_and_read(std::make_shared<test::StreamedBytes>(span), bytes.size());
    REQUIRE(as_file != test::WalkOutcome::broken);
    REQUIRE(as_pipe != test::WalkOutcome::broken);
    ++counts[static_cast<int>(as_file)];
  }
  // Each way out was taken often, else the mutations test nothing.
  CHECK(counts[static_cast<int>(test::WalkOutcome::refused)] > 1000);
  CHECK(counts[static_cast<int>(test::WalkOutcome::read)] > 5000);
}

}  // namespace
