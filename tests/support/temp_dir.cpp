// A separate directory for each test, in the system's temporary folder.
#include "tests/support/temp_dir.h"

#include <cstdlib>
#include <stdexcept>

namespace coil::test {

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "coil-test-XXXXXX").string();
  if (!mkdtemp(pattern.data())) throw std::runtime_error("cannot make a directory like " + pattern);
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace coil::test
