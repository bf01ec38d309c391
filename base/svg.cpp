// SVG drawings. Coordinates are rounded to a tenth, which is finer than a screen shows.
#include "base/svg.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/text.h"

namespace coil {
namespace {

std::string at(double place) { return number(std::round(10 * place) / 10, 7); }

std::string points(std::span<const SvgPlace> places) {
  std::string text;
  for (const SvgPlace& place : places) text += (text.empty() ? "" : " ") + at(place.x) + "," + at(place.y);
  return text;
}

// The length in bytes of the UTF-8 character at the beginning; 0 if it is invalid. Unicode 15, table 3-7.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto follows = [&](size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
    return byte(i) >= low && byte(i) <= high;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef)
    return follows(1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf) && follows(2) ? 3 : 0;
  if (first >= 0xf0 && first <= 0xf4)
    return follows(1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf) && follows(2) && follows(3) ? 4 : 0;
  return 0;
}

std::string_view entity_of(char c) {
  switch (c) {
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '&':
      return "&amp;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    default:
      return {};
  }
}

}  // namespace

std::string markup_text(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const auto first = static_cast<unsigned char>(text[0]);
    const bool control = length == 1 && (first < 0x20 || first == 0x7f) && first != '\n' && first != '\t';
    if (length == 0 || control) {
      result += "\xef\xbf\xbd";
    } else if (const std::string_view entity = entity_of(text[0]); !entity.empty()) {
      result += entity;
    } else {
      result += text.substr(0, length);
    }
    text.remove_prefix(std::max<size_t>(1, length));
  }
  return result;
}

double nice_step(double range, int most) {
  for (double decade = std::pow(10, std::floor(std::log10(range / most)));; decade *= 10) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (range / (decade * factor) <= most) return decade * factor;
    }
  }
}

SvgDrawing::SvgDrawing(double width, double height, std::string_view attributes)
    : svg_("<svg viewBox=\"0 0 " + number(width) + " " + number(height) + "\" " + std::string(attributes) + ">\n") {}

void SvgDrawing::box(double x, double y, double width, double height, std::string_view attributes) {
  svg_ += "<rect x=\"" + at(x) + "\" y=\"" + at(y) + "\" width=\"" + at(width) + "\" height=\"" + at(height) + "\" " +
          std::string(attributes) + "/>\n";
}

void SvgDrawing::circle(double x, double y, double radius, std::string_view attributes, std::string_view tooltip) {
  svg_ += "<circle cx=\"" + at(x) + "\" cy=\"" + at(y) + "\" r=\"" + at(radius) + "\" " + std::string(attributes);
  svg_ += tooltip.empty() ? "/>\n" : "><title>" + markup_text(tooltip) + "</title></circle>\n";
}

void SvgDrawing::line(std::span<const SvgPlace> places, std::string_view attributes) {
  if (places.size() < 2) return;
  svg_ += "<polyline fill=\"none\" " + std::string(attributes) + " points=\"" + points(places) + "\"/>\n";
}

void SvgDrawing::area(std::span<const SvgPlace> places, std::string_view attributes) {
  if (places.size() > 2) svg_ += "<polygon " + std::string(attributes) + " points=\"" + points(places) + "\"/>\n";
}

void SvgDrawing::text(std::string_view words, double x, double y, std::string_view attributes) {
  svg_ += "<text x=\"" + at(x) + "\" y=\"" + at(y) + "\" " + std::string(attributes) + ">" + markup_text(words) +
          "</text>\n";
}

void SvgDrawing::markup(std::string_view element) { svg_ += element; }

std::string SvgDrawing::take() { return std::move(svg_) + "</svg>\n"; }

}  // namespace coil
