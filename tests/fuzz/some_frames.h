// Runs a model that loaded for some frames.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "ssm/run/stream.h"

namespace coil::test {

// Whether the outputs are finite. Large networks are only loaded: of those it is true.
inline bool finite_for_some_frames(const std::shared_ptr<const ssm::Model>& model) {
  if (model->cost().macs_per_step > 1e6) return true;
  constexpr size_t kFrames = 3;
  ssm::Stream stream(model);
  std::vector<float> out(kFrames * static_cast<size_t>(model->config().d_output));
  if (model->config().input_kind == ssm::InputKind::token_ids)
    stream.process_tokens(std::vector<int32_t>{0, -1, 1 << 30}, out);
  else
    stream.process(std::vector<float>(kFrames * static_cast<size_t>(model->config().d_input), 1.0f), out);
  return std::all_of(out.begin(), out.end(), [](float v) { return std::isfinite(v); });
}

}  // namespace coil::test
