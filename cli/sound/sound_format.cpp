// Tables of containers and sample formats, in addition to libsndfile's own.
#include "cli/sound/sound_format.h"

#include <sndfile.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <iterator>
#include <string_view>
#include <limits>
#include <vector>

#include "cli/failure.h"
#include "cli/text.h"

namespace coil::cli {
namespace {

struct Container {
  const char* name;
  int major;
  int subtype;  // implied by the name; 0: any
};

// A container's first name is the one shown, and its extension.
constexpr Container kContainers[] = {
    {"wav", SF_FORMAT_WAV, 0},
    {"wave", SF_FORMAT_WAV, 0},
    {"bwf", SF_FORMAT_WAV, 0},
    {"wavex", SF_FORMAT_WAVEX, 0},
    {"rf64", SF_FORMAT_RF64, 0},
    {"w64", SF_FORMAT_W64, 0},
    {"aiff", SF_FORMAT_AIFF, 0},
    {"aif", SF_FORMAT_AIFF, 0},
    {"aifc", SF_FORMAT_AIFF, 0},
    {"caf", SF_FORMAT_CAF, 0},
    {"flac", SF_FORMAT_FLAC, 0},
    {"ogg", SF_FORMAT_OGG, 0},
    {"oga", SF_FORMAT_OGG, 0},
    {"opus", SF_FORMAT_OGG, SF_FORMAT_OPUS},
    {"mp3", SF_FORMAT_MPEG, SF_FORMAT_MPEG_LAYER_III},
    {"mp2", SF_FORMAT_MPEG, SF_FORMAT_MPEG_LAYER_II},
    {"au", SF_FORMAT_AU, 0},
    {"snd", SF_FORMAT_AU, 0},
    {"avr", SF_FORMAT_AVR, 0},
    {"htk", SF_FORMAT_HTK, 0},
    {"iff", SF_FORMAT_SVX, 0},
    {"svx", SF_FORMAT_SVX, 0},
    {"mat", SF_FORMAT_MAT5, 0},
    {"mpc", SF_FORMAT_MPC2K, 0},
    {"nist", SF_FORMAT_NIST, 0},
    {"sph", SF_FORMAT_NIST, 0},
    {"paf", SF_FORMAT_PAF, 0},
    {"pvf", SF_FORMAT_PVF, 0},
    {"sds", SF_FORMAT_SDS, 0},
    {"sf", SF_FORMAT_IRCAM, 0},
    {"voc", SF_FORMAT_VOC, 0},
    {"wve", SF_FORMAT_WVE, 0},
    {"xi", SF_FORMAT_XI, 0},
};

struct Bits {
  const char* name;
  std::vector<int> subtypes;  // formats of this bit depth
};

const std::vector<Bits>& bit_depths() {
  static const std::vector<Bits> depths = {{"8", {SF_FORMAT_PCM_S8, SF_FORMAT_PCM_U8}},
                                           {"16", {SF_FORMAT_PCM_16, SF_FORMAT_ALAC_16}},
                                           {"24", {SF_FORMAT_PCM_24, SF_FORMAT_ALAC_24}},
                                           {"32", {SF_FORMAT_PCM_32, SF_FORMAT_ALAC_32}},
                                           {"32f", {SF_FORMAT_FLOAT}},
                                           {"64f", {SF_FORMAT_DOUBLE}}};
  return depths;
}

const Container* find_container(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const Container& container : kContainers) {
    if (name == container.name) return &container;
  }
  return nullptr;
}

const Bits* find_bits(const std::string& name) {
  for (const Bits& bits : bit_depths()) {
    if (name == bits.name) return &bits;
  }
  return nullptr;
}

const Container* container_of_path(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  return extension.empty() ? nullptr : find_container(extension.substr(1));
}

constexpr int kOpusRatesHz[] = {8000, 12000, 16000, 24000, 48000};
constexpr int kMp3RatesHz[] = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000};

// Sample formats to try, best first, if the container does not support the input's.
std::vector<int> substitutes(int input_format) {
  const std::vector<int> lossy = {SF_FORMAT_VORBIS, SF_FORMAT_OPUS, SF_FORMAT_MPEG_LAYER_III};
  std::vector<int> list;
  switch (input_format & SF_FORMAT_SUBMASK) {
    case SF_FORMAT_PCM_S8:
    case SF_FORMAT_PCM_U8:
    case SF_FORMAT_DPCM_8:
      list = {SF_FORMAT_PCM_S8, SF_FORMAT_PCM_U8, SF_FORMAT_PCM_16, SF_FORMAT_PCM_24};
      break;
    case SF_FORMAT_PCM_16:
    case SF_FORMAT_ALAC_16:
    case SF_FORMAT_DPCM_16:
    case SF_FORMAT_DWVW_12:
    case SF_FORMAT_DWVW_16:
      list = {SF_FORMAT_PCM_16, SF_FORMAT_DPCM_16, SF_FORMAT_PCM_24, SF_FORMAT_PCM_S8};
      break;
    case SF_FORMAT_PCM_32:
    case SF_FORMAT_ALAC_32:
      list = {SF_FORMAT_PCM_32, SF_FORMAT_PCM_24, SF_FORMAT_PCM_16, SF_FORMAT_PCM_S8};
      break;
    case SF_FORMAT_FLOAT:
    case SF_FORMAT_DOUBLE:
      list = {SF_FORMAT_FLOAT, SF_FORMAT_PCM_24, SF_FORMAT_PCM_16, SF_FORMAT_DPCM_16, SF_FORMAT_PCM_S8};
      break;
    default:
      list = {SF_FORMAT_PCM_24, SF_FORMAT_PCM_16, SF_FORMAT_DPCM_16, SF_FORMAT_PCM_S8};
  }
  list.insert(list.end(), lossy.begin(), lossy.end());
  list.push_back(SF_FORMAT_ALAW);
  return list;
}

// First the rate itself, then higher rates, nearest first, then lower ones.
std::vector<int> rates_to_try(int wanted_hz) {
  constexpr int kUsual[] = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000};
  std::vector<int> rates = {wanted_hz};
  const auto above = std::ranges::upper_bound(kUsual, wanted_hz), below = std::ranges::lower_bound(kUsual, wanted_hz);
  rates.insert(rates.end(), above, std::end(kUsual));
  rates.insert(rates.end(), std::reverse_iterator(below), std::reverse_iterator(std::begin(kUsual)));
  return rates;
}

std::string names_of_containers() {
  std::string list;
  int last = 0;
  for (const Container& container : kContainers) {
    if (container.major != last || container.subtype != 0)
      list += (list.empty() ? "" : ", ") + std::string(container.name);
    last = container.major;
  }
  return list;
}

}  // namespace

bool can_hold(int format, int channels, int sample_rate_hz) {
  // libsndfile's check accepts some MPEG formats and a DWVW format that it cannot write.
  if ((format & SF_FORMAT_SUBMASK) == SF_FORMAT_DWVW_12) return false;
  const bool is_mp3 = (format & SF_FORMAT_SUBMASK) == SF_FORMAT_MPEG_LAYER_III;
  if (is_mp3 != ((format & SF_FORMAT_TYPEMASK) == SF_FORMAT_MPEG)) return false;
  // It does not know which rates these two support.
  const bool is_opus = (format & SF_FORMAT_SUBMASK) == SF_FORMAT_OPUS;
  if (is_opus && std::ranges::find(kOpusRatesHz, sample_rate_hz) == std::end(kOpusRatesHz)) return false;
  if (is_mp3 && std::ranges::find(kMp3RatesHz, sample_rate_hz) == std::end(kMp3RatesHz)) return false;
  // It does not know what these encoders refuse, either.
  constexpr int kMostXiphChannels = 255, kMostVorbisHz = 200000, kMostFlacHz = 655350;
  const bool is_vorbis = (format & SF_FORMAT_SUBMASK) == SF_FORMAT_VORBIS;
  const bool is_flac = (format & SF_FORMAT_TYPEMASK) == SF_FORMAT_FLAC;
  if ((is_opus || is_vorbis) && channels > kMostXiphChannels) return false;
  if ((is_vorbis && sample_rate_hz > kMostVorbisHz) || (is_flac && sample_rate_hz > kMostFlacHz)) return false;
  SF_INFO info = {};
  info.format = format;
  info.channels = channels;
  info.samplerate = sample_rate_hz;
  return sf_format_check(&info) != 0;
}

void check_request(const FormatRequest& request) {
  if (!request.container.empty() && find_container(request.container) == nullptr) {
    throw Failure(kUsage, "--format " + request.container + ": unknown; the formats are: " + names_of_containers());
  }
  if (!request.bits.empty() && find_bits(request.bits) == nullptr) {
    throw Failure(kUsage,
                  "--bits " + request.bits + ": expected 8, 16, 24, 32 (integers), 32f or 64f (floating point)");
  }
}

Quality parse_quality(const std::string& text) {
  constexpr double kBest = 10, kMostKbits = 4096;
  Quality quality;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, quality.value);
  const bool has_unit = error == std::errc() && std::string_view(rest, static_cast<size_t>(end - rest)) == "k";
  quality.is_kbits = has_unit || quality.value > kBest;
  const bool is_number = error == std::errc() && (rest == end || has_unit);
  if (!is_number || !(quality.value >= (quality.is_kbits ? 1 : 0) && quality.value <= kMostKbits)) {
    throw Failure(kUsage, "--quality " + text +
                              ": expected a quality from 0 to 10 (the best), or a bit rate in kbit/s such as 192k");
  }
  return quality;
}

OutputForm choose_output(const FormatRequest& request, const std::filesystem::path& out, int input_format, int channels,
                         int input_rate_hz) {
  const Container* container = request.container.empty() ? container_of_path(out) : find_container(request.container);
  if (container == nullptr) {
    throw Failure(kUsage, "cannot tell the format of " + in_quotes(out) +
                              " from its extension; use --format with one of: " + names_of_containers());
  }
  // WAVEX is WAV with an extended header; keep it if the input has it.
  const int input_major = input_format & SF_FORMAT_TYPEMASK;
  const int major =
      container->major == SF_FORMAT_WAV && input_major == SF_FORMAT_WAVEX ? SF_FORMAT_WAVEX : container->major;

  std::vector<int> candidates;
  if (!request.bits.empty()) {
    candidates = find_bits(request.bits)->subtypes;
  } else if (container->subtype != 0) {
    candidates = {container->subtype};
  } else {
    candidates = substitutes(input_format);
    // A compressed format is kept in the same container, but not used in others.
    const int subtype = input_format & SF_FORMAT_SUBMASK;
    const bool is_linear = integer_bits(input_format) > 0 || subtype == SF_FORMAT_FLOAT || subtype == SF_FORMAT_DOUBLE;
    if (is_linear || input_major == major) candidates.insert(candidates.begin(), subtype);
  }
  const int wanted_hz = request.sample_rate_hz > 0 ? request.sample_rate_hz : input_rate_hz;
  std::string possible;
  for (const int rate_hz : rates_to_try(wanted_hz)) {
    for (const int subtype : candidates) {
      if (!can_hold(major | subtype, channels, rate_hz)) continue;
      if (rate_hz == wanted_hz || request.sample_rate_hz == 0) return {major | subtype, rate_hz};
      possible += (possible.empty() ? "" : ", ") + std::to_string(rate_hz);
      break;
    }
  }
  const std::string what = in_quotes(out) + ": " + container->name + " cannot hold ";
  if (!possible.empty()) throw Failure(kFailed, what + std::to_string(wanted_hz) + " Hz; --rate can be " + possible);
  throw Failure(kFailed, what + std::to_string(channels) + (channels == 1 ? " channel" : " channels") + " at " +
                             std::to_string(wanted_hz) + " Hz" +
                             (request.bits.empty() ? "" : " in " + request.bits + " bits") +
                             "; choose another --format" + (request.bits.empty() ? "" : " or --bits"));
}

bool takes_quality(const FormatRequest& request, const std::filesystem::path& out) {
  const Container* container = request.container.empty() ? container_of_path(out) : find_container(request.container);
  return container != nullptr && (container->major == SF_FORMAT_OGG || container->major == SF_FORMAT_MPEG);
}

bool is_sound_file_name(const std::filesystem::path& path) { return container_of_path(path) != nullptr; }

std::string extension_of_container(const std::string& name) {
  const int major = find_container(name)->major;
  return "." + std::string(major == SF_FORMAT_WAVEX ? "wav" : find_container(name)->name);
}

int integer_bits(int format) {
  switch (format & SF_FORMAT_SUBMASK) {
    case SF_FORMAT_PCM_S8:
    case SF_FORMAT_PCM_U8:
    case SF_FORMAT_DPCM_8:
      return 8;
    case SF_FORMAT_DWVW_12:
      return 12;
    case SF_FORMAT_PCM_16:
    case SF_FORMAT_DPCM_16:
    case SF_FORMAT_ALAC_16:
    case SF_FORMAT_DWVW_16:
      return 16;
    case SF_FORMAT_ALAC_20:
      return 20;
    case SF_FORMAT_PCM_24:
    case SF_FORMAT_ALAC_24:
    case SF_FORMAT_DWVW_24:
      return 24;
    case SF_FORMAT_PCM_32:
    case SF_FORMAT_ALAC_32:
      return 32;
    default:
      return 0;
  }
}

int encoder_bits(int format) {
  if (const int bits = integer_bits(format)) return bits;
  switch (format & SF_FORMAT_SUBMASK) {
    case SF_FORMAT_FLOAT:
    case SF_FORMAT_DOUBLE:
    case SF_FORMAT_VORBIS:
    case SF_FORMAT_OPUS:
    case SF_FORMAT_MPEG_LAYER_I:
    case SF_FORMAT_MPEG_LAYER_II:
    case SF_FORMAT_MPEG_LAYER_III:
      return 0;
    case SF_FORMAT_ULAW:
      return 14;
    case SF_FORMAT_ALAW:
      return 13;
    default:
      return 16;
  }
}

float largest_sample(int format) {
  switch (format & SF_FORMAT_SUBMASK) {
    case SF_FORMAT_FLOAT:
    case SF_FORMAT_DOUBLE:
      return std::numeric_limits<float>::infinity();
    case SF_FORMAT_G721_32:
    case SF_FORMAT_G723_24:
    case SF_FORMAT_G723_40:
    case SF_FORMAT_NMS_ADPCM_24:
    case SF_FORMAT_NMS_ADPCM_32:
      return 0.6f;  // their decoders overshoot, and wrap around at full scale
    default:
      return 1;
  }
}

bool container_can_hold_float(int format) {
  return can_hold((format & SF_FORMAT_TYPEMASK) | SF_FORMAT_FLOAT, 1, 48000);
}

std::string describe_format(int format) {
  const auto name = [](int part) {
    SF_FORMAT_INFO info = {};
    info.format = part;
    return sf_command(nullptr, SFC_GET_FORMAT_INFO, &info, sizeof info) == 0 && info.name ? std::string(info.name)
                                                                                          : "unknown";
  };
  return name(format & SF_FORMAT_TYPEMASK) + ", " + name(format & SF_FORMAT_SUBMASK);
}

}  // namespace coil::cli
