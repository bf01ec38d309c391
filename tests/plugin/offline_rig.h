// Plays a rig as `coil process --chain` does.
#pragma once

#include <utility>
#include <vector>

#include "dsp/rig.h"
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

}  // namespace coil::test
