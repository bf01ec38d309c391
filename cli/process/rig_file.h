// Reads rigs from .coil files, with the models and impulse responses that they name.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "dsp/rig_chain.h"
#include "ssm/machine/target.h"

namespace coil::cli {

// A rig with everything that it needs in memory; it can make any number of chains.
class RigFile {
 public:
  // A model is a preset's name, or a file or folder relative to the rig's folder, or a path. The same holds for impulse
  // responses: any sound file. Throws Failure that names the rig, and the stage or the file. [main-thread]
  static std::shared_ptr<const RigFile> open(const std::filesystem::path& path, ssm::Target target, bool quiet);

  // The rig with its models and impulse responses embedded, as far as one file holds them; else their paths become
  // absolute. [any thread]
  dsp::Rig with_files() const;

  // Throws Error. [any thread]
  dsp::Chain chain() const { return dsp::make_chain(rig_, files_); }

  // Of everything that determines the sound: settings, models, responses.
  const std::string& hash() const { return hash_; }

 private:
  dsp::Rig rig_;
  dsp::RigFiles files_;
  std::string hash_;
};

}  // namespace coil::cli
