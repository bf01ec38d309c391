// Encodes a drawn surface as a PNG file in memory.
#pragma once

#include <string>

typedef struct _cairo_surface cairo_surface_t;

namespace coil::cli {

// Throws Failure. [any thread]
std::string png_of(cairo_surface_t* surface);

}  // namespace coil::cli
