// Draws with cairo. Lengths are in points; a point is kScale pixels.
#include "cli/plot/picture.h"

#include <cairo.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numbers>
#include <vector>

#include "cli/failure.h"
#include "cli/plot/png.h"
#include "cli/text.h"
#include "cli/whole_file.h"

namespace coil::cli {
namespace {

struct Colour {
  double red, green, blue;
};

constexpr int kScale = 2;
constexpr double kPanelWidth = kPictureColumns / kScale, kSpectrogramHeight = kPictureRows / kScale;
constexpr double kWaveformHeight = 132;
constexpr double kLeft = 64, kRight = 86, kTop = 112, kBottom = 52, kGap = 30, kRowGap = 16;
constexpr double kWidth = kLeft + 2 * kPanelWidth + kGap + kRight;
constexpr double kHeight = kTop + kWaveformHeight + kRowGap + kSpectrogramHeight + kBottom;
constexpr double kSpectrogramTop = kTop + kWaveformHeight + kRowGap;
constexpr double kBarWidth = 12;

constexpr double kDynamicRangeDb = 90;

constexpr const char* kFont = "Inter";  // if it is missing, fontconfig uses the default sans
constexpr Colour kBackground = {0.055, 0.063, 0.086};
constexpr Colour kPanel = {0.082, 0.094, 0.125};
constexpr Colour kLine = {0.20, 0.225, 0.28};
constexpr Colour kText = {0.93, 0.94, 0.96};
constexpr Colour kDimText = {0.60, 0.64, 0.71};
constexpr Colour kAccents[2] = {{0.36, 0.72, 0.98}, {1.0, 0.66, 0.30}};

// The colour map: lightness rises linearly in Oklab (Ottosson 2020), hue goes from blue-violet over red to yellow.
struct MapPoint {
  double chroma, hue_degrees;
};
constexpr MapPoint kMapPoints[] = {{0.035, 282}, {0.085, 288}, {0.135, 305}, {0.165, 335}, {0.180, 370},
                                   {0.180, 400}, {0.160, 425}, {0.140, 448}, {0.060, 465}};
constexpr double kMapDarkest = 0.19, kMapLightest = 0.985;

double srgb(double linear) {
  linear = std::clamp(linear, 0.0, 1.0);
  return linear <= 0.0031308 ? 12.92 * linear : 1.055 * std::pow(linear, 1 / 2.4) - 0.055;
}

Colour map_colour(double value) {
  constexpr int kSegments = static_cast<int>(std::size(kMapPoints)) - 1;
  value = std::clamp(value, 0.0, 1.0);
  const int segment = std::min(static_cast<int>(value * kSegments), kSegments - 1);
  const double part = value * kSegments - segment;
  const MapPoint &a = kMapPoints[segment], &b = kMapPoints[segment + 1];
  const double chroma = a.chroma + part * (b.chroma - a.chroma);
  const double hue = (a.hue_degrees + part * (b.hue_degrees - a.hue_degrees)) * std::numbers::pi / 180;
  const double lightness = kMapDarkest + value * (kMapLightest - kMapDarkest);
  const double oklab_a = chroma * std::cos(hue), oklab_b = chroma * std::sin(hue);
  const double l = std::pow(lightness + 0.3963377774 * oklab_a + 0.2158037573 * oklab_b, 3);
  const double m = std::pow(lightness - 0.1055613458 * oklab_a - 0.0638541728 * oklab_b, 3);
  const double s = std::pow(lightness - 0.0894841775 * oklab_a - 1.2914855480 * oklab_b, 3);
  return {srgb(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
          srgb(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
          srgb(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)};
}

std::vector<uint32_t> map_table() {
  std::vector<uint32_t> table(1024);
  for (size_t i = 0; i < table.size(); ++i) {
    const Colour colour = map_colour(static_cast<double>(i) / (table.size() - 1));
    const auto byte = [](double part) { return static_cast<uint32_t>(std::lround(255 * part)); };
    table[i] = 0xff000000 | byte(colour.red) << 16 | byte(colour.green) << 8 | byte(colour.blue);
  }
  return table;
}

enum class Align { left, centre, right };

class Canvas {
 public:
  Canvas()
      : surface_(cairo_image_surface_create(CAIRO_FORMAT_ARGB32, static_cast<int>(kWidth * kScale),
                                            static_cast<int>(kHeight * kScale)),
                 cairo_surface_destroy),
        cairo_(cairo_create(surface_.get()), cairo_destroy) {
    cairo_scale(cairo_.get(), kScale, kScale);
    const std::unique_ptr<cairo_font_options_t, decltype(&cairo_font_options_destroy)> options(
        cairo_font_options_create(), cairo_font_options_destroy);
    cairo_font_options_set_hint_style(options.get(), CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(options.get(), CAIRO_HINT_METRICS_OFF);
    cairo_font_options_set_antialias(options.get(), CAIRO_ANTIALIAS_GRAY);
    cairo_set_font_options(cairo_.get(), options.get());
  }

  cairo_t* get() { return cairo_.get(); }
  cairo_surface_t* surface() { return surface_.get(); }

  void colour(Colour c, double alpha = 1) { cairo_set_source_rgba(get(), c.red, c.green, c.blue, alpha); }

  void rounded(double x, double y, double width, double height, double radius) {
    constexpr double kQuarter = std::numbers::pi / 2;
    cairo_new_sub_path(get());
    cairo_arc(get(), x + width - radius, y + radius, radius, -kQuarter, 0);
    cairo_arc(get(), x + width - radius, y + height - radius, radius, 0, kQuarter);
    cairo_arc(get(), x + radius, y + height - radius, radius, kQuarter, 2 * kQuarter);
    cairo_arc(get(), x + radius, y + radius, radius, 2 * kQuarter, 3 * kQuarter);
    cairo_close_path(get());
  }

  void line(double x0, double y0, double x1, double y1, Colour c, double alpha = 1, double width = 0.5) {
    colour(c, alpha);
    cairo_set_line_width(get(), width);
    cairo_move_to(get(), x0, y0);
    cairo_line_to(get(), x1, y1);
    cairo_stroke(get());
  }

  // Text with its baseline at y; returns its width.
  double text(const std::string& words, double x, double y, double size, Colour c, Align align = Align::left,
              bool bold = false) {
    cairo_select_font_face(get(), kFont, CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(get(), size);
    cairo_text_extents_t extents;
    cairo_text_extents(get(), words.c_str(), &extents);
    const double shift = align == Align::left ? 0 : align == Align::centre ? extents.x_advance / 2 : extents.x_advance;
    colour(c);
    cairo_move_to(get(), x - shift, y);
    cairo_show_text(get(), words.c_str());
    return extents.x_advance;
  }

 private:
  std::unique_ptr<cairo_surface_t, decltype(&cairo_surface_destroy)> surface_;
  std::unique_ptr<cairo_t, decltype(&cairo_destroy)> cairo_;
};

constexpr double kLabelSize = 11;

// The smallest of 1, 2, 5, 10 ... (for times: usual clock steps) that gives at most `most` steps.
double nice_step(double range, int most, bool time) {
  static constexpr double kClock[] = {1,   2,   5,    10,   15,   30,    60,    120,  300,
                                      600, 900, 1800, 3600, 7200, 14400, 28800, 86400};
  if (time && range / most > 0.5) {
    for (double step : kClock) {
      if (range / step <= most) return step;
    }
    return std::ceil(range / most / 86400) * 86400;
  }
  for (double decade = std::pow(10, std::floor(std::log10(range / most)));; decade *= 10) {
    for (double factor : {1.0, 2.0, 5.0}) {
      if (range / (decade * factor) <= most) return decade * factor;
    }
  }
}

std::string time_label(double seconds, double range) {
  if (range < 1) return number(1000 * seconds, 4);
  if (range < 120) return number(seconds, 4);
  const int64_t total = std::llround(seconds);
  char text[32];
  if (range < 3600) {
    std::snprintf(text, sizeof text, "%d:%02d", static_cast<int>(total / 60), static_cast<int>(total % 60));
  } else {
    std::snprintf(text, sizeof text, "%d:%02d", static_cast<int>(total / 3600), static_cast<int>(total / 60 % 60));
  }
  return text;
}

const char* time_unit(double range) { return range < 1 ? "ms" : range < 120 ? "s" : range < 3600 ? "min:s" : "h:min"; }

std::string hertz_label(double hz) { return hz >= 1000 ? number(hz / 1000) + " k" : number(hz); }

void draw_waveform(Canvas& canvas, const SoundAnalysis& analysis, double left, double range, Colour accent) {
  const double centre = kTop + kWaveformHeight / 2;
  const double half = kWaveformHeight / 2 - 8;
  const auto y = [&](float value) { return centre - half * std::clamp<double>(value / range, -1, 1); };
  // At least a thin line, also for silence.
  const auto bar = [&](int column, float low, float high) {
    const double top = y(high), bottom = y(low);
    const double middle = (top + bottom) / 2, reach = std::max((bottom - top) / 2, 0.4);
    cairo_rectangle(canvas.get(), left + column / static_cast<double>(kScale), middle - reach, 1.0 / kScale, 2 * reach);
  };
  for (int column = 0; column < analysis.columns; ++column) {
    // Neighbouring columns touch, so that the curve stays connected with few frames per pixel.
    const int previous = std::max(column - 1, 0);
    bar(column, std::min(analysis.low[column], analysis.high[previous]),
        std::max(analysis.high[column], analysis.low[previous]));
  }
  canvas.colour(accent, 0.55);
  cairo_fill(canvas.get());
  for (int column = 0; column < analysis.columns; ++column) {
    const float low = std::max(-analysis.rms[column], analysis.low[column]);
    const float high = std::min(analysis.rms[column], analysis.high[column]);
    if (low <= high) bar(column, low, high);
  }
  canvas.colour(accent);
  cairo_fill(canvas.get());
}

void draw_spectrogram(Canvas& canvas, const SoundAnalysis& analysis, const AnalysisGrid& grid, double left,
                      double top_db, const std::vector<uint32_t>& table) {
  const std::unique_ptr<cairo_surface_t, decltype(&cairo_surface_destroy)> image(
      cairo_image_surface_create(CAIRO_FORMAT_ARGB32, grid.columns, grid.rows), cairo_surface_destroy);
  unsigned char* pixels = cairo_image_surface_get_data(image.get());
  const int stride = cairo_image_surface_get_stride(image.get());
  for (int row = 0; row < grid.rows; ++row) {
    uint32_t* line = reinterpret_cast<uint32_t*>(pixels + static_cast<size_t>(stride) * (grid.rows - 1 - row));
    for (int column = 0; column < grid.columns; ++column) {
      const double value =
          (analysis.power_db[static_cast<size_t>(column) * grid.rows + row] - (top_db - kDynamicRangeDb)) /
          kDynamicRangeDb;
      line[column] = table[static_cast<size_t>(std::clamp(value, 0.0, 1.0) * static_cast<double>(table.size() - 1))];
    }
  }
  cairo_surface_mark_dirty(image.get());
  cairo_save(canvas.get());
  canvas.rounded(left, kSpectrogramTop, kPanelWidth, kSpectrogramHeight, 5);
  cairo_clip(canvas.get());
  cairo_translate(canvas.get(), left, kSpectrogramTop);
  cairo_scale(canvas.get(), 1.0 / kScale, 1.0 / kScale);
  cairo_set_source_surface(canvas.get(), image.get(), 0, 0);
  cairo_paint(canvas.get());
  cairo_restore(canvas.get());
}

void draw_colour_bar(Canvas& canvas, double top_db, const std::vector<uint32_t>& table) {
  const double x = kWidth - kRight + 16;
  cairo_pattern_t* gradient = cairo_pattern_create_linear(0, kSpectrogramTop + kSpectrogramHeight, 0, kSpectrogramTop);
  for (int stop = 0; stop <= 32; ++stop) {
    const uint32_t pixel = table[static_cast<size_t>(stop) * (table.size() - 1) / 32];
    cairo_pattern_add_color_stop_rgb(gradient, stop / 32.0, (pixel >> 16 & 255) / 255.0, (pixel >> 8 & 255) / 255.0,
                                     (pixel & 255) / 255.0);
  }
  canvas.rounded(x, kSpectrogramTop, kBarWidth, kSpectrogramHeight, 3);
  cairo_set_source(canvas.get(), gradient);
  cairo_fill(canvas.get());
  cairo_pattern_destroy(gradient);
  for (int step = 0; step <= static_cast<int>(kDynamicRangeDb / 10); ++step) {
    const double db = top_db - 10 * step;
    const double y = kSpectrogramTop + kSpectrogramHeight * (10.0 * step / kDynamicRangeDb);
    std::string label = number(std::fabs(db));
    if (db < 0) label = "\u2212" + label;
    canvas.text(label, x + kBarWidth + 8, std::clamp(y + 4, kSpectrogramTop + 8, kSpectrogramTop + kSpectrogramHeight),
                kLabelSize, kDimText);
  }
  canvas.text("dBFS", x + kBarWidth / 2 + 10, kSpectrogramTop - 8, kLabelSize, kDimText, Align::centre);
}

}  // namespace

void draw_picture(const Picture& picture, const std::filesystem::path& path) {
  const AnalysisGrid& grid = picture.grid;
  Canvas canvas;
  canvas.rounded(0, 0, kWidth, kHeight, 12);
  canvas.colour(kBackground);
  cairo_fill(canvas.get());

  canvas.text(picture.title, kLeft, 42, 20, kText, Align::left, true);
  canvas.text(picture.subtitle, kLeft, 64, 12.5, kDimText);

  double peak = 0;
  float loudest_db = -200;
  for (const PicturePanel& panel : picture.panels) {
    peak = std::max(peak, panel.analysis.peak);
    for (float db : panel.analysis.power_db) loudest_db = std::max(loudest_db, db);
  }
  const double range = peak > 0 ? nice_step(peak, 1, false) : 1;
  const double top_db = std::max(-100.0, 10 * std::ceil(loudest_db / 10.0));
  const std::vector<uint32_t> table = map_table();
  const double time_step = nice_step(grid.seconds, 8, true);

  for (int side = 0; side < 2; ++side) {
    const PicturePanel& panel = picture.panels[side];
    const double left = kLeft + side * (kPanelWidth + kGap);
    cairo_arc(canvas.get(), left + 4, kTop - 17, 4, 0, 2 * std::numbers::pi);
    canvas.colour(kAccents[side]);
    cairo_fill(canvas.get());
    canvas.text(panel.title, left + 15, kTop - 13, 12.5, kText, Align::left, true);
    canvas.text(panel.subtitle, left + kPanelWidth, kTop - 13, kLabelSize, kDimText, Align::right);

    canvas.rounded(left, kTop, kPanelWidth, kWaveformHeight, 5);
    canvas.colour(kPanel);
    cairo_fill(canvas.get());
    for (double level : {-1.0, 0.0, 1.0}) {
      const double y = kTop + kWaveformHeight / 2 - level * (kWaveformHeight / 2 - 8);
      canvas.line(left, y, left + kPanelWidth, y, kLine);
      const std::string label = number(std::fabs(level) * range);
      if (side == 0)
        canvas.text(level < 0 ? "\u2212" + label : label, kLeft - 9, y + 4, kLabelSize, kDimText, Align::right);
    }
    draw_waveform(canvas, panel.analysis, left, range, kAccents[side]);
    draw_spectrogram(canvas, panel.analysis, grid, left, top_db, table);

    for (double hz : {50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0, 20000.0, 50000.0}) {
      if (hz < grid.low_hz || hz > grid.high_hz) continue;
      const double y = kSpectrogramTop +
                       kSpectrogramHeight * (1 - std::log(hz / grid.low_hz) / std::log(grid.high_hz / grid.low_hz));
      canvas.line(left, y, left + kPanelWidth, y, {1, 1, 1}, 0.10);
      if (side == 0) canvas.text(hertz_label(hz), kLeft - 9, y + 4, kLabelSize, kDimText, Align::right);
    }
    for (double seconds = 0; seconds <= grid.seconds * (1 + 1e-9); seconds += time_step) {
      const double x = left + kPanelWidth * seconds / grid.seconds;
      canvas.line(x, kSpectrogramTop + kSpectrogramHeight, x, kSpectrogramTop + kSpectrogramHeight + 4, kLine, 1, 1);
      // Inside the panel, so that the labels of both panels do not touch.
      const Align align = seconds == 0 ? Align::left : x > left + kPanelWidth - 14 ? Align::right : Align::centre;
      canvas.text(time_label(seconds, grid.seconds), x, kSpectrogramTop + kSpectrogramHeight + 17, kLabelSize, kDimText,
                  align);
    }
    canvas.text(std::string("Time (") + time_unit(grid.seconds) + ")", left + kPanelWidth / 2, kHeight - 14, kLabelSize,
                kDimText, Align::centre);
  }
  for (const auto& [label, centre] : {std::pair("Amplitude", kTop + kWaveformHeight / 2),
                                      std::pair("Frequency (Hz)", kSpectrogramTop + kSpectrogramHeight / 2)}) {
    cairo_save(canvas.get());
    cairo_translate(canvas.get(), 20, centre);
    cairo_rotate(canvas.get(), -std::numbers::pi / 2);
    canvas.text(label, 0, 0, kLabelSize, kDimText, Align::centre);
    cairo_restore(canvas.get());
  }
  draw_colour_bar(canvas, top_db, table);

  write_whole_file(path, png_of(canvas.surface()));
}

}  // namespace coil::cli
