// A drawn surface as the bytes of a PNG file.
#pragma once

#include <string>

typedef struct _cairo_surface cairo_surface_t;

namespace coil::cli {

// Throws Failure. [any thread]
std::string png_of(cairo_surface_t* surface);

}  // namespace coil::cli
