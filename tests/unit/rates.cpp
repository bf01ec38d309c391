// A model at other sample rates: rescaled steps, one copy for all users, and errors for models that cannot be rescaled.
#include <catch2/catch.hpp>
#include <cmath>
#include <complex>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "ssm/verify/reference.h"
#include "ssm/run/stream.h"
#include "tests/support/random_network.h"
#include "tests/support/runs.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;
using Catch::Matchers::Contains;

// `frame`: additional JSON fields.
std::string chain(const std::string& parts, const std::string& frame = "") {
  return R"({"model_type": "coil", "sample_rate": 48000, "d_input": 1, "d_model": 4, "d_output": 1,)" + frame +
         R"( "layers": [{"parts": [)" + parts + "]}]}";
}

const std::string kS4d = R"({"type": "s4d", "name": "mixer", "d_state": 4}, {"type": "tanh"})";
const std::string kFilm = R"({"type": "s4d", "name": "mixer", "d_state": 4}, {"type": "film"}, {"type": "tanh"})";
const std::string kMamba = R"({"type": "mamba1", "name": "mixer", "d_state": 4})";
const std::string kSlow = R"("slow_path": {"hop_frames": 64, "n_features": 2, "d_model": 4,
  "layers": [{"parts": [{"type": "mamba1", "name": "mixer", "d_state": 4}]}]},)";

std::shared_ptr<const ssm::Model> model(const std::string& config) {
  return test::load(test::model_file(config, 1)).model();
}

}  // namespace

TEST_CASE("all requests for a rate share one copy of the model, whichever rate they start from") {
  const auto own = model(chain(kS4d));
  const auto doubled = own->at_rate(96000);
  CHECK(own->at_rate(96000) == doubled);
  CHECK(own->at_rate(48000) == own);
  CHECK(doubled->at_rate(48000) == own);
  CHECK(doubled->at_rate(96000) == doubled);
  CHECK(own->at_rate(44100)->at_rate(96000) == doubled);
  CHECK(doubled->hash() == own->hash());
  CHECK(doubled->target().name() == own->target().name());
  CHECK(doubled->config().sample_rate_hz == 96000);
  CHECK(doubled->state_layout()->size == own->state_layout()->size);
}

TEST_CASE("a rescaled model that nobody holds is freed, and rebuilt on request") {
  auto own = model(chain(kS4d));
  const std::weak_ptr<const ssm::Model> first = own->at_rate(96000);
  CHECK(first.expired());
  const auto again = own->at_rate(96000);
  CHECK(again->config().sample_rate_hz == 96000);
  own.reset();
  CHECK(again->at_rate(48000)->config().sample_rate_hz == 48000);
}

TEST_CASE("a model at another rate does not need its file") {
  const test::TempDir folder;
  test::model_file(chain(kS4d), 1).write(folder / "model.safetensors");
  const auto own = ssm::Model::load(folder / "model.safetensors");
  const auto expected = own->at_rate(96000);
  ssm::State state = expected->initial_state(), other = state;
  test::Random random(2);
  const auto in = test::random_signal(200, random);
  const auto first = test::run_steps(expected, state, in);
  const auto again = ssm::Model::load(folder / "model.safetensors");
  std::filesystem::resize_file(folder / "model.safetensors", 10);
  CHECK(test::same_bits(test::run_steps(again->at_rate(96000), other, in), first));
}

TEST_CASE("everything counted in frames has the same duration at every rate") {
  test::ModelFile file = test::model_file(chain(kFilm, kSlow + R"("controls": {"count": 1, "hidden": 3},)"), 1);
  file.card_json = R"({"name": "x", "controls": [{"name": "knob"}], "latency_frames": 100, "settle_frames": 4800})";
  const auto doubled = test::load(file).model()->at_rate(96000);
  CHECK(doubled->config().slow_path->hop_frames == 128);
  CHECK(doubled->config().control_ramp_frames == 2 * ssm::kControlRampFrames);
  CHECK(doubled->card().latency_frames == 200);
  CHECK(doubled->card().settle_frames == 9600);
  CHECK(doubled->card().sample_rate_hz == 96000);
  CHECK(test::load(file).model()->at_rate(12000)->config().slow_path->hop_frames == 16);
  const std::string hop_160 = std::string(kSlow).replace(kSlow.find("64"), 2, "160");
  CHECK(model(chain(kFilm, hop_160))->at_rate(44100)->config().slow_path->hop_frames ==
        147);  // 44100 / 48000 has no exact binary representation
}

TEST_CASE("a control's ramp has the same duration at another rate") {
  test::ModelFile file =
      test::model_file(R"({"model_type": "coil", "sample_rate": 48000, "d_model": 1, "layers": []})", 1);
  file.card_json =
      R"({"name": "x", "controls": [{"name": "level", "min": -40, "max": 12, "default": 0, "to": "output_gain_db"}]})";
  ssm::Stream stream(test::load(file).model()->at_rate(96000));
  const std::vector<float> ones(4096, 1.0f);
  std::vector<float> out(ones.size());
  stream.process(std::span(ones).first(1), std::span(out).first(1));
  stream.set_controls(std::vector<float>{-20});
  stream.process(ones, out);
  CHECK(out[1023] == Approx(1 - 0.9 / 2));
  CHECK(out[2046] > 0.1001f);
  CHECK(out[2047] == Approx(0.1));
}

TEST_CASE("parts that count in frames are not rescaled, and the message names them") {
  CHECK_THROWS_WITH(model(chain(kMamba))->at_rate(44100),
                    Contains("cannot be rescaled to 44100 Hz") && Contains("Mamba part"));
  CHECK_THROWS_WITH(model(chain(kFilm, kSlow))->at_rate(44100), Contains("slow path, 64 frames at 48000 Hz"));
  CHECK_THROWS_WITH(model(R"({"model_type": "s4d", "d_model": 2, "d_state": 4})")->at_rate(44100),
                    Contains("states no sample_rate"));
  for (const double rate_hz : {0.0, -48000.0, 1e8, double(NAN)})
    CHECK_THROWS_WITH(model(chain(kS4d))->at_rate(rate_hz), Contains("between 1 and 1e7 Hz"));
  CHECK_THROWS_AS(ssm::Reference(test::load(test::model_file(chain(kMamba), 1)).checkpoint, 44100), Error);
}

TEST_CASE("rate_scaling is resample unless the config says steps, which a Mamba part rules out") {
  const auto parsed = [](const std::string& parts, const std::string& frame) {
    return ssm::parse_config(chain(parts, frame), "file").rate_scaling;
  };
  CHECK(parsed(kS4d, "") == ssm::RateScaling::resample);
  CHECK(parsed(kS4d, R"("rate_scaling": "resample",)") == ssm::RateScaling::resample);
  CHECK(parsed(kS4d, R"("rate_scaling": "steps",)") == ssm::RateScaling::steps);
  CHECK(parsed(kMamba, R"("rate_scaling": "resample",)") == ssm::RateScaling::resample);
  CHECK_THROWS_WITH(parsed(kS4d, R"("rate_scaling": "stretch",)"),
                    Contains("config.rate_scaling") && Contains("'steps' or 'resample'"));
  CHECK_THROWS_WITH(parsed(kS4d, R"("rate_scaling": true,)"), Contains("config.rate_scaling"));
  CHECK_THROWS_WITH(parsed(kMamba, R"("rate_scaling": "steps",)"),
                    Contains("config.rate_scaling must be 'resample'") && Contains("Mamba part"));
  CHECK_THROWS_WITH(model(R"({"model_type": "s4d", "d_model": 2, "d_state": 4, "rate_scaling": "steps"})"),
                    Contains("needs a sample_rate"));
}

TEST_CASE("states of different rates differ, and a file converts between them") {
  const test::TempDir folder;
  const auto own = model(chain(kS4d)), doubled = own->at_rate(96000);
  CHECK_FALSE(own->initial_state() == doubled->initial_state());
  test::Random random(3);
  ssm::State state = own->initial_state();
  test::run_steps(own, state, test::random_signal(300, random));
  state.save(folder / "state.safetensors");
  const ssm::State carried = ssm::State::load(folder / "state.safetensors", doubled->state_layout());
  const auto before = state.tensors(), after = carried.tensors();
  REQUIRE(before.size() == after.size());
  for (size_t i = 0; i < before.size(); ++i)
    CHECK(test::relative_error(after[i].values, before[i].values) <= 1e-6);  // a few roundings
}
