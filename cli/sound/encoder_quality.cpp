// Converts a quality or bit rate to libsndfile's compression level of each encoder.
#include "cli/sound/encoder_quality.h"

#include <opusfile.h>
#include <opusproperties.h>
#include <mpegfile.h>
#include <mpegproperties.h>
#include <vorbis/vorbisenc.h>
#include <vorbisfile.h>
#include <vorbisproperties.h>

#include <algorithm>
#include <cmath>
#include <span>

namespace coil::cli {
namespace {

constexpr double kBest = 10;                  // of Quality
constexpr double kWorstVbrOfLame = 0.9999;    // libsndfile refuses 1
constexpr double kUsualVorbis = 0.4;          // libsndfile's
constexpr int kUsualMp3KbitsPerChannel = 64;  // at 32 kHz and more; half of it below
constexpr int kSurroundOpusKbitsPerChannel = 80;
constexpr double kVorbisShortfall = 1.4;  // ratio of the nominal bit rate to that of simple sounds

constexpr double kMeasuredShare = 0.98;  // of a measured bit rate: a file of 320 kbit/s with one extra frame is not 321

struct Mp3Rates {
  std::span<const int> kbits;
  int most() const { return kbits.back(); }
  int least() const { return kbits.front(); }
};

// ISO 11172-3 and 13818-3. libsndfile's compression level selects between the first and the last rate, except for MPEG
// 1.
Mp3Rates mp3_rates(int sample_rate_hz) {
  static constexpr int kMpeg1[] = {32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320};
  static constexpr int kMpeg2[] = {8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160};
  static constexpr int kMpeg25[] = {8, 16, 24, 32, 40, 48, 56, 64};
  if (sample_rate_hz >= 32000) return {kMpeg1};
  if (sample_rate_hz >= 16000) return {kMpeg2};
  return {kMpeg25};
}

EncoderSetting mp3_of_kbits(double kbits, const SoundInfo& output) {
  const Mp3Rates rates = mp3_rates(output.sample_rate_hz);
  const auto enough = std::ranges::find_if(rates.kbits, [&](int rate) { return rate >= kbits; });
  EncoderSetting setting;
  setting.is_constant = true;
  const int chosen = enough == rates.kbits.end() ? rates.most() : *enough;
  if (chosen < kbits) setting.most_kbits = chosen;
  // libsndfile truncates kbit/s to an integer.
  setting.compression = std::clamp((rates.most() - chosen - 0.5) / (rates.most() - rates.least()), 0.0, 1.0);
  return setting;
}

// For the encoder's quality from 0 to 1; 0: the encoder cannot say.
double nominal_kbits(double quality, const SoundInfo& output) {
  vorbis_info info;
  vorbis_info_init(&info);
  const bool is_set =
      vorbis_encode_init_vbr(&info, output.channels, output.sample_rate_hz, static_cast<float>(quality)) == 0;
  const double kbits = is_set ? static_cast<double>(info.bitrate_nominal) / 1000 : 0;
  vorbis_info_clear(&info);
  return kbits;
}

EncoderSetting vorbis_of_kbits(double kbits, const SoundInfo& output, double least_quality) {
  EncoderSetting setting;
  double low = least_quality, high = 1;
  const double most = nominal_kbits(high, output);
  if (most < kbits) {
    setting.most_kbits = static_cast<int>(most);
    low = high;
  }
  if (nominal_kbits(low, output) >= kbits) high = low;
  constexpr double kFine = 1e-3;
  while (high - low > kFine) {
    const double middle = (low + high) / 2;
    (nominal_kbits(middle, output) >= kbits ? high : low) = middle;
  }
  setting.compression = 1 - high;
  return setting;
}

// libsndfile: 6 to 256 kbit/s per channel.
EncoderSetting opus_of_kbits(double kbits, const SoundInfo& output) {
  constexpr double kLeast = 6, kMost = 256;
  const double per_channel = kbits / output.channels;
  EncoderSetting setting;
  if (per_channel > kMost) setting.most_kbits = static_cast<int>(kMost) * output.channels;
  setting.compression = 1 - std::clamp((per_channel - kLeast) / (kMost - kLeast), 0.0, 1.0);
  return setting;
}

// The encoder's default; higher for surround, because the default drops sound that is weak in one channel of a pair.
double usual_opus_kbits(const SoundInfo& output) {
  if (output.channels > 2) return kSurroundOpusKbitsPerChannel * output.channels;
  return 24 + output.channels * output.sample_rate_hz / 1000.0;
}

}  // namespace

int bit_rate_of(const std::filesystem::path& path, int format) {
  const auto larger = [](int a, int b) { return std::max({a, b, 0}); };
  switch (format & SF_FORMAT_SUBMASK) {
    case SF_FORMAT_MPEG_LAYER_I:
    case SF_FORMAT_MPEG_LAYER_II:
    case SF_FORMAT_MPEG_LAYER_III: {
      const TagLib::MPEG::File file(path.c_str());
      return file.isValid() && file.audioProperties() != nullptr ? larger(file.audioProperties()->bitrate(), 0) : 0;
    }
    case SF_FORMAT_VORBIS: {
      const TagLib::Ogg::Vorbis::File file(path.c_str());
      if (!file.isValid() || file.audioProperties() == nullptr) return 0;
      return larger(file.audioProperties()->bitrate(), file.audioProperties()->bitrateNominal() / 1000);
    }
    case SF_FORMAT_OPUS: {
      const TagLib::Ogg::Opus::File file(path.c_str());
      return file.isValid() && file.audioProperties() != nullptr ? larger(file.audioProperties()->bitrate(), 0) : 0;
    }
    default:
      return 0;
  }
}

EncoderSetting choose_setting(const std::optional<Quality>& quality, const SoundInfo& output, int input_kbits) {
  const bool is_surround_opus = (output.format & SF_FORMAT_SUBMASK) == SF_FORMAT_OPUS && output.channels > 2;
  if (!quality && input_kbits == 0 && !is_surround_opus) return {};
  const bool is_vbr = quality && !quality->is_kbits;
  const double kbits = quality ? quality->value : input_kbits;
  EncoderSetting setting;
  switch (output.format & SF_FORMAT_SUBMASK) {
    case SF_FORMAT_MPEG_LAYER_III:
      if (!is_vbr) {
        const double usual = kUsualMp3KbitsPerChannel * output.channels * (output.sample_rate_hz < 32000 ? 0.5 : 1);
        return mp3_of_kbits(quality ? kbits : std::max(kMeasuredShare * kbits, usual), output);
      }
      setting.compression = std::min(1 - quality->value / kBest, kWorstVbrOfLame);
      return setting;
    case SF_FORMAT_VORBIS:
      if (quality && !is_vbr) return vorbis_of_kbits(kbits, output, 0);
      if (!is_vbr) {
        setting = vorbis_of_kbits(kVorbisShortfall * kbits, output, kUsualVorbis);
        if (setting.most_kbits >= kbits) setting.most_kbits = 0;
        return setting;
      }
      break;
    case SF_FORMAT_OPUS:
      if (!is_vbr) return opus_of_kbits(quality ? kbits : std::max(kbits, usual_opus_kbits(output)), output);
      break;
    default:
      return setting;
  }
  setting.compression = 1 - quality->value / kBest;
  return setting;
}

void apply_setting(SNDFILE* file, const EncoderSetting& setting) {
  if (setting.is_constant) {
    int mode = SF_BITRATE_MODE_CONSTANT;
    sf_command(file, SFC_SET_BITRATE_MODE, &mode, sizeof mode);
  }
  if (setting.compression) {
    double compression = *setting.compression;
    sf_command(file, SFC_SET_COMPRESSION_LEVEL, &compression, sizeof compression);
  }
}

}  // namespace coil::cli
