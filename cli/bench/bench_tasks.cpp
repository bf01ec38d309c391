// `coil bench tasks`: how long small models go on being right at a task that needs memory.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
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

// Answers up to the length `until`, and how many of them were right since the row before.
struct Row {
  uint64_t until = 0, answers = 0, right = 0;
  double share() const { return double(right) / double(answers); }
};

using Model = std::shared_ptr<const ssm::Model>;
using Rows = std::vector<Row>;

// The parity of bits: token 2 begins, 0 and 1 are bits; after each, the likelier of 0 and 1 says whether the number of
// ones so far is odd.
Rows run_parity(const Model& model, const TaskOptions& options) {
  constexpr size_t kBlock = 1024, kVocab = 3;
  constexpr int32_t kBegin = 2;
  constexpr uint64_t kFirstRow = 64;
  ssm::Stream stream(model);
  std::mt19937_64 random(options.seed);
  stream.process_tokens(std::vector<int32_t>{kBegin}, {});
  std::vector<int32_t> bits;
  std::vector<float> logits;
  Rows rows;
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

// Answers of one sequence after another, each through a stream of its own; every length is twice the one before.
// make(length) gives the tokens, and the answers that the last tokens ask for.
struct Sequence {
  std::vector<int32_t> tokens, answers;
};
template <class Make>
Rows run_lengths(const Model& model, uint64_t shortest, uint64_t longest, const Make& make) {
  constexpr uint64_t kTokens = 1 << 22, kFewest = 4, kMost = 32;
  const size_t vocab = size_t(model->config().d_output);
  ssm::Stream stream(model);
  Rows rows;
  for (uint64_t length = shortest; length <= longest; length *= 2) {
    Row row{length, 0, 0};
    for (uint64_t i = 0; i < std::clamp(kTokens / length, kFewest, kMost); ++i) {
      throw_if_interrupted();
      const Sequence sequence = make(size_t(length));
      std::vector<float> logits(sequence.answers.size() * vocab);
      stream.reset();
      stream.process_tokens(sequence.tokens, logits);
      for (size_t a = 0; a < sequence.answers.size(); ++a) {
        const auto first = logits.begin() + std::ptrdiff_t(a * vocab), end = first + std::ptrdiff_t(vocab);
        row.right += std::max_element(first, end) - first == sequence.answers[a];
      }
      row.answers += sequence.answers.size();
    }
    rows.push_back(row);
  }
  return rows;
}

// A whole number below `end`, equal on every machine.
uint64_t below(std::mt19937_64& random, uint64_t end) { return random() % end; }

// Token 0 is among others (1 to 15) once, and comes again at the end. The answer is the token that followed it.
Rows run_induction(const Model& model, const TaskOptions& options) {
  constexpr uint64_t kShortest = 64;
  std::mt19937_64 random(options.seed);
  return run_lengths(model, kShortest, options.steps, [&](size_t length) {
    Sequence sequence{std::vector<int32_t>(length), {}};
    for (int32_t& token : sequence.tokens) token = 1 + int32_t(below(random, 15));
    const size_t first = below(random, length - 2);
    sequence.tokens[first] = sequence.tokens.back() = 0;
    sequence.answers = {sequence.tokens[first + 1]};
    return sequence;
  });
}

// 16 tokens (1 to 14) at random places among noise (0), then token 15 asks 16 times for the next of them.
Rows run_copying(const Model& model, const TaskOptions& options) {
  constexpr uint64_t kShortest = 64;
  constexpr size_t kCopied = 16;
  constexpr int32_t kAsk = 15;
  std::mt19937_64 random(options.seed);
  return run_lengths(model, kShortest, options.steps, [&](size_t length) {
    Sequence sequence{std::vector<int32_t>(length + kCopied, 0), {}};
    std::set<size_t> places;
    while (places.size() < kCopied) places.insert(below(random, length));
    for (const size_t place : places) sequence.answers.push_back(1 + int32_t(below(random, 14)));
    auto next = sequence.answers.begin();
    for (const size_t place : places) sequence.tokens[place] = *next++;
    std::fill(sequence.tokens.end() - kCopied, sequence.tokens.end(), kAsk);
    return sequence;
  });
}

struct Task {
  const char* name;
  int vocab;
  Rows (*run)(const Model& model, const TaskOptions& options);
};
constexpr Task kTasks[] = {{"parity", 3, run_parity}, {"induction", 16, run_induction}, {"copying", 16, run_copying}};

const Task& task_of(const ssm::Model& model, const std::string& name) {
  const ssm::ModelConfig& config = model.config();
  const auto found = std::ranges::find(kTasks, model.card().task, &Task::name);
  if (found == std::end(kTasks))
    throw Failure(kModelFailed, name + ": its card must say \"task\": \"parity\", \"induction\" or \"copying\"");
  if (!config.embedding || config.embedding->vocab != found->vocab || config.d_output != found->vocab)
    throw Failure(kModelFailed, name + ": for " + found->name + ", its vocabulary must have " +
                                    std::to_string(found->vocab) + " tokens");
  return *found;
}

void run_tasks(const TaskOptions& options) {
  Json report = Json::array();
  for (const std::string& name : options.models) {
    const auto model = load_model(name);
    const Task& task = task_of(*model, name);
    const Rows rows = task.run(model, options);
    Json lengths = Json::array();
    for (const Row& row : rows)
      lengths.push_back({{"until", row.until}, {"steps", row.answers}, {"right", row.share()}});
    report.push_back({{"model", name}, {"task", task.name}, {"lengths", lengths}});
    if (options.json) continue;
    std::printf("%s: %s\n%14s %10s\n", name.c_str(), task.name, "until step", "right");
    for (const Row& row : rows) std::printf("%14llu %9.4f%%\n", (unsigned long long)(row.until), 100 * row.share());
  }
  if (options.json) std::printf("%s\n", report.dump(2).c_str());
}

}  // namespace

CLI::App* setup_bench_tasks(CLI::App& bench, int& exit_code) {
  CLI::App* command = bench.add_subcommand("tasks", "How long a small model is right at a task that needs memory");
  command->footer(
      "MODEL is trained on one of the tasks in train/tasks, which its card names. Parity of bits: each line has the "
      "share of right\n"
      "answers since the line before; half is chance. Induction heads and selective copying: each line has the share "
      "of "
      "right answers\n"
      "in sequences of that length.\n"
      "Exit codes: 0 measured, 2 wrong options, 3 a model cannot be loaded or is for no such task, 130 interrupted.");
  auto options = std::make_shared<TaskOptions>();
  command->add_option("models", options->models, "Model files with a card that states the task")
      ->required()
      ->type_name("MODEL");
  command->add_option("--steps", options->steps, "How many bits, or the longest sequence")
      ->type_name("N")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 40))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Of the random tokens")->capture_default_str();
  command->add_flag("--json", options->json, "As one JSON list");
  command->callback([options, &exit_code] {
    run_tasks(*options);
    exit_code = kOk;
  });
  return command;
}

}  // namespace coil::cli
