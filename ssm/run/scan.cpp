// The parallel scan on the CPU, layer by layer over a segment of the signal. Parts without memory run on all chunks of
// time at once. A mixer first runs every chunk from zero (expand, end_state); then the true states are joined from
// chunk to chunk; then every chunk runs again from its true state (recur).
#include "ssm/run/scan.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "ssm/layers/network.h"
#include "ssm/machine/parallel.h"

namespace coil::ssm {

namespace {

// The rows of a whole segment or of one chunk.
struct Rows {
  AlignedFloats floats;
  size_t stride = 0;
  void resize(size_t frames, size_t width) {
    stride = width;
    if (floats.size() < frames * width) floats.resize(frames * width);
  }
  float* at(size_t frame) { return floats.data() + frame * stride; }
};

struct Chunk {
  size_t begin = 0, frames = 0;
  std::vector<FilmPiece> film;
};

}  // namespace

struct Scan::Impl {
  std::shared_ptr<const Model> model;
  const Network& network;
  ScanOptions options;
  ThreadPool pool;

  Rows input, h, mixer_in, mixer_out, output, spare;
  Rows first, kept[2];  // for taps: the first layer's input, and alternately the inputs of two layers
  std::vector<Chunk> chunks;
  std::vector<AlignedFloats> film_vectors;    // base and slope of each piece in the segment
  std::vector<AlignedFloats> thread_rows;     // two temporaries per thread
  std::vector<AlignedFloats> thread_scratch;  // per thread
  AlignedFloats sequence_scratch;
  std::vector<AlignedFloats> scratch, carry, start, history;  // per chunk

  Impl(std::shared_ptr<const Model> m, ScanOptions o)
      : model(std::move(m)),
        network(model->network()),
        options(o),
        pool(o.threads > 0 ? size_t(o.threads) : std::max(1u, std::thread::hardware_concurrency())),
        thread_rows(pool.threads()),
        thread_scratch(pool.threads()) {
    // A chunk reads its convolution's history from the frames before it.
    options.chunk_frames = std::max({options.chunk_frames, model->plan().history_frames, 1});
    const size_t frame_floats = 8 * network.widest() + network.stack().scratch_floats(1);
    const size_t affordable = std::max<size_t>(kSegmentFloats / frame_floats, size_t(options.chunk_frames));
    options.segment_frames = int(std::min(size_t(std::max(options.segment_frames, options.chunk_frames)), affordable));
  }

  static constexpr size_t kSegmentFloats = 1 << 26;  // 256 MiB

  void run(State& state, const float* frames, const int32_t* tokens, float* out, size_t n) {
    const size_t d_input = size_t(model->config().d_input), d_output = size_t(model->config().d_output);
    for (size_t begin = 0; begin < n; begin += size_t(options.segment_frames)) {
      const size_t segment = std::min(n - begin, size_t(options.segment_frames));
      run_segment(state, frames ? frames + begin * d_input : nullptr, tokens ? tokens + begin : nullptr,
                  out + begin * d_output, segment);
    }
  }

  void run_segment(State& state, const float* frames, const int32_t* tokens, float* out, size_t n) {
    input.resize(n, network.stride_in());
    h.resize(n, network.widest());
    cut(n);
    if (frames) {
      const size_t d_input = size_t(model->config().d_input);
      pool.for_each(chunks.size(), [&](size_t i, size_t) {
        const Chunk& c = chunks[i];
        network.pack_input(frames + c.begin * d_input, input.at(c.begin), c.frames);
      });
    }
    modulate(state.data(), n);
    for (AlignedFloats& rows : thread_rows) rows.resize(2 * size_t(options.chunk_frames) * network.widest());
    for (AlignedFloats& scratch : thread_scratch)
      scratch.resize(network.stack().pointwise_scratch_floats(size_t(options.chunk_frames)));

    // A layer's rows are only as wide as the layer needs, so that kernels process dense blocks.
    h.stride = network.stack().layers().empty() ? padded(size_t(model->config().d_model))
                                                : network.stack().layers().front().stride_in;
    pool.for_each(chunks.size(), [&](size_t i, size_t) {
      const Chunk& c = chunks[i];
      if (tokens)
        network.embed(tokens + c.begin, h.at(c.begin), c.frames);
      else
        network.begin(input.at(c.begin), h.at(c.begin), c.frames);
    });
    if (network.stack().keeps_input()) keep(n, first);
    for (size_t l = 0; l < network.stack().layers().size(); ++l) {
      const Layer& layer = network.stack().layers()[l];
      if (layer.input_is_kept) keep(n, kept[l % 2]);
      run_layer(layer, kept[(l + 1) % 2], state.data(), n);
    }

    output.resize(n, network.stride_out());
    const size_t d_output = size_t(model->config().d_output);
    pool.for_each(chunks.size(), [&](size_t i, size_t) {
      const Chunk& c = chunks[i];
      network.end(network.head(), input.at(c.begin), h.at(c.begin), output.at(c.begin), c.frames, c.film, nullptr);
      for (size_t t = c.begin; t < c.begin + c.frames; ++t) std::copy_n(output.at(t), d_output, out + t * d_output);
    });
  }

  void keep(size_t n, Rows& rows) {
    rows.resize(n, h.stride);
    std::copy_n(h.at(0), n * h.stride, rows.at(0));
  }

  void cut(size_t n) {
    const size_t size = size_t(options.chunk_frames);
    chunks.assign((n + size - 1) / size, {});
    for (size_t i = 0; i < chunks.size(); ++i) chunks[i] = {i * size, std::min(size, n - i * size), {}};
    for (auto* per_chunk : {&scratch, &carry, &start, &history})
      per_chunk->resize(std::max(per_chunk->size(), chunks.size()));
  }

  // Runs the modulation over the segment first. The layers then read its pieces, split at the borders of chunks.
  void modulate(float* arena, size_t n) {
    const Modulation& modulation = network.modulation();
    AlignedFloats space(padded(modulation.scratch_floats()) + 1);
    const size_t vector = modulation.gain_index() + kPad;
    film_vectors.clear();
    size_t chunk = 0;
    for (size_t t = 0; t < n;) {
      const FilmPiece piece = modulation.current(arena);
      const size_t frames = std::min(n - t, piece.frames);
      FilmPiece kept = piece;
      if (piece.base) {
        film_vectors.emplace_back(2 * vector);
        kept.base = std::copy_n(piece.base, vector, film_vectors.back().data()) - vector;
        if (piece.slope) kept.slope = std::copy_n(piece.slope, vector, film_vectors.back().data() + vector) - vector;
      }
      for (size_t done = 0; done < frames;) {
        Chunk& c = chunks[chunk];
        kept.frames = std::min(frames - done, c.begin + c.frames - (t + done));
        kept.first = piece.first + float(done);
        c.film.push_back(kept);
        done += kept.frames;
        chunk += t + done == c.begin + c.frames;
      }
      for (size_t done = 0; done < frames;) {
        const size_t step = std::min(frames - done, Modulation::kMaxFrames);
        modulation.advance(arena, input.at(t + done), step, space.data());
        done += step;
      }
      t += frames;
    }
  }

  // `before`: the input of the previous layer, if a tap reads it.
  void run_layer(const Layer& layer, Rows& before, float* arena, size_t n) {
    // From one mixer to the next: keep its input rows for the whole segment, because a chunk's convolution reads the
    // end of the previous chunk.
    size_t part = 0;
    const RecurrentPart* mixer = nullptr;
    while (part < layer.parts.size() || mixer) {
      size_t next = part;
      while (next < layer.parts.size() && std::holds_alternative<std::unique_ptr<PointwisePart>>(layer.parts[next]))
        ++next;
      const RecurrentPart* next_mixer =
          next < layer.parts.size() ? std::get<std::unique_ptr<RecurrentPart>>(layer.parts[next]).get() : nullptr;

      Rows& result = spare;  // of this stretch: the next mixer's input, or the layer's output
      const bool in_place = !next_mixer && layer.residual;
      if (!in_place) result.resize(n, next_mixer ? next_mixer->stride_in() : layer.stride_out);
      pool.for_each(chunks.size(), [&](size_t i, size_t thread) {
        const Chunk& c = chunks[i];
        float* spare[2] = {thread_rows[thread].data(), thread_rows[thread].data() + thread_rows[thread].size() / 2};
        const float* in = h.at(c.begin);
        size_t stride = layer.stride_in;
        if (mixer && !mixer->joins()) {
          in = mixer_out.at(c.begin), stride = mixer->stride_out();
        } else if (mixer) {
          const Run run{c.frames, history[i].data(), start[i].data()};
          mixer->recur(mixer_in.at(c.begin), c.frames, {&run, 1}, scratch[i].data(), spare[0], false);
          in = spare[0], stride = mixer->stride_out();
        }
        for (size_t p = part; p < next; ++p) {
          const PointwisePart& pointwise = *std::get<std::unique_ptr<PointwisePart>>(layer.parts[p]);
          float* out = in == spare[0] ? spare[1] : spare[0];
          if (const Tap* tap = pointwise.tap()) {
            Rows& source = tap->from() == TapConfig::From::layer     ? h
                           : tap->from() == TapConfig::From::network ? first
                                                                     : before;
            tap->take(source.at(c.begin), source.stride, in, out, c.frames);
          } else {
            pointwise.process(in, out, c.frames, false, c.film, thread_scratch[thread].data());
          }
          in = out, stride = pointwise.stride_out();
        }
        if (!in_place)
          std::memcpy(result.at(c.begin), in, c.frames * stride * sizeof(float));
        else if (in != h.at(c.begin))
          network.kernels().add(in, stride, h.at(c.begin), h.stride, stride, c.frames);
      });
      if (mixer && mixer->joins())
        std::copy_n(start[chunks.size() - 1].data(), mixer->scan_floats(), mixer->run({arena, n}).scan_state);
      if (next_mixer) {
        std::swap(mixer_in, result);
        if (next_mixer->joins())
          sweep(*next_mixer, arena);
        else
          run_in_sequence(*next_mixer, arena, n);
      } else if (!in_place) {
        std::swap(h, result);
      }
      mixer = next_mixer;
      part = next_mixer ? next + 1 : next;
    }
  }

  // Parts that cannot be divided into chunks run block by block.
  void run_in_sequence(const RecurrentPart& mixer, float* arena, size_t n) {
    constexpr size_t kBlock = 64;
    mixer_out.resize(n, mixer.stride_out());
    sequence_scratch.resize(std::max(sequence_scratch.size(), mixer.scratch_floats(kBlock)));
    for (size_t t = 0; t < n; t += kBlock) {
      const size_t frames = std::min(kBlock, n - t);
      const Run run = mixer.run({arena, frames});
      mixer.process(mixer_in.at(t), frames, {&run, 1}, sequence_scratch.data(), mixer_out.at(t), false);
    }
  }

  // Runs the mixer's first phase on all chunks, and computes the state at the start of every chunk.
  void sweep(const RecurrentPart& mixer, float* arena) {
    const size_t state_floats = mixer.scan_floats();
    const Run memory = mixer.run({arena, 0});
    pool.for_each(chunks.size(), [&](size_t i, size_t) {
      const Chunk& c = chunks[i];
      scratch[i].resize(std::max<size_t>(mixer.scratch_floats(std::max(c.frames, mixer.history_frames())), 1));
      history[i].resize(std::max<size_t>(mixer.history_floats(), 1));
      carry[i].resize(mixer.carry_floats());
      start[i].resize(state_floats);
      const float* in = mixer_in.at(c.begin);
      if (i == 0)
        std::copy_n(memory.history, mixer.history_floats(), history[i].data());
      else
        mixer.read_history(in, history[i].data(), scratch[i].data());
      const Run run{c.frames, history[i].data(), nullptr};
      mixer.expand(in, c.frames, {&run, 1}, scratch[i].data());
      mixer.end_state(in, c.frames, scratch[i].data(), carry[i].data());
    });
    std::copy_n(memory.scan_state, state_floats, start[0].data());
    for (size_t i = 1; i < chunks.size(); ++i) {
      std::copy_n(start[i - 1].data(), state_floats, start[i].data());
      mixer.join(carry[i - 1].data(), start[i].data());
    }
    std::copy_n(history[chunks.size() - 1].data(), mixer.history_floats(), memory.history);
  }
};

Scan::Scan(std::shared_ptr<const Model> model, ScanOptions options)
    : impl_(std::make_unique<Impl>(std::move(model), options)) {}
Scan::~Scan() = default;

void Scan::process(State& state, std::span<const float> in, std::span<float> out) {
  const ModelConfig& config = impl_->model->config();
  assert(config.input_kind == InputKind::frames);
  const size_t n = in.size() / size_t(config.d_input);
  assert(out.size() == n * size_t(config.d_output));
  impl_->run(state, in.data(), nullptr, out.data(), n);
}

void Scan::process_tokens(State& state, std::span<const int32_t> tokens, std::span<float> logits) {
  assert(impl_->model->config().input_kind == InputKind::token_ids);
  assert(logits.size() == tokens.size() * size_t(impl_->model->config().d_output));
  impl_->run(state, nullptr, tokens.data(), logits.data(), tokens.size());
}

}  // namespace coil::ssm
