// Where a language model's tokens go: ids or text, on standard output.
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

  // Shows the token immediately.
  virtual void write(int32_t token) = 0;

  // What has to be kept so that another output goes on here; it ends with a whole character otherwise.
  virtual std::string held() const { return ""; }
  virtual void finish() {}
};

// One id per line.
class IdOutput : public TokenOutput {
 public:
  void write(int32_t token) override;
};

class TextOutput : public TokenOutput {
 public:
  explicit TextOutput(const Tokenizer& tokenizer) : writer_(tokenizer) {}

  // The text goes on after these tokens, or after what another output held.
  void follow(const std::vector<int32_t>& prompt);
  void follow(const std::string& held) { writer_.go_on(held); }

  void write(int32_t token) override;
  std::string held() const override { return writer_.held(); }
  void finish() override;

 private:
  TextWriter writer_;
};

}  // namespace coil::cli
