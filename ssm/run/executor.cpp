// BlockExecutor, ScanExecutor, and the helper that makes fast executions restart as a stream does.
#include "ssm/run/executor.h"

#include <algorithm>

namespace coil::ssm {
namespace {

// All threads synchronise several times per layer. With less work between, many of them would mostly wait.
constexpr int kSegmentFramesPerThread = 16384;

}  // namespace

void BlockExecutor::run(std::span<const Stretch> stretches) {
  for (const Stretch& stretch : stretches) stretch.stream->process(stretch.in, stretch.out);
}

void ScanExecutor::run(std::span<const Stretch> stretches) {
  for (const Stretch& stretch : stretches) {
    Idle taken;
    {
      const std::lock_guard lock(mutex_);
      const auto found =
          std::ranges::find(idle_, &stretch.stream->model(), [](const Idle& idle) { return idle.model.get(); });
      if (found != idle_.end()) {
        taken = std::move(*found);
        idle_.erase(found);
      }
    }
    if (!taken.scan) {
      taken.model = stretch.stream->model().shared_from_this();
      taken.scan = std::make_unique<Scan>(
          taken.model, ScanOptions{.segment_frames = kSegmentFramesPerThread * threads_, .threads = threads_});
    }
    run_or_redo({&stretch, 1}, [&] {
      taken.scan->process(stretch.stream->state(), stretch.in, stretch.out);
      return true;
    });
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(taken));
  }
}

void run_or_redo(std::span<const Stretch> stretches, const std::function<bool()>& fast) {
  std::vector<State> before;
  for (const Stretch& stretch : stretches) before.push_back(stretch.stream->state());
  const bool done = fast();
  for (size_t i = 0; i < stretches.size(); ++i) {
    const Stretch& stretch = stretches[i];
    if (done && all_finite(stretch.out) && stretch.stream->state().is_finite()) continue;
    stretch.stream->state().copy_from(before[i]);
    stretch.stream->process(stretch.in, stretch.out);
  }
}

}  // namespace coil::ssm
