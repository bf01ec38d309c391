// Parameters that the audio thread has moved; host and window are told later.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include <array>
#include <atomic>

namespace coil::plugin {

class MovedParameters {
 public:
  static constexpr int kMost = 128;

  // Sets a parameter's value without telling anyone. [any thread]
  void set(juce::AudioProcessorParameter& parameter, float normalised) noexcept {
    if (parameter.getValue() == normalised) return;
    parameter.setValue(normalised);
    moved_[size_t(parameter.getParameterIndex())].store(true, std::memory_order_release);
  }

  // Tells host and window about all of them. [any thread but the audio thread]
  void tell(const juce::Array<juce::AudioProcessorParameter*>& parameters) {
    for (auto* parameter : parameters)
      if (moved_[size_t(parameter->getParameterIndex())].exchange(false))
        parameter->sendValueChangedMessageToListeners(parameter->getValue());
  }

 private:
  std::array<std::atomic<bool>, kMost> moved_{};
};

}  // namespace coil::plugin
