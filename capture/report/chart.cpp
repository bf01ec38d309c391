// Lengths are in CSS pixels at a chart's natural size.
#include "capture/report/chart.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace coil::capture {
namespace {

constexpr double kLeft = 62, kRight = 20, kTop = 10, kBottom = 44;

// Uses a true minus sign, and none before zero.
std::string tick_words(double value) {
  const std::string digits = number(std::abs(value), 5);
  return value < 0 && digits != "0" ? "\u2212" + digits : digits;
}

std::string css(const std::string& names) { return "class=\"" + names + "\""; }

std::string heading(const std::string& id, const std::string& title, const std::string& description) {
  return "<title id=\"" + id + "-title\">" + markup_text(title) + "</title>\n<desc id=\"" + id + "-desc\">" +
         markup_text(description) + "</desc>\n";
}

}  // namespace

double ChartAxis::share(double value) const {
  const double part =
      logarithmic ? std::log(std::max(value, 1e-300) / low) / std::log(high / low) : (value - low) / (high - low);
  return std::clamp(part, 0.0, 1.0);
}

ChartAxis linear_axis(std::string label, double low, double high, int most_ticks) {
  if (!(high > low)) {
    const double room = std::max(1e-6, 0.1 * std::abs(low));
    low -= room, high += room;
  }
  ChartAxis axis{std::move(label), low, high, false, {}};
  const double step = nice_step(high - low, most_ticks);
  for (double n = std::ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; ++n)
    axis.ticks.emplace_back(n * step, tick_words(n * step));
  return axis;
}

ChartAxis frequency_axis(double low_hz, double high_hz) {
  ChartAxis axis{"frequency in Hz", low_hz, high_hz, true, {}};
  for (const double hz : {50., 100., 200., 500., 1000., 2000., 5000., 10000., 20000.}) {
    if (hz < 0.99 * low_hz || hz > 1.01 * high_hz) continue;
    axis.ticks.emplace_back(hz, hz < 1000 ? number(hz) : number(hz / 1000) + " k");
  }
  return axis;
}

ChartAxis ratio_axis(std::string label, double low, double high) {
  const double first = std::floor(std::log10(std::max(low, 1e-12)) + 1e-9),
               last = std::max(first + 1, std::ceil(std::log10(std::max(high, 1e-12)) - 1e-9));
  ChartAxis axis{std::move(label), std::pow(10, first), std::pow(10, last), true, {}};
  const double step = std::ceil((last - first) / 6);
  for (double power = first; power <= last; power += step) {
    const double value = std::pow(10, power);
    axis.ticks.emplace_back(value, power >= -3 ? number(value) : "1e\u2212" + number(-power));
  }
  return axis;
}

Chart::Chart(const std::string& id, const std::string& title, const std::string& description, ChartAxis x, ChartAxis y,
             ChartSize size)
    : x_(std::move(x)),
      y_(std::move(y)),
      size_(size),
      svg_(size.width, size.height,
           "role=\"img\" aria-labelledby=\"" + id + "-title " + id + "-desc\" id=\"" + id + "\"") {
  svg_.markup(heading(id, title, description));
  draw_axes();
}

double Chart::x(double value) const { return kLeft + x_.share(value) * (size_.width - kLeft - kRight); }
double Chart::y(double value) const { return kTop + (1 - y_.share(value)) * (size_.height - kTop - kBottom); }

std::vector<SvgPlace> Chart::placed(std::span<const SvgPlace> points) const {
  std::vector<SvgPlace> places;
  for (const SvgPlace& point : points)
    if (std::isfinite(point.x) && std::isfinite(point.y)) places.push_back({x(point.x), y(point.y)});
  return places;
}

void Chart::draw_axes() {
  const double bottom = size_.height - kBottom, right = size_.width - kRight;
  svg_.box(kLeft, kTop, right - kLeft, bottom - kTop, css("panel"));
  for (const auto& [value, words] : y_.ticks) {
    svg_.line(std::vector<SvgPlace>{{kLeft, y(value)}, {right, y(value)}}, css("grid"));
    svg_.text(words, kLeft - 7, y(value) + 4, css("tick end"));
  }
  for (const auto& [value, words] : x_.ticks) {
    svg_.line(std::vector<SvgPlace>{{x(value), kTop}, {x(value), bottom}}, css("grid"));
    svg_.text(words, x(value), bottom + 16, css("tick middle"));
  }
  svg_.text(x_.label, (kLeft + right) / 2, size_.height - 7, css("axis middle"));
  svg_.markup("<text transform=\"translate(13 " + number((kTop + bottom) / 2) +
              ") rotate(-90)\" class=\"axis middle\">" + markup_text(y_.label) + "</text>\n");
}

void Chart::line(std::span<const SvgPlace> points, const std::string& style) {
  svg_.line(placed(points), css("line " + style));
}

void Chart::dot(SvgPlace point, const std::string& style, const std::string& tooltip, double radius) {
  if (std::isfinite(point.x) && std::isfinite(point.y))
    svg_.circle(x(point.x), y(point.y), radius, css("dot " + style), tooltip);
}

void Chart::bar(double at, double width, double from_y, double to_y, const std::string& style,
                const std::string& tooltip) {
  const double top = std::min(y(from_y), y(to_y)), height = std::abs(y(to_y) - y(from_y));
  svg_.markup("<g><title>" + markup_text(tooltip) + "</title>");
  svg_.box(x(at - width / 2), top, x(at + width / 2) - x(at - width / 2), height, css("bar " + style));
  svg_.markup("</g>\n");
}

void Chart::band(double from_x, double to_x, const std::string& style) {
  svg_.box(x(from_x), kTop, x(to_x) - x(from_x), size_.height - kTop - kBottom, css("band " + style));
}

void Chart::area(std::span<const SvgPlace> points, const std::string& style) {
  svg_.area(placed(points), css("area " + style));
}

void Chart::label(SvgPlace point, const std::string& words, const std::string& style) {
  svg_.text(words, x(point.x), y(point.y), css("label " + style));
}

}  // namespace coil::capture
