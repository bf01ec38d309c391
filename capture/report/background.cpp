// The sections on recordings, training and cost.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/svg.h"
#include "base/text.h"
#include "capture/report/chart.h"
#include "capture/report/markup.h"
#include "capture/report/sections.h"

namespace coil::capture {
namespace {

// Neural Amp Modeler's architectures, in nanoseconds per sample of its own core. Measured once, on one core of a server
// with AVX-512.
struct Peer {
  const char* name;
  double ns;
  uint64_t weights;  // each of them is one multiply-add per sample, but for the biases
};
constexpr Peer kPeers[] = {{"NAM A1-standard", 508, 13802}, {"NAM A2-full", 760, 12146}, {"NAM A2-lite", 78, 1871}};
constexpr double kPeerRateHz = 48000;
constexpr size_t kShownRecordings = 6;  // further ones are collapsed

std::string polarity_words(const ReportedRecording& recording) {
  if (recording.alignment.inverted) return "inverted, turned";
  for (const Finding& finding : recording.findings)
    if (finding.kind == FindingKind::kPolarity) return "inverted, kept";
  return "as the dry sound";
}

TableRow facts_of(const ReportInput& input, size_t take, double rate_hz) {
  const ReportedRecording& recording = input.recordings[take];
  const Alignment& alignment = recording.alignment;
  double peak = 0;
  for (const float value : input.takes[take].wet) peak = std::max(peak, std::abs(double(value)));
  return {markup_text(recording.wet_name),
          fixed(double(input.takes[take].wet.size()) / rate_hz, 1) + " s",
          signed_words(1000 * alignment.delay_frames / rate_hz, 2) + " ms",
          polarity_words(recording),
          alignment.drift_ppm == 0 ? "none" : signed_words(alignment.drift_ppm, 1) + " ppm",
          peak > 0 ? db_words(20 * std::log10(peak)) : "silent",
          recording.noise_to_signal > 0 ? db_words(esr_db(recording.noise_to_signal)) : "not known",
          recording.repeatability_esr ? esr_words(*recording.repeatability_esr) : "not known"};
}

std::string findings_list(const ReportInput& input) {
  std::string items;
  for (const ReportedRecording& recording : input.recordings) {
    for (const Finding& finding : recording.findings) {
      const std::string file = input.recordings.size() > 1 ? recording.wet_name + ": " : "";
      items += "<li><b class=\"badge " + std::string(name_of(finding.severity)) + "\">" + name_of(finding.severity) +
               "</b> " + markup_text(file + finding.text) + "</li>\n";
    }
  }
  if (items.empty()) return paragraph("No problems were found.");
  const std::string list = "<ul class=\"findings\">\n" + items + "</ul>\n";
  return input.recordings.size() > kShownRecordings
             ? "<details open><summary>All findings</summary>\n" + list + "</details>\n"
             : list;
}

std::string probe_words(const RestFigures& rest) {
  std::string words = "The model itself, probed: ";
  words += rest.delay_frames == 0 ? "no delay against the dry sound"
                                  : number(rest.delay_frames, 2) + " frames behind the dry sound";
  words += rest.inverted ? ", inverted; " : ", not inverted; ";
  words += rest.peak_at_rest == 0 ? "exactly silent at rest; "
                                  : "at rest it gives " + dbfs_words(20 * std::log10(rest.peak_at_rest)) + "; ";
  return words + "one second after a loud sine stops it has " +
         (rest.second_later_dbfs < -290 ? std::string("fallen silent")
                                        : "fallen to " + dbfs_words(rest.second_later_dbfs)) +
         ".";
}

}  // namespace

std::string recordings_section(const Figures& figures, const ReportInput& input) {
  std::string html;
  if (input.recordings.empty()) {
    html = paragraph("Nothing is known of the recordings beside their sound.");
  } else {
    std::vector<TableRow> rows;
    for (size_t t = 0; t < input.recordings.size(); ++t) rows.push_back(facts_of(input, t, figures.sample_rate_hz()));
    html = table_of({"recording", "length", "delay", "polarity", "drift", "peak", "noise", "repeatability"}, rows,
                    "As found; delay, polarity and drift were put right");
    if (rows.size() > kShownRecordings)
      html = "<details><summary>All " + std::to_string(rows.size()) + " recordings</summary>\n" + html + "</details>\n";
    html += findings_list(input);
    html += paragraph(
        "Delay, polarity and drift are those of the wet recording against the dry one. Noise is what the device gives "
        "while nothing is played, over its sound. Repeatability is the ESR between two playings of one passage of the "
        "test signal; half of it is the best that a model can reach.",
        "small");
  }
  return section_of("recordings", "The recordings", html + paragraph(probe_words(figures.rest)));
}

namespace {

std::string curve_figure(const ReportInput& input) {
  std::vector<SvgPlace> looks, best;
  double least = 1e9, most = 0, kept = 1e9;
  std::vector<TableRow> rows;
  for (const CurvePoint& point : input.curve) {
    kept = std::min(kept, point.held_out_esr);
    looks.push_back({point.seconds, point.held_out_esr}), best.push_back({point.seconds, kept});
    least = std::min(least, point.held_out_esr), most = std::max(most, point.held_out_esr);
    rows.push_back({fixed(point.seconds, 1), fixed(point.frames / 1e6, 1), esr_words(point.held_out_esr)});
  }
  const double reachable = reachable_esr(input);
  if (reachable > 0) least = std::min(least, reachable), most = std::max(most, reachable);
  const double end = std::max(input.curve.back().seconds, 1e-3);
  Chart chart("curve-chart", "Held-out error over the training", "How the error fell over time; lower is better.",
              linear_axis("seconds of training", 0, end, 7), ratio_axis("held-out ESR", least, std::min(most, 10.0)));
  chart.line(best, "model");
  for (const SvgPlace& point : looks)
    chart.dot(point, "model", fixed(point.x, 1) + " s: ESR " + esr_words(point.y), 2.5);
  std::vector<LegendEntry> legend = {{"model", "best so far, and each look"}};
  if (reachable > 0) {
    chart.line(std::vector<SvgPlace>{{0, reachable}, {end, reachable}}, "error dashed");
    legend.push_back({"error dashed", "best that the recordings allow"});
  }
  return figure_of("Held-out error over the training", chart.svg(), legend,
                   table_of({"seconds", "million frames", "held-out ESR"}, rows, "Each look"));
}

// The model card's training entries, without files and command.
std::string training_table(const ssm::Card& card) {
  const auto json = nlohmann::ordered_json::parse(card.json, nullptr, false);
  std::vector<TableRow> rows;
  if (json.is_object() && json.contains("training") && json["training"].is_object()) {
    for (const auto& [name, value] : json["training"].items()) {
      if (name == "command" || name == "data") continue;
      std::string words = name;
      std::replace(words.begin(), words.end(), '_', ' ');
      const std::string text = value.is_string()         ? value.get<std::string>()
                               : value.is_number_float() ? number(value.get<double>(), 4)
                                                         : value.dump();
      rows.push_back({markup_text(words), markup_text(text)});
    }
  }
  return rows.empty() ? "" : table_of({"", ""}, rows, "How it was trained");
}

}  // namespace

std::optional<ForeignCapture> foreign_capture(const ssm::Card& card) {
  const auto json = nlohmann::ordered_json::parse(card.json, nullptr, false);
  if (!json.is_object() || !json.contains("source") || !json["source"].is_object()) return std::nullopt;
  const auto& source = json["source"];
  const auto text = [&](const char* key) {
    return source.contains(key) && source[key].is_string() ? source[key].get<std::string>() : std::string();
  };
  ForeignCapture capture{text("file"), text("program")};
  if (capture.file.empty() || capture.program.empty()) return std::nullopt;
  if (source.contains("estimated_ns_per_sample") && source["estimated_ns_per_sample"].is_number())
    capture.estimated_ns = source["estimated_ns_per_sample"];
  return capture;
}

std::string training_section(const Figures& figures, const ReportInput& input) {
  std::string html = "<div class=\"charts\">\n" + (input.curve.empty() ? "" : curve_figure(input)) + "<div>" +
                     training_table(figures.model->card()) + "</div>\n</div>\n";
  if (!input.command.empty()) html += "<pre><code>" + markup_text(input.command) + "</code></pre>\n";
  return section_of("training", "The training", html);
}

std::string cost_section(const Figures& figures) {
  const auto share = [](double ns, double rate_hz) { return number(1e-7 * ns * rate_hz, 2) + " %"; };
  const std::string rate = number(figures.sample_rate_hz() / 1000) + " kHz";
  std::vector<TableRow> rows = {{"this model", fixed(figures.ns_per_sample, 0),
                                 share(figures.ns_per_sample, figures.sample_rate_hz()), rate,
                                 grouped(figures.model->cost().macs_per_step)}};
  const std::optional<ForeignCapture> source = foreign_capture(figures.model->card());
  if (source && source->estimated_ns > 0) {
    rows.push_back({markup_text(source->file) + ", estimated", fixed(source->estimated_ns, 0),
                    share(source->estimated_ns, figures.sample_rate_hz()), rate, "\u2013"});
  }
  for (const Peer& peer : kPeers) {
    rows.push_back({peer.name, number(peer.ns), share(peer.ns, kPeerRateHz), number(kPeerRateHz / 1000) + " kHz",
                    "about " + grouped(peer.weights)});
  }
  return section_of(
      "cost", "What it costs",
      table_of({"", "ns a sample", "of one core", "sample rate", "multiply-adds"}, rows, "Cost of one channel") +
          paragraph(
              "This model was measured on this machine when the report was written, on one thread in blocks of 64 "
              "samples, beside whatever else ran. The figures of Neural Amp Modeler (NAM) were measured once, on "
              "one core of a server with AVX-512; on another machine they differ." +
                  std::string(source && source->estimated_ns > 0
                                  ? " The estimate is for " + markup_text(source->program) + " on that core."
                                  : ""),
              "small"));
}

}  // namespace coil::capture
