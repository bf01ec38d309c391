// Measures the model, lays out the page, and writes the file.
#include "capture/report/report.h"

#include <fstream>

#include "base/error.h"
#include "base/part_file.h"
#include "capture/report/page.h"
#include "capture/report/sections.h"

namespace coil::capture {
namespace {

constexpr size_t kHeadBytes = 1024;  // of a file that are searched for a report's mark

}  // namespace

std::string write_report(const std::filesystem::path& path, const ReportInput& input) {
  const Figures figures = measure(input);
  const std::string page = page_of(figures, input);
  PartFile part(path);
  if (!part.write(page) || !part.commit())
    throw Error("'" + path.string() + "': the report cannot be written: " + part.error());
  return verdict(figures, input);
}

bool is_report_or_free(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return true;
  std::ifstream file(path, std::ios::binary);
  std::string head(kHeadBytes, '\0');
  file.read(head.data(), std::streamsize(head.size()));
  return head.find(kReportMark) != std::string::npos;
}

}  // namespace coil::capture
