// Parsing of configs: the result for each kind, and an Error that names the field for every fault.
#include "ssm/model/config.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"

namespace {

using namespace coil;
using Json = nlohmann::json;

ssm::ModelConfig parse(const Json& json) { return ssm::parse_config(json.dump(), "model.safetensors"); }

template <class T>
const T& part(const ssm::ModelConfig& config, size_t layer, size_t index) {
  return std::get<T>(config.layers.at(layer).parts.at(index));
}

// Checks that the text is rejected by an Error that names the source and the field.
void refuses_text(const std::string& text, const std::string& naming) {
  INFO(text.substr(0, 300));
  try {
    ssm::parse_config(text, "model.safetensors");
  } catch (const Error& error) {
    CHECK_THAT(error.what(), Catch::Contains("model.safetensors") && Catch::Contains(naming));
    return;
  }
  FAIL_CHECK("the config was accepted, it should be refused for " << naming);
}

void refuses(const Json& json, const std::string& naming) { refuses_text(json.dump(), naming); }

Json mamba1_hf() {
  return {{"model_type", "mamba"},
          {"hidden_size", 24},
          {"num_hidden_layers", 2},
          {"vocab_size", 97},
          {"state_size", 8},
          {"conv_kernel", 3},
          {"expand", 2},
          {"time_step_rank", 5},
          {"use_bias", true},
          {"use_conv_bias", false},
          {"layer_norm_epsilon", 1e-6}};
}

Json mamba2_hf() {
  return {{"model_type", "mamba2"},
          {"hidden_size", 32},
          {"num_hidden_layers", 1},
          {"vocab_size", 11},
          {"state_size", 16},
          {"conv_kernel", 4},
          {"expand", 2},
          {"head_dim", 16},
          {"num_heads", 4},
          {"n_groups", 2},
          {"tie_word_embeddings", false}};
}

Json chain(Json parts, int d_model = 8) {
  return {{"model_type", "coil"}, {"d_model", d_model}, {"layers", {{{"parts", std::move(parts)}}}}};
}

// A network that uses every feature.
Json full() {
  return Json::parse(R"({
    "model_type": "coil", "sample_rate": 48000, "d_input": 1, "d_model": 8, "d_output": 2, "direct": true,
        "norm_f": true,
    "layers": [
      {"repeat": 2, "residual": true, "parts": [
        {"type": "s4d", "name": "mixer", "d_state": 6, "mode": "complex", "discretization": "bilinear"},
        {"type": "linear", "name": "up", "d_out": 16, "bias": false},
        {"type": "film"},
        {"type": "glu"}]},
      {"residual": false, "parts": [
        {"type": "mamba2", "name": "mixer", "d_state": 4, "headdim": 4, "ngroups": 2, "norm_group_size": 8},
        {"type": "film"},
        {"type": "linear", "name": "narrow", "d_out": 3}]}],
    "controls": {"count": 2, "hidden": 5},
    "slow_path": {"hop_frames": 64, "n_features": 4, "d_model": 6, "controls": true, "layers": [
      {"parts": [{"type": "mamba1", "name": "mixer", "d_state": 8, "d_conv": 0, "expand": 2, "dt_rank": 1,
          "x_proj_bias": true}]}]}
  })");
}

TEST_CASE("a transformers Mamba config becomes norm, mixer, residual") {
  const auto config = parse(mamba1_hf());
  CHECK(config.model_type == "mamba");
  CHECK(config.input_kind == ssm::InputKind::token_ids);
  CHECK(config.d_input == 1);
  CHECK(config.d_model == 24);
  CHECK(config.d_output == 97);
  REQUIRE(config.embedding);
  CHECK(config.embedding->name == "backbone.embeddings");
  CHECK(config.embedding->vocab == 97);
  REQUIRE(config.out_proj);
  CHECK(config.out_proj->name == "backbone.embeddings");  // tied by default
  CHECK_FALSE(config.out_proj->bias);
  REQUIRE(config.norm_f);
  CHECK(config.norm_f->name == "backbone.norm_f");
  CHECK(config.norm_f->eps == 1e-6f);

  REQUIRE(config.layers.size() == 2);
  CHECK(config.layers[1].residual);
  REQUIRE(config.layers[1].parts.size() == 2);
  const auto& norm = part<ssm::RmsNormConfig>(config, 1, 0);
  CHECK(norm.name == "backbone.layers.1.norm");
  CHECK(norm.width == 24);
  CHECK(norm.eps == 1e-6f);
  const auto& mixer = part<ssm::Mamba1Config>(config, 1, 1);
  CHECK(mixer.name == "backbone.layers.1.mixer");
  CHECK(mixer.state_name == "state.1");
  CHECK(mixer.d_model == 24);
  CHECK(mixer.d_inner == 48);
  CHECK(mixer.d_state == 8);
  CHECK(mixer.d_conv == 3);
  CHECK(mixer.dt_rank == 5);
  CHECK(mixer.bias);
  CHECK_FALSE(mixer.conv_bias);
  CHECK_FALSE(mixer.x_proj_bias);
  CHECK_FALSE(mixer.rms_eps);
}

TEST_CASE("input_kind decides between frames and token ids") {
  Json json = mamba1_hf();
  json["input_kind"] = "embeddings";
  const auto config = parse(json);
  CHECK(config.input_kind == ssm::InputKind::frames);
  CHECK(config.d_input == 24);
  CHECK(config.d_output == 24);
  CHECK_FALSE(config.embedding);
  CHECK_FALSE(config.out_proj);
  CHECK(config.norm_f);
}

TEST_CASE("time_step_rank auto is a sixteenth of the width, rounded up") {
  Json json = mamba1_hf();
  json["time_step_rank"] = "auto";
  CHECK(part<ssm::Mamba1Config>(parse(json), 0, 1).dt_rank == 2);
}

TEST_CASE("FalconMamba norms dt, B and C") {
  Json json = mamba1_hf();
  json["model_type"] = "falcon_mamba";
  json["mixer_rms_eps"] = 1e-5;
  REQUIRE(part<ssm::Mamba1Config>(parse(json), 0, 1).rms_eps);
  CHECK(*part<ssm::Mamba1Config>(parse(json), 0, 1).rms_eps == 1e-5f);
}

TEST_CASE("a transformers Mamba-2 config") {
  const auto config = parse(mamba2_hf());
  CHECK(config.out_proj->name == "lm_head");
  const auto& mixer = part<ssm::Mamba2Config>(config, 0, 1);
  CHECK(mixer.heads == 4);
  CHECK(mixer.headdim == 16);
  CHECK(mixer.ngroups == 2);
  CHECK(mixer.norm_group_size == 32);  // one norm per group
  CHECK(mixer.d_inner() == 64);
  CHECK(mixer.conv_channels() == 64 + 2 * 2 * 16);
  CHECK(mixer.dt_min == 0);
  CHECK(std::isinf(mixer.dt_max));
}

TEST_CASE("time_step_limit, with the infinities that Python writes") {
  for (const std::string limit : {R"([0.0, Infinity])", R"([0.0, {"__float__": "Infinity"}])", R"([0, "Infinity"])",
                                  R"(["0.0", "inf"])", R"([null, null])"}) {
    std::string text = mamba2_hf().dump();
    text.back() = ',';
    const auto config = ssm::parse_config(text + "\"time_step_limit\": " + limit + "}", "model");
    CHECK(part<ssm::Mamba2Config>(config, 0, 1).dt_min == 0);
    CHECK(std::isinf(part<ssm::Mamba2Config>(config, 0, 1).dt_max));
  }
  Json json = mamba2_hf();
  json["time_step_limit"] = {0.01, 0.5};
  CHECK(part<ssm::Mamba2Config>(parse(json), 0, 1).dt_min == 0.01);
  CHECK(part<ssm::Mamba2Config>(parse(json), 0, 1).dt_max == 0.5);
  for (const Json& wrong : {Json(3), Json::array({1}), Json::array({0.5, 0.1}), Json::array({"a", "b"}),
                            Json::array({"0.1 s", 1}), Json::array({0, "nan"}), Json::array({0, ""}),
                            Json::array({0, {{"__float__", "NaN"}}}), Json::array({0, {{"__float__", 3}}})}) {
    json["time_step_limit"] = wrong;
    refuses(json, "time_step_limit");
  }
}

TEST_CASE("the gated norm of Mamba-2 is over a group unless the config names a width") {
  Json json = mamba2_hf();
  json["rms_norm_group_size"] = 64;
  CHECK(part<ssm::Mamba2Config>(parse(json), 0, 1).norm_group_size == 64);
  const Json mixer = {{"type", "mamba2"}, {"name", "m"}, {"d_state", 4}, {"headdim", 4}, {"ngroups", 2}};
  CHECK(part<ssm::Mamba2Config>(parse(chain({mixer})), 0, 0).norm_group_size == 8);
}

TEST_CASE("non-finite numbers in unused fields of a config are accepted") {
  std::string text = mamba1_hf().dump();
  text.back() = ',';
  for (const std::string number : {"NaN", "Infinity", "-Infinity"}) {
    CHECK(ssm::parse_config(text + "\"loss\": " + number + ", \"note\": \"NaN\"}", "model").layers.size() == 2);
    refuses_text(text + "\"sample_rate\": " + number + "}", "sample_rate");
  }
}

TEST_CASE("SiLU has two names, and other activations of a mixer are refused by theirs") {
  Json json = mamba1_hf();
  json["hidden_act"] = "swish";
  CHECK(parse(json).layers.size() == 2);
  for (const char* other : {"gelu", "relu", "gelu_new"}) {
    json["hidden_act"] = other;
    refuses(json, std::string("found \"") + other);
  }
  CHECK(part<ssm::ActivationConfig>(parse(chain({{{"type", "swish"}}})), 0, 0).kind == ssm::Activation::silu);
  CHECK(part<ssm::ActivationConfig>(parse(chain({{{"type", "gelu_python"}}})), 0, 0).kind == ssm::Activation::gelu);
  refuses(chain({{{"type", "gelu_new"}}}), "gelu_new");
}

TEST_CASE("keys that transformers writes and ignores cause a warning") {
  Json json = mamba2_hf();
  json["norm_before_gate"] = true;
  json["rms_norm"] = false;
  std::vector<std::string> warnings;
  CHECK(ssm::parse_config(json.dump(), "file", &warnings).layers.size() == 1);
  REQUIRE(warnings.size() == 2);
  CHECK_THAT(warnings[0], Catch::Contains("norm_before_gate"));
  CHECK_THAT(warnings[1], Catch::Contains("rms_norm"));
}

TEST_CASE("the architecture stands in for a missing model_type, and says whether there is a head") {
  Json json = mamba1_hf();
  json.erase("model_type");
  for (const auto& [name, type] :
       {std::pair{"MambaForCausalLM", "mamba"}, {"FalconMambaForCausalLM", "falcon_mamba"}, {"MambaModel", "mamba"}}) {
    json["architectures"] = {name};
    CHECK(parse(json).model_type == type);
  }
  CHECK_FALSE(parse(json).out_proj);
  CHECK(parse(json).d_output == 24);
  CHECK(parse(json).input_kind == ssm::InputKind::token_ids);
  json["architectures"] = {"LlamaForCausalLM"};
  refuses(json, "model_type");
}

TEST_CASE("state-spaces' own config") {
  Json json = {{"d_model", 24},    {"n_layer", 2},
               {"vocab_size", 53}, {"ssm_cfg", Json::object()},
               {"rms_norm", true}, {"pad_vocab_size_multiple", 8}};
  const auto one = parse(json);
  CHECK(one.model_type == "mamba");
  CHECK(one.embedding->vocab == 53);
  CHECK(one.embedding->padded_vocab == 56);
  CHECK(one.out_proj->name == "backbone.embeddings");
  CHECK(part<ssm::Mamba1Config>(one, 1, 1).name == "backbone.layers.1.mixer");
  CHECK(part<ssm::Mamba1Config>(one, 1, 1).d_state == 16);
  CHECK(part<ssm::Mamba1Config>(one, 1, 1).dt_rank == 2);

  json["tie_embeddings"] = false;
  json["ssm_cfg"] = {{"layer", "Mamba2"}, {"d_state", 32}, {"headdim", 8}, {"ngroups", 3}, {"dt_limit", {0.01, "inf"}}};
  const auto two = parse(json);
  CHECK(two.out_proj->name == "lm_head");
  const auto& mixer = part<ssm::Mamba2Config>(two, 0, 1);
  CHECK(mixer.heads == 6);
  CHECK(mixer.d_state == 32);
  CHECK(mixer.norm_group_size == 16);
  CHECK(mixer.dt_min == 0.01);
  json["ssm_cfg"] = {{"layer", "Mamba2"}};
  json["d_model"] = 64;
  CHECK(part<ssm::Mamba2Config>(parse(json), 0, 1).d_state == 128);  // upstream's defaults
  CHECK(part<ssm::Mamba2Config>(parse(json), 0, 1).headdim == 64);

  for (const auto& [field, value] :
       std::vector<std::pair<const char*, Json>>{{"d_intermediate", -1}, {"vocab_size", 0}, {"norm_epsilon", -1}}) {
    Json changed = json;
    changed[field] = value;
    refuses(changed, field);
  }
  for (const auto& [field, value] : std::vector<std::pair<const char*, Json>>{{"layer", "Mamba4"},
                                                                              {"rmsnorm", false},
                                                                              {"norm_before_gate", true},
                                                                              {"D_has_hdim", true},
                                                                              {"d_ssm", 32},
                                                                              {"activation", "gelu"},
                                                                              {"ngroups", 3}}) {
    Json changed = json;
    changed["ssm_cfg"][field] = value;
    refuses(changed, std::string("ssm_cfg.") + field);
  }
}

TEST_CASE("state-spaces' attention layers") {
  Json json = {
      {"d_model", 24},
      {"n_layer", 3},
      {"vocab_size", 53},
      {"sliding_window", 40},
      {"ssm_cfg", {{"layer", "Mamba2"}, {"headdim", 8}}},
      {"attn_layer_idx", {1}},
      {"attn_cfg", {{"causal", true}, {"num_heads", 6}, {"num_heads_kv", 2}, {"rotary_emb_dim", 2}, {"d_conv", 4}}}};
  const auto config = parse(json);
  CHECK(part<ssm::Mamba2Config>(config, 0, 1).heads == 6);
  const auto& attention = part<ssm::AttentionConfig>(config, 1, 1);
  CHECK(attention.headdim == 4);
  CHECK(attention.window == 40);
  CHECK(attention.rope == std::vector<double>{1});
  CHECK(attention.conv == "backbone.layers.1.mixer.conv1d");
  CHECK(attention.conv_channels() == 40);
  CHECK(attention.k.first_row == 24);
  CHECK(attention.v.first_row == 32);
  CHECK(attention.v.tensor_rows == 40);
  for (const auto& [field, value] : std::vector<std::pair<const char*, Json>>{{"causal", false},
                                                                              {"mlp_dim", 8},
                                                                              {"rotary_emb_interleaved", true},
                                                                              {"rotary_emb_dim", 6},
                                                                              {"rotary_emb_dim", 3},
                                                                              {"d_conv", 99},
                                                                              {"num_heads", 5}}) {
    Json changed = json;
    changed["attn_cfg"][field] = value;
    refuses(changed, std::string("attn_cfg.") + field);
  }
  json["attn_layer_idx"] = {3};
  refuses(json, "attn_layer_idx must be a list of layers, from 0 to 2");
  json["attn_layer_idx"] = {1};
  json.erase("sliding_window");
  refuses(json, "--window N");
  json.erase("attn_cfg");
  refuses(json, "attn_cfg.causal");
}

TEST_CASE("state-spaces' Mamba-3, MLPs behind the mixers and LayerNorm") {
  Json json = {
      {"d_model", 24},         {"n_layer", 2},
      {"vocab_size", 53},      {"rms_norm", false},
      {"d_intermediate", 130}, {"ssm_cfg", {{"layer", "Mamba3"}, {"d_state", 16}, {"headdim", 8}, {"is_mimo", true}}}};
  const auto config = parse(json);
  CHECK(config.model_type == "mamba3");
  REQUIRE(config.layers.size() == 4);
  CHECK(part<ssm::RmsNormConfig>(config, 0, 0).centred);
  CHECK(config.norm_f->centred);
  const auto& mixer = part<ssm::Mamba3Config>(config, 2, 1);
  CHECK((mixer.heads == 6 && mixer.rank == 4 && mixer.angles == 4));
  CHECK(mixer.decay_rate == ssm::DecayRate::reciprocal);
  CHECK(mixer.state_name == "state.1");
  const auto& mlp = part<ssm::MlpConfig>(config, 3, 1);
  CHECK((mlp.up.d_out == 256 && mlp.gate->first_row == 256 && mlp.gate->tensor_rows == 512));
  CHECK(mlp.up.name == "backbone.layers.1.mlp.fc1");
  for (const auto& [field, value] : std::vector<std::pair<const char*, Json>>{{"headdim", 7},
                                                                              {"ngroups", 4},
                                                                              {"mimo_rank", 17},
                                                                              {"rope_fraction", 0.3},
                                                                              {"A_activation", "relu"},
                                                                              {"d_state", 1}}) {
    Json changed = json;
    changed["ssm_cfg"][field] = value;
    refuses(changed, std::string("ssm_cfg.") + field);
  }
}

TEST_CASE("hybrids: errors name missing and wrong fields of a config") {
  const Json jamba = {{"model_type", "jamba"},  {"hidden_size", 24},        {"intermediate_size", 40},
                      {"num_hidden_layers", 5}, {"num_attention_heads", 4}, {"num_experts", 1},
                      {"vocab_size", 9},        {"sliding_window", 12}};
  CHECK(part<ssm::AttentionConfig>(parse(jamba), 8, 1).window == 12);
  Json changed = jamba;
  changed["stream_window"] = 7;
  CHECK(part<ssm::AttentionConfig>(parse(changed), 8, 1).window == 7);
  changed = jamba;
  changed.erase("sliding_window");
  refuses(changed, "--window N");
  for (const auto& [field, value] : std::vector<std::pair<const char*, Json>>{{"stream_window", 0},
                                                                              {"sliding_window", 1 << 21},
                                                                              {"hidden_act", "mish"},
                                                                              {"num_attention_heads", 0},
                                                                              {"intermediate_size", "large"}}) {
    changed = jamba;
    changed[field] = value;
    refuses(changed, field);
  }
  changed = jamba;
  changed["num_key_value_heads"] = 3;
  refuses(changed, "the number of KV heads (3) must divide that of heads, 4");
  const Json bamba = {{"model_type", "bamba"},
                      {"hidden_size", 32},
                      {"intermediate_size", 40},
                      {"num_hidden_layers", 2},
                      {"num_attention_heads", 4},
                      {"attn_layer_indices", {1}},
                      {"vocab_size", 9},
                      {"mamba_n_heads", 8},
                      {"mamba_d_state", 8},
                      {"stream_window", 5},
                      {"rope_parameters", {{"rope_type", "default"}}}};
  CHECK(part<ssm::AttentionConfig>(parse(bamba), 2, 1).rope.size() == 2);  // half of each head rotates
  changed = bamba;
  changed["rope_parameters"]["rope_type"] = "ntk";
  refuses(changed, "rope_parameters.rope_type");
  changed = bamba;
  changed["mamba_d_head"] = 9;
  refuses(changed, "mamba_d_head");
}

TEST_CASE("hybrids: angles that depend on the input's length take the window for it") {
  const auto rope = [](int window, const Json& parameters, std::vector<std::string>* warnings = nullptr) {
    const Json bamba = {{"model_type", "bamba"},    {"hidden_size", 32},
                        {"intermediate_size", 40},  {"num_hidden_layers", 1},
                        {"num_attention_heads", 4}, {"attn_layer_indices", {0}},
                        {"vocab_size", 9},          {"max_position_embeddings", 6},
                        {"stream_window", window},  {"rope_parameters", parameters}};
    return part<ssm::AttentionConfig>(ssm::parse_config(bamba.dump(), "model", warnings), 0, 1);
  };
  std::vector<std::string> warnings;
  const Json dynamic = {{"rope_type", "dynamic"}, {"factor", 2}};
  CHECK(rope(6, dynamic, &warnings).rope[1] == Approx(0.01));
  CHECK(warnings.empty());
  CHECK(rope(9, dynamic, &warnings).rope[1] == Approx(0.01 / 2));  // base x (2 x 9 / 6 - 1)^2
  CHECK(warnings.size() == 1);
  Json longrope = {{"rope_type", "longrope"},
                   {"short_factor", {2, 4}},
                   {"long_factor", {8, 16}},
                   {"factor", 16},
                   {"original_max_position_embeddings", 4}};
  CHECK(rope(4, longrope).rope[0] == Approx(1.0 / 2));
  CHECK(rope(4, longrope).rope[1] == Approx(0.01 / 4));
  CHECK(rope(5, longrope).rope[0] == Approx(1.0 / 8));
  CHECK(rope(5, longrope).rope[1] == Approx(0.01 / 16));
  CHECK(rope(4, longrope).rope_scale == Approx(std::sqrt(3)));
  longrope["attention_factor"] = 1.5;
  CHECK(rope(4, longrope).rope_scale == Approx(1.5));
  longrope["long_factor"] = {8};
  CHECK_THROWS_WITH(rope(5, longrope), Catch::Contains("long_factor") && Catch::Contains("2 numbers"));
  longrope.erase("long_factor");
  CHECK_THROWS_WITH(rope(5, longrope), Catch::Contains("long_factor"));
}

TEST_CASE("unknown keys of a coil config cause a warning with the most similar key") {
  std::vector<std::string> warnings;
  ssm::parse_config(full().dump(), "file", &warnings);
  CHECK(warnings.empty());
  Json json = full();
  json["direkt"] = true;
  json.erase("direct");
  json["layers"][0]["residal"] = false;
  json["layers"][0].erase("residual");
  json["layers"][0]["parts"][1]["biass"] = true;
  json["layers"][0]["parts"][2]["name"] = "film";  // a part without tensors may have a name
  json["controls"]["colour"] = "red";
  json["slow_path"]["layers"][0]["parts"][0]["d_stat"] = 8;
  ssm::parse_config(json.dump(), "file", &warnings);
  const auto has = [&](const std::string& key, const std::string& meant) {
    INFO(key);
    CHECK(std::count_if(warnings.begin(), warnings.end(), [&](const std::string& w) {
            return w.find("file: config" + key + " is not known") != std::string::npos &&
                   (w.find("meant") == std::string::npos ? meant.empty()
                                                         : w.find("'" + meant + "'") != std::string::npos);
          }) == 1);
  };
  has(".direkt", "direct");
  has(".layers[0].residal", "residual");
  has(".layers[0].parts[1].biass", "");  // bias is there too
  has(".controls.colour", "");
  has(".slow_path.layers[0].parts[0].d_stat", "");
  CHECK(warnings.size() == 5);
}

TEST_CASE("a bare S4D filter bank") {
  const Json json = {
      {"model_type", "s4d"}, {"d_model", 6}, {"d_state", 16}, {"mode", "complex"}, {"discretization", "bilinear"}};
  const auto config = parse(json);
  CHECK(config.d_input == 6);
  CHECK(config.d_output == 6);
  REQUIRE(config.layers.size() == 1);
  CHECK_FALSE(config.layers[0].residual);
  const auto& bank = part<ssm::S4dConfig>(config, 0, 0);
  CHECK(bank.name.empty());
  CHECK(bank.state_name == "state");
  CHECK(bank.channels == 6);
  CHECK(bank.modes == 8);
  CHECK(bank.complex);
  CHECK(bank.discretization == ssm::Discretization::bilinear);

  Json real = json;
  real["mode"] = "real";
  CHECK(part<ssm::S4dConfig>(parse(real), 0, 0).modes == 16);

  Json layer = json;
  layer["layer"] = true;
  const auto with_layer = parse(layer);
  REQUIRE(with_layer.layers[0].parts.size() == 4);
  CHECK(part<ssm::ActivationConfig>(with_layer, 0, 1).kind == ssm::Activation::gelu);
  CHECK(part<ssm::LinearConfig>(with_layer, 0, 2).name == "output_linear.0");
  CHECK(part<ssm::LinearConfig>(with_layer, 0, 2).d_out == 12);
  CHECK(part<ssm::ActivationConfig>(with_layer, 0, 3).width_out == 6);
}

TEST_CASE("a coil chain that uses everything") {
  const auto config = parse(full());
  CHECK(config.sample_rate_hz == 48000);
  CHECK(config.d_input == 1);
  CHECK(config.d_model == 8);
  CHECK(config.d_output == 2);
  REQUIRE(config.in_proj);
  CHECK(config.in_proj->name == "backbone.in_proj");
  CHECK(config.in_proj->d_in == 1);
  CHECK(config.in_proj->d_out == 8);
  CHECK(config.in_proj->bias);
  REQUIRE(config.out_proj);
  CHECK(config.out_proj->d_in == 3);
  CHECK(config.out_proj->bias);
  REQUIRE(config.direct);
  CHECK(config.direct->name == "backbone.direct");
  CHECK_FALSE(config.direct->bias);
  REQUIRE(config.norm_f);
  CHECK(config.norm_f->width == 3);

  REQUIRE(config.layers.size() == 3);
  CHECK(part<ssm::S4dConfig>(config, 1, 0).name == "backbone.layers.1.mixer");
  CHECK(part<ssm::S4dConfig>(config, 1, 0).state_name == "state.1");
  CHECK(part<ssm::S4dConfig>(config, 1, 0).modes == 3);
  CHECK(part<ssm::LinearConfig>(config, 0, 1).name == "backbone.layers.0.up");
  CHECK_FALSE(part<ssm::LinearConfig>(config, 0, 1).bias);
  CHECK(part<ssm::ActivationConfig>(config, 0, 3).width_in == 16);
  CHECK(part<ssm::ActivationConfig>(config, 0, 3).width_out == 8);
  CHECK_FALSE(config.layers[2].residual);
  const auto& mamba2 = part<ssm::Mamba2Config>(config, 2, 0);
  CHECK(mamba2.heads == 4);
  CHECK(mamba2.norm_group_size == 8);
  CHECK(mamba2.d_conv == 4);
  CHECK(mamba2.conv_bias);

  // FiLM slices are consecutive: width 16 twice, then width 8.
  CHECK(part<ssm::FilmConfig>(config, 0, 2).offset == 0);
  CHECK(part<ssm::FilmConfig>(config, 0, 2).width == 16);
  CHECK(part<ssm::FilmConfig>(config, 1, 2).offset == 32);
  CHECK(part<ssm::FilmConfig>(config, 2, 1).offset == 64);
  CHECK(part<ssm::FilmConfig>(config, 2, 1).width == 8);
  CHECK(config.film_size == 80);

  CHECK(config.control_count == 2);
  REQUIRE(config.control_net);
  CHECK(config.control_net->hidden->name == "controls.layers.0");
  CHECK(config.control_net->hidden->d_in == 2);
  CHECK(config.control_net->film.name == "controls.layers.1");
  CHECK(config.control_net->film.d_out == 80);
  REQUIRE(config.slow_path);
  CHECK(config.slow_path->hop_frames == 64);
  CHECK(config.slow_path->controls);
  CHECK(config.slow_path->features.name == "slow.features");
  CHECK(config.slow_path->features.d_in == 1);
  CHECK(config.slow_path->in_proj.name == "slow.in_proj");
  CHECK(config.slow_path->in_proj.d_in == 2 * 4 + 2);
  CHECK(config.slow_path->out_proj.name == "slow.out_proj");
  CHECK(config.slow_path->out_proj.d_out == 80);
  const auto& slow = std::get<ssm::Mamba1Config>(config.slow_path->layers.at(0).parts.at(0));
  CHECK(slow.name == "slow.layers.0.mixer");
  CHECK(slow.d_conv == 0);
  CHECK(slow.x_proj_bias);
}

// An amplifier model that is silent at rest.
Json at_rest() {
  return Json::parse(R"({
    "model_type": "coil", "sample_rate": 48000, "d_input": 1, "d_model": 4, "d_output": 2, "direct": true,
        "in_proj_bias": false, "out_proj_bias": false,
    "layers": [{"repeat": 3, "parts": [
      {"type": "s4d", "name": "mixer", "d_state": 4},
      {"type": "linear", "name": "in_proj", "d_out": 6},
      {"type": "film"},
      {"type": "tanh", "rest": true},
      {"type": "linear", "name": "out_proj", "d_out": 4, "bias": false}]}],
    "controls": {"count": 3, "polynomial": 2, "output": true}
  })");
}

TEST_CASE("a network that is silent at rest") {
  std::vector<std::string> warnings;
  const auto config = ssm::parse_config(at_rest().dump(), "file", &warnings);
  CHECK(warnings.empty());
  CHECK_FALSE(config.in_proj->bias);
  CHECK_FALSE(config.out_proj->bias);
  const auto& rest = part<ssm::RestTanhConfig>(config, 1, 3);
  CHECK(rest.width == 6);
  CHECK(rest.bias == "backbone.layers.1.in_proj.bias");
  REQUIRE(rest.film);
  CHECK(rest.film->offset == 12);
  REQUIRE(config.output_film);
  CHECK(*config.output_film == 36);
  CHECK(config.film_size == 36 + 2 * 4);
  REQUIRE(config.control_net);
  CHECK_FALSE(config.control_net->hidden);
  CHECK(config.control_net->film.name == "controls");
  CHECK(config.control_net->film.d_in == 3 + 6);
  CHECK(config.control_net->film.d_out == 44);

  Json plain = at_rest();
  plain["layers"][0]["parts"].erase(2);
  CHECK_FALSE(part<ssm::RestTanhConfig>(parse(plain), 0, 2).film);
  CHECK(parse(plain).film_size == 8);  // only the output
  for (const int gone : {1, 0}) plain["layers"][0]["parts"].erase(gone);
  refuses(plain, "layers[0].parts[0].rest");
  Json no_bias = at_rest();
  no_bias["layers"][0]["parts"][1]["bias"] = false;
  refuses(no_bias, "layers[0].parts[3].rest");
  Json twice = at_rest();
  twice["layers"][0]["parts"].insert(twice["layers"][0]["parts"].begin() + 2, Json{{"type", "film"}});
  refuses(twice, "layers[0].parts[4].rest");
  Json no_output = at_rest();
  no_output.erase("d_output");
  refuses(no_output, "controls.output");
  for (const auto& [key, value] : std::vector<std::pair<const char*, Json>>{
           {"hidden", 3}, {"polynomial", 3}, {"polynomial", "2"}, {"output", 1}}) {
    Json wrong = at_rest();
    wrong["controls"][key] = value;
    refuses(wrong, std::string("controls.") + (key == std::string("hidden") ? "polynomial" : key));
  }
  for (const char* key : {"in_proj_bias", "out_proj_bias"}) {
    Json wrong = at_rest();
    wrong[key] = 3;
    refuses(wrong, key);
  }
}

TEST_CASE("defaults of the parts") {
  const auto config = parse(chain({{{"type", "mamba1"}, {"name", "m"}, {"d_state", 4}},
                                   {{"type", "mamba2"}, {"name", "n"}, {"d_state", 4}, {"headdim", 8}},
                                   {{"type", "linear"}, {"name", "l"}},
                                   {{"type", "rmsnorm"}, {"name", "r"}}},
                                  24));
  const auto& mamba1 = part<ssm::Mamba1Config>(config, 0, 0);
  CHECK(mamba1.d_inner == 48);
  CHECK(mamba1.d_conv == 4);
  CHECK(mamba1.dt_rank == 2);
  CHECK_FALSE(mamba1.bias);
  CHECK(mamba1.conv_bias);
  CHECK_FALSE(mamba1.x_proj_bias);
  const auto& mamba2 = part<ssm::Mamba2Config>(config, 0, 1);
  CHECK(mamba2.ngroups == 1);
  CHECK(mamba2.norm_group_size == 48);
  CHECK(mamba2.norm_eps == 1e-5f);
  CHECK(mamba1.state_name != mamba2.state_name);
  CHECK(part<ssm::LinearConfig>(config, 0, 2).d_out == 24);
  CHECK(part<ssm::LinearConfig>(config, 0, 2).bias);
  CHECK(part<ssm::RmsNormConfig>(config, 0, 3).eps == 1e-5f);
  CHECK(part<ssm::RmsNormConfig>(config, 0, 3).affine);
  CHECK(config.layers[0].residual);
}

TEST_CASE("texts that are not a config object are refused") {
  for (const char* text : {"", "{", "hello", "{\"a\" 1}", "\xff\xfe"}) refuses_text(text, "config");
  for (const char* text : {"[]", "3", "null", "\"mamba\"", "{}", "{\"model_type\": 3}", "{\"model_type\": null}"})
    refuses_text(text, "config");
  for (const char* type : {"mamba9", "", "llama", "Mamba"}) refuses({{"model_type", type}}, "model_type");
}

TEST_CASE("every faulty field of a transformers config is named") {
  struct Fault {
    const char* field;
    Json value;
  };
  for (const Fault& fault : std::vector<Fault>{{"hidden_size", nullptr},
                                               {"hidden_size", 0},
                                               {"hidden_size", -4},
                                               {"hidden_size", 2.5},
                                               {"hidden_size", "24"},
                                               {"hidden_size", 1 << 30},
                                               {"num_hidden_layers", nullptr},
                                               {"num_hidden_layers", -1},
                                               {"num_hidden_layers", 1e9},
                                               {"state_size", 0},
                                               {"state_size", 1e9},
                                               {"conv_kernel", 0},
                                               {"conv_kernel", 1000},
                                               {"time_step_rank", 0},
                                               {"time_step_rank", "many"},
                                               {"use_bias", 1},
                                               {"use_conv_bias", "yes"},
                                               {"vocab_size", nullptr},
                                               {"vocab_size", 0},
                                               {"vocab_size", 1e15},
                                               {"expand", 0},
                                               {"intermediate_size", 0},
                                               {"intermediate_size", 1e9},
                                               {"layer_norm_epsilon", "small"},
                                               {"layer_norm_epsilon", -1},
                                               {"input_kind", "images"},
                                               {"hidden_act", "relu"},
                                               {"tie_word_embeddings", "no"},
                                               {"sample_rate", -1},
                                               {"sample_rate", "48k"}}) {
    Json json = mamba1_hf();
    json[fault.field] = fault.value;
    if (fault.value.is_null()) json.erase(fault.field);
    refuses(json, fault.field);
  }
  for (const Fault& fault : std::vector<Fault>{{"num_heads", 3},
                                               {"num_heads", 0},
                                               {"head_dim", 0},
                                               {"head_dim", 15},
                                               {"n_groups", 3},
                                               {"n_groups", 0},
                                               {"rms_norm_group_size", 7},
                                               {"rms_norm_group_size", 128},
                                               {"rms_norm", "no"},
                                               {"norm_before_gate", 1}}) {
    Json json = mamba2_hf();
    json[fault.field] = fault.value;
    const bool pair = std::string(fault.field) == "head_dim" && fault.value == 15;  // the two sizes are wrong together
    refuses(json, pair ? "num_heads" : fault.field);
  }
}

TEST_CASE("every faulty field of a part is named, with its place") {
  refuses(chain({{{"type", "lstm"}, {"name", "x"}}}), "layers[0].parts[0].type");
  refuses(chain({{{"name", "x"}}}), "layers[0].parts[0].type");
  refuses(chain({3}), "layers[0].parts[0]");
  refuses(chain({{{"type", "linear"}}}), "name");
  refuses(chain({{{"type", "linear"}, {"name", "x"}, {"d_out", 0}}}), "d_out");
  refuses(chain({{{"type", "linear"}, {"name", "x"}, {"bias", 3}}}), "bias");
  refuses(chain({{{"type", "linear"}, {"name", "x"}, {"d_out", 9}}}), "residual");  // 9 channels cannot be added to 8
  refuses(chain({{{"type", "glu"}}}), "residual");
  refuses(chain({{{"type", "glu"}}}, 7), "glu");
  refuses(chain({{{"type", "rmsnorm"}, {"name", "x"}, {"eps", "small"}}}), "eps");
  refuses(chain({{{"type", "rmsnorm"}, {"name", "x"}, {"eps", -1e-5}}}), "eps");
  refuses(chain({{{"type", "s4d"}, {"name", "x"}, {"d_state", 3}}}), "d_state");  // complex: two per pair
  refuses(chain({{{"type", "s4d"}, {"name", "x"}}}), "d_state");
  refuses(chain({{{"type", "s4d"}, {"name", "x"}, {"d_state", 4}, {"mode", "quaternion"}}}), "mode");
  refuses(chain({{{"type", "s4d"}, {"name", "x"}, {"d_state", 4}, {"discretization", "euler"}}}), "discretization");
  refuses(chain({{{"type", "mamba1"}, {"name", "x"}, {"d_state", -1}}}), "d_state");
  refuses(chain({{{"type", "mamba1"}, {"name", "x"}, {"d_state", 4}, {"d_conv", -1}}}), "d_conv");
  refuses(chain({{{"type", "mamba1"}, {"name", "x"}, {"d_state", 4}, {"expand", 1.5}}}), "expand");
  refuses(chain({{{"type", "mamba1"}, {"name", "x"}, {"d_state", 4}, {"dt_rank", 0}}}), "dt_rank");
  refuses(chain({{{"type", "mamba1"}, {"name", "x"}, {"d_state", 4}, {"rms_eps", -1}}}), "rms_eps");
  refuses(chain({{{"type", "mamba2"}, {"name", "x"}, {"d_state", 4}}}), "headdim");
  refuses(chain({{{"type", "mamba2"}, {"name", "x"}, {"d_state", 4}, {"headdim", 5}}}), "headdim");
  refuses(chain({{{"type", "mamba2"}, {"name", "x"}, {"d_state", 4}, {"headdim", 4}, {"ngroups", 3}}}), "ngroups");
  refuses(chain({{{"type", "mamba2"}, {"name", "x"}, {"d_state", 4}, {"headdim", 4}, {"norm_group_size", 5}}}),
          "norm_group_size");
  refuses(chain({{{"type", "mamba2"}, {"name", "x"}, {"d_state", 4}, {"headdim", 4}, {"norm_eps", -1}}}), "norm_eps");
}

TEST_CASE("two mixers of one layer need two names") {
  const Json mixer = {{"type", "mamba1"}, {"name", "m"}, {"d_state", 4}};
  refuses(chain({mixer, mixer, mixer}), "name");
}

TEST_CASE("every faulty field of the frame is named") {
  const auto changed = [](const char* pointer, const Json& value) {
    Json json = full();
    json[Json::json_pointer(pointer)] = value;
    return json;
  };
  const auto without = [](const char* parent, const char* field) {
    Json json = full();
    json[Json::json_pointer(parent)].erase(field);
    return json;
  };
  refuses(without("", "d_model"), "d_model");
  refuses(without("", "layers"), "layers");
  refuses(changed("/layers", 3), "layers");
  refuses(changed("/layers", Json::array({3})), "layers[0]");
  refuses(changed("/layers/0/repeat", 0), "layers[0].repeat");
  refuses(changed("/layers/0/repeat", 1000000), "layers[0].repeat");
  refuses(changed("/layers/1/parts", 3), "layers[1].parts");
  refuses(changed("/layers/1/parts", Json::array()), "layers[1].parts");
  refuses(changed("/layers/1/residual", 3), "layers[1].residual");
  refuses(changed("/layers/1/parts/0/d_state", 0), "layers[1].parts[0].d_state");
  refuses(changed("/d_input", 0), "d_input");
  refuses(changed("/d_output", "two"), "d_output");
  refuses(changed("/norm_f", 1), "norm_f");
  refuses(changed("/direct", "yes"), "direct");
  refuses(changed("/sample_rate", "48k"), "sample_rate");
  refuses(changed("/controls/count", 0), "controls.count");
  refuses(changed("/controls/hidden", -1), "controls.hidden");
  refuses(changed("/controls", 3), "controls");
  refuses(changed("/slow_path/hop_frames", 0), "slow_path.hop_frames");
  refuses(changed("/slow_path/n_features", 0), "slow_path.n_features");
  refuses(changed("/slow_path/layers/0/parts/0/d_state", 0), "slow_path.layers[0].parts[0].d_state");
  refuses(changed("/slow_path/layers/0/parts/0", {{"type", "film"}}), "slow_path.layers[0].parts[0]");
  refuses(without("/slow_path", "hop_frames"), "slow_path.hop_frames");
  const Json gated = {{"type", "gated"}, {"name", "units"}, {"d_out", 5}};
  refuses(changed("/layers/0/parts/0", gated), "a gated part can only stand in the slow path");
  refuses(changed("/slow_path/layers/0/parts/0", gated), "a residual layer must end as wide as it begins");
}

TEST_CASE("the slow path may hold a gated part and move the output row") {
  Json json = full();
  const int film = parse(json).film_size;
  json["slow_path"]["output"] = true;
  json["slow_path"]["layers"] = {
      {{"residual", false}, {"parts", {{{"type", "gated"}, {"name", "units"}, {"d_out", 5}}}}}};
  const ssm::ModelConfig config = parse(json);
  CHECK(config.output_film == film);
  CHECK(config.film_size == film + config.out_proj->d_in * config.out_proj->d_out);
  CHECK(config.control_net->film.d_out == config.film_size);
  CHECK(config.slow_path->out_proj.d_out == config.film_size);
  CHECK(config.slow_path->out_proj.d_in == 5);
  const auto& gated = std::get<ssm::GatedConfig>(config.slow_path->layers.at(0).parts.at(0));
  CHECK(gated.recurrent().name == "slow.layers.0.units.recurrent");
  CHECK(gated.d_hidden == 6);
  json["controls"]["output"] = true;  // both ask for the same row
  CHECK(parse(json).film_size == config.film_size);
}

TEST_CASE("a film part without controls or slow path is an error") {
  Json json = full();
  json.erase("controls");
  json["slow_path"]["controls"] = false;
  CHECK_NOTHROW(parse(json));
  json.erase("slow_path");
  refuses(json, "film");
}

TEST_CASE("controls that nothing reads, and a slow path that drives nothing, are errors") {
  refuses(
      {{"model_type", "coil"}, {"d_model", 2}, {"layers", Json::array()}, {"controls", {{"count", 1}, {"hidden", 2}}}},
      "controls");
  Json json = full();
  for (auto& layer : json["layers"])
    layer["parts"].erase(
        std::remove_if(layer["parts"].begin(), layer["parts"].end(), [](const Json& p) { return p["type"] == "film"; }),
        layer["parts"].end());
  refuses(json, "slow_path");
}

TEST_CASE("sizes that come to more than the engine can hold are refused before anything overflows") {
  // Many FiLM parts of width 65536: the length of their vector must not overflow an int.
  Json json = {{"model_type", "coil"}, {"d_model", 65536}, {"controls", {{"count", 1}, {"hidden", 1}}}};
  const Json film = {{"type", "film"}};
  json["layers"] = {{{"repeat", 4096}, {"parts", {film, film, film, film, film}}}};
  refuses(json, "FiLM");
  // Many parts repeated many times.
  Json parts = Json::array();
  for (int i = 0; i < 20000; ++i) parts.push_back({{"type", "tanh"}});
  refuses({{"model_type", "coil"}, {"d_model", 1}, {"layers", {{{"repeat", 4096}, {"parts", parts}}}}}, "parts");
}

TEST_CASE("a config with endless nesting is rejected without deep recursion") {
  const std::string deep = std::string(200000, '[') + std::string(200000, ']');
  refuses_text(R"({"model_type": )" + deep + "}", "config");
  refuses_text(R"({"model_type": "coil", "d_model": )" + deep + "}", "config");
  refuses_text(R"({"model_type": "coil", "d_model": 1, "layers": )" + deep + "}", "config");
}

}  // namespace
