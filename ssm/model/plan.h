// Everything that follows from a config: the parts in order and which are fused, each part's slice of the FiLM vector,
// its memory and its cost. The CPU network, scan, GPU model, cost, `coil info` and chunk lengths read it.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "ssm/model/config.h"
#include "ssm/model/cost.h"
#include "ssm/model/state.h"

namespace coil::ssm {

// The kind of a part's memory. It decides how the scan divides time.
enum class Memory {
  none,        // no memory: frames are independent
  recurrence,  // a linear state: chunks start from zero and are joined
  window,      // the last frames, unchanged: chunks run one after another
  sequence     // a nonlinear state: only in the slow path, whose hops run one after another
};

// The properties of a part. traits_of() in plan.cpp has one function per kind; a kind without one does not compile.
struct PartTraits {
  const char* kind = "";  // for people
  Memory memory = Memory::none;
  int history_frames = 0;          // input frames before a chunk that the chunk reads
  std::vector<StateRegion> state;  // any number
  bool folds_norm = false;         // whether an RMS norm directly before it is folded into its first projection
  const char* steps_obstacle =
      nullptr;       // why its steps cannot be rescaled to another sample rate; null: they can, or there are none
  Cost cost;         // while the FiLM vector is constant
  Cost moving_cost;  // while it moves

  // The region whose name ends with "." + name. Throws std::logic_error if there is none.
  const StateRegion& region(std::string_view name) const;
};

PartTraits traits_of(const PartConfig& part);

struct PlannedPart {
  PartConfig config;
  PartTraits traits;
  std::optional<RmsNormConfig> norm;  // folded into its first projection
  std::optional<size_t> film_at;      // where its slice of the padded FiLM vector starts: scale, then shift
  bool film_folds =
      false;  // for a linear part: whether the following film part is folded into it while the FiLM vector is constant
};

// h = residual ? h + parts(h) : parts(h)
struct PlannedLayer {
  bool residual = true;
  std::vector<PlannedPart> parts;
};

struct Plan {
  std::vector<PlannedLayer> layers, slow_layers;
  std::vector<int> film_rows;            // for each value of the padded FiLM vector: the config's index; -1: padding
  std::optional<size_t> output_film_at;  // where in it the padded rows start that are added to out_proj's weights
  int history_frames = 0;                // the largest of all layers
  Cost cost;
};

Plan plan_of(const ModelConfig& config);

}  // namespace coil::ssm
