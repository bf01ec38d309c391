// The section on harmonics of steady sines and on aliasing.
#include <algorithm>
#include <cmath>

#include "base/svg.h"
#include "base/text.h"
#include "capture/report/chart.h"
#include "capture/report/markup.h"
#include "capture/report/sections.h"

namespace coil::capture {
namespace {

constexpr double kFloorDb = -120, kSpectrumFloorDb = -140;
constexpr double kShownHz[] = {200, 800, 2500};
constexpr size_t kSpectrumColumns = 440;

std::string tone_figure(const std::string& id, const Tone& tone) {
  const std::string title = number(tone.hz) + " Hz at " + dbfs_words(tone.level_dbfs, 0);
  Chart chart(id, "Harmonics of " + title,
              tone.device ? "Levels of the harmonics of device (bars) and model (dots) over the fundamental."
                          : "Levels of the model's harmonics over the fundamental.",
              linear_axis("harmonic", 0.4, double(kHarmonics) + 0.6, 11), linear_axis("dB", kFloorDb, 0, 7));
  for (size_t n = 0; n < kHarmonics; ++n) {
    const std::string name = "harmonic " + std::to_string(n + 1) + ": ";
    if (tone.device && (*tone.device)[n])
      chart.bar(double(n + 1), 0.62, kFloorDb, *(*tone.device)[n], "wet",
                name + "device " + db_words(*(*tone.device)[n]));
    if (tone.model[n]) chart.dot({double(n + 1), *tone.model[n]}, "model", name + "model " + db_words(*tone.model[n]));
  }
  std::vector<LegendEntry> legend = {{"model", "model"}};
  if (tone.device) legend.insert(legend.begin(), {"wet", "device"});
  return figure_of(title, chart.svg(), legend);
}

std::string tones_table(const Figures& figures) {
  const auto level = [](const std::optional<double>& db) { return db ? db_words(*db) : std::string("\u2013"); };
  const bool both = figures.tones_recorded;
  TableRow head = {"Hz", "dBFS"};
  for (const char* name : {"all harmonics", "2nd", "3rd"}) {
    if (both) head.push_back(std::string(name) + ", device");
    head.push_back(std::string(name) + ", model");
  }
  std::vector<TableRow> rows;
  for (const Tone& tone : figures.tones) {
    TableRow row = {number(tone.hz), signed_words(tone.level_dbfs, 1)};
    if (both) row.push_back(db_words(thd_db(*tone.device)));
    row.push_back(db_words(thd_db(tone.model)));
    for (const size_t n : {1u, 2u}) {
      if (both) row.push_back(level((*tone.device)[n]));
      row.push_back(level(tone.model[n]));
    }
    rows.push_back(std::move(row));
  }
  return "<details><summary>All sines</summary>\n" +
         table_of(head, rows,
                  "Harmonics over the fundamental; the first column of levels is harmonics 2 to 10 together") +
         "</details>\n";
}

std::string spectrum_figure(const AliasingFigures& aliasing) {
  const ToneSpectrum& spectrum = aliasing.spectrum;
  const size_t bins = spectrum.level_db.size(), columns = std::min(kSpectrumColumns, bins);
  std::vector<SvgPlace> line;
  for (size_t c = 0; c < columns; ++c) {
    const auto from = spectrum.level_db.begin() + std::ptrdiff_t(c * bins / columns);
    const auto peak = std::max_element(from, spectrum.level_db.begin() + std::ptrdiff_t((c + 1) * bins / columns));
    line.push_back(
        {double(peak - spectrum.level_db.begin()) * spectrum.bin_hz / 1000, std::max(double(*peak), kSpectrumFloorDb)});
  }
  const double nyquist_khz = double(bins - 1) * spectrum.bin_hz / 1000;
  Chart chart("aliasing-chart", "Spectrum of a high sine through the model",
              "Lines at multiples of the sine are harmonics; all others are aliasing or noise.",
              linear_axis("frequency in kHz", 0, nyquist_khz, 8),
              linear_axis("dB over the strongest", kSpectrumFloorDb, 0, 7));
  for (double khz = spectrum.hz / 1000; khz < nyquist_khz; khz += spectrum.hz / 1000)
    chart.line(std::vector<SvgPlace>{{khz, kSpectrumFloorDb}, {khz, 0}}, "wet dashed");
  chart.line(line, "model");
  return figure_of("Aliasing: " + number(std::round(spectrum.hz)) + " Hz at " + dbfs_words(aliasing.level_dbfs, 0),
                   chart.svg(), {{"model", "model"}, {"wet dashed", "harmonics"}});
}

std::string aliasing_table(const Figures& figures) {
  const bool has_knobs = !setting_words(figures, 0).empty();
  std::vector<TableRow> rows;
  for (const AliasingFigures& aliasing : figures.aliasing) {
    TableRow row = {fixed(aliasing.spectrum.hz, 0), db_words(aliasing.spectrum.off_harmonics_db)};
    if (has_knobs) row.push_back(markup_text(setting_words(figures, aliasing.take)));
    rows.push_back(std::move(row));
  }
  TableRow head = {"sine, Hz", "energy off the harmonics"};
  if (has_knobs) head.push_back("at the recorded setting");
  return table_of(
      head, rows,
      "Aliasing at " + dbfs_words(figures.aliasing[0].level_dbfs) + (has_knobs ? ", where it is worst" : ""));
}

// Beside the device's own: a model cannot be expected to alias less than what it learned from.
std::string recorded_aliasing_table(const Figures& figures) {
  if (figures.aliasing_tones.empty()) return "";
  std::vector<TableRow> rows;
  for (const Tone& tone : figures.aliasing_tones)
    rows.push_back({fixed(tone.hz, 0), signed_words(tone.level_dbfs, 1), db_words(*tone.device_off_db),
                    db_words(*tone.model_off_db)});
  return table_of({"recorded sine, Hz", "dBFS", "off the harmonics, device", "model"}, rows,
                  "The test signal's sines: aliasing, and the noise of the recording");
}

}  // namespace

std::string harmonics_section(const Figures& figures, const ReportInput& input) {
  const std::string setting = setting_words(figures, figures.tones_take);
  std::string words = figures.tones_recorded
                          ? "The sines of the test signal in " + name_of_take(input, figures.tones_take) +
                                ", device and model at the same frames. Most of them were trained on."
                          : "The recordings hold no sines of the test signal, so only the model is shown.";
  if (!setting.empty()) words += " Knobs: " + setting + ".";
  std::string charts;
  size_t count = 0;
  for (const double hz : kShownHz) {
    const auto tone = std::find_if(figures.tones.begin(), figures.tones.end(),
                                   [&](const Tone& candidate) { return candidate.hz == hz; });
    if (tone != figures.tones.end()) charts += tone_figure("tone-" + std::to_string(++count), *tone);
  }
  charts += spectrum_figure(figures.aliasing.back());
  return section_of("harmonics", "Harmonics and aliasing",
                    paragraph(words) + "<div class=\"charts\">\n" + charts + "</div>\n" + tones_table(figures) +
                        aliasing_table(figures) + recorded_aliasing_table(figures));
}

}  // namespace coil::capture
