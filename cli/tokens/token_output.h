// Writes the tokens of a language model, as ids or as text.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "cli/tokens/tokenizer.h"

namespace coil::cli {

// One thread at a time. All throw Error if standard output is closed.
class TokenOutput {
 public:
  virtual ~TokenOutput() = default;

  virtual void write(int32_t token) = 0;

  // `goes_on`: another output will continue with the bytes in held(), so they are not written now.
  virtual void finish(bool goes_on) = 0;
  virtual std::string held() const { return ""; }
};

// One id per line on standard output, immediately.
class IdOutput : public TokenOutput {
 public:
  void write(int32_t token) override;
  void finish(bool) override {}
};

// Text on standard output, immediately.
class TextOutput : public TokenOutput {
 public:
  explicit TextOutput(const Tokenizer& tokenizer) : writer_(tokenizer) {}

  // The text continues these tokens, or the held bytes of another output.
  void follow(const std::vector<int32_t>& prompt);
  void follow(const std::string& held) { writer_.go_on(held); }

  void write(int32_t token) override;
  void finish(bool goes_on) override;
  std::string held() const override { return writer_.held(); }

 private:
  TextWriter writer_;
};

}  // namespace coil::cli
