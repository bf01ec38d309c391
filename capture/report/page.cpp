// The page's frame: light or dark like the reader's system, printable, usable on a phone, and without external files.
#include "capture/report/page.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/svg.h"
#include "capture/report/sections.h"

namespace coil::capture {
namespace {

constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --text: #1b1f27; --dim: #5c6575; --rule: #d9dde4;
  --panel: #f4f5f8; --dry: #7b8494; --wet: #1769b5; --model: #d1600a; --error: #b3203a; --held: #1769b5;
  --good: #2a7d46;
  --s0: #f7d9b8; --s1: #f0b57c; --s2: #e08a42; --s3: #b85f1a; --s4: #7a3706; }
@media (prefers-color-scheme: dark) { :root { --page: #11141a; --card: #191d26; --text: #e9edf4; --dim: #9aa4b5;
  --rule: #313847; --panel: #202530; --dry: #8f99ab; --wet: #5fb0f5; --model: #ffa04d; --error: #ff7188;
  --held: #5fb0f5;
  --good: #67c78a; --s0: #5a3a1c; --s1: #8a5522; --s2: #c27a30; --s3: #f0a860; --s4: #ffe0bd; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, -apple-system, "Segoe UI",
  Inter, Roboto, "Liberation Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 21px; margin: 0 0 10px; } h3 { font-size: 17px; margin: 0 0 4px; } p { margin: 0 0 12px; }
.kind { color: var(--dim); margin: 0 0 2px; }
#verdict { font-size: 20px; line-height: 1.4; margin: 0 0 20px; max-width: 60em; }
.small, .legend, caption, details { font-size: 14px; } .small { color: var(--dim); }
section { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 20px;
margin: 0 0 18px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 220px), 1fr)); gap: 12px;
margin: 0 0 18px; }
.tile { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 14px 16px; }
.tile dt { color: var(--dim); font-size: 14px; } .tile dd { margin: 0; } .tile strong { display: block; font-size: 25px;
  line-height: 1.3; font-variant-numeric: tabular-nums; } .tile dd > span { color: var(--dim); font-size: 14px; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 400px), 1fr)); gap: 22px;
margin: 0 0 14px; }
.charts > *, figure { min-width: 0; margin: 0; } .players { margin: 0 0 14px; } figure + figure { margin-top: 18px; }
.charts > figure { margin-top: 0; } article { margin-top: 18px; }
figcaption { font-weight: 600; } .legend { margin: 0 0 2px; color: var(--dim); } .key { margin-right: 12px;
white-space: nowrap; }
svg { display: block; width: 100%; height: auto; }
svg text { font-size: 12px; fill: var(--dim); } svg .axis { fill: var(--text); } .end { text-anchor: end; }
.middle { text-anchor: middle; } .panel { fill: var(--panel); } .grid { stroke: var(--rule); stroke-width: 0.8; }
.dry { --c: var(--dry); } .wet { --c: var(--wet); } .model { --c: var(--model); } .error { --c: var(--error); }
.muted { --c: var(--dim); } .held { --c: var(--held); } .shade0 { --c: var(--s0); } .shade1 { --c: var(--s1); }
.shade2 { --c: var(--s2); } .shade3 { --c: var(--s3); } .shade4 { --c: var(--s4); }
.line { stroke: var(--c); stroke-width: 1.6; stroke-linejoin: round; } .line.wide { stroke-width: 3.6;
stroke-opacity: 0.55; }
.line.dry { stroke-width: 1; } .line.dashed { stroke-dasharray: 4 3; stroke-width: 1.2; }
.dot { fill: var(--c); } .dot[class*=shade] { stroke: var(--text); stroke-width: 0.7; } .area { fill: var(--c);
fill-opacity: 0.75; }
.area.error { fill-opacity: 0.9; } .bar { fill: var(--c); fill-opacity: 0.55; } .band { fill: var(--c);
fill-opacity: 0.14; }
.swatch { display: inline-block; width: 13px; height: 9px; margin-right: 5px; border-radius: 2px;
background: var(--c); }
.swatch.dashed { height: 0; background: none; border-top: 2px dashed var(--c); vertical-align: 4px; border-radius: 0; }
.swatch.held { opacity: 0.35; }
.player { display: grid; grid-template-columns: 5.2em 1fr; align-items: center; margin: 4px 0; } audio { width: 100%;
height: 38px; }
.scroll { overflow-x: auto; margin: 0 0 12px; } table { border-collapse: collapse; font-size: 15px;
  font-variant-numeric: tabular-nums; } caption { text-align: left; color: var(--dim); padding: 4px 0; }
th, td { text-align: left; padding: 5px 18px 5px 0; border-bottom: 1px solid var(--rule); vertical-align: top;
white-space: nowrap; }
tbody th { font-weight: 500; } thead th { color: var(--dim); font-weight: 500; font-size: 14px;
  white-space: normal; vertical-align: bottom; }
summary { cursor: pointer; color: var(--dim); padding: 4px 0; } .findings { list-style: none; margin: 0 0 12px;
padding: 0; }
.findings li { padding: 4px 0; overflow-wrap: anywhere; } .badge { display: inline-block; font-size: 12px;
font-weight: 600;
  border: 1px solid currentcolor; border-radius: 4px; padding: 0 6px; margin-right: 4px; color: var(--dim); }
.badge.warning { color: var(--model); } .badge.error { color: var(--error); }
pre { overflow-x: auto; background: var(--panel); border-radius: 6px; padding: 10px 12px; font-size: 13px; margin: 0; }
footer { color: var(--dim); font-size: 14px; overflow-wrap: anywhere; }
@media (max-width: 560px) { main { padding: 18px 10px 30px; } section { padding: 14px 12px; }
#verdict { font-size: 18px; }
  h1 { font-size: 25px; } svg text { font-size: 13.5px; } th, td { padding-right: 12px; } }
@media print { :root { color-scheme: light; --page: #fff; --card: #fff; --text: #000; --dim: #444; --rule: #bbb;
  --panel: #f7f7f7; --dry: #777; --wet: #1769b5; --model: #d1600a; --error: #b3203a; --held: #1769b5; }
  body { font-size: 11pt; }
  main { max-width: none; padding: 0; } .players { display: none; } figure, .tile, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; } section { border: 0; padding: 6pt 0; } .charts { grid-template-columns: 1fr 1fr; }
  .tiles { grid-template-columns: repeat(4, 1fr); gap: 6pt; } pre { white-space: pre-wrap; }
  th, td { padding-right: 10pt; } }
)";

// Only one player sounds at a time. A player that starts while another plays continues at the other's position.
constexpr const char* kScript = R"(
document.querySelectorAll('audio').forEach(function (player) {
  player.addEventListener('play', function () {
    document.querySelectorAll('audio').forEach(function (other) {
      if (other === player || other.paused) return;
      other.pause();
      if (other.closest('.players') === player.closest('.players')) player.currentTime = other.currentTime;
    });
  });
});
)";

using Json = nlohmann::ordered_json;

// JSON has no infinities.
Json finite(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
Json ratio(const ErrorSums& sums) { return sums.empty() ? Json(nullptr) : finite(sums.esr()); }

Json figures_as_json(const Figures& figures, const ReportInput& input) {
  Json json = {{"sample_rate_hz", figures.sample_rate_hz()}, {"model_hash", figures.model->hash()},
               {"esr_held_out", ratio(figures.held_out)},    {"esr_all", ratio(figures.all)},
               {"reachable_esr", reachable_esr(input)},      {"multiply_adds", figures.model->cost().macs_per_step},
               {"ns_per_sample", figures.ns_per_sample}};
  for (size_t t = 0; t < figures.takes.size(); ++t) {
    json["takes"].push_back({{"controls", figures.takes[t].controls},
                             {"esr_held_out", ratio(figures.takes[t].held_out)},
                             {"esr_all", ratio(figures.takes[t].all)}});
  }
  for (const HeldOutPart& part : figures.parts)
    json["held_out"].push_back(
        {{"take", part.take}, {"begin", part.span.begin}, {"end", part.span.end}, {"esr", ratio(part.sums)}});
  for (const LevelFigures& level : figures.levels)
    json["levels"].push_back({{"low_dbfs", level.low_dbfs},
                              {"high_dbfs", level.high_dbfs},
                              {"esr_held_out", ratio(level.held_out)},
                              {"esr_all", ratio(level.all)}});
  for (const BandFigures& band : figures.bands)
    json["bands"].push_back({{"hz", band.centre_hz}, {"wet_db", band.wet_db}, {"error_db", band.error_db}});
  for (const CurvePoint& point : input.curve)
    json["curve"].push_back(
        {{"seconds", point.seconds}, {"frames", point.frames}, {"esr", finite(point.held_out_esr)}});
  for (const AliasingFigures& aliasing : figures.aliasing)
    json["aliasing"].push_back({{"hz", aliasing.spectrum.hz},
                                {"level_dbfs", aliasing.level_dbfs},
                                {"off_harmonics_db", finite(aliasing.spectrum.off_harmonics_db)}});
  for (const Tone& tone : figures.aliasing_tones)
    json["recorded_aliasing"].push_back({{"hz", tone.hz},
                                         {"level_dbfs", tone.level_dbfs},
                                         {"device_db", finite(*tone.device_off_db)},
                                         {"model_db", finite(*tone.model_off_db)}});
  return json;
}

// The content of a script element: no "<" may end it.
std::string json_for_page(const Json& json) {
  std::string text;
  for (const char c : json.dump(-1, ' ', false, Json::error_handler_t::replace)) {
    if (c == '<')
      text += "\\u003c";
    else
      text += c;
  }
  return text;
}

}  // namespace

std::string page_of(const Figures& figures, const ReportInput& input) {
  const ssm::Card& card = figures.model->card();
  const std::string name = markup_text(card.name.empty() ? input.model.stem().string() : card.name);
  std::string html = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  html += std::string(kReportMark) + "\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
  html += "<title>" + name + " \u2013 capture report</title>\n<style>" + kStyle + "</style>\n</head>\n<body>\n<main>\n";
  html += "<header>\n<p class=\"kind\">Capture report</p>\n<h1>" + name + "</h1>\n<p id=\"verdict\">" +
          markup_text(verdict(figures, input)) + "</p>\n</header>\n";
  html += key_figures_section(figures, input) + listening_section(figures, input) + error_section(figures, input) +
          harmonics_section(figures, input) + knobs_section(figures, input) + recordings_section(figures, input) +
          training_section(figures, input) + cost_section(figures);
  html += "<footer><p>" + markup_text(input.model.filename().string() + ", hash " + figures.model->hash()) +
          (card.licence.empty() ? "" : ", licence: " + markup_text(card.licence)) + "</p></footer>\n</main>\n";
  html += "<script type=\"application/json\" id=\"figures\">" + json_for_page(figures_as_json(figures, input)) +
          "</script>\n<script>" + kScript + "</script>\n</body>\n</html>\n";
  return html;
}

}  // namespace coil::capture
