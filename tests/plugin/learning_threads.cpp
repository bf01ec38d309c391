// The threads of learning without a host: nothing is lost silently, and every call may come at any time.
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include "plugin/learn/learning.h"
#include "plugin/learn/thread_priority.h"
#include "tests/plugin/simulated_device.h"
#include "tests/support/temp_dir.h"

#if defined(__linux__)
#include <sched.h>
#include <sys/resource.h>

#include <filesystem>
#include <string>
#endif

namespace {

using namespace coil;
using plugin::LearnInput, plugin::Learning, plugin::LearnStatus;
using Stage = LearnStatus::Stage;

constexpr double kRate = 48000;
constexpr size_t kBlock = 480;

TEST_CASE("a full ring drops whole blocks, counts them, and reports where they are missing") {
  plugin::SignalRing ring(100);
  std::vector<float> numbers(1000);
  std::iota(numbers.begin(), numbers.end(), 1.0f);
  const auto write = [&](size_t at, size_t frames) {
    ring.write({{&numbers[at], &numbers[at]}, {&numbers[at], nullptr}}, frames);
  };
  write(0, 60);
  write(60, 60);   // no room
  write(120, 10);  // would fit, but not after a gap
  plugin::SignalPiece piece = ring.read();
  REQUIRE(piece.dry.size() == 120);
  CHECK(piece.dry[118] == 60);
  CHECK(piece.wet[118] == 60);
  CHECK(piece.wet[119] == 0);
  CHECK(piece.lost_frames == 70);
  write(130, 90);
  piece = ring.read();
  REQUIRE(piece.dry.size() == 180);
  CHECK(piece.dry[0] == 131);
  CHECK(piece.dry[178] == 220);
  CHECK(piece.lost_frames == 0);
  CHECK(ring.lost_frames() == 70);
}

TEST_CASE("between two threads every frame of the ring arrives once and in order, or is counted as lost") {
  plugin::SignalRing ring(256);
  constexpr size_t kFrames = 200000, kBlock = 50;
  std::thread writer([&] {
    std::array<float, kBlock> block{};
    for (size_t t = 0; t < kFrames; t += kBlock) {
      std::iota(block.begin(), block.end(), float(t));
      ring.write({{block.data(), block.data()}, {block.data(), block.data()}}, kBlock);
    }
  });
  size_t next = 0, lost = 0;
  bool in_order = true;
  while (next < kFrames) {
    const plugin::SignalPiece piece = ring.read();
    for (size_t i = 0; i < piece.dry.size(); i += 2) {
      in_order &= piece.dry[i] == float(next) && piece.wet[i + 1] == float(next);
      ++next;
    }
    next += piece.lost_frames, lost += piece.lost_frames;
  }
  writer.join();
  CHECK(in_order);
  CHECK(ring.lost_frames() == lost);
}

// Calls `listen` like a host, until it is destroyed.
class AudioThread {
 public:
  AudioThread(LearnInput& input, const test::Device& device)
      : thread_([&input, &device, this] {
          std::vector<float> left(kBlock), right(kBlock);
          float* channels[] = {left.data(), right.data()};
          for (size_t at = 0; !done_; at = (at + kBlock) % (device.dry.size() - kBlock)) {
            const float *dry = &device.dry[at], *wet = &device.wet[at];
            input.listen({{dry, dry}, {wet, wet}}, kBlock);
            input.play({channels, 2, int(kBlock)});
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
          }
        }) {}
  ~AudioThread() {
    done_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> done_{false};
  std::thread thread_;
};

// Calls leave() at the end.
class Begun {
 public:
  explicit Begun(std::shared_ptr<Learning> learning) : learning_(std::move(learning)) {}
  ~Begun() { learning_->leave(); }
  Learning* operator->() const { return learning_.get(); }

 private:
  std::shared_ptr<Learning> learning_;
};

plugin::LearnSettings quick() {
  plugin::LearnSettings settings;
  settings.quality = "lite";
  settings.wanted_s = 5;
  settings.million_frames = 10;
  settings.threads = 1;
  settings.gives_way = false;
  return settings;
}

bool wait_for(const std::function<bool()>& condition, int seconds = 60) {
  for (int i = 0; i < 100 * seconds && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return condition();
}

TEST_CASE("a learning can be stopped, queried, kept and left during playback, and another can start at once") {
  const test::TempDir folder;
  const test::Device device(8 * size_t(kRate));
  LearnInput input;
  const AudioThread audio(input, device);
  std::atomic<int> models{0};
  const auto on_model = [&](const Learning::Bytes& bytes) { models += bytes && !bytes->empty(); };
  for (const bool with_signal : {false, true}) {
    const auto first =
        Learning::begin(input, kRate, std::vector<float>(with_signal ? 5000 : 0, 0.1f), quick(), on_model);
    CHECK(wait_for([&] { return first->status().recorded_s > 0; }));
    first->end_recording("the sample rate changed");
    first->leave();
    CHECK_FALSE(input.recording());
  }
  const Begun learning(Learning::begin(input, kRate, {}, quick(), on_model));
  CHECK(wait_for([&] { return models > 0; }));
  learning->keep(folder / "amp.safetensors", folder / "amp.html", "Amp");
  CHECK(wait_for([&] { return learning->status().stage == Stage::kept; }));
  CHECK(std::filesystem::exists(folder / "amp.safetensors"));
  CHECK(std::filesystem::exists(folder / "amp.html"));
  CHECK(learning->status().lost_frames == 0);
}

TEST_CASE("a failed keep gives the reason, and can be repeated") {
  const test::TempDir folder;
  const test::Device device(8 * size_t(kRate));
  LearnInput input;
  const AudioThread audio(input, device);
  const Begun learning(Learning::begin(input, kRate, {}, quick(), [](const Learning::Bytes&) {}));
  CHECK(wait_for([&] { return learning->status().has_model; }));
  learning->keep(folder / "no" / "amp.safetensors", folder / "amp.html", "Amp");
  CHECK(wait_for([&] { return learning->status().stage == Stage::done; }));
  CHECK(learning->status().message.find("amp.safetensors") != std::string::npos);
  learning->keep(folder / "amp.safetensors", folder / "amp.html", "Amp");
  CHECK(wait_for([&] { return learning->status().stage == Stage::kept; }));
}

TEST_CASE("nothing waits for a learning thread that gets no CPU time") {
  const test::Device device(8 * size_t(kRate));
  LearnInput input;
  const AudioThread audio(input, device);
  plugin::LearnSettings settings = quick();
  settings.gives_way = true;
  settings.million_frames = 1e6;
  settings.wanted_s = 60;
  const auto learning = Learning::begin(input, kRate, {}, settings, [](const Learning::Bytes&) {});
  CHECK(wait_for([&] { return learning->status().sounding_s > 6; }));
  const auto begin = std::chrono::steady_clock::now();
  learning->leave();
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));
}

TEST_CASE("the test signal is played completely, and is used as the dry sound") {
  LearnInput input;
  std::vector<float> signal(2000), out, left(kBlock), right(kBlock), silence(kBlock);
  std::iota(signal.begin(), signal.end(), 1.0f);
  float* channels[] = {left.data(), right.data()};
  input.start(signal);
  std::vector<float> dry;
  for (int block = 0; block < 6; ++block) {
    input.listen({{silence.data(), silence.data()}, {silence.data(), silence.data()}}, 400);
    input.play({channels, 2, 400});
    out.insert(out.end(), right.begin(), right.begin() + 400);
  }
  const plugin::SignalPiece piece = input.read();
  REQUIRE(piece.dry.size() == 2 * out.size());
  signal.resize(out.size());
  CHECK(out == signal);
  for (size_t t = 0; t < out.size(); ++t) dry.push_back(piece.dry[2 * t]);
  CHECK(dry == signal);
  input.stop();
  left.assign(kBlock, 0.5f);
  input.listen({{silence.data(), silence.data()}, {}}, 400);
  input.play({channels, 2, 400});
  CHECK(left[0] == 0.5f);  // playback has ended
}

#if defined(__linux__)
TEST_CASE("threads that give way do so, stay off the core of the audio thread, and pass both on") {
  const int core = plugin::present_core();
  int policy = -1, policy_within = -1, policy_first = -1, niceness = 0;
  cpu_set_t cores, cores_within;
  std::thread([&] {
    plugin::give_way_to_most();
    policy_first = sched_getscheduler(0), niceness = getpriority(PRIO_PROCESS, 0);
    plugin::give_way_to_all();
    plugin::stay_off_core(core);
    policy = sched_getscheduler(0);
    sched_getaffinity(0, sizeof cores, &cores);
    std::thread([&] {
      policy_within = sched_getscheduler(0);
      sched_getaffinity(0, sizeof cores_within, &cores_within);
    }).join();
  }).join();
  CHECK(policy_first != SCHED_IDLE);
  CHECK(niceness >= 10);
  CHECK(policy == SCHED_IDLE);
  CHECK(policy_within == SCHED_IDLE);
  CHECK(sched_getscheduler(0) == SCHED_OTHER);
  if (plugin::usable_cores() > 1) {
    CHECK_FALSE(CPU_ISSET(core, &cores));
    CHECK_FALSE(CPU_ISSET(core, &cores_within));
  }
  CHECK(CPU_COUNT(&cores) >= 1);
}

// Of this process.
size_t idle_threads() {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task"))
    count += sched_getscheduler(std::stoi(entry.path().filename().string())) == SCHED_IDLE ? 1 : 0;
  return count;
}

TEST_CASE("a learning has low priority until its first model, and then only idle cores") {
  constexpr int kLongS = 250;                                   // all cores may be busy
  CHECK(wait_for([] { return idle_threads() == 0; }, kLongS));  // a thread that was left may end late
  const test::Device device(8 * size_t(kRate));
  LearnInput input;
  plugin::LearnSettings settings = quick();
  settings.gives_way = true;
  settings.million_frames = 1e6;
  const AudioThread audio(input, device);
  size_t idle_before = 0;
  const Begun learning(Learning::begin(input, kRate, {}, settings, [](const Learning::Bytes&) {}));
  CHECK(wait_for(
      [&] {
        const size_t idle = idle_threads();
        if (learning->status().has_model) return true;
        idle_before = std::max(idle_before, idle);
        return false;
      },
      kLongS));
  CHECK(idle_before == 0);
  CHECK(wait_for([] { return idle_threads() > 0; }, kLongS));
  CHECK(sched_getscheduler(0) == SCHED_OTHER);
}
#endif

}  // namespace
