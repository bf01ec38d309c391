// Asks for the name of a preset to be saved.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

namespace coil::plugin {

class SavePanel final : public juce::Component {
 public:
  SavePanel();

  void open(const juce::String& suggestion);
  void show_error(const juce::String& message);

  std::function<void(const juce::String& name)> on_save;
  std::function<void()> on_close;

 private:
  void paint(juce::Graphics& g) override;
  void resized() override;
  bool keyPressed(const juce::KeyPress& key) override;
  void mouseDown(const juce::MouseEvent& event) override;
  void save();

  juce::Rectangle<int> card_;
  juce::Label title_, message_;
  juce::TextEditor name_;
  juce::TextButton cancel_{"Cancel"}, save_{"Save"};
};

}  // namespace coil::plugin
