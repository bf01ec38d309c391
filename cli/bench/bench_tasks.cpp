// `coil bench tasks`: how long small models go on being right at a task that needs memory.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/interrupt.h"
#include "cli/models.h"
#include "ssm/run/stream.h"

namespace coil::cli {
namespace {

using Json = nlohmann::ordered_json;

struct TaskOptions {
  std::vector<std::string> models;
  uint64_t steps = 1'000'000, seed = 1;
  bool json = false;
};

// Steps up to `until`, and how many of them were right since the row before.
struct Row {
  uint64_t until = 0, steps = 0, right = 0;
  double share() const { return double(right) / double(steps); }
};

// The parity of bits: token 2 begins, 0 and 1 are bits; after each, the likelier of 0 and 1 says whether the number of
// ones so far is odd.
std::vector<Row> run_parity(const std::shared_ptr<const ssm::Model>& model, const TaskOptions& options) {
  constexpr size_t kBlock = 1024, kVocab = 3;
  constexpr int32_t kBegin = 2;
  constexpr uint64_t kFirstRow = 64;
  ssm::Stream stream(model);
  std::mt19937_64 random(options.seed);
  stream.process_tokens(std::vector<int32_t>{kBegin}, {});
  std::vector<int32_t> bits;
  std::vector<float> logits;
  std::vector<Row> rows;
  int32_t odd = 0;
  for (uint64_t done = 0, begin = 0; done < options.steps; begin = done) {
    const uint64_t until = std::min(options.steps, std::max(kFirstRow, 4 * begin));
    Row row{until, until - begin, 0};
    while (done < until) {
      throw_if_interrupted();
      bits.resize(std::min<uint64_t>(kBlock, until - done));
      for (int32_t& bit : bits) bit = int32_t(random() >> 63);
      logits.resize(bits.size() * kVocab);
      stream.process_tokens(bits, logits);
      for (size_t t = 0; t < bits.size(); ++t) {
        odd ^= bits[t];
        row.right += (logits[t * kVocab + 1] > logits[t * kVocab]) == (odd == 1);
      }
      done += bits.size();
    }
    rows.push_back(row);
  }
  return rows;
}

void run_tasks(const TaskOptions& options) {
  Json report = Json::array();
  for (const std::string& name : options.models) {
    const auto model = load_model(name);
    const ssm::ModelConfig& config = model->config();
    if (model->card().task != "parity" || !config.embedding || config.embedding->vocab != 3 || config.d_output != 3)
      throw Failure(kModelFailed,
                    name + ": its card must say \"task\": \"parity\", and its vocabulary must have 3 tokens");
    const std::vector<Row> rows = run_parity(model, options);
    Json lengths = Json::array();
    for (const Row& row : rows) lengths.push_back({{"until", row.until}, {"steps", row.steps}, {"right", row.share()}});
    report.push_back({{"model", name}, {"task", "parity"}, {"lengths", lengths}});
    if (options.json) continue;
    std::printf("%s: parity\n%14s %10s\n", name.c_str(), "until step", "right");
    for (const Row& row : rows) std::printf("%14llu %9.4f%%\n", (unsigned long long)(row.until), 100 * row.share());
  }
  if (options.json) std::printf("%s\n", report.dump(2).c_str());
}

}  // namespace

CLI::App* setup_bench_tasks(CLI::App& bench, int& exit_code) {
  CLI::App* command = bench.add_subcommand("tasks", "How long a small model is right at a task that needs memory");
  command->footer(
      "MODEL is trained on the parity of bits (train/tasks). Its stream gets random bits; each line has the share of "
      "right answers\n"
      "since the line before. Half is chance.\n"
      "Exit codes: 0 measured, 2 wrong options, 3 a model cannot be loaded or is for no such task, 130 interrupted.");
  auto options = std::make_shared<TaskOptions>();
  command->add_option("models", options->models, "Model files with a card that states the task")
      ->required()
      ->type_name("MODEL");
  command->add_option("--steps", options->steps, "How many bits")
      ->type_name("N")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 40))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Of the bits")->capture_default_str();
  command->add_flag("--json", options->json, "As one JSON list");
  command->callback([options, &exit_code] {
    run_tasks(*options);
    exit_code = kOk;
  });
  return command;
}

}  // namespace coil::cli
