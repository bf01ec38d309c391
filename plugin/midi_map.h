// MIDI messages that move parameters and recall snapshots: controllers and notes that the user has taught.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include <array>
#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "plugin/moved_parameters.h"

namespace coil::plugin {

struct MidiSource {
  enum class Kind { controller, note } kind = Kind::controller;
  int number = 0;  // 0 to 127, on any channel

  bool operator==(const MidiSource&) const = default;
};

// "CC 74", "note 60".
juce::String to_text(const MidiSource& source);

struct MidiLink {
  MidiSource source;
  std::string target;  // a parameter's ID, or "snapshot_a" to "snapshot_d"

  bool operator==(const MidiLink&) const = default;
};

// What a program change chooses, by its number.
enum class MidiPrograms { library, presets, snapshots };

// As a session holds it. A source has one target, and a target has one source.
struct MidiSetup {
  std::vector<MidiLink> links;
  MidiPrograms programs = MidiPrograms::library;

  bool operator==(const MidiSetup&) const = default;
  void link(const MidiSource& source, const std::string& target);  // replaces what source and target had
  void unlink(const std::string& target);
  std::optional<MidiSource> source_of(const std::string& target) const;
};

// The part of it that the audio thread uses. `parameters` are the processor's, and must outlive it.
class MidiMap {
 public:
  // `snapshot`: the parameter whose values 1, 2 ... of `snapshots` are A, B ...
  MidiMap(const juce::Array<juce::AudioProcessorParameter*>& parameters, juce::RangedAudioParameter& snapshot,
          int snapshots, MovedParameters& moved);

  // -- [any thread but the audio thread], one call at a time
  void use(const MidiSetup& setup);  // unknown targets are ignored
  // The next controller that moves, or the next note, belongs to this target. Notes only suit snapshots and switches.
  void learn(const std::string& target);
  void stop_learning();
  std::string learns() const;  // the target, or empty
  std::optional<MidiLink> take_learned();

  // [audio-thread]
  void hear(const juce::MidiBuffer& midi) noexcept;
  // A program number that arrived since the last call and recalls no snapshot; -1: none. [any thread]
  int take_program() noexcept { return program_.exchange(-1); }

 private:
  static constexpr int kNone = -1, kNumbers = 128;

  // Parameters by their index; behind them the snapshots.
  int target_of(const std::string& name) const;
  std::string name_of(int target) const;
  bool takes_notes(int target) const noexcept;
  void hear(MidiSource source, int value) noexcept;
  void recall(int number) noexcept;  // from 1

  const juce::Array<juce::AudioProcessorParameter*>& parameters_;
  juce::RangedAudioParameter& snapshot_;
  const int snapshots_;
  MovedParameters& moved_;
  std::array<std::atomic<int>, 2 * kNumbers> targets_;  // of controllers, then of notes
  std::atomic<int> learns_{kNone};
  std::atomic<int> heard_{kNone};  // the learned index in targets_
  std::atomic<int> program_{-1};
  std::atomic<bool> programs_recall_{false};  // program changes recall snapshots
};

}  // namespace coil::plugin
