// The recording is checked after some seconds and at its end. Whenever it has grown by half, the training continues
// with all of it.
#include "plugin/learn/learning.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "capture/model_file.h"
#include "capture/teachers/lesson.h"
#include "capture/teachers/size.h"
#include "plugin/learn/thread_priority.h"

namespace coil::plugin {
namespace {

using Stage = LearnStatus::Stage;
using capture::Finding, capture::FindingKind, capture::Severity;

constexpr auto kCollectEvery = std::chrono::milliseconds(20);
constexpr auto kPatience = std::chrono::milliseconds(300);
constexpr double kBlockS = 0.02, kSoundingDb = -55;  // blocks of 20 ms above this level count as sound
constexpr double kMostS = 240;                       // limit of a recording that is mostly silence
constexpr double kFirstS = 4, kGrowth = 1.5;         // between two checks of the recordings
constexpr double kMostLostS = 0.5;                   // lost sound up to this duration is replaced by silence
constexpr double kTailS = 0.5;                       // after a test signal
constexpr double kSameFrames = 2;                    // of delay; a model can learn this difference
constexpr double kBetter = 0.85;                     // of the error: a model must be this much better to replace the
                                                     // one that is heard
constexpr double kKnobsTakeTimes = 2;                // of the usual training length
constexpr double kLastShare = 0.5;                   // of the usual training, after the end of the recording

double correlation_squared(const std::vector<float>& a, const std::vector<float>& b) {
  double product = 0, energy_a = 1e-30, energy_b = 1e-30;
  for (size_t i = 0; i < a.size(); ++i) {
    product += double(a[i]) * double(b[i]);
    energy_a += double(a[i]) * double(a[i]), energy_b += double(b[i]) * double(b[i]);
  }
  return product * product / (energy_a * energy_b);
}

// Whether the removed delay can stay: not larger than the device's latency, and not much smaller. Two checks of the
// same device differ by some frames. A model whose delay changes with each check would learn nothing else.
bool still_serves(const capture::Alignment& before, const capture::Alignment& now, double frames) {
  const double more = now.delay_frames - before.delay_frames;
  return before.inverted == now.inverted && more > -kSameFrames && more < 2 * capture::kMostMarginFrames &&
         std::abs(before.drift_ppm - now.drift_ppm) * 1e-6 * frames < capture::kMostMarginFrames;
}

// The common part of both recordings, with a known alignment.
capture::Take take_of(const capture::Recording& dry, const capture::Recording& wet, const capture::Alignment& alignment,
                      double rate_hz) {
  capture::Findings known;
  capture::Take take;
  take.dry = capture::resampled(capture::one_channel(dry, known), dry.sample_rate_hz, rate_hz);
  const std::vector<float> back = capture::resampled(capture::one_channel(wet, known), wet.sample_rate_hz, rate_hz);
  take.wet = capture::aligned(back, take.dry.size(), alignment);
  const long from = std::max<long>(0, std::lround(std::ceil(-alignment.delay_frames)));
  const long until = std::min<long>(long(take.dry.size()), long(back.size()) - std::lround(alignment.delay_frames));
  for (std::vector<float>* sound : {&take.dry, &take.wet}) {
    sound->erase(sound->begin() + std::max(from, until), sound->end());
    sound->erase(sound->begin(), sound->begin() + from);
  }
  return take;
}

void append(std::vector<float>& to, const std::vector<float>& from) { to.insert(to.end(), from.begin(), from.end()); }

}  // namespace

std::shared_ptr<Learning> Learning::begin(LearnInput& input, double sample_rate_hz, std::vector<float> signal,
                                          const LearnSettings& settings, std::function<void(const Bytes&)> on_model) {
  auto learning = std::make_shared<Learning>(Key{}, &input, sample_rate_hz, double(signal.size()) / sample_rate_hz,
                                             std::filesystem::path(), settings, std::move(on_model));
  input.start(std::move(signal));
  learning->start_threads();
  return learning;
}

std::shared_ptr<Learning> Learning::begin(const std::filesystem::path& teacher, const LearnSettings& settings) {
  auto learning = std::make_shared<Learning>(Key{}, nullptr, 0, 0, teacher, settings, nullptr);
  learning->start_threads();
  return learning;
}

Learning::Learning(Key, LearnInput* input, double sample_rate_hz, double signal_s, std::filesystem::path teacher,
                   const LearnSettings& settings, std::function<void(const Bytes&)> on_model)
    : input_(input),
      teacher_(std::move(teacher)),
      sample_rate_hz_(sample_rate_hz),
      settings_(settings),
      quality_(capture::quality_named(settings.quality)),
      plays_signal_(signal_s > 0),
      wanted_s_(plays_signal_ ? signal_s + kTailS : settings.wanted_s),
      on_model_(std::move(on_model)),
      begin_(std::chrono::steady_clock::now()),
      model_rate_hz_(quality_.sample_rate_hz) {
  for (capture::Recording* recording : {&dry_, &wet_}) {
    recording->channels = 2;
    recording->sample_rate_hz = sample_rate_hz;
  }
  dry_.name = plays_signal_ ? "the test signal" : "the dry signal";
  wet_.name = "the return";
  status_.stage = Stage::gathering;
  status_.converts = !input;
  status_.plays_signal = plays_signal_;
  status_.wanted_s = wanted_s_;
}

void Learning::start_threads() {
  stay_loaded();
  collecting_ = std::thread([this] { collect(); });
  std::thread([self = shared_from_this()] { self->learn(); }).detach();
}

void Learning::leave() {
  if (!collecting_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);  // so that no thread starts to wait in between
    leaving_ = true;
  }
  wake_.notify_all();
  collecting_.join();
  if (input_) input_->stop();
  std::unique_lock lock(mutex_);
  left_wake_.wait_for(lock, kPatience, [&] { return left_; });
}

LearnStatus Learning::status() const {
  const std::lock_guard lock(mutex_);
  LearnStatus status = status_;
  status.elapsed_s = elapsed_s();
  return status;
}

Learning::Bytes Learning::best() const {
  const std::lock_guard lock(mutex_);
  return best_;
}

void Learning::stop() {
  if (ended_.exchange(true)) stopped_ = true;
  wake_.notify_all();
}

void Learning::end_recording(const std::string& why) {
  {
    const std::lock_guard lock(mutex_);
    if (status_.stage != Stage::gathering) return;
    events_.push_back(why);
  }
  ended_ = true;
  wake_.notify_all();
}

void Learning::keep(const std::filesystem::path& model, const std::filesystem::path& report, const std::string& name) {
  {
    const std::lock_guard lock(mutex_);
    keeping_ = {model, report, name};
    status_.message.clear();
  }
  ended_ = stopped_ = wants_to_keep_ = true;
  wake_.notify_all();
}

double Learning::elapsed_s() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
}

// ---------------------------------------------------------------- the collecting thread

void Learning::collect() {
  while (!leaving_) {
    Bytes fresh;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, kCollectEvery, [&] { return leaving_.load(); });
      if (std::exchange(best_is_new_, false)) fresh = best_;
    }
    if (fresh && on_model_ && !leaving_) on_model_(fresh);
    if (!input_) continue;
    audio_core_ = input_->audio_core();
    if (!ended_) take_in(input_->read());
    if (ended_ && input_->recording()) input_->stop();
    input_->collect();
  }
}

void Learning::take_in(SignalPiece piece) {
  for (std::vector<float>* sound : {&piece.dry, &piece.wet})
    for (float& value : *sound)
      if (!std::isfinite(value)) value = 0;
  const size_t block = std::max<size_t>(1, size_t(kBlockS * sample_rate_hz_));
  const float least = float(std::pow(10, kSoundingDb / 20));
  double sounding_s = sounding_s_;
  for (size_t i = 0; i < piece.dry.size(); i += 2) {
    block_peak_ = std::max({block_peak_, std::fabs(piece.dry[i]), std::fabs(piece.dry[i + 1])});
    if (++block_frames_ < block) continue;
    if (block_peak_ > least || plays_signal_) sounding_s += double(block) / sample_rate_hz_;
    block_frames_ = 0, block_peak_ = 0;
  }
  sounding_s_ = sounding_s;
  const size_t silence = 2 * std::min(piece.lost_frames, size_t(kMostLostS * sample_rate_hz_));
  const std::lock_guard lock(mutex_);
  append(arrived_.dry, piece.dry), append(arrived_.wet, piece.wet);
  arrived_.dry.resize(arrived_.dry.size() + silence), arrived_.wet.resize(arrived_.wet.size() + silence);
  status_.recorded_s += double(piece.dry.size() / 2) / sample_rate_hz_;
  status_.sounding_s = std::min(sounding_s, wanted_s_);
  status_.lost_frames += piece.lost_frames;
  if (sounding_s >= wanted_s_ || status_.recorded_s >= kMostS) ended_ = true;
}

// ---------------------------------------------------------------- the learning thread

void Learning::learn() {
  if (settings_.gives_way) give_way_to_most();
  while (!leaving_) {
    bool works = false;
    try {
      works = learn_more();
    } catch (const std::exception& error) {
      fail(error.what());
    }
    if (works) continue;
    std::unique_lock lock(mutex_);
    if (!leaving_) wake_.wait_for(lock, kCollectEvery);
  }
  const std::lock_guard lock(mutex_);
  left_ = true;
  left_wake_.notify_all();
}

// On a busy machine, the first model might never come from idle cores alone. Later ones can wait.
void Learning::give_way() {
  if (!settings_.gives_way) return;
  if (!gives_way_to_all_ && best()) {
    give_way_to_all();
    gives_way_to_all_ = true;
  }
  stay_off_core(audio_core_);
}

// Returns false if there is nothing to do for a while.
bool Learning::learn_more() {
  give_way();
  if (wants_to_keep_.exchange(false)) {
    Keeping keeping;
    {
      const std::lock_guard lock(mutex_);
      keeping = *keeping_;
    }
    save(keeping);
    return true;
  }
  {
    const std::lock_guard lock(mutex_);
    if (status_.stage == Stage::done || status_.stage == Stage::kept || status_.stage == Stage::failed) return false;
  }
  if (!input_ && takes_.empty()) play_teacher();
  if (is_time_to_prepare()) prepare();
  if (!trainer_ || interrupted()) return false;
  if (trainer_->done() || (stopped_ && prepared_all_)) {
    if (!prepared_all_) return false;
    const std::lock_guard lock(mutex_);
    status_.stage = Stage::done;
    status_.left_s = 0;
    if (!status_.has_model)
      status_.stage = Stage::failed, status_.message = "nothing was learned that is better than the dry signal itself";
    return true;
  }
  trainer_->advance([this] { return interrupted() || is_time_to_prepare() || (stopped_ && prepared_all_); });
  after_look();
  return true;
}

bool Learning::interrupted() const { return leaving_ || wants_to_keep_; }

bool Learning::is_time_to_prepare() const {
  if (prepared_all_) return false;
  return ended_ || sounding_s_ >= (prepared_s_ > 0 ? std::min(kGrowth * prepared_s_, wanted_s_) : kFirstS);
}

void Learning::take_arrived() {
  SignalPiece arrived;
  {
    const std::lock_guard lock(mutex_);
    std::swap(arrived, arrived_);
  }
  append(dry_.samples, arrived.dry), append(wet_.samples, arrived.wet);
}

// Plays a capture that was dropped on the window; there is no input.
void Learning::play_teacher() {
  capture::LessonOptions options;
  options.progress = [this](double done) {
    const std::lock_guard lock(mutex_);
    status_.progress = done;
  };
  options.stop = [this] { return interrupted() || stopped_; };
  std::optional<capture::Lesson> lesson = capture::make_lesson(teacher_, options);
  ended_ = true;
  if (!lesson) return;
  takes_ = std::move(lesson->takes);
  knobs_ = std::move(lesson->knobs);
  model_rate_hz_ = lesson->sample_rate_hz;
  card_ = std::move(lesson->card);
  prepared_all_ = true;
  handed_out_esr_ = HUGE_VAL;
  {
    const std::lock_guard lock(mutex_);
    for (const std::string& text : lesson->warnings) status_.remarks.push_back({true, text});
    for (const std::string& text : lesson->notes) status_.remarks.push_back({false, text});
    status_.esr_of_nothing = 1;
    status_.stage = Stage::learning;
  }
  const std::optional<capture::SizeChoice> size =
      capture::choose_size(takes_, training_settings(), lesson->teacher_ns, options.stop);
  trainer_ = std::make_unique<capture::Trainer>(takes_, size ? size->settings : training_settings());
}

void Learning::prepare() {
  const bool all = ended_;
  prepared_s_ = std::max(sounding_s_.load(), 0.01);
  take_arrived();
  if (trainer_ && !all) {  // a check takes about as long as a large part of the training: check again only at the end
    capture::PreparedPair as_before = pair_;
    return set_trainer(as_before);
  }
  capture::PreparedPair pair = capture::prepare_pair(dry_, wet_, model_rate_hz_);
  {
    const std::lock_guard lock(mutex_);
    if (status_.lost_frames > 0) {
      pair.findings.push_back(
          {Severity::kWarning, FindingKind::kDropOut,
           capture::sentence("%.2f s of sound came faster than they could be taken, and are missing",
                             double(status_.lost_frames) / sample_rate_hz_)});
    }
    status_.remarks.clear();
    for (const std::string& event : events_) status_.remarks.push_back({true, event});
    for (const Finding& finding : pair.findings)
      status_.remarks.push_back({finding.severity != Severity::kNote, finding.text});
    if (pair.usable) status_.round_trip_ms = 1000 * pair.alignment.delay_frames / model_rate_hz_;
    if (all) status_.stage = Stage::learning;
  }
  prepared_all_ = all;
  if (pair.usable) return set_trainer(pair);
  if (!all && !trainer_) return;  // more sound may fix it
  if (trainer_) return;           // keep the data that was usable before
  for (const Finding& finding : pair.findings)
    if (finding.severity == Severity::kFatal) return fail(finding.text);
}

capture::TrainingSettings Learning::training_settings() const {
  capture::TrainingSettings settings;
  settings.shape = quality_.shape;
  settings.shape.knobs = knobs_.size();
  settings.sample_rate_hz = model_rate_hz_;
  settings.aliasing_weight = quality_.aliasing_weight;
  settings.threads = settings_.threads > 0 ? settings_.threads : std::max<size_t>(1, usable_cores() - 1);
  settings.frames = 1e6 * (settings_.million_frames > 0 ? settings_.million_frames : quality_.million_frames) *
                    (knobs_.empty() ? 1 : kKnobsTakeTimes);
  if (!prepared_all_) settings.slow_trial_frames = HUGE_VAL;
  return settings;
}

// While sound is being recorded, the training is at most half done. Then at least half the usual time remains.
void Learning::set_trainer(capture::PreparedPair& pair) {
  capture::TrainingSettings settings = training_settings();
  const double usual = settings.frames;
  const bool goes_on = trainer_ && still_serves(pair_.alignment, pair.alignment, double(pair.dry.size()));
  if (goes_on) pair.alignment = pair_.alignment;
  capture::Take take = goes_on ? take_of(dry_, wet_, pair.alignment, model_rate_hz_)
                               : capture::Take{std::move(pair.dry), std::move(pair.wet), {}};
  {
    const std::lock_guard lock(mutex_);
    status_.esr_of_nothing = 1 - correlation_squared(take.dry, take.wet);
  }
  takes_ = {std::move(take)};
  pair.dry = pair.wet = {};
  pair_ = std::move(pair);
  // A network that starts anew replaces the one that is heard only when it is better.
  if (goes_on || !trainer_) handed_out_esr_ = HUGE_VAL;
  if (goes_on) {
    const double so_far = trainer_->state().frames;
    settings.frames = std::max(usual, prepared_all_ ? so_far + kLastShare * usual : 2 * so_far);
    trainer_->grow(takes_, settings.frames, 0, settings.slow_trial_frames);
  } else {
    trainer_ = std::make_unique<capture::Trainer>(takes_, settings);
  }
}

void Learning::after_look() {
  const capture::TrainingState& state = trainer_->state();
  const bool ends = prepared_all_ && (trainer_->done() || stopped_);
  Bytes file;
  double esr_of_nothing = 0;
  {
    const std::lock_guard lock(mutex_);
    esr_of_nothing = status_.esr_of_nothing;
  }
  const bool better = state.best_esr < (ends ? 1 : kBetter) * handed_out_esr_;
  if (better && state.best_esr < esr_of_nothing) {
    file = std::make_shared<const std::vector<std::byte>>(capture::model_bytes(
        trainer_->map(), trainer_->best(), trainer_->scales(), model_rate_hz_, knobs_, card("Learned just now")));
    handed_out_esr_ = state.best_esr;
  }
  const std::lock_guard lock(mutex_);
  if (std::isfinite(state.best_esr)) status_.esr = state.best_esr;
  status_.progress = state.progress;
  status_.left_s = state.left_s;
  if (std::isfinite(state.best_esr)) status_.curve.push_back({elapsed_s(), state.frames, state.best_esr});
  if (!file) return;
  best_ = std::move(file);
  best_is_new_ = status_.has_model = true;
}

nlohmann::ordered_json Learning::card(const std::string& name) const {
  const capture::TrainingState& state = trainer_->state();
  const double seconds = double(takes_[0].dry.size()) / model_rate_hz_;
  nlohmann::ordered_json card = {
      {"name", name},
      {"task", "capture"},
      {"description", capture::sentence("Learned in the plugin from %.0f s of %s.", seconds,
                                        plays_signal_ ? "the test signal" : "playing")},
      {"training",
       {{"quality", trainer_->map().shape.layers == quality_.shape.layers ? quality_.name : "chosen"},
        {"size", capture::size_text(trainer_->map().shape)},
        {"steps", state.steps},
        {"million_frames", state.frames / 1e6}}},
      {"metrics", {{"esr_held_out", state.best_esr}}},
      {"licence", ""}};
  if (!card_.is_null()) card.update(card_);
  card["name"] = name;
  return card;
}

// Measures a network first if it was not measured yet.
void Learning::save(const Keeping& keeping) {
  {
    const std::lock_guard lock(mutex_);
    status_.stage = Stage::saving;
  }
  std::string message;
  Stage stage = Stage::kept;
  try {
    if (!trainer_ || !best()) throw Error("there is no model to keep: nothing was learned yet");
    while (!std::isfinite(trainer_->state().best_esr)) trainer_->advance();
    capture::write_model(keeping.model, trainer_->map(), trainer_->best(), trainer_->scales(), model_rate_hz_, knobs_,
                         card(keeping.name));
    capture::ReportInput input;
    input.model = keeping.model;
    input.takes = takes_;
    input.held_out = trainer_->held_out();
    if (input_) {
      input.recordings = {
          {dry_.name, wet_.name, pair_.alignment, pair_.findings, pair_.noise_to_signal, pair_.repeatability_esr}};
    }
    input.curve = trainer_->curve();
    input.ended_early = !trainer_->done();
    message = capture::write_report(keeping.report, input);
  } catch (const std::exception& error) {
    stage = best() ? Stage::done : Stage::failed;
    message = error.what();
  }
  const std::lock_guard lock(mutex_);
  status_.stage = stage;
  status_.message = message;
  if (stage == Stage::kept) status_.model = keeping.model, status_.report = keeping.report;
}

void Learning::fail(const std::string& why) {
  ended_ = true;
  const std::lock_guard lock(mutex_);
  status_.stage = Stage::failed;
  status_.message = why;
}

}  // namespace coil::plugin
