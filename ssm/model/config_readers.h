// What the readers of the several kinds of config share.
#pragma once

#include <string>
#include <vector>

#include "base/json_fields.h"
#include "ssm/model/config.h"

namespace coil::ssm {

inline constexpr int kMaxWidth = 1 << 16;
inline constexpr int kMaxVocab = 1 << 20;
inline constexpr int kMaxLayers = 4096;

using Warnings = std::vector<std::string>*;  // null: nobody wants them

void warn(Warnings warnings, const std::string& sentence);
void warn_of_unknown(const JsonFields& fields, Warnings warnings);

// total / parts. Throws Error if that leaves a rest.
int divided(const JsonFields& fields, const char* key, int total, int parts);
void check_groups(const JsonFields& fields, const Mamba2Config& mixer, const char* groups_key, const char* norm_key);
std::string layer_name(const std::string& prefix, int index);

// As mamba_ssm names the arguments of its Mamba3; `A_activation` is ours.
Mamba3Config read_mamba3(const JsonFields& f, int d_model);

// Pointwise functions under the names that transformers and `coil` give them; `glu` is not one of them.
Activation read_activation(const JsonFields& f, const char* key, const std::string& fallback);
void read_time_step_limit(const JsonFields& f, const char* key, Mamba2Config& m);

// How many frames attention may look back: kWindowKey, or `sliding_window`. Throws Error if neither is there.
int read_window(const JsonFields& f);
void check_window(const JsonFields& f, const AttentionConfig& attention);

// What goes straight into the first layer, in place of token ids.
bool takes_embeddings(const JsonFields& f);
// Embedding and head, or neither where the config says that the model takes embeddings or has no head.
void add_ends(const JsonFields& f, ModelConfig& config, bool tied_by_default);
void add_vocabulary(ModelConfig& config, int vocab, bool tied);

// The configs of transformers and of state-spaces' mamba_ssm.
inline constexpr const char* kStateSpaces = "state-spaces";
ModelConfig parse_mamba(const JsonFields& f, const std::string& type, Warnings warnings);
ModelConfig parse_state_spaces(const JsonFields& f);
ModelConfig parse_hybrid(const JsonFields& f, const std::string& type, Warnings warnings);
bool is_hybrid(const std::string& type);

}  // namespace coil::ssm
