// Chooses the size of the network that a capture of another program is converted to.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "capture/recordings/take.h"
#include "capture/teachers/teacher.h"
#include "capture/trainer/trainer.h"

namespace coil::capture {

inline constexpr double kTeacherShare = 0.2;  // of a capture's cost that its model should stay below

// An estimate of the nanoseconds per sample that a capture takes in its own program, from measurements on one core of
// a server.
double estimated_teacher_ns(const Teacher& teacher);

// The same for a Coil model on that core.
double estimated_model_ns(const Shape& shape);
size_t multiply_adds(const Shape& shape);  // per sample, without a slow path

// A short training of one size.
struct SizeTrial {
  Shape shape;
  double esr;  // on the held-out parts
};

struct SizeChoice {
  TrainingSettings settings;      // to train with
  std::vector<SizeTrial> trials;  // empty: nothing but the usual size was considered
};

// `settings` has the usual size. If that costs more than kTeacherShare of the capture, the smallest size that is good
// enough after a training of `trial_frames`. If a larger size costs less, that one where it lowers the error enough.
// Trainings of less than 20 times `trial_frames`, or 20 s, keep the usual size. Empty if `stop` returns true. Throws
// Error as Trainer does.
std::optional<SizeChoice> choose_size(const std::vector<Take>& takes, const TrainingSettings& settings,
                                      double teacher_ns, const std::function<bool()>& stop, double trial_frames = 2e7);

// The size that a saved training has, whatever the length of its rest.
SizeChoice size_of_saved(const TrainingSettings& settings, const Shape& saved);

// "8 x 4 x 6": d_model, pairs of modes, layers.
std::string size_text(const Shape& shape);
// "8 x 4 x 6 0.02, 8 x 4 x 12 0.014": sizes with their errors. Empty without trials.
std::string trials_text(const SizeChoice& choice);

}  // namespace coil::capture
