// Builds a network from the JSON of a Proteus capture.
#include "capture/teachers/proteus_file.h"

#include "base/json_fields.h"
#include "capture/teachers/chain.h"
#include "capture/teachers/json_tables.h"

namespace coil::capture {
namespace {

constexpr int kMostHidden = 4096, kMostLayers = 16, kMostInputs = 3;
constexpr double kRateHz = 44100;  // the rate of Proteus; source: Proteus, src/PluginProcessor.cpp
constexpr double kSettleSeconds = 0.5;

const nlohmann::json& tensor(const JsonFields& state, const std::string& name) {
  if (!state.has(name.c_str())) throw Error(state.where(name.c_str()) + " is missing");
  return state.at(name.c_str());
}

}  // namespace

Teacher read_proteus(const nlohmann::json& json, const std::string& where) {
  const JsonFields fields(json, where);
  const JsonFields model(fields.at("model_data"), fields.where("model_data")),
      state(fields.at("state_dict"), fields.where("state_dict"));
  Teacher teacher;
  teacher.program = "Proteus";
  teacher.architecture = model.text("unit_type", "LSTM");
  if (teacher.architecture != "LSTM" && teacher.architecture != "GRU") throw model.wrong("unit_type", "LSTM or GRU");
  const bool is_lstm = teacher.architecture == "LSTM", has_bias = model.flag("bias_fl", true);
  teacher.sample_rate_hz = model.number("samplerate", kRateHz);
  const auto inputs = size_t(model.whole("input_size", 1, kMostInputs)),
             hidden = size_t(model.whole("hidden_size", 1, kMostHidden)),
             layers = size_t(model.whole("num_layers", 1, kMostLayers, 1));
  if (model.whole("output_size", 1, 1, 1) != 1) throw model.wrong("output_size", "1");
  teacher.knobs = inputs - 1;
  teacher.weights = count_numbers(fields.at("state_dict"));
  teacher.recurrent = true;
  auto chain = std::make_unique<Chain>(inputs, size_t(kSettleSeconds * teacher.sample_rate_hz));
  const size_t gates = (is_lstm ? 4 : 3) * hidden;
  for (size_t l = 0; l < layers; ++l) {
    const auto read = [&](const std::string& name, size_t columns) {
      const std::string whole = "rec." + name + "_l" + std::to_string(l);
      return rows_of(tensor(state, whole), gates, columns, state.where(whole.c_str()));
    };
    const auto read_bias = [&](const std::string& name) {
      const std::string whole = "rec." + name + "_l" + std::to_string(l);
      return has_bias ? numbers_of(tensor(state, whole), gates, state.where(whole.c_str())) : std::vector<float>(gates);
    };
    const Rows input = read("weight_ih", l == 0 ? inputs : hidden), recurrent = read("weight_hh", hidden);
    std::vector<float> input_bias = read_bias("bias_ih");
    const std::vector<float> recurrent_bias = read_bias("bias_hh");
    if (is_lstm) {
      for (size_t i = 0; i < gates; ++i) input_bias[i] += recurrent_bias[i];
      chain->add(make_lstm({input, recurrent, input_bias, {}, {}}));
    } else {
      chain->add(make_gru({input, recurrent, input_bias, recurrent_bias}));
    }
  }
  std::vector<float> last = rows_of(tensor(state, "lin.weight"), 1, hidden, state.where("lin.weight")).front();
  last.push_back(state.has("lin.bias") ? numbers_of(state.at("lin.bias"), 1, state.where("lin.bias")).front() : 0);
  WeightList weights(last, where);
  chain->add(make_convolution_layer(Convolution({.inputs = hidden, .outputs = 1}, weights), Activation()));
  chain->set_skip(model.whole("skip", 0, 1, 1) == 1);
  teacher.network = std::move(chain);
  return teacher;
}

}  // namespace coil::capture
