// Plays the built-in signal and given sound through a capture, once for each setting of its knobs, from the settled
// state.
#include "capture/teachers/lesson.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "capture/knobs/settings.h"
#include "capture/recordings/test_signal.h"
#include "capture/teachers/size.h"
#include "capture/teachers/teacher.h"

namespace coil::capture {
namespace {

constexpr double kPieceSeconds = 0.25;  // between two checks whether to continue
constexpr double kRestSeconds = 0.25;   // of silence, over which the settled output is measured
// Added to the built-in signal, which alone is too little for a high-gain amplifier. Knobs make many takes anyway.
constexpr double kMorePlayingSeconds = 120;
constexpr double kAudibleDb = -80;
constexpr float kLoudest = 1e4f;  // 80 dB above full scale
constexpr size_t kSettingsOfOneKnob = 7, kSettingsOfMore = 12;
constexpr size_t kMostMetadataBytes = 16384;

// Plays one setting of the knobs.
class Player {
 public:
  Player(const Network& network, Setting setting) : network_(network.clone()), setting_(std::move(setting)) {
    network_->settle();
  }

  std::vector<float> play(const std::vector<float>& sound) {
    const size_t inputs = network_->inputs();
    std::vector<float> in(sound.size() * inputs), out(sound.size());
    for (size_t t = 0; t < sound.size(); ++t) {
      in[t * inputs] = sound[t];
      for (size_t k = 0; k < setting_.size(); ++k) in[t * inputs + 1 + k] = float(setting_[k]);
    }
    network_->process_all(in.data(), sound.size(), out.data());
    return out;
  }

 private:
  std::unique_ptr<Network> network_;
  Setting setting_;
};

double db_of(double amplitude) { return 20 * std::log10(std::max(amplitude, 1e-30)); }

// The settled output for silence, and how much it still varies.
struct Rest {
  double value, movement;
};

Rest find_rest(Player& player, const Network& network, double rate) {
  player.play(std::vector<float>(network.memory_frames()));
  const std::vector<float> silence = player.play(std::vector<float>(size_t(kRestSeconds * rate)));
  double sum = 0;
  for (const float value : silence) sum += value;
  const double mean = sum / double(silence.size());
  const auto [low, high] = std::minmax_element(silence.begin(), silence.end());
  return {mean, std::max(double(*high) - mean, mean - double(*low))};
}

std::string licence_of(const Teacher& teacher, const std::string& file) {
  return teacher.licence.empty() ? "none given in " + file : teacher.licence;
}

nlohmann::ordered_json card_of(const Teacher& teacher, const std::filesystem::path& path) {
  const std::string file = path.filename().string();
  nlohmann::ordered_json source = {{"file", file},
                                   {"program", teacher.program},
                                   {"architecture", teacher.architecture},
                                   {"sample_rate", teacher.sample_rate_hz},
                                   {"licence", licence_of(teacher, file)},
                                   {"estimated_ns_per_sample", std::round(estimated_teacher_ns(teacher))}};
  if (!teacher.version.empty()) source["version"] = teacher.version;
  if (teacher.input_level_dbu) source["input_level_dbu"] = *teacher.input_level_dbu;
  if (teacher.output_level_dbu) source["output_level_dbu"] = *teacher.output_level_dbu;
  std::string name = path.stem().string();
  if (teacher.metadata.is_object()) {
    source["metadata"] = teacher.metadata;
    if (teacher.metadata.contains("name") && teacher.metadata["name"].is_string()) name = teacher.metadata["name"];
  }
  return {{"name", name},
          {"description",
           "Learned from '" + file + "', a capture for " + teacher.program + " (" + teacher.architecture + ")."},
          {"licence", licence_of(teacher, file)},
          {"source", std::move(source)}};
}

std::vector<Setting> settings_of(size_t knobs) {
  if (knobs == 0) return {{}};
  return propose_settings({}, knobs, knobs == 1 ? kSettingsOfOneKnob : kSettingsOfMore);
}

std::vector<float> mono_at(const Recording& recording, double rate, std::vector<std::string>& warnings) {
  Findings findings;
  std::vector<float> mono = resampled(one_channel(recording, findings), recording.sample_rate_hz, rate);
  for (const Finding& finding : findings) warnings.push_back(finding.text);
  return mono;
}

// The built-in signal, more playing if there are no knobs, then the given sounds, half a second apart.
std::vector<float> dry_sound(const LessonOptions& options, double rate, size_t knobs,
                             std::vector<std::string>& warnings) {
  std::vector<float> sound = make_test_signal(rate);
  const auto add = [&](const std::vector<float>& more) {
    sound.resize(sound.size() + size_t(rate / 2));
    sound.insert(sound.end(), more.begin(), more.end());
  };
  if (knobs == 0) add(make_playing(rate, kMorePlayingSeconds));
  for (const Recording& recording : options.dry) add(mono_at(recording, rate, warnings));
  return sound;
}

// Subtracts the settled output. Returns false if it was stopped.
bool play_setting(const Teacher& teacher, const std::string& where, Take& take, Rest& rest,
                  const std::function<bool(double)>& go_on) {
  Player player(*teacher.network, take.knobs);
  rest = find_rest(player, *teacher.network, teacher.sample_rate_hz);
  const std::vector<float>& dry = take.dry;
  take.wet.reserve(dry.size());
  const auto piece = size_t(kPieceSeconds * teacher.sample_rate_hz);
  for (size_t t = 0; t < dry.size(); t += piece) {
    if (!go_on(double(t) / double(dry.size()))) return false;
    const size_t end = std::min(t + piece, dry.size());
    for (const float value : player.play({dry.begin() + std::ptrdiff_t(t), dry.begin() + std::ptrdiff_t(end)})) {
      if (!(std::abs(value) <= kLoudest)) throw Error(where + " gives values beyond any sound: the file is damaged");
      take.wet.push_back(float(double(value) - rest.value));
    }
  }
  return true;
}

void say_rest(const Rest& worst, Lesson& lesson) {
  lesson.rest = worst.value;
  if (db_of(std::abs(worst.value)) > kAudibleDb) {
    lesson.notes.push_back(sentence("it gives a constant of %.2g (%.0f dBFS) in silence; the model is silent there",
                                    worst.value, db_of(std::abs(worst.value))));
  }
  if (db_of(worst.movement) > kAudibleDb) {
    lesson.warnings.push_back(sentence("it does not come to rest in silence and gives up to %.0f dBFS; the model does",
                                       db_of(worst.movement)));
  }
}

}  // namespace

std::optional<Lesson> make_lesson(const std::filesystem::path& path, const LessonOptions& options) {
  const Teacher teacher = read_teacher(path);
  const std::string where = "'" + path.string() + "'";
  Lesson lesson;
  lesson.sample_rate_hz = teacher.sample_rate_hz;
  lesson.teacher_ns = estimated_teacher_ns(teacher);
  lesson.notes = teacher.notes;
  lesson.warnings = teacher.warnings;
  lesson.card = card_of(teacher, path);
  if (lesson.card["source"].contains("metadata") &&
      lesson.card["source"]["metadata"].dump().size() > kMostMetadataBytes) {
    lesson.card["source"].erase("metadata");
    lesson.warnings.push_back("its metadata are too long for the card and left out");
  }
  lesson.notes.push_back(teacher.licence.empty()
                             ? "it names no licence; ask who made it before you pass the model on"
                             : "its licence is " + teacher.licence + "; see that it allows what you do with the model");
  for (size_t k = 0; k < teacher.knobs; ++k)
    lesson.knobs.push_back({teacher.knobs == 1 ? "gain" : "knob " + std::to_string(k + 1), 0, 1});
  const std::vector<float> dry = dry_sound(options, teacher.sample_rate_hz, teacher.knobs, lesson.warnings);
  const std::vector<Setting> settings = settings_of(teacher.knobs);
  Rest worst{0, 0};
  for (size_t i = 0; i < settings.size(); ++i) {
    const auto go_on = [&](double done) {
      if (options.progress) options.progress((double(i) + done) / double(settings.size()));
      return !options.stop || !options.stop();
    };
    Rest rest{};
    lesson.takes.push_back({dry, {}, settings[i]});
    if (!play_setting(teacher, where, lesson.takes.back(), rest, go_on)) return std::nullopt;
    if (std::abs(rest.value) > std::abs(worst.value)) worst.value = rest.value;
    worst.movement = std::max(worst.movement, rest.movement);
  }
  for (const Recording& recording : options.test) {
    Rest rest{};
    lesson.tests.push_back(
        {mono_at(recording, teacher.sample_rate_hz, lesson.warnings), {}, Setting(teacher.knobs, 0.5)});
    const auto go_on = [&](double) { return !options.stop || !options.stop(); };
    if (!play_setting(teacher, where, lesson.tests.back(), rest, go_on)) return std::nullopt;
  }
  say_rest(worst, lesson);
  return lesson;
}

std::vector<std::string> describe_teacher(const std::filesystem::path& path) {
  const Teacher teacher = read_teacher(path);
  std::vector<std::string> sentences = {
      "a capture for " + teacher.program + ": " + teacher.architecture +
      (teacher.version.empty() ? "" : ", version " + teacher.version) +
      sentence(", %.0f Hz, %zu knob%s", teacher.sample_rate_hz, teacher.knobs, teacher.knobs == 1 ? "" : "s")};
  if (teacher.input_level_dbu)
    sentences.push_back(sentence("full scale at its input is a sine of %.1f dBu", *teacher.input_level_dbu));
  sentences.push_back("licence: " + licence_of(teacher, path.filename().string()));
  for (const auto* list : {&teacher.notes, &teacher.warnings})
    sentences.insert(sentences.end(), list->begin(), list->end());
  return sentences;
}

}  // namespace coil::capture
