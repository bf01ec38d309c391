// Marks components that MIDI can move, for the menu that teaches it.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

namespace coil::plugin {

// `target`: as in MidiLink.
inline void set_midi_target(juce::Component& component, const juce::String& target) {
  component.getProperties().set("midi_target", target);
}

inline void set_midi_target(juce::Component& component, const juce::AudioProcessorParameter& parameter) {
  if (const auto* named = dynamic_cast<const juce::AudioProcessorParameterWithID*>(&parameter))
    set_midi_target(component, named->paramID);
}

// The component itself, or the nearest around it, that MIDI can move; null: none.
inline juce::Component* with_midi_target(juce::Component* component) {
  while (component && !component->getProperties().contains("midi_target")) component = component->getParentComponent();
  return component;
}

inline juce::String midi_target(const juce::Component& component) {
  return component.getProperties()["midi_target"].toString();
}

}  // namespace coil::plugin
