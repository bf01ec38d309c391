// Chooses the experts of a frame and their weights, for the engine and the reference.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include "ssm/model/config.h"

namespace coil::ssm {

inline constexpr size_t kMaxExperts = 1024;

// Softmax over the values whose index is in `among`.
template <class Value>
void take_softmax(std::span<Value> scores, std::span<const Value> among) {
  Value most = among[0], sum = 0;
  for (const Value v : among) most = std::max(most, v);
  for (const Value v : among) sum += std::exp(v - most);
  for (Value& v : scores) v = std::exp(v - most) / sum;
}

// Excludes the experts of all groups but the best ones. A group is ranked by its two best experts. Source: DeepSeek-AI
// 2024 (DeepSeek-V3), sec. 2.1.2.
template <class Value>
void leave_groups_out(const MoeConfig& moe, std::span<Value> choice, Value out) {
  if (moe.groups <= 1) return;
  const size_t size = choice.size() / size_t(moe.groups);
  Value value[kMaxExperts];
  for (size_t g = 0; g < size_t(moe.groups); ++g) {
    Value best[2] = {out, out};
    for (size_t i = g * size; i < (g + 1) * size; ++i) {
      if (choice[i] > best[0])
        best[1] = best[0], best[0] = choice[i];
      else if (choice[i] > best[1])
        best[1] = choice[i];
    }
    value[g] = size > 1 ? best[0] + best[1] : best[0];
  }
  for (size_t g = 0; g < size_t(moe.groups); ++g) {
    size_t better = 0;
    for (size_t other = 0; other < size_t(moe.groups); ++other)
      better += value[other] > value[g] || (value[other] == value[g] && other < g);
    if (better >= size_t(moe.groups_chosen)) std::fill_n(choice.begin() + std::ptrdiff_t(g * size), size, out);
  }
}

// values: in, the router's value of each expert; out, the weights, which are 0 for experts that were not chosen.
// correction: empty, or one value per expert. Ties are resolved by the order of the experts. [audio-thread]
template <class Value>
void route(const MoeConfig& moe, std::span<const Value> correction, std::span<Value> values) {
  const size_t n = values.size();
  constexpr Value kOut = Value(-1e30);
  Value choice[kMaxExperts];
  if (moe.routing == Routing::sigmoid)
    for (Value& v : values) v = 1 / (1 + std::exp(-v));
  for (size_t i = 0; i < n; ++i) choice[i] = values[i] + (correction.empty() ? Value(0) : correction[i]);
  leave_groups_out(moe, std::span<Value>(choice, n), kOut);

  size_t chosen[kMaxExperts];
  for (size_t k = 0; k < size_t(moe.top_k); ++k) {
    chosen[k] = size_t(std::max_element(choice, choice + n) - choice);
    choice[chosen[k]] = 2 * kOut;
  }
  Value weight[kMaxExperts];
  for (size_t k = 0; k < size_t(moe.top_k); ++k) weight[k] = values[chosen[k]];
  const std::span<Value> weights(weight, size_t(moe.top_k));
  if (moe.routing == Routing::softmax) take_softmax<Value>(weights, values);
  if (moe.routing == Routing::softmax_of_chosen) {
    Value own[kMaxExperts];
    std::copy(weights.begin(), weights.end(), own);
    take_softmax<Value>(weights, std::span<const Value>(own, weights.size()));
  }
  Value sum = 0;
  for (const Value w : weights) sum += w;
  const Value scale = Value(moe.weight_scale) / (moe.normalised ? sum + Value(1e-20) : Value(1));
  std::fill(values.begin(), values.end(), Value(0));
  for (size_t k = 0; k < size_t(moe.top_k); ++k) values[chosen[k]] = weight[k] * scale;
}

}  // namespace coil::ssm
