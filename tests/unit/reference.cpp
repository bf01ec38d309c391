// The double reference compared with results derived by hand, for features without golden files: filters' impulse
// responses, FiLM, controls, slow path, embedding.
#include "ssm/verify/reference.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "base/error.h"
#include "tests/support/random_network.h"
#include "tests/support/temp_dir.h"
#include "tests/support/worst.h"

namespace {

using namespace coil;
using Json = nlohmann::json;

ssm::Reference reference_of(const test::ModelFile& model, const test::TempDir& dir) {
  model.write(dir / "model.safetensors");
  return ssm::Reference(ssm::Checkpoint::open(dir / "model.safetensors"));
}

// One channel whose output is the FiLM shift plus (1 + scale) times the input.
test::ModelFile film_only(Json extra, std::vector<ssm::NamedFloats> tensors) {
  Json config = {
      {"model_type", "coil"}, {"d_model", 1}, {"layers", {{{"residual", false}, {"parts", {{{"type", "film"}}}}}}}};
  config.update(extra);
  return {config.dump(), "", std::move(tensors)};
}

TEST_CASE("the impulse response of S4D is the kernel of its convolution") {
  for (const std::string name : {"s4d_complex_zoh", "s4d_complex_bilinear", "s4d_real_zoh", "s4d_real_bilinear"}) {
    INFO(name);
    const auto path = std::string(COIL_GOLDEN_DIR) + "/" + name + ".safetensors";
    const auto checkpoint = ssm::Checkpoint::open(path);
    const ssm::Tensor* taps_tensor = checkpoint.find("kernel_taps");
    REQUIRE(taps_tensor);
    const auto channels = static_cast<size_t>(taps_tensor->shape[0]),
               length = static_cast<size_t>(taps_tensor->shape[1]);
    const std::vector<double> taps = taps_tensor->to_doubles(),
                              direct = checkpoint.doubles("D", {taps_tensor->shape[0]});

    ssm::Reference reference(checkpoint);
    double worst = 0;
    for (size_t t = 0; t < length; ++t) {
      const std::vector<double> y = reference.step(std::vector<double>(channels, t == 0 ? 1.0 : 0.0));
      for (size_t c = 0; c < channels; ++c)
        test::take_worst(worst, std::abs(y[c] - taps[c * length + t] - (t == 0 ? direct[c] : 0)));
    }
    CHECK(worst < 2e-7);  // taps below 4 are stored as float32: half an epsilon of 4
  }
}

TEST_CASE("controls drive FiLM through their network, in the card's order and units") {
  const test::TempDir dir;
  auto model =
      film_only({{"controls", {{"count", 2}, {"hidden", 1}}}}, {{"controls.layers.0.weight", {1, 2}, {0.5f, -0.25f}},
                                                                {"controls.layers.0.bias", {1}, {0.125f}},
                                                                {"controls.layers.1.weight", {2, 1}, {2, -3}},
                                                                {"controls.layers.1.bias", {2}, {0.5f, 0.25f}}});
  model.card_json = R"({"controls": [{"name": "a", "min": -10, "max": 10, "default": 5},
                                     {"name": "level", "min": -20, "max": 20, "default": 0, "to": "output_gain_db"},
                                     {"name": "b", "min": 0, "max": 4, "default": 1}]})";
  auto reference = reference_of(model, dir);
  const auto expected = [](double a, double b, double level_db, double x) {
    const double hidden = std::tanh(0.5 * (2 * (a + 10) / 20 - 1) - 0.25 * (2 * b / 4 - 1) + 0.125);
    return ((1 + 2 * hidden + 0.5) * x + (-3 * hidden + 0.25)) * std::pow(10, level_db / 20);
  };
  CHECK(reference.step(std::vector<double>{0.7})[0] == Approx(expected(5, 1, 0, 0.7)).epsilon(1e-14));
  reference.set_controls(std::vector<double>{-3, 6, 3.5});
  CHECK(reference.step(std::vector<double>{-0.3})[0] == Approx(expected(-3, 3.5, 6, -0.3)).epsilon(1e-14));
  reference.set_controls(std::vector<double>{-99, 99, 99});  // clamped to the ranges
  CHECK(reference.step(std::vector<double>{1})[0] == Approx(expected(-10, 4, 20, 1)).epsilon(1e-14));
  CHECK_THROWS_AS(reference.set_controls(std::vector<double>{1, 2}), Error);
}

TEST_CASE("the slow path is one hop late and moves linearly") {
  // One feature tanh(2 u + 0.5). in_proj passes on the means of f and f^2 unchanged. No slow layers. out_proj makes
  // scale and shift.
  const test::TempDir dir;
  const int hop = 3;
  auto reference = reference_of(
      film_only({{"slow_path", {{"hop_frames", hop}, {"n_features", 1}, {"d_model", 2}, {"layers", Json::array()}}}},
                {{"slow.features.weight", {1, 1}, {2}},
                 {"slow.features.bias", {1}, {0.5f}},
                 {"slow.in_proj.weight", {2, 2}, {1, 0, 0, 1}},
                 {"slow.in_proj.bias", {2}, {0, 0}},
                 {"slow.out_proj.weight", {2, 2}, {0.5f, 0, 0, 2}},
                 {"slow.out_proj.bias", {2}, {0.25f, -0.5f}}}),
      dir);
  const std::vector<double> u = {0.1, -0.4, 0.9, 0.3, 0.2, -0.8, 0.5, 0.6, -0.7, 1.0, -0.2};
  // scale and shift from hop j
  const auto out_of_hop = [&](int j) -> std::pair<double, double> {
    if (j < 0) return {0, 0};
    double mean = 0, mean_square = 0;
    for (int i = 0; i < hop; ++i) {
      const double f = std::tanh(2 * u[static_cast<size_t>(j * hop + i)] + 0.5);
      mean += f / hop;
      mean_square += f * f / hop;
    }
    return {0.5 * mean + 0.25, 2 * mean_square - 0.5};
  };
  for (int repetition = 0; repetition < 2; ++repetition) {
    for (int t = 0; t < static_cast<int>(u.size()); ++t) {
      const int hop_index = t / hop;
      const auto [scale_old, shift_old] = out_of_hop(hop_index - 2);
      const auto [scale_new, shift_new] = out_of_hop(hop_index - 1);
      const double part = (t % hop + 1.0) / hop, x = u[static_cast<size_t>(t)];
      const double expected =
          (1 + scale_old + (scale_new - scale_old) * part) * x + shift_old + (shift_new - shift_old) * part;
      INFO(t);
      CHECK(reference.step(std::vector<double>{x})[0] == Approx(expected).epsilon(1e-13).margin(1e-15));
    }
    reference.reset();
  }
}

TEST_CASE("the control values enter the slow path behind the features") {
  const test::TempDir dir;
  auto reference = reference_of(
      film_only(
          {{"slow_path",
            {{"hop_frames", 1}, {"n_features", 1}, {"d_model", 1}, {"controls", true}, {"layers", Json::array()}}},
           {"controls", {{"count", 1}}}},
          {{"slow.features.weight", {1, 1}, {1}},
           {"slow.features.bias", {1}, {0}},
           {"slow.in_proj.weight", {1, 3}, {0, 0, 4}},
           {"slow.in_proj.bias", {1}, {1}},
           {"slow.out_proj.weight", {2, 1}, {0, 1}},
           {"slow.out_proj.bias", {2}, {0, 0}}}),
      dir);
  reference.set_controls(std::vector<double>{0.75});
  reference.step(std::vector<double>{0.3});
  // A hop of one frame: its film takes effect one frame later, with shift 4 (2 k - 1) + 1 = 3.
  CHECK(reference.step(std::vector<double>{0.0})[0] == Approx(3).epsilon(1e-14));
}

TEST_CASE("pointwise parts") {
  const test::TempDir dir;
  const auto one_part = [&](Json part, std::vector<double> x) {
    const Json config = {{"model_type", "coil"},
                         {"d_model", x.size()},
                         {"layers", {{{"residual", false}, {"parts", {std::move(part)}}}}}};
    return reference_of({config.dump(), "", {}}, dir).step(x);
  };
  const double x = -0.7, b = 0.3, logistic = 1 / (1 + std::exp(0.7));
  CHECK(one_part({{"type", "tanh"}}, {x})[0] == Approx(std::tanh(x)).epsilon(1e-15));
  CHECK(one_part({{"type", "silu"}}, {x})[0] == Approx(x * logistic).epsilon(1e-15));
  CHECK(one_part({{"type", "gelu"}}, {x})[0] == Approx(x * 0.5 * std::erfc(-x / std::numbers::sqrt2)).epsilon(1e-14));
  const auto glu = one_part({{"type", "glu"}}, {2, 3, x, b});
  REQUIRE(glu.size() == 2);
  CHECK(glu[0] == Approx(2 * logistic).epsilon(1e-14));
  CHECK(glu[1] == Approx(3 / (1 + std::exp(-b))).epsilon(1e-14));
  const auto norm = one_part({{"type", "rmsnorm"}, {"affine", false}, {"eps", 0.5}}, {3, 4});
  CHECK(norm[0] == Approx(3 / std::sqrt(13.0)).epsilon(1e-14));
  CHECK(norm[1] == Approx(4 / std::sqrt(13.0)).epsilon(1e-14));
}

TEST_CASE("direct path and residual layers add") {
  const test::TempDir dir;
  const Json config = {{"model_type", "coil"},
                       {"d_model", 1},
                       {"direct", true},
                       {"layers", {{{"repeat", 2}, {"parts", {{{"type", "tanh"}}}}}}}};
  auto reference = reference_of({config.dump(), "", {{"backbone.direct.weight", {1, 1}, {10}}}}, dir);
  const double h = 0.5 + std::tanh(0.5);
  CHECK(reference.step(std::vector<double>{0.5})[0] == Approx(h + std::tanh(h) + 5).epsilon(1e-15));
}

TEST_CASE("time_step_limit clamps the step of Mamba-2") {
  // x = 1, B = 1, decay exp(-dt): after one frame from zero the state is dt.
  const test::TempDir dir;
  for (const auto& [low, high, expected] :
       {std::tuple{0.0, 1e9, std::log1p(std::exp(1.0))}, {2.0, 3.0, 2.0}, {0.0, 0.5, 0.5}}) {
    const Json config = {{"model_type", "mamba2"},
                         {"hidden_size", 1},
                         {"expand", 1},
                         {"num_heads", 1},
                         {"head_dim", 1},
                         {"state_size", 1},
                         {"n_groups", 1},
                         {"conv_kernel", 1},
                         {"num_hidden_layers", 1},
                         {"input_kind", "embeddings"},
                         {"use_conv_bias", false},
                         {"time_step_limit", {low, high}}};
    auto model = test::model_file(config.dump(), 1);
    const double x = 2, through_silu = x / (1 + std::exp(-x));
    for (auto& tensor : model.tensors) {
      if (tensor.name.ends_with("in_proj.weight"))
        tensor.values = {0, 2, 2, 2, 0};  // z, x, B, C, dt for a normed input of 1
      if (tensor.name.ends_with("conv1d.weight")) tensor.values = {1, 1, 1};
      if (tensor.name.ends_with("norm.weight")) tensor.values = {1};
      if (tensor.name.ends_with("dt_bias")) tensor.values = {1};
    }
    auto reference = reference_of(model, dir);
    reference.step(std::vector<double>{1000});
    for (const auto& state : reference.state())
      if (state.name == "state.0.ssm")
        CHECK(state.values.at(0) == Approx(expected * through_silu * through_silu).epsilon(1e-9));
  }
}

TEST_CASE("tokens read their embedding, tokens outside the vocabulary the first one") {
  const test::TempDir dir;
  const Json config = {{"model_type", "mamba"},
                       {"hidden_size", 3},
                       {"num_hidden_layers", 0},
                       {"vocab_size", 4},
                       {"layer_norm_epsilon", 0}};
  auto reference = reference_of({config.dump(),
                                 "",
                                 {{"backbone.embeddings.weight", {4, 3}, {1, 1, 1, 2, 0, 0, 0, 3, 0, 0, 0, -4}},
                                  {"backbone.norm_f.weight", {3}, {1, 1, 1}}}},
                                dir);
  const double r3 = std::sqrt(3.0);
  const auto check = [&](int32_t token, std::vector<double> expected) {
    const auto y = reference.step_token(token);
    REQUIRE(y.size() == 4);
    for (size_t i = 0; i < 4; ++i) CHECK(y[i] == Approx(expected[i]).epsilon(1e-14).margin(1e-15));
  };
  check(0, {3, 2, 3, -4});
  check(1, {r3, 2 * r3, 0, 0});
  check(3, {-r3, 0, 0, 4 * r3});
  check(4, {3, 2, 3, -4});
  check(-1, {3, 2, 3, -4});
  CHECK_THROWS_AS(reference.step(std::vector<double>{0}), Error);
}

TEST_CASE("frames of the wrong width are refused") {
  const test::TempDir dir;
  auto reference = reference_of({R"({"model_type": "coil", "d_model": 2, "layers": []})", "", {}}, dir);
  CHECK_THROWS_AS(reference.step(std::vector<double>{1}), Error);
  CHECK_THROWS_AS(reference.step_token(1), Error);
}

}  // namespace
