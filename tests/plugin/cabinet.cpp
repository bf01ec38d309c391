// The cabinet and the equaliser of the processor: files, sessions, undo, and the sound.
#include "plugin/cabinet.h"

#include <juce_audio_formats/juce_audio_formats.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "dsp/equaliser.h"
#include "dsp/rig.h"
#include "dsp/rig_chain.h"
#include "tests/plugin/offline_rig.h"
#include "tests/plugin/processor_calls.h"
#include "tests/plugin/sessions.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;
using plugin::Processor;
using Kind = plugin::MicrophoneStatus::Kind;
using test::finish, test::kBlock, test::open, test::run, test::saved, test::set, test::wait_for;

constexpr double kRate = 48000;

juce::File at(const std::filesystem::path& path) { return juce::File(path.string()); }

// Decaying noise, similar to a cabinet's response.
std::vector<std::vector<float>> response(size_t channels, size_t frames) {
  auto planes = test::noise(channels, frames);
  for (auto& plane : planes)
    for (size_t i = 0; i < frames; ++i) plane[i] *= std::exp(-6 * float(i) / float(frames));
  return {planes.begin(), planes.end()};
}

void write(const juce::File& file, const std::vector<std::vector<float>>& planes, double rate_hz, int bits = 24) {
  juce::AudioFormatManager formats;
  formats.registerBasicFormats();
  auto* format = formats.findFormatForFileExtension(file.getFileExtension());
  REQUIRE(format);
  file.deleteFile();
  auto stream = file.createOutputStream();
  std::unique_ptr<juce::AudioFormatWriter> writer(
      format->createWriterFor(stream.release(), rate_hz, unsigned(planes.size()), bits, {}, 0));
  REQUIRE(writer);
  std::vector<const float*> channels;
  for (const auto& plane : planes) channels.push_back(plane.data());
  REQUIRE(writer->writeFromFloatArrays(channels.data(), int(planes.size()), int(planes[0].size())));
}

void load_response(Processor& processor, int microphone, const juce::File& file) {
  processor.load_response(microphone, file);
  REQUIRE(wait_for([&] { return processor.microphone(microphone).kind != Kind::loading; }));
  finish();
}

double largest_difference(const test::Planes& a, const test::Planes& b) {
  double most = 0;
  for (size_t c = 0; c < a.size(); ++c)
    for (size_t i = 0; i < a[c].size(); ++i) most = std::max(most, std::abs(double(a[c][i]) - double(b[c][i])));
  return most;
}

double peak(const test::Planes& planes) {
  double most = 0;
  for (const auto& plane : planes)
    for (const float value : plane) most = std::max(most, std::abs(double(value)));
  return most;
}

float session_value(Processor& processor, const char* id) { return saved(processor).chain.at(id); }

TEST_CASE("a response loads from WAV, AIFF and FLAC, mono and stereo, at any rate") {
  const test::TempDir dir;
  const char* const extension = GENERATE("wav", "aiff", "flac");
  const size_t channels = GENERATE(1u, 2u);
  const double rate_hz = GENERATE(44100.0, 96000.0);
  const auto planes = response(channels, 3000);
  const juce::File file = at(dir / ("cone." + std::string(extension)));
  write(file, planes, rate_hz);
  const plugin::MicrophoneContent loaded = plugin::microphone_with(file);
  CHECK(loaded.name == "cone");
  CHECK(loaded.remark == "");
  REQUIRE(loaded.response);
  CHECK(loaded.response->sample_rate_hz == rate_hz);
  REQUIRE(loaded.response->channels.size() == channels);
  REQUIRE(loaded.response->channels[0].size() == 3000);
  for (size_t c = 0; c < channels; ++c)
    for (size_t i = 0; i < 3000; ++i)
      REQUIRE(loaded.response->channels[c][i] == Approx(planes[c][i]).margin(2.0 / (1 << 23)));
  CHECK(loaded.response->channels.back() != std::vector<float>(3000));
}

TEST_CASE("a file that is not an impulse response is rejected with the reason, and the sound continues") {
  const test::TempDir dir;
  const auto error_of = [](const juce::File& file) -> std::string {
    try {
      plugin::microphone_with(file);
    } catch (const Error& error) {
      return error.what();
    }
    return "loaded";
  };
  CHECK_THAT(error_of(at(dir / "none.wav")), Catch::Contains("none.wav: cannot be opened"));
  std::ofstream(dir / "text.wav") << "no sound at all";
  CHECK_THAT(error_of(at(dir / "text.wav")), Catch::Contains("text.wav: is not a WAV, AIFF or FLAC file"));
  write(at(dir / "three.wav"), response(3, 100), kRate);
  CHECK_THAT(error_of(at(dir / "three.wav")), Catch::Contains("three.wav: has 3 channels"));
  write(at(dir / "silent.wav"), {std::vector<float>(100)}, kRate);
  CHECK_THAT(error_of(at(dir / "silent.wav")), Catch::Contains("silent.wav: is an impulse response that is silent"));
  write(at(dir / "empty.wav"), {std::vector<float>()}, kRate);
  CHECK_THAT(error_of(at(dir / "empty.wav")), Catch::Contains("empty.wav: holds no sound"));
  write(at(dir / "slow.wav"), response(1, 100), 100);
  CHECK_THAT(error_of(at(dir / "slow.wav")), Catch::Contains("from 1,000 to 768,000 Hz"));
  auto broken = response(1, 100);
  broken[0][50] = std::nanf("");
  write(at(dir / "nan.wav"), broken, kRate, 32);
  CHECK_THAT(error_of(at(dir / "nan.wav")), Catch::Contains("not finite"));

  write(at(dir / "cone.wav"), response(1, 1000), kRate);
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  load_response(processor, 0, at(dir / "cone.wav"));
  load_response(processor, 0, at(dir / "text.wav"));
  CHECK(processor.microphone(0).kind == Kind::playing);
  CHECK(processor.microphone(0).name == "cone");
  CHECK(processor.microphone(0).load_error.contains("text.wav: is not a WAV"));
  processor.dismiss_errors();
  CHECK(processor.microphone(0).load_error.isEmpty());
}

TEST_CASE("a response of more than 5 s is cut with a message, and the host gets the tail's length") {
  const test::TempDir dir;
  write(at(dir / "hall.wav"), response(1, 7 * 8000), 8000);
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  CHECK(processor.getTailLengthSeconds() == 0);
  load_response(processor, 0, at(dir / "hall.wav"));
  CHECK(processor.microphone(0).message.contains("is 7 s long"));
  CHECK(processor.getTailLengthSeconds() == Approx(5));
  processor.dismiss_errors();
  CHECK(processor.microphone(0).message.isEmpty());
  CHECK(processor.microphone(0).kind == Kind::playing);
  set(*processor.parameters().cabinet_on, 0);
  CHECK(processor.getTailLengthSeconds() == 0);
}

// The stages of a rig file, through the chain that `coil process --chain` runs.
test::Planes through_rig(const dsp::Rig& rig, test::Planes planes) {
  dsp::RigFiles files;
  files.model = [](const dsp::RigModel&) { return ssm::Model::load(test::overdrive_path()); };
  files.response = [](const dsp::RigMicrophone& microphone) {
    return plugin::microphone_with(juce::File(microphone.file)).response;
  };
  return test::play_offline(rig, files, std::move(planes), kRate);
}

TEST_CASE("overdrive, cabinet with two microphones and equaliser agree with the same rig offline to -120 dB") {
  const test::TempDir dir;
  const std::string cone = (dir / "cone.wav").string(), edge = (dir / "edge.flac").string();
  write(juce::File(cone), response(1, 9000), 44100);
  write(juce::File(edge), response(2, 4000), kRate);
  dsp::Rig rig;
  dsp::EqualiserSettings equaliser;
  equaliser.bands[0].gain_db = 4;
  equaliser.bands[1].gain_db = -6;
  equaliser.bands[1].hz = 700;
  equaliser.bands[1].q = 2;
  equaliser.low_cut_hz = 80;
  equaliser.high_cut_hz = 5000;
  rig.stages = {{"drive", 1, false, dsp::RigModel{"overdrive", {{"drive", 7}}, {}, {}, false}},
                {"cabinet", 1, false, dsp::RigCabinet{{{cone, -3, -0.5f, 0, false, {}}, {edge, 2, 1, 1.5f, true, {}}}}},
                {"equaliser", 1, false, equaliser}};
  const test::Planes in = test::noise(2, 24000);
  const test::Planes offline = through_rig(rig, in);

  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  open(processor, test::overdrive_session({{"drive", 7}}));
  load_response(processor, 0, juce::File(cone));
  load_response(processor, 1, juce::File(edge));
  processor.set_microphone(0, {-3, -0.5f, 0, false});
  processor.set_microphone(1, {2, 1, 1.5f, true});
  auto& parameters = processor.parameters();
  const auto to = [](juce::RangedAudioParameter& parameter, float value) {
    set(parameter, parameter.convertTo0to1(value));
  };
  to(*parameters.bands[0].gain, 4);
  to(*parameters.bands[1].gain, -6);
  to(*parameters.bands[1].frequency, 700);
  to(*parameters.bands[1].q, 2);
  to(*parameters.low_cut, 80);
  to(*parameters.high_cut, 5000);
  finish();
  processor.prepareToPlay(kRate, kBlock);
  const test::Planes played = run(processor, in);
  const double difference = largest_difference(played, offline) / peak(offline);
  INFO(20 * std::log10(difference) << " dB");
  CHECK(difference < 1e-6);

  set(*parameters.cabinet_on, 0);
  set(*parameters.equaliser_on, 0);
  processor.prepareToPlay(kRate, kBlock);
  rig.stages.resize(1);
  CHECK(largest_difference(run(processor, in), through_rig(rig, in)) < 1e-6 * peak(in));
}

TEST_CASE("a session keeps cabinet and equaliser, also where the files are gone") {
  const test::TempDir dir;
  write(at(dir / "cone.wav"), response(2, 5000), 44100);
  write(at(dir / "edge.wav"), response(1, 800), 96000);
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  load_response(processor, 0, at(dir / "cone.wav"));
  load_response(processor, 1, at(dir / "edge.wav"));
  const plugin::MicrophoneSettings settings{-7.5f, 0.25f, 0.3f, true};
  processor.set_microphone(1, settings);
  auto& parameters = processor.parameters();
  set(*parameters.bands[2].gain, 0.7f);
  set(*parameters.bands[2].frequency, 0.61803f);
  set(*parameters.bands[2].q, 0.3f);
  set(*parameters.low_cut, 0.4f);
  finish();
  const plugin::Session session = saved(processor);
  processor.prepareToPlay(kRate, kBlock);
  const test::Planes in = test::noise(2, 9600);
  const test::Planes before = run(processor, in);

  std::filesystem::remove(dir / "cone.wav");
  std::filesystem::remove(dir / "edge.wav");
  Processor other;
  other.prepareToPlay(kRate, kBlock);
  open(other, session);
  CHECK(other.microphone(0).kind == Kind::playing);
  CHECK(other.microphone(0).name == "cone");
  CHECK(other.microphone(0).message.isEmpty());
  CHECK(other.microphone(1).settings == settings);
  CHECK(other.microphone(1).file == at(dir / "edge.wav"));
  CHECK(plugin::to_bytes(saved(other)) == plugin::to_bytes(session));
  other.prepareToPlay(kRate, kBlock);
  CHECK(run(other, in) == before);
}

TEST_CASE("a response that is too large for a session comes from its file, and one line says if it is missing") {
  const test::TempDir dir;
  const juce::File file = at(dir / "hall.wav");
  write(file, response(2, 150000), kRate);
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  load_response(processor, 0, file);
  processor.set_microphone(0, {-2, 0, 0, false});
  finish();
  const plugin::Session session = saved(processor);
  CHECK(plugin::to_bytes(session).size() < 10000);

  SECTION("there it is") {
    open(processor, session);
    CHECK(processor.microphone(0).kind == Kind::playing);
    CHECK(processor.microphone(0).message.isEmpty());
    CHECK(processor.microphone(0).settings.level_db == -2);
  }
  SECTION("another response lies there by now") {
    write(file, response(1, 100), kRate);
    open(processor, session);
    CHECK(processor.microphone(0).kind == Kind::playing);
    CHECK(processor.microphone(0).message.contains("hall.wav: has changed since the session was saved"));
  }
  SECTION("missing: the rest plays, nothing is forgotten") {
    file.deleteFile();
    plugin::Session with_model = session;
    with_model.slots = test::overdrive_session().slots;
    open(processor, with_model);
    CHECK(processor.status(0).kind == plugin::SlotStatus::Kind::playing);
    CHECK(processor.microphone(0).kind == Kind::missing);
    const juce::String message = processor.microphone(0).message;
    CHECK(message.contains("'hall' is missing"));
    CHECK(message.contains("hall.wav"));
    CHECK_FALSE(message.containsChar('\n'));
    CHECK(processor.getTailLengthSeconds() == 0);
    CHECK(saved(processor).cabinet->microphones[0].path == file.getFullPathName().toStdString());
    CHECK(saved(processor).cabinet->microphones[0].settings.level_db == -2);
    processor.prepareToPlay(kRate, kBlock);
    CHECK(peak(run(processor, test::noise(2, 4800))) > 0.01);
  }
}

TEST_CASE("a session from a version without cabinets opens without one, and with a flat equaliser") {
  const test::TempDir dir;
  write(at(dir / "cone.wav"), response(1, 500), kRate);
  const test::Planes in = test::noise(2, 9600);
  Processor untouched, processor;
  untouched.prepareToPlay(kRate, kBlock);
  open(untouched, test::overdrive_session());
  untouched.prepareToPlay(kRate, kBlock);
  const test::Planes before = run(untouched, in);

  processor.prepareToPlay(kRate, kBlock);
  load_response(processor, 0, at(dir / "cone.wav"));
  set(*processor.parameters().bands[0].gain, 1);
  set(*processor.parameters().cabinet_on, 0);
  const plugin::Session old = test::overdrive_session();
  REQUIRE_FALSE(old.cabinet);
  open(processor, old);
  CHECK(processor.microphone(0).kind == Kind::empty);
  CHECK(processor.parameters().bands[0].gain->get() == 0);
  CHECK(processor.parameters().cabinet_on->get());
  CHECK(processor.getTailLengthSeconds() == 0);
  processor.prepareToPlay(kRate, kBlock);
  CHECK(run(processor, in) == before);
}

TEST_CASE("a user preset contains the cabinet, an older one does not change it") {
  const test::TempDir dir;
  write(at(dir / "cone.wav"), response(1, 500), kRate);
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  test::load(processor, 0, juce::File(test::overdrive_path().string()));
  load_response(processor, 0, at(dir / "cone.wav"));
  set(*processor.parameters().bands[3].gain, 0.25f);
  const juce::File preset = processor.save_preset("Cabinet preset");
  processor.clear_response(0);
  set(*processor.parameters().bands[3].gain, 0.5f);
  std::filesystem::remove(dir / "cone.wav");
  test::load(processor, 0, preset);
  CHECK(processor.microphone(0).name == "cone");
  CHECK(processor.microphone(0).kind == Kind::playing);
  CHECK(session_value(processor, "band_4_gain") == -12);

  const std::vector<std::byte> old = plugin::to_bytes(test::overdrive_session());
  preset.replaceWithData(old.data(), old.size());
  test::load(processor, 0, preset);
  CHECK(processor.status(0).load_error.isEmpty());
  CHECK(processor.microphone(0).kind == Kind::playing);
  CHECK(session_value(processor, "band_4_gain") == -12);
  preset.deleteFile();
}

TEST_CASE("undo and redo go through loads, settings and clearing of microphones, and undo drops what still loads") {
  const test::TempDir dir;
  write(at(dir / "cone.wav"), response(1, 500), kRate);
  write(at(dir / "edge.wav"), response(1, 700), kRate);
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  load_response(processor, 0, at(dir / "cone.wav"));
  load_response(processor, 0, at(dir / "edge.wav"));
  processor.set_microphone(0, {-1, 0, 0, false});
  processor.set_microphone(0, {-2, 0, 0, false}, false);  // part of the same drag
  processor.clear_response(0);
  CHECK(processor.microphone(0).kind == Kind::empty);
  const auto undo = [&] { processor.undo(), finish(); };
  const auto redo = [&] { processor.redo(), finish(); };
  undo();
  CHECK(processor.microphone(0).name == "edge");
  CHECK(processor.microphone(0).settings.level_db == -2);
  undo();
  CHECK(processor.microphone(0).settings.level_db == 0);
  undo();
  CHECK(processor.microphone(0).name == "cone");
  processor.undo();
  CHECK_FALSE(processor.can_undo());
  processor.redo();
  redo();
  CHECK(processor.microphone(0).name == "edge");
  processor.load_response(0, at(dir / "cone.wav"));
  processor.undo();
  finish();
  CHECK(processor.microphone(0).name == "edge");
  CHECK(processor.microphone(0).kind == Kind::playing);
}

// The difference equation of the tone removes it; the rest shows fades as bends and clicks as steps. Two further
// differences triple the height of a step, and reduce the bend of a fade of 25 ms to at most 2 / 1200.
double click_db(const std::vector<float>& sound, double hz) {
  const double w = 2 * M_PI * hz / kRate, loudest = 0.5;
  std::vector<double> rest(sound.begin(), sound.end());
  for (const double middle : {2 * std::cos(w), 2.0}) {
    for (size_t i = rest.size() - 1; i >= 2; --i) rest[i] += rest[i - 2] - middle * rest[i - 1];
    rest.erase(rest.begin(), rest.begin() + 2);
  }
  double most = 0;
  for (const double value : rest) most = std::max(most, std::abs(value) / 3);
  return 20 * std::log10(std::max(most, 1e-12) / loudest);
}

TEST_CASE("changes of the cabinet under load make no click above -80 dB") {
  const test::TempDir dir;
  // Two cabinets with different colour and, within a few dB, equal loudness at the tone.
  for (const char* name : {"one.wav", "two.wav"}) {
    auto planes = response(1, 2400);
    planes[0][0] = name[0] == 'o' ? 1.0f : 0.6f;
    for (size_t i = 1; i < planes[0].size(); ++i) planes[0][i] *= 0.2f * std::exp(-6 * float(i) / 2400);
    // Late reflections, after the fade has ended: they must not start abruptly.
    planes[0].resize(12000, 0.0f);
    planes[0][name[0] == 'o' ? 4000 : 3000] = 0.5f;
    planes[0][11000] = -0.3f;
    write(at(dir / name), planes, kRate);
  }
  constexpr double kHz = 200;
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  load_response(processor, 0, at(dir / "one.wav"));
  processor.prepareToPlay(kRate, kBlock);
  std::vector<float> heard;
  size_t frame = 0;
  const auto play = [&](int blocks) {
    juce::MidiBuffer midi;
    for (int b = 0; b < blocks; ++b) {
      juce::AudioBuffer<float> audio(2, kBlock);
      for (int i = 0; i < kBlock; ++i, ++frame)
        for (int c = 0; c < 2; ++c)
          audio.setSample(c, i, 0.5f * float(std::sin(2 * M_PI * kHz * double(frame) / kRate)));
      processor.processBlock(audio, midi);
      heard.insert(heard.end(), audio.getReadPointer(0), audio.getReadPointer(0) + kBlock);
    }
  };
  play(200);  // the onset of the tone
  heard.clear();
  for (int i = 0; i < 40; ++i) {
    if (i % 8 == 0) processor.load_response(0, at(dir / "two.wav"));
    if (i % 8 == 1) processor.load_response(1, at(dir / "one.wav"));
    if (i % 8 == 2) processor.set_microphone(1, {-float(i % 5), 0.5f, 2, i % 3 == 0});
    if (i % 8 == 3) processor.clear_response(1);
    if (i % 8 == 4) processor.undo();
    if (i % 8 == 5) processor.load_response(0, at(dir / "one.wav"));
    if (i % 8 == 6) set(*processor.parameters().cabinet_on, float(i / 8 % 2));
    if (i % 8 == 7) set(*processor.parameters().bands[1].gain, i / 8 % 2 ? 0.3f : 0.7f);
    if (i % 2 == 0) finish();
    play(i % 3 == 0 ? 20 : 90);
  }
  CHECK(processor.microphone(0).load_error.isEmpty());
  INFO(click_db(heard, kHz) << " dB");
  CHECK(click_db(heard, kHz) < -80);
  // A step of -60 dB is detected.
  for (size_t i = heard.size() / 2; i < heard.size(); ++i) heard[i] += 0.0006f;
  CHECK(click_db(heard, kHz) > -60);
}

}  // namespace
