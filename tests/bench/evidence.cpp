// Prints the detector's evidence for each record, kind by kind; train/forecast/fit_score.py runs it.
//   in:  for each series the number of its values (int32), the values (float64)
//   out: Detector::kWeights; for each value the surprisal of each Detector::Kind, and of the reported event (all
//   float32)
#include <array>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "sensor/scoring/detector.h"
#include "sensor/scoring/gap_forecast.h"
#include "ssm/run/stream.h"
#include "tests/bench/piped.h"

namespace {

using namespace coil;

template <size_t n>
void write(const std::array<double, n>& numbers) {
  std::array<float, n> rounded;
  for (size_t i = 0; i < n; ++i) rounded[i] = static_cast<float>(numbers[i]);
  bench::write(rounded);
}

void run(const char* file) {
  const auto model = ssm::Model::load(file);
  ssm::Stream stream(model);
  std::vector<float> outputs(size_t(model->config().d_output));
  write(sensor::Detector::kWeights);
  std::vector<int32_t> count(1);
  while (bench::read(count)) {
    if (count[0] < 1) throw std::runtime_error("a series has at least one value");
    std::vector<double> values(static_cast<size_t>(count[0]));
    if (!bench::read(values)) throw std::runtime_error("the input ends within a series");
    stream.reset();
    sensor::Normaliser normaliser;
    sensor::PendingForecasts forecasts;
    sensor::Detector detector;
    sensor::RecentValues recent;
    for (const double value : values) {
      sensor::LastSeen before = sensor::LastSeen::of(normaliser);
      recent.add(value);
      before.standstill = recent.surprisal_of_standstill();
      const sensor::Detector::Evidence evidence = detector.measure(value, forecasts, before);
      write(evidence);
      write(std::array{detector.assess(evidence).event});
      const sensor::Frame frame = normaliser.observe(value);
      stream.step(frame, outputs);
      forecasts.advance(normaliser, outputs);
    }
  }
}

}  // namespace

int main(int argc, char** argv) { return coil::bench::run_piped("evidence", argc, argv, run); }
