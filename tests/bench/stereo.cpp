// What two channels of a model cost beside one, by the number of frames in a block. Each round times one channel, both
// one after the other, and both together (ssm::Stream::process_pair).
#include <cstdio>
#include <string>
#include <vector>

#include "ssm/kernels/kernels.h"
#include "ssm/run/stream.h"
#include "tests/bench/alternating.h"
#include "tests/support/random_network.h"

namespace {

using namespace coil;

constexpr size_t kFrames = 9216;  // a multiple of all blocks; a fifth of a second, so that few rounds are interrupted
constexpr int kRounds = 60;

void compare(const std::shared_ptr<const ssm::Model>& model, const std::vector<float>& sound, size_t block) {
  ssm::Stream left(model), right(model);
  std::vector<float> out(kFrames), other(kFrames);
  const auto blocks = [&](const auto& each) {
    for (size_t at = 0; at < kFrames; at += block)
      each(std::span(sound).subspan(at, block), std::span(out).subspan(at, block), std::span(other).subspan(at, block));
  };
  std::vector<bench::Candidate> candidates;
  candidates.push_back({"one", [&] { blocks([&](auto in, auto to, auto) { left.process(in, to); }); }, {}});
  candidates.push_back({"in turn",
                        [&] {
                          blocks([&](auto in, auto to, auto second) {
                            left.process(in, to);
                            right.process(in, second);
                          });
                        },
                        {}});
  candidates.push_back(
      {"together",
       [&] {
         blocks([&](auto in, auto to, auto second) { ssm::Stream::process_pair(left, right, {in, to}, {in, second}); });
       },
       {}});
  bench::alternate(candidates, kRounds);
  const auto ns = [](const bench::Candidate& each) { return each.best_ms() * 1e6 / double(kFrames); };
  const auto ratio = [&](const bench::Candidate& each) {
    std::vector<double> ratios;
    for (size_t i = 0; i < each.rounds_ms.size(); ++i) ratios.push_back(each.rounds_ms[i] / candidates[0].rounds_ms[i]);
    return bench::median(ratios);
  };
  std::printf("%8zu %8.1f %8.1f %8.1f %10.2f %10.2f\n", block, ns(candidates[0]), ns(candidates[1]), ns(candidates[2]),
              ratio(candidates[1]), ratio(candidates[2]));
}

}  // namespace

int main(int count, char** arguments) {
  std::vector<std::string> names(arguments + 1, arguments + count);
  if (names.empty()) names = {"green_overdrive", "green_overdrive_lite", "clean_preamp"};
  test::Random random(1);
  std::vector<float> sound = test::random_signal(kFrames, random);
  for (float& sample : sound) sample *= 0.1f;
  for (const std::string& name : names)
    for (const ssm::Target target : ssm::Target::all()) {
      if (!target.kernels().narrow_layers) continue;
      const auto model = ssm::Model::load(std::string(COIL_PRESETS_DIR) + "/" + name + ".safetensors", target);
      std::printf("%s, %s; ns a frame of both; ratios to one, medians of %d rounds\n%8s %8s %8s %8s %10s %10s\n",
                  name.c_str(), target.name(), kRounds, "block", "one", "in turn", "together", "in turn", "together");
      for (const size_t block : {1, 8, 16, 24, 32, 48, 64, 256}) compare(model, sound, block);
    }
}
