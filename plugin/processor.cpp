// Processor: the host's calls.
#include "plugin/processor.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace coil::plugin {

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
  store_.placed_values[size_t(input_dbu.getParameterIndex())] = input_dbu.getValue();
  for (auto* parameter : getParameters()) parameter->addListener(this);
  background_->join(this, [this] { tick(); });
}

Processor::~Processor() {
  background_->leave(this);
  learner_.leave();
  loading_.leave();
  chain_editor_.leave();
  cancelPendingUpdate();
  for (auto* parameter : getParameters()) parameter->removeListener(this);
}

// -- the user's settings

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

// -- for the window

void Processor::dismiss_errors() {
  store_.dismiss_errors();
  sendChangeMessage();
}

juce::File Processor::save_preset(const juce::String& name) {
  const juce::File file = plugin::save_preset(name, store_, *library_);
  tell_of_change(By::player);
  return file;
}

bool Processor::can_undo() const {
  const std::lock_guard lock(store_.mutex);
  return undo_.can_undo() || store_.loads();
}

bool Processor::can_redo() const {
  const std::lock_guard lock(store_.mutex);
  return undo_.can_redo();
}

void Processor::undo() {
  if (audition_.file() != juce::File()) return audition_.cancel();
  loading_.undo();
}

void Processor::redo() {
  audition_.keep();
  loading_.redo();
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

void Processor::parameterGestureChanged(int index, bool starting) {
  History::Sessions forgotten;
  const std::lock_guard lock(store_.mutex);
  forgotten = undo_.gesture(index, starting);
}

void Processor::tick() {
  rack_.collect();
  learner_.tick();
  remote_.tick();
}

// -- juce::AudioProcessor

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
  learner_.follow_rate(sample_rate_hz);
  spec_ = wrong.empty() ? spec : dsp::ProcessSpec{};
  loading_.follow_spec(sample_rate_hz, wrong);
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
  store_.midi_map.hear(midi);
  if (spec_.sample_rate_hz <= 0 || audio.getNumChannels() < spec_.channels) return;

  const LoadMeter::Block timed(load_, audio.getNumSamples(), spec_.sample_rate_hz);
  const SignalPair signals = signals_of(audio);
  learner_.input().listen(signals, size_t(audio.getNumSamples()));
  const bool widens = getMainBusNumInputChannels() < spec_.channels;
  if (widens) audio.copyFrom(1, 0, audio, 0, 0, audio.getNumSamples());
  remote_.follow_snapshot(Remote::Wait::no);
  copy_parameters(bypassed);
  const bool second_is_return = is_live() && learner_.learns();
  if (widens || second_is_return) rack_.settings().channels = dsp::ChannelMode::left;  // so that the model runs once

  const dsp::AudioBlock block{audio.getArrayOfWritePointers(), spec_.channels, audio.getNumSamples()};
  tap_.write(SoundTap::Side::input, block);
  rack_.process(block);
  learner_.input().play(block);
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
    if (learner_.input().plays_signal()) {
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
  store_.copy_controls();
}

void Processor::getStateInformation(juce::MemoryBlock& state) {
  remote_.follow_snapshot(Remote::Wait::yes);
  remote_.finish_recall();
  Session session;
  {
    const std::lock_guard lock(store_.mutex);
    if (!store_.unread_state.isEmpty()) {
      state = store_.unread_state;
      return;
    }
    session = store_.session();
  }
  const std::vector<std::byte> bytes = to_bytes(session);
  state.replaceAll(bytes.data(), bytes.size());
}

void Processor::setStateInformation(const void* data, int size) {
  if (data && size > 0) loading_.open({static_cast<const std::byte*>(data), size_t(size)});
}

}  // namespace coil::plugin

juce::AudioProcessor* JUCE_CALLTYPE createPluginFilter() { return new coil::plugin::Processor(); }
