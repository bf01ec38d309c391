// Drawings in SVG, and text that may stand in markup.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace coil {

// `text` as it may stand in HTML and SVG, in attributes too. What is no UTF-8, and control characters, become U+FFFD.
std::string markup_text(std::string_view text);

// The step between ticks: 1, 2 or 5 times a power of ten, so that `range` holds at most `most` of them.
double nice_step(double range, int most);

struct SvgPlace {
  double x, y;
};

// Within an HTML page. Elements in the order in which they are drawn. `attributes` are written as they are, such as
// class="wet".
class SvgDrawing {
 public:
  SvgDrawing(double width, double height, std::string_view attributes);

  void box(double x, double y, double width, double height, std::string_view attributes);
  void circle(double x, double y, double radius, std::string_view attributes, std::string_view tooltip = {});
  void line(std::span<const SvgPlace> places, std::string_view attributes);
  void area(std::span<const SvgPlace> places, std::string_view attributes);
  void text(std::string_view words, double x, double y, std::string_view attributes);
  void markup(std::string_view element);

  std::string take();

 private:
  std::string svg_;
};

}  // namespace coil
