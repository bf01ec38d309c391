// The layout of a batch on the device: every signal is divided into chunks of time, and every chunk has the same number
// of rows in all buffers.
//
// Row r of a buffer is frame r % chunk_frames of chunk r / chunk_frames. The chunks of one signal are consecutive, and
// all but its last are full. The rows after a last chunk's frames contain arbitrary values, which never affect other
// rows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace coil::gpu {

struct Chunk {
  int frames;
  int state_in, state_out;  // rows in the table of states, before and after the segment
  int first, last;          // 1: first, last chunk of the signal in this segment
  int left;                 // frames of the signal in this segment, from this chunk's first on
  int before;               // frames of the signal in this segment before this chunk
};

struct Signal {
  int first_chunk, chunks;
  int state_in;
};

// The values that determine the sizes of buffers.
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

// One signal's frames in this segment (>= 1), and its rows in the table of states.
struct SignalPart {
  size_t frames;
  int state_in, state_out;
};

SegmentPlan plan_segment(std::span<const SignalPart> parts, int chunk_frames);

// The number of frames of each signal in the next segment of at most `chunks` chunks; `left` are its remaining frames.
// Signals get whole chunks, except at their end. Signals that do not fit get 0; at least one gets some.
std::vector<size_t> share_segment(std::span<const size_t> left, size_t chunks, int chunk_frames);

}  // namespace coil::gpu
