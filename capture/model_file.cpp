// Writes tensors and config as ssm/MODEL_FILE.md specifies. The scales of input and output are multiplied into the
// weights.
#include "capture/model_file.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "capture/trainer/slow_lanes.h"
#include "ssm/model/safetensors.h"

namespace coil::capture {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kFilterChannels = 16;   // channels of the filter's bank in the file: the lanes of a vector
constexpr double kSmallestOfRow = 1e-4;  // of the output row, relative to its largest value, because the row is divided
                                         // by some of its values

// Collects tensors from their places in the parameter vector.
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

// hop_frames, width and layers of the slow path, as in SlowMap.
Json slow_path_of(const Shape& shape) {
  Json layers = Json::array();
  layers.push_back(
      {{"residual", false}, {"parts", {{{"type", "gated"}, {"name", "units"}, {"d_out", SlowMap::units}}}}});
  layers.push_back(
      {{"residual", false},
       {"parts",
        {{{"type", "linear"}, {"name", "head"}, {"d_out", SlowMap::head}, {"bias", true}}, {{"type", "tanh"}}}}});
  return {{"hop_frames", SlowMap::kHopFrames}, {"n_features", shape.slow_features}, {"d_model", SlowMap::hidden},
          {"controls", shape.knobs > 0},       {"output", shape.filter_modes == 0}, {"layers", std::move(layers)}};
}

// Every channel of the bank gets the output row's sum, and the output adds the channels. A film part before the bank
// applies what knobs and slow path add to the row.
Json filter_parts(const Shape& shape) {
  Json parts = Json::array();
  if (shape.knobs + shape.slow_features > 0) parts.push_back({{"type", "film"}});
  parts.push_back({{"type", "linear"}, {"name", "row"}, {"d_out", kFilterChannels}, {"bias", false}});
  parts.push_back({{"type", "s4d"},
                   {"name", "filter"},
                   {"d_state", 2 * shape.filter_modes / kFilterChannels},
                   {"mode", "complex"},
                   {"discretization", "zoh"}});
  return parts;
}

Json config_of(const Shape& shape, double sample_rate_hz) {
  Json parts = Json::array();
  parts.push_back({{"type", "s4d"},
                   {"name", "mixer"},
                   {"d_state", 2 * shape.pairs},
                   {"mode", "complex"},
                   {"discretization", "zoh"}});
  parts.push_back({{"type", "linear"}, {"name", "in_proj"}, {"d_out", shape.d_model}, {"bias", true}});
  const bool modulated = shape.knobs + shape.slow_features > 0, filtered = shape.filter_modes > 0;
  if (modulated) parts.push_back({{"type", "film"}});
  parts.push_back({{"type", "tanh"}, {"rest", true}});
  parts.push_back({{"type", "linear"}, {"name", "out_proj"}, {"d_out", shape.d_model}, {"bias", false}});
  Json layers = Json::array({{{"repeat", shape.layers}, {"residual", true}, {"parts", std::move(parts)}}});
  if (filtered) layers.push_back({{"residual", false}, {"parts", filter_parts(shape)}});
  Json config = {{"model_type", "coil"},   {"sample_rate", sample_rate_hz},
                 {"d_input", 1},           {"d_model", shape.d_model},
                 {"d_output", 1},          {"in_proj_bias", false},
                 {"out_proj_bias", false}, {"direct", !filtered && shape.direct > 0},
                 {"norm_f", false},        {"layers", std::move(layers)}};
  if (shape.knobs > 0) config["controls"] = {{"count", shape.knobs}, {"polynomial", 2}, {"output", !filtered}};
  if (shape.slow_features > 0) config["slow_path"] = slow_path_of(shape);
  return config;
}

// The output row; values near 0 are replaced by small ones.
std::vector<double> output_row(const ParameterMap& map, const std::vector<float>& parameters) {
  std::vector<double> row;
  double largest = 0;
  for (size_t c = 0; c < map.shape.d_model; ++c) {
    row.push_back(double(parameters[map.output + c]));
    largest = std::max(largest, std::abs(row.back()));
  }
  const double least = kSmallestOfRow * largest;
  for (double& value : row)
    if (std::abs(value) < least) value = std::copysign(least, value);
  return row;
}

// The rows of a matrix that gives the film vector, in the order of the file. The output row's part is in the device's
// units. Before a filter, it scales the inputs of the row, and its shift is 0.
std::vector<float> film_rows(const ParameterMap& map, const std::vector<float>& parameters, const Scales& scales,
                             size_t at, size_t columns) {
  const auto begin = parameters.begin() + std::ptrdiff_t(at);
  std::vector<float> rows(begin, begin + std::ptrdiff_t(map.film_size() * columns));
  const std::vector<double> row = output_row(map, parameters);
  const bool filtered = map.shape.filter_modes > 0;
  const size_t of_layers = 2 * map.shape.d_model * map.shape.layers;
  for (size_t c = 0; c < map.shape.d_model; ++c) {
    for (size_t j = 0; j < columns; ++j) {
      float& value = rows[(of_layers + c) * columns + j];
      value = float(double(value) * (filtered ? 1 / row[c] : scales.output));
    }
  }
  if (filtered) rows.resize(rows.size() + map.shape.d_model * columns);
  return rows;
}

void add_controls(Tensors& tensors, const ParameterMap& map, const std::vector<float>& parameters,
                  const Scales& scales) {
  const size_t features = map.features();
  std::vector<float> weight = film_rows(map, parameters, scales, map.knobs, features);
  const auto film = int64_t(weight.size() / features);
  tensors.add("controls.weight", {film, int64_t(features)}, std::move(weight));
  tensors.add("controls.bias", {film}, std::vector<float>(size_t(film)));
}

// In the file, the modes of a channel share one step.
void add_filter(Tensors& tensors, const ParameterMap& map, const std::vector<float>& parameters) {
  const std::string layer = "backbone.layers." + std::to_string(map.shape.layers) + ".",
                    kernel = layer + "filter.kernel.";
  const auto channels = int64_t(kFilterChannels), d = int64_t(map.shape.d_model);
  const size_t modes = map.shape.filter_modes, modes_each = modes / kFilterChannels;
  const float* p = &parameters[map.filter];
  const FilterMap& at = map.filter_bank;
  std::vector<float> row, log_dt, log_A_real, A_imag, C, D(kFilterChannels);
  for (size_t i = 0; i < kFilterChannels; ++i)
    for (const double value : output_row(map, parameters)) row.push_back(float(value));
  for (size_t n = 0; n < modes; ++n) {
    if (n % modes_each == 0) log_dt.push_back(p[at.log_dt + n]);
    const double log_longer = double(p[at.log_dt + n]) - double(log_dt.back()), longer = std::exp(log_longer);
    log_A_real.push_back(float(double(p[at.log_A_real + n]) + log_longer));
    A_imag.push_back(float(double(p[at.A_imag + n]) * longer));
    for (size_t i = 0; i < 2; ++i) C.push_back(float(double(p[at.C + 2 * n + i]) * longer));
  }
  D[0] = p[at.D];
  tensors.add(layer + "row.weight", {channels, d}, std::move(row));
  tensors.add(kernel + "log_dt", {channels}, std::move(log_dt));
  tensors.add(kernel + "log_A_real", {channels, int64_t(modes_each)}, std::move(log_A_real));
  tensors.add(kernel + "A_imag", {channels, int64_t(modes_each)}, std::move(A_imag));
  tensors.add(kernel + "C", {channels, int64_t(modes_each), 2}, std::move(C));
  tensors.add(layer + "filter.D", {channels}, std::move(D));
}

void add_slow_path(Tensors& tensors, const ParameterMap& map, const std::vector<float>& parameters,
                   const Scales& scales) {
  const SlowMap& slow = map.slow_path;
  const int64_t features = int64_t(map.shape.slow_features), inputs = int64_t(slow.inputs);
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
  std::vector<float> weight = film_rows(map, parameters, scales, map.slow + slow.out_weight, SlowMap::head);
  std::vector<float> bias = film_rows(map, parameters, scales, map.slow + slow.out_bias, 1);
  const auto film = int64_t(bias.size());
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

// What a file holds.
struct Content {
  std::map<std::string, std::string> metadata;
  std::vector<ssm::NamedFloats> tensors;
};

Content content_of(const ParameterMap& map, const std::vector<float>& parameters, const Scales& scales,
                   double sample_rate_hz, const std::vector<Knob>& knobs, Json card) {
  const int64_t d = int64_t(map.shape.d_model);
  Tensors tensors(map, parameters);
  tensors.add("backbone.in_proj.weight", {d, 1}, map.input, 1 / scales.input);
  for (size_t l = 0; l < map.shape.layers; ++l) tensors.add_layer(l);
  if (map.shape.filter_modes > 0) {
    add_filter(tensors, map, parameters);
    const std::vector<float> sum(kFilterChannels, float(scales.output));
    tensors.add("backbone.out_proj.weight", {1, int64_t(kFilterChannels)}, sum);
  } else {
    tensors.add("backbone.out_proj.weight", {1, d}, map.output, scales.output);
    if (map.shape.direct > 0) tensors.add("backbone.direct.weight", {1, 1}, map.direct, scales.output / scales.input);
  }
  if (map.shape.knobs > 0) add_controls(tensors, map, parameters, scales);
  if (map.shape.slow_features > 0) add_slow_path(tensors, map, parameters, scales);

  card["sample_rate"] = sample_rate_hz;
  card["channels"] = 1;
  card["latency_frames"] = 0;
  card["controls"] = controls_of(knobs);
  return {{{"config", config_of(map.shape, sample_rate_hz).dump()},
           {"card", card.dump(-1, ' ', false, Json::error_handler_t::replace)}},
          tensors.list()};
}

}  // namespace

std::vector<std::byte> model_bytes(const ParameterMap& map, const std::vector<float>& parameters, const Scales& scales,
                                   double sample_rate_hz, const std::vector<Knob>& knobs, Json card) {
  const Content content = content_of(map, parameters, scales, sample_rate_hz, knobs, std::move(card));
  return ssm::safetensors_bytes(content.metadata, content.tensors);
}

void write_model(const std::filesystem::path& path, const ParameterMap& map, const std::vector<float>& parameters,
                 const Scales& scales, double sample_rate_hz, const std::vector<Knob>& knobs, Json card) {
  const Content content = content_of(map, parameters, scales, sample_rate_hz, knobs, std::move(card));
  ssm::write_safetensors(path, content.metadata, content.tensors);
}

}  // namespace coil::capture
