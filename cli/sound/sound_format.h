// Containers and sample formats: what was asked for, what the input had, and what the output's container can hold.
#pragma once

#include <filesystem>
#include <string>

namespace coil::cli {

// Formats are libsndfile's: container | sample format.

// As given on the command line; empty: not asked for.
struct FormatRequest {
  std::string container;  // "wav", "flac" ...
  std::string bits;       // "8", "16", "24", "32", "32f", "64f"
};

// Throws Failure when the names are unknown or do not go together. [main-thread]
void check_request(const FormatRequest& request);

// The output's format: the container asked for, else the one that the file's extension names; the sample format asked for, else the
// input's where the container can hold it, else the best that it can. Throws Failure. [any thread]
int choose_format(const FormatRequest& request, const std::filesystem::path& out, int input_format, int channels, int sample_rate_hz);

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

// "wav, 24-bit PCM"
std::string describe_format(int format);

}  // namespace coil::cli
