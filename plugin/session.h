// What a host keeps for the plugin, and what a user preset holds: the models of both slots with their controls, the
// cabinet, and the chain's values.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dsp/rack.h"
#include "plugin/cabinet.h"
#include "plugin/model_library.h"

namespace coil::plugin {

struct SlotContent {
  std::string hash, name;                     // the model's; both empty: the slot is empty
  std::string path;                           // where its file was last seen; empty: never in a file
  std::string preset;                         // path of the user preset that it came from or was saved as; empty: none
  std::map<std::string, float> controls;      // by name, in their units; also those of a model that is missing
  std::shared_ptr<const LoadedModel> loaded;  // null: nothing plays here
  std::string missing;                        // one line that says why; empty when all is well. Not saved
  std::shared_ptr<const std::vector<std::byte>> file_bytes;  // the model's file; null: too large, or never seen

  bool empty() const { return hash.empty() && path.empty(); }
};

struct Session {
  std::array<SlotContent, dsp::kSlots> slots;
  int active_slot = 0;
  std::map<std::string, float> chain;  // by parameter ID, in their units
  dsp::RateMode rate_mode = dsp::RateMode::model_default;
  std::optional<CabinetContent> cabinet;  // none: saved before there were cabinets
};

// The file form: all of it, with file_bytes and the samples of responses that fits_into_session(), guarded by a
// checksum. [any thread]
std::vector<std::byte> to_bytes(const Session& session);
// Throws Error for bytes that are damaged, or of a newer version; it calls them `what`. The models are not loaded yet.
// [any thread]
Session session_from_bytes(std::span<const std::byte> bytes, const std::string& what = "the session");

// Loads the slot's model: from the embedded bytes, what the process has loaded already, the path, or any file of the
// library with that hash; or says what is missing. [any thread but the audio thread]
void resolve(SlotContent& slot, ModelLibrary& library);

// A slot that plays `model` with its card's defaults. `path`: of the file that it came from, or empty.
SlotContent slot_with(std::shared_ptr<const LoadedModel> model, const std::string& path);

// One value per control of the loaded model's card, in its order and units: the slot's, or the card's default. Empty
// when none is loaded.
std::vector<float> control_values(const SlotContent& slot);

// A user preset is a session with its first slot alone, and the cabinet.
inline constexpr const char* kPresetExtension = ".coil";

}  // namespace coil::plugin
