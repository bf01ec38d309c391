// Containers and sample formats: what was asked for, what the input had, and what the output's container can hold.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace coil::cli {

// Formats are libsndfile's: container | sample format.

// How good an encoder with loss is to be: a quality from 0 to 10, the best, or a bit rate.
struct Quality {
  double value = 0;
  bool is_kbits = false;  // kbit/s of all channels together
};

// As given on the command line; empty: not asked for.
struct FormatRequest {
  std::string container;  // "wav", "flac" ...
  std::string bits;       // "8", "16", "24", "32", "32f", "64f"
  std::optional<Quality> quality;
  int sample_rate_hz = 0;
};

inline constexpr int kLowestRateHz = 1000, kHighestRateHz = 768000;  // that may be asked for

// "5", "7.5", "192k"; a number over 10 is kbit/s, too. Throws Failure. [main-thread]
Quality parse_quality(const std::string& text);

// Throws Failure when the names are unknown or do not go together. [main-thread]
void check_request(const FormatRequest& request);

struct OutputForm {
  int format = 0;
  int sample_rate_hz = 0;
};

// The output's format: the container asked for, else the one that the file's extension names; the sample format asked
// for, else the input's where the container can hold it, else the best that it can. Its rate: the one asked for, else
// the input's, else the next higher one that the format can hold, else the highest. Throws Failure. [any thread]
OutputForm choose_output(const FormatRequest& request, const std::filesystem::path& out, int input_format, int channels,
                         int input_rate_hz);

// Whether libsndfile writes this.
bool can_hold(int format, int channels, int sample_rate_hz);

bool is_sound_file_name(const std::filesystem::path& path);   // by its extension
std::string extension_of_container(const std::string& name);  // ".flac" for "flac"

int integer_bits(int format);  // of a lossless integer sample format, 0 for float and for lossy ones
// How many bits of a sample the format's encoder looks at: at least integer_bits(); 0 where it takes floats.
int encoder_bits(int format);
// The largest magnitude that an encoding keeps; 1: full scale. Infinite in floating point.
float largest_sample(int format);
bool container_can_hold_float(int format);
// Whether the file's encoder takes a Quality, as far as its name or `request` tells: MP3, Ogg Vorbis, Opus.
bool takes_quality(const FormatRequest& request, const std::filesystem::path& out);

// "wav, 24-bit PCM"
std::string describe_format(int format);

}  // namespace coil::cli
