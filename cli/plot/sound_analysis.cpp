// One pass over the file with a window that slides along.
#include "cli/plot/sound_analysis.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "cli/sound/sound_reader.h"
#include "dsp/stft.h"

namespace coil::cli {
namespace {

constexpr double kWindowSeconds = 0.08;
constexpr int kMaxSpectraPerColumn = 8;  // of long files, whose columns are longer than a window
constexpr int kReadFrames = 8192;
constexpr float kFloorDb = -200;

float to_db(float power) { return power > 1e-20f ? 10 * std::log10(power) : kFloorDb; }

int window_size(double sample_rate_hz) {
  int size = 256;
  while (size < kWindowSeconds * sample_rate_hz) size *= 2;
  return size;
}

// The spectrum's bins onto the rows: the largest bin where several fall into one row, interpolated in dB where rows lie
// between bins.
class RowMap {
 public:
  RowMap(const AnalysisGrid& grid, double bin_hz, int bins) : bins_(bins) {
    for (int row = 0; row <= grid.rows; ++row) edges_.push_back(grid.row_hz(row) / bin_hz);
  }

  void apply(const std::vector<float>& power, float* rows) const {
    for (size_t row = 0; row + 1 < edges_.size(); ++row) {
      const int first = static_cast<int>(std::ceil(edges_[row]));
      const int last = static_cast<int>(std::floor(edges_[row + 1]));
      if (last >= bins_) {
        rows[row] = kFloorDb;  // above what this file's rate can hold
      } else if (last - first >= 1) {
        rows[row] = to_db(*std::max_element(power.begin() + first, power.begin() + last + 1));
      } else {
        const double centre = (edges_[row] + edges_[row + 1]) / 2;
        const int bin = std::min(static_cast<int>(centre), bins_ - 2);
        const float part = static_cast<float>(centre - bin);
        rows[row] = (1 - part) * to_db(power[bin]) + part * to_db(power[bin + 1]);
      }
    }
  }

 private:
  std::vector<double> edges_;  // in bins
  int bins_;
};

}  // namespace

double AnalysisGrid::row_hz(double row) const { return low_hz * std::pow(high_hz / low_hz, row / rows); }

SoundAnalysis analyse_sound(const std::filesystem::path& path, const AnalysisGrid& grid) {
  const std::unique_ptr<SoundReader> reader = open_reader(path);
  const int channels = reader->info().channels;
  const double rate_hz = reader->info().sample_rate_hz;
  const double column_frames = std::max(grid.seconds * rate_hz / grid.columns, 1e-9);

  SoundAnalysis result;
  result.low.assign(grid.columns, 0);
  result.high.assign(grid.columns, 0);
  result.rms.assign(grid.columns, 0);
  result.power_db.assign(static_cast<size_t>(grid.columns) * grid.rows, kFloorDb);

  dsp::Stft stft(window_size(rate_hz));
  const int half = stft.size() / 2;
  const RowMap row_map(grid, rate_hz / stft.size(), stft.bins());
  const int spectra = std::clamp(static_cast<int>(column_frames / stft.size()), 1, kMaxSpectraPerColumn);
  std::vector<float> power(stft.bins()), mean_power(stft.bins());
  int64_t spectrum = 0;  // the next to be made, counted through all columns
  const auto begin_of = [&](int64_t index) {
    return static_cast<int64_t>((static_cast<double>(index) + 0.5) / spectra * column_frames) - half;
  };

  // Mono frames from `window_begin` on; half a window of silence lies before the first and after the last.
  std::vector<float> window(half, 0.0f);
  int64_t window_begin = -half;
  const auto make_spectra = [&] {
    for (; spectrum < static_cast<int64_t>(grid.columns) * spectra; ++spectrum) {
      const int64_t offset = begin_of(spectrum) - window_begin;
      if (offset + stft.size() > static_cast<int64_t>(window.size())) break;
      stft.analyse({window.data() + offset, static_cast<size_t>(stft.size())}, power);
      for (int k = 0; k < stft.bins(); ++k) mean_power[k] += power[k] / static_cast<float>(spectra);
      if (spectrum % spectra == spectra - 1) {
        row_map.apply(mean_power, &result.power_db[static_cast<size_t>(spectrum / spectra) * grid.rows]);
        std::fill(mean_power.begin(), mean_power.end(), 0.0f);
      }
    }
    const int64_t done = std::min(begin_of(spectrum) - window_begin, static_cast<int64_t>(window.size()));
    window.erase(window.begin(), window.begin() + done);
    window_begin += done;
  };

  std::vector<float> frames(static_cast<size_t>(kReadFrames) * channels);
  std::vector<double> square_sums(grid.columns);
  std::vector<int64_t> counts(grid.columns);
  int64_t frame = 0;
  double square_sum = 0;
  for (int64_t n = reader->read(frames); n > 0; n = reader->read(frames)) {
    for (int64_t i = 0; i < n; ++i, ++frame) {
      const int column = std::min(static_cast<int>(static_cast<double>(frame) / column_frames), grid.columns - 1);
      double sum = 0;
      for (int c = 0; c < channels; ++c) {
        float sample = frames[i * channels + c];
        if (!std::isfinite(sample)) sample = 0;
        const bool first = counts[column] == 0;
        result.low[column] = first ? sample : std::min(result.low[column], sample);
        result.high[column] = first ? sample : std::max(result.high[column], sample);
        square_sums[column] += static_cast<double>(sample) * sample;
        ++counts[column];
        result.peak = std::max<double>(result.peak, std::fabs(sample));
        sum += sample;
      }
      window.push_back(static_cast<float>(sum / channels));
    }
    make_spectra();
  }
  window.insert(window.end(), stft.size(), 0.0f);
  make_spectra();

  result.columns =
      static_cast<int>(std::min<double>(std::ceil(static_cast<double>(frame) / column_frames), grid.columns));
  for (int column = 0; column < result.columns; ++column) {
    square_sum += square_sums[column];
    if (counts[column] > 0) {
      result.rms[column] = static_cast<float>(std::sqrt(square_sums[column] / static_cast<double>(counts[column])));
    } else if (column > 0) {  // more pixels than frames: hold
      result.low[column] = result.low[column - 1];
      result.high[column] = result.high[column - 1];
      result.rms[column] = result.rms[column - 1];
    }
  }
  if (frame > 0) result.rms_all = std::sqrt(square_sum / static_cast<double>(frame * channels));
  return result;
}

}  // namespace coil::cli
