// Charts of a report: axes, lines, dots and bars as SVG. The page's style sheet sets the colours.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/svg.h"

namespace coil::capture {

struct ChartAxis {
  std::string label;
  double low = 0, high = 1;
  bool logarithmic = false;
  std::vector<std::pair<double, std::string>> ticks;

  double share(double value) const;  // 0 at `low`, 1 at `high`; clamped
};

// An empty range is widened.
ChartAxis linear_axis(std::string label, double low, double high, int most_ticks);
ChartAxis frequency_axis(double low_hz, double high_hz);
// For ratios such as an ESR: whole powers of ten around `low` and `high`.
ChartAxis ratio_axis(std::string label, double low, double high);

struct ChartSize {
  double width = 440, height = 250;
};

// A point is (x, y) in the axes' units. `style`: names of the page's CSS classes, such as "wet". NaN points are left
// out.
class Chart {
 public:
  // `id` is unique on the page. `description` describes the chart for readers who cannot see it.
  Chart(const std::string& id, const std::string& title, const std::string& description, ChartAxis x, ChartAxis y,
        ChartSize size = {});

  void line(std::span<const SvgPlace> points, const std::string& style);
  void dot(SvgPlace point, const std::string& style, const std::string& tooltip, double radius = 4);
  void bar(double x, double width, double from_y, double to_y, const std::string& style, const std::string& tooltip);
  void band(double from_x, double to_x, const std::string& style);  // over the full height
  void area(std::span<const SvgPlace> points, const std::string& style);
  void label(SvgPlace point, const std::string& words, const std::string& style);

  std::string svg() { return svg_.take(); }

 private:
  void draw_axes();
  double x(double value) const;
  double y(double value) const;
  std::vector<SvgPlace> placed(std::span<const SvgPlace> points) const;

  ChartAxis x_, y_;
  ChartSize size_;
  SvgDrawing svg_;
};

}  // namespace coil::capture
