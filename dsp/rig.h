// A rig: the stages of a chain with their settings, as a .coil file says them, and the files that it brings along.
// docs/rig.md describes the JSON.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "dsp/cabinet.h"
#include "dsp/chain.h"
#include "dsp/channel_mode.h"
#include "dsp/equaliser.h"
#include "dsp/model_processor.h"
#include "dsp/noise_gate.h"
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
  std::map<std::string, float> controls;  // those that are not at their defaults, in the card's units
  RateMode rate_mode = RateMode::model_default;
  std::string hash;            // of the model, as ssm::Model::hash(); empty: any
  bool normalise = false;      // to the loudness of normalisation_gain_db()
  float gate_db = kGateOffDb;  // a gate that listens to the model's input and turns down its output
  ChannelMode channels = ChannelMode::each;
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

struct RigStage {
  std::string name;  // for people
  float mix = 1;
  bool bypassed = false;
  std::variant<RigGain, RigGate, RigModel, RigCabinet, EqualiserSettings> kind;
};

struct Rig {
  std::string name, category;
  std::vector<std::string> tags;
  float input_db = 0, output_db = 0;  // before and behind all stages
  float mix = 1;                      // 0: what comes in, before input_db; 1: the stages
  std::vector<RigStage> stages;
  // Brought along: the files of models by hash, responses by checksum.
  std::map<std::string, std::shared_ptr<const std::vector<std::byte>>> models;
  std::map<std::string, std::shared_ptr<const ImpulseResponse>> responses;
  std::vector<std::string> warnings;  // of fields that are not known, a sentence each
};

// `where` is what errors call the text. Throws Error. [any thread but the audio thread]
Rig read_rig(const std::string& json, const std::string& where);
std::string write_rig(const Rig& rig);

// Where a rig's models and responses are. Both throw for what cannot be had.
struct RigFiles {
  std::function<std::shared_ptr<const ssm::Model>(const RigModel& stage)> model;
  std::function<std::shared_ptr<const ImpulseResponse>(const RigMicrophone& microphone)> response;
};

// Throws Error, and what `files` throws. [any thread but the audio thread]
Chain make_chain(const Rig& rig, const RigFiles& files);

// A chain over a whole recording. `output_rate_hz` 0: the input's. Throws Error for channels that the chain does not
// serve.
std::unique_ptr<RecordingProcessor> chain_over_recording(Chain chain, double sample_rate_hz, int channels,
                                                         double output_rate_hz = 0);

}  // namespace coil::dsp
