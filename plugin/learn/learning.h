// Learns one device: threads that collect the recording, train, and deliver better and better models.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "capture/model_file.h"
#include "capture/quality.h"
#include "capture/recordings/prepare.h"
#include "capture/report/report.h"
#include "capture/recordings/take.h"
#include "capture/trainer/trainer.h"
#include "plugin/learn/learn_input.h"

namespace coil::plugin {

struct LearnSettings {
  std::string quality = "standard";
  double wanted_s = 60;       // of sound without silence; then the recording ends
  double million_frames = 0;  // to train on; 0: the quality's default
  size_t threads = 0;         // for training; 0: one per core, except the audio thread's
  bool gives_way = true;      // whether its threads have low priority, and run only on idle cores after the first model
};

// A remark on the recordings, for people.
struct LearnRemark {
  bool warns = false;
  std::string text;
};

struct LearnStatus {
  // gathering: sound is recorded, and the training uses what there is. done: the training has ended, and the model can
  // be kept.
  enum class Stage { idle, gathering, learning, done, saving, kept, failed } stage = Stage::idle;
  bool plays_signal = false;  // the test signal is played and recorded
  bool converts = false;      // a capture of another program plays
  double recorded_s = 0, sounding_s = 0, wanted_s = 0;
  uint64_t lost_frames = 0;                // that the collecting thread did not read in time
  std::vector<LearnRemark> remarks;        // of the part of the recordings that was checked
  std::optional<double> round_trip_ms;     // the return's delay relative to the dry signal
  double esr = 0, esr_of_nothing = 0;      // the best network's held-out error; the dry signal's error at the best
                                           // level
  bool has_model = false;                  // better than the dry signal
  std::vector<capture::CurvePoint> curve;  // in seconds since the start
  double progress = 0, elapsed_s = 0, left_s = 0;
  std::string message;                  // failed: why; kept: the report's verdict; else why keeping it failed
  std::filesystem::path model, report;  // kept
};

// On a busy machine the learning thread may take long to notice that it should stop. So it owns all its data, and
// nobody waits for it.
class Learning : public std::enable_shared_from_this<Learning> {
  struct Key {};  // only begin() can make one

 public:
  using Bytes = std::shared_ptr<const std::vector<std::byte>>;

  // Starts at once. on_model: called on another thread with the file of each model that is better than the previous
  // ones. If `signal` is given, it is played and recorded as the dry sound. Call leave() before `input` is destroyed.
  // [main-thread]
  static std::shared_ptr<Learning> begin(LearnInput& input, double sample_rate_hz, std::vector<float> signal,
                                         const LearnSettings& settings, std::function<void(const Bytes&)> on_model);
  // Learns from a capture of another program, a file for capture::read_teacher. [main-thread]
  static std::shared_ptr<Learning> begin(const std::filesystem::path& teacher, const LearnSettings& settings);
  Learning(Key, LearnInput* input, double sample_rate_hz, double signal_s, std::filesystem::path teacher,
           const LearnSettings& settings, std::function<void(const Bytes&)> on_model);

  // Stops everything and stops using the input. Waits only a moment for the learning thread. [main-thread]
  void leave();

  // All functions below: [any thread but the audio thread].
  LearnStatus status() const;
  double sample_rate_hz() const { return sample_rate_hz_; }  // of the recording; 0: none
  // Ends the recording or, if it has ended, the training.
  void stop();
  // Ends both, and writes the model and its report. Another call is possible after a failure.
  void keep(const std::filesystem::path& model, const std::filesystem::path& report, const std::string& name);
  // The file of the best model so far; null: no model is better than the dry signal.
  Bytes best() const;
  // Ends the recording, because the sample rate changes.
  void end_recording(const std::string& why);

 private:
  struct Keeping {
    std::filesystem::path model, report;
    std::string name;
  };

  // The thread that empties the ring, at normal priority.
  void collect();
  void take_in(SignalPiece piece);
  void start_threads();
  // The thread that learns.
  void learn();
  void give_way();
  bool learn_more();
  void take_arrived();
  bool is_time_to_prepare() const;
  void prepare();
  void play_teacher();
  void set_trainer(capture::PreparedPair& pair);
  void after_look();
  void fail(const std::string& why);
  void save(const Keeping& keeping);
  bool interrupted() const;
  capture::TrainingSettings training_settings() const;
  nlohmann::ordered_json card(const std::string& name) const;
  double elapsed_s() const;

  LearnInput* const input_;  // used by the collecting thread; null: a teacher plays
  const std::filesystem::path teacher_;
  const double sample_rate_hz_;  // of the recording
  const LearnSettings settings_;
  const capture::Quality& quality_;
  const bool plays_signal_;
  const double wanted_s_;
  const std::function<void(const Bytes&)> on_model_;
  const std::chrono::steady_clock::time_point begin_;

  // Shared by the threads.
  mutable std::mutex mutex_;
  std::condition_variable wake_, left_wake_;
  LearnStatus status_;
  SignalPiece arrived_;
  Bytes best_;
  bool best_is_new_ = false;
  std::optional<Keeping> keeping_;
  std::vector<std::string> events_;  // events during the recording
  std::atomic<bool> leaving_{false}, ended_{false}, stopped_{false}, wants_to_keep_{false};
  bool left_ = false;  // the learning thread has ended
  std::atomic<double> sounding_s_{0};
  std::atomic<int> audio_core_{-1};

  // Used by the collecting thread.
  size_t block_frames_ = 0;  // of the current block
  float block_peak_ = 0;

  // Used by the learning thread.
  capture::Recording dry_, wet_;
  double prepared_s_ = 0;  // duration of sound at the last check
  bool prepared_all_ = false;
  capture::PreparedPair pair_;
  std::vector<capture::Take> takes_;
  std::vector<capture::Knob> knobs_;
  double model_rate_hz_;
  nlohmann::ordered_json card_;  // from the teacher
  std::unique_ptr<capture::Trainer> trainer_;
  double handed_out_esr_ = 0;
  bool gives_way_to_all_ = false;

  std::thread collecting_;
};

}  // namespace coil::plugin
