// Forward passes only.
#include "capture/trainer/evaluation.h"

#include <algorithm>

#include "capture/trainer/discretisation.h"
#include "dsp/denormals.h"

namespace coil::capture {
namespace {

constexpr size_t kSegmentFrames = 1024, kSegmentHops = kSegmentFrames / SlowMap::kHopFrames;
constexpr size_t kWarmUpSegments = 150;  // that only the slow path runs over before a passage: 3 s at 48 kHz

// The number of whole segments before the passage, up to the limit.
size_t warm_up_hops(const Passage& passage) {
  return std::min(passage.start / kSegmentFrames, kWarmUpSegments) * kSegmentHops;
}

}  // namespace

Evaluation::Evaluation(const ParameterMap& map, const Kernels<float>& kernels)
    : map_(map),
      group_(map, kernels, kSegmentFrames),
      workspace_(map, kernels.lanes, kSegmentFrames),
      modes_(kModeValues * map.all_modes()) {}

std::vector<ErrorAndEnergy> Evaluation::run(const std::vector<float>& parameters, const std::vector<Take>& takes,
                                            const std::vector<std::vector<float>>& hops,
                                            const std::vector<Passage>& passages) {
  const dsp::ScopedFlushDenormals flush;
  std::vector<ErrorAndEnergy> results(passages.size());
  discretise(map_, parameters.data(), modes_.data());
  const Weights<float> weights{parameters.data(), modes_.data(), map_.shape.layers};
  for (size_t first = 0; first < passages.size(); first += group_.lanes()) {
    run_group(weights, takes, hops, &passages[first], std::min(group_.lanes(), passages.size() - first),
              &results[first]);
  }
  return results;
}

// The slow path remembers longer than the layers, so only the slow path runs over the sound before the passages.
void Evaluation::warm_up(const Weights<float>& weights, const std::vector<Take>& takes,
                         const std::vector<std::vector<float>>& hops, const Passage* passages, size_t count) {
  for (size_t left = kWarmUpSegments * kSegmentHops; left > 0; left -= kSegmentHops) {
    for (size_t i = 0; i < group_.lanes(); ++i) {
      const Passage& passage = passages[std::min(i, count - 1)];
      const size_t begins = passage.start / SlowMap::kHopFrames, warm_up = warm_up_hops(passage);
      const size_t begin = begins - warm_up, at = left <= warm_up ? begins - left : 0;
      group_.slow()->set_hops(i, hops[passage.take], takes[passage.take].knobs, at,
                              left <= warm_up ? begin : hops[passage.take].size());
    }
    group_.slow()->forward(weights.parameters, kSegmentHops);
  }
}

void Evaluation::run_group(const Weights<float>& weights, const std::vector<Take>& takes,
                           const std::vector<std::vector<float>>& hops, const Passage* passages, size_t count,
                           ErrorAndEnergy* results) {
  const size_t lanes = group_.lanes();
  size_t frames = 0;
  for (size_t i = 0; i < lanes; ++i) {
    const Passage& passage = passages[std::min(i, count - 1)];
    group_.set_lane(i, weights.parameters, takes[passage.take].knobs, 1);
    group_.clear_state(i);
    frames = std::max(frames, passage.span.end - passage.start);
  }
  group_.prepare();
  if (group_.slow()) warm_up(weights, takes, hops, passages, count);
  for (size_t t = 0; t < frames; t += kSegmentFrames) {
    for (size_t i = 0; i < lanes; ++i) {
      const Passage& passage = passages[std::min(i, count - 1)];
      const std::vector<float>& dry = takes[passage.take].dry;
      if (group_.slow()) {
        const size_t begins = passage.start / SlowMap::kHopFrames, at = begins + t / SlowMap::kHopFrames;
        group_.slow()->set_hops(i, hops[passage.take], takes[passage.take].knobs, at, begins - warm_up_hops(passage));
      }
      for (size_t k = 0; k < kSegmentFrames; ++k) {
        const size_t at = passage.start + t + k;
        group_.input()[k * lanes + i] = at < passage.span.end ? dry[at] : 0.0f;
      }
    }
    group_.forward(weights, kSegmentFrames, workspace_.output.data(), workspace_);
    for (size_t i = 0; i < count; ++i) {
      const Passage& passage = passages[i];
      const std::vector<float>& wet = takes[passage.take].wet;
      const size_t begin = passage.start + t, end = std::min(begin + kSegmentFrames, passage.span.end);
      for (size_t at = std::max(begin, passage.span.begin); at < end; ++at) {
        const double y = double(wet[at]), e = double(workspace_.output[(at - begin) * lanes + i]) - y;
        results[i].error += e * e, results[i].energy += y * y;
      }
    }
  }
}

}  // namespace coil::capture
