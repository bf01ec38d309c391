// Which threads give way to which, on which cores they run, and what they need there.
#pragma once

#include <cstddef>

namespace coil::plugin {

// The calling thread, and those that it starts from now on, run only where nobody else wants the processor.
void give_way_to_all() noexcept;

// The same threads stay away from `core`, if there are others that they may use. Below 0: they may use all.
void stay_off_core(int core) noexcept;

// On which the calling thread runs now; below 0: the system does not say. [audio-thread]
int present_core() noexcept;

// That this process may use.
size_t usable_cores() noexcept;

// The code that runs now stays in memory until the process ends, for threads that nobody waits for: a host may unload
// a plugin.
void stay_loaded() noexcept;

}  // namespace coil::plugin
