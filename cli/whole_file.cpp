// Writes a file through a part file.
#include "cli/whole_file.h"

#include "base/part_file.h"
#include "cli/failure.h"
#include "cli/interrupt.h"
#include "cli/text.h"

namespace coil::cli {

void write_whole_file(const std::filesystem::path& path, std::string_view content) {
  PartFile part(path);
  if (part.write(content) && part.commit()) return;
  throw_if_interrupted();  // while a pipe waited for its reader
  throw Failure(kFailed, in_quotes(path) + ": cannot be written: " + part.error());
}

}  // namespace coil::cli
