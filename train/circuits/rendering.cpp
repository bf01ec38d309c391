// Groups of jobs go through the solver together, piece by piece.
#include "train/circuits/rendering.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <numbers>
#include <thread>

#include "train/circuits/resampling.h"
#include "train/circuits/solver.h"

namespace coil::circuits {
namespace {

constexpr double kRateHz = 48000;
constexpr long kPieceFrames = 512;
constexpr double kTapeSettles = 1;  // seconds: the first periods of a tape's bias leave an offset that decays

// y = x - low, where low follows x with a pole at exp(-2 pi hz / rate); netlist_filter.py has the same response.
void pass_high(std::vector<float>& sound, double hz) {
  const double pole = std::exp(-2 * std::numbers::pi * hz / kRateHz);
  double low = 0;
  for (float& x : sound) {
    low = pole * low + (1 - pole) * double(x);
    x = float(double(x) - low);
  }
}

// Renders jobs from `first` on, one per lane. If there are fewer, the last one is repeated.
size_t render_group(const Netlist& netlist, std::vector<Job>& jobs, size_t first) {
  const size_t count = lanes(), used = std::min(count, jobs.size() - first);
  const auto job = [&](size_t lane) -> Job& { return jobs[first + std::min(lane, used - 1)]; };
  const int factor = netlist.oversampling;
  std::vector<Circuit> circuits;
  long frames = 0;
  for (size_t lane = 0; lane < count; ++lane) {
    circuits.push_back(build_circuit(netlist, job(lane).positions));
    frames = std::max(frames, long(job(lane).dry.size()));
  }
  Solver solver(circuits, 1 / (kRateHz * factor));
  const Interpolator interpolate(factor);
  const Decimator decimate(factor);
  const long lead = decimate.lead();
  // [-lead, piece + lead) around the piece that is decimated.
  std::vector<double> in(size_t(kPieceFrames * factor) * count),
      out(size_t((kPieceFrames + 2 * lead) * factor) * count);
  std::vector<double> wet(size_t(kPieceFrames) * count);
  for (size_t i = 0; i < out.size(); ++i) out[i] = solver.rest(i % count);
  if (solver.has_memory()) {
    const size_t steps = size_t(kTapeSettles * kRateHz) * size_t(factor);
    std::vector<double> silence(steps * count), settling(steps * count);
    solver.run(silence.data(), settling.data(), steps);
    const auto heard = std::ptrdiff_t(size_t(2 * lead * factor) * count);  // the bias is in it
    std::copy(settling.end() - heard, settling.end(), out.begin());
  }
  for (size_t lane = 0; lane < used; ++lane) job(lane).wet.assign(job(lane).dry.size(), 0);
  for (long done = -lead; done < frames; done += kPieceFrames) {
    // The solver is `lead` ahead of the decimator.
    const long begin = done + lead;
    for (size_t lane = 0; lane < count; ++lane) {
      interpolate.run(job(lane).dry, begin, kPieceFrames, in.data() + lane, count);
      for (size_t i = lane; i < in.size(); i += count) in[i] *= netlist.input_peak_volts;
    }
    double* fresh = out.data() + size_t(2 * lead * factor) * count;
    solver.run(in.data(), fresh, size_t(kPieceFrames * factor));
    decimate.run(out.data(), count, kPieceFrames, wet.data());
    for (size_t lane = 0; lane < used; ++lane) {
      std::vector<float>& all = job(lane).wet;
      for (long t = std::max(0L, done); t < std::min(long(all.size()), done + kPieceFrames); ++t)
        all[size_t(t)] = float((wet[size_t(t - done) * count + lane] - solver.rest(lane)) / netlist.output_peak_volts);
    }
    std::copy(out.begin() + std::ptrdiff_t(size_t(kPieceFrames * factor) * count), out.end(), out.begin());
  }
  for (size_t lane = 0; lane < used && netlist.output_high_pass_hz > 0; ++lane)
    pass_high(job(lane).wet, netlist.output_high_pass_hz);
  return solver.failures();
}

}  // namespace

size_t render(const Netlist& netlist, std::vector<Job>& jobs, size_t threads) {
  std::atomic<size_t> next = 0, failures = 0;
  std::exception_ptr error;
  std::atomic<bool> failed = false;
  const auto work = [&] {
    try {
      for (size_t first; !failed && (first = next.fetch_add(lanes())) < jobs.size();)
        failures += render_group(netlist, jobs, first);
    } catch (...) {
      if (!failed.exchange(true)) error = std::current_exception();
    }
  };
  std::vector<std::thread> workers;
  for (size_t i = 1; i < threads; ++i) workers.emplace_back(work);
  work();
  for (std::thread& worker : workers) worker.join();
  if (error) std::rethrow_exception(error);
  return failures;
}

}  // namespace coil::circuits
