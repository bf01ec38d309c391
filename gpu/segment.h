// How a batch lies on the device: every signal is cut into chunks of time, and every chunk has the same number of rows
// in all buffers.
//
// Row r of a buffer is frame r % chunk_frames of chunk r / chunk_frames. The chunks of one signal follow each other,
// all but its last are full; the rows behind a last chunk's frames hold whatever was there and are never read across
// rows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace coil::gpu {

struct Chunk {
  int frames;
  int state_in, state_out;  // rows of the table of states: where the signal stands before and after the segment
  int first, last;          // 1: begins, ends the signal's part of the segment
  int left;                 // frames of that part from the chunk's first on
};

struct Signal {
  int first_chunk, chunks;
  int state_in;
};

// What the sizes of buffers follow from.
struct Extent {
  size_t chunks;
  int chunk_frames;

  size_t rows() const { return chunks * size_t(chunk_frames); }
};

struct SegmentPlan {
  int chunk_frames = 0;
  std::vector<Chunk> chunks;
  std::vector<Signal> signals;

  Extent extent() const { return {chunks.size(), chunk_frames}; }
  int longest() const;  // signal, in chunks
};

// One signal's frames of this segment (>= 1) and its rows in the table of states.
struct SignalPart {
  size_t frames;
  int state_in, state_out;
};

SegmentPlan plan_segment(std::span<const SignalPart> parts, int chunk_frames);

// How many frames each signal gets in the next segment of at most `chunks` chunks, `left` being what it still has:
// whole chunks unless it ends. Signals that come too late wait with 0; at least one gets some.
std::vector<size_t> share_segment(std::span<const size_t> left, size_t chunks, int chunk_frames);

}  // namespace coil::gpu
