// Gets the machine's name from the system, and prints.
#include "cli/bench/bench_report.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

namespace coil::cli {
namespace {

std::string cpu_name() {
#ifdef __APPLE__
  char name[256] = {};
  size_t size = sizeof name;
  if (sysctlbyname("machdep.cpu.brand_string", name, &size, nullptr, 0) == 0) return name;
#else
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
#endif
  return "unknown CPU";
}

}  // namespace

BenchRun this_run(const std::string& command) {
  const std::time_t now = std::time(nullptr);
  char date[32];
  std::strftime(date, sizeof date, "%Y-%m-%d", std::localtime(&now));
  return {cpu_name(), date, command, static_cast<int>(std::thread::hardware_concurrency())};
}

nlohmann::ordered_json to_json(const BenchRun& run) {
  return {{"cpu", run.cpu}, {"cores", run.cores}, {"date", run.date}, {"command", run.command}};
}

void print_json(const nlohmann::ordered_json& json) {
  std::printf("%s\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

void print_text(const BenchRun& run) {
  std::printf("%s, %s, %d cores: %s\n", run.date.c_str(), run.cpu.c_str(), run.cores, run.command.c_str());
}

BenchTable::BenchTable(const std::vector<std::string>& titles, size_t first_width) {
  for (const std::string& title : titles) widths_.push_back(std::max(title.size(), widths_.empty() ? first_width : 6));
  std::printf("\n");
  row(titles);
  for (size_t i = 0; i < widths_.size(); ++i) {
    std::printf(i == 0 ? "| %s " : "|-%s:", std::string(widths_[i], '-').c_str());
  }
  std::printf("|\n");
}

void BenchTable::row(const std::vector<std::string>& cells) const {
  for (size_t i = 0; i < cells.size(); ++i) {
    const int width = static_cast<int>(widths_[i]);
    std::printf("| %*s ", i == 0 ? -width : width, cells[i].c_str());
  }
  std::printf("|\n");
  std::fflush(stdout);
}

}  // namespace coil::cli
