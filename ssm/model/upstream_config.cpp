// The configs of transformers' Mamba models and of state-spaces' mamba_ssm.
#include <cmath>
#include <functional>

#include "ssm/model/config_readers.h"

namespace coil::ssm {

using Json = nlohmann::json;

namespace {

// ---- HuggingFace: norm, mixer, residual; embedding and head for token ids

Mamba1Config hf_mamba1(const JsonFields& f, bool falcon, int d_model) {
  Mamba1Config m;
  m.d_model = d_model;
  m.d_inner = f.whole("intermediate_size", 1, kMaxWidth,
                      f.has("intermediate_size") ? 0 : f.whole("expand", 1, 64, 2) * d_model);
  m.d_state = f.whole("state_size", 1, 4096, 16);
  m.d_conv = f.whole("conv_kernel", 1, 64, 4);
  const bool automatic = !f.has("time_step_rank") || f.at("time_step_rank") == "auto";
  m.dt_rank = automatic ? (d_model + 15) / 16 : f.whole("time_step_rank", 1, kMaxWidth);
  m.bias = f.flag("use_bias", false);
  m.conv_bias = f.flag("use_conv_bias", true);
  if (falcon) m.rms_eps = f.eps("mixer_rms_eps", 1e-6);
  return m;
}

// The convolution and the gate share one activation.
void check_activation(const JsonFields& f, const char* key) {
  const std::string name = f.text(key, "silu");
  if (name != "silu" && name != "swish") throw f.wrong(key, "'silu' or 'swish', the only one that these kernels have");
}

Mamba2Config hf_mamba2(const JsonFields& f, int d_model) {
  Mamba2Config m;
  m.d_model = d_model;
  m.heads = f.whole("num_heads", 1, kMaxWidth, 128);
  m.headdim = f.whole("head_dim", 1, kMaxWidth, 64);
  m.norm_eps = f.eps("layer_norm_epsilon", 1e-5);
  if (int64_t(m.heads) * m.headdim > kMaxWidth)
    throw Error(f.where("num_heads") + " x head_dim must be at most " + std::to_string(kMaxWidth));
  if (f.has("expand") && f.whole("expand", 1, 64) * d_model != m.d_inner())
    throw Error(f.where("num_heads") + " x head_dim must be expand x hidden_size, " +
                std::to_string(f.whole("expand", 1, 64) * d_model));
  read_time_step_limit(f, "time_step_limit", m);
  read_mamba2_fields(f,
                     {.d_state = "state_size",
                      .ngroups = "n_groups",
                      .d_conv = "conv_kernel",
                      .bias = "use_bias",
                      .conv_bias = "use_conv_bias",
                      .norm_group_size = "rms_norm_group_size",
                      .default_d_state = 128,
                      .default_ngroups = 8},
                     m);
  return m;
}

// Adds the layers and their norms. `mixer` makes a mixer of the model's width, still without names.
template <class Mixer>
void add_upstream_layers(ModelConfig& config, int layers, float eps, const Mixer& mixer) {
  for (int i = 0; i < layers; ++i) {
    const std::string name = layer_name("backbone", i);
    auto made = mixer();
    made.name = name + ".mixer", made.state_name = "state." + std::to_string(i);
    config.layers.push_back({true, {RmsNormConfig{name + ".norm", config.d_model, eps, true}, std::move(made)}});
  }
  config.norm_f = RmsNormConfig{"backbone.norm_f", config.d_model, eps, true};
}

// ---- state-spaces: MambaConfig of mamba_ssm, with the arguments of its mixers in ssm_cfg

Mamba1Config state_spaces_mamba1(const JsonFields& f, int d_model) {
  Mamba1Config m;
  m.d_model = d_model;
  m.d_inner = expanded_width(f, "expand", d_model);
  m.d_state = f.whole("d_state", 1, 4096, 16);
  m.d_conv = f.whole("d_conv", 1, 64, 4);
  const bool automatic = !f.has("dt_rank") || f.at("dt_rank") == "auto";
  m.dt_rank = automatic ? (d_model + 15) / 16 : f.whole("dt_rank", 1, kMaxWidth);
  m.bias = f.flag("bias", false);
  m.conv_bias = f.flag("conv_bias", true);
  return m;
}

Mamba2Config state_spaces_mamba2(const JsonFields& f, int d_model) {
  Mamba2Config m;
  m.d_model = d_model;
  const int d_inner = expanded_width(f, "expand", d_model);
  m.headdim = f.whole("headdim", 1, kMaxWidth, 64);
  m.heads = divided(f, "headdim", d_inner, m.headdim);
  read_time_step_limit(f, "dt_limit", m);
  check_activation(f, "activation");
  if (!f.flag("rmsnorm", true)) throw f.wrong("rmsnorm", "true: the gated norm cannot be left out");
  if (f.flag("norm_before_gate", false)) throw f.wrong("norm_before_gate", "false: only gate, then norm, can be run");
  if (f.flag("D_has_hdim", false)) throw f.wrong("D_has_hdim", "false: D has one value a head");
  if (f.has("d_ssm") && f.whole("d_ssm", 1, kMaxWidth) != d_inner)
    throw f.wrong("d_ssm", "d_inner, " + std::to_string(d_inner));
  read_mamba2_fields(f,
                     {.d_state = "d_state",
                      .ngroups = "ngroups",
                      .d_conv = "d_conv",
                      .bias = "bias",
                      .conv_bias = "conv_bias",
                      .norm_group_size = nullptr,
                      .default_d_state = 128,
                      .default_ngroups = 1},
                     m);
  return m;
}

// MHA of mamba_ssm, with the arguments in attn_cfg.
AttentionConfig state_spaces_attention(const JsonFields& model, const JsonFields& f, int d_model) {
  AttentionConfig a;
  if (!f.flag("causal", false)) throw f.wrong("causal", "true: a stream has no future");
  if (f.whole("mlp_dim", 0, kMaxWidth, 0) != 0) throw f.wrong("mlp_dim", "0: an MLP inside attention cannot be run");
  if (f.flag("rotary_emb_interleaved", false))
    throw f.wrong("rotary_emb_interleaved", "false: only pairs of the two halves can be rotated");
  a.heads = f.whole("num_heads", 1, kMaxWidth);
  a.kv_heads = f.whole("num_heads_kv", 1, kMaxWidth, a.heads);
  a.headdim = f.has("head_dim") ? f.whole("head_dim", 1, kMaxWidth) : divided(f, "num_heads", d_model, a.heads);
  if ((int64_t(a.heads) + 2 * int64_t(a.kv_heads)) * a.headdim > kMaxWidth)
    throw f.wrong("num_heads", "smaller: queries, keys and values have at most " + std::to_string(kMaxWidth));
  a.window = read_window(model);
  check_window(f, a);
  a.score_scale = f.number("softmax_scale", 1 / std::sqrt(double(a.headdim)));
  a.conv_taps = f.whole("d_conv", 0, 64, 0);
  const int turning = f.whole("rotary_emb_dim", 0, a.headdim, 0);
  const double base = f.number("rotary_emb_base", 10000);
  if (turning % 2 != 0) throw f.wrong("rotary_emb_dim", "even");
  if (!(base > 0)) throw f.wrong("rotary_emb_base", "positive");
  for (int i = 0; i < turning / 2; ++i) a.rope.push_back(std::pow(base, -2.0 * i / turning));
  const int q = a.heads * a.headdim, kv = a.kv_heads * a.headdim;
  a.q.d_out = q, a.k.d_out = a.v.d_out = kv, a.k.first_row = q, a.v.first_row = q + kv;
  for (LinearConfig* linear : {&a.q, &a.k, &a.v}) {
    linear->d_in = d_model, linear->bias = f.flag("qkv_proj_bias", true);
    linear->tensor_rows = a.conv_channels();
  }
  a.o.d_in = q, a.o.d_out = d_model, a.o.bias = f.flag("out_proj_bias", true);
  return a;
}

// Puts attention in the place of the mixers that attn_layer_idx names.
void place_attention(ModelConfig& config, const JsonFields& f) {
  const Json none = Json::object();
  if (!f.has("attn_layer_idx") || f.at("attn_layer_idx").empty()) return;
  const JsonFields arguments(f.has("attn_cfg") ? f.at("attn_cfg") : none, f.where("attn_cfg"));
  const AttentionConfig attention = state_spaces_attention(f, arguments, config.d_model);
  for (const Json& index : f.at("attn_layer_idx")) {
    if (!index.is_number_unsigned() || index.get<uint64_t>() >= config.layers.size())
      throw f.wrong("attn_layer_idx", "a list of layers, from 0 to " + std::to_string(int(config.layers.size()) - 1));
    const int layer = index.get<int>();
    const std::string name = layer_name("backbone", layer) + ".mixer";
    AttentionConfig a = attention;
    a.state_name = "state." + std::to_string(layer);
    a.q.name = a.k.name = a.v.name = name + ".in_proj";
    a.o.name = name + ".out_proj", a.conv = name + ".conv1d";
    config.layers[size_t(layer)].parts.back() = std::move(a);
  }
}

// An MLP after each mixer, with halves of width d_hidden. `fc1` computes the gate and value halves together.
void add_mlps(ModelConfig& config, int d_hidden, float eps) {
  if (d_hidden == 0) return;
  constexpr int kMultiple = 128;  // as in mamba_ssm's GatedMLP
  const int width = (d_hidden + kMultiple - 1) / kMultiple * kMultiple, model = config.d_model;
  std::vector<LayerConfig> layers;
  for (size_t i = 0; i < config.layers.size(); ++i) {
    const std::string name = layer_name("backbone", int(i));
    MlpConfig mlp{LinearConfig{name + ".mlp.fc1", model, width, false},
                  {name + ".mlp.fc1", model, width, false},
                  {name + ".mlp.fc2", width, model, false}};
    mlp.gate->first_row = width;
    mlp.gate->tensor_rows = mlp.up.tensor_rows = 2 * width;
    layers.push_back(std::move(config.layers[i]));
    layers.push_back({true, {RmsNormConfig{name + ".norm2", model, eps, true}, std::move(mlp)}});
  }
  config.layers = std::move(layers);
}

void centre_norms(ModelConfig& config) {
  for (LayerConfig& layer : config.layers)
    for (PartConfig& part : layer.parts)
      if (auto* norm = std::get_if<RmsNormConfig>(&part)) norm->centred = true;
  if (config.norm_f) config.norm_f->centred = true;
}

}  // namespace

LinearConfig Mamba2Config::in_proj() const {
  LinearConfig linear{name + ".in_proj", d_model, d_inner() + conv_channels() + heads, bias};
  linear.input_scale = input_scale;
  const int widths[] = {d_inner(), d_inner(), ngroups * d_state, ngroups * d_state, heads};
  for (size_t i = 0; i < part_scales.size(); ++i) linear.row_scales.push_back({widths[i], part_scales[i]});
  return linear;
}

LinearConfig Mamba2Config::out_proj() const {
  LinearConfig linear{name + ".out_proj", d_inner(), d_model, out_bias.value_or(bias)};
  linear.scale = output_scale;
  return linear;
}

ModelConfig parse_mamba(const JsonFields& f, const std::string& type, Warnings warnings) {
  ModelConfig config;
  check_activation(f, "hidden_act");
  config.d_model = f.whole("hidden_size", 1, kMaxWidth);
  const float eps = f.eps("layer_norm_epsilon", 1e-5);
  const int layers = f.whole("num_hidden_layers", 0, kMaxLayers);
  if (type == "mamba2") {
    add_upstream_layers(config, layers, eps, [&] { return hf_mamba2(f, config.d_model); });
    // transformers writes both keys and ignores them
    if (f.flag("norm_before_gate", false))
      warn(warnings,
           f.where("norm_before_gate") + " is true, and is ignored as in transformers: the gate comes before the norm");
    if (!f.flag("rms_norm", true))
      warn(warnings, f.where("rms_norm") + " is false, and is ignored as in transformers: the gated norm is there");
  } else {
    add_upstream_layers(config, layers, eps, [&] { return hf_mamba1(f, type == "falcon_mamba", config.d_model); });
  }

  add_ends(f, config, type != "mamba2");
  return config;
}

ModelConfig parse_state_spaces(const JsonFields& f) {
  ModelConfig config;
  config.d_model = f.whole("d_model", 1, kMaxWidth);
  const int layers = f.whole("n_layer", 0, kMaxLayers);
  const Json none = Json::object();
  // A config of `mamba3` may have the mixer's arguments at the top level.
  const bool flat = f.text("model_type", "") == "mamba3" && !f.has("ssm_cfg");
  const JsonFields nested(f.has("ssm_cfg") ? f.at("ssm_cfg") : none, f.where("ssm_cfg"));
  const JsonFields& mixer = flat ? f : nested;
  const std::string layer = flat ? "Mamba3" : mixer.text("layer", "Mamba1");
  const float eps = f.eps("norm_epsilon", 1e-5);
  if (layer == "Mamba3")
    add_upstream_layers(config, layers, eps, [&] { return read_mamba3(mixer, config.d_model); });
  else if (layer == "Mamba2")
    add_upstream_layers(config, layers, eps, [&] { return state_spaces_mamba2(mixer, config.d_model); });
  else if (layer == "Mamba1")
    add_upstream_layers(config, layers, eps, [&] { return state_spaces_mamba1(mixer, config.d_model); });
  else
    throw mixer.wrong("layer", "'Mamba1', 'Mamba2' or 'Mamba3'");
  place_attention(config, f);
  add_mlps(config, f.whole("d_intermediate", 0, kMaxWidth, 0), eps);
  if (!f.flag("rms_norm", true)) centre_norms(config);
  config.model_type = layer == "Mamba3" ? "mamba3" : layer == "Mamba2" ? "mamba2" : "mamba";
  if (takes_embeddings(f)) {
    config.d_input = config.d_output = config.d_model;
    return config;
  }

  const int vocab = f.whole("vocab_size", 1, kMaxVocab), multiple = f.whole("pad_vocab_size_multiple", 1, kMaxVocab, 8);
  add_vocabulary(config, vocab, f.flag("tie_embeddings", true));
  config.embedding->padded_vocab = (vocab + multiple - 1) / multiple * multiple;
  return config;
}

}  // namespace coil::ssm
