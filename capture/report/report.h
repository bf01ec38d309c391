// The report beside a captured model: one self-contained HTML file with figures, pictures and sound.
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

// What is known of a take besides its sound.
struct ReportedRecording {
  std::string dry_name, wet_name;  // names to show
  Alignment alignment;
  Findings findings;
  double noise_to_signal = 0;  // 0: unknown
  std::optional<double> repeatability_esr;
};

// An error that was measured on a recording that was not used in training.
struct UnseenRecording {
  std::string name;
  double esr = 0;
};

struct ReportInput {
  std::filesystem::path model;                // the file; it is run as the plugin runs it
  std::span<const Take> takes;                // aligned, at the model's rate
  std::vector<std::vector<Span>> held_out;    // for each take
  std::vector<ReportedRecording> recordings;  // for each take; empty: nothing is known
  std::vector<std::string> missing;           // what the recordings do not cover, one sentence each
  std::vector<UnseenRecording> unseen;
  std::vector<CurvePoint> curve;
  bool ended_early = false;
  std::string command;  // that made the model; may be empty
};

// Runs the model over all takes and over generated tones. Returns the verdict, one sentence. Writes the whole file or
// leaves the old one. Throws Error. It may take seconds. [any thread but the audio thread]
std::string write_report(const std::filesystem::path& path, const ReportInput& input);

// Whether `path` may be written without asking: it does not exist, or is a report. [any thread but the audio thread]
bool is_report_or_free(const std::filesystem::path& path);

}  // namespace coil::capture
