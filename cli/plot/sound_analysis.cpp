// Reads the file once, with a sliding window.
#include "cli/plot/sound_analysis.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>

#include "cli/sound/sound_reader.h"
#include "dsp/stft.h"

namespace coil::cli {
namespace {

constexpr double kWindowSeconds = 0.08;
constexpr int kMaxSpectraPerColumn = 8;  // for long files, whose columns are longer than a window
constexpr int kReadFrames = 8192;
constexpr float kFloorDb = -200;

float to_db(float power) { return power > 1e-20f ? 10 * std::log10(power) : kFloorDb; }

int window_size(double sample_rate_hz) {
  int size = 256;
  while (size < kWindowSeconds * sample_rate_hz) size *= 2;
  return size;
}

// Maps the spectrum's bins to rows: the largest bin if several fall into one row, interpolated in dB if rows lie
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
        rows[row] = kFloorDb;  // above half of this file's rate
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

// Lowest, highest and mean square sample of every column.
class Envelope {
 public:
  Envelope(int columns, double column_frames)
      : column_frames_(column_frames), low_(columns), high_(columns), square_sums_(columns), counts_(columns) {}

  void add(std::span<const float> frame) {
    const int last = static_cast<int>(low_.size()) - 1;
    const int column = std::min(static_cast<int>(static_cast<double>(frames_++) / column_frames_), last);
    for (const float sample : frame) {
      const bool first = counts_[column] == 0;
      low_[column] = first ? sample : std::min(low_[column], sample);
      high_[column] = first ? sample : std::max(high_[column], sample);
      square_sums_[column] += static_cast<double>(sample) * sample;
      ++counts_[column];
      peak_ = std::max<double>(peak_, std::fabs(sample));
    }
  }

  void finish(SoundAnalysis& result) {
    result.peak = peak_;
    result.columns = static_cast<int>(
        std::min(std::ceil(static_cast<double>(frames_) / column_frames_), static_cast<double>(low_.size())));
    result.rms.assign(low_.size(), 0);
    double square_sum = 0;
    int64_t samples = 0;
    for (int column = 0; column < result.columns; ++column) {
      square_sum += square_sums_[column];
      samples += counts_[column];
      if (counts_[column] > 0) {
        result.rms[column] = static_cast<float>(std::sqrt(square_sums_[column] / static_cast<double>(counts_[column])));
      } else if (column > 0) {  // more pixels than frames: repeat
        low_[column] = low_[column - 1];
        high_[column] = high_[column - 1];
        result.rms[column] = result.rms[column - 1];
      }
    }
    if (samples > 0) result.rms_all = std::sqrt(square_sum / static_cast<double>(samples));
    result.low = std::move(low_);
    result.high = std::move(high_);
  }

 private:
  double column_frames_;
  int64_t frames_ = 0;
  std::vector<float> low_, high_;
  std::vector<double> square_sums_;
  std::vector<int64_t> counts_;
  double peak_ = 0;
};

// The mean power of some spectra per column. Half a window of silence is added before the first frame and after the
// last.
class Spectrogram {
 public:
  Spectrogram(const AnalysisGrid& grid, double rate_hz, double column_frames)
      : grid_(grid),
        column_frames_(column_frames),
        stft_(window_size(rate_hz)),
        row_map_(grid, rate_hz / stft_.size(), stft_.bins()),
        spectra_(std::clamp(static_cast<int>(column_frames / stft_.size()), 1, kMaxSpectraPerColumn)),
        power_(stft_.bins()),
        mean_power_(stft_.bins()),
        power_db_(static_cast<size_t>(grid.columns) * grid.rows, kFloorDb),
        window_(stft_.size() / 2, 0.0f),
        window_begin_(-stft_.size() / 2) {}

  void add(double sample) { window_.push_back(static_cast<float>(sample)); }

  // Computes the spectra whose frames have arrived.
  void analyse() {
    for (; spectrum_ < static_cast<int64_t>(grid_.columns) * spectra_; ++spectrum_) {
      const int64_t offset = begin_of(spectrum_) - window_begin_;
      if (offset + stft_.size() > static_cast<int64_t>(window_.size())) break;
      stft_.analyse({window_.data() + offset, static_cast<size_t>(stft_.size())}, power_);
      for (int k = 0; k < stft_.bins(); ++k) mean_power_[k] += power_[k] / static_cast<float>(spectra_);
      if (spectrum_ % spectra_ == spectra_ - 1) {
        row_map_.apply(mean_power_, &power_db_[static_cast<size_t>(spectrum_ / spectra_) * grid_.rows]);
        std::fill(mean_power_.begin(), mean_power_.end(), 0.0f);
      }
    }
    const int64_t done = std::min(begin_of(spectrum_) - window_begin_, static_cast<int64_t>(window_.size()));
    window_.erase(window_.begin(), window_.begin() + done);
    window_begin_ += done;
  }

  std::vector<float> finish() {
    window_.insert(window_.end(), stft_.size(), 0.0f);
    analyse();
    return std::move(power_db_);
  }

 private:
  int64_t begin_of(int64_t spectrum) const {
    return static_cast<int64_t>((static_cast<double>(spectrum) + 0.5) / spectra_ * column_frames_) - stft_.size() / 2;
  }

  AnalysisGrid grid_;
  double column_frames_;
  dsp::Stft stft_;
  RowMap row_map_;
  int spectra_;  // per column
  std::vector<float> power_, mean_power_;
  std::vector<float> power_db_;
  int64_t spectrum_ = 0;  // the next one, counted over all columns
  std::vector<float> window_;
  int64_t window_begin_;
};

}  // namespace

double AnalysisGrid::row_hz(double row) const { return low_hz * std::pow(high_hz / low_hz, row / rows); }

SoundAnalysis analyse_sound(const std::filesystem::path& path, const AnalysisGrid& grid) {
  const std::unique_ptr<SoundReader> reader = open_reader(path);
  const int channels = reader->info().channels;
  const double rate_hz = reader->info().sample_rate_hz;
  const double column_frames = std::max(grid.seconds * rate_hz / grid.columns, 1e-9);

  SoundAnalysis result;
  Envelope envelope(grid.columns, column_frames);
  Spectrogram spectrogram(grid, rate_hz, column_frames);
  std::vector<float> frames(static_cast<size_t>(kReadFrames) * channels);
  for (int64_t n = reader->read(frames); n > 0; n = reader->read(frames)) {
    for (int64_t i = 0; i < n; ++i) {
      const std::span<float> frame(&frames[i * channels], channels);
      for (float& sample : frame)
        if (!std::isfinite(sample)) sample = 0;
      envelope.add(frame);
      spectrogram.add(std::accumulate(frame.begin(), frame.end(), 0.0) / channels);
    }
    spectrogram.analyse();
  }
  result.power_db = spectrogram.finish();
  envelope.finish(result);
  return result;
}

}  // namespace coil::cli
