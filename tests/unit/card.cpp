// Parsing of cards: contents, defaults, and an error for every fault.
#include "ssm/model/card.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"

namespace {

using namespace coil;
using Json = nlohmann::json;

Json green_drive() {
  return Json::parse(R"({
    "name": "Green Drive", "task": "overdrive", "description": "warm", "sample_rate": 48000, "channels": 2,
        "latency_frames": 12,
    "controls": [
      {"name": "drive", "min": 0, "max": 10, "default": 2.5, "to": "network"},
      {"name": "level", "min": -40, "max": 12, "default": 0, "unit": "dB", "to": "output_gain_db"},
      {"name": "tone", "min": -1, "max": 1, "description": "dark to bright"}],
    "training": {"steps": 3}, "licence": "CC0-1.0"})");
}

void refuses(const Json& json, int network_controls, const std::string& naming) {
  INFO(json.dump());
  try {
    ssm::parse_card(json.dump(), network_controls, "drive.safetensors");
  } catch (const Error& error) {
    CHECK_THAT(error.what(), Catch::Contains("drive.safetensors") && Catch::Contains(naming));
    return;
  }
  FAIL_CHECK("the card was accepted, it should be refused for " << naming);
}

TEST_CASE("a card is read") {
  const std::string text = green_drive().dump();
  const ssm::Card card = ssm::parse_card(text, 2, "drive.safetensors");
  CHECK(card.name == "Green Drive");
  CHECK(card.task == "overdrive");
  CHECK(card.description == "warm");
  CHECK(card.licence == "CC0-1.0");
  CHECK(card.sample_rate_hz == 48000);
  CHECK(card.channels == 2);
  CHECK(card.latency_frames == 12);
  CHECK(card.json == text);
  REQUIRE(card.controls.size() == 3);
  CHECK(card.controls[0].name == "drive");
  CHECK(card.controls[0].default_value == 2.5);
  CHECK(card.controls[0].to == ssm::Control::To::network);
  CHECK(card.controls[0].normalised(2.5) == 0.25);
  CHECK(card.controls[1].to == ssm::Control::To::output_gain_db);
  CHECK(card.controls[1].unit == "dB");
  CHECK(card.controls[2].to == ssm::Control::To::network);
  CHECK(card.controls[2].description == "dark to bright");
  CHECK(card.controls[2].normalised(-1) == 0);
  CHECK(card.controls[2].normalised(1) == 1);
}

TEST_CASE("without a card the network's controls get names and the range 0 to 1") {
  const ssm::Card card = ssm::parse_card("", 2, "drive.safetensors");
  CHECK(card.json.empty());
  REQUIRE(card.controls.size() == 2);
  CHECK(card.controls[0].name == "control_0");
  CHECK(card.controls[1].name == "control_1");
  CHECK(card.controls[1].min == 0);
  CHECK(card.controls[1].max == 1);
  CHECK(card.controls[1].to == ssm::Control::To::network);
}

TEST_CASE("the number of network controls must be the network's") {
  refuses(green_drive(), 1, "2");
  refuses(green_drive(), 3, "3");
  refuses(Json::object(), 1, "control");
}

TEST_CASE("every faulty field of a card is named") {
  const auto changed = [](const char* pointer, const Json& value) {
    Json json = green_drive();
    json[Json::json_pointer(pointer)] = value;
    return json;
  };
  refuses(changed("/name", 3), 2, "name");
  refuses(changed("/sample_rate", -1), 2, "sample_rate");
  refuses(changed("/sample_rate", "48k"), 2, "sample_rate");
  refuses(changed("/channels", 0), 2, "channels");
  refuses(changed("/latency_frames", -1), 2, "latency_frames");
  refuses(changed("/latency_frames", 1.5), 2, "latency_frames");
  refuses(changed("/controls", 3), 2, "controls");
  refuses(changed("/controls/0", 3), 2, "controls[0]");
  refuses(changed("/controls/0/name", nullptr), 2, "controls[0].name");
  refuses(changed("/controls/0/min", 10), 2, "controls[0]");
  refuses(changed("/controls/0/max", "high"), 2, "controls[0].max");
  refuses(changed("/controls/1/default", 13), 2, "controls[1].default");
  refuses(changed("/controls/1/to", "speaker"), 2, "controls[1].to");
  refuses(changed("/controls/2/name", "drive"), 2, "drive");
  CHECK_THROWS_AS(ssm::parse_card("{", 0, "x"), Error);
  CHECK_THROWS_AS(ssm::parse_card("[]", 0, "x"), Error);
}

}  // namespace
