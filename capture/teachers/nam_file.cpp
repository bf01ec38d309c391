// Builds a network from the JSON of a .nam file. The weights are one list in the order of the layers.
#include "capture/teachers/nam_file.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "base/json_fields.h"
#include "capture/teachers/chain.h"
#include "capture/teachers/wavenet.h"
#include "capture/teachers/weight_list.h"

namespace coil::capture {
namespace {

using Json = nlohmann::json;

constexpr int kMostChannels = 4096, kMostLayers = 256, kMostTaps = 1 << 20;
constexpr double kUsualRateHz = 48000;
constexpr double kLstmSettleSeconds = 0.5;

// State that the readers of all networks in one file share.
struct Reading {
  double sample_rate_hz;
  Teacher* teacher;  // gets weights, notes and warnings
};

std::unique_ptr<Network> read_network(const Json& json, const std::string& where, const Reading& reading);

// Source of the supported range: NeuralAmpModelerCore 0.5.5, NAM/get_dsp.h.
void check_version(const std::string& version, const std::string& where, std::vector<std::string>& warnings) {
  int parts[3] = {-1, -1, -1};
  char dots[2] = {};
  std::istringstream text(version);
  text >> parts[0] >> dots[0] >> parts[1] >> dots[1] >> parts[2];
  const bool valid = !text.fail() && text.eof() && dots[0] == '.' && dots[1] == '.';
  if (!valid || parts[0] != 0 || parts[1] < 5 || parts[1] > 7)
    throw Error(where + ".version must be from 0.5.0 to 0.7.x, found '" + version.substr(0, 40) + "'");
  if (parts[1] == 7 && parts[2] > 0)
    warnings.push_back("its version, " + version + ", is newer than 0.7.0; its new features are ignored");
}

std::vector<float> read_weights(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  if (!fields.has("weights")) throw Error(where + ".weights is missing");
  const Json& list = fields.at("weights");
  if (!list.is_array()) throw fields.wrong("weights", "a list of numbers");
  std::vector<float> weights;
  weights.reserve(list.size());
  for (const Json& weight : list) {
    if (!weight.is_number() || !std::isfinite(weight.get<float>()))
      throw Error(where + ".weights must hold numbers only; entry " + std::to_string(weights.size()) + " is none");
    weights.push_back(weight);
  }
  return weights;
}

Rows read_rows(WeightList& weights, size_t rows, size_t columns) {
  Rows result;
  for (size_t r = 0; r < rows; ++r) {
    const auto row = weights.take(columns);
    result.emplace_back(row.begin(), row.end());
  }
  return result;
}

std::vector<float> read_values(WeightList& weights, size_t count) {
  const auto values = weights.take(count);
  return {values.begin(), values.end()};
}

size_t channels_of(const JsonFields& fields, const char* key) { return size_t(fields.whole(key, 1, kMostChannels, 1)); }

// For each layer: alternating rows of both matrices, biases, then the initial state. Source: NeuralAmpModelerCore,
// NAM/lstm.cpp.
std::unique_ptr<Network> read_lstm(const JsonFields& fields, WeightList& weights, double sample_rate_hz) {
  const auto layers = size_t(fields.whole("num_layers", 1, kMostLayers)),
             inputs = size_t(fields.whole("input_size", 1, kMostChannels)),
             hidden = size_t(fields.whole("hidden_size", 1, kMostChannels)),
             outputs = channels_of(fields, "out_channels");
  auto chain = std::make_unique<Chain>(inputs, size_t(kLstmSettleSeconds * sample_rate_hz));
  for (size_t l = 0; l < layers; ++l) {
    const size_t taken = l == 0 ? inputs : hidden;
    LstmWeights lstm;
    for (std::vector<float>& row : read_rows(weights, 4 * hidden, taken + hidden)) {
      const auto cut = row.begin() + std::ptrdiff_t(taken);
      lstm.input.emplace_back(row.begin(), cut);
      lstm.recurrent.emplace_back(cut, row.end());
    }
    lstm.bias = read_values(weights, 4 * hidden);
    lstm.hidden = read_values(weights, hidden);
    lstm.cell = read_values(weights, hidden);
    chain->add(make_lstm(lstm));
  }
  chain->add(make_convolution_layer(Convolution({.inputs = hidden, .outputs = outputs}, weights), Activation()));
  return chain;
}

// Folds the batch norm's mean, variance, weight, bias and epsilon into the convolution. Source: NeuralAmpModelerCore,
// NAM/convnet.cpp.
void absorb_batch_norm(Convolution& convolution, WeightList& weights) {
  const size_t channels = convolution.outputs();
  const auto mean = weights.take(channels), variance = weights.take(channels), weight = weights.take(channels),
             bias = weights.take(channels);
  const float epsilon = weights.take_one();
  std::vector<float> scale(channels), add(channels);
  for (size_t c = 0; c < channels; ++c) {
    if (!(variance[c] + epsilon > 0)) throw Error(weights.where() + " has a batch norm whose variance is not above 0");
    scale[c] = weight[c] / std::sqrt(variance[c] + epsilon);
    add[c] = bias[c] - scale[c] * mean[c];
  }
  convolution.scale_outputs(scale, add);
}

std::unique_ptr<Network> read_convnet(const JsonFields& fields, WeightList& weights) {
  const auto channels = size_t(fields.whole("channels", 1, kMostChannels)),
             groups = size_t(fields.whole("groups", 1, kMostChannels, 1)), inputs = channels_of(fields, "in_channels"),
             outputs = channels_of(fields, "out_channels");
  const bool batch_norm = fields.flag("batchnorm", false);
  if (!fields.has("activation")) throw Error(fields.where("activation") + " is missing");
  const Activation activation = Activation::of_nam(fields.at("activation"), fields.where("activation"));
  const auto is_dilation = [](const Json& d) { return d.is_number_integer() && d >= 1 && d <= kMostTaps; };
  if (!fields.has("dilations") || !fields.at("dilations").is_array() || fields.at("dilations").empty() ||
      !std::ranges::all_of(fields.at("dilations"), is_dilation))
    throw fields.wrong("dilations", "a list of whole numbers from 1 on");
  auto chain = std::make_unique<Chain>(inputs, 0);
  size_t taken = inputs;
  for (const Json& dilation : fields.at("dilations")) {
    Convolution convolution({.inputs = taken,
                             .outputs = channels,
                             .taps = 2,
                             .dilation = dilation.get<size_t>(),
                             .groups = groups,
                             .bias = !batch_norm},
                            weights);
    if (batch_norm) absorb_batch_norm(convolution, weights);
    chain->add(make_convolution_layer(std::move(convolution), activation));
    taken = channels;
  }
  chain->add(make_convolution_layer(Convolution({.inputs = channels, .outputs = outputs}, weights), Activation()));
  return chain;
}

// An impulse response, first frame first.
std::unique_ptr<Network> read_linear(const JsonFields& fields, WeightList& weights) {
  const auto taps = size_t(fields.whole("receptive_field", 1, kMostTaps));
  for (const char* key : {"in_channels", "out_channels"})
    if (channels_of(fields, key) != 1) throw fields.wrong(key, "1");
  std::vector<float> values = read_values(weights, taps);
  std::ranges::reverse(values);
  const bool bias = fields.flag("bias", false);
  if (bias) values.push_back(weights.take_one());
  WeightList turned(values, weights.where());
  auto chain = std::make_unique<Chain>(1, 0);
  chain->add(make_convolution_layer(Convolution({.inputs = 1, .outputs = 1, .taps = taps, .bias = bias}, turned),
                                    Activation()));
  return chain;
}

// A container holds several sizes of one capture. The full size is played, as in Neural Amp Modeler.
std::unique_ptr<Network> read_container(const JsonFields& fields, const Reading& reading) {
  if (!fields.has("submodels") || !fields.at("submodels").is_array() || fields.at("submodels").empty())
    throw fields.wrong("submodels", "a list of networks");
  const Json& models = fields.at("submodels");
  const JsonFields full(models.back(), fields.where("submodels") + "[" + std::to_string(models.size() - 1) + "]");
  if (full.number("max_value") < 1) throw full.wrong("max_value", "1 at least in the last network");
  if (!full.has("model")) throw Error(full.where("model") + " is missing");
  if (models.size() > 1)
    reading.teacher->notes.push_back("it holds " + std::to_string(models.size()) +
                                     " sizes of a network; the largest is played");
  return read_network(full.at("model"), full.where("model"), reading);
}

std::unique_ptr<Network> read_network(const Json& json, const std::string& where, const Reading& reading) {
  const JsonFields fields(json, where);
  check_version(fields.text("version"), where, reading.teacher->warnings);
  const std::string architecture = fields.text("architecture");
  const double rate = fields.number("sample_rate", reading.sample_rate_hz);
  if (rate != reading.sample_rate_hz) throw fields.wrong("sample_rate", "the same for all networks of the file");
  if (!fields.has("config")) throw Error(fields.where("config") + " is missing");
  const JsonFields config(fields.at("config"), fields.where("config"));
  if (architecture == "SlimmableContainer") return read_container(config, reading);
  const std::vector<float> values = read_weights(json, where);
  reading.teacher->weights += values.size();
  reading.teacher->recurrent |= architecture == "LSTM";
  WeightList weights(values, where);
  std::unique_ptr<Network> network;
  if (architecture == "WaveNet") {
    const auto read_inner = [&](const Json& inner) {
      return read_network(inner, config.where("condition_dsp"), reading);
    };
    network = read_wavenet(fields.at("config"), config.where(), weights, read_inner, reading.teacher->warnings);
  } else if (architecture == "LSTM") {
    network = read_lstm(config, weights, reading.sample_rate_hz);
  } else if (architecture == "ConvNet") {
    network = read_convnet(config, weights);
  } else if (architecture == "Linear") {
    network = read_linear(config, weights);
  } else {
    throw Error(where + ".architecture '" + architecture.substr(0, 40) +
                "' is not known; WaveNet, LSTM, ConvNet, Linear and SlimmableContainer are");
  }
  weights.expect_end();
  return network;
}

// A container may leave the rate to its contents.
std::optional<double> sample_rate_of(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  if (fields.has("sample_rate")) return fields.number("sample_rate");
  const Json::json_pointer inner("/config/submodels/0/model/sample_rate");
  if (json.contains(inner) && json[inner].is_number()) return json[inner].get<double>();
  return std::nullopt;
}

}  // namespace

Teacher read_nam(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  Teacher teacher;
  teacher.program = "Neural Amp Modeler";
  teacher.architecture = fields.text("architecture");
  teacher.version = fields.text("version");
  const std::optional<double> rate = sample_rate_of(json, where);
  if (!rate) teacher.notes.push_back("it names no sample rate; taken as 48000 Hz, the usual one");
  teacher.sample_rate_hz = rate.value_or(kUsualRateHz);
  if (fields.has("metadata")) {
    const JsonFields metadata(fields.at("metadata"), fields.where("metadata"));
    teacher.metadata = fields.at("metadata");
    if (metadata.has("input_level_dbu")) teacher.input_level_dbu = metadata.number("input_level_dbu");
    if (metadata.has("output_level_dbu")) teacher.output_level_dbu = metadata.number("output_level_dbu");
  }
  teacher.network = read_network(json, where, {teacher.sample_rate_hz, &teacher});
  return teacher;
}

}  // namespace coil::capture
