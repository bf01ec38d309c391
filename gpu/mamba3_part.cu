// Mamba-3: projections, step sizes and speeds of rotation in float64, norms, recurrence, gate.
#include "gpu/mamba3_part.h"

#include <cmath>

#include "gpu/elements.cuh"
#include "gpu/linear.h"
#include "gpu/mamba3.h"

namespace coil::gpu {
namespace {

constexpr float kNormEps = 1e-5f;  // for B, C and the heads; a constant upstream

// ---- steps: per row from the inputs on in float64, because an angle sums up the rounding errors of all frames

struct StepArguments {
  const float* x;  // [row][d_model]
  int d_model, heads, angles;
  const double* weight;   // (d_model, 3 heads + angles): of dt, a, s, angles; with the weights of the norm before it
  const double* dt_bias;  // (heads)
  bool normalise, softplus_rate;
  double eps, a_floor;
  double *dt, *speed;           // [row][heads]; [row][angles]: turns per frame and dt
  float *decay, *gamma, *beta;  // [row][heads]: log2 of the decay; weights of this frame and the frame before

  __host__ __device__ int width() const { return 3 * heads + angles; }
};

__device__ double softplus_double(double x) { return x > 30 ? x : log1p(exp(x)); }

constexpr int kStepThreads = 128, kStepRows = 8;  // kStepRows: of a block

// The steps of one head from its projected values.
__device__ void store_steps(const StepArguments& s, size_t at, int head, double dt_in, double a, double share) {
  const double dt = softplus_double(dt_in + s.dt_bias[head]);
  const double rate = s.softplus_rate ? softplus_double(a) : a >= 0 ? 1 + a : 1 / (1 - a);
  s.dt[at] = dt;
  s.decay[at] = float(-fmax(rate, s.a_floor) * dt * 1.4426950408889634);
  s.gamma[at] = float(dt / (1 + exp(-share)));
  s.beta[at] = float(dt / (1 + exp(share)));
}

// A block per kStepRows rows, a thread per output. Shared memory: the rows' scales, then their projected dt, a and s.
__global__ void __launch_bounds__(kStepThreads) mamba3_steps(StepArguments s, size_t rows) {
  __shared__ double scales[kStepRows];
  double* projected = reinterpret_cast<double*>(dynamic_shared());  // [row][3 heads]
  const size_t first = size_t(blockIdx.x) * kStepRows;
  const int count = int(min(size_t(kStepRows), rows - first)), warp = int(threadIdx.x) / 32,
            lane = int(threadIdx.x) % 32;
  for (int r = warp; r < count; r += kStepThreads / 32) {
    double sum = 0;
    const float* x = s.x + (first + size_t(r)) * size_t(s.d_model);
    if (s.normalise)
      for (int k = lane; k < s.d_model; k += 32) sum += double(x[k]) * double(x[k]);
    for (int other = 16; other > 0; other /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, other);
    if (lane == 0) scales[r] = s.normalise ? 1 / sqrt(sum / s.d_model + s.eps) : 1.0;
  }
  __syncthreads();
  const int width = s.width(), heads3 = 3 * s.heads;
  for (int o = int(threadIdx.x); o < width; o += kStepThreads) {
    double sums[kStepRows] = {};
    for (int k = 0; k < s.d_model; ++k) {
      const double weight = s.weight[size_t(k) * size_t(width) + size_t(o)];
#pragma unroll
      for (int r = 0; r < kStepRows; ++r)
        sums[r] += weight * double(s.x[(first + size_t(min(r, count - 1))) * size_t(s.d_model) + size_t(k)]);
    }
#pragma unroll
    for (int r = 0; r < kStepRows; ++r) {
      if (r >= count) continue;
      const double value = sums[r] * scales[r];
      if (o < heads3)
        projected[r * heads3 + o] = value;
      else
        s.speed[(first + size_t(r)) * size_t(s.angles) + size_t(o - heads3)] = 0.5 * tanh(value);
    }
  }
  __syncthreads();
  for (int i = int(threadIdx.x); i < count * s.heads; i += kStepThreads) {
    const int r = i / s.heads, head = i % s.heads;
    const double* values = projected + r * heads3 + head;
    store_steps(s, (first + size_t(r)) * size_t(s.heads) + size_t(head), head, values[0], values[s.heads],
                values[2 * s.heads]);
  }
}

// ---- the part

Array<double> uploaded_doubles(const std::vector<double>& values) {
  Array<double> array;
  array.upload(values);
  return array;
}

class Mamba3Part final : public Part {
 public:
  Mamba3Part(const ssm::Mamba3Config& c, const ssm::PlannedPart& place, const Build& build)
      : Part(c.d_model, c.d_model),
        config_(c),
        precision_(build.precision),
        norm_(place.norm),
        in_proj_(projection(c), norm_ ? &*norm_ : nullptr, build.precision, build.checkpoint),
        out_proj_({c.name + ".out_proj", c.d_inner(), c.d_model, false}, nullptr, build.precision, build.checkpoint) {
    if (c.d_state > kMamba3States || c.rank > kMamba3Ranks)
      throw Error(build.checkpoint.source() + ": the GPU runs Mamba-3 with at most " + std::to_string(kMamba3States) +
                  " states and rank " + std::to_string(kMamba3Ranks) + ", not " + std::to_string(c.d_state) + " and " +
                  std::to_string(c.rank) + "; run the model on the CPU");
    const auto add = [&](const char* name) { return build.states.add(place.traits.region(name)); };
    ssm_at_ = add("ssm"), k_at_ = add("k"), v_at_ = add("v"), angle_at_ = add("angle"), rest_at_ = add("angle_rest");
    load(build.checkpoint);
  }

  size_t scratch_floats(const Extent& e) const override {
    const size_t rows = e.rows(), heads = size_t(config_.heads), inner = size_t(config_.d_inner());
    return aligned(rows * size_t(in_proj_.d_out)) + 2 * aligned(2 * rows * heads) +
           aligned(2 * rows * size_t(config_.angles)) + 3 * aligned(rows * heads) +
           aligned(rows * size_t(config_.rank) * inner) + aligned(rows * inner) + Mamba3Scratch::floats(e, arguments());
  }

  void run(const Segment& s, const float* in, float* out) const override {
    const size_t rows = s.plan.rows(), heads = size_t(config_.heads);
    const int inner = config_.d_inner(), bc = config_.bc_width(), width = in_proj_.d_out;
    Scratch scratch(s.scratch);
    float* projected = scratch.take(rows * size_t(width));
    StepArguments steps = step_arguments(in);
    steps.dt = reinterpret_cast<double*>(scratch.take(2 * rows * heads));
    steps.speed = reinterpret_cast<double*>(scratch.take(2 * rows * size_t(config_.angles)));
    steps.decay = scratch.take(rows * heads), steps.gamma = scratch.take(rows * heads),
    steps.beta = scratch.take(rows * heads);
    float *y = scratch.take(rows * size_t(config_.rank * inner)), *gated = scratch.take(rows * size_t(inner));

    run_linear(in_proj_, in, width_in, projected, width, rows, false, s.stream);
    launch(mamba3_steps, blocks_of(rows, kStepRows), kStepThreads, size_t(kStepRows) * 3 * heads * sizeof(double),
           s.stream, steps, rows);
    float* B = projected + 2 * inner;
    run_rms_norm(bc_norm_.data(), kNormEps, 2 * config_.rank * config_.ngroups, config_.d_state, B, width, B, width,
                 rows, s.stream);
    const bool gates = config_.outproj_norm || !gates_mamba3(config_.rank, config_.mimo);  // after the recurrence
    Mamba3Arguments m = arguments();
    m.dt = steps.dt, m.speed = steps.speed, m.decay = steps.decay, m.gamma = steps.gamma, m.beta = steps.beta;
    m.B = B, m.C = B + bc, m.bc_stride = width, m.x = projected + inner, m.x_stride = width;
    m.z = gates ? nullptr : projected, m.z_stride = width, m.y = y;
    m.table = s.table, m.table_stride = s.table_stride;
    run_mamba3(m, precision_, Mamba3Scratch(scratch.take(0), s.plan.extent(), m), s.plan, s.stream);
    if (gates)
      run_mamba3_gate({config_.heads, config_.headdim, config_.rank, y, projected, width, out_norm_.data(), kNormEps,
                       mimo_z_.data(), mimo_o_.data(), gated},
                      rows, s.stream);
    run_linear(out_proj_, gates ? gated : y, inner, out, width_out, rows, false, s.stream);
  }

 private:
  static size_t aligned(size_t floats) { return Scratch::aligned(floats); }

  // z, x, B and C; the other rows of upstream's projection are the steps'.
  static ssm::LinearConfig projection(const ssm::Mamba3Config& c) {
    ssm::LinearConfig linear{c.name + ".in_proj", c.d_model, 2 * c.d_inner() + 2 * c.bc_width(), false};
    linear.tensor_rows = c.d_in_proj();
    return linear;
  }

  void load(const ssm::Checkpoint& checkpoint) {
    const ssm::Mamba3Config& c = config_;
    const int64_t heads = c.heads, rank = c.rank, states = c.d_state, width = c.headdim;
    const auto tensor = [&](const char* name, const std::vector<int64_t>& shape) {
      return checkpoint.floats(c.name + name, shape);
    };
    D_ = uploaded(tensor(".D", {heads}));
    std::vector<float> norms;
    for (const char* name : {".B_norm.weight", ".C_norm.weight"})
      for (int i = 0; i < c.rank * c.ngroups; ++i) {
        const std::vector<float> weight = tensor(name, {states});
        norms.insert(norms.end(), weight.begin(), weight.end());
      }
    bc_norm_ = uploaded(norms);
    B_bias_ = uploaded(tensor(".B_bias", {heads, rank, states}));
    C_bias_ = uploaded(tensor(".C_bias", {heads, rank, states}));
    if (c.mimo) {
      mimo_x_ = uploaded(tensor(".mimo_x", {heads, rank, width}));
      mimo_z_ = uploaded(tensor(".mimo_z", {heads, rank, width}));
      mimo_o_ = uploaded(tensor(".mimo_o", {heads, rank, width}));
    }
    if (c.outproj_norm) out_norm_ = uploaded(tensor(".norm.weight", {c.d_inner()}));
    load_steps(checkpoint);
  }

  // The last rows of upstream's projection, transposed, times the weights of the norm.
  void load_steps(const ssm::Checkpoint& checkpoint) {
    const size_t model = size_t(config_.d_model), all = size_t(config_.d_in_proj()),
                 width = 3 * size_t(config_.heads) + size_t(config_.angles);
    const auto weight = checkpoint.doubles(config_.name + ".in_proj.weight", {config_.d_in_proj(), config_.d_model});
    std::vector<double> scale(model, 1.0), packed;
    if (norm_ && norm_->affine) scale = checkpoint.doubles(norm_->name + ".weight", {config_.d_model});
    for (size_t k = 0; k < model; ++k)
      for (size_t o = 0; o < width; ++o) packed.push_back(weight[(all - width + o) * model + k] * scale[k]);
    step_weight_ = uploaded_doubles(packed);
    dt_bias_ = uploaded_doubles(checkpoint.doubles(config_.name + ".dt_bias", {config_.heads}));
  }

  StepArguments step_arguments(const float* in) const {
    StepArguments s{};
    s.x = in, s.d_model = config_.d_model, s.heads = config_.heads, s.angles = config_.angles;
    s.weight = step_weight_.data(), s.dt_bias = dt_bias_.data();
    s.normalise = norm_.has_value(), s.eps = norm_ ? double(norm_->eps) : 0.0;
    s.softplus_rate = config_.decay_rate == ssm::DecayRate::softplus, s.a_floor = double(config_.a_floor);
    return s;
  }

  // Leaves the pointers to rows unset.
  Mamba3Arguments arguments() const {
    Mamba3Arguments m{};
    m.heads = config_.heads, m.headdim = config_.headdim, m.d_state = config_.d_state, m.groups = config_.ngroups;
    m.rank = config_.rank, m.angles = config_.angles, m.halves = config_.mimo;
    m.B_bias = B_bias_.data(), m.C_bias = C_bias_.data(), m.mimo_x = mimo_x_.data(), m.D = D_.data();
    m.mimo_z = mimo_z_.data(), m.mimo_o = mimo_o_.data();
    m.ssm_at = ssm_at_, m.k_at = k_at_, m.v_at = v_at_, m.angle_at = angle_at_, m.rest_at = rest_at_;
    return m;
  }

  ssm::Mamba3Config config_;
  Precision precision_;
  std::optional<ssm::RmsNormConfig> norm_;
  Linear in_proj_, out_proj_;
  size_t ssm_at_ = 0, k_at_ = 0, v_at_ = 0, angle_at_ = 0, rest_at_ = 0;
  Array<double> step_weight_, dt_bias_;
  DeviceFloats D_, bc_norm_, B_bias_, C_bias_, mimo_x_, mimo_z_, mimo_o_, out_norm_;
};

}  // namespace

std::unique_ptr<Part> make_mamba3(const ssm::Mamba3Config& config, const ssm::PlannedPart& place, const Build& build) {
  return std::make_unique<Mamba3Part>(config, place, build);
}

}  // namespace coil::gpu
