// `coil bench`: times blocks of models in alternation, and compares with the machine's roofline.
#include "cli/commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

#include "cli/bench/bench_report.h"
#include "cli/failure.h"
#include "cli/interrupt.h"
#include "cli/models.h"
#include "cli/text.h"
#include "dsp/denormals.h"
#include "dsp/model_processor.h"
#include "base/error.h"
#include "base/text.h"
#include "ssm/machine/row_threads.h"
#include "ssm/measure/roofline.h"
#include "ssm/run/stream.h"

namespace coil::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kRounds = 9;  // odd, so that the median is one of them

struct BenchOptions {
  std::vector<std::string> models;
  std::vector<size_t> blocks;
  std::string target, weights = "f32";
  double seconds = 1;
  int window = 0, threads = 1;
  bool json = false;
};

struct TargetSpeed {
  ssm::Target target;
  ssm::ArithmeticSpeed speed;
};

bool takes_tokens(const ssm::Model& model) { return model.config().input_kind == ssm::InputKind::token_ids; }

// Counts all parameters as weights of projections, which is nearly true for large models.
size_t weight_bytes(const ssm::Model& model) {
  return static_cast<size_t>(model.cost().parameters) * ssm::bytes_of(model.target().weights());
}

// A stream that processes some noise repeatedly; or tokens, of which only the last in a block gives logits.
class Player {
 public:
  Player(std::shared_ptr<const ssm::Model> model, size_t largest_block, ssm::RowThreads* threads)
      : stream_(model),
        d_input_(takes_tokens(*model) ? 0 : static_cast<size_t>(model->config().d_input)),
        d_output_(static_cast<size_t>(model->config().d_output)),
        frames_(std::max<size_t>(4096, largest_block)) {
    stream_.use_threads(threads);
    std::mt19937 random(1);
    std::normal_distribution<float> noise(0.0f, 0.2f);
    in_.resize(frames_ * d_input_);
    for (float& sample : in_) sample = noise(random);
    tokens_.resize(d_input_ == 0 ? frames_ : 0);
    for (int32_t& token : tokens_) token = static_cast<int32_t>(random() % d_output_);
    out_.resize((d_input_ == 0 ? 1 : largest_block) * d_output_);
  }

  void play(size_t block) noexcept {
    if (at_ + block > frames_) at_ = 0;
    if (d_input_ == 0)
      stream_.process_tokens({tokens_.data() + at_, block}, out_);
    else
      stream_.process({in_.data() + at_ * d_input_, block * d_input_}, {out_.data(), block * d_output_});
    at_ += block;
  }

 private:
  ssm::Stream stream_;
  size_t d_input_, d_output_, frames_, at_ = 0;
  std::vector<float> in_, out_;
  std::vector<int32_t> tokens_;
};

// Timing of one block size.
struct Timing {
  size_t block = 0;
  size_t calls = 1;              // per round
  std::vector<double> frame_ns;  // one per round

  double median_ns() const {
    std::vector<double> sorted = frame_ns;
    std::sort(sorted.begin(), sorted.end());
    return sorted[kRounds / 2];
  }
};

// A model on one target. Floors are per frame.
struct Subject {
  std::shared_ptr<const ssm::Model> model;
  const TargetSpeed* target;
  double weights_ns;  // to read all weights once, which each block must do
  std::vector<Timing> timings;
  std::unique_ptr<Player> player;

  double memory_ns(const Timing& timing) const { return weights_ns / static_cast<double>(timing.block); }
  double arithmetic_ns(const Timing& timing) const {
    ssm::Cost cost = model->cost();
    if (takes_tokens(*model)) {  // only the last token needs the output projection
      const ssm::LinearConfig& head = *model->config().out_proj;
      cost.macs_per_step -= (1 - 1 / static_cast<double>(timing.block)) * head.d_in * head.d_out;
    }
    return ssm::arithmetic_floor_ns(cost, target->speed);
  }
  double floor_ns(const Timing& timing) const { return std::max(arithmetic_ns(timing), memory_ns(timing)); }
};

double round_ns(Player& player, const Timing& timing) {
  throw_if_interrupted();
  const auto start = std::chrono::steady_clock::now();
  for (size_t i = 0; i < timing.calls; ++i) player.play(timing.block);
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
}

// Each round visits all models, blocks and targets, so that a disturbance of the machine affects all alike.
void measure(std::vector<Subject>& subjects, std::vector<TargetSpeed>& targets, double seconds) {
  const dsp::ScopedFlushDenormals flush;
  const double wanted_ns = 1e9 * seconds / kRounds;
  for (Subject& subject : subjects) {
    for (Timing& timing : subject.timings) {
      double ns = round_ns(*subject.player, timing);
      for (; ns < wanted_ns / 8; ns = round_ns(*subject.player, timing)) timing.calls *= 2;
      timing.calls = std::max<size_t>(1, static_cast<size_t>(static_cast<double>(timing.calls) * wanted_ns / ns));
    }
  }
  for (size_t round = 0; round < kRounds; ++round) {
    for (TargetSpeed& target : targets) {
      const ssm::ArithmeticSpeed speed = ssm::measure_arithmetic(target.target);
      target.speed.mac_ns = std::min(target.speed.mac_ns, speed.mac_ns);
      target.speed.exp_ns = std::min(target.speed.exp_ns, speed.exp_ns);
    }
    for (Subject& subject : subjects) {
      for (Timing& timing : subject.timings) {
        timing.frame_ns.push_back(round_ns(*subject.player, timing) / static_cast<double>(timing.calls * timing.block));
      }
    }
  }
}

std::vector<ssm::Target> targets_named(const std::string& name) {
  if (name.empty()) return {ssm::Target::best()};
  if (name == "all") return ssm::Target::all();
  try {
    return {ssm::Target::from_name(name)};
  } catch (const Error& error) {
    throw Failure(kUsage, "--target: " + std::string(error.what()));
  }
}

Json to_json(const Subject& subject) {
  const ssm::Model& model = *subject.model;
  const double rate_hz = dsp::sample_rate_hz(model);
  Json result = {{"model", model.source()},
                 {"target", model.target().name()},
                 {"weights", ssm::to_string(model.target().weights())},
                 {"input", takes_tokens(model) ? "token ids" : "frames"},
                 {"sample_rate_hz", rate_hz > 0 ? Json(rate_hz) : Json()},
                 {"macs_per_step", model.cost().macs_per_step},
                 {"exps_per_step", model.cost().exps_per_step},
                 {"blocks", Json::array()}};
  for (const Timing& timing : subject.timings) {
    const double ns = timing.median_ns();
    result["blocks"].push_back(
        {{"block", timing.block},
         {"ns_per_frame", ns},
         {"best_ns_per_frame", *std::min_element(timing.frame_ns.begin(), timing.frame_ns.end())},
         {"frames_per_s", 1e9 / ns},
         {"x_realtime", rate_hz > 0 ? Json(1e9 / ns / rate_hz) : Json()},
         {"instances_per_core", rate_hz > 0 ? Json(static_cast<int64_t>(1e9 / ns / rate_hz)) : Json()},
         {"arithmetic_floor_ns", subject.arithmetic_ns(timing)},
         {"memory_floor_ns", subject.memory_ns(timing)},
         {"floor_ns", subject.floor_ns(timing)},
         {"of_floor", subject.floor_ns(timing) / ns}});
  }
  return result;
}

void print_speeds(const std::vector<Subject>& subjects, const std::vector<TargetSpeed>& targets, int threads) {
  const std::string streams =
      threads > 1 ? counted(threads, "thread") + " for a language model's products, else one" : "One thread";
  std::printf("%s, median of %zu rounds. Floor: one thread's, the arithmetic of a frame at the speed measured here,\n",
              streams.c_str(), kRounds);
  for (const TargetSpeed& target : targets) {
    std::printf("  %s: %.1f GMAC/s, %.3f ns an exponential\n", target.target.name(), 1 / target.speed.mac_ns,
                target.speed.exp_ns);
  }
  for (const Subject& subject : subjects) {
    if (subject.weights_ns == 0 || subject.target != &targets.front()) continue;
    const double bytes = static_cast<double>(weight_bytes(*subject.model));
    std::printf("  or one reading of the weights for each block, %s: %.2f GB at %.1f GB/s\n",
                short_name(subject.model->source()).c_str(), bytes / 1e9, bytes / subject.weights_ns);
  }
}

// Separate tables for models of audio and of tokens, because their readers need different figures.
void print_table(const std::vector<Subject>& subjects, bool tokens) {
  size_t name_width = 0;
  for (const Subject& subject : subjects) {
    if (takes_tokens(*subject.model) == tokens)
      name_width = std::max(name_width, short_name(subject.model->source()).size());
  }
  if (name_width == 0) return;
  using Cells = std::vector<std::string>;
  const BenchTable table(tokens
                             ? Cells{"model", "target", "block", "tokens/s", "us per token", "floor us", "of floor"}
                             : Cells{"model", "target", "block", "ns per frame", "x real time", "floor ns", "of floor"},
                         name_width);
  for (const Subject& subject : subjects) {
    if (takes_tokens(*subject.model) != tokens) continue;
    const double rate_hz = dsp::sample_rate_hz(*subject.model);
    for (const Timing& timing : subject.timings) {
      const double ns = timing.median_ns(), floor_ns = subject.floor_ns(timing);
      Cells cells = {short_name(subject.model->source()), subject.model->target().label(),
                     std::to_string(timing.block)};
      if (tokens) {
        cells.insert(cells.end(), {number(1e9 / ns, 6), fixed(ns / 1e3, 2), fixed(floor_ns / 1e3, 2)});
      } else {
        cells.insert(cells.end(), {fixed(ns, 1), rate_hz > 0 ? fixed(1e9 / ns / rate_hz, 1) : "-", fixed(floor_ns, 1)});
      }
      cells.push_back(fixed(100 * floor_ns / ns, 0) + " %");
      table.row(cells);
    }
  }
}

void run_bench(const BenchOptions& options, const std::string& command_line) {
  std::vector<TargetSpeed> targets;
  for (const ssm::Target& target : targets_named(options.target))
    targets.push_back({target.with(ssm::weight_format_from_name(options.weights)), ssm::measure_arithmetic(target)});
  ssm::RowThreads threads(static_cast<size_t>(options.threads));
  std::vector<Subject> subjects;
  for (const std::string& name : options.models) {
    for (const TargetSpeed& target : targets)
      subjects.push_back({load_model(open_model(name, options.window), target.target), &target, 0, {}, nullptr});
  }
  for (Subject& subject : subjects) {
    std::vector<size_t> blocks = options.blocks;
    if (blocks.empty())
      blocks = takes_tokens(*subject.model) ? std::vector<size_t>{1, 64} : std::vector<size_t>{1, 16, 64, 256, 1000};
    for (const size_t block : blocks) subject.timings.push_back({block, 1, {}});
    subject.player = std::make_unique<Player>(subject.model, *std::max_element(blocks.begin(), blocks.end()),
                                              options.threads > 1 ? &threads : nullptr);
    subject.weights_ns = ssm::measure_read_ns(weight_bytes(*subject.model));
  }
  measure(subjects, targets, options.seconds);

  const BenchRun about = this_run(command_line);
  if (options.json) {
    Json report = to_json(about);
    for (const TargetSpeed& target : targets) {
      report["targets"].push_back(
          {{"target", target.target.name()}, {"mac_ns", target.speed.mac_ns}, {"exp_ns", target.speed.exp_ns}});
    }
    for (const Subject& subject : subjects) report["models"].push_back(to_json(subject));
    print_json(report);
  } else {
    print_text(about);
    print_speeds(subjects, targets, options.threads);
    print_table(subjects, false);
    print_table(subjects, true);
  }
}

}  // namespace

CLI::App* setup_bench(CLI::App& app, const std::string& command_line, int& exit_code) {
  CLI::App* command = app.add_subcommand(
      "bench", "Measure the speed of models on this machine; with live, whether they keep up in real time");
  command->footer(
      "Takes about SECONDS per model, target and block size. Audio models: nanoseconds per frame, and x real time,\n"
      "which is also the number of instances that fit on one core. Token models: tokens per second, one by one and in\n"
      "a prefill of 64. The floor is the time of the model's multiply-adds and exponentials at the target's peak\n"
      "speed, or of reading all weights once per block, if that is longer (weights of 4 MB and more).\n"
      "A model file whose name is that of a subcommand is given as ./live.\n"
      "Exit codes: 0 measured, 2 wrong options, 3 a model cannot be loaded, 130 interrupted.");
  auto options = std::make_shared<BenchOptions>();
  CLI::Option* models =
      command->add_option("models", options->models, "Model files or folders, or names of presets")->type_name("MODEL");
  command
      ->add_option("--blocks", options->blocks,
                   "Frames or tokens per block, for example 1,64 (default: 1,16,64,256,1000; for tokens 1,64)")
      ->type_name("N,N...")
      ->check(CLI::Range(1, 1 << 16))
      ->delimiter(',')
      ->allow_extra_args(false);
  command
      ->add_option("--target", options->target,
                   "SIMD target (see coil verify --list-targets), or all (default: the best)")
      ->type_name("NAME");
  add_window_option(*command, options->window);
  add_weights_option(*command, options->weights);
  add_threads_option(*command, options->threads);
  command->add_option("--seconds", options->seconds, "Time per measurement")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.001, 1e6))
      ->capture_default_str();
  command->add_flag("--json", options->json, "As one JSON object");
  CLI::App* live = setup_bench_live(*command, command_line, exit_code);
  CLI::App* stream = setup_bench_stream(*command, exit_code);
  CLI::App* tasks = setup_bench_tasks(*command, exit_code);
  for (CLI::Option* option : command->get_options())
    for (CLI::App* own : {live, stream, tasks}) own->excludes(option);
  command->callback([options, command_line, models, live, stream, tasks, &exit_code] {
    if (live->parsed() || stream->parsed() || tasks->parsed()) return;
    if (models->empty()) throw CLI::RequiredError("MODEL");
    run_bench(*options, command_line);
    exit_code = kOk;
  });
  return command;
}

}  // namespace coil::cli
