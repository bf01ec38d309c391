// What a rig costs beside the sum of its stages timed alone: gate, two models of standard size, a cabinet of 200 ms and
// an equaliser with all bands and cuts, in stereo at 48 kHz, blocks of 64. Each stage hears what it hears in the rig.
#include <cmath>
#include <cstdio>
#include <memory>
#include <vector>

#include "dsp/rig_chain.h"
#include "tests/bench/alternating.h"
#include "tests/support/planes.h"
#include "tests/support/random_network.h"

namespace {

using namespace coil;

constexpr double kRate = 48000;
constexpr int kChannels = 2, kBlock = 64, kBlocks = 75;  // a tenth of a second, so that few rounds are interrupted
constexpr int kRounds = 100;
constexpr size_t kFrames = size_t(kBlock) * kBlocks;

constexpr const char* kRig = R"({"rig": 1, "stages": [
  {"type": "gate", "name": "gate", "threshold_db": -60},
  {"type": "model", "name": "overdrive", "file": "green_overdrive"},
  {"type": "model", "name": "preamp", "file": "crunch_preamp"},
  {"type": "cabinet", "name": "cabinet", "microphones": [{"file": "response"}]},
  {"type": "equaliser", "name": "equaliser", "low_cut_hz": 80, "high_cut_hz": 9000, "bands": [{"gain_db": 2},
   {"gain_db": -3}, {"gain_db": 1.5}, {"gain_db": -1}]}]})";

// Noise that decays by 60 dB.
std::shared_ptr<const dsp::ImpulseResponse> response(test::Random& random) {
  std::vector<float> taps(size_t(0.2 * kRate));
  for (size_t i = 0; i < taps.size(); ++i)
    taps[i] = float(random.normal() * std::pow(10.0, -3.0 * double(i) / double(taps.size())));
  return std::make_shared<const dsp::ImpulseResponse>(dsp::ImpulseResponse{{std::move(taps)}, kRate});
}

void play(dsp::AudioProcessor& processor, const test::Planes& in, test::Planes& out) {
  out = in;
  for (size_t at = 0; at < kFrames; at += kBlock) test::run_block(processor, out, at, kBlock);
}

double ns_a_frame(double ms) { return ms * 1e6 / double(kFrames); }

}  // namespace

int main() {
  test::Random random(1);
  const auto cabinet = response(random);
  const dsp::RigFiles files{
      [](const dsp::RigModel& stage) {
        return ssm::Model::load(std::string(COIL_PRESETS_DIR) + "/" + stage.file + ".safetensors");
      },
      [&](const dsp::RigMicrophone&) { return cabinet; }};
  const dsp::Rig rig = dsp::read_rig(kRig, "the rig");
  dsp::Chain whole = dsp::make_chain(rig, files);
  whole.prepare({kRate, kBlock, kChannels});

  test::Planes sound;
  for (int c = 0; c < kChannels; ++c) {
    for (float& sample : sound.emplace_back(test::random_signal(kFrames, random))) sample *= 0.1f;
  }
  test::Planes out;
  std::vector<bench::Candidate> candidates;
  candidates.push_back({"copying", [&] { out = sound; }, {}});
  candidates.push_back({"rig", [&] { play(whole, sound, out); }, {}});
  std::vector<std::unique_ptr<dsp::AudioProcessor>> stages;
  std::vector<test::Planes> inputs(rig.stages.size() + 1, sound);
  for (size_t i = 0; i < rig.stages.size(); ++i) {
    dsp::AudioProcessor* const stage = stages.emplace_back(dsp::make_processor(rig.stages[i], files)).get();
    stage->prepare({kRate, kBlock, kChannels});
    play(*stage, inputs[i], inputs[i + 1]);
    candidates.push_back({rig.stages[i].name, [&, stage, i] { play(*stage, inputs[i], out); }, {}});
  }
  bench::alternate(candidates, kRounds);

  std::vector<double> ratios;
  for (size_t round = 0; round < kRounds; ++round) {
    const double copying = candidates[0].rounds_ms[round];
    double sum = 0;
    for (size_t i = 2; i < candidates.size(); ++i) sum += candidates[i].rounds_ms[round] - copying;
    ratios.push_back((candidates[1].rounds_ms[round] - copying) / sum);
  }
  double sum = 0;
  for (size_t i = 2; i < candidates.size(); ++i) {
    const double ns = ns_a_frame(candidates[i].best_ms() - candidates[0].best_ms());
    sum += ns;
    std::printf("%-10s %6.1f ns a frame\n", candidates[i].name.c_str(), ns);
  }
  const double ns = ns_a_frame(candidates[1].best_ms() - candidates[0].best_ms());
  std::printf("%-10s %6.1f\n%-10s %6.1f, %.3f of the sum (median of %d rounds), %.2f %% of a core\n", "sum", sum, "rig",
              ns, bench::median(ratios), kRounds, ns * kRate / 1e7);
}
