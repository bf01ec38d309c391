// The report beside a captured model: one HTML file that needs nothing else, with figures, pictures and sound.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "capture/recordings/prepare.h"
#include "capture/recordings/take.h"
#include "capture/trainer/trainer.h"

namespace coil::capture {

// What is known of a take beside its sound.
struct ReportedRecording {
  std::string dry_name, wet_name;  // as people know them
  Alignment alignment;
  Findings findings;
  double noise_to_signal = 0;  // 0: not known
  std::optional<double> repeatability_esr;
};

// An error that was measured on a recording of which the training saw nothing.
struct UnseenRecording {
  std::string name;
  double esr = 0;
};

struct ReportInput {
  std::filesystem::path model;                // the file, which is run as a plugin runs it
  std::span<const Take> takes;                // aligned, at the model's rate
  std::vector<std::vector<Span>> held_out;    // of each take
  std::vector<ReportedRecording> recordings;  // of each take; empty: nothing is known of them
  std::vector<std::string> missing;           // what the recordings leave open, one sentence each
  std::vector<UnseenRecording> unseen;
  std::vector<CurvePoint> curve;
  bool ended_early = false;
  std::string command;  // that made the model; may be empty
};

// Runs the model over all takes, and over tones of its own. Returns the verdict, one sentence. The file is there whole
// or as it was. Throws Error. [main-thread, or any other that may take seconds]
std::string write_report(const std::filesystem::path& path, const ReportInput& input);

// Whether `path` may be written without asking: nothing is there, or a report. [main-thread]
bool is_report_or_free(const std::filesystem::path& path);

}  // namespace coil::capture
