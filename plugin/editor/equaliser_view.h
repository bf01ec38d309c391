// The equaliser's curve with a handle for each band and cut, and the cabinet's curve.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include <array>
#include <memory>
#include <vector>

#include "plugin/parameters.h"

namespace coil::plugin {

class EqualiserView final : public juce::Component, public juce::SettableTooltipClient {
 public:
  explicit EqualiserView(Parameters& parameters);

  // Follows the parameters; redraws only if something changed.
  void tick(double sample_rate_hz);
  // The cabinet's gain in dB at frequencies from kLowHz to kHighHz, equally spaced on a log scale; empty: no cabinet.
  void show_cabinet(std::vector<float> gains_db);

  static constexpr float kLowHz = 20, kHighHz = 20000, kMostDb = 24;
  static constexpr int kCabinetPoints = 160;

 private:
  // Dragging it sideways moves the frequency, up and down the gain, if there is one; the wheel moves Q.
  class Handle final : public juce::Component, public juce::SettableTooltipClient {
   public:
    Handle(EqualiserView& view, const juce::String& name, const juce::String& sign, juce::RangedAudioParameter& hz,
           juce::RangedAudioParameter* gain, juce::RangedAudioParameter* q);
    ~Handle() override { end(); }

    void follow();  // the parameters
    juce::Point<float> place() const;

   private:
    void paint(juce::Graphics& g) override;
    void mouseDown(const juce::MouseEvent& event) override;
    void mouseDrag(const juce::MouseEvent& event) override;
    void mouseUp(const juce::MouseEvent& event) override;
    void mouseDoubleClick(const juce::MouseEvent& event) override;
    void mouseWheelMove(const juce::MouseEvent& event, const juce::MouseWheelDetails& wheel) override;
    bool keyPressed(const juce::KeyPress& key) override;
    void focusGained(FocusChangeType cause) override;
    void focusLost(FocusChangeType cause) override;
    std::unique_ptr<juce::AccessibilityHandler> createAccessibilityHandler() override;

    void end();                                  // ends the gestures of all parameters that were moved
    void move(float across, float up, float q);  // as shares of the parameters' ranges
    juce::String text() const;

    EqualiserView& view_;
    const juce::String name_, sign_;
    juce::RangedAudioParameter &hz_, *gain_, *q_;
    juce::Point<float> grip_;                        // from the handle's centre to the grabbed point
    std::vector<juce::RangedAudioParameter*> held_;  // parameters with a running gesture
    bool focus_by_key_ = false;
  };

  void paint(juce::Graphics& g) override;
  void resized() override;
  void place_handles();
  float x_of(float hz) const;
  float y_of(float db) const;

  Parameters& parameters_;
  std::vector<std::unique_ptr<Handle>> handles_;
  std::vector<float> cabinet_db_;
  dsp::EqualiserSettings shown_;
  bool shown_on_ = true;
  double sample_rate_hz_ = 48000;
  juce::Rectangle<float> plot_;
};

}  // namespace coil::plugin
