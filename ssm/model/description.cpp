// Reads config and card together.
#include "ssm/model/description.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace coil::ssm {

namespace {

const std::string kTensors = ".weight";

// state-spaces pads the vocabulary; the tensor's shape shows by how much.
void take_padded_vocabulary(ModelConfig& config, const Checkpoint& checkpoint) {
  if (!config.embedding || config.embedding->padded_vocab == 0) return;
  const Tensor* table = checkpoint.find(config.embedding->name + kTensors);
  if (!table || table->shape.empty() || table->shape[0] != config.embedding->padded_vocab) return;
  config.embedding->vocab = config.d_output = config.embedding->padded_vocab;
  if (config.out_proj) config.out_proj->d_out = config.d_output;
}

// If the file contains a head although the config calls it tied, the file's head is used, as in transformers.
void take_untied_head(Description& made, const Checkpoint& checkpoint) {
  ModelConfig& config = made.config;
  if (!config.embedding || !config.out_proj || config.out_proj->name != config.embedding->name) return;
  const Tensor *table = checkpoint.find(config.embedding->name + kTensors),
               *head = checkpoint.find(kHeadName + kTensors);
  if (!table || !head || (table->dtype == head->dtype && std::ranges::equal(table->bytes, head->bytes))) return;
  config.out_proj->name = kHeadName;
  made.warnings.push_back(checkpoint.source() + ": the config ties the head to the embeddings, but " + kHeadName +
                          kTensors + " differs from them; it is used");
}

// Tensors that the golden file format adds; they are not part of the model.
bool is_golden(const std::string& name) {
  for (const char* whole : {"input", "output", "output_step", "kernel_taps"})
    if (name == whole) return true;
  return name.starts_with("state.") || name.starts_with("initial_state.") || name.starts_with("debug.");
}

// Tensors that the config declares unused: the copy of a tied head, or embeddings and head of a model that takes
// embeddings.
bool is_vocabulary(const std::string& name, const ModelConfig& config) {
  return config.model_type != "coil" && config.model_type != "s4d" &&
         (name == kEmbeddingName + kTensors || name == kHeadName + kTensors);
}

}  // namespace

Description describe(const Checkpoint& checkpoint, double sample_rate_hz) {
  Description made;
  made.config = parse_config(checkpoint.config_json(), checkpoint.source(), &made.warnings);
  ModelConfig& config = made.config;
  take_padded_vocabulary(config, checkpoint);
  take_untied_head(made, checkpoint);
  Card& card = made.card = parse_card(checkpoint.card_json(), config.control_count, checkpoint.source());
  if (card.sample_rate_hz > 0 && config.sample_rate_hz > 0 && card.sample_rate_hz != config.sample_rate_hz)
    throw Error(checkpoint.source() + ": card.sample_rate and config.sample_rate differ");
  if (config.sample_rate_hz == 0) config.sample_rate_hz = card.sample_rate_hz;
  if (config.rate_scaling == RateScaling::steps && config.sample_rate_hz == 0)
    throw Error(
        checkpoint.source() +
        ": config.rate_scaling 'steps' needs a sample_rate in config or card: the rate that the steps are made for");
  if (sample_rate_hz == 0 || sample_rate_hz == config.sample_rate_hz) return made;

  const double frames_scale = sample_rate_hz / config.sample_rate_hz;
  config = with_rescaled_steps(std::move(config), sample_rate_hz, checkpoint.source());
  card.sample_rate_hz = sample_rate_hz;
  for (int* frames : {&card.latency_frames, &card.settle_frames})
    *frames = int(std::min<double>(std::round(*frames * frames_scale), 1 << 24));
  return made;
}

std::vector<std::string> load_warnings(const Description& description, const Checkpoint& checkpoint) {
  std::vector<std::string> warnings = description.warnings;
  constexpr size_t kNamed = 3;
  std::string names;
  size_t unused = 0;
  for (const std::string& name : checkpoint.unread()) {
    if (is_golden(name) || is_vocabulary(name, description.config)) continue;
    if (unused++ < kNamed) names += (names.empty() ? "'" : ", '") + name.substr(0, 80) + "'";
  }
  if (unused > kNamed) names += " ...";
  if (unused > 0)
    warnings.push_back(checkpoint.source() + ": " +
                       (unused == 1 ? "one tensor is" : std::to_string(unused) + " tensors are") +
                       " not used: " + names);
  return warnings;
}

}  // namespace coil::ssm
