// Small pieces of HTML. All text from file names and cards goes through markup_text.
#include "capture/report/markup.h"

#include <algorithm>
#include <cmath>

#include "base/svg.h"
#include "base/text.h"

namespace coil::capture {

std::string table_of(const TableRow& head, const std::vector<TableRow>& rows, const std::string& caption) {
  std::string html = "<div class=\"scroll\"><table><caption>" + markup_text(caption) + "</caption>\n<thead><tr>";
  for (const std::string& cell : head) html += "<th scope=\"col\">" + cell + "</th>";
  html += "</tr></thead>\n<tbody>\n";
  for (const TableRow& row : rows) {
    html += "<tr>";
    for (size_t i = 0; i < row.size(); ++i)
      html += i == 0 ? "<th scope=\"row\">" + row[i] + "</th>" : "<td>" + row[i] + "</td>";
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string figure_of(const std::string& title, const std::string& svg, const std::vector<LegendEntry>& legend,
                      const std::string& figures) {
  std::string html = "<figure><figcaption>" + markup_text(title) + "</figcaption>\n";
  if (!legend.empty()) {
    html += "<p class=\"legend\">";
    for (const LegendEntry& entry : legend)
      html +=
          "<span class=\"key\"><i class=\"swatch " + entry.style + "\"></i>" + markup_text(entry.words) + "</span> ";
    html += "</p>\n";
  }
  html += svg;
  if (!figures.empty()) html += "<details><summary>The figures</summary>\n" + figures + "</details>\n";
  return html + "</figure>\n";
}

std::string section_of(const std::string& id, const std::string& title, const std::string& content) {
  return "<section id=\"" + id + "\">\n<h2>" + markup_text(title) + "</h2>\n" + content + "</section>\n";
}

std::string paragraph(const std::string& words, const std::string& style) {
  return (style.empty() ? "<p>" : "<p class=\"" + style + "\">") + markup_text(words) + "</p>\n";
}

std::string signed_words(double value, int decimals) {
  const std::string digits = fixed(std::abs(value), decimals);
  return (value < 0 && digits != fixed(0, decimals) ? "\u2212" : "") + digits;
}

std::string db_words(double db) { return signed_words(db, 1) + " dB"; }
std::string dbfs_words(double db, int decimals) { return signed_words(db, decimals) + " dBFS"; }

std::string grouped(double count) {
  std::string digits = fixed(count, 0);
  for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

double esr_db(double esr) { return 10 * std::log10(std::max(esr, 1e-30)); }
std::string esr_words(double esr) { return number(esr, 3); }

std::string esr_and_db(const ErrorSums& sums) {
  return sums.empty() ? "\u2013" : esr_words(sums.esr()) + " (" + db_words(esr_db(sums.esr())) + ")";
}

std::string name_of_take(const ReportInput& input, size_t take) {
  return take < input.recordings.size() ? input.recordings[take].wet_name : "take " + std::to_string(take + 1);
}

std::string setting_words(const Figures& figures, size_t take) {
  std::string words;
  const std::vector<ssm::Control>& controls = figures.model->card().controls;
  for (size_t i = 0; i < controls.size(); ++i) {
    if (controls[i].to != ssm::Control::To::network) continue;
    words += (words.empty() ? "" : ", ") + controls[i].name + " " + number(double(figures.takes[take].controls[i]), 4);
  }
  return words;
}

}  // namespace coil::capture
