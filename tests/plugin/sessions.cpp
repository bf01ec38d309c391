// Uses the plugin's own session code.
#include "tests/plugin/sessions.h"

#include "tests/support/random_network.h"

namespace coil::test {

plugin::Session overdrive_session(const std::map<std::string, float>& controls, bool embedded) {
  plugin::ModelLibrary library(plugin::LibraryFolders{});
  plugin::Session session;
  session.slots[0] =
      plugin::slot_with(library.load(juce::File(overdrive_path().string())), embedded ? "" : overdrive_path().string());
  if (!embedded) session.slots[0].file_bytes.reset();
  for (const auto& [name, value] : controls) session.slots[0].controls[name] = value;
  session.chain = {{"normalise", 0.0f}};
  return session;
}

Planes noise(size_t channels, size_t frames) {
  Random random(5);
  Planes planes(channels, Signal(frames));
  for (Signal& plane : planes)
    for (size_t i = 0; i < frames; ++i) plane[i] = 0.3f * float(random.normal()) * (i % 4800 < 2400 ? 1.0f : 0.1f);
  return planes;
}

}  // namespace coil::test
