// Runs the scan operators alone: converts upstream's tensors to the kernels' layout and back.
#include "ssm/run/ops.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "ssm/kernels/kernels.h"
#include "ssm/layers/part.h"

namespace coil::ssm {

namespace {

constexpr size_t kBlockFrames = 64, kChunkFrames = 16;

// Calls `frames(begin, run)` over the whole length in the way that the execution demands: one by one, or in blocks. For
// the scan, `chunk(begin, n, carry)` computes each chunk's contribution from zero, the states are joined, and `frames`
// runs each chunk from its true start in `state`.
void execute(Execution execution, size_t length, float* state, size_t state_floats,
             const std::function<void(size_t, const Run&)>& frames,
             const std::function<void(size_t, size_t, float*)>& chunk) {
  if (execution != Execution::scan) {
    const size_t step = execution == Execution::step ? 1 : kBlockFrames;
    for (size_t t = 0; t < length; t += step) frames(t, {std::min(step, length - t), nullptr, state});
    return;
  }
  std::vector<AlignedFloats> starts;
  AlignedFloats carry(2 * state_floats), joined(state, state + state_floats);
  for (size_t t = 0; t < length; t += kChunkFrames) {
    starts.push_back(joined);
    chunk(t, std::min(kChunkFrames, length - t), carry.data());
    join_real(carry.data(), joined.data(), state_floats);
  }
  for (size_t t = 0, i = 0; t < length; t += kChunkFrames, ++i)
    frames(t, {std::min(kChunkFrames, length - t), nullptr, starts[i].data()});
  std::copy_n(starts.empty() ? joined.data() : starts.back().data(), state_floats, state);
}

// e^(A sum of dt) over `frames` frames, per state. dt: [frames][width]; a: log2(e) A.
void decays_over(const float* dt, size_t frames, const float* a, size_t width, size_t states, float* decays) {
  for (size_t c = 0; c < width; ++c) {
    float elapsed = 0;
    for (size_t t = 0; t < frames; ++t) elapsed += dt[t * width + c];
    for (size_t n = 0; n < states; ++n) {
      const size_t at = state_index(c, n, width, states);
      decays[at] = std::exp2(elapsed * a[at]);
    }
  }
}

}  // namespace

void run(const SelectiveScan& op, Execution execution, Target target) {
  const Kernels& kernels = target.kernels();
  const size_t length = size_t(op.frames), states = size_t(op.d_state), group_channels = size_t(op.d_inner / op.groups);
  const size_t width = padded(group_channels), state_floats = states * width;
  for (size_t group = 0; group < size_t(op.groups); ++group) {
    const size_t first = group * group_channels;
    const auto rows = [&](const float* source) {  // (channels, frames) -> [frames][width]
      AlignedFloats out(length * width, 0.0f);
      if (source)
        for (size_t c = 0; c < group_channels; ++c)
          for (size_t t = 0; t < length; ++t) out[t * width + c] = source[(first + c) * length + t];
      return out;
    };
    const auto planes = [&](const float* source, float scale) {  // (channels, states) -> state_index
      AlignedFloats out(state_floats, 0.0f);
      for (size_t c = 0; source && c < group_channels; ++c)
        for (size_t n = 0; n < states; ++n)
          out[state_index(c, n, width, states)] = source[(first + c) * states + n] * scale;
      return out;
    };
    const auto channels = [&](const float* source) {
      AlignedFloats out(width, 0.0f);
      if (source) std::copy_n(source + first, group_channels, out.data());
      return out;
    };
    const auto varying = [&](const float* source) {  // (states, frames) of this group -> [frames][states]
      std::vector<float> out(length * states);
      for (size_t n = 0; n < states; ++n)
        for (size_t t = 0; t < length; ++t) out[t * states + n] = source[(group * states + n) * length + t];
      return out;
    };

    const AlignedFloats u = rows(op.u), z = rows(op.z), a = planes(op.A, float(M_LOG2E)), D = channels(op.D),
                        bias = channels(op.delta_bias);
    AlignedFloats dt = rows(op.delta), y = rows(nullptr), h = planes(op.ssm_state, 1.0f);
    const AlignedFloats B_constant = planes(op.constant_B ? op.B : nullptr, 1.0f),
                        C_constant = planes(op.constant_C ? op.C : nullptr, 1.0f);
    const std::vector<float> B = op.constant_B ? std::vector<float>() : varying(op.B),
                             C = op.constant_C ? std::vector<float>() : varying(op.C);
    kernels.time_step(bias.data(), 0.0f, HUGE_VALF, op.delta_softplus, dt.data(), width, width, length);

    const auto kernel = [&](size_t t) {
      return ScanKernel{width,
                        states,
                        a.data(),
                        D.data(),
                        dt.data() + t * width,
                        u.data() + t * width,
                        width,
                        B.data() + (op.constant_B ? 0 : t * states),
                        C.data() + (op.constant_C ? 0 : t * states),
                        states,
                        op.constant_B ? B_constant.data() : nullptr,
                        op.constant_C ? C_constant.data() : nullptr,
                        y.data() + t * width,
                        width};
    };
    execute(
        execution, length, h.data(), state_floats,
        [&](size_t t, const Run& run) {
          kernels.selective_scan(kernel(t), {&run, 1});
        },
        [&](size_t t, size_t n, float* carry) {
          std::fill_n(carry, state_floats, 0.0f);
          const Run run{n, nullptr, carry};
          kernels.selective_scan_end(kernel(t), {&run, 1});
          decays_over(&dt[t * width], n, a.data(), width, states, carry + state_floats);
        });
    if (op.z) kernels.gate(z.data(), width, y.data(), width, width, length);
    for (size_t c = 0; c < group_channels; ++c) {
      for (size_t t = 0; t < length; ++t) op.y[(first + c) * length + t] = y[t * width + c];
      for (size_t n = 0; n < states; ++n) op.ssm_state[(first + c) * states + n] = h[state_index(c, n, width, states)];
    }
  }
}

void run(const Ssd& op, Execution execution, Target target) {
  const Kernels& kernels = target.kernels();
  const size_t length = size_t(op.frames), states = size_t(op.d_state), heads = size_t(op.heads),
               headdim = size_t(op.headdim);
  const size_t groups = size_t(op.groups), group_heads = heads / groups, group_channels = group_heads * headdim,
               inner = heads * headdim;
  const size_t width = padded(group_channels), heads_width = padded(group_heads), state_floats = states * width;
  for (size_t group = 0; group < groups; ++group) {
    const size_t first_head = group * group_heads, first = group * group_channels;
    AlignedFloats dt(length * heads_width, 0.0f), decay(dt.size()), bias(heads_width, 0.0f), a(heads_width, 0.0f);
    for (size_t j = 0; j < group_heads; ++j) {
      if (op.dt_bias) bias[j] = op.dt_bias[first_head + j];
      a[j] = op.A[first_head + j] * float(M_LOG2E);
      for (size_t t = 0; t < length; ++t) dt[t * heads_width + j] = op.dt[t * heads + first_head + j];
    }
    kernels.time_step(bias.data(), 0.0f, HUGE_VALF, op.dt_softplus, dt.data(), heads_width, heads_width, length);
    kernels.decay(a.data(), dt.data(), heads_width, decay.data(), heads_width, heads_width, length);

    AlignedFloats u(length * width, 0.0f), channel_dt(u), channel_decay(u), y(u), D(width, 0.0f), h(state_floats, 0.0f);
    for (size_t c = 0; c < group_channels; ++c) {
      const size_t head = c / headdim;
      if (op.D) D[c] = op.D[first_head + head];
      for (size_t t = 0; t < length; ++t) {
        u[t * width + c] = op.x[t * inner + first + c];
        channel_dt[t * width + c] = dt[t * heads_width + head];
        channel_decay[t * width + c] = decay[t * heads_width + head];
      }
      for (size_t n = 0; n < states; ++n) h[state_index(c, n, width, states)] = op.ssm_state[(first + c) * states + n];
    }
    const size_t bc_stride = groups * states;
    const auto kernel = [&](size_t t) {
      return SsdKernel{width,
                       states,
                       0,
                       0,
                       D.data(),
                       channel_decay.data() + t * width,
                       channel_dt.data() + t * width,
                       u.data() + t * width,
                       width,
                       width,
                       width,
                       op.B + t * bc_stride + group * states,
                       op.C + t * bc_stride + group * states,
                       bc_stride,
                       y.data() + t * width,
                       width};
    };
    execute(
        execution, length, h.data(), state_floats,
        [&](size_t t, const Run& run) {
          kernels.ssd(kernel(t), {&run, 1});
        },
        [&](size_t t, size_t n, float* carry) {
          std::fill_n(carry, state_floats, 0.0f);
          const Run run{n, nullptr, carry};
          kernels.ssd_end(kernel(t), {&run, 1});
          for (size_t c = 0; c < group_channels; ++c) {
            float elapsed = 0;
            for (size_t i = t; i < t + n; ++i) elapsed += channel_dt[i * width + c];
            for (size_t s = 0; s < states; ++s)
              carry[state_floats + state_index(c, s, width, states)] = std::exp2(elapsed * a[c / headdim]);
          }
          for (size_t c = group_channels; c < width; ++c)
            for (size_t s = 0; s < states; ++s) carry[state_floats + state_index(c, s, width, states)] = 0.0f;
        });
    for (size_t c = 0; c < group_channels; ++c) {
      for (size_t t = 0; t < length; ++t) op.y[t * inner + first + c] = y[t * width + c];
      for (size_t n = 0; n < states; ++n) op.ssm_state[(first + c) * states + n] = h[state_index(c, n, width, states)];
    }
  }
}

}  // namespace coil::ssm
