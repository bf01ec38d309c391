// Runs a piece of code where no system call is allowed.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace coil::test {

// filter: the kernel kills the process at its first system call (seccomp). tracer: this process watches, and says which
// call it was (ptrace).
enum class Watch { filter, tracer };

// Runs `work` in a child process. Empty: it came back without a system call; else what happened. nullopt: not allowed
// on this machine.
std::optional<std::string> system_calls(Watch watch, const std::function<void()>& work);

}  // namespace coil::test
