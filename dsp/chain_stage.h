// One stage of a chain: a processor with power and mix, and the dry path around it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dsp/delay_line.h"
#include "dsp/processor.h"
#include "dsp/ramp.h"

namespace coil::dsp {

// May change during playback; the sound follows within ChainStage::kRampMs. [any thread]
struct StageSettings {
  std::atomic<float> mix{1};   // 0: only the input, delayed like the output; 1: only the output
  std::atomic<bool> on{true};  // off: the input passes, delayed like the output
};

// What a ChainStage is made of.
struct Stage {
  std::string name;  // for people
  std::unique_ptr<AudioProcessor> processor;
  float mix = 1;
  bool bypassed = false;
  std::shared_ptr<StageSettings> settings =
      nullptr;  // of somebody else, who sets them; null: own ones, from the two above
};

// A stage that is off keeps running, so that its memory is up to date when it is switched on again. The output is
// finite and at most kLoudest.
class ChainStage {
 public:
  static constexpr float kRampMs = 20;

  explicit ChainStage(Stage stage);

  // As AudioProcessor. The error does not name the stage. [any thread but the audio thread]
  void prepare(const ProcessSpec& spec);

  const std::string& name() const noexcept { return name_; }
  AudioProcessor& processor() noexcept { return *processor_; }
  const AudioProcessor& processor() const noexcept { return *processor_; }
  StageSettings& settings() noexcept { return *settings_; }  // [any thread]

  // All functions below are [audio-thread].
  void reset() noexcept;
  // `dry` is a buffer of the same size, whose content does not matter.
  void process(AudioBlock block, AudioBlock dry) noexcept;
  std::optional<float> follow_level(std::optional<float> full_scale_dbu) noexcept;

 private:
  std::string name_;
  std::unique_ptr<AudioProcessor> processor_;
  std::shared_ptr<StageSettings> settings_;
  Ramp dryness_;                   // 1: only the input is heard
  std::vector<DelayLine> delays_;  // one per channel, as late as the processor; none: it is never late
  bool fresh_ = true;              // no sound was processed yet: settings take effect at once
};

}  // namespace coil::dsp
