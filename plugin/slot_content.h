// What a model slot holds: a model with its controls, and where it came from.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "plugin/model_library.h"

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

// Loads the slot's model from the embedded bytes, the models in memory, the path, or any file of the library with this
// hash. If none has it, says what is missing. [any thread but the audio thread]
void resolve(SlotContent& slot, ModelLibrary& library);

// A slot that plays `model` with its card's defaults. `path`: of the model's file, or empty.
SlotContent slot_with(std::shared_ptr<const LoadedModel> model, const std::string& path);

// One value per control of the loaded model's card, in its order and units: the slot's value, or the card's default.
// Empty if no model is loaded.
std::vector<float> control_values(const SlotContent& slot);

}  // namespace coil::plugin
