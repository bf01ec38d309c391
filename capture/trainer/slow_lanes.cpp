// The hops of a segment and those before it, whose states are recomputed with the current parameters.
#include "capture/trainer/slow_lanes.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace coil::capture {

// Symmetric features at levels 12 dB apart measure loudness; those with an offset measure asymmetry.
Feature slow_feature(size_t index) {
  static constexpr std::array<Feature, 8> kBank = {
      {{1, 0}, {4, 0}, {16, 0}, {64, 0}, {4, -2}, {4, 2}, {1.5, -1.5}, {1.5, 1.5}}};
  return kBank.at(index);
}

std::vector<float> hop_features(const std::vector<float>& dry, size_t features) {
  constexpr size_t hop = SlowMap::kHopFrames;
  std::vector<float> means((dry.size() + hop - 1) / hop * 2 * features);
  for (size_t first = 0; first < dry.size(); first += hop) {
    float* to = &means[first / hop * 2 * features];
    for (size_t i = 0; i < features; ++i) {
      const Feature feature = slow_feature(i);
      double sum = 0, squares = 0;
      for (size_t t = first; t < first + hop; ++t) {
        const float f = std::tanh(float(feature.weight) * (t < dry.size() ? dry[t] : 0) + float(feature.bias));
        sum += double(f), squares += double(f * f);
      }
      to[i] = float(sum / double(hop)), to[features + i] = float(squares / double(hop));
    }
  }
  return means;
}

template <class T>
SlowLanes<T>::SlowLanes(const ParameterMap& map, const Kernels<T>& kernels, size_t segment_frames, size_t lookback_hops)
    : map_(map),
      kernels_(kernels),
      lookback_(lookback_hops),
      tape_(map.slow_path, kernels.lanes, lookback_hops + segment_frames / SlowMap::kHopFrames,
            segment_frames / SlowMap::kHopFrames + 1),
      carried_(SlowMap::units * kernels.lanes),
      gradient_(map.slow_path.size * kernels.lanes) {}

template <class T>
void SlowLanes<T>::set_base(size_t lane, const std::vector<double>& film) {
  for (size_t i = 0; i < film.size(); ++i) tape_.base[i * lanes() + lane] = T(film[i]);
}

// Hop k of the tape is hop `first` - 1 - lookback + k of the take: a film vector takes effect one hop later.
template <class T>
void SlowLanes<T>::set_hops(size_t lane, const std::vector<float>& features, std::span<const double> knobs,
                            size_t first, size_t begin) {
  const size_t n = lanes(), width = 2 * map_.shape.slow_features, back = lookback_ + 1;
  tape_.alive[lane] = T(first >= begin + back + 1);
  for (size_t k = 0; k < tape_.hops; ++k) {
    const bool alive = first + k >= begin + back;
    tape_.alive[(k + 1) * n + lane] = T(alive);
    const size_t at = alive ? (first + k - back) * width : 0;
    T* to = &tape_.features[k * map_.slow_path.inputs * n + lane];
    for (size_t i = 0; i < width; ++i) to[i * n] = alive && at + i < features.size() ? T(features[at + i]) : T(0);
    for (size_t i = 0; i < knobs.size(); ++i) to[(width + i) * n] = T(2 * knobs[i] - 1);
  }
}

template <class T>
void SlowLanes<T>::set_steady_hops(size_t lane, const std::vector<float>& features, std::span<const double> knobs) {
  const size_t width = 2 * map_.shape.slow_features, period = features.size() / width;
  const size_t periods = lookback_ / period + 2;  // before this segment
  std::vector<float> repeated;
  for (size_t i = 0; i <= periods; ++i) repeated.insert(repeated.end(), features.begin(), features.end());
  set_hops(lane, repeated, knobs, periods * period, 0);
}

template <class T>
void SlowLanes<T>::clear_state(size_t lane) {
  for (size_t i = lane; i < carried_.size(); i += lanes()) carried_[i] = T(0);
}

template <class T>
void SlowLanes<T>::forward(const T* parameters, size_t hops) {
  std::copy(carried_.begin(), carried_.end(), tape_.state.begin());
  kernels_.slow_forward(map_.slow_path, parameters + map_.slow, tape_);
  const auto next = tape_.state.begin() + std::ptrdiff_t(hops * carried_.size());
  std::copy(next, next + std::ptrdiff_t(carried_.size()), carried_.begin());
}

template <class T>
MovingFilm<T> SlowLanes<T>::film(size_t frame) {
  const size_t width = map_.slow_path.film * lanes(), at = frame / SlowMap::kHopFrames * width;
  return {&tape_.film[at], &tape_.film[at + width], &tape_.film_gradient[at], &tape_.film_gradient[at + width],
          frame % SlowMap::kHopFrames};
}

template <class T>
void SlowLanes<T>::clear_gradient() {
  std::fill(tape_.film_gradient.begin(), tape_.film_gradient.end(), T(0));
}

template <class T>
void SlowLanes<T>::backward(const T* parameters, double* gradient, std::vector<std::vector<double>>& lane_film) {
  const size_t n = lanes(), width = map_.slow_path.film;
  lane_film.assign(n, std::vector<double>(width));
  for (size_t i = 0; i < tape_.boundaries; ++i)
    for (size_t row = 0; row < width; ++row)
      for (size_t lane = 0; lane < n; ++lane)
        lane_film[lane][row] += double(tape_.film_gradient[(i * width + row) * n + lane]);
  kernels_.slow_backward(map_.slow_path, parameters + map_.slow, tape_, gradient_.data());
  for (size_t i = 0; i < map_.slow_path.size; ++i)
    for (size_t lane = 0; lane < n; ++lane) gradient[map_.slow + i] += double(gradient_[i * n + lane]);
}

template class SlowLanes<float>;
template class SlowLanes<double>;

}  // namespace coil::capture
