// Functions that the audio thread may call do not allocate, free, lock, throw or call the system.
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dsp/model_processor.h"
#include "ssm/run/stream.h"
#include "ssm/run/stream_batch.h"
#include "ssm/run/stream_batch.h"
#include "tests/realtime/forbidden_calls.h"
#include "tests/realtime/networks.h"
#include "tests/realtime/system_calls.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;

constexpr size_t kBlocks[] = {0, 1, 3, 16, 64, 1000, 4096};
constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();

// Work of an audio thread, on objects that are prepared for it.
struct Callable {
  std::string name;
  std::function<void()> run;
};

// Wraps a processor as a stream of interleaved frames.
class Host {
 public:
  Host(std::shared_ptr<const ssm::Model> model, double rate_hz, int channels)
      : processor_(std::move(model)), planes_(channels) {
    for (auto& plane : planes_) plane.resize(std::end(kBlocks)[-1]);
    processor_.prepare({rate_hz, 64, channels});  // most blocks are larger than announced
  }

  void process(std::span<const float> in, std::span<float> out) noexcept {
    const size_t width = planes_.size();
    std::array<float*, 2> channels{};
    for (size_t c = 0; c < width; ++c) {
      channels[c] = planes_[c].data();
      for (size_t t = 0; t < in.size() / width; ++t) channels[c][t] = in[t * width + c];
    }
    processor_.process({channels.data(), static_cast<int>(width), static_cast<int>(in.size() / width)});
    for (size_t i = 0; i < out.size(); ++i) out[i] = channels[i % width][i / width];
  }
  void set_controls(std::span<const float> values) noexcept { processor_.set_controls(values); }
  void reset() noexcept { processor_.reset(); }

 private:
  dsp::ModelProcessor processor_;
  std::vector<std::vector<float>> planes_;
};

// Wraps a batch as a stream of frames of all its streams; some of them get one more frame. It has no blocks, so the
// first frames are enough.
class Batch {
 public:
  static constexpr size_t kStreams = 5;

  explicit Batch(const std::shared_ptr<const ssm::Model>& model)
      : batch_(model, kStreams), state_(model->initial_state()) {}

  void process(std::span<const float> in, std::span<float> out) noexcept {
    const size_t d_in = test::width_in(batch_.model()), d_out = test::width_out(batch_.model());
    const size_t frames = std::min<size_t>(in.size() / (kStreams * d_in), 100);
    for (size_t t = 0; t < frames; ++t)
      batch_.step(in.subspan(t * kStreams * d_in, kStreams * d_in),
                  out.subspan(t * kStreams * d_out, kStreams * d_out));
    if (frames > 0) batch_.step(kSome, in.first(std::size(kSome) * d_in), out.first(std::size(kSome) * d_out));
  }
  void set_controls(std::span<const float> values) noexcept { batch_.set_controls(2, values); }
  void reset() noexcept {
    batch_.reset(1);
    batch_.copy_state(3, state_);
    batch_.set_state(4, state_);
  }

 private:
  static constexpr uint32_t kSome[] = {4, 0, 2};
  ssm::StreamBatch batch_;
  ssm::State state_;
};

// Blocks of odd sizes with non-finite and huge values, knob changes between them, a reset, and everything again.
template <class Device>
Callable callable(const std::string& name, std::shared_ptr<Device> device, const ssm::Model& model, size_t d_in,
                  size_t d_out) {
  test::Random random(1);
  std::vector<float> in = test::random_signal(std::end(kBlocks)[-1] * d_in, random), out(std::end(kBlocks)[-1] * d_out);
  in[0] = kNan, in[in.size() / 100] = -kInfinity, in[in.size() / 50] = 3e38f;
  const std::vector<std::vector<float>> knobs{test::random_controls(model, random), {kNan}};
  return {name, [=]() mutable {
            for (const auto& values : knobs) {
              for (const size_t frames : kBlocks) {
                device->process(std::span(in).first(frames * d_in), std::span(out).first(frames * d_out));
                device->set_controls(values);
              }
              if constexpr (requires { device->state(); }) {
                device->step(std::span(in).first(d_in), std::span(out).first(d_out));
                device->state().data()[0] = kNan;
              }
              device->process(std::span(in).first(64 * d_in), std::span(out).first(64 * d_out));
              device->reset();
            }
          }};
}

// Some streams of a batch, frame by frame, with a state that becomes non-finite and knob changes.
Callable batch_callable(const std::string& name, std::shared_ptr<const ssm::Model> model) {
  constexpr size_t kStreams = 100;  // more than a block has rows
  test::Random random(2);
  std::vector<float> in = test::random_signal(kStreams * test::width_in(*model), random),
                     out(kStreams * test::width_out(*model));
  in[3] = kNan;
  const std::vector<uint32_t> some{99, 3, 41};
  const std::vector<float> knobs = test::random_controls(*model, random);
  return {name, [=, batch = std::make_shared<ssm::StreamBatch>(model, kStreams),
                 state = std::make_shared<ssm::State>(model->initial_state())]() mutable {
            const size_t d_in = in.size() / kStreams, d_out = out.size() / kStreams;
            for (int i = 0; i < 70; ++i) {
              batch->step(in, out);
              batch->step(some, std::span(in).first(3 * d_in), std::span(out).first(3 * d_out));
              if (i % 10 == 5) batch->set_controls(size_t(i), knobs);
              batch->copy_state(7, *state);
              if (i == 30 && !state->layout().tensors.empty()) state->data()[0] = kNan;
              batch->set_state(8, *state);
              batch->reset(41);
            }
          }};
}

Callable token_callable(const test::Network& network) {
  std::vector<int32_t> tokens(std::end(kBlocks)[-1]);
  for (size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = static_cast<int32_t>(i % 100) - 1;  // one below the vocabulary, some above it
  const size_t d_out = test::width_out(*network.model);
  std::vector<float> out(tokens.size() * d_out);
  return {network.name, [=, stream = std::make_shared<ssm::Stream>(network.model)]() mutable {
            for (const size_t frames : kBlocks)
              stream->process_tokens(std::span(tokens).first(frames), std::span(out).first(frames * d_out));
            stream->reset();
          }};
}

std::vector<Callable> callables() {
  std::vector<Callable> all;
  for (const auto& [name, model] : test::networks(ssm::InputKind::frames, 30)) {
    const size_t d_in = test::width_in(*model), d_out = test::width_out(*model);
    all.push_back(batch_callable("streams of " + name, model));
    all.push_back(callable("stream of " + name, std::make_shared<ssm::Stream>(model), *model, d_in, d_out));
    all.push_back(callable("batch of " + name, std::make_shared<Batch>(model), *model, Batch::kStreams * d_in,
                           Batch::kStreams * d_out));
    if (d_in != d_out || d_in > 2) continue;
    for (const int rate_hz : {44100, 48000, 96000})
      all.push_back(callable("processor at " + std::to_string(rate_hz) + " Hz of " + name,
                             std::make_shared<Host>(model, rate_hz, 2), *model, 2, 2));
  }
  for (const auto& network : test::networks(ssm::InputKind::token_ids, 0)) all.push_back(token_callable(network));
  return all;
}

TEST_CASE("functions for the audio thread use no heap, locks or exceptions") {
  for (const auto& [name, run] : callables()) {
    INFO(name);
    CHECK(test::forbidden_calls(run) == "");
  }
}

TEST_CASE("functions for the audio thread make no system call") {
  test::Watch watch = test::Watch::filter;
  if (!test::system_calls(watch, [] {})) {
    WARN("no seccomp filter can be installed here; ptrace watches instead");
    watch = test::Watch::tracer;
  }
  if (!test::system_calls(watch, [] {})) {
    WARN("skipped: neither a seccomp filter nor ptrace is allowed here");
    return;
  }
  for (const auto& [name, run] : callables()) {
    INFO(name);
    CHECK(test::system_calls(watch, run).value() == "");
  }
}

}  // namespace
