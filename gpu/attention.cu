// Attention: projections, norm and rotation of queries and keys, and the launch of its kernels.
#include "gpu/attention.h"

#include <cmath>
#include <numbers>

#include "gpu/attention_kernels.cuh"
#include "gpu/linear.h"

namespace coil::gpu {
namespace {

constexpr int kMaxHeaddim = 256;

// How queries and keys are normalised and rotated before their product.
struct HeadArguments {
  const float* weight;  // of the RMS norm of each head; null: none
  float eps;
  const uint64_t* turns;  // of each pair (i, i + pairs) per frame, in units of 2^-64 of a turn
  int pairs;
  float rope_scale;
};

// A warp per row and head.
__global__ void __launch_bounds__(kElementThreads)
    prepare_heads(HeadArguments h, float* values, int heads, int headdim, const float* table, size_t position_at,
                  size_t table_stride, const Chunk* chunks, int chunk_frames, size_t rows) {
  const size_t warp = (size_t(blockIdx.x) * kElementThreads + threadIdx.x) / 32;
  const int lane = int(threadIdx.x) % 32;
  if (warp >= rows * size_t(heads)) return;
  const size_t row = warp / size_t(heads);
  float* x = values + warp * size_t(headdim);
  if (h.weight) {
    float sum = 0;
    for (int i = lane; i < headdim; i += 32) sum = fmaf(x[i], x[i], sum);
    for (int other = 16; other > 0; other /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, other);
    const float scale = 1.0f / sqrtf(sum / float(headdim) + h.eps);
    for (int i = lane; i < headdim; i += 32) x[i] *= scale * h.weight[i];
    __syncwarp();
  }
  const Chunk chunk = chunks[row / size_t(chunk_frames)];
  const uint64_t frame = frames_before(table + size_t(chunk.state_in) * table_stride + position_at) +
                         uint64_t(chunk.before) + row % size_t(chunk_frames);
  for (int i = lane; i < h.pairs; i += 32) {
    float sine, cosine;
    sincospif(float(double(int64_t(h.turns[i] * frame)) * 0x1p-63), &sine, &cosine);
    sine *= h.rope_scale, cosine *= h.rope_scale;
    const float a = x[i], b = x[h.pairs + i];
    x[i] = a * cosine - b * sine;
    x[h.pairs + i] = b * cosine + a * sine;
  }
}

// Calls f.operator()<precision, steps>() with the kernel's width of a head, in steps of 16.
template <class F>
void with_width(Precision precision, int headdim, const F& f) {
  with_precision(precision, [&]<Precision kPrecision>() {
    if (headdim <= 32) return f.template operator()<kPrecision, 2>();
    if (headdim <= 64) return f.template operator()<kPrecision, 4>();
    if (headdim <= 128) return f.template operator()<kPrecision, 8>();
    return f.template operator()<kPrecision, 16>();
  });
}

class AttentionPart final : public Part {
 public:
  AttentionPart(const ssm::AttentionConfig& c, const ssm::PartTraits& traits, const Build& build)
      : Part(c.q.d_in, c.o.d_out),
        config_(c),
        precision_(build.precision),
        q_(c.q, nullptr, build.precision, build.checkpoint),
        k_(c.k, nullptr, build.precision, build.checkpoint),
        v_(c.v, nullptr, build.precision, build.checkpoint),
        o_(c.o, nullptr, build.precision, build.checkpoint),
        keys_at_(build.states.add(traits.region("keys"))),
        values_at_(build.states.add(traits.region("values"))),
        position_at_(build.states.add(traits.region("position"))) {
    if (c.conv_taps > 0)
      throw Error(build.checkpoint.source() +
                  ": the GPU cannot run attention with a convolution (d_conv of attn_cfg); "
                  "use the CPU");
    if (c.headdim > kMaxHeaddim)
      throw Error(build.checkpoint.source() + ": the GPU runs attention with heads of at most " +
                  std::to_string(kMaxHeaddim) + " values, not " + std::to_string(c.headdim) +
                  "; run the model on the CPU");
    const auto weight = [&](const std::string& name, int values) {
      return name.empty() ? DeviceFloats() : uploaded(build.checkpoint.floats(name, {values}));
    };
    q_norm_ = weight(c.q_norm, c.headdim), k_norm_ = weight(c.k_norm, c.headdim), sinks_ = weight(c.sinks, c.heads);
    std::vector<uint64_t> turns;
    for (const double radians : c.rope) {
      const double whole = radians / (2 * std::numbers::pi), fraction = whole - std::floor(whole);
      turns.push_back(uint64_t(std::ldexp(fraction, 52)) << 12);
    }
    turns_.upload(turns);
  }

  size_t scratch_floats(const Extent& e) const override {
    return 2 * Scratch::aligned(e.rows() * size_t(q_.d_out)) + 2 * Scratch::aligned(e.rows() * size_t(k_.d_out));
  }

  void run(const Segment& s, const float* in, float* out) const override {
    const size_t rows = s.plan.rows();
    Scratch scratch(s.scratch);
    float *q = scratch.take(rows * size_t(q_.d_out)), *k = scratch.take(rows * size_t(k_.d_out));
    float *v = scratch.take(rows * size_t(v_.d_out)), *y = scratch.take(rows * size_t(q_.d_out));
    run_linear(q_, in, width_in, q, q_.d_out, rows, false, s.stream);
    run_linear(k_, in, width_in, k, k_.d_out, rows, false, s.stream);
    run_linear(v_, in, width_in, v, v_.d_out, rows, false, s.stream);
    prepare(s, q, config_.heads, q_norm_);
    prepare(s, k, config_.kv_heads, k_norm_);
    const AttentionArguments arguments{config_.heads,
                                       config_.kv_heads,
                                       config_.headdim,
                                       config_.window,
                                       float(config_.score_scale),
                                       config_.soft_cap,
                                       sinks_.data(),
                                       q,
                                       k,
                                       v,
                                       y,
                                       s.table,
                                       keys_at_,
                                       values_at_,
                                       position_at_,
                                       s.table_stride};
    run_kernels(arguments, s);
    run_linear(o_, y, q_.d_out, out, width_out, rows, false, s.stream);
  }

 private:
  void prepare(const Segment& s, float* values, int heads, const DeviceFloats& norm) const {
    if (norm.size() == 0 && turns_.size() == 0) return;
    const HeadArguments arguments{norm.data(), config_.norm_eps, turns_.data(), int(turns_.size()),
                                  float(config_.rope_scale)};
    launch(prepare_heads, blocks_of(s.plan.rows() * size_t(heads) * 32, kElementThreads), kElementThreads, 0, s.stream,
           arguments, values, heads, config_.headdim, s.table, position_at_, s.table_stride, s.plan.chunks,
           s.plan.chunk_frames, s.plan.rows());
  }

  void run_kernels(const AttentionArguments& arguments, const Segment& s) const {
    const unsigned parts = blocks_of(size_t(s.plan.chunk_frames), kQueries);
    with_width(precision_, config_.headdim, [&]<Precision kPrecision, int kSteps>() {
      const size_t bytes = AttentionShared<kSteps>::kFloats * sizeof(float);
      check(cudaFuncSetAttribute(attend<kPrecision, kSteps>, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes)),
            "preparing a kernel");
      launch(attend<kPrecision, kSteps>, unsigned(s.plan.chunk_count) * parts * unsigned(config_.heads),
             32 * kAttentionWarps, bytes, s.stream, arguments, s.plan.chunks, s.plan.chunk_frames, int(parts));
    });
    const size_t values = size_t(config_.kv_heads) * size_t(config_.window) * size_t(config_.headdim);
    const unsigned ring_parts = std::min(blocks_of(values, kElementThreads), 64u);
    launch(remember_keys, unsigned(s.plan.signal_count) * ring_parts, kElementThreads, 0, s.stream, arguments,
           s.plan.signals, s.plan.chunks, s.plan.chunk_frames, int(ring_parts));
  }

  ssm::AttentionConfig config_;
  Precision precision_;
  Linear q_, k_, v_, o_;
  size_t keys_at_, values_at_, position_at_;
  DeviceFloats q_norm_, k_norm_, sinks_;
  Array<uint64_t> turns_;
};

}  // namespace

std::unique_ptr<Part> make_attention(const ssm::AttentionConfig& config, const ssm::PartTraits& traits,
                                     const Build& build) {
  return std::make_unique<AttentionPart>(config, traits, build);
}

}  // namespace coil::gpu
