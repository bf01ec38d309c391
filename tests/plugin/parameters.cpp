// Parameters: how a host displays values, and parsing of typed text.
#include "plugin/parameters.h"

#include <catch2/catch.hpp>

#include "plugin/processor.h"

namespace {

using namespace coil;
using plugin::ControlParameter;

ssm::Control control(double min, double max, double default_value, const char* unit) {
  ssm::Control control;
  control.name = "gäin";
  control.unit = unit;
  control.min = min;
  control.max = max;
  control.default_value = default_value;
  return control;
}

TEST_CASE("a control takes name, unit, default, range and texts of what it stands for") {
  ControlParameter parameter(4);
  CHECK(parameter.getName(100) == "Control 5");
  CHECK(parameter.getLabel().isEmpty());
  CHECK(parameter.getParameterID() == "control_5");
  parameter.set_meaning(control(-40, 12, 0, "dB"));
  CHECK(parameter.getName(100) == juce::String::fromUTF8("gäin"));
  CHECK(parameter.getName(2) == juce::String::fromUTF8("gä"));
  CHECK(parameter.getLabel() == "dB");
  CHECK(parameter.getDefaultValue() == Approx(40.0 / 52));
  CHECK(parameter.getText(0, 100) == "-40.0");
  CHECK(parameter.getText(1, 100) == "12.0");
  CHECK(parameter.getText(40.0f / 52, 100) == "0.0");
  CHECK(parameter.getText(39.9999f / 52, 100) == "0.0");  // not -0.0
  parameter.setValue(0.5f);
  CHECK(parameter.value_in_units() == -14);
  parameter.set_meaning(std::nullopt);
  CHECK(parameter.getName(100) == "Control 5");
  CHECK(parameter.value_in_units() == 0);
}

TEST_CASE("decimals follow the range") {
  ControlParameter parameter(0);
  const auto text = [&](double min, double max) {
    parameter.set_meaning(control(min, max, min, ""));
    return parameter.getText(1.0f / 3, 100);
  };
  CHECK(text(0, 0.3) == "0.100");
  CHECK(text(0, 1) == "0.33");
  CHECK(text(0, 10) == "3.3");
  CHECK(text(0, 20000) == "6667");
}

TEST_CASE(
    "typed texts are read with blanks, unit or comma, what is no number changes nothing, what is too much is the "
    "most") {
  ControlParameter parameter(0);
  parameter.set_meaning(control(-40, 12, 0, "dB"));
  parameter.setValue(0.25f);
  for (const char* text : {"-14", " -14 dB", "-14,0", "-14.0dB", "-1.4e1"})
    CHECK(parameter.getValueForText(text) == Approx(0.5f));
  CHECK(parameter.getValueForText("loud") == 0.25f);
  CHECK(parameter.getValueForText("") == 0.25f);
  CHECK(parameter.getValueForText("1000") == 1);
  CHECK(parameter.getValueForText("-1000") == 0);
}

// Some hosts store values by number instead of name.
TEST_CASE("parameters keep their numbers, and newer ones come after them") {
  plugin::Processor processor;
  const char* const before[] = {"input_gain", "output_gain", "mix",   "gate_threshold",
                                "normalise",  "channels",    "bypass"};
  std::vector<juce::String> ids;
  for (const auto* parameter : processor.getParameters())
    ids.push_back(dynamic_cast<const juce::AudioProcessorParameterWithID&>(*parameter).paramID);
  REQUIRE(ids.size() == 63);
  for (size_t i = 0; i < std::size(before); ++i) CHECK(ids[i] == before[i]);
  for (size_t i = 0; i < 16; ++i) CHECK(ids[7 + i] == "control_" + juce::String(i + 1));
  CHECK(ids[23] == "cabinet");
  CHECK(ids[24] == "equaliser");
  CHECK(ids[25] == "band_1_gain");
  CHECK(ids[37] == "low_cut");
  CHECK(ids[38] == "high_cut");
  CHECK(ids[39] == "tuner");
  CHECK(ids[41] == "input_dbu");
  CHECK(ids[42] == "snapshot");
  CHECK(ids[43] == "model_on");
  CHECK(ids[47] == "stage_1_on");
  CHECK(ids[48] == "stage_1_mix");
  CHECK(ids[62] == "stage_8_mix");
}

TEST_CASE("the equaliser's values survive the way to 0 to 1 and back, and its ends mean off") {
  plugin::Processor processor;
  plugin::Parameters& parameters = processor.parameters();
  CHECK(parameters.equaliser() == dsp::EqualiserSettings{});
  juce::Random random(3);
  for (auto* parameter :
       {parameters.bands[1].frequency, parameters.bands[2].q, parameters.low_cut, parameters.high_cut})
    for (int i = 0; i < 500; ++i) {
      parameter->setValueNotifyingHost(random.nextFloat());
      const float value = parameter->get();
      parameter->setValueNotifyingHost(parameter->convertTo0to1(value));
      CHECK(parameter->get() == value);
    }
  for (const float end : {0.0f, 1.0f}) {
    parameters.low_cut->setValueNotifyingHost(end);
    parameters.high_cut->setValueNotifyingHost(end);
    CHECK((parameters.equaliser().low_cut_hz == 0) == (end == 0));
    CHECK((parameters.equaliser().high_cut_hz == 0) == (end == 1));
  }
  CHECK(parameters.high_cut->getCurrentValueAsText() == "off");
  const juce::RangedAudioParameter& low_cut = *parameters.low_cut;
  CHECK(low_cut.convertFrom0to1(low_cut.getValueForText("1.5k")) == 1500);
}

TEST_CASE("a knob's position gives back exactly the value that it was set to") {
  ssm::Control range = control(-40, 12, 0, "dB");
  ControlParameter parameter(0);
  parameter.set_meaning(range);
  for (int i = 0; i <= 1000; ++i) {
    parameter.setValue(float(i) / 1000);
    const float value = parameter.value_in_units();
    parameter.setValue(parameter.normalised(value));
    CHECK(parameter.value_in_units() == value);
  }
}

TEST_CASE("text to value and back is the value, as far as the text says") {
  ControlParameter parameter(0);
  parameter.set_meaning(control(20, 20000, 440, "Hz"));
  for (int i = 0; i <= 100; ++i) {
    const juce::String text = parameter.getText(float(i) / 100, 100);
    CHECK(parameter.getText(parameter.getValueForText(text), 100) == text);
  }
}

}  // namespace
