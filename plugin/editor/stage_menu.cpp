// Models by category, cabinets, and the stages that need no file.
#include "plugin/editor/stage_menu.h"
#include "plugin/text.h"

#include <map>

namespace coil::plugin {

juce::PopupMenu stage_menu(ModelLibrary& library, const StageMenuActions& actions) {
  juce::PopupMenu menu, models, cabinets;
  std::map<juce::String, juce::PopupMenu> categories;
  for (const auto& entry : library.entries()) {
    if (entry.is_preset) continue;
    const auto name = entry.category.isEmpty() ? juce::String("others") : entry.category;
    categories[name].addItem(entry.name, [add = actions.add_file, file = entry.file] { add(file); });
  }
  for (const auto& [name, entries] : categories) models.addSubMenu(capitalised(name), entries);
  for (const auto& entry : library.cabinets())
    cabinets.addItem(entry.name, [add = actions.add_file, file = entry.file] { add(file); });
  menu.addSectionHeader("Add to the chain");
  menu.addSubMenu("Model", models, models.getNumItems() > 0);
  menu.addSubMenu("Cabinet", cabinets, cabinets.getNumItems() > 0);
  const auto item = [&](const juce::String& name, auto kind) {
    menu.addItem(name, [add = actions.add, kind] { add(dsp::RigStage{{}, 1, false, kind}); });
  };
  item("Equaliser", dsp::EqualiserSettings{});
  item("Doubler", dsp::DoublerSettings{});
  item("Gate", dsp::RigGate{});
  item("Gain", dsp::RigGain{});
  menu.addSeparator();
  menu.addItem("Open a file", actions.open_file);
  return menu;
}

}  // namespace coil::plugin
