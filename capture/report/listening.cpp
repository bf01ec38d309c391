// The section with two held-out passages as sound and as waveforms: the hardest one and a typical one.
#include <algorithm>
#include <cmath>

#include "base/svg.h"
#include "base/text.h"
#include "capture/report/chart.h"
#include "capture/report/markup.h"
#include "capture/report/player.h"
#include "capture/report/sections.h"

namespace coil::capture {
namespace {

constexpr double kExcerptSeconds = 2.5, kDetailSeconds = 0.02;
constexpr size_t kColumns = 380;

struct Excerpt {
  Span span;  // of the take
  std::vector<float> dry, wet, model;
};

Excerpt excerpt_of(const Figures& figures, const ReportInput& input, const HeldOutPart& part) {
  const Take& take = input.takes[part.take];
  const auto wanted = size_t(kExcerptSeconds * figures.sample_rate_hz());
  const size_t frames = std::min(wanted, take.dry.size()), middle = (part.span.begin + part.span.end) / 2;
  const size_t begin = std::min(middle - std::min(middle, frames / 2), take.dry.size() - frames);
  const auto piece = [&](const std::vector<float>& sound) {
    return std::vector<float>(sound.begin() + std::ptrdiff_t(begin), sound.begin() + std::ptrdiff_t(begin + frames));
  };
  return {{begin, begin + frames}, piece(take.dry), piece(take.wet), piece(figures.takes[part.take].output)};
}

double peak_of(const std::vector<float>& sound) {
  double peak = 0;
  for (const float value : sound) peak = std::max(peak, std::abs(double(value)));
  return peak;
}

// The outline of a signal; one column covers many frames.
std::vector<SvgPlace> outline(const std::vector<float>& sound, double begin_s, double rate_hz, double scale) {
  std::vector<SvgPlace> above, below;
  const size_t columns = std::min(kColumns, sound.size());
  for (size_t c = 0; c < columns; ++c) {
    const auto from = sound.begin() + std::ptrdiff_t(c * sound.size() / columns),
               until = sound.begin() + std::ptrdiff_t((c + 1) * sound.size() / columns);
    const auto [least, most] = std::minmax_element(from, until);
    const double at = begin_s + (double(c) + 0.5) * double(sound.size()) / double(columns) / rate_hz;
    above.push_back({at, scale * double(*most)}), below.push_back({at, scale * double(*least)});
  }
  above.insert(above.end(), below.rbegin(), below.rend());
  return above;
}

// The power of ten by which the error is magnified, to be visible beside the sound.
double magnification(double error_peak, double wet_peak) {
  return std::pow(10, std::max(0.0, std::floor(std::log10(0.9 * wet_peak / std::max(error_peak, 1e-12)))));
}

std::string overview(const std::string& id, const Excerpt& excerpt, const HeldOutPart& part, double rate_hz) {
  std::vector<float> error(excerpt.wet.size());
  for (size_t i = 0; i < error.size(); ++i) error[i] = excerpt.model[i] - excerpt.wet[i];
  const double peak = std::max(peak_of(excerpt.wet), 1e-9), times = magnification(peak_of(error), peak),
               begin_s = double(excerpt.span.begin) / rate_hz;
  const std::string description = "Waveform of the device's sound from second " + fixed(begin_s, 2) + " on, with the " +
                                  "error of the model enlarged " + number(times) +
                                  " times. The shaded part was held out.";
  Chart chart(id, "Waveform and error", description,
              linear_axis("seconds from the recording's start", begin_s, double(excerpt.span.end) / rate_hz, 6),
              linear_axis("sample value", -1.05 * peak, 1.05 * peak, 5), {440, 190});
  chart.band(double(part.span.begin) / rate_hz, double(part.span.end) / rate_hz, "held");
  chart.area(outline(excerpt.wet, begin_s, rate_hz, 1), "wet");
  chart.area(outline(error, begin_s, rate_hz, times), "error");
  return figure_of("Waveform and error", chart.svg(),
                   {{"wet", "device"},
                    {"error", "error" + (times > 1 ? ", " + number(times) + " times" : std::string())},
                    {"held", "held out"}});
}

// 20 ms around the largest error of the held-out part.
Span worst_moment(const Figures& figures, const ReportInput& input, const HeldOutPart& part) {
  const std::vector<float>&wet = input.takes[part.take].wet, &output = figures.takes[part.take].output;
  const size_t frames = std::min(size_t(kDetailSeconds * figures.sample_rate_hz()), part.span.end - part.span.begin);
  size_t worst = part.span.begin;
  for (size_t i = part.span.begin; i < part.span.end; ++i)
    if (std::abs(output[i] - wet[i]) > std::abs(output[worst] - wet[worst])) worst = i;
  const size_t begin = std::clamp(worst - std::min(worst, frames / 2), part.span.begin, part.span.end - frames);
  return {begin, begin + frames};
}

std::string detail(const std::string& id, const Figures& figures, const ReportInput& input, const HeldOutPart& part) {
  const Span span = worst_moment(figures, input, part);
  const Take& take = input.takes[part.take];
  const std::vector<float>& output = figures.takes[part.take].output;
  const double rate_hz = figures.sample_rate_hz();
  std::vector<SvgPlace> dry, wet, model, error;
  double wet_peak = 1e-9, dry_peak = 1e-9, error_peak = 1e-12;
  for (size_t i = span.begin; i < span.end; ++i) {
    wet_peak = std::max({wet_peak, std::abs(double(take.wet[i])), std::abs(double(output[i]))});
    dry_peak = std::max(dry_peak, std::abs(double(take.dry[i])));
    error_peak = std::max(error_peak, std::abs(double(output[i]) - double(take.wet[i])));
  }
  for (size_t i = span.begin; i < span.end; ++i) {
    const double ms = 1000 * double(i - span.begin) / rate_hz;
    dry.push_back({ms, double(take.dry[i]) * wet_peak / dry_peak});
    wet.push_back({ms, double(take.wet[i])});
    model.push_back({ms, double(output[i])});
    error.push_back({ms, 100 * (double(output[i]) - double(take.wet[i])) / wet_peak});
  }
  const std::string from = fixed(double(span.begin) / rate_hz, 3) + " s";
  const ChartAxis time = linear_axis("ms from " + from, 0, 1000 * double(span.end - span.begin) / rate_hz, 5);
  Chart chart(id + "-detail", "Twenty milliseconds around the largest error",
              "Dry, device and model on top of each other from " + from + " on.", time,
              linear_axis("sample value", -1.05 * wet_peak, 1.05 * wet_peak, 5), {440, 210});
  chart.line(dry, "dry"), chart.line(wet, "wet wide"), chart.line(model, "model");
  const double most = 110 * error_peak / wet_peak;
  Chart small(id + "-error", "Error in the same moment",
              "The model's sample minus the device's, at most " + number(100 * error_peak / wet_peak, 3) +
                  " per cent of the moment's peak.",
              time, linear_axis("error, % of peak", -most, most, 5), {440, 140});
  small.line(error, "error");
  return figure_of("20 ms around the largest error", chart.svg() + small.svg(),
                   {{"dry", "dry, scaled"}, {"wet", "device"}, {"model", "model"}, {"error", "error"}});
}

std::string player(const std::string& label, const std::string& style, const std::string& url) {
  return "<div class=\"player\"><span><i class=\"swatch " + style + "\"></i>" + label +
         "</span><audio controls preload=\"metadata\" aria-label=\"" + label + "\" src=\"" + url +
         "\"></audio></div>\n";
}

std::string players(const Excerpt& excerpt, double rate_hz) {
  const std::vector<float> wet_and_model[] = {excerpt.wet, excerpt.model};
  const double gain = safe_gain(wet_and_model, rate_hz), dry_gain = safe_gain({&excerpt.dry, 1}, rate_hz);
  return "<div class=\"players\">\n" + player("Dry", "dry", sound_url(excerpt.dry, rate_hz, dry_gain)) +
         player("Device", "wet", sound_url(excerpt.wet, rate_hz, gain)) +
         player("Model", "model", sound_url(excerpt.model, rate_hz, gain)) + "</div>\n";
}

std::string passage(const std::string& id, const std::string& title, const Figures& figures, const ReportInput& input,
                    const HeldOutPart& part) {
  const double rate_hz = figures.sample_rate_hz();
  const Excerpt excerpt = excerpt_of(figures, input, part);
  std::string where = name_of_take(input, part.take) + ", " + fixed(double(part.span.begin) / rate_hz, 2) + " to " +
                      fixed(double(part.span.end) / rate_hz, 2) + " s";
  if (const std::string setting = setting_words(figures, part.take); !setting.empty()) where += ", " + setting;
  return "<article id=\"" + id + "\">\n<h3>" + title + "</h3>\n<p>" + markup_text(where) + ". ESR there: <strong>" +
         esr_and_db(part.sums) + "</strong></p>\n<div class=\"charts\">\n<div>" + players(excerpt, rate_hz) +
         overview(id + "-overview", excerpt, part, rate_hz) + "</div>\n" + detail(id, figures, input, part) +
         "</div>\n</article>\n";
}

}  // namespace

std::string listening_section(const Figures& figures, const ReportInput& input) {
  std::string html = paragraph(
      "Each passage was held out of the training and is shown with its surroundings. All three sounds are "
      "brought to the same moderate loudness, device and model by the same gain. Start another one while one plays: it "
      "continues at the same position.");
  html += passage("hardest", figures.parts.size() == 1 ? "The held-out passage" : "The hardest held-out passage",
                  figures, input, figures.parts[figures.hardest]);
  if (figures.typical != figures.hardest)
    html += passage("typical", "A typical held-out passage", figures, input, figures.parts[figures.typical]);
  std::vector<TableRow> rows;
  for (const HeldOutPart& part : figures.parts) {
    rows.push_back({markup_text(name_of_take(input, part.take)),
                    fixed(double(part.span.begin) / figures.sample_rate_hz(), 3),
                    fixed(double(part.span.end) / figures.sample_rate_hz(), 3), esr_and_db(part.sums)});
  }
  html += "<details id=\"parts\"><summary>All held-out passages</summary>\n" +
          table_of({"recording", "from, s", "to, s", "ESR"}, rows, "Passages that the training did not see") +
          "</details>\n";
  return section_of("listen", "Listen and look", html);
}

}  // namespace coil::capture
