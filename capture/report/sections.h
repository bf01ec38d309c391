// The sections of a report, in their order on the page.
#pragma once

#include <string>

#include "capture/report/figures.h"

namespace coil::capture {

// The smallest ESR that noise and the device's repeatability allow, for the worst take; 0: unknown.
double reachable_esr(const ReportInput& input);
size_t warnings_in(const ReportInput& input);

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
