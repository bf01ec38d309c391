// The page of a report: its frame, its style, and its figures as JSON.
#pragma once

#include <string>

#include "capture/report/figures.h"

namespace coil::capture {

// Marks a page as a report.
inline constexpr const char* kReportMark = "<meta name=\"generator\" content=\"Coil capture report\">";

std::string page_of(const Figures& figures, const ReportInput& input);

}  // namespace coil::capture
