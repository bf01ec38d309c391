// Two streams of one model side by side: the same bits as each alone.
#include <catch2/catch.hpp>
#include <limits>
#include <string>
#include <vector>

#include "ssm/run/stream.h"
#include "tests/support/random_network.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;

struct Pair {
  ssm::Stream first, second;
  explicit Pair(const std::shared_ptr<const ssm::Model>& model) : first(model), second(model) {}
  void set_controls(std::span<const float> values) { first.set_controls(values), second.set_controls(values); }
};

// An infinite value in the first layer that has a memory of the signal.
void break_state(ssm::State& state) {
  for (const ssm::StateTensor& tensor : state.layout().tensors)
    if (tensor.name.ends_with(".ssm")) {
      state.data()[tensor.offset + tensor.position[0]] = std::numeric_limits<float>::infinity();
      return;
    }
}

TEST_CASE("two streams together have the same bits as each alone: blocks, moved controls, faults, a restart") {
  for (const char* name : {"green_overdrive", "green_overdrive_lite", "clean_preamp", "lead_preamp", "tape"})
    for (const ssm::Target target : ssm::Target::all()) {
      INFO(name << ", " << target.label());
      const auto model = ssm::Model::load(std::string(COIL_PRESETS_DIR) + "/" + name + ".safetensors", target);
      Pair together(model), alone(model);
      test::Random random(5);
      std::vector<float> in[2] = {test::random_signal(3000, random), test::random_signal(3000, random)}, out[2];
      in[1][700] = std::numeric_limits<float>::quiet_NaN();
      std::vector<float> expected[2];
      for (int c : {0, 1}) out[c].resize(in[c].size()), expected[c].resize(in[c].size());
      for (size_t at = 0, n = 0; at < in[0].size(); at += n) {
        n = std::min(at < 300 ? size_t(1) : size_t(random.whole(1, 70)), in[0].size() - at);
        if (at == 300) {
          std::vector<float> knobs;
          for (const ssm::Control& control : model->card().controls)
            knobs.push_back(float(control.min + 0.8 * (control.max - control.min)));
          together.set_controls(knobs), alone.set_controls(knobs);
        }
        if (at > 2000 && together.second.restarts() == 0)
          for (Pair* pair : {&together, &alone}) break_state(pair->second.state());
        const auto part = [&](std::vector<float>& values) { return std::span(values).subspan(at, n); };
        ssm::Stream::process_pair(together.first, together.second, {part(in[0]), part(out[0])},
                                  {part(in[1]), part(out[1])});
        alone.first.process(part(in[0]), part(expected[0]));
        alone.second.process(part(in[1]), part(expected[1]));
      }
      for (int c : {0, 1}) CHECK(test::same_bits(out[c], expected[c]));
      CHECK(together.first.state() == alone.first.state());
      CHECK(together.second.state() == alone.second.state());
      CHECK(together.second.non_finite_inputs() == 1);
      CHECK(together.first.restarts() == 0);
      CHECK(together.second.restarts() == 1);
      CHECK(alone.second.restarts() == 1);
    }
}

}  // namespace
