// What a host can set and automate: the chain around the model, and the model's own controls under fixed names.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "dsp/rack.h"
#include "ssm/model/card.h"

namespace coil::plugin {

// One of the fixed places `control 1` to `control 16`. What it means (name, range, unit, default) follows the model
// that it stands for; the host sees values from 0 to 1 and texts in the model's unit.
class ControlParameter final : public juce::RangedAudioParameter {
 public:
  explicit ControlParameter(int index);

  // None: no control of the model stands here. The value stays: the caller sets one. [any thread but the audio thread]
  void set_meaning(std::optional<ssm::Control> control);
  std::optional<ssm::Control> meaning() const;  // [any thread but the audio thread]

  // In the control's unit; 0 without one. [any thread but the audio thread]
  float value_in_units() const;
  float normalised(float value_in_units) const;

  // Sets the value unless it is another than `from` by now: what a host sets meanwhile counts. [any thread but the
  // audio thread]
  void move(float from, float to) { value_.compare_exchange_strong(from, to); }

  float getValue() const override { return value_; }
  void setValue(float normalised) override { value_ = juce::jlimit(0.0f, 1.0f, normalised); }
  float getDefaultValue() const override;
  juce::String getName(int max_length) const override;
  juce::String getLabel() const override;
  juce::String getText(float normalised, int max_length) const override;
  float getValueForText(const juce::String& text) const override;
  const juce::NormalisableRange<float>& getNormalisableRange() const override { return range_; }

 private:
  const int index_;
  const juce::NormalisableRange<float> range_{0, 1};
  std::atomic<float> value_{0};
  mutable std::mutex mutex_;  // guards control_
  std::optional<ssm::Control> control_;
};

// Made once per processor, which owns what the pointers point to.
class Parameters {
 public:
  explicit Parameters(juce::AudioProcessor& processor);

  juce::AudioParameterFloat *input_gain, *output_gain;  // dB
  juce::AudioParameterFloat* mix;                       // percent
  juce::AudioParameterFloat* gate_threshold;            // dBFS; at its lowest: off
  juce::AudioParameterBool *normalise, *bypass;
  juce::AudioParameterChoice* channels;  // dsp::ChannelMode
  std::array<ControlParameter*, dsp::kMaxRackControls> controls{};

  // All but the controls, by parameter ID, in their units. What is written reads the same to the last bit. The host is
  // not told. [any thread but the audio thread]
  std::map<std::string, float> chain() const;
  void set_chain(const std::map<std::string, float>& values);

  // [audio-thread]
  void copy_chain_to(dsp::RackSettings& settings) const noexcept;

 private:
  std::vector<juce::RangedAudioParameter*> chain_;
};

}  // namespace coil::plugin
