// Tensors and config as ssm/MODEL_FILE.md says; the scales of input and output go into the weights.
#include "capture/model_file.h"

#include <nlohmann/json.hpp>

#include "capture/trainer/slow_lanes.h"
#include "ssm/model/safetensors.h"

namespace coil::capture {
namespace {

using Json = nlohmann::ordered_json;

// Collects tensors from places in the vector of parameters.
class Tensors {
 public:
  Tensors(const ParameterMap& map, const std::vector<float>& parameters) : map_(map), parameters_(parameters) {}

  void add(const std::string& name, std::vector<int64_t> shape, size_t at, double scale = 1) {
    size_t count = 1;
    for (const int64_t axis : shape) count *= size_t(axis);
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i) values[i] = float(double(parameters_[at + i]) * scale);
    list_.push_back({name, std::move(shape), std::move(values)});
  }
  void add(const std::string& name, std::vector<int64_t> shape, std::vector<float> values) {
    list_.push_back({name, std::move(shape), std::move(values)});
  }
  const std::vector<ssm::NamedFloats>& list() const { return list_; }

  void add_layer(size_t index) {
    const std::string layer = "backbone.layers." + std::to_string(index) + ".";
    const size_t at = map_.at_layer(index);
    const int64_t d = int64_t(map_.shape.d_model), pairs = int64_t(map_.shape.pairs);
    add(layer + "mixer.kernel.log_dt", {d}, at + map_.layer.log_dt);
    add(layer + "mixer.kernel.log_A_real", {d, pairs}, at + map_.layer.log_A_real);
    add(layer + "mixer.kernel.A_imag", {d, pairs}, at + map_.layer.A_imag);
    add(layer + "mixer.kernel.C", {d, pairs, 2}, at + map_.layer.C);
    add(layer + "mixer.D", {d}, at + map_.layer.D);
    add(layer + "in_proj.weight", {d, d}, at + map_.layer.in_weight);
    add(layer + "in_proj.bias", {d}, at + map_.layer.in_bias);
    add(layer + "out_proj.weight", {d, d}, at + map_.layer.out_weight);
  }

 private:
  const ParameterMap& map_;
  const std::vector<float>& parameters_;
  std::vector<ssm::NamedFloats> list_;
};

// hop_frames, width and layers of the slow path as SlowMap has them.
Json slow_path_of(const Shape& shape) {
  Json layers = Json::array();
  layers.push_back(
      {{"residual", false}, {"parts", {{{"type", "gated"}, {"name", "units"}, {"d_out", SlowMap::units}}}}});
  layers.push_back(
      {{"residual", false},
       {"parts",
        {{{"type", "linear"}, {"name", "head"}, {"d_out", SlowMap::head}, {"bias", true}}, {{"type", "tanh"}}}}});
  return {{"hop_frames", SlowMap::kHopFrames},
          {"n_features", shape.slow_features},
          {"d_model", SlowMap::hidden},
          {"controls", shape.knobs > 0},
          {"output", true},
          {"layers", std::move(layers)}};
}

Json config_of(const Shape& shape, double sample_rate_hz) {
  Json parts = Json::array();
  parts.push_back({{"type", "s4d"},
                   {"name", "mixer"},
                   {"d_state", 2 * shape.pairs},
                   {"mode", "complex"},
                   {"discretization", "zoh"}});
  parts.push_back({{"type", "linear"}, {"name", "in_proj"}, {"d_out", shape.d_model}, {"bias", true}});
  if (shape.knobs + shape.slow_features > 0) parts.push_back({{"type", "film"}});
  parts.push_back({{"type", "tanh"}, {"rest", true}});
  parts.push_back({{"type", "linear"}, {"name", "out_proj"}, {"d_out", shape.d_model}, {"bias", false}});
  Json config = {
      {"model_type", "coil"},
      {"sample_rate", sample_rate_hz},
      {"d_input", 1},
      {"d_model", shape.d_model},
      {"d_output", 1},
      {"in_proj_bias", false},
      {"out_proj_bias", false},
      {"direct", true},
      {"norm_f", false},
      {"layers", Json::array({{{"repeat", shape.layers}, {"residual", true}, {"parts", std::move(parts)}}})}};
  if (shape.knobs > 0) config["controls"] = {{"count", shape.knobs}, {"polynomial", 2}, {"output", true}};
  if (shape.slow_features > 0) config["slow_path"] = slow_path_of(shape);
  return config;
}

void add_controls(Tensors& tensors, const ParameterMap& map, const std::vector<float>& parameters,
                  double output_scale) {
  const size_t features = map.features(), of_layers = 2 * map.shape.d_model * map.shape.layers;
  std::vector<float> weight(parameters.begin() + std::ptrdiff_t(map.knobs),
                            parameters.begin() + std::ptrdiff_t(map.slow));
  for (size_t i = of_layers * features; i < weight.size(); ++i) weight[i] = float(double(weight[i]) * output_scale);
  tensors.add("controls.weight", {int64_t(map.film_size()), int64_t(features)}, std::move(weight));
  tensors.add("controls.bias", {int64_t(map.film_size())}, std::vector<float>(map.film_size()));
}

void add_slow_path(Tensors& tensors, const ParameterMap& map, const std::vector<float>& parameters,
                   const Scales& scales) {
  const SlowMap& slow = map.slow_path;
  const int64_t features = int64_t(map.shape.slow_features), inputs = int64_t(slow.inputs), film = int64_t(slow.film);
  constexpr int64_t units = SlowMap::units, hidden = SlowMap::hidden, head = SlowMap::head;
  std::vector<float> feature_weight, feature_bias;
  for (size_t i = 0; i < map.shape.slow_features; ++i) {
    feature_weight.push_back(float(slow_feature(i).weight / scales.input));
    feature_bias.push_back(float(slow_feature(i).bias));
  }
  tensors.add("slow.features.weight", {features, 1}, std::move(feature_weight));
  tensors.add("slow.features.bias", {features}, std::move(feature_bias));
  tensors.add("slow.in_proj.weight", {hidden, inputs}, map.slow + slow.in_weight);
  tensors.add("slow.in_proj.bias", {hidden}, map.slow + slow.in_bias);
  tensors.add("slow.layers.0.units.recurrent.weight", {hidden, units}, map.slow + slow.recurrent);
  tensors.add("slow.layers.0.units.gate.weight", {units, hidden}, map.slow + slow.gate_weight);
  tensors.add("slow.layers.0.units.gate.bias", {units}, map.slow + slow.gate_bias);
  tensors.add("slow.layers.0.units.value.weight", {units, hidden}, map.slow + slow.value_weight);
  tensors.add("slow.layers.0.units.value.bias", {units}, map.slow + slow.value_bias);
  tensors.add("slow.layers.1.head.weight", {head, units}, map.slow + slow.head_weight);
  tensors.add("slow.layers.1.head.bias", {head}, map.slow + slow.head_bias);
  // the output row's part is in the device's units
  std::vector<float> weight(parameters.begin() + std::ptrdiff_t(map.slow + slow.out_weight),
                            parameters.begin() + std::ptrdiff_t(map.slow + slow.out_bias)),
      bias(parameters.begin() + std::ptrdiff_t(map.slow + slow.out_bias), parameters.end());
  const size_t of_layers = 2 * map.shape.d_model * map.shape.layers;
  for (size_t i = of_layers; i < slow.film; ++i) {
    for (size_t j = 0; j < SlowMap::head; ++j) {
      float& value = weight[i * SlowMap::head + j];
      value = float(double(value) * scales.output);
    }
    bias[i] = float(double(bias[i]) * scales.output);
  }
  tensors.add("slow.out_proj.weight", {film, head}, std::move(weight));
  tensors.add("slow.out_proj.bias", {film}, std::move(bias));
}

Json controls_of(const std::vector<Knob>& knobs) {
  Json controls = Json::array();
  for (const Knob& knob : knobs) {
    controls.push_back({{"name", knob.name},
                        {"min", knob.min},
                        {"max", knob.max},
                        {"default", (knob.min + knob.max) / 2},
                        {"unit", ""},
                        {"to", "network"}});
  }
  return controls;
}

}  // namespace

void write_model(const std::filesystem::path& path, const ParameterMap& map, const std::vector<float>& parameters,
                 const Scales& scales, double sample_rate_hz, const std::vector<Knob>& knobs, Json card) {
  const int64_t d = int64_t(map.shape.d_model);
  Tensors tensors(map, parameters);
  tensors.add("backbone.in_proj.weight", {d, 1}, map.input, 1 / scales.input);
  for (size_t l = 0; l < map.shape.layers; ++l) tensors.add_layer(l);
  tensors.add("backbone.out_proj.weight", {1, d}, map.output, scales.output);
  tensors.add("backbone.direct.weight", {1, 1}, map.direct, scales.output / scales.input);
  if (map.shape.knobs > 0) add_controls(tensors, map, parameters, scales.output);
  if (map.shape.slow_features > 0) add_slow_path(tensors, map, parameters, scales);

  card["sample_rate"] = sample_rate_hz;
  card["channels"] = 1;
  card["latency_frames"] = 0;
  card["controls"] = controls_of(knobs);
  ssm::write_safetensors(path,
                         {{"config", config_of(map.shape, sample_rate_hz).dump()},
                          {"card", card.dump(-1, ' ', false, Json::error_handler_t::replace)}},
                         tensors.list());
}

}  // namespace coil::capture
