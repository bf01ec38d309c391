// Sessions, model files and sounds that the plugin's tests share.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "plugin/session.h"
#include "tests/support/planes.h"

namespace coil::test {

inline std::filesystem::path overdrive_path() {
  return std::filesystem::path(COIL_PRESETS_DIR) / "green_overdrive.safetensors";
}

// The overdrive in slot 0 with these controls, either only embedded or only as a file. Bypass, gate and normalisation
// are off.
plugin::Session overdrive_session(const std::map<std::string, float>& controls = {}, bool embedded = true);

// Noise with a beat, as input of a drive.
Planes noise(size_t channels, size_t frames);

}  // namespace coil::test
