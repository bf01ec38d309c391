// The chain: since -> tallies, actions, what was found -> only -> output.
#include "cli/stream/stream_outputs.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/error.h"
#include "cli/failure.h"
#include "cli/text.h"
#include "sensor/formats/timestamp.h"

namespace coil::cli {
namespace {

sensor::ResultFilter::Only only_of(const std::string& text) {
  return text == "anomaly"    ? sensor::ResultFilter::Only::kAnomalies
         : text == "episodes" ? sensor::ResultFilter::Only::kEpisodes
                              : sensor::ResultFilter::Only::kAll;
}

std::string when(const std::optional<int64_t>& time_ns, uint64_t record) {
  return time_ns ? sensor::format_timestamp(*time_ns) : "record " + std::to_string(record);
}

void print_sensor(const sensor::SensorTally& tally) {
  const auto count = [](uint64_t number, const char* what) { return counted(static_cast<long long>(number), what); };
  std::string line = "  " + (tally.name.empty() ? "(all records)" : tally.name);
  if (!tally.display_name.empty()) line += " (" + tally.display_name + ")";
  line += ": " + count(tally.records, "record");
  if (tally.first_ns && tally.last_ns) {
    line += " from " + sensor::format_timestamp(*tally.first_ns) + " to " + sensor::format_timestamp(*tally.last_ns);
  }
  line += ", " + count(tally.gaps, "gap") + ", " + count(tally.episodes, "episode");
  std::fprintf(stderr, "%s\n", line.c_str());
  if (tally.episodes > tally.last_episodes.size()) {
    std::fprintf(stderr, "    the last %zu episodes:\n", tally.last_episodes.size());
  }
  for (const sensor::SensorTally::Episode& episode : tally.last_episodes) {
    const std::string end = episode.end_record > 0 ? when(episode.end_ns, episode.end_record) : "now";
    std::fprintf(stderr, "    %s to %s: %s\n", when(episode.begin_ns, episode.begin_record).c_str(), end.c_str(),
                 episode.cause.c_str());
  }
}

}  // namespace

class StreamOutputs::Finder final : public sensor::Sink {
 public:
  bool wants_text() const override { return false; }
  void write(const sensor::Result& result) override { has_found = has_found || result.cause != nullptr; }
  void note(const sensor::Silence& silence) override { has_found = has_found || !silence.has_ended; }

  bool has_found = false;
};

void add_output_options(CLI::App& command, OutputOptions& options) {
  const auto group = [&](CLI::Option* option) { return option->group("Acting on results"); };
  group(
      command.add_option("--only", options.only, "Write only anomalies and silences, or only the records of episodes"))
      ->check(CLI::IsMember({"anomaly", "episodes"}));
  group(
      command.add_option("--exec", options.commands,
                         "Run a command of the shell when an episode begins and when it ends: the event as JSON on "
                         "its standard input, and in $COIL_SENSOR, $COIL_NAME, $COIL_EPISODE, $COIL_TIME, $COIL_CAUSE"))
      ->type_name("COMMAND")
      ->allow_extra_args(false);
  group(command.add_option("--webhook", options.webhooks,
                           "POST the same event as JSON to a web server, for example http://localhost:8080/alarm"))
      ->type_name("URL")
      ->allow_extra_args(false);
  group(command.add_option("--patience", options.patience_s,
                           "How many seconds a failing command or web server is retried"))
      ->type_name("S")
      ->check(CLI::Range(size_t{1}, size_t{1'000'000}))
      ->capture_default_str();
  group(command.add_flag("--train-only", options.train_only,
                         "Learn from the records and write nothing, to prepare a --state from history"));
  group(command.add_option(
            "--since", options.since,
            "Learn from older records without writing them: a time, as 2026-01-31 or 2026-01-31T12:00:00Z"))
      ->type_name("TIME");
  group(command.add_option("--fail-on", options.fail_on, "Exit with code 5 if an anomaly or a silence was found"))
      ->check(CLI::IsMember({"anomaly"}));
  group(command.add_flag("--summary", options.summary,
                         "At the end, print counts to standard error, and for each sensor records, gaps, and time and "
                         "cause of its episodes"));
  group(command.add_option("--metrics-sensors", options.metrics_sensors,
                           "Number of sensors with separate metrics, the first ones to appear (0: none)"))
      ->type_name("N")
      ->capture_default_str();
}

void check_outputs(const OutputOptions& options, const sensor::EngineOptions& engine) {
  if (!options.since.empty() && !sensor::parse_timestamp(options.since))
    throw Failure(kUsage, "--since '" + options.since + "': wanted is a time, as 2026-01-31T12:00:00Z");
  if (options.train_only && engine.state.empty())
    throw Failure(kUsage, "--train-only needs --state, which stores what was learnt");
  const bool acts = !options.commands.empty() || !options.webhooks.empty() || !options.only.empty() ||
                    !options.since.empty() || !options.fail_on.empty();
  if (options.train_only && acts)
    throw Failure(kUsage,
                  "--train-only writes nothing: --only, --since, --fail-on, --exec, --webhook do not go with it");
#ifdef COIL_METRICS
  try {
    for (const std::string& url : options.webhooks) sensor::post_to(url);
  } catch (const Error& error) {
    throw Failure(kUsage, std::string("--webhook ") + error.what());
  }
#else
  if (!options.webhooks.empty()) {
    throw Failure(kUsage, "--webhook: this coil was built without HTTP; install libcpp-httplib-dev and build it again");
  }
#endif
}

StreamOutputs::StreamOutputs(const OutputOptions& options, Links& links, bool has_metrics, const sensor::Log& log)
    : metrics_sensors_(options.metrics_sensors),
      finder_(std::make_unique<Finder>()),
      only_(std::make_unique<sensor::FilteredSink>(*links.sink, sensor::ResultFilter{only_of(options.only), {}})) {
  std::vector<sensor::Sink*> sinks = {finder_.get()};
  if (options.summary || (has_metrics && options.metrics_sensors > 0)) {
    tallies_ = std::make_unique<sensor::SensorTallies>(options.summary ? 0 : options.metrics_sensors);
    sinks.push_back(tallies_.get());
  }
  const auto add_queue = [&](const char* name, sensor::DeliveryQueue::Deliver deliver) {
    sensor::DeliveryQueue::Options queue{.name = name, .patience = std::chrono::seconds(options.patience_s)};
    queues_.push_back(std::make_unique<sensor::DeliveryQueue>(std::move(queue), std::move(deliver), log));
  };
  for (const std::string& command : options.commands) add_queue("--exec", sensor::run_command(command));
#ifdef COIL_METRICS
  for (const std::string& url : options.webhooks) add_queue("--webhook", sensor::post_to(url));
#endif
  if (!queues_.empty()) {
    std::vector<sensor::DeliveryQueue*> queues;
    for (const auto& queue : queues_) queues.push_back(queue.get());
    actions_ = std::make_unique<sensor::EpisodeActions>(std::move(queues));
    sinks.push_back(actions_.get());
    using Counts = sensor::DeliveryQueue::Counts;
    const auto add = [&](const char* name, const char* help, uint64_t Counts::*count, bool is_gauge) {
      links.counts.push_back({name, help, is_gauge, [this, count] {
                                double sum = 0;
                                for (const auto& queue : queues_) sum += static_cast<double>(queue->counts().*count);
                                return sum;
                              }});
    };
    add("coil_stream_events_delivered_total", "Events that commands and web servers took.", &Counts::delivered, false);
    add("coil_stream_events_retries_total", "Times that an event was tried again.", &Counts::retries, false);
    add("coil_stream_events_dropped_total", "Events that were given up.", &Counts::dropped, false);
    add("coil_stream_events_waiting", "Events that wait.", &Counts::waiting, true);
  }
  sinks.push_back(only_.get());
  fan_ = std::make_unique<sensor::FannedSink>(std::move(sinks));
  sensor::ResultFilter since;
  if (!options.since.empty()) since.since_ns = sensor::parse_timestamp(options.since);
  if (options.train_only) since.only = sensor::ResultFilter::Only::kNone;
  since_ = std::make_unique<sensor::FilteredSink>(*fan_, since);
}
StreamOutputs::~StreamOutputs() = default;

bool StreamOutputs::has_found() const { return finder_->has_found; }

uint64_t StreamOutputs::finish_deliveries() {
  uint64_t lost = 0;
  for (const auto& queue : queues_) lost += queue->finish();
  return lost;
}

void StreamOutputs::print_sensors() const {
  if (!tallies_) return;
  std::fprintf(stderr, "coil: sensors\n");
  tallies_->visit(print_sensor);
}

}  // namespace coil::cli
