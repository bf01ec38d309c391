// Plans of settings to record, and gaps in a set of recordings.
#include <catch2/catch.hpp>
#include <algorithm>
#include <cmath>

#include "capture/knobs/settings.h"

using namespace coil::capture;

namespace {

bool holds(const std::vector<Setting>& settings, const Setting& wanted) {
  return std::find(settings.begin(), settings.end(), wanted) != settings.end();
}

std::string text_of(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

const std::vector<Knob> kKnobs = {{"drive", 0, 10}, {"tone", 0, 10}};

}  // namespace

TEST_CASE("a plan of more takes than a knob has positions repeats no setting") {
  for (const size_t knobs : {2, 3, 4}) {
    std::vector<Setting> plan = propose_settings({}, knobs, 200);
    std::sort(plan.begin(), plan.end());
    CHECK(std::adjacent_find(plan.begin(), plan.end()) == plan.end());
  }
}

TEST_CASE("a plan contains the corners, covers each knob evenly, and is deterministic") {
  const std::vector<Setting> plan = propose_settings({}, 2, 24);
  REQUIRE(plan.size() == 24);
  for (const Setting& corner : {Setting{0, 0}, Setting{1, 0}, Setting{0, 1}, Setting{1, 1}}) CHECK(holds(plan, corner));
  CHECK(gaps(plan, kKnobs).empty());
  CHECK(plan == propose_settings({}, 2, 24));
  for (size_t k : {0, 1}) {
    std::vector<double> positions;
    for (const Setting& setting : plan) positions.push_back(setting[k]);
    std::sort(positions.begin(), positions.end());
    for (size_t i = 1; i < positions.size(); ++i) CHECK(positions[i] - positions[i - 1] < 0.13);
  }
}

TEST_CASE("a grid of three positions does not show the taper, and the gaps are named") {
  std::vector<Setting> grid;
  for (const double drive : {0.0, 0.5, 1.0})
    for (const double tone : {0.0, 0.5, 1.0}) grid.push_back({drive, tone});
  const std::string said = text_of(gaps(grid, kKnobs));
  CHECK(said.find("drive was not recorded between 0 and 5") != std::string::npos);
  CHECK(said.find("tone was not recorded between 5 and 10") != std::string::npos);
  CHECK(said.find("corner") == std::string::npos);
  const std::vector<Setting> next = propose_settings(grid, 2, 8);
  for (const Setting& setting : next) CHECK_FALSE(holds(grid, setting));
  grid.insert(grid.end(), next.begin(), next.end());
  CHECK(gaps(grid, kKnobs).empty());
}

TEST_CASE("a missing corner is named, and proposed first") {
  std::vector<Setting> settings = propose_settings({}, 2, 24);
  settings.erase(std::find(settings.begin(), settings.end(), Setting{1, 0}));
  CHECK(text_of(gaps(settings, kKnobs)).find("corner drive=10 tone=0") != std::string::npos);
  CHECK(propose_settings(settings, 2, 3).front() == Setting{1, 0});
}
