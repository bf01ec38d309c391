// One device being learned: threads that take what was recorded, train, and hand out ever better models.
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
  double wanted_s = 60;       // of sound, not of silence; then the recording ends by itself
  double million_frames = 0;  // to train on; 0: as the quality has it
  size_t threads = 0;         // that train; 0: one for each core but that of the audio thread
  bool gives_way = true;      // its threads run where nobody else wants the processor
};

// What the recordings are like, as people say it.
struct LearnRemark {
  bool warns = false;
  std::string text;
};

struct LearnStatus {
  // gathering: sound comes in, and the training goes on with what there is. done: nothing more is learned; the model
  // waits to be kept.
  enum class Stage { idle, gathering, learning, done, saving, kept, failed } stage = Stage::idle;
  bool plays_signal = false;  // the test signal goes out and is recorded
  bool converts = false;      // a capture of another program, which plays instead
  double recorded_s = 0, sounding_s = 0, wanted_s = 0;
  uint64_t lost_frames = 0;                // that the learning thread did not take in time
  std::vector<LearnRemark> remarks;        // as far as the recordings were looked at
  std::optional<double> round_trip_ms;     // of the return behind the dry signal
  double esr = 0, esr_of_nothing = 0;      // of the best network, held out; of the dry signal at the best level
  bool has_model = false;                  // better than nothing
  std::vector<capture::CurvePoint> curve;  // seconds since the beginning
  double progress = 0, elapsed_s = 0, left_s = 0;
  std::string message;                  // failed: why; kept: the report's verdict; else of a failed attempt to keep
  std::filesystem::path model, report;  // kept
};

// Its learning thread may need long to hear that all is over, on a machine that leaves it no time. So it owns what it
// works on, and nobody waits for it.
class Learning : public std::enable_shared_from_this<Learning> {
  struct Key {};  // only begin() makes one

 public:
  using Bytes = std::shared_ptr<const std::vector<std::byte>>;

  // Begins at once. on_model: called on a thread of its own with the file of each model that is better than those
  // before. With `signal` that is played, and recorded as the dry sound. leave() must be called while `input` is there.
  // [main-thread]
  static std::shared_ptr<Learning> begin(LearnInput& input, double sample_rate_hz, std::vector<float> signal,
                                         const LearnSettings& settings, std::function<void(const Bytes&)> on_model);
  // From a capture of another program: a file as capture::read_teacher takes it. [main-thread]
  static std::shared_ptr<Learning> begin(const std::filesystem::path& teacher, const LearnSettings& settings);
  Learning(Key, LearnInput* input, double sample_rate_hz, double signal_s, std::filesystem::path teacher,
           const LearnSettings& settings, std::function<void(const Bytes&)> on_model);

  // Ends all of it, and lets go of the input. Waits a moment for the learning thread, and not longer. [main-thread]
  void leave();

  // All below: any thread but the audio thread.
  LearnStatus status() const;
  double sample_rate_hz() const { return sample_rate_hz_; }  // of the recording; 0: none
  // Ends the recording, or, where that has ended, the training.
  void stop();
  // Ends both, and writes the model and its report. A second call is heard when the first has failed.
  void keep(const std::filesystem::path& model, const std::filesystem::path& report, const std::string& name);
  // The best so far, with its file's name; null: none is better than nothing.
  Bytes best() const;
  // Whoever plays at another rate from now on: the recording ends.
  void end_recording(const std::string& why);

 private:
  struct Keeping {
    std::filesystem::path model, report;
    std::string name;
  };

  // The thread that empties the ring; it runs as any other.
  void collect();
  void take_in(SignalPiece piece);
  void start_threads();
  // The thread that learns.
  void learn();
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

  LearnInput* const input_;  // the collecting thread's; null: a teacher plays
  const std::filesystem::path teacher_;
  const double sample_rate_hz_;  // of the recording
  const LearnSettings settings_;
  const capture::Quality& quality_;
  const bool plays_signal_;
  const double wanted_s_;
  const std::function<void(const Bytes&)> on_model_;
  const std::chrono::steady_clock::time_point begin_;

  // Between the threads.
  mutable std::mutex mutex_;
  std::condition_variable wake_, left_wake_;
  LearnStatus status_;
  SignalPiece arrived_;
  Bytes best_;
  bool best_is_new_ = false;
  std::optional<Keeping> keeping_;
  std::vector<std::string> events_;  // what happened to the recording
  std::atomic<bool> leaving_{false}, ended_{false}, stopped_{false}, wants_to_keep_{false};
  bool left_ = false;  // the learning thread has ended
  std::atomic<double> sounding_s_{0};
  std::atomic<int> audio_core_{-1};

  // The collecting thread's.
  size_t block_frames_ = 0;  // of the block that is looked at
  float block_peak_ = 0;

  // The learning thread's.
  capture::Recording dry_, wet_;
  double prepared_s_ = 0;  // how much had sounded when the recordings were looked at last
  bool prepared_all_ = false;
  capture::PreparedPair pair_;
  std::vector<capture::Take> takes_;
  std::vector<capture::Knob> knobs_;
  double model_rate_hz_;
  nlohmann::ordered_json card_;  // of the teacher
  std::unique_ptr<capture::Trainer> trainer_;
  double handed_out_esr_ = 0;

  std::thread collecting_;
};

}  // namespace coil::plugin
