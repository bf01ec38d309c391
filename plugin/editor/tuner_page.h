// The tuner: the note, a needle for how far it is off, and a strobe that stands still when it is right.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include <memory>
#include <optional>
#include <vector>

#include "dsp/tuner.h"
#include "plugin/editor/icon_button.h"
#include "plugin/sound_tap.h"

namespace coil::plugin {

class Processor;

class TunerPage final : public juce::Component {
 public:
  explicit TunerPage(Processor& processor);

  void tick(float seconds);
  void visibilityChanged() override;

  std::function<void()> on_close;

  static constexpr double kLowestA4_hz = 415, kHighestA4_hz = 466;

 private:
  // What is shown: the last reading, until it is too old.
  struct Shown {
    dsp::TunedNote note;
    double hz = 0, cents = 0;  // smoothed
    double phase = 0;          // of the strobe, in periods of the note that is meant
    float age_s = 0;
    bool is_in_tune() const { return std::abs(cents) < 1; }
  };

  void paint(juce::Graphics& g) override;
  void resized() override;
  bool keyPressed(const juce::KeyPress& key) override;
  void listen();
  void paint_note(juce::Graphics& g) const;
  void paint_needle(juce::Graphics& g) const;
  void paint_strobe(juce::Graphics& g) const;

  Processor& processor_;
  std::optional<SoundTap::Listening> listening_;
  std::unique_ptr<dsp::Tuner> tuner_;
  double sample_rate_hz_ = 0;
  std::vector<float> frames_;
  size_t frames_written_ = 0;
  float since_look_s_ = 0;
  std::optional<Shown> shown_;

  juce::Label title_, a4_name_;
  juce::Slider a4_{juce::Slider::IncDecButtons, juce::Slider::TextBoxLeft};
  juce::ToggleButton mute_{"Mute"};
  IconButton close_{Icon::close, "Close the tuner", "Close (Escape, Ctrl+T)"};
  juce::Rectangle<int> note_area_, needle_area_, strobe_area_;
};

}  // namespace coil::plugin
