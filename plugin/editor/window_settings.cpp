// The window's settings file in the user's folder.
#include "plugin/editor/window_settings.h"

#include "plugin/editor/theme.h"
#include "plugin/model_library.h"

namespace coil::plugin {

WindowSettings::WindowSettings()
    : file_(LibraryFolders::standard().settings.getSiblingFile("window.settings"), juce::PropertiesFile::Options()) {}

juce::Rectangle<int> WindowSettings::size() const {
  return {juce::jlimit(theme::kMinWidth, theme::kMaxWidth, file_.getIntValue("width", theme::kWidth)),
          juce::jlimit(theme::kMinHeight, theme::kMaxHeight, file_.getIntValue("height", theme::kHeight))};
}

bool WindowSettings::auditions() const { return file_.getBoolValue("auditions", true); }
void WindowSettings::keep_auditions(bool on) { file_.setValue("auditions", on); }

void WindowSettings::keep_size(int width, int height) {
  file_.setValue("width", width);
  file_.setValue("height", height);
}

}  // namespace coil::plugin
