// Reads rigs, and caches the models and responses that they name.
#include "cli/process/rig_file.h"

#include <xxhash.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>

#include "base/error.h"
#include "cli/failure.h"
#include "cli/models.h"
#include "cli/sound/sound_reader.h"
#include "cli/text.h"

namespace coil::cli {
namespace fs = std::filesystem;
namespace {

constexpr int kReadFrames = 4096;
constexpr uintmax_t kMaxRigBytes = 1 << 20;

std::string text_of(const fs::path& path) {
  std::error_code error;
  const uintmax_t bytes = fs::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file) throw Failure(kUsage, "--chain " + path.string() + ": cannot be read; expected a .coil file");
  if (bytes > kMaxRigBytes)
    throw Failure(kUsage, "--chain " + path.string() + ": is not a rig; it is larger than 1 MB");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (const size_t first = text.find_first_not_of(" \t\r\n"); first == std::string::npos || text[first] != '{')
    throw Failure(kUsage,
                  "--chain " + path.string() +
                      ": is not a rig, which is a JSON text (docs/rig.md); presets saved in the plugin's window "
                      "are for the plugin");
  return text;
}

// Reads only slightly more than a cabinet uses.
std::shared_ptr<const dsp::ImpulseResponse> read_response(const fs::path& path) {
  const std::unique_ptr<SoundReader> reader = open_reader(path);
  const size_t channels = static_cast<size_t>(reader->info().channels);
  dsp::ImpulseResponse response{{}, static_cast<double>(reader->info().sample_rate_hz)};
  response.channels.resize(channels);
  const size_t most = static_cast<size_t>((dsp::kMaxResponseSeconds + 1) * response.sample_rate_hz);
  std::vector<float> frames(kReadFrames * channels);
  for (int64_t n = reader->read(frames); n > 0 && response.channels[0].size() < most; n = reader->read(frames))
    for (size_t i = 0; i < static_cast<size_t>(n) * channels; ++i) response.channels[i % channels].push_back(frames[i]);
  return std::make_shared<const dsp::ImpulseResponse>(std::move(response));
}

std::string hex(XXH128_hash_t hash) {
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text;
}

}  // namespace

std::shared_ptr<const RigFile> RigFile::open(const fs::path& path, ssm::Target target, bool quiet) {
  const auto own = std::make_shared<RigFile>();
  std::map<std::string, std::shared_ptr<const ssm::Model>> models;
  std::map<std::string, std::shared_ptr<const dsp::ImpulseResponse>> responses;
  const auto beside = [folder = path.parent_path()](const std::string& file) {
    std::error_code error;
    const bool is_here = fs::path(file).is_relative() && fs::exists(folder / file, error);
    return is_here ? folder / file : fs::path(file);
  };
  try {
    own->rig_ = dsp::read_rig(text_of(path), path.filename().string());
    std::string all = dsp::write_rig(own->rig_);
    for (const dsp::RigStage& stage : own->rig_.stages) {
      if (const auto* model = std::get_if<dsp::RigModel>(&stage.kind); model && !models.contains(model->file)) {
        models[model->file] = load_model(open_model(beside(model->file).string()), target, quiet);
        all += models[model->file]->hash();
      }
      if (const auto* cabinet = std::get_if<dsp::RigCabinet>(&stage.kind)) {
        for (const dsp::RigMicrophone& each : cabinet->microphones) {
          if (responses.contains(each.file)) continue;
          responses[each.file] = read_response(beside(each.file));
          for (const auto& channel : responses[each.file]->channels)
            all += hex(XXH3_128bits(channel.data(), channel.size() * sizeof(float)));
        }
      }
    }
    own->files_ = {[models](const std::string& file) { return models.at(file); },
                   [responses](const std::string& file) { return responses.at(file); }};
    own->hash_ = hex(XXH3_128bits(all.data(), all.size()));
    own->chain();  // check once, before any sound is read, so that errors in a stage are reported here
  } catch (const Error& error) {
    throw Failure(kModelFailed, "--chain " + path.string() + ": " + error.what());
  } catch (const Failure& failure) {
    if (failure.exit_code() == kUsage) throw;
    throw Failure(kModelFailed, "--chain " + path.string() + ": " + failure.what());
  }
  if (!quiet) print_warnings(own->rig_.warnings);
  return own;
}

}  // namespace coil::cli
