// Golden files: reads networks and operators with their expected values, runs them through every execution, and
// measures the errors.
#include "ssm/verify/golden.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/error.h"
#include "ssm/model/description.h"
#include "ssm/run/model.h"
#include "ssm/run/ops.h"
#include "ssm/verify/reference.h"
#include "ssm/model/safetensors.h"
#include "ssm/run/scan.h"
#include "ssm/run/stream.h"

namespace coil::ssm {
namespace {

constexpr std::array kNames = {std::pair{GoldenExecution::reference, "reference"},
                               std::pair{GoldenExecution::step, "step"}, std::pair{GoldenExecution::block, "block"},
                               std::pair{GoldenExecution::scan, "scan"}};

// Block sizes as a host that announces nothing may send them: single frames, odd sizes, one larger than any golden
// chunk.
constexpr std::array<size_t, 10> kBlocks = {1, 2, 3, 5, 64, 7, 33, 1, 16, 129};

// Chunks far below, near and above the golden lengths; segments that are not multiples of the chunk.
constexpr std::array<ScanOptions, 3> kScans = {
    ScanOptions{.chunk_frames = 7, .segment_frames = 50, .threads = 2},
    ScanOptions{.chunk_frames = 64, .segment_frames = 65536, .threads = 2},
    ScanOptions{.chunk_frames = 1024, .segment_frames = 65536, .threads = 2},
};

std::vector<double> widened(std::span<const float> x) { return {x.begin(), x.end()}; }

// Calls back with (begin, count) for one block after another.
void for_each_block(size_t frames, std::span<const size_t> sizes, const std::function<void(size_t, size_t)>& call) {
  for (size_t begin = 0, i = 0; begin < frames; ++i) {
    const size_t count = std::min(sizes[i % sizes.size()], frames - begin);
    call(begin, count);
    begin += count;
  }
}

// The columns [begin, begin + count) of rows that are `frames` long.
std::vector<float> columns(std::span<const float> rows, size_t frames, size_t begin, size_t count) {
  std::vector<float> out;
  for (size_t row = 0; row < rows.size() / frames; ++row) {
    const auto from = rows.begin() + static_cast<std::ptrdiff_t>(row * frames + begin);
    out.insert(out.end(), from, from + static_cast<std::ptrdiff_t>(count));
  }
  return out;
}

// The output of one execution for one batch entry.
struct Trace {
  std::vector<double> output;
  std::vector<NamedDoubles> states;
};

double softplus(double x) { return x > 30 ? x : std::log1p(std::exp(x)); }
double silu(double x) { return x / (1 + std::exp(-x)); }

// Largest |found - expected|; infinite if a value is not finite. `period`: see StateRegion.
double largest_difference(std::span<const double> found, std::span<const double> expected, double period) {
  double worst = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    const double apart = found[i] - expected[i];
    const double difference = std::abs(period > 0 ? std::remainder(apart, period) : apart);
    if (!std::isfinite(difference)) return std::numeric_limits<double>::infinity();
    worst = std::max(worst, difference);
  }
  return worst;
}

}  // namespace

// The expected values, and the operations that differ between networks and operators.
struct Golden::Case {
  using Report = std::function<void(size_t entry, const Trace&)>;

  // A tensor whose first axis is the batch, and its largest magnitude.
  struct Expected {
    std::string name;
    std::vector<int64_t> shape;
    std::vector<double> values;
    double scale = 1;   // max(1, peak)
    double period = 0;  // see StateRegion

    std::span<const double> entry(size_t i) const {
      const size_t n = values.size() / static_cast<size_t>(shape[0]);
      return std::span(values).subspan(i * n, n);
    }
  };

  std::string source;
  Safetensors data;
  std::vector<std::string> warnings;
  size_t batch = 0, frames = 0;
  Expected output;
  std::optional<Expected> output_step;
  std::vector<Expected> states;

  Case(std::string name, Safetensors file) : source(std::move(name)), data(std::move(file)) {}
  virtual ~Case() = default;

  // Names and shapes (without batch) of every state that a complete file contains.
  virtual std::vector<NamedDoubles> state_shapes() const = 0;
  // Runs every entry in every variant of the execution. The reference ignores `target`.
  virtual void run(GoldenExecution execution, const Target& target, const Report& report) const = 0;
  virtual void run(const GoldenBackend& backend, const Report& report) const = 0;

  [[noreturn]] void fail(const std::string& what) const { throw Error(source + ": " + what); }

  const Tensor* find(const std::string& name) const {
    const auto found = data.tensors().find(name);
    return found == data.tensors().end() ? nullptr : &found->second;
  }

  const Tensor& tensor(const std::string& name) const {
    const Tensor* found = find(name);
    if (!found) fail("tensor " + name + " is missing");
    return *found;
  }

  const Tensor& tensor(const std::string& name, const std::vector<int64_t>& shape) const {
    const Tensor& found = tensor(name);
    if (found.shape != shape)
      fail("tensor " + name + " has shape " + to_string(found.shape) + ", expected " + to_string(shape));
    return found;
  }

  std::vector<float> floats(const std::string& name, const std::vector<int64_t>& shape) const {
    return tensor(name, shape).to_floats();
  }

  std::vector<float> floats_if(const std::string& name, const std::vector<int64_t>& shape) const {
    return find(name) ? floats(name, shape) : std::vector<float>();
  }

  Expected expected(const std::string& name, const std::vector<int64_t>& shape) const {
    Expected result{name, shape, tensor(name, shape).to_doubles(), 1};
    for (double v : result.values) {
      if (!std::isfinite(v))
        fail("tensor " + name + " holds a value that is not finite, nothing can be compared with it");
      result.scale = std::max(result.scale, std::abs(v));
    }
    return result;
  }

  void set_size(int64_t entries, int64_t length) {
    if (entries < 1 || length < 1) fail("input holds no frames, shape " + to_string(tensor("input").shape));
    batch = static_cast<size_t>(entries);
    frames = static_cast<size_t>(length);
  }

  // Call this when batch and frames are known.
  void read_expected(const std::vector<int64_t>& output_shape) {
    output = expected("output", output_shape);
    if (find("output_step")) output_step = expected("output_step", output_shape);
    const std::vector<NamedDoubles> known = state_shapes();
    for (const auto& entry : data.tensors()) {
      const std::string& name = entry.first;
      if (!name.starts_with("state.")) continue;
      const auto state =
          std::find_if(known.begin(), known.end(), [&](const NamedDoubles& s) { return s.name == name; });
      if (state == known.end()) fail("tensor " + name + " is not a state of this model");
      std::vector<int64_t> shape{static_cast<int64_t>(batch)};
      shape.insert(shape.end(), state->shape.begin(), state->shape.end());
      states.push_back(expected(name, shape));
      states.back().period = state->period;
    }
  }

  GoldenErrors compare(size_t entry, const Trace& trace) const {
    const auto error = [&](const Expected& wanted, const std::vector<double>& found) {
      const auto values = wanted.entry(entry);
      if (found.size() != values.size())
        fail(wanted.name + " has " + std::to_string(found.size()) + " values an entry, expected " +
             std::to_string(values.size()));
      return largest_difference(found, values, wanted.period) / wanted.scale;
    };
    GoldenErrors errors;
    errors.output = error(output, trace.output);
    if (output_step) errors.output_step = error(*output_step, trace.output);
    for (const Expected& wanted : states) {
      const auto state = std::find_if(trace.states.begin(), trace.states.end(),
                                      [&](const NamedDoubles& s) { return s.name == wanted.name; });
      if (state == trace.states.end()) fail("the engine has no state " + wanted.name);
      const double e = error(wanted, state->values);
      if (errors.worst_state.empty() || e > errors.state) {
        errors.state = e;
        errors.worst_state = wanted.name;
      }
    }
    return errors;
  }
};

namespace {

// A trained network: frames or tokens in, frames or logits out.
struct NetworkCase final : Golden::Case {
  Checkpoint checkpoint;
  bool tokens;
  size_t d_input, d_output;
  std::vector<double> input;       // (batch, frames, d_input)
  std::vector<int32_t> token_ids;  // (batch, frames)
  std::vector<NamedDoubles> zero_state;

  NetworkCase(const Checkpoint& model, const std::filesystem::path& file, int window)
      : Case(file.string(), Safetensors::open(file)), checkpoint(model) {
    const Tensor& in = tensor("input");
    if (window == 0 && in.shape.size() >= 2) window = int(std::clamp<int64_t>(in.shape[1], 1, kMaxWindow));
    if (window > 0) checkpoint = checkpoint.with_window(window);
    const Checkpoint counted = checkpoint.counting_reads();
    const Description description = describe(counted);
    const ModelConfig& config = description.config;
    zero_state = Reference(counted).state();
    warnings = load_warnings(description, counted);
    tokens = config.input_kind == InputKind::token_ids;
    d_input = static_cast<size_t>(config.d_input);
    d_output = static_cast<size_t>(config.d_output);

    if (in.shape.size() != (tokens ? 2 : 3) || (!tokens && in.shape[2] != config.d_input))
      fail("input has shape " + to_string(in.shape) + ", expected " +
           (tokens ? "token ids (batch, frames)" : "(batch, frames, " + std::to_string(config.d_input) + ")"));
    set_size(in.shape[0], in.shape[1]);
    for (const auto& [name, found] : data.tensors())
      if (name.starts_with("initial_state."))
        fail(name + ": a network starts from zero, initial states belong to operator files");
    if (tokens) {
      token_ids = in.to_ints();
      check_token_ids(config.embedding->vocab);
    } else {
      input = in.to_doubles();
    }
    read_expected({in.shape[0], in.shape[1], config.d_output});
  }

  std::vector<NamedDoubles> state_shapes() const override { return zero_state; }

  // The engine would replace an invalid token, and every comparison would be meaningless.
  void check_token_ids(int vocab) const {
    for (size_t i = 0; i < token_ids.size(); ++i)
      if (token_ids[i] < 0 || token_ids[i] >= vocab)
        fail("input holds token id " + std::to_string(token_ids[i]) + " (entry " + std::to_string(i / frames) +
             ", frame " + std::to_string(i % frames) + "), the vocabulary has ids from 0 to " +
             std::to_string(vocab - 1));
  }

  void run(GoldenExecution execution, const Target& target, const Report& report) const override {
    if (execution == GoldenExecution::reference) {
      Reference reference(checkpoint);
      for (size_t entry = 0; entry < batch; ++entry) {
        reference.reset();
        Trace trace;
        for (size_t t = entry * frames; t < (entry + 1) * frames; ++t) {
          const std::vector<double> y = tokens ? reference.step_token(token_ids[t])
                                               : reference.step(std::span(input).subspan(t * d_input, d_input));
          trace.output.insert(trace.output.end(), y.begin(), y.end());
        }
        trace.states = reference.state();
        report(entry, trace);
      }
      return;
    }

    const auto model = Model::load(checkpoint, target);
    if (execution == GoldenExecution::scan) {
      for (const ScanOptions& options : kScans) {
        Scan scan(model, options);
        for (size_t entry = 0; entry < batch; ++entry) {
          State state = model->initial_state();
          // Two calls, so that one scan starts in the middle of a signal.
          const std::array<size_t, 2> parts = {frames / 3 + 1, frames};
          report(entry, traced(entry, parts, state, [&](auto in, std::span<float> out) {
                   if constexpr (std::is_same_v<decltype(in), std::span<const int32_t>>)
                     scan.process_tokens(state, in, out);
                   else
                     scan.process(state, in, out);
                 }));
        }
      }
      return;
    }

    const std::array<size_t, 1> whole = {execution == GoldenExecution::step ? 1 : frames};
    std::vector<std::span<const size_t>> plans = {whole};
    if (execution == GoldenExecution::block) plans.push_back(kBlocks);
    for (const auto plan : plans) {
      for (size_t entry = 0; entry < batch; ++entry) {
        Stream stream(model);
        report(entry, traced(entry, plan, stream.state(), [&](auto in, std::span<float> out) {
                 if constexpr (std::is_same_v<decltype(in), std::span<const int32_t>>)
                   stream.process_tokens(in, out);
                 else
                   stream.process(in, out);
               }));
      }
    }
  }

  void run(const GoldenBackend& backend, const Report& report) const override {
    const auto model = Model::load(checkpoint);
    const std::vector<float> narrow(input.begin(), input.end());
    for (int variant = 0; variant < backend.variants(); ++variant) {
      std::vector<float> out(batch * frames * d_output);
      std::vector<State> states(batch, model->initial_state());
      // Two calls, so that entries also start in the middle of a signal. Each entry is split at another frame.
      for (const bool second : {false, true}) {
        std::vector<GoldenSignal> signals;
        for (size_t entry = 0; entry < batch; ++entry) {
          const size_t cut = std::min(frames / 3 + 1 + entry, frames), begin = second ? cut : 0,
                       count = second ? frames - cut : cut;
          const size_t first = entry * frames + begin;
          GoldenSignal signal{&states[entry], {}, {}, std::span(out).subspan(first * d_output, count * d_output)};
          if (tokens)
            signal.tokens = std::span(token_ids).subspan(first, count);
          else
            signal.frames = std::span(narrow).subspan(first * d_input, count * d_input);
          signals.push_back(signal);
        }
        backend.run(model, checkpoint, signals, variant);
      }
      for (size_t entry = 0; entry < batch; ++entry)
        report(entry, trace_of(std::span(out).subspan(entry * frames * d_output, frames * d_output), states[entry]));
    }
  }

 private:
  static Trace trace_of(std::span<const float> out, const State& state) {
    Trace trace{widened(out), {}};
    for (const NamedFloats& tensor : state.tensors())
      trace.states.push_back({tensor.name, tensor.shape, widened(tensor.values)});
    return trace;
  }

  // Runs one entry through `process(in, out)` in parts of the given sizes, then reads `state`.
  template <class Process>
  Trace traced(size_t entry, std::span<const size_t> sizes, const State& state, const Process& process) const {
    std::vector<float> out(frames * d_output);
    std::vector<float> in;
    if (!tokens)
      for (size_t i = entry * frames * d_input; i < (entry + 1) * frames * d_input; ++i)
        in.push_back(static_cast<float>(input[i]));
    for_each_block(frames, sizes, [&](size_t begin, size_t count) {
      const auto y = std::span(out).subspan(begin * d_output, count * d_output);
      if (tokens)
        process(std::span<const int32_t>(token_ids).subspan(entry * frames + begin, count), y);
      else
        process(std::span<const float>(in).subspan(begin * d_input, count * d_input), y);
    });
    return trace_of(out, state);
  }
};

Execution op_execution(GoldenExecution execution) {
  return execution == GoldenExecution::step    ? Execution::step
         : execution == GoldenExecution::block ? Execution::block
                                               : Execution::scan;
}

// A case of one operation without a model around it.
struct OpCase : Golden::Case {
  using Case::Case;
  using Case::run;

  void run(GoldenExecution execution, const Target& target, const Report& report) const final {
    for (size_t entry = 0; entry < batch; ++entry)
      report(entry, execution == GoldenExecution::reference ? reference(entry)
                                                            : engine(entry, op_execution(execution), target));
  }

 private:
  virtual Trace reference(size_t entry) const = 0;
  virtual Trace engine(size_t entry, Execution execution, const Target& target) const = 0;
};

// Like selective_scan_ref of state-spaces/mamba: time is the last axis of the tensors.
struct SelectiveScanCase final : OpCase {
  size_t d_inner, d_state, groups = 1;
  bool delta_softplus, constant_B = false, constant_C = false;
  std::vector<float> u, delta, z;  // (batch, d_inner, frames)
  std::vector<float> A;            // (d_inner, d_state)
  std::vector<float> B, C;         // constant: (d_inner, d_state), else (batch, groups * d_state, frames)
  std::vector<float> D, delta_bias;
  std::vector<float> initial;  // (batch, d_inner, d_state)

  SelectiveScanCase(const std::filesystem::path& path, Safetensors file, bool softplus_on_delta)
      : OpCase(path.string(), std::move(file)), delta_softplus(softplus_on_delta) {
    const std::vector<int64_t> shape = tensor("input").shape, a_shape = tensor("A").shape;
    if (shape.size() != 3) fail("input has shape " + to_string(shape) + ", expected (batch, d_inner, frames)");
    if (a_shape.size() != 2 || a_shape[0] != shape[1] || a_shape[0] < 1 || a_shape[1] < 1)
      fail("tensor A has shape " + to_string(a_shape) + ", expected (" + std::to_string(shape[1]) + ", d_state)");
    set_size(shape[0], shape[2]);
    d_inner = static_cast<size_t>(shape[1]);
    d_state = static_cast<size_t>(a_shape[1]);
    u = floats("input", shape);
    delta = floats("delta", shape);
    z = floats_if("z", shape);
    A = floats("A", a_shape);
    D = floats_if("D", {shape[1]});
    delta_bias = floats_if("delta_bias", {shape[1]});
    initial = floats_if("initial_state.ssm", {shape[0], shape[1], a_shape[1]});
    B = mixing("B", constant_B);
    C = mixing("C", constant_C);
    read_expected(shape);
  }

  std::vector<NamedDoubles> state_shapes() const override {
    return {{"state.ssm", {static_cast<int64_t>(d_inner), static_cast<int64_t>(d_state)}, {}}};
  }

  using OpCase::run;
  void run(const GoldenBackend& backend, const Report& report) const override {
    const size_t along_time = d_inner * frames, mixed = groups * d_state * frames, states = d_inner * d_state;
    for (int variant = 0; variant < backend.variants(); ++variant) {
      std::vector<float> state(initial), output(batch * along_time);
      state.resize(batch * states, 0);
      std::vector<SelectiveScan> ops;
      for (size_t entry = 0; entry < batch; ++entry) {
        SelectiveScan op = bare(frames);
        op.u = u.data() + entry * along_time;
        op.delta = delta.data() + entry * along_time;
        op.B = B.data() + (constant_B ? 0 : entry * mixed);
        op.C = C.data() + (constant_C ? 0 : entry * mixed);
        op.z = z.empty() ? nullptr : z.data() + entry * along_time;
        op.ssm_state = state.data() + entry * states;
        op.y = output.data() + entry * along_time;
        ops.push_back(op);
      }
      backend.run(ops, variant);
      for (size_t entry = 0; entry < batch; ++entry)
        report(entry,
               {widened(part(output, entry, along_time)), {{"state.ssm", {}, widened(part(state, entry, states))}}});
    }
  }

 private:
  // All fields that do not depend on entry and block.
  SelectiveScan bare(size_t count) const {
    SelectiveScan op;
    op.d_inner = static_cast<int>(d_inner);
    op.d_state = static_cast<int>(d_state);
    op.frames = static_cast<int>(count);
    op.groups = static_cast<int>(groups);
    op.delta_softplus = delta_softplus;
    op.A = A.data();
    op.constant_B = constant_B;
    op.constant_C = constant_C;
    op.D = D.empty() ? nullptr : D.data();
    op.delta_bias = delta_bias.empty() ? nullptr : delta_bias.data();
    return op;
  }

  std::vector<float> mixing(const std::string& name, bool& constant) {
    const Tensor& found = tensor(name);
    constant = found.shape.size() == 2;
    const auto n = static_cast<int64_t>(d_state), entries = static_cast<int64_t>(batch),
               length = static_cast<int64_t>(frames);
    if (constant) return floats(name, {static_cast<int64_t>(d_inner), n});
    if (found.shape.size() == 3) return floats(name, {entries, n, length});
    const int64_t g = found.shape.size() == 4 ? found.shape[1] : 0;
    if (g < 1 || static_cast<int64_t>(d_inner) % g != 0 || (groups != 1 && static_cast<int64_t>(groups) != g))
      fail("tensor " + name + " has shape " + to_string(found.shape) + ", expected (batch, groups, d_state, frames)");
    groups = static_cast<size_t>(g);
    return floats(name, {entries, g, n, length});
  }

  static std::span<const float> part(const std::vector<float>& x, size_t entry, size_t size) {
    return x.empty() ? std::span<const float>() : std::span<const float>(x).subspan(entry * size, size);
  }

  // delta = softplus?(delta + delta_bias); h = exp(delta A) h + delta B u; y = (C h + D u) silu(z)
  // Source: Gu & Dao 2023, alg. 2; selective_scan_ref of state-spaces/mamba.
  Trace reference(size_t entry) const override {
    Trace trace{std::vector<double>(d_inner * frames), {{"state.ssm", {}, std::vector<double>(d_inner * d_state, 0)}}};
    std::vector<double>& h = trace.states[0].values;
    if (!initial.empty()) h = widened(part(initial, entry, d_inner * d_state));
    const auto at = [&](const std::vector<float>& m, bool constant, size_t i, size_t n, size_t t) -> double {
      if (constant) return m[i * d_state + n];
      const size_t group = i / (d_inner / groups);
      return m[((entry * groups + group) * d_state + n) * frames + t];
    };
    for (size_t t = 0; t < frames; ++t) {
      for (size_t i = 0; i < d_inner; ++i) {
        const size_t it = (entry * d_inner + i) * frames + t;
        double dt = delta[it];
        if (!delta_bias.empty()) dt += delta_bias[i];
        if (delta_softplus) dt = softplus(dt);
        double y = 0;
        for (size_t n = 0; n < d_state; ++n) {
          double& x = h[i * d_state + n];
          x = std::exp(dt * A[i * d_state + n]) * x + dt * at(B, constant_B, i, n, t) * u[it];
          y += at(C, constant_C, i, n, t) * x;
        }
        if (!D.empty()) y += static_cast<double>(D[i]) * u[it];
        if (!z.empty()) y *= silu(z[it]);
        trace.output[i * frames + t] = y;
      }
    }
    return trace;
  }

  // Blocks are cut out of the rows and run one after another. Step and scan get the whole entry.
  Trace engine(size_t entry, Execution execution, const Target& target) const override {
    const size_t along_time = d_inner * frames, mixed = groups * d_state * frames;
    std::vector<float> state(d_inner * d_state, 0), output(along_time);
    if (!initial.empty()) std::ranges::copy(part(initial, entry, d_inner * d_state), state.begin());
    const std::array<size_t, 1> whole = {frames};
    const std::span<const size_t> plan = execution == Execution::block ? std::span<const size_t>(kBlocks) : whole;
    for_each_block(frames, plan, [&](size_t begin, size_t count) {
      const auto cut = [&](const std::vector<float>& x, size_t size) {
        return columns(part(x, entry, size), frames, begin, count);
      };
      const std::vector<float> u_part = cut(u, along_time), delta_part = cut(delta, along_time),
                               z_part = cut(z, along_time);
      const std::vector<float> b_part = constant_B ? B : cut(B, mixed), c_part = constant_C ? C : cut(C, mixed);
      std::vector<float> y(d_inner * count);
      SelectiveScan op = bare(count);
      op.u = u_part.data();
      op.delta = delta_part.data();
      op.B = b_part.data();
      op.C = c_part.data();
      op.z = z.empty() ? nullptr : z_part.data();
      op.ssm_state = state.data();
      op.y = y.data();
      ssm::run(op, execution, target);
      for (size_t i = 0; i < d_inner; ++i)
        for (size_t t = 0; t < count; ++t) output[i * frames + begin + t] = y[i * count + t];
    });
    return {widened(output), {{"state.ssm", {}, widened(state)}}};
  }
};

// Like ssd_chunk_scan_combined_ref of state-spaces/mamba: time comes before heads and channels.
struct SsdCase final : OpCase {
  size_t heads, headdim, groups, d_state;
  bool dt_softplus;
  std::vector<float> x;     // (batch, frames, heads, headdim)
  std::vector<float> dt;    // (batch, frames, heads)
  std::vector<float> A;     // (heads)
  std::vector<float> B, C;  // (batch, frames, groups, d_state)
  std::vector<float> D, dt_bias;
  std::vector<float> initial;  // (batch, heads, headdim, d_state)

  SsdCase(const std::filesystem::path& path, Safetensors file, bool softplus_on_dt)
      : OpCase(path.string(), std::move(file)), dt_softplus(softplus_on_dt) {
    const std::vector<int64_t> shape = tensor("input").shape, b_shape = tensor("B").shape;
    if (shape.size() != 4) fail("input has shape " + to_string(shape) + ", expected (batch, frames, heads, headdim)");
    if (b_shape.size() != 4 || b_shape[2] < 1 || b_shape[3] < 1 || shape[2] % b_shape[2] != 0)
      fail("tensor B has shape " + to_string(b_shape) + ", expected (batch, frames, groups, d_state)");
    set_size(shape[0], shape[1]);
    heads = static_cast<size_t>(shape[2]);
    headdim = static_cast<size_t>(shape[3]);
    groups = static_cast<size_t>(b_shape[2]);
    d_state = static_cast<size_t>(b_shape[3]);
    const std::vector<int64_t> mixing = {shape[0], shape[1], b_shape[2], b_shape[3]};
    x = floats("input", shape);
    dt = floats("dt", {shape[0], shape[1], shape[2]});
    A = floats("A", {shape[2]});
    B = floats("B", mixing);
    C = floats("C", mixing);
    D = floats_if("D", {shape[2]});
    dt_bias = floats_if("dt_bias", {shape[2]});
    initial = floats_if("initial_state.ssm", {shape[0], shape[2], shape[3], b_shape[3]});
    read_expected(shape);
  }

  std::vector<NamedDoubles> state_shapes() const override {
    return {
        {"state.ssm", {static_cast<int64_t>(heads), static_cast<int64_t>(headdim), static_cast<int64_t>(d_state)}, {}}};
  }

  using OpCase::run;
  void run(const GoldenBackend& backend, const Report& report) const override {
    const size_t inner = heads * headdim, states = inner * d_state;
    for (int variant = 0; variant < backend.variants(); ++variant) {
      std::vector<float> state(initial), output(batch * frames * inner);
      state.resize(batch * states, 0);
      std::vector<Ssd> ops;
      for (size_t entry = 0; entry < batch; ++entry)
        ops.push_back(
            cut(entry * frames, frames, state.data() + entry * states, output.data() + entry * frames * inner));
      backend.run(ops, variant);
      for (size_t entry = 0; entry < batch; ++entry)
        report(entry, {widened(std::span(output).subspan(entry * frames * inner, frames * inner)),
                       {{"state.ssm", {}, widened(std::span(state).subspan(entry * states, states))}}});
    }
  }

 private:
  // `count` frames from `frame` on, counted through all entries.
  Ssd cut(size_t frame, size_t count, float* state, float* y) const {
    Ssd op;
    op.heads = static_cast<int>(heads);
    op.headdim = static_cast<int>(headdim);
    op.d_state = static_cast<int>(d_state);
    op.groups = static_cast<int>(groups);
    op.frames = static_cast<int>(count);
    op.dt_softplus = dt_softplus;
    op.x = x.data() + frame * heads * headdim;
    op.dt = dt.data() + frame * heads;
    op.A = A.data();
    op.B = B.data() + frame * groups * d_state;
    op.C = C.data() + frame * groups * d_state;
    op.D = D.empty() ? nullptr : D.data();
    op.dt_bias = dt_bias.empty() ? nullptr : dt_bias.data();
    op.ssm_state = state;
    op.y = y;
    return op;
  }

  // dt = softplus?(dt + dt_bias); h = exp(dt A) h + dt B x; y = C h + D x
  // Source: Dao & Gu 2024, sec. 6; ssd_chunk_scan_combined_ref of state-spaces/mamba.
  Trace reference(size_t entry) const override {
    const size_t channels = heads * headdim;
    Trace trace{std::vector<double>(frames * channels),
                {{"state.ssm", {}, std::vector<double>(channels * d_state, 0)}}};
    std::vector<double>& h = trace.states[0].values;
    if (!initial.empty()) h = widened(std::span(initial).subspan(entry * channels * d_state, channels * d_state));
    for (size_t t = 0; t < frames; ++t) {
      const size_t frame = entry * frames + t;
      for (size_t i = 0; i < channels; ++i) {
        const size_t head = i / headdim, group = head / (heads / groups);
        double step = dt[frame * heads + head];
        if (!dt_bias.empty()) step += dt_bias[head];
        if (dt_softplus) step = softplus(step);
        const double in = x[frame * channels + i], decay = std::exp(step * A[head]);
        double y = D.empty() ? 0 : D[head] * in;
        for (size_t n = 0; n < d_state; ++n) {
          const size_t mixed = (frame * groups + group) * d_state + n;
          double& state = h[i * d_state + n];
          state = decay * state + step * B[mixed] * in;
          y += C[mixed] * state;
        }
        trace.output[t * channels + i] = y;
      }
    }
    return trace;
  }

  Trace engine(size_t entry, Execution execution, const Target& target) const override {
    const size_t channels = heads * headdim;
    std::vector<float> state(channels * d_state, 0), output(frames * channels);
    if (!initial.empty())
      std::copy_n(initial.begin() + static_cast<std::ptrdiff_t>(entry * state.size()), state.size(), state.begin());
    const std::array<size_t, 1> whole = {frames};
    const std::span<const size_t> plan = execution == Execution::block ? std::span<const size_t>(kBlocks) : whole;
    for_each_block(frames, plan, [&](size_t begin, size_t count) {
      const Ssd op = cut(entry * frames + begin, count, state.data(), output.data() + begin * channels);
      ssm::run(op, execution, target);
    });
    return {widened(output), {{"state.ssm", {}, widened(state)}}};
  }
};

// The config of an operator file; empty for a network.
std::optional<nlohmann::json> operator_config(const Safetensors& file) {
  const auto text = file.metadata().find("config");
  if (text == file.metadata().end()) return std::nullopt;
  auto json = nlohmann::json::parse(text->second, nullptr, false);
  if (!json.is_object() || !json.contains("model_type") || !json["model_type"].is_string()) return std::nullopt;
  if (!json["model_type"].get<std::string>().starts_with("op_")) return std::nullopt;
  return json;
}

bool flag(const nlohmann::json& config, const char* name, const std::filesystem::path& path) {
  const auto found = config.find(name);
  if (found == config.end() || !found->is_boolean())
    throw Error(path.string() + ": config." + name + " must be true or false");
  return found->get<bool>();
}

}  // namespace

const char* to_string(GoldenExecution execution) {
  if (execution == GoldenExecution::device) return "device";
  return std::find_if(kNames.begin(), kNames.end(), [&](const auto& entry) { return entry.first == execution; })
      ->second;
}

GoldenExecution golden_execution_from_name(const std::string& name) {
  std::string known;
  for (const auto& [execution, its_name] : kNames) {
    if (name == its_name) return execution;
    known += (known.empty() ? "" : ", ") + std::string(its_name);
  }
  throw Error("unknown execution \"" + name + "\", known are " + known);
}

std::vector<GoldenExecution> all_golden_executions() {
  std::vector<GoldenExecution> all;
  for (const auto& entry : kNames) all.push_back(entry.first);
  return all;
}

double GoldenErrors::worst() const { return std::max({output, output_step, state}); }

Golden::Golden(std::unique_ptr<const Case> made) : case_(std::move(made)) {}
Golden::~Golden() = default;
Golden::Golden(Golden&&) noexcept = default;
Golden& Golden::operator=(Golden&&) noexcept = default;

Golden Golden::open(const std::filesystem::path& path, int window) {
  if (std::filesystem::is_directory(path))
    throw Error(path.string() + ": a model directory holds no input and output; give them in a second file");
  Safetensors file = Safetensors::open(path);
  if (const auto config = operator_config(file)) {
    const auto type = config->at("model_type").get<std::string>();
    if (type == "op_selective_scan")
      return Golden(std::make_unique<SelectiveScanCase>(path, std::move(file), flag(*config, "delta_softplus", path)));
    if (type == "op_ssd")
      return Golden(std::make_unique<SsdCase>(path, std::move(file), flag(*config, "dt_softplus", path)));
    throw Error(path.string() + ": unknown operator \"" + type + "\", known are op_selective_scan, op_ssd");
  }
  return open(path, path, window);
}

Golden Golden::open(const std::filesystem::path& model, const std::filesystem::path& data, int window) {
  return Golden(std::make_unique<NetworkCase>(Checkpoint::open(model), data, window));
}

void Golden::require_complete() const {
  if (!case_->output_step) case_->fail("tensor output_step is missing");
  for (const NamedDoubles& state : case_->state_shapes()) {
    if (!state.upstream) continue;
    const bool there = std::any_of(case_->states.begin(), case_->states.end(),
                                   [&](const Case::Expected& e) { return e.name == state.name; });
    if (!there) case_->fail("tensor " + state.name + " is missing");
  }
}

const std::vector<std::string>& Golden::warnings() const { return case_->warnings; }
bool Golden::has_states() const { return !case_->states.empty(); }
int Golden::batch() const { return static_cast<int>(case_->batch); }
int Golden::frames() const { return static_cast<int>(case_->frames); }

namespace {

// The worst errors over all runs of one case.
GoldenErrors worst_of(const Golden::Case& golden, const std::function<void(const Golden::Case::Report&)>& run) {
  GoldenErrors worst;
  run([&](size_t entry, const Trace& trace) {
    const GoldenErrors errors = golden.compare(entry, trace);
    worst.output = std::max(worst.output, errors.output);
    worst.output_step = std::max(worst.output_step, errors.output_step);
    if (worst.worst_state.empty() || errors.state > worst.state) {
      worst.state = errors.state;
      worst.worst_state = errors.worst_state;
    }
  });
  return worst;
}

}  // namespace

std::vector<GoldenResult> Golden::run(std::span<const GoldenExecution> executions,
                                      std::span<const Target> targets) const {
  std::vector<GoldenResult> results;
  const auto run_one = [&](GoldenExecution execution, const Target& target, const std::string& target_name) {
    results.push_back({execution, target_name,
                       worst_of(*case_, [&](const Case::Report& report) { case_->run(execution, target, report); })});
  };
  for (const GoldenExecution execution : executions)
    if (execution == GoldenExecution::reference) run_one(execution, Target::best(), "double");
  for (const Target& target : targets)
    for (const GoldenExecution execution : executions)
      if (execution != GoldenExecution::reference) run_one(execution, target, target.label());
  return results;
}

GoldenResult Golden::run(const GoldenBackend& backend, const std::string& target) const {
  return {GoldenExecution::device, target,
          worst_of(*case_, [&](const Case::Report& report) { case_->run(backend, report); })};
}

}  // namespace coil::ssm
