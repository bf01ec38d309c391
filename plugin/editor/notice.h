// The text in the centre of the window when no model plays: what to do, or what is missing or wrong, and buttons to fix
// it.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include "plugin/processor.h"

namespace coil::plugin {

class Notice final : public juce::Component {
 public:
  Notice();

  // For every kind but playing. `session_problem`: why the host's session could not be opened; empty if all is well.
  void show(const SlotStatus& status, const juce::String& session_problem);

  std::function<void()> on_browse, on_open;

 private:
  void press(bool browse) { (browse ? on_browse : on_open)(); }
  void paint(juce::Graphics& g) override;
  void resized() override;

  SlotStatus::Kind kind_ = SlotStatus::Kind::empty;
  juce::Label title_, message_;
  juce::TextButton remedy_, other_;  // remedy_ is the likelier one
  bool remedy_browses_ = true;
};

}  // namespace coil::plugin
