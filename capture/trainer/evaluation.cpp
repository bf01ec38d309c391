// Forward passes only.
#include "capture/trainer/evaluation.h"

#include <algorithm>

#include "capture/trainer/discretisation.h"

namespace coil::capture {
namespace {

constexpr size_t kSegmentFrames = 1024;

}  // namespace

Evaluation::Evaluation(const ParameterMap& map, const Kernels<float>& kernels)
    : map_(map),
      group_(map, kernels, kSegmentFrames),
      workspace_(map, kernels.lanes, kSegmentFrames),
      modes_(map.shape.layers * kModeValues * map.modes()) {}

std::vector<ErrorAndEnergy> Evaluation::run(const std::vector<float>& parameters, const std::vector<Take>& takes,
                                            const std::vector<Passage>& passages) {
  std::vector<ErrorAndEnergy> results(passages.size());
  discretise(map_, parameters.data(), modes_.data());
  const Weights<float> weights{parameters.data(), modes_.data(), map_.shape.layers};
  for (size_t first = 0; first < passages.size(); first += group_.lanes()) {
    run_group(weights, takes, &passages[first], std::min(group_.lanes(), passages.size() - first), &results[first]);
  }
  return results;
}

void Evaluation::run_group(const Weights<float>& weights, const std::vector<Take>& takes, const Passage* passages,
                           size_t count, ErrorAndEnergy* results) {
  const size_t lanes = group_.lanes();
  size_t frames = 0;
  for (size_t i = 0; i < lanes; ++i) {
    const Passage& passage = passages[std::min(i, count - 1)];
    group_.set_lane(i, weights.parameters, takes[passage.take].knobs, 1);
    group_.clear_state(i);
    frames = std::max(frames, passage.span.end - passage.start);
  }
  group_.prepare();
  for (size_t t = 0; t < frames; t += kSegmentFrames) {
    for (size_t i = 0; i < lanes; ++i) {
      const Passage& passage = passages[std::min(i, count - 1)];
      const std::vector<float>& dry = takes[passage.take].dry;
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
