// Every encoding that libsndfile writes, with samples far beyond full scale: they are clipped, nothing wraps around,
// nothing crashes.
#include <sndfile.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <numbers>
#include <set>
#include <vector>

#include "cli/sound/sound_format.h"
#include "cli/sound/sound_reader.h"
#include "cli/sound/sound_writer.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;

constexpr int kFrames = 16000;

class NoMetadata final : public cli::SoundReader {
 public:
  int64_t read(std::span<float>) override { return 0; }
  cli::SoundFaults faults() const override { return {}; }
};

// container | encoding: each pair that libsndfile claims to write with one channel at `rate_hz`.
std::vector<int> written_formats(int rate_hz) {
  std::vector<int> formats;
  int majors = 0, subtypes = 0;
  sf_command(nullptr, SFC_GET_FORMAT_MAJOR_COUNT, &majors, sizeof majors);
  sf_command(nullptr, SFC_GET_FORMAT_SUBTYPE_COUNT, &subtypes, sizeof subtypes);
  for (int i = 0; i < majors * subtypes; ++i) {
    SF_FORMAT_INFO major = {}, subtype = {};
    major.format = i / subtypes;
    subtype.format = i % subtypes;
    sf_command(nullptr, SFC_GET_FORMAT_MAJOR, &major, sizeof major);
    sf_command(nullptr, SFC_GET_FORMAT_SUBTYPE, &subtype, sizeof subtype);
    SF_INFO info = {};
    info.format = major.format | subtype.format;
    info.channels = 1;
    info.samplerate = rate_hz;
    // Headerless files cannot be read back. libsndfile's check accepts some MPEG formats and a DWVW format that it
    // cannot write.
    if (major.format == SF_FORMAT_RAW || major.format == SF_FORMAT_SD2) continue;
    if ((major.format == SF_FORMAT_MPEG) != (subtype.format == SF_FORMAT_MPEG_LAYER_III)) continue;
    if (subtype.format == SF_FORMAT_DWVW_12) continue;
    if (sf_format_check(&info) != 0) formats.push_back(info.format);
  }
  return formats;
}

std::vector<float> sine(float amplitude) {
  std::vector<float> samples(kFrames);
  for (int i = 0; i < kFrames; ++i)
    samples[i] = amplitude * static_cast<float>(std::sin(2 * std::numbers::pi * i / 160));
  return samples;
}

// Written by Coil's writer, then read by its reader.
std::vector<float> there_and_back(int format, int rate_hz, const std::vector<float>& samples) {
  const test::TempDir folder;
  const std::filesystem::path path = folder / "sound";
  cli::SoundInfo info;
  info.sample_rate_hz = rate_hz;
  info.channels = 1;
  info.format = format;
  info.frames = static_cast<int64_t>(samples.size());
  NoMetadata none;
  const auto writer = cli::open_writer(path, info, true, {}, none);
  writer->write(samples);
  writer->commit();
  const auto reader = cli::open_reader(path);
  std::vector<float> back(2 * samples.size() + 8192);
  back.resize(static_cast<size_t>(reader->read(back)));
  return back;
}

float rms(const std::vector<float>& samples) {
  double sum = 0;
  for (float sample : samples) sum += static_cast<double>(sample) * sample;
  return static_cast<float>(std::sqrt(sum / std::max<size_t>(samples.size(), 1)));
}

// At the best of a few delays, which lossy codecs have; over whole periods in the middle.
double correlation(const std::vector<float>& a, const std::vector<float>& b) {
  double best = -1;
  for (int delay = 0; delay < 160; ++delay) {
    double ab = 0, aa = 0, bb = 0;
    for (int i = 3200; i < 9600; ++i) {
      const double x = a[i], y = static_cast<size_t>(i + delay) < b.size() ? b[i + delay] : 0;
      ab += x * y;
      aa += x * x;
      bb += y * y;
    }
    best = std::max(best, ab / std::sqrt(std::max(aa * bb, 1e-30)));
  }
  return best;
}

TEST_CASE("samples beyond full scale are cut off in every encoding") {
  std::set<int> tried;
  for (int rate_hz : {8000, 48000}) {
    for (int format : written_formats(rate_hz)) {
      if (!tried.insert(format).second || std::isinf(cli::largest_sample(format))) continue;
      INFO(cli::describe_format(format));
      for (float amplitude : {1.5f, 1e3f, 1e10f, 3e38f}) {
        INFO("amplitude " << amplitude);
        const std::vector<float> loud = sine(amplitude);
        std::vector<float> cut = loud;
        const float largest = cli::largest_sample(format);
        for (float& sample : cut) sample = std::clamp(sample, -largest, largest);
        const std::vector<float> back = there_and_back(format, rate_hz, loud);
        REQUIRE(back.size() >= kFrames);
        // A sample that wraps around is at the other end of the scale.
        CHECK(correlation(cut, back) > 0.9);
        CHECK(rms(back) == Approx(rms(cut)).epsilon(0.2));
      }
    }
  }
  CHECK(tried.size() > 80);
}

TEST_CASE("each code of mu-law and A-law is kept") {
  for (int format : {SF_FORMAT_AU | SF_FORMAT_ULAW, SF_FORMAT_AU | SF_FORMAT_ALAW}) {
    INFO(cli::describe_format(format));
    const test::TempDir folder;
    std::vector<unsigned char> codes(256);
    for (int i = 0; i < 256; ++i) codes[i] = static_cast<unsigned char>(i);
    SF_INFO info = {};
    info.samplerate = 8000;
    info.channels = 1;
    info.format = format;
    SNDFILE* file = sf_open((folder / "codes").c_str(), SFM_WRITE, &info);
    sf_write_raw(file, codes.data(), 256);
    sf_close(file);
    std::vector<float> samples(256);
    REQUIRE(cli::open_reader(folder / "codes")->read(samples) == 256);
    CHECK(there_and_back(format, 8000, samples) == samples);
  }
}

TEST_CASE("the encoder's bits are at least those of the format") {
  for (int rate_hz : {8000, 48000}) {
    for (int format : written_formats(rate_hz)) {
      INFO(cli::describe_format(format));
      CHECK(cli::encoder_bits(format) >= cli::integer_bits(format));
      CHECK((std::isfinite(cli::largest_sample(format)) || cli::encoder_bits(format) == 0));
    }
  }
}

}  // namespace
