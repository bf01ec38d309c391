// What the detector finds unusual about each record, kind by kind: how train/forecast/fit_score.py asks the engine.
//   in:  for each series the number of its values (int32), the values (float64)
//   out: Detector::kWeights; for each value the decades of each Detector::Kind, and of the event that is reported (all float32)
#include <array>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <vector>

#include "sensor/detector.h"
#include "ssm/stream.h"

namespace {

using namespace coil;

template <class T>
bool read(T* values, size_t count) {
  const size_t n = std::fread(values, sizeof(T), count, stdin);
  if (n != 0 && n != count) throw std::runtime_error("the input ends within a series");
  return n == count;
}

template <size_t n>
void write(const std::array<double, n>& numbers) {
  for (const double number : numbers) {
    const auto rounded = static_cast<float>(number);
    std::fwrite(&rounded, sizeof rounded, 1, stdout);
  }
}

void run(const char* file) {
  const auto model = ssm::Model::load(file);
  ssm::Stream stream(model);
  std::vector<float> outputs(size_t(model->config().d_output));
  write(sensor::Detector::kWeights);
  for (int32_t count; read(&count, 1);) {
    if (count < 1) throw std::runtime_error("a series has at least one value");
    std::vector<double> values(static_cast<size_t>(count));
    if (!read(values.data(), values.size())) throw std::runtime_error("the input ends within a series");
    stream.reset();
    sensor::Normaliser normaliser;
    sensor::PendingForecasts forecasts;
    sensor::Detector detector;
    for (const double value : values) {
      const sensor::Detector::Evidence evidence = detector.measure(value, forecasts, sensor::LastSeen::of(normaliser));
      write(evidence);
      write(std::array{detector.assess(evidence).event_decades});
      const sensor::Frame frame = normaliser.observe(value);
      stream.step(frame, outputs);
      forecasts.advance(normaliser, outputs);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 2) throw std::runtime_error("expected one argument, the model file");
    run(argv[1]);
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "evidence: %s\n", problem.what());
    return 1;
  }
}
