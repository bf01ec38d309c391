// Plans of networks: their cost (compared with counts by hand for small networks), fused parts, and the resulting state
// of models.
#include <catch2/catch.hpp>

#include "ssm/model/config.h"
#include "ssm/run/model.h"
#include "ssm/model/plan.h"

using coil::ssm::parse_config;

namespace {

coil::ssm::Cost cost_of(const coil::ssm::ModelConfig& config) { return coil::ssm::plan_of(config).cost; }

std::string tanh_stack(const std::string& film, const std::string& rest) {
  return R"({"model_type": "coil", "d_input": 1, "d_output": 1, "direct": true, "d_model": 8, "layers"
      : [{"repeat": 6, "parts": [
    {"type": "s4d", "name": "mixer", "d_state": 8}, {"type": "linear", "name": "in_proj"}, )" +
         film + R"({"type": "tanh"},
    {"type": "linear", "name": "out_proj", "bias": false}]}])" +
         rest + "}";
}

}  // namespace

TEST_CASE("cost of an S4D-tanh stack") {
  // per layer: 8 channels x 4 pairs x 6, D 8, two matrices of 64; in, out and direct projection 8 + 8 + 1
  const auto cost = cost_of(parse_config(tanh_stack("", ""), "test"));
  CHECK(cost.macs_per_step == 6 * (192 + 8 + 128) + 17);
  CHECK(cost.exps_per_step == 48);
  // per layer: 32 modes x (log A, A_imag, C twice), log_dt and D, matrices and one bias
  CHECK(cost.parameters == 6 * (128 + 16 + 128 + 8) + (8 + 8) + (8 + 1) + 1);
}

TEST_CASE("film behind a matrix costs only while it moves") {
  const std::string film = R"({"type": "film"}, )";
  const double without = cost_of(parse_config(tanh_stack("", ""), "test")).macs_per_step;
  CHECK(cost_of(parse_config(tanh_stack(film, R"(, "controls": {"count": 2, "hidden": 4})"), "test")).macs_per_step ==
        without);
  const std::string slow =
      R"(, "slow_path": {"hop_frames": 64, "n_features": 2, "d_model": 4, "layers": [{"parts": [{"type": "linear",
          "name": "a"}]}]})";
  // features 2 + 2; per hop 4 x 4 + 4 x 4 + 4 x 96, spread over 64 frames; film 48
  CHECK(cost_of(parse_config(tanh_stack(film, slow), "test")).macs_per_step ==
        Approx(without + 48 + 4 + (16 + 16 + 384) / 64.0));
}

TEST_CASE("silence at rest costs a row of tanh while FiLM moves, and an output row that moves twice its weights") {
  const std::string tail = R"({"type": "film"}, {"type": "tanh", "rest": true}, {"type": "linear", "name": "o"}, )";
  const auto still =
      cost_of(parse_config(tanh_stack(tail, R"(, "controls": {"count": 2, "polynomial": 2, "output": true})"), "test"));
  const auto plain =
      cost_of(parse_config(tanh_stack(R"({"type": "film"}, {"type": "tanh"}, {"type": "linear", "name": "o"}, )",
                                      R"(, "controls": {"count": 2, "hidden": 4})"),
                           "test"));
  CHECK(still.macs_per_step == plain.macs_per_step);
  CHECK(still.exps_per_step == plain.exps_per_step);
  // FiLM 2 x 48 and the output's 8, from 2 + 3 features; replaces 2 -> 4 -> 96
  CHECK(still.parameters == plain.parameters - (4 * 3 + 96 * 5) + 104 * 6);
  const std::string slow = R"(, "slow_path": {"hop_frames": 64, "n_features": 2, "d_model": 4, "layers": []})";
  const auto moving = cost_of(
      parse_config(tanh_stack(tail, R"(, "controls": {"count": 2, "polynomial": 2, "output": true})" + slow), "test"));
  const auto moving_plain = cost_of(parse_config(
      tanh_stack(R"({"type": "film"}, {"type": "tanh"}, {"type": "linear", "name": "o"}, )", slow), "test"));
  CHECK(moving.exps_per_step == moving_plain.exps_per_step + 48);
  CHECK(moving.macs_per_step == Approx(moving_plain.macs_per_step + 48 + 2 * 8 + 4 * 8 / 64.0));
}

TEST_CASE("cost of a Mamba-1 layer") {
  const auto cost = cost_of(parse_config(
      R"({"model_type": "coil", "d_model": 16, "layers": [{"parts": [{"type": "mamba1", "name": "m",
          "d_state": 16}]}]})",
      "test"));
  CHECK(cost.macs_per_step == 16 * 64 + 4 * 32 + 32 * 33 + 1 * 32 + 4 * 32 * 16 + 3 * 32 + 32 * 16);
  CHECK(cost.exps_per_step == 32 * 16 + 3 * 32);
}

TEST_CASE("a plan folds norms into mixers and film parts into matrices") {
  const auto plan = coil::ssm::plan_of(parse_config(
      R"({"model_type": "coil", "d_model": 16, "controls": {"count": 1, "hidden": 2}, "layers": [{"residual": false,
          "parts": [
        {"type": "rmsnorm", "name": "n"}, {"type": "mamba2", "name": "m", "d_state": 16, "headdim": 8, "d_conv": 3},
        {"type": "rmsnorm", "name": "k"}, {"type": "linear", "name": "a", "d_out": 5}, {"type": "film"},
            {"type": "tanh", "rest": true}]}]})",
      "test"));
  REQUIRE(plan.layers.size() == 1);
  const auto& parts = plan.layers[0].parts;
  REQUIRE(parts.size() == 5);
  CHECK(parts[0].norm->name == "backbone.layers.0.n");
  CHECK(parts[0].traits.memory == coil::ssm::Memory::recurrence);
  CHECK_FALSE(parts[1].norm);  // no mixer follows, so it is a separate part
  CHECK(std::string(parts[1].traits.kind) == "rmsnorm");
  CHECK(parts[2].film_folds);
  CHECK(parts[3].film_at == 0u);
  CHECK(parts[4].film_at == 0u);
  CHECK(plan.history_frames == 3);
  // a row of 8 for each half: 5 values, 3 of padding
  CHECK(plan.film_rows == std::vector<int>{0, 1, 2, 3, 4, -1, -1, -1, 5, 6, 7, 8, 9, -1, -1, -1});
}

TEST_CASE("a model's state has the regions that its plan names, in their order") {
  size_t models = 0;
  for (const auto& file : std::filesystem::directory_iterator(COIL_GOLDEN_DIR)) {
    if (file.path().extension() != ".safetensors" || file.path().stem().string().starts_with("op_")) continue;
    const auto model = coil::ssm::Model::load(coil::ssm::Checkpoint::open(file.path()).with_window(20));
    std::vector<std::string> planned, found;
    for (const auto* layers : {&model->plan().layers, &model->plan().slow_layers})
      for (const auto& layer : *layers)
        for (const auto& part : layer.parts)
          for (const auto& region : part.traits.state) planned.push_back(region.name);
    for (const auto& tensor : model->state_layout()->tensors)
      if (!tensor.name.starts_with("state.film.") && !tensor.name.ends_with(".features") &&
          !tensor.name.ends_with(".from") && !tensor.name.ends_with(".to") && !tensor.name.ends_with(".controls"))
        found.push_back(tensor.name);
    INFO(file.path());
    CHECK(found == planned);
    models += !planned.empty();
  }
  CHECK(models >= 15);
}
