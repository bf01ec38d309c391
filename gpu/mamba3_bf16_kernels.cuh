// The scan of Mamba-3 in bf16 for common sizes. gpu/mamba3_kernels.cuh has the equations and the kernels around it.
//
// A block processes two heads, which share the raw rows of B and C, in spans of 32 rows. Its first warps, the makers,
// rotate B and C, store them as bf16 rows, which the tensor cores' operands are read from without further work, and
// multiply them with each other. Each of the other warps, the users, has the states of 16 channels in its registers.
// The makers work ahead by up to kFastStages spans, so that the users do not wait for memory, angles or decays. All
// decays are relative to a span's start.
#pragma once

#include "gpu/load_matrices.cuh"
#include "gpu/mamba3_kernels.cuh"

namespace coil::gpu {

inline constexpr int kFastRows = 32, kFastHeads = 2, kFastMakers = 4 * kFastHeads, kFastStages = 2;
// The numbers of the block's barriers; the last two are the first ones of a row, one for each stage.
inline constexpr int kAmongMakers = 1, kStageFull = 2, kStageEmpty = kStageFull + kFastStages;

// For the rows of a span: the sum of the decays' exponents from its start; gamma + beta of the next frame; gamma; the
// former times the decay to the span's end; 2^sum.
struct alignas(16) SpanDecays {
  float sum[kFastRows], step[kFastRows], own[kFastRows], weight[kFastRows], decay[kFastRows];
};

// By one warp, a lane for each row. Rows of one frame pass in the same exponent.
template <int kRank>
__device__ void sum_span_decays(float exponent, float step, float gamma, int row, SpanDecays& to) {
  double s = exponent;
#pragma unroll
  for (int back = kRank; back < kFastRows; back *= 2) {
    const double before = __shfl_up_sync(0xffffffffu, s, unsigned(back));
    if (row >= back) s += before;
  }
  const double end = __shfl_sync(0xffffffffu, s, kFastRows - 1);
  to.sum[row] = float(s), to.step[row] = step, to.own[row] = gamma;
  to.weight[row] = exp2_fast(float(end - s)) * step;
  to.decay[row] = exp2_fast(float(s));
}

// The shared memory of a block. Rows are padded, so that the rows that are read together are in different banks.
template <int kStates, int kRank>
struct FastShared {
  static constexpr int kFrames = kFastRows / kRank, kRowWords = (kStates + 8) / 2;  // of bf16
  static constexpr int kSide = 128;                                                 // words of a product's left side
  static constexpr int kTurns = kStates / 2 + 2, kInputs = 20;                      // float2 and floats of a frame
  int users;                                                                        // of a head
  bool with_output;

  struct Pieces {
    uint32_t *B, *C;         // [head][stage][row][kRowWords]
    uint32_t* mixing;        // [head][stage]: C_0 B_0^T, C_1 B_1^T, C_1 B_0^T of tiles, as left sides
    SpanDecays* decays;      // [head][stage]
    float *B_bias, *C_bias;  // [head][rank][kStates]
    float2* turns;           // [head][frame][kTurns]: cosine and sine, (1, 0) where nothing rotates
    float* inputs;           // [user][2]: x, z as [frame][kInputs]
    // [head]: D mimo_x, -log2(e) mimo_z and mimo_z mimo_o as [rank][weights_row()]
    float* weights;
  };
  __host__ __device__ constexpr int weights_row() const { return 16 * users + 8; }
  __host__ __device__ constexpr int input_floats() const { return (with_output ? 2 : 1) * kFrames * kInputs; }
  template <class Take>
  __host__ __device__ constexpr void each_piece(Pieces& p, const Take& take) const {
    const int output = with_output ? 1 : 0;
    take(p.B, kFastHeads * kFastStages * kFastRows * kRowWords);
    take(p.C, output * kFastHeads * kFastStages * kFastRows * kRowWords);
    take(p.mixing, output * kFastHeads * kFastStages * 3 * kSide);
    take(p.decays, kFastHeads * kFastStages * int(sizeof(SpanDecays) / sizeof(float)));
    take(p.B_bias, kFastHeads * kRank * kStates);
    take(p.C_bias, output * kFastHeads * kRank * kStates);
    take(p.turns, kFastHeads * kFrames * kTurns * 2);
    take(p.inputs, kFastHeads * users * 2 * input_floats());
    take(p.weights, kRank > 1 ? kFastHeads * 3 * output * kRank * weights_row() : 0);
  }
  __host__ __device__ constexpr size_t floats() const {
    size_t sum = 0;
    Pieces p{};
    each_piece(p, [&](auto&, int floats) { sum += size_t(floats); });
    return sum;
  }
  __device__ Pieces at(float* memory) const {
    Pieces p{};
    each_piece(p, [&](auto& piece, int floats) {
      piece = reinterpret_cast<std::remove_reference_t<decltype(piece)>>(memory);
      memory += floats;
    });
    return p;
  }
};

// What a block processes.
struct FastPlace {
  Chunk chunk;
  size_t index, row;  // of the chunk; its first row
  int head, group;    // the first head
};

__device__ inline void turn_pair(float& a, float& b, float cosine, float sine) {
  const float x = a;
  a = x * cosine - b * sine, b = x * sine + b * cosine;
}
__device__ inline void store_bf16(const float4& v, uint32_t* to) {
  *reinterpret_cast<uint2*>(to) = {pack_bf16(v.x, v.y), pack_bf16(v.z, v.w)};
}

// Warp `warp` of the makers.
template <int kStates, int kRank, bool kTrue>
class FastMaker {
  using Shared = FastShared<kStates, kRank>;
  static_assert(kRank == 1 || kRank == 4);
  static constexpr bool kHalves = kRank > 1;
  static constexpr int kFrames = Shared::kFrames, kRow = Shared::kRowWords;
  // An item is 4 neighbouring states of a row and those half of the states further. A warp's items are 8 rows of
  // kQuads / 8 blocks of 8 items; a lane has 2 rows.
  static constexpr int kBlocks = kStates / 64, kItems = 2 * kBlocks / kFastHeads;
  static constexpr int kEach = kFrames / 4, kAngleSets = kStates / 64;  // frames of a lane; angles of a lane
  static constexpr bool kEarly = kRank > 1;  // loads of the next span before the work on this one: if registers allow

 public:
  __device__ FastMaker(const Mamba3Arguments& m, const FastPlace& place, const typename Shared::Pieces& shared,
                       const uint64_t* turns, int warp, int lane)
      : m_(m),
        place_(place),
        shared_(shared),
        mine_(warp / 4),
        warp_(warp % 4),
        lane_(lane),
        head_(place.head + mine_) {
    const size_t at = (place.index * size_t(m.heads) + size_t(head_)) * size_t(m.angles);
#pragma unroll
    for (int k = 0; k < kAngleSets; ++k) angle_[k] = upper_half(turns[at + size_t(min(angle(k), m.angles - 1))]);
  }

  __device__ void run() {
    const int frames = place_.chunk.frames, all = int(blockDim.x);
    load_rows(0), load_decays(0), load_steps(0);
    write_turns(0);
    wait_at(kAmongMakers, 32 * kFastMakers);
    for (int first = 0, span = 0; first < frames; first += kFrames, ++span) {
      const int stage = span % kFastStages, next = first + kFrames;
      if (span >= kFastStages) wait_at(kStageEmpty + stage, all);
      rotate(stage, next);
      if (warp_ == 3) write_decays(stage, next);
      if (kEarly) load_steps(next);
      wait_at(kAmongMakers, 32 * kFastMakers);  // B, C and the decays are there; the turns were read
      if (kTrue && warp_ < 3) mix(stage);
      if (!kEarly) load_steps(next);
      write_turns(next);
      if (!kEarly) load_rows(next);
      wait_at(kAmongMakers, 32 * kFastMakers);  // the products and the turns are there
      arrive_at(kStageFull + stage, all);
    }
  }

 private:
  // A lane's row, from the first row of its four.
  __device__ int row_in_four(int item) const { return lane_ / 16 + 2 * (kFastHeads == 1 ? item / kBlocks : warp_ % 2); }
  __device__ int first_of_four() const {
    return 8 * (kFastHeads == 1 ? warp_ : 2 * mine_ + warp_ / 2) + 4 * (lane_ / 8 & 1);
  }
  __device__ int row_of(int item) const { return first_of_four() + row_in_four(item); }
  // Four rows are one frame, or frames of their own.
  __device__ int frame_of(int item) const { return kRank == 4 ? first_of_four() / 4 : row_of(item); }
  __device__ int rank_of(int item) const { return kRank == 4 ? row_in_four(item) : 0; }
  __device__ int angle(int set) const { return 32 * set + 8 * warp_ + lane_ / 4; }

  __device__ void load_item(int item, int first) {
    const int frame = min(first + frame_of(item), place_.chunk.frames - 1);
    const size_t at =
        (place_.row + size_t(frame)) * size_t(m_.bc_stride) +
        size_t((rank_of(item) * m_.groups + place_.group) * kStates + 32 * (item % kBlocks) + lane_ % 8 * 4);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      B_[item][half] = *reinterpret_cast<const float4*>(m_.B + at + half * (kStates / 2));
      if (kTrue) C_[item][half] = *reinterpret_cast<const float4*>(m_.C + at + half * (kStates / 2));
    }
  }
  __device__ void load_rows(int first) {
    if (first >= place_.chunk.frames) return;
#pragma unroll
    for (int item = 0; item < kItems; ++item) load_item(item, first);
  }

  // Bias, rotation, bf16.
  __device__ void rotate_item(const float4 (&raw)[2], const float4 (&bias)[2], bool first_turns, bool second_turns,
                              const float4 (&turns)[2], uint32_t* to) const {
    float4 a = add(raw[0], bias[0]), b = add(raw[1], bias[1]);
    if constexpr (kHalves) {
      if (first_turns) {
        turn_pair(a.x, b.x, turns[0].x, turns[0].y), turn_pair(a.y, b.y, turns[0].z, turns[0].w);
        turn_pair(a.z, b.z, turns[1].x, turns[1].y), turn_pair(a.w, b.w, turns[1].z, turns[1].w);
      }
    } else {
      if (first_turns) turn_pair(a.x, a.y, turns[0].x, turns[0].y), turn_pair(a.z, a.w, turns[0].z, turns[0].w);
      if (second_turns) turn_pair(b.x, b.y, turns[1].x, turns[1].y), turn_pair(b.z, b.w, turns[1].z, turns[1].w);
    }
    store_bf16(a, to), store_bf16(b, to + kStates / 4);
  }

  __device__ void rotate(int stage, int next) {
#pragma unroll
    for (int head = 0; head < kFastHeads; ++head) rotate_head(head, stage, next);
  }
  // After the last head loads the next span's rows.
  __device__ void rotate_head(int head, int stage, int next) {
    float4 turns[kItems][2], B_bias[kItems][2], C_bias[kItems][2];  // all before any of the stores, which wait for them
#pragma unroll
    for (int item = 0; item < kItems; ++item)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int bias =
            (head * kRank + rank_of(item)) * kStates + i * (kStates / 2) + item % kBlocks * 32 + lane_ % 8 * 4;
        B_bias[item][i] = *reinterpret_cast<const float4*>(shared_.B_bias + bias);
        if (kTrue) C_bias[item][i] = *reinterpret_cast<const float4*>(shared_.C_bias + bias);
        const float2* frame = shared_.turns + (head * kFrames + frame_of(item)) * Shared::kTurns;
        const int at = i * (kStates / 8) + item % kBlocks * 8 + lane_ % 8;
        turns[item][i] = kRank > 1 && item >= kBlocks ? turns[item % kBlocks][i]  // the same frame
                                                      : reinterpret_cast<const float4*>(frame)[at];
      }
#pragma unroll
    for (int item = 0; item < kItems; ++item) {
      const int r = row_of(item), block = item % kBlocks, quad = 8 * block + lane_ % 8;
      // The same for all lanes.
      const bool first_turns = (kHalves ? 32 : 16) * block < m_.angles,
                 second_turns = kHalves ? first_turns : kStates / 4 + 16 * block < m_.angles;
      const int to = ((head * kFastStages + stage) * kFastRows + r) * kRow + 2 * quad;
      rotate_item(B_[item], B_bias[item], first_turns, second_turns, turns[item], shared_.B + to);
      if constexpr (kTrue) rotate_item(C_[item], C_bias[item], first_turns, second_turns, turns[item], shared_.C + to);
      if (kEarly && head == kFastHeads - 1 && next < place_.chunk.frames) load_item(item, next);
    }
  }

  __device__ void load_decays(int first) {
    exponent_ = gamma_ = beta_ = 0;
    const int frame = first + lane_ / kRank;
    if (warp_ != 3 || frame >= place_.chunk.frames) return;
    const size_t at = (place_.row + size_t(frame)) * size_t(m_.heads) + size_t(head_);
    exponent_ = m_.decay[at], gamma_ = m_.gamma[at];
    if (frame + 1 < place_.chunk.left) beta_ = m_.beta[at + size_t(m_.heads)];
  }
  __device__ void write_decays(int stage, int next) {
    sum_span_decays<kRank>(exponent_, gamma_ + beta_, gamma_, lane_, shared_.decays[mine_ * kFastStages + stage]);
    load_decays(next);
  }

  // Four lanes for each angle, of which each has neighbouring frames.
  __device__ void load_steps(int first) {
    const int begin = lane_ % 4 * kEach, end = min(kFrames, place_.chunk.frames - first);
    const size_t row = place_.row + size_t(first + begin);
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      dt_[i] = begin + i < end ? m_.dt[(row + size_t(i)) * size_t(m_.heads) + size_t(head_)] : 0.0;
#pragma unroll
      for (int k = 0; k < kAngleSets; ++k)
        speed_[k][i] = begin + i < end && angle(k) < m_.angles
                           ? m_.speed[(row + size_t(i)) * size_t(m_.angles) + size_t(angle(k))]
                           : 0.0;
    }
  }
  __device__ void write_turns(int first) {
    if (first >= place_.chunk.frames) return;
#pragma unroll
    for (int k = 0; k < kAngleSets; ++k) {
      if (32 * k >= m_.angles) break;
      uint32_t until[kEach], sum = 0;
#pragma unroll
      for (int i = 0; i < kEach; ++i) until[i] = sum += short_turns(dt_[i] * speed_[k][i]);
      uint32_t through = sum;
#pragma unroll
      for (int back = 1; back < 4; back *= 2) {
        const uint32_t before = __shfl_up_sync(0xffffffffu, through, unsigned(back), 4);
        if (lane_ % 4 >= back) through += before;
      }
      const uint32_t start = angle_[k] + through - sum;
      angle_[k] += __shfl_sync(0xffffffffu, through, 3, 4);
      if (angle(k) >= m_.angles) continue;
      float2* to = shared_.turns + (mine_ * kFrames + lane_ % 4 * kEach) * Shared::kTurns + place_of_turn(angle(k));
#pragma unroll
      for (int i = 0; i < kEach; ++i) to[i * Shared::kTurns] = cos_sin<Precision::bf16>(start + until[i]);
    }
  }
  // The two pairs of angles that an item reads as vectors are each next to those of its neighbours.
  __device__ static int place_of_turn(int angle) {
    const int vector = angle / 2;
    return 2 * (kHalves ? vector % 2 * (kStates / 8) + vector / 2 : vector) + angle % 2;
  }

  // Products of C and B with the decays: one pair of tiles.
  __device__ void mix(int stage) {
    const int now = warp_ > 0 ? 16 : 0, then = warp_ == 1 ? 16 : 0, g = lane_ / 4, t = lane_ % 4;
    const int slot = mine_ * kFastStages + stage;
    const uint32_t* C = shared_.C + (slot * kFastRows + now + (lane_ / 8 & 1) * 8 + lane_ % 8) * kRow + lane_ / 16 * 4;
    const uint32_t* B = shared_.B + (slot * kFastRows + then + lane_ / 16 * 8 + lane_ % 8) * kRow + (lane_ / 8 & 1) * 4;
    const SpanDecays& decays = shared_.decays[slot];
    float p[2][4] = {};
#pragma unroll
    for (int k = 0; k < kStates / 16; ++k) {
      uint32_t left[4], right[4];
      load_matrices(left, C + 8 * k);
      load_matrices(right, B + 8 * k);
#pragma unroll
      for (int half = 0; half < 2; ++half)
        multiply_add_bf16(p[half], {{left[0], left[1], left[2], left[3]}}, right[2 * half], right[2 * half + 1]);
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int o = then + 8 * half + 2 * t;
      const auto pair = [&](const float* of) { return *reinterpret_cast<const float2*>(of + o); };
      const float2 sum = pair(decays.sum), step = pair(decays.step), own = pair(decays.own);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int n = now + g + i / 2 * 8, from = o + i % 2;
        const float earlier = exp2_fast(decays.sum[n] - (i % 2 ? sum.y : sum.x)) * (i % 2 ? step.y : step.x);
        const float weight = from < n ? earlier : 0.0f;
        p[half][i] *= from / kRank == n / kRank ? (i % 2 ? own.y : own.x) : weight;
      }
    }
    reinterpret_cast<uint4*>(shared_.mixing + (slot * 3 + warp_) * Shared::kSide)[lane_] = {
        pack_bf16(p[0][0], p[0][1]), pack_bf16(p[0][2], p[0][3]), pack_bf16(p[1][0], p[1][1]),
        pack_bf16(p[1][2], p[1][3])};
  }

  const Mamba3Arguments& m_;
  const FastPlace& place_;
  const typename Shared::Pieces& shared_;
  const int mine_, warp_, lane_, head_;  // which of the heads; the warp among the four for its angles and products
  uint32_t angle_[kAngleSets];           // after the last frame for which turns were computed
  float4 B_[kItems][2], C_[kItems][2];
  double dt_[kEach], speed_[kAngleSets][kEach];
  float exponent_ = 0, gamma_ = 0, beta_ = 0;  // of the last maker; a lane for each row
};

// A warp with the states of 16 channels.
template <int kStates, int kRank, bool kTrue>
class FastUser {
  using Shared = FastShared<kStates, kRank>;
  static constexpr int kFrames = Shared::kFrames, kSteps = kStates / 16, kRow = Shared::kRowWords;

 public:
  __device__ FastUser(const Mamba3Arguments& m, const FastPlace& place, const typename Shared::Pieces& shared, int user,
                      int lane)
      : m_(m), place_(place), shared_(shared), lane_(lane), g_(lane / 4), t_(lane % 4) {
    const int users = m.headdim / 16, mine = user / users, head = place.head + mine, own_channel = 16 * (user % users);
    slot_ = mine * kFastStages, channel_ = head * m.headdim + own_channel;
    inputs_ = shared.inputs + user * 2 * Shared{0, kTrue}.input_floats();
    rows_at_ = ((lane / 8 & 1) * 8 + lane % 8) * kRow + lane / 16 * 4;
    if constexpr (kRank > 1)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int first = head * kRank * m.headdim + own_channel;
        up_[i / 2][i % 2] = m.mimo_x[first + (2 * t_ + i % 2) % kRank * m.headdim + g_ + i / 2 * 8];
      }
    if constexpr (kTrue) {
      D_ = m.D[head];
      weights_ = shared.weights + (3 * mine * kRank + g_ % kRank) * (m.headdim + 8) + own_channel + 2 * t_;
    }
  }

  // Returns the sum of the decays' exponents.
  __device__ float run(float* carry, float* after) {
    const int frames = place_.chunk.frames, all = int(blockDim.x);
    copy_inputs(0), copy_inputs(kFrames);
    if constexpr (kTrue) each_state(carry, [](const float2& v, float& a, float& b) { a = v.x, b = v.y; });
    float elapsed = 0;
    for (int first = 0, span = 0; first < frames; first += kFrames, ++span) {
      const int stage = span % kFastStages;
      wait_at(kStageFull + stage, all);
      wait_for_copy_groups<1>();
      __syncwarp();
      if constexpr (kTrue) {
        write_outputs(first, slot_ + stage, span % 2);
        if (!place_.chunk.last && first + kFrames >= frames) return 0;  // the next state belongs to the next chunk
      }
      advance(slot_ + stage, span % 2);
      elapsed += shared_.decays[slot_ + stage].sum[kFastRows - 1];
      __syncwarp();
      copy_inputs(first + 2 * kFrames);
      if (first + kFastStages * kFrames < frames) arrive_at(kStageEmpty + stage, all);
    }
    each_state(kTrue ? after : carry, [](float2& v, float a, float b) { v = {a, b}; });
    return elapsed;
  }

 private:
  template <class F>
  __device__ void each_state(float* memory, const F& f) {
#pragma unroll
    for (int j = 0; j < 2 * kSteps; ++j)
#pragma unroll
      for (int r = 0; r < 2; ++r)
        f(*reinterpret_cast<float2*>(memory + (g_ + 8 * r) * kStates + 8 * j + 2 * t_), state_[j][2 * r],
          state_[j][2 * r + 1]);
  }

  __device__ float* inputs(int buffer) const { return inputs_ + buffer * Shared{0, kTrue}.input_floats(); }
  __device__ void copy_inputs(int first) {
    if (first < place_.chunk.frames) {
      float* to = inputs(first / kFrames % 2);
#pragma unroll
      for (int i = lane_; i < 4 * kFrames; i += 32) {
        const size_t row = place_.row + size_t(min(first + i / 4, place_.chunk.frames - 1));
        const int c = i % 4 * 4, at = i / 4 * Shared::kInputs + c;
        copy_async(m_.x + row * size_t(m_.x_stride) + channel_ + c, to + at);
        if (kTrue) copy_async(m_.z + row * size_t(m_.z_stride) + channel_ + c, to + kFrames * Shared::kInputs + at);
      }
    }
    end_copy_group();
  }

  // u of the lane's rows 8 step + 2 t + i and its channels g + 8 half, in tiles: [tile][half][step][i]
  __device__ void take_inputs(int buffer, float (&u)[2][2][2][2]) const {
    const float* x = inputs(buffer) + g_;
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      const int tile = i / 8, half = i / 4 % 2, step = i / 2 % 2, row = tile * 16 + step * 8 + 2 * t_ + i % 2;
      const float value = x[row / kRank * Shared::kInputs + 8 * half];
      u[tile][half][step][i % 2] = kRank > 1 ? value * up_[half][i % 2] : value;
    }
  }

  // C h, the products with u, D u, gate.
  __device__ void write_outputs(int first, int slot, int buffer) {
    const uint32_t* C = shared_.C + slot * kFastRows * kRow + rows_at_;
    const SpanDecays& decays = shared_.decays[slot];
    float out[2][2][4] = {};
#pragma unroll
    for (int k = 0; k < kSteps; ++k) {
      const auto &h0 = state_[2 * k], &h1 = state_[2 * k + 1];
      const uint32_t right[4] = {pack_bf16(h0[0], h0[1]), pack_bf16(h1[0], h1[1]), pack_bf16(h0[2], h0[3]),
                                 pack_bf16(h1[2], h1[3])};
#pragma unroll
      for (int tile = 0; tile < 2; ++tile) {
        uint32_t left[4];
        load_matrices(left, C + tile * 16 * kRow + 8 * k);
#pragma unroll
        for (int half = 0; half < 2; ++half)
          multiply_add_bf16(out[tile][half], {{left[0], left[1], left[2], left[3]}}, right[2 * half],
                            right[2 * half + 1]);
      }
    }
#pragma unroll
    for (int i = 0; i < 16; ++i) out[i / 8][i / 4 % 2][i % 4] *= decays.decay[i / 8 * 16 + g_ + i % 4 / 2 * 8];
    float u[2][2][2][2];
    take_inputs(buffer, u);
#pragma unroll
    for (int block = 0; block < 3; ++block) {
      const uint4 left = reinterpret_cast<const uint4*>(shared_.mixing + (slot * 3 + block) * Shared::kSide)[lane_];
      const int now = block > 0, then = block == 1;
#pragma unroll
      for (int half = 0; half < 2; ++half)
        multiply_add_bf16(out[now][half], {{left.x, left.y, left.z, left.w}},
                          pack_bf16(u[then][half][0][0], u[then][half][0][1]),
                          pack_bf16(u[then][half][1][0], u[then][half][1][1]));
    }
    store_outputs(first, buffer, out);
  }

  __device__ void store_outputs(int first, int buffer, float (&out)[2][2][4]) {
    const float *x = inputs(buffer), *z = x + kFrames * Shared::kInputs;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int tile = i / 4, r = i / 2 % 2, half = i % 2;
      const int at = (tile * 16 + g_ + 8 * r) / kRank * Shared::kInputs + 8 * half + 2 * t_;
      const float2 x2 = *reinterpret_cast<const float2*>(x + at), z2 = *reinterpret_cast<const float2*>(z + at);
      float &y0 = out[tile][half][2 * r], &y1 = out[tile][half][2 * r + 1];
      if constexpr (kRank == 1) {
        y0 = fmaf(D_, x2.x, y0) * silu(z2.x), y1 = fmaf(D_, x2.y, y1) * silu(z2.y);
      } else {
        const auto weight = [&](int which) {
          return *reinterpret_cast<const float2*>(weights_ + which * kRank * (m_.headdim + 8) + 8 * half);
        };
        const float2 skip = weight(0), exponent = weight(1), gate = weight(2);
        const auto gated = [](float y, float z, float of_z, float to) {  // y silu(z mimo_z) mimo_o
          return y * (z * to * reciprocal_fast(1.0f + exp2_fast(z * of_z)));
        };
        y0 = gated(fmaf(skip.x, x2.x, y0), z2.x, exponent.x, gate.x);
        y1 = gated(fmaf(skip.y, x2.y, y1), z2.y, exponent.y, gate.y);
      }
    }
    float* y = m_.y + (place_.row + size_t(first)) * size_t(m_.channels()) + channel_ + 2 * t_;
    const int left = place_.chunk.frames - first;
    const auto store = [&](int frame, int half, float y0, float y1) {
      if (frame < left) *reinterpret_cast<float2*>(y + size_t(frame) * size_t(m_.channels()) + 8 * half) = {y0, y1};
    };
    if constexpr (kRank == 1) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const auto& o = out[i / 4][i % 2];
        const int r = i / 2 % 2;
        store(i / 4 * 16 + g_ + 8 * r, i % 2, o[2 * r], o[2 * r + 1]);
      }
    } else {
      // Adds up the four ranks of a frame, which are in lanes 4 and 8 apart. Each of them keeps one of four frames.
      const bool upper_tile = lane_ & 8, upper_rows = lane_ & 4;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float tile[4], rows[2];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float kept = upper_tile ? out[1][half][i] : out[0][half][i],
                      sent = upper_tile ? out[0][half][i] : out[1][half][i];
          tile[i] = kept + __shfl_xor_sync(0xffffffffu, sent, 8);
        }
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const float kept = upper_rows ? tile[2 + i] : tile[i], sent = upper_rows ? tile[i] : tile[2 + i];
          rows[i] = kept + __shfl_xor_sync(0xffffffffu, sent, 4);
        }
        store((upper_tile ? 4 : 0) + (upper_rows ? 2 : 0) + g_ / 4, half, rows[0], rows[1]);
      }
    }
  }

  // The states after the span.
  __device__ void advance(int slot, int buffer) {
    float u[2][2][2][2];  // again, as there are too few registers to keep them
    take_inputs(buffer, u);
    const SpanDecays& decays = shared_.decays[slot];
    const uint32_t* B = shared_.B + slot * kFastRows * kRow + rows_at_;
    uint32_t left[2][4];
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int tile = i / 4, step = i / 2 % 2, half = i % 2;
      const float2 weight = *reinterpret_cast<const float2*>(decays.weight + tile * 16 + step * 8 + 2 * t_);
      left[tile][2 * step + half] = pack_bf16(u[tile][half][step][0] * weight.x, u[tile][half][step][1] * weight.y);
    }
    const float decay = decays.decay[kFastRows - 1];
#pragma unroll
    for (int j = 0; j < 8 * kSteps; ++j) state_[j / 4][j % 4] *= decay;
#pragma unroll
    for (int k = 0; k < kSteps; ++k)
#pragma unroll
      for (int tile = 0; tile < 2; ++tile) {
        uint32_t right[4];
        load_matrices_transposed(right, B + tile * 16 * kRow + 8 * k);
#pragma unroll
        for (int n = 0; n < 2; ++n)
          multiply_add_bf16(state_[2 * k + n], {{left[tile][0], left[tile][1], left[tile][2], left[tile][3]}},
                            right[2 * n], right[2 * n + 1]);
      }
  }

  const Mamba3Arguments& m_;
  const FastPlace& place_;
  const typename Shared::Pieces& shared_;
  const int lane_, g_, t_;
  int slot_;               // of its head's first stage
  int channel_, rows_at_;  // the warp's first channel; where the lane reads left sides and transposed right sides
  float* inputs_;
  float up_[2][2], D_;    // mimo_x of the rows that a lane takes
  const float* weights_;  // of the rows that it puts out
  float state_[2 * kSteps][4] = {};
};

// As mamba3_chunks, for kFastHeads heads: block `heads / kFastHeads * chunk + heads before / kFastHeads`.
template <int kStates, int kRank, bool kTrue>
__global__ void __launch_bounds__(256 * kFastHeads, 2 / kFastHeads)
    mamba3_bf16_chunks(Mamba3Arguments m, float* carries, float* sums, const uint64_t* turns, const Chunk* chunks,
                       int chunk_frames) {
  using Shared = FastShared<kStates, kRank>;
  const unsigned blocks = unsigned(m.heads / kFastHeads);  // of a chunk
  const size_t index = blockIdx.x / blocks;
  const int head = int(blockIdx.x % blocks) * kFastHeads, threads = int(blockDim.x);
  const FastPlace place{chunks[index], index, index * size_t(chunk_frames), head, head / (m.heads / m.groups)};
  if (!kTrue && place.chunk.last) return;
  const int warp = __shfl_sync(0xffffffffu, int(threadIdx.x) / 32, 0), lane = int(threadIdx.x) % 32;
  const auto shared = Shared{m.headdim / 16, kTrue}.at(dynamic_shared());
  for (int i = int(threadIdx.x); i < kFastHeads * kRank * kStates; i += threads) {
    shared.B_bias[i] = m.B_bias[head * kRank * kStates + i];
    if (kTrue) shared.C_bias[i] = m.C_bias[head * kRank * kStates + i];
  }
  if (kTrue && kRank > 1)
    for (int i = int(threadIdx.x); i < kFastHeads * kRank * m.headdim; i += threads) {
      const int at = head * kRank * m.headdim + i, all = kRank * (m.headdim + 8), rank = i / m.headdim;
      float* to = shared.weights + rank / kRank * 3 * all + rank % kRank * (m.headdim + 8) + i % m.headdim;
      to[0] = m.D[head + rank / kRank] * m.mimo_x[at], to[all] = -kLog2E * m.mimo_z[at],
      to[2 * all] = m.mimo_z[at] * m.mimo_o[at];
    }
  for (int i = int(threadIdx.x); i < kFastHeads * Shared::kFrames * Shared::kTurns; i += threads)
    shared.turns[i] = {1, 0};
  __syncthreads();
  if (warp < kFastMakers) {
    FastMaker<kStates, kRank, kTrue>(m, place, shared, turns, warp, lane).run();
    return;
  }
  const int user = warp - kFastMakers, channel = head * m.headdim + 16 * user;
  float* carry = carries + (index * size_t(m.channels()) + size_t(channel)) * kStates;
  float* after = m.table + size_t(place.chunk.state_out) * m.table_stride + m.ssm_at + size_t(channel) * kStates;
  const float elapsed = FastUser<kStates, kRank, kTrue>(m, place, shared, user, lane).run(carry, after);
  if (!kTrue && channel % m.headdim == 0 && lane == 0)
    sums[index * size_t(m.heads) + size_t(channel / m.headdim)] = elapsed;
}

}  // namespace coil::gpu
