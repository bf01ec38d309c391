// Makes networks from a seed: first the JSON, then a weight for every tensor that its parsed config names.
#include "tests/support/random_network.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

namespace coil::test {
namespace {

using Json = nlohmann::json;
using Shape = std::vector<int64_t>;

class WeightMaker {
 public:
  explicit WeightMaker(Random& random) : random_(random) {}

  std::vector<ssm::NamedFloats> take() { return std::move(tensors_); }

  template <class Value>
  void add(const std::string& name, const Shape& shape, Value value) {
    size_t n = 1;
    for (int64_t extent : shape) n *= static_cast<size_t>(extent);
    ssm::NamedFloats tensor{name, shape, std::vector<float>(n)};
    for (size_t i = 0; i < n; ++i) tensor.values[i] = static_cast<float>(value(i));
    tensors_.push_back(std::move(tensor));
  }

  void matrix(const std::string& name, int d_out, int d_in, double gain = 1) {
    add(name, {d_out, d_in}, [&](size_t) { return random_.normal() * gain / std::sqrt(d_in); });
  }
  void bias(const std::string& name, int width, double size = 0.1) {
    add(name, {width}, [&](size_t) { return size * random_.normal(); });
  }

  void operator()(const ssm::LinearConfig& c) { linear(c, 1); }
  void linear(const ssm::LinearConfig& c, double gain) {
    matrix(c.name + ".weight", c.d_out, c.d_in, gain);
    if (c.bias) bias(c.name + ".bias", c.d_out);
  }
  void operator()(const ssm::RmsNormConfig& c) {
    if (c.affine) add(c.name + ".weight", {c.width}, [&](size_t) { return 1 + 0.2 * random_.normal(); });
    if (c.affine && c.centred) bias(c.name + ".bias", c.width);
  }
  void operator()(const ssm::TapConfig&) {}
  void operator()(const ssm::MlpConfig& c) {
    if (c.gate) (*this)(*c.gate);
    (*this)(c.up), (*this)(c.down);
  }
  void operator()(const ssm::MoeConfig& c) {
    (*this)(c.router);
    for (const ssm::MlpConfig& expert : c.experts) (*this)(expert);
    if (c.shared) (*this)(*c.shared);
  }
  void operator()(const ssm::AttentionConfig& c) {
    for (const ssm::LinearConfig* linear : {&c.q, &c.k, &c.v, &c.o}) (*this)(*linear);
    for (const std::string& norm : {c.q_norm, c.k_norm})
      if (!norm.empty()) add(norm, {c.headdim}, [&](size_t) { return 1 + 0.2 * random_.normal(); });
    if (!c.sinks.empty()) bias(c.sinks, c.heads, 1);
  }
  void operator()(const ssm::ActivationConfig&) {}
  void operator()(const ssm::RestTanhConfig&) {}
  void operator()(const ssm::FilmConfig&) {}

  void operator()(const ssm::S4dConfig& c) {
    const std::string prefix = c.name.empty() ? "" : c.name + ".";
    const auto modes = static_cast<size_t>(c.modes);
    add(prefix + "kernel.log_dt", {c.channels}, [&](size_t) { return std::log(random_.log_uniform(0.02, 0.2)); });
    add(prefix + "kernel.log_A_real", {c.channels, c.modes},
        [&](size_t) { return std::log(random_.uniform(0.4, 1.5)); });
    if (c.complex) {
      add(prefix + "kernel.A_imag", {c.channels, c.modes},
          [&](size_t i) { return std::numbers::pi * static_cast<double>(i % modes); });
      add(prefix + "kernel.C", {c.channels, c.modes, 2},
          [&](size_t) { return random_.normal() / static_cast<double>(modes); });
    } else {
      add(prefix + "kernel.C", {c.channels, c.modes},
          [&](size_t) { return random_.normal() / static_cast<double>(modes); });
    }
    add(prefix + "D", {c.channels}, [&](size_t) { return random_.normal(); });
  }

  void operator()(const ssm::Mamba1Config& c) {
    matrix(c.name + ".in_proj.weight", 2 * c.d_inner, c.d_model);
    if (c.bias) bias(c.name + ".in_proj.bias", 2 * c.d_inner);
    conv(c.name, c.d_inner, c.d_conv, c.conv_bias);
    matrix(c.name + ".x_proj.weight", c.dt_rank + 2 * c.d_state, c.d_inner);
    if (c.x_proj_bias) bias(c.name + ".x_proj.bias", c.dt_rank + 2 * c.d_state);
    for (const auto& [norm, width] :
         {std::pair{".dt_layernorm", c.dt_rank}, {".b_layernorm", c.d_state}, {".c_layernorm", c.d_state}})
      if (c.norm_weights) add(c.name + norm + ".weight", {width}, [&](size_t) { return 1 + 0.2 * random_.normal(); });
    matrix(c.name + ".dt_proj.weight", c.d_inner, c.dt_rank);
    add(c.name + ".dt_proj.bias", {c.d_inner}, [&](size_t) { return dt_bias(); });
    const auto modes = static_cast<size_t>(c.d_state);
    add(c.name + ".A_log", {c.d_inner, c.d_state},
        [&](size_t i) { return std::log(static_cast<double>(i % modes + 1)); });
    bias(c.name + ".D", c.d_inner, 1);
    matrix(c.name + ".out_proj.weight", c.d_model, c.d_inner);
    if (c.bias) bias(c.name + ".out_proj.bias", c.d_model);
  }

  // The rows that control the heads are small, so that they remember some frames and rotate by fractions of a turn.
  void operator()(const ssm::Mamba3Config& c) {
    const int steering = 3 * c.heads + c.angles, first = c.d_in_proj() - steering;
    add(c.name + ".in_proj.weight", {c.d_in_proj(), c.d_model}, [&](size_t i) {
      const bool steers = i >= static_cast<size_t>(first) * static_cast<size_t>(c.d_model);
      return random_.normal() * (steers ? 0.3 : 1.0) / std::sqrt(c.d_model);
    });
    add(c.name + ".dt_bias", {c.heads}, [&](size_t) { return dt_bias(); });
    for (const char* norm : {".B_norm.weight", ".C_norm.weight"})
      add(c.name + norm, {c.d_state}, [&](size_t) { return 1 + 0.2 * random_.normal(); });
    for (const char* bias : {".B_bias", ".C_bias"})
      add(c.name + bias, {c.heads, c.rank, c.d_state}, [&](size_t) { return 0.5 * random_.normal(); });
    for (const char* mimo : {".mimo_x", ".mimo_z", ".mimo_o"})
      if (c.mimo) add(c.name + mimo, {c.heads, c.rank, c.headdim}, [&](size_t) { return 1 + 0.3 * random_.normal(); });
    bias(c.name + ".D", c.heads, 1);
    if (c.outproj_norm) add(c.name + ".norm.weight", {c.d_inner()}, [&](size_t) { return 1 + 0.2 * random_.normal(); });
    matrix(c.name + ".out_proj.weight", c.d_model, c.d_inner(), 0.5);
  }

  void operator()(const ssm::Mamba2Config& c) {
    const int in_width = c.d_inner() + c.conv_channels() + c.heads;
    matrix(c.name + ".in_proj.weight", in_width, c.d_model);
    if (c.bias) bias(c.name + ".in_proj.bias", in_width);
    conv(c.name, c.conv_channels(), c.d_conv, c.conv_bias);
    add(c.name + ".dt_bias", {c.heads}, [&](size_t) { return dt_bias(); });
    add(c.name + ".A_log", {c.heads}, [&](size_t) { return std::log(random_.uniform(0.5, 8)); });
    bias(c.name + ".D", c.heads, 1);
    add(c.name + ".norm.weight", {c.d_inner()}, [&](size_t) { return 1 + 0.2 * random_.normal(); });
    matrix(c.name + ".out_proj.weight", c.d_model, c.d_inner());
    if (c.bias) bias(c.name + ".out_proj.bias", c.d_model);
  }

  void operator()(const ssm::GatedConfig& c) {
    for (const ssm::LinearConfig& part : {c.recurrent(), c.gate(), c.value()}) (*this)(part);
  }

  void layers(const std::vector<ssm::LayerConfig>& layers) {
    for (const auto& layer : layers)
      for (const auto& part : layer.parts) std::visit(*this, part);
  }

 private:
  // The inverse of softplus, so that dt is between 0.01 and 0.2.
  double dt_bias() { return std::log(std::expm1(random_.log_uniform(0.01, 0.2))); }

  void conv(const std::string& name, int channels, int taps, bool with_bias) {
    if (taps == 0) return;
    add(name + ".conv1d.weight", {channels, 1, taps}, [&](size_t) { return random_.normal() / std::sqrt(taps); });
    if (with_bias) bias(name + ".conv1d.bias", channels);
  }

  Random& random_;
  std::vector<ssm::NamedFloats> tensors_;
};

// A norm over few values amplifies rounding errors by up to 1 / sqrt(eps) if all values are near 0. That is not what
// these networks should test.
constexpr double kCalmEps = 0.05;

Json s4d_part(Random& r) {
  const bool complex = r.chance(0.5);
  return {{"type", "s4d"},
          {"name", "filter"},
          {"d_state", complex ? 2 * r.whole(1, 9) : r.whole(1, 9)},
          {"mode", complex ? "complex" : "real"},
          {"discretization", r.chance(0.5) ? "zoh" : "bilinear"}};
}

Json mamba1_part(Random& r) {
  Json part = {{"type", "mamba1"},
               {"name", "mixer"},
               {"d_state", r.pick({1, 5, 8, 16, 17})},
               {"d_conv", r.pick({0, 1, 2, 3, 4, 5})},
               {"expand", r.pick({1, 2, 3})},
               {"dt_rank", r.pick({1, 2, 3})},
               {"bias", r.chance(0.5)},
               {"conv_bias", r.chance(0.5)},
               {"x_proj_bias", r.chance(0.5)}};
  if (r.chance(0.3)) part["rms_eps"] = kCalmEps;
  return part;
}

// Heads, head width and groups that match d_inner = expand * width.
Json mamba2_part(Random& r, int width) {
  const int expand = r.pick({1, 2, 3}), d_inner = expand * width;
  const auto divisor_of = [&](int n) {
    int d = r.whole(1, n);
    while (n % d != 0) --d;
    return d;
  };
  const int headdim = divisor_of(d_inner);
  Json part = {{"type", "mamba2"},
               {"name", "mixer"},
               {"d_state", r.pick({1, 5, 16, 19})},
               {"d_conv", r.pick({0, 2, 3, 4})},
               {"expand", expand},
               {"headdim", headdim},
               {"ngroups", divisor_of(d_inner / headdim)},
               {"bias", r.chance(0.5)},
               {"conv_bias", r.chance(0.5)}};
  if (r.chance(0.5)) part["norm_group_size"] = divisor_of(d_inner);
  part["norm_eps"] = kCalmEps;
  return part;
}

Json mamba3_part(Random& r, int width) {
  const int headdim = r.pick({1, 2, 4, 8});
  const bool mimo = r.chance(0.5);
  return {{"type", "mamba3"},
          {"name", "mixer"},
          {"d_state", r.pick({4, 7, 16, 19, 32})},
          {"headdim", width % headdim == 0 ? headdim : 1},
          {"rope_fraction", r.pick({0.5, 1.0})},
          {"ngroups", 2},
          {"is_mimo", mimo},
          {"mimo_rank", r.pick({1, 2, 3, 4})},
          {"is_outproj_norm", r.chance(0.3)},
          {"A_activation", r.pick({"reciprocal", "softplus"})}};
}

Json attention_part(Random& r) {
  const int kv_heads = r.pick({1, 2}), headdim = r.pick({2, 4, 6, 16, 20});
  Json part = {{"type", "attention"},      {"name", "attn"},         {"heads", kv_heads * r.pick({1, 2, 3})},
               {"kv_heads", kv_heads},     {"headdim", headdim},     {"window", r.pick({1, 5, 16, 33, 100})},
               {"qk_norm", r.chance(0.4)}, {"sinks", r.chance(0.4)}, {"bias", r.chance(0.5)}};
  if (r.chance(0.6)) part["rope_theta"] = r.pick({100.0, 10000.0}), part["rope_fraction"] = r.pick({0.5, 1.0});
  if (headdim % 4 != 0) part["rope_fraction"] = 1.0;
  if (r.chance(0.4)) part["soft_cap"] = 3.0;
  return part;
}

Json mixer(Random& r, int width) {
  switch (r.whole(0, 2)) {
    case 0:
      return s4d_part(r);
    case 1:
      return mamba1_part(r);
    default:
      return mamba2_part(r, width);
  }
}

// A linear part, optionally FiLM, and a tanh that is 0 where the linear part's input is 0.
Json rest_parts(int width, bool with_film) {
  Json parts = Json::array();
  parts.push_back({{"type", "linear"}, {"name", "rest_proj"}, {"d_out", width}});
  if (with_film) parts.push_back({{"type", "film"}});
  parts.push_back({{"type", "tanh"}, {"rest", true}});
  return parts;
}

// One layer that does not change the width.
Json layer(Random& r, int width, bool with_film) {
  Json parts = Json::array();
  if (r.chance(0.3)) {  // the layer of an amplifier model
    parts.push_back(s4d_part(r));
    for (Json& part : rest_parts(width, with_film)) parts.push_back(std::move(part));
    if (r.chance(0.7)) parts.push_back({{"type", "linear"}, {"name", "out_proj"}, {"d_out", width}, {"bias", false}});
    return {{"residual", r.chance(0.7)}, {"repeat", r.whole(1, 2)}, {"parts", parts}};
  }
  parts.push_back({{"type", "rmsnorm"}, {"name", "norm"}, {"affine", r.chance(0.7)}, {"eps", kCalmEps}});
  parts.push_back(mixer(r, width));
  if (r.chance(0.2)) {
    parts.push_back(mixer(r, width));
    parts.back()["name"] = "second";
  }
  if (with_film) parts.push_back({{"type", "film"}});
  if (r.chance(0.5)) parts.push_back({{"type", r.pick({"tanh", "gelu", "silu"})}});
  if (r.chance(0.5)) {
    parts.push_back({{"type", "linear"}, {"name", "gate_proj"}, {"d_out", 2 * width}, {"bias", r.chance(0.5)}});
    parts.push_back({{"type", "glu"}});
  }
  if (r.chance(0.3)) {
    parts.push_back({{"type", "linear"}, {"name", "widen"}, {"d_out", r.whole(1, 37)}});
    parts.push_back({{"type", r.pick({"tanh", "gelu"})}});
    parts.push_back({{"type", "linear"}, {"name", "narrow"}, {"d_out", width}});
  }
  return {{"residual", r.chance(0.7)}, {"repeat", r.whole(1, 2)}, {"parts", parts}};
}

// Only for the slow path; its final width is arbitrary.
Json gated_layer(Random& r) {
  return {{"residual", false}, {"parts", {{{"type", "gated"}, {"name", "units"}, {"d_out", r.whole(1, 19)}}}}};
}

}  // namespace

double Random::uniform(double low, double high) {
  return low + (high - low) * (static_cast<double>(engine_()) / 4294967296.0);
}
double Random::log_uniform(double low, double high) { return std::exp(uniform(std::log(low), std::log(high))); }
int Random::whole(int low, int high) {
  return low + static_cast<int>(engine_() % static_cast<uint32_t>(high - low + 1));
}

// Box-Muller transform: the distributions of standard libraries differ, but a seed must always give the same numbers.
double Random::normal() {
  const double radius = std::sqrt(-2 * std::log(uniform(0, 1) + 1e-12)), angle = uniform(0, 2 * std::numbers::pi);
  return radius * std::cos(angle);
}

void ModelFile::write(const std::filesystem::path& path) const {
  std::map<std::string, std::string> metadata = {{"config", config_json}};
  if (!card_json.empty()) metadata["card"] = card_json;
  ssm::write_safetensors(path, metadata, tensors);
}

std::vector<ssm::NamedFloats> random_weights(const ssm::ModelConfig& config, Random& random) {
  WeightMaker make(random);
  if (config.embedding)
    make.matrix(config.embedding->name + ".weight", config.embedding->vocab, config.d_model, std::sqrt(config.d_model));
  if (config.in_proj) make(*config.in_proj);
  make.layers(config.layers);
  if (config.norm_f) make(*config.norm_f);
  const bool tied = config.embedding && config.out_proj && config.out_proj->name == config.embedding->name;
  if (config.out_proj && !tied) make(*config.out_proj);
  if (config.direct) make(*config.direct);
  if (config.control_net) {
    if (config.control_net->hidden) make(*config.control_net->hidden);
    make.linear(config.control_net->film, 0.3);
  }
  if (config.slow_path) {
    make(config.slow_path->features);
    make(config.slow_path->in_proj);
    make.layers(config.slow_path->layers);
    make.linear(config.slow_path->out_proj, 0.3);
  }
  return make.take();
}

ModelFile model_file(const std::string& config_json, uint32_t seed) {
  Random random(seed);
  return {config_json, "", random_weights(ssm::parse_config(config_json, "test model"), random)};
}

ModelFile random_coil_network(uint32_t seed) {
  Random r(seed);
  const int width = r.pick({1, 2, 3, 7, 9, 16, 17, 24, 33});
  Json config = {{"model_type", "coil"}, {"sample_rate", 48000}, {"d_model", width}};
  if (r.chance(0.7)) config["d_input"] = r.whole(1, 3);
  if (r.chance(0.7)) config["d_output"] = r.whole(1, 3);
  for (const char* bias : {"in_proj_bias", "out_proj_bias"})
    if (r.chance(0.5)) config[bias] = false;
  if (r.chance(0.5)) config["direct"] = true;
  if (r.chance(0.5)) {
    config["norm_f"] = true;
    config["norm_eps"] = kCalmEps;
  }

  const bool with_controls = r.chance(0.6), with_slow = r.chance(0.5), with_film = with_controls || with_slow;
  Json layers = Json::array();
  const int entries = r.whole(1, 2);
  for (int i = 0; i < entries; ++i) layers.push_back(layer(r, width, with_film && (i == 0 || r.chance(0.5))));
  config["layers"] = layers;
  const int count = r.whole(1, 3);
  if (with_controls) {
    config["controls"] = {{"count", count}};
    if (r.chance(0.5))
      config["controls"]["hidden"] = r.whole(1, 9);
    else
      config["controls"]["polynomial"] = 2;
    config["controls"]["output"] = config.contains("d_output") && r.chance(0.5);
  }
  if (with_slow) {
    const int slow_width = r.pick({1, 4, 6, 8});
    config["slow_path"] = {{"hop_frames", r.pick({1, 2, 16, 37, 64})},
                           {"n_features", r.whole(1, 5)},
                           {"d_model", slow_width},
                           {"controls", with_controls && r.chance(0.5)},
                           {"layers", {layer(r, slow_width, false)}}};
    if (r.chance(0.5)) config["slow_path"]["layers"].push_back(gated_layer(r));
    config["slow_path"]["output"] = config.contains("d_output") && r.chance(0.5);
  }

  ModelFile file = model_file(config.dump(), seed + 1000000);
  if (with_controls) {
    Json controls = Json::array();
    for (int i = 0; i < count; ++i) {
      const double low = r.uniform(-20, 5);
      controls.push_back({{"name", "knob " + std::to_string(i)},
                          {"min", low},
                          {"max", low + 10},
                          {"default", low + r.uniform(0, 10)}});
    }
    const Json level = {{"name", "level"}, {"min", -24}, {"max", 6}, {"default", -3}, {"to", "output_gain_db"}};
    controls.insert(controls.begin() + r.whole(0, count), level);
    file.card_json = Json{{"name", "random"}, {"controls", controls}}.dump();
  }
  return file;
}

ModelFile random_family_network(uint32_t seed) {
  Random r(seed);
  const int width = r.pick({8, 12, 16, 24});
  Json layers = Json::array();
  const int count = r.whole(2, 4);
  for (int i = 0; i < count; ++i) {
    Json parts = Json::array();
    const bool beside = i > 0 && r.chance(0.3);
    if (beside) parts.push_back({{"type", "tap"}, {"from", "layer_before"}, {"how", "replace"}});
    if (!beside && r.chance(0.2)) parts.push_back({{"type", "tap"}, {"from", "network"}, {"how", "append"}});
    const int inner = parts.empty() || beside ? width : 2 * width;
    parts.push_back({{"type", r.chance(0.3) ? "layernorm" : "rmsnorm"}, {"name", "norm"}, {"eps", kCalmEps}});
    switch (r.whole(0, 3)) {
      case 0:
        parts.push_back(mamba3_part(r, inner));
        break;
      case 1:
        parts.push_back(attention_part(r));
        break;
      case 2:
        parts.push_back({{"type", "mlp"},
                         {"name", "mlp"},
                         {"d_ff", r.whole(3, 40)},
                         {"gate", r.chance(0.6)},
                         {"bias", r.chance(0.5)},
                         {"activation", r.pick({"silu", "gelu", "relu", "relu2", "gelu_pytorch_tanh", "tanh"})}});
        break;
      default:
        parts.push_back({{"type", "moe"},
                         {"name", "moe"},
                         {"d_ff", r.whole(3, 20)},
                         {"experts", r.whole(2, 6)},
                         {"top_k", r.whole(1, 2)},
                         {"normalised", r.chance(0.5)},
                         {"shared_d_ff", r.pick({0, 9})},
                         {"routing", r.pick({"softmax", "softmax_of_chosen", "sigmoid"})}});
    }
    if (inner != width) {
      parts.push_back({{"type", "linear"}, {"name", "narrow"}, {"d_out", width}});
      parts.push_back({{"type", "tap"}, {"from", "layer"}, {"how", "add"}});
    }
    layers.push_back({{"parts", parts}});
  }
  const Json config = {{"model_type", "coil"}, {"d_input", 2}, {"d_output", 2}, {"d_model", width}, {"layers", layers}};
  return model_file(config.dump(), seed + 2000000);
}

std::vector<float> random_signal(size_t values, Random& random) {
  std::vector<float> x(values);
  for (float& v : x) v = static_cast<float>(random.normal());
  return x;
}

std::vector<size_t> random_blocks(size_t frames, Random& random) {
  std::vector<size_t> sizes;
  for (size_t done = 0; done < frames;) {
    size_t size = static_cast<size_t>(random.chance(0.8) ? random.whole(0, 9) : random.whole(10, 150));
    size = std::min(size, frames - done);
    sizes.push_back(size);
    done += size;
  }
  return sizes;
}

}  // namespace coil::test
