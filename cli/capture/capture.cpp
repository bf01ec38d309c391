// `coil capture`: reads recordings, trains, and writes the best network to the file from the first second on.
#include "cli/commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/error.h"
#include "base/part_file.h"
#include "capture/model_file.h"
#include "capture/quality.h"
#include "capture/report/report.h"
#include "capture/teachers/lesson.h"
#include "capture/teachers/size.h"
#include "capture/teachers/teacher.h"
#include "capture/trainer/trainer.h"
#include "cli/capture/capture_progress.h"
#include "cli/capture/recording.h"
#include "cli/capture/take_table.h"
#include "cli/failure.h"
#include "cli/interrupt.h"
#include "cli/models.h"
#include "cli/text.h"
#include "cli/whole_file.h"

namespace coil::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr size_t kProposedSettings = 8;
constexpr size_t kMostKnobs = 8;
constexpr double kKnobsTakeTimes = 2;

struct CaptureOptions {
  std::string dry, wet, output, table, test_table;  // `dry` may also be a capture of another program
  std::vector<std::string> more_dry, test_dry;
  std::vector<std::string> plan;
  size_t takes = 24;
  std::string quality;  // empty: standard, or for a capture of another program chosen by trials
  std::string network = "auto";
  size_t layers = 0;  // 0: the quality's
  std::string name, licence, report;
  double seconds = 0, million_frames = 0, target_esr = 0, stft_weight = 0;
  size_t threads = 0;
  uint64_t seed = 1;
  std::string target;
  std::string signal;
  int signal_rate_hz = 48000;
  capture::Polarity polarity = capture::Polarity::kAutomatic;
  bool as_is = false, check = false, resume = false, no_report = false, quiet = false, json = false;
  std::string command_line;
};

// The training data.
struct Material {
  std::vector<capture::Take> takes;
  std::vector<capture::ReportedRecording> recordings;  // one per take
  std::vector<capture::Knob> knobs;
  std::vector<std::string> gaps;  // gaps of the knob settings
  capture::Polarity polarity;     // for all takes, decided by the first
  double sample_rate_hz = 0;
  bool as_is = false;                     // already aligned; no checks
  Json card = Json::object();             // what the source says about itself
  double teacher_ns = 0;                  // a capture's estimated cost in its own program
  std::vector<capture::Take> tests = {};  // of a capture, one per --test-dry

  // `known`: delays of other takes of the same session.
  void add(const std::vector<TableRow>& rows, const std::vector<capture::Setting>& settings,
           const std::vector<double>& known = {}) {
    std::vector<capture::PreparedPair> pairs;
    for (const TableRow& row : rows)
      pairs.push_back(as_is ? read_pair_as_is(row.dry, row.wet, sample_rate_hz)
                            : read_pair(row.dry, row.wet, sample_rate_hz, polarity));
    for (const size_t i : share_delays(pairs, known)) print_finding(rows[i].wet, pairs[i].findings.back());
    for (size_t i = 0; i < rows.size(); ++i) {
      takes.push_back({std::move(pairs[i].dry), std::move(pairs[i].wet), settings[i]});
      recordings.push_back({rows[i].dry.filename().string(), rows[i].wet.filename().string(), pairs[i].alignment,
                            std::move(pairs[i].findings), pairs[i].noise_to_signal, pairs[i].repeatability_esr});
    }
  }

  std::vector<double> delays() const {
    std::vector<double> delays;
    for (const capture::ReportedRecording& recording : recordings)
      if (recording.alignment.found) delays.push_back(recording.alignment.delay_frames);
    return delays;
  }
};

double cpu_seconds() { return double(std::clock()) / CLOCKS_PER_SEC; }

void warn(const std::string& text) { std::fprintf(stderr, "coil: warning: %s\n", text.c_str()); }

void make_plan(const CaptureOptions& options) {
  std::vector<capture::Knob> knobs;
  for (const std::string& text : options.plan) knobs.push_back(parse_knob_range(text));
  if (knobs.size() > kMostKnobs)
    throw Failure(kUsage, "--plan: at most " + std::to_string(kMostKnobs) + " knobs can be learned");
  std::fputs(plan_as_csv(knobs, capture::propose_settings({}, knobs.size(), options.takes)).c_str(), stdout);
}

// Prints the gaps of the table's settings and what to record next. Returns the gaps.
std::vector<std::string> say_gaps(const TakeTable& table) {
  for (const std::string& remark : table.remarks) warn(remark);
  const std::vector<capture::Setting> settings = table.settings();
  const std::vector<std::string> gaps = capture::gaps(settings, table.knobs);
  if (gaps.empty()) return gaps;
  for (const std::string& gap : gaps) warn(gap);
  const std::string next =
      plan_as_csv(table.knobs, capture::propose_settings(settings, table.knobs.size(), kProposedSettings));
  std::fprintf(stderr, "coil: the model will guess there; record these settings next:\n%s", next.c_str());
  return gaps;
}

// For a capture of another program: plays it, and uses its rate for the model.
Material play_teacher(const CaptureOptions& options) {
  capture::LessonOptions lesson_options;
  lesson_options.stop = interrupted;
  for (const std::string& file : options.more_dry) lesson_options.dry.push_back(read_recording(file));
  for (const std::string& file : options.test_dry) lesson_options.test.push_back(read_recording(file));
  if (!options.quiet) std::fprintf(stderr, "coil: %s plays\n", in_quotes(options.dry).c_str());
  std::optional<capture::Lesson> lesson = capture::make_lesson(options.dry, lesson_options);
  if (!lesson) throw Interrupted();
  for (const std::string& text : lesson->warnings) warn(in_quotes(options.dry) + ": " + text);
  for (const std::string& text : lesson->notes)
    std::fprintf(stderr, "coil: note: %s: %s\n", in_quotes(options.dry).c_str(), text.c_str());
  Material material{std::move(lesson->takes), {}, std::move(lesson->knobs), {}, capture::Polarity::kKeep};
  for (size_t i = 0; i < material.takes.size(); ++i)
    material.recordings.push_back({"the built-in signal", fs::path(options.dry).filename().string(), {}, {}, 0, {}});
  material.sample_rate_hz = lesson->sample_rate_hz;
  material.card = std::move(lesson->card);
  material.teacher_ns = lesson->teacher_ns;
  material.tests = std::move(lesson->tests);
  return material;
}

Material read_material(const CaptureOptions& options, double sample_rate_hz) {
  if (capture::is_teacher_name(options.dry)) return play_teacher(options);
  Material material{{}, {}, {}, {}, options.polarity};
  material.as_is = options.as_is;
  material.sample_rate_hz = sample_rate_hz;
  if (options.table.empty()) {
    material.add({{options.wet, options.dry, {}}}, {{}});
    return material;
  }
  const TakeTable table = read_take_table(options.table);
  if (table.knobs.size() > kMostKnobs) {
    throw Failure(kFailed, in_quotes(options.table) + ": at most " + std::to_string(kMostKnobs) +
                               " knobs can be learned, found " + std::to_string(table.knobs.size()));
  }
  material.gaps = say_gaps(table);
  material.knobs = table.knobs;
  material.add(table.rows, table.settings());
  return material;
}

// ".NAME.training" beside the model.
fs::path training_file(const fs::path& output) {
  return output.parent_path() / ("." + output.filename().string() + ".training");
}

// "my_amp.html" beside "my_amp.safetensors".
fs::path report_file(const CaptureOptions& options) {
  return options.report.empty() ? fs::path(options.output).replace_extension(".html") : fs::path(options.report);
}

// The path in a form that coil does not take for a preset's name.
std::string as_model(const fs::path& path) { return (path.has_parent_path() ? path : "." / path).string(); }

std::string quality_or_usual(const CaptureOptions& options) {
  return options.quality.empty() ? "standard" : options.quality;
}

class Capture {
 public:
  explicit Capture(const CaptureOptions& options)
      : options_(options),
        quality_(capture::quality_named(quality_or_usual(options))),
        material_(read_material(options, quality_.sample_rate_hz)),
        size_(choose_size()),
        trainer_(material_.takes, size_.settings) {}

  void run() {
    if (options_.resume) resume();
    say_what_begins();
    CaptureProgress progress(!options_.quiet);
    while (!trainer_.done() && !interrupted() && !reached_target()) {
      trainer_.advance(interrupted);
      if (trainer_.state().improved) write();
      write_whole_file(training_file(options_.output), trainer_.save());
      if (trainer_.state().shapes_tried && !said_shape_) say_shape();
      progress.show(trainer_.state(), trainer_.curve());
    }
  }

  void finish() {
    if (!std::isfinite(trainer_.state().best_esr)) throw Interrupted();
    if (trainer_.done() || reached_target()) {
      std::error_code ignored;
      fs::remove(training_file(options_.output), ignored);
    }
    if (!options_.test_table.empty()) test();
    test_capture();
    write();
    const std::string verdict = write_report();
    say_result(verdict);
  }

 private:
  capture::TrainingSettings settings() const {
    capture::TrainingSettings settings;
    settings.shape = quality_.shape;
    settings.shape.knobs = material_.knobs.size();
    if (options_.network != "auto") settings.slow_trial_frames = HUGE_VAL;  // decided: no trial
    if (options_.layers > 0) settings.shape.layers = options_.layers;
    if (options_.network.find("slow") != std::string::npos) settings.shape.slow_features = capture::kSlowFeatures;
    if (options_.network == "filter") settings.shape.filter_modes = capture::kFilterModes;
    if (options_.network.ends_with("stage")) settings.shape.direct = 0;
    settings.selective = !options_.network.starts_with("fixed-");
    settings.sample_rate_hz = material_.sample_rate_hz;
    settings.aliasing_weight = quality_.aliasing_weight;
    settings.stft_weight = options_.stft_weight;
    settings.threads = options_.threads > 0 ? options_.threads : std::max(1u, std::thread::hardware_concurrency());
    settings.seed = options_.seed;
    const double usual = quality_.million_frames * (material_.knobs.empty() ? 1 : kKnobsTakeTimes);
    settings.frames = 1e6 * (options_.million_frames > 0 ? options_.million_frames : usual);
    settings.seconds = options_.seconds;
    settings.target = options_.target;
    return settings;
  }

  // With the size that short trainings find best, for a capture of another program.
  capture::SizeChoice choose_size() const {
    const capture::TrainingSettings usual = settings();
    if (!options_.quality.empty() || material_.teacher_ns <= 0) return {usual, {}};
    // Trials of another length may find another size, and then the training could not continue.
    if (const std::string saved = saved_training(); !saved.empty()) {
      try {
        return capture::size_of_saved(usual, capture::Trainer::saved_shape(saved));
      } catch (const Error&) {
        return {usual, {}};  // resume() says what is wrong
      }
    }
    std::optional<capture::SizeChoice> choice =
        capture::choose_size(material_.takes, usual, material_.teacher_ns, interrupted);
    if (!choice) throw Interrupted();
    if (!options_.quiet && !choice->trials.empty()) {
      std::fprintf(stderr, "coil: size %s; held-out ESR of short trainings: %s\n",
                   capture::size_text(choice->settings.shape).c_str(), capture::trials_text(*choice).c_str());
    }
    return *choice;
  }

  bool reached_target() const { return trainer_.state().steps > 0 && trainer_.state().best_esr <= options_.target_esr; }

  // Empty: there is none, or it is not wanted.
  std::string saved_training() const {
    if (!options_.resume) return "";
    std::ifstream file(training_file(options_.output), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  void resume() {
    const std::string bytes = saved_training();
    if (bytes.empty()) {
      std::fprintf(stderr, "coil: nothing to resume beside %s; beginning anew\n", in_quotes(options_.output).c_str());
      return;
    }
    try {
      trainer_.resume(bytes);
    } catch (const Error& error) {
      throw Failure(kFailed, in_quotes(training_file(options_.output)) + ": " + error.what() +
                                 "; without --resume the training begins anew");
    }
  }

  // Of what the capture costs in its own program; both are estimates for one machine.
  double cost_share() const {
    const double share = capture::estimated_model_ns(trainer_.map().shape) / material_.teacher_ns;
    return std::round(1000 * share) / 1000;
  }

  void say_shape() {
    said_shape_ = true;
    const capture::TrainingState& state = trainer_.state();
    const capture::Shape& shape = trainer_.map().shape;
    if (options_.quiet) return;
    std::fprintf(
        stderr,
        "\ncoil: the model gets %s; held-out ESR of young networks %s with a slow path (compression, sag, bias "
        "shift), %s with a filter (loudspeaker%s), %s with neither\n",
        shape.slow_features > 0  ? "a slow path"
        : shape.filter_modes > 0 ? "a filter behind it"
                                 : "neither slow path nor filter, which are not worth their cost here",
        number(state.esr_with_slow, 2).c_str(), number(state.esr_with_filter, 2).c_str(),
        state.tried_again ? ", tried earlier" : "", number(state.esr_without, 2).c_str());
  }

  void say_what_begins() const {
    if (options_.quiet) return;
    double frames = 0;
    for (const capture::Take& take : material_.takes) frames += double(take.dry.size());
    std::fprintf(stderr, "coil: learning %s from %s, %s in all; Ctrl-C ends early and keeps the best\n", quality_.name,
                 counted(int64_t(material_.takes.size()), "take").c_str(),
                 duration(frames / material_.sample_rate_hz).c_str());
  }

  void test() {
    const TakeTable table = read_test_table(options_.test_table, material_.knobs);
    Material tests{{}, {}, {}, {}, material_.polarity};
    tests.as_is = material_.as_is;
    tests.sample_rate_hz = material_.sample_rate_hz;
    tests.add(table.rows, table.settings(), material_.delays());
    const std::vector<double> esr = trainer_.esr(std::move(tests.takes));
    for (size_t i = 0; i < esr.size(); ++i) unseen_.push_back({tests.recordings[i].wet_name, esr[i]});
  }

  // Measures the error on the sound that was played but not used in training.
  void test_capture() {
    const std::vector<double> esr = trainer_.esr(std::move(material_.tests));
    for (size_t i = 0; i < esr.size(); ++i)
      unseen_.push_back({fs::path(options_.test_dry[i]).filename().string(), esr[i]});
  }

  // Returns the report's verdict; empty: no report.
  std::string write_report() const {
    const fs::path path = report_file(options_);
    if (options_.no_report || takes_bytes(options_.output)) return "";
    if (options_.report.empty() && !capture::is_report_or_free(path)) {
      warn(in_quotes(path) + " exists and is not a report, so it is kept; --report FILE writes the report elsewhere");
      return "";
    }
    return capture::write_report(
        path, {options_.output, material_.takes, trainer_.held_out(), material_.recordings, material_.gaps, unseen_,
               trainer_.curve(), !trainer_.done() && !reached_target(), options_.command_line});
  }

  void write() {
    const capture::TrainingState& state = trainer_.state();
    Json metrics = {{"esr_held_out", state.best_esr}};
    for (const capture::UnseenRecording& test : unseen_) metrics["esr_test"][test.name] = test.esr;
    Json files = Json::array();
    for (const capture::ReportedRecording& recording : material_.recordings) files.push_back(recording.wet_name);
    Json card = {
        {"name", fs::path(options_.output).stem().string()},
        {"task", "capture"},
        {"description", "Learned from recordings of a device: " + std::to_string(material_.takes.size()) + " in all."},
        {"training",
         {{"data", files},
          {"quality", size_.settings.shape == settings().shape ? quality_.name : "chosen"},
          {"size", capture::size_text(trainer_.map().shape)},
          {"steps", state.steps},
          {"million_frames", state.frames / 1e6},
          {"seed", options_.seed},
          {"command", options_.command_line}}},
        {"metrics", metrics},
        {"licence", ""}};
    if (!size_.trials.empty()) card["training"]["sizes_tried"] = capture::trials_text(size_);
    card.update(material_.card);
    if (material_.teacher_ns > 0) card["source"]["estimated_cost_share"] = cost_share();
    if (!options_.name.empty()) card["name"] = options_.name;
    if (!options_.licence.empty()) card["licence"] = options_.licence;
    capture::write_model(options_.output, trainer_.map(), trainer_.best(), trainer_.scales(), material_.sample_rate_hz,
                         material_.knobs, card);
  }

  void say_result(const std::string& verdict) const {
    const capture::TrainingState& state = trainer_.state();
    const std::string report = verdict.empty() ? "" : report_file(options_).string();
    if (options_.json) {
      Json json = {{"file", options_.output},    {"quality", quality_.name},     {"esr_held_out", state.best_esr},
                   {"seconds", state.elapsed_s}, {"cpu_seconds", cpu_seconds()}, {"million_frames", state.frames / 1e6},
                   {"steps", state.steps},       {"esr_test", Json::array()}};
      for (const capture::UnseenRecording& test : unseen_) json["esr_test"].push_back(test.esr);
      json["report"] = report.empty() ? Json(nullptr) : Json(report);
      if (!verdict.empty()) json["verdict"] = verdict;
      std::printf("%s\n", json.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
      return;
    }
    std::printf("%s: %s million frames in %s s%s%s\n", options_.output.c_str(), fixed(state.frames / 1e6, 0).c_str(),
                fixed(state.elapsed_s, 1).c_str(),
                verdict.empty() ? (", held-out ESR " + esr_text(state.best_esr)).c_str() : "",
                interrupted() && !trainer_.done() ? "; ended early, --resume continues" : "");
    if (!verdict.empty()) std::printf("%s\n", verdict.c_str());
    for (const capture::UnseenRecording& test : unseen_)
      std::printf("  %s: ESR %s\n", test.name.c_str(), esr_text(test.esr).c_str());
    if (!report.empty()) std::printf("Report: %s\n", report.c_str());
    std::printf("Play it: coil process take.wav -o out.wav -m %s\n", as_model(options_.output).c_str());
  }

  const CaptureOptions& options_;
  const capture::Quality& quality_;
  Material material_;
  const capture::SizeChoice size_;
  capture::Trainer trainer_;
  bool said_shape_ = false;
  std::vector<capture::UnseenRecording> unseen_;
};

void check_teacher(const CaptureOptions& options) {
  const std::vector<std::string> sentences = capture::describe_teacher(options.dry);
  if (options.json) {
    std::printf("%s\n", Json{{"usable", true}, {"findings", sentences}}.dump().c_str());
    return;
  }
  for (const std::string& text : sentences) std::printf("%s\n", text.c_str());
}

void check_report_option(const CaptureOptions& options) {
  if (options.no_report) {
    if (!options.report.empty()) throw Failure(kUsage, "--report and --no-report exclude each other");
    return;
  }
  const fs::path path = report_file(options), folder = fs::absolute(path).parent_path();
  if (path == fs::path(options.output))
    throw Failure(kUsage, "--report: the report and the model cannot both be " + in_quotes(path));
  if (!fs::is_directory(folder)) throw Failure(kUsage, "--report: there is no folder " + in_quotes(folder));
}

void check_options(const CaptureOptions& options) {
  const bool has_files = !options.dry.empty() || !options.wet.empty(), teacher = capture::is_teacher_name(options.dry);
  if (options.table.empty() == !has_files)
    throw Failure(kUsage, "either a dry and a wet recording are needed, or a capture such as amp.nam, or --table");
  if (teacher && !options.wet.empty())
    throw Failure(kUsage, in_quotes(options.dry) + " plays by itself; further sound to play is given by --dry");
  if (!teacher && (!options.more_dry.empty() || !options.test_dry.empty()))
    throw Failure(kUsage, std::string(options.more_dry.empty() ? "--test-dry" : "--dry") +
                              " is for a capture of another program, such as amp.nam, to play");
  if (!teacher && has_files && options.wet.empty())
    throw Failure(kUsage, "a wet recording is needed beside the dry one");
  if (options.check && !has_files) throw Failure(kUsage, "--check looks at a dry and a wet recording");
  if (options.check) return;
  if (options.output.empty())
    throw Failure(kUsage, "--output is needed: the model file to write, as in -o my_amp.safetensors");
  const fs::path folder = fs::absolute(options.output).parent_path();
  if (!fs::is_directory(folder)) throw Failure(kUsage, "--output: there is no folder " + in_quotes(folder));
  check_report_option(options);
}

void add_recording_options(CLI::App* capture, CaptureOptions& options) {
  capture
      ->add_option("dry", options.dry,
                   "The device's input; or a capture of another program (.nam, or JSON of AIDA-X or Proteus), which "
                   "needs no wet file")
      ->type_name("DRY");
  capture->add_option("wet", options.wet, "What came out")->type_name("WET");
  capture
      ->add_option("--dry", options.more_dry, "Sound that a capture of another program plays after the built-in signal")
      ->type_name("WAV");
  capture->add_option("--test-dry", options.test_dry, "Sound that it plays only to measure the error at the end")
      ->type_name("WAV");
  capture->add_option("-o,--output", options.output, "The model file to write")->type_name("FILE");
  capture->add_option("--table", options.table, "Recordings at several settings: one model with these knobs")
      ->type_name("CSV");
  capture->add_option("--plan", options.plan, "Print which settings of these knobs to record, as in drive=0..10")
      ->type_name("KNOB=MIN..MAX");
  capture->add_option("--takes", options.takes, "How many settings --plan prints")
      ->check(CLI::Range(2, 10000))
      ->capture_default_str();
  capture->add_option("--signal", options.signal, "Write a test signal of one minute to play through the device")
      ->type_name("WAV");
  capture->add_option("--signal-rate", options.signal_rate_hz, "Its sample rate")
      ->check(CLI::Range(44100, 192000))
      ->capture_default_str();
  capture->add_flag("--check", options.check,
                    "Only check the recordings: delay, polarity, clipping, noise, hum, a gate ...");
  capture->add_flag("--as-is", options.as_is,
                    "The recordings are aligned to the sample, as simulations are: skip alignment and checks");
  const std::map<std::string, capture::Polarity> polarities = {
      {"auto", capture::Polarity::kAutomatic}, {"keep", capture::Polarity::kKeep}, {"turn", capture::Polarity::kTurn}};
  capture
      ->add_option("--polarity", options.polarity,
                   "If the wet recording is inverted: keep it, turn it, or turn it if there was a delay (auto)")
      ->transform(CLI::CheckedTransformer(polarities))
      ->type_name("auto|keep|turn");
}

void add_training_options(CLI::App* capture, CaptureOptions& options) {
  std::vector<std::string> names;
  std::string costs;
  for (const capture::Quality& quality : capture::qualities()) {
    names.push_back(quality.name);
    costs += (costs.empty() ? "" : ", ") + std::string(quality.name) + " " + quality.description;
  }
  capture
      ->add_option("--quality", options.quality,
                   "Size of the network (standard; for a capture of another program, short trainings choose): " + costs)
      ->check(CLI::IsMember(names));
  capture
      ->add_option("--network", options.network,
                   "What to train: plain, with a slow-path, with a filter, or what a trial in a long training shows "
                   "(auto); stage, slow-stage: without a direct path, as part of a longer chain; fixed-slow-path, "
                   "fixed-slow-stage: a slow path whose speeds do not depend on the sound, for comparison")
      ->check(CLI::IsMember(
          {"auto", "plain", "slow-path", "filter", "stage", "slow-stage", "fixed-slow-path", "fixed-slow-stage"}))
      ->capture_default_str();
  capture->add_option("--layers", options.layers, "Layers of the network (the quality's)")->check(CLI::Range(1, 12));
  capture->add_option("--seconds", options.seconds, "Duration of the training")->check(CLI::PositiveNumber);
  capture
      ->add_option("--million-frames", options.million_frames, "Length of the training in frames (440; with knobs 880)")
      ->check(CLI::PositiveNumber);
  capture->add_option("--target-esr", options.target_esr, "Stop when the held-out error is this small")
      ->check(CLI::PositiveNumber);
  capture
      ->add_option("--stft-weight", options.stft_weight,
                   "Weight in the loss of the difference between the spectra's magnitudes")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  capture->add_option("--threads", options.threads, "Number of cores to use (all)")->check(CLI::Range(1, 256));
  capture->add_option("--seed", options.seed, "Seed of the initial network")->capture_default_str();
  capture->add_option("--target", options.target, "SIMD instructions to use (the best)");
  capture->add_option("--test-table", options.test_table, "Recordings only to measure the error at the end")
      ->type_name("CSV");
  capture->add_option("--name", options.name, "Name on the model's card (the file's)");
  capture->add_option("--licence", options.licence, "Licence on the model's card");
  capture->add_option("--report", options.report, "Where to write the report (beside the model, as .html)")
      ->type_name("HTML");
  capture->add_flag("--no-report", options.no_report, "No report");
  capture->add_flag("--resume", options.resume, "Continue a training that was stopped or killed");
  capture->add_flag("-q,--quiet", options.quiet, "No progress");
  capture->add_flag("--json", options.json, "Print the result as one JSON object");
}

}  // namespace

CLI::App* setup_capture(CLI::App& app, const std::string& command_line, int& exit_code) {
  const auto options = std::make_shared<CaptureOptions>();
  options->command_line = command_line;
  CLI::App* capture =
      app.add_subcommand("capture", "Learn a model of a device from recordings of its input and its output");
  capture->footer(
      "Half a minute of playing is enough for one setting. The model file exists from the first second on and "
      "improves;\n"
      "Ctrl-C ends early and keeps the best model. Parts of the recordings are held out of the training to measure "
      "it.\n"
      "The report beside the model shows its quality and the reasons: one HTML file with figures, pictures and sound.\n"
      "A table is a CSV file with the columns wet, dry and one for each knob. --plan prints one to fill by recording.\n"
      "A capture of another program plays a built-in signal at its own sample rate, and becomes a model of that rate.\n"
      "The same recordings, seed, threads and --million-frames give the same model; with --seconds it depends on the\n"
      "machine's speed.");
  add_recording_options(capture, *options);
  add_training_options(capture, *options);
  capture->callback([options, &exit_code] {
    exit_code = kOk;
    if (!options->plan.empty()) return make_plan(*options);
    if (!options->signal.empty()) return write_test_signal(options->signal, options->signal_rate_hz);
    check_options(*options);
    try {
      if (options->check && capture::is_teacher_name(options->dry)) return check_teacher(*options);
      if (options->check) {
        check_recordings(options->dry, options->wet, capture::quality_named(quality_or_usual(*options)).sample_rate_hz,
                         options->json);
        return;
      }
      Capture capture(*options);
      capture.run();
      capture.finish();
    } catch (const Error& error) {
      throw Failure(kFailed, error.what());
    }
  });
  return capture;
}

}  // namespace coil::cli
