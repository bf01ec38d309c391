// Reads impulse responses through JUCE, and makes the chain that plays them.
#include "plugin/cabinet.h"

#include <juce_audio_formats/juce_audio_formats.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "dsp/rig.h"
#include "plugin/text.h"

namespace coil::plugin {

namespace {

constexpr double kMinRateHz = 1000, kMaxRateHz = 768000;
constexpr int kReadFrames = 8192;

std::vector<dsp::Microphone> playing(const CabinetContent& cabinet) {
  std::vector<dsp::Microphone> all;
  for (const MicrophoneContent& each : cabinet.microphones) {
    const MicrophoneSettings& s = each.settings;
    if (each.response) all.push_back({each.response, s.level_db, s.pan, s.delay_ms, s.inverted});
  }
  return all;
}

// Throws Error if a cabinet cannot use the samples.
void check(const std::shared_ptr<const dsp::ImpulseResponse>& response) {
  if (!(response->sample_rate_hz >= kMinRateHz && response->sample_rate_hz <= kMaxRateHz))
    throw Error("an impulse response at a rate that is not from 1,000 to 768,000 Hz");
  dsp::CabinetSettings settings;
  settings.microphones.push_back({response});
  dsp::Cabinet{std::move(settings)};
}

std::unique_ptr<juce::AudioFormatReader> open_sound(const juce::File& file) {
  if (!file.existsAsFile()) throw Error(path_of(file) + ": cannot be opened: there is no such file");
  juce::AudioFormatManager formats;
  formats.registerBasicFormats();
  std::unique_ptr<juce::AudioFormatReader> reader(formats.createReaderFor(file));
  if (!reader) throw Error(path_of(file) + ": is not a WAV, AIFF or FLAC file, or is damaged");
  return reader;
}

}  // namespace

bool fits_into_session(const dsp::ImpulseResponse& response) {
  return response.channels.size() * response.channels[0].size() * sizeof(float) <= kMaxEmbeddedResponseBytes;
}

bool is_response_name(const juce::String& path) {
  return juce::File::createFileWithoutCheckingPath(path).hasFileExtension("wav;wave;aif;aiff;aifc;flac");
}

MicrophoneContent microphone_with(const juce::File& file) {
  const auto reader = open_sound(file);
  const auto channels = static_cast<size_t>(reader->numChannels);
  const double rate_hz = reader->sampleRate;
  if (channels < 1 || channels > 2)
    throw Error(path_of(file) + ": has " + std::to_string(channels) +
                " channels; an impulse response is mono or stereo");
  if (reader->lengthInSamples < 1) throw Error(path_of(file) + ": holds no sound");

  // A little more than will be used, so that resampling does not run into the end of the data.
  const auto most = static_cast<juce::int64>((dsp::kMaxResponseSeconds + 1) * rate_hz);
  const auto frames = std::min(reader->lengthInSamples, std::max<juce::int64>(most, 1));
  auto response = std::make_shared<dsp::ImpulseResponse>();
  response->sample_rate_hz = rate_hz;
  response->channels.resize(channels);
  juce::AudioBuffer<float> piece(static_cast<int>(channels), kReadFrames);
  for (juce::int64 at = 0; at < frames; at += kReadFrames) {
    const int count = static_cast<int>(std::min<juce::int64>(kReadFrames, frames - at));
    if (!reader->read(piece.getArrayOfWritePointers(), static_cast<int>(channels), at, count))
      throw Error(path_of(file) + ": cannot be read from frame " + std::to_string(at) + " on: it is damaged");
    for (size_t c = 0; c < channels; ++c) {
      const float* const from = piece.getReadPointer(static_cast<int>(c));
      response->channels[c].insert(response->channels[c].end(), from, from + count);
    }
  }
  try {
    check(response);
  } catch (const Error& error) {
    throw Error(path_of(file) + ": is " + error.what());
  }

  MicrophoneContent microphone;
  microphone.name = file.getFileNameWithoutExtension().toStdString();
  microphone.path = path_of(file);
  microphone.checksum = dsp::checksum_of(*response);
  const double seconds = static_cast<double>(reader->lengthInSamples) / rate_hz;
  if (seconds > dsp::kMaxResponseSeconds)
    microphone.remark = path_of(file) + ": is " + std::to_string(std::llround(seconds)) +
                        " s long; an impulse response takes up to 5 s, so its first 5 s play";
  microphone.response = std::move(response);
  return microphone;
}

void resolve(CabinetContent& cabinet) {
  for (MicrophoneContent& each : cabinet.microphones) {
    if (each.empty()) continue;
    each.remark.clear();
    try {
      if (each.response) {
        check(each.response);
        continue;
      }
      const juce::String path = from_utf8(each.path);
      if (!juce::File::isAbsolutePath(path)) throw Error("it has no path");
      MicrophoneContent found = microphone_with(juce::File(path));
      if (!each.checksum.empty() && found.checksum != each.checksum)
        found.remark = each.path + ": has changed since the session was saved; it plays as it is now";
      found.settings = each.settings;
      each = std::move(found);
    } catch (const Error& error) {
      each.response = nullptr;
      each.remark =
          "the impulse response '" + each.name + "' is missing, so the cabinet plays without it: " + error.what();
    }
  }
}

std::function<dsp::Chain()> tail_of(const CabinetContent& cabinet) {
  std::vector<dsp::Microphone> microphones = playing(cabinet);
  if (microphones.empty()) return {};
  return [microphones = std::move(microphones)] {
    dsp::CabinetSettings settings;
    settings.microphones = microphones;
    std::vector<dsp::Stage> stages;
    stages.push_back({"cabinet", std::make_unique<dsp::Cabinet>(std::move(settings))});
    return dsp::Chain(std::move(stages));
  };
}

double tail_seconds(const CabinetContent& cabinet) {
  double longest = 0;
  for (const dsp::Microphone& each : playing(cabinet)) {
    const double own = static_cast<double>(each.response->channels[0].size()) / each.response->sample_rate_hz;
    longest = std::max(longest, std::min(own, dsp::kMaxResponseSeconds) + static_cast<double>(each.delay_ms) / 1000);
  }
  return longest;
}

}  // namespace coil::plugin
