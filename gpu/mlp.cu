// MLPs: down(f(gate(x)) * up(x)). Mixtures of experts: a router chooses a few MLPs for each row. Source: Shazeer et al.
// 2017, eq. 1; ssm/model/routing.h has the choice for one row.
#include "gpu/mlp.h"

#include <optional>

#include "gpu/elements.cuh"
#include "gpu/linear.h"

namespace coil::gpu {
namespace {

class Mlp {
 public:
  Mlp(const ssm::MlpConfig& c, const Build& build)
      : activation_(c.activation),
        up_(c.up, nullptr, build.precision, build.checkpoint),
        down_(c.down, nullptr, build.precision, build.checkpoint) {
    if (c.gate) gate_.emplace(*c.gate, nullptr, build.precision, build.checkpoint);
  }

  size_t scratch_floats(size_t rows) const { return (gate_ ? 2 : 1) * Scratch::aligned(rows * size_t(up_.d_out)); }

  void run(const float* in, float* out, size_t rows, bool accumulate, float* scratch, cudaStream_t stream) const {
    const int width = up_.d_out;
    Scratch space(scratch);
    float *up = space.take(rows * size_t(width)), *gate = gate_ ? space.take(rows * size_t(width)) : nullptr;
    run_linear(up_, in, up_.d_in, up, width, rows, false, stream);
    if (gate_) run_linear(*gate_, in, up_.d_in, gate, width, rows, false, stream);
    run_activation(activation_, gate ? gate : up, width, gate ? up : nullptr, width, up, width, width, rows, stream);
    run_linear(down_, up, width, out, down_.d_out, rows, accumulate, stream);
  }

 private:
  ssm::Activation activation_;
  std::optional<Linear> gate_;
  Linear up_, down_;
};

class MlpPart final : public Part {
 public:
  MlpPart(const ssm::MlpConfig& c, const Build& build) : Part(c.up.d_in, c.down.d_out), mlp_(c, build) {}
  size_t scratch_floats(const Extent& e) const override { return mlp_.scratch_floats(e.rows()); }
  void run(const Segment& s, const float* in, float* out) const override {
    mlp_.run(in, out, s.plan.rows(), false, s.scratch, s.stream);
  }

 private:
  Mlp mlp_;
};

// ---- the choice of experts

constexpr float kOut = -1e30f, kChosen = 2 * kOut;  // the rank of an expert that is excluded; of one that was chosen

struct RouteArguments {
  ssm::Routing routing;
  int experts, top_k, groups, groups_chosen;
  bool normalised;
  float weight_scale;
  const float* correction;  // per expert; null: none
  float* weights;           // [row][experts]: in, the router's values; out, the weights, 0 for experts not chosen
  float* ranks;             // [row][experts + groups]: scratch
  int* counts;              // per expert: the number of rows that chose it is added
};

// Excludes the experts of all groups but the best ones; a group is ranked by its two best experts. Source: DeepSeek-AI
// 2024 (DeepSeek-V3), sec. 2.1.2.
__device__ void leave_groups_out(const RouteArguments& r, float* ranks) {
  const int size = r.experts / r.groups;
  float* values = ranks + r.experts;
  for (int g = 0; g < r.groups; ++g) {
    float first = kOut, second = kOut;
    for (int i = g * size; i < (g + 1) * size; ++i) {
      if (ranks[i] > first)
        second = first, first = ranks[i];
      else if (ranks[i] > second)
        second = ranks[i];
    }
    values[g] = size > 1 ? first + second : first;
  }
  for (int g = 0; g < r.groups; ++g) {
    int better = 0;
    for (int other = 0; other < r.groups; ++other)
      better += values[other] > values[g] || (values[other] == values[g] && other < g);
    for (int i = g * size; better >= r.groups_chosen && i < (g + 1) * size; ++i) ranks[i] = kOut;
  }
}

// The weights before normalisation: softmax over all experts or the chosen ones, or the values themselves.
__device__ float softmax_sum(const RouteArguments& r, const float* values, const float* ranks, float& most) {
  const auto counts = [&](int i) { return r.routing == ssm::Routing::softmax || ranks[i] == kChosen; };
  float sum = 0;
  most = -INFINITY;
  for (int i = 0; i < r.experts; ++i)
    if (counts(i)) most = fmaxf(most, values[i]);
  for (int i = 0; i < r.experts; ++i)
    if (counts(i)) sum += expf(values[i] - most);
  return sum;
}

// One thread per row.
__global__ void __launch_bounds__(kElementThreads) route_rows(RouteArguments r, size_t rows) {
  const size_t row = size_t(blockIdx.x) * kElementThreads + threadIdx.x;
  if (row >= rows) return;
  float *values = r.weights + row * size_t(r.experts), *ranks = r.ranks + row * size_t(r.experts + r.groups);
  for (int i = 0; i < r.experts; ++i) {
    if (r.routing == ssm::Routing::sigmoid) values[i] = 1.0f / (1.0f + expf(-values[i]));
    ranks[i] = values[i] + (r.correction ? r.correction[i] : 0.0f);
  }
  if (r.groups > 1) leave_groups_out(r, ranks);
  for (int k = 0; k < r.top_k; ++k) {
    int best = 0;
    for (int i = 1; i < r.experts; ++i)
      if (ranks[i] > ranks[best]) best = i;
    ranks[best] = kChosen;
  }
  float most = 0, sum = 0, total = 0;
  if (r.routing != ssm::Routing::sigmoid) sum = softmax_sum(r, values, ranks, most);
  for (int i = 0; i < r.experts; ++i) {
    if (ranks[i] != kChosen)
      values[i] = 0;
    else if (r.routing != ssm::Routing::sigmoid)
      values[i] = expf(values[i] - most) / sum;
    total += values[i];
  }
  const float scale = r.weight_scale / (r.normalised ? total + 1e-20f : 1.0f);
  for (int i = 0; i < r.experts; ++i) {
    values[i] *= scale;
    if (values[i] != 0) atomicAdd(r.counts + i, 1);
  }
}

constexpr int kListThreads = 1024;

// Lists the rows that chose the expert, in order. One block.
__global__ void __launch_bounds__(kListThreads) list_rows(const float* weights, int experts, size_t rows, int* list) {
  __shared__ int warp_counts[kListThreads / 32];
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
  int listed = 0;
  for (size_t first = 0; first < rows; first += kListThreads) {
    const size_t row = first + threadIdx.x;
    const bool chosen = row < rows && weights[row * size_t(experts)] != 0;
    const unsigned lanes = __ballot_sync(0xffffffffu, chosen);
    if (lane == 0) warp_counts[warp] = __popc(lanes);
    __syncthreads();
    int at = listed + __popc(lanes & ((1u << lane) - 1));
    for (int i = 0; i < kListThreads / 32; ++i) {
      if (i < warp) at += warp_counts[i];
      listed += warp_counts[i];
    }
    if (chosen) list[at] = int(row);
    __syncthreads();
  }
}

// to[i] = from[list[i]]
void gather_rows(const float* from, const int* list, float* to, size_t count, int width, cudaStream_t stream) {
  const ConstRows in{from, width};
  const Rows out{to, width};
  for_each_element(count, width, stream, [=] __device__(size_t i, int c) { out.at(i, c) = in.at(size_t(list[i]), c); });
}

// to[list[i]] += weights[list[i]] from[i]; weights are `stride` apart.
void add_rows(const float* from, const int* list, const float* weights, int stride, float* to, size_t count, int width,
              cudaStream_t stream) {
  const ConstRows in{from, width}, weight{weights, stride};
  const Rows out{to, width};
  for_each_element(count, width, stream, [=] __device__(size_t i, int c) {
    const size_t row = size_t(list[i]);
    out.at(row, c) = fmaf(weight.at(row, 0), in.at(i, c), out.at(row, c));
  });
}

class MoePart final : public Part {
 public:
  MoePart(const ssm::MoeConfig& c, const Build& build)
      : Part(c.d_model, c.d_model),
        config_(c),
        // Float32: rounded weights of the router could change the choice of experts.
        router_(c.router, nullptr, Precision::float32, build.checkpoint),
        host_counts_(c.experts.size()) {
    if (!c.correction.empty())
      correction_ = uploaded(build.checkpoint.floats(c.correction, {int64_t(c.experts.size())}));
    for (const ssm::MlpConfig& expert : c.experts) experts_.emplace_back(expert, build);
    if (c.shared) shared_.emplace(*c.shared, build);
    if (c.latent_in) latent_in_.emplace(*c.latent_in, nullptr, build.precision, build.checkpoint);
    if (c.latent_out) latent_out_.emplace(*c.latent_out, nullptr, build.precision, build.checkpoint);
    width_ = latent_in_ ? latent_in_->d_out : c.d_model;
  }

  size_t scratch_floats(const Extent& e) const override {
    const size_t rows = e.rows(), experts = experts_.size();
    size_t mlp = shared_ ? shared_->scratch_floats(rows) : 0;
    for (const Mlp& expert : experts_) mlp = std::max(mlp, expert.scratch_floats(rows));
    return Scratch::aligned(rows * experts) + Scratch::aligned(rows * (experts + size_t(config_.groups))) +
           4 * Scratch::aligned(rows * size_t(width_)) + Scratch::aligned(rows) + Scratch::aligned(experts) + mlp;
  }

  void run(const Segment& s, const float* in, float* out) const override {
    const size_t rows = s.plan.rows(), experts = experts_.size(), floats = rows * size_t(width_);
    Scratch scratch(s.scratch);
    float *weights = scratch.take(rows * experts), *ranks = scratch.take(rows * (experts + size_t(config_.groups)));
    float *narrow = scratch.take(floats), *sum = scratch.take(floats);
    const Space space{scratch.take(floats), scratch.take(floats), reinterpret_cast<int*>(scratch.take(rows)),
                      reinterpret_cast<int*>(scratch.take(experts)), scratch.take(0)};
    run_linear(router_, in, width_in, weights, int(experts), rows, false, s.stream);
    choose(weights, ranks, space.counts, rows, s.stream);
    if (latent_in_) run_linear(*latent_in_, in, width_in, narrow, width_, rows, false, s.stream);
    float* to = latent_out_ ? sum : out;
    check(cudaMemsetAsync(to, 0, floats * sizeof(float), s.stream), "clearing memory");
    for (size_t e = 0; e < experts; ++e)
      if (host_counts_.data()[e] > 0) run_expert(e, latent_in_ ? narrow : in, weights, rows, space, to, s.stream);
    if (latent_out_) run_linear(*latent_out_, sum, width_, out, width_out, rows, false, s.stream);
    if (shared_) shared_->run(in, out, rows, true, space.mlp, s.stream);
  }

 private:
  struct Space {
    float *gathered, *made;
    int *list, *counts;
    float* mlp;
  };

  // Turns the router's values into weights. Waits for the number of rows of each expert.
  void choose(float* weights, float* ranks, int* counts, size_t rows, cudaStream_t stream) const {
    const size_t bytes = experts_.size() * sizeof(int);
    check(cudaMemsetAsync(counts, 0, bytes, stream), "clearing memory");
    const RouteArguments route{config_.routing,
                               int(experts_.size()),
                               config_.top_k,
                               config_.groups,
                               config_.groups_chosen,
                               config_.normalised,
                               float(config_.weight_scale),
                               correction_.data(),
                               weights,
                               ranks,
                               counts};
    launch(route_rows, blocks_of(rows, kElementThreads), kElementThreads, 0, stream, route, rows);
    check(cudaMemcpyAsync(host_counts_.data(), counts, bytes, cudaMemcpyDeviceToHost, stream), "copying counts");
    check(cudaStreamSynchronize(stream), "running on the GPU");
  }

  // Runs all rows that chose this expert at once.
  void run_expert(size_t e, const float* x, const float* weights, size_t rows, const Space& space, float* sum,
                  cudaStream_t stream) const {
    const size_t count = size_t(host_counts_.data()[e]), experts = experts_.size();
    launch(list_rows, 1, kListThreads, 0, stream, weights + e, int(experts), rows, space.list);
    gather_rows(x, space.list, space.gathered, count, width_, stream);
    experts_[e].run(space.gathered, space.made, count, false, space.mlp, stream);
    add_rows(space.made, space.list, weights + e, int(experts), sum, count, width_, stream);
  }

  ssm::MoeConfig config_;
  Linear router_;
  PinnedArray<int> host_counts_;
  DeviceFloats correction_;
  std::vector<Mlp> experts_;
  std::optional<Mlp> shared_;
  std::optional<Linear> latent_in_, latent_out_;
  int width_ = 0;
};

}  // namespace

std::unique_ptr<Part> make_mlp(const ssm::MlpConfig& config, const Build& build) {
  return std::make_unique<MlpPart>(config, build);
}
std::unique_ptr<Part> make_moe(const ssm::MoeConfig& config, const Build& build) {
  return std::make_unique<MoePart>(config, build);
}

}  // namespace coil::gpu
