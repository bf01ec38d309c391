// Exit codes of the program, and the exceptions that carry them to main().
#pragma once

#include <stdexcept>
#include <string>

namespace coil::cli {

enum ExitCode : int {
  kOk = 0,
  kFailed = 1,        // a file could not be processed, or a verification failed
  kUsage = 2,         // wrong options or arguments; nothing was done
  kModelFailed = 3,   // the model cannot be found or loaded
  kNoDevice = 4,      // --device cuda, and no GPU can be used
  kFound = 5,         // --fail-on found what it names
  kUndelivered = 6,   // events of --exec or --webhook were lost; the results are complete
  kInterrupted = 130  // Ctrl-C, or a request to end
};

// what() is one line: what was wrong with which file, field or option, and what would be right.
class Failure : public std::runtime_error {
 public:
  Failure(ExitCode exit_code, const std::string& message) : std::runtime_error(message), exit_code_(exit_code) {}
  ExitCode exit_code() const { return exit_code_; }

 private:
  ExitCode exit_code_;
};

// Thrown if work is abandoned because of a signal.
class Interrupted : public Failure {
 public:
  Interrupted() : Failure(kInterrupted, "interrupted") {}
};

}  // namespace coil::cli
