// Folders, manifests and shards, and checks for arrangements that cannot work.
#include "cli/process/file_list.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "base/part_file.h"
#include "cli/failure.h"
#include "cli/models.h"
#include "cli/process/done_marker.h"
#include "cli/process/folder_walk.h"
#include "cli/process/output_names.h"
#include "cli/sound/sound_writer.h"
#include "cli/text.h"

namespace coil::cli {
namespace fs = std::filesystem;
namespace {

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

// Checks that no input is replaced, no two outputs are the same, and outputs are only files, pipes and devices. Throws
// Failure.
void check_outputs(const std::vector<FileJob>& jobs) {
  std::vector<std::pair<fs::path, fs::path>> names;
  for (const FileJob& job : jobs) {
    names.emplace_back(job.in, job.out);
    std::error_code error;
    if (job.out == "-" || !fs::exists(job.out, error) || fs::is_regular_file(job.out, error) || takes_bytes(job.out))
      continue;
    throw Failure(kUsage, in_quotes(job.out) + (is_folder(job.out) ? ": is a folder; choose another output"
                                                                   : ": is a disk; choose another output"));
  }
  check_output_names(names);
}

// Whether a file needs --format: its name does not imply one, and it is not a stream, which gets WAV.
bool lacks_format(const fs::path& out, const FormatRequest& format) {
  return format.container.empty() && !is_stream_output(out) && !is_sound_file_name(out);
}

bool is_below(const fs::path& path, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
}

// Whether an earlier run made the job's input from one of `sources`, files and folders.
bool is_earlier_output(const FileJob& job, const std::vector<fs::path>& sources) {
  const std::optional<fs::path> source = source_of_output(job.in);
  return source && *source != own_path(job.in) &&
         std::ranges::any_of(sources, [&](const fs::path& folder) { return is_below(*source, folder); });
}

// The explicitly named files that this run will overwrite.
bool is_output_of_another(const FileJob& job, const std::set<fs::path>& outputs) {
  return outputs.contains(own_path(job.in));
}

// Removes earlier outputs from `jobs` and counts them.
void leave_out_earlier_outputs(FileList& list, std::vector<FileJob>& found, const std::vector<fs::path>& sources) {
  std::set<fs::path> outputs;
  for (const FileJob& job : list.files) outputs.insert(own_path(job.out));
  const auto left_out = std::erase_if(found, [&](const FileJob& job) { return is_earlier_output(job, sources); }) +
                        std::erase_if(list.files, [&](const FileJob& job) {
                          return is_output_of_another(job, outputs) && is_earlier_output(job, sources);
                        });
  list.earlier_outputs = static_cast<int>(left_out);
}

// Lists sound files whose outputs go into a folder. Throws Failure.
FileList list_into_folder(const std::vector<std::string>& inputs, const fs::path& output, const FormatRequest& format,
                          const std::vector<float>& controls) {
  const auto target = [&](fs::path relative) {
    if (!format.container.empty()) relative.replace_extension(extension_of_container(format.container));
    return output / relative;
  };
  FileList list;
  std::vector<FileJob> found;
  std::vector<fs::path> sources;
  for (const std::string& input : inputs) {
    if (!is_folder(input)) {
      list.files.push_back({input, target(fs::path(input).filename()), true, controls, format});
      sources.push_back(own_path(input));
      continue;
    }
    const FolderFiles below = files_below(input, output);
    if (below.files.empty() && !below.unreadable.empty()) throw Failure(kFailed, below.unreadable.front());
    if (below.files.empty()) throw Failure(kUsage, in_quotes(input) + ": no sound files in this folder");
    for (const fs::path& file : below.files)
      found.push_back({file, target(file.lexically_relative(input)), true, controls, format});
    list.other_endings += below.other_endings;
    list.unreadable.insert(list.unreadable.end(), below.unreadable.begin(), below.unreadable.end());
    std::error_code error;
    for (const fs::path& folder : below.folders) sources.push_back(fs::weakly_canonical(folder, error));
  }
  leave_out_earlier_outputs(list, found, sources);
  list.files.insert(list.files.end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
  if (list.files.empty())
    throw Failure(kUsage, in_quotes(inputs.front()) + ": nothing but outputs of earlier runs in this folder");
  return list;
}

// The fields `quality` and `rate` of a manifest's line. Throws Failure without file name and line number.
void read_encoding(const nlohmann::json& line, FormatRequest& format) {
  if (const auto quality = line.find("quality"); quality != line.end()) {
    if (!quality->is_number() && !quality->is_string())
      throw Failure(kUsage, "the field 'quality' must be a number, or a text such as \"192k\"");
    format.quality = parse_quality(quality->is_string() ? quality->get<std::string>() : quality->dump());
  }
  if (const auto rate = line.find("rate"); rate != line.end()) {
    if (!rate->is_number_integer() || *rate < kLowestRateHz || *rate > kHighestRateHz) {
      throw Failure(kUsage, "the field 'rate' must be a whole number from " + std::to_string(kLowestRateHz) + " to " +
                                std::to_string(kHighestRateHz));
    }
    format.sample_rate_hz = rate->get<int>();
  }
}

// One line of a manifest. Throws Failure without file name and line number.
FileJob parse_line(const std::string& line, const FormatRequest& format, const ssm::Model* model,
                   std::vector<std::string> settings) {
  const auto wrong = [](const std::string& what) { return Failure(kUsage, what); };
  nlohmann::json object;
  try {
    object = nlohmann::json::parse(line);
  } catch (const nlohmann::json::exception&) {
    throw wrong("is not JSON; expected {\"input\": \"a.wav\", \"output\": \"b.wav\"}");
  }
  if (!object.is_object()) throw wrong("is not a JSON object; expected {\"input\": \"a.wav\", \"output\": \"b.wav\"}");
  for (const auto& [key, value] : object.items()) {
    if (key != "input" && key != "output" && key != "set" && key != "quality" && key != "rate") {
      throw wrong("unknown field '" + key + "'; the fields are: input, output, set, quality, rate");
    }
  }
  const auto path = [&](const char* key) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_string() || found->get_ref<const std::string&>().empty()) {
      throw wrong(std::string("the field '") + key + "' must be the path of a file");
    }
    if (*found == "-")
      throw wrong(std::string("the field '") + key + "' must be a file; streams have no place in a manifest");
    return fs::path(found->get<std::string>());
  };
  FileJob job{path("input"), path("output"), true, {}, format};
  if (lacks_format(job.out, format)) {
    throw wrong("cannot tell the format of " + in_quotes(job.out) +
                " from its extension; give one such as .wav, or use --format");
  }
  if (const auto set = object.find("set"); set != object.end()) {
    if (!set->is_object())
      throw wrong("the field 'set' must be an object of controls and numbers, such as {\"drive\": 7}");
    for (const auto& [name, value] : set->items()) {
      if (!value.is_number()) throw wrong("the control '" + name + "' must be a number");
      settings.push_back(name + "=" + value.dump());
    }
  }
  if (!model && !settings.empty())
    throw wrong("the field 'set' belongs to --model; the stages of --chain have their controls in its file");
  if (model) job.controls = control_values(*model, settings);
  read_encoding(object, job.format);
  return job;
}

}  // namespace

FileList list_inputs(const std::vector<std::string>& inputs, const std::string& output_name,
                     const FormatRequest& format, const std::vector<float>& controls) {
  const fs::path output = output_name;
  const bool stream_in = std::find(inputs.begin(), inputs.end(), "-") != inputs.end();
  const bool names_folder = is_folder(output) || output_name.ends_with('/');
  const bool to_folder = inputs.size() > 1 || is_folder(inputs.front()) || names_folder;
  if (stream_in && inputs.size() > 1) throw Failure(kUsage, "'-' (standard input) must be the only input");
  if (stream_in && to_folder)
    throw Failure(kUsage, "-o " + output_name + ": standard input needs a file or '-' as output, not a folder");
  if (to_folder && output_name == "-") throw Failure(kUsage, "-o -: only a single file can go to standard output");
  if (to_folder && takes_bytes(output))
    throw Failure(kUsage, "-o " + output_name + ": only a single file can go to a pipe or a device");

  std::error_code error;
  if (to_folder && fs::exists(output, error) && !is_folder(output)) {
    throw Failure(kUsage, "-o " + output_name + ": is a file; " +
                              (inputs.size() > 1 ? "several inputs need" : "a folder needs") + " a folder as output");
  }

  FileList list;
  if (to_folder) {
    list = list_into_folder(inputs, output, format, controls);
  } else {
    if (lacks_format(output, format)) {
      throw Failure(kUsage, "-o " + output_name +
                                ": cannot tell the format from the extension; give one such as .wav, or use --format");
    }
    list.files.push_back({inputs.front(), output, false, controls, format});
  }
  check_outputs(list.files);
  return list;
}

FileList list_manifest(const std::string& manifest, const FormatRequest& format, const ssm::Model* model,
                       const std::vector<std::string>& settings) {
  const bool from_stream = manifest == "-";
  std::ifstream file;
  if (!from_stream) file.open(manifest);
  std::istream& in = from_stream ? std::cin : file;
  const std::string name = from_stream ? "standard input" : in_quotes(manifest);
  if (!in || is_folder(manifest))
    throw Failure(kUsage, "--manifest " + manifest + ": cannot be read; expected a file with one JSON object a line");

  FileList list;
  std::vector<FileJob>& jobs = list.files;
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
    if (takes_bytes(jobs.back().out)) continue;
    const auto [other, is_new] = line_of.emplace(jobs.back().out.lexically_normal(), number);
    if (!is_new)
      throw Failure(kUsage, place + "the output " + in_quotes(jobs.back().out) + " is also that of line " +
                                std::to_string(other->second));
  }
  if (jobs.empty()) throw Failure(kUsage, name + ": no files; expected one JSON object a line");
  check_outputs(jobs);
  return list;
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
    throw Failure(kUsage,
                  "--shard " + text + ": expected INDEX/COUNT with an index from 0 to COUNT - 1, for example 0/4");
  }
  return shard;
}

std::vector<FileJob> take_shard(std::vector<FileJob> jobs, Shard shard) {
  std::ranges::sort(jobs, {}, [](const FileJob& job) { return job.out.string(); });
  std::vector<FileJob> taken;
  for (size_t i = static_cast<size_t>(shard.index); i < jobs.size(); i += static_cast<size_t>(shard.count))
    taken.push_back(std::move(jobs[i]));
  return taken;
}

}  // namespace coil::cli
