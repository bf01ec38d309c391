// Chooses a format by name or by a line.
#include "sensor/formats/format.h"

#include <algorithm>

namespace coil::sensor {

bool Format::stands_alone(std::string_view line) const {
  Record record;
  Open open;
  return !goes_on(line, open) && parse(line, record).empty();
}

bool Format::is_no_record(std::string_view line) const {
  if (!line.empty() && line[0] > '#') return false;
  return line.find_first_not_of(" \t\r\n\x1e") == std::string_view::npos || line.starts_with('#');
}

std::string_view find_repeated_name(const Record& record) {
  constexpr size_t kFew = 12;
  const std::vector<Field>& fields = record.fields;
  const auto is_same = [](const Field& a, const Field& b) { return a.is_tag == b.is_tag && a.name == b.name; };
  if (fields.size() <= kFew) {
    for (size_t i = 1; i < fields.size(); ++i) {
      for (size_t k = 0; k < i; ++k) {
        if (is_same(fields[i], fields[k])) return fields[i].name;
      }
    }
    return {};
  }
  std::vector<std::pair<std::string_view, bool>> names;
  for (const Field& field : fields) names.emplace_back(field.name, field.is_tag);
  std::sort(names.begin(), names.end());
  const auto found = std::adjacent_find(names.begin(), names.end());
  return found == names.end() ? std::string_view() : found->first;
}

std::unique_ptr<Format> make_format(std::string_view name, std::function<bool(std::string_view)> knows) {
  if (name == "ndjson") return make_ndjson();
  if (name == "csv") return make_csv(std::move(knows));
  if (name == "line") return make_line_protocol();
  return nullptr;
}

std::unique_ptr<Format> detect_format(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\x1e");
  if (begin == std::string_view::npos) return nullptr;
  const size_t inner = text[begin] == '[' ? text.find_first_not_of(" \t", begin + 1) : begin;
  if (inner == std::string_view::npos || text[inner] == '{') return make_ndjson();
  std::unique_ptr<Format> line_protocol = make_line_protocol();
  Record record;
  Format::Open open;
  if (line_protocol->goes_on(text, open) || line_protocol->parse(text, record).empty()) return line_protocol;
  return nullptr;
}

}  // namespace coil::sensor
