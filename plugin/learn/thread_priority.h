// Priorities of background threads and the cores that they use.
#pragma once

#include <cstddef>

namespace coil::plugin {

// From now on, the calling thread, and threads that it starts, get little time beside others of normal priority.
void give_way_to_most() noexcept;

// The same, but they run only on otherwise idle cores. There may be no way back.
void give_way_to_all() noexcept;

// The same threads avoid `core`, if others are available. Below 0: they may use all.
void stay_off_core(int core) noexcept;

// The core on which the calling thread runs; below 0: unknown. [audio-thread]
int present_core() noexcept;

// The number of cores that this process may use.
size_t usable_cores() noexcept;

// Keeps this code loaded until the process ends, for detached threads: a host may unload a plugin.
void stay_loaded() noexcept;

}  // namespace coil::plugin
