// The engine and the reference behind one small interface.
#include "tests/support/runs.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "ssm/verify/reference.h"
#include "ssm/run/stream.h"
#include "tests/support/temp_dir.h"

namespace coil::test {

Loaded load(const ModelFile& file) {
  const TempDir dir;
  file.write(dir / "model.safetensors");
  return {ssm::Checkpoint::open(dir / "model.safetensors")};  // the file stays mapped
}

size_t width_in(const ssm::Model& model) { return static_cast<size_t>(model.config().d_input); }
size_t width_out(const ssm::Model& model) { return static_cast<size_t>(model.config().d_output); }

std::vector<float> run_blocks(const std::shared_ptr<const ssm::Model>& model, ssm::State& state,
                              std::span<const float> in, std::span<const size_t> blocks) {
  ssm::Stream stream(model);
  stream.state().copy_from(state);
  std::vector<float> out(in.size() / width_in(*model) * width_out(*model));
  size_t done = 0;
  for (const size_t frames : blocks) {
    stream.process(in.subspan(done * width_in(*model), frames * width_in(*model)),
                   std::span(out).subspan(done * width_out(*model), frames * width_out(*model)));
    done += frames;
  }
  if (done * width_in(*model) != in.size()) throw std::logic_error("the blocks do not add up to the signal");
  if (stream.restarts() != 0) throw std::runtime_error("the stream restarted");
  state.copy_from(stream.state());
  return out;
}

std::vector<float> run_steps(const std::shared_ptr<const ssm::Model>& model, ssm::State& state,
                             std::span<const float> in) {
  return run_blocks(model, state, in, std::vector<size_t>(in.size() / width_in(*model), 1));
}

std::vector<float> run_scan(const std::shared_ptr<const ssm::Model>& model, ssm::State& state,
                            std::span<const float> in, const ssm::ScanOptions& options) {
  std::vector<float> out(in.size() / width_in(*model) * width_out(*model));
  ssm::Scan(model, options).process(state, in, out);
  return out;
}

ReferenceRun run_reference(const Loaded& loaded, std::span<const float> in, std::span<const float> controls,
                           double sample_rate_hz) {
  ssm::Reference reference(loaded.checkpoint, sample_rate_hz);
  if (!controls.empty()) reference.set_controls(std::vector<double>(controls.begin(), controls.end()));
  const auto width = static_cast<size_t>(reference.config().d_input);
  ReferenceRun run;
  for (size_t t = 0; t < in.size() / width; ++t) {
    const auto y = reference.step(std::vector<double>(in.begin() + static_cast<std::ptrdiff_t>(t * width),
                                                      in.begin() + static_cast<std::ptrdiff_t>((t + 1) * width)));
    run.output.insert(run.output.end(), y.begin(), y.end());
  }
  for (const auto& tensor : reference.state())
    if (!tensor.name.ends_with(".gated")) {
      run.states.push_back({tensor.name, tensor.shape, std::vector<float>(tensor.values.begin(), tensor.values.end())});
      run.periods.push_back(tensor.period);
    }
  return run;
}

std::vector<float> random_controls(const ssm::Model& model, Random& random) {
  std::vector<float> values;
  for (const auto& control : model.card().controls)
    values.push_back(static_cast<float>(random.uniform(control.min, control.max)));
  return values;
}

double relative_error(std::span<const float> found, std::span<const double> expected) {
  if (found.size() != expected.size()) return std::numeric_limits<double>::infinity();
  double worst = 0, peak = 1;
  for (size_t i = 0; i < found.size(); ++i) {
    const double difference = std::abs(static_cast<double>(found[i]) - expected[i]);
    if (!std::isfinite(difference)) return std::numeric_limits<double>::infinity();
    worst = std::max(worst, difference);
    peak = std::max(peak, std::abs(expected[i]));
  }
  return worst / peak;
}

double relative_error(std::span<const float> found, std::span<const float> expected) {
  return relative_error(found, std::vector<double>(expected.begin(), expected.end()));
}

double state_error(const ssm::State& state, const ReferenceRun& reference) {
  const auto tensors = state.tensors();
  double worst = 0;
  for (size_t s = 0; s < reference.states.size(); ++s) {
    const auto& wanted = reference.states[s];
    const double period = reference.periods[s];
    const auto found =
        std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == wanted.name; });
    if (found == tensors.end() || found->shape != wanted.shape)
      throw std::runtime_error("the engine has no state like " + wanted.name);
    std::vector<float> values = found->values;
    for (size_t i = 0; i < values.size() && period > 0; ++i)
      values[i] =
          wanted.values[i] + static_cast<float>(std::remainder(
                                 static_cast<double>(values[i]) - static_cast<double>(wanted.values[i]), period));
    worst = std::max(worst, relative_error(values, wanted.values));
  }
  return worst;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

}  // namespace coil::test
