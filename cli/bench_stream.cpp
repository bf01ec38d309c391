// `coil bench stream`: made-up sensors through an engine, from text to text, first as fast as it goes, then at a pace.
#include "cli/bench_stream.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

#include "cli/failure.h"
#include "cli/interrupt.h"
#include "cli/log_histogram.h"
#include "cli/models.h"
#include "cli/text.h"
#include "sensor/engine.h"
#include "ssm/error.h"

namespace coil::cli {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

struct BenchOptions {
  std::string model;
  std::vector<size_t> threads{1, 2};
  size_t series = 10'000;
  double seconds = 5;
  bool json = false;
};

constexpr size_t kBatch = 4096;
constexpr int kRounds = 3;

// Noisy levels, one record of each sensor after the other, without end.
class Sensors {
 public:
  explicit Sensors(size_t series) : series_(series) {}

  void next(size_t count, std::vector<sensor::Message>& messages) {
    messages.resize(count);
    for (sensor::Message& message : messages) {
      char text[96];
      const size_t time_s = 1'700'000'000 + 60 * (record_ / series_);
      std::snprintf(text, sizeof text, "{\"sensor\":\"s%zu\",\"time\":%zu,\"value\":%.3f}", record_ % series_, time_s, 20 + noise_(random_));
      message.text = text;
      ++record_;
    }
  }

 private:
  size_t series_, record_ = 0;
  std::mt19937 random_{1};
  std::normal_distribution<double> noise_;
};

struct Result {
  size_t threads;
  double records_per_s = 0, parse_ns = 0;
  std::unique_ptr<LogHistogram> latency_ns = std::make_unique<LogHistogram>();
};

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

Result measure(const std::shared_ptr<const ssm::Model>& model, const BenchOptions& options, size_t threads) {
  sensor::EngineOptions engine_options;
  engine_options.schema.keys = {"sensor"};
  engine_options.threads = threads;
  sensor::Engine engine(model, engine_options, [](const sensor::Message&, const std::string& what) { throw Failure(kFailed, what); });
  Sensors sensors(options.series);
  std::vector<sensor::Message> messages, results;
  for (size_t made = 0; made < options.series; made += kBatch) {  // every sensor is known
    sensors.next(std::min(kBatch, options.series - made), messages);
    engine.process(messages, results);
  }
  Result result{threads};
  for (int round = 0; round < kRounds; ++round) {
    double busy_s = 0, parse_s = 0;
    size_t records = 0;
    const auto format = sensor::make_format("ndjson");
    sensor::Record record;
    while (busy_s < options.seconds / kRounds) {
      throw_if_interrupted();
      sensors.next(kBatch, messages);
      results.clear();
      auto start = Clock::now();
      engine.process(messages, results);
      busy_s += seconds_since(start);
      start = Clock::now();
      for (const sensor::Message& message : messages) format->parse(message.text, record);
      parse_s += seconds_since(start);
      records += kBatch;
    }
    result.records_per_s = std::max(result.records_per_s, static_cast<double>(records) / busy_s);
    const double parse_ns = 1e9 * parse_s / static_cast<double>(records);
    result.parse_ns = round == 0 ? parse_ns : std::min(result.parse_ns, parse_ns);
  }
  // Records are due at even intervals; what is due is processed together.
  const double interval_s = 2 / result.records_per_s;
  const auto start = Clock::now();
  for (size_t done = 0; static_cast<double>(done) * interval_s < options.seconds;) {
    throw_if_interrupted();
    const auto due = std::min(static_cast<size_t>(seconds_since(start) / interval_s), done + kBatch);
    if (due == done) continue;
    sensors.next(due - done, messages);
    results.clear();
    engine.process(messages, results);
    const double now_s = seconds_since(start);
    for (; done < due; ++done) result.latency_ns->add(static_cast<uint64_t>(1e9 * std::max(0.0, now_s - static_cast<double>(done) * interval_s)));
  }
  return result;
}

void run_bench(const BenchOptions& options) {
  const std::shared_ptr<const ssm::Model> model = load_model(options.model);
  try {
    sensor::Engine::check_forecaster(*model);
  } catch (const ssm::Error& error) {
    throw Failure(kModelFailed, error.what());
  }
  Json report = {{"model", model->source()},
                 {"series", options.series},
                 {"bytes_per_series", sensor::Engine::bytes_per_series(*model)},
                 {"runs", Json::array()}};
  if (!options.json) {
    std::printf("%s, %zu series of %zu bytes, NDJSON in and out; latency at half the load\n", short_name(model->source()).c_str(), options.series,
                sensor::Engine::bytes_per_series(*model));
    std::printf("%8s %12s %12s %10s %10s %10s %10s\n", "threads", "records/s", "us a record", "of parsing", "p50 us", "p99 us", "p99.9 us");
  }
  for (const size_t threads : options.threads) {
    const Result result = measure(model, options, threads);
    const auto us = [&](double percent) { return 1e-3 * static_cast<double>(result.latency_ns->percentile(percent)); };
    report["runs"].push_back({{"threads", threads}, {"records_per_s", result.records_per_s}, {"parse_ns", result.parse_ns}, {"p50_us", us(50)},
                              {"p99_us", us(99)}, {"p99_9_us", us(99.9)}});
    if (options.json) continue;
    std::printf("%8zu %12.0f %12.2f %10.2f %10.0f %10.0f %10.0f\n", threads, result.records_per_s, 1e6 / result.records_per_s,
                1e-3 * result.parse_ns, us(50), us(99), us(99.9));
    std::fflush(stdout);
  }
  if (options.json) std::printf("%s\n", report.dump(2).c_str());
}

}  // namespace

CLI::App* setup_bench_stream(CLI::App& bench, int& exit_code) {
  CLI::App* command = bench.add_subcommand("stream", "Records of sensor data a second, and their latency at half that load");
  auto options = std::make_shared<BenchOptions>();
  command->add_option("model", options->model, "Forecaster: model file, or name of a preset")->required()->type_name("MODEL");
  command->add_option("--threads", options->threads, "Numbers of threads")->delimiter(',')->check(CLI::Range(1, 256))->capture_default_str();
  command->add_option("--series", options->series, "Sensors")->check(CLI::Range(1, 10'000'000))->capture_default_str();
  command->add_option("--seconds", options->seconds, "Of each measurement")->check(CLI::Range(0.01, 3600.0))->capture_default_str();
  command->add_flag("--json", options->json, "As one JSON object");
  command->callback([options, &exit_code] {
    run_bench(*options);
    exit_code = kOk;
  });
  return command;
}

}  // namespace coil::cli
