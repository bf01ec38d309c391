// Stages with random settings.
#include "tests/realtime/chains.h"

#include <memory>

#include "dsp/cabinet.h"
#include "dsp/doubler.h"
#include "dsp/equaliser.h"
#include "dsp/level_stages.h"
#include "tests/support/random_network.h"

namespace coil::test {

std::vector<dsp::Stage> stages_without_latency(size_t taps) {
  Random random(2);
  const auto response =
      std::make_shared<const dsp::ImpulseResponse>(dsp::ImpulseResponse{{random_signal(taps, random)}, 48000});
  std::vector<dsp::Stage> stages;
  stages.push_back({"gain", std::make_unique<dsp::GainStage>(3.0f)});
  stages.push_back({"gate", std::make_unique<dsp::GateStage>(-50.0f)});
  stages.push_back({"equaliser", std::make_unique<dsp::Equaliser>()});
  stages.push_back({"doubler", std::make_unique<dsp::Doubler>(dsp::DoublerSettings())});
  stages.push_back({"cabinet", std::make_unique<dsp::Cabinet>(dsp::CabinetSettings{{{response}}})});
  return stages;
}

}  // namespace coil::test
