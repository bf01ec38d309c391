// Hearing models while one browses: they play in the active slot until one is kept or the previous sound comes back.
#include <utility>

#include "plugin/processor.h"

namespace coil::plugin {

void Processor::audition(const juce::File& file) {
  int slot = 0;
  {
    const std::lock_guard lock(mutex_);
    if (!audition_) audition_ = Audition{last_session(), active_slot_, sessions_, {}, 0};
    slot = audition_->slot;
    audition_->file = file;
  }
  const uint64_t request = request_load(slot, file, Keep::audition);
  const std::lock_guard lock(mutex_);
  if (audition_) audition_->request = request;
}

juce::File Processor::auditioned() const {
  const std::lock_guard lock(mutex_);
  return audition_ ? audition_->file : juce::File();
}

void Processor::keep_audition() {
  juce::File file;
  {
    std::optional<Audition> ended;
    History::Sessions forgotten;
    const std::lock_guard lock(mutex_);
    audition_.swap(ended);
    if (!ended || ended->sessions_then != sessions_) return;
    file = ended->file;
    forgotten = history_.changing(std::move(ended->before));
  }
  library_->note_recent(file);
  tell_of_change(By::player);
}

void Processor::cancel_audition() {
  std::optional<Audition> ended;
  {
    const std::lock_guard lock(mutex_);
    audition_.swap(ended);
    if (!ended || ended->sessions_then != sessions_ || slots_[size_t(ended->slot)].request != ended->request) return;
    next_request(ended->slot);  // cancels what still loads
    slots_[size_t(ended->slot)].load_error.clear();
    go_to(std::move(ended->before));
  }
  tell_of_change(By::player);
}

}  // namespace coil::plugin
