// The error of a network on parts of takes. Many parts run side by side in the vector lanes.
#pragma once

#include <vector>

#include "capture/recordings/take.h"
#include "capture/trainer/lane_group.h"

namespace coil::capture {

// The network starts at frame `start` with zero memory, and its error is measured over `span`.
struct Passage {
  size_t take;
  size_t start;
  Span span;
};

struct ErrorAndEnergy {
  double error = 0, energy = 0;
};

class Evaluation {
 public:
  Evaluation(const ParameterMap& map, const Kernels<float>& kernels);

  // One result per passage. The takes must be scaled for the network; hops: their hop_features, with a slow path.
  std::vector<ErrorAndEnergy> run(const std::vector<float>& parameters, const std::vector<Take>& takes,
                                  const std::vector<std::vector<float>>& hops, const std::vector<Passage>& passages);

 private:
  void warm_up(const Weights<float>& weights, const std::vector<Take>& takes,
               const std::vector<std::vector<float>>& hops, const Passage* passages, size_t count);
  void run_group(const Weights<float>& weights, const std::vector<Take>& takes,
                 const std::vector<std::vector<float>>& hops, const Passage* passages, size_t count,
                 ErrorAndEnergy* results);

  ParameterMap map_;
  LaneGroup<float> group_;
  Workspace<float> workspace_;
  ssm::AlignedVector<float> modes_;
};

}  // namespace coil::capture
