// Audition: what plays while the user browses.
#include "plugin/audition.h"

#include <utility>

#include "plugin/text.h"

namespace coil::plugin {

void Audition::play(const juce::File& file) {
  const bool is_response = is_response_name(file.getFileName());
  if (const auto heard = this->file(); heard != juce::File() && is_response_name(heard.getFileName()) != is_response)
    cancel();  // a cabinet is heard with the model that was there before, and a model with the earlier cabinet
  int slot = 0;
  {
    const std::lock_guard lock(store_.mutex);
    if (!heard_)
      heard_ = Heard{undo_.last_session(),
                     store_.active_slot,
                     store_.sessions,
                     {},
                     store_.slots[size_t(store_.active_slot)].request,
                     store_.cabinet.requests[0]};
    slot = heard_->slot;
    heard_->file = file;
  }
  const uint64_t request = is_response ? chain_editor_.load_response(0, file, ChainEditor::Keep::audition)
                                       : loading_.load_file(slot, file, Loading::Keep::audition);
  const std::lock_guard lock(store_.mutex);
  if (heard_) (is_response ? heard_->microphone_request : heard_->request) = request;
}

juce::File Audition::file() const {
  const std::lock_guard lock(store_.mutex);
  return heard_ ? heard_->file : juce::File();
}

void Audition::keep() {
  juce::File file;
  {
    std::optional<Heard> ended;
    History::Sessions forgotten;
    const std::lock_guard lock(store_.mutex);
    heard_.swap(ended);
    if (!ended || ended->sessions_then != store_.sessions) return;
    file = ended->file;
    forgotten = undo_.changing(std::move(ended->before));
  }
  if (!is_response_name(file.getFileName())) library_.note_recent(file);
  announcer_.tell_of_change(By::player);
}

void Audition::cancel() {
  std::optional<Heard> ended;
  {
    const std::lock_guard lock(store_.mutex);
    heard_.swap(ended);
    if (!ended || ended->sessions_then != store_.sessions ||
        store_.slots[size_t(ended->slot)].request != ended->request ||
        store_.cabinet.requests[0] != ended->microphone_request)
      return;
    store_.next_request(ended->slot);  // cancels what still loads
    store_.drop_loading_responses();
    store_.slots[size_t(ended->slot)].load_error.clear();
    store_.cabinet.load_errors[0].clear();
    loading_.go_to(std::move(ended->before));
  }
  announcer_.tell_of_change(By::player);
}

void Audition::load_file(int slot, const juce::File& file) {
  bool auditions = false;
  {
    const std::lock_guard lock(store_.mutex);
    auditions = heard_ && heard_->slot == slot;
  }
  if (auditions) return keep_instead(file);
  keep();
  loading_.load_file(slot, file);
}

void Audition::load_response(int microphone, const juce::File& file) {
  if (microphone == 0 && this->file() != juce::File()) return keep_instead(file);
  cancel();
  chain_editor_.load_response(microphone, file, ChainEditor::Keep::at_once);
}

// If this file is heard, it stays; otherwise it takes the place of what is heard.
void Audition::keep_instead(const juce::File& file) {
  if (this->file() != file) play(file);
  keep();
}

void Audition::load_neighbour(int step) {
  const int slot = store_.active();
  juce::File from = store_.status(slot).file;
  {
    const std::lock_guard lock(store_.mutex);
    if (const juce::File& asked = store_.slots[size_t(slot)].asked_file; asked != juce::File()) from = asked;
  }
  if (const auto entry = library_.neighbour(from, step)) return load_file(slot, entry->file);
  store_.set_error(slot, "there is no model to choose from: put some into " + path_of(library_.user_folder()));
  announcer_.tell_window();
}

}  // namespace coil::plugin
