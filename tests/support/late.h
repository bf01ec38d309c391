// A processor that delays the sound, for tests of latency.
#pragma once

#include <vector>

#include "dsp/delay_line.h"
#include "dsp/processor.h"

namespace coil::test {

class Late final : public dsp::AudioProcessor {
 public:
  explicit Late(int frames) : frames_(frames) {}
  void prepare(const dsp::ProcessSpec& spec) override {
    lines_.assign(static_cast<size_t>(spec.channels), dsp::DelayLine(frames_, 1));
    for (dsp::DelayLine& line : lines_) line.set_delay(frames_, true);
  }
  void reset() noexcept override {
    for (dsp::DelayLine& line : lines_) line.reset();
  }
  void process(dsp::AudioBlock block) noexcept override {
    for (int c = 0; c < block.channel_count; ++c) lines_[static_cast<size_t>(c)].process(block.channel(c));
  }
  int latency_frames() const noexcept override { return frames_; }

 private:
  int frames_;
  std::vector<dsp::DelayLine> lines_;
};

}  // namespace coil::test
