// `coil bench stream`: synthetic sensors through an engine, from text to text, first at full speed, then at a fixed
// rate, compared with the machine's roofline.
#include "cli/commands.h"

#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include "cli/failure.h"
#include "cli/interrupt.h"
#include "cli/log_histogram.h"
#include "cli/models.h"
#include "cli/text.h"
#include "sensor/engine.h"
#include "sensor/scoring/forecast.h"
#include "base/error.h"
#include "ssm/measure/roofline.h"

namespace coil::cli {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

struct BenchOptions {
  std::string model;
  std::vector<size_t> threads{1, 2};
  std::vector<size_t> bursts{1, 16};
  std::vector<size_t> horizons;
  size_t series = 10'000;
  double seconds = 5;
  bool json = false;
};

constexpr size_t kBatch = 4096;
constexpr int kRounds = 8;  // the fastest counts, because disturbances only add time

// Endless noisy levels: `burst` records of one sensor, then of the next.
class Sensors {
 public:
  Sensors(size_t series, size_t burst) : series_(series), burst_(burst) {}

  void next(size_t count, std::vector<sensor::Message>& messages) {
    messages.resize(count);
    for (sensor::Message& message : messages) {
      char text[96];
      const size_t stretch = record_ / burst_, step = stretch / series_ * burst_ + record_ % burst_;
      std::snprintf(text, sizeof text, "{\"sensor\":\"s%zu\",\"time\":%zu,\"value\":%.3f}", stretch % series_,
                    1'700'000'000 + 60 * step, 20 + noise_(random_));
      message.text = text;
      ++record_;
    }
  }

 private:
  size_t series_, burst_, record_ = 0;
  std::mt19937 random_{1};
  std::normal_distribution<double> noise_;
};

// Imitates a pipe without a reader: appends the lines of a call.
class Lines final : public sensor::Sink {
 public:
  void write(const sensor::Result& result) override { (text_ += result.text) += '\n'; }
  void flush() override { text_.clear(); }

 private:
  std::string text_;
};

// The machine's peak speed with this number of threads.
struct Limits {
  double macs_per_s = 0;
  double update_bytes_per_s = 0;  // for states as large as those of all series together; read and written, counted once
};

Limits measure_limits(ssm::Target target, size_t threads, size_t state_bytes) {
  std::vector<Limits> each(threads);
  std::vector<std::thread> workers;
  const size_t share = std::max<size_t>(state_bytes / threads, 1);
  for (Limits& limits : each) {
    workers.emplace_back([&limits, target, share] {
      limits.macs_per_s = 1e9 / ssm::measure_arithmetic(target).mac_ns;
      limits.update_bytes_per_s = 1e9 * static_cast<double>(share) / ssm::measure_update_ns(share);
    });
  }
  for (std::thread& worker : workers) worker.join();
  Limits all;
  for (const Limits& limits : each)
    all.macs_per_s += limits.macs_per_s, all.update_bytes_per_s += limits.update_bytes_per_s;
  return all;
}

// Why records were late while they arrived at a fixed rate. One thread, which never sleeps: wall time beyond its CPU
// time is time without a core.
struct Pauses {
  double longest_without_core_us = 0;
  double longest_call_cpu_us = 0;  // the largest CPU time of one call of the engine
  size_t its_records = 0;
  int64_t page_faults = 0, preemptions = 0;

  void add(double now_s, double cpu_start_s, double cpu_s, size_t records) {
    const double call_us = 1e6 * (cpu_s - cpu_start_s), without_core_us = 1e6 * (now_s - cpu_s);
    if (call_us > longest_call_cpu_us) longest_call_cpu_us = call_us, its_records = records;
    if (is_known_) longest_without_core_us = std::max(longest_without_core_us, without_core_us - last_without_core_us_);
    last_without_core_us_ = without_core_us, is_known_ = true;
  }
  // Restarts the clock.
  void restart() { is_known_ = false; }
  void add(const rusage& before, const rusage& after) {
    page_faults += after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt;
    preemptions += after.ru_nivcsw - before.ru_nivcsw;
  }

 private:
  double last_without_core_us_ = 0;
  bool is_known_ = false;
};

// The fastest round.
struct Result {
  double records_per_s = 0;
  double cpu_us = 0, parse_us = 0;  // per record, over all threads; cpu_us includes threads that poll for work
  double macs_per_s = 0;
  double state_bytes_per_s = 0;  // read and written, counted once
  std::unique_ptr<LogHistogram> latency_ns = std::make_unique<LogHistogram>(),
                                own_latency_ns;  // without waiting for a core; null: several threads
  Pauses pauses;
};

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }
class WallTime {
 public:
  double now_s() const { return seconds_since(start_); }
  void wait_until(double) const {}

 private:
  Clock::time_point start_ = Clock::now();
};

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }
rusage usage() {
  rusage now = {};
  getrusage(RUSAGE_SELF, &now);
  return now;
}

// As the wall would have it if this program, of one thread, never waited for a core.
class OwnTime {
 public:
  double now_s() const { return waited_s_ + cpu_seconds() - start_s_; }
  void wait_until(double s) { waited_s_ += std::max(0.0, s - now_s()); }

 private:
  double waited_s_ = 0, start_s_ = cpu_seconds();
};

// In billions, and as a share of `most`.
std::string percent_of(double value, double most) {
  char text[64];
  std::snprintf(text, sizeof text, "%.1f (%.0f%% of %.1f)", 1e-9 * value, 100 * value / most, 1e-9 * most);
  return text;
}

class Bench {
 public:
  Bench(const std::shared_ptr<const ssm::Model>& model, const BenchOptions& options, size_t threads, size_t burst)
      : options_(options),
        threads_(threads),
        state_bytes_(static_cast<double>(model->state_layout()->size * sizeof(float))),
        sensors_(options.series, burst),
        engine_(model, engine_options(options, threads),
                [](const sensor::Message&, const std::string& what) { throw Failure(kFailed, what); }) {
    // until every sensor is known
    for (size_t made = 0; made < options.series * burst; made += kBatch) process(kBatch);
  }

  Result run() {
    Result result;
    for (int round = 0; round < kRounds; ++round) measure_throughput(result);
    measure_latency<WallTime>(2 / result.records_per_s, *result.latency_ns, &result.pauses);
    if (threads_ == 1) {
      result.own_latency_ns = std::make_unique<LogHistogram>();
      measure_latency<OwnTime>(2e-6 * result.cpu_us, *result.own_latency_ns);
    }
    return result;
  }

 private:
  static sensor::EngineOptions engine_options(const BenchOptions& options, size_t threads) {
    sensor::EngineOptions engine;
    engine.schema.keys = {"sensor"};
    engine.horizons = options.horizons;
    engine.threads = threads;
    return engine;
  }

  void process(size_t records) {
    throw_if_interrupted();
    sensors_.next(records, messages_);
    engine_.process(messages_, results_);
    results_.flush();
  }

  // All records are waiting.
  void measure_throughput(Result& best) {
    double busy_s = 0, cpu_s = 0, parse_s = 0;
    size_t records = 0;
    const uint64_t stretches = engine_.counters().stretches;
    const auto format = sensor::make_format("ndjson");
    sensor::Record record;
    while (busy_s < options_.seconds / kRounds) {
      throw_if_interrupted();
      sensors_.next(kBatch, messages_);
      auto start = Clock::now();
      const double cpu_start = cpu_seconds();
      engine_.process(messages_, results_);
      results_.flush();
      busy_s += seconds_since(start);
      cpu_s += cpu_seconds() - cpu_start;
      start = Clock::now();
      for (const sensor::Message& message : messages_) format->parse(message.text, record);
      parse_s += seconds_since(start);
      records += kBatch;
    }
    const double count = static_cast<double>(records), records_per_s = count / busy_s;
    if (records_per_s <= best.records_per_s) return;
    best.records_per_s = records_per_s;
    best.cpu_us = 1e6 * cpu_s / count;
    best.parse_us = 1e6 * parse_s / count;
    best.macs_per_s = records_per_s * engine_.macs_per_step();
    best.state_bytes_per_s = static_cast<double>(engine_.counters().stretches - stretches) * state_bytes_ / busy_s;
  }

  // Records are due at even intervals, at half of the measured throughput. Records that are due are processed together.
  template <class Time>
  void measure_latency(double interval_s, LogHistogram& latency_ns, Pauses* pauses = nullptr) {
    const size_t records = std::max<size_t>(1, static_cast<size_t>(options_.seconds / interval_s));
    std::vector<sensor::Message> waiting;  // made in advance, so that making them does not disturb the measurement
    for (size_t left = records; left > 0;) {
      const size_t count = std::min(left, kMostMade);
      sensors_.next(count, waiting);
      const rusage before = usage();
      Time time;
      for (size_t done = 0; done < count;) {
        throw_if_interrupted();
        const size_t due = std::min({static_cast<size_t>(time.now_s() / interval_s), done + kBatch, count});
        if (due == done) {
          time.wait_until(static_cast<double>(done + 1) * interval_s);
          continue;
        }
        const double cpu_start_s = cpu_seconds();
        engine_.process(std::span<const sensor::Message>(waiting).subspan(done, due - done), results_);
        results_.flush();
        const double now_s = time.now_s();
        if (pauses) pauses->add(now_s, cpu_start_s, cpu_seconds(), due - done);
        for (; done < due; ++done) {
          latency_ns.add(
              static_cast<uint64_t>(1e9 * std::max(0.0, now_s - static_cast<double>(done + 1) * interval_s)));
        }
      }
      left -= count;
      if (pauses) pauses->add(before, usage()), pauses->restart();
    }
  }

  static constexpr size_t kMostMade = 1 << 18;

  const BenchOptions& options_;
  size_t threads_;
  double state_bytes_;
  Sensors sensors_;
  sensor::Engine engine_;
  std::vector<sensor::Message> messages_;
  Lines results_;
};

void run_bench(const BenchOptions& options) {
  const std::shared_ptr<const ssm::Model> model = load_model(options.model);
  try {
    sensor::Engine::check_forecaster(*model);
  } catch (const Error& error) {
    throw Failure(kModelFailed, error.what());
  }
  const size_t series_bytes = sensor::Engine::bytes_per_series(*model),
               state_bytes = model->state_layout()->size * sizeof(float);
  Json report = {{"model", model->source()},
                 {"series", options.series},
                 {"bytes_per_series", series_bytes},
                 {"runs", Json::array()}};
  if (!options.json) {
    std::printf("%s, %zu series of %zu bytes, NDJSON in and out; latency at half the load\n",
                short_name(model->source()).c_str(), options.series, series_bytes);
    std::printf("%7s %6s %10s %9s %9s %21s %20s %8s %8s %8s %8s\n", "threads", "burst", "records/s", "cpu us",
                "parse us", "GMAC/s (of peak)", "state GB/s (of most)", "p50 us", "p99 us", "p99.9 us", "own p99");
  }
  for (const size_t threads : options.threads) {
    const Limits limits = measure_limits(model->target(), threads, options.series * state_bytes);
    for (const size_t burst : options.bursts) {
      const Result result = Bench(model, options, threads, burst).run();
      const auto us = [&](double percent) {
        return 1e-3 * static_cast<double>(result.latency_ns->percentile(percent));
      };
      const double own_p99_us =
          result.own_latency_ns ? 1e-3 * static_cast<double>(result.own_latency_ns->percentile(99)) : 0;
      report["runs"].push_back({{"threads", threads},
                                {"burst", burst},
                                {"records_per_s", result.records_per_s},
                                {"cpu_us", result.cpu_us},
                                {"parse_us", result.parse_us},
                                {"macs_per_s", result.macs_per_s},
                                {"peak_macs_per_s", limits.macs_per_s},
                                {"state_bytes_per_s", result.state_bytes_per_s},
                                {"most_state_bytes_per_s", limits.update_bytes_per_s},
                                {"p50_us", us(50)},
                                {"p99_us", us(99)},
                                {"p99_9_us", us(99.9)}});
      if (result.own_latency_ns) {
        const Pauses& pauses = result.pauses;
        report["runs"].back().update({{"own_p99_us", own_p99_us},
                                      {"longest_without_core_us", pauses.longest_without_core_us},
                                      {"longest_call_cpu_us", pauses.longest_call_cpu_us},
                                      {"longest_call_records", pauses.its_records},
                                      {"page_faults", pauses.page_faults},
                                      {"preemptions", pauses.preemptions}});
      }
      if (options.json) continue;
      const std::string macs = percent_of(result.macs_per_s, limits.macs_per_s),
                        bytes = percent_of(result.state_bytes_per_s, limits.update_bytes_per_s);
      std::printf("%7zu %6zu %10.0f %9.2f %9.2f %21s %20s %8.0f %8.0f %8.0f %8s\n", threads, burst,
                  result.records_per_s, result.cpu_us, result.parse_us, macs.c_str(), bytes.c_str(), us(50), us(99),
                  us(99.9), result.own_latency_ns ? number(own_p99_us, 3).c_str() : "");
      std::fflush(stdout);
    }
  }
  if (options.json) std::printf("%s\n", report.dump(2).c_str());
}

}  // namespace

CLI::App* setup_bench_stream(CLI::App& bench, int& exit_code) {
  CLI::App* command =
      bench.add_subcommand("stream", "Measure records of sensor data per second, and their latency at half that load");
  command->footer(
      "First processes records at full speed, then at half that rate to measure latency. Takes about SECONDS per\n"
      "measurement.\n"
      "Exit codes: 0 measured, 2 wrong options, 3 the model cannot be loaded, 130 interrupted.");
  auto options = std::make_shared<BenchOptions>();
  command->add_option("model", options->model, "Forecaster: model file, or name of a preset")
      ->required()
      ->type_name("MODEL");
  command->add_option("--threads", options->threads, "Numbers of threads")
      ->delimiter(',')
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command->add_option("--burst", options->bursts, "Consecutive records of one sensor, before those of the next")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--forecast", options->horizons, "Further forecasts in each result, as in coil stream")
      ->delimiter(',')
      ->check(CLI::Range(size_t{1}, sensor::kHorizons));
  command->add_option("--series", options->series, "Sensors")->check(CLI::Range(1, 10'000'000))->capture_default_str();
  command->add_option("--seconds", options->seconds, "Of each measurement")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  command->add_flag("--json", options->json, "As one JSON object");
  command->callback([options, &exit_code] {
    run_bench(*options);
    exit_code = kOk;
  });
  return command;
}

}  // namespace coil::cli
