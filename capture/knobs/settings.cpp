// Chooses settings that are far from each other, in the space of all knobs and in each knob's projection.
#include "capture/knobs/settings.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace coil::capture {
namespace {

constexpr double kLargestGap = 0.2;  // of a knob's range: 11 positions of a gain knob were enough, a grid of 3 or 4 was
                                     // not
constexpr double kNearCorner = 0.1;
constexpr size_t kMostKnobsWithCorners = 4;
constexpr size_t kCandidates = 4000;
constexpr double kSteps = 100;  // positions that a hand can set

double distance(const Setting& a, const Setting& b) {
  double sum = 0;
  for (size_t k = 0; k < a.size(); ++k) sum += (a[k] - b[k]) * (a[k] - b[k]);
  return std::sqrt(sum);
}

double nearest(std::span<const Setting> settings, const Setting& wanted) {
  double least = HUGE_VAL;
  for (const Setting& setting : settings) least = std::min(least, distance(setting, wanted));
  return least;
}

std::vector<Setting> corners(size_t knobs) {
  std::vector<Setting> all;
  if (knobs > kMostKnobsWithCorners) return all;
  for (size_t bits = 0; bits < size_t(1) << knobs; ++bits) {
    Setting corner;
    for (size_t k = 0; k < knobs; ++k) corner.push_back(double(bits >> k & 1));
    all.push_back(corner);
  }
  return all;
}

std::vector<Setting> missing_corners(std::span<const Setting> recorded, size_t knobs) {
  std::vector<Setting> missing;
  for (const Setting& corner : corners(knobs))
    if (nearest(recorded, corner) > kNearCorner) missing.push_back(corner);
  return missing;
}

// Halton's sequence: https://en.wikipedia.org/wiki/Halton_sequence
double radical_inverse(size_t index, size_t base) {
  double value = 0, share = 1;
  for (; index > 0; index /= base) value += double(index % base) * (share /= double(base));
  return value;
}

Setting candidate(size_t index, size_t knobs) {
  static constexpr size_t kBases[] = {2, 3, 5, 7, 11, 13, 17, 19};
  Setting setting;
  for (size_t k = 0; k < knobs; ++k) {
    setting.push_back(std::round(kSteps * radical_inverse(index + 1, kBases[k % std::size(kBases)])) / kSteps);
  }
  return setting;
}

// How informative a setting would be: its distance from all others, and from their positions of each knob. Once every
// position of a knob is taken, the distance from all others decides.
double worth(std::span<const Setting> known, const Setting& setting) {
  double worth = nearest(known, setting);
  for (size_t k = 0; k < setting.size(); ++k) {
    constexpr double kTaken = 1e-9;
    double own = 1;
    for (const Setting& other : known) own = std::min(own, std::abs(other[k] - setting[k]));
    worth *= std::pow(std::max(own, kTaken), 1 / double(setting.size()));
  }
  return worth;
}

double position(const Knob& knob, double normalised) { return knob.min + normalised * (knob.max - knob.min); }

}  // namespace

std::vector<Setting> propose_settings(std::span<const Setting> recorded, size_t knobs, size_t count) {
  std::vector<Setting> known(recorded.begin(), recorded.end()), proposed = missing_corners(recorded, knobs);
  proposed.resize(std::min(proposed.size(), count));
  known.insert(known.end(), proposed.begin(), proposed.end());
  while (proposed.size() < count) {
    Setting best;
    double most = -1;
    for (size_t i = 0; i < kCandidates; ++i) {
      Setting setting = candidate(i, knobs);
      const double value = worth(known, setting);
      if (value > most) most = value, best = std::move(setting);
    }
    proposed.push_back(best);
    known.push_back(best);
  }
  return proposed;
}

std::vector<std::string> gaps(std::span<const Setting> recorded, std::span<const Knob> knobs) {
  std::vector<std::string> found;
  for (size_t k = 0; k < knobs.size(); ++k) {
    std::vector<double> positions = {0, 1};
    for (const Setting& setting : recorded) positions.push_back(setting[k]);
    std::sort(positions.begin(), positions.end());
    for (size_t i = 1; i < positions.size(); ++i) {
      if (positions[i] - positions[i - 1] <= kLargestGap) continue;
      found.push_back(knobs[k].name + " was not recorded between " + number(position(knobs[k], positions[i - 1]), 4) +
                      " and " + number(position(knobs[k], positions[i]), 4) +
                      ": how its potentiometer turns there is not in the recordings");
    }
  }
  for (const Setting& corner : missing_corners(recorded, knobs.size())) {
    std::string text = "no recording is near the corner";
    for (size_t k = 0; k < knobs.size(); ++k)
      text += " " + knobs[k].name + "=" + number(position(knobs[k], corner[k]), 4);
    found.push_back(text);
  }
  return found;
}

}  // namespace coil::capture
