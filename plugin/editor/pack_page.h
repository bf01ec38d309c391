// Installs packs in the background, and shows what an installed pack holds, and its licence.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include "plugin/background.h"
#include "plugin/pack.h"

namespace coil::plugin {

class PackPage final : public juce::Component {
 public:
  explicit PackPage(ModelLibrary& library);
  ~PackPage() override;

  void install(const juce::File& archive);  // then opens, or calls on_problem
  void open(const juce::File& folder);      // of an installed pack

  std::function<void()> on_close, on_browse;
  std::function<void(const juce::String& problem)> on_problem;

 private:
  void show_installed(const InstalledPack& pack);
  void show(const InstalledPack& pack, const juce::String& title);
  void paint(juce::Graphics& g) override;
  void resized() override;
  bool keyPressed(const juce::KeyPress& key) override;

  ModelLibrary& library_;
  juce::SharedResourcePointer<Background> background_;
  juce::Label title_, content_, licence_name_;
  juce::TextEditor licence_;
  juce::TextButton close_{"Close"}, browse_{"Browse"};
};

}  // namespace coil::plugin
