// What a preset's card says: name, task, rate, knobs, training, metrics, licence.
#pragma once

#include <string>
#include <vector>

namespace coil::ssm {

struct Control {
  enum class To { network, output_gain_db };

  std::string name, unit, description;
  double min = 0, max = 1, default_value = 0.5;
  To to = To::network;

  double normalised(double value) const { return (value - min) / (max - min); }  // [min, max] -> [0, 1]
};

struct Card {
  std::string name, task, description, licence;
  double sample_rate_hz = 0;  // 0: not stated
  int channels = 1;
  int latency_frames = 0;
  int settle_frames = 0;  // frames of silence that a new stream processes before its signal, so that it starts in the
                          // device's settled state
  std::vector<Control> controls;
  std::string json;  // the whole card as stored in the file; empty: no card
};

// `network_controls`: how many controls the network reads. Without a card they are called control_0 ... with range 0 to
// 1. Throws Error that names the field.
Card parse_card(const std::string& json, int network_controls, const std::string& source);

}  // namespace coil::ssm
