// Hashes, marks, and the removal of stale parts.
#include "cli/process/done_marker.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <set>

#include "cli/failure.h"
#include "cli/interrupt.h"
#include "base/part_file.h"
#include "cli/text.h"
#include "cli/whole_file.h"

namespace coil::cli {
namespace fs = std::filesystem;
namespace {

std::string hex(XXH128_hash_t hash) {
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text;
}

std::string hash_of_file(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) {
    throw Failure(kFailed,
                  in_quotes(path) + ": " +
                      (fs::exists(path, error) ? "is not a file" : "cannot be opened: No such file or directory"));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Failure(kFailed, in_quotes(path) + ": cannot be opened: " + std::strerror(errno));
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), XXH3_freeState);
  XXH3_128bits_reset(state.get());
  std::vector<char> block(1 << 20);
  do {
    throw_if_interrupted();
    file.read(block.data(), static_cast<std::streamsize>(block.size()));
    XXH3_128bits_update(state.get(), block.data(), static_cast<size_t>(file.gcount()));
  } while (file);
  if (file.bad()) throw Failure(kFailed, in_quotes(path) + ": cannot be read: " + std::strerror(errno));
  return hex(XXH3_128bits_digest(state.get()));
}

// What distinguishes this version of a file from another one with the same name.
std::optional<nlohmann::json> version_of(const fs::path& path) {
  struct stat found;
  if (::stat(path.c_str(), &found) != 0 || !S_ISREG(found.st_mode)) return std::nullopt;
  return nlohmann::json{{"bytes", found.st_size}, {"modified", {found.st_mtim.tv_sec, found.st_mtim.tv_nsec}}};
}

void sync(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool done = descriptor >= 0 && ::fsync(descriptor) == 0;
  const int reason = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (!done) throw Failure(kFailed, in_quotes(path) + ": writing failed: " + std::strerror(reason));
}

constexpr const char* kNote = "user.coil.source";
constexpr size_t kLongestNote = 1 << 14;

// `source` relative to the output's folder: it stays valid when the whole tree is moved.
std::string from_folder_of(const fs::path& output, const fs::path& source) {
  return own_path(source).lexically_relative(own_path(output).parent_path()).string();
}

// The source in a mark or a note, if it belongs to this version of the output.
std::optional<fs::path> source_in(const nlohmann::json& mark, const fs::path& output) {
  if (!mark.is_object() || !mark.contains("source") || !mark["source"].is_string()) return std::nullopt;
  return own_path(output.parent_path() / mark["source"].get<std::string>());
}

bool is_of_version(const nlohmann::json& mark, const fs::path& output) {
  const std::optional<nlohmann::json> version = version_of(output);
  return mark.is_object() && version && mark.value("output", nlohmann::json()) == *version;
}

fs::path marker_of(const fs::path& output) {
  return output.parent_path() / name_beside(output.parent_path(), output.filename().string(), ".", ".done");
}

}  // namespace

std::string work_key(const FileJob& job, const ProcessSettings& settings) {
  const nlohmann::json all = {
      {"program", COIL_VERSION},
      {"input", hash_of_file(job.in)},
      {"model", settings.rig ? settings.rig->hash() : settings.model->hash()},
      {"weights", settings.rig ? std::string() : ssm::to_string(settings.model->target().weights())},
      {"precision", settings.precision},
      {"controls", job.controls},
      {"rate_mode", static_cast<int>(settings.rate_mode)},
      {"container", job.format.container},
      {"extension", job.out.extension().string()},
      {"bits", job.format.bits},
      {"quality",
       job.format.quality ? nlohmann::json{job.format.quality->value, job.format.quality->is_kbits} : nlohmann::json()},
      {"rate", job.format.sample_rate_hz},
      {"gain_db", settings.gain_db},
      {"dither", settings.dither}};
  const std::string text = all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return hex(XXH3_128bits(text.data(), text.size()));
}

fs::path own_path(const fs::path& file) {
  std::error_code error;
  const fs::path folder = fs::weakly_canonical(file.has_parent_path() ? file.parent_path() : ".", error);
  return (error ? file.parent_path() : folder) / file.filename();
}

DoneMarker::DoneMarker(const fs::path& output) : output_(output), path_(marker_of(output)) {}

nlohmann::json DoneMarker::read() const {
  std::ifstream file(path_);
  nlohmann::json mark = nlohmann::json::parse(file, nullptr, false);
  return is_of_version(mark, output_) ? mark : nlohmann::json();
}

std::optional<nlohmann::json> DoneMarker::report_of(const std::string& key) const {
  const nlohmann::json mark = read();
  if (!mark.is_object() || mark.value("key", nlohmann::json()) != key || !mark.contains("report")) return std::nullopt;
  return mark["report"];
}

std::optional<fs::path> DoneMarker::source() const { return source_in(read(), output_); }

void DoneMarker::write(const std::string& key, const fs::path& source, const nlohmann::json& report) const {
  sync(output_);
  const nlohmann::json mark = {{"key", key},
                               {"output", version_of(output_).value_or(nlohmann::json())},
                               {"source", from_folder_of(output_, source)},
                               {"report", report}};
  write_whole_file(path_, mark.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

void note_source(const fs::path& output, const fs::path& source) {
  const nlohmann::json note = {{"source", from_folder_of(output, source)},
                               {"output", version_of(output).value_or(nlohmann::json())}};
  const std::string text = note.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  // Without a note the file is still valid.
  if (text.size() <= kLongestNote) ::setxattr(output.c_str(), kNote, text.data(), text.size(), 0);
}

std::optional<fs::path> source_of_output(const fs::path& output) {
  if (std::optional<fs::path> source = DoneMarker(output).source()) return source;
  std::string text(kLongestNote, '\0');
  const ssize_t size = ::getxattr(output.c_str(), kNote, text.data(), text.size());
  if (size <= 0) return std::nullopt;
  const nlohmann::json note = nlohmann::json::parse(text.substr(0, static_cast<size_t>(size)), nullptr, false);
  const std::optional<fs::path> source = is_of_version(note, output) ? source_in(note, output) : std::nullopt;
  // If the source no longer exists, this file is the only copy, and counts as a recording.
  std::error_code error;
  return source && fs::exists(*source, error) ? source : std::nullopt;
}

void remove_stale_parts(const std::vector<FileJob>& jobs) {
  std::map<fs::path, std::set<std::string>> stems;  // by folder
  for (const FileJob& job : jobs) {
    for (const fs::path& path : {job.out, marker_of(job.out)}) {
      const fs::path target = link_target(path);
      if (job.out != "-") stems[target.parent_path()].insert(PartFile::stem_of(target));
    }
  }
  for (const auto& [folder, here] : stems) {
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder.empty() ? "." : folder, error)) {
      if (here.contains(PartFile::stem_in(entry.path().filename().string()))) PartFile::remove_if_stale(entry.path());
    }
  }
}

}  // namespace coil::cli
