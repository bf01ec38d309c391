// The settings file in the user's folder.
#include "plugin/user_settings.h"

#include <cmath>

#include "plugin/model_library.h"

namespace coil::plugin {
namespace {

juce::PropertiesFile::Options saved_by_hand() {
  juce::PropertiesFile::Options options;
  options.millisecondsBeforeSaving = -1;
  return options;
}

}  // namespace

UserSettings::UserSettings()
    : file_(LibraryFolders::standard().settings.getSiblingFile("player.settings"), saved_by_hand()) {}

double UserSettings::number(const char* key, double otherwise) const {
  const double value = file_.getDoubleValue(key, otherwise);
  return std::isfinite(value) ? value : otherwise;
}

void UserSettings::keep(const char* key, double value) {
  file_.reload();  // another instance may have written others
  file_.setValue(key, value);
  file_.save();
}

}  // namespace coil::plugin
