// The sections of a report, in their order on the page.
#pragma once

#include <optional>
#include <string>

#include "capture/report/figures.h"

namespace coil::capture {

// The smallest ESR that noise and the device's repeatability allow, for the worst take; 0: unknown.
double reachable_esr(const ReportInput& input);
size_t warnings_in(const ReportInput& input);

// The capture of another program that the model was made from, as its card states it.
struct ForeignCapture {
  std::string file, program;
  double estimated_ns = 0;  // per sample in that program; 0: unknown
};
std::optional<ForeignCapture> foreign_capture(const ssm::Card& card);

std::string verdict(const Figures& figures, const ReportInput& input);  // one sentence, as text

std::string key_figures_section(const Figures& figures, const ReportInput& input);
std::string listening_section(const Figures& figures, const ReportInput& input);
std::string error_section(const Figures& figures, const ReportInput& input);
std::string harmonics_section(const Figures& figures, const ReportInput& input);
std::string knobs_section(const Figures& figures, const ReportInput& input);  // empty: no knobs
std::string recordings_section(const Figures& figures, const ReportInput& input);
std::string training_section(const Figures& figures, const ReportInput& input);
std::string cost_section(const Figures& figures);

}  // namespace coil::capture
