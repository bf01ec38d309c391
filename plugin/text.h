// Text between JUCE and the rest of the program: UTF-8, paths, words of the window, and what is wrong with a file.
#pragma once

#include <juce_core/juce_core.h>

#include <exception>
#include <string>

#include "base/error.h"

namespace coil::plugin {

inline juce::String from_utf8(const std::string& text) { return juce::String::fromUTF8(text.c_str()); }

// The same with a capital first letter.
inline juce::String capitalised(const juce::String& words) {
  return words.substring(0, 1).toUpperCase() + words.substring(1);
}

// "1 layer", "3 layers".
inline juce::String counted(int count, const juce::String& what) {
  return juce::String(count) + " " + what + (count == 1 ? "" : "s");
}

inline std::string path_of(const juce::File& file) { return file.getFullPathName().toStdString(); }

// What `use` says about the file if it throws, in one line; empty: it did not throw. Coil's own errors name the file.
std::string problem_of(const juce::File& file, auto&& use) {
  try {
    use();
    return {};
  } catch (const Error& error) {
    return error.what();
  } catch (const std::exception& error) {
    return path_of(file) + ": " + error.what();
  }
}

}  // namespace coil::plugin
