// Changes of the cabinet: the content changes at once, the sound when another thread has made the new chain.
#include <utility>

#include "base/error.h"
#include "plugin/processor.h"

namespace coil::plugin {

namespace {

juce::String text(const std::string& utf8) { return juce::String::fromUTF8(utf8.c_str()); }

}  // namespace

MicrophoneStatus Processor::microphone(int microphone) const {
  const size_t at = size_t(microphone);
  const std::lock_guard lock(mutex_);
  const MicrophoneContent& content = cabinet_.content.microphones[at];
  MicrophoneStatus status;
  using Kind = MicrophoneStatus::Kind;
  const bool loads = cabinet_.loading_files[at] != juce::File();
  status.kind = loads               ? Kind::loading
                : content.response  ? Kind::playing
                : content.missing() ? Kind::missing
                                    : Kind::empty;
  status.message = text(content.remark);
  status.load_error = text(cabinet_.load_errors[at]);
  const juce::String path = text(content.path);
  status.file = loads ? cabinet_.loading_files[at] : juce::File::isAbsolutePath(path) ? juce::File(path) : juce::File();
  status.name = loads ? status.file.getFileNameWithoutExtension() : text(content.name);
  status.settings = content.settings;
  status.response = content.response;
  return status;
}

void Processor::load_response(int microphone, const juce::File& file) {
  uint64_t request = 0;
  {
    const size_t at = size_t(microphone);
    const std::lock_guard lock(mutex_);
    request = cabinet_.requests[at] = ++requests_;
    cabinet_.loading_files[at] = file;
    cabinet_.load_errors[at].clear();
  }
  sendChangeMessage();
  background_->post(this, [this, microphone, file, request] { load_response_now(microphone, file, request); });
}

void Processor::load_response_now(int microphone, const juce::File& file, uint64_t request) {
  const size_t at = size_t(microphone);
  {
    const std::lock_guard lock(mutex_);
    if (cabinet_.requests[at] != request) return;
  }
  MicrophoneContent loaded;
  std::string wrong;
  try {
    loaded = microphone_with(file);
  } catch (const Error& error) {
    wrong = error.what();
  } catch (const std::exception& error) {
    wrong = file.getFullPathName().toStdString() + ": " + error.what();
  }
  {
    Forgotten forgotten;
    const std::lock_guard lock(mutex_);
    if (cabinet_.requests[at] != request) return;
    cabinet_.loading_files[at] = juce::File();
    cabinet_.load_errors[at] = wrong;
    if (wrong.empty()) {
      forgotten = edit_cabinet(true, [&](CabinetContent& cabinet) {
        loaded.settings = cabinet.microphones[at].settings;
        std::swap(cabinet.microphones[at], loaded);
      });
      unread_state_.reset();
      notice_.clear();
    }
  }
  play_chain();
  tell_of_change(By::player);
}

void Processor::clear_response(int microphone) {
  const size_t at = size_t(microphone);
  MicrophoneContent gone;
  {
    Forgotten forgotten;
    const std::lock_guard lock(mutex_);
    cabinet_.requests[at] = ++requests_;
    cabinet_.loading_files[at] = juce::File();
    cabinet_.load_errors[at].clear();
    if (!cabinet_.content.microphones[at].empty())
      forgotten = edit_cabinet(true, [&](CabinetContent& cabinet) { std::swap(cabinet.microphones[at], gone); });
  }
  background_->post(this, [this] { play_chain(); });
  tell_of_change(By::player);
}

void Processor::set_microphone(int microphone, const MicrophoneSettings& settings, bool is_step) {
  {
    Forgotten forgotten;
    const std::lock_guard lock(mutex_);
    if (cabinet_.content.microphones[size_t(microphone)].settings == settings) return;
    forgotten = edit_cabinet(
        is_step, [&](CabinetContent& cabinet) { cabinet.microphones[size_t(microphone)].settings = settings; });
  }
  background_->post(this, [this] { play_chain(); });
  tell_of_change(By::player);
}

Processor::Forgotten Processor::edit_cabinet(bool is_step, const std::function<void(CabinetContent&)>& edit) {
  Forgotten forgotten;
  if (is_step) forgotten.sessions = history_.changing(last_session());
  edit(cabinet_.content);
  if (going_to_) going_to_->cabinet = cabinet_.content;
  ++cabinet_.edits;
  ++cabinet_.version;
  return forgotten;
}

void Processor::drop_loading_responses() {
  for (size_t i = 0; i < cabinet_.requests.size(); ++i) {
    if (cabinet_.loading_files[i] == juce::File()) continue;
    cabinet_.requests[i] = ++requests_;
    cabinet_.loading_files[i] = juce::File();
  }
}

// One at a time, always with the latest content: of several changes in the meantime, only the last one is made.
void Processor::play_chain() {
  const std::lock_guard making(chain_mutex_);
  CabinetContent cabinet;
  StageList stages;
  uint64_t cabinet_version = 0, stages_version = 0;
  {
    const std::lock_guard lock(mutex_);
    cabinet_version = cabinet_.version;
    stages_version = stages_version_;
    cabinet = cabinet_.content;
    stages = stages_;
  }
  if (cabinet_version != played_cabinet_) {
    try {
      rack_.load_tail(tail_of(cabinet));
      cabinet_seconds_ = tail_seconds(cabinet);
    } catch (const std::exception& error) {
      const std::lock_guard lock(mutex_);
      cabinet_.load_errors[0] = error.what();
    }
    played_cabinet_ = cabinet_version;
  }
  if (stages_version != played_stages_) {
    try {
      rack_.set_stages(rack_stages(stages));
      further_seconds_ = tail_seconds(stages);
    } catch (const std::exception& error) {
      const std::lock_guard lock(mutex_);
      slots_[size_t(active_slot_)].load_error = error.what();
    }
    played_stages_ = stages_version;
  }
}

}  // namespace coil::plugin
