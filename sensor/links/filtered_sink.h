// Passes on selected results.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "sensor/links/sink.h"

namespace coil::sensor {

struct ResultFilter {
  enum class Only { kAll, kAnomalies, kEpisodes, kNone };

  Only only = Only::kAll;
  std::optional<int64_t> since_ns;  // older results are dropped
};

// The begin of a silence counts as an anomaly. As thread-safe as the next sink.
class FilteredSink final : public Sink {
 public:
  // `next` must outlive this object.
  FilteredSink(Sink& next, const ResultFilter& filter) : next_(next), filter_(filter) {}

  bool wants_text() const override { return next_.wants_text() && filter_.only != ResultFilter::Only::kNone; }
  void write_header(const std::string& line) override {
    if (filter_.only != ResultFilter::Only::kNone) next_.write_header(line);
  }
  void write(const Result& result) override {
    if (lets_through(result)) next_.write(result);
  }
  void note(const Silence& silence) override {
    const bool is_old = filter_.since_ns && (silence.time_ns ? *silence.time_ns < *filter_.since_ns : is_old_);
    if (is_old || filter_.only == ResultFilter::Only::kNone) return;
    Silence written = silence;
    if (filter_.only == ResultFilter::Only::kAnomalies && silence.has_ended) written.text = {};
    next_.note(written);
  }
  void flush() override { next_.flush(); }

 private:
  // A record without a time counts as old as the last one with a time.
  bool lets_through(const Result& result) {
    const std::optional<int64_t>& time_ns = result.selection->time_ns;
    if (filter_.since_ns && time_ns) is_old_ = *time_ns < *filter_.since_ns;
    if (filter_.since_ns && is_old_) return false;
    switch (filter_.only) {
      case ResultFilter::Only::kAll:
        return true;
      case ResultFilter::Only::kAnomalies:
        return result.cause != nullptr;
      case ResultFilter::Only::kEpisodes:
        return result.episode != Episode::kNone;
      case ResultFilter::Only::kNone:
        break;
    }
    return false;
  }

  Sink& next_;
  ResultFilter filter_;
  bool is_old_ = true;
};

// Passes every result to several sinks. The last one decides whether texts are needed.
class FannedSink final : public Sink {
 public:
  // The sinks must outlive this object.
  explicit FannedSink(std::vector<Sink*> sinks) : sinks_(std::move(sinks)) {}

  bool wants_text() const override { return sinks_.back()->wants_text(); }
  void write_header(const std::string& line) override {
    for (Sink* sink : sinks_) sink->write_header(line);
  }
  void write(const Result& result) override {
    for (Sink* sink : sinks_) sink->write(result);
  }
  void note(const Silence& silence) override {
    for (Sink* sink : sinks_) sink->note(silence);
  }
  void flush() override {
    for (Sink* sink : sinks_) sink->flush();
  }

 private:
  std::vector<Sink*> sinks_;
};

}  // namespace coil::sensor
