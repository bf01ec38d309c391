// Analyses a sound file for its picture: envelopes and a spectrogram, one column per pixel, with constant memory.
#pragma once

#include <filesystem>
#include <vector>

namespace coil::cli {

// The time range of `columns` columns, and the frequencies of `rows` rows, lowest first, on a log scale.
struct AnalysisGrid {
  int columns = 0, rows = 0;
  double seconds = 0;
  double low_hz = 0, high_hz = 0;

  double row_hz(double row) const;  // the lower edge of a row
};

struct SoundAnalysis {
  int columns = 0;                    // with sound; fewer than the grid's if the file is shorter
  std::vector<float> low, high, rms;  // per column, over all channels
  std::vector<float> power_db;        // (grid columns, grid rows), of the mean of channels; 0 dB: a sine at full scale
  double peak = 0, rms_all = 0;       // of the whole file; 1: full scale
};

// Throws Failure and Interrupted. [main-thread]
SoundAnalysis analyse_sound(const std::filesystem::path& path, const AnalysisGrid& grid);

}  // namespace coil::cli
