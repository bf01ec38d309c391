// Reads recordings, and prints the findings of `coil capture`.
#include "cli/capture/recording.h"

#include <sndfile.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "capture/recordings/test_signal.h"
#include "cli/failure.h"
#include "cli/sound/sound_output.h"
#include "cli/sound/sound_reader.h"
#include "cli/text.h"

namespace coil::cli {
namespace {

constexpr int64_t kPieceFrames = 65536;

capture::PreparedPair prepare(const std::filesystem::path& dry, const std::filesystem::path& wet, double sample_rate_hz,
                              capture::Polarity polarity) {
  return capture::prepare_pair(read_recording(dry), read_recording(wet), sample_rate_hz, polarity);
}

// Describes an encoding that is lossy or has few steps; null: the samples are the recorded ones.
const char* lossy_encoding(int format) {
  switch (format & SF_FORMAT_SUBMASK) {
    case SF_FORMAT_MPEG_LAYER_I:
    case SF_FORMAT_MPEG_LAYER_II:
    case SF_FORMAT_MPEG_LAYER_III:
      return "MP3";
    case SF_FORMAT_VORBIS:
      return "Ogg Vorbis";
    case SF_FORMAT_OPUS:
      return "Opus";
    case SF_FORMAT_ULAW:
    case SF_FORMAT_ALAW:
    case SF_FORMAT_IMA_ADPCM:
    case SF_FORMAT_MS_ADPCM:
    case SF_FORMAT_GSM610:
    case SF_FORMAT_PCM_S8:
    case SF_FORMAT_PCM_U8:
      return "of few bits a sample";
    default:
      return nullptr;
  }
}

void add_reader_findings(const SoundReader& reader, capture::Recording& recording) {
  using capture::FindingKind, capture::Severity;
  if (const char* encoding = lossy_encoding(reader.info().format)) {
    recording.findings.push_back(
        {Severity::kWarning, FindingKind::kEncoding,
         recording.name + " is " + encoding + ", and the model learns what that adds: record WAV or FLAC of 24 bits"});
  }
  const SoundFaults faults = reader.faults();
  if (faults.truncated) {
    recording.findings.push_back(
        {Severity::kWarning, FindingKind::kDamage, recording.name + " is cut off; only the existing part is used"});
  }
  if (faults.damaged()) {
    recording.findings.push_back({Severity::kWarning, FindingKind::kDamage,
                                  recording.name + " is damaged, first at " +
                                      fixed(double(faults.first_damage_frame) / recording.sample_rate_hz, 2) +
                                      " s; the model learns that too"});
  }
  if (!faults.left_out.empty()) {
    recording.findings.push_back(
        {Severity::kWarning, FindingKind::kDamage, recording.name + ": not all was read: " + faults.left_out});
  }
}

}  // namespace

capture::Recording read_recording(const std::filesystem::path& path) {
  const std::unique_ptr<SoundReader> reader = open_reader(path);
  capture::Recording recording;
  recording.channels = reader->info().channels;
  recording.sample_rate_hz = reader->info().sample_rate_hz;
  recording.name = in_quotes(path);
  std::vector<float> piece(static_cast<size_t>(kPieceFrames) * recording.channels);
  for (int64_t frames; (frames = reader->read(piece)) > 0;) {
    const auto end = piece.begin() + frames * recording.channels;
    if (!std::all_of(piece.begin(), end, [](float x) { return std::isfinite(x); })) {
      throw Failure(kFailed, in_quotes(path) + ": holds values that are not finite");
    }
    recording.samples.insert(recording.samples.end(), piece.begin(), end);
  }
  add_reader_findings(*reader, recording);
  return recording;
}

capture::PreparedPair read_pair(const std::filesystem::path& dry, const std::filesystem::path& wet,
                                double sample_rate_hz, capture::Polarity& polarity) {
  capture::PreparedPair pair = prepare(dry, wet, sample_rate_hz, polarity);
  if (polarity == capture::Polarity::kAutomatic)
    polarity = pair.alignment.inverted ? capture::Polarity::kTurn : capture::Polarity::kKeep;
  std::string fatal;
  for (const capture::Finding& finding : pair.findings) {
    if (finding.severity == capture::Severity::kFatal)
      fatal += (fatal.empty() ? "" : "; ") + finding.text;
    else
      print_finding(wet, finding);
  }
  if (!pair.usable) throw Failure(kFailed, fatal);
  return pair;
}

void print_finding(const std::filesystem::path& wet, const capture::Finding& finding) {
  std::fprintf(stderr, "coil: %s: %s: %s\n", capture::name_of(finding.severity), in_quotes(wet).c_str(),
               finding.text.c_str());
}

capture::PreparedPair read_pair_as_is(const std::filesystem::path& dry, const std::filesystem::path& wet,
                                      double sample_rate_hz) {
  capture::Recording in = read_recording(dry), out = read_recording(wet);
  for (const capture::Recording* recording : {&in, &out}) {
    if (recording->channels != 1 || recording->sample_rate_hz != sample_rate_hz)
      throw Failure(kFailed, recording->name + ": --as-is needs mono sound at " + number(sample_rate_hz) + " Hz");
  }
  if (in.samples.size() != out.samples.size())
    throw Failure(kFailed, out.name + ": --as-is needs it as long as " + in.name);
  return {std::move(in.samples), std::move(out.samples), {}};
}

void check_recordings(const std::filesystem::path& dry, const std::filesystem::path& wet, double sample_rate_hz,
                      bool json) {
  const capture::PreparedPair pair = prepare(dry, wet, sample_rate_hz, capture::Polarity::kAutomatic);
  bool warned = false;
  for (const capture::Finding& finding : pair.findings) warned |= finding.severity == capture::Severity::kWarning;
  const auto refuse_unusable = [&] {
    if (!pair.usable) throw Failure(kFailed, in_quotes(wet) + ": cannot be learned from");
  };
  if (json) {
    nlohmann::ordered_json report = {{"usable", pair.usable},
                                     {"seconds", double(pair.dry.size()) / sample_rate_hz},
                                     {"delay_ms", 1000 * pair.alignment.delay_frames / sample_rate_hz},
                                     {"inverted", pair.alignment.inverted},
                                     {"drift_ppm", pair.alignment.drift_ppm},
                                     {"findings", nlohmann::json::array()}};
    if (pair.noise_to_signal > 0) report["noise_to_signal"] = pair.noise_to_signal;
    if (pair.repeatability_esr) report["repeatability_esr"] = *pair.repeatability_esr;
    for (const capture::Finding& finding : pair.findings) {
      report["findings"].push_back({{"severity", capture::name_of(finding.severity)},
                                    {"kind", capture::name_of(finding.kind)},
                                    {"text", finding.text}});
    }
    std::printf("%s\n", report.dump().c_str());
    refuse_unusable();
    return;
  }
  for (const capture::Finding& finding : pair.findings)
    std::printf("%-8s %s\n", capture::name_of(finding.severity), finding.text.c_str());
  refuse_unusable();
  std::printf("%s of sound to learn from; %s.\n", duration(double(pair.dry.size()) / sample_rate_hz).c_str(),
              warned ? "fixing the warnings will improve the model" : "no problems were found");
}

void write_test_signal(const std::filesystem::path& path, int sample_rate_hz) {
  const std::vector<float> signal = capture::make_test_signal(sample_rate_hz);
  SoundOutput output(path);
  SF_INFO info{};
  info.samplerate = sample_rate_hz;
  info.channels = 1;
  info.format = SF_FORMAT_WAV | SF_FORMAT_PCM_24;
  SNDFILE* file = output.part().is_open() ? output.open(info) : nullptr;
  const auto frames = static_cast<sf_count_t>(signal.size());
  const bool written = file && sf_writef_float(file, signal.data(), frames) == frames;
  if (file) sf_close(file);
  if (!written || !output.error().empty() || !output.part().commit()) {
    throw Failure(kFailed, in_quotes(path) + ": cannot be written: " +
                               (output.error().empty() ? std::strerror(errno) : output.error()));
  }
  std::printf(
      "%s: %s, mono, 24 bit, peak -1 dBFS.\n"
      "Play it into the device at the level of your guitar's loudest playing (for a pedal about 0.5 to 1 V peak), "
      "record what\n"
      "comes back with peaks between -12 and -3 dBFS, without a gate, reverb or delay, and start the recording before "
      "you play.\n"
      "Then: coil capture %s recorded.wav -o my_amp.safetensors\n",
      in_quotes(path).c_str(), duration(double(signal.size()) / sample_rate_hz).c_str(), path.string().c_str());
}

}  // namespace coil::cli
