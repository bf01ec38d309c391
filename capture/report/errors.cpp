// The sections on the error over level, over frequency, and on recordings that the training never saw.
#include <algorithm>
#include <cmath>

#include "base/svg.h"
#include "base/text.h"
#include "capture/report/chart.h"
#include "capture/report/markup.h"
#include "capture/report/sections.h"

namespace coil::capture {
namespace {

constexpr double kLowestBandDb = -120;

std::string level_figure(const Figures& figures) {
  std::vector<SvgPlace> held_out, all;
  std::vector<TableRow> rows;
  double least = 1, most = 1e-12;
  for (const LevelFigures& level : figures.levels) {
    const double at = (level.low_dbfs + level.high_dbfs) / 2;
    for (const auto& [sums, points] : {std::pair{&level.held_out, &held_out}, {&level.all, &all}}) {
      if (sums->empty()) continue;
      points->push_back({at, sums->esr()});
      least = std::min(least, sums->esr()), most = std::max(most, sums->esr());
    }
    rows.push_back(
        {sentence("%.0f to %.0f", level.low_dbfs, level.high_dbfs), esr_and_db(level.held_out), esr_and_db(level.all)});
  }
  Chart chart(
      "level-chart", "Error over level",
      "Error-to-signal ratio of pieces of 20 ms over the level of the dry sound; lower is better.",
      linear_axis("level of the dry sound, dBFS", figures.levels.front().low_dbfs, figures.levels.back().high_dbfs, 8),
      ratio_axis("ESR", least, most));
  chart.line(all, "muted dashed");
  chart.line(held_out, "model");
  for (const SvgPlace& point : held_out)
    chart.dot(point, "model", number(point.x) + " dBFS: ESR " + esr_words(point.y), 3.5);
  return figure_of("Error over level", chart.svg(),
                   {{"model", "held-out passages"}, {"muted dashed", "all that was recorded"}},
                   table_of({"dry level, dBFS", "held out", "all"}, rows, "ESR over level"));
}

std::string band_figure(const Figures& figures) {
  std::vector<SvgPlace> wet, error;
  std::vector<TableRow> rows;
  double least = 0, most = -200;
  for (const BandFigures& band : figures.bands) {
    wet.push_back({band.centre_hz, band.wet_db});
    error.push_back({band.centre_hz, std::max(band.error_db, kLowestBandDb)});
    least = std::min({least, wet.back().y, error.back().y}), most = std::max({most, band.wet_db, band.error_db});
    rows.push_back({fixed(band.centre_hz, 0), db_words(band.wet_db), db_words(band.error_db),
                    db_words(band.error_db - band.wet_db)});
  }
  if (figures.bands.empty()) return "";
  least = std::max(least, kLowestBandDb);
  Chart chart(
      "band-chart", "Error over frequency",
      "Energy of the device's sound and of the error in thirds of an octave; the gap is how well the model does "
      "there.",
      frequency_axis(figures.bands.front().centre_hz, figures.bands.back().centre_hz),
      linear_axis("dB over the whole sound", 10 * std::floor(least / 10), 10 * std::ceil(most / 10), 7));
  chart.line(wet, "wet"), chart.line(error, "error");
  for (size_t i = 0; i < wet.size(); ++i) {
    const std::string hz = fixed(wet[i].x, 0) + " Hz: ";
    chart.dot(wet[i], "wet", hz + "device " + db_words(figures.bands[i].wet_db), 2.5);
    chart.dot(error[i], "error", hz + "error " + db_words(figures.bands[i].error_db), 2.5);
  }
  return figure_of("Error over frequency", chart.svg(), {{"wet", "device"}, {"error", "error"}},
                   table_of({"Hz", "device", "error", "ESR in the band"}, rows, "Thirds of an octave, held out"));
}

}  // namespace

std::string error_section(const Figures& figures, const ReportInput& input) {
  std::string html = paragraph(
      "ESR, the error-to-signal ratio, is the energy of the difference between model and device over the energy of the "
      "device: 0 is perfect, 1 is as wrong as silence, and ten times less is 10 dB. All of it is measured by running "
      "the "
      "model's file as a plugin does.");
  html += "<div class=\"charts\">\n";
  html += level_figure(figures) + band_figure(figures);
  html += "</div>\n";
  if (!input.unseen.empty()) {
    std::vector<TableRow> rows;
    for (const UnseenRecording& recording : input.unseen)
      rows.push_back({markup_text(recording.name), esr_words(recording.esr), db_words(esr_db(recording.esr))});
    html += table_of({"recording", "ESR", ""}, rows, "Recordings of which the training saw nothing");
  }
  return section_of("error", "Where the error lies", html);
}

}  // namespace coil::capture
