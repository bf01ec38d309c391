// The cabinet after the models: impulse responses from sound files, and the blend of its microphones.
#pragma once

#include <juce_core/juce_core.h>

#include <array>
#include <functional>
#include <memory>
#include <string>

#include "dsp/cabinet.h"
#include "dsp/chain.h"

namespace coil::plugin {

inline constexpr int kMicrophones = 2;

// As dsp::Microphone.
struct MicrophoneSettings {
  float level_db = 0, pan = 0, delay_ms = 0;
  bool inverted = false;

  bool operator==(const MicrophoneSettings&) const = default;
};

inline constexpr float kMinMicrophoneDb = -40, kMaxMicrophoneDb = 12;

struct MicrophoneContent {
  std::string name;      // the file's name without extension
  std::string path;      // where the file was last found
  std::string checksum;  // of the response's samples and rate
  MicrophoneSettings settings;
  std::shared_ptr<const dsp::ImpulseResponse> response;  // null: silent
  std::string remark;  // one line: why it is missing, or what is unexpected; empty if all is well. Not saved

  bool empty() const { return path.empty() && !response; }
  bool missing() const { return !empty() && !response; }
};

struct CabinetContent {
  std::array<MicrophoneContent, kMicrophones> microphones;
};

// Larger responses are not stored in sessions; they are loaded from their files.
inline constexpr size_t kMaxEmbeddedResponseBytes = size_t{1} << 20;
bool fits_into_session(const dsp::ImpulseResponse& response);

// Whether the name is that of a WAV, AIFF or FLAC file.
bool is_response_name(const juce::String& path);

// A microphone with default settings. Throws Error if the file is not an impulse response. [any thread but the audio
// thread]
MicrophoneContent microphone_with(const juce::File& file);

// Uses the response stored in the session, else the file at its path. If it is missing, says so. If the file has
// changed since, uses the new content and says so. [any thread but the audio thread]
void resolve(CabinetContent& cabinet);

// For Rack::load_tail(): makes the cabinet's chain; empty if no microphone has a response.
std::function<dsp::Chain()> tail_of(const CabinetContent& cabinet);

// How long the cabinet sounds after the end of its input.
double tail_seconds(const CabinetContent& cabinet);

}  // namespace coil::plugin
