// `coil process`: the options, and how they are carried out.
#include "cli/commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <optional>

#include "cli/process/done_marker.h"
#include "cli/execution.h"
#include "cli/failure.h"
#include "cli/process/file_list.h"
#include "cli/process/file_workers.h"
#include "cli/models.h"
#include "cli/process/process_file.h"
#include "cli/progress.h"
#include "cli/process/rig_file.h"
#include "cli/text.h"
#include "dsp/model_processor.h"
#include "base/error.h"
#include "base/part_file.h"

namespace coil::cli {
namespace {

struct ProcessOptions {
  std::vector<std::string> inputs;
  std::string output, manifest, shard, model, chain, weights = "f32", rate_scaling;
  std::vector<std::string> settings;
  FormatRequest format;
  double gain_db = 0;
  int window = 0;
  bool no_dither = false, json = false;
  ExecutionOptions execution;
  WorkOptions work;
};

// From --rate-scaling. Throws Failure if `steps` is requested and the model cannot be rescaled.
dsp::RateMode rate_mode(const std::string& name, const ssm::Model& model) {
  if (name.empty()) return dsp::RateMode::model_default;
  if (name == "resample") return dsp::RateMode::resample;
  if (const std::string obstacle = ssm::steps_obstacle(model.config()); !obstacle.empty()) {
    throw Failure(kUsage, "--rate-scaling steps: " + obstacle + "; use --rate-scaling resample");
  }
  return dsp::RateMode::steps;
}

// Checks options that exclude or need each other. Throws Failure.
void check_options(const ProcessOptions& options) {
  if (options.model.empty() == options.chain.empty())
    throw Failure(kUsage, options.chain.empty() ? "--model or --chain is needed: what the sound goes through"
                                                : "--model and --chain: choose one; a chain's file names its models");
  if (!options.chain.empty() && (!options.settings.empty() || !options.rate_scaling.empty()))
    throw Failure(kUsage, "--set and --rate-scaling belong to --model; the stages of --chain have them in its file");
  if (options.manifest.empty()) {
    if (options.inputs.empty()) throw CLI::RequiredError("inputs");
    if (options.output.empty()) throw CLI::RequiredError("--output");
  } else if (!options.inputs.empty() || !options.output.empty()) {
    throw Failure(kUsage, "--manifest names inputs and outputs itself; give no others");
  }
  check_request(options.format);
  const bool to_stream = options.output == "-", from_stream = !options.inputs.empty() && options.inputs.front() == "-";
  if (to_stream && options.work.report == "-")
    throw Failure(kUsage, "--json and -o - would both write to standard output; choose one");
  if (to_stream && !options.format.container.empty() && options.format.container != "wav") {
    throw Failure(kUsage, "--format " + options.format.container + ": standard output carries WAV only");
  }
  if ((to_stream || from_stream) && (options.work.resume || options.work.retries > 0 || !options.shard.empty())) {
    throw Failure(kUsage, "--resume, --retries and --shard need files; a stream cannot be had twice");
  }
}

// Throws Failure for streams, because --resume cannot check earlier output in a pipe or a device.
void refuse_streams(const std::vector<FileJob>& files) {
  for (const FileJob& file : files) {
    if (takes_bytes(file.out))
      throw Failure(kUsage, "--resume needs files; " + in_quotes(file.out) + " is a pipe or a device");
  }
}

// Estimates the work by the bytes of the input, roughly its number of samples.
void weigh(std::vector<FileJob>& files) {
  for (FileJob& file : files) {
    std::error_code error;
    const uintmax_t bytes = std::filesystem::file_size(file.in, error);
    if (!error) file.weight = std::max(1.0, static_cast<double>(bytes));
  }
}

// Throws Failure.
void open_effect(const ProcessOptions& options, ProcessSettings& settings, std::optional<ssm::Checkpoint>& checkpoint) {
  const ssm::Target target = ssm::Target::best().with(ssm::weight_format_from_name(options.weights));
  if (!options.chain.empty()) {
    settings.rig = RigFile::open(options.chain, target, options.work.quiet);
    return;
  }
  checkpoint = open_model(options.model, options.window);
  settings.model = load_model(*checkpoint, target, options.work.quiet);
  try {
    dsp::require_audio_model(*settings.model);
  } catch (const Error& error) {  // once instead of for each file
    throw Failure(kModelFailed, error.what());
  }
  settings.rate_mode = rate_mode(options.rate_scaling, *settings.model);
}

FileList list_files(const ProcessOptions& options, const ssm::Model* model) {
  if (!options.manifest.empty()) return list_manifest(options.manifest, options.format, model, options.settings);
  const std::vector<float> controls = model ? control_values(*model, options.settings) : std::vector<float>();
  return list_inputs(options.inputs, options.output, options.format, controls);
}

int run_process(const ProcessOptions& options) {
  check_options(options);
  const Shard shard = options.shard.empty() ? Shard{} : parse_shard(options.shard);
  ProcessSettings settings;
  std::optional<ssm::Checkpoint> checkpoint;
  open_effect(options, settings, checkpoint);
  settings.precision = options.execution.precision;
  settings.gain_db = options.gain_db;
  settings.dither = !options.no_dither;

  FileList list = list_files(options, settings.model.get());
  std::vector<FileJob>& files = list.files;
  if (options.work.resume) refuse_streams(files);
  if (options.format.quality &&
      std::ranges::none_of(files, [](const FileJob& file) { return takes_quality(file.format, file.out); })) {
    throw Failure(kUsage, "--quality is for MP3, Ogg Vorbis and Opus; no output is one of these");
  }
  if (shard.count > 1) files = take_shard(std::move(files), shard);
  weigh(files);
  std::vector<double> weights;
  for (const FileJob& file : files) weights.push_back(file.weight);

  Progress progress(weights, !options.work.quiet);
  for (const std::string& fault : list.unreadable) progress.print_error("coil: error: " + fault);
  const auto say = [&](const std::string& line) { progress.print_error("coil: " + line); };
  const Execution execution = settings.rig
                                  ? choose_chain_execution(options.execution, files.size())
                                  : choose_execution(options.execution, settings.model, *checkpoint, files.size(), say);
  settings.executor = execution.executor;
  settings.block_frames = execution.block_frames;
  if (options.work.resume) remove_stale_parts(files);
  const int failed = process_files(list, settings, execution, options.work, progress);
  return failed == 0 && list.unreadable.empty() ? kOk : kFailed;
}

// `format` must live as long as the command.
void add_output_options(CLI::App& command, FormatRequest& format) {
  command
      .add_option("--format", format.container,
                  "Container: wav, flac, aiff, caf, ogg, opus, mp3, w64, rf64 ... (default: by OUT's extension)")
      ->type_name("NAME");
  command.add_option("--bits", format.bits, "Sample format: 8, 16, 24, 32, 32f or 64f (default: the input's)")
      ->type_name("BITS");
  command
      .add_option_function<std::string>(
          "--quality", [&format](const std::string& text) { format.quality = parse_quality(text); },
          "For MP3, Ogg Vorbis and Opus: 0 to 10 (best; variable bit rate), or kbit/s such as 192k (default: the "
          "encoder's default, but at least the input's bit rate)")
      ->type_name("QUALITY");
  command
      .add_option("--rate", format.sample_rate_hz,
                  "The output's sample rate (default: the input's, or the next higher one that the format supports)")
      ->type_name("HZ")
      ->check(CLI::Range(kLowestRateHz, kHighestRateHz));
}

}  // namespace

CLI::App* setup_process(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("process", "Run a model over audio files, folders, or a WAV stream");
  auto options = std::make_shared<ProcessOptions>();
  command
      ->add_option(
          "inputs", options->inputs,
          "Sound files, folders (with everything below them, except hidden files), or '-': WAV on standard input")
      ->type_name("IN");
  command
      ->add_option("-o,--output", options->output,
                   "Output file, pipe or device; for several inputs or a folder, a folder. Existing files are replaced "
                   "unless they are read-only. '-': WAV on standard output")
      ->type_name("OUT");
  command->add_option("-m,--model", options->model, "Name of a preset, or a model file or folder")->type_name("PRESET");
  command
      ->add_option("--chain", options->chain,
                   "Instead of a model: a rig of gate, models, cabinet and equaliser (docs/rig.md)")
      ->type_name("RIG.coil");
  add_window_option(*command, options->window);
  add_weights_option(*command, options->weights);
  command->add_option("--set", options->settings, "A control's value, for example --set drive=7 (see coil info)")
      ->type_name("NAME=VALUE")
      ->take_all()
      ->expected(1);
  command
      ->add_option("--rate-scaling", options->rate_scaling,
                   "If the sample rate differs from the model's: rescale the model's steps, or resample the signal "
                   "(default: the model's choice, see coil info)")
      ->check(CLI::IsMember({"steps", "resample"}));
  add_output_options(*command, options->format);
  command->add_option("--gain", options->gain_db, "Gain on the output")
      ->type_name("DB")
      ->check(CLI::Range(-200.0, 200.0));
  command->add_flag("--no-dither", options->no_dither, "No dither in outputs of 16 bits and fewer");
  add_execution_options(*command, options->execution);
  command
      ->add_option("--manifest", options->manifest,
                   "Instead of IN and OUT: a file of lines {\"input\": \"a.wav\", \"output\": \"b.wav\", \"set\": "
                   "{\"drive\": 7}}; 'set', 'quality' and 'rate' are optional; '-': standard input")
      ->type_name("JSONL");
  command
      ->add_option("--shard", options->shard,
                   "Only every N-th file, starting with number I (0 to N - 1), in the order of the outputs' names")
      ->type_name("I/N");
  command->add_flag(
      "--resume", options->work.resume,
      "Skip files that were done with the same input, model and settings; mark files that are done (.OUT.done)");
  command->add_option("--retries", options->work.retries, "How often to retry a failed file, after a pause")
      ->type_name("N")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  command->add_option("--report", options->work.report, "One JSON object per file and line; '-': to standard output")
      ->type_name("JSONL");
  command->add_flag("--json", options->json, "The same as --report -");
  command->add_flag("-q,--quiet", options->work.quiet, "No progress, summaries or warnings; errors only");
  command->callback([options, &exit_code] {
    if (options->json && !options->work.report.empty() && options->work.report != "-") {
      throw Failure(kUsage, "--json and --report " + options->work.report + ": choose one");
    }
    if (options->json) options->work.report = "-";
    exit_code = run_process(*options);
  });
  return command;
}

}  // namespace coil::cli
