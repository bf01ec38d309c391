// Slot contents: loads their models, and converts their controls.
#include "plugin/slot_content.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "plugin/text.h"

namespace coil::plugin {

void resolve(SlotContent& slot, ModelLibrary& library) {
  slot.loaded = nullptr;
  slot.missing.clear();
  if (slot.empty()) return;
  std::string reason;
  const auto accept = [&](auto load) {
    try {
      const std::shared_ptr<const LoadedModel> found = load();
      if (!found) return false;
      if (!slot.hash.empty() && found->model->hash() != slot.hash) return false;
      slot.loaded = found;
      slot.hash = found->model->hash();
      if (found->file_bytes) slot.file_bytes = found->file_bytes;
      return true;
    } catch (const Error& error) {
      reason = error.what();
      return false;
    }
  };
  const juce::File file = juce::File::isAbsolutePath(slot.path) ? juce::File(from_utf8(slot.path)) : juce::File();
  if (slot.file_bytes && accept([&] { return library.load(slot.file_bytes, slot.name); })) return;
  if (accept([&] { return library.find_loaded(slot.hash); })) return;
  if (file.existsAsFile() && accept([&] { return library.load(file); })) return;
  if (const auto moved = library.find_file(slot.hash); moved && accept([&] { return library.load(*moved); })) {
    slot.path = path_of(*moved);
    return;
  }
  if (reason.empty())
    reason =
        "the model '" + slot.name + "' is missing: " +
        (slot.path.empty() ? std::string("it was") : slot.path + " is not there, or is another model, and it was") +
        " not found in the library; load its file, or put it into " + path_of(library.user_folder());
  slot.missing = reason;
}

SlotContent slot_with(std::shared_ptr<const LoadedModel> model, const std::string& path) {
  SlotContent slot;
  slot.hash = model->model->hash();
  slot.name = model->name;
  slot.path = path;
  slot.file_bytes = model->file_bytes;
  for (const ssm::Control& control : model->model->card().controls)
    slot.controls[control.name] = float(control.default_value);
  slot.loaded = std::move(model);
  return slot;
}

std::vector<float> control_values(const SlotContent& slot) {
  std::vector<float> values;
  if (!slot.loaded) return values;
  for (const ssm::Control& control : slot.loaded->model->card().controls) {
    const auto it = slot.controls.find(control.name);
    values.push_back(it != slot.controls.end() ? std::clamp(it->second, float(control.min), float(control.max))
                                               : float(control.default_value));
  }
  return values;
}

}  // namespace coil::plugin
