// How batches are divided into segments and chunks; needs no GPU.
#include "gpu/segment.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>

#include "tests/support/random_network.h"

namespace {

using namespace coil;

TEST_CASE("a plan covers every frame of every signal once, in order") {
  test::Random random(1);
  for (int round = 0; round < 200; ++round) {
    const int chunk_frames = random.whole(1, 40);
    std::vector<gpu::SignalPart> parts;
    for (int i = random.whole(1, 9); i > 0; --i)
      parts.push_back({size_t(random.whole(1, 3000)), random.whole(0, 99), random.whole(0, 99)});
    const gpu::SegmentPlan plan = gpu::plan_segment(parts, chunk_frames);
    REQUIRE(plan.signals.size() == parts.size());
    size_t chunk = 0;
    int longest = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      CHECK(size_t(plan.signals[i].first_chunk) == chunk);
      CHECK(plan.signals[i].state_in == parts[i].state_in);
      size_t frames = 0;
      const size_t first_chunk = chunk;
      for (; chunk < plan.chunks.size(); ++chunk) {
        const gpu::Chunk& c = plan.chunks[chunk];
        CHECK((c.first == 1) == (chunk == first_chunk));
        CHECK((c.frames == chunk_frames || (c.last == 1 && c.frames >= 1)));
        CHECK(c.state_in == parts[i].state_in);
        CHECK(c.state_out == parts[i].state_out);
        CHECK(size_t(c.left) == parts[i].frames - frames);
        frames += size_t(c.frames);
        if (c.last) break;
      }
      CHECK(frames == parts[i].frames);
      ++chunk;
      CHECK(size_t(plan.signals[i].chunks) == chunk - first_chunk);
      longest = std::max(longest, plan.signals[i].chunks);
    }
    CHECK(chunk == plan.chunks.size());
    CHECK(plan.longest() == longest);
  }
}

TEST_CASE("segments keep to their size, and end every batch") {
  test::Random random(2);
  for (int round = 0; round < 200; ++round) {
    const int chunk_frames = random.whole(1, 40);
    const size_t chunks = size_t(random.whole(1, 50));
    std::vector<size_t> left;
    for (int i = random.whole(1, 60); i > 0; --i) left.push_back(size_t(random.whole(0, 2000)));
    while (std::accumulate(left.begin(), left.end(), size_t(0)) > 0) {
      const std::vector<size_t> frames = gpu::share_segment(left, chunks, chunk_frames);
      size_t used = 0;
      for (size_t i = 0; i < left.size(); ++i) {
        REQUIRE(frames[i] <= left[i]);
        CHECK((frames[i] % size_t(chunk_frames) == 0 || frames[i] == left[i]));
        used += (frames[i] + size_t(chunk_frames) - 1) / size_t(chunk_frames);
        left[i] -= frames[i];
      }
      REQUIRE(used >= 1);
      CHECK(used <= chunks);
    }
  }
}

}  // namespace
