// The list of metrics, and the latency measurement around the links.
#include "cli/stream/stream_monitor.h"

#include <atomic>
#include <limits>

#include "cli/failure.h"
#include "base/error.h"
#ifdef COIL_METRICS
#include "sensor/service/metrics_server.h"
#endif

namespace coil::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kWindow{30}, kSilence{30};

}  // namespace

void LatencyMeter::turn_over() {
  const auto now = Clock::now();
  if (now - turned_over_ < kWindow) return;
  std::swap(recent_ns_, before_ns_);
  *recent_ns_ = {};
  if (now - turned_over_ > 2 * kWindow) *before_ns_ = {};
  turned_over_ = now;
}

void LatencyMeter::add(std::chrono::nanoseconds latency, uint64_t records) {
  std::lock_guard lock(mutex_);
  turn_over();
  recent_ns_->add(static_cast<uint64_t>(latency.count()), records);
  sum_s_ += 1e-9 * static_cast<double>(latency.count()) * static_cast<double>(records);
  count_ += records;
}

LatencyMeter::Summary LatencyMeter::summary() {
  std::lock_guard lock(mutex_);
  turn_over();
  LogHistogram all = *before_ns_;
  all.add(*recent_ns_);
  const auto seconds = [&](double percent) {
    return all.count() == 0 ? std::numeric_limits<double>::quiet_NaN()
                            : 1e-9 * static_cast<double>(all.percentile(percent));
  };
  return {seconds(50), seconds(99), seconds(99.9), sum_s_, count_};
}

class StreamMonitor::MeasuredSource final : public sensor::Source {
 public:
  explicit MeasuredSource(sensor::Source& source) : source_(source) {}

  bool read(std::vector<sensor::Message>& messages, std::chrono::milliseconds wait) override {
    const bool more = source_.read(messages, wait);
    read_at = Clock::now();
    moved_at_ns = read_at.time_since_epoch().count();
    return more;
  }
  bool is_live() const override { return source_.is_live(); }
  void answered() override { source_.answered(); }
  void saved(const std::string& topic, int32_t partition, int64_t offset) override {
    source_.saved(topic, partition, offset);
  }
  std::string place_after(size_t messages) const override { return source_.place_after(messages); }
  void set_partition_hooks(sensor::PartitionHooks hooks) override { source_.set_partition_hooks(std::move(hooks)); }

  Clock::time_point read_at;
  std::atomic<int64_t> moved_at_ns{Clock::now().time_since_epoch().count()};

 private:
  sensor::Source& source_;
};

class StreamMonitor::MeasuredSink final : public sensor::Sink {
 public:
  MeasuredSink(sensor::Sink& sink, const MeasuredSource& source, LatencyMeter& latency)
      : sink_(sink), source_(source), latency_(latency) {}

  bool wants_text() const override { return sink_.wants_text(); }
  void write_header(const std::string& line) override { sink_.write_header(line); }
  void write(const sensor::Result& result) override {
    ++results_;
    sink_.write(result);
  }
  void note(const sensor::Silence& silence) override { sink_.note(silence); }
  void flush() override {
    sink_.flush();
    if (results_ > 0) latency_.add(Clock::now() - source_.read_at, results_);
    results_ = 0;
  }

 private:
  sensor::Sink& sink_;
  const MeasuredSource& source_;
  LatencyMeter& latency_;
  uint64_t results_ = 0;
};

#ifdef COIL_METRICS
namespace {

using sensor::Metric;

Metric single(const std::string& name, const std::string& help, Metric::Kind kind, double value,
              const std::string& labels = "") {
  return {name, help, kind, {{"", labels, value}}};
}

// A label's value, escaped for the text format.
std::string label_of(const std::string& name) {
  std::string label = "sensor=\"";
  for (const char c : name) {
    if (c == '\n') {
      label += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') label += '\\';
    label += c;
  }
  return label + '"';
}

// One family per counter, with one sample per sensor.
void add_sensors(const sensor::SensorTallies& tallies, size_t most, std::vector<Metric>& metrics) {
  struct Count {
    const char *name, *help;
    Metric::Kind kind;
    double (*of)(const sensor::SensorTally&);
  };
  using Tally = sensor::SensorTally;
  static constexpr Count kCounts[] = {
      {"records_total", "Records of a sensor that came out.", Metric::Kind::kCounter,
       [](const Tally& tally) { return static_cast<double>(tally.records); }},
      {"gaps_total", "Times that a sensor's values came again after missing ones.", Metric::Kind::kCounter,
       [](const Tally& tally) { return static_cast<double>(tally.gaps); }},
      {"anomalies_total", "Records of a sensor whose score reached the threshold.", Metric::Kind::kCounter,
       [](const Tally& tally) { return static_cast<double>(tally.anomalies); }},
      {"episodes_total", "Episodes of a sensor that began.", Metric::Kind::kCounter,
       [](const Tally& tally) { return static_cast<double>(tally.episodes); }},
      {"silences_total", "Times that a sensor did not come.", Metric::Kind::kCounter,
       [](const Tally& tally) { return static_cast<double>(tally.silences); }},
      {"silent", "1 while a sensor does not come.", Metric::Kind::kGauge,
       [](const Tally& tally) { return static_cast<double>(tally.is_silent); }},
      {"in_episode", "1 while a sensor is in an episode.", Metric::Kind::kGauge,
       [](const Tally& tally) { return static_cast<double>(tally.in_episode); }},
      {"score", "Score of a sensor's last record.", Metric::Kind::kGauge,
       [](const Tally& tally) { return tally.score; }},
  };
  for (const Count& count : kCounts) {
    Metric metric{std::string("coil_stream_sensor_") + count.name, count.help, count.kind, {}};
    tallies.visit([&](const Tally& tally) {
      if (metric.samples.size() < most) metric.samples.push_back({"", label_of(tally.name), count.of(tally)});
    });
    if (!metric.samples.empty()) metrics.push_back(std::move(metric));
  }
  metrics.push_back(single("coil_stream_sensors_not_told_apart_total",
                           "Results of sensors beyond the number that metrics tell apart.", Metric::Kind::kCounter,
                           static_cast<double>(tallies.left_out())));
}

std::vector<Metric> list_metrics(const sensor::Engine& engine, const Links& links, const StreamOutputs& outputs,
                                 LatencyMeter& latency) {
  const sensor::Counters& counters = engine.counters();
  std::vector<Metric> metrics;
  const auto counter = [&](const char* name, const char* help, uint64_t value) {
    metrics.push_back(single(std::string("coil_stream_") + name + "_total", help, Metric::Kind::kCounter,
                             static_cast<double>(value)));
  };
  const auto gauge = [&](const char* name, const char* help, double value) {
    metrics.push_back(single(std::string("coil_stream_") + name, help, Metric::Kind::kGauge, value));
  };
  counter("records", "Records that were scored.", counters.records);
  counter("malformed", "Records that could not be read.", counters.malformed);
  counter("unscored", "Records that came out without a score: no number, key or time in them.", counters.unscored);
  counter("late", "Records older than already scored ones.", counters.late);
  counter("future", "Records too far ahead to be believed.", counters.future);
  counter("clock_jumps", "Times that the clock of late or future records was taken over.", counters.clock_jumps);
  counter("duplicates", "Records dropped because they were there already.", counters.duplicates);
  counter("skipped", "Records that the state had seen.", counters.skipped);
  counter("gaps", "Gaps too long to be filled.", counters.long_gaps);
  counter("filled_steps", "Missing steps that the model was told of.", counters.filled_steps);
  counter("missing_values", "Values that were null.", counters.missing_values);
  counter("anomalies", "Records whose score reached the threshold.", counters.anomalies);
  counter("episodes", "Episodes that began.", counters.episodes);
  counter("silences", "Times that a sensor did not come.", counters.silences);
  counter("resets", "Model states that left the finite numbers and started anew.", counters.restarts);
  counter("evictions", "Sensors that went to disk.", counters.evictions);
  counter("returns", "Sensors that came back from disk.", counters.returns);
  counter("checkpoints", "Checkpoints written.", counters.checkpoints);
  gauge("sensors", "Sensors known.", static_cast<double>(counters.sensors));
  gauge("series", "Series in memory.", static_cast<double>(counters.series));
  for (const LinkCount& count : links.counts) {
    metrics.push_back(
        single(count.name, count.help, count.is_gauge ? Metric::Kind::kGauge : Metric::Kind::kCounter, count.value()));
  }
  if (outputs.tallies()) add_sensors(*outputs.tallies(), outputs.metrics_sensors(), metrics);
  const LatencyMeter::Summary times = latency.summary();
  metrics.push_back({"coil_stream_latency_seconds",
                     "From a record's reading to its result's being out; quantiles of the last minute.",
                     Metric::Kind::kSummary,
                     {{"", "quantile=\"0.5\"", times.p50_s},
                      {"", "quantile=\"0.99\"", times.p99_s},
                      {"", "quantile=\"0.999\"", times.p999_s},
                      {"_sum", "", times.sum_s},
                      {"_count", "", static_cast<double>(times.count)}}});
  metrics.push_back(single("coil_build_info", "Always 1.", Metric::Kind::kGauge, 1,
                           "version=\"" COIL_VERSION "\",model_hash=\"" + engine.model().hash() + "\""));
  return metrics;
}

}  // namespace

struct StreamMonitor::Server : sensor::MetricsServer {
  using MetricsServer::MetricsServer;
};

StreamMonitor::StreamMonitor(const std::string& address, const sensor::Engine& engine, Links& links,
                             StreamOutputs& outputs, const sensor::Log& log)
    : source_(std::make_unique<MeasuredSource>(*links.source)),
      sink_(std::make_unique<MeasuredSink>(outputs.sink(), *source_, latency_)) {
  const Links* const asked = &links;
  server_ = std::make_unique<Server>(
      sensor::parse_metrics_address(address),
      [this, &engine, &outputs, asked] { return list_metrics(engine, *asked, outputs, latency_); },
      [this, asked]() -> sensor::Health {
        const int64_t silence_ns = Clock::now().time_since_epoch().count() - source_->moved_at_ns;
        if (silence_ns > std::chrono::nanoseconds(kSilence).count())
          return {false, "no record has been taken or answered for 30 s"};
        const std::string trouble = asked->trouble();
        return {trouble.empty(), trouble};
      });
  log.write(
      sensor::LogLevel::kInfo, "",
      "metrics at http://" + server_->address().host + ":" + std::to_string(server_->address().port) + "/metrics");
}

void check_monitor(const std::string& address) {
  try {
    sensor::parse_metrics_address(address);
  } catch (const Error& error) {
    throw Failure(kUsage, error.what());
  }
}
#else
struct StreamMonitor::Server {};
StreamMonitor::StreamMonitor(const std::string&, const sensor::Engine&, Links& links, StreamOutputs& outputs,
                             const sensor::Log&)
    : source_(std::make_unique<MeasuredSource>(*links.source)),
      sink_(std::make_unique<MeasuredSink>(outputs.sink(), *source_, latency_)) {}

void check_monitor(const std::string&) {
  throw Failure(kUsage,
                "--metrics: this coil was built without metrics; install libcpp-httplib-dev and build it again");
}
#endif

StreamMonitor::~StreamMonitor() = default;
sensor::Source& StreamMonitor::source() { return *source_; }
sensor::Sink& StreamMonitor::sink() { return *sink_; }

}  // namespace coil::cli
