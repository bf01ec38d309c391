// A rig: the stages of a chain with their settings and embedded files, as stored in a .coil file. docs/rig.md describes
// the JSON.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "dsp/cabinet.h"
#include "dsp/channel_mode.h"
#include "dsp/doubler.h"
#include "dsp/equaliser.h"
#include "dsp/model_processor.h"
#include "dsp/noise_gate.h"

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
  std::string hash;            // of the model, as ssm::Model::hash(); empty: any
  bool normalise = false;      // to the loudness of normalisation_gain_db()
  float gate_db = kGateOffDb;  // listens to the model's input and attenuates its output
  ChannelMode channels = ChannelMode::each;
  bool main = false;  // in the plugin: the model that the knobs move
};
struct RigMicrophone {
  std::string file;
  float level_db = 0, pan = 0, delay_ms = 0;  // as dsp::Microphone
  bool inverted = false;
  std::string checksum;  // of the response, in Rig::responses; empty: it comes from the file
};
struct RigCabinet {
  std::vector<RigMicrophone> microphones;  // one or two
  bool normalise = true;
};

// Settings that the plugin recalls together. A chain plays the stages as they are stored.
struct RigSnapshot {
  struct Microphone {
    float level_db = 0, pan = 0, delay_ms = 0;
    bool inverted = false;
  };
  std::map<std::string, float> values;    // by the plugin's parameter, in its units
  std::map<std::string, float> controls;  // of the model, by name, in their units
  std::vector<Microphone> microphones;    // of the cabinet, in its order
};
using RigSnapshots = std::map<std::string, RigSnapshot>;  // by letter, "A" to "D"

struct RigStage {
  std::string name;  // for people
  float mix = 1;
  bool bypassed = false;
  std::variant<RigGain, RigGate, RigModel, RigCabinet, EqualiserSettings, DoublerSettings> kind;
};

struct Rig {
  std::string name, category;
  std::vector<std::string> tags;
  float input_db = 0, output_db = 0;  // before and after all stages
  std::optional<float> input_dbu;     // what full scale is at the input; then models get the level they were made for
  float mix = 1;                      // 0: only the input, before input_db; 1: only the stages
  std::vector<RigStage> stages;
  RigSnapshots snapshots;
  // Embedded files: models by hash, impulse responses by checksum.
  std::map<std::string, std::shared_ptr<const std::vector<std::byte>>> models;
  std::map<std::string, std::shared_ptr<const ImpulseResponse>> responses;
  std::vector<std::string> warnings;  // unknown fields, one sentence each
};

// `where` names the text in error messages. Throws Error. [any thread but the audio thread]
Rig read_rig(const std::string& json, const std::string& where);
std::string write_rig(const Rig& rig);

// Of an embedded response: 16 hex digits of XXH3 over rate and samples. [any thread]
std::string checksum_of(const ImpulseResponse& response);

}  // namespace coil::dsp
