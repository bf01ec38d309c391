// The section on the error over the recorded settings of the knobs.
#include <algorithm>
#include <cmath>
#include <map>

#include "base/svg.h"
#include "base/text.h"
#include "capture/report/chart.h"
#include "capture/report/markup.h"
#include "capture/report/sections.h"

namespace coil::capture {
namespace {

constexpr int kShades = 5;

struct SettingFigures {
  size_t take;  // the first take with this setting
  ErrorSums sums;
};

std::vector<SettingFigures> settings_of(const Figures& figures) {
  std::map<std::vector<float>, SettingFigures> by_setting;
  for (size_t t = 0; t < figures.takes.size(); ++t)
    by_setting.try_emplace(figures.takes[t].controls, SettingFigures{t, {}})
        .first->second.sums.add(figures.takes[t].held_out);
  std::vector<SettingFigures> settings;
  for (const auto& [controls, setting] : by_setting) settings.push_back(setting);
  std::sort(settings.begin(), settings.end(),
            [](const SettingFigures& a, const SettingFigures& b) { return a.sums.esr() > b.sums.esr(); });
  return settings;
}

ChartAxis axis_of(const ssm::Control& control) {
  const double room = 0.04 * (control.max - control.min);
  return linear_axis(control.name, control.min - room, control.max + room, 6);
}

std::string tooltip_of(const Figures& figures, const SettingFigures& setting) {
  return setting_words(figures, setting.take) + ": ESR " + esr_words(setting.sums.esr());
}

// Error over the positions of one knob, for all settings of the others.
std::string strip_figure(const Figures& figures, const std::vector<SettingFigures>& settings, size_t knob,
                         const std::string& id) {
  const ssm::Control& control = figures.model->card().controls[knob];
  Chart chart(id, "Error over " + control.name, "ESR of the held-out passages of each setting; lower is better.",
              axis_of(control), ratio_axis("ESR", settings.back().sums.esr(), settings.front().sums.esr()));
  for (const SettingFigures& setting : settings)
    chart.dot({double(figures.takes[setting.take].controls[knob]), setting.sums.esr()}, "model",
              tooltip_of(figures, setting));
  return figure_of("Error over " + control.name, chart.svg(), {});
}

// Both knobs as axes. The dots show the error by size and shade, in powers of ten between the smallest and the largest.
std::string map_figure(const Figures& figures, const std::vector<SettingFigures>& settings, size_t across, size_t up) {
  const std::vector<ssm::Control>& controls = figures.model->card().controls;
  const double best = std::log10(std::max(settings.back().sums.esr(), 1e-12)),
               worst = std::max(std::log10(std::max(settings.front().sums.esr(), 1e-12)), best + 1e-6);
  Chart chart("knob-map", "Map of the error over " + controls[across].name + " and " + controls[up].name,
              "A dot for each recorded setting; larger and stronger dots have a larger error.",
              axis_of(controls[across]), axis_of(controls[up]), {440, 460});
  for (const SettingFigures& setting : settings) {
    const double share = (std::log10(std::max(setting.sums.esr(), 1e-12)) - best) / (worst - best);
    const int shade = std::min(kShades - 1, int(share * kShades));
    const std::vector<float>& at = figures.takes[setting.take].controls;
    chart.dot({double(at[across]), double(at[up])}, "shade" + std::to_string(shade), tooltip_of(figures, setting),
              4 + 1.5 * shade);
  }
  std::vector<LegendEntry> legend;
  for (int shade = 0; shade < kShades; ++shade) {
    const double upper = std::pow(10, best + (worst - best) * (shade + 1) / kShades);
    legend.push_back({"shade" + std::to_string(shade), "to " + number(upper, 2)});
  }
  return figure_of("ESR over both knobs", chart.svg(), legend);
}

}  // namespace

std::string knobs_section(const Figures& figures, const ReportInput& input) {
  std::vector<size_t> knobs;
  const std::vector<ssm::Control>& controls = figures.model->card().controls;
  for (size_t i = 0; i < controls.size(); ++i)
    if (controls[i].to == ssm::Control::To::network) knobs.push_back(i);
  if (knobs.empty()) return "";
  std::vector<SettingFigures> settings = settings_of(figures);
  std::erase_if(settings, [](const SettingFigures& setting) { return setting.sums.empty(); });
  std::string charts;
  for (size_t k = 0; k < knobs.size(); ++k)
    charts += strip_figure(figures, settings, knobs[k], "knob-" + std::to_string(k + 1));
  if (knobs.size() == 2) charts = map_figure(figures, settings, knobs[0], knobs[1]) + "<div>\n" + charts + "</div>\n";
  std::vector<TableRow> rows;
  for (const SettingFigures& setting : settings)
    rows.push_back({markup_text(setting_words(figures, setting.take)), esr_and_db(setting.sums)});
  std::string html = paragraph(
      "Each recorded setting, measured on its held-out passages. Between the settings the model "
      "continues smoothly; only a recording of such a setting can show how well.");
  html += "<div class=\"charts\">\n" + charts + "</div>\n";
  if (!input.missing.empty()) {
    html += "<ul class=\"findings\">\n";
    for (const std::string& gap : input.missing)
      html += "<li><b class=\"badge warning\">gap</b> " + markup_text(gap) + "</li>\n";
    html += "</ul>\n";
  }
  html += "<details><summary>All settings, the worst first</summary>\n" +
          table_of({"setting", "ESR"}, rows, "Recorded settings") + "</details>\n";
  return section_of("knobs", "Knobs", html);
}

}  // namespace coil::capture
