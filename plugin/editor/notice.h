// What stands in the window's middle when no model plays: what to do, what is missing or what went wrong, and the
// remedy.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include "plugin/processor.h"

namespace coil::plugin {

class Notice final : public juce::Component {
 public:
  Notice();

  // For every kind but playing. `session_problem`: why the host's session could not be opened; empty when all is well.
  void show(const SlotStatus& status, const juce::String& session_problem);

  std::function<void()> on_browse, on_open;

 private:
  void press(bool browse) { (browse ? on_browse : on_open)(); }
  void paint(juce::Graphics& g) override;
  void resized() override;

  SlotStatus::Kind kind_ = SlotStatus::Kind::empty;
  juce::Label title_, message_;
  juce::TextButton remedy_, other_;  // the likelier one first
  bool remedy_browses_ = true;
};

}  // namespace coil::plugin
