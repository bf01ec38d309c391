// Small pieces of HTML that the sections of a report share.
#pragma once

#include <string>
#include <vector>

#include "capture/report/figures.h"

namespace coil::capture {

using TableRow = std::vector<std::string>;  // cells are markup

// The first cell of a row is its heading.
std::string table_of(const TableRow& head, const std::vector<TableRow>& rows, const std::string& caption);

// A picture with its title, its legend, and the figures behind it.
struct LegendEntry {
  std::string style, words;
};
std::string figure_of(const std::string& title, const std::string& svg, const std::vector<LegendEntry>& legend,
                      const std::string& figures = {});

std::string section_of(const std::string& id, const std::string& title, const std::string& content);
std::string paragraph(const std::string& words, const std::string& style = {});  // words: text, not markup

std::string signed_words(double value, int decimals);  // with a true minus sign, none before a zero
std::string db_words(double db);                       // "-48.1 dB", with a true minus sign
std::string dbfs_words(double db, int decimals = 1);   // "-6.0 dBFS"
std::string grouped(double count);                     // "1,985"
std::string esr_words(double esr);                     // "1.63e-05"
std::string esr_and_db(const ErrorSums& sums);         // "1.63e-05 (-47.9 dB)"; a dash if there is none
double esr_db(double esr);
std::string name_of_take(const ReportInput& input, size_t take);  // the wet file's name, or "take 3"
std::string setting_words(const Figures& figures, size_t take);   // "drive 7.5, tone 2"; empty: no knobs

}  // namespace coil::capture
