// The specification: every model as a plain step-by-step recurrence in double precision, written to be read.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ssm/model/card.h"
#include "ssm/model/checkpoint.h"
#include "ssm/model/config.h"

namespace coil::ssm {

struct NamedDoubles {
  std::string name;            // "state.0.ssm"
  std::vector<int64_t> shape;  // upstream's, without the batch axis
  std::vector<double> values;
  double period = 0;     // as in StateRegion
  bool upstream = true;  // as in StateRegion
};

// One signal through one model. Slow and allocating. [main-thread]
class Reference {
 public:
  // `sample_rate_hz`: where it runs, with its steps rescaled as Model::at_rate does; 0: at its own rate. Throws Error.
  explicit Reference(const Checkpoint& checkpoint, double sample_rate_hz = 0);
  ~Reference();

  const ModelConfig& config() const;
  const Card& card() const;

  void reset();
  void set_controls(std::span<const double> values);  // card order and units; takes effect at once, without a ramp
  std::vector<double> step(std::span<const double> frame);
  std::vector<double> step_token(int32_t token);
  std::vector<NamedDoubles> state() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coil::ssm
