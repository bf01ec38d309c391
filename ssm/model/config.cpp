// Converts every kind of config (HuggingFace, s4d, coil) to one chain of parts.
#include "ssm/model/config.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <iomanip>
#include <map>
#include <set>
#include <sstream>
#include <string_view>

#include "ssm/model/config_readers.h"
#include "ssm/model/plan.h"

namespace coil::ssm {

namespace {

using Json = nlohmann::json;

constexpr int kMaxParts = 1 << 16;  // in all layers together
constexpr int kMaxFilm = 1 << 24;
constexpr int kMaxHopFrames = 1 << 16;

// Python writes bare Infinity and NaN, which JSON does not allow. They become {"__float__": "Infinity"}, the form of
// newer writers.
std::string quote_non_finite(const std::string& text) {
  std::string out;
  bool in_string = false;
  for (size_t i = 0; i < text.size();) {
    if (in_string && text[i] == '\\' && i + 1 < text.size()) {
      out.append(text, i, 2);
      i += 2;
      continue;
    }
    if (text[i] == '"') in_string = !in_string;
    bool replaced = false;
    for (const char* word : {"-Infinity", "Infinity", "NaN"}) {
      const std::string_view name(word);
      if (in_string || replaced || text.compare(i, name.size(), name) != 0) continue;
      out.append(R"({"__float__": ")").append(name).append("\"}");
      i += name.size();
      replaced = true;
    }
    if (!replaced) out += text[i++];
  }
  return out;
}

// ---- s4d: one filter bank, or S4D's layer around it

S4dConfig parse_s4d_part(const JsonFields& f, int channels) {
  S4dConfig s;
  s.channels = channels;
  const std::string mode = f.text("mode", "complex"), rule = f.text("discretization", "zoh");
  if (mode != "complex" && mode != "real") throw f.wrong("mode", "'complex' or 'real'");
  if (rule != "zoh" && rule != "bilinear") throw f.wrong("discretization", "'zoh' or 'bilinear'");
  s.complex = mode == "complex";
  s.discretization = rule == "zoh" ? Discretization::zoh : Discretization::bilinear;
  s.modes = f.whole("d_state", 1, 4096);
  if (s.complex) {
    if (s.modes % 2) throw f.wrong("d_state", "even in complex mode (two for each conjugate pair)");
    s.modes /= 2;
  }
  return s;
}

ModelConfig parse_s4d(const JsonFields& f) {
  ModelConfig config;
  config.d_model = config.d_input = config.d_output = f.whole("d_model", 1, kMaxWidth);
  S4dConfig bank = parse_s4d_part(f, config.d_model);
  bank.state_name = "state";
  LayerConfig layer{.residual = false, .parts = {bank}};
  if (f.flag("layer", false)) {
    const std::string activation = f.text("activation", "gelu");
    if (activation != "gelu" && activation != "gelu_python")
      throw f.wrong("activation", "'gelu', which is exact and not one of its approximations");
    if (f.text("output", "glu") != "glu") throw f.wrong("output", "'glu'");
    layer.parts.push_back(ActivationConfig{Activation::gelu, config.d_model, config.d_model});
    layer.parts.push_back(LinearConfig{"output_linear.0", config.d_model, 2 * config.d_model, true});
    layer.parts.push_back(ActivationConfig{Activation::glu, 2 * config.d_model, config.d_model});
  }
  config.layers.push_back(std::move(layer));
  return config;
}

// ---- coil: the chain as the config describes it

Mamba1Config parse_mamba1_part(const JsonFields& f, int d_model) {
  Mamba1Config m;
  m.d_model = d_model;
  m.d_inner = expanded_width(f, "expand", d_model);
  m.d_state = f.whole("d_state", 1, 4096, 16);
  m.d_conv = f.whole("d_conv", 0, 64, 4);
  m.dt_rank = f.whole("dt_rank", 1, kMaxWidth, (d_model + 15) / 16);
  m.bias = f.flag("bias", false);
  m.conv_bias = f.flag("conv_bias", true);
  m.x_proj_bias = f.flag("x_proj_bias", false);
  if (f.has("rms_eps")) m.rms_eps = f.eps("rms_eps");
  return m;
}

Mamba2Config parse_mamba2_part(const JsonFields& f, int d_model) {
  Mamba2Config m;
  m.d_model = d_model;
  m.headdim = f.whole("headdim", 1, kMaxWidth);
  m.heads = divided(f, "headdim", expanded_width(f, "expand", d_model), m.headdim);
  m.norm_eps = f.eps("norm_eps", 1e-5);
  read_mamba2_fields(f,
                     {.d_state = "d_state",
                      .ngroups = "ngroups",
                      .d_conv = "d_conv",
                      .bias = "bias",
                      .conv_bias = "conv_bias",
                      .norm_group_size = "norm_group_size",
                      .default_d_state = 16,
                      .default_ngroups = 1,
                      .least_d_conv = 0},
                     m);
  return m;
}

MlpConfig parse_mlp(const JsonFields& f, const std::string& name, int width, int d_ff) {
  const bool bias = f.flag("bias", false);
  MlpConfig mlp;
  mlp.activation = read_activation(f, "activation", "silu");
  if (f.flag("gate", true)) mlp.gate = LinearConfig{name + ".gate_proj", width, d_ff, bias};
  mlp.up = {name + ".up_proj", width, d_ff, bias}, mlp.down = {name + ".down_proj", d_ff, width, bias};
  return mlp;
}

MoeConfig parse_moe(const JsonFields& f, const std::string& name, int width) {
  MoeConfig moe;
  const int experts = f.whole("experts", 1, 1024), d_ff = f.whole("d_ff", 1, kMaxWidth);
  moe.d_model = width, moe.router = {name + ".router", width, experts, false};
  moe.top_k = f.whole("top_k", 1, experts, 1);
  const std::string routing = f.text("routing", "softmax");
  if (routing != "softmax" && routing != "softmax_of_chosen" && routing != "sigmoid")
    throw f.wrong("routing", "'softmax', 'softmax_of_chosen' or 'sigmoid'");
  moe.routing = routing == "softmax"   ? Routing::softmax
                : routing == "sigmoid" ? Routing::sigmoid
                                       : Routing::softmax_of_chosen;
  moe.normalised = f.flag("normalised", false);
  for (int e = 0; e < experts; ++e)
    moe.experts.push_back(parse_mlp(f, name + ".experts." + std::to_string(e), width, d_ff));
  if (const int shared = f.whole("shared_d_ff", 0, kMaxWidth, 0); shared > 0)
    moe.shared = parse_mlp(f, name + ".shared", width, shared);
  return moe;
}

AttentionConfig parse_attention(const JsonFields& f, const std::string& name, int width, int stream_window) {
  AttentionConfig a;
  a.heads = f.whole("heads", 1, kMaxWidth), a.kv_heads = f.whole("kv_heads", 1, kMaxWidth, a.heads);
  a.headdim = f.has("headdim") ? f.whole("headdim", 1, kMaxWidth) : divided(f, "heads", width, a.heads);
  if (int64_t(a.heads) * a.headdim > kMaxWidth)
    throw f.wrong("heads", "smaller: heads x headdim is at most " + std::to_string(kMaxWidth));
  const int window = f.whole("window", 1, kMaxWindow, stream_window > 0 ? std::optional(stream_window) : std::nullopt);
  a.window = stream_window > 0 ? stream_window : window;
  check_window(f, a);
  a.score_scale = f.number("scale", 1 / std::sqrt(double(a.headdim)));
  a.soft_cap = float(f.number("soft_cap", 0));
  if (!(a.soft_cap >= 0 && a.soft_cap < 1e6f)) throw f.wrong("soft_cap", "a number from 0 to 1e6");
  const bool bias = f.flag("bias", false);
  a.q = {name + ".q_proj", width, a.heads * a.headdim, bias};
  a.k = {name + ".k_proj", width, a.kv_heads * a.headdim, bias};
  a.v = {name + ".v_proj", width, a.kv_heads * a.headdim, bias};
  a.o = {name + ".o_proj", a.heads * a.headdim, width, bias};
  a.norm_eps = f.eps("qk_norm_eps", 1e-6);
  if (f.flag("qk_norm", false)) a.q_norm = name + ".q_norm.weight", a.k_norm = name + ".k_norm.weight";
  if (f.flag("sinks", false)) a.sinks = name + ".sinks";
  if (f.has("rope_theta")) {
    const double theta = f.number("rope_theta"), part = f.number("rope_fraction", 1);
    const int dims = int(a.headdim * part);
    if (!(theta > 0)) throw f.wrong("rope_theta", "positive");
    if (!(part > 0 && part <= 1) || dims % 2)
      throw f.wrong("rope_fraction", "such that an even number of values turns");
    for (int i = 0; i < dims / 2; ++i) a.rope.push_back(std::pow(theta, -2.0 * i / dims));
  }
  return a;
}

// Reads the layers under one prefix ("backbone" or "slow"), and assigns FiLM slices to film parts.
class LayerParser {
 public:
  LayerParser(std::string prefix, std::string state_prefix, int* film_size, Warnings warnings)
      : prefix_(std::move(prefix)),
        state_prefix_(std::move(state_prefix)),
        film_size_(film_size),
        warnings_(warnings) {}

  std::vector<LayerConfig> parse(const JsonFields& frame, int d_model) {
    std::vector<LayerConfig> layers;
    if (!frame.has("layers") || !frame.at("layers").is_array()) throw frame.wrong("layers", "an array of layers");
    width_ = before_ = d_model, d_model_ = d_model;
    stream_window_ = frame.has(kWindowKey) ? frame.whole(kWindowKey, 1, kMaxWindow) : 0;
    int entry = 0;
    for (const Json& json : frame.at("layers")) {
      const JsonFields f(json, frame.where("layers") + "[" + std::to_string(entry++) + "]");
      const int repeat = f.whole("repeat", 1, kMaxLayers, 1);
      for (int r = 0; r < repeat; ++r) {
        if (layers.size() >= kMaxLayers)
          throw Error(frame.where("layers") + " come to more than " + std::to_string(kMaxLayers));
        layers.push_back(parse_layer(f, int(layers.size()), r == 0 ? warnings_ : nullptr));
      }
      warn_of_unknown(f, warnings_);
    }
    return layers;
  }

  int width() const { return width_; }

 private:
  LayerConfig parse_layer(const JsonFields& f, int index, Warnings warnings) {
    LayerConfig layer;
    layer.residual = f.flag("residual", true);
    if (!f.has("parts") || !f.at("parts").is_array() || f.at("parts").empty())
      throw f.wrong("parts", "an array of one or more parts");
    const int width_before = layer_width_ = width_;
    mixers_.clear();
    int part = 0;
    if ((parts_ += f.at("parts").size()) > kMaxParts)
      throw Error(f.where("parts") + ": the parts of all layers come to more than " + std::to_string(kMaxParts));
    for (const Json& json : f.at("parts")) {
      const JsonFields fields(json, f.where("parts") + "[" + std::to_string(part++) + "]");
      layer.parts.push_back(parse_part(fields, index, layer.parts));
      if (const PartTraits traits = traits_of(layer.parts.back()); film_size_ && traits.memory == Memory::sequence)
        throw Error(fields.where() + ": a " + traits.kind + " part can only stand in the slow path");
      fields.has("name");  // any part may have a name, even one without tensors
      warn_of_unknown(fields, warnings);
    }
    if (layer.residual && width_ != width_before)
      throw Error(f.where() + ": a residual layer must end as wide as it begins, " + std::to_string(width_before) +
                  ", found " + std::to_string(width_));
    before_ = width_before;
    return layer;
  }

  // `before`: the preceding parts of this layer.
  PartConfig parse_part(const JsonFields& f, int index, const std::vector<PartConfig>& before) {
    const std::string type = f.text("type");
    const auto name = [&] { return layer_name(prefix_, index) + "." + f.text("name"); };
    const auto state_name = [&] {  // a second mixer in one layer needs its own name
      if (!mixers_.insert(f.text("name")).second)
        throw Error(f.where("name") + ": the layer has a mixer of this name already");
      const std::string state = state_prefix_ + "." + std::to_string(index);
      return mixers_.size() > 1 ? state + "." + f.text("name") : state;
    };
    const auto placed = [&](auto part) {
      part.name = name(), part.state_name = state_name();
      return part;
    };
    if (type == "s4d") return placed(parse_s4d_part(f, width_));
    if (type == "mamba1") return placed(parse_mamba1_part(f, width_));
    if (type == "mamba2") return placed(parse_mamba2_part(f, width_));
    if (type == "mamba3") return placed(read_mamba3(f, width_));
    if (film_size_ && (type == "attention" || type == "tap" || type == "moe")) {
      if (type == "tap") return parse_tap(f, index);
      if (type == "moe") return parse_moe(f, name(), width_);
      AttentionConfig attention = parse_attention(f, name(), width_, stream_window_);
      attention.state_name = state_name();
      return attention;
    }
    if (type == "mlp") return parse_mlp(f, name(), width_, f.whole("d_ff", 1, kMaxWidth));
    if (type == "layernorm") {
      const bool affine = f.flag("affine", true);
      return RmsNormConfig{affine ? name() : "", width_, f.eps("eps", 1e-5), affine, true};
    }
    if (type == "gated") {
      const GatedConfig gated = placed(GatedConfig{"", "", width_, f.whole("d_out", 1, kMaxWidth)});
      width_ = gated.d_units;
      return gated;
    }
    if (type == "linear") {
      LinearConfig linear{name(), width_, f.whole("d_out", 1, kMaxWidth, width_), f.flag("bias", true)};
      width_ = linear.d_out;
      return linear;
    }
    if (type == "rmsnorm") {
      const bool affine = f.flag("affine", true);
      return RmsNormConfig{affine ? name() : "", width_, f.eps("eps", 1e-5), affine};
    }
    if (type == "film") {
      if (!film_size_) throw Error(f.where() + ": the slow path cannot hold a film part");
      if (*film_size_ > kMaxFilm - 2 * width_)
        throw Error(f.where() + ": the FiLM vector comes to more than " + std::to_string(kMaxFilm));
      const FilmConfig film{width_, *film_size_};
      *film_size_ += 2 * width_;
      return film;
    }
    const std::map<std::string, Activation> activations{
        {"tanh", Activation::tanh},   {"gelu", Activation::gelu},   {"gelu_python", Activation::gelu},
        {"silu", Activation::silu},   {"swish", Activation::silu},  {"glu", Activation::glu},
        {"relu", Activation::relu},   {"relu2", Activation::relu2}, {"gelu_tanh", Activation::gelu_tanh},
        {"swiglu", Activation::silu}, {"geglu", Activation::gelu}};
    const auto activation = activations.find(type);
    if (type == "tanh" && f.flag("rest", false)) return parse_rest_tanh(f, before);
    if (activation == activations.end())
      throw f.wrong(
          "type",
          "one of s4d, mamba1, mamba2, mamba3, attention, mlp, moe, tap, linear, rmsnorm, layernorm, film, tanh, gelu "
          "(exact), gelu_tanh, silu (or swish), relu, relu2, glu, swiglu, geglu, gated");
    const int width_before = width_;
    const bool gated = type == "swiglu" || type == "geglu";
    if (gated || activation->second == Activation::glu) {
      if (width_ % 2) throw Error(f.where() + ": " + type + " needs an even width, found " + std::to_string(width_));
      width_ /= 2;
    }
    return ActivationConfig{activation->second, width_before, width_, gated};
  }

  PartConfig parse_tap(const JsonFields& f, int index) {
    const std::string from = f.text("from"), how = f.text("how", "add");
    if (from != "layer" && from != "layer_before" && from != "network")
      throw f.wrong("from", "'layer', 'layer_before' or 'network'");
    if (how != "add" && how != "replace" && how != "append") throw f.wrong("how", "'add', 'replace' or 'append'");
    if (from == "layer_before" && index == 0) throw f.wrong("from", "another one: the first layer has none before it");
    TapConfig tap;
    tap.from = from == "layer"     ? TapConfig::From::layer
               : from == "network" ? TapConfig::From::network
                                   : TapConfig::From::layer_before;
    tap.how = how == "add" ? TapConfig::How::add : how == "append" ? TapConfig::How::append : TapConfig::How::replace;
    tap.width_in = width_, tap.width = from == "layer" ? layer_width_ : from == "network" ? d_model_ : before_;
    if (how == "add" && tap.width != tap.width_in)
      throw Error(f.where("how") + ": adds " + std::to_string(tap.width) + " values to " +
                  std::to_string(tap.width_in));
    if (how == "append" && tap.width_out() > kMaxWidth)
      throw Error(f.where("how") + ": the width comes to more than " + std::to_string(kMaxWidth));
    width_ = how == "replace" ? tap.width : tap.width_out();
    return tap;
  }

  static RestTanhConfig parse_rest_tanh(const JsonFields& f, const std::vector<PartConfig>& before) {
    const size_t n = before.size();
    const auto* film = n > 1 ? std::get_if<FilmConfig>(&before[n - 1]) : nullptr;
    const auto* linear = n > (film ? 1 : 0) ? std::get_if<LinearConfig>(&before[n - (film ? 2 : 1)]) : nullptr;
    if (!linear || !linear->bias)
      throw Error(f.where("rest") + " needs a linear part with bias directly before it, or that and then a film part");
    return {linear->d_out, linear->name + ".bias", film ? std::optional(*film) : std::nullopt};
  }

  std::string prefix_, state_prefix_;
  int* film_size_;
  Warnings warnings_;
  int width_ = 0, layer_width_ = 0, before_ = 0, d_model_ = 0;  // the current width; widths at the start of this layer,
                                                                // the previous one and the first one
  int stream_window_ = 0;                                       // replaces the windows of attention parts; 0: none
  size_t parts_ = 0;
  std::set<std::string> mixers_;  // names in this layer
};

// If `controls` or `slow_path` ask for it, the FiLM vector ends with the values that are added to the output
// projection's weights.
void parse_output_film(const JsonFields& f, ModelConfig& config) {
  if (!f.flag("output", false) || config.output_film) return;
  if (!config.out_proj) throw Error(f.where("output") + " moves the weights of backbone.out_proj: it needs d_output");
  const int64_t weights = int64_t(config.out_proj->d_in) * config.out_proj->d_out;
  if (weights > kMaxFilm - config.film_size)
    throw Error(f.where("output") + ": the FiLM vector comes to more than " + std::to_string(kMaxFilm));
  config.output_film = config.film_size;
  config.film_size += int(weights);
}

SlowPathConfig parse_slow_path(const JsonFields& f, const ModelConfig& config, Warnings warnings) {
  SlowPathConfig slow;
  slow.hop_frames = f.whole("hop_frames", 1, kMaxHopFrames);
  slow.n_features = f.whole("n_features", 1, kMaxWidth / 2);
  slow.controls = f.flag("controls", false);
  const int d_model = f.whole("d_model", 1, kMaxWidth);
  slow.features = {"slow.features", config.d_input, slow.n_features, true};
  slow.in_proj = {"slow.in_proj", 2 * slow.n_features + (slow.controls ? config.control_count : 0), d_model, true};
  LayerParser layers("slow", "state.slow", nullptr, warnings);
  slow.layers = layers.parse(f, d_model);
  slow.out_proj = {"slow.out_proj", layers.width(), config.film_size, true};
  warn_of_unknown(f, warnings);
  return slow;
}

void parse_controls(const JsonFields& f, ModelConfig& config, Warnings warnings) {
  const int n = config.control_count = f.whole("count", 1, kMaxControls);
  if (f.has("hidden") && f.has("polynomial"))
    throw Error(f.where("polynomial") + " replaces 'hidden': only one of them is allowed");
  if (config.film_size > 0 && f.has("hidden")) {
    const int hidden = f.whole("hidden", 1, kMaxControlHidden);
    config.control_net = ControlNetConfig{LinearConfig{"controls.layers.0", n, hidden, true},
                                          {"controls.layers.1", hidden, config.film_size, true}};
  }
  if (config.film_size > 0 && f.has("polynomial")) {
    f.whole("polynomial", 2, 2);
    config.control_net = ControlNetConfig{std::nullopt, {"controls", n + n * (n + 1) / 2, config.film_size, true}};
  }
  warn_of_unknown(f, warnings);
}

ModelConfig parse_coil(const JsonFields& f, Warnings warnings) {
  ModelConfig config;
  config.d_model = f.whole("d_model", 1, kMaxWidth);
  config.d_input = config.d_model;
  if (f.has("d_input")) {
    config.d_input = f.whole("d_input", 1, kMaxWidth);
    config.in_proj = LinearConfig{"backbone.in_proj", config.d_input, config.d_model, f.flag("in_proj_bias", true)};
  }
  LayerParser layers("backbone", "state", &config.film_size, warnings);
  config.layers = layers.parse(f, config.d_model);
  config.d_output = layers.width();
  const float norm_eps = f.eps("norm_eps", 1e-5);
  if (f.flag("norm_f", false)) config.norm_f = RmsNormConfig{"backbone.norm_f", layers.width(), norm_eps, true};
  if (f.has("d_output")) {
    config.d_output = f.whole("d_output", 1, kMaxWidth);
    config.out_proj = LinearConfig{"backbone.out_proj", layers.width(), config.d_output, f.flag("out_proj_bias", true)};
  }
  if (f.flag("direct", false)) config.direct = LinearConfig{"backbone.direct", config.d_input, config.d_output, false};

  std::optional<JsonFields> controls, slow_path;
  if (f.has("controls")) parse_output_film(controls.emplace(f.at("controls"), f.where("controls")), config);
  if (f.has("slow_path")) parse_output_film(slow_path.emplace(f.at("slow_path"), f.where("slow_path")), config);
  if (controls) parse_controls(*controls, config, warnings);
  if (slow_path) config.slow_path = parse_slow_path(*slow_path, config, warnings);
  if (config.film_size > 0 && !config.control_net && !config.slow_path)
    throw Error(f.where() + ": film parts need 'controls' with 'hidden' or 'polynomial', or 'slow_path'");
  if (config.film_size == 0 && config.slow_path)
    throw Error(f.where("slow_path") + " drives film parts, the layers have none");
  if (config.control_count > 0 && !config.control_net && !(config.slow_path && config.slow_path->controls))
    throw Error(
        f.where("controls") +
        ": nothing reads them (needs 'hidden' or 'polynomial', and film parts or 'output'; or slow_path.controls)");
  return config;
}

const std::set<std::string> kUpstream{kStateSpaces, "mamba", "mamba2", "mamba3", "falcon_mamba"};

// model_type, or a guess from the other fields; empty: unknown.
std::string type_of(const Json& json) {
  if (!json.is_object()) return "";
  if (json.contains("d_model") && json.contains("n_layer") && !json.contains("hidden_size")) return kStateSpaces;
  if (json.contains("model_type")) return json["model_type"].is_string() ? json["model_type"].get<std::string>() : "";
  const Json* names = json.contains("architectures") ? &json["architectures"] : nullptr;
  if (!names || !names->is_array() || names->empty() || !names->front().is_string()) return "";
  const std::string name = names->front();
  for (const auto& [begin, type] : {std::pair{"FalconMamba", "falcon_mamba"},
                                    {"Mamba2", "mamba2"},
                                    {"MambaForCausalLM", "mamba"},
                                    {"MambaModel", "mamba"},
                                    {"Jamba", "jamba"},
                                    {"Bamba", "bamba"},
                                    {"GraniteMoeHybrid", "granitemoehybrid"},
                                    {"NemotronH", "nemotron_h"},
                                    {"FalconH1", "falcon_h1"},
                                    {"Zamba2", "zamba2"}})
    if (name.starts_with(begin)) return type;
  return "";
}

// A rate in the usual notation: 44100 Hz, 22050.5 Hz.
std::string hertz(double rate_hz) {
  std::ostringstream text;
  text << std::setprecision(10) << rate_hz << " Hz";
  return text.str();
}

}  // namespace

const char* to_string(RateScaling scaling) { return scaling == RateScaling::steps ? "steps" : "resample"; }

bool is_upstream_config(const std::string& text) {
  const Json json = Json::parse(quote_non_finite(text), nullptr, false);
  return json.is_object() && (kUpstream.contains(type_of(json)) || is_hybrid(type_of(json)));
}

ModelConfig parse_config(const std::string& text, const std::string& source, Warnings warnings) {
  const Json json = parse_json(quote_non_finite(text), source + ": config");
  const JsonFields fields(json, source + ": config");
  const std::string shown = type_of(json),
                    stated = fields.text("model_type", shown.empty() ? std::nullopt : std::optional(shown));
  const std::string type = shown.empty() ? stated : shown;
  ModelConfig config;
  if (type == "coil")
    config = parse_coil(fields, warnings);
  else if (type == "s4d")
    config = parse_s4d(fields);
  else if (type == kStateSpaces)
    config = parse_state_spaces(fields);
  else if (kUpstream.contains(type))
    config = parse_mamba(fields, type, warnings);
  else if (is_hybrid(type))
    config = parse_hybrid(fields, type, warnings);
  else
    throw Error(
        source + ": config.model_type '" + type.substr(0, 40) +
        "' is not known; known are coil, s4d, mamba, falcon_mamba, mamba2, mamba3, jamba, bamba, granitemoehybrid, "
        "nemotron_h, falcon_h1, zamba2");
  if (config.model_type.empty()) config.model_type = type;
  config.sample_rate_hz = fields.number("sample_rate", 0);
  if (!(config.sample_rate_hz >= 0 && config.sample_rate_hz <= 1e7))
    throw fields.wrong("sample_rate", "between 0 and 1e7 Hz");
  const std::string scaling = fields.text("rate_scaling", "resample");
  if (scaling != "steps" && scaling != "resample") throw fields.wrong("rate_scaling", "'steps' or 'resample'");
  config.rate_scaling = scaling == "steps" ? RateScaling::steps : RateScaling::resample;
  if (const std::string obstacle = steps_obstacle(config);
      config.rate_scaling == RateScaling::steps && !obstacle.empty())
    throw Error(fields.where("rate_scaling") + " must be 'resample': " + obstacle);
  if (type == "coil") warn_of_unknown(fields, warnings);
  return config;
}

std::string steps_obstacle(const ModelConfig& config) {
  if (config.input_kind == InputKind::token_ids) return "the model takes token ids, which have no sample rate";
  for (const LayerConfig& layer : config.layers)
    for (const PartConfig& part : layer.parts)
      if (const char* obstacle = traits_of(part).steps_obstacle) return obstacle;
  return "";
}

std::string steps_obstacle(const ModelConfig& config, double sample_rate_hz) {
  if (const std::string obstacle = steps_obstacle(config); !obstacle.empty()) return obstacle;
  if (config.sample_rate_hz == 0) return "the model states no sample_rate of its own";
  if (!(sample_rate_hz >= 1 && sample_rate_hz <= 1e7)) return "a rate must lie between 1 and 1e7 Hz";
  if (!config.slow_path) return "";
  const double hop = config.slow_path->hop_frames * sample_rate_hz / config.sample_rate_hz;
  if (hop == std::round(hop) && hop >= 1 && hop <= kMaxHopFrames) return "";
  return "a hop of the slow path, " + std::to_string(config.slow_path->hop_frames) + " frames at " +
         hertz(config.sample_rate_hz) + ", must last a whole number of frames there, from 1 to " +
         std::to_string(kMaxHopFrames);
}

ModelConfig with_rescaled_steps(ModelConfig config, double sample_rate_hz, const std::string& source) {
  if (const std::string obstacle = steps_obstacle(config, sample_rate_hz); !obstacle.empty())
    throw Error(source + ": the steps cannot be rescaled to " + hertz(sample_rate_hz) + ": " + obstacle);
  const double frames_scale = sample_rate_hz / config.sample_rate_hz;
  for (LayerConfig& layer : config.layers)
    for (PartConfig& part : layer.parts)
      if (auto* s4d = std::get_if<S4dConfig>(&part)) s4d->step_scale /= frames_scale;
  // The steps of the slow path are hops, whose duration does not change.
  if (config.slow_path)
    config.slow_path->hop_frames = int(config.slow_path->hop_frames * sample_rate_hz / config.sample_rate_hz);
  constexpr double kMaxRampFrames = 1 << 22;  // the count is stored as a float
  config.control_ramp_frames =
      int(std::clamp(std::round(config.control_ramp_frames * frames_scale), 1.0, kMaxRampFrames));
  config.sample_rate_hz = sample_rate_hz;
  return config;
}

}  // namespace coil::ssm
