// Prints ids or text to standard output.
#include "cli/tokens/token_output.h"

#include <cstdio>

#include "base/error.h"

namespace coil::cli {
namespace {

void print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw Error("standard output is closed");
}

}  // namespace

void IdOutput::write(int32_t token) { print(std::to_string(token) + "\n"); }

void TextOutput::follow(const std::vector<int32_t>& prompt) {
  for (const int32_t token : prompt) writer_.add(token);
}

void TextOutput::write(int32_t token) { print(writer_.add(token)); }

void TextOutput::finish(bool goes_on) {
  if (!goes_on) print(writer_.finish());
}

}  // namespace coil::cli
