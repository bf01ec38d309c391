// Trains a network on takes, thread by thread, and keeps the best that it has been.
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

struct TrainingSettings {
  Shape shape;
  double sample_rate_hz = 48000;
  size_t threads = 1;
  uint64_t seed = 1;
  double frames = 0;   // of the takes to go through in all lanes together; the same settings then give the same network
  double seconds = 0;  // above 0: as many frames as fit into this time, instead
  double slowest_s = 0.2;        // the longest time constant of a mode
  double aliasing_weight = 0.1;  // in the loss, of the share of energy that a tone of 5 kHz folds back
  // A training of twenty times as many frames, or more, tries on so many or more whether a slow path, or a filter
  // behind the network, is worth its cost.
  double slow_trial_frames = 2e7;
  std::string target;  // of SIMD; empty: the best
};

// What the network expects and gives, in the takes' units.
struct Scales {
  double input = 1, output = 1;
};

// A look at the held-out parts.
struct CurvePoint {
  double seconds = 0, frames = 0;
  double held_out_esr = 0;
};

struct TrainingState {
  double progress = 0;  // 0 to 1
  double elapsed_s = 0, left_s = 0;
  double frames = 0;  // gone through so far
  size_t steps = 0;
  double loss = 0;                                                 // of the last steps, on what is trained on
  double held_out_esr = 0;                                         // of the average of the latest parameters
  double best_esr = 0;                                             // of best()
  bool improved = false;                                           // the last advance() found a better network
  bool shapes_tried = false;                                       // whether a slow path or a filter is worth its cost
  double esr_with_slow = 0, esr_with_filter = 0, esr_without = 0;  // what the held-out error came to in that trial
};

// One thread at a time; it starts threads of its own while it works.
class Trainer {
 public:
  // Throws Error for takes without sound, or of unequal lengths, or a shape or target that is not there.
  Trainer(std::vector<Take> takes, const TrainingSettings& settings);
  Trainer(Trainer&&) noexcept;
  ~Trainer();

  // Up to the next look at the held-out parts: first within a moment, then ever more seldom. `stop` is asked before
  // each step; if it says so, the look comes at once. A training that was stopped goes on with the next call. One call
  // tries a slow path and a filter, which takes longer.
  void advance(const std::function<bool()>& stop = {});
  // The same training from here on with more to learn from: takes that begin as those before and go on, and new ones
  // behind. `frames` and `seconds` of the whole training, and slow_trial_frames, may be others now. The next look at
  // the held-out parts, which stay held out, finds the best anew. Throws Error as the constructor.
  void grow(std::vector<Take> takes, double frames, double seconds, double slow_trial_frames);
  bool done() const;
  const TrainingState& state() const;

  const ParameterMap& map() const;
  const Scales& scales() const;
  const std::vector<float>& best() const;  // the network that was best on the held-out parts
  const std::vector<CurvePoint>& curve() const;
  const std::vector<std::vector<Span>>& held_out() const;  // of each take

  // Error over energy of the best network on takes of its own, each from its beginning.
  std::vector<double> esr(std::vector<Take> takes) const;

  // For save and resume: the same takes and settings go on exactly. resume throws Error if they are not the same, or
  // the bytes damaged.
  std::string save() const;
  void resume(std::string_view saved);

 private:
  struct Impl;
  void try_shapes(const std::function<bool()>& stop);

  std::unique_ptr<Impl> impl_;
};

}  // namespace coil::capture
