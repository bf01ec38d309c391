// The window's settings file in the user's folder.
#include "plugin/editor/window_settings.h"

#include "plugin/editor/theme.h"

namespace coil::plugin {
namespace {

juce::PropertiesFile::Options options() {
  juce::PropertiesFile::Options options;
  options.applicationName = "window";
  options.folderName = "coil";
  options.filenameSuffix = ".settings";
  options.osxLibrarySubFolder = "Application Support";
  return options;
}

}  // namespace

WindowSettings::WindowSettings() : file_(options()) {}

juce::Rectangle<int> WindowSettings::size() const {
  return {juce::jlimit(theme::kMinWidth, theme::kMaxWidth, file_.getIntValue("width", theme::kWidth)),
          juce::jlimit(theme::kMinHeight, theme::kMaxHeight, file_.getIntValue("height", theme::kHeight))};
}

void WindowSettings::keep_size(int width, int height) {
  file_.setValue("width", width);
  file_.setValue("height", height);
}

}  // namespace coil::plugin
