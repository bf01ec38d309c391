// Learner: learning a device while it is played, and moving the learned model into a slot and the library.
#include "plugin/learner.h"

#include <utility>

#include "capture/recordings/test_signal.h"
#include "capture/teachers/lesson.h"
#include "capture/teachers/teacher.h"
#include "plugin/text.h"

namespace coil::plugin {

namespace {

constexpr const char* kFolder = "learned";  // of the user's library

}  // namespace

void Learner::leave() {
  if (const auto learning = this->learning()) learning->leave();
  background_.leave(this);
}

void Learner::follow_rate(double sample_rate_hz) {
  if (const auto learning = this->learning();
      learning && learning->sample_rate_hz() > 0 && learning->sample_rate_hz() != sample_rate_hz)
    learning->end_recording("the sample rate changed, which ended the recording");
}

uint64_t Learner::begin_learning() {
  end_learning(true);
  const std::lock_guard lock(store_.mutex);
  if (store_.sample_rate_hz <= 0) throw Error("the host has not started its sound yet");
  Learned learned;
  learned.slot = store_.active_slot;
  learned.request = store_.next_request(store_.active_slot);
  learned.before = store_.session().slots[size_t(store_.active_slot)];
  learned.heard = learned.before.loaded;
  learned_ = std::move(learned);
  return learned_.request;
}

void Learner::set_learning(std::shared_ptr<Learning> learning, uint64_t request) {
  {
    const std::lock_guard lock(store_.mutex);
    if (learned_.request == request) learned_.learning = std::move(learning);
  }
  announcer_.tell_window();
}

void Learner::start_learning(LearnFrom from) {
  const uint64_t request = begin_learning();
  double rate_hz = 0;
  {
    const std::lock_guard lock(store_.mutex);
    rate_hz = store_.sample_rate_hz;
  }
  std::vector<float> signal;
  if (from == LearnFrom::test_signal) signal = capture::make_test_signal(rate_hz);
  learns_ = true;
  set_learning(Learning::begin(input_, rate_hz, std::move(signal), settings_,
                               [this, request](const Learning::Bytes& file) {
                                 background_.post(this, [=, this] { play_learned(request, file); });
                               }),
               request);
}

void Learner::describe_capture(const juce::File& file, std::function<void(const juce::String&, CaptureFile)> then) {
  background_.post(this, [file, then = std::move(then)] {
    const std::string path = path_of(file);
    juce::String text;
    CaptureFile kind = CaptureFile::capture;
    try {
      for (const std::string& sentence : capture::describe_teacher(path)) {
        const juce::String said = from_utf8(sentence);
        text << (text.isEmpty() ? "" : "\n") << said.substring(0, 1).toUpperCase() << said.substring(1);
      }
    } catch (const std::exception& error) {
      kind = dynamic_cast<const capture::NotACapture*>(&error) ? CaptureFile::other : CaptureFile::unusable_capture;
      text = from_utf8(error.what()).replace("'" + file.getFullPathName() + "'", file.getFileName());
    }
    juce::MessageManager::callAsync([then, text, kind] { then(text, kind); });
  });
}

void Learner::start_converting(const juce::File& capture) {
  const uint64_t request = begin_learning();
  {
    const std::lock_guard lock(store_.mutex);
    learned_.name = capture.getFileNameWithoutExtension().toStdString();
  }
  set_learning(Learning::begin(path_of(capture), settings_), request);
}

// Runs on the background thread.
void Learner::play_learned(uint64_t request, const Learning::Bytes& file) {
  Change change;
  size_t slot = 0;
  {
    const std::lock_guard lock(store_.mutex);
    slot = size_t(learned_.slot);
    const bool is_free = store_.slots[slot].request == request && store_.slots[slot].content.loaded == learned_.heard;
    if (learned_.request != request || !is_free) return;  // the user has chosen something else
    change = changes_.asked();
    change.requests[slot] = request;
    change.can_be_undone = !learned_.plays;
  }
  std::shared_ptr<const LoadedModel> model;
  try {
    model = library_.load(file, "what was learned");
    {
      const std::lock_guard lock(store_.mutex);
      if (learned_.request != request) return;
      learned_.coming = model;  // a discard meanwhile removes it again
    }
    change.slots[slot] = slot_with(model, "");
    if (!changes_.carry_out(change, Changes::Refuse::model_that_does_not_play).empty()) return;
  } catch (const Error&) {
    return;  // the current model plays on; a later one may do
  }
  {
    const std::lock_guard lock(store_.mutex);
    if (learned_.request == request && store_.slots[slot].content.loaded == model) {
      learned_.heard = model;
      learned_.plays = true;
    }
  }
  announcer_.tell_of_change(By::player);
}

// A low-priority thread may hold the Learning's own lock, so never take that lock with store_.mutex held.
std::shared_ptr<Learning> Learner::learning() const {
  const std::lock_guard lock(store_.mutex);
  return learned_.learning;
}

void Learner::stop_learning() {
  if (const auto learning = this->learning()) learning->stop();
}

juce::File Learner::keep_learned(const juce::String& name) {
  const juce::String legal = juce::File::createLegalFileName(name).trim().trimCharactersAtStart(".");
  if (!legal.containsNonWhitespaceChars()) throw Error("a model needs a name with at least one letter or digit");
  const juce::File folder = library_.user_folder().getChildFile(kFolder);
  if (!folder.createDirectory()) throw Error(path_of(folder) + ": cannot be made");
  const juce::File file = folder.getNonexistentChildFile(legal, ".safetensors", false);
  const auto learning = this->learning();
  if (!learning) throw Error("there is nothing to keep: nothing is being learned");
  learning->keep(path_of(file), path_of(file.withFileExtension("html")), name.toStdString());
  return file;
}

void Learner::discard_learned() {
  end_learning(true);
  announcer_.tell_window();
}

// A kept model stays in the slot.
void Learner::end_learning(bool restore) {
  Learned ended;
  {
    const std::lock_guard lock(store_.mutex);
    ended = std::exchange(learned_, {});
  }
  learns_ = false;
  if (!ended.learning) return;
  ended.learning->leave();
  if (!restore || ended.loaded) return;
  background_.post(this, [this, ended] {
    Change change;
    const size_t slot = size_t(ended.slot);
    {
      const std::lock_guard lock(store_.mutex);
      const auto& now = store_.slots[slot].content.loaded;
      const bool is_learned = (ended.plays && now == ended.heard) || (ended.coming && now == ended.coming);
      if (store_.slots[slot].request != ended.request || !is_learned) return;
      change = changes_.asked();
      change.requests[slot] = store_.next_request(int(slot));
    }
    change.slots[slot] = ended.before;
    change.can_be_undone = false;
    changes_.carry_out(change);
    announcer_.tell_of_change(By::player);
  });
}

LearnStatus Learner::learn_status() const {
  const auto learning = this->learning();
  return learning ? learning->status() : LearnStatus{};
}

// Runs on the background thread.
void Learner::tick() {
  std::shared_ptr<Learning> learning;
  int slot = 0;
  std::string name;
  bool loaded = false;
  {
    const std::lock_guard lock(store_.mutex);
    learning = learned_.learning;
    slot = learned_.slot;
    name = learned_.name;
    loaded = learned_.loaded;
  }
  if (!learning) return;
  const LearnStatus status = learning->status();
  if (status.converts && status.stage == LearnStatus::Stage::done && status.message.empty()) {
    try {
      keep_learned(from_utf8(name));
    } catch (const Error& error) {
      store_.set_error(slot, error.what());
      discard_learned();
    }
  } else if (status.stage == LearnStatus::Stage::kept && !loaded) {
    {
      const std::lock_guard lock(store_.mutex);
      if (learned_.learning == learning) learned_.loaded = true;
    }
    library_.rescan();
    audition_.load_file(slot, juce::File(from_utf8(status.model.string())));
  }
}

}  // namespace coil::plugin
