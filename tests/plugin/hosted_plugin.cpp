// JUCE's plugin formats, and the wrappers around a plugin's state.
#include "tests/plugin/hosted_plugin.h"

#include <catch2/catch.hpp>

namespace coil::test {

namespace {

// Kept until the process ends, because a format must outlive its plugins.
juce::AudioPluginFormat& format_named(const std::string& name) {
  static auto& vst3 = *new juce::VST3PluginFormat;
  static auto& lv2 = *new juce::LV2PluginFormat;
  return name == "VST3" ? static_cast<juce::AudioPluginFormat&>(vst3) : lv2;
}

juce::MemoryBlock block_of(const plugin::Session& session) {
  const std::vector<std::byte> bytes = plugin::to_bytes(session);
  return {bytes.data(), bytes.size()};
}

// The position of the plugin's own bytes, as base64 between quotes, in an LV2 state.
juce::Range<int> lv2_payload(const juce::String& state) {
  const int key = state.indexOf("StateString");
  REQUIRE(key >= 0);
  const int begin = state.indexOfChar(key, '"') + 1, end = state.indexOfChar(begin, '"');
  REQUIRE(begin > 0);
  REQUIRE(end > begin);
  return {begin, end};
}

}  // namespace

void run_messages(int for_ms) { juce::MessageManager::getInstance()->runDispatchLoopUntil(for_ms); }

juce::PluginDescription scan(const std::string& name) {
  juce::AudioPluginFormat& format = format_named(name);
  juce::OwnedArray<juce::PluginDescription> found;
  if (name == "LV2") {
    const juce::FileSearchPath folder(
        juce::File(COIL_BUILT_LV2).getParentDirectory().getParentDirectory().getFullPathName());
    for (const juce::String& identifier : format.searchPathsForPlugins(folder, true, false))
      format.findAllTypesForFile(found, identifier);
  } else {
    const juce::File bundle =
        juce::File(COIL_BUILT_VST3).getParentDirectory().getParentDirectory().getParentDirectory();
    format.findAllTypesForFile(found, bundle.getFullPathName());
  }
  for (int i = found.size(); --i >= 0;)
    if (found[i]->name != "Coil") found.remove(i);  // LV2's own examples
  REQUIRE(found.size() == 1);
  return *found[0];
}

HostedPlugin::HostedPlugin(const std::string& format, double rate_hz, int block_frames, int channels)
    : format_(format) {
  const juce::PluginDescription description = scan(format);
  juce::String error;
  bool done = false;
  format_named(format).createPluginInstanceAsync(description, rate_hz, block_frames,
                                                 [&](auto instance, const juce::String& message) {
                                                   plugin_ = std::move(instance);
                                                   error = message;
                                                   done = true;
                                                 });
  for (int i = 0; !done && i < 10000; ++i) run_messages(1);
  INFO(error);
  REQUIRE(plugin_);
  if (channels == 1) {
    auto mono = plugin_->getBusesLayout();
    mono.inputBuses.getReference(0) = mono.outputBuses.getReference(0) = juce::AudioChannelSet::mono();
    REQUIRE(plugin_->setBusesLayout(mono));
  }
  prepare(rate_hz, block_frames);
}

HostedPlugin::~HostedPlugin() {
  if (plugin_) plugin_->releaseResources();
}

void HostedPlugin::prepare(double rate_hz, int block_frames) {
  plugin_->releaseResources();  // otherwise the host would skip an identical prepareToPlay()
  plugin_->setRateAndBufferSizeDetails(rate_hz, block_frames);
  plugin_->prepareToPlay(rate_hz, block_frames);
}

void HostedPlugin::open(const plugin::Session& session) {
  const juce::String base64 = block_of(session).toBase64Encoding();
  juce::MemoryBlock state;
  if (format_ == "VST3") {
    juce::XmlElement xml("VST3PluginState");
    xml.createNewChildElement("IComponent")->addTextElement(base64);
    juce::AudioProcessor::copyXmlToBinary(xml, state);
  } else {
    const juce::String now = this->state().toString();
    const juce::Range<int> payload = lv2_payload(now);
    const juce::String text = now.substring(0, payload.getStart()) + base64 + now.substring(payload.getEnd());
    state.replaceAll(text.toRawUTF8(), text.getNumBytesAsUTF8());
  }
  set_state(state);
}

plugin::Session HostedPlugin::saved() {
  const juce::MemoryBlock wrapped = state();
  juce::String base64;
  if (format_ == "VST3") {
    const auto xml = juce::AudioProcessor::getXmlFromBinary(wrapped.getData(), int(wrapped.getSize()));
    REQUIRE(xml);
    base64 = xml->getChildElementAllSubText("IComponent", {});
  } else {
    const juce::String text = wrapped.toString();
    const juce::Range<int> payload = lv2_payload(text);
    base64 = text.substring(payload.getStart(), payload.getEnd());
  }
  juce::MemoryBlock bytes;
  REQUIRE(bytes.fromBase64Encoding(base64));
  return plugin::session_from_bytes({static_cast<const std::byte*>(bytes.getData()), bytes.getSize()});
}

juce::MemoryBlock HostedPlugin::state() {
  juce::MemoryBlock state;
  plugin_->getStateInformation(state);
  return state;
}

void HostedPlugin::set_state(const juce::MemoryBlock& state) {
  plugin_->setStateInformation(state.getData(), int(state.getSize()));
  run_messages();
}

juce::AudioProcessorParameter* HostedPlugin::parameter(const juce::String& name) {
  for (auto* parameter : plugin_->getParameters())
    if (parameter->getName(100) == name) return parameter;
  return nullptr;
}

Planes HostedPlugin::run(Planes signal, size_t block, std::span<const size_t> first_blocks) {
  const size_t frames = signal[0].size();
  size_t next = 0;
  for (size_t begin = 0; begin < frames || next < first_blocks.size();) {
    const size_t n = std::min(next < first_blocks.size() ? first_blocks[next] : block, frames - begin);
    ++next;
    juce::AudioBuffer<float> audio(std::max(int(signal.size()), plugin_->getTotalNumInputChannels()), int(n));
    audio.clear();  // the side chain, if the host has one, is silent
    for (size_t c = 0; c < signal.size(); ++c) audio.copyFrom(int(c), 0, signal[c].data() + begin, int(n));
    juce::MidiBuffer midi;
    plugin_->processBlock(audio, midi);
    for (size_t c = 0; c < signal.size(); ++c) std::copy_n(audio.getReadPointer(int(c)), n, signal[c].data() + begin);
    begin += n;
  }
  return signal;
}

}  // namespace coil::test
