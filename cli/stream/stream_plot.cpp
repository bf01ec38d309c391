// Draws once, with a pen that writes SVG or one that uses cairo. Lengths are in points.
#include "cli/stream/stream_plot.h"

#include <cairo.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "base/part_file.h"
#include "base/svg.h"
#include "cli/failure.h"
#include "cli/plot/png.h"
#include "cli/stream/stream_plot_script.h"
#include "cli/text.h"
#include "cli/whole_file.h"
#include "sensor/formats/timestamp.h"

namespace coil::cli {
namespace {

constexpr size_t kMostSeries = 12;
constexpr size_t kColumns = 1100;  // per panel: points that are closer share a column
constexpr double kLeft = 76, kRight = 24, kTop = 64, kPanelWidth = 1100, kPanelHeight = 170, kScoreHeight = 40,
                 kGap = 8, kBelow = 62;
constexpr double kWidth = kLeft + kPanelWidth + kRight,
                 kSeriesHeight = 26 + kPanelHeight + kGap + kScoreHeight + kBelow;
constexpr double kRoomForLabel = 36;  // for a label beside a tick, inside the panel
constexpr double kPngScale = 1.5;
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

struct Colour {
  int red, green, blue;
};
constexpr Colour kBackground = {14, 16, 22}, kPanel = {21, 24, 32}, kLine = {51, 57, 71}, kText = {237, 240, 245},
                 kDimText = {153, 163, 181};
constexpr Colour kValue = {240, 243, 250}, kBand = {92, 184, 250}, kScore = {255, 168, 77}, kEpisode = {255, 92, 92};

using Place = SvgPlace;

class Pen {
 public:
  virtual ~Pen() = default;
  virtual void box(double x, double y, double width, double height, Colour colour, double alpha) = 0;
  virtual void line(const std::vector<Place>& places, Colour colour, double width, double alpha) = 0;
  virtual void area(const std::vector<Place>& places, Colour colour, double alpha) = 0;
  enum class Align { left, centre, right };
  virtual void text(const std::string& words, double x, double y, double size, Colour colour, Align align) = 0;
};

class SvgPen final : public Pen {
 public:
  explicit SvgPen(double height) : svg_(kWidth, height, "font-family=\"Inter, system-ui, sans-serif\"") {}
  std::string take() { return svg_.take(); }

  void box(double x, double y, double width, double height, Colour colour, double alpha) override {
    svg_.box(x, y, width, height, fill(colour, alpha));
  }
  void line(const std::vector<Place>& places, Colour colour, double width, double alpha) override {
    svg_.line(places, "stroke=\"" + name(colour) + "\" stroke-opacity=\"" + number(alpha, 3) + "\" stroke-width=\"" +
                          number(width, 3) + "\"");
  }
  void area(const std::vector<Place>& places, Colour colour, double alpha) override {
    svg_.area(places, fill(colour, alpha));
  }
  void text(const std::string& words, double x, double y, double size, Colour colour, Align align) override {
    const char* anchor = align == Align::left ? "start" : align == Align::centre ? "middle" : "end";
    svg_.text(words, x, y, "font-size=\"" + number(size, 3) + "\" text-anchor=\"" + anchor + "\" " + fill(colour, 1));
  }

 private:
  static std::string name(Colour c) {
    char text[8];
    std::snprintf(text, sizeof text, "#%02x%02x%02x", unsigned(c.red), unsigned(c.green), unsigned(c.blue));
    return text;
  }
  static std::string fill(Colour colour, double alpha) {
    return "fill=\"" + name(colour) + "\" fill-opacity=\"" + number(alpha, 3) + "\"";
  }

  SvgDrawing svg_;
};

class CairoPen final : public Pen {
 public:
  explicit CairoPen(double height)
      : surface_(cairo_image_surface_create(CAIRO_FORMAT_ARGB32, int(kPngScale * kWidth), int(kPngScale * height)),
                 cairo_surface_destroy),
        cairo_(cairo_create(surface_.get()), cairo_destroy) {
    cairo_scale(cairo_.get(), kPngScale, kPngScale);
    cairo_select_font_face(cairo_.get(), "Inter", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_line_join(cairo_.get(), CAIRO_LINE_JOIN_ROUND);
  }
  std::string png() { return png_of(surface_.get()); }

  void box(double x, double y, double width, double height, Colour colour, double alpha) override {
    use(colour, alpha);
    cairo_rectangle(cairo_.get(), x, y, width, height);
    cairo_fill(cairo_.get());
  }
  void line(const std::vector<Place>& places, Colour colour, double width, double alpha) override {
    path(places);
    use(colour, alpha);
    cairo_set_line_width(cairo_.get(), width);
    cairo_stroke(cairo_.get());
  }
  void area(const std::vector<Place>& places, Colour colour, double alpha) override {
    path(places);
    use(colour, alpha);
    cairo_fill(cairo_.get());
  }
  void text(const std::string& words, double x, double y, double size, Colour colour, Align align) override {
    cairo_set_font_size(cairo_.get(), size);
    cairo_text_extents_t extents;
    cairo_text_extents(cairo_.get(), words.c_str(), &extents);
    use(colour, 1);
    cairo_move_to(cairo_.get(),
                  x - (align == Align::left     ? 0
                       : align == Align::centre ? extents.x_advance / 2
                                                : extents.x_advance),
                  y);
    cairo_show_text(cairo_.get(), words.c_str());
  }

 private:
  void use(Colour c, double alpha) {
    cairo_set_source_rgba(cairo_.get(), c.red / 255.0, c.green / 255.0, c.blue / 255.0, alpha);
  }
  void path(const std::vector<Place>& places) {
    cairo_new_path(cairo_.get());
    for (const Place& place : places) cairo_line_to(cairo_.get(), place.x, place.y);
  }

  std::unique_ptr<cairo_surface_t, decltype(&cairo_surface_destroy)> surface_;
  std::unique_ptr<cairo_t, decltype(&cairo_destroy)> cairo_;
};

double nice_time_step(double range_s, int most) {
  constexpr double kHour = 3600, kDay = 86400;
  for (const double step : {1., 5., 10., 30., 60., 300., 600., 1800., kHour, 2 * kHour, 4 * kHour, 8 * kHour,
                            12 * kHour, kDay, 2 * kDay, 4 * kDay, 7 * kDay}) {
    if (range_s / step <= most) return step;
  }
  return 86400 * std::max(1.0, nice_step(range_s / 86400, most));
}

std::string time_label(double time_s, double step_s) {
  const std::string text =
      sensor::format_timestamp(static_cast<int64_t>(time_s) * 1'000'000'000);  // 2026-11-22T17:30:00Z
  if (step_s >= 86400) return text.substr(0, 10);
  return text.substr(5, 5) + " " + text.substr(11, step_s < 60 ? 8 : 5);
}

// The points of one pixel column.
struct Column {
  double x = 0, least = kNone, most = kNone, first = kNone, last = kNone, low = kNone, high = kNone, score = 0;
  bool in_episode = false, used = false;
};

double lesser(double a, double b) { return std::isnan(a) ? b : std::isnan(b) ? a : std::min(a, b); }
double larger(double a, double b) { return std::isnan(a) ? b : std::isnan(b) ? a : std::max(a, b); }

class Panel {
 public:
  Panel(Pen& pen, const StreamPlot::Series& series, double threshold, double top)
      : pen_(pen), series_(series), threshold_(threshold), top_(top + 26), columns_(kColumns + 1) {
    begin_ = series.points.front().time_s, end_ = std::max(series.points.back().time_s, begin_ + 1e-9);
    for (const StreamPlot::Point& point : series.points) {
      begin_ = std::min(begin_, point.time_s), end_ = std::max(end_, point.time_s);
      least_ = lesser(least_, point.value), most_ = larger(most_, point.value);
    }
    if (std::isnan(least_)) least_ = 0, most_ = 1;
    const double margin = most_ > least_ ? 0.12 * (most_ - least_) : std::max(1e-9, 0.1 * std::fabs(most_));
    least_ -= margin, most_ += margin;
    for (const StreamPlot::Point& point : series.points) add(point);
  }

  void draw() {
    pen_.text(series_.name.empty() ? "value" : series_.name, kLeft, top_ - 9, 14, kText, Pen::Align::left);
    pen_.text(counted(static_cast<long long>(series_.points.size()), "record") + ", " +
                  counted(static_cast<long long>(series_.episodes), "episode"),
              kLeft + kPanelWidth, top_ - 9, 11, kDimText, Pen::Align::right);
    pen_.box(kLeft, top_, kPanelWidth, kPanelHeight, kPanel, 1);
    pen_.box(kLeft, score_top(), kPanelWidth, kScoreHeight, kPanel, 1);
    axes();
    episodes();
    band();
    values();
    scores();
  }

 private:
  double score_top() const { return top_ + kPanelHeight + kGap; }
  double x(double time_s) const { return kLeft + kPanelWidth * (time_s - begin_) / (end_ - begin_); }
  double y(double value) const {
    return top_ + kPanelHeight * std::clamp((most_ - value) / (most_ - least_), 0.0, 1.0);
  }

  void add(const StreamPlot::Point& point) {
    Column& column = columns_[static_cast<size_t>((point.time_s - begin_) / (end_ - begin_) * kColumns)];
    if (std::isnan(column.first)) column.first = point.value;
    if (!std::isnan(point.value)) column.last = point.value;
    column.x = x(point.time_s), column.used = true;
    column.least = lesser(column.least, point.value), column.most = larger(column.most, point.value);
    column.low = lesser(column.low, point.low), column.high = larger(column.high, point.high);
    column.score = std::max(column.score, point.score);
    column.in_episode = column.in_episode || point.in_episode;
  }

  void axes() {
    const double step = nice_step(most_ - least_, 5);
    for (double value = std::ceil(least_ / step) * step; value <= most_; value += step) {
      pen_.line({{kLeft, y(value)}, {kLeft + kPanelWidth, y(value)}}, kLine, 0.5, 1);
      pen_.text(number(std::fabs(value) < 1e-9 * step ? 0 : value, 5), kLeft - 8, y(value) + 4, 11, kDimText,
                Pen::Align::right);
    }
    const double tick = series_.has_times ? nice_time_step(end_ - begin_, 8) : nice_step(end_ - begin_, 8);
    for (double time_s = std::ceil(begin_ / tick) * tick; time_s <= end_; time_s += tick) {
      pen_.line({{x(time_s), top_}, {x(time_s), score_top() + kScoreHeight}}, kLine, 0.5, 1);
      const std::string label = series_.has_times ? time_label(time_s, tick) : number(time_s, 8);
      const double right = kLeft + kPanelWidth, at = x(time_s);
      const bool at_the_edge = right - at < kRoomForLabel;
      pen_.text(label, at_the_edge ? right : at, score_top() + kScoreHeight + 16, 11, kDimText,
                at_the_edge ? Pen::Align::right : Pen::Align::centre);
    }
    pen_.text("score", kLeft - 8, score_top() + kScoreHeight / 2 + 4, 11, kDimText, Pen::Align::right);
  }

  void episodes() {
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (!columns_[i].in_episode) continue;
      size_t end = i;
      double last = columns_[i].x;
      for (; end < columns_.size() && (columns_[end].in_episode || !columns_[end].used); ++end) {
        if (columns_[end].used) last = columns_[end].x;
      }
      pen_.box(columns_[i].x - 1, top_, last - columns_[i].x + 2, kPanelHeight, kEpisode, 0.22);
      i = end;
    }
  }

  void band() {
    std::vector<Place> upper, lower;
    const auto finish = [&] {
      std::vector<Place> area = upper;
      area.insert(area.end(), lower.rbegin(), lower.rend());
      pen_.area(area, kBand, 0.35);
      upper.clear(), lower.clear();
    };
    for (const Column& column : columns_) {
      if (!column.used) continue;
      if (std::isnan(column.low)) {
        finish();
        continue;
      }
      upper.push_back({column.x, y(column.high)}), lower.push_back({column.x, y(column.low)});
    }
    finish();
  }

  void values() {
    std::vector<Place> line;
    for (const Column& column : columns_) {
      if (!column.used) continue;
      if (std::isnan(column.first)) {
        pen_.line(line, kValue, 1, 0.95);
        line.clear();
        continue;
      }
      line.push_back({column.x, y(column.first)});
      if (!(column.most > column.least)) continue;
      for (const double value : {column.most, column.least, column.last}) line.push_back({column.x, y(value)});
    }
    pen_.line(line, kValue, 1, 0.95);
  }

  void scores() {
    const double bottom = score_top() + kScoreHeight;
    for (const Column& column : columns_) {
      if (column.score <= 0.02) continue;
      const bool alarm = column.score >= threshold_;
      pen_.line({{column.x, bottom}, {column.x, bottom - kScoreHeight * column.score}}, alarm ? kEpisode : kScore,
                alarm ? 2 : 1, 1);
    }
    const double level = bottom - kScoreHeight * threshold_;
    pen_.line({{kLeft, level}, {kLeft + kPanelWidth, level}}, kDimText, 0.5, 1);
  }

  Pen& pen_;
  const StreamPlot::Series& series_;
  double threshold_, top_, begin_ = 0, end_ = 1, least_ = kNone, most_ = kNone;
  std::vector<Column> columns_;
};

// A JavaScript string that cannot end its script element.
std::string script_text(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (c == '<') {
      quoted += "\\u003c";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      quoted += ' ';
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

bool is_html(const std::filesystem::path& path) {
  return path.extension() == ".html" || path.extension() == ".htm" || takes_bytes(path);
}

}  // namespace

StreamPlot::StreamPlot(StreamPlotOptions options) : options_(std::move(options)) {}

void StreamPlot::check_path(const std::filesystem::path& path) {
  if (!is_html(path) && path.extension() != ".png")
    throw Failure(kUsage, "--plot " + in_quotes(path) + ": wanted is a name that ends in .html or .png");
}

// From the key fields; without any, from all texts except times.
std::string StreamPlot::key_of(const sensor::Result& result) const {
  std::string key;
  for (const sensor::Field& field : result.record->fields) {
    const bool is_time = &field == result.selection->time_field || &field == result.selection->clock_field;
    const bool is_value = std::any_of(result.values.begin(), result.values.end(),
                                      [&](const sensor::ValueResult& value) { return value.name == field.name; });
    const bool is_key =
        options_.keys.empty()
            ? field.kind == sensor::Field::Kind::text && !is_value && !is_time && !sensor::parse_timestamp(field.text)
            : std::find(options_.keys.begin(), options_.keys.end(), field.name) != options_.keys.end();
    if (is_key) (key += key.empty() ? "" : " ") += field.text;
  }
  return key;
}

void StreamPlot::write(const sensor::Result& result) {
  if (result.values.empty()) return;
  const std::string key = key_of(result);
  const std::optional<int64_t> time_ns = result.selection->time_ns;
  for (const sensor::ValueResult& value : result.values) {
    const std::string id = key + (key.empty() ? "" : ": ") + std::string(value.name);
    const auto [place, is_new] = places_.try_emplace(id, series_.size());
    if (is_new) {
      if (series_.size() == kMostSeries) {
        places_.erase(place);
        ++left_out_;
        continue;
      }
      const bool is_named = result.settings && !result.settings->name.empty();
      const std::string unit(result.unit_of(value.name));
      series_.emplace_back().name = (is_named ? result.settings->name + ": " + std::string(value.name) : id) +
                                    (unit.empty() ? "" : " [" + unit + "]");
    }
    Series& series = series_[place->second];
    if (is_new) by_sensor_[std::string(result.key())].insert(place->second);
    if (time_ns) last_s_ = std::max(last_s_, 1e-9 * static_cast<double>(*time_ns));
    series.has_times = series.has_times && time_ns;
    // A value's own part of an episode starts where this value is unusual.
    const bool is_odd = result.cause == &value || (result.is_scored && value.score >= options_.threshold);
    const bool begins = result.episode != sensor::Episode::kNone && !series.in_episode && is_odd;
    series.in_episode = result.episode != sensor::Episode::kNone && (series.in_episode || is_odd);
    const bool has_bounds = result.is_scored && value.expected.exists;
    series.points.push_back({time_ns ? 1e-9 * static_cast<double>(*time_ns) : static_cast<double>(series.points.size()),
                             value.is_missing && !value.is_left_out ? kNone : value.value,
                             has_bounds ? value.expected.low : kNone, has_bounds ? value.expected.high : kNone,
                             result.is_scored ? value.score : 0, series.in_episode});
    series.episodes += begins;
    if (result.cause && is_odd) series.causes.emplace_back(series.points.back().time_s, sensor::cause_of(result));
    if (result.episode == sensor::Episode::kEnd) series.in_episode = false;
  }
}

// A silence is an episode without a value.
void StreamPlot::add_silent_point(Series& series, double time_s) {
  series.points.push_back({time_s, kNone, kNone, kNone, 0, true});
}

void StreamPlot::note(const sensor::Silence& silence) {
  const auto found = by_sensor_.find(silence.key);
  if (found == by_sensor_.end() || !silence.time_ns) return;
  const double time_s = 1e-9 * static_cast<double>(*silence.time_ns);
  for (const size_t place : found->second) {
    Series& series = series_[place];
    if (silence.has_ended != series.is_silent) continue;
    add_silent_point(series, time_s);
    if (!silence.has_ended) series.causes.emplace_back(time_s, sensor::cause_of(silence));
    series.is_silent = !silence.has_ended;
    series.episodes += series.is_silent;
  }
}

// The global `plot` that the script reads. All points are kept, because the user may zoom in.
std::string StreamPlot::script_data() const {
  std::string text = "const plot = {\"threshold\":" + number(options_.threshold, 9) + ",\"series\":[";
  for (const Series& series : series_) {
    std::vector<Point> points = series.points;
    std::stable_sort(points.begin(), points.end(), [](const Point& a, const Point& b) { return a.time_s < b.time_s; });
    const auto list = [&](const char* name, auto of, int digits) {
      text += std::string(",\"") + name + "\":[";
      for (const Point& point : points) {
        const double value = of(point);
        text += std::isnan(value) ? "null" : number(value, digits);
        text += ',';
      }
      text.back() = ']';
    };
    text += std::string(&series == &series_.front() ? "" : ",") + "{\"name\":" + script_text(series.name) +
            ",\"times\":" + (series.has_times ? "true" : "false");
    list(
        "t", [](const Point& point) { return point.time_s; }, 13);
    list(
        "v", [](const Point& point) { return point.value; }, 7);
    list(
        "lo", [](const Point& point) { return point.low; }, 6);
    list(
        "hi", [](const Point& point) { return point.high; }, 6);
    list(
        "s", [](const Point& point) { return point.score; }, 4);
    list(
        "e", [](const Point& point) { return point.in_episode ? 1.0 : 0.0; }, 1);
    text += ",\"c\":[";
    std::vector<std::pair<double, std::string>> causes = series.causes;
    std::stable_sort(causes.begin(), causes.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [time_s, cause] : causes)
      text += (&cause == &causes.front().second ? "[" : ",[") + number(time_s, 13) + "," + script_text(cause) + "]";
    text += "]}";
  }
  return text + "]};\n";
}

void StreamPlot::draw(const std::filesystem::path& path) {
  for (Series& series : series_) {
    if (series.is_silent) add_silent_point(series, std::max(last_s_, series.points.back().time_s));
  }
  if (series_.empty()) throw Failure(kFailed, "--plot: the input holds nothing to draw");
  const double height = kTop + kSeriesHeight * static_cast<double>(series_.size());
  const auto draw_with = [&](Pen& pen) {
    pen.box(0, 0, kWidth, height, kBackground, 1);
    pen.text(options_.title, kLeft, 34, 20, kText, Pen::Align::left);
    pen.text("white: value, blue: 10 to 90 % of the forecast made one record before, red: episode" +
                 (left_out_ > 0 ? ", the first " + std::to_string(series_.size()) + " series" : std::string()),
             kLeft + kPanelWidth, 34, 11, kDimText, Pen::Align::right);
    for (size_t i = 0; i < series_.size(); ++i)
      Panel(pen, series_[i], options_.threshold, kTop + kSeriesHeight * static_cast<double>(i)).draw();
  };
  if (is_html(path)) {
    SvgPen pen(height);
    draw_with(pen);
    const char* const style =
        "body { margin: 0 auto; max-width: 1600px; background: #0e1016; color: #edf0f5; "
        "font: 14px Inter, system-ui, sans-serif; } h1 { font-size: 20px; margin: 18px 24px 4px 76px; } "
        "h1 + p { color: #99a3b5; margin: 0 24px 12px 76px; font-size: 12px; } canvas { width: 100%; cursor: "
        "crosshair; } "
        "section p { position: absolute; top: 0; right: 24px; margin: 4px 0; font-size: 12px; white-space: pre; "
        "text-align: right; background: rgba(14,16,22,.7); } "
        "section { position: relative; } svg { display: block; width: 100%; }";
    const std::string title = markup_text(options_.title);
    const bool has_times = std::any_of(series_.begin(), series_.end(), [](const Series& one) { return one.has_times; });
    write_whole_file(
        path, "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>" + title + "</title>\n<style>" +
                  style + "</style>\n<noscript>" + pen.take() + "</noscript>\n<div id=\"panels\"><h1>" + title +
                  "</h1><p>White: value. Blue: 10 to 90 % of the forecast made one record before. Red: episode. "
                  "Point at it to read its cause. Drag or turn the wheel to zoom, double click for everything." +
                  (has_times ? " Times are in UTC." : "") +
                  (left_out_ > 0 ? " The first " + std::to_string(series_.size()) + " series." : std::string()) +
                  "</p></div>\n<script>\n" + script_data() + kStreamPlotScript + "</script>\n</html>\n");
  } else {
    CairoPen pen(height);
    draw_with(pen);
    write_whole_file(path, pen.png());
  }
}

}  // namespace coil::cli
