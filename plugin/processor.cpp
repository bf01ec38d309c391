// Connects the host's calls, the window's calls and the rack.
#include "plugin/processor.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "plugin/preset.h"

namespace coil::plugin {

namespace {

std::string path_of(const juce::File& file) { return file.getFullPathName().toStdString(); }

}  // namespace

Processor::Processor()
    : AudioProcessor(BusesProperties()
                         .withInput("Input", juce::AudioChannelSet::stereo(), true)
                         .withInput("Return", juce::AudioChannelSet::stereo(), false)
                         .withOutput("Output", juce::AudioChannelSet::stereo(), true)),
      parameters_(*this) {
  a4_hz_ = user_settings_.number("a4_hz", a4_hz_);
  tuner_mutes_ = user_settings_.number("tuner_mutes", 1) != 0;
  juce::RangedAudioParameter& input_dbu = *parameters_.input_dbu;
  input_dbu.setValue(input_dbu.convertTo0to1(float(user_settings_.number("input_dbu", double(kUsualFullScaleDbu)))));
  for (auto* parameter : getParameters()) {
    parameter->addListener(this);
    placed_values_.push_back(parameter->getValue());
  }
  gestures_.resize(placed_values_.size());
  background_->join(this, [this] { tick(); });
}

Processor::~Processor() {
  if (const auto learns = learning()) learns->leave();
  background_->leave(this);
  cancelPendingUpdate();
  for (auto* parameter : getParameters()) parameter->removeListener(this);
}

// ---------------------------------------------------------------- the user's settings

void Processor::set_a4_hz(double hz) {
  a4_hz_ = hz;
  user_settings_.keep("a4_hz", hz);
}

void Processor::set_tuner_mutes(bool mutes) {
  tuner_mutes_ = mutes;
  user_settings_.keep("tuner_mutes", mutes ? 1 : 0);
}

void Processor::set_input_dbu(float dbu) {
  auto& parameter = *parameters_.input_dbu;
  parameter.beginChangeGesture();
  parameter.setValueNotifyingHost(parameter.convertTo0to1(dbu));
  parameter.endChangeGesture();
  user_settings_.keep("input_dbu", double(parameter.get()));
}

std::optional<float> Processor::input_tone_dbfs() const {
  constexpr double kSeconds = 0.5;
  constexpr float kTooSoftDbfs = -70;
  std::vector<float> frames(std::min(SoundTap::kFrames, size_t(kSeconds * tap_.sample_rate_hz())));
  if (frames.empty()) return std::nullopt;
  tap_.read_latest(SoundTap::Side::input, frames);
  double power = 0;
  for (const float sample : frames) power += double(sample) * double(sample) / double(frames.size());
  const float level = float(10 * std::log10(2 * power + 1e-20));  // of a sine, whose power is half of its peak's
  return level > kTooSoftDbfs ? std::optional(level) : std::nullopt;
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
    for (std::string& error : cabinet_.load_errors) error.clear();
    for (MicrophoneContent& each : cabinet_.content.microphones)
      if (each.response) each.remark.clear();
    notice_.clear();
  }
  sendChangeMessage();
}

void Processor::set_active_slot(int slot) {
  keep_audition();
  {
    History::Sessions forgotten;
    const std::lock_guard lock(mutex_);
    if (slot == active_slot_) return;
    forgotten = history_.changing(last_session());
    if (going_to_) going_to_->active_slot = slot;
    ++switches_;
    const juce::SpinLock::ScopedLockType still(controls_lock_);
    keep_controls();
    active_slot_ = slot;
    show_controls();
  }
  tell_of_change(By::player);
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
      juce::File::createLegalFileName(name).trim().trimCharactersAtStart(".");  // files that start with a dot are not
                                                                                // listed
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
    preset.cabinet = std::move(session.cabinet);
    preset.stages = std::move(session.stages);
    preset.snapshots = std::move(session.snapshots);
    preset.rate_mode = session.rate_mode;
  }
  if (preset.slots[0].empty()) throw Error("there is nothing to save: load a model first");
  preset.chain.erase(parameters_.bypass->getParameterID().toStdString());
  preset.slots[0].preset.clear();
  for (auto& snapshot : preset.snapshots.all) {  // those of the slot that is saved
    if (snapshot && snapshot->slot != saved_slot) snapshot.reset();
    if (snapshot) snapshot->slot = 0;
  }
  const std::string text = preset_text(preset, {file.getFileNameWithoutExtension().toStdString(), {}, {}});
  if (!file.getParentDirectory().createDirectory() || !file.replaceWithData(text.data(), text.size()))
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
  const auto is_file = [](const juce::File& file) { return file != juce::File(); };
  return history_.can_undo() || std::ranges::any_of(cabinet_.loading_files, is_file) ||
         std::ranges::any_of(slots_, is_file, &Slot::loading_file);
}

bool Processor::can_redo() const {
  const std::lock_guard lock(mutex_);
  return history_.can_redo();
}

Session Processor::current_session() const {
  Session session;
  for (size_t i = 0; i < slots_.size(); ++i) session.slots[i] = slots_[i].content;
  session.active_slot = active_slot_;
  session.chain = parameters_.chain();
  session.rate_mode = rack_.rate_mode();
  session.cabinet = cabinet_.content;
  session.stages = stages_;
  session.snapshots = bank_;
  session.midi = midi_setup_;
  for (const auto* control : parameters_.controls)
    if (const auto meaning = control->meaning())
      session.slots[size_t(active_slot_)].controls[meaning->name] = control->value_in_units();
  return session;
}

void Processor::keep_controls() {
  slots_[size_t(active_slot_)].content = current_session().slots[size_t(active_slot_)];
}

void Processor::show_controls(const Change* change) {
  const Slot& slot = slots_[size_t(active_slot_)];
  const std::vector<float> values = control_values(slot.content);
  ActiveControls next;
  next.slot = active_slot_;
  next.count = int(std::min(values.size(), parameters_.controls.size()));
  for (size_t i = 0; i < parameters_.controls.size(); ++i) {
    ControlParameter& parameter = *parameters_.controls[i];
    const float before = parameter.getValue();
    const bool stays = change && moved_since(*change, parameter);
    float value = 0;
    if (i < size_t(next.count)) {
      const ssm::Control& control = slot.content.loaded->model->card().controls[i];
      next.min[i] = control.min;
      next.range[i] = control.max - control.min;
      parameter.set_meaning(control);
      value = parameter.normalised(values[i]);
    } else {
      parameter.set_meaning(std::nullopt);
    }
    if (stays) continue;
    parameter.move(before, value);
    placed_values_[size_t(parameter.getParameterIndex())] = value;
  }
  active_controls_ = next;
  rack_.settings().active_slot = active_slot_;
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
  updateHostDisplay(
      ChangeDetails().withParameterInfoChanged(true).withNonParameterStateChanged(edited_.exchange(false)));
  sendChangeMessage();
}

// Gestures can overlap: a handle moves two parameters at once, or the wheel turns one knob while another is dragged.
// All gestures that overlap are one undo step, if anything has changed.
void Processor::parameterGestureChanged(int index, bool starting) {
  History::Sessions forgotten;
  const std::lock_guard lock(mutex_);
  ++gestures_[size_t(index)];
  if (starting) {
    if (open_gestures_++ == 0) before_gestures_ = current_session();
    return;
  }
  if (open_gestures_ == 0 || --open_gestures_ > 0) return;
  const Session now = current_session();
  bool moved = now.chain != before_gestures_->chain;
  for (size_t i = 0; i < now.slots.size(); ++i) moved |= now.slots[i].controls != before_gestures_->slots[i].controls;
  if (moved) forgotten = history_.changing(std::move(*before_gestures_));
  before_gestures_.reset();
}

void Processor::tick() {
  rack_.collect();
  tick_learning();
  follow_snapshot(Wait::yes);  // while the host plays nothing
  finish_recall();
  tick_midi();
}

// ---------------------------------------------------------------- juce::AudioProcessor

bool Processor::isBusesLayoutSupported(const BusesLayout& layout) const {
  const auto in = layout.getMainInputChannelSet(), out = layout.getMainOutputChannelSet();
  const auto mono = juce::AudioChannelSet::mono(), stereo = juce::AudioChannelSet::stereo();
  if (layout.inputBuses.size() > 1) {
    const auto back = layout.inputBuses[1];
    if (!back.isDisabled() && back != mono && back != stereo) return false;
  }
  return (in == mono && (out == mono || out == stereo)) || (in == stereo && out == stereo);
}

void Processor::prepareToPlay(double sample_rate_hz, int max_block_frames) {
  const dsp::ProcessSpec spec{sample_rate_hz, std::max(max_block_frames, 1),
                              std::max(getMainBusNumOutputChannels(), 1)};
  tap_.prepare(sample_rate_hz);
  copy_parameters(false);  // so that nothing moves in the first block
  std::string wrong;
  try {
    rack_.prepare(spec);
  } catch (const Error& error) {
    wrong = error.what();
  }
  if (const auto learns = learning();
      learns && learns->sample_rate_hz() > 0 && learns->sample_rate_hz() != sample_rate_hz)
    learns->end_recording("the sample rate changed, which ended the recording");
  Change change;
  {
    const std::lock_guard lock(mutex_);
    spec_ = wrong.empty() ? spec : dsp::ProcessSpec{};
    if (!wrong.empty()) notice_ = wrong;
    change = asked();
    change.can_be_undone = false;
    // Slots that could not play at the previous spec may play now, and vice versa.
    for (size_t i = 0; i < slots_.size(); ++i) {
      Slot& slot = slots_[i];
      if (!slot.content.loaded) continue;
      change.anew[i] = rack_.model(int(i)) != slot.content.loaded->model;
      slot.message = rack_.problem(int(i));
      slot.kind = slot.message.empty() ? SlotStatus::Kind::playing : SlotStatus::Kind::failed;
    }
  }
  carry_out(change);
  setLatencySamples(rack_.latency_frames());
  sendChangeMessage();
}

void Processor::releaseResources() { rack_.collect(); }

void Processor::reset() { rack_.reset(); }

void Processor::processBlock(juce::AudioBuffer<float>& audio, juce::MidiBuffer& midi) { process(audio, midi, false); }
void Processor::processBlockBypassed(juce::AudioBuffer<float>& audio, juce::MidiBuffer& midi) {
  process(audio, midi, true);
}

void Processor::process(juce::AudioBuffer<float>& audio, const juce::MidiBuffer& midi, bool bypassed) noexcept {
  midi_.hear(midi);
  if (spec_.sample_rate_hz <= 0 || audio.getNumChannels() < spec_.channels) return;

  const LoadMeter::Block timed(load_, audio.getNumSamples(), spec_.sample_rate_hz);
  const SignalPair signals = signals_of(audio);
  learn_input_.listen(signals, size_t(audio.getNumSamples()));
  const bool widens = getMainBusNumInputChannels() < spec_.channels;
  if (widens) audio.copyFrom(1, 0, audio, 0, 0, audio.getNumSamples());
  follow_snapshot(Wait::no);
  copy_parameters(bypassed);
  const bool second_is_return = is_live() && learns_;
  if (widens || second_is_return) rack_.settings().channels = dsp::ChannelMode::left;  // so that the model runs once

  const dsp::AudioBlock block{audio.getArrayOfWritePointers(), spec_.channels, audio.getNumSamples()};
  tap_.write(SoundTap::Side::input, block);
  rack_.process(block);
  learn_input_.play(block);
  tap_.write(SoundTap::Side::output, block);
}

SignalPair Processor::signals_of(const juce::AudioBuffer<float>& audio) const noexcept {
  const int main = std::min(getMainBusNumInputChannels(), audio.getNumChannels());
  const auto channel = [&](int index) { return audio.getReadPointer(index); };
  SignalPair signals;
  if (main == 0) return signals;
  const float* const last = channel(std::min(main, 2) - 1);
  signals.dry = {channel(0), last};
  if (is_live()) {
    if (learn_input_.plays_signal()) {
      signals.wet = {channel(0), last};
    } else if (main > 1) {
      signals = {{channel(0), channel(0)}, {last, last}};
    }
    return signals;
  }
  const int back = getBusCount(true) > 1 ? getChannelCountOfBus(true, 1) : 0;
  const int first = back > 0 ? getChannelIndexInProcessBlockBuffer(true, 1, 0) : 0;
  if (back > 0 && first + back <= audio.getNumChannels()) signals.wet = {channel(first), channel(first + back - 1)};
  return signals;
}

void Processor::copy_parameters(bool bypassed) noexcept {
  dsp::RackSettings& settings = rack_.settings();
  parameters_.copy_chain_to(settings);
  if (bypassed) settings.bypass = true;
  settings.mute = parameters_.tuner->get() && tuner_mutes_;
  const juce::SpinLock::ScopedTryLockType still(controls_lock_);
  if (!still.isLocked() || active_controls_.detached)
    return;  // the controls are about to change their meaning: keep the rack's current ones
  const ActiveControls& active = active_controls_;
  for (size_t i = 0; i < size_t(active.count); ++i)
    settings.controls[size_t(active.slot)][i] =
        float(active.min[i] + double(parameters_.controls[i]->getValue()) * active.range[i]);
}

void Processor::getStateInformation(juce::MemoryBlock& state) {
  follow_snapshot(Wait::yes);
  finish_recall();
  Session session;
  {
    const std::lock_guard lock(mutex_);
    if (!unread_state_.isEmpty()) {
      state = unread_state_;
      return;
    }
    session = current_session();
  }
  const std::vector<std::byte> bytes = to_bytes(session);
  state.replaceAll(bytes.data(), bytes.size());
}

// Takes effect before it returns, because a host may render at once.
void Processor::setStateInformation(const void* data, int size) {
  if (!data || size <= 0) return;
  try {
    const std::span bytes(static_cast<const std::byte*>(data), size_t(size));
    Session session;
    if (is_rig(bytes)) {  // of a preset that a script made
      session = preset_from_bytes(bytes, "the preset").session;
      locate(session, library_->user_folder(), *library_);
    } else {
      session = session_from_bytes(bytes);
    }
    Change change;
    std::optional<Session> dropped;
    {
      const std::lock_guard lock(mutex_);
      ++sessions_;
      change = asked();
      going_to_.swap(dropped);
      for (int slot = 0; slot < dsp::kSlots; ++slot) change.requests[size_t(slot)] = next_request(slot);
      drop_loading_responses();
    }
    for (size_t i = 0; i < session.slots.size(); ++i) {
      resolve(session.slots[i], *library_);
      change.slots[i] = std::move(session.slots[i]);
    }
    change.active_slot = session.active_slot;
    change.rate_mode = session.rate_mode;
    change.chain = std::move(session.chain);
    parameters_.complete(change.chain);
    change.cabinet = std::move(session.cabinet).value_or(CabinetContent{});
    change.snapshots = std::move(session.snapshots);
    change.midi = std::move(session.midi);
    resolve(*change.cabinet);
    change.stages = std::move(session.stages);
    resolve(*change.stages, *library_);
    change.goes_on = change.reads_session = true;
    change.can_be_undone = false;
    carry_out(change);
  } catch (const Error& error) {
    juce::MemoryBlock unread(data, size_t(size));
    const std::lock_guard lock(mutex_);
    unread_state_.swapWith(unread);
    notice_ = error.what();
  }
  tell_of_change(By::host);
}

}  // namespace coil::plugin

juce::AudioProcessor* JUCE_CALLTYPE createPluginFilter() { return new coil::plugin::Processor(); }
