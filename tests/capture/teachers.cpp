// Captures of other programs: each kind gives the output of its own core, and unreadable files cause a one-line error.
#include <catch2/catch.hpp>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "capture/teachers/lesson.h"
#include "capture/teachers/teacher.h"
#include "ssm/model/safetensors.h"
#include "tests/support/temp_dir.h"

using namespace coil::capture;
using Catch::Matchers::Contains;
using Json = nlohmann::json;

namespace {

const std::filesystem::path kFolder = COIL_CAPTURE_TESTS_DIR "/teachers";
constexpr float kKnob = 0.3f;  // as in make_teachers.py

std::vector<float> play(Teacher& teacher, const std::vector<float>& sound, size_t block) {
  const size_t inputs = teacher.network->inputs();
  std::vector<float> in(sound.size() * inputs, kKnob), out(sound.size());
  for (size_t t = 0; t < sound.size(); ++t) in[t * inputs] = sound[t];
  for (size_t t = 0; t < sound.size(); t += block)
    teacher.network->process(&in[t * inputs], std::min(block, sound.size() - t), &out[t]);
  return out;
}

float difference(const std::vector<float>& a, const std::vector<float>& b) {
  float most = 0;
  for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

Json read_json(const std::filesystem::path& path) { return Json::parse(std::ifstream(path)); }

}  // namespace

TEST_CASE("every kind of capture gives the output of its own core") {
  const coil::ssm::Safetensors vectors = coil::ssm::Safetensors::open(kFolder / "outputs.safetensors");
  const std::vector<float> sound = vectors.tensors().at("input").to_floats();
  size_t kinds = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (entry.path().extension() == ".safetensors") continue;
    ++kinds;
    const std::string name = entry.path().stem();
    INFO(name);
    const std::vector<float> wanted = vectors.tensors().at(name).to_floats();
    Teacher teacher = read_teacher(entry.path());
    // Neural Amp Modeler's core processes silence before it plays; the others start from zeros.
    if (teacher.program == "Neural Amp Modeler") teacher.network->settle();
    Teacher again = read_teacher(entry.path());
    again.network = teacher.network->clone();
    const std::vector<float> out = play(teacher, sound, 64);
    const auto [low, high] = std::minmax_element(wanted.begin(), wanted.end());
    CHECK(difference(out, wanted) <= std::min(1e-5f, 1e-4f * (*high - *low)));
    CHECK(difference(play(again, sound, 37), out) <= 1e-6f);
  }
  CHECK(kinds == 31);
}

TEST_CASE("a capture's metadata is kept") {
  const Teacher a1 = read_teacher(kFolder / "a1_wavenet.nam");
  CHECK(a1.architecture == "WaveNet");
  CHECK(a1.metadata.at("modeled_by") == "make_teachers.py");
  CHECK(a1.input_level_dbu == 18.3);
  CHECK(a1.output_level_dbu == 12.3);
  CHECK(a1.licence.empty());
  CHECK(a1.sample_rate_hz == 48000);
  const Teacher aida = read_teacher(kFolder / "aida_lstm.json");
  CHECK(aida.program == "AIDA-X");
  CHECK(aida.licence == "CC0");
  CHECK(aida.sample_rate_hz == 44100);
  CHECK(read_teacher(kFolder / "aida_knob.json").knobs == 1);
  const Teacher proteus = read_teacher(kFolder / "proteus.json");
  CHECK(proteus.program == "Proteus");
  CHECK(proteus.sample_rate_hz == 44100);
  CHECK_THAT(read_teacher(kFolder / "container.nam").notes.at(0), Contains("2 sizes"));
}

TEST_CASE("an unreadable capture gives a one-line error") {
  coil::test::TempDir folder;
  const std::filesystem::path path = folder.path() / "bad.nam";
  const auto message = [&](const std::string& text) -> std::string {
    std::ofstream(path) << text;
    try {
      read_teacher(path);
    } catch (const coil::Error& error) {
      return error.what();
    }
    return "read";
  };
  const auto changed = [&](const char* file, const char* pointer, const Json& value) {
    Json json = read_json(kFolder / file);
    json[Json::json_pointer(pointer)] = value;
    return message(json.dump());
  };
  const auto removed = [&](const char* file, const char* place, const char* key) {
    Json json = read_json(kFolder / file);
    json[Json::json_pointer(place)].erase(key);
    return message(json.dump());
  };
  CHECK_THAT(message(""), Contains("bad.nam' is not valid JSON"));
  CHECK_THAT(message("[1]"), Contains("must be a JSON object"));
  CHECK_THAT(message("{}"), Contains("is not a capture that Coil knows"));
  CHECK_THAT(changed("lstm.nam", "/architecture", "CatLSTM"), Contains("'CatLSTM' is not known; WaveNet, LSTM"));
  CHECK_THAT(changed("lstm.nam", "/version", "0.4.0"), Contains(".version must be from 0.5.0 to 0.7.x, found '0.4.0'"));
  CHECK_THAT(changed("lstm.nam", "/version", "1.0"), Contains("found '1.0'"));
  CHECK_THAT(removed("lstm.nam", "", "weights"), Contains(".weights is missing"));
  CHECK_THAT(removed("lstm.nam", "/config", "hidden_size"), Contains(".config.hidden_size is missing"));
  CHECK_THAT(changed("lstm.nam", "/config/hidden_size", 5), Contains("has 109 weights; its layers need more"));
  CHECK_THAT(changed("lstm.nam", "/config/hidden_size", 3), Contains("has 109 weights; its layers need"));
  CHECK_THAT(changed("lstm.nam", "/config/hidden_size", 1e9), Contains("a whole number from 1 to 4096"));
  CHECK_THAT(changed("lstm.nam", "/weights/3", "x"), Contains("entry 3 is none"));
  CHECK_THAT(changed("lstm.nam", "/weights/3", 1e300), Contains("entry 3 is none"));
  CHECK_THAT(changed("a1_wavenet.nam", "/config/layers", Json::array()), Contains("a list of layer arrays"));
  CHECK_THAT(changed("a1_wavenet.nam", "/config/layers/0/activation", "Snake"), Contains("'Snake' is not known"));
  CHECK_THAT(changed("a2_activations.nam", "/config/layers/0/activation/10/negative_slopes", 3),
             Contains("negative_slopes must be a list of numbers"));
  CHECK_THAT(changed("a1_wavenet.nam", "/config/layers/1/input_size", 5), Contains("must be"));
  CHECK_THAT(changed("a1_wavenet.nam", "/config/layers/0/dilations", 3), Contains("a list of whole numbers"));
  CHECK_THAT(changed("a1_wavenet.nam", "/config/layers/0/dilations/0", 1 << 30), Contains("a list of whole numbers"));
  CHECK_THAT(changed("a2_wavenet.nam", "/config/layers/0/kernel_sizes", Json{1, 2}), Contains("a list of 3 numbers"));
  CHECK_THAT(changed("a2_grouped.nam", "/config/layers/0/groups_input", 3), Contains("cannot be cut into 3 groups"));
  CHECK_THAT(changed("a2_film_mixed.nam", "/config/layers/0/gating_mode/0", "x"), Contains("none, gated or blended"));
  CHECK_THAT(changed("a1_wavenet.nam", "/sample_rate", 10), Contains("a sample rate that no sound has"));
  CHECK_THAT(changed("container.nam", "/config/submodels", Json::array()), Contains("a list of networks"));
  CHECK_THAT(changed("aida_lstm.json", "/layers/0/type", "rnn"), Contains(".type must be lstm, gru, dense"));
  CHECK_THAT(changed("aida_lstm.json", "/layers/0/weights/1", Json::array()), Contains("a list of 4 lists, found 0"));
  CHECK_THAT(removed("aida_lstm.json", "/layers/0", "shape"), Contains("layers[0].shape is missing"));
  CHECK_THAT(changed("proteus.json", "/model_data/unit_type", "RNN"), Contains("LSTM or GRU"));
  CHECK_THAT(removed("proteus.json", "/state_dict", "rec.bias_hh_l0"), Contains("rec.bias_hh_l0 is missing"));
  CHECK_THAT(changed("proteus.json", "/state_dict/lin.weight", Json{{1, 2}}), Contains("a list of 4 numbers, found 2"));
}

TEST_CASE("unknown fields of a network and newer versions cause warnings") {
  coil::test::TempDir folder;
  const std::filesystem::path path = folder.path() / "newer.nam";
  Json json = read_json(kFolder / "a1_wavenet.nam");
  json["version"] = "0.7.4";
  json["config"]["layers"][0]["warp"] = 2;
  std::ofstream(path) << json.dump();
  const Teacher teacher = read_teacher(path);
  REQUIRE(teacher.warnings.size() == 2);
  CHECK_THAT(teacher.warnings[0], Contains("0.7.4, is newer"));
  CHECK_THAT(teacher.warnings[1], Contains("layers[0].warp is not known"));
}

TEST_CASE("a capture starts settled, and its output at rest is subtracted from the takes") {
  double last = 0;
  LessonOptions options;
  options.dry.push_back({std::vector<float>(2400, 0.25f), 1, 24000, "more"});
  options.progress = [&](double done) {
    CHECK(done >= last);
    last = done;
  };
  const std::optional<Lesson> lesson = make_lesson(kFolder / "a1_wavenet.nam", options);
  REQUIRE(lesson);
  CHECK(last > 0.9);
  CHECK(lesson->sample_rate_hz == 48000);
  REQUIRE(lesson->takes.size() == 1);
  const Take& take = lesson->takes[0];
  REQUIRE(take.dry.size() == take.wet.size());
  // The built-in signal, more playing, and 0.1 s of given sound, half a second apart, at the capture's rate.
  CHECK(take.dry.size() == size_t(182.1 * 48000));
  CHECK(take.dry[take.dry.size() - 2400] == Approx(0.25).margin(0.01));
  CHECK(std::abs(lesson->rest) > 1e-3);
  for (size_t t = 0; t < 100; ++t) CHECK(std::abs(take.wet[t]) < 1e-6);
  // After the signal's end everything has settled again.
  CHECK(std::abs(take.wet[size_t(61.3 * 48000)]) < 1e-6);
  CHECK_THAT(lesson->notes.back(), Contains("in silence; the model is silent there"));
}

TEST_CASE("Each setting of a capture's knobs becomes a take, and a conversion can be stopped") {
  size_t asked = 0;
  LessonOptions options;
  options.stop = [&] { return ++asked > 4; };
  CHECK_FALSE(make_lesson(kFolder / "a1_wavenet.nam", options));
  CHECK(asked == 5);
  const std::optional<Lesson> lesson = make_lesson(kFolder / "aida_knob.json", {});
  REQUIRE(lesson);
  REQUIRE(lesson->knobs.size() == 1);
  CHECK(lesson->takes.size() == 7);
  CHECK(lesson->takes[0].knobs == std::vector<double>{0});
  CHECK(lesson->takes[1].knobs == std::vector<double>{1});
  CHECK(lesson->takes[0].wet != lesson->takes[1].wet);
}
