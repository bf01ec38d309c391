// The sections of a report, in the order in which they stand on the page.
#pragma once

#include <string>

#include "capture/report/figures.h"

namespace coil::capture {

// The least ESR that noise and the device's own repeatability allow, of the take that is worst off; 0: not known.
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
