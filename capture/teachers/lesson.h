// From a capture of another program to what a Coil model learns from: the capture plays, and its file's words go along.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "capture/model_file.h"
#include "capture/recordings/prepare.h"
#include "capture/recordings/take.h"

namespace coil::capture {

struct LessonOptions {
  std::vector<Recording> dry;                 // played besides the built-in signal, at any rate
  std::vector<Recording> test;                // played too, for an error on sound that nothing is learned from
  std::function<void(double)> progress = {};  // 0 to 1, while the capture plays
  std::function<bool()> stop = {};            // asked now and then
};

// For a Trainer with `sample_rate_hz` and as many knobs, and then write_model.
struct Lesson {
  std::vector<Take> takes;  // one for each setting of the knobs
  std::vector<Take> tests;  // of LessonOptions::test, each with its knobs in the middle
  std::vector<Knob> knobs;
  double sample_rate_hz;
  double rest = 0;  // what the capture gives in silence, the largest of all settings; taken out of the takes
  std::vector<std::string> notes, warnings;  // one sentence each
  nlohmann::ordered_json card;  // name, description, licence, and `source`: file, program, levels, metadata
};

// Nothing: it was stopped. Throws Error for a file that is no capture, or one that does not play. It may take many
// seconds; not for the audio thread.
std::optional<Lesson> make_lesson(const std::filesystem::path& path, const LessonOptions& options);

// What such a file says of itself, as sentences.
std::vector<std::string> describe_teacher(const std::filesystem::path& path);

}  // namespace coil::capture
