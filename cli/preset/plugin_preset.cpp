// Layouts of VST3 presets and LV2 preset bundles, and JUCE's base64.
#include "cli/preset/plugin_preset.h"

#include <array>
#include <cstdint>
#include <cstdio>
#include <system_error>

#include "cli/failure.h"
#include "cli/whole_file.h"

namespace coil::cli {
namespace fs = std::filesystem;
namespace {

// JUCE makes the class ID from the manufacturer's and the plugin's code, "Coil" and "Coi1" in plugin/CMakeLists.txt.
constexpr std::string_view kClassId = "ABCDEF019182FAEB436F696C436F6931";
constexpr std::string_view kLv2Plugin = "https://coil.invalid/plugin";

template <class Integer>
void append(std::string& to, Integer value) {  // little-endian
  for (size_t i = 0; i < sizeof value; ++i) to += static_cast<char>(static_cast<uint64_t>(value) >> (8 * i) & 255);
}

// JUCE's own base64: the size, a dot, then six bits a letter from the lowest bit of the first byte on.
std::string juce_base64(std::string_view bytes) {
  constexpr std::string_view kLetters = ".ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+";
  std::string text = std::to_string(bytes.size()) + ".";
  uint32_t waiting = 0;
  int bits = 0;
  for (const char byte : bytes) {
    waiting |= static_cast<uint32_t>(static_cast<uint8_t>(byte)) << bits;
    for (bits += 8; bits >= 6; bits -= 6, waiting >>= 6) text += kLetters[waiting & 63];
  }
  if (bits > 0) text += kLetters[waiting & 63];
  return text;
}

// A Turtle string.
std::string turtle_string(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c == '\n' || c == '\r' ? ' ' : c;
  }
  return result + '"';
}

// A name as part of a URI: letters and digits stay, all else is percent-encoded.
std::string encoded(std::string_view name) {
  std::string result;
  for (const char c : name) {
    char code[4];
    std::snprintf(code, sizeof code, "%%%02X", static_cast<unsigned>(static_cast<uint8_t>(c)));
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    result += plain ? std::string(1, c) : code;
  }
  return result;
}

}  // namespace

std::string vst3_preset(std::string_view state) {
  constexpr int64_t kHeaderBytes = 48;
  const auto size = static_cast<int64_t>(state.size());
  std::string file = "VST3";
  append(file, int32_t{1});
  file += kClassId;
  append(file, kHeaderBytes + size);  // where the list of chunks begins
  file += state;
  file += "List";
  append(file, int32_t{1});
  file += "Comp";
  append(file, kHeaderBytes);
  append(file, size);
  return file;
}

void write_lv2_bundle(const fs::path& folder, const std::string& name, std::string_view state) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw Failure(kFailed, folder.string() + ": cannot be made: " + error.message());
  const std::string prefixes =
      "@prefix lv2: <http://lv2plug.in/ns/lv2core#> .\n"
      "@prefix pset: <http://lv2plug.in/ns/ext/presets#> .\n"
      "@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .\n"
      "@prefix state: <http://lv2plug.in/ns/ext/state#> .\n\n";
  const std::string preset = "<" + std::string(kLv2Plugin) + "/preset/" + encoded(name) +
                             ">\n    a pset:Preset ;\n    lv2:appliesTo <" + std::string(kLv2Plugin) + "> ;\n";
  write_whole_file(folder / "preset.ttl", prefixes + preset + "    rdfs:label " + turtle_string(name) +
                                              " ;\n    state:state [ <" + std::string(kLv2Plugin) + ":StateString> " +
                                              turtle_string(juce_base64(state)) + " ] .\n");
  write_whole_file(folder / "manifest.ttl", prefixes + preset + "    rdfs:label " + turtle_string(name) +
                                                " ;\n    rdfs:seeAlso <preset.ttl> .\n");
}

}  // namespace coil::cli
