// Processes a segment of a vector of lanes. The intermediate values of its last frames are kept, as many as fit into a
// shared cache. Those of the frames before are computed once more, from saved states: memory would be slower.
#include "capture/trainer/lane_group.h"

#include <algorithm>

#include "capture/trainer/discretisation.h"
#include "capture/trainer/film.h"

namespace coil::capture {
namespace {

constexpr size_t kKeptBlocks = 32;  // between saved states

size_t marks_in(size_t segment_frames) {
  const size_t blocks = segment_frames / kBlockFrames;
  return (blocks + kKeptBlocks - 1) / kKeptBlocks;
}

}  // namespace

template <class T>
Workspace<T>::Workspace(const ParameterMap& map, size_t lanes, size_t segment_frames)
    : passing(map.shape, lanes, 0),
      tape(map.shape, lanes, std::min(kKeptBlocks, segment_frames / kBlockFrames)),
      output(segment_frames * lanes),
      marks(marks_in(segment_frames) * map.shape.layers * map.modes() * kStates * lanes),
      again(map.shape.layers * map.modes() * kStates * lanes),
      adjoint(map.shape.layers * map.modes() * kAdjoints * lanes),
      gradient((map.knobs + map.shape.layers * map.shape.d_model) * lanes),
      start_derivative(again.size()),
      filter_start(map.shape.filter_modes * kStates * lanes),
      filter_start_derivative(filter_start.size()),
      filter_adjoint(map.shape.filter_modes * kAdjoints * lanes),
      filter_gradient(map.filter_bank.size * lanes) {
  if (map.shape.filter_modes > 0)
    for (auto* signal : {&unfiltered, &of_unfiltered}) signal->resize(segment_frames * lanes);
}

template <class T>
LaneGroup<T>::LaneGroup(const ParameterMap& map, const Kernels<T>& kernels, size_t segment_frames, size_t lookback_hops)
    : map_(map), kernels_(kernels), segment_frames_(segment_frames) {
  const size_t lanes = kernels.lanes, width = map.shape.layers * map.shape.d_model;
  for (auto* frames : {&input_, &target_, &counts_}) frames->assign(segment_frames * lanes, T(0));
  for (auto* of_layers : {&state_, &derivative_})
    of_layers->assign(map.shape.layers * map.modes() * kStates * lanes, T(0));
  for (auto* of_filter : {&filter_state_, &filter_derivative_})
    of_filter->assign(map.shape.filter_modes * kStates * lanes, T(0));
  weight_.assign(lanes, T(1));
  for (auto* values : {&scale_, &shift_, &rest_}) values->assign(width * lanes, T(0));
  output_row_.assign(map.shape.d_model * lanes, T(0));
  knobs_.resize(lanes);
  if (map.shape.slow_features > 0) slow_.emplace(map, kernels, segment_frames, lookback_hops);
}

template <class T>
void LaneGroup<T>::set_lane(size_t lane, const T* parameters, std::span<const double> knobs, double weight) {
  const size_t n = lanes(), d = map_.shape.d_model;
  std::vector<double> film = film_vector(map_, parameters, knobs);
  for (size_t l = 0; l < map_.shape.layers; ++l) {
    const T* bias = parameters + map_.at_layer(l) + map_.layer.in_bias;
    for (size_t c = 0; c < d; ++c) {
      const double scale = 1 + film[2 * d * l + c];
      scale_[(l * d + c) * n + lane] = T(scale);
      shift_[(l * d + c) * n + lane] = T(scale * double(bias[c]) + film[2 * d * l + d + c]);
    }
  }
  for (size_t c = 0; c < d; ++c) {
    output_row_[c * n + lane] = T(double(parameters[map_.output + c]) + film[2 * d * map_.shape.layers + c]);
  }
  weight_[lane] = T(weight);
  knobs_[lane].assign(knobs.begin(), knobs.end());
  if (!slow_) return;
  for (size_t l = 0; l < map_.shape.layers; ++l)
    for (size_t c = 0; c < d; ++c) film[2 * d * l + c] += 1;
  for (size_t c = 0; c < d; ++c) film[2 * d * map_.shape.layers + c] += double(parameters[map_.output + c]);
  slow_->set_base(lane, film);
}

template <class T>
void LaneGroup<T>::prepare() {
  kernels_.rest(shift_.data(), rest_.data(), map_.shape.layers * map_.shape.d_model);
}

template <class T>
void LaneGroup<T>::clear_state(size_t lane) {
  for (auto* state : {&state_, &derivative_, &filter_state_, &filter_derivative_})
    for (size_t i = lane; i < state->size(); i += lanes()) (*state)[i] = T(0);
  if (slow_) slow_->clear_state(lane);
}

template <class T>
void LaneGroup<T>::continue_from(LaneGroup& other) {
  state_ = other.state_, derivative_ = other.derivative_;
  filter_state_ = other.filter_state_, filter_derivative_ = other.filter_derivative_;
  if (slow_) slow_->state() = other.slow_->state();
}

template <class T>
void LaneGroup<T>::forward(const Weights<T>& weights, size_t frames, T* output, Workspace<T>& workspace) {
  if (slow_) slow_->forward(weights.parameters, frames / SlowMap::kHopFrames);
  T* unfiltered = map_.shape.filter_modes > 0 ? workspace.unfiltered.data() : output;
  for (size_t t = 0; t < frames; t += kBlockFrames) {
    forward_block(weights, t, unfiltered + t * lanes(), state_.data(), nullptr, workspace.passing);
  }
  if (map_.shape.filter_modes > 0)
    kernels_.filter(filter(weights), unfiltered, output, filter_state_.data(), nullptr, frames);
}

template <class T>
OutputFilter<T> LaneGroup<T>::filter(const Weights<T>& weights) const {
  return {weights.modes + kModeValues * map_.shape.layers * map_.modes(),
          weights.parameters[map_.filter + map_.filter_bank.D], map_.shape.filter_modes};
}

template <class T>
void LaneGroup<T>::forward_block(const Weights<T>& weights, size_t frame, T* output, T* state, T* derivative,
                                 Tape<T>& tape) {
  const T* input = &input_[frame * lanes()];
  if (slow_)
    kernels_.forward_moving(weights, slow_->film(frame), input, output, state, derivative, tape);
  else
    kernels_.forward(weights, conditions(), input, output, state, derivative, tape);
}

template <class T>
void LaneGroup<T>::backward_block(const Weights<T>& weights, size_t frame, const T* of_output, Workspace<T>& ws) {
  const T* input = &input_[frame * lanes()];
  T *adjoint = ws.adjoint.data(), *gradient = ws.gradient.data();
  if (slow_) {
    return kernels_.backward_moving(weights, slow_->film(frame), input, of_output, ws.tape, adjoint, gradient);
  }
  kernels_.backward(weights, conditions(), input, of_output, ws.tape, adjoint, gradient);
}

template <class T>
void LaneGroup<T>::forward(const Weights<T>& weights, Workspace<T>& ws) {
  if (slow_) slow_->forward(weights.parameters, segment_frames_ / SlowMap::kHopFrames);
  const bool has_filter = map_.shape.filter_modes > 0;
  ws.start_derivative = derivative_;
  ws.filter_start = filter_state_, ws.filter_start_derivative = filter_derivative_;
  T* unfiltered = has_filter ? ws.unfiltered.data() : ws.output.data();
  const size_t blocks = segment_frames_ / kBlockFrames;
  for (size_t b = 0; b < blocks; ++b) {
    const size_t frame = b * kBlockFrames, mark = b / kKeptBlocks;
    ws.tape.block = b % kKeptBlocks;
    if (ws.tape.block == 0) std::copy(state_.begin(), state_.end(), &ws.marks[mark * state_.size()]);
    forward_block(weights, frame, unfiltered + frame * lanes(), state_.data(), derivative_.data(),
                  mark + 1 < marks_in(segment_frames_) ? ws.passing : ws.tape);
  }
  if (has_filter)
    kernels_.filter(filter(weights), unfiltered, ws.output.data(), filter_state_.data(), filter_derivative_.data(),
                    segment_frames_);
}

template <class T>
LossSums LaneGroup<T>::loss(double k_plain, double k_pre, Workspace<T>& ws) const {
  return kernels_.loss(ws.output.data(), target_.data(), counts_.data(), weight_.data(), segment_frames_, T(k_plain),
                       T(k_pre));
}

template <class T>
const T* LaneGroup<T>::filter_back(const Weights<T>& weights, Workspace<T>& ws, double* gradient) {
  if (map_.shape.filter_modes == 0) return ws.output.data();
  kernels_.filter_back(filter(weights), ws.unfiltered.data(), ws.output.data(), ws.of_unfiltered.data(),
                       ws.filter_start.data(), ws.filter_start_derivative.data(), segment_frames_,
                       ws.filter_adjoint.data(), ws.filter_gradient.data());
  for (size_t i = 0; i < map_.filter_bank.size; ++i)
    for (size_t lane = 0; lane < lanes(); ++lane)
      gradient[map_.filter + i] += double(ws.filter_gradient[i * lanes() + lane]);
  return ws.of_unfiltered.data();
}

template <class T>
void LaneGroup<T>::backward(const Weights<T>& weights, Workspace<T>& ws, double* gradient) {
  const T* of_network = filter_back(weights, ws, gradient);
  std::fill(ws.adjoint.begin(), ws.adjoint.end(), T(0));
  std::fill(ws.gradient.begin(), ws.gradient.end(), T(0));
  if (slow_) slow_->clear_gradient();
  alignas(ssm::kAlignment) T ignored[kBlockFrames * kMaxLanes];
  const size_t blocks = segment_frames_ / kBlockFrames;
  for (size_t mark = marks_in(segment_frames_); mark-- > 0;) {
    const size_t first = mark * kKeptBlocks, end = std::min(blocks, first + kKeptBlocks);
    std::copy_n(&ws.marks[mark * state_.size()], state_.size(), ws.again.begin());
    for (size_t b = first; b < end && end < blocks; ++b) {
      ws.tape.block = b - first;
      forward_block(weights, b * kBlockFrames, ignored, ws.again.data(), nullptr, ws.tape);
    }
    for (size_t b = end; b-- > first;) {
      ws.tape.block = b - first;
      backward_block(weights, b * kBlockFrames, of_network + b * kBlockFrames * lanes(), ws);
    }
  }
  kernels_.add_initial_state(weights, ws.marks.data(), ws.start_derivative.data(), ws.adjoint.data(),
                             ws.gradient.data());
  if (slow_)
    add_moving_gradients(weights.parameters, ws.gradient.data(), gradient);
  else
    add_gradients(weights.parameters, ws.gradient.data(), gradient);
  // A filter in a model file would be bypassed by the direct path, and a stage has none: it keeps its initial value 0.
  if (map_.shape.filter_modes > 0 || map_.shape.direct == 0) gradient[map_.direct] = 0;
}

// The kernels treat a lane's scale and shift as constants. With dW and db, the gradients of scale W_in and shift, S
// that of -tanh(shift), and shift = scale b + t, the gradients are
//   of t: db - (1 - tanh(shift)^2) S,  of scale: sum_j W_ij dW_ij + b (of t),  of W: scale dW,  of b: scale (of t)
template <class T>
void LaneGroup<T>::add_gradients(const T* parameters, const T* lanes_gradient, double* gradient) const {
  const size_t n = lanes(), d = map_.shape.d_model, layers = map_.shape.layers;
  const auto at = [&](size_t index, size_t lane) { return double(lanes_gradient[index * n + lane]); };
  std::vector<double> film(map_.film_size());
  for (size_t lane = 0; lane < n; ++lane) {
    for (size_t l = 0; l < layers; ++l) {
      const size_t weight = map_.at_layer(l) + map_.layer.in_weight, bias = map_.at_layer(l) + map_.layer.in_bias;
      for (size_t i = 0; i < d; ++i) {
        const double rest = double(rest_[(l * d + i) * n + lane]), scale = double(scale_[(l * d + i) * n + lane]);
        const double of_shift = at(bias + i, lane) - (1 - rest * rest) * at(map_.knobs + l * d + i, lane);
        double of_scale = double(parameters[bias + i]) * of_shift;
        for (size_t j = 0; j < d; ++j) {
          const size_t w = weight + i * d + j;
          of_scale += double(parameters[w]) * at(w, lane);
          gradient[w] += scale * at(w, lane);
        }
        gradient[bias + i] += scale * of_shift;
        film[2 * d * l + i] = of_scale, film[2 * d * l + d + i] = of_shift;
      }
    }
    for (size_t c = 0; c < d; ++c) film[2 * d * layers + c] = at(map_.output + c, lane);
    add_film_gradient(map_, knobs_[lane], film, gradient);
  }
  for (size_t i = 0; i < map_.knobs; ++i) {
    const size_t place = i < map_.input ? i % map_.layer.size : 0;
    if (place >= map_.layer.in_weight && place < map_.layer.out_weight) continue;  // done above
    for (size_t lane = 0; lane < n; ++lane) gradient[i] += at(i, lane);
  }
}

// The kernels compute the film vector's gradient, which equals that of the knobs' part and of the output row.
template <class T>
void LaneGroup<T>::add_moving_gradients(const T* parameters, const T* lanes_gradient, double* gradient) {
  for (size_t i = 0; i < map_.knobs; ++i)
    for (size_t lane = 0; lane < lanes(); ++lane) gradient[i] += double(lanes_gradient[i * lanes() + lane]);
  std::vector<std::vector<double>> film;
  slow_->backward(parameters, gradient, film);
  const size_t d = map_.shape.d_model, row = 2 * d * map_.shape.layers;
  for (size_t lane = 0; lane < lanes(); ++lane) {
    add_film_gradient(map_, knobs_[lane], film[lane], gradient);
    for (size_t c = 0; c < d; ++c) gradient[map_.output + c] += film[lane][row + c];
  }
}

template struct Workspace<float>;
template struct Workspace<double>;
template class LaneGroup<float>;
template class LaneGroup<double>;

}  // namespace coil::capture
