// The files by which hosts set a plugin's state: VST3 presets and LV2 preset bundles.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace coil::cli {

// Steinberg's preset format with the component's state as its only chunk.
std::string vst3_preset(std::string_view state);

// Writes a bundle, a folder with the preset and a manifest, under its own URI. Throws Failure.
void write_lv2_bundle(const std::filesystem::path& folder, const std::string& name, std::string_view state);

}  // namespace coil::cli
