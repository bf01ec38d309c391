// Choosing a format by name or by looking at a line.
#include "sensor/formats/format.h"

namespace coil::sensor {

std::unique_ptr<Format> make_format(std::string_view name) {
  if (name == "ndjson") return make_ndjson();
  if (name == "csv") return make_csv();
  if (name == "line") return make_line_protocol();
  return nullptr;
}

std::unique_ptr<Format> detect_format(std::string_view first_line) {
  const size_t begin = first_line.find_first_not_of(" \t");
  if (begin != std::string_view::npos && first_line[begin] == '{') return make_ndjson();
  std::unique_ptr<Format> line_protocol = make_line_protocol();
  Record record;
  if (line_protocol->parse(first_line, record).empty()) return line_protocol;
  return make_csv();
}

}  // namespace coil::sensor
