// An item of a menu, with its keys.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include <functional>
#include <utility>

namespace coil::plugin {

inline juce::PopupMenu::Item menu_item(const juce::String& text, const juce::String& keys, bool enabled,
                                       std::function<void()> action) {
  juce::PopupMenu::Item item(text);
  item.shortcutKeyDescription = keys;
  item.isEnabled = enabled;
  item.action = std::move(action);
  return item;
}

}  // namespace coil::plugin
