// The activity of a stream's layers: energy of the state and step size.
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <string>

#include "ssm/run/stream.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;

constexpr const char *kS4d = R"("type": "s4d", "d_state": 6)", *kMamba1 = R"("type": "mamba1", "d_state": 6)",
                     *kMamba2 = R"("type": "mamba2", "d_state": 6, "headdim": 4)";

// A norm and two mixers of one kind.
test::ModelFile network(const std::string& mixer) {
  return test::model_file(R"({"model_type": "coil", "d_input": 1, "d_output": 1, "d_model": 6, "layers": [
      {"parts": [{"type": "rmsnorm", "name": "norm"}, {"name": "first", )" +
                              mixer + R"(}]},
      {"parts": [{"name": "second", )" +
                              mixer + "}]}]}",
                          4);
}

double mean_square(const std::vector<float>& values) {
  double sum = 0;
  for (const float value : values) sum += double(value) * value;
  return sum / double(values.size());
}

const std::vector<float>& values_of(const std::vector<ssm::NamedFloats>& tensors, const std::string& name) {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const auto& tensor) { return tensor.name == name; });
  REQUIRE(found != tensors.end());
  return found->values;
}

double mean_softplus(const std::vector<float>& values) {
  double sum = 0;
  for (const float value : values) sum += std::log1p(std::exp(double(value)));
  return sum / double(values.size());
}

TEST_CASE("the energy of a layer is the mean square of its state in upstream's units") {
  for (const std::string mixer : {kS4d, kMamba1, kMamba2})
    for (const size_t block : {1u, 7u, 300u}) {
      INFO(mixer << ", blocks of " << block);
      const auto model = test::load(network(mixer)).model();
      REQUIRE(model->layers_with_memory() == 2);
      ssm::Stream stream(model);
      test::Random random(3);
      std::array<ssm::LayerActivity, 2> activity;
      stream.watch(activity);
      auto signal = test::random_signal(300, random);
      for (size_t begin = 0; begin < signal.size(); begin += block) {
        const auto part = std::span(signal).subspan(begin, std::min(block, signal.size() - begin));
        stream.process(part, part);
      }
      const auto tensors = stream.state().tensors();
      for (size_t layer = 0; layer < 2; ++layer) {
        const double energy = mean_square(values_of(tensors, "state." + std::to_string(layer) + ".ssm"));
        CHECK(energy > 0);
        CHECK(activity[layer].energy == Approx(energy).epsilon(1e-5));
      }
    }
}

TEST_CASE("the step size is the layers' own: fixed for S4D, softplus of the bias for a Mamba that hears nothing") {
  for (const std::string mixer : {kS4d, kMamba1, kMamba2}) {
    INFO(mixer);
    auto file = network(mixer);
    for (auto& tensor : file.tensors)  // nothing passes the first projection
      if (tensor.name.starts_with("backbone.in_proj.") || tensor.name.ends_with("conv1d.bias"))
        std::fill(tensor.values.begin(), tensor.values.end(), 0.0f);
    const std::string name = std::string("backbone.layers.0.first") + (mixer == kS4d      ? ".kernel.log_dt"
                                                                       : mixer == kMamba1 ? ".dt_proj.bias"
                                                                                          : ".dt_bias");
    double expected = mean_softplus(values_of(file.tensors, name));
    if (mixer == kS4d) {
      expected = 0;
      for (const float value : values_of(file.tensors, name)) expected += std::exp(double(value)) / 6;
    }
    ssm::Stream stream(test::load(file).model());
    std::array<ssm::LayerActivity, 1> activity;  // of the first layer only
    stream.watch(activity);
    std::vector<float> signal(20, 0.5f);
    stream.process(signal, signal);
    CHECK(activity[0].dt == Approx(expected).epsilon(1e-5));
  }
}

TEST_CASE("a watched stream plays the same bits, and nothing is written after watching ends") {
  const auto model = test::load(network(kMamba1)).model();
  ssm::Stream plain(model), watched(model);
  test::Random random(5);
  auto a = test::random_signal(100, random), b = a;
  std::array<ssm::LayerActivity, 5> activity;
  watched.watch(activity);
  plain.process(a, a);
  watched.process(b, b);
  CHECK(test::same_bits(a, b));
  CHECK(activity[1].energy > 0);
  CHECK(activity[2].energy == 0);  // there is no third layer
  watched.watch({});
  activity = {};
  watched.process(b, b);
  CHECK(activity[0].energy == 0);
}

}  // namespace
