// Compares sizes by short trainings, each with a learning rate that decays to its end.
#include "capture/teachers/size.h"

#include <cmath>

#include "capture/recordings/finding.h"

namespace coil::capture {
namespace {

// Measured with the peers in tests/capture/peers: Neural Amp Modeler's A1-standard (508 ns), A2-full (760) and A2-lite
// (78) have 13,802, 12,146 and 1,871 weights; its LSTM of 3 cells takes 58 ns and more.
constexpr double kNsPerWeight = 0.037, kRecurrentNs = 55;
constexpr double kFullNs = 760, kFullWeights = 12146, kSameSize = 0.01;

// A Coil model: 15 ns with 201 multiply-adds, 67 with 1,985, about 131 with 4,488.
constexpr double kModelNs = 9, kNsPerMultiplyAdd = 0.029;

constexpr Shape kSmallShapes[] = {{8, 1, 1}, {8, 1, 4}};
constexpr size_t kMostLayers = 12, kLeastMoreLayers = 2;
constexpr size_t kFilterRows = 16;                       // as the model file holds a filter
constexpr double kGoodEnough = 2e-3;                     // a whole training lowers this to some 1e-4
constexpr double kLeastTrials = 20, kLeastSeconds = 20;  // of a training, to be worth trials
constexpr double kWorthMoreLayers = 0.85;                // of the usual size's error

double error_of(const std::vector<Take>& takes, TrainingSettings settings, const Shape& shape, double frames,
                const std::function<bool()>& stop, bool& stopped) {
  settings.shape = shape;
  settings.frames = frames;
  settings.seconds = 0;
  settings.slow_trial_frames = HUGE_VAL;
  Trainer trainer(takes, settings);
  while (!trainer.done() && !stopped) {
    trainer.advance(stop);
    stopped = stop && stop();
  }
  return trainer.state().best_esr;
}

// As many layers as cost no more than `ns` with a filter behind them.
size_t layers_within(double ns, Shape shape) {
  shape.filter_modes = kFilterModes;
  shape.layers = kMostLayers;
  while (shape.layers > 0 && estimated_model_ns(shape) > ns) --shape.layers;
  return shape.layers;
}

}  // namespace

double estimated_teacher_ns(const Teacher& teacher) {
  const double weights = double(teacher.weights);
  if (teacher.recurrent) return kRecurrentNs + kNsPerWeight * weights;
  if (std::abs(weights - kFullWeights) < kSameSize * kFullWeights) return kFullNs;
  return kNsPerWeight * weights;
}

size_t multiply_adds(const Shape& shape) {
  const size_t d = shape.d_model, of_layer = 2 * d * d + 6 * d * shape.pairs + d;
  const size_t of_filter =
      shape.filter_modes > 0 ? 6 * shape.filter_modes + kFilterRows * d + 2 * kFilterRows - d - 1 : 0;
  return shape.layers * of_layer + 2 * d + 1 + of_filter;
}

double estimated_model_ns(const Shape& shape) { return kModelNs + kNsPerMultiplyAdd * double(multiply_adds(shape)); }

std::optional<SizeChoice> choose_size(const std::vector<Take>& takes, const TrainingSettings& settings,
                                      double teacher_ns, const std::function<bool()>& stop, double trial_frames) {
  const double most_ns = kTeacherShare * teacher_ns;
  SizeChoice choice{settings, {}};
  if (settings.seconds > 0 ? settings.seconds < kLeastSeconds : settings.frames < kLeastTrials * trial_frames)
    return choice;
  bool stopped = false;
  const auto tried = [&](const Shape& shape) {
    const double esr = error_of(takes, settings, shape, trial_frames, stop, stopped);
    choice.trials.push_back({shape, esr});
    return esr;
  };
  Shape usual = settings.shape, larger = settings.shape;
  if (estimated_model_ns(usual) > most_ns) {
    for (Shape small : kSmallShapes) {
      small.knobs = usual.knobs;
      const double esr = tried(small);
      if (stopped) return std::nullopt;
      if (esr > kGoodEnough) continue;
      choice.settings.shape = small;
      choice.settings.slow_trial_frames = HUGE_VAL;  // a slow path or filter would cost more than the rest
      break;
    }
    return choice;
  }
  larger.layers = layers_within(most_ns, usual);
  if (larger.layers < usual.layers + kLeastMoreLayers) return choice;
  usual.filter_modes = larger.filter_modes = kFilterModes;
  const double esr = tried(usual);
  if (!stopped && esr > kGoodEnough && tried(larger) < kWorthMoreLayers * esr)
    choice.settings.shape.layers = larger.layers;
  if (stopped) return std::nullopt;
  return choice;
}

SizeChoice size_of_saved(const TrainingSettings& settings, const Shape& saved) {
  SizeChoice choice{settings, {}};
  choice.settings.shape.d_model = saved.d_model;
  choice.settings.shape.pairs = saved.pairs;
  choice.settings.shape.layers = saved.layers;
  if (multiply_adds(choice.settings.shape) < multiply_adds(settings.shape))
    choice.settings.slow_trial_frames = HUGE_VAL;
  return choice;
}

std::string size_text(const Shape& shape) {
  return std::to_string(shape.d_model) + " x " + std::to_string(shape.pairs) + " x " + std::to_string(shape.layers) +
         (shape.filter_modes > 0 ? " with a filter" : "") + (shape.slow_features > 0 ? " with a slow path" : "");
}

std::string trials_text(const SizeChoice& choice) {
  std::string text;
  for (const SizeTrial& trial : choice.trials)
    text += (text.empty() ? "" : ", ") + size_text(trial.shape) + sentence(" %.2g", trial.esr);
  return text;
}

}  // namespace coil::capture
