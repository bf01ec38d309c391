// Reads and runs the WaveNet, in blocks of interleaved frames.
#include "capture/teachers/wavenet.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/json_fields.h"
#include "capture/teachers/activation.h"
#include "capture/teachers/convolution.h"

namespace coil::capture {
namespace {

using Json = nlohmann::json;
using Buffer = std::vector<float>;

constexpr int kMostChannels = 4096, kMostTaps = 65536, kMostDilation = 1 << 20, kMostLayers = 1024;

size_t size_field(const JsonFields& fields, const char* key, int most, std::optional<int> fallback = std::nullopt) {
  return size_t(fields.whole(key, 1, most, fallback));
}

// A list with one whole number per layer; a single number applies to all layers.
std::vector<size_t> sizes(const JsonFields& fields, const char* key, int most, std::optional<size_t> layers) {
  if (!fields.has(key)) throw Error(fields.where(key) + " is missing");
  const Json& json = fields.at(key);
  const auto valid = [&](const Json& value) {
    return value.is_number_integer() && value.get<int64_t>() >= 1 && value.get<int64_t>() <= most;
  };
  if (layers && valid(json)) return std::vector<size_t>(*layers, json.get<size_t>());
  if (!json.is_array() || json.empty() || json.size() > kMostLayers || !std::ranges::all_of(json, valid))
    throw fields.wrong(key, "a list of whole numbers from 1 to " + std::to_string(most));
  if (layers && json.size() != *layers)
    throw fields.wrong(key, "a list of " + std::to_string(*layers) + " numbers, one for each of the dilations");
  return json.get<std::vector<size_t>>();
}

// A field's value for one layer: the field itself, or the layer's entry in a list.
const Json& of_layer(const JsonFields& fields, const char* key, size_t layer, size_t layers) {
  const Json& json = fields.at(key);
  if (!json.is_array()) return json;
  if (json.size() != layers)
    throw fields.wrong(key, "a list of " + std::to_string(layers) + " entries, one for each of the dilations");
  return json[layer];
}

enum class Gating { kNone, kGated, kBlended };

Gating gating_of(const JsonFields& fields, size_t layer, size_t layers) {
  if (!fields.has("gating_mode")) return fields.flag("gated", false) ? Gating::kGated : Gating::kNone;
  const Json& mode = of_layer(fields, "gating_mode", layer, layers);
  if (mode == "none") return Gating::kNone;
  if (mode == "gated") return Gating::kGated;
  if (mode == "blended") return Gating::kBlended;
  throw fields.wrong("gating_mode", "none, gated or blended");
}

// Multiplies channels by one matrix product of the condition, and adds another.
class Film {
 public:
  Film(const JsonFields& layer, const char* key, size_t condition, size_t channels, WeightList& weights)
      : channels_(channels) {
    const Json& json = layer.at(key);
    size_t groups = 1;
    if (json.is_object()) {
      const JsonFields fields(json, layer.where(key));
      shift_ = fields.flag("shift", true);
      groups = size_field(fields, "groups", kMostChannels, 1);
    }
    map_.emplace(ConvolutionSize{.inputs = condition, .outputs = (shift_ ? 2 : 1) * channels, .groups = groups},
                 weights);
  }

  static bool is_active(const JsonFields& layer, const char* key) {
    if (!layer.has(key) || layer.at(key) == false) return false;
    return !layer.at(key).is_object() || JsonFields(layer.at(key), layer.where(key)).flag("active", true);
  }

  void apply(Buffer& values, const float* condition, size_t frames) {
    const size_t stride = map_->outputs();
    moves_.resize(Network::kMostFrames * stride);
    map_->process(condition, frames, moves_.data());
    for (size_t t = 0; t < frames; ++t) {
      float* v = &values[t * channels_];
      const float* scale = &moves_[t * stride];
      for (size_t c = 0; c < channels_; ++c) v[c] = v[c] * scale[c] + (shift_ ? scale[channels_ + c] : 0);
    }
  }

 private:
  size_t channels_;
  bool shift_ = true;
  std::optional<Convolution> map_;
  Buffer moves_;
};

struct ArraySize {
  size_t inputs, condition, channels, bottleneck, head_inputs, layers;
};

class Layer {
 public:
  Layer(const JsonFields& fields, const ArraySize& size, size_t index, size_t taps, size_t dilation,
        WeightList& weights);

  size_t reach() const { return conv_->reach(); }
  // `stream` is the input of the next layer; the contribution to the output is added to `head`.
  void process(Buffer& stream, const float* condition, size_t frames, Buffer& head);

 private:
  enum Place {
    kConvPre,
    kConvPost,
    kMixPre,
    kMixPost,
    kActivationPre,
    kActivationPost,
    kLayerPost,
    kHeadPost,
    kPlaces
  };

  void film(Place place, Buffer& values, const float* condition, size_t frames) {
    if (films_[place]) films_[place]->apply(values, condition, frames);
  }
  void activate(size_t frames);

  ArraySize size_;
  Gating gating_;
  Activation first_, second_;
  std::optional<Convolution> conv_, mix_, layer_, head_;
  std::array<std::optional<Film>, kPlaces> films_;
  Buffer taken_, z_, mixed_, condition_, a_, gate_, out_;
};

Layer::Layer(const JsonFields& fields, const ArraySize& size, size_t index, size_t taps, size_t dilation,
             WeightList& weights)
    : size_(size), gating_(gating_of(fields, index, size.layers)) {
  const std::string place = "activation of layer " + std::to_string(index);
  if (!fields.has("activation")) throw Error(fields.where("activation") + " is missing");
  first_ = Activation::of_nam(of_layer(fields, "activation", index, size.layers), fields.where(place.c_str()));
  second_ = Activation(Activation::Kind::kSigmoid);
  if (gating_ != Gating::kNone && fields.has("secondary_activation")) {
    second_ = Activation::of_nam(of_layer(fields, "secondary_activation", index, size.layers),
                                 fields.where(("secondary " + place).c_str()));
  }
  const size_t z = (gating_ == Gating::kNone ? 1 : 2) * size.bottleneck;
  conv_.emplace(ConvolutionSize{.inputs = size.channels,
                                .outputs = z,
                                .taps = taps,
                                .dilation = dilation,
                                .groups = size_field(fields, "groups_input", kMostChannels, 1)},
                weights);
  mix_.emplace(ConvolutionSize{.inputs = size.condition,
                               .outputs = z,
                               .groups = size_field(fields, "groups_input_mixin", kMostChannels, 1),
                               .bias = false},
               weights);
  const auto add_matrix = [&](const char* key, bool usual, size_t outputs, std::optional<Convolution>& matrix) {
    bool active = usual;
    size_t groups = 1;
    if (fields.has(key)) {
      const JsonFields own(fields.at(key), fields.where(key));
      active = own.flag("active", usual);
      groups = size_field(own, "groups", kMostChannels, 1);
    }
    if (active)
      matrix.emplace(ConvolutionSize{.inputs = size.bottleneck, .outputs = outputs, .groups = groups}, weights);
  };
  add_matrix("layer1x1", true, size.channels, layer_);
  add_matrix("head1x1", false, size.head_inputs, head_);
  static constexpr const char* kKeys[kPlaces] = {"conv_pre_film",         "conv_post_film",      "input_mixin_pre_film",
                                                 "input_mixin_post_film", "activation_pre_film", "activation_post_film",
                                                 "layer1x1_post_film",    "head1x1_post_film"};
  const std::array<size_t, kPlaces> channels = {
      size.channels, z, size.condition, z, z, size.bottleneck, size.channels, size.head_inputs};
  for (size_t p = 0; p < kPlaces; ++p) {
    if (!Film::is_active(fields, kKeys[p])) continue;
    if (p == kLayerPost && !layer_) throw Error(fields.where(kKeys[p]) + " needs an active layer1x1");
    if (p == kHeadPost && !head_) continue;
    films_[p].emplace(fields, kKeys[p], size.condition, channels[p], weights);
  }
}

// Computes a from z.
void Layer::activate(size_t frames) {
  const size_t b = size_.bottleneck;
  if (gating_ == Gating::kNone) {
    std::swap(a_, z_);
    return first_.apply(a_.data(), frames, b);
  }
  gate_.resize(frames * b);
  for (size_t t = 0; t < frames; ++t) {
    std::copy_n(&z_[2 * t * b], b, &a_[t * b]);
    std::copy_n(&z_[(2 * t + 1) * b], b, &gate_[t * b]);
  }
  first_.apply(a_.data(), frames, b);
  second_.apply(gate_.data(), frames, b);
  for (size_t t = 0; t < frames; ++t) {
    for (size_t c = 0; c < b; ++c) {
      const size_t i = t * b + c;
      a_[i] *= gate_[i];
      if (gating_ == Gating::kBlended) a_[i] += (1 - gate_[i]) * z_[2 * t * b + c];
    }
  }
}

void Layer::process(Buffer& stream, const float* condition, size_t frames, Buffer& head) {
  const size_t z = conv_->outputs();
  for (Buffer* buffer : {&z_, &mixed_, &a_}) buffer->resize(Network::kMostFrames * z);
  const float* heard = stream.data();
  if (films_[kConvPre]) {
    taken_.assign(stream.begin(), stream.end());
    film(kConvPre, taken_, condition, frames);
    heard = taken_.data();
  }
  conv_->process(heard, frames, z_.data());
  film(kConvPost, z_, condition, frames);
  const float* mixed_in = condition;
  if (films_[kMixPre]) {
    condition_.assign(condition, condition + frames * size_.condition);
    film(kMixPre, condition_, condition, frames);
    mixed_in = condition_.data();
  }
  mix_->process(mixed_in, frames, mixed_.data());
  film(kMixPost, mixed_, condition, frames);
  for (size_t i = 0; i < frames * z; ++i) z_[i] += mixed_[i];
  film(kActivationPre, z_, condition, frames);
  activate(frames);
  film(kActivationPost, a_, condition, frames);
  out_.resize(Network::kMostFrames * std::max(size_.head_inputs, size_.channels));
  if (head_) {
    head_->process(a_.data(), frames, out_.data());
    film(kHeadPost, out_, condition, frames);
  }
  const Buffer& part = head_ ? out_ : a_;
  for (size_t i = 0; i < frames * size_.head_inputs; ++i) head[i] += part[i];
  if (!layer_) return;
  layer_->process(a_.data(), frames, out_.data());
  if (gating_ == Gating::kBlended) film(kLayerPost, out_, condition, frames);
  for (size_t i = 0; i < frames * size_.channels; ++i) stream[i] += out_[i];
}

// The channels that an array receives from the previous one.
struct Before {
  size_t inputs, condition;
  std::optional<size_t> head;  // from the previous array
};

class Array {
 public:
  Array(const JsonFields& fields, const Before& before, WeightList& weights);

  const ArraySize& size() const { return size_; }
  size_t head_outputs() const { return head_->outputs(); }
  size_t reach() const {
    size_t reach = head_->reach();
    for (const Layer& layer : layers_) reach += layer.reach();
    return reach;
  }
  // `stream` and `head` come from the previous array and go to the next.
  void process(Buffer& stream, const float* condition, size_t frames, Buffer& head);

 private:
  ArraySize size_;
  std::optional<Convolution> enter_, head_;
  std::vector<Layer> layers_;
  Buffer entered_, left_;
};

Array::Array(const JsonFields& fields, const Before& before, WeightList& weights) {
  size_.inputs = size_field(fields, "input_size", kMostChannels);
  size_.condition = size_field(fields, "condition_size", kMostChannels);
  size_.channels = size_field(fields, "channels", kMostChannels);
  size_.bottleneck = size_field(fields, "bottleneck", kMostChannels, int(size_.channels));
  size_.head_inputs = size_.bottleneck;
  if (fields.has("head1x1")) {
    const JsonFields head(fields.at("head1x1"), fields.where("head1x1"));
    if (head.flag("active", false))
      size_.head_inputs = size_field(head, "out_channels", kMostChannels, int(size_.channels));
  }
  const auto check = [&](const char* key, size_t found, size_t wanted) {
    if (found != wanted) throw fields.wrong(key, std::to_string(wanted) + " to fit what comes before");
  };
  check("input_size", size_.inputs, before.inputs);
  check("condition_size", size_.condition, before.condition);
  if (before.head) check("channels", size_.head_inputs, *before.head);
  const std::vector<size_t> dilations = sizes(fields, "dilations", kMostDilation, std::nullopt);
  size_.layers = dilations.size();
  const bool several = fields.has("kernel_sizes");
  const std::vector<size_t> taps = sizes(fields, several ? "kernel_sizes" : "kernel_size", kMostTaps, size_.layers);
  enter_.emplace(ConvolutionSize{.inputs = size_.inputs, .outputs = size_.channels, .bias = false}, weights);
  for (size_t i = 0; i < size_.layers; ++i) layers_.emplace_back(fields, size_, i, taps[i], dilations[i], weights);
  ConvolutionSize head{.inputs = size_.head_inputs, .outputs = 0};
  if (fields.has("head")) {
    const JsonFields own(fields.at("head"), fields.where("head"));
    head.outputs = size_field(own, "out_channels", kMostChannels);
    head.taps = size_field(own, "kernel_size", kMostTaps);
    head.dilation = size_field(own, "head_dilation", kMostDilation, 1);
    head.bias = own.flag("bias", false);
  } else {
    head.outputs = size_field(fields, "head_size", kMostChannels);
    head.bias = fields.flag("head_bias", false);
  }
  head_.emplace(head, weights);
}

void Array::process(Buffer& stream, const float* condition, size_t frames, Buffer& head) {
  entered_.resize(Network::kMostFrames * size_.channels);
  enter_->process(stream.data(), frames, entered_.data());
  std::swap(stream, entered_);
  for (Layer& layer : layers_) layer.process(stream, condition, frames, head);
  left_.resize(Network::kMostFrames * head_->outputs());
  head_->process(head.data(), frames, left_.data());
  std::swap(head, left_);
}

// In some files, further layers after all arrays: activations and convolutions in turn.
class PostHead {
 public:
  PostHead(const JsonFields& fields, size_t inputs, WeightList& weights) {
    if (fields.has("in_channels") && size_field(fields, "in_channels", kMostChannels) != inputs)
      throw fields.wrong("in_channels", std::to_string(inputs) + ", as the last array gives");
    if (!fields.has("activation")) throw Error(fields.where("activation") + " is missing");
    activation_ = Activation::of_nam(fields.at("activation"), fields.where("activation"));
    const std::vector<size_t> taps = sizes(fields, "kernel_sizes", kMostTaps, std::nullopt);
    const size_t channels = size_field(fields, "channels", kMostChannels),
                 outputs = size_field(fields, "out_channels", kMostChannels);
    for (size_t i = 0; i < taps.size(); ++i) {
      convs_.emplace_back(ConvolutionSize{.inputs = i == 0 ? inputs : channels,
                                          .outputs = i + 1 == taps.size() ? outputs : channels,
                                          .taps = taps[i]},
                          weights);
    }
  }

  size_t outputs() const { return convs_.back().outputs(); }
  size_t reach() const {
    size_t reach = 0;
    for (const Convolution& conv : convs_) reach += conv.reach();
    return reach;
  }
  void process(Buffer& values, size_t frames) {
    for (Convolution& conv : convs_) {
      activation_.apply(values.data(), frames, conv.inputs());
      out_.resize(Network::kMostFrames * conv.outputs());
      conv.process(values.data(), frames, out_.data());
      std::swap(values, out_);
    }
  }

 private:
  Activation activation_;
  std::vector<Convolution> convs_;
  Buffer out_;
};

class WaveNet : public Network {
 public:
  WaveNet(const Json& config, const std::string& where, WeightList& weights,
          const std::function<std::unique_ptr<Network>(const Json&)>& read_network, std::vector<std::string>& warnings);
  WaveNet(const WaveNet& other)
      : inputs_(other.inputs_),
        condition_maker_(other.condition_maker_ ? other.condition_maker_->clone() : nullptr),
        arrays_(other.arrays_),
        post_(other.post_),
        scale_(other.scale_) {}

  size_t inputs() const override { return inputs_; }
  size_t outputs() const override { return post_ ? post_->outputs() : arrays_.back().head_outputs(); }
  size_t memory_frames() const override {
    size_t frames = (condition_maker_ ? condition_maker_->memory_frames() : 1) + (post_ ? post_->reach() : 0);
    for (const Array& array : arrays_) frames += array.reach();
    return frames;
  }
  void process(const float* in, size_t frames, float* out) override;
  std::unique_ptr<Network> clone() const override { return std::make_unique<WaveNet>(*this); }

 private:
  size_t inputs_;
  std::unique_ptr<Network> condition_maker_;
  std::vector<Array> arrays_;
  std::optional<PostHead> post_;
  float scale_ = 1;
  Buffer condition_, stream_, head_;
};

WaveNet::WaveNet(const Json& config, const std::string& where, WeightList& weights,
                 const std::function<std::unique_ptr<Network>(const Json&)>& read_network,
                 std::vector<std::string>& warnings) {
  const JsonFields fields(config, where);
  inputs_ = size_field(fields, "in_channels", kMostChannels, 1);
  if (fields.has("condition_dsp")) condition_maker_ = read_network(fields.at("condition_dsp"));
  if (condition_maker_ && condition_maker_->inputs() != inputs_)
    throw Error(fields.where("condition_dsp") + " must take as many channels as the network");
  const size_t condition = condition_maker_ ? condition_maker_->outputs() : inputs_;
  if (!fields.has("layers")) throw Error(fields.where("layers") + " is missing");
  const Json& layers = fields.at("layers");
  if (!layers.is_array() || layers.empty()) throw fields.wrong("layers", "a list of layer arrays");
  for (size_t i = 0; i < layers.size(); ++i) {
    const JsonFields array(layers[i], fields.where("layers") + "[" + std::to_string(i) + "]");
    Before before{inputs_, condition, std::nullopt};
    if (i > 0) before.inputs = arrays_.back().size().channels, before.head = arrays_.back().head_outputs();
    arrays_.emplace_back(array, before, weights);
    array.has("slimmable");  // describes smaller versions; the full size is played
    for (const char* key : {"gated", "gating_mode", "secondary_activation", "head_size", "head_bias"}) array.has(key);
    for (const std::string& sentence : array.unknown()) warnings.push_back(sentence);
  }
  if (fields.has("head"))
    post_.emplace(JsonFields(fields.at("head"), fields.where("head")), arrays_.back().head_outputs(), weights);
  scale_ = weights.take_one();
}

void WaveNet::process(const float* in, size_t frames, float* out) {
  const float* condition = in;
  if (condition_maker_) {
    condition_.resize(kMostFrames * condition_maker_->outputs());
    condition_maker_->process(in, frames, condition_.data());
    condition = condition_.data();
  }
  stream_.assign(in, in + frames * inputs_);
  head_.assign(kMostFrames * arrays_.front().size().head_inputs, 0.0f);
  for (Array& array : arrays_) array.process(stream_, condition, frames, head_);
  const size_t width = arrays_.back().head_outputs();
  for (size_t i = 0; i < frames * width; ++i) head_[i] *= scale_;
  if (post_) post_->process(head_, frames);
  std::copy_n(head_.data(), frames * outputs(), out);
}

}  // namespace

std::unique_ptr<Network> read_wavenet(const Json& config, const std::string& where, WeightList& weights,
                                      const std::function<std::unique_ptr<Network>(const Json&)>& read_network,
                                      std::vector<std::string>& warnings) {
  return std::make_unique<WaveNet>(config, where, weights, read_network, warnings);
}

}  // namespace coil::capture
