// The plot of `coil stream --plot`: series with forecast bounds, scores and episodes, as HTML or PNG.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sensor/links/sink.h"

namespace coil::cli {

struct StreamPlotOptions {
  std::vector<std::string> keys;  // of the sensors
  double threshold = 0.5;
  std::string title;
};

// Stores the parts of results that will be drawn.
class StreamPlot final : public sensor::Sink {
 public:
  explicit StreamPlot(StreamPlotOptions options);

  bool wants_text() const override { return false; }
  void write(const sensor::Result& result) override;
  void note(const sensor::Silence& silence) override;

  // The extension decides: .html is one self-contained page, .png a picture. Throws Failure. [main-thread]
  void draw(const std::filesystem::path& path);
  // Throws Failure if the path has neither extension. [any thread]
  static void check_path(const std::filesystem::path& path);

  struct Point {
    double time_s;  // since 1970, or the record's number
    double value, low, high;
    double score;
    bool in_episode;
  };
  struct Series {
    std::string name;  // with its unit, if known
    std::vector<Point> points;
    size_t episodes = 0;
    bool has_times = true;
    bool in_episode = false;  // its own part of an episode, at the last point
    bool is_silent = false;
    std::vector<std::pair<double, std::string>> causes;  // of its anomalies, with their times
  };

 private:
  std::string key_of(const sensor::Result& result) const;
  void add_silent_point(Series& series, double time_s);
  std::string script_data() const;

  StreamPlotOptions options_;
  std::vector<Series> series_;  // in order of their first records
  std::map<std::string, size_t> places_;
  std::map<std::string, std::set<size_t>, std::less<>> by_sensor_;  // indices of a sensor's series
  double last_s_ = 0;                                               // of all records' times
  size_t left_out_ = 0;
};

}  // namespace coil::cli
