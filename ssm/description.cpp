// Reads config and card together.
#include "ssm/description.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace coil::ssm {

Description describe(const Checkpoint& checkpoint, double sample_rate_hz) {
  Description made{parse_config(checkpoint.config_json(), checkpoint.source()), {}};
  ModelConfig& config = made.config;
  Card& card = made.card = parse_card(checkpoint.card_json(), config.control_count, checkpoint.source());
  if (card.sample_rate_hz > 0 && config.sample_rate_hz > 0 && card.sample_rate_hz != config.sample_rate_hz)
    throw Error(checkpoint.source() + ": card.sample_rate and config.sample_rate differ");
  if (config.sample_rate_hz == 0) config.sample_rate_hz = card.sample_rate_hz;
  if (config.rate_scaling == RateScaling::steps && config.sample_rate_hz == 0)
    throw Error(checkpoint.source() + ": config.rate_scaling 'steps' needs a sample_rate in config or card: the rate that the steps are made for");
  if (sample_rate_hz == 0 || sample_rate_hz == config.sample_rate_hz) return made;

  const double frames_scale = sample_rate_hz / config.sample_rate_hz;
  config = with_rescaled_steps(std::move(config), sample_rate_hz, checkpoint.source());
  card.sample_rate_hz = sample_rate_hz;
  for (int* frames : {&card.latency_frames, &card.settle_frames}) *frames = int(std::min<double>(std::round(*frames * frames_scale), 1 << 24));
  return made;
}

}  // namespace coil::ssm
