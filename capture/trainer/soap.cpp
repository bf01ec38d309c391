// The matrices have 6 to 16 rows, so plain loops suffice. Jacobi rotations update the previous eigenbasis.
#include "capture/trainer/soap.h"

#include <cmath>

namespace coil::capture {
namespace {

constexpr double kPreconditionerShare = 0.05;  // weight of the newest gradient
constexpr size_t kStepsPerBasis = 10;
constexpr int kSweeps = 2;
constexpr double kEps = 1e-8;

// out (m, n) = a (m, k) b (k, n)
void multiply(const double* a, const double* b, double* out, size_t m, size_t k, size_t n) {
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) out[i * n + j] = 0;
    for (size_t l = 0; l < k; ++l)
      for (size_t j = 0; j < n; ++j) out[i * n + j] += a[i * k + l] * b[l * n + j];
  }
}

// out (m, n) = a' b, a (k, m), b (k, n)
void multiply_transposed(const double* a, const double* b, double* out, size_t m, size_t k, size_t n) {
  for (size_t i = 0; i < m * n; ++i) out[i] = 0;
  for (size_t l = 0; l < k; ++l)
    for (size_t i = 0; i < m; ++i)
      for (size_t j = 0; j < n; ++j) out[i * n + j] += a[l * m + i] * b[l * n + j];
}

// out (m, n) = a b', a (m, k), b (n, k)
void multiply_by_transposed(const double* a, const double* b, double* out, size_t m, size_t k, size_t n) {
  for (size_t i = 0; i < m; ++i)
    for (size_t j = 0; j < n; ++j) {
      double sum = 0;
      for (size_t l = 0; l < k; ++l) sum += a[i * k + l] * b[j * k + l];
      out[i * n + j] = sum;
    }
}

void blend(std::vector<double>& average, const std::vector<double>& value, double share) {
  for (size_t i = 0; i < average.size(); ++i) average[i] += (value[i] - average[i]) * share;
}

// Rotates columns x and y of an (n, n) matrix, or its rows if the strides are swapped.
void rotate(std::vector<double>& m, size_t n, size_t x, size_t y, size_t step, double c, double s) {
  for (size_t k = 0; k < n; ++k) {
    double &u = m[x + k * step], &v = m[y + k * step];
    const double before = u;
    u = c * before - s * v;
    v = s * before + c * v;
  }
}

// Rotates the basis until it diagonalises `matrix`. Starting from the previous basis keeps each eigenvector in its
// column.
void improve_basis(const std::vector<double>& matrix, std::vector<double>& basis, size_t n) {
  std::vector<double> half(n * n), a(n * n);
  multiply(matrix.data(), basis.data(), half.data(), n, n, n);
  multiply_transposed(basis.data(), half.data(), a.data(), n, n, n);
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = i + 1; j < n; ++j) {
        const double off = a[i * n + j];
        if (std::abs(off) <= 1e-12 * std::sqrt(std::abs(a[i * n + i] * a[j * n + j])) + 1e-300) continue;
        const double h = (a[j * n + j] - a[i * n + i]) / (2 * off);
        const double t = (h >= 0 ? 1 : -1) / (std::abs(h) + std::sqrt(h * h + 1)), c = 1 / std::sqrt(t * t + 1);
        rotate(a, n, i, j, n, c, t * c);
        rotate(a, n, i * n, j * n, 1, c, t * c);
        rotate(basis, n, i, j, n, c, t * c);
      }
    }
  }
}

std::vector<double> identity(size_t n) {
  std::vector<double> matrix(n * n);
  for (size_t i = 0; i < n; ++i) matrix[i * n + i] = 1;
  return matrix;
}

}  // namespace

Soap::Soap(size_t rows, size_t columns)
    : rows_(rows),
      columns_(columns),
      left_(rows * rows),
      right_(columns * columns),
      left_basis_(identity(rows)),
      right_basis_(identity(columns)),
      mean_(rows * columns),
      square_(rows * columns),
      rotated_(rows * columns),
      half_(rows * columns) {}

void Soap::direction(const double* gradient, double beta1, double beta2, size_t step, double* out) {
  const std::vector<double> g(gradient, gradient + rows_ * columns_);
  std::vector<double> square(rows_ * rows_);
  multiply_by_transposed(g.data(), g.data(), square.data(), rows_, columns_, rows_);
  blend(left_, square, kPreconditionerShare);
  square.resize(columns_ * columns_);
  multiply_transposed(g.data(), g.data(), square.data(), columns_, rows_, columns_);
  blend(right_, square, kPreconditionerShare);
  if (step % kStepsPerBasis == 1)
    improve_basis(left_, left_basis_, rows_), improve_basis(right_, right_basis_, columns_);

  const auto rotated = [&](const std::vector<double>& m) {
    multiply(m.data(), right_basis_.data(), half_.data(), rows_, columns_, columns_);
    multiply_transposed(left_basis_.data(), half_.data(), rotated_.data(), rows_, rows_, columns_);
  };
  rotated(g);
  for (double& value : rotated_) value *= value;
  blend(square_, rotated_, 1 - beta2);
  blend(mean_, g, 1 - beta1);
  rotated(mean_);
  const double mean_part = 1 - std::pow(beta1, double(step)), square_part = 1 - std::pow(beta2, double(step));
  for (size_t i = 0; i < rotated_.size(); ++i) rotated_[i] /= mean_part * (std::sqrt(square_[i] / square_part) + kEps);
  multiply(left_basis_.data(), rotated_.data(), half_.data(), rows_, rows_, columns_);
  multiply_by_transposed(half_.data(), right_basis_.data(), out, rows_, columns_, columns_);
}

}  // namespace coil::capture
