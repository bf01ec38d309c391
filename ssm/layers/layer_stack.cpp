// Builds layers from their plan, folds FiLM vectors into their matrices, and runs blocks of frames through them.
#include "ssm/layers/layer_stack.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>

namespace coil::ssm {

namespace {

const Part& base(const AnyPart& part) {
  return std::visit([](const auto& p) -> const Part& { return *p; }, part);
}

// Whether a matrix is stored as [column][kHalfPad], of kHalfPad columns in float32.
bool is_narrow(const PackedLinear& w) {
  if (w.format != WeightFormat::f32 || w.dots > 0 || w.d_in != kHalfPad || w.d_out != kHalfPad) return false;
  for (size_t row = 0; row < kHalfPad; ++row)
    if (w.offset[row] != row || w.step[row] != kHalfPad) return false;
  return true;
}

// The layer for the kernel that computes it as a whole, if it can.
std::optional<NarrowLayer> narrow_layer(const Kernels& kernels, const PlannedLayer& planned, const Layer& layer) {
  alignas(kAlignment) static constexpr float kZeros[kHalfPad] = {};
  const auto config = [&]<class Config>(size_t i, const Config*) {
    return i < planned.parts.size() ? std::get_if<Config>(&planned.parts[i].config) : nullptr;
  };
  const bool film = config(2, static_cast<FilmConfig*>(nullptr));
  const size_t tanh = film ? 3 : 2;
  const auto* plain = config(tanh, static_cast<ActivationConfig*>(nullptr));
  const bool bends = (plain && plain->kind == Activation::tanh) || config(tanh, static_cast<RestTanhConfig*>(nullptr));
  if (!kernels.narrow_layers || !layer.residual || planned.parts.size() != tanh + 2 || !bends ||
      !config(0, static_cast<S4dConfig*>(nullptr)) || !config(1, static_cast<LinearConfig*>(nullptr)) ||
      !config(tanh + 1, static_cast<LinearConfig*>(nullptr)))
    return std::nullopt;
  const auto pointwise = [&](size_t i) -> const PointwisePart& {
    return *std::get<std::unique_ptr<PointwisePart>>(layer.parts[i]);
  };
  const RecurrentPart& mixer = *std::get<std::unique_ptr<RecurrentPart>>(layer.parts[0]);
  const PackedLinear *in = pointwise(1).matrix(), *out = pointwise(tanh + 1).matrix();
  const S4dKernel& bank = *mixer.bank();
  const bool modes_fit = bank.modes == 1 || bank.modes == 2 || bank.modes == 4;
  if (bank.channels != kHalfPad || !modes_fit || !bank.z_im || !is_narrow(*in) || !is_narrow(*out)) return std::nullopt;
  const RestTanh* rest = pointwise(tanh).rest_tanh();
  return NarrowLayer{bank,
                     mixer.scan_offset(),
                     in,
                     out,
                     rest ? rest->rest() : kZeros,
                     film,
                     film && rest,
                     film ? *planned.parts[2].film_at : 0};
}

}  // namespace

LayerStack::LayerStack(const std::vector<PlannedLayer>& layers, int width, const Build& build)
    : kernels_(build.kernels), width_(padded(size_t(width))), widest_(width_) {
  size_t stride = width_;
  for (const PlannedLayer& planned : layers) {
    Layer layer{planned.residual, {}, {}, {}, stride, stride, false, {}};
    for (const PlannedPart& place : planned.parts) {
      layer.parts.push_back(
          std::visit([&](const auto& config) { return make_part(config, place, build); }, place.config));
      stride = base(layer.parts.back()).stride_out();
      widest_ = std::max(widest_, stride);
    }
    layer.stride_out = stride;
    layer.fold.assign(layer.parts.size(), -1);
    layer.rest.assign(layer.parts.size(), -1);
    for (size_t i = 0; i < layer.parts.size(); ++i) {
      const auto* part = std::get_if<std::unique_ptr<PointwisePart>>(&layer.parts[i]);
      if (!part) continue;
      if (const Tap* tap = (*part)->tap()) {
        keeps_rows_ = true;
        keeps_input_ = keeps_input_ || tap->from() == TapConfig::From::network;
        if (tap->from() == TapConfig::From::layer_before && !layers_.empty()) layers_.back().input_is_kept = true;
      }
      if (planned.parts[i].film_folds && (*part)->matrix()->format == WeightFormat::f32) {
        layer.fold[i] = int(folds_.size());
        folds_.push_back({(*part)->matrix(), *planned.parts[i + 1].film_at});
      }
      if ((*part)->rest_tanh() && (*part)->rest_tanh()->moves()) {
        layer.rest[i] = int(rests_.size());
        rests_.push_back({(*part)->rest_tanh(), layer.fold[i - 2]});
      }
    }
    if (const std::optional<NarrowLayer> narrow = narrow_layer(kernels_, planned, layer)) {
      layer.narrow = narrow_.size();
      narrow_.push_back(*narrow);
    }
    layers_.push_back(std::move(layer));
  }
}

FilmFolds::FilmFolds(const LayerStack& stack, const OutputHead& head, size_t film_floats)
    : stack_(stack), head_(head), film_(film_floats, std::numeric_limits<float>::quiet_NaN()) {
  for (const LayerStack::Fold& fold : stack.folds()) matrices_.push_back(*fold.matrix);
  for (const LayerStack::Rest& rest : stack.rests()) rests_.emplace_back(rest.part->stride_in());
  narrow_ = stack.narrow();
  for (const Layer& layer : stack.layers()) {
    if (!layer.narrow || !narrow_[*layer.narrow].has_film) continue;
    NarrowLayer& narrow = narrow_[*layer.narrow];
    narrow.has_film = false;
    narrow.in = &matrices_[size_t(layer.fold[1])];
    if (layer.rest[3] >= 0) narrow.rest = rests_[size_t(layer.rest[3])].data();
  }
  if (!head.film_rows().empty() && head.projection()->format == WeightFormat::f32) output_ = *head.projection();
}

bool FilmFolds::update(const float* film) noexcept {
  if (film_.empty() || std::memcmp(film_.data(), film, film_.size() * sizeof(float)) == 0) return false;
  std::copy_n(film, film_.size(), film_.begin());
  for (size_t i = 0; i < matrices_.size(); ++i) {
    const PackedLinear& plain = *stack_.folds()[i].matrix;
    PackedLinear& folded = matrices_[i];
    const float *scale = film + stack_.folds()[i].film_offset, *shift = scale + plain.d_out;
    for (size_t row = 0; row < plain.d_out; ++row) folded.bias[row] = plain.bias[row] * (1 + scale[row]) + shift[row];
    for (size_t row = 0; row < plain.offset.size(); ++row)
      for (size_t k = 0, at = plain.offset[row]; k < plain.d_in; ++k, at += plain.step[row])
        folded.f32[at] = plain.f32[at] * (1 + scale[row]);
  }
  for (size_t i = 0; i < rests_.size(); ++i) {
    const auto& [part, fold] = stack_.rests()[i];
    const size_t width = part->stride_in();
    // With an input of 0, a folded matrix gives its bias.
    if (fold >= 0)
      stack_.kernels().tanh(matrices_[size_t(fold)].bias.data(), width, rests_[i].data(), width, width, 1);
    else
      part->rest_rows({1, 0, film, nullptr}, 1, 0, width, rests_[i].data());
  }
  if (output_) fold_output(film);
  return true;
}

void FilmFolds::fold_output(const float* film) noexcept {
  const PackedLinear& plain = *head_.projection();
  for (size_t row = 0; row < head_.film_rows().size(); ++row)
    for (size_t k = 0, at = plain.offset[row]; k < plain.d_in; ++k, at += plain.step[row])
      output_->f32[at] = plain.f32[at] + film[head_.film_rows()[row] + k];
}

size_t LayerStack::scratch_floats(size_t frames) const {
  size_t floats = 0;
  for (const Layer& layer : layers_)
    for (const AnyPart& part : layer.parts)
      floats = std::max(floats, std::visit([&](const auto& p) { return p->scratch_floats(frames); }, part));
  return floats;
}

size_t LayerStack::pointwise_scratch_floats(size_t frames) const {
  size_t floats = 1;
  for (const Layer& layer : layers_)
    for (const AnyPart& part : layer.parts)
      if (const auto* pointwise = std::get_if<std::unique_ptr<PointwisePart>>(&part))
        floats = std::max(floats, (*pointwise)->scratch_floats(frames));
  return floats;
}

// The activity of other layers with memory is only known for a single stream.
bool LayerStack::pairs() const {
  const auto fits = [](const AnyPart& part) {
    const auto* mixer = std::get_if<std::unique_ptr<RecurrentPart>>(&part);
    return !mixer || (*mixer)->bank();
  };
  return !narrow_.empty() &&
         std::ranges::all_of(layers_, [&](const Layer& layer) { return std::ranges::all_of(layer.parts, fits); });
}

size_t LayerStack::layers_with_memory() const {
  size_t count = 0;
  for (const Layer& layer : layers_)
    for (const AnyPart& part : layer.parts) count += std::holds_alternative<std::unique_ptr<RecurrentPart>>(part);
  return count;
}

// Runs the layers from `first` on that one kernel computes, and returns how many these are.
size_t LayerStack::run_narrow(size_t first, std::span<const StreamRows> streams, std::span<const FilmPiece> film,
                              const LayerBuffers& buffers, std::span<LayerActivity>& activity,
                              float* h) const noexcept {
  size_t count = 1;
  while (first + count < layers_.size() && layers_[first + count].narrow && !layers_[first + count].input_is_kept)
    ++count;
  const std::span<const NarrowLayer> all = buffers.folded ? buffers.folded->narrow() : std::span(narrow_);
  const std::span<const NarrowLayer> layers = all.subspan(*layers_[first].narrow, count);
  for (size_t s = 0; s < streams.size();) {
    std::array<NarrowRun, 2> runs;
    size_t n = 0;
    for (; n < runs.size() && s < streams.size(); ++n, ++s) {
      runs[n] = {streams[s].arena, streams[s].frames, nullptr, nullptr, 0};
      if (!buffers.folded && !film.empty())
        runs[n].film_base = film[s].base, runs[n].film_slope = film[s].slope, runs[n].first = film[s].first;
    }
    kernels_.narrow_layers(layers, {runs.data(), n}, h);
    for (size_t i = 0; i < n; ++i) h += runs[i].frames * kHalfPad;
  }
  for (size_t l = first; l < first + count && !activity.empty(); ++l) {
    const RecurrentPart& mixer = *std::get<std::unique_ptr<RecurrentPart>>(layers_[l].parts[0]);
    activity.front() = mixer.activity(mixer.run(streams[0]), buffers.scratch);
    activity = activity.subspan(1);
  }
  return count;
}

float* LayerStack::run(size_t frames, std::span<const StreamRows> streams, std::span<const FilmPiece> film,
                       const LayerBuffers& buffers) const noexcept {
  float *h = buffers.rows[0], *spare[2] = {buffers.rows[1], buffers.rows[2]};
  std::span<LayerActivity> activity = buffers.activity;
  if (keeps_input_) std::copy_n(h, frames * width_, buffers.kept[0]);
  size_t before_stride = width_;
  for (size_t l = 0; l < layers_.size(); ++l) {
    const Layer& layer = layers_[l];
    const float *before = buffers.kept[1 + (l + 1) % 2], *in = h;
    if (layer.input_is_kept) std::copy_n(h, frames * layer.stride_in, buffers.kept[1 + l % 2]);
    if (layer.narrow) {
      l += run_narrow(l, streams, film, buffers, activity, h) - 1;
      before_stride = layers_[l].stride_in;
      continue;
    }
    bool added = false;
    for (size_t i = 0; i < layer.parts.size(); ++i) {
      const bool folded = buffers.folded && layer.fold[i] >= 0;
      const bool last = i + (folded ? 2 : 1) == layer.parts.size();
      float* out = in == spare[0] ? spare[1] : spare[0];
      if (const auto* mixer = std::get_if<std::unique_ptr<RecurrentPart>>(&layer.parts[i])) {
        const RecurrentPart& part = **mixer;
        // expand reads all of `in` before recur writes, so both may be `h`.
        added = last && layer.residual && part.can_accumulate();
        if (added) out = h;
        for (size_t s = 0; s < streams.size(); ++s) buffers.runs[s] = part.run(streams[s]);
        part.process(in, frames, {buffers.runs, streams.size()}, buffers.scratch, out, added);
        if (!activity.empty()) {
          activity.front() = part.activity(buffers.runs[0], buffers.scratch);
          activity = activity.subspan(1);
        }
      } else {
        const PointwisePart& part = *std::get<std::unique_ptr<PointwisePart>>(layer.parts[i]);
        added = last && layer.residual && part.can_accumulate() && in != h;
        if (added) out = h;
        if (folded) {
          kernels_.linear(buffers.folded->matrix(layer.fold[i++]), nullptr, in, part.stride_in(), out,
                          part.stride_out(), frames, added);
        } else if (buffers.folded && layer.rest[i] >= 0) {
          const size_t width = part.stride_in();
          kernels_.tanh_rest(buffers.folded->rest(layer.rest[i]), 0, in, width, out, width, width, frames);
        } else if (const Tap* tap = part.tap()) {
          const bool own = tap->from() == TapConfig::From::layer, first = tap->from() == TapConfig::From::network;
          tap->take(own     ? h
                    : first ? buffers.kept[0]
                            : before,
                    own     ? layer.stride_in
                    : first ? width_
                            : before_stride,
                    in, out, frames);
        } else {
          part.process(in, out, frames, added, film, buffers.scratch);
        }
      }
      in = out;
    }
    before_stride = layer.stride_in;
    if (added || layer.parts.empty()) continue;
    if (layer.residual) {
      kernels_.add(in, layer.stride_out, h, layer.stride_out, layer.stride_out, frames);
    } else {
      float*& result = in == spare[0] ? spare[0] : spare[1];
      std::swap(h, result);
    }
  }
  return h;
}

OutputHead::OutputHead(std::optional<PackedLinear> projection, std::optional<PackedLinear> direct, size_t outputs,
                       std::optional<size_t> film_offset)
    : projection_(std::move(projection)), direct_(std::move(direct)), width_(outputs) {
  for (size_t i = 0; film_offset && i < outputs; ++i)
    film_rows_.push_back(*film_offset + i * padded(projection_->d_in));
}

OutputHead OutputHead::select(const Kernels& kernels, std::span<const uint32_t> outputs) const {
  const auto selected = [&](const std::optional<PackedLinear>& matrix) -> std::optional<PackedLinear> {
    if (!matrix) return std::nullopt;
    return select_rows(kernels, *matrix, outputs);
  };
  OutputHead head(selected(projection_), selected(direct_), outputs.size(), std::nullopt);
  for (size_t i = 0; !film_rows_.empty() && i < outputs.size(); ++i) head.film_rows_.push_back(film_rows_[outputs[i]]);
  if (!projection_) head.taken_.assign(outputs.begin(), outputs.end());
  return head;
}

void OutputHead::process(const Kernels& kernels, const float* input_rows, size_t input_stride, const float* h,
                         size_t h_stride, float* output_rows, size_t n, std::span<const FilmPiece> film,
                         const PackedLinear* folded) const noexcept {
  if (projection_) {
    kernels.linear(folded ? *folded : *projection_, nullptr, h, h_stride, output_rows, stride(), n, false);
    if (!film_rows_.empty() && !folded) add_film(kernels, h, h_stride, output_rows, n, film);
  } else if (taken_.empty()) {
    std::memcpy(output_rows, h, n * stride() * sizeof(float));
  } else {
    for (size_t t = 0; t < n; ++t)
      for (size_t i = 0; i < width_; ++i) output_rows[t * stride() + i] = h[t * h_stride + taken_[i]];
  }
  if (direct_) kernels.linear(*direct_, nullptr, input_rows, input_stride, output_rows, stride(), n, true);
}

void OutputHead::add_film(const Kernels& kernels, const float* h, size_t h_stride, float* output_rows, size_t n,
                          std::span<const FilmPiece> film) const noexcept {
  const size_t width = padded(projection_->d_in);
  for (const FilmPiece& piece : film) {
    const size_t frames = std::min(piece.frames, n);
    for (size_t i = 0; i < film_rows_.size(); ++i)
      kernels.moving_dot(piece.base + film_rows_[i], piece.slope ? piece.slope + film_rows_[i] : nullptr, piece.first,
                         h, h_stride, output_rows + i, stride(), width, frames);
    h += frames * h_stride;
    output_rows += frames * stride();
    n -= frames;
  }
}

}  // namespace coil::ssm
