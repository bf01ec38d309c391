// `coil capture`: reads recordings, trains, and keeps the best network in the file from the first second on.
#include "cli/capture/capture.h"

#include <unistd.h>

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
#include "capture/model_file.h"
#include "capture/quality.h"
#include "capture/teachers/lesson.h"
#include "capture/teachers/teacher.h"
#include "capture/trainer/trainer.h"
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
  std::vector<std::string> more_dry;
  std::vector<std::string> plan;
  size_t takes = 24;
  std::string quality = "standard";
  std::string name, licence;
  double seconds = 0, million_frames = 0, target_esr = 0;
  size_t threads = 0;
  uint64_t seed = 1;
  std::string target;
  std::string signal;
  int signal_rate_hz = 48000;
  capture::Polarity polarity = capture::Polarity::kAutomatic;
  bool check = false, resume = false, quiet = false, json = false;
  std::string command_line;
};

// Everything that is learned from.
struct Material {
  std::vector<capture::Take> takes;
  std::vector<capture::Knob> knobs;
  std::vector<std::string> files;  // wet ones
  capture::Polarity polarity;      // of all takes, decided by the first
  double sample_rate_hz;
  Json card = Json::object();  // what the source says of itself
};

double cpu_seconds() { return double(std::clock()) / CLOCKS_PER_SEC; }

std::string esr_text(double esr) {
  return number(esr, 3) + " (" + fixed(10 * std::log10(std::max(esr, 1e-30)), 1) + " dB)";
}

void warn(const std::string& text) { std::fprintf(stderr, "coil: warning: %s\n", text.c_str()); }

void make_plan(const CaptureOptions& options) {
  std::vector<capture::Knob> knobs;
  for (const std::string& text : options.plan) knobs.push_back(parse_knob_range(text));
  if (knobs.size() > kMostKnobs)
    throw Failure(kUsage, "--plan: at most " + std::to_string(kMostKnobs) + " knobs can be learned");
  std::fputs(plan_as_csv(knobs, capture::propose_settings({}, knobs.size(), options.takes)).c_str(), stdout);
}

// What the table's settings leave open, and what to record next.
void say_gaps(const TakeTable& table) {
  for (const std::string& name : table.constant_columns)
    warn("'" + name + "' is the same in all rows; it does not become a knob");
  const std::vector<capture::Setting> settings = table.settings();
  const std::vector<std::string> gaps = capture::gaps(settings, table.knobs);
  if (gaps.empty()) return;
  for (const std::string& gap : gaps) warn(gap);
  const std::string next =
      plan_as_csv(table.knobs, capture::propose_settings(settings, table.knobs.size(), kProposedSettings));
  std::fprintf(stderr, "coil: the model will guess there; record these settings next:\n%s", next.c_str());
}

capture::Take take_of_row(const TakeTable& table, size_t row, double sample_rate_hz, capture::Polarity& polarity) {
  capture::Take take = read_take(table.rows[row].dry, table.rows[row].wet, sample_rate_hz, polarity);
  take.knobs = table.settings()[row];
  return take;
}

// From a capture of another program: it plays, and its own rate is the model's.
Material play_teacher(const CaptureOptions& options) {
  capture::LessonOptions lesson_options;
  lesson_options.stop = interrupted;
  for (const std::string& file : options.more_dry) lesson_options.dry.push_back(read_recording(file));
  if (!options.quiet) std::fprintf(stderr, "coil: %s plays\n", in_quotes(options.dry).c_str());
  std::optional<capture::Lesson> lesson = capture::make_lesson(options.dry, lesson_options);
  if (!lesson) throw Interrupted();
  for (const std::string& text : lesson->warnings) warn(in_quotes(options.dry) + ": " + text);
  for (const std::string& text : lesson->notes)
    std::fprintf(stderr, "coil: note: %s: %s\n", in_quotes(options.dry).c_str(), text.c_str());
  return {std::move(lesson->takes), std::move(lesson->knobs), {fs::path(options.dry).filename()},
          capture::Polarity::kKeep, lesson->sample_rate_hz,   std::move(lesson->card)};
}

Material read_material(const CaptureOptions& options, double sample_rate_hz) {
  if (capture::is_teacher_name(options.dry)) return play_teacher(options);
  Material material{{}, {}, {}, options.polarity, sample_rate_hz};
  if (options.table.empty()) {
    material.takes.push_back(read_take(options.dry, options.wet, sample_rate_hz, material.polarity));
    material.files.push_back(fs::path(options.wet).filename());
    return material;
  }
  const TakeTable table = read_take_table(options.table);
  if (table.knobs.size() > kMostKnobs) {
    throw Failure(kFailed, in_quotes(options.table) + ": at most " + std::to_string(kMostKnobs) +
                               " knobs can be learned, found " + std::to_string(table.knobs.size()));
  }
  say_gaps(table);
  material.knobs = table.knobs;
  for (size_t r = 0; r < table.rows.size(); ++r) {
    material.takes.push_back(take_of_row(table, r, sample_rate_hz, material.polarity));
    material.files.push_back(table.rows[r].wet.filename());
  }
  return material;
}

// ".NAME.training" beside the model.
fs::path training_file(const fs::path& output) {
  return output.parent_path() / ("." + output.filename().string() + ".training");
}

// The last line on a terminal, else now and then a line; the curve shows the held-out error's logarithm over time.
class CaptureProgress {
 public:
  explicit CaptureProgress(bool visible) : visible_(visible), terminal_(isatty(STDERR_FILENO)) {}
  ~CaptureProgress() {
    if (visible_ && terminal_ && !curve_.empty()) std::fputc('\n', stderr);
  }

  void show(const capture::TrainingState& state) {
    curve_.push_back(std::log10(std::max(state.best_esr, 1e-12)));
    if (!visible_) return;
    const std::string text = fixed(100 * state.progress, 0) + " %, held-out ESR " + esr_text(state.best_esr) + ", " +
                             fixed(state.frames / 1e6 / std::max(1e-3, state.elapsed_s), 1) + " million frames/s, " +
                             duration(state.left_s) + " left";
    if (terminal_)
      std::fprintf(stderr, "\r\033[K%s %s", curve().c_str(), text.c_str());
    else
      std::fprintf(stderr, "coil: %s\n", text.c_str());
    std::fflush(stderr);
  }

 private:
  std::string curve() const {
    static constexpr const char* kHeights[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    const auto [least, most] = std::minmax_element(curve_.begin(), curve_.end());
    std::string text;
    for (const double value : curve_) text += kHeights[size_t(7 * (value - *least) / std::max(1e-9, *most - *least))];
    return text;
  }

  bool visible_, terminal_;
  std::vector<double> curve_;
};

class Capture {
 public:
  explicit Capture(const CaptureOptions& options)
      : options_(options),
        quality_(capture::quality_named(options.quality)),
        material_(read_material(options, quality_.sample_rate_hz)),
        trainer_(material_.takes, settings()) {}

  void run() {
    if (options_.resume) resume();
    CaptureProgress progress(!options_.quiet);
    while (!trainer_.done() && !interrupted() && !reached_target()) {
      trainer_.advance(interrupted);
      if (trainer_.state().improved) write();
      write_whole_file(training_file(options_.output), trainer_.save());
      progress.show(trainer_.state());
    }
  }

  void finish() {
    if (!std::isfinite(trainer_.state().best_esr)) throw Interrupted();
    if (trainer_.done() || reached_target()) {
      std::error_code ignored;
      fs::remove(training_file(options_.output), ignored);
    }
    if (!options_.test_table.empty()) test();
    write();
    report();
  }

 private:
  capture::TrainingSettings settings() const {
    capture::TrainingSettings settings;
    settings.shape = quality_.shape;
    settings.shape.knobs = material_.knobs.size();
    settings.sample_rate_hz = material_.sample_rate_hz;
    settings.threads = options_.threads > 0 ? options_.threads : std::max(1u, std::thread::hardware_concurrency());
    settings.seed = options_.seed;
    const double usual = quality_.million_frames * (material_.knobs.empty() ? 1 : kKnobsTakeTimes);
    settings.frames = 1e6 * (options_.million_frames > 0 ? options_.million_frames : usual);
    settings.seconds = options_.seconds;
    settings.target = options_.target;
    return settings;
  }

  bool reached_target() const { return trainer_.state().steps > 0 && trainer_.state().best_esr <= options_.target_esr; }

  void resume() {
    std::ifstream file(training_file(options_.output), std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "coil: nothing to resume beside %s; beginning anew\n", in_quotes(options_.output).c_str());
      return;
    }
    const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    try {
      trainer_.resume(bytes);
    } catch (const Error& error) {
      throw Failure(kFailed, in_quotes(training_file(options_.output)) + ": " + error.what() +
                                 "; without --resume the training begins anew");
    }
  }

  void test() {
    const TakeTable table = read_test_table(options_.test_table, material_.knobs);
    std::vector<capture::Take> takes;
    for (size_t r = 0; r < table.rows.size(); ++r) {
      takes.push_back(take_of_row(table, r, material_.sample_rate_hz, material_.polarity));
      test_files_.push_back(table.rows[r].wet.filename());
    }
    test_esr_ = trainer_.esr(std::move(takes));
  }

  void write() {
    const capture::TrainingState& state = trainer_.state();
    Json metrics = {{"esr_held_out", state.best_esr}};
    for (size_t i = 0; i < test_esr_.size(); ++i) metrics["esr_test"][test_files_[i]] = test_esr_[i];
    Json card = {
        {"name", fs::path(options_.output).stem().string()},
        {"task", "capture"},
        {"description", "Learned from recordings of a device: " + std::to_string(material_.takes.size()) + " in all."},
        {"training",
         {{"data", material_.files},
          {"quality", quality_.name},
          {"steps", state.steps},
          {"million_frames", state.frames / 1e6},
          {"seed", options_.seed},
          {"command", options_.command_line}}},
        {"metrics", metrics},
        {"licence", ""}};
    card.update(material_.card);
    if (!options_.name.empty()) card["name"] = options_.name;
    if (!options_.licence.empty()) card["licence"] = options_.licence;
    capture::write_model(options_.output, trainer_.map(), trainer_.best(), trainer_.scales(), material_.sample_rate_hz,
                         material_.knobs, card);
  }

  void report() const {
    const capture::TrainingState& state = trainer_.state();
    if (options_.json) {
      Json json = {{"file", options_.output},    {"quality", quality_.name},     {"esr_held_out", state.best_esr},
                   {"seconds", state.elapsed_s}, {"cpu_seconds", cpu_seconds()}, {"million_frames", state.frames / 1e6},
                   {"steps", state.steps},       {"esr_test", test_esr_}};
      std::printf("%s\n", json.dump().c_str());
      return;
    }
    std::printf("%s: held-out ESR %s after %s s, %s million frames%s\n", options_.output.c_str(),
                esr_text(state.best_esr).c_str(), fixed(state.elapsed_s, 1).c_str(),
                fixed(state.frames / 1e6, 0).c_str(),
                trainer_.done() ? ""
                : interrupted() ? "; ended early, --resume goes on"
                                : "");
    for (size_t i = 0; i < test_esr_.size(); ++i)
      std::printf("  %s: ESR %s\n", test_files_[i].c_str(), esr_text(test_esr_[i]).c_str());
  }

  const CaptureOptions& options_;
  const capture::Quality& quality_;
  Material material_;
  capture::Trainer trainer_;
  std::vector<std::string> test_files_;
  std::vector<double> test_esr_;
};

void check_teacher(const CaptureOptions& options) {
  const std::vector<std::string> sentences = capture::describe_teacher(options.dry);
  if (options.json) {
    std::printf("%s\n", Json{{"usable", true}, {"findings", sentences}}.dump().c_str());
    return;
  }
  for (const std::string& text : sentences) std::printf("%s\n", text.c_str());
}

void check_options(const CaptureOptions& options) {
  const bool has_files = !options.dry.empty() || !options.wet.empty(), teacher = capture::is_teacher_name(options.dry);
  if (options.table.empty() == !has_files)
    throw Failure(kUsage, "either a dry and a wet recording are needed, or a capture such as amp.nam, or --table");
  if (teacher && !options.wet.empty())
    throw Failure(kUsage, in_quotes(options.dry) + " plays by itself; further sound to play is given by --dry");
  if (!teacher && !options.more_dry.empty())
    throw Failure(kUsage, "--dry is for a capture of another program, such as amp.nam, to play");
  if (!teacher && has_files && options.wet.empty())
    throw Failure(kUsage, "a wet recording is needed beside the dry one");
  if (options.check && !has_files) throw Failure(kUsage, "--check looks at a dry and a wet recording");
  if (options.check) return;
  if (options.output.empty())
    throw Failure(kUsage, "--output is needed: the model file to write, as in -o my_amp.safetensors");
  const fs::path folder = fs::absolute(options.output).parent_path();
  if (!fs::is_directory(folder)) throw Failure(kUsage, "--output: there is no folder " + in_quotes(folder));
}

}  // namespace

CLI::App* setup_capture(CLI::App& app, const std::string& command_line, int& exit_code) {
  const auto options = std::make_shared<CaptureOptions>();
  options->command_line = command_line;
  CLI::App* capture = app.add_subcommand("capture", "Learn a device from recordings of what went in and what came out");
  capture->footer(
      "Half a minute of playing is enough for one setting. The model file is there from the first second on and gets "
      "better;\n"
      "Ctrl-C ends early and keeps the best. Parts of the recordings are held out of the training to measure it.\n"
      "A table is a CSV file with the columns wet, dry and one for each knob. --plan prints one to be filled by "
      "recording.\n"
      "A capture of another program plays a built-in signal, at its own sample rate, and becomes a model of that "
      "rate.\n"
      "The same recordings, seed, threads and --million-frames give the same model; with --seconds it depends on the "
      "machine's speed.");
  capture
      ->add_option("dry", options->dry,
                   "What went into the device; or a capture of another program (.nam, or JSON of AIDA-X or Proteus), "
                   "which needs no wet file")
      ->type_name("DRY");
  capture->add_option("wet", options->wet, "What came out")->type_name("WET");
  capture
      ->add_option("--dry", options->more_dry, "Sound for a capture of another program to play, besides the built-in")
      ->type_name("WAV");
  capture->add_option("-o,--output", options->output, "The model file to write")->type_name("FILE");
  capture->add_option("--table", options->table, "Recordings at several settings: one model with these knobs")
      ->type_name("CSV");
  capture->add_option("--plan", options->plan, "Print which settings to record of these knobs, as in drive=0..10")
      ->type_name("KNOB=MIN..MAX");
  capture->add_option("--takes", options->takes, "How many settings --plan prints")
      ->check(CLI::Range(2, 10000))
      ->capture_default_str();
  capture->add_option("--signal", options->signal, "Write a test signal of a minute to play through the device")
      ->type_name("WAV");
  capture->add_option("--signal-rate", options->signal_rate_hz, "Its sample rate")
      ->check(CLI::Range(44100, 192000))
      ->capture_default_str();
  capture->add_flag("--check", options->check,
                    "Only look at the recordings: delay, polarity, clipping, noise, hum, a gate ...");
  const std::map<std::string, capture::Polarity> polarities = {
      {"auto", capture::Polarity::kAutomatic}, {"keep", capture::Polarity::kKeep}, {"turn", capture::Polarity::kTurn}};
  capture
      ->add_option("--polarity", options->polarity,
                   "A wet recording that is inverted: keep it, turn it, or turn it where there was a delay (auto)")
      ->transform(CLI::CheckedTransformer(polarities))
      ->type_name("auto|keep|turn");
  std::vector<std::string> names;
  std::string costs;
  for (const capture::Quality& quality : capture::qualities()) {
    names.push_back(quality.name);
    costs += (costs.empty() ? "" : ", ") + std::string(quality.name) + " " + quality.description;
  }
  capture->add_option("--quality", options->quality, "Size of the network: " + costs)
      ->check(CLI::IsMember(names))
      ->capture_default_str();
  capture->add_option("--seconds", options->seconds, "How long to train")->check(CLI::PositiveNumber);
  capture->add_option("--million-frames", options->million_frames, "How much to train (440; with knobs 880)")
      ->check(CLI::PositiveNumber);
  capture->add_option("--target-esr", options->target_esr, "End when the held-out error is as small")
      ->check(CLI::PositiveNumber);
  capture->add_option("--threads", options->threads, "How many cores to use (all)")->check(CLI::Range(1, 256));
  capture->add_option("--seed", options->seed, "What the network starts from")->capture_default_str();
  capture->add_option("--target", options->target, "SIMD instructions to use (the best)");
  capture->add_option("--test-table", options->test_table, "Recordings that are only measured at the end")
      ->type_name("CSV");
  capture->add_option("--name", options->name, "Name on the model's card (the file's)");
  capture->add_option("--licence", options->licence, "Licence on the model's card");
  capture->add_flag("--resume", options->resume, "Go on with a training that was ended or killed");
  capture->add_flag("-q,--quiet", options->quiet, "No progress");
  capture->add_flag("--json", options->json, "Print the result as one JSON object");
  capture->callback([options, &exit_code] {
    exit_code = kOk;
    if (!options->plan.empty()) return make_plan(*options);
    if (!options->signal.empty()) return write_test_signal(options->signal, options->signal_rate_hz);
    check_options(*options);
    try {
      if (options->check && capture::is_teacher_name(options->dry)) return check_teacher(*options);
      if (options->check) {
        check_recordings(options->dry, options->wet, capture::quality_named(options->quality).sample_rate_hz,
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
