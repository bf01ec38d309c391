// Runs a batch segment by segment: copies the inputs to the device, runs the network's parts over all rows, copies the
// outputs back. The states stay on the device.
#include "gpu/batched_model.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <type_traits>

#include "gpu/device.h"
#include "gpu/linear.h"
#include "gpu/part.h"
#include "base/error.h"
#include "ssm/layers/network.h"

namespace coil::gpu {
namespace {

constexpr int kFrameTile = 16;                           // chunk lengths are multiples of it
constexpr size_t kTableBytes = size_t(64) << 20;         // limit of the states on the device; larger batches run in
                                                         // parts
constexpr size_t kSegmentRows = size_t(2) << 20;         // more rows would not be faster
constexpr size_t kCopiedSegmentRows = kSegmentRows / 2;  // for signals in host memory: more rows would delay the copies
constexpr int kFilmRows = 256;                           // of one FiLM piece on the device

// Assigns offsets in one block of bytes that is copied as a whole.
class Bytes {
 public:
  template <class T>
  size_t add(size_t count) {
    const size_t at = size_;
    size_ += (count * sizeof(T) + 15) / 16 * 16;
    return at;
  }
  size_t size() const { return size_; }

 private:
  size_t size_ = 0;
};

// A signal of the batch during the run.
struct Running {
  ssm::State* state;
  const void* in;
  float* out;
  size_t frames, done = 0;
  int row;  // the signal's row in the table of states; its other row is row ^ 1
};

// The host side of one segment: inputs and outputs. There are two, so that copies overlap with computation.
struct Transfer {
  PinnedArray<std::byte> host_in;
  Array<std::byte> device_in;
  PinnedArray<float> host_out;
  DeviceFloats device_out;
  Event uploaded, computed, downloaded;

  struct Piece {
    float* to;
    size_t from, floats;
  };
  std::vector<Piece> pieces;  // where the caller's outputs lie in host_out

  void deliver() {
    if (pieces.empty()) return;
    downloaded.wait();
    for (const Piece& piece : pieces) std::memcpy(piece.to, host_out.data() + piece.from, piece.floats * sizeof(float));
    pieces.clear();
  }
};

// The FiLM pieces of one segment on the host.
struct FilmRun {
  std::vector<DeviceFilmPiece> pieces;
  std::vector<float> vectors;
};

}  // namespace

struct BatchedModel::Impl {
  std::shared_ptr<const ssm::Model> model;
  const ssm::ModelConfig& config;
  const ssm::Modulation& modulation;
  BatchedOptions options;
  StateTable states;
  size_t d_input, d_output, widest = 0, chunks_at_once = 1;
  bool tokens, in_place = true;                    // in_place: every layer is one part that can run in place
  bool keeps_input = false, keeps_layers = false;  // whether a tap reads the first layer's input, or the layer before

  std::optional<Linear> in_proj, out_proj, direct;
  int output_film_at = 0;  // where in the padded FiLM vector the values start that are added to out_proj's weights
  DeviceFloats embedding;
  std::vector<Layer> layers;
  std::unique_ptr<Part> norm_f;

  CudaStream upload, compute, download;
  std::array<Transfer, 2> transfers;
  DeviceFloats table, rows_in, rows_out, h, spare, other_spare, scratch, kept_input;
  std::array<DeviceFloats, 2> kept_layers;  // layer i keeps its input in i % 2
  PinnedArray<float> host_table;

  Impl(std::shared_ptr<const ssm::Model> m, const ssm::Checkpoint& checkpoint, const BatchedOptions& o)
      : model(std::move(m)),
        config(model->config()),
        modulation(model->network().modulation()),
        options(o),
        states(*model->state_layout()),
        d_input(size_t(config.d_input)),
        d_output(size_t(config.d_output)),
        tokens(config.input_kind == ssm::InputKind::token_ids) {
    if (options.chunk_frames == 0) options.chunk_frames = options.precision == Precision::float32 ? 128 : 256;
    options.chunk_frames = std::max(options.chunk_frames, model->plan().history_frames);
    options.chunk_frames = (options.chunk_frames + kFrameTile - 1) / kFrameTile * kFrameTile;
    if (config.in_proj) in_proj.emplace(*config.in_proj, nullptr, options.precision, checkpoint);
    if (config.embedding) {
      std::vector<float> table =
          checkpoint.floats(config.embedding->name + ".weight", {config.embedding->vocab, config.d_model});
      for (float& value : table) value = float(value * config.embedding->scale);
      embedding = uploaded(table);
    }
    const Build build{checkpoint, states, options.chunk_frames, options.precision};
    widest = size_t(config.d_model);
    for (const ssm::PlannedLayer& layer : model->plan().layers) {
      layers.push_back(make_layer(layer, build));
      for (const auto& part : layers.back().parts) {
        widest = std::max(widest, size_t(part->width_out));
        chunks_at_once = std::max(chunks_at_once, part->chunks_at_once());
        if (const ssm::TapConfig* tap = part->tap()) {
          keeps_input = keeps_input || tap->from == ssm::TapConfig::From::network;
          keeps_layers = keeps_layers || tap->from == ssm::TapConfig::From::layer_before;
        }
      }
      in_place = in_place && layers.back().parts.size() == 1 && layers.back().parts[0]->whole_layer();
    }
    output_film_at = int(model->plan().output_film_at.value_or(0));
    if (config.norm_f) norm_f = make_norm(*config.norm_f, checkpoint), in_place = false;
    if (config.out_proj) out_proj.emplace(*config.out_proj, nullptr, options.precision, checkpoint);
    if (config.direct) direct.emplace(*config.direct, nullptr, options.precision, checkpoint);
  }

  size_t scratch_floats(const Extent& extent) const {
    size_t floats = 0;
    for (const Layer& layer : layers)
      for (const auto& part : layer.parts) floats = std::max(floats, part->scratch_floats(extent));
    return floats;
  }

  size_t row_floats() const {
    const size_t buffers = (in_place ? 1 : 3) + (keeps_input ? 1 : 0) + (keeps_layers ? 2 : 0);
    return buffers * widest + d_input + d_output;
  }

  // The number of chunks: as many as the memory allows, or as the frames of all signals need.
  size_t segment_chunks(size_t signals, size_t needed, bool copied) const {
    constexpr size_t kSample = 256;
    const size_t chunk = size_t(options.chunk_frames);
    const Extent extent{kSample, options.chunk_frames};
    // Frames in, frames out and tokens are also in both transfers.
    const size_t bytes = (kSample * chunk * (row_floats() + 2 * (d_input + d_output)) + scratch_floats(extent)) *
                         sizeof(float) / kSample;
    const size_t signal_bytes = 2 * states.stride() * sizeof(float);
    const size_t table_bytes = std::max(std::min(signals * signal_bytes, kTableBytes), signal_bytes);
    const size_t budget = options.memory_bytes > table_bytes ? options.memory_bytes - table_bytes : 0;
    size_t chunks = std::max<size_t>(std::min(budget / bytes, (copied ? kCopiedSegmentRows : kSegmentRows) / chunk), 1);
    if (chunks > chunks_at_once) chunks -= chunks % chunks_at_once;
    return std::min(chunks, std::max<size_t>(needed, 1));
  }

  void require_rows(const Extent& extent) {
    const size_t rows = extent.rows();
    if (!tokens) rows_in.require(rows * d_input);
    rows_out.require(rows * d_output);
    h.require(rows * widest);
    if (!in_place) spare.require(rows * widest), other_spare.require(rows * widest);
    if (keeps_input) kept_input.require(rows * widest);
    if (keeps_layers) kept_layers[0].require(rows * widest), kept_layers[1].require(rows * widest);
    scratch.require(scratch_floats(extent) + 4);
  }

  // ---- a batch

  // device_in, device_out: the frames, if they are already on the device; else null.
  void run(std::vector<Running>& batch, const float* device_in, float* device_out) {
    check(cudaSetDevice(options.device), "choosing the GPU");
    const size_t at_once =
        std::max<size_t>(kTableBytes / (2 * std::max<size_t>(states.stride(), 1) * sizeof(float)), 1);
    for (size_t begin = 0; begin < batch.size(); begin += at_once)
      run_part(std::span(batch).subspan(begin, std::min(at_once, batch.size() - begin)), device_in, device_out);
  }

  void run_part(std::span<Running> batch, const float* device_in, float* device_out) {
    const size_t stride = states.stride();
    for (Transfer& transfer : transfers) transfer.pieces.clear();  // from a call that failed
    table.require(2 * batch.size() * stride + 4);
    host_table.require(2 * batch.size() * stride + 4);
    size_t chunks = 0;
    for (size_t i = 0; i < batch.size(); ++i) {
      batch[i].row = int(2 * i);
      states.read(*batch[i].state, host_table.data() + 2 * i * stride);
      chunks += (batch[i].frames + size_t(options.chunk_frames) - 1) / size_t(options.chunk_frames);
    }
    check(cudaMemcpyAsync(table.data(), host_table.data(), 2 * batch.size() * stride * sizeof(float),
                          cudaMemcpyHostToDevice, compute),
          "copying states");
    const size_t at_once = segment_chunks(batch.size(), chunks, !device_in);
    require_rows({at_once, options.chunk_frames});

    std::vector<size_t> left(batch.size());
    for (size_t number = 0;; ++number) {
      for (size_t i = 0; i < batch.size(); ++i) left[i] = batch[i].frames - batch[i].done;
      if (std::all_of(left.begin(), left.end(), [](size_t n) { return n == 0; })) break;
      Transfer& transfer = transfers[number % 2];
      transfer.deliver();
      transfer.computed.wait();  // the segment before the last one has read its block of bytes
      run_segment(batch, share_segment(left, at_once, options.chunk_frames), transfer, device_in, device_out);
    }
    for (Transfer& transfer : transfers) transfer.deliver();
    check(cudaMemcpyAsync(host_table.data(), table.data(), 2 * batch.size() * stride * sizeof(float),
                          cudaMemcpyDeviceToHost, compute),
          "copying states");
    compute.wait();
    for (const Running& signal : batch)
      if (signal.frames > 0) states.write(host_table.data() + size_t(signal.row) * stride, *signal.state);
  }

  void run_segment(std::span<Running> batch, const std::vector<size_t>& frames, Transfer& transfer,
                   const float* device_in, float* device_out) {
    const size_t value = tokens ? sizeof(int32_t) : sizeof(float);
    std::vector<SignalPart> parts;
    std::vector<Running*> active;
    for (size_t i = 0; i < batch.size(); ++i) {
      if (frames[i] == 0) continue;
      parts.push_back({frames[i], batch[i].row, batch[i].row ^ 1});
      active.push_back(&batch[i]);
    }
    const SegmentPlan plan = plan_segment(parts, options.chunk_frames);
    const FilmRun film = run_modulation(active, parts);

    // One block of bytes holds the plan, the start of each chunk's frames, the FiLM pieces and the frames.
    size_t packed_frames = 0;
    for (const SignalPart& part : parts) packed_frames += part.frames;
    Bytes bytes;
    const size_t chunks_at = bytes.add<Chunk>(plan.chunks.size());
    const size_t signals_at = bytes.add<Signal>(plan.signals.size()),
                 source_at = bytes.add<int64_t>(plan.chunks.size());
    const size_t pieces_at = bytes.add<DeviceFilmPiece>(film.pieces.size()),
                 vectors_at = bytes.add<float>(film.vectors.size());
    const size_t frames_at = bytes.add<std::byte>(device_in ? 0 : packed_frames * d_input * value);
    transfer.host_in.require(bytes.size());
    transfer.device_in.require(bytes.size());
    std::byte* to = transfer.host_in.data();
    const auto put = [&](size_t at, const auto& values) {
      std::memcpy(to + at, values.data(), values.size() * sizeof(values[0]));
    };
    put(chunks_at, plan.chunks);
    put(signals_at, plan.signals);
    if (!film.pieces.empty()) put(pieces_at, film.pieces), put(vectors_at, film.vectors);

    std::vector<int64_t> source;
    size_t packed = 0;
    for (size_t i = 0; i < active.size(); ++i) {
      const size_t first = device_in ? size_t(active[i] - batch.data()) * active[i]->frames + active[i]->done : packed;
      for (size_t t = 0; t < parts[i].frames; t += size_t(options.chunk_frames)) source.push_back(int64_t(first + t));
      if (!device_in) {
        const size_t frame_bytes = d_input * value;
        std::memcpy(to + frames_at + packed * frame_bytes,
                    static_cast<const std::byte*>(active[i]->in) + active[i]->done * frame_bytes,
                    parts[i].frames * frame_bytes);
        transfer.pieces.push_back(
            {active[i]->out + active[i]->done * d_output, packed * d_output, parts[i].frames * d_output});
      }
      packed += parts[i].frames;
      active[i]->done += parts[i].frames;
      active[i]->row ^= 1;
    }
    put(source_at, source);
    check(cudaMemcpyAsync(transfer.device_in.data(), to, bytes.size(), cudaMemcpyHostToDevice, upload),
          "copying to the GPU");
    transfer.uploaded.record(upload);
    transfer.uploaded.hold_back(compute);

    const std::byte* there = transfer.device_in.data();
    const auto at = [&]<class T>(size_t offset, const T*) { return reinterpret_cast<const T*>(there + offset); };
    const DevicePlan device_plan{at(chunks_at, (Chunk*)nullptr),
                                 at(signals_at, (Signal*)nullptr),
                                 int(plan.chunks.size()),
                                 int(plan.signals.size()),
                                 plan.longest(),
                                 options.chunk_frames};
    const Film device_film{at(pieces_at, (DeviceFilmPiece*)nullptr), int(film.pieces.size()),
                           at(vectors_at, (float*)nullptr), vector_floats()};
    const Segment segment{device_plan, table.data(), states.stride(), scratch.data(), device_film, compute, {}};
    const int64_t* device_source = at(source_at, (int64_t*)nullptr);
    if (!device_out) transfer.device_out.require(packed * d_output), transfer.host_out.require(packed * d_output);
    run_network(segment, device_in ? static_cast<const void*>(device_in) : there + frames_at, device_source,
                device_out ? device_out : transfer.device_out.data());
    transfer.computed.record(compute);
    if (device_out) return;
    transfer.computed.hold_back(download);
    check(cudaMemcpyAsync(transfer.host_out.data(), transfer.device_out.data(), packed * d_output * sizeof(float),
                          cudaMemcpyDeviceToHost, download),
          "copying from the GPU");
    transfer.downloaded.record(download);
  }

  // ---- one segment on the device

  void run_network(const Segment& s, const void* packed_in, const int64_t* source, float* packed_out) {
    const size_t rows = s.plan.rows();
    const int in = int(d_input), out = int(d_output);
    if (tokens) {
      run_embed(embedding.data(), config.embedding->vocab, static_cast<const int32_t*>(packed_in), source,
                s.plan.chunks, s.plan.chunk_frames, rows, h.data(), config.d_model, s.stream);
    } else {
      float* unpacked = in_proj || direct ? rows_in.data() : h.data();
      run_unpack(static_cast<const float*>(packed_in), source, s.plan.chunks, s.plan.chunk_frames, rows, unpacked, in,
                 s.stream);
      if (in_proj)
        run_linear(*in_proj, unpacked, in, h.data(), config.d_model, rows, false, s.stream);
      else if (direct)
        check(cudaMemcpyAsync(h.data(), unpacked, rows * d_input * sizeof(float), cudaMemcpyDeviceToDevice, s.stream),
              "copying rows");
    }
    int width = config.d_model;
    if (keeps_input) run_copy(h.data(), width, kept_input.data(), width, width, rows, s.stream);
    for (size_t i = 0; i < layers.size(); ++i) {
      if (keeps_layers) run_copy(h.data(), width, kept_layers[i % 2].data(), width, width, rows, s.stream);
      Segment own = s;
      own.earlier = {h.data(), kept_layers[(i + 1) % 2].data(), kept_input.data()};
      width = run_layer(layers[i], own, width);
    }

    float* top = h.data();
    if (norm_f) norm_f->run(s, h.data(), spare.data()), top = spare.data();
    float* y = top;
    if (out_proj) {
      y = rows_out.data();
      run_linear(*out_proj, top, width, y, out, rows, false, s.stream);
      if (config.output_film)
        run_moving_linear(s.film, output_film_at, int(ssm::padded(size_t(width))), top, width, y, out, s.stream);
    }
    if (direct) run_linear(*direct, rows_in.data(), in, y, out, rows, true, s.stream);
    if (modulation.has_gain()) run_gain(s.film, int(modulation.gain_index()), y, out, out, s.stream);
    run_pack(y, out, source, s.plan.chunks, s.plan.chunk_frames, rows, packed_out, out, s.stream);
  }

  // Returns the width of its result in h.
  int run_layer(const Layer& layer, const Segment& s, int width) {
    if (layer.parts.empty()) {
      if (layer.residual) run_add(h.data(), width, h.data(), width, width, s.plan.rows(), s.stream);
      return width;
    }
    if (layer.parts.size() == 1 && layer.parts[0]->whole_layer()) {
      layer.parts[0]->run_layer(s, h.data());
      return width;
    }
    const float* in = h.data();
    for (const auto& part : layer.parts) {
      float* out = in == spare.data() ? other_spare.data() : spare.data();
      part->run(s, in, out);
      in = out;
      width = part->width_out;
    }
    if (layer.residual)
      run_add(in, width, h.data(), width, width, s.plan.rows(), s.stream);
    else
      std::swap(h, in == spare.data() ? spare : other_spare);
    return width;
  }

  // ---- modulation; it runs on the host

  bool modulated() const { return modulation.film_floats() > 0 || modulation.has_gain(); }
  int vector_floats() const { return int(modulation.film_floats() + ssm::kPad); }

  // Advances the modulation of every signal by its frames of the segment.
  FilmRun run_modulation(const std::vector<Running*>& active, const std::vector<SignalPart>& parts) const {
    FilmRun film;
    if (!modulated()) return film;
    const ssm::Network& network = model->network();
    const size_t vector = size_t(vector_floats());
    ssm::AlignedFloats space(ssm::padded(modulation.scratch_floats()) + 1),
        input(config.slow_path ? ssm::Modulation::kMaxFrames * network.stride_in() : 0);
    size_t first_row = 0;
    for (size_t i = 0; i < active.size(); ++i) {
      float* arena = active[i]->state->data();
      const float* frames =
          static_cast<const float*>(active[i]->in) + (config.slow_path ? active[i]->done * d_input : 0);
      for (size_t t = 0; t < parts[i].frames;) {
        const ssm::FilmPiece piece = modulation.current(arena);
        const size_t count = std::min(piece.frames, parts[i].frames - t), number = film.vectors.size() / (2 * vector);
        film.vectors.insert(film.vectors.end(), piece.base, piece.base + vector);
        if (piece.slope)
          film.vectors.insert(film.vectors.end(), piece.slope, piece.slope + vector);
        else
          film.vectors.resize(film.vectors.size() + vector, 0.0f);
        for (size_t done = 0; done < count; done += size_t(kFilmRows))
          film.pieces.push_back({int(first_row + t + done), int(std::min(count - done, size_t(kFilmRows))),
                                 piece.first + float(done), int(number)});
        for (size_t done = 0; done < count;) {
          const size_t step = std::min(count - done, ssm::Modulation::kMaxFrames);
          if (config.slow_path) network.pack_input(frames + (t + done) * d_input, input.data(), step);
          modulation.advance(arena, input.data(), step, space.data());
          done += step;
        }
        t += count;
      }
      const size_t chunk = size_t(options.chunk_frames);
      first_row += (parts[i].frames + chunk - 1) / chunk * chunk;
    }
    return film;
  }

  size_t device_bytes() const {
    size_t bytes = table.bytes() + rows_in.bytes() + rows_out.bytes() + h.bytes() + spare.bytes() +
                   other_spare.bytes() + scratch.bytes() + kept_input.bytes();
    for (const DeviceFloats& kept : kept_layers) bytes += kept.bytes();
    for (const Transfer& transfer : transfers) bytes += transfer.device_in.bytes() + transfer.device_out.bytes();
    return bytes;
  }
};

namespace {

// Select the GPU before anything is allocated on it.
const BatchedOptions& on_device(const BatchedOptions& options) {
  const size_t count = devices().size();
  if (count == 0) throw Error("no GPU can be used: " + why_no_device());
  if (options.device < 0 || size_t(options.device) >= count)
    throw Error("there is no GPU " + std::to_string(options.device) + ", the last is " + std::to_string(count - 1));
  check(cudaSetDevice(options.device), "choosing the GPU");
  return options;
}

}  // namespace

BatchedModel::BatchedModel(std::shared_ptr<const ssm::Model> model, const ssm::Checkpoint& checkpoint,
                           BatchedOptions options)
    : impl_(std::make_unique<Impl>(std::move(model), checkpoint, on_device(options))) {}
BatchedModel::~BatchedModel() = default;
BatchedModel::BatchedModel(BatchedModel&&) noexcept = default;
BatchedModel& BatchedModel::operator=(BatchedModel&&) noexcept = default;

const ssm::Model& BatchedModel::model() const { return *impl_->model; }

void BatchedModel::process(std::span<const Frames> batch) {
  if (impl_->tokens) throw Error(impl_->model->source() + ": the model takes token ids, not frames");
  std::vector<Running> running;
  for (const Frames& signal : batch) {
    const size_t frames = signal.in.size() / impl_->d_input;
    if (frames * impl_->d_input != signal.in.size() || signal.out.size() != frames * impl_->d_output)
      throw Error("a signal of " + std::to_string(signal.in.size()) + " values needs a multiple of " +
                  std::to_string(impl_->d_input) + ", and an output of " + std::to_string(impl_->d_output) +
                  " values a frame");
    running.push_back({signal.state, signal.in.data(), signal.out.data(), frames, 0, 0});
  }
  impl_->run(running, nullptr, nullptr);
}

void BatchedModel::process_tokens(std::span<const Tokens> batch) {
  if (!impl_->tokens) throw Error(impl_->model->source() + ": the model takes frames, not token ids");
  std::vector<Running> running;
  for (const Tokens& signal : batch) {
    if (signal.out.size() != signal.in.size() * impl_->d_output)
      throw Error("an output of " + std::to_string(signal.in.size()) + " tokens must have " +
                  std::to_string(signal.in.size() * impl_->d_output) + " values");
    running.push_back({signal.state, signal.in.data(), signal.out.data(), signal.in.size(), 0, 0});
  }
  impl_->run(running, nullptr, nullptr);
}

void BatchedModel::process_on_device(const float* in, float* out, size_t frames, std::span<ssm::State* const> states) {
  if (impl_->tokens || impl_->config.slow_path)
    throw Error(impl_->model->source() +
                ": only models of frames without a slow path run on signals that lie on the GPU");
  std::vector<Running> running;
  for (ssm::State* state : states) running.push_back({state, nullptr, nullptr, frames, 0, 0});
  impl_->run(running, in, out);
}

size_t BatchedModel::device_bytes() const { return impl_->device_bytes(); }

}  // namespace coil::gpu
