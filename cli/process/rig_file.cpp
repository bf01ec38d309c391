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
constexpr uintmax_t kMaxRigBytes = uintmax_t{256} << 20;  // models that it brings along

std::string text_of(const fs::path& path) {
  std::error_code error;
  const uintmax_t bytes = fs::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file) throw Failure(kUsage, path.string() + ": cannot be read; expected a .coil file");
  if (bytes > kMaxRigBytes) throw Failure(kUsage, path.string() + ": is not a rig; it is larger than 256 MB");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (const size_t first = text.find_first_not_of(" \t\r\n"); first == std::string::npos || text[first] != '{')
    throw Failure(kUsage, path.string() +
                              ": is not a rig, which is a JSON text (docs/rig.md); another preset of the plugin "
                              "becomes one when it is loaded there and saved again");
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

// The model's file; null: the model is not in one file alone.
std::shared_ptr<const std::vector<std::byte>> bytes_of(const ssm::Model& model) {
  std::error_code error;
  if (!fs::is_regular_file(model.source(), error)) return nullptr;
  std::ifstream file(model.source(), std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  const auto bytes = std::make_shared<const std::vector<std::byte>>(begin, begin + text.size());
  try {
    return ssm::Checkpoint::from_bytes(bytes, model.source()).hash() == model.hash() ? bytes : nullptr;
  } catch (const Error&) {
    return nullptr;  // its config is in another file
  }
}

std::string hex(XXH128_hash_t hash) {
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text;
}

// What a rig names and brings along, each once.
class Store {
 public:
  Store(const dsp::Rig& rig, fs::path folder, ssm::Target target, bool quiet)
      : rig_(rig), folder_(std::move(folder)), target_(target), quiet_(quiet) {}

  std::shared_ptr<const ssm::Model> model(const dsp::RigModel& stage) {
    std::shared_ptr<const ssm::Model>& model = models_[key(stage)];
    if (model) return model;
    const auto embedded = rig_.models.find(stage.hash);
    if (embedded != rig_.models.end()) {
      model = load_model(ssm::Checkpoint::from_bytes(embedded->second, stage.file), target_, quiet_);
      if (model->hash() != stage.hash)
        throw Error("embedded.models." + stage.hash + " is another model than its name says; its hash is " +
                    model->hash());
      return model;
    }
    model = load_model(open_model(beside(stage.file).string()), target_, quiet_);
    if (!stage.hash.empty() && model->hash() != stage.hash && !quiet_)
      print_warnings(
          {stage.file + " is another model than the one that the rig was saved with; it plays as it is now"});
    return model;
  }

  std::shared_ptr<const dsp::ImpulseResponse> response(const dsp::RigMicrophone& microphone) {
    std::shared_ptr<const dsp::ImpulseResponse>& response = responses_[key(microphone)];
    if (response) return response;
    const auto embedded = rig_.responses.find(microphone.checksum);
    return response = embedded != rig_.responses.end() ? embedded->second
                                                       : read_response(find_cabinet(beside(microphone.file).string()));
  }

  // The same, once all are there. [any thread]
  dsp::RigFiles files() const {
    return {[models = models_](const dsp::RigModel& stage) { return models.at(key(stage)); },
            [responses = responses_](const dsp::RigMicrophone& microphone) { return responses.at(key(microphone)); }};
  }

 private:
  static std::string key(const dsp::RigModel& stage) { return stage.hash + "/" + stage.file; }
  static std::string key(const dsp::RigMicrophone& microphone) { return microphone.checksum + "/" + microphone.file; }

  fs::path beside(const std::string& file) const {
    std::error_code error;
    const bool is_here = fs::path(file).is_relative() && fs::exists(folder_ / file, error);
    return is_here ? folder_ / file : fs::path(file);
  }

  const dsp::Rig& rig_;
  fs::path folder_;
  ssm::Target target_;
  bool quiet_;
  std::map<std::string, std::shared_ptr<const ssm::Model>> models_;
  std::map<std::string, std::shared_ptr<const dsp::ImpulseResponse>> responses_;
};

}  // namespace

dsp::Rig RigFile::with_files() const {
  dsp::Rig rig = rig_;
  for (dsp::RigStage& stage : rig.stages) {
    if (auto* model = std::get_if<dsp::RigModel>(&stage.kind)) {
      const std::shared_ptr<const ssm::Model> loaded = files_.model(*model);
      model->hash = loaded->hash();
      if (const auto bytes = bytes_of(*loaded))
        rig.models.try_emplace(model->hash, bytes);
      else if (!rig.models.contains(model->hash))
        model->file = fs::absolute(loaded->source()).string();
    }
    if (auto* cabinet = std::get_if<dsp::RigCabinet>(&stage.kind)) {
      for (dsp::RigMicrophone& each : cabinet->microphones) {
        const std::shared_ptr<const dsp::ImpulseResponse> response = files_.response(each);
        each.checksum = dsp::checksum_of(*response);
        rig.responses[each.checksum] = response;
      }
    }
  }
  return rig;
}

std::shared_ptr<const RigFile> RigFile::open(const fs::path& path, ssm::Target target, bool quiet) {
  const auto own = std::make_shared<RigFile>();
  try {
    own->rig_ = dsp::read_rig(text_of(path), path.filename().string());
    Store store(own->rig_, path.parent_path(), target, quiet);
    std::string all = dsp::write_rig(own->rig_);
    for (const dsp::RigStage& stage : own->rig_.stages) {
      if (const auto* model = std::get_if<dsp::RigModel>(&stage.kind)) all += store.model(*model)->hash();
      if (const auto* cabinet = std::get_if<dsp::RigCabinet>(&stage.kind))
        for (const dsp::RigMicrophone& each : cabinet->microphones)
          for (const auto& channel : store.response(each)->channels)
            all += hex(XXH3_128bits(channel.data(), channel.size() * sizeof(float)));
    }
    own->files_ = store.files();
    own->hash_ = hex(XXH3_128bits(all.data(), all.size()));
    own->chain();  // check once, before any sound is read, so that errors in a stage are reported here
  } catch (const Error& error) {
    throw Failure(kModelFailed, path.string() + ": " + error.what());
  } catch (const Failure& failure) {
    if (failure.exit_code() == kUsage) throw;
    throw Failure(kModelFailed, path.string() + ": " + failure.what());
  }
  if (!quiet) print_warnings(own->rig_.warnings);
  return own;
}

}  // namespace coil::cli
