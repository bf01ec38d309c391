// The first section: the verdict, and the figures behind it.
#include <algorithm>
#include <cmath>

#include "base/svg.h"
#include "base/text.h"
#include "capture/report/markup.h"
#include "capture/report/sections.h"

namespace coil::capture {
namespace {

constexpr double kNearTheLimit = 3;  // times the error that the recordings allow

struct Judgement {
  double esr;
  const char* words;
};
constexpr Judgement kJudgements[] = {{1e-4, "The model is hard to tell from the device"},
                                     {1e-3, "The model is very close to the device"},
                                     {1e-2, "The model is close to the device"},
                                     {5e-2, "The model is recognisably the device, with audible differences"},
                                     {0.3, "The model only resembles the device"}};

std::string tile(const std::string& label, const std::string& value, const std::string& below) {
  return "<div class=\"tile\"><dt>" + label + "</dt><dd><strong>" + value + "</strong><span>" + below +
         "</span></dd></div>\n";
}

double seconds_of(const Figures& figures, const ReportInput& input) {
  double frames = 0;
  for (const Take& take : input.takes) frames += double(take.dry.size());
  return frames / figures.sample_rate_hz();
}

}  // namespace

double reachable_esr(const ReportInput& input) {
  double least = 0;
  for (const ReportedRecording& recording : input.recordings)
    least = std::max({least, recording.noise_to_signal, recording.repeatability_esr.value_or(0) / 2});
  return least;
}

size_t warnings_in(const ReportInput& input) {
  size_t count = 0;
  for (const ReportedRecording& recording : input.recordings) {
    for (const Finding& finding : recording.findings) count += finding.severity == Severity::kWarning;
  }
  return count;
}

std::string verdict(const Figures& figures, const ReportInput& input) {
  const double esr = figures.held_out.esr(), reachable = reachable_esr(input);
  std::string words = "The model has not learned the device";
  for (const Judgement& judgement : kJudgements) {
    if (esr > judgement.esr) continue;
    words = judgement.words;
    break;
  }
  words += ": in passages held out of the training its error is " + fixed(std::abs(esr_db(esr)), 1) + " dB " +
           (esr <= 1 ? "below" : "above") + " the sound (ESR " + esr_words(esr) + ")";
  if (reachable > 0 && esr < kNearTheLimit * reachable) words += ", about as near as these recordings allow";
  if (const size_t warnings = warnings_in(input); warnings > 0)
    words += "; " + counted(static_cast<long long>(warnings), "warning") + " about the recordings " +
             (warnings == 1 ? "stands" : "stand") + " below";
  if (input.ended_early) words += "; the training was ended early";
  return words + ".";
}

std::string key_figures_section(const Figures& figures, const ReportInput& input) {
  const double seconds = seconds_of(figures, input), reachable = reachable_esr(input);
  const double share = 100e-9 * figures.ns_per_sample * figures.sample_rate_hz();
  std::string tiles =
      tile("Error, held-out passages", "<span id=\"esr\">" + esr_words(figures.held_out.esr()) + "</span>",
           "<span id=\"esr-db\">" + db_words(esr_db(figures.held_out.esr())) + "</span>; over all that was recorded " +
               "<span id=\"esr-all\">" + esr_words(figures.all.esr()) + "</span>");
  const bool plays_itself = foreign_capture(figures.model->card()).has_value();
  tiles += tile("Best that these recordings allow",
                reachable > 0  ? esr_words(reachable)
                : plays_itself ? "no limit"
                               : "not known",
                reachable > 0  ? db_words(esr_db(reachable)) + ", from noise and repeatability"
                : plays_itself ? "a program's capture plays the same every time"
                               : "no pause and no passage played twice");
  tiles += tile("Cost of a sample", fixed(figures.ns_per_sample, 0) + " ns",
                number(share, 2) + " % of one core of this machine; " + grouped(figures.model->cost().macs_per_step) +
                    " multiply-adds");
  const std::string length = seconds < 90 ? fixed(seconds, 1) + " s" : fixed(seconds / 60, 1) + " min";
  tiles += tile("Recordings", length,
                counted(static_cast<long long>(input.takes.size()), "take") + ", " +
                    number(figures.sample_rate_hz() / 1000) + " kHz, " +
                    counted(static_cast<long long>(warnings_in(input)), "warning"));
  return "<dl class=\"tiles\">\n" + tiles + "</dl>\n";
}

}  // namespace coil::capture
