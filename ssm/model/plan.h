// What a config means, said once: the parts in their order with what is fused, where each finds its slice of the FiLM
// vector, what it remembers, what it costs. CPU network, scan, GPU model, cost, `coil info` and chunk lengths read it.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "ssm/model/config.h"
#include "ssm/model/cost.h"
#include "ssm/model/state.h"

namespace coil::ssm {

// How a part remembers, which decides how a scan cuts time for it.
enum class Memory {
  none,        // every frame by itself
  recurrence,  // a state that is linear in itself: chunks start from zero and are joined
  window,      // the last frames as they were: chunks run one after another
  sequence     // a state that is not: only for the slow path, whose hops run one after another
};

// What others must know of a part. traits_of() in plan.cpp has one function a kind, and a kind without one does not
// compile.
struct PartTraits {
  const char* kind = "";  // for people
  Memory memory = Memory::none;
  int history_frames = 0;          // of its input before a chunk that the chunk reads
  std::vector<StateRegion> state;  // any number
  bool folds_norm = false;         // an RMS norm right before it goes into its first projection
  const char* steps_obstacle =
      nullptr;       // why its steps cannot be rescaled to another sample rate; null: they can, or it has none
  Cost cost;         // while the FiLM vector stands still
  Cost moving_cost;  // while it moves

  // The region whose name ends with a dot and this. Throws std::logic_error if there is none.
  const StateRegion& region(std::string_view name) const;
};

PartTraits traits_of(const PartConfig& part);

struct PlannedPart {
  PartConfig config;
  PartTraits traits;
  std::optional<RmsNormConfig> norm;  // goes into its first projection
  std::optional<size_t> film_at;  // where the slice of the padded FiLM vector begins that it reads: scale, then shift
  bool film_folds =
      false;  // a linear part: the film part behind it goes into its weights while the FiLM vector stands still
};

// h = residual ? h + parts(h) : parts(h)
struct PlannedLayer {
  bool residual = true;
  std::vector<PlannedPart> parts;
};

struct Plan {
  std::vector<PlannedLayer> layers, slow_layers;
  std::vector<int> film_rows;            // of the padded FiLM vector: the config's index of each value, -1: padding
  std::optional<size_t> output_film_at;  // where in it the padded rows begin that are added to out_proj's weights
  int history_frames = 0;                // the longest of the layers
  Cost cost;
};

Plan plan_of(const ModelConfig& config);

}  // namespace coil::ssm
