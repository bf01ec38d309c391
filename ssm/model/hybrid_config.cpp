// The configs of transformers' hybrids: Jamba, Bamba, Granite 4 H, Nemotron-H, Falcon-H1, Zamba2. Each of their layers
// becomes one or several layers of parts. Factors are multiplied into the weights of the adjacent projections.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numbers>

#include "ssm/model/config_readers.h"

namespace coil::ssm {

namespace {

using Json = nlohmann::json;

const std::string kBackbone = "backbone";

std::string named(int layer, const std::string& part) { return layer_name(kBackbone, layer) + "." + part; }
std::string state_of(int layer) { return "state." + std::to_string(layer); }
std::string numbered(const std::string& list, int index) { return list + "." + std::to_string(index); }

RmsNormConfig norm(const std::string& name, int width, float eps) { return {name, width, eps, true}; }

// A list of `count` numbers; if missing, all are 1.
std::vector<double> factors(const JsonFields& f, const char* key, size_t count) {
  if (!f.has(key)) return std::vector<double>(count, 1.0);
  const Json& list = f.at(key);
  const bool fits = list.is_array() && list.size() == count &&
                    std::all_of(list.begin(), list.end(), [](const Json& v) { return v.is_number(); });
  if (!fits) throw f.wrong(key, std::to_string(count) + " numbers");
  return list.get<std::vector<double>>();
}

// ---- rotary positions

struct Rope {
  std::vector<double> radians;
  double scale = 1;
};

std::vector<double> base_frequencies(double theta, int dims) {
  std::vector<double> radians;
  for (int i = 0; i < (dims + 1) / 2; ++i) radians.push_back(double(float(std::pow(theta, -2.0 * i / dims))));
  return radians;
}

// Long wavelengths are stretched, short ones stay. Source: Llama Team 2024 (Llama 3), as in transformers.
void stretch_llama3(const JsonFields& p, std::vector<double>& radians) {
  const double factor = p.number("factor"), low = p.number("low_freq_factor"), high = p.number("high_freq_factor"),
               old = p.number("original_max_position_embeddings");
  for (double& r : radians) {
    const double waves = old * r / (2 * std::numbers::pi);
    const double smooth = std::clamp((waves - low) / (high - low), 0.0, 1.0);
    r = (1 - smooth) * r / factor + smooth * r;
  }
}

// Source: Peng et al. 2023 (YaRN), sec. 3.2 and 3.4.
void stretch_yarn(const JsonFields& p, double theta, int dims, int max_positions, Rope& rope) {
  const double old = p.number("original_max_position_embeddings", max_positions);
  const double factor = p.has("factor") ? p.number("factor") : max_positions / old;
  const auto scale_of = [](double by, double weight) { return by <= 1 ? 1.0 : 0.1 * weight * std::log(by) + 1.0; };
  if (p.has("attention_factor"))
    rope.scale = p.number("attention_factor");
  else if (p.number("mscale", 0) != 0 && p.number("mscale_all_dim", 0) != 0)
    rope.scale = scale_of(factor, p.number("mscale")) / scale_of(factor, p.number("mscale_all_dim"));
  else
    rope.scale = scale_of(factor, 1);
  const auto dimension = [&](double rotations) {
    return dims * std::log(old / (rotations * 2 * std::numbers::pi)) / (2 * std::log(theta));
  };
  const auto given = [&](const char* key, double fallback) {
    const double value = p.number(key, fallback);
    return value == 0 ? fallback : value;
  };
  double low = dimension(given("beta_fast", 32)), high = dimension(given("beta_slow", 1));
  if (p.flag("truncate", true)) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, dims - 1.0);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < rope.radians.size(); ++i) {
    const double ramp = std::clamp((double(i) - low) / (high - low), 0.0, 1.0);
    rope.radians[i] *= ramp / factor + (1 - ramp);
  }
}

// The base for inputs longer than `max_positions`. Source: bloc97 2023 (dynamic NTK scaling), as in transformers.
double stretched_base(const JsonFields& p, double theta, int dims, int length, int max_positions) {
  const double factor = p.number("factor");
  if (!(factor > 0)) throw p.wrong("factor", "positive");
  if (length <= max_positions || dims <= 2) return theta;
  return theta * std::pow(factor * length / max_positions - (factor - 1), dims / (dims - 2.0));
}

int original_positions(const JsonFields& f, const JsonFields& p, int max_positions) {
  const char* key = "original_max_position_embeddings";
  return p.whole(key, 2, 1 << 30, f.whole(key, 2, 1 << 30, max_positions));
}

// A factor for each wavelength, one list for short and one for long inputs. Source: Ding et al. 2024 (LongRoPE), as in
// transformers.
void stretch_longrope(const JsonFields& p, int length, int max_positions, int short_inputs, Rope& rope) {
  const char* key = length > short_inputs ? "long_factor" : "short_factor";
  if (!p.has(key)) throw p.wrong(key, std::to_string(rope.radians.size()) + " numbers");
  const std::vector<double> by = factors(p, key, rope.radians.size());
  for (size_t i = 0; i < by.size(); ++i) {
    if (!(by[i] > 0)) throw p.wrong(key, "positive numbers");
    rope.radians[i] /= by[i];
  }
  const double factor = p.number("factor", double(max_positions) / short_inputs),
               scale = factor <= 1 ? 1 : std::sqrt(1 + std::log(factor) / std::log(short_inputs));
  rope.scale = p.number("attention_factor", scale);
}

// `fraction`: the default for the share of a head that rotates. If it is empty, only the scaled kinds read the config's
// value. The kinds that depend on the input's length take the window for it: a stream has no length, and attention sees
// no more than the window.
Rope read_rope(const JsonFields& f, int headdim, std::optional<double> fraction, Warnings warnings) {
  const Json none = Json::object();
  const char* key = f.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  const JsonFields p(f.has(key) ? f.at(key) : none, f.where(key));
  const double theta = p.number("rope_theta", f.number("rope_theta", 10000));
  if (!(theta > 0)) throw p.wrong("rope_theta", "positive");
  const std::string type = p.text("rope_type", p.text("type", "default"));
  const double stated = p.number("partial_rotary_factor", f.number("partial_rotary_factor", fraction.value_or(1)));
  const double part = type == "default" && !fraction ? 1 : stated;
  if (!(part > 0 && part <= 1)) throw p.wrong("partial_rotary_factor", "above 0, at most 1");
  const int dims = int(headdim * part), max_positions = f.whole("max_position_embeddings", 1, 1 << 30, 1 << 30);
  if (dims < 1 || (dims + 1) / 2 * 2 > headdim)
    throw p.wrong("partial_rotary_factor", "such that a head has the pairs");
  const int window = read_window(f);
  const bool dynamic = type == "dynamic";
  const int short_inputs = type == "longrope" ? original_positions(f, p, max_positions) : max_positions;
  Rope rope{base_frequencies(dynamic ? stretched_base(p, theta, dims, window, max_positions) : theta, dims), 1};
  if (type == "linear") {
    for (double& r : rope.radians) r /= p.number("factor");
  } else if (type == "llama3") {
    stretch_llama3(p, rope.radians);
  } else if (type == "yarn") {
    stretch_yarn(p, theta, dims, max_positions, rope);
  } else if (type == "longrope") {
    stretch_longrope(p, window, max_positions, short_inputs, rope);
  } else if (!dynamic && type != "default") {
    throw p.wrong("rope_type", "default, linear, llama3, yarn, longrope or dynamic");
  }
  if ((dynamic || type == "longrope") && window > short_inputs)
    warn(warnings, p.where("rope_type") + " '" + type + "' turns inputs longer than " + std::to_string(short_inputs) +
                       " frames by other angles; a stream turns by those of an input as long as its window from the " +
                       "first frame on");
  return rope;
}

// ---- parts

AttentionConfig attention(const JsonFields& f, const std::string& name, int layer, int d_in, int d_out, int headdim,
                          bool bias) {
  AttentionConfig a;
  a.state_name = state_of(layer);
  a.heads = f.whole("num_attention_heads", 1, kMaxWidth);
  a.kv_heads = f.whole("num_key_value_heads", 1, kMaxWidth, a.heads);
  a.headdim = headdim;
  a.window = read_window(f);
  a.score_scale = 1 / std::sqrt(double(headdim));
  if (int64_t(a.heads) * headdim > kMaxWidth)
    throw f.wrong("num_attention_heads", "smaller: heads x head_dim is at most " + std::to_string(kMaxWidth));
  check_window(f, a);
  a.q = {name + ".q_proj", d_in, a.heads * headdim, bias};
  a.k = {name + ".k_proj", d_in, a.kv_heads * headdim, bias};
  a.v = {name + ".v_proj", d_in, a.kv_heads * headdim, bias};
  a.o = {name + ".o_proj", a.heads * headdim, d_out, bias};
  return a;
}

int head_dim(const JsonFields& f, int d_model) {
  if (f.has("head_dim")) return f.whole("head_dim", 1, kMaxWidth);
  const int heads = f.whole("num_attention_heads", 1, kMaxWidth);
  return std::max(d_model / heads, 1);
}

void turn(AttentionConfig& a, const Rope& rope) { a.rope = rope.radians, a.rope_scale = rope.scale; }

MlpConfig gated_mlp(const std::string& name, int d_model, int d_hidden, bool bias, Activation activation) {
  return {LinearConfig{name + ".gate_proj", d_model, d_hidden, bias},
          {name + ".up_proj", d_model, d_hidden, bias},
          {name + ".down_proj", d_hidden, d_model, bias},
          activation};
}

MlpConfig plain_mlp(const std::string& name, int d_model, int d_hidden, bool bias, Activation activation) {
  return {std::nullopt,
          {name + ".up_proj", d_model, d_hidden, bias},
          {name + ".down_proj", d_hidden, d_model, bias},
          activation};
}

int experts_of(const JsonFields& f, const char* key, int fallback) { return f.whole(key, 0, 1024, fallback); }

int chosen_of(const JsonFields& f, int experts) {
  return f.whole("num_experts_per_tok", 1, experts, std::min(2, experts));
}

// The convolution and the gate of a Mamba part share one activation.
void check_mamba_activation(const JsonFields& f, const char* key) {
  if (read_activation(f, key, "silu") != Activation::silu)
    throw f.wrong(key, "'silu' or 'swish', the only one that the Mamba parts have");
}

// Mamba-2, with the keys that Bamba, Granite and Falcon-H1 share.
Mamba2Config mamba2(const JsonFields& f, int layer, int d_model, int d_inner) {
  Mamba2Config m;
  m.name = named(layer, "mamba"), m.state_name = state_of(layer);
  m.d_model = d_model;
  m.heads = f.whole("mamba_n_heads", 1, kMaxWidth, 128);
  const bool automatic = !f.has("mamba_d_head") || f.at("mamba_d_head") == "auto";
  m.headdim = automatic ? divided(f, "mamba_n_heads", d_inner, m.heads) : f.whole("mamba_d_head", 1, kMaxWidth);
  if (int64_t(m.heads) * m.headdim != d_inner)
    throw f.wrong("mamba_d_head", "such that mamba_n_heads x mamba_d_head is " + std::to_string(d_inner));
  m.norm_eps = f.eps("rms_norm_eps", 1e-5);
  read_time_step_limit(f, "time_step_limit", m);
  read_mamba2_fields(f,
                     {.d_state = "mamba_d_state",
                      .ngroups = "mamba_n_groups",
                      .d_conv = "mamba_d_conv",
                      .bias = "mamba_proj_bias",
                      .conv_bias = "mamba_conv_bias",
                      .norm_group_size = nullptr,
                      .default_d_state = 256,
                      .default_ngroups = 1},
                     m);
  return m;
}

int inner_width(const JsonFields& f, int d_model) { return expanded_width(f, "mamba_expand", d_model); }

// ---- the networks

ModelConfig begun(const JsonFields& f) {
  ModelConfig config;
  config.d_model = f.whole("hidden_size", 1, kMaxWidth);
  return config;
}

ModelConfig ended(const JsonFields& f, ModelConfig config, const std::string& last_norm, float eps,
                  bool tied_by_default = false) {
  config.norm_f = norm(kBackbone + "." + last_norm, config.d_model, eps);
  add_ends(f, config, tied_by_default);
  return config;
}

int layer_count(const JsonFields& f) { return f.whole("num_hidden_layers", 0, kMaxLayers); }

// The kind of each layer, from a list of names; `kinds` maps names to kinds.
std::vector<char> layer_kinds(const JsonFields& f, const std::vector<const char*>& keys,
                              const std::map<std::string, char>& kinds) {
  std::vector<char> found;
  for (const char* key : keys) {
    if (!f.has(key) || !found.empty()) continue;
    const Json& list = f.at(key);
    if (!list.is_array() || list.size() > kMaxLayers) throw f.wrong(key, "a list of the layers' kinds");
    for (const Json& name : list) {
      const auto kind = name.is_string() ? kinds.find(name.get<std::string>()) : kinds.end();
      if (kind == kinds.end()) {
        std::string known;
        for (const auto& [text, letter] : kinds) known += (known.empty() ? "" : ", ") + text;
        throw f.wrong(key, "a list of " + known);
      }
      found.push_back(kind->second);
    }
  }
  return found;
}

ModelConfig parse_jamba(const JsonFields& f) {
  ModelConfig config = begun(f);
  const int d = config.d_model, layers = layer_count(f), ff = f.whole("intermediate_size", 1, kMaxWidth);
  const float eps = f.eps("rms_norm_eps", 1e-6);
  const Activation act = read_activation(f, "hidden_act", "silu");
  const int attn_period = f.whole("attn_layer_period", 1, kMaxLayers, 8),
            attn_offset = f.whole("attn_layer_offset", 0, kMaxLayers, 4);
  const int moe_period = f.whole("expert_layer_period", 1, kMaxLayers, 2),
            moe_offset = f.whole("expert_layer_offset", 0, kMaxLayers, 1);
  const int experts = experts_of(f, "num_experts", 16);
  for (int i = 0; i < layers; ++i) {
    std::vector<PartConfig> mixer{norm(named(i, "input_layernorm"), d, eps)};
    if (i % attn_period == attn_offset) {
      mixer.push_back(attention(f, named(i, "self_attn"), i, d, d, head_dim(f, d), false));
    } else {
      check_mamba_activation(f, "hidden_act");
      Mamba1Config m;
      m.name = named(i, "mamba"), m.state_name = state_of(i);
      m.d_model = d, m.d_inner = inner_width(f, d);
      m.d_state = f.whole("mamba_d_state", 1, 4096, 16), m.d_conv = f.whole("mamba_d_conv", 1, 64, 4);
      const bool automatic = !f.has("mamba_dt_rank") || f.at("mamba_dt_rank") == "auto";
      m.dt_rank = automatic ? (d + 15) / 16 : f.whole("mamba_dt_rank", 1, kMaxWidth);
      m.bias = f.flag("mamba_proj_bias", false), m.conv_bias = f.flag("mamba_conv_bias", true);
      m.rms_eps = eps, m.norm_weights = true;
      mixer.push_back(m);
    }
    config.layers.push_back({true, std::move(mixer)});
    std::vector<PartConfig> feed{norm(named(i, "pre_ff_layernorm"), d, eps)};
    const std::string name = named(i, "feed_forward");
    if (experts > 1 && i % moe_period == moe_offset) {
      MoeConfig moe;
      moe.d_model = d, moe.router = {name + ".router", d, experts, false}, moe.top_k = chosen_of(f, experts);
      for (int e = 0; e < experts; ++e)
        moe.experts.push_back(gated_mlp(numbered(name + ".experts", e), d, ff, false, act));
      feed.push_back(std::move(moe));
    } else {
      feed.push_back(gated_mlp(name, d, ff, false, act));
    }
    config.layers.push_back({true, std::move(feed)});
  }
  return ended(f, std::move(config), "final_layernorm", eps);
}

ModelConfig parse_bamba(const JsonFields& f, Warnings warnings) {
  ModelConfig config = begun(f);
  const int d = config.d_model, layers = layer_count(f), ff = f.whole("intermediate_size", 1, kMaxWidth);
  const float eps = f.eps("rms_norm_eps", 1e-5);
  const Activation act = read_activation(f, "hidden_act", "silu");
  std::vector<bool> attends(size_t(layers), false);
  if (f.has("attn_layer_indices")) {
    const Json& list = f.at("attn_layer_indices");
    if (!list.is_array()) throw f.wrong("attn_layer_indices", "a list of layers");
    for (const Json& index : list)
      if (index.is_number_integer() && index.get<int64_t>() >= 0 && index.get<int64_t>() < layers)
        attends[index.get<size_t>()] = true;
  }
  for (int i = 0; i < layers; ++i) {
    std::vector<PartConfig> mixer{norm(named(i, "input_layernorm"), d, eps)};
    if (attends[size_t(i)]) {
      const int headdim = head_dim(f, d);
      AttentionConfig a = attention(f, named(i, "self_attn"), i, d, d, headdim, f.flag("attention_bias", false));
      turn(a, read_rope(f, headdim, 0.5, warnings));
      mixer.push_back(std::move(a));
    } else {
      check_mamba_activation(f, "hidden_act");
      mixer.push_back(mamba2(f, i, d, inner_width(f, d)));
    }
    config.layers.push_back({true, std::move(mixer)});
    config.layers.push_back({true,
                             {norm(named(i, "pre_ff_layernorm"), d, eps),
                              gated_mlp(named(i, "feed_forward"), d, ff, f.flag("mlp_bias", false), act)}});
  }
  return ended(f, std::move(config), "final_layernorm", eps);
}

// One tensor holds the gate and value projections of all experts, another one their output projections.
MoeConfig granite_moe(const JsonFields& f, const std::string& name, int d, int experts, Activation act, double scale) {
  MoeConfig moe;
  const int ff = f.whole("intermediate_size", 1, kMaxWidth);
  moe.d_model = d, moe.router = {name + ".router.layer", d, experts, false};
  moe.routing = Routing::softmax_of_chosen, moe.top_k = chosen_of(f, experts);
  for (int e = 0; e < experts; ++e) {
    MlpConfig expert{LinearConfig{name + ".input_linear", d, ff, false},
                     {name + ".input_linear", d, ff, false},
                     {name + ".output_linear", ff, d, false},
                     act};
    for (LinearConfig* linear : {&*expert.gate, &expert.up, &expert.down}) linear->tensor_matrices = experts;
    expert.gate->first_row = 2 * e * ff, expert.up.first_row = (2 * e + 1) * ff;
    expert.gate->tensor_rows = expert.up.tensor_rows = 2 * experts * ff;
    expert.down.first_row = e * d, expert.down.tensor_rows = experts * d, expert.down.scale = scale;
    moe.experts.push_back(std::move(expert));
  }
  return moe;
}

ModelConfig parse_granite(const JsonFields& f, Warnings warnings) {
  ModelConfig config = begun(f);
  const int d = config.d_model, layers = layer_count(f),
            shared = f.whole("shared_intermediate_size", 1, kMaxWidth, 1024);
  const float eps = f.eps("rms_norm_eps", 1e-6);
  const Activation act = read_activation(f, "hidden_act", "silu");
  const double residual = f.number("residual_multiplier", 1);
  const int experts = experts_of(f, "num_local_experts", 8);
  std::vector<char> kinds =
      layer_kinds(f, {"layer_types", "layers_block_type"},
                  {{"mamba", 'M'}, {"linear_attention", 'M'}, {"attention", '*'}, {"full_attention", '*'}});
  if (kinds.empty()) kinds.assign(size_t(layers), 'M');
  if (kinds.size() != size_t(layers)) throw f.wrong("layer_types", "as long as num_hidden_layers");
  for (int i = 0; i < layers; ++i) {
    std::vector<PartConfig> mixer{norm(named(i, "input_layernorm"), d, eps)};
    if (kinds[size_t(i)] == '*') {
      const int headdim = head_dim(f, d);
      AttentionConfig a = attention(f, named(i, "self_attn"), i, d, d, headdim, f.flag("attention_bias", false));
      a.score_scale = f.number("attention_multiplier", 1);
      a.o.scale = residual;
      if (f.text("position_embedding_type", "") == "rope") turn(a, read_rope(f, headdim, std::nullopt, warnings));
      mixer.push_back(std::move(a));
    } else {
      check_mamba_activation(f, "hidden_act");
      Mamba2Config m = mamba2(f, i, d, inner_width(f, d));
      m.norm_eps = eps, m.output_scale = residual;
      mixer.push_back(std::move(m));
    }
    config.layers.push_back({true, std::move(mixer)});

    const std::string name = named(i, "shared_mlp");
    MlpConfig mlp{LinearConfig{name + ".input_linear", d, shared, false},
                  {name + ".input_linear", d, shared, false},
                  {name + ".output_linear", shared, d, false},
                  act};
    mlp.up.first_row = shared;
    mlp.gate->tensor_rows = mlp.up.tensor_rows = 2 * shared;
    mlp.down.scale = residual;
    std::vector<PartConfig> feed{norm(named(i, "post_attention_layernorm"), d, eps)};
    if (experts > 0) {
      MoeConfig moe = granite_moe(f, named(i, "block_sparse_moe"), d, experts, act, residual);
      moe.shared = std::move(mlp);
      feed.push_back(std::move(moe));
    } else {
      feed.push_back(std::move(mlp));
    }
    config.layers.push_back({true, std::move(feed)});
  }
  config = ended(f, std::move(config), "norm", eps);
  if (config.embedding) config.embedding->scale = f.number("embedding_multiplier", 1);
  if (config.out_proj) config.out_proj->scale = 1 / f.number("logits_scaling", 1);
  return config;
}

// The key's current name, or its former one if the config uses that.
const char* present(const JsonFields& f, const char* key, const char* former) { return f.has(former) ? former : key; }

Mamba2Config nemotron_mamba(const JsonFields& f, int layer, int d) {
  check_mamba_activation(f, "mamba_hidden_act");
  Mamba2Config m;
  m.name = named(layer, "mixer"), m.state_name = state_of(layer);
  m.d_model = d;
  m.heads = f.whole("mamba_num_heads", 1, kMaxWidth, 128);
  m.headdim = f.whole("mamba_head_dim", 1, kMaxWidth, 64);
  if (int64_t(m.heads) * m.headdim > kMaxWidth)
    throw f.wrong("mamba_num_heads", "smaller: heads x mamba_head_dim is at most " + std::to_string(kMaxWidth));
  m.norm_eps = f.eps("layer_norm_epsilon", 1e-5);
  m.dt_min = f.number(present(f, "time_step_min", "mamba_dt_min"), 0.001);
  read_mamba2_fields(f,
                     {.d_state = "ssm_state_size",
                      .ngroups = present(f, "n_groups", "mamba_n_groups"),
                      .d_conv = present(f, "conv_kernel", "mamba_d_conv"),
                      .bias = "use_bias",
                      .conv_bias = present(f, "use_conv_bias", "mamba_conv_bias"),
                      .norm_group_size = nullptr,
                      .default_d_state = 128,
                      .default_ngroups = 8},
                     m);
  return m;
}

MoeConfig nemotron_moe(const JsonFields& f, const std::string& name, int d, Activation act) {
  MoeConfig moe;
  const int experts = f.whole("n_routed_experts", 1, 1024, 8),
            ff = f.whole("moe_intermediate_size", 1, kMaxWidth, 7688);
  const bool bias = f.flag("mlp_bias", false);
  moe.d_model = d, moe.router = {name + ".gate", d, experts, false};
  moe.routing = Routing::sigmoid, moe.top_k = chosen_of(f, experts);
  moe.correction = name + ".gate.e_score_correction_bias";
  moe.groups = f.whole("n_group", 1, experts, 1), moe.groups_chosen = f.whole("topk_group", 1, moe.groups, 1);
  divided(f, "n_group", experts, moe.groups);
  if (moe.top_k > experts / moe.groups * moe.groups_chosen)
    throw f.wrong("num_experts_per_tok", "at most as many as the chosen groups hold");
  moe.normalised = f.flag("norm_topk_prob", true), moe.weight_scale = f.number("routed_scaling_factor", 1);
  const int inner = f.has("moe_latent_size") ? f.whole("moe_latent_size", 1, kMaxWidth) : d;
  if (f.has("moe_latent_size")) {
    moe.latent_in = LinearConfig{name + ".fc1_latent_proj", d, inner, bias};
    moe.latent_out = LinearConfig{name + ".fc2_latent_proj", inner, d, bias};
  }
  for (int e = 0; e < experts; ++e)
    moe.experts.push_back(plain_mlp(numbered(name + ".experts", e), inner, ff, false, act));
  moe.shared = plain_mlp(name + ".shared_experts", d,
                         f.whole("moe_shared_expert_intermediate_size", 1, kMaxWidth, 7688), bias, act);
  return moe;
}

ModelConfig parse_nemotron(const JsonFields& f) {
  ModelConfig config = begun(f);
  const int d = config.d_model;
  const float eps = f.eps("layer_norm_epsilon", 1e-5);
  const Activation act = read_activation(f, "mlp_hidden_act", "relu2");
  std::vector<char> kinds = layer_kinds(f, {"layers_block_type", "layer_types"},
                                        {{"mamba", 'M'},
                                         {"linear_attention", 'M'},
                                         {"attention", '*'},
                                         {"full_attention", '*'},
                                         {"mlp", '-'},
                                         {"moe", 'E'}});
  if (kinds.empty() && f.has("hybrid_override_pattern")) {
    const std::string pattern = f.text("hybrid_override_pattern");
    if (pattern.find_first_not_of("M*-E") != std::string::npos || pattern.size() > kMaxLayers)
      throw f.wrong("hybrid_override_pattern", "made of M, *, - and E");
    kinds.assign(pattern.begin(), pattern.end());
  }
  if (kinds.empty()) throw Error(f.where("layers_block_type") + " is missing");
  for (size_t l = 0; l < kinds.size(); ++l) {
    const int i = int(l);
    const std::string name = named(i, "mixer");
    std::vector<PartConfig> parts{norm(named(i, "norm"), d, eps)};
    if (kinds[l] == 'M')
      parts.push_back(nemotron_mamba(f, i, d));
    else if (kinds[l] == '*')
      parts.push_back(attention(f, name, i, d, d, f.whole("head_dim", 1, kMaxWidth, 128), false));
    else if (kinds[l] == '-')
      parts.push_back(
          plain_mlp(name, d, f.whole("intermediate_size", 1, kMaxWidth, 21504), f.flag("mlp_bias", false), act));
    else
      parts.push_back(nemotron_moe(f, name, d, act));
    config.layers.push_back({true, std::move(parts)});
  }
  return ended(f, std::move(config), "norm_f", eps);
}

ModelConfig parse_falcon_h1(const JsonFields& f, Warnings warnings) {
  ModelConfig config = begun(f);
  const int d = config.d_model, layers = layer_count(f), ff = f.whole("intermediate_size", 1, kMaxWidth);
  const float eps = f.eps("rms_norm_eps", 1e-5);
  const Activation act = read_activation(f, "hidden_act", "silu");
  check_mamba_activation(f, "hidden_act");
  const std::vector<double> mlp_factors = factors(f, "mlp_multipliers", 2);
  for (int i = 0; i < layers; ++i) {
    const RmsNormConfig input_norm = norm(named(i, "input_layernorm"), d, eps);
    Mamba2Config m = mamba2(f, i, d, f.has("mamba_d_ssm") ? f.whole("mamba_d_ssm", 1, kMaxWidth) : inner_width(f, d));
    m.out_bias = f.flag("projectors_bias", false);
    if (!f.flag("mamba_rms_norm", false))
      m.gated_norm = GatedNorm::gate_alone;
    else if (f.flag("mamba_norm_before_gate", true))
      m.gated_norm = GatedNorm::norm_then_gate;
    m.input_scale = f.number("ssm_in_multiplier", 1), m.output_scale = f.number("ssm_out_multiplier", 1);
    m.part_scales = factors(f, "ssm_multipliers", 5);
    config.layers.push_back({true, {input_norm, std::move(m)}});

    const int headdim = head_dim(f, d);
    AttentionConfig a = attention(f, named(i, "self_attn"), i, d, d, headdim, f.flag("attention_bias", false));
    turn(a, read_rope(f, headdim, std::nullopt, warnings));
    a.q.input_scale = a.k.input_scale = a.v.input_scale = f.number("attention_in_multiplier", 1);
    a.k.scale = f.number("key_multiplier", 1), a.o.scale = f.number("attention_out_multiplier", 1);
    const TapConfig beside{TapConfig::From::layer_before, TapConfig::How::replace, d, d};
    config.layers.push_back({true, {beside, input_norm, std::move(a)}});

    MlpConfig mlp = gated_mlp(named(i, "feed_forward"), d, ff, f.flag("mlp_bias", false), act);
    mlp.gate->scale = mlp_factors[0], mlp.down.scale = mlp_factors[1];
    config.layers.push_back({true, {norm(named(i, "pre_ff_layernorm"), d, eps), std::move(mlp)}});
  }
  config = ended(f, std::move(config), "final_layernorm", eps);
  if (config.embedding) config.embedding->scale = f.number("embedding_multiplier", 1);
  if (config.out_proj) config.out_proj->scale = f.number("lm_head_multiplier", 1);
  return config;
}

Mamba2Config zamba_mamba(const JsonFields& f, const std::string& name, int layer, int d) {
  Mamba2Config m;
  m.name = name, m.state_name = state_of(layer);
  m.d_model = d;
  const int d_inner = inner_width(f, d);
  m.heads = f.whole("n_mamba_heads", 1, kMaxWidth, 8);
  m.headdim = divided(f, "n_mamba_heads", d_inner, m.heads);
  m.dt_min = f.number("time_step_min", 0.001);
  read_mamba2_fields(f,
                     {.d_state = "mamba_d_state",
                      .ngroups = "mamba_ngroups",
                      .d_conv = "mamba_d_conv",
                      .bias = "add_bias_linear",
                      .conv_bias = nullptr,  // regardless of `use_conv_bias`, as in transformers
                      .norm_group_size = nullptr,
                      .default_d_state = 64,
                      .default_ngroups = 1},
                     m);
  return m;
}

// The block that several layers share, before this layer's Mamba part. `use` counts the uses over all blocks.
std::vector<PartConfig> zamba_shared(const JsonFields& f, int layer, int use, int first_layer, int d,
                                     Warnings warnings) {
  const std::string name = named(first_layer, "shared_transformer");
  const float eps = f.eps("rms_norm_eps", 1e-5);
  const int heads = f.whole("num_attention_heads", 1, kMaxWidth),
            headdim = divided(f, "num_attention_heads", 2 * d, heads),
            rank = f.whole("adapter_rank", 1, kMaxWidth, 128), ff = f.whole("intermediate_size", 1, kMaxWidth, 4 * d);
  AttentionConfig a = attention(f, name + ".self_attn", layer, 2 * d, d, headdim, false);
  a.score_scale = 1 / std::sqrt(headdim / 2.0);
  if (f.flag("use_mem_rope", false)) turn(a, read_rope(f, headdim, std::nullopt, warnings));
  const auto adapter = [&](const std::string& list) {
    const std::string at = numbered(name + "." + list, use);
    return AdapterConfig{at + ".0", at + ".1", rank};
  };
  if (f.flag("use_shared_attention_adapter", false)) {
    a.q.adapter = adapter("self_attn.linear_q_adapter_list"), a.k.adapter = adapter("self_attn.linear_k_adapter_list");
    a.v.adapter = adapter("self_attn.linear_v_adapter_list");
  }
  const bool bias = f.flag("add_bias_linear", false);
  MlpConfig mlp = gated_mlp(name + ".feed_forward", d, ff, bias, read_activation(f, "hidden_act", "gelu"));
  for (LinearConfig* half : {&*mlp.gate, &mlp.up}) {
    half->name = name + ".feed_forward.gate_up_proj", half->tensor_rows = 2 * ff;
    half->adapter = adapter("feed_forward.gate_up_proj_adapter_list");
  }
  mlp.up.first_row = ff;
  return {TapConfig{TapConfig::From::network, TapConfig::How::append, d, d},
          norm(name + ".input_layernorm", 2 * d, eps),
          std::move(a),
          norm(name + ".pre_ff_layernorm", d, eps),
          std::move(mlp),
          LinearConfig{named(layer, "linear"), d, d, false},
          TapConfig{TapConfig::From::layer, TapConfig::How::add, d, d}};
}

ModelConfig parse_zamba2(const JsonFields& f, Warnings warnings) {
  ModelConfig config = begun(f);
  const int d = config.d_model, blocks = f.whole("num_mem_blocks", 1, kMaxLayers, 1);
  const float eps = f.eps("rms_norm_eps", 1e-5);
  const std::vector<char> kinds = layer_kinds(
      f, {"layers_block_type"}, {{"mamba", 'M'}, {"linear_attention", 'M'}, {"hybrid", 'H'}, {"full_attention", 'H'}});
  if (kinds.empty()) throw Error(f.where("layers_block_type") + " is missing");
  std::vector<int> first_layers;
  int uses = 0;
  for (size_t l = 0; l < kinds.size(); ++l) {
    const int i = int(l);
    std::vector<PartConfig> parts;
    std::string name = layer_name(kBackbone, i);
    if (kinds[l] == 'H') {
      // transformers ties both blocks and embeddings, or neither
      const bool own = !f.flag("tie_word_embeddings", true);
      if (int(first_layers.size()) < blocks || own) first_layers.push_back(i);
      parts = zamba_shared(f, i, uses, first_layers[size_t(own ? uses : uses % blocks)], d, warnings);
      ++uses;
      name += ".mamba_decoder";
    }
    parts.push_back(norm(name + ".input_layernorm", d, eps));
    parts.push_back(zamba_mamba(f, name + ".mamba", i, d));
    config.layers.push_back({true, std::move(parts)});
  }
  return ended(f, std::move(config), "final_layernorm", eps, true);
}

}  // namespace

bool is_hybrid(const std::string& type) {
  for (const char* known : {"jamba", "bamba", "granitemoehybrid", "nemotron_h", "falcon_h1", "zamba2"})
    if (type == known) return true;
  return false;
}

ModelConfig parse_hybrid(const JsonFields& f, const std::string& type, Warnings warnings) {
  if (type == "jamba") return parse_jamba(f);
  if (type == "bamba") return parse_bamba(f, warnings);
  if (type == "granitemoehybrid") return parse_granite(f, warnings);
  if (type == "nemotron_h") return parse_nemotron(f);
  if (type == "falcon_h1") return parse_falcon_h1(f, warnings);
  return parse_zamba2(f, warnings);
}

}  // namespace coil::ssm
