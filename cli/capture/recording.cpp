// Reading, resampling and aligning of recordings.
#include "cli/capture/recording.h"

#include <algorithm>
#include <cmath>

#include "capture/offset.h"
#include "cli/failure.h"
#include "cli/sound/sound_reader.h"
#include "cli/text.h"
#include "dsp/resampler.h"

namespace coil::cli {
namespace {

constexpr int64_t kPieceFrames = 65536;
constexpr double kResamplerEdgeSeconds = 0.01;  // at the end of a resampled file, where the filter's future is missing
constexpr double kShortestSeconds = 1;
constexpr double kRemarkableSeconds = 0.5;

std::vector<float> read_channel(SoundReader& reader, const std::filesystem::path& path) {
  const size_t channels = size_t(reader.info().channels);
  std::vector<std::vector<float>> signals(channels);
  std::vector<double> energy(channels);
  std::vector<float> piece(size_t(kPieceFrames) * channels);
  for (int64_t frames; (frames = reader.read(piece)) > 0;) {
    for (size_t i = 0; i < size_t(frames) * channels; ++i) {
      if (!std::isfinite(piece[i])) throw Failure(kFailed, in_quotes(path) + ": holds values that are no numbers");
      signals[i % channels].push_back(piece[i]);
      energy[i % channels] += double(piece[i]) * double(piece[i]);
    }
  }
  return std::move(signals[size_t(std::max_element(energy.begin(), energy.end()) - energy.begin())]);
}

std::vector<float> resampled(const std::vector<float>& signal, double from_hz, double to_hz) {
  dsp::Resampler resampler(from_hz, to_hz, 1);
  std::vector<float> out;
  resampler.process(signal, out);
  const std::vector<float> silence(size_t(from_hz), 0.0f);  // brings out what the filter still holds
  resampler.process(silence, out);
  const double seconds = double(signal.size()) / from_hz - kResamplerEdgeSeconds;
  out.resize(std::min(out.size(), size_t(std::max(0.0, seconds * to_hz))));
  return out;
}

}  // namespace

std::vector<float> read_recording(const std::filesystem::path& path, double sample_rate_hz) {
  const std::unique_ptr<SoundReader> reader = open_reader(path);
  std::vector<float> signal = read_channel(*reader, path);
  const double own_hz = reader->info().sample_rate_hz;
  if (own_hz != sample_rate_hz) signal = resampled(signal, own_hz, sample_rate_hz);
  if (double(signal.size()) < kShortestSeconds * sample_rate_hz) {
    throw Failure(kFailed, in_quotes(path) + ": is shorter than a second; half a minute or more is needed");
  }
  return signal;
}

capture::Take read_take(const std::filesystem::path& dry_path, const std::filesystem::path& wet_path, double sample_rate_hz,
                        std::vector<std::string>& remarks) {
  capture::Take take{read_recording(dry_path, sample_rate_hz), read_recording(wet_path, sample_rate_hz), {}};
  const double longer_s = (double(take.wet.size()) - double(take.dry.size())) / sample_rate_hz;
  if (std::abs(longer_s) > kRemarkableSeconds) {
    remarks.push_back(in_quotes(wet_path) + " is " + number(std::abs(longer_s), 3) + " s " + (longer_s > 0 ? "longer" : "shorter") +
                      " than its dry recording; what only one of them has is left out");
  }
  const capture::Offset offset = capture::align(take.dry, take.wet, sample_rate_hz);
  const std::ptrdiff_t delay = offset.delay_frames;
  if (delay != 0) {
    remarks.push_back(in_quotes(wet_path) + " is " + number(1000 * double(std::abs(delay)) / sample_rate_hz, 4) + " ms too " +
                      (delay > 0 ? "late" : "early") + "; it was moved");
    std::vector<float>& leading = delay > 0 ? take.wet : take.dry;
    leading.erase(leading.begin(), leading.begin() + std::min(std::abs(delay), std::ptrdiff_t(leading.size())));
  }
  const size_t frames = std::min(take.dry.size(), take.wet.size());
  take.dry.resize(frames);
  take.wet.resize(frames);
  return take;
}

}  // namespace coil::cli
