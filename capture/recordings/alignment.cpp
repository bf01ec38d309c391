// Finds the coarse offset by correlation, the drift by a line through the offsets of pieces, and the remaining delay by
// the excess phase.
#include "capture/recordings/alignment.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "capture/recordings/interpolation.h"
#include "capture/recordings/spectrum.h"

namespace coil::capture {
namespace {

constexpr size_t kMostPieces = 60;  // of a long recording that are examined: two minutes
constexpr double kPieceSeconds = 2;
constexpr size_t kNeighbours = 4;  // pieces on either side of a jump
// How much of a difference of phases remains once a jump of the delay is taken out. Joined takes differ in tone, or
// excite a device differently. There a delay explains less than half.
constexpr double kLeftByJump = 1.0 / 3;
constexpr size_t kSlowDown = 8;  // a whole long recording is searched at this fraction of its rate
constexpr double kLongSeconds = 120;
constexpr double kFineFrames = 48;  // how far a piece may be from its place after the rough alignment
constexpr double kChance = 8;       // in rms: unrelated signals can have whitened correlation peaks below this

// The pieces with the most energy, all of equal length, strongest first.
std::vector<size_t> strongest_pieces(std::span<const float> signal, size_t piece, size_t most) {
  std::vector<std::pair<double, size_t>> energies;
  for (size_t at = 0; at + piece <= std::max(signal.size(), piece); at += piece) {
    double energy = 0;
    for (size_t i = at; i < std::min(at + piece, signal.size()); ++i) energy += double(signal[i]) * signal[i];
    energies.emplace_back(energy, at);
  }
  std::sort(energies.rbegin(), energies.rend());
  std::vector<size_t> starts;
  for (size_t i = 0; i < std::min(most, energies.size()) && energies[i].first > 1e-3 * energies[0].first; ++i)
    starts.push_back(energies[i].second);
  return starts;
}

// The strongest piece of each of up to `most` equal sections, in order, so that a long recording is examined
// everywhere, in little time. Much quieter ones are left out.
std::vector<size_t> spread_pieces(std::span<const float> signal, size_t piece, size_t most) {
  const size_t pieces = std::max<size_t>(1, signal.size() / piece), sections = std::min(pieces, most);
  std::vector<std::pair<double, size_t>> strongest(sections);
  for (size_t i = 0; i < pieces; ++i) {
    double energy = 0;
    for (size_t t = i * piece; t < std::min((i + 1) * piece, signal.size()); ++t)
      energy += double(signal[t]) * signal[t];
    auto& best = strongest[i * sections / pieces];
    best = std::max(best, {energy, i * piece});
  }
  const double least = 1e-3 * std::max_element(strongest.begin(), strongest.end())->first;
  std::vector<size_t> starts;
  for (const auto& [energy, at] : strongest)
    if (energy > least) starts.push_back(at);
  return starts;
}

std::span<const float> piece_of(std::span<const float> signal, long at, size_t frames) {
  const size_t from = static_cast<size_t>(std::clamp<long>(at, 0, static_cast<long>(signal.size())));
  return signal.subspan(from, std::min(frames, signal.size() - from));
}

struct LocalDelay {
  double at = 0, delay = 0;  // both in frames
};

// The delays of the pieces whose delay is clear, near `around`; `tried` counts all pieces. Pieces are long enough for a
// sharp peak and short enough to show drift.
std::vector<LocalDelay> local_delays(std::span<const float> dry, std::span<const float> wet, double around,
                                     size_t piece, long margin, size_t& tried) {
  std::vector<LocalDelay> delays;
  for (const size_t at : spread_pieces(dry, piece, kMostPieces)) {
    const long from = static_cast<long>(at) + std::lround(around) - margin;
    const auto part = piece_of(dry, static_cast<long>(at), piece);
    const auto whole = piece_of(wet, from, piece + 2 * margin);
    if (part.size() < piece / 2 || whole.size() < piece / 2) continue;
    ++tried;
    const Match match = best_match(part, whole);
    if (match.peak_to_rms < kChance || std::abs(match.correlation) < 0.05) continue;
    delays.push_back({double(at) + piece / 2.0, double(std::max<long>(from, 0) + match.offset_frames) - double(at)});
  }
  return delays;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

double middle(const std::vector<LocalDelay>& points) {
  std::vector<double> delays;
  for (const LocalDelay& p : points) delays.push_back(p.delay);
  return delays.empty() ? 0 : median(delays);
}

struct Line {
  double at_zero = 0, slope = 0;
};

// Theil-Sen: the median of the slopes between all pairs of points, so that a few wrong pieces do not matter.
Line robust_line(const std::vector<LocalDelay>& points) {
  std::vector<double> slopes, offsets;
  for (size_t i = 0; i < points.size(); ++i) {
    for (size_t j = i + 1; j < points.size(); ++j)
      slopes.push_back((points[j].delay - points[i].delay) / (points[j].at - points[i].at));
  }
  Line line;
  if (!slopes.empty()) line.slope = median(slopes);
  for (const LocalDelay& p : points) offsets.push_back(p.delay - line.slope * p.at);
  if (!offsets.empty()) line.at_zero = median(offsets);
  return line;
}

double spread_around(const std::vector<LocalDelay>& points, const Line& line) {
  double sum = 0;
  for (const LocalDelay& p : points) sum += std::abs(p.delay - line.at_zero - line.slope * p.at);
  return sum;
}

// Lost samples cause a step in the delay; drift causes a slope.
struct Step {
  size_t split = 0;  // the first point after it
  double before = 0, behind = 0;
};

// The step that explains the delays much better than the line, if any.
std::optional<Step> find_step(const std::vector<LocalDelay>& points, const Line& line) {
  std::optional<Step> step;
  // A whole frame per point for rounding and for notes; is_jump() has the last word.
  double least = std::min(spread_around(points, line) / 2, double(points.size()));
  for (size_t split = 2; split + 2 <= points.size(); ++split) {
    const std::vector<LocalDelay> before(points.begin(), points.begin() + static_cast<long>(split));
    const std::vector<LocalDelay> behind(points.begin() + static_cast<long>(split), points.end());
    const double cost = spread_around(before, {middle(before), 0}) + spread_around(behind, {middle(behind), 0});
    if (cost >= least || std::abs(middle(before) - middle(behind)) < 2) continue;
    least = cost;
    step = {split, middle(before), middle(behind)};
  }
  return step;
}

// A piece under some alignment.
struct Piece {
  double at;  // its centre
  ResponseSum sum;
};

std::vector<Piece> aligned_pieces(std::span<const float> dry, std::span<const float> wet,
                                  const std::vector<size_t>& starts, size_t piece, const Line& line) {
  std::vector<Piece> pieces;
  for (const size_t at : starts) {
    const auto part = piece_of(dry, static_cast<long>(at), piece);
    pieces.push_back({double(at) + double(piece) / 2, ResponseSum()});
    pieces.back().sum.add(part,
                          read_between(wet, line.at_zero + double(at) * (1 + line.slope), 1 + line.slope, part.size()));
  }
  return pieces;
}

LinearResponse response_of(std::span<const Piece> pieces) {
  ResponseSum sum;
  for (const Piece& piece : pieces) sum.add(piece.sum);
  return sum.response();
}

// The delays of pieces to a fraction of a frame: the response of each compared with the response of all.
std::vector<LocalDelay> fine_delays(const std::vector<Piece>& pieces, const LinearResponse& all) {
  std::vector<LocalDelay> delays;
  for (const Piece& piece : pieces)
    delays.push_back({piece.at, relative_delay(piece.sum.response(), all, kFineFrames).frames});
  return delays;
}

bool is_jump(std::span<const Piece> before, std::span<const Piece> behind, double search_frames) {
  const RelativeDelay delay = relative_delay(response_of(behind), response_of(before), search_frames);
  return 1 - delay.agreement < kLeftByJump * (1 - delay.agreement_without);
}

// Returns the drift if the delay that it adds over `frames` is significant and large enough to matter, else no drift.
Line significant(Line line, const std::vector<LocalDelay>& points, double frames, double least_frames) {
  if (points.size() >= 4) {
    std::vector<double> residuals;
    for (const LocalDelay& p : points) residuals.push_back(std::abs(p.delay - line.at_zero - line.slope * p.at));
    const double sigma = 1.4826 * median(residuals);
    const double span = points.back().at - points.front().at;
    const double slope_error = sigma / (std::sqrt(double(points.size())) * span / std::sqrt(12.0));
    if (std::abs(line.slope) > (least_frames < 1 ? 2 : 5) * slope_error && std::abs(line.slope) * frames > least_frames)
      return line;
  }
  return {middle(points), 0};
}

// For recordings without high frequencies, the fitted delay can exceed the true one: within this many frames, a delay
// cannot be told from the response of the device. The constants bound what 40 pairs of a simulated overdrive and preamp
// showed: under 1 frame for wide-band sound, up to 10 for a dark guitar through much drive.
double delay_margin(const LinearResponse& response, double fit) {
  double coherent_bins = 0;
  for (const double c : response.coherence) coherent_bins += c;
  return std::min(kMostMarginFrames, response.fft_frames() / (6 * coherent_bins + 1) + 60 * (1 - fit));
}

// Finds positions where the delay changes from one value to another; drift was already removed.
std::vector<double> find_jumps(const std::vector<LocalDelay>& delays, std::span<const Piece> pieces,
                               double sample_rate_hz) {
  std::vector<double> jumps;
  for (size_t i = 2; i + 1 < delays.size(); ++i) {
    const double before = (delays[i - 1].delay + delays[i - 2].delay) / 2,
                 behind = (delays[i].delay + delays[i + 1].delay) / 2;
    const double spread =
        std::abs(delays[i - 1].delay - delays[i - 2].delay) + std::abs(delays[i].delay - delays[i + 1].delay);
    if (std::abs(behind - before) > 0.75 + 2 * spread &&
        is_jump(pieces.subspan(i - 2, 2), pieces.subspan(i, 2), kFineFrames))
      jumps.push_back((delays[i - 1].at + delays[i].at) / 2 / sample_rate_hz);
  }
  return jumps;
}

// The offset of the strongest pieces, looked for up to `reach` frames around none. An offset that several pieces share
// is no chance match; where only one piece is known, its peak decides.
std::optional<long> coarse_offset(std::span<const float> dry, std::span<const float> wet, size_t piece, size_t reach) {
  std::vector<Match> matches;
  for (const size_t at : strongest_pieces(dry, std::min(piece, dry.size()), 3)) {
    const long from = std::max<long>(0, static_cast<long>(at) - static_cast<long>(reach));
    const size_t until = std::min(at + piece + reach, wet.size());
    if (size_t(from) >= until) continue;
    Match match =
        best_match(piece_of(dry, static_cast<long>(at), piece), wet.subspan(size_t(from), until - size_t(from)));
    match.offset_frames += static_cast<int>(from) - static_cast<int>(at);
    if (match.peak_to_rms >= kChance) matches.push_back(match);
  }
  const bool everywhere = reach >= std::max(dry.size(), wet.size());
  std::optional<Match> best;
  for (const Match& match : matches) {
    const auto agrees = [&](const Match& other) {
      return &other != &match && std::abs(other.offset_frames - match.offset_frames) < long(piece) / 40;
    };
    if (!everywhere && std::none_of(matches.begin(), matches.end(), agrees)) continue;
    if (!best || match.peak_to_rms > best->peak_to_rms) best = match;
  }
  return best ? std::optional<long>(best->offset_frames) : std::nullopt;
}

// Fits a line to the delays of the pieces. If samples were lost, fits the larger part, and notes the place.
Line rough_line(std::span<const float> dry, std::span<const float> wet, const std::vector<LocalDelay>& rough,
                size_t piece, double offset, Alignment& alignment, double sample_rate_hz) {
  Line line = rough.size() < 3 ? Line{offset, 0} : robust_line(rough);
  const auto pieces_of = [&](size_t first, size_t last, double delay) {
    std::vector<size_t> starts;
    for (size_t i = first; i < last; ++i) starts.push_back(size_t(rough[i].at - double(piece) / 2));
    return aligned_pieces(dry, wet, starts, piece, {delay, 0});
  };
  if (const auto step = find_step(rough, line)) {
    // The step lies in one of the two pieces beside it.
    const size_t split = step->split, last = split - 1, first = std::min(split + 1, rough.size() - 1);
    const auto before = pieces_of(last - std::min(last, kNeighbours), std::max<size_t>(last, 1), step->before);
    const auto behind = pieces_of(first, std::min(first + kNeighbours, rough.size()), step->before);
    if (is_jump(before, behind, std::abs(step->behind - step->before) + kFineFrames)) {
      alignment.jumps_seconds.push_back((rough[step->split - 1].at + rough[step->split].at) / 2 / sample_rate_hz);
      return {2 * step->split > rough.size() ? step->before : step->behind, 0};
    }
  }
  // Movements of a few frames are left to the finer estimate, because distortion moves the peak of a correlation by as
  // much.
  const double span = rough.empty() ? 0 : rough.back().at - rough.front().at;
  if (std::abs(line.slope) * span < 12) return {line.at_zero + line.slope * double(dry.size()) / 2, 0};
  return line;
}

Alignment align_around(std::span<const float> dry, std::span<const float> wet, double sample_rate_hz, long offset) {
  Alignment alignment;
  // Without overlap there is nothing to compare. From here on `dry` starts at the overlap.
  const long from = std::clamp<long>(-offset, 0, long(dry.size())),
             until = std::clamp<long>(long(wet.size()) - offset, from, long(dry.size()));
  dry = dry.subspan(size_t(from), size_t(until - from));
  offset += from;
  const size_t pieces_there = std::max<size_t>(1, size_t(double(dry.size()) / (kPieceSeconds * sample_rate_hz) + 0.5));
  const size_t piece = dry.size() / pieces_there;

  size_t tried = 0;
  auto rough = local_delays(dry, wet, double(offset), piece, static_cast<long>(sample_rate_hz / 10), tried);
  // Drift and lost samples move a piece by some hundreds of frames. A larger offset is a chance match.
  const double typical = middle(rough);
  std::erase_if(rough, [&](const LocalDelay& p) { return std::abs(p.delay - typical) > sample_rate_hz / 50; });
  if (rough.size() * 2 < tried) return alignment;
  Line line = rough_line(dry, wet, rough, piece, double(offset), alignment, sample_rate_hz);
  const std::vector<size_t> starts = spread_pieces(dry, piece, kMostPieces);
  double margin = 0;
  constexpr int kRounds = 3;  // each round starts from a better alignment
  for (int round = 0; round < kRounds; ++round) {
    const std::vector<Piece> pieces = aligned_pieces(dry, wet, starts, piece, line);
    const LinearResponse response = response_of(pieces);
    const ExcessDelay excess = excess_delay(response, 64);
    alignment.inverted = excess.inverted;
    alignment.confidence = excess.fit;
    margin = delay_margin(response, excess.fit);
    // The notes of a guitar move pieces by a few frames, which looks like drift in a short recording.
    const double least_drift = double(dry.size()) < 20 * sample_rate_hz ? 4 + 2 * margin : std::max(1.0, margin);
    const auto delays = fine_delays(pieces, response);
    const Line rest =
        significant(robust_line(delays), delays, double(dry.size()), line.slope != 0 ? 0.01 : least_drift);
    line.at_zero += excess.frames + rest.at_zero;
    line.slope += rest.slope;
    if (round == kRounds - 1) {
      std::vector<LocalDelay> flat = delays;
      for (LocalDelay& d : flat) d.delay -= rest.at_zero + rest.slope * d.at;
      if (alignment.jumps_seconds.empty()) alignment.jumps_seconds = find_jumps(flat, pieces, sample_rate_hz);
    }
  }
  line.at_zero -= double(from) * (1 + line.slope);
  for (double& at : alignment.jumps_seconds) at += double(from) / sample_rate_hz;
  // The pair must stay causal: a model can learn a delay of a few frames, but not the future. A delay within the margin
  // of 0 means that the pair was aligned before.
  line.at_zero = line.slope == 0 && std::abs(line.at_zero) <= margin + 1 ? 0 : line.at_zero - margin;
  alignment.found = alignment.confidence > 0.3;
  alignment.delay_frames = line.at_zero;
  alignment.drift_ppm = line.slope * 1e6;
  return alignment;
}

std::vector<float> slowed_down(std::span<const float> signal) {
  std::vector<float> means(signal.size() / kSlowDown);
  for (size_t i = 0; i < means.size() * kSlowDown; ++i) means[i / kSlowDown] += signal[i] / float(kSlowDown);
  return means;
}

// The offset to within some frames.
std::optional<long> offset_anywhere(std::span<const float> dry, std::span<const float> wet, size_t piece,
                                    double sample_rate_hz) {
  const size_t all = std::max(dry.size(), wet.size());
  if (double(all) < kLongSeconds * sample_rate_hz) return coarse_offset(dry, wet, piece, all);
  const std::vector<float> slow_dry = slowed_down(dry), slow_wet = slowed_down(wet);
  const std::optional<long> offset = coarse_offset(slow_dry, slow_wet, piece / kSlowDown, all / kSlowDown);
  return offset ? std::optional<long>(*offset * long(kSlowDown)) : std::nullopt;
}

}  // namespace

// The nearest offset first: most recordings start within a second of each other, to search all of a long one takes
// minutes, and a loop fits equally well one turn later.
Alignment find_alignment(std::span<const float> dry, std::span<const float> wet, double sample_rate_hz) {
  const auto piece = static_cast<size_t>(4 * sample_rate_hz);
  const size_t everywhere = std::max(dry.size(), wet.size());
  Alignment alignment;
  for (const double reach_s : {1.0, 10.0, HUGE_VAL}) {
    const auto reach = static_cast<size_t>(std::min(reach_s * sample_rate_hz, double(everywhere)));
    const std::optional<long> offset =
        reach == everywhere ? offset_anywhere(dry, wet, piece, sample_rate_hz) : coarse_offset(dry, wet, piece, reach);
    if (offset) alignment = align_around(dry, wet, sample_rate_hz, *offset);
    if (alignment.found || reach == everywhere) break;
  }
  return alignment;
}

std::vector<float> aligned(std::span<const float> wet, size_t dry_frames, const Alignment& alignment) {
  std::vector<float> out = read_between(wet, alignment.delay_frames, 1 + alignment.drift_ppm * 1e-6, dry_frames);
  if (alignment.inverted) {
    for (float& sample : out) sample = -sample;
  }
  return out;
}

}  // namespace coil::capture
