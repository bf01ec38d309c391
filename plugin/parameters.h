// The parameters that a host can set and automate: those of the chain, and the model's controls under fixed names.
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

// One of the fixed parameters `Control 1` to `Control 16`. Its name, range, unit and default come from the current
// model. The host sees values from 0 to 1, and texts in the model's unit.
class ControlParameter final : public juce::RangedAudioParameter {
 public:
  explicit ControlParameter(int index);

  // Empty: the model has no such control. Does not change the value; the caller sets one. [any thread but the audio
  // thread]
  void set_meaning(std::optional<ssm::Control> control);
  std::optional<ssm::Control> meaning() const;  // [any thread but the audio thread]

  // In the control's unit; 0 without a control. [any thread but the audio thread]
  float value_in_units() const;
  float normalised(float value_in_units) const;  // value_in_units() gives it back exactly, if possible

  // Sets the value if it is still `from`, so that a value that the host sets meanwhile is kept.
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

// A position that stands for exactly this value, if there is one; else the nearest. [any thread]
float position_of(const ssm::Control& control, float value);

// Three significant digits, without trailing zeros, and never "-0".
juce::String number_text(double value, double range);
// The number at the beginning of a text, after blanks; empty if there is none.
std::optional<double> number_in(const juce::String& text);

// Of many interfaces with the input gain at its lowest.
inline constexpr float kUsualFullScaleDbu = 13;

// A to D, see plugin/snapshots.h.
inline constexpr int kSnapshots = 4;

inline constexpr float kLowCutOffHz = 20, kHighCutOffHz = 20000;

// The ID of a further stage's parameter, `what` being "on" or "mix".
std::string stage_id(int number, const char* what);

// One per processor, which owns the parameters.
class Parameters {
 public:
  explicit Parameters(juce::AudioProcessor& processor);

  juce::AudioParameterFloat *input_gain, *output_gain;  // dB
  juce::AudioParameterFloat* mix;                       // percent
  juce::AudioParameterFloat* gate_threshold;            // dBFS; the lowest value switches it off
  juce::AudioParameterBool *normalise, *bypass;
  juce::AudioParameterChoice* channels;  // dsp::ChannelMode
  std::array<ControlParameter*, dsp::kMaxRackControls> controls{};

  // Placed after the controls, so that older parameters keep their numbers.
  struct Band {
    juce::AudioParameterFloat *gain, *frequency, *q;  // in dB, Hz, without unit
  };
  juce::AudioParameterBool *cabinet_on, *equaliser_on;
  std::array<Band, dsp::kEqualiserBands> bands{};
  juce::AudioParameterFloat *low_cut, *high_cut;  // in Hz; the lowest or the highest value switches it off

  // After those of the cabinet.
  juce::AudioParameterBool *tuner, *calibrated;
  juce::AudioParameterFloat* input_dbu;  // what full scale is at the interface's input
  juce::AudioParameterChoice* snapshot;  // which one is recalled; its first value: none

  // The newest: power and mix (percent) of the stages. `cabinet_on` and `equaliser_on` are above.
  struct Stage {
    juce::AudioParameterBool* on;
    juce::AudioParameterFloat* mix;
  };
  juce::AudioParameterBool* model_on;
  juce::AudioParameterFloat *model_mix, *cabinet_mix, *equaliser_mix;
  std::array<Stage, dsp::kFurtherStages> further{};  // by their number

  // All parameters except the controls, the tuner and the snapshot, by parameter ID, in their units. Writing and
  // reading a value is exact. The host is not notified. [any thread but the audio thread]
  std::map<std::string, float> chain() const;
  void set_chain(const std::map<std::string, float>& values);
  // The values that set_chain() would set.
  std::vector<std::pair<juce::RangedAudioParameter*, float>> normalised(
      const std::map<std::string, float>& values) const;
  // Adds defaults for missing parameters of cabinet, equaliser and later ones, for sessions that are older than these.
  void complete(std::map<std::string, float>& values) const;
  dsp::EqualiserSettings equaliser() const noexcept;  // [any thread]

  // [audio-thread]
  void copy_chain_to(dsp::RackSettings& settings) const noexcept;

 private:
  void add_cabinet_and_equaliser(juce::AudioProcessor& processor);
  void add_tools(juce::AudioProcessor& processor);
  void add_stages(juce::AudioProcessor& processor);

  std::vector<juce::RangedAudioParameter*> chain_;
  size_t first_of_cabinet_ = 0;  // in chain_
};

}  // namespace coil::plugin
