// SOAP for one matrix: Adam in the eigenbases of running averages of G G' and G' G.
// Source: Vyas et al. 2024, "SOAP: Improving and Stabilizing Shampoo using Adam".
#pragma once

#include <cstddef>
#include <vector>

namespace coil::capture {

class Soap {
 public:
  Soap(size_t rows, size_t columns);

  // The update direction, of about unit size: Adam's, computed in the eigenbases. `step` counts from 1.
  void direction(const double* gradient, double beta1, double beta2, size_t step, double* out);

  template <class Archive>
  void visit(Archive& archive) {
    archive(left_), archive(right_), archive(left_basis_), archive(right_basis_), archive(mean_), archive(square_);
  }

 private:
  size_t rows_, columns_;
  std::vector<double> left_, right_, left_basis_, right_basis_;  // bases: one eigenvector per column
  std::vector<double> mean_, square_;                            // mean has the gradient's layout; square is in the
                                                                 // eigenbases
  std::vector<double> rotated_, half_;                           // buffers
};

}  // namespace coil::capture
