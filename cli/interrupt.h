// Handles Ctrl-C: the signal handler sets a flag, and the working loops check it.
#pragma once

namespace coil::cli {

// From now on SIGINT, SIGTERM and SIGHUP set the flag instead of ending the program, and writing to a closed pipe, or
// beyond the size that `ulimit -f` allows, is an error like any other. A second signal ends the program at once.
// [main-thread]
void catch_interrupts();

// From now on SIGHUP does not end the program. Instead, asked_to_reload() returns true once for each. [main-thread]
void catch_reload();
bool asked_to_reload() noexcept;  // [any thread]

bool interrupted() noexcept;  // [any thread]
void throw_if_interrupted();  // throws Interrupted [any thread]

}  // namespace coil::cli
