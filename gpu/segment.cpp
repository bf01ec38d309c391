// Divides batches into segments, and signals into chunks.
#include "gpu/segment.h"

#include <algorithm>

namespace coil::gpu {

SegmentPlan plan_segment(std::span<const SignalPart> parts, int chunk_frames) {
  SegmentPlan plan;
  plan.chunk_frames = chunk_frames;
  const size_t size = size_t(chunk_frames);
  for (const SignalPart& part : parts) {
    const size_t count = (part.frames + size - 1) / size;
    const int first_chunk = int(plan.chunks.size());
    for (size_t i = 0; i < count; ++i) {
      const int left = int(part.frames - i * size);
      plan.chunks.push_back(
          {std::min(left, chunk_frames), part.state_in, part.state_out, i == 0, i + 1 == count, left, int(i * size)});
    }
    plan.signals.push_back({first_chunk, int(count), part.state_in});
  }
  return plan;
}

int SegmentPlan::longest() const {
  int chunks = 0;
  for (const Signal& signal : signals) chunks = std::max(chunks, signal.chunks);
  return chunks;
}

std::vector<size_t> share_segment(std::span<const size_t> left, size_t chunks, int chunk_frames) {
  const size_t size = size_t(chunk_frames);
  std::vector<size_t> frames(left.size(), 0);
  size_t active = 0;
  for (const size_t n : left) active += n > 0;
  for (size_t i = 0; i < left.size() && chunks > 0; ++i) {
    if (left[i] == 0) continue;
    const size_t share = std::max<size_t>(chunks / active--, 1), wanted = (left[i] + size - 1) / size,
                 given = std::min(share, wanted);
    frames[i] = std::min(left[i], given * size);
    chunks -= given;
  }
  return frames;
}

}  // namespace coil::gpu
