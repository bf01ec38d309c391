// Containers and sample formats: what was requested, what the input has, and what the output's container supports.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace coil::cli {

// Formats are libsndfile's: container | sample format.

// The quality of a lossy encoder: from 0 to 10, the best, or a bit rate.
struct Quality {
  double value = 0;
  bool is_kbits = false;  // kbit/s over all channels
};

// As given on the command line; empty: not requested.
struct FormatRequest {
  std::string container;  // "wav", "flac" ...
  std::string bits;       // "8", "16", "24", "32", "32f", "64f"
  std::optional<Quality> quality;
  int sample_rate_hz = 0;
};

inline constexpr int kLowestRateHz = 1000, kHighestRateHz = 768000;  // limits of the option

// "5", "7.5", "192k"; a number above 10 also means kbit/s. Throws Failure. [main-thread]
Quality parse_quality(const std::string& text);

// Throws Failure if the names are unknown or cannot be combined. [main-thread]
void check_request(const FormatRequest& request);

struct OutputForm {
  int format = 0;
  int sample_rate_hz = 0;
};

// The output's format. Container: as requested, else implied by the file's extension. Sample format: as requested, else
// the input's if the container supports it, else the best that it supports. Rate: as requested, else the input's, else
// the next higher supported one, else the highest. Throws Failure. [any thread]
OutputForm choose_output(const FormatRequest& request, const std::filesystem::path& out, int input_format, int channels,
                         int input_rate_hz);

// Whether libsndfile can write this.
bool can_hold(int format, int channels, int sample_rate_hz);

bool is_sound_file_name(const std::filesystem::path& path);   // judged by its extension
std::string extension_of_container(const std::string& name);  // ".flac" for "flac"

int integer_bits(int format);  // of a lossless integer sample format, 0 for float and lossy ones
// How many bits of a sample the encoder reads: at least integer_bits(); 0 if it takes floats.
int encoder_bits(int format);
// The largest magnitude that an encoding can represent; 1: full scale. Infinite for floating point.
float largest_sample(int format);
bool container_can_hold_float(int format);
// Whether the file's encoder has a Quality, judged by its name or `request`: MP3, Ogg Vorbis, Opus.
bool takes_quality(const FormatRequest& request, const std::filesystem::path& out);

// "wav, 24-bit PCM"
std::string describe_format(int format);

}  // namespace coil::cli
