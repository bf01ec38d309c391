// Trains a network on takes with several threads, and keeps the best network so far.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "capture/recordings/take.h"
#include "capture/trainer/kernels.h"
#include "capture/trainer/shape.h"

namespace coil::capture {

// A slow path or a filter is chosen if it lowers the error to this part: either costs about as much as half of a
// network more.
inline constexpr double kWorth = 0.6;
// A slow path that is neither chosen nor clearly worse (up to this part of the error) is tried once more, when the
// training has come kLateTrial times as far, if it is long enough to afford that.
inline constexpr double kUnclear = 1.3, kLateTrial = 9;

struct TrainingSettings {
  Shape shape;
  double sample_rate_hz = 48000;
  size_t threads = 1;
  uint64_t seed = 1;
  double frames = 0;             // to process, over all lanes; the same settings then give the same network
  double seconds = 0;            // if above 0, the training runs for this time instead of `frames`
  double slowest_s = 0.2;        // the longest allowed time constant of a mode
  double aliasing_weight = 0.1;  // weight in the loss of the share of energy that a tone of 5 kHz aliases
  double stft_weight = 0;        // weight in the loss of the multi-resolution STFT loss, with the longest segments
  // A training of at least fifty times this many frames tries, over this many frames or more, whether a slow path or a
  // filter after the network is worth its cost. If it has at least 180 times as many, it may try the slow path again.
  double slow_trial_frames = 8e6;
  bool selective = true;  // false: the slow path's states have fixed speeds and do not hear each other
  std::string target;     // SIMD target; empty: the best
};

// The network's input and output scales, in the takes' units.
struct Scales {
  double input = 1, output = 1;
};

// One evaluation of the held-out parts.
struct CurvePoint {
  double seconds = 0, frames = 0;
  double held_out_esr = 0;
};

struct TrainingState {
  double progress = 0;  // 0 to 1
  double elapsed_s = 0, left_s = 0;
  double frames = 0;  // processed so far
  size_t steps = 0;
  double loss = 0;            // of the last steps, on the training data
  double held_out_esr = 0;    // of the running average of the parameters
  double best_esr = 0;        // of best()
  bool improved = false;      // whether the last advance() found a better network
  bool shapes_tried = false;  // whether the trial of slow path and filter is over
  bool tried_again = false;   // whether that trial left the slow path open: it is tried later, or was
  double esr_with_slow = 0, esr_with_filter = 0, esr_without = 0;  // the held-out errors in that trial
};

// One thread at a time; starts its own threads while it works.
class Trainer {
 public:
  // Throws Error if a take has no sound or unequal lengths, or if the shape or target does not exist.
  Trainer(std::vector<Take> takes, const TrainingSettings& settings);
  Trainer(Trainer&&) noexcept;
  ~Trainer();

  // Trains until the next look at the held-out parts: first after a moment, then at growing intervals. `stop` is called
  // before each step; if it returns true, the look comes at once. A stopped training continues with the next call. One
  // call tries a slow path and a filter, and takes longer.
  void advance(const std::function<bool()>& stop = {});
  // Continues the same training with more data: takes that start like the previous ones and are longer, and new takes
  // after them. `frames` and `seconds` of the whole training, and slow_trial_frames, may change. Held-out parts stay
  // held out; the next look at them determines the best network again. Throws Error as the constructor does.
  void grow(std::vector<Take> takes, double frames, double seconds, double slow_trial_frames);
  bool done() const;
  const TrainingState& state() const;

  const ParameterMap& map() const;
  const Scales& scales() const;
  const std::vector<float>& best() const;  // the network with the smallest held-out error
  const std::vector<CurvePoint>& curve() const;
  const std::vector<std::vector<Span>>& held_out() const;  // for each take

  // Error over energy of the best network on other takes, each from its start.
  std::vector<double> esr(std::vector<Take> takes) const;

  // Saves and resumes: with the same takes and settings the training continues exactly. resume throws Error if they
  // differ or the bytes are damaged.
  std::string save() const;
  void resume(std::string_view saved);
  // The shape of the network in such a file, with the slow path or filter that it has got.
  static Shape saved_shape(std::string_view saved);

 private:
  struct Impl;
  void try_shapes(const std::function<bool()>& stop);

  std::unique_ptr<Impl> impl_;
};

}  // namespace coil::capture
