// Builds a network from layers with Keras weights. The gains and the skip connection are AIDA-X's extensions.
#include "capture/teachers/rtneural_file.h"

#include <cstdlib>

#include "base/json_fields.h"
#include "capture/teachers/chain.h"
#include "capture/teachers/json_tables.h"

namespace coil::capture {
namespace {

using Json = nlohmann::json;

constexpr int kMostChannels = 4096, kMostTaps = 65536, kMostInputs = 8;
constexpr double kUsualRateHz = 48000;
constexpr double kSettleSeconds = 0.5;
constexpr double kSilentDb = -90;  // at or below this, a gain is 0; source: AIDA-X, src/aidadsp-plugin.cpp

// A whole number, or the last entry of a list.
size_t last_size(const JsonFields& fields, const char* key, int most, std::optional<size_t> fallback = std::nullopt) {
  if (!fields.has(key)) {
    if (fallback) return *fallback;
    throw Error(fields.where(key) + " is missing");
  }
  const Json& json = fields.at(key);
  const Json& value = json.is_array() && !json.empty() ? json.back() : json;
  if (!value.is_number_integer() || value < 1 || value > most)
    throw fields.wrong(key, "a whole number from 1 to " + std::to_string(most) + ", or end in one");
  return value;
}

const Json& list_of_weights(const JsonFields& layer, size_t index) {
  const Json& weights = layer.at("weights");
  if (!weights.is_array() || weights.size() <= index)
    throw layer.wrong("weights", "a list of " + std::to_string(index + 1) + " lists at least");
  return weights[index];
}

std::string where_of(const JsonFields& layer, size_t index) {
  return layer.where("weights") + "[" + std::to_string(index) + "]";
}

std::unique_ptr<TeacherLayer> read_lstm(const JsonFields& layer, size_t inputs, size_t hidden) {
  return make_lstm({transposed(rows_of(list_of_weights(layer, 0), inputs, 4 * hidden, where_of(layer, 0))),
                    transposed(rows_of(list_of_weights(layer, 1), hidden, 4 * hidden, where_of(layer, 1))),
                    numbers_of(list_of_weights(layer, 2), 4 * hidden, where_of(layer, 2)),
                    {},
                    {}});
}

// Keras orders the gates z r n.
std::unique_ptr<TeacherLayer> read_gru(const JsonFields& layer, size_t inputs, size_t hidden) {
  const auto swapped = [hidden](auto rows) {
    std::swap_ranges(rows.begin(), rows.begin() + std::ptrdiff_t(hidden), rows.begin() + std::ptrdiff_t(hidden));
    return rows;
  };
  const Rows biases = rows_of(list_of_weights(layer, 2), 2, 3 * hidden, where_of(layer, 2));
  return make_gru({swapped(transposed(rows_of(list_of_weights(layer, 0), inputs, 3 * hidden, where_of(layer, 0)))),
                   swapped(transposed(rows_of(list_of_weights(layer, 1), hidden, 3 * hidden, where_of(layer, 1)))),
                   swapped(biases[0]), swapped(biases[1])});
}

Activation activation_of(const JsonFields& layer) {
  return Activation::of_rtneural(layer.text("activation", ""), layer.where("activation"));
}

std::unique_ptr<TeacherLayer> read_dense(const JsonFields& layer, size_t inputs, size_t outputs) {
  std::vector<float> values;
  for (const auto& row : transposed(rows_of(list_of_weights(layer, 0), inputs, outputs, where_of(layer, 0))))
    values.insert(values.end(), row.begin(), row.end());
  const bool bias = layer.at("weights").size() > 1;
  if (bias) {
    for (const float b : numbers_of(list_of_weights(layer, 1), outputs, where_of(layer, 1))) values.push_back(b);
  }
  WeightList weights(values, layer.where());
  return make_convolution_layer(Convolution({.inputs = inputs, .outputs = outputs, .bias = bias}, weights),
                                activation_of(layer));
}

std::unique_ptr<TeacherLayer> read_conv1d(const JsonFields& layer, size_t inputs, size_t outputs) {
  const ConvolutionSize size{.inputs = inputs,
                             .outputs = outputs,
                             .taps = last_size(layer, "kernel_size", kMostTaps),
                             .dilation = last_size(layer, "dilation", kMostTaps, 1),
                             .groups = last_size(layer, "groups", kMostChannels, 1)};
  const Json& json = list_of_weights(layer, 0);
  if (!json.is_array() || json.size() != size.taps)
    throw Error(where_of(layer, 0) + " must be a list of " + std::to_string(size.taps) + " taps");
  std::vector<Rows> taps;
  for (const Json& tap : json) taps.push_back(rows_of(tap, inputs / size.groups, outputs, where_of(layer, 0)));
  std::vector<float> values;
  for (size_t o = 0; o < outputs; ++o) {
    for (size_t i = 0; i < inputs / size.groups; ++i)
      for (const Rows& tap : taps) values.push_back(tap[i][o]);
  }
  for (const float b : numbers_of(list_of_weights(layer, 1), outputs, where_of(layer, 1))) values.push_back(b);
  WeightList weights(values, layer.where());
  return make_convolution_layer(Convolution(size, weights), activation_of(layer));
}

// Per channel: (x - mean) gamma / sqrt(variance + epsilon) + beta.
std::unique_ptr<TeacherLayer> read_batch_norm(const JsonFields& layer, size_t channels) {
  const bool affine = layer.at("weights").is_array() && layer.at("weights").size() == 4;
  const auto read = [&](size_t index) {
    return numbers_of(list_of_weights(layer, index), channels, where_of(layer, index));
  };
  const std::vector<float> gamma = affine ? read(0) : std::vector<float>(channels, 1),
                           beta = affine ? read(1) : std::vector<float>(channels), mean = read(affine ? 2 : 0),
                           variance = read(affine ? 3 : 1);
  const double epsilon = layer.number("epsilon", 1e-3);
  std::vector<float> values;
  for (size_t c = 0; c < channels; ++c) {
    if (!(variance[c] + epsilon > 0)) throw Error(where_of(layer, affine ? 3 : 1) + " must be above 0");
    values.push_back(float(gamma[c] / std::sqrt(variance[c] + epsilon)));
  }
  for (size_t c = 0; c < channels; ++c) values.push_back(beta[c] - values[c] * mean[c]);
  WeightList weights(values, layer.where());
  return make_convolution_layer(Convolution({.inputs = channels, .outputs = channels, .groups = channels}, weights),
                                Activation());
}

void add_layer(Chain& chain, const JsonFields& layer) {
  const std::string type = layer.text("type");
  const size_t inputs = chain.outputs(), outputs = last_size(layer, "shape", kMostChannels);
  if (!layer.has("weights") && type != "activation") throw Error(layer.where("weights") + " is missing");
  if (type == "lstm" || type == "gru") {
    // These layers already include their activations; any other one would be an additional layer.
    const std::string bend = layer.text("activation", "");
    if (!bend.empty() && bend != "tanh") throw layer.wrong("activation", "empty or tanh");
    return chain.add(type == "lstm" ? read_lstm(layer, inputs, outputs) : read_gru(layer, inputs, outputs));
  }
  if (type == "dense" || type == "time-distributed-dense") return chain.add(read_dense(layer, inputs, outputs));
  if (type == "conv1d") return chain.add(read_conv1d(layer, inputs, outputs));
  if (type == "batchnorm") return chain.add(read_batch_norm(layer, inputs));
  if (type == "activation") return chain.add(make_activation_layer(activation_of(layer), inputs));
  if (type == "prelu") {
    const Json& slopes = list_of_weights(layer, 0);
    const std::string where = where_of(layer, 0);
    return chain.add(make_activation_layer(Activation::of_slopes(rows_of(slopes, 1, inputs, where).front()), inputs));
  }
  throw layer.wrong("type", "lstm, gru, dense, time-distributed-dense, conv1d, batchnorm, prelu or activation");
}

float gain_of(const JsonFields& fields, const char* key) {
  const double db = fields.number(key, 0.0);
  return db > kSilentDb ? float(std::pow(10.0, db / 20)) : 0.0f;
}

double rate_of(const JsonFields& fields, std::vector<std::string>& notes) {
  for (const char* key : {"samplerate", "sample_rate"}) {
    if (!fields.has(key)) continue;
    if (fields.at(key).is_string()) return std::atof(fields.text(key).c_str());
    return fields.number(key);
  }
  notes.push_back("it names no sample rate; taken as 48000 Hz, the usual one");
  return kUsualRateHz;
}

}  // namespace

Teacher read_rtneural(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  Teacher teacher;
  teacher.program = "AIDA-X";
  teacher.sample_rate_hz = rate_of(fields, teacher.notes);
  const size_t inputs = last_size(fields, "in_shape", kMostInputs);
  teacher.knobs = inputs - 1;
  if (!fields.at("layers").is_array() || fields.at("layers").empty()) throw fields.wrong("layers", "a list of layers");
  auto chain = std::make_unique<Chain>(inputs, size_t(kSettleSeconds * teacher.sample_rate_hz));
  for (size_t i = 0; i < fields.at("layers").size(); ++i) {
    const JsonFields layer(fields.at("layers")[i], fields.where("layers") + "[" + std::to_string(i) + "]");
    add_layer(*chain, layer);
    const std::string type = layer.text("type");
    teacher.weights += layer.has("weights") ? count_numbers(layer.at("weights")) : 0;
    teacher.recurrent |= type == "lstm" || type == "gru";
    teacher.architecture += (i > 0 ? ", " : "") + type;
  }
  if (chain->outputs() != 1)
    throw Error(where + ": its last layer must give 1 channel, found " + std::to_string(chain->outputs()));
  chain->set_skip(fields.whole("in_skip", 0, 1, 0) == 1);
  chain->set_gains(gain_of(fields, "in_gain"), gain_of(fields, "out_gain"));
  if (fields.has("metadata")) teacher.metadata = fields.at("metadata");
  teacher.network = std::move(chain);
  return teacher;
}

}  // namespace coil::capture
