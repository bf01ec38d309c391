// Runs signals through the engine and the reference, in the ways that tests compare.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ssm/model/checkpoint.h"
#include "ssm/run/model.h"
#include "ssm/run/scan.h"
#include "ssm/model/state.h"
#include "tests/support/random_network.h"

namespace coil::test {

// A network on disk and in memory.
struct Loaded {
  ssm::Checkpoint checkpoint;

  std::shared_ptr<const ssm::Model> model(ssm::Target target = ssm::Target::best()) const {
    return ssm::Model::load(checkpoint, target);
  }
};

Loaded load(const ModelFile& file);  // through a temporary file

size_t width_in(const ssm::Model& model);
size_t width_out(const ssm::Model& model);

// From `state` on, in blocks of the given sizes (whose sum is the signal's length), frame by frame, or as a parallel
// scan.
std::vector<float> run_blocks(const std::shared_ptr<const ssm::Model>& model, ssm::State& state,
                              std::span<const float> in, std::span<const size_t> blocks);
std::vector<float> run_steps(const std::shared_ptr<const ssm::Model>& model, ssm::State& state,
                             std::span<const float> in);
std::vector<float> run_scan(const std::shared_ptr<const ssm::Model>& model, ssm::State& state,
                            std::span<const float> in, const ssm::ScanOptions& options);

struct ReferenceRun {
  std::vector<double> output;
  std::vector<ssm::NamedFloats> states;  // of the mixers, rounded
  std::vector<double> periods;           // for each, see StateRegion
};
// `sample_rate_hz`: see Reference.
ReferenceRun run_reference(const Loaded& loaded, std::span<const float> in, std::span<const float> controls,
                           double sample_rate_hz = 0);

// Values within the controls' ranges.
std::vector<float> random_controls(const ssm::Model& model, Random& random);

// Largest |found - expected| / max(1, largest |expected|); infinite if any value is not finite.
double relative_error(std::span<const float> found, std::span<const double> expected);
double relative_error(std::span<const float> found, std::span<const float> expected);

// The largest relative error over the reference's states; throws if the engine lacks one.
double state_error(const ssm::State& state, const ReferenceRun& reference);

// Steps, blocks and the parallel scan, each from `fresh` on: outputs and end states are the reference's.
void check_executions(const std::shared_ptr<const ssm::Model>& model, const ssm::State& fresh,
                      std::span<const float> in, std::span<const size_t> blocks, const ssm::ScanOptions& scan,
                      const ReferenceRun& reference, double tolerance);

bool same_bits(std::span<const float> a, std::span<const float> b);

}  // namespace coil::test
