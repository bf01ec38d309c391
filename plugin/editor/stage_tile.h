// One stage of the chain in the row: name, power and mix.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include <memory>

#include "plugin/editor/icon_button.h"

namespace coil::plugin {

// A thin bar that shows and moves a mix.
class MixBar final : public juce::Slider {
 public:
  MixBar();

 private:
  void paint(juce::Graphics& g) override;
};

// The parameters of a stage. It is off where `power` has the value `off`, in its own units.
struct TileParameters {
  juce::RangedAudioParameter* power;
  float off, usual;
  juce::RangedAudioParameter* mix;  // null: none
};

class StageTile final : public juce::Component, public juce::SettableTooltipClient {
 public:
  // What the row does with the user's actions.
  struct Actions {
    std::function<void(int number)> open, select, menu;
    std::function<bool(int number, const juce::KeyPress& key)> key;
    // While the tile is dragged, and at the end; in the coordinates of the tile's parent.
    std::function<void(int number, juce::Point<int> place)> drag, drop;
  };

  StageTile(int number, const TileParameters& parameters, const Actions& actions);

  // `position`: "2 of 5".
  void show(const juce::String& name, const juce::String& kind, juce::Colour colour, const juce::String& problem,
            const juce::String& position, bool can_be_removed);
  void set_open(bool open);

  int number() const { return number_; }
  juce::String name() const { return name_; }
  bool is_on() const { return power_button_.getToggleState(); }
  void turn_power() { power_button_.onClick(); }
  void move_mix(double percent);

 private:
  void paint(juce::Graphics& g) override;
  void resized() override;
  void mouseDown(const juce::MouseEvent& event) override;
  void mouseDrag(const juce::MouseEvent& event) override;
  void mouseUp(const juce::MouseEvent& event) override;
  bool keyPressed(const juce::KeyPress& key) override { return actions_.key(number_, key); }
  void focusGained(FocusChangeType cause) override;
  void focusLost(FocusChangeType cause) override;
  std::unique_ptr<juce::AccessibilityHandler> createAccessibilityHandler() override;

  void follow_power(float value);
  void say_state();  // to screen readers

  const int number_;
  const TileParameters parameters_;
  const Actions& actions_;
  IconButton power_button_;
  MixBar mix_;
  float last_on_;
  juce::ParameterAttachment power_;
  std::unique_ptr<juce::SliderParameterAttachment> mix_attachment_;
  juce::String name_, kind_, problem_, position_;
  juce::Colour colour_;
  bool open_ = false, focus_by_key_ = false, dragging_ = false;
};

}  // namespace coil::plugin
