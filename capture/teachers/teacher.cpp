// Identifies the kind of file, and reads the metadata that all kinds may contain.
#include "capture/teachers/teacher.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>

#include "base/json_fields.h"
#include "capture/teachers/nam_file.h"
#include "capture/teachers/proteus_file.h"
#include "capture/teachers/rtneural_file.h"

namespace coil::capture {
namespace {

using Json = nlohmann::json;

constexpr size_t kMostBytes = size_t{256} << 20;

std::string read_text(const std::filesystem::path& path, const std::string& where) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(where + " cannot be opened");
  std::error_code failed;
  const uintmax_t size = std::filesystem::file_size(path, failed);
  if (failed) throw Error(where + " cannot be read: " + failed.message());
  if (size > kMostBytes) throw Error(where + " is too large to be a capture");
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
  return text;
}

Teacher read_any(const Json& json, const std::string& where) {
  if (!json.is_object()) throw Error(where + " must be a JSON object");
  if (json.contains("architecture") || json.contains("weights")) return read_nam(json, where);
  if (json.contains("model_data") && json.contains("state_dict")) return read_proteus(json, where);
  if (json.contains("in_shape") && json.contains("layers")) return read_rtneural(json, where);
  throw NotACapture(where +
                    " is not a capture that Coil knows: a .nam file has 'architecture', 'config' and 'weights', one " +
                    "of AIDA-X 'in_shape' and 'layers', one of Proteus 'model_data' and 'state_dict'");
}

// All places where such files are known to state a licence.
std::string licence_in(const Json& json) {
  for (const Json* place : {&json, json.contains("metadata") ? &json["metadata"] : &json}) {
    if (!place->is_object()) continue;
    for (const char* key : {"licence", "license", "License", "copyright"}) {
      if (place->contains(key) && (*place)[key].is_string()) return (*place)[key];
    }
  }
  return "";
}

}  // namespace

bool is_teacher_name(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  std::ranges::transform(ending, ending.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return ending == ".nam" || ending == ".json" || ending == ".aidax";
}

Teacher read_teacher(const std::filesystem::path& path) {
  const std::string where = "'" + path.string() + "'";
  const Json json = parse_json(read_text(path, where), where);
  Teacher teacher = read_any(json, where);
  if (teacher.network->inputs() != teacher.knobs + 1 || teacher.network->outputs() != 1) {
    throw Error(where + " has " + std::to_string(teacher.network->inputs()) + " channels in and " +
                std::to_string(teacher.network->outputs()) + " out; only captures of one channel can be converted");
  }
  if (!(teacher.sample_rate_hz >= 8000 && teacher.sample_rate_hz <= 768000))
    throw Error(where + " has a sample rate that no sound has");
  teacher.licence = licence_in(json);
  return teacher;
}

}  // namespace coil::capture
