// Runs code in an environment where system calls are forbidden.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace coil::test {

// filter: the kernel kills the process at its first system call (seccomp). tracer: this process traces it and reports
// the call (ptrace).
enum class Watch { filter, tracer };

// Runs `work` in a child process. Empty: no system calls; else a description. nullopt: not allowed on this machine.
std::optional<std::string> system_calls(Watch watch, const std::function<void()>& work);

}  // namespace coil::test
