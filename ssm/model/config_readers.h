// Functions that the readers of all kinds of config share.
#pragma once

#include <string>
#include <vector>

#include "base/json_fields.h"
#include "ssm/model/config.h"

namespace coil::ssm {

inline constexpr int kMaxWidth = 1 << 16;
inline constexpr int kMaxVocab = 1 << 20;
inline constexpr int kMaxLayers = 4096;

using Warnings = std::vector<std::string>*;  // null: warnings are dropped

void warn(Warnings warnings, const std::string& sentence);
void warn_of_unknown(const JsonFields& fields, Warnings warnings);

// total / parts. Throws Error if the division leaves a remainder.
int divided(const JsonFields& fields, const char* key, int total, int parts);
std::string layer_name(const std::string& prefix, int index);

// The names that a kind of config gives to Mamba-2's fields, and the defaults of some.
struct Mamba2Keys {
  const char *d_state, *ngroups, *d_conv, *bias;
  const char* conv_bias;        // null: the convolution always has a bias
  const char* norm_group_size;  // null: the norm's groups are those of B and C
  int default_d_state, default_ngroups;
  int least_d_conv = 1;
};
// Reads these fields. `mixer` has its d_model, heads and headdim already. Throws Error.
void read_mamba2_fields(const JsonFields& f, const Mamba2Keys& keys, Mamba2Config& mixer);
// expand x d_model. Throws Error if it is too large.
int expanded_width(const JsonFields& f, const char* key, int d_model);

// Argument names are those of mamba_ssm's Mamba3; `A_activation` is our own.
Mamba3Config read_mamba3(const JsonFields& f, int d_model);

// Reads a pointwise function by the names that transformers and `coil` use; `glu` is not among them.
Activation read_activation(const JsonFields& f, const char* key, const std::string& fallback);
void read_time_step_limit(const JsonFields& f, const char* key, Mamba2Config& m);

// How many frames attention may look back: kWindowKey or `sliding_window`. Throws Error if neither is given.
int read_window(const JsonFields& f);
void check_window(const JsonFields& f, const AttentionConfig& attention);

// The config key for a model that takes embeddings instead of token ids.
bool takes_embeddings(const JsonFields& f);
// Adds embedding and head, unless the config says that the model takes embeddings or has no head.
void add_ends(const JsonFields& f, ModelConfig& config, bool tied_by_default);
void add_vocabulary(ModelConfig& config, int vocab, bool tied);

// The configs of transformers and of state-spaces' mamba_ssm.
inline constexpr const char* kStateSpaces = "state-spaces";
ModelConfig parse_mamba(const JsonFields& f, const std::string& type, Warnings warnings);
ModelConfig parse_state_spaces(const JsonFields& f);
ModelConfig parse_hybrid(const JsonFields& f, const std::string& type, Warnings warnings);
bool is_hybrid(const std::string& type);

}  // namespace coil::ssm
