// File signatures, and the keys that identify JSON files.
#include "ssm/model/foreign_file.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

namespace coil::ssm {

namespace {

using std::string_view_literals::operator""sv;

constexpr const char* kUnpack = "; unpack it first";
constexpr const char* kExport = "; save the weights with the package safetensors";
constexpr const char* kOtherProgram = ", which Coil does not read";
constexpr const char* kCapture = "; `coil capture FILE -o MODEL.safetensors` makes a model of it";
constexpr const char* kSound = ": sound, not a model";

struct Signature {
  size_t offset;
  std::string_view bytes;
  const char* what;
  const char* hint;
};

// If several match, the first one counts.
constexpr Signature kSignatures[] = {
    {0, "version https://git-lfs.github.com/spec/"sv, "a Git LFS pointer",
     ", not the file itself; `git lfs pull` fetches it"},
    {0, "version https://hawser.github.com/spec/"sv, "a Git LFS pointer",
     ", not the file itself; `git lfs pull` fetches it"},
    {0, "/annex/objects/"sv, "a git-annex pointer", ", not the file itself; `git annex get` fetches it"},
    {0, "coil stream state "sv, "the state of `coil stream`", ", not a model"},
    {0, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"sv, "a PyTorch checkpoint (pickle)", kExport},
    {0, "\x1f\x8b"sv, "a gzip archive", kUnpack},
    {0, "BZh"sv, "a bzip2 archive", kUnpack},
    {0, "\xfd\x37zXZ\0"sv, "an xz archive", kUnpack},
    {0, "\x28\xb5\x2f\xfd"sv, "a zstd archive", kUnpack},
    {0, "7z\xbc\xaf\x27\x1c"sv, "a 7z archive", kUnpack},
    {0, "Rar!\x1a\x07"sv, "a RAR archive", kUnpack},
    {257, "ustar"sv, "a tar archive", kUnpack},
    {0, "\x89HDF\r\n\x1a\n"sv, "an HDF5 file (Keras)", kOtherProgram},
    {0, "\x93NUMPY"sv, "a NumPy array", ", not a model"},
    {0, "GGUF"sv, "a GGUF file (llama.cpp)", kOtherProgram},
    {4, "TFL3"sv, "a TensorFlow Lite model", kOtherProgram},
    {8, "WAVE"sv, "a WAV file", kSound},
    {8, "AIFF"sv, "an AIFF file", kSound},
    {8, "AIFC"sv, "an AIFF file", kSound},
    {0, "fLaC"sv, "a FLAC file", kSound},
    {0, "OggS"sv, "an Ogg file", kSound},
    {0, "caff"sv, "a CAF file", kSound},
    {0, "ID3"sv, "an MP3 file", kSound},
    {0, "\xff\xfb"sv, "an MP3 file", kSound},
    {0, "\x89PNG\r\n"sv, "a PNG picture", ", not a model"},
    {0, "\xff\xd8\xff"sv, "a JPEG picture", ", not a model"},
    {0, "%PDF-"sv, "a PDF document", ", not a model"},
    {0,
     "\x7f"
     "ELF"sv,
     "a program", ", not a model"},
};

bool starts_without_case(std::string_view text, std::string_view begin) {
  return text.size() >= begin.size() && std::equal(begin.begin(), begin.end(), text.begin(), [](char a, char b) {
           return a == std::tolower(static_cast<unsigned char>(b));
         });
}

// The names of entries stand at the beginning, and in the list at the end.
std::string describe_zip(std::string_view content) {
  constexpr size_t kLooked = 1 << 17;
  const std::string_view begin = content.substr(0, kLooked),
                         end = content.substr(content.size() - std::min(content.size(), kLooked));
  const auto has = [&](std::string_view name) { return begin.find(name) != begin.npos || end.find(name) != end.npos; };
  if (has("data.pkl")) return std::string("a PyTorch checkpoint (pickle in a zip archive)") + kExport;
  if (has(".npy")) return "NumPy arrays (.npz), not a model";
  return std::string("a zip archive") + kUnpack;
}

std::string describe_json(std::string_view content) {
  std::set<std::string> keys;
  const auto watch = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    if (event == nlohmann::json::parse_event_t::key && depth == 1) keys.insert(value.get<std::string>());
    return depth <= 1;
  };
  const bool is_whole = !nlohmann::json::parse(content.begin(), content.end(), watch, false).is_discarded();
  if (!is_whole && keys.empty()) return {};
  const auto has = [&](const char* key) { return keys.contains(key); };
  if (has("architecture") && (has("config") || has("weights")))
    return std::string("a Neural Amp Modeler file (.nam)") + kCapture;
  if (has("layers") && has("in_shape")) return std::string("an RTNeural file (JSON, as AIDA-X has it)") + kCapture;
  if (has("state_dict"))
    return std::string("weights as JSON (as Proteus and other GuitarML programs have them)") + kCapture;
  if (has("weight_map")) return "the index of a sharded checkpoint; give the folder that contains it";
  if (has("model_type") || has("architectures"))
    return "a config without weights (JSON); give the folder that contains it";
  return "a JSON file, not a model";
}

bool is_utf8_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) >= ' ' || c == '\n' || c == '\r' || c == '\t';
  });
}

std::string describe_text(std::string_view content) {
  constexpr size_t kLooked = 512, kShown = 40;
  constexpr std::string_view kBlank = " \t\r\n";
  std::string_view text = content;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  text.remove_prefix(std::min(text.find_first_not_of(kBlank), text.size()));
  if (starts_without_case(text, "<!doctype html") || starts_without_case(text, "<html")) {
    return "an HTML page, not a model; what the page links to has to be downloaded, not the page";
  }
  if (text.starts_with("{") || text.starts_with("[")) {
    if (std::string json = describe_json(text); !json.empty()) return json;
  }
  if (text.starts_with("<?xml")) return "an XML file, not a model";
  if (text.empty() || !is_utf8_text(text.substr(0, kLooked))) return {};
  std::string line(text.substr(0, std::min(text.find_first_of("\r\n"), kShown)));
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\t' || static_cast<unsigned char>(c) > '~'; }, '?');
  return "text, not a model; it begins with \"" + line + "\"";
}

// An ONNX ModelProto has no signature: check for the version of its format, followed by one of the other fields.
bool is_onnx(std::string_view content) {
  constexpr std::string_view kFields = "\x12\x1a\x22\x28\x32\x3a\x42";
  return content.size() > 16 && content[0] == '\x08' && content[1] > 0 && content[1] < 32 &&
         kFields.find(content[2]) != kFields.npos;
}

}  // namespace

std::string describe_foreign_file(std::span<const std::byte> bytes) {
  const std::string_view content(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (const Signature& signature : kSignatures) {
    if (content.size() >= signature.offset && content.substr(signature.offset).starts_with(signature.bytes)) {
      return std::string(signature.what) + signature.hint;
    }
  }
  if (content.starts_with("PK\3\4") || content.starts_with("PK\5\6")) return describe_zip(content);
  if (content.size() > 1 && content[0] == '\x80' && content[1] >= 2 && content[1] <= 5)
    return std::string("a Python pickle") + kExport;
  if (is_onnx(content)) return std::string("an ONNX model") + kOtherProgram;
  constexpr size_t kLooked = 4096;
  const std::string_view begin = content.substr(0, kLooked);
  if (!begin.empty() && begin.find_first_not_of('\0') == begin.npos)
    return "nothing but zeros: a copy or download that did not get through";
  return describe_text(content);
}

}  // namespace coil::ssm
