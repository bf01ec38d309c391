// Drawings in SVG, and escaping of text for markup.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace coil {

// Escapes `text` for HTML and SVG, also inside attributes. Invalid UTF-8 and control characters become U+FFFD.
std::string markup_text(std::string_view text);

// The distance between ticks: 1, 2 or 5 times a power of ten, so that `range` holds at most `most` ticks.
double nice_step(double range, int most);

struct SvgPlace {
  double x, y;
};

// A drawing inside an HTML page. Elements appear in the order in which they are added. `attributes` are written
// unchanged, for example class="wet".
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
