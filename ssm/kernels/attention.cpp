// Attention over a ring of keys and values. Source: Vaswani et al. 2017, eq. 1; the soft cap: Gemma Team 2024, sec. 2.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ssm/kernels/attention.cpp"
#include "hwy/foreach_target.h"

#include <cmath>

#include "hwy/highway.h"
#include "ssm/kernels/math-inl.h"
#include "ssm/kernels/loops-inl.h"
#include "ssm/kernels/separate-inl.h"

HWY_BEFORE_NAMESPACE();
namespace coil::ssm {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Writes one frame into a slot of one head's keys and values.
inline void Remember(const AttentionKernel& m, const float* k, const float* v, size_t slot, float* keys,
                     float* values) {
  float* column = keys + slot / kPad * m.headdim * kPad + slot % kPad;
  for (size_t i = 0; i < m.headdim; ++i) column[i * kPad] = k[i];
  for (size_t i = 0; i < m.width; ++i) values[slot * m.width + i] = v[i];
}

// Scores of one query with the first `used` slots. Unused slots of the last panel get a score that contributes nothing.
// Returns the largest score.
template <class D>
HWY_INLINE float Scores(D d, const AttentionKernel& m, const float* HWY_RESTRICT q, const float* HWY_RESTRICT keys,
                        size_t used, float* HWY_RESTRICT scores) {
  using V = hn::Vec<D>;
  constexpr size_t kVectors = kPad / hn::MaxLanes(d);
  const V scale = hn::Set(d, m.scale), cap = hn::Set(d, m.soft_cap), to_cap = hn::Set(d, 1.0f / m.soft_cap);
  for (size_t slot = 0; slot < used; slot += kPad) {
    V sum[kVectors];
    for (size_t i = 0; i < kVectors; ++i) sum[i] = hn::Zero(d);
    const float* HWY_RESTRICT panel = keys + slot * m.headdim;
    for (size_t k = 0; k < m.headdim; ++k) {
      const V value = hn::Set(d, q[k]);
      for (size_t i = 0; i < kVectors; ++i)
        sum[i] = hn::MulAdd(hn::LoadU(d, panel + k * kPad + i * hn::Lanes(d)), value, sum[i]);
    }
    for (size_t i = 0; i < kVectors; ++i) {
      V score = hn::Mul(sum[i], scale);
      if (m.soft_cap > 0) score = hn::Mul(Tanh(d, hn::Mul(score, to_cap)), cap);
      hn::StoreU(score, d, scores + slot + i * hn::Lanes(d));
    }
  }
  constexpr float kNothing = -1e30f;
  const size_t end = (used + kPad - 1) / kPad * kPad;
  for (size_t slot = used; slot < end; ++slot) scores[slot] = kNothing;
  V most = hn::Set(d, kNothing);
  for (size_t slot = 0; slot < end; slot += hn::Lanes(d)) most = hn::Max(most, hn::LoadU(d, scores + slot));
  return hn::GetLane(hn::MaxOfLanes(d, most));
}

// scores = e^(scores - largest); returns their sum.
template <class D>
HWY_INLINE float Weights(D d, float largest, size_t used, float* HWY_RESTRICT scores) {
  auto sum = hn::Zero(d);
  const size_t end = (used + kPad - 1) / kPad * kPad;
  for (size_t slot = 0; slot < end; slot += hn::Lanes(d)) {
    const auto below = hn::Sub(hn::LoadU(d, scores + slot), hn::Set(d, largest));
    const auto counts = hn::Gt(below, hn::Set(d, -87.0f));
    const auto weight = hn::IfThenElseZero(counts, Exp(d, hn::Max(below, hn::Set(d, -87.0f))));
    hn::StoreU(weight, d, scores + slot);
    sum = hn::Add(sum, weight);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

// y = the weighted sum of values, kVectors vectors of a head at a time.
template <size_t kVectors, class D>
HWY_INLINE void Mix(D d, const AttentionKernel& m, const float* HWY_RESTRICT weights, const float* HWY_RESTRICT values,
                    float scale, size_t used, size_t at, float* HWY_RESTRICT y) {
  hn::Vec<D> sum[kVectors];
  for (size_t i = 0; i < kVectors; ++i) sum[i] = hn::Zero(d);
  for (size_t slot = 0; slot < used; ++slot) {
    const auto weight = hn::Set(d, weights[slot]);
    for (size_t i = 0; i < kVectors; ++i)
      sum[i] = hn::MulAdd(hn::LoadU(d, values + slot * m.width + at + i * hn::Lanes(d)), weight, sum[i]);
  }
  for (size_t i = 0; i < kVectors; ++i) hn::StoreU(hn::Mul(sum[i], hn::Set(d, scale)), d, y + at + i * hn::Lanes(d));
}

void Attend(const AttentionKernel& m, Runs runs) {
  const hn::CappedTag<float, kPad> d;
  const size_t group = m.heads / m.kv_heads, key_floats = m.slots * m.headdim, value_floats = m.slots * m.width;
  ForEachRun(runs, [&](size_t r, size_t first) HWY_ATTR {
    float* memory = runs[r].history;
    float* position = memory + m.position_at;
    for (size_t t = first; t < first + runs[r].frames; ++t) {
      const uint64_t seen = frames_seen(position);
      const size_t slot = size_t(seen % m.window), used = size_t(HWY_MIN(seen + 1, uint64_t(m.window)));
      for (size_t kv = 0; kv < m.kv_heads; ++kv) {
        float *keys = memory + kv * key_floats, *values = memory + m.values_at + kv * value_floats;
        Remember(m, m.k + t * m.stride + kv * m.width, m.v + t * m.stride + kv * m.width, slot, keys, values);
        for (size_t head = kv * group; head < (kv + 1) * group; ++head) {
          float largest = Scores(d, m, m.q + t * m.stride + head * m.width, keys, used, m.scores);
          if (m.sinks) largest = HWY_MAX(largest, m.sinks[head]);
          float sum = Weights(d, largest, used, m.scores);
          if (m.sinks) sum += std::exp(m.sinks[head] - largest);
          float* y = m.y + t * m.y_stride + head * m.width;
          WithTag(m.width, [&](auto wide) HWY_ATTR {
            const size_t lanes = hn::Lanes(wide);
            size_t at = 0;
            for (; at + 4 * lanes <= m.width; at += 4 * lanes) Mix<4>(wide, m, m.scores, values, 1 / sum, used, at, y);
            for (; at < m.width; at += lanes) Mix<1>(wide, m, m.scores, values, 1 / sum, used, at, y);
          });
        }
      }
      position[1] += 1;
      if (position[1] >= kLowFrames) position[0] += 1, position[1] = 0;
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::ssm
HWY_AFTER_NAMESPACE();
