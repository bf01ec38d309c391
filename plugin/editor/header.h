// The top of the window: logo, model with previous and next, slots, snapshots, undo, pages, bypass, menu.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include "plugin/editor/icon_button.h"
#include "plugin/editor/slot_switch.h"
#include "plugin/editor/snapshot_switch.h"

namespace coil::plugin {

class Processor;

class Header final : public juce::Component {
 public:
  explicit Header(Processor& processor);

  void update();  // call after a change of the processor

  void tick();  // updates what changes without a message: whether a snapshot was edited
  void show_tuner(bool on) { tuner_.setToggleState(on, juce::dontSendNotification); }

  std::function<void()> on_browse, on_menu, on_cabinet, on_tuner;
  std::function<void(int number)> on_snapshot;
  juce::Component& menu_button() { return menu_; }

 private:
  // The model's name; a click opens the browser.
  class NameButton final : public juce::Button {
   public:
    NameButton();
    void show(const juce::String& name, bool faint);

   private:
    void paintButton(juce::Graphics& g, bool over, bool down) override;
    juce::String name_;
    bool faint_ = false;
  };

  void paint(juce::Graphics& g) override;
  void resized() override;

  Processor& processor_;
  IconButton previous_{Icon::previous, "Previous model", "Previous model (Alt+Left)"};
  NameButton name_;
  IconButton next_{Icon::next, "Next model", "Next model (Alt+Right)"};
  SlotSwitch slots_;
  SnapshotSwitch snapshots_;
  IconButton copy_{Icon::copy, "Copy to the other slot", "Copy this slot, model and knobs, to the other one"};
  IconButton undo_{Icon::undo, "Undo", "Undo (Ctrl+Z)"};
  IconButton redo_{Icon::redo, "Redo", "Redo (Ctrl+Shift+Z)"};
  IconButton tuner_{Icon::tuner, "Tuner", "Tuner (Ctrl+T)"};
  IconButton cabinet_{Icon::cabinet, "Cabinet and equaliser",
                      "Cabinet and equaliser (Ctrl+E): lit while an impulse response plays"};
  IconButton power_{
      Icon::power, "Bypass",
      "Bypass (Ctrl+B): lit while the plugin plays; off, the sound passes unchanged, with the same delay"};
  IconButton menu_{Icon::menu, "Menu", "Menu"};
  juce::ParameterAttachment bypass_;
  juce::Rectangle<int> mark_area_;
};

}  // namespace coil::plugin
