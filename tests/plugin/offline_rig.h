// Plays a rig as `coil process --chain` does.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "dsp/rig.h"
#include "dsp/rig_chain.h"
#include "tests/support/planes.h"

namespace coil::test {

inline Planes play_offline(const dsp::Rig& rig, const dsp::RigFiles& files, Planes planes, double rate_hz) {
  const auto offline = dsp::chain_over_recording(dsp::make_chain(rig, files), rate_hz, int(planes.size()));
  std::vector<float> in, out;
  for (size_t i = 0; i < planes[0].size(); ++i)
    for (const Signal& plane : planes) in.push_back(plane[i]);
  offline->process(in, out);
  offline->finish(out);
  for (size_t c = 0; c < planes.size(); ++c)
    for (size_t i = 0; i < planes[c].size(); ++i) planes[c][i] = out[i * planes.size() + c];
  return planes;
}

// The same, from the rig's embedded files alone.
inline Planes play_embedded(const dsp::Rig& rig, Planes planes, double rate_hz) {
  dsp::RigFiles files;
  files.model = [&](const dsp::RigModel& stage) {
    return ssm::Model::load(ssm::Checkpoint::from_bytes(rig.models.at(stage.hash), stage.file));
  };
  files.response = [&](const dsp::RigMicrophone& microphone) { return rig.responses.at(microphone.checksum); };
  return play_offline(rig, files, std::move(planes), rate_hz);
}

// The largest difference, relative to the peak of `b`.
inline double difference_db(const Planes& a, const Planes& b) {
  double most = 0, loudest = 0;
  for (size_t c = 0; c < a.size(); ++c) {
    most = std::max(most, largest_difference(a[c], b[c]));
    for (const float value : b[c]) loudest = std::max(loudest, std::abs(double(value)));
  }
  return 20 * std::log10(std::max(most, 1e-12) / loudest);
}

}  // namespace coil::test
