// Readers of fields that several kinds of config share.
#include "ssm/model/config_readers.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>

namespace coil::ssm {

using Json = nlohmann::json;

namespace {

// A limit as a number, as {"__float__": "Infinity"} or as text; null: no limit.
double limit(const Json& value, double none, const std::string& where) {
  if (value.is_null()) return none;
  if (value.is_number()) return value;
  const Json& named = value.is_object() && value.contains("__float__") ? value["__float__"] : value;
  if (named.is_string()) {
    const std::string text = named;
    char* end = nullptr;
    const double number = std::strtod(text.c_str(), &end);
    if (!text.empty() && *end == '\0' && !std::isnan(number)) return number;
  }
  throw Error(where + " must be numbers, Infinity or null");
}

// MambaModel has no head, MambaForCausalLM has one.
bool is_headless(const JsonFields& f) {
  if (!f.has("architectures") || !f.at("architectures").is_array() || f.at("architectures").empty()) return false;
  const Json& name = f.at("architectures")[0];
  return name.is_string() && name.get<std::string>().ends_with("Model");
}

}  // namespace

void warn(Warnings warnings, const std::string& sentence) {
  if (warnings) warnings->push_back(sentence);
}

void warn_of_unknown(const JsonFields& fields, Warnings warnings) {
  if (!warnings) return;
  for (const std::string& sentence : fields.unknown()) warnings->push_back(sentence);
}

int divided(const JsonFields& fields, const char* key, int total, int parts) {
  if (total % parts != 0)
    throw Error(fields.where(key) + " (" + std::to_string(parts) + ") must divide " + std::to_string(total));
  return total / parts;
}

int expanded_width(const JsonFields& f, const char* key, int d_model) {
  const int d_inner = f.whole(key, 1, 64, 2) * d_model;
  if (d_inner > kMaxWidth) throw f.wrong(key, "smaller: d_inner is at most " + std::to_string(kMaxWidth));
  return d_inner;
}

void read_mamba2_fields(const JsonFields& f, const Mamba2Keys& keys, Mamba2Config& m) {
  m.d_state = f.whole(keys.d_state, 1, 4096, keys.default_d_state);
  m.ngroups = f.whole(keys.ngroups, 1, kMaxWidth, keys.default_ngroups);
  m.d_conv = f.whole(keys.d_conv, keys.least_d_conv, 64, 4);
  m.bias = f.flag(keys.bias, false);
  m.conv_bias = !keys.conv_bias || f.flag(keys.conv_bias, true);
  const bool stated = keys.norm_group_size && f.has(keys.norm_group_size);
  m.norm_group_size =
      stated ? f.whole(keys.norm_group_size, 1, kMaxWidth) : divided(f, keys.ngroups, m.d_inner(), m.ngroups);
  divided(f, keys.ngroups, m.heads, m.ngroups);
  if (m.d_inner() % m.norm_group_size != 0)
    throw Error(f.where(stated ? keys.norm_group_size : keys.ngroups) + " (" + std::to_string(m.norm_group_size) +
                ") must divide d_inner, " + std::to_string(m.d_inner()));
}

std::string layer_name(const std::string& prefix, int index) { return prefix + ".layers." + std::to_string(index); }

void read_time_step_limit(const JsonFields& f, const char* key, Mamba2Config& m) {
  if (!f.has(key)) return;
  const Json& limits = f.at(key);
  if (!limits.is_array() || limits.size() != 2) throw f.wrong(key, "two numbers");
  m.dt_min = limit(limits[0], m.dt_min, f.where(key));
  m.dt_max = limit(limits[1], m.dt_max, f.where(key));
  if (!(m.dt_min <= m.dt_max)) throw f.wrong(key, "in rising order");
}

constexpr int kMaxRank = 16;

Mamba3Config read_mamba3(const JsonFields& f, int d_model) {
  Mamba3Config m;
  m.d_model = d_model;
  const int d_inner = expanded_width(f, "expand", d_model);
  m.headdim = f.whole("headdim", 1, kMaxWidth, 64);
  m.heads = divided(f, "headdim", d_inner, m.headdim);
  m.d_state = f.whole("d_state", 2, 4096, 128);
  m.ngroups = f.whole("ngroups", 1, kMaxWidth, 1);
  divided(f, "ngroups", m.heads, m.ngroups);
  m.mimo = f.flag("is_mimo", false);
  const int rank = f.whole("mimo_rank", 1, kMaxRank, 4);
  m.rank = m.mimo ? rank : 1;
  if (int64_t(m.rank) * m.ngroups * m.d_state > kMaxWidth || int64_t(m.rank) * d_inner > kMaxWidth)
    throw f.wrong("mimo_rank",
                  "smaller: rank x ngroups x d_state and rank x d_inner are at most " + std::to_string(kMaxWidth));
  const double fraction = f.number("rope_fraction", 0.5);
  if (fraction != 0.5 && fraction != 1) throw f.wrong("rope_fraction", "0.5 or 1");
  m.angles = int(m.d_state * fraction) / 2;
  if (m.angles == 0) throw f.wrong("d_state", "large enough for one rotating pair");
  m.outproj_norm = f.flag("is_outproj_norm", false);
  m.a_floor = float(f.number("A_floor", 1e-4));
  if (!(m.a_floor >= 0 && m.a_floor <= 1e6f)) throw f.wrong("A_floor", "a number from 0 to 1e6");
  const std::string rate = f.text("A_activation", "reciprocal");
  if (rate != "reciprocal" && rate != "softplus") throw f.wrong("A_activation", "'reciprocal' or 'softplus'");
  m.decay_rate = rate == "softplus" ? DecayRate::softplus : DecayRate::reciprocal;
  return m;
}

Activation read_activation(const JsonFields& f, const char* key, const std::string& fallback) {
  static const std::map<std::string, Activation> kKinds{{"tanh", Activation::tanh},
                                                        {"gelu", Activation::gelu},
                                                        {"gelu_python", Activation::gelu},
                                                        {"silu", Activation::silu},
                                                        {"swish", Activation::silu},
                                                        {"gelu_new", Activation::gelu_tanh},
                                                        {"gelu_tanh", Activation::gelu_tanh},
                                                        {"gelu_fast", Activation::gelu_tanh},
                                                        {"gelu_pytorch_tanh", Activation::gelu_tanh},
                                                        {"relu", Activation::relu},
                                                        {"relu2", Activation::relu2}};
  const auto found = kKinds.find(f.text(key, fallback));
  if (found == kKinds.end())
    throw f.wrong(key, "one of silu (swish), gelu, gelu_pytorch_tanh (gelu_new, gelu_fast), relu, relu2, tanh");
  return found->second;
}

int read_window(const JsonFields& f) {
  for (const char* key : {kWindowKey, "sliding_window"})
    if (f.has(key)) return f.whole(key, 1, kMaxWindow);
  throw Error(f.where() + ": attention would keep all frames, so a stream would grow without limit; set how many " +
              "frames it may look back, by --window N or by \"sliding_window\": N in the config");
}

void check_window(const JsonFields& f, const AttentionConfig& a) {
  if (a.heads % a.kv_heads != 0)
    throw Error(f.where() + ": the number of KV heads (" + std::to_string(a.kv_heads) +
                ") must divide that of heads, " + std::to_string(a.heads));
  constexpr int64_t kMaxFloats = int64_t(1) << 30;
  if (2 * int64_t(a.kv_heads) * (a.headdim + 15) * (a.window + 15) > kMaxFloats)
    throw Error(f.where() + ": a window of " + std::to_string(a.window) + " frames is too large for " +
                std::to_string(a.kv_heads) + " heads of " + std::to_string(a.headdim));
}

bool takes_embeddings(const JsonFields& f) {
  const std::string kind = f.text("input_kind", "token_ids");
  if (kind != "token_ids" && kind != "embeddings") throw f.wrong("input_kind", "'token_ids' or 'embeddings'");
  return kind == "embeddings";
}

void add_vocabulary(ModelConfig& config, int vocab, bool tied) {
  config.input_kind = InputKind::token_ids;
  config.embedding = EmbeddingConfig{kEmbeddingName, vocab};
  config.d_input = 1;
  config.d_output = vocab;
  config.out_proj = LinearConfig{tied ? config.embedding->name : kHeadName, config.d_model, vocab, false};
}

void add_ends(const JsonFields& f, ModelConfig& config, bool tied_by_default) {
  if (takes_embeddings(f)) {
    config.d_input = config.d_output = config.d_model;
    return;
  }
  add_vocabulary(config, f.whole("vocab_size", 1, kMaxVocab), f.flag("tie_word_embeddings", tied_by_default));
  if (is_headless(f)) {
    config.out_proj.reset();
    config.d_output = config.d_model;
  }
}

}  // namespace coil::ssm
