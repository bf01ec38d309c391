// What a host saves for the plugin, and what a user preset contains: the models of both slots with their controls, the
// cabinet, the list of stages, the chain's values, snapshots and what MIDI moves.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dsp/rack.h"
#include "plugin/cabinet.h"
#include "plugin/midi_map.h"
#include "plugin/slot_content.h"
#include "plugin/snapshots.h"
#include "plugin/stages.h"

namespace coil::plugin {

struct Session {
  std::array<SlotContent, dsp::kSlots> slots;
  int active_slot = 0;
  std::map<std::string, float> chain;  // by parameter ID, in their units
  dsp::RateMode rate_mode = dsp::RateMode::model_default;
  std::optional<CabinetContent> cabinet;  // empty: saved by a version without cabinets
  StageList stages = usual_stages();
  SnapshotBank snapshots;
  MidiSetup midi;
};

// The file format: everything, including file_bytes and the responses that fits_into_session(), protected by a
// checksum. [any thread]
std::vector<std::byte> to_bytes(const Session& session);
// Throws Error if the bytes are damaged, or of a newer version; `what` names them in the message. Does not load the
// models. [any thread]
Session session_from_bytes(std::span<const std::byte> bytes, const std::string& what = "the session");

}  // namespace coil::plugin
