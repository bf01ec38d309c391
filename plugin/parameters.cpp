// The parameters' ranges and texts.
#include "plugin/parameters.h"

#include <algorithm>
#include <cmath>

#include "dsp/calibration.h"
#include "dsp/plugin_rig.h"
#include "plugin/text.h"

namespace coil::plugin {

juce::String number_text(double value, double range) {
  const int decimals = range >= 100 ? 0 : range >= 10 ? 1 : range >= 1 ? 2 : 3;
  const double step = std::pow(10.0, -decimals);
  const double rounded = std::round(value / step) * step;
  return juce::String(std::abs(rounded) < step / 2 ? 0.0 : rounded, decimals);
}

std::optional<double> number_in(const juce::String& text) {
  const juce::String trimmed = text.trim().replaceCharacter(',', '.');
  const juce::String digits = trimmed.initialSectionContainingOnly("+-.0123456789eE");
  if (!digits.containsAnyOf("0123456789")) return std::nullopt;
  return digits.getDoubleValue();
}

namespace {

// AU sorts parameters by version: later ones need a higher number.
constexpr int kFirstVersion = 1, kCabinetVersion = 2, kToolsVersion = 3, kSnapshotVersion = 4, kStagesVersion = 5;

juce::ParameterID id(const char* name, int version = kFirstVersion) { return {name, version}; }

// The exact value, which getValue() would round.
float value_of(const juce::RangedAudioParameter& parameter) {
  if (const auto* number = dynamic_cast<const juce::AudioParameterFloat*>(&parameter)) return number->get();
  return parameter.convertFrom0to1(parameter.getValue());
}

// The position from which `value_at` gives exactly `value`; `nearest` may be off by a rounding error.
template <typename ValueAt>
float exact_position(float nearest, float value, ValueAt value_at) {
  float below = nearest, above = nearest;
  for (int i = 0; i < 8; ++i, below = std::nextafter(below, 0.0f), above = std::nextafter(above, 1.0f)) {
    if (value_at(below) == value) return below;
    if (value_at(above) == value) return above;
  }
  return nearest;
}

float normalised_exactly(const juce::RangedAudioParameter& parameter, float value) {
  return exact_position(parameter.convertTo0to1(value), value,
                        [&](float position) { return parameter.convertFrom0to1(position); });
}

float value_at(const ssm::Control& control, float position) {
  return float(control.min + double(position) * (control.max - control.min));
}

juce::AudioParameterFloatAttributes decibels() {
  return juce::AudioParameterFloatAttributes().withLabel("dB").withStringFromValueFunction(
      [](float value, int) { return number_text(value, 10); });
}

// A logarithmic range. Rounded, so that a value survives the conversion to 0 to 1 and back.
juce::NormalisableRange<float> log_range(float min, float max, double digits_behind_point) {
  const double step = std::pow(10.0, -digits_behind_point);
  const auto rounded = [step](double value) { return float(std::round(value / step) * step); };
  return {min, max,
          [rounded](float min, float max, float part) {
            return std::clamp(rounded(min * std::pow(double(max) / min, double(part))), min, max);
          },
          [](float min, float max, float value) {
            return float(std::clamp(std::log(double(value) / min) / std::log(double(max) / min), 0.0, 1.0));
          },
          [rounded](float min, float max, float value) { return std::clamp(rounded(value), min, max); }};
}

juce::AudioParameterFloatAttributes percent() {
  return juce::AudioParameterFloatAttributes().withLabel("%").withStringFromValueFunction(
      [](float value, int) { return number_text(value, 100); });
}

// `off`: the value at which a cut has no effect; 0: none.
juce::AudioParameterFloatAttributes hertz(float off = 0) {
  return juce::AudioParameterFloatAttributes()
      .withLabel("Hz")
      .withStringFromValueFunction([off](float value, int) {
        return value == off ? juce::String("off") : juce::String(value, value < 100 ? 1 : 0);
      })
      .withValueFromStringFunction([off](const juce::String& text) {
        const double number = number_in(text).value_or(double(off));
        return float(text.containsIgnoreCase("k") ? number * 1000 : number);
      });
}

}  // namespace

std::string stage_id(int number, const char* what) { return "stage_" + std::to_string(number + 1) + "_" + what; }

float position_of(const ssm::Control& control, float value) {
  return exact_position(float(std::clamp(control.normalised(double(value)), 0.0, 1.0)), value,
                        [&](float position) { return value_at(control, position); });
}

ControlParameter::ControlParameter(int index)
    : RangedAudioParameter(id(("control_" + std::to_string(index + 1)).c_str()), "Control " + juce::String(index + 1)),
      index_(index) {}

void ControlParameter::set_meaning(std::optional<ssm::Control> control) {
  const std::lock_guard lock(mutex_);
  control_ = std::move(control);
}

std::optional<ssm::Control> ControlParameter::meaning() const {
  const std::lock_guard lock(mutex_);
  return control_;
}

float ControlParameter::value_in_units() const {
  const std::lock_guard lock(mutex_);
  return control_ ? value_at(*control_, value_) : 0.0f;
}

float ControlParameter::normalised(float value_in_units) const {
  const std::lock_guard lock(mutex_);
  return control_ ? position_of(*control_, value_in_units) : 0.0f;
}

float ControlParameter::getDefaultValue() const {
  const std::lock_guard lock(mutex_);
  return control_ ? float(control_->normalised(control_->default_value)) : 0.0f;
}

juce::String ControlParameter::getName(int max_length) const {
  const auto control = meaning();
  return (control ? from_utf8(control->name) : "Control " + juce::String(index_ + 1)).substring(0, max_length);
}

juce::String ControlParameter::getLabel() const {
  const auto control = meaning();
  return control ? from_utf8(control->unit) : juce::String();
}

juce::String ControlParameter::getText(float normalised, int max_length) const {
  const auto control = meaning();
  const double range = control ? control->max - control->min : 1;
  const juce::String text = number_text((control ? control->min : 0) + double(normalised) * range, range);
  return max_length > 0 ? text.substring(0, max_length) : text;
}

float ControlParameter::getValueForText(const juce::String& text) const {
  const auto value = number_in(text);
  if (!value) return getValue();
  const auto control = meaning();
  return float(std::clamp(control ? control->normalised(*value) : *value, 0.0, 1.0));
}

Parameters::Parameters(juce::AudioProcessor& processor) {
  const auto add = [&](auto* parameter) {
    processor.addParameter(parameter);
    chain_.push_back(parameter);
    return parameter;
  };
  input_gain = add(new juce::AudioParameterFloat(id("input_gain"), "Input gain",
                                                 {-dsp::kPluginGainDb, dsp::kPluginGainDb}, 0.0f, decibels()));
  output_gain = add(new juce::AudioParameterFloat(id("output_gain"), "Output gain",
                                                  {-dsp::kPluginGainDb, dsp::kPluginGainDb}, 0.0f, decibels()));
  mix = add(new juce::AudioParameterFloat(id("mix"), "Mix", {0.0f, 100.0f}, 100.0f, percent()));
  gate_threshold = add(new juce::AudioParameterFloat(
      id("gate_threshold"), "Gate threshold", {dsp::kGateOffDb, 0.0f}, dsp::kGateOffDb,
      juce::AudioParameterFloatAttributes()
          .withLabel("dBFS")
          .withStringFromValueFunction(
              [](float value, int) { return value <= dsp::kGateOffDb ? juce::String("off") : number_text(value, 10); })
          .withValueFromStringFunction(
              [](const juce::String& text) { return float(number_in(text).value_or(double(dsp::kGateOffDb))); })));
  normalise = add(new juce::AudioParameterBool(id("normalise"), "Normalise level", true));
  channels = add(new juce::AudioParameterChoice(id("channels"), "Channels", {"each", "left", "right", "sum"}, 0));
  bypass = add(new juce::AudioParameterBool(id("bypass"), "Bypass", false));
  for (int i = 0; i < dsp::kMaxRackControls; ++i) processor.addParameter(controls[size_t(i)] = new ControlParameter(i));
  add_cabinet_and_equaliser(processor);
  add_tools(processor);
  add_stages(processor);
}

void Parameters::add_cabinet_and_equaliser(juce::AudioProcessor& processor) {
  first_of_cabinet_ = chain_.size();
  const auto add = [&](auto* parameter) {
    processor.addParameter(parameter);
    chain_.push_back(parameter);
    return parameter;
  };
  const auto id_of = [](const char* name) { return id(name, kCabinetVersion); };
  using Float = juce::AudioParameterFloat;
  cabinet_on = add(new juce::AudioParameterBool(id_of("cabinet"), "Cabinet", true));
  equaliser_on = add(new juce::AudioParameterBool(id_of("equaliser"), "Equaliser", true));
  const dsp::EqualiserSettings flat;
  const char* const names[] = {"Low shelf", "Low mid", "High mid", "High shelf"};
  for (size_t i = 0; i < bands.size(); ++i) {
    const juce::String name = names[i];
    const std::string key = "band_" + std::to_string(i + 1);
    bands[i].gain = add(
        new Float(id_of((key + "_gain").c_str()), name + " gain", {-dsp::kMaxBandDb, dsp::kMaxBandDb}, 0, decibels()));
    bands[i].frequency = add(new Float(id_of((key + "_hz").c_str()), name + " frequency", log_range(20, 20000, 1),
                                       flat.bands[i].hz, hertz()));
    bands[i].q = add(new Float(id_of((key + "_q").c_str()), name + " Q", log_range(0.1f, 10, 3), flat.bands[i].q,
                               juce::AudioParameterFloatAttributes().withStringFromValueFunction(
                                   [](float value, int) { return juce::String(value, 2); })));
  }
  low_cut =
      add(new Float(id_of("low_cut"), "Low cut", log_range(kLowCutOffHz, 2000, 1), kLowCutOffHz, hertz(kLowCutOffHz)));
  high_cut = add(
      new Float(id_of("high_cut"), "High cut", log_range(1000, kHighCutOffHz, 1), kHighCutOffHz, hertz(kHighCutOffHz)));
}

void Parameters::add_tools(juce::AudioProcessor& processor) {
  const auto add = [&](auto* parameter) {
    processor.addParameter(parameter);
    chain_.push_back(parameter);
    return parameter;
  };
  // Not part of the chain: no session, preset or undo step opens the tuner.
  processor.addParameter(tuner = new juce::AudioParameterBool(id("tuner", kToolsVersion), "Tuner", false));
  calibrated = add(new juce::AudioParameterBool(id("calibrated", kToolsVersion), "Calibrated level", false));
  input_dbu = add(
      new juce::AudioParameterFloat(id("input_dbu", kToolsVersion), "Input full scale",
                                    {dsp::kMinFullScaleDbu, dsp::kMaxFullScaleDbu, 0.1f}, kUsualFullScaleDbu,
                                    juce::AudioParameterFloatAttributes().withLabel("dBu").withStringFromValueFunction(
                                        [](float value, int) { return juce::String(value, 1); })));
  // Not part of the chain either: a session holds its snapshots beside the values that they have set.
  juce::StringArray names{"none"};
  for (int i = 0; i < kSnapshots; ++i) names.add(juce::String::charToString(juce::juce_wchar('A' + i)));
  processor.addParameter(snapshot =
                             new juce::AudioParameterChoice(id("snapshot", kSnapshotVersion), "Snapshot", names, 0));
}

void Parameters::add_stages(juce::AudioProcessor& processor) {
  const auto add = [&](auto* parameter) {
    processor.addParameter(parameter);
    chain_.push_back(parameter);
    return parameter;
  };
  const auto power = [&](const std::string& key, const juce::String& name) {
    return add(new juce::AudioParameterBool(id(key.c_str(), kStagesVersion), name, true));
  };
  const auto share = [&](const std::string& key, const juce::String& name) {
    return add(new juce::AudioParameterFloat(id(key.c_str(), kStagesVersion), name, {0.0f, 100.0f}, 100.0f, percent()));
  };
  model_on = power("model_on", "Model");
  model_mix = share("model_mix", "Model mix");
  cabinet_mix = share("cabinet_mix", "Cabinet mix");
  equaliser_mix = share("equaliser_mix", "Equaliser mix");
  for (int number = 0; number < dsp::kFurtherStages; ++number) {
    const juce::String name = "Stage " + juce::String(number + 1);
    further[size_t(number)] = {power(stage_id(number, "on"), name), share(stage_id(number, "mix"), name + " mix")};
  }
}

void Parameters::complete(std::map<std::string, float>& values) const {
  for (size_t i = first_of_cabinet_; i < chain_.size(); ++i) {
    const juce::RangedAudioParameter& parameter = *chain_[i];
    values.try_emplace(parameter.getParameterID().toStdString(),
                       parameter.convertFrom0to1(parameter.getDefaultValue()));
  }
}

dsp::EqualiserSettings Parameters::equaliser() const noexcept {
  dsp::EqualiserSettings settings;
  for (size_t i = 0; i < bands.size(); ++i) {
    settings.bands[i].gain_db = bands[i].gain->get();
    settings.bands[i].hz = bands[i].frequency->get();
    settings.bands[i].q = bands[i].q->get();
  }
  settings.low_cut_hz = low_cut->get() > kLowCutOffHz ? low_cut->get() : 0;
  settings.high_cut_hz = high_cut->get() < kHighCutOffHz ? high_cut->get() : 0;
  return settings;
}

std::map<std::string, float> Parameters::chain() const {
  std::map<std::string, float> values;
  for (const auto* parameter : chain_) values[parameter->getParameterID().toStdString()] = value_of(*parameter);
  return values;
}

std::vector<std::pair<juce::RangedAudioParameter*, float>> Parameters::normalised(
    const std::map<std::string, float>& values) const {
  std::vector<std::pair<juce::RangedAudioParameter*, float>> all;
  for (auto* parameter : chain_) {
    const auto it = values.find(parameter->getParameterID().toStdString());
    if (it != values.end()) all.emplace_back(parameter, normalised_exactly(*parameter, it->second));
  }
  return all;
}

void Parameters::set_chain(const std::map<std::string, float>& values) {
  for (const auto& [parameter, value] : normalised(values)) parameter->setValue(value);
}

void Parameters::copy_chain_to(dsp::RackSettings& settings) const noexcept {
  settings.input_db = input_gain->get();
  settings.output_db = output_gain->get();
  settings.mix = mix->get() / 100;
  settings.gate_db = gate_threshold->get();
  settings.normalise = normalise->get();
  settings.bypass = bypass->get();
  settings.calibrated = calibrated->get();
  settings.input_dbu = input_dbu->get();
  settings.channels = dsp::ChannelMode(channels->getIndex());
  settings.tail.on = cabinet_on->get();
  settings.equaliser.on = equaliser_on->get();
  settings.equaliser.set(equaliser());
  settings.models.on = model_on->get();
  settings.models.mix = model_mix->get() / 100;
  settings.tail.mix = cabinet_mix->get() / 100;
  settings.equaliser.mix = equaliser_mix->get() / 100;
  for (size_t i = 0; i < further.size(); ++i) {
    settings.further[i].on = further[i].on->get();
    settings.further[i].mix = further[i].mix->get() / 100;
  }
}

}  // namespace coil::plugin
