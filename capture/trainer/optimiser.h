// Updates the parameters: SOAP for matrices and vectors, Adam for the rest, a schedule of the rate, gradient clipping,
// and a running average.
#pragma once

#include <vector>

#include "capture/trainer/shape.h"
#include "capture/trainer/soap.h"

namespace coil::capture {

class Optimiser {
 public:
  // slowest_frames: the upper limit of the modes' time constants.
  Optimiser(const ParameterMap& map, std::vector<float> parameters, double slowest_frames);

  const std::vector<float>& parameters() const { return parameters_; }
  const std::vector<double>& average() const { return average_; }
  size_t steps() const { return steps_; }

  // One step is begin(), find_direction() for every matrix (threads may share them), finish(). `gradient` must not
  // change meanwhile. progress: 0 to 1, of the whole training. Returns false if the gradient is not finite; the step is
  // then skipped.
  bool begin(const std::vector<double>& gradient, double progress);
  size_t matrices() const { return matrices_.size(); }
  void find_direction(size_t matrix);
  void finish();

  template <class Archive>
  void visit(Archive& archive) {
    archive(parameters_), archive(average_), archive(mean_), archive(square_), archive(steps_), archive(typical_norm_);
    for (Matrix& matrix : matrices_) matrix.soap.visit(archive);
  }

 private:
  struct Matrix {
    size_t at, rows, columns;
    Soap soap;
  };

  void add_matrix(size_t at, size_t rows, size_t columns);
  void add_slow_matrices();
  void add_filter_matrices();
  double rate_of(size_t parameter) const;
  double decay_of(size_t parameter) const;
  void bound_time_constants();

  ParameterMap map_;
  double slowest_frames_;
  std::vector<float> parameters_;
  std::vector<double> average_, mean_, square_, clipped_, direction_;
  std::vector<char> in_matrix_, is_step_;  // per parameter: updated by SOAP; time constants and frequencies
  std::vector<Matrix> matrices_;
  size_t steps_ = 0;
  double typical_norm_ = 0, rate_ = 0;
};

}  // namespace coil::capture
