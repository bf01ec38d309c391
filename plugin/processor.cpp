// Between the host's calls, the window's calls and the rack.
#include "plugin/processor.h"

#include <algorithm>

#include "base/error.h"
#include "plugin/editor/editor.h"

namespace coil::plugin {

namespace {

std::string path_of(const juce::File& file) { return file.getFullPathName().toStdString(); }

SlotContent read_preset(const juce::File& file, ModelLibrary& library, std::map<std::string, float>& chain) {
  Session session = session_from_bytes(ModelLibrary::read(file), path_of(file) + ": the preset");
  SlotContent slot = std::move(session.slots[0]);
  if (slot.empty()) throw Error(path_of(file) + ": holds no model");
  resolve(slot, library);
  if (!slot.missing.empty()) throw Error(path_of(file) + ": " + slot.missing);
  slot.preset = path_of(file);
  chain = std::move(session.chain);
  return slot;
}

}  // namespace

Processor::Processor()
    : AudioProcessor(BusesProperties()
                         .withInput("Input", juce::AudioChannelSet::stereo(), true)
                         .withOutput("Output", juce::AudioChannelSet::stereo(), true)),
      parameters_(*this) {
  for (auto* parameter : getParameters()) parameter->addListener(this);
  background_->join(this, [this] { tick(); });
}

Processor::~Processor() {
  background_->leave(this);
  cancelPendingUpdate();
  for (auto* parameter : getParameters()) parameter->removeListener(this);
}

// ---------------------------------------------------------------- slots

int Processor::active_slot() const {
  const std::lock_guard lock(mutex_);
  return active_slot_;
}

SlotStatus Processor::status(int slot) const {
  const std::lock_guard lock(mutex_);
  const Slot& from = slots_[size_t(slot)];
  SlotStatus status;
  const bool loads = from.loading_file != juce::File();
  status.kind = loads ? SlotStatus::Kind::loading : from.kind;
  status.message = juce::String::fromUTF8(from.message.c_str());
  status.load_error = juce::String::fromUTF8(from.load_error.c_str());
  const bool is_preset = !from.content.preset.empty();
  const juce::String path = juce::String::fromUTF8((is_preset ? from.content.preset : from.content.path).c_str());
  status.file = loads ? from.loading_file : juce::File::isAbsolutePath(path) ? juce::File(path) : juce::File();
  status.name = loads || is_preset ? status.file.getFileNameWithoutExtension()
                                   : juce::String::fromUTF8(from.content.name.c_str());
  return status;
}

std::shared_ptr<const ssm::Model> Processor::model(int slot) const { return rack_.model(slot); }

juce::String Processor::notice() const {
  const std::lock_guard lock(mutex_);
  return juce::String::fromUTF8(notice_.c_str());
}

void Processor::dismiss_errors() {
  {
    const std::lock_guard lock(mutex_);
    for (Slot& slot : slots_) slot.load_error.clear();
    notice_.clear();
  }
  sendChangeMessage();
}

void Processor::set_active_slot(int slot) {
  {
    const std::lock_guard lock(mutex_);
    if (slot == active_slot_) return;
    history_.changing(current_session());
    const juce::SpinLock::ScopedLockType still(controls_lock_);
    keep_controls();
    active_slot_ = slot;
    show_controls();
  }
  tell_of_change(By::player);
}

void Processor::copy_to_other_slot() {
  {
    const std::lock_guard lock(mutex_);
    history_.changing(current_session());
    const juce::SpinLock::ScopedLockType still(controls_lock_);
    keep_controls();
    install(1 - active_slot_, slots_[size_t(active_slot_)].content);
  }
  tell_of_change(By::player);
}

void Processor::set_rate_mode(dsp::RateMode mode) {
  {
    const std::lock_guard lock(mutex_);
    Session session = current_session();
    if (session.rate_mode == mode) return;
    history_.changing(session);
    session.rate_mode = mode;
    install(std::move(session));
  }
  tell_of_change(By::player);
}

void Processor::clear(int slot) {
  {
    const std::lock_guard lock(mutex_);
    history_.changing(current_session());
    const juce::SpinLock::ScopedLockType still(controls_lock_);
    install(slot, SlotContent{});
    unread_state_.reset();
    notice_.clear();
  }
  tell_of_change(By::player);
}

void Processor::load_file(int slot, const juce::File& file) {
  uint64_t request = 0;
  {
    const std::lock_guard lock(mutex_);
    Slot& to = slots_[size_t(slot)];
    request = ++to.request;
    to.loading_file = to.asked_file = file;
    to.load_error.clear();
  }
  sendChangeMessage();

  background_->post(this, [this, slot, file, request] {
    SlotContent content;
    std::map<std::string, float> chain;
    std::string wrong;
    try {
      content = file.hasFileExtension(kPresetExtension) ? read_preset(file, *library_, chain) : slot_with(library_->load(file), path_of(file));
    } catch (const Error& error) {
      wrong = error.what();
    } catch (const std::exception& error) {
      wrong = path_of(file) + ": " + error.what();
    }
    {
      const std::lock_guard lock(mutex_);
      Slot& to = slots_[size_t(slot)];
      if (to.request != request) return;  // something else was asked for since
      if (!wrong.empty()) {
        to.loading_file = juce::File();
        to.load_error = wrong;
      } else {
        history_.changing(current_session());
        const juce::SpinLock::ScopedLockType still(controls_lock_);
        install(slot, std::move(content));
        to.asked_file = file;
        parameters_.set_chain(chain);
        unread_state_.reset();
        notice_.clear();
      }
    }
    if (wrong.empty()) library_->note_recent(file);
    tell_of_change(By::player);
  });
}

void Processor::load_neighbour(int step) {
  const int slot = active_slot();
  juce::File from = status(slot).file;
  {
    const std::lock_guard lock(mutex_);
    if (const juce::File& asked = slots_[size_t(slot)].asked_file; asked != juce::File()) from = asked;
  }
  if (const auto entry = library_->neighbour(from, step)) return load_file(slot, entry->file);
  {
    const std::lock_guard lock(mutex_);
    slots_[size_t(slot)].load_error =
        "there is no model to choose from: put some into " + path_of(library_->user_folder());
  }
  sendChangeMessage();
}

juce::File Processor::preset_file(const juce::String& name) const {
  const juce::String legal =
      juce::File::createLegalFileName(name).trim().trimCharactersAtStart(".");  // files that begin so are not listed
  if (!legal.containsNonWhitespaceChars()) throw Error("a preset needs a name with at least one letter or digit");
  return library_->preset_folder().getChildFile(legal + kPresetExtension);
}

juce::File Processor::save_preset(const juce::String& name) {
  const juce::File file = preset_file(name);
  Session preset;
  int saved_slot = 0;
  {
    const std::lock_guard lock(mutex_);
    Session session = current_session();
    saved_slot = active_slot_;
    preset.slots[0] = std::move(session.slots[size_t(saved_slot)]);
    preset.chain = std::move(session.chain);
  }
  if (preset.slots[0].empty()) throw Error("there is nothing to save: load a model first");
  preset.chain.erase(parameters_.bypass->getParameterID().toStdString());
  preset.slots[0].preset.clear();
  const std::vector<std::byte> bytes = to_bytes(preset);
  if (!file.getParentDirectory().createDirectory() || !file.replaceWithData(bytes.data(), bytes.size()))
    throw Error(path_of(file) + ": cannot be written");
  {
    const std::lock_guard lock(mutex_);
    Slot& slot = slots_[size_t(saved_slot)];
    if (slot.content.hash == preset.slots[0].hash) slot.content.preset = path_of(file);
  }
  library_->rescan();
  library_->note_recent(file);
  tell_of_change(By::player);
  return file;
}

bool Processor::can_undo() const {
  const std::lock_guard lock(mutex_);
  return history_.can_undo();
}

bool Processor::can_redo() const {
  const std::lock_guard lock(mutex_);
  return history_.can_redo();
}

void Processor::undo() {
  {
    const std::lock_guard lock(mutex_);
    if (auto session = history_.undo(current_session())) install(std::move(*session));
  }
  tell_of_change(By::player);
}

void Processor::redo() {
  {
    const std::lock_guard lock(mutex_);
    if (auto session = history_.redo(current_session())) install(std::move(*session));
  }
  tell_of_change(By::player);
}

Session Processor::current_session() const {
  Session session;
  for (size_t i = 0; i < slots_.size(); ++i) session.slots[i] = slots_[i].content;
  session.active_slot = active_slot_;
  session.chain = parameters_.chain();
  session.rate_mode = rack_.rate_mode();
  for (const auto* control : parameters_.controls)
    if (const auto meaning = control->meaning()) session.slots[size_t(active_slot_)].controls[meaning->name] = control->value_in_units();
  return session;
}

void Processor::keep_controls() { slots_[size_t(active_slot_)].content = current_session().slots[size_t(active_slot_)]; }

void Processor::show_controls() {
  const Slot& slot = slots_[size_t(active_slot_)];
  const std::vector<float> values = control_values(slot.content);
  ActiveControls next;
  next.slot = active_slot_;
  next.count = int(std::min(values.size(), parameters_.controls.size()));
  for (size_t i = 0; i < parameters_.controls.size(); ++i) {
    ControlParameter& parameter = *parameters_.controls[i];
    if (i < size_t(next.count)) {
      const ssm::Control& control = slot.content.loaded->model->card().controls[i];
      next.min[i] = control.min;
      next.range[i] = control.max - control.min;
      parameter.set_meaning(control);
      parameter.setValue(parameter.normalised(values[i]));
    } else {
      parameter.set_meaning(std::nullopt);
      parameter.setValue(0);
    }
  }
  active_controls_ = next;
  rack_.settings().active_slot = active_slot_;
}

void Processor::install(int slot, SlotContent content) {
  Slot& to = slots_[size_t(slot)];
  ++to.request;
  to.loading_file = to.asked_file = juce::File();
  to.load_error.clear();
  to.message = content.missing;
  to.content = std::move(content);
  const std::vector<float> values = control_values(to.content);
  try {
    rack_.load(slot, to.content.loaded ? to.content.loaded->model : nullptr, values);
    to.kind = to.content.loaded ? SlotStatus::Kind::playing : to.content.empty() ? SlotStatus::Kind::empty : SlotStatus::Kind::missing;
  } catch (const Error& error) {
    rack_.load(slot, nullptr);
    to.kind = SlotStatus::Kind::failed;
    to.message = error.what();
  }
  if (slot == active_slot_) show_controls();
}

void Processor::install(Session session) {
  const juce::SpinLock::ScopedLockType still(controls_lock_);
  active_slot_ = session.active_slot;
  const bool same_rates = session.rate_mode == rack_.rate_mode();
  rack_.set_rate_mode(session.rate_mode);
  for (int i = 0; i < dsp::kSlots; ++i) {
    SlotContent& content = session.slots[size_t(i)];
    Slot& slot = slots_[size_t(i)];
    if (content.loaded && slot.kind == SlotStatus::Kind::playing && content.loaded == slot.content.loaded && same_rates) {
      slot.content = std::move(content);  // goes on playing, with other values
      const std::vector<float> values = control_values(slot.content);
      for (size_t c = 0; c < std::min(values.size(), size_t(dsp::kMaxRackControls)); ++c) rack_.settings().controls[size_t(i)][c] = values[c];
    } else {
      install(i, std::move(content));
    }
  }
  parameters_.set_chain(session.chain);
  show_controls();
}

void Processor::tell_of_change(By by) {
  setLatencySamples(rack_.latency_frames());
  if (by == By::player) edited_ = true;
  if (juce::MessageManager::existsAndIsCurrentThread()) {
    handleAsyncUpdate();
  } else {
    triggerAsyncUpdate();
  }
}

void Processor::handleAsyncUpdate() {
  for (auto* parameter : getParameters()) parameter->sendValueChangedMessageToListeners(parameter->getValue());
  updateHostDisplay(ChangeDetails().withParameterInfoChanged(true).withNonParameterStateChanged(edited_.exchange(false)));
  sendChangeMessage();
}

void Processor::parameterGestureChanged(int index, bool starting) {
  const std::lock_guard lock(mutex_);
  const float value = getParameters()[index]->getValue();
  if (starting) {
    before_gesture_ = current_session();
    value_before_gesture_ = value;
  } else if (before_gesture_) {
    if (value != value_before_gesture_) history_.changing(std::move(*before_gesture_));
    before_gesture_.reset();
  }
}

void Processor::tick() {
  rack_.collect();
  const int program = asked_program_.exchange(-1);
  if (program < 0) return;
  const std::vector<LibraryEntry> entries = library_->entries();
  if (size_t(program) < entries.size()) load_file(active_slot(), entries[size_t(program)].file);
}

// ---------------------------------------------------------------- juce::AudioProcessor

bool Processor::isBusesLayoutSupported(const BusesLayout& layout) const {
  const auto in = layout.getMainInputChannelSet(), out = layout.getMainOutputChannelSet();
  const auto mono = juce::AudioChannelSet::mono(), stereo = juce::AudioChannelSet::stereo();
  return (in == mono && (out == mono || out == stereo)) || (in == stereo && out == stereo);
}

void Processor::prepareToPlay(double sample_rate_hz, int max_block_frames) {
  {
    const std::lock_guard lock(mutex_);
    spec_ = {sample_rate_hz, std::max(max_block_frames, 1), std::max(getMainBusNumOutputChannels(), 1)};
    tap_.prepare(sample_rate_hz);
    copy_parameters(false);  // so that nothing moves in the first block
    try {
      rack_.prepare(spec_);
    } catch (const Error& error) {
      spec_ = {};
      notice_ = error.what();
    }
    // those that could not serve the spec before may now, and the other way round
    for (int i = 0; i < dsp::kSlots; ++i) {
      Slot& slot = slots_[size_t(i)];
      if (!slot.content.loaded) continue;
      if (rack_.model(i) != slot.content.loaded->model) {
        const juce::SpinLock::ScopedLockType still(controls_lock_);
        keep_controls();
        install(i, slot.content);
      }
      slot.message = rack_.problem(i);
      slot.kind = slot.message.empty() ? SlotStatus::Kind::playing : SlotStatus::Kind::failed;
    }
  }
  setLatencySamples(rack_.latency_frames());
  sendChangeMessage();
}

void Processor::releaseResources() { rack_.collect(); }

void Processor::reset() { rack_.reset(); }

void Processor::processBlock(juce::AudioBuffer<float>& audio, juce::MidiBuffer& midi) { process(audio, midi, false); }
void Processor::processBlockBypassed(juce::AudioBuffer<float>& audio, juce::MidiBuffer& midi) { process(audio, midi, true); }

void Processor::process(juce::AudioBuffer<float>& audio, const juce::MidiBuffer& midi, bool bypassed) noexcept {
  for (const auto event : midi)
    if (event.numBytes == 2 && (event.data[0] & 0xf0) == 0xc0) asked_program_ = event.data[1];
  if (spec_.sample_rate_hz <= 0 || audio.getNumChannels() < spec_.channels) return;

  const LoadMeter::Block timed(load_, audio.getNumSamples(), spec_.sample_rate_hz);
  const bool widens = getMainBusNumInputChannels() < spec_.channels;
  if (widens) audio.copyFrom(1, 0, audio, 0, 0, audio.getNumSamples());
  copy_parameters(bypassed);
  if (widens) rack_.settings().channels = dsp::ChannelMode::left;  // so that the model runs once

  const dsp::AudioBlock block{audio.getArrayOfWritePointers(), spec_.channels, audio.getNumSamples()};
  tap_.write(SoundTap::Side::input, block);
  rack_.process(block);
  tap_.write(SoundTap::Side::output, block);
}

void Processor::copy_parameters(bool bypassed) noexcept {
  dsp::RackSettings& settings = rack_.settings();
  parameters_.copy_chain_to(settings);
  if (bypassed) settings.bypass = true;
  const juce::SpinLock::ScopedTryLockType still(controls_lock_);
  if (!still.isLocked()) return;  // the controls are about to mean something else: the rack keeps those it has
  const ActiveControls& active = active_controls_;
  for (size_t i = 0; i < size_t(active.count); ++i)
    settings.controls[size_t(active.slot)][i] = float(active.min[i] + double(parameters_.controls[i]->getValue()) * active.range[i]);
}

void Processor::getStateInformation(juce::MemoryBlock& state) {
  const std::lock_guard lock(mutex_);
  if (!unread_state_.isEmpty()) {
    state = unread_state_;
    return;
  }
  const std::vector<std::byte> bytes = to_bytes(current_session());
  state.replaceAll(bytes.data(), bytes.size());
}

void Processor::setStateInformation(const void* data, int size) {
  if (!data || size <= 0) return;
  try {
    Session session = session_from_bytes({static_cast<const std::byte*>(data), size_t(size)});
    for (SlotContent& slot : session.slots) resolve(slot, *library_);
    const std::lock_guard lock(mutex_);
    install(std::move(session));
    history_ = {};
    unread_state_.reset();
    notice_.clear();
  } catch (const Error& error) {
    const std::lock_guard lock(mutex_);
    unread_state_.replaceAll(data, size_t(size));
    notice_ = error.what();
  }
  tell_of_change(By::host);
}

juce::AudioProcessorEditor* Processor::createEditor() { return new Editor(*this); }

}  // namespace coil::plugin

juce::AudioProcessor* JUCE_CALLTYPE createPluginFilter() { return new coil::plugin::Processor(); }
