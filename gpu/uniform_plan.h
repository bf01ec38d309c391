// A segment of signals of equal length, planned and on the device; for operators and measurements.
#pragma once

#include <cstddef>
#include <vector>

#include "gpu/join.cuh"
#include "gpu/memory.h"
#include "gpu/segment.h"

namespace coil::gpu {

// A plan of signals of equal length on the device; signal i reads and updates row i of the table of states.
struct UniformPlan {
  SegmentPlan plan;
  Array<Chunk> chunks;
  Array<Signal> signals;

  UniformPlan(size_t batch, size_t frames, int chunk_frames) {
    std::vector<SignalPart> parts;
    for (size_t i = 0; i < batch; ++i) parts.push_back({frames, int(i), int(i)});
    plan = plan_segment(parts, chunk_frames);
    chunks.upload(plan.chunks);
    signals.upload(plan.signals);
  }

  DevicePlan on_device() const {
    return {chunks.data(),  signals.data(),   int(plan.chunks.size()), int(plan.signals.size()),
            plan.longest(), plan.chunk_frames};
  }
};

}  // namespace coil::gpu
