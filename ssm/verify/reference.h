// The specification: every model as a plain step-by-step recurrence in double precision, written for readability.
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
  double period = 0;     // see StateRegion
  bool upstream = true;  // see StateRegion
};

// One signal through one model. Slow, and allocates memory. [main-thread]
class Reference {
 public:
  // `sample_rate_hz`: the rate of the signal; the steps are rescaled as in Model::at_rate. 0: the model's own rate.
  // Throws Error.
  explicit Reference(const Checkpoint& checkpoint, double sample_rate_hz = 0);
  ~Reference();

  const ModelConfig& config() const;
  const Card& card() const;

  void reset();
  void set_controls(std::span<const double> values);  // in the card's order and units; takes effect at once, without a
                                                      // ramp
  std::vector<double> step(std::span<const double> frame);
  std::vector<double> step_token(int32_t token);
  std::vector<NamedDoubles> state() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coil::ssm
