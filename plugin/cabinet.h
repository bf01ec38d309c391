// The cabinet behind the models: impulse responses from sound files, and how its microphones are blended.
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
  std::string name;      // the file's, without extension
  std::string path;      // where the file was last seen
  std::string checksum;  // of the response's samples and rate
  MicrophoneSettings settings;
  std::shared_ptr<const dsp::ImpulseResponse> response;  // null: nothing plays here
  std::string
      remark;  // one line: why it is missing, or what of it is not as expected; empty when all is well. Not saved

  bool empty() const { return path.empty() && !response; }
  bool missing() const { return !empty() && !response; }
};

struct CabinetContent {
  std::array<MicrophoneContent, kMicrophones> microphones;
};

// Responses of more bytes than this are not kept in sessions: they come from their file.
inline constexpr size_t kMaxEmbeddedResponseBytes = size_t{1} << 20;
bool fits_into_session(const dsp::ImpulseResponse& response);

// A WAV, AIFF or FLAC file, by its name.
bool is_response_name(const juce::String& path);

// With default settings. Throws Error for files that are no impulse response. [any thread but the audio thread]
MicrophoneContent microphone_with(const juce::File& file);

// Takes the response that the session held, else the one at its path; or says what is missing. What changed since is
// taken and said. [any thread but the audio thread]
void resolve(CabinetContent& cabinet);

// For Rack::load_tail(): makes a chain of the cabinet; empty when no microphone plays.
std::function<dsp::Chain()> tail_of(const CabinetContent& cabinet);

// How long the cabinet sounds after its input has ended.
double tail_seconds(const CabinetContent& cabinet);

}  // namespace coil::plugin
