// A level meter for one or two channels: peak in dBFS, slow fall, and peak hold.
#pragma once

#include <juce_audio_basics/juce_audio_basics.h>
#include <juce_gui_basics/juce_gui_basics.h>

#include <array>
#include <atomic>

namespace coil::plugin {

class LevelMeter final : public juce::Component, public juce::SettableTooltipClient {
 public:
  // Reads `peaks` (magnitudes since the last read) at every tick.
  LevelMeter(std::array<std::atomic<float>, 2>& peaks, const juce::String& title, juce::Colour colour);

  void tick(float seconds);
  bool has_clipped() const { return channels_[0].clipped || channels_[1].clipped; }

 private:
  struct Channel {
    float level_db = -100, held_db = -100, held_s = 0;
    bool clipped = false;                   // since the last click
    int drawn_level = -1, drawn_held = -1;  // in pixels, to repaint only changes
  };

  void paint(juce::Graphics& g) override;
  void mouseDown(const juce::MouseEvent&) override { reset(); }
  bool keyPressed(const juce::KeyPress& key) override;
  void focusGained(FocusChangeType) override { repaint(); }
  void focusLost(FocusChangeType) override { repaint(); }
  void reset();                // clears the clip lamp and the peak
  void say();                  // shows the peak in the tooltip and tells screen readers
  float part(float db) const;  // as a share of the height

  std::array<std::atomic<float>, 2>& peaks_;
  juce::Colour colour_;
  juce::String what_it_is_;
  float loudest_db_ = -100;  // since the last click
  std::array<Channel, 2> channels_;
};

}  // namespace coil::plugin
