// The page of cabinet and equaliser: responses, their blend, and both frequency responses.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include <array>
#include <memory>

#include "plugin/editor/dial.h"
#include "plugin/editor/equaliser_view.h"
#include "plugin/editor/icon_button.h"
#include "plugin/processor.h"

namespace coil::plugin {

class CabinetPage final : public juce::Component {
 public:
  explicit CabinetPage(Processor& processor);

  void update();  // call after a change of the processor
  void tick();    // call while it is visible
  // The microphone whose panel is at this position of this component; elsewhere the first one.
  int microphone_at(juce::Point<int> place) const;

  std::function<void()> on_close;
  std::function<void(int microphone, juce::Component& from)> on_choose;  // offers cabinets and files
  std::function<void(int microphone, const juce::File& file)> on_load;

 private:
  class MicrophonePanel final : public juce::Component {
   public:
    MicrophonePanel(Processor& processor, int microphone);

    void update();
    std::function<void(juce::Component& from)> on_choose;
    std::function<void(const juce::File& file)> on_load;

   private:
    void paint(juce::Graphics& g) override;
    void resized() override;
    void moved();
    void load_neighbour(int step);  // of the library's cabinets; around the ends
    MicrophoneSettings settings() const;

    Processor& processor_;
    const int microphone_;
    IconButton previous_;
    juce::TextButton file_;
    IconButton next_, clear_;
    Dial level_{theme_colour()}, pan_{theme_colour()}, delay_{theme_colour()};
    juce::TextButton invert_{"Invert"};
    bool is_step_ = true;

    static juce::Colour theme_colour();
  };

  void paint(juce::Graphics& g) override;
  void resized() override;
  bool keyPressed(const juce::KeyPress& key) override;
  std::vector<float> cabinet_curve() const;

  Processor& processor_;
  juce::Label title_, cabinet_name_, equaliser_name_;
  IconButton close_{Icon::close, "Close the page of cabinet and equaliser", "Close (Escape)"};
  IconButton cabinet_on_{Icon::power, "Cabinet", "Cabinet: lit while it is heard"};
  IconButton equaliser_on_{Icon::power, "Equaliser", "Equaliser: lit while it is heard"};
  std::array<std::unique_ptr<MicrophonePanel>, kMicrophones> microphones_;
  EqualiserView equaliser_;
  juce::ButtonParameterAttachment cabinet_attachment_, equaliser_attachment_;
};

}  // namespace coil::plugin
