// Rigs from .coil files, with the models and impulse responses that they name.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "dsp/rig.h"
#include "ssm/machine/target.h"

namespace coil::cli {

// A rig with all that it needs in memory; chains are made of it for as many recordings as one likes.
class RigFile {
 public:
  // Models are presets' names, or files and folders beside the rig's file or by their own path; so are impulse
  // responses: any sound file. Throws Failure that names the rig, and the stage or the file. [main-thread]
  static std::shared_ptr<const RigFile> open(const std::filesystem::path& path, ssm::Target target, bool quiet);

  // Throws Error. [any thread]
  dsp::Chain chain() const { return dsp::make_chain(rig_, files_); }

  // Of all that the sound follows from: settings, models, responses.
  const std::string& hash() const { return hash_; }

 private:
  dsp::Rig rig_;
  dsp::RigFiles files_;
  std::string hash_;
};

}  // namespace coil::cli
