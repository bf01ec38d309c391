// The page of a report: its frame, its look, and its figures for programs.
#pragma once

#include <string>

#include "capture/report/figures.h"

namespace coil::capture {

// How a page says that it is one of these.
inline constexpr const char* kReportMark = "<meta name=\"generator\" content=\"Coil capture report\">";

std::string page_of(const Figures& figures, const ReportInput& input);

}  // namespace coil::capture
