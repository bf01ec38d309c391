// Folders, manifests, shards, and what cannot be meant.
#include "cli/process/file_list.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/failure.h"
#include "cli/models.h"
#include "cli/text.h"

namespace coil::cli {
namespace fs = std::filesystem;
namespace {

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

fs::path real_path(const fs::path& path) {
  std::error_code error;
  fs::path result = fs::weakly_canonical(path, error);
  return error ? path : result;
}

// Sound files below `folder`, in order of their names, without hidden ones and without what lies in the output folder.
std::vector<fs::path> files_below(const fs::path& folder, const fs::path& output) {
  std::vector<fs::path> files;
  const fs::path skipped = real_path(output);
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, fs::directory_options::skip_permission_denied, error), end;
  if (error) throw Failure(kFailed, in_quotes(folder) + ": cannot be read: " + error.message());
  for (; entry != end; entry.increment(error)) {
    if (error) throw Failure(kFailed, in_quotes(folder) + ": cannot be read: " + error.message());
    const bool hidden = entry->path().filename().string().front() == '.';
    if (entry->is_directory(error)) {
      if (hidden || real_path(entry->path()) == skipped) entry.disable_recursion_pending();
    } else if (!hidden && entry->is_regular_file(error) && is_sound_file_name(entry->path())) {
      files.push_back(entry->path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

// No input is replaced, no two outputs are one, and nothing but files is written to. Throws Failure.
void check_outputs(const std::vector<FileJob>& jobs) {
  std::map<fs::path, fs::path> origin;  // of each output
  std::set<fs::path> inputs;
  for (const FileJob& job : jobs) inputs.insert(real_path(job.in));
  for (const FileJob& job : jobs) {
    if (job.out == "-") continue;
    const fs::path out = real_path(job.out);
    if (inputs.contains(out)) {
      throw Failure(kUsage, in_quotes(job.out) + ": the output would replace an input; choose another output");
    }
    const auto [other, is_new] = origin.emplace(out, job.in);
    if (!is_new) {
      throw Failure(kUsage, in_quotes(other->second) + " and " + in_quotes(job.in) + " would both be written to " + in_quotes(job.out) +
                                "; process them into different folders");
    }
    std::error_code error;
    if (fs::exists(job.out, error) && !fs::is_regular_file(job.out, error)) {
      throw Failure(kUsage, in_quotes(job.out) + ": is not a regular file; for a stream use -o -");
    }
  }
}

// One line of a manifest. Throws Failure without the place.
FileJob parse_line(const std::string& line, const FormatRequest& format, const ssm::Model& model, std::vector<std::string> settings) {
  const auto wrong = [](const std::string& what) { return Failure(kUsage, what); };
  nlohmann::json object;
  try {
    object = nlohmann::json::parse(line);
  } catch (const nlohmann::json::exception&) {
    throw wrong("is not JSON; expected {\"input\": \"a.wav\", \"output\": \"b.wav\"}");
  }
  if (!object.is_object()) throw wrong("is not a JSON object; expected {\"input\": \"a.wav\", \"output\": \"b.wav\"}");
  for (const auto& [key, value] : object.items()) {
    if (key != "input" && key != "output" && key != "set") throw wrong("unknown field '" + key + "'; the fields are: input, output, set");
  }
  const auto path = [&](const char* key) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_string() || found->get_ref<const std::string&>().empty()) {
      throw wrong(std::string("the field '") + key + "' must be the path of a file");
    }
    if (*found == "-") throw wrong(std::string("the field '") + key + "' must be a file; streams have no place in a manifest");
    return fs::path(found->get<std::string>());
  };
  FileJob job{path("input"), path("output"), true, {}};
  if (format.container.empty() && !is_sound_file_name(job.out)) {
    throw wrong("cannot tell the format of " + in_quotes(job.out) + " from its extension; give one such as .wav, or use --format");
  }
  if (const auto set = object.find("set"); set != object.end()) {
    if (!set->is_object()) throw wrong("the field 'set' must be an object of controls and numbers, such as {\"drive\": 7}");
    for (const auto& [name, value] : set->items()) {
      if (!value.is_number()) throw wrong("the control '" + name + "' must be a number");
      settings.push_back(name + "=" + value.dump());
    }
  }
  job.controls = control_values(model, settings);
  return job;
}

}  // namespace

std::vector<FileJob> list_inputs(const std::vector<std::string>& inputs, const std::string& output_name, const FormatRequest& format,
                                 const std::vector<float>& controls) {
  std::vector<FileJob> jobs;
  const fs::path output = output_name;
  const bool stream_in = std::find(inputs.begin(), inputs.end(), "-") != inputs.end();
  const bool names_folder = is_folder(output) || output_name.ends_with('/');
  const bool to_folder = inputs.size() > 1 || is_folder(inputs.front()) || names_folder;
  if (stream_in && inputs.size() > 1) throw Failure(kUsage, "'-' (standard input) must be the only input");
  if (stream_in && to_folder) throw Failure(kUsage, "-o " + output_name + ": standard input needs a file or '-' as output, not a folder");
  if (to_folder && output_name == "-") throw Failure(kUsage, "-o -: only a single file can go to standard output");

  if (!to_folder) {
    if (output_name != "-" && format.container.empty() && !is_sound_file_name(output)) {
      throw Failure(kUsage, "-o " + output_name + ": cannot tell the format from the extension; give one such as .wav, or use --format");
    }
    jobs.push_back({inputs.front(), output, false, controls});
  } else {
    const auto target = [&](fs::path relative) {
      if (!format.container.empty()) relative.replace_extension(extension_of_container(format.container));
      return output / relative;
    };
    for (const std::string& input : inputs) {
      if (!is_folder(input)) {
        jobs.push_back({input, target(fs::path(input).filename()), true, controls});
        continue;
      }
      const std::vector<fs::path> files = files_below(input, output);
      if (files.empty()) throw Failure(kUsage, in_quotes(input) + ": no sound files in this folder");
      for (const fs::path& file : files) jobs.push_back({file, target(file.lexically_relative(input)), true, controls});
    }
  }
  check_outputs(jobs);
  return jobs;
}

std::vector<FileJob> list_manifest(const std::string& manifest, const FormatRequest& format, const ssm::Model& model,
                                   const std::vector<std::string>& settings) {
  const bool from_stream = manifest == "-";
  std::ifstream file;
  if (!from_stream) file.open(manifest);
  std::istream& in = from_stream ? std::cin : file;
  const std::string name = from_stream ? "standard input" : in_quotes(manifest);
  if (!in || is_folder(manifest)) throw Failure(kUsage, "--manifest " + manifest + ": cannot be read; expected a file with one JSON object a line");

  std::vector<FileJob> jobs;
  std::map<fs::path, int> line_of;  // of each output
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string place = name + ", line " + std::to_string(number) + ": ";
    try {
      jobs.push_back(parse_line(line, format, model, settings));
    } catch (const Failure& failure) {
      throw Failure(kUsage, place + failure.what());
    }
    const auto [other, is_new] = line_of.emplace(jobs.back().out.lexically_normal(), number);
    if (!is_new) throw Failure(kUsage, place + "the output " + in_quotes(jobs.back().out) + " is also that of line " + std::to_string(other->second));
  }
  if (jobs.empty()) throw Failure(kUsage, name + ": no files; expected one JSON object a line");
  check_outputs(jobs);
  return jobs;
}

Shard parse_shard(const std::string& text) {
  Shard shard;
  const char* const end = text.data() + text.size();
  const auto index = std::from_chars(text.data(), end, shard.index);
  bool right = index.ec == std::errc() && index.ptr != end && *index.ptr == '/';
  if (right) {
    const auto count = std::from_chars(index.ptr + 1, end, shard.count);
    right = count.ec == std::errc() && count.ptr == end;
  }
  if (!right || shard.index < 0 || shard.index >= shard.count) {
    throw Failure(kUsage, "--shard " + text + ": expected INDEX/COUNT with an index from 0 to COUNT - 1, for example 0/4");
  }
  return shard;
}

std::vector<FileJob> take_shard(std::vector<FileJob> jobs, Shard shard) {
  std::ranges::sort(jobs, {}, [](const FileJob& job) { return job.out.string(); });
  std::vector<FileJob> taken;
  for (size_t i = static_cast<size_t>(shard.index); i < jobs.size(); i += static_cast<size_t>(shard.count)) taken.push_back(std::move(jobs[i]));
  return taken;
}

}  // namespace coil::cli
