// What a host saves for the plugin, and what a user preset contains: the models of both slots with their controls, the
// cabinet, the chain's values, snapshots and what MIDI moves.
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
#include "plugin/model_library.h"
#include "plugin/snapshots.h"

namespace coil::plugin {

struct SlotContent {
  std::string hash, name;                     // of the model; both empty: the slot is empty
  std::string path;                           // where its file was last found; empty: never in a file
  std::string preset;                         // path of the user preset that it came from or was saved as; empty: none
  std::map<std::string, float> controls;      // by name, in their units; also for a missing model
  std::shared_ptr<const LoadedModel> loaded;  // null: not loaded
  std::string missing;                        // one line with the reason; empty if all is well. Not saved
  std::shared_ptr<const std::vector<std::byte>> file_bytes;  // the model's file; null: too large, or unavailable

  bool empty() const { return hash.empty() && path.empty(); }
};

struct Session {
  std::array<SlotContent, dsp::kSlots> slots;
  int active_slot = 0;
  std::map<std::string, float> chain;  // by parameter ID, in their units
  dsp::RateMode rate_mode = dsp::RateMode::model_default;
  std::optional<CabinetContent> cabinet;  // empty: saved by a version without cabinets
  SnapshotBank snapshots;
  MidiSetup midi;
};

// The file format: everything, including file_bytes and the responses that fits_into_session(), protected by a
// checksum. [any thread]
std::vector<std::byte> to_bytes(const Session& session);
// Throws Error if the bytes are damaged, or of a newer version; `what` names them in the message. Does not load the
// models. [any thread]
Session session_from_bytes(std::span<const std::byte> bytes, const std::string& what = "the session");

// Loads the slot's model from the embedded bytes, the models in memory, the path, or any file of the library with this
// hash. If none has it, says what is missing. [any thread but the audio thread]
void resolve(SlotContent& slot, ModelLibrary& library);

// A slot that plays `model` with its card's defaults. `path`: of the model's file, or empty.
SlotContent slot_with(std::shared_ptr<const LoadedModel> model, const std::string& path);

// One value per control of the loaded model's card, in its order and units: the slot's value, or the card's default.
// Empty if no model is loaded.
std::vector<float> control_values(const SlotContent& slot);

}  // namespace coil::plugin
