// `coil bench live`: the signal, the background load, and the report.
#include "cli/commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "cli/bench/bench_host.h"
#include "cli/bench/bench_report.h"
#include "cli/failure.h"
#include "cli/interrupt.h"
#include "cli/models.h"
#include "cli/sound/sound_reader.h"
#include "cli/text.h"
#include "dsp/model_processor.h"
#include "base/error.h"

namespace coil::cli {
namespace {

struct LiveOptions {
  std::string model, input;
  std::vector<int> blocks;
  double seconds = 10, rate_hz = 0;
  int channels = 0, load = 0;
  bool json = false;
};

using Signal = std::vector<std::vector<float>>;  // channels

// Eight seconds: a repeatedly plucked string, bursts of noise, silence.
std::vector<float> made_signal(double rate_hz, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> noise(-0.5f, 0.5f);
  const auto frame = [&](double seconds) { return static_cast<size_t>(seconds * rate_hz); };
  std::vector<float> signal(frame(8));
  for (int note = 0; note < 10;
       ++note) {  // Karplus-Strong: noise in a loop of one period, averaged with its neighbour in each round
    std::vector<float> string(std::max<size_t>(2, frame(std::exp2(random() % 36 / -12.0) / 82.4)));
    for (float& sample : string) sample = noise(random);
    for (size_t i = frame(0.5 * note), at = 0; i < frame(0.5 * (note + 1)); ++i, at = (at + 1) % string.size()) {
      signal[i] = string[at];
      string[at] = 0.498f * (string[at] + string[(at + 1) % string.size()]);
    }
  }
  for (double start_s = 5; start_s < 6; start_s += 0.2) {
    for (size_t i = frame(start_s); i < frame(start_s + 0.05); ++i) signal[i] = noise(random);
  }
  return signal;
}

// The first minute of a sound file.
Signal read_signal(const std::string& path) {
  const std::unique_ptr<SoundReader> reader = open_reader(path);
  const size_t channels = static_cast<size_t>(reader->info().channels);
  std::vector<float> frames(60 * static_cast<size_t>(reader->info().sample_rate_hz) * channels);
  frames.resize(static_cast<size_t>(reader->read(frames)) * channels);
  if (frames.empty()) throw Failure(kFailed, in_quotes(path) + ": holds no sound");
  Signal signal(channels);
  for (size_t i = 0; i < frames.size(); ++i) signal[i % channels].push_back(frames[i]);
  return signal;
}

Signal input_signal(const LiveOptions& options, double rate_hz, int channels, int largest_block) {
  Signal signal;
  const Signal file = options.input.empty() ? Signal() : read_signal(options.input);
  for (size_t c = 0; c < static_cast<size_t>(channels); ++c) {
    const std::vector<float> once =
        file.empty() ? made_signal(rate_hz, static_cast<uint32_t>(c)) : file[c % file.size()];
    std::vector<float>& whole = signal.emplace_back();
    do whole.insert(whole.end(), once.begin(), once.end());
    while (whole.size() < static_cast<size_t>(largest_block));
  }
  return signal;
}

// Threads at normal priority that compute and access more memory than the caches hold, until destroyed.
class Load {
 public:
  explicit Load(int threads) : memory_(static_cast<size_t>(threads), std::vector<float>(size_t{16} << 20, 1.0f)) {
    for (std::vector<float>& values : memory_) {
      threads_.emplace_back([&values](std::stop_token stop) {
        while (!stop.stop_requested()) {
          for (float& value : values) value = 0.9f * value + std::sqrt(value);
        }
      });
    }
  }

 private:
  std::vector<std::vector<float>> memory_;
  std::vector<std::jthread> threads_;  // declared last: joined before their memory is freed
};

nlohmann::ordered_json to_json(const HostRun& run, const HostSettings& settings) {
  const double deadline_ns = 1e9 * settings.block_frames / settings.sample_rate_hz;
  const auto us = [](auto ns) { return static_cast<double>(ns) / 1000; };
  const double median_ns = static_cast<double>(std::max<uint64_t>(1, run.block_ns.percentile(50)));
  const double p99_ns = static_cast<double>(std::max<uint64_t>(1, run.block_ns.percentile(99)));
  return {{"block_frames", settings.block_frames},
          {"blocks", run.block_ns.count()},
          {"deadline_us", us(deadline_ns)},
          {"median_us", us(median_ns)},
          {"p99_us", us(p99_ns)},
          {"p99_99_us", us(run.block_ns.percentile(99.99))},
          {"worst_us", us(run.block_ns.largest())},
          {"worst_over_median", static_cast<double>(run.block_ns.largest()) / median_ns},
          {"own_worst_us", us(run.largest_own_ns)},
          {"own_worst_over_median", static_cast<double>(run.largest_own_ns) / median_ns},
          {"preempted", run.preempted},
          {"missed", run.missed},
          {"late_wakeups", run.late_wakeups},
          {"x_realtime", deadline_ns / median_ns},
          {"instances_per_core", static_cast<int64_t>(deadline_ns / p99_ns)},
          {"busy_wait", deadline_ns < kShortestSleepNs}};
}

void print_row(const BenchTable& table, const nlohmann::ordered_json& block) {
  const auto whole = [&](const char* name) { return std::to_string(block[name].get<int64_t>()); };
  const auto decimal = [&](const char* name, int decimals) { return fixed(block[name].get<double>(), decimals); };
  table.row({whole("block_frames"), whole("blocks"), decimal("deadline_us", 1), decimal("median_us", 2),
             decimal("p99_us", 2), decimal("p99_99_us", 2), decimal("worst_us", 2), decimal("own_worst_us", 2),
             decimal("own_worst_over_median", 1), whole("preempted"), whole("missed"), whole("late_wakeups"),
             decimal("x_realtime", 1), whole("instances_per_core")});
}

void run_live(const LiveOptions& options, const std::string& command_line) {
  const std::shared_ptr<const ssm::Model> model = load_model(options.model);
  std::unique_ptr<dsp::ModelProcessor> processor;
  try {
    processor = std::make_unique<dsp::ModelProcessor>(model);
  } catch (const Error& error) {
    throw Failure(kModelFailed, error.what());
  }
  const double model_hz = dsp::sample_rate_hz(*model);
  const double rate_hz = options.rate_hz > 0 ? options.rate_hz : model_hz > 0 ? model_hz : 48000;
  const int channels = options.channels > 0 ? options.channels : model->config().d_input;
  try {
    processor->prepare({rate_hz, options.blocks.front(), channels});
  } catch (const Error& error) {  // unsuitable rate or number of channels
    throw Failure(kUsage, error.what());
  }
  const Signal input =
      input_signal(options, rate_hz, channels, *std::max_element(options.blocks.begin(), options.blocks.end()));

  const BenchRun about = this_run(command_line);
  const Load load(options.load);
  const HostThread thread = try_host_thread();
  nlohmann::ordered_json report = to_json(about);
  report.update({{"model", model->source()},
                 {"target", model->target().name()},
                 {"sample_rate_hz", rate_hz},
                 {"channels", channels},
                 {"load_threads", options.load},
                 {"real_time_priority", thread.is_real_time},
                 {"memory_locked", thread.is_memory_locked},
                 {"stalls_per_s", thread.stalls_per_s},
                 {"largest_stall_us", thread.largest_stall_us},
                 {"blocks", nlohmann::ordered_json::array()}});
  std::optional<BenchTable> table;
  if (!options.json) {
    print_text(about);
    std::printf("%s on %s, %s at %s Hz%s\n", short_name(model->source()).c_str(), model->target().name(),
                counted(channels, "channel").c_str(), number(rate_hz).c_str(),
                options.load > 0 ? (", beside " + counted(options.load, "busy thread")).c_str() : "");
    std::printf(
        "Thread with %s, memory %s. With nothing to do it was stopped %.0f times a second for 10 us or more, at most "
        "for %.0f us.\n",
        thread.is_real_time ? "real-time priority (SCHED_FIFO)" : "normal priority (SCHED_FIFO is not permitted)",
        thread.is_memory_locked ? "locked" : "not locked (not permitted)", thread.stalls_per_s,
        thread.largest_stall_us);
    std::printf("It sleeps until a block is due; blocks shorter than %.0f us are waited for busily. Times in us.\n",
                kShortestSleepNs / 1000);
    table.emplace(std::vector<std::string>{"block", "blocks", "deadline", "median", "p99", "p99.99", "worst",
                                           "own worst", "over median", "preempted", "missed", "late", "x real time",
                                           "instances"});
  }

  for (const int block_frames : options.blocks) {
    const auto run = std::make_unique<HostRun>();
    const HostSettings settings = {rate_hz, block_frames, options.seconds, &input};
    run_host(*processor, settings, *run);
    if (run->block_ns.count() > 0) {
      report["blocks"].push_back(to_json(*run, settings));
      if (table) print_row(*table, report["blocks"].back());
    }
    if (interrupted()) break;
  }
  if (options.json) print_json(report);
  throw_if_interrupted();
}

}  // namespace

CLI::App* setup_bench_live(CLI::App& bench, const std::string& command_line, int& exit_code) {
  CLI::App* command = bench.add_subcommand("live", "Run a model in real time like a plugin, and time every block");
  command->footer(
      "A real-time thread passes a block to the model whenever one is due, and times the processing. The first half "
      "second\n"
      "of each block size does not count. Without --input it plays a plucked string, bursts of noise, and silence. In "
      "us:\n"
      "  deadline   the duration of a block\n"
      "  own worst  the longest block that was not preempted, and its ratio to the median. A block counts as preempted "
      "if the\n"
      "             system gave its core to others for a tenth of the time. Interrupts and hypervisors may not show in "
      "the\n"
      "             system's statistics, so their effect is measured before, on a thread that does nothing. Linux may "
      "stop a\n"
      "             polling real-time thread for up to 50 ms per second if other threads starve\n"
      "  missed     blocks that took longer than the deadline\n"
      "  late       how often the thread woke up after the next block was due; as in a host, blocks are then dropped\n"
      "  x real time, instances   deadline / median; deadline / p99, the number that fits on one core\n"
      "Exit codes: 0 measured, also if blocks were missed; 1 the input cannot be read; 2 wrong options; 3 the model "
      "cannot be\n"
      "loaded; 130 interrupted, after the report of what was measured.");
  auto options = std::make_shared<LiveOptions>();
  command->add_option("model", options->model, "Model file or folder, or name of a preset")
      ->required()
      ->type_name("MODEL");
  command->add_option("--block", options->blocks, "Frames per block; may be repeated (default: 1, 16, 64, 256, 1024)")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 16))
      ->take_all()
      ->expected(1);
  command->add_option("--seconds", options->seconds, "How long each block size runs")
      ->type_name("S")
      ->check(CLI::Range(0.01, 1e6))
      ->capture_default_str();
  command
      ->add_option("--rate", options->rate_hz, "The host's sample rate (default: the model's; 48000 if it states none)")
      ->type_name("HZ")
      ->check(CLI::Range(1000.0, 1e6));
  command->add_option("--channels", options->channels, "The host's channels (default: the model's)")
      ->type_name("N")
      ->check(CLI::Range(1, 64));
  command
      ->add_option("--input", options->input,
                   "Sound file whose first minute is played in a loop, without resampling to the host's rate")
      ->type_name("FILE");
  command->add_option("--load", options->load, "Busy threads at the same time, at normal priority")
      ->type_name("N")
      ->check(CLI::Range(0, 256))
      ->capture_default_str();
  command->add_flag("--json", options->json, "As one JSON object");
  command->callback([options, command_line, &exit_code] {
    if (options->blocks.empty()) options->blocks = {1, 16, 64, 256, 1024};
    run_live(*options, command_line);
    exit_code = kOk;
  });
  return command;
}

}  // namespace coil::cli
