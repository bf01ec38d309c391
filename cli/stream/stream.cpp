// `coil stream`: reads records, writes them with forecasts and scores, and keeps its knowledge in a state file.
#include "cli/commands.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cli/failure.h"
#include "cli/interrupt.h"
#include "cli/models.h"
#include "cli/stream/stream_links.h"
#include "cli/stream/stream_monitor.h"
#include "cli/stream/stream_outputs.h"
#include "cli/stream/stream_plot.h"
#include "cli/text.h"
#include "sensor/run.h"
#include "sensor/formats/timestamp.h"
#include "sensor/scoring/forecast.h"
#include "sensor/service/log.h"
#include "base/error.h"

namespace coil::cli {
namespace {

constexpr const char* kDefaultModel = "watch";
constexpr const char* kDefaultPace = "10s";
constexpr double kDefaultSilence = 5, kLeastSilence = 1.5;

struct StreamOptions {
  std::string model = kDefaultModel, checkpoint_every = kDefaultPace, config, plot, metrics, log = "text";
  std::string every, aggregate;
  sensor::EngineOptions engine;
  LinkOptions links;
  OutputOptions outputs;
  size_t memory_mb = 0;
  bool describe = false, alone = false;
};

// "5000" records or "30s".
sensor::CheckpointPace parse_pace(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string unit(end, text.data() + text.size());
  if (error == std::errc() && value > 0 && value < 1e9) {
    if (unit == "s") return {0, std::chrono::milliseconds(std::max(1LL, std::llround(1000 * value)))};
    if (unit.empty() && value == std::floor(value)) return {static_cast<uint64_t>(value), std::chrono::milliseconds(0)};
  }
  throw Failure(kUsage,
                "--checkpoint-every " + text + ": wanted is a number of records, as 5000, or of seconds, as 30s");
}

void describe(const ssm::Model& model) {
  const size_t bytes = sensor::Engine::bytes_per_series(model);
  std::printf("%s: %s\n", short_name(model.source()).c_str(), model.card().description.c_str());
  std::printf("a series takes %zu bytes: %zu of the model's state, %zu beside it\n", bytes,
              model.state_layout()->size * sizeof(float), bytes - model.state_layout()->size * sizeof(float));
  std::printf("100,000 series take %s GB; a record costs %s multiply-adds\n", number(bytes * 1e5 / 1e9, 3).c_str(),
              number(model.cost().macs_per_step, 7).c_str());
}

void print_summary(const sensor::Counters& counters) {
  const auto line = [](const char* what, uint64_t count) {
    if (count > 0) std::fprintf(stderr, "  %-18s %llu\n", what, static_cast<unsigned long long>(count));
  };
  std::fprintf(stderr, "coil: summary\n");
  line("records", counters.records);
  line("of so many", counters.collected);
  line("sensors", counters.sensors);
  line("series in memory", counters.series);
  line("anomalies", counters.anomalies);
  line("episodes", counters.episodes);
  line("silences", counters.silences);
  line("malformed", counters.malformed);
  line("unscored", counters.unscored);
  line("late", counters.late);
  line("future", counters.future);
  line("clock jumps", counters.clock_jumps);
  line("duplicates", counters.duplicates);
  line("skipped", counters.skipped);
  line("missing values", counters.missing_values);
  line("filled steps", counters.filled_steps);
  line("long gaps", counters.long_gaps);
  line("evictions", counters.evictions);
  line("returns", counters.returns);
  line("model restarts", counters.restarts);
  line("checkpoints", counters.checkpoints);
}

// Where the source continues, if it can.
void go_on(const StreamOptions& options, const sensor::Engine& engine, sensor::Source& source, const sensor::Log& log) {
  const bool is_followed = !options.links.follow.empty();
  if (!options.engine.resume) return;
  if (source.place_after(0).empty() && !is_followed) {
    log.write(
        sensor::LogLevel::kWarning, "",
        "--resume: a pipe begins where it begins, and nothing of it is skipped; FILE, < FILE or --follow FILE go on "
        "where the state ends");
  } else if (!engine.place().empty()) {
    source.go_on(engine.place());
  } else if (engine.has_state()) {
    log.write(sensor::LogLevel::kWarning, "",
              std::string(is_followed ? "--follow" : "--resume") +
                  ": the state was made from a pipe and does not say "
                  "how far a file was read; it is read from its beginning");
  }
}

// Reads the file again on SIGHUP. If the new file is unusable, the settings stay as they are.
class Settings {
 public:
  Settings(std::string path, const sensor::Log& log) : path_(std::move(path)), log_(log) {
    if (!path_.empty()) catch_reload();
  }

  void reload_if_asked(sensor::Engine& engine) const {
    if (path_.empty() || !asked_to_reload()) return;
    try {
      engine.use(sensor::AllSensorSettings::load(path_));
      log_.write(sensor::LogLevel::kInfo, "", "--config: " + in_quotes(path_) + " was read again");
    } catch (const Error& error) {
      log_.write(sensor::LogLevel::kError, "",
                 std::string("--config: ") + error.what() + "; the settings stay as they were");
    }
  }
  void tell_unused(const sensor::Engine& engine) const {
    if (!engine.settings()) return;
    for (const std::string& line : engine.settings()->unused())
      log_.write(sensor::LogLevel::kWarning, "", "--config: " + line);
  }

 private:
  std::string path_;
  const sensor::Log& log_;
};

void check_every(StreamOptions& options) {
  if (options.every.empty()) {
    if (!options.aggregate.empty()) throw Failure(kUsage, "--aggregate needs --every, the interval");
    return;
  }
  const std::optional<int64_t> length_ns = sensor::Intervals::parse_length(options.every);
  if (!length_ns) {
    throw Failure(kUsage, "--every " + options.every +
                              ": wanted is a part of a day without remainder, as 10s, 5min, 30min, 1h, or 1d or 7d");
  }
  options.engine.every = {*length_ns, sensor::parse_aggregate(options.aggregate).value_or(sensor::Aggregate::kMean)};
  if (options.engine.reorder_records > 0) {
    throw Failure(kUsage, "--reorder does not go with --every: within an interval, records may come in any order");
  }
}

void check_groups(const sensor::EngineOptions& engine) {
  const std::vector<std::string>&keys = engine.schema.keys, &groups = engine.schema.groups;
  if (!groups.empty() && !engine.judges_relations) throw Failure(kUsage, "--group does not go with --alone");
  if (groups.empty() || keys.empty() || groups == std::vector<std::string>{"*"}) return;
  for (const std::string& name : groups) {
    if (std::find(keys.begin(), keys.end(), name) == keys.end())
      throw Failure(kUsage, "--group " + name + ": is no field of --key; '*' groups all sensors");
  }
}

void check(StreamOptions& options) {
  options.engine.judges_relations = !options.alone;
  check_groups(options.engine);
  check_every(options);
  for (const size_t horizon : options.engine.horizons) {
    if (horizon < 1 || horizon > sensor::kHorizons) {
      throw Failure(kUsage, "--forecast " + std::to_string(horizon) + ": horizons lie between 1 and " +
                                std::to_string(sensor::kHorizons));
    }
  }
  if (const double times = options.engine.silence_times; times != 0 && !(times >= kLeastSilence && times < 1e9)) {
    throw Failure(kUsage, "--silence " + number(times, 6) + ": wanted are at least " + number(kLeastSilence, 2) +
                              " usual intervals, or 0 for none");
  }
  if (!options.plot.empty()) StreamPlot::check_path(options.plot);
  if (!options.plot.empty() && !options.engine.output_format.empty())
    throw Failure(kUsage, "--plot writes a picture in place of records: --output-format does not go with it");
  if (options.engine.resume && options.engine.state.empty())
    throw Failure(kUsage, "--resume needs --state, which stores the position");
  if (const std::string why = sensor::wrong_time_format(options.engine.schema.time_format); !why.empty()) {
    throw Failure(kUsage, "--time-format '" + options.engine.schema.time_format + "': " + why);
  }
  if (!options.config.empty()) {
    try {
      options.engine.settings = sensor::AllSensorSettings::load(options.config);
    } catch (const Error& error) {
      throw Failure(kUsage, std::string("--config ") + error.what());
    }
  }
  check_outputs(options.outputs, options.engine);
  options.engine.writes_silences = !options.outputs.only.empty();
  check_links(options.links, options.engine);
  if (!options.metrics.empty()) check_monitor(options.metrics);
}

int watch(StreamOptions options, const sensor::Log& log) {
  const sensor::CheckpointPace pace = parse_pace(options.checkpoint_every);
  const std::shared_ptr<const ssm::Model> model = load_model(options.model);
  try {
    sensor::Engine::check_forecaster(*model);
  } catch (const Error& error) {
    throw Failure(kModelFailed, error.what());
  }
  if (options.describe) {
    describe(*model);
    return kOk;
  }
  if (options.memory_mb > 0) {
    const size_t series = std::max<size_t>(1, options.memory_mb * 1'000'000 / sensor::Engine::bytes_per_series(*model));
    options.engine.max_series = options.engine.max_series == 0 ? series : std::min(series, options.engine.max_series);
  }
  Links links;
  sensor::RareWarnings warnings(log);
  sensor::Engine engine(model, options.engine, [&](const sensor::Message& message, const std::string& what) {
    warnings.write(links.source ? links.source->describe(message) : "the state", what);
  });
  links = open_links(options.links, options.engine, log);
  go_on(options, engine, *links.source, log);
  StreamPlot* plot = nullptr;
  if (!options.plot.empty()) {
    const std::string& input = options.links.follow.empty() ? options.links.input : options.links.follow.front();
    const std::string title = input == "-" ? "coil stream" : std::filesystem::path(input).stem().string();
    const auto sink =
        std::make_shared<StreamPlot>(StreamPlotOptions{options.engine.schema.keys, options.engine.threshold, title});
    plot = sink.get();
    links.sink = sink;
  }
  bool has_found = false, has_lost_events = false;
  const Settings settings(options.config, log);
  const auto stop = [&] {
    settings.reload_if_asked(engine);
    return interrupted();
  };
  {
    StreamOutputs outputs(options.outputs, links, !options.metrics.empty(), log);
    if (options.metrics.empty()) {
      sensor::run(engine, *links.source, outputs.sink(), pace, stop);
    } else {
      StreamMonitor monitor(options.metrics, engine, links, outputs, log);
      sensor::run(engine, monitor.source(), monitor.sink(), pace, stop);
    }
    warnings.finish();
    settings.tell_unused(engine);
    if (options.outputs.summary) print_summary(engine.counters()), outputs.print_sensors();
    has_found = outputs.has_found();
    has_lost_events = outputs.finish_deliveries() > 0;
  }
  if (const std::string why = engine.nothing_used(); !why.empty() && !interrupted()) throw Failure(kFailed, why);
  if (plot) plot->draw(options.plot);
  if (interrupted()) return kInterrupted;
  if (has_lost_events) return kUndelivered;
  return has_found && !options.outputs.fail_on.empty() ? kFound : kOk;
}

int run_stream(StreamOptions options) {
  check(options);
  if (options.log == "text") return watch(std::move(options), sensor::Log());
  const sensor::Log log(sensor::Log::Format::kJson);
  try {
    return watch(std::move(options), log);
  } catch (const Failure& failure) {
    log.write(sensor::LogLevel::kError, "", failure.what());
    return failure.exit_code();
  } catch (const std::exception& error) {
    log.write(sensor::LogLevel::kError, "", error.what());
    return kFailed;
  }
}

// Options for the meaning of records and the form of the output.
void add_record_options(CLI::App& command, StreamOptions& options) {
  sensor::EngineOptions& engine = options.engine;
  command.add_option("-m,--model", options.model, "Model file, or name of a preset")
      ->type_name("MODEL")
      ->capture_default_str();
  command
      .add_option("--key", engine.schema.keys,
                  "Fields or tags that identify a sensor (default for line protocol: measurement and tags)")
      ->type_name("FIELD,...")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_option("--value", engine.schema.values, "Fields to watch (default: all numbers)")
      ->type_name("FIELD,...")
      ->delimiter(',')
      ->allow_extra_args(false);
  command
      .add_option(
          "--time", engine.schema.time,
          "Field of the time, or fields of date and time of day (default: one called time, timestamp, date, ts ...)")
      ->type_name("FIELD[,FIELD]");
  command
      .add_option("--time-format", engine.schema.time_format,
                  "Format of times: a format for strptime with %f for a fraction, or s, ms, us or ns")
      ->type_name("FORMAT");
  command.add_option("--input-format", engine.input_format, "Format of the input (default: detected)")
      ->check(CLI::IsMember({"ndjson", "csv", "line"}));
  command.add_option("--output-format", engine.output_format, "Format of the output (default: that of the input)")
      ->check(CLI::IsMember({"ndjson", "csv", "line"}));
  command.add_option("--prefix", engine.prefix, "Prefix of the names of added fields")->type_name("TEXT");
  command
      .add_option("--forecast", engine.horizons,
                  "Add forecasts for H records ahead: V_forecast_H, V_forecast_H_low, V_forecast_H_high")
      ->type_name("H,...")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_option("--threshold", engine.threshold, "Records with at least this score are anomalies")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command
      .add_option(
          "--config", options.config,
          "Settings of single sensors: threshold, limits, units, name, interval, maintenance (TOML; read again at "
          "SIGHUP)")
      ->type_name("FILE");
  command
      .add_option("--silence", engine.silence_times,
                  "Report a sensor as silent when nothing has arrived for this many of its usual intervals (0: never)")
      ->type_name("TIMES")
      ->capture_default_str();
  command
      .add_option("--group", engine.schema.groups,
                  "Judge the sensors together that agree in these fields of --key; '*': all sensors (default: only the "
                  "values of one sensor)")
      ->type_name("FIELD,...")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_flag("--alone", options.alone, "Judge each value only by itself, not its relation to others");
  command
      .add_option("--every", options.every,
                  "Make one record of all those of an interval, by their times: 10s, 5min, 1h, 1d, 7d (in UTC)")
      ->type_name("INTERVAL");
  command
      .add_option("--aggregate", options.aggregate,
                  "Which statistic of an interval's numbers is watched (default: mean)")
      ->check(CLI::IsMember({"mean", "last", "min", "max", "count"}));
  command.add_option("--hold-off", engine.hold_off_records, "Records without an anomaly that end an episode")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command
      .add_option("--reorder", engine.reorder_records, "Records of a sensor that are held back, to sort them by time")
      ->check(CLI::Range(0, 1 << 16))
      ->capture_default_str();
  command
      .add_option("--future", engine.future_s,
                  "Do not believe a record that is more than this many seconds ahead of the last one (0: believe all)")
      ->check(CLI::Range(0.0, 1e12))
      ->capture_default_str();
}

// Options for running as a service, and for monitoring.
void add_service_options(CLI::App& command, StreamOptions& options) {
  sensor::EngineOptions& engine = options.engine;
  command
      .add_option("--state", engine.state,
                  "File that stores the state of all sensors and the position in the input; if it exists, the run "
                  "continues from it")
      ->type_name("FILE");
  command
      .add_option("--checkpoint-every", options.checkpoint_every,
                  "How often the state is written: a number of records, or seconds as 30s")
      ->type_name("N|Ns")
      ->capture_default_str();
  command.add_flag(
      "--resume", engine.resume,
      "Continue the file that the state was made from, given as FILE or < FILE, at the byte where the state ended");
  command
      .add_option("--max-series", engine.max_series,
                  "Series in memory; those that were idle longest are moved to disk (0: no limit)")
      ->capture_default_str();
  command.add_option("--memory", options.memory_mb, "The same limit in MB")->type_name("MB");
  command.add_option("--threads", engine.threads, "Threads")->check(CLI::Range(1, 256))->capture_default_str();
  command
      .add_option(
          "--metrics", options.metrics,
          "Serve /metrics for Prometheus and /health over HTTP, only on this machine unless an address is given")
      ->type_name("[ADDRESS:]PORT");
  command.add_option("--log", options.log, "Format of messages on standard error")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  command.add_option("--plot", options.plot, "Draw series, bounds, scores and episodes instead of writing records")
      ->type_name("HTML|PNG");
  command.add_flag("--describe", options.describe, "Print the cost of a series, and exit");
}

}  // namespace

CLI::App* setup_stream(CLI::App& app, int& exit_code) {
  CLI::App* command =
      app.add_subcommand("stream", "Watch live sensor data: forecasts with bounds, anomaly scores, episodes");
  command->footer(
      "Reads records from standard input (NDJSON, CSV with header, or InfluxDB line protocol, detected from the first "
      "record)\n"
      "and writes each with added fields. For a value field V: V_expected, V_low, V_high (median, 10 % and 90 % "
      "quantile of\n"
      "the forecast for this record). For the record:\n"
      "  score    0 to 1: how unusual the record is for its series; 0.5 is worth an alarm; reported once per event\n"
      "  status   warmup, ok, anomaly, missing, late, future, maintenance; unscored: no number, or key or time "
      "unreadable\n"
      "  episode  begin, on, end; null outside\n"
      "  cause    of an anomaly: the value, and its kind: level, jump, unrest, calm, stuck, drift, limit,\n"
      "           relation\n"
      "Times are RFC 3339, or numbers since 1970: below 1e11 s, below 1e14 ms, below 1e17 us, else ns; for other forms "
      "use\n"
      "--time-format. If the records have a field with the name of an added one, that is called coil_NAME. Records "
      "that\n"
      "cannot be scored are passed on unchanged.");
  auto options = std::make_shared<StreamOptions>();
  options->engine.silence_times = kDefaultSilence;
  add_link_options(*command, options->links);
  add_record_options(*command, *options);
  add_service_options(*command, *options);
  add_output_options(*command, options->outputs);
  command->callback([options, &exit_code] { exit_code = run_stream(*options); });
  return command;
}

}  // namespace coil::cli
