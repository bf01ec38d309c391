// A rig: the stages of a chain with their settings, as stored in a .coil file. docs/rig.md describes the JSON.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "dsp/cabinet.h"
#include "dsp/chain.h"
#include "dsp/equaliser.h"
#include "dsp/model_processor.h"
#include "dsp/recording_processor.h"

namespace coil::dsp {

struct RigGain {
  float db = 0;
};
struct RigGate {
  float threshold_db = -60;
};
struct RigModel {
  std::string file;                       // or a preset's name
  std::map<std::string, float> controls;  // only those that differ from the defaults, in the card's units
  RateMode rate_mode = RateMode::model_default;
};
struct RigMicrophone {
  std::string file;
  float level_db = 0, pan = 0, delay_ms = 0;  // as dsp::Microphone
  bool inverted = false;
};
struct RigCabinet {
  std::vector<RigMicrophone> microphones;  // one or two
  bool normalise = true;
};

struct RigStage {
  std::string name;  // for people
  float mix = 1;
  bool bypassed = false;
  std::variant<RigGain, RigGate, RigModel, RigCabinet, EqualiserSettings> kind;
};

struct Rig {
  std::string name;
  std::vector<RigStage> stages;
  std::vector<std::string> warnings;  // unknown fields, one sentence each
};

// `where` names the text in error messages. Throws Error. [any thread but the audio thread]
Rig read_rig(const std::string& json, const std::string& where);
std::string write_rig(const Rig& rig);

// Finds a rig's files. Both functions throw if a file is missing or unreadable.
struct RigFiles {
  std::function<std::shared_ptr<const ssm::Model>(const std::string& file)> model;
  std::function<std::shared_ptr<const ImpulseResponse>(const std::string& file)> response;
};

// Throws Error, and whatever `files` throws. [any thread but the audio thread]
Chain make_chain(const Rig& rig, const RigFiles& files);

// Runs a chain over a whole recording. `output_rate_hz` 0: the input's rate. Throws Error if the chain does not support
// the number of channels.
std::unique_ptr<RecordingProcessor> chain_over_recording(Chain chain, double sample_rate_hz, int channels,
                                                         double output_rate_hz = 0);

}  // namespace coil::dsp
