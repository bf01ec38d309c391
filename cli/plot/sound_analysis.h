// What a picture of a sound file needs: envelopes and a spectrogram, one column per pixel, in memory that does not grow
// with the file.
#pragma once

#include <filesystem>
#include <vector>

namespace coil::cli {

// The time that `columns` columns cover, and the frequencies of `rows` rows, the lowest first, spaced logarithmically.
struct AnalysisGrid {
  int columns = 0, rows = 0;
  double seconds = 0;
  double low_hz = 0, high_hz = 0;

  double row_hz(double row) const;  // of a row's lower edge
};

struct SoundAnalysis {
  int columns = 0;                    // that the file reaches; fewer than the grid's if it is shorter
  std::vector<float> low, high, rms;  // per column, over all channels
  std::vector<float> power_db;        // (grid columns, grid rows), of the channels' mean; 0 dB: a sine of full scale
  double peak = 0, rms_all = 0;       // of the whole file, 1: full scale
};

// Throws Failure and Interrupted. [main-thread]
SoundAnalysis analyse_sound(const std::filesystem::path& path, const AnalysisGrid& grid);

}  // namespace coil::cli
