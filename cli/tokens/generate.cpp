// `coil generate`: continues a prompt of token ids or text with a language model.
#include "cli/commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json_fields.h"
#include "base/text.h"
#include "cli/failure.h"
#include "cli/interrupt.h"
#include "cli/models.h"
#include "cli/sound/sound_format.h"
#include "cli/tokens/mu_law_output.h"
#include "cli/tokens/token_output.h"
#include "cli/tokens/tokenizer.h"
#include "cli/tokens/utf8.h"
#include "ssm/machine/row_threads.h"
#include "ssm/model/safetensors.h"
#include "ssm/run/stream.h"

namespace coil::cli {
namespace {

constexpr const char *kNextToken = "next_token", *kTokensSeen = "tokens_seen", *kHeldBytes = "held_bytes";

struct GenerateOptions {
  std::string model, tokens = "-", text = "-", sound, state, weights = "f32";
  bool as_text = false;
  int count = 16, window = 0, top_k = 0, rate_hz = 0, threads = 1;
  double temperature = 0, top_p = 1;
  uint64_t seed = 0;
  std::vector<int> stops;
};

// The position in a stream of tokens. The model has not processed the last drawn token yet.
struct Position {
  std::vector<int32_t> pending;
  uint64_t seen = 0;
  std::string held;  // the bytes of a character that is not complete yet
};

std::vector<int32_t> parse_ids(std::string text, const std::string& where, int vocab) {
  for (char& c : text)
    if (c == ',' || c == '\n' || c == '\t' || c == '\r') c = ' ';
  std::vector<int32_t> ids;
  for (size_t at = text.find_first_not_of(' '); at != std::string::npos; at = text.find_first_not_of(' ', at)) {
    const size_t end = std::min(text.find(' ', at), text.size());
    int32_t id = 0;
    const auto [last, error] = std::from_chars(text.data() + at, text.data() + end, id);
    if (error != std::errc() || last != text.data() + end || id < 0 || id >= vocab)
      throw Failure(kUsage, where + ": '" + text.substr(at, std::min<size_t>(end - at, 20)) +
                                "' is not a token id; the vocabulary has ids from 0 to " + std::to_string(vocab - 1));
    ids.push_back(id);
    at = end;
  }
  return ids;
}

// A number in [0, 1) that depends on the seed and on the number of tokens drawn before. Source: Steele, Lea & Flood
// 2014 (SplitMix64).
double uniform(uint64_t seed, uint64_t index) {
  uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return std::ldexp(double((z ^ (z >> 31)) >> 11), -53);
}

// Draws from softmax(logits / temperature), limited to the top_k best tokens, and of those to the fewest that together
// have the probability top_p.
class Sampler {
 public:
  explicit Sampler(const GenerateOptions& options) : options_(options) {}

  int32_t draw(std::span<const float> logits, uint64_t index) {
    if (options_.temperature == 0) return int32_t(std::max_element(logits.begin(), logits.end()) - logits.begin());
    order_.resize(logits.size());
    std::iota(order_.begin(), order_.end(), 0);
    std::stable_sort(order_.begin(), order_.end(), [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
    if (options_.top_k > 0) order_.resize(std::min(order_.size(), size_t(options_.top_k)));
    weights_.clear();
    double sum = 0;
    for (const int32_t id : order_) {
      weights_.push_back(std::exp((double(logits[id]) - double(logits[order_[0]])) / options_.temperature));
      sum += weights_.back();
    }
    size_t kept = 0;
    double share = 0;
    while (kept < order_.size() && (kept == 0 || share < options_.top_p * sum)) share += weights_[kept++];
    double left = uniform(options_.seed, index) * share;
    for (size_t i = 0; i + 1 < kept; ++i)
      if ((left -= weights_[i]) < 0) return order_[i];
    return order_[kept - 1];
  }

 private:
  const GenerateOptions& options_;
  std::vector<int32_t> order_;
  std::vector<double> weights_;
};

// A note holds text only, so bytes are stored as numbers.
std::string bytes_as_numbers(const std::string& bytes) {
  std::string text;
  for (const char byte : bytes) text += std::to_string(int(uint8_t(byte))) + " ";
  return text;
}

std::string bytes_from_numbers(const std::string& text, const std::string& path) {
  std::string bytes;
  for (const int32_t byte : parse_ids(text, path + ": its note '" + kHeldBytes + "'", 256)) bytes += char(byte);
  return bytes;
}

Position resume(const std::string& path, ssm::Stream& stream) {
  Position position;
  if (path.empty() || !std::filesystem::exists(path)) return position;
  stream.state() = ssm::State::load(path, stream.model().state_layout());
  const auto& notes = ssm::Safetensors::open(path).metadata();
  const auto number = [&](const char* key) {
    const auto found = notes.find(key);
    uint64_t value = 0;
    if (found == notes.end()) return value;
    const char* end = found->second.data() + found->second.size();
    if (std::from_chars(found->second.data(), end, value).ptr != end)
      throw Error(path + ": its note '" + key + "' is no number");
    return value;
  };
  position.seen = number(kTokensSeen);
  if (notes.contains(kNextToken)) {
    const uint64_t token = number(kNextToken);
    if (token >= uint64_t(stream.model().config().embedding->vocab))
      throw Error(path + ": its note '" + kNextToken + "' is not a token of the vocabulary");
    position.pending.push_back(int32_t(token));
  }
  if (const auto held = notes.find(kHeldBytes); held != notes.end())
    position.held = bytes_from_numbers(held->second, path);
  return position;
}

void save(const std::string& path, const ssm::Stream& stream, const Position& position) {
  if (path.empty()) return;
  std::map<std::string, std::string> notes{{kTokensSeen, std::to_string(position.seen)}};
  if (!position.pending.empty()) notes[kNextToken] = std::to_string(position.pending.back());
  if (!position.held.empty()) notes[kHeldBytes] = bytes_as_numbers(position.held);
  stream.state().save(path, notes);
}

Tokenizer open_tokenizer(const ssm::Checkpoint& checkpoint, int vocab) {
  namespace fs = std::filesystem;
  const fs::path model = checkpoint.source();
  const fs::path folder = fs::is_directory(model) ? model : model.parent_path();
  const fs::path path = folder / "tokenizer.json";
  if (!fs::exists(path)) {
    std::string found;
    for (const char* name : {"tokenizer.model", "vocab.json", "vocab.txt"})
      if (found.empty() && fs::exists(folder / name)) found = std::string(" (") + name + " is not enough)";
    throw Failure(kUsage, model.string() + ": --text needs a tokenizer.json in its folder, and there is none" + found +
                              "; AutoTokenizer's save_pretrained() of transformers writes one");
  }
  Tokenizer tokenizer = Tokenizer::load(path);
  if (tokenizer.vocab() > vocab)
    throw Error(path.string() + ": has ids up to " + std::to_string(tokenizer.vocab() - 1) +
                ", but the vocabulary of the model ends at " + std::to_string(vocab - 1));
  return tokenizer;
}

nlohmann::json config_of(const ssm::Checkpoint& checkpoint) {
  return parse_json(checkpoint.config_json(), checkpoint.source() + ": config");
}

// The config's tokens that end a text.
std::vector<int> ends_of_text(const ssm::Checkpoint& checkpoint) {
  const nlohmann::json ends = config_of(checkpoint).value("eos_token_id", nlohmann::json());
  std::vector<int> ids;
  for (const nlohmann::json& id : ends.is_array() ? ends : nlohmann::json::array({ends}))
    if (id.is_number_integer()) ids.push_back(id.get<int>());
  return ids;
}

int rate_of_sound(const GenerateOptions& options, const ssm::Checkpoint& checkpoint, double rate_of_card) {
  double rate = options.rate_hz > 0 ? options.rate_hz : rate_of_card;
  const nlohmann::json config = config_of(checkpoint);
  for (const char* key : {"sample_rate", "sampling_rate"})
    if (rate == 0 && config.contains(key) && config[key].is_number()) rate = config[key];
  if (!(rate >= kLowestRateHz && rate <= kHighestRateHz && rate == std::floor(rate)))
    throw Failure(kUsage, checkpoint.source() +
                              (rate == 0 ? ": states no sample_rate" : ": its sample_rate is no rate") +
                              "; give the rate of the sound by --rate HZ");
  return int(rate);
}

std::unique_ptr<TokenOutput> open_sound(const GenerateOptions& options, const ssm::Checkpoint& checkpoint,
                                        const ssm::Model& model) {
  if (const int vocab = model.config().embedding->vocab; vocab != kMuLawTokens)
    throw Failure(kUsage, options.model + ": -o writes 8-bit mu-law, which has " + std::to_string(kMuLawTokens) +
                              " tokens, but the model has " + std::to_string(vocab));
  const int rate_hz = rate_of_sound(options, checkpoint, model.card().sample_rate_hz);
  return std::make_unique<MuLawOutput>(options.sound, rate_hz);
}

// Special tokens only belong to the beginning of a stream.
std::vector<int32_t> encode(const Tokenizer& tokenizer, const std::string& text, bool begins) {
  const std::string valid = valid_utf8(text);
  const Tokenizer::Encoded encoded = tokenizer.encode(valid, begins);
  std::vector<std::string> warnings;
  if (valid != text) warnings.push_back("the prompt is not valid UTF-8; what is not was replaced by U+FFFD");
  if (encoded.dropped > 0)
    warnings.push_back("the tokenizer has no tokens for " + counted((long long)(encoded.dropped), "character") +
                       " of the prompt, which the model does not see");
  print_warnings(warnings);
  return encoded.ids;
}

std::string read_prompt(const std::string& option) {
  return option != "-" ? option : std::string(std::istreambuf_iterator<char>(std::cin), {});
}

// Draws tokens and writes them until there are enough. Leaves the last one in `position`.
void draw_tokens(const GenerateOptions& options, const std::vector<int>& stops, ssm::Stream& stream, Position& position,
                 TokenOutput& output) {
  Sampler sampler(options);
  std::vector<float> logits(static_cast<size_t>(stream.model().config().d_output));
  for (int i = 0; i < options.count && !interrupted(); ++i) {
    stream.process_tokens(position.pending, logits);
    if (stream.restarts() > 0) throw Error(stream.model().source() + ": its state left the finite numbers");
    position.seen += position.pending.size();
    const int32_t token = sampler.draw(logits, position.seen);
    position.pending.assign(1, token);
    if (std::find(stops.begin(), stops.end(), token) != stops.end()) break;
    output.write(token);
  }
  if (options.count == 0) {  // only the prompt is processed
    stream.process_tokens(position.pending, {});
    position.seen += position.pending.size();
    position.pending.clear();
  }
}

int run_generate(const GenerateOptions& options) {
  const ssm::Target target = ssm::Target::best().with(ssm::weight_format_from_name(options.weights));
  const ssm::Checkpoint checkpoint = open_model(options.model, options.window);
  const auto model = load_model(checkpoint, target);
  const ssm::ModelConfig& config = model->config();
  if (config.input_kind != ssm::InputKind::token_ids || !config.out_proj)
    throw Failure(kUsage,
                  options.model + ": takes no token ids or gives no logits; `coil process` runs models of signals");
  const int vocab = config.embedding->vocab;
  std::optional<Tokenizer> tokenizer;
  if (options.as_text) tokenizer.emplace(open_tokenizer(checkpoint, vocab));
  ssm::RowThreads threads(static_cast<size_t>(options.threads));
  ssm::Stream stream(model);
  if (options.threads > 1) stream.use_threads(&threads);
  Position position = resume(options.state, stream);
  const bool begins = position.seen == 0;
  const std::string prompt = read_prompt(tokenizer ? options.text : options.tokens);
  const std::vector<int32_t> ids =
      tokenizer ? encode(*tokenizer, prompt, begins)
                : parse_ids(prompt, options.tokens == "-" ? "standard input" : "--tokens", vocab);
  position.pending.insert(position.pending.end(), ids.begin(), ids.end());
  if (position.pending.empty())
    throw Failure(kUsage, std::string("nothing to go on from: give a prompt by ") +
                              (tokenizer ? "--text TEXT" : "--tokens 1,2,3") + " or on standard input");

  std::vector<int> stops = options.stops;
  std::unique_ptr<TokenOutput> output;
  if (tokenizer) {
    auto text = std::make_unique<TextOutput>(*tokenizer);
    if (!begins) text->follow(position.held);
    text->follow(ids);
    output = std::move(text);
    for (const int id : ends_of_text(checkpoint)) stops.push_back(id);
  } else if (!options.sound.empty()) {
    output = open_sound(options, checkpoint, *model);
  } else {
    output = std::make_unique<IdOutput>();
  }
  draw_tokens(options, stops, stream, position, *output);
  position.held = output->held();
  output->finish(!options.state.empty());
  save(options.state, stream, position);
  throw_if_interrupted();
  return kOk;
}

}  // namespace

CLI::App* setup_generate(CLI::App& app, int& exit_code) {
  const auto options = std::make_shared<GenerateOptions>();
  CLI::App* command = app.add_subcommand("generate", "Continue a prompt of text or token ids with a language model");
  command->footer(
      "Prints text (--text) or one token id per line, immediately, or writes sound (-o). Memory, and time per token, "
      "do not grow.");
  command->add_option("model", options->model, "Model file or folder")->required()->type_name("MODEL");
  command
      ->add_option("--tokens", options->tokens, "The prompt: ids separated by commas or blanks; -: from standard input")
      ->type_name("IDS")
      ->capture_default_str();
  CLI::Option* text = command
                          ->add_option("--text", options->text,
                                       "The prompt as text, and text as output, by the tokenizer.json in the model's "
                                       "folder; ends at the config's eos_token_id. -, or nothing: from standard input")
                          ->type_name("TEXT")
                          ->expected(0, 1)
                          ->default_str("-")
                          ->excludes("--tokens");
  command
      ->add_option("-o,--output", options->sound,
                   "Write the tokens of a raw-audio model to this sound file, without the prompt: one sample in 8-bit "
                   "mu-law each; -: WAV on standard output")
      ->type_name("FILE")
      ->excludes(text);
  command->add_option("--rate", options->rate_hz, "Rate of the sound; default: sample_rate of the config")
      ->type_name("HZ")
      ->check(CLI::Range(kLowestRateHz, kHighestRateHz))
      ->needs("--output");
  command->add_option("-n,--count", options->count, "How many tokens; 0: only process the prompt and save --state")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--temperature", options->temperature, "0: always the most likely token")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  command->add_option("--top-k", options->top_k, "Sample from the K most likely tokens; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--top-p", options->top_p, "Sample from the fewest tokens with this share of the probability")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Seed of the sampling: equal seeds give equal tokens")
      ->capture_default_str();
  command->add_option("--stop", options->stops, "End at this token, which is not printed; may be repeated")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command
      ->add_option("--state", options->state,
                   "Continue from this file if it exists, and save the state at the end to it")
      ->type_name("FILE");
  add_window_option(*command, options->window);
  add_weights_option(*command, options->weights);
  add_threads_option(*command, options->threads);
  command->callback([options, text, &exit_code] {
    options->as_text = text->count() > 0;
    exit_code = run_generate(*options);
  });
  return command;
}

}  // namespace coil::cli
