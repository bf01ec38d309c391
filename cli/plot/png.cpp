// Cairo's PNG writer, into memory.
#include "cli/plot/png.h"

#include <cairo.h>

#include "cli/failure.h"

namespace coil::cli {

std::string png_of(cairo_surface_t* surface) {
  std::string bytes;
  const auto append = [](void* to, const unsigned char* data, unsigned size) {
    static_cast<std::string*>(to)->append(reinterpret_cast<const char*>(data), size);
    return CAIRO_STATUS_SUCCESS;
  };
  const cairo_status_t status = cairo_surface_write_to_png_stream(surface, append, &bytes);
  if (status != CAIRO_STATUS_SUCCESS)
    throw Failure(kFailed, std::string("the picture cannot be made: ") + cairo_status_to_string(status));
  return bytes;
}

}  // namespace coil::cli
