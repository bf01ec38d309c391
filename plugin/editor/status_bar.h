// The plugin's processor load, its latency, and the model's rate.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

namespace coil::plugin {

class Processor;

class StatusBar final : public juce::Component {
 public:
  explicit StatusBar(Processor& processor);

  // Updates all texts; cheap if nothing changed.
  void tick();

 private:
  void resized() override;
  juce::String rates_text(double host_hz) const;

  // The load; a click resets the maximum.
  class LoadButton final : public juce::Button {
   public:
    LoadButton();
    void set_text(const juce::String& text);

   private:
    void paintButton(juce::Graphics& g, bool over, bool down) override;
    juce::String text_;
  };

  Processor& processor_;
  LoadButton load_;
  juce::Label latency_, model_;
  float shown_median_ = -1, shown_worst_ = -1;
};

}  // namespace coil::plugin
