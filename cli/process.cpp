// `coil process`: options, the list of files, and the workers that go through it.
#include "cli/process.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "cli/failure.h"
#include "cli/interrupt.h"
#include "cli/models.h"
#include "cli/process_file.h"
#include "cli/progress.h"
#include "cli/text.h"
#include "dsp/model_processor.h"
#include "ssm/error.h"

namespace coil::cli {
namespace fs = std::filesystem;
namespace {

struct ProcessOptions {
  std::vector<std::string> inputs;
  std::string output, model, weights = "f32", rate_scaling;
  std::vector<std::string> settings;
  FormatRequest format;
  double gain_db = 0;
  int block_frames = ProcessSettings{}.block_frames;
  int jobs = 0;
  bool no_dither = false, json = false, quiet = false;
};

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
      throw Failure(kUsage, in_quotes(job.out) + ": the output would replace an input; choose another -o");
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

// Which file becomes which. Throws Failure for arrangements that cannot be meant.
std::vector<FileJob> list_jobs(const ProcessOptions& options) {
  std::vector<FileJob> jobs;
  const fs::path output = options.output;
  const bool stream_in = std::find(options.inputs.begin(), options.inputs.end(), "-") != options.inputs.end();
  const bool names_folder = is_folder(output) || options.output.ends_with('/');
  const bool to_folder = options.inputs.size() > 1 || is_folder(options.inputs.front()) || names_folder;
  if (stream_in && options.inputs.size() > 1) throw Failure(kUsage, "'-' (standard input) must be the only input");
  if (stream_in && to_folder) throw Failure(kUsage, "-o " + options.output + ": standard input needs a file or '-' as output, not a folder");
  if (to_folder && options.output == "-") throw Failure(kUsage, "-o -: only a single file can go to standard output");

  if (!to_folder) {
    if (options.output != "-" && options.format.container.empty() && !is_sound_file_name(output)) {
      throw Failure(kUsage, "-o " + options.output + ": cannot tell the format from the extension; give one such as .wav, or use --format");
    }
    jobs.push_back({options.inputs.front(), output});
  } else {
    const auto target = [&](fs::path relative) {
      if (!options.format.container.empty()) relative.replace_extension(extension_of_container(options.format.container));
      return output / relative;
    };
    for (const std::string& input : options.inputs) {
      if (!is_folder(input)) {
        jobs.push_back({input, target(fs::path(input).filename()), true});
        continue;
      }
      const std::vector<fs::path> files = files_below(input, output);
      if (files.empty()) throw Failure(kUsage, in_quotes(input) + ": no sound files in this folder");
      for (const fs::path& file : files) jobs.push_back({file, target(file.lexically_relative(input)), true});
    }
  }
  check_outputs(jobs);
  return jobs;
}

std::string json_line(const FileJob& job, const FileReport& report, const std::string& error) {
  // File names need not be UTF-8, JSON must be.
  const auto dump = [](const nlohmann::json& line) { return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace); };
  nlohmann::json line = {{"status", error.empty() ? "ok" : "failed"}, {"in", job.in.string()}, {"out", job.out.string()}};
  if (!error.empty()) {
    line["error"] = error;
    return dump(line);
  }
  line["frames"] = report.frames;
  line["rate"] = report.sample_rate_hz;
  line["channels"] = report.channels;
  line["format"] = describe_format(report.format);
  line["seconds"] = report.seconds;
  line["x_realtime"] = report.seconds / std::max(report.wall_seconds, 1e-9);
  line["peak_db"] = report.peak > 0 ? nlohmann::json(decibels(report.peak)) : nlohmann::json(nullptr);
  line["clipped"] = report.clipped;
  line["non_finite"] = report.faults.non_finite;
  line["too_loud"] = report.faults.too_loud;
  line["restarts"] = report.restarts;
  line["truncated"] = report.truncated;
  return dump(line);
}

void print_warnings(const FileJob& job, const FileReport& report, double gain_db, Progress& progress) {
  const std::string begin = "coil: warning: " + in_quotes(job.in) + ": ";
  if (report.truncated) progress.print_error(begin + "ends before it should; what was there has been processed");
  if (report.faults.non_finite > 0) {
    progress.print_error(begin + counted(report.faults.non_finite, "sample") + " not finite (NaN or infinity), taken as 0");
  }
  if (report.faults.too_loud > 0) {
    progress.print_error(begin + counted(report.faults.too_loud, "sample") + " beyond " + fixed(decibels(dsp::kLoudest), 0) +
                         " dBFS, taken as 0; full scale is 1");
  }
  if (report.restarts > 0) {
    progress.print_error(begin + "the model overflowed and started anew " + counted(report.restarts, "time"));
  }
  if (report.clipped > 0) {
    const double safe_gain_db = std::floor(10 * (gain_db - decibels(report.peak))) / 10;
    progress.print_error(begin + "the output clips in " + counted(report.clipped, "sample") + ": its peak is " +
                         fixed(decibels(report.peak), 1) + " dBFS; --gain " + fixed(safe_gain_db, 1) + " or --bits 32f avoids it");
  }
}

// Works through the list; files are independent of each other. Returns how many failed.
int process_all(const std::vector<FileJob>& jobs, const ProcessSettings& settings, const ProcessOptions& options) {
  Progress progress(static_cast<int>(jobs.size()), !options.quiet);
  std::atomic<size_t> next{0};
  std::atomic<int> failed{0};

  const auto work = [&] {
    for (size_t i = next++; i < jobs.size() && !interrupted(); i = next++) {
      const FileJob& job = jobs[i];
      FileReport report;
      std::string error;
      try {
        process_file(job, settings, progress, report);
      } catch (const Interrupted&) {
        return;
      } catch (const std::exception& exception) {
        error = exception.what();
      }
      if (!error.empty()) {
        ++failed;
        progress.print_error("coil: error: " + error);
      } else if (!options.quiet) {
        print_warnings(job, report, settings.gain_db, progress);
        progress.print_error(job.in.string() + " -> " + job.out.string() + "  " + fixed(report.seconds, 2) + " s  " +
                             fixed(report.seconds / std::max(report.wall_seconds, 1e-9), 1) + " x real time");
      }
      if (options.json) progress.print_output(json_line(job, report, error));
      progress.file_done();
    }
  };

  const size_t cores = std::max(1u, std::thread::hardware_concurrency());
  const size_t wanted = options.jobs > 0 ? static_cast<size_t>(options.jobs) : cores;
  std::vector<std::thread> threads;
  for (size_t i = 1; i < std::min(wanted, jobs.size()); ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  throw_if_interrupted();
  return failed;
}

// Of --rate-scaling. Throws Failure for steps that no rate can rescale.
dsp::RateMode rate_mode(const std::string& name, const ssm::Model& model) {
  if (name.empty()) return dsp::RateMode::model_default;
  if (name == "resample") return dsp::RateMode::resample;
  if (const std::string obstacle = ssm::steps_obstacle(model.config()); !obstacle.empty()) {
    throw Failure(kUsage, "--rate-scaling steps: " + obstacle + "; use --rate-scaling resample");
  }
  return dsp::RateMode::steps;
}

int run_process(const ProcessOptions& options) {
  check_request(options.format);
  const bool to_stream = options.output == "-";
  if (to_stream && options.json) throw Failure(kUsage, "--json and -o - would both write to standard output; choose one");
  if (to_stream && !options.format.container.empty() && options.format.container != "wav") {
    throw Failure(kUsage, "--format " + options.format.container + ": standard output carries WAV only");
  }
  ProcessSettings settings;
  settings.model = load_model(options.model, ssm::Target::best().with(ssm::weight_format_from_name(options.weights)));
  try {
    const dsp::ModelProcessor check(settings.model);
  } catch (const ssm::Error& error) {  // not a model for audio: once, not for each file
    throw Failure(kModelFailed, error.what());
  }
  settings.controls = control_values(*settings.model, options.settings);
  settings.rate_mode = rate_mode(options.rate_scaling, *settings.model);
  settings.format = options.format;
  settings.gain_db = options.gain_db;
  settings.dither = !options.no_dither;
  settings.block_frames = options.block_frames;
  return process_all(list_jobs(options), settings, options) == 0 ? kOk : kFailed;
}

}  // namespace

CLI::App* setup_process(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("process", "Run a model over audio files, folders, or a WAV stream");
  auto options = std::make_shared<ProcessOptions>();
  command->add_option("inputs", options->inputs, "Sound files, folders (with all below them), or '-': WAV on standard input")
      ->required()
      ->type_name("IN");
  command->add_option("-o,--output", options->output,
                      "Output file; a folder if there are several inputs or a folder. Existing files are replaced. '-': WAV on standard output")
      ->required()
      ->type_name("OUT");
  command->add_option("-m,--model", options->model, "Model file, or name of a preset")->required()->type_name("PRESET");
  add_weights_option(*command, options->weights);
  command->add_option("--set", options->settings, "A control's value, for example --set drive=7 (see coil info)")
      ->type_name("NAME=VALUE")
      ->take_all()
      ->expected(1);
  command->add_option("--rate-scaling", options->rate_scaling,
                      "Away from the model's sample rate: rescale the model's steps, or resample the signal (default: the model's, see coil info)")
      ->check(CLI::IsMember({"steps", "resample"}));
  command->add_option("--format", options->format.container,
                      "Container: wav, flac, aiff, caf, ogg, opus, mp3, w64, rf64 ... (default: by OUT's extension)")
      ->type_name("NAME");
  command->add_option("--bits", options->format.bits, "Sample format: 8, 16, 24, 32, 32f or 64f (default: the input's)")
      ->type_name("BITS");
  command->add_option("--gain", options->gain_db, "Gain on the output")->type_name("DB")->check(CLI::Range(-200.0, 200.0));
  command->add_flag("--no-dither", options->no_dither, "No dither in outputs of 16 bits and fewer");
  command->add_option("--block", options->block_frames, "Frames that the model is given at once")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--jobs", options->jobs, "Files at the same time (default: one per core)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--json", options->json, "One JSON object per file on standard output");
  command->add_flag("-q,--quiet", options->quiet, "No progress bar, summaries or warnings; errors only");
  command->callback([options, &exit_code] { exit_code = run_process(*options); });
  return command;
}

}  // namespace coil::cli
