// Makes training data for a Coil model from a capture of another program, and passes on what its file says.
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
  std::vector<Recording> dry;                 // played after the built-in signal; any rate
  std::vector<Recording> test;                // also played, to measure the error on sound that is not used in training
  std::function<void(double)> progress = {};  // 0 to 1, while the capture plays
  std::function<bool()> stop = {};            // called now and then
};

// For a Trainer with `sample_rate_hz` and this number of knobs, and then write_model.
struct Lesson {
  std::vector<Take> takes;  // one for each setting of the knobs
  std::vector<Take> tests;  // for LessonOptions::test, each with its knobs at the centre
  std::vector<Knob> knobs;
  double sample_rate_hz;
  double teacher_ns = 0;  // estimated_teacher_ns
  double rest = 0;  // the capture's largest output in silence over all settings; already subtracted from the takes
  std::vector<std::string> notes, warnings;  // one sentence each
  nlohmann::ordered_json card;  // name, description, licence, and `source`: file, program, levels, metadata
};

// Empty if it was stopped. Throws Error if the file is not a capture or cannot be played. It may take many seconds; not
// for the audio thread.
std::optional<Lesson> make_lesson(const std::filesystem::path& path, const LessonOptions& options);

// What such a file says about itself, in sentences.
std::vector<std::string> describe_teacher(const std::filesystem::path& path);

}  // namespace coil::capture
