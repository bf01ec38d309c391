// Every kernel on every SIMD target compared with double precision, at every length from 0 to 67 and, where allowed, at
// misaligned addresses.
#include "ssm/kernels/kernels.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <complex>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "ssm/machine/aligned.h"
#include "tests/support/random_network.h"
#include "tests/support/runs.h"
#include "tests/support/worst.h"

namespace {

using namespace coil;
using ssm::AlignedFloats;
using ssm::Kernels;
using ssm::padded;

constexpr double kEps = std::numeric_limits<float>::epsilon();
constexpr size_t kLongest = 67;

// Runs a check for every target.
void for_each_target(const std::function<void(const Kernels&)>& check) {
  const auto all = ssm::available_kernels();
  REQUIRE(!all.empty());
  for (const Kernels* kernels : all) {
    INFO("target " << kernels->name);
    check(*kernels);
  }
}

// Rows of a block: the padding is zero, and one additional row and value must not be changed by a kernel.
struct Rows {
  size_t width, stride, frames, offset;
  AlignedFloats floats;
  static constexpr float kGuard = 12345.0f;

  // `offset` floats before the first row make it misaligned.
  Rows(size_t w, size_t n, size_t extra_stride = 0, size_t off = 0)
      : width(w), stride(padded(w) + extra_stride), frames(n), offset(off), floats(off + (n + 1) * stride, 0.0f) {
    std::fill(floats.begin() + static_cast<std::ptrdiff_t>(off + n * stride), floats.end(), kGuard);
  }

  static Rows random(size_t w, size_t n, test::Random& random, double size = 1, size_t extra_stride = 0,
                     size_t off = 0) {
    Rows rows(w, n, extra_stride, off);
    for (size_t t = 0; t < n; ++t)
      for (size_t c = 0; c < w; ++c) rows.at(t, c) = static_cast<float>(size * random.normal());
    return rows;
  }

  float* data() { return floats.data() + offset; }
  const float* data() const { return floats.data() + offset; }
  float& at(size_t t, size_t c) { return floats[offset + t * stride + c]; }
  float at(size_t t, size_t c) const { return floats[offset + t * stride + c]; }

  bool guard_intact() const {
    return std::all_of(floats.begin() + static_cast<std::ptrdiff_t>(offset + frames * stride), floats.end(),
                       [](float v) { return v == kGuard; });
  }
};

AlignedFloats random_padded(size_t width, test::Random& random, double size = 1, double centre = 0) {
  AlignedFloats x(padded(width), 0.0f);
  for (size_t c = 0; c < width; ++c) x[c] = static_cast<float>(centre + size * random.normal());
  return x;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double softplus(double x) { return x > 30 ? x : std::log1p(std::exp(x)); }
double gelu(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }

// ---- functions of one value: the error bounds stated in math-inl.h, over the whole range

using Pointwise = void (*Kernels::*)(const float*, size_t, float*, size_t, size_t, size_t);

// Largest relative error of a pointwise kernel over many values in [low, high]; `floor` is added to the expected
// magnitude.
double worst_relative(const Kernels& kernels, Pointwise kernel, double (*exact)(double), double low, double high,
                      double floor) {
  constexpr size_t kCount = 1 << 16;
  AlignedFloats x(kCount), y(kCount);
  for (size_t i = 0; i < kCount; ++i)
    x[i] = static_cast<float>(low + (high - low) * static_cast<double>(i) / (kCount - 1));
  (kernels.*kernel)(x.data(), kCount, y.data(), kCount, kCount, 1);
  double worst = 0;
  for (size_t i = 0; i < kCount; ++i) {
    const double expected = exact(x[i]), difference = std::abs(y[i] - expected);
    if (difference == 0) continue;
    const double error = difference / (std::abs(expected) + floor);
    worst = std::isfinite(error) ? std::max(worst, error) : std::numeric_limits<double>::infinity();
  }
  return worst;
}

TEST_CASE("tanh keeps its relative accuracy everywhere") {
  for_each_target([](const Kernels& k) {
    const auto exact = [](double x) { return std::tanh(x); };
    // Stated: 5e-7. It consists of the rational function's 1e-8 and the rounding of two polynomials and a quotient.
    CHECK(worst_relative(k, &Kernels::tanh, exact, -12, 12, 0) <= 5e-7);
    CHECK(worst_relative(k, &Kernels::tanh, exact, -1e-3, 1e-3, 0) <= 5e-7);
    CHECK(worst_relative(k, &Kernels::tanh, exact, -1e30, 1e30, 0) <= 5e-7);
  });
}

TEST_CASE("silu and gelu") {
  for_each_target([](const Kernels& k) {
    const auto silu = [](double x) { return x * sigmoid(x); };
    // Sigmoid's 1e-6 and the product's epsilon. Below -87 the exponential is clamped, where silu is below 1e-36.
    CHECK(worst_relative(k, &Kernels::silu, silu, -85, 100, 0) <= 1.2e-6);
    CHECK(worst_relative(k, &Kernels::silu, silu, -1e6, 1e6, 1e-25) <= 1.2e-6);
    CHECK(worst_relative(k, &Kernels::silu, silu, -1e-3, 1e-3, 0) <= 1.2e-6);
    // 1 + erf cancels below 0: the remaining error is erf's absolute error times x, at most 1.5e-6 before erf reaches
    // -1.
    CHECK(worst_relative(k, &Kernels::gelu, gelu, -20, 20, 1) <= 2e-6);
    CHECK(worst_relative(k, &Kernels::gelu, gelu, 0, 20, 0) <= 2e-6);
    CHECK(worst_relative(k, &Kernels::gelu, gelu, -1e-3, 1e-3, 0) <= 2e-6);
  });
}

TEST_CASE("decays: 2^t - 1 keeps its relative accuracy down to the longest time constants") {
  for_each_target([](const Kernels& k) {
    const auto decay_of = [&](const AlignedFloats& t) {
      AlignedFloats a(t.size(), 1.0f), decay(t.size());
      k.decay(a.data(), t.data(), t.size(), decay.data(), t.size(), t.size(), 1);
      return decay;
    };
    constexpr size_t kCount = 1 << 16;
    const auto worst = [&](double low, double high) {  // over -dt A from low to high, in octaves
      AlignedFloats t(kCount);
      for (size_t i = 0; i < kCount; ++i)
        t[i] = static_cast<float>(-low * std::pow(high / low, double(i) / kCount) * M_LOG2E);
      const AlignedFloats decay = decay_of(t);
      double error = 0;
      for (size_t i = 0; i < kCount; ++i)
        test::take_worst(error, std::abs(decay[i] / std::expm1(double(t[i]) * M_LN2) - 1));
      return error;
    };
    // A time constant of one second is 2e-5 at 48 kHz. Stated: 2.5e-7, from the polynomial's 1e-7 and two roundings.
    CHECK(worst(1e-6, 1e-2) <= 2.5e-7);
    CHECK(worst(1e-12, 1e-6) <= 2.5e-7);
    // Where the power differs from 1, its rounding counts: 3e-8 of 0.02 at worst.
    CHECK(worst(1e-2, 88) <= 1.5e-6);

    // 2^t itself, to half an epsilon of 1 and the polynomial
    AlignedFloats t(kCount);
    for (size_t i = 0; i < kCount; ++i) t[i] = static_cast<float>(-125.9 * static_cast<double>(i) / kCount);
    AlignedFloats decay = decay_of(t);
    double error = 0;
    for (size_t i = 0; i < kCount; ++i)
      test::take_worst(error, std::abs(1.0 + decay[i] - std::exp2(static_cast<double>(t[i]))));
    CHECK(error <= 2.5e-7);
    CHECK(decay[0] == 0.0f);

    // Far below the range the result is 0 or nearly so, and never grows.
    for (const float far : {-200.0f, -1e6f, -1e30f, -std::numeric_limits<float>::infinity()}) {
      t.assign(ssm::kPad, far);
      for (const float v : decay_of(t)) CHECK((v >= -1.0f && v < -1.0f + 2e-7f));
    }
  });
}

TEST_CASE("time steps: softplus keeps its relative accuracy, also for very negative values, then the clamp") {
  for_each_target([](const Kernels& k) {
    constexpr size_t kCount = 1 << 16;
    AlignedFloats zero(kCount, 0.0f), x(kCount), dt;
    for (size_t i = 0; i < kCount; ++i) x[i] = static_cast<float>(-86 + 186 * static_cast<double>(i) / kCount);
    dt = x;
    k.time_step(zero.data(), 0, std::numeric_limits<float>::infinity(), true, dt.data(), kCount, kCount, 1);
    double worst = 0;
    for (size_t i = 0; i < kCount; ++i) test::take_worst(worst, std::abs(dt[i] / softplus(x[i]) - 1));
    // Stated 1e-6 with FMA; without, the exponential's argument loses up to 6e-6 at the far end.
    CHECK(worst <= 7e-6);

    for (size_t width = 1; width <= 33; width += 4) {
      test::Random random(static_cast<uint32_t>(width));
      const AlignedFloats bias = random_padded(width, random);
      for (const bool soft : {true, false}) {
        Rows rows = Rows::random(width, 5, random, 3);
        const Rows before = rows;
        k.time_step(bias.data(), 0.2f, 1.5f, soft, rows.data(), rows.stride, padded(width), rows.frames);
        worst = 0;
        for (size_t t = 0; t < rows.frames; ++t)
          for (size_t c = 0; c < width; ++c) {
            const double v = static_cast<double>(before.at(t, c)) + static_cast<double>(bias[c]);
            const double expected = soft ? std::clamp(softplus(v), static_cast<double>(0.2f), 1.5) : v;
            test::take_worst(worst, std::abs(rows.at(t, c) - expected) / std::max(1.0, std::abs(expected)));
          }
        CHECK(worst <= 1e-6);  // softplus's bound; the bias is added with half an epsilon of 8
        CHECK(rows.guard_intact());
      }
    }
  });
}

// ---- blocks: every length, odd widths, strides wider than the row

// The weight after conversion to a format.
double rounded_weight(ssm::WeightFormat format, float weight, float peak) {
  if (format == ssm::WeightFormat::bf16)
    return std::ldexp(std::nearbyint(std::ldexp(double(weight), 7 - std::ilogb(weight))), std::ilogb(weight) - 7);
  if (format == ssm::WeightFormat::int8) return std::round(weight / peak * 127) * (peak / 127);
  return weight;
}

TEST_CASE("linear: every number of frames, every width, any alignment of its input, factors, every weight format") {
  for_each_target([](const Kernels& k) {
    test::Random random(1);
    double worst = 0;
    const auto check = [&](size_t d_in, size_t d_out, size_t frames, size_t misaligned, bool accumulate, bool scaled,
                           ssm::WeightFormat format) {
      std::vector<float> weight(d_in * d_out), bias(d_out), scale(frames);
      for (float& w : weight) w = static_cast<float>(random.normal());
      for (float& b : bias) b = static_cast<float>(random.normal());
      for (float& f : scale) f = static_cast<float>(random.uniform(0.1, 2));
      std::vector<int> rows(d_out), columns(d_in);
      for (size_t i = 0; i < d_out; ++i) rows[i] = static_cast<int>(i);
      for (size_t i = 0; i < d_in; ++i) columns[i] = static_cast<int>(i);
      const auto packed = ssm::pack_linear(k, format, weight.data(), d_in, bias.data(), rows, columns);
      const Rows x = Rows::random(d_in, frames, random, 1, ssm::kPad, misaligned);
      Rows y = Rows::random(d_out, frames, random);
      const Rows before = y;
      k.linear(packed, scaled ? scale.data() : nullptr, x.data(), x.stride, y.data(), y.stride, frames, accumulate);
      for (size_t r = 0; r < d_out; ++r) {
        float peak = 0;
        for (size_t c = 0; c < d_in; ++c) peak = std::max(peak, std::abs(weight[r * d_in + c]));
        for (size_t t = 0; t < frames; ++t) {
          const double factor = scaled ? scale[t] : 1.0;
          double expected = bias[r] + (accumulate ? before.at(t, r) : 0.0), magnitude = std::abs(expected);
          for (size_t c = 0; c < d_in; ++c) {
            const double product = factor * rounded_weight(format, weight[r * d_in + c], peak) * x.at(t, c);
            expected += product;
            magnitude += std::abs(product);
          }
          // Each of d_in + 2 terms is added with an error of half an epsilon of the partial sum, which is at most the
          // magnitude. Without FMA the product is rounded too, and so is each factor: two more.
          test::take_worst(worst, std::abs(y.at(t, r) - expected) / (kEps * magnitude * static_cast<double>(d_in + 4)));
        }
      }
      for (size_t t = 0; t < frames; ++t)
        for (size_t r = d_out; r < padded(d_out); ++r)
          if (y.at(t, r) != 0) worst = 1e9;  // padding stays zero
      if (!y.guard_intact()) worst = 1e9;
    };
    for (const auto format : {ssm::WeightFormat::f32, ssm::WeightFormat::bf16, ssm::WeightFormat::int8}) {
      INFO("format " << int(format));
      for (size_t frames = 0; frames <= kLongest; ++frames)
        check(7, 33, frames, frames % 5, frames % 2, frames % 3, format);
      for (size_t d_in = 0; d_in <= kLongest; ++d_in) check(d_in, 17, 5, d_in % 3, d_in % 2, d_in % 3, format);
      for (size_t d_in = 0; d_in <= kLongest; ++d_in)
        check(d_in, 1 + d_in % 4, 3, d_in % 3, d_in % 2, d_in % 3, format);  // some as dot products
      for (size_t d_out = 1; d_out <= kLongest; ++d_out) check(9, d_out, 6, 1, d_out % 2, d_out % 3, format);
      for (size_t d_out = 60; d_out <= 200; d_out += 20) check(9, d_out, 1, 3, false, d_out % 3, format);
      check(150, 200, 11, 1, true, true, format);
      CHECK(worst <= 1);
    }
  });
}

TEST_CASE("selected rows of a matrix give the bits that they give in the whole, for any number of frames") {
  test::Random random(77);
  for_each_target([&](const Kernels& k) {
    for (const auto format : {ssm::WeightFormat::f32, ssm::WeightFormat::bf16, ssm::WeightFormat::int8})
      for (int round = 0; round < 60; ++round) {
        const size_t d_in = size_t(random.whole(1, 70)), d_out = size_t(random.whole(1, 150)),
                     frames = size_t(random.whole(1, 9));
        std::vector<float> weight(d_in * d_out), bias(d_out);
        for (float& w : weight) w = float(random.normal());
        for (float& b : bias) b = float(random.normal());
        std::vector<int> rows(d_out), columns(d_in);
        for (size_t i = 0; i < d_out; ++i) rows[i] = int(i);
        for (size_t i = 0; i < d_in; ++i) columns[i] = int(i);
        const auto whole = ssm::pack_linear(k, format, weight.data(), d_in, bias.data(), rows, columns);
        std::vector<uint32_t> chosen;
        for (uint32_t i = 0; i < d_out; ++i)
          if (random.chance(0.4)) chosen.insert(chosen.begin() + random.whole(0, int(chosen.size())), i);
        if (chosen.empty()) chosen.push_back(uint32_t(d_out) - 1);
        const auto part = ssm::select_rows(k, whole, chosen);
        const Rows x = Rows::random(d_in, frames, random);
        Rows all(d_out, frames), some(chosen.size(), frames);
        k.linear(whole, nullptr, x.data(), x.stride, all.data(), all.stride, frames, false);
        k.linear(part, nullptr, x.data(), x.stride, some.data(), some.stride, frames, false);
        for (size_t t = 0; t < frames; ++t)
          for (size_t i = 0; i < chosen.size(); ++i) REQUIRE(some.at(t, i) == all.at(t, chosen[i]));
      }
  });
}

TEST_CASE("linear with rows and columns rearranged, left out and repeated") {
  for_each_target([](const Kernels& k) {
    test::Random random(2);
    const size_t source_columns = 5;
    std::vector<float> weight(4 * source_columns), bias(4);
    for (float& w : weight) w = static_cast<float>(random.normal());
    for (float& b : bias) b = static_cast<float>(random.normal());
    const std::vector<int> rows = {2, -1, 0, 0, 3}, columns = {4, -1, 1, 1};
    for (const bool with_bias : {true, false}) {
      const auto packed = ssm::pack_linear(k, ssm::WeightFormat::f32, weight.data(), source_columns,
                                           with_bias ? bias.data() : nullptr, rows, columns);
      CHECK(packed.d_in == columns.size());
      CHECK(packed.d_out == padded(rows.size()));
      const Rows x = Rows::random(columns.size(), 3, random);
      Rows y(padded(rows.size()), 3);
      k.linear(packed, nullptr, x.data(), x.stride, y.data(), y.stride, 3, false);
      for (size_t t = 0; t < 3; ++t)
        for (size_t r = 0; r < packed.d_out; ++r) {
          double expected = 0;
          if (r < rows.size() && rows[r] >= 0) {
            const auto row = static_cast<size_t>(rows[r]);
            expected = with_bias ? bias[row] : 0;
            for (size_t c = 0; c < columns.size(); ++c)
              if (columns[c] >= 0)
                expected +=
                    static_cast<double>(weight[row * source_columns + static_cast<size_t>(columns[c])]) * x.at(t, c);
          }
          CHECK(std::abs(y.at(t, r) - expected) <= 10 * kEps * 4);  // five additions of terms below 4 in all
        }
    }
  });
}

TEST_CASE("rms_norm: every width and every number of frames, in place and apart") {
  for_each_target([](const Kernels& k) {
    test::Random random(3);
    double worst = 0;
    for (size_t n = 0; n <= kLongest; ++n) {
      const size_t width = std::max<size_t>(n, 1), frames = n % 9;
      const AlignedFloats weight = random_padded(width, random, 0.3, 1);
      const float eps = n % 2 ? 1e-5f : 0.1f;
      Rows x = Rows::random(width, frames, random, n % 3 ? 1 : 1e-3, ssm::kPad), y(width, frames);
      k.rms_norm(weight.data(), eps, width, padded(width), x.data(), x.stride, y.data(), y.stride, frames);
      for (size_t t = 0; t < frames; ++t) {
        double squares = 0;
        for (size_t c = 0; c < width; ++c) squares += static_cast<double>(x.at(t, c)) * x.at(t, c);
        const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + eps);
        for (size_t c = 0; c < width; ++c) {
          const double expected = x.at(t, c) * scale * weight[c];
          test::take_worst(worst, std::abs(y.at(t, c) - expected) / std::max(1e-30, std::abs(expected)));
        }
        for (size_t c = width; c < padded(width); ++c) CHECK(y.at(t, c) == 0);
      }
      CHECK(y.guard_intact());
      const Rows apart = y;
      k.rms_norm(weight.data(), eps, width, padded(width), x.data(), x.stride, x.data(), x.stride, frames);
      for (size_t t = 0; t < frames; ++t)
        for (size_t c = 0; c < width; ++c) CHECK(x.at(t, c) == apart.at(t, c));
    }
    // Up to 67 squares in four or more partial sums, mean, root, quotient, two products: about 24 roundings of half an
    // epsilon; the root halves most of them.
    CHECK(worst <= 12 * kEps);
  });
}

// A kernel that treats all values alike: every length of both axes, with guard values.
template <class Call, class Exact>
void check_block(const Kernels& k, double tolerance, Call call, Exact exact) {
  test::Random random(4);
  double worst = 0;
  for (size_t n = 0; n <= kLongest; ++n) {
    for (const auto& [width, frames] : {std::pair<size_t, size_t>{std::max<size_t>(n, 1), 3}, {19, n}}) {
      Rows x = Rows::random(2 * padded(width), frames, random, 2),
           y = Rows::random(width, frames, random, 2, ssm::kPad);
      const Rows before = y;
      call(k, x, y, padded(width), frames);
      for (size_t t = 0; t < frames; ++t)
        for (size_t c = 0; c < width; ++c) {
          const double expected =
              exact(static_cast<double>(x.at(t, c)), static_cast<double>(x.at(t, padded(width) + c)),
                    static_cast<double>(before.at(t, c)));
          test::take_worst(worst, std::abs(y.at(t, c) - expected) / std::max(1.0, std::abs(expected)));
        }
      CHECK(y.guard_intact());
    }
  }
  CHECK(worst <= tolerance);
}

TEST_CASE("pointwise kernels at every length") {
  for_each_target([](const Kernels& k) {
    // One function within its stated bound of 1e-6, then products of values below 10: 16 epsilon.
    const double tolerance = 16 * kEps;
    const auto apply = [](auto kernel) {
      return [kernel](const Kernels& table, Rows& x, Rows& y, size_t width, size_t frames) {
        (table.*kernel)(x.data(), x.stride, y.data(), y.stride, width, frames);
      };
    };
    check_block(k, tolerance, apply(&Kernels::tanh), [](double x, double, double) { return std::tanh(x); });
    check_block(k, tolerance, apply(&Kernels::gelu), [](double x, double, double) { return gelu(x); });
    check_block(k, tolerance, apply(&Kernels::silu), [](double x, double, double) { return x * sigmoid(x); });
    check_block(k, tolerance, apply(&Kernels::glu), [](double x, double gate, double) { return x * sigmoid(gate); });
    check_block(k, tolerance, apply(&Kernels::gate), [](double z, double, double y) { return y * z * sigmoid(z); });
    check_block(k, tolerance, apply(&Kernels::add), [](double x, double, double y) { return x + y; });
  });
}

TEST_CASE("pointwise kernels in place give the same bits") {
  for_each_target([](const Kernels& k) {
    test::Random random(5);
    for (const Pointwise kernel : {&Kernels::tanh, &Kernels::gelu, &Kernels::silu}) {
      Rows x = Rows::random(21, 7, random, 2), y(21, 7);
      (k.*kernel)(x.data(), x.stride, y.data(), y.stride, padded(21), 7);
      (k.*kernel)(x.data(), x.stride, x.data(), x.stride, padded(21), 7);
      CHECK(test::same_bits(x.floats, y.floats));
    }
  });
}

TEST_CASE("tanh_rest: one row and many, at every length, and 0 from what tanh makes of the same values") {
  for_each_target([](const Kernels& k) {
    const auto of = [](bool rows) {
      return [rows](const Kernels& table, Rows& x, Rows& y, size_t width, size_t frames) {
        table.tanh_rest(x.data() + width, rows ? x.stride : 0, x.data(), x.stride, y.data(), y.stride, width, frames);
      };
    };
    check_block(k, 16 * kEps, of(true), [](double x, double rest, double) { return std::tanh(x) - rest; });
    test::Random random(12);
    for (const size_t width : {size_t{1}, size_t{8}, size_t{19}, kLongest}) {
      Rows row = Rows::random(width, 1, random), x(width, 5), rest(width, 1), y(width, 5, ssm::kPad);
      for (size_t t = 0; t < 5; ++t)
        for (size_t c = 0; c < width; ++c) x.data()[t * x.stride + c] = row.at(0, c);
      k.tanh(row.data(), row.stride, rest.data(), rest.stride, padded(width), 1);
      k.tanh_rest(rest.data(), 0, x.data(), x.stride, y.data(), y.stride, padded(width), 5);
      for (size_t t = 0; t < 5; ++t)
        for (size_t c = 0; c < width; ++c) CHECK(y.at(t, c) == 0);
      CHECK(y.guard_intact());
    }
  });
}

TEST_CASE("moving_dot: constant and moving, at every length, its vector at any address") {
  for_each_target([](const Kernels& k) {
    test::Random random(13);
    double worst = 0;
    for (size_t n = 0; n <= kLongest; ++n) {
      const size_t width = std::max<size_t>(n, 1), frames = (n * 7) % 23, shifted = n % 7;
      const float first = static_cast<float>(random.whole(1, 1000));
      AlignedFloats base(shifted + padded(width), 0.0f), slope(base);
      for (size_t c = 0; c < width; ++c)
        base[shifted + c] = float(random.normal()), slope[shifted + c] = float(random.normal() * 1e-3);
      for (const bool moving : {false, true}) {
        const Rows x = Rows::random(width, frames, random);
        Rows y = Rows::random(1, frames, random, 2, ssm::kPad);
        const Rows before = y;
        k.moving_dot(base.data() + shifted, moving ? slope.data() + shifted : nullptr, first, x.data(), x.stride,
                     y.data(), y.stride, padded(width), frames);
        for (size_t t = 0; t < frames; ++t) {
          double expected = before.at(t, 0), magnitude = std::abs(expected);
          for (size_t c = 0; c < width; ++c) {
            const double i = moving ? double(first) + double(t) : 0,
                         w = double(base[shifted + c]) + double(slope[shifted + c]) * i;
            expected += w * double(x.at(t, c));
            magnitude += (std::abs(base[shifted + c]) + std::abs(slope[shifted + c] * i)) * std::abs(x.at(t, c));
          }
          test::take_worst(worst, std::abs(y.at(t, 0) - expected) / std::max(1e-30, magnitude));
        }
        CHECK(y.guard_intact());
      }
    }
    CHECK(worst <= 36 * kEps);  // a sum of up to 67 values on one lane, half an epsilon each, and two of a product
  });
}

TEST_CASE("film: constant and moving, at every length, its vector at any address") {
  for_each_target([](const Kernels& k) {
    test::Random random(6);
    double worst = 0;
    for (size_t n = 0; n <= kLongest; ++n) {
      const size_t width = std::max<size_t>(n, 1), frames = (n * 7) % 23, shifted = n % 7;
      const float first = static_cast<float>(random.whole(1, 1000));
      std::vector<AlignedFloats> vectors;
      for (int i = 0; i < 4; ++i) {
        vectors.emplace_back(shifted + padded(width), 0.0f);
        for (size_t c = 0; c < width; ++c)
          vectors.back()[shifted + c] = static_cast<float>(random.normal() * (i % 2 ? 1e-3 : 1));
      }
      const auto at = [&](size_t i) { return vectors[i].data() + shifted; };  // scale, its slope, shift, its slope
      for (const bool moving : {false, true}) {
        const Rows x = Rows::random(width, frames, random);
        Rows y(width, frames, ssm::kPad);
        k.film(at(0), moving ? at(1) : nullptr, at(2), moving ? at(3) : nullptr, first, x.data(), x.stride, y.data(),
               y.stride, padded(width), frames);
        for (size_t t = 0; t < frames; ++t)
          for (size_t c = 0; c < width; ++c) {
            const double i = moving ? static_cast<double>(first) + static_cast<double>(t) : 0;
            const double scale = 1 + at(0)[c] + at(1)[c] * i, shift = at(2)[c] + at(3)[c] * i,
                         expected = scale * x.at(t, c) + shift;
            const double magnitude = (1 + std::abs(at(0)[c]) + std::abs(at(1)[c] * i)) * std::abs(x.at(t, c)) +
                                     std::abs(at(2)[c]) + std::abs(at(3)[c] * i);
            test::take_worst(worst, std::abs(y.at(t, c) - expected) / std::max(1e-30, magnitude));
          }
        CHECK(y.guard_intact());
      }
    }
    CHECK(worst <= 3 * kEps);  // six roundings of half an epsilon, each of a part of the magnitude
  });
}

TEST_CASE("rms_scale and projected time steps at every length") {
  for_each_target([](const Kernels& k) {
    test::Random random(15);
    double worst_scale = 0, worst_dt = 0;
    for (size_t n = 1; n <= kLongest; ++n) {
      const size_t width = n, frames = n % 9, rank = n % ssm::kMaxDots + 1, w = padded(width);
      const Rows x = Rows::random(width, frames, random, 1, ssm::kPad), ranks = Rows::random(rank, frames, random);
      std::vector<float> scale(frames + 1, 7.0f);
      k.rms_scale(1e-3f, width, w, x.data(), x.stride, scale.data(), frames);
      CHECK(scale[frames] == 7.0f);
      AlignedFloats weights(rank * w, 0.0f);
      for (float& weight : weights) weight = static_cast<float>(random.normal());
      const AlignedFloats bias = random_padded(width, random);
      Rows dt(width, frames, ssm::kPad);
      k.project_time_step({weights.data(), bias.data(), rank, w}, ranks.data(), ranks.stride, dt.data(), dt.stride,
                          frames);
      for (size_t t = 0; t < frames; ++t) {
        double squares = 0;
        for (size_t c = 0; c < width; ++c) squares += double(x.at(t, c)) * x.at(t, c);
        test::take_worst(worst_scale, std::abs(scale[t] * std::sqrt(squares / double(width) + 1e-3) - 1));
        for (size_t c = 0; c < width; ++c) {
          double sum = bias[c], magnitude = 1 + std::abs(sum);
          for (size_t r = 0; r < rank; ++r) {
            sum += double(weights[r * w + c]) * ranks.at(t, r);
            magnitude += std::abs(double(weights[r * w + c]) * ranks.at(t, r));
          }
          test::take_worst(worst_dt, std::abs(dt.at(t, c) - softplus(sum)) / magnitude);
        }
      }
      CHECK(dt.guard_intact());
    }
    CHECK(worst_scale <= kLongest / 4 * kEps);  // as many additions as a lane has, the square root and the quotient
    CHECK(worst_dt <= 1e-6 + 8 * kEps);         // softplus's bound, and four products and additions
  });
}

TEST_CASE("decay at every length") {
  for_each_target([](const Kernels& k) {
    test::Random random(7);
    double worst = 0;
    for (size_t n = 0; n <= kLongest; ++n) {
      const size_t width = std::max<size_t>(n, 1), frames = n % 11;
      AlignedFloats a(padded(width), 0.0f);
      for (size_t c = 0; c < width; ++c) a[c] = static_cast<float>(-random.uniform(0.1, 20));
      Rows dt(width, frames, ssm::kPad), decay(width, frames);
      for (size_t t = 0; t < frames; ++t)
        for (size_t c = 0; c < width; ++c) dt.at(t, c) = static_cast<float>(random.log_uniform(1e-4, 3));
      k.decay(a.data(), dt.data(), dt.stride, decay.data(), decay.stride, padded(width), frames);
      for (size_t t = 0; t < frames; ++t)
        for (size_t c = 0; c < width; ++c) {
          const double exponent = static_cast<double>(a[c]) * dt.at(t, c), expected = std::exp2(exponent);
          // Rounding the exponent (half an epsilon of up to 60) changes the result by as much, times ln 2.
          worst =
              std::max(worst, std::abs(1.0 + decay.at(t, c) - expected) / (2.5e-7 + 0.5 * kEps * std::abs(exponent)));
        }
      CHECK(decay.guard_intact());
    }
    CHECK(worst <= 1);
  });
}

TEST_CASE("conv_silu: every number of taps and frames, the history moves on") {
  for_each_target([](const Kernels& k) {
    test::Random random(8);
    double worst = 0;
    for (size_t n = 0; n <= kLongest; ++n) {
      const size_t width = n % 37 + 1, frames = n, taps = n % 6 + 1, w = padded(width);
      const Rows x = Rows::random(width, taps + frames, random);  // the first `taps` rows are the history
      const AlignedFloats bias = random_padded(width, random);
      AlignedFloats weights(taps * w, 0.0f), history(taps * w);
      for (size_t j = 0; j < taps; ++j) {
        for (size_t c = 0; c < width; ++c) weights[j * w + c] = static_cast<float>(random.normal());
        std::copy_n(x.data() + j * x.stride, w, history.data() + j * w);
      }
      Rows y(width, frames, ssm::kPad);
      const ssm::Run run{frames, history.data(), nullptr};
      k.conv_silu({weights.data(), bias.data(), taps, w}, {&run, 1}, x.data() + taps * x.stride, x.stride, y.data(),
                  y.stride);
      for (size_t j = 0; j < taps; ++j)
        CHECK(std::equal(history.data() + j * w, history.data() + (j + 1) * w, x.data() + (frames + j) * x.stride));
      for (size_t t = 0; t < frames; ++t)
        for (size_t c = 0; c < width; ++c) {
          double sum = bias[c], magnitude = 1 + std::abs(sum);
          for (size_t j = 0; j < taps; ++j) {
            const double product = static_cast<double>(weights[j * w + c]) * x.at(t + 1 + j, c);
            sum += product;
            magnitude += std::abs(product);
          }
          // Seven additions of half an epsilon, two with a rounded product; silu's slope is at most 1.1, its own bound
          // 10 epsilon.
          test::take_worst(worst, std::abs(y.at(t, c) - sum * sigmoid(sum)) / magnitude);
        }
      CHECK(y.guard_intact());
    }
    CHECK(worst <= 16 * kEps);
  });
}

TEST_CASE("envelopes: sums of tanh and its square at every length") {
  for_each_target([](const Kernels& k) {
    test::Random random(9);
    double worst = 0;
    for (size_t frames = 0; frames <= kLongest; ++frames) {
      const size_t width = frames % 35 + 1, w = padded(width);
      const Rows x = Rows::random(width, frames, random);
      AlignedFloats sum(2 * w, 0.0f);
      for (size_t i = 0; i < width; ++i) sum[i] = sum[w + i] = 0.5f;
      k.envelopes(x.data(), x.stride, sum.data(), w, frames);
      for (size_t c = 0; c < width; ++c) {
        double f = 0.5, squares = 0.5;
        for (size_t t = 0; t < frames; ++t) {
          const double v = std::tanh(static_cast<double>(x.at(t, c)));
          f += v;
          squares += v * v;
        }
        worst = std::max({worst, std::abs(sum[c] - f), std::abs(sum[w + c] - squares)});
      }
    }
    // 67 sums, each rounded by half an epsilon of at most 64, and tanh's 5e-7 of at most 1. All errors would need the
    // same sign, so a quarter is allowed.
    CHECK(worst <= 0.25 * 67 * (0.5 * 64 * kEps + 5e-7));
  });
}

// ---- recurrences. Their decays stay below 0.98, so a rounding error is forgotten after about 50 frames, and errors
// stay within 50 roundings of the peak.

constexpr double kScanTolerance = 50 * kEps;

// ---- whole layers

// Two layers of eight channels, and a stream that runs through them.
struct NarrowNetwork {
  static constexpr size_t kWidth = ssm::kHalfPad;
  struct Weights {
    AlignedFloats z, c, D, rest;  // z and c: real parts, then imaginary parts
    ssm::PackedLinear in, out;
  };
  std::vector<Weights> weights;
  std::vector<ssm::NarrowLayer> layers;
  AlignedFloats base, slope, arena;
  size_t modes, bank_floats;

  NarrowNetwork(const Kernels& k, test::Random& random, bool rests, size_t modes)
      : weights(2), modes(modes), bank_floats(modes * kWidth) {
    const auto fill = [&](AlignedFloats& values, size_t n, double size) {
      values.resize(n);
      for (float& value : values) value = float(size * random.normal());
    };
    const auto matrix = [&] {
      std::vector<float> weight(kWidth * kWidth), bias(kWidth);
      for (float& w : weight) w = float(0.4 * random.normal());
      for (float& b : bias) b = float(random.normal());
      std::vector<int> all(kWidth);
      for (size_t i = 0; i < kWidth; ++i) all[i] = int(i);
      return ssm::pack_linear(k, ssm::WeightFormat::f32, weight.data(), kWidth, bias.data(), all, all);
    };
    for (Weights& w : weights) {
      w.z.resize(2 * bank_floats);
      for (size_t i = 0; i < bank_floats; ++i) {
        const auto z = std::polar(random.uniform(0.1, 0.9), random.uniform(-3, 3));
        w.z[i] = float(z.real()), w.z[bank_floats + i] = float(z.imag());
      }
      fill(w.c, 2 * bank_floats, 0.2), fill(w.D, kWidth, 0.5), fill(w.rest, kWidth, 0.1);
      w.in = matrix(), w.out = matrix();
      const size_t at = layers.size();
      layers.push_back(
          {{kWidth, modes, w.z.data(), w.z.data() + bank_floats, w.c.data(), w.c.data() + bank_floats, w.D.data()},
           16 + at * 2 * bank_floats,
           &w.in,
           &w.out,
           w.rest.data(),
           at == 0,
           rests,
           5});
    }
    fill(base, 5 + 2 * kWidth, 0.3), fill(slope, 5 + 2 * kWidth, 1e-3), fill(arena, 16 + 4 * bank_floats, 1);
  }

  // The same in double precision. Returns the rows.
  std::vector<double> expected(const ssm::NarrowRun& run, const Rows& in) const {
    std::vector<double> h, x(kWidth), a(kWidth);
    for (size_t t = 0; t < run.frames; ++t)
      for (size_t c = 0; c < kWidth; ++c) h.push_back(in.at(t, c));
    const auto product = [](const ssm::PackedLinear& w, const std::vector<double>& x, size_t row) {
      double sum = w.bias[row];
      for (size_t k = 0; k < kWidth; ++k) sum += double(w.f32[w.offset[row] + k * w.step[row]]) * x[k];
      return sum;
    };
    for (const ssm::NarrowLayer& m : layers) {
      std::vector<std::complex<double>> state(bank_floats);
      for (size_t i = 0; i < bank_floats; ++i) state[i] = {arena[m.state_at + i], arena[m.state_at + bank_floats + i]};
      for (size_t t = 0; t < run.frames; ++t) {
        double* row = h.data() + t * kWidth;
        for (size_t c = 0; c < kWidth; ++c) {
          x[c] = double(m.bank.D[c]) * row[c];
          for (size_t i = c; i < bank_floats; i += kWidth) {
            x[c] += (std::complex<double>(m.bank.c_re[i], m.bank.c_im[i]) * state[i]).real();
            state[i] = std::complex<double>(m.bank.z_re[i], m.bank.z_im[i]) * state[i] + row[c];
          }
        }
        for (size_t c = 0; c < kWidth; ++c) {
          const auto film = [&](size_t i) {
            const size_t at = m.film_at + i;
            return run.film_base[at] + (run.film_slope ? run.film_slope[at] * double(run.first + float(t)) : 0.0);
          };
          const bool moves = m.has_film && run.film_base;
          const double scale = moves ? 1 + film(c) : 1, shift = moves ? film(kWidth + c) : 0;
          const double rest = moves && m.rest_moves ? std::tanh(scale * m.in->bias[c] + shift) : m.rest[c];
          a[c] = std::tanh(scale * product(*m.in, x, c) + shift) - rest;
        }
        for (size_t c = 0; c < kWidth; ++c) row[c] += product(*m.out, a, c);
      }
    }
    return h;
  }
};

TEST_CASE(
    "layers of eight channels: every number of frames and modes, constant, moving and no FiLM, the same bits for any "
    "split") {
  for_each_target([](const Kernels& k) {
    if (!k.narrow_layers) return;
    test::Random random(16);
    double worst = 0;
    for (size_t frames = 1; frames <= kLongest; ++frames)
      for (const auto& [modes, film] : std::vector<std::pair<size_t, int>>{
               {1, 0}, {1, 1}, {1, 2}, {2, 0}, {2, 1}, {2, 2}, {4, 0}, {4, 1}, {4, 2}}) {
        NarrowNetwork network(k, random, frames % 2, modes);
        const Rows in = Rows::random(NarrowNetwork::kWidth, frames, random);
        ssm::NarrowRun run{network.arena.data(), frames, film > 0 ? network.base.data() : nullptr,
                           film > 1 ? network.slope.data() : nullptr, float(random.whole(1, 60))};
        const std::vector<double> expected = network.expected(run, in);
        AlignedFloats cut_arena = network.arena;
        Rows whole = in, cut = in;
        k.narrow_layers(network.layers, {&run, 1}, whole.data());
        CHECK(whole.guard_intact());
        run.arena = cut_arena.data();
        for (size_t begin = 0; begin < frames; begin += run.frames) {
          run.frames = std::min(size_t(random.whole(1, int(kLongest))), frames - begin);
          if (frames % 3 == 0) run.frames = 1;
          k.narrow_layers(network.layers, {&run, 1}, &cut.at(begin, 0));
          run.first += float(run.frames);
        }
        CHECK(test::same_bits(cut.floats, whole.floats));
        CHECK(test::same_bits(cut_arena, network.arena));
        double peak = 1;
        for (const double value : expected) peak = std::max(peak, std::abs(value));
        for (size_t i = 0; i < expected.size(); ++i)
          test::take_worst(worst, std::abs(whole.data()[i] - expected[i]) / peak);
      }
    // Each layer's states forget a rounding within ten frames, and its matrices pass errors on by at most 1.3 times.
    CHECK(worst <= kScanTolerance);
  });
}

TEST_CASE("layers of eight channels: two streams together have the same bits as each alone") {
  for_each_target([](const Kernels& k) {
    if (!k.narrow_layers) return;
    test::Random random(17);
    for (size_t frames = 1; frames <= kLongest; ++frames)
      for (const size_t modes : {1u, 2u, 4u})
        for (const int film : {0, 1, 2}) {
          NarrowNetwork network(k, random, frames % 2, modes), other(k, random, frames % 2, modes);
          const size_t second = frames % 5 == 0 ? frames + 1 : frames;
          ssm::NarrowRun runs[2] = {{network.arena.data(), frames, film > 0 ? network.base.data() : nullptr,
                                     film > 1 ? network.slope.data() : nullptr, 3},
                                    {other.arena.data(), second, film > 0 ? other.base.data() : nullptr,
                                     film > 1 && frames % 2 ? other.slope.data() : nullptr, 11}};
          AlignedFloats arena = network.arena, other_arena = other.arena;
          const Rows in = Rows::random(NarrowNetwork::kWidth, frames + second, random);
          Rows together = in, alone = in;
          k.narrow_layers(network.layers, std::span<const ssm::NarrowRun>(runs), together.data());
          CHECK(together.guard_intact());
          runs[0].arena = arena.data(), runs[1].arena = other_arena.data();
          k.narrow_layers(network.layers, {&runs[0], 1}, alone.data());
          k.narrow_layers(network.layers, {&runs[1], 1}, &alone.at(frames, 0));
          CHECK(test::same_bits(together.floats, alone.floats));
          CHECK(test::same_bits(network.arena, arena));
          CHECK(test::same_bits(other.arena, other_arena));
        }
  });
}

TEST_CASE("s4d: every number of frames, modes and channels, real and complex, the end state alone is the same") {
  for_each_target([](const Kernels& k) {
    test::Random random(10);
    double worst = 0, worst_state = 0;
    for (size_t n = 0; n <= kLongest; ++n) {
      for (const bool complex : {false, true}) {
        const size_t channels = n % 35 + 1, w = padded(channels), modes = n % 11 + 1, frames = n;
        const size_t total = modes * w;
        AlignedFloats z_re(total, 0.0f), z_im(total, 0.0f), c_re(total, 0.0f), c_im(total, 0.0f), h_re(total, 0.0f),
            h_im(total, 0.0f);
        for (size_t m = 0; m < modes; ++m)
          for (size_t c = 0; c < channels; ++c) {
            const size_t i = ssm::state_index(c, m, w, modes);
            const auto z = std::polar(random.uniform(0.1, 0.98), complex ? random.uniform(-3, 3) : 0.0);
            z_re[i] = static_cast<float>(z.real()), z_im[i] = static_cast<float>(z.imag());
            c_re[i] = static_cast<float>(random.normal()), h_re[i] = static_cast<float>(random.normal());
            if (complex) c_im[i] = static_cast<float>(random.normal()), h_im[i] = static_cast<float>(random.normal());
          }
        const AlignedFloats d = random_padded(channels, random);
        const Rows x = Rows::random(channels, frames, random, 1, ssm::kPad);
        Rows y(channels, frames);

        const AlignedFloats begin_re = h_re, begin_im = h_im;
        AlignedFloats state = h_re;
        if (complex) state.insert(state.end(), h_im.begin(), h_im.end());
        AlignedFloats end = state;
        const ssm::S4dKernel bank{
            w,       modes, z_re.data(), complex ? z_im.data() : nullptr, c_re.data(), complex ? c_im.data() : nullptr,
            d.data()};
        const ssm::Run run{frames, nullptr, state.data()}, end_run{frames, nullptr, end.data()};
        k.s4d(bank, {&run, 1}, x.data(), x.stride, y.data(), y.stride);
        k.s4d_end(bank, {&end_run, 1}, x.data(), x.stride);
        CHECK(test::same_bits(end, state));
        std::copy_n(state.begin(), total, h_re.begin());
        if (complex) std::copy_n(state.begin() + ptrdiff_t(total), total, h_im.begin());
        CHECK(y.guard_intact());

        for (size_t c = 0; c < channels; ++c) {
          std::vector<std::complex<double>> h(modes);
          std::vector<double> expected(frames);
          double peak = 1;
          for (size_t m = 0; m < modes; ++m)
            h[m] = {begin_re[ssm::state_index(c, m, w, modes)], begin_im[ssm::state_index(c, m, w, modes)]};
          for (size_t t = 0; t < frames; ++t) {
            expected[t] = static_cast<double>(d[c]) * x.at(t, c);
            double magnitude = std::abs(expected[t]);
            for (size_t m = 0; m < modes; ++m) {
              const size_t i = ssm::state_index(c, m, w, modes);
              expected[t] += (std::complex<double>(c_re[i], c_im[i]) * h[m]).real();
              magnitude += std::abs(h[m]) * (std::abs(c_re[i]) + std::abs(c_im[i]));
              h[m] = std::complex<double>(z_re[i], z_im[i]) * h[m] + static_cast<double>(x.at(t, c));
            }
            peak = std::max(peak, magnitude);
          }
          for (size_t t = 0; t < frames; ++t) test::take_worst(worst, std::abs(y.at(t, c) - expected[t]) / peak);
          for (size_t m = 0; m < modes; ++m) {
            const size_t i = ssm::state_index(c, m, w, modes);
            test::take_worst(worst_state,
                             std::abs(std::complex<double>(h_re[i], h_im[i]) - h[m]) / std::max(10.0, std::abs(h[m])));
          }
        }
      }
    }
    CHECK(worst <= kScanTolerance);
    CHECK(worst_state <= kScanTolerance);
  });
}

struct ScanErrors {
  double y = 0, state = 0;
};

// Compares outputs and states with the recurrence in float64. advance(t, c, s, state) makes the step of one state and
// returns its weight in the output.
template <class Advance>
void compare(size_t states, size_t width, const AlignedFloats& D, const Rows& u, const Rows& y,
             const AlignedFloats& begin, const AlignedFloats& end, ScanErrors& errors, const Advance& advance) {
  for (size_t c = 0; c < y.width; ++c) {
    std::vector<double> state(states), expected(y.frames);
    double peak = 1;
    for (size_t s = 0; s < states; ++s) state[s] = begin[ssm::state_index(c, s, width, states)];
    for (size_t t = 0; t < y.frames; ++t) {
      expected[t] = double(D[c]) * double(u.at(t, c));
      double magnitude = std::abs(expected[t]);
      for (size_t s = 0; s < states; ++s) {
        const double weight = advance(t, c, s, state[s]);
        expected[t] += weight * state[s];
        magnitude += std::abs(weight * state[s]);
      }
      peak = std::max(peak, magnitude);
    }
    for (size_t t = 0; t < y.frames; ++t) test::take_worst(errors.y, std::abs(y.at(t, c) - expected[t]) / peak);
    for (size_t s = 0; s < states; ++s)
      test::take_worst(errors.state, std::abs(end[ssm::state_index(c, s, width, states)] - state[s]) /
                                         std::max(5.0, std::abs(state[s])));
  }
}

TEST_CASE(
    "selective_scan: every number of frames, states and channels, B and C varying, constant and misaligned, the end "
    "state alone is the same") {
  for_each_target([](const Kernels& k) {
    test::Random random(11);
    ScanErrors errors;
    for (size_t n = 0; n <= kLongest; ++n) {
      const size_t channels = n % 35 + 1, w = padded(channels), states = n % 23 + 1, frames = n, misaligned = n % 4;
      const bool constant_b = n % 3 == 1, constant_c = n % 5 == 1;
      const size_t total = states * w;
      AlignedFloats a(total, 0.0f), h(total, 0.0f), b_constant(total, 0.0f), c_constant(total, 0.0f);
      for (size_t s = 0; s < states; ++s)
        for (size_t c = 0; c < channels; ++c) {
          const size_t i = ssm::state_index(c, s, w, states);
          a[i] = static_cast<float>(-random.uniform(1, 8));
          h[i] = static_cast<float>(random.normal());
          b_constant[i] = static_cast<float>(random.normal());
          c_constant[i] = static_cast<float>(random.normal());
        }
      const AlignedFloats d = random_padded(channels, random);
      Rows dt(channels, frames);
      const Rows u = Rows::random(channels, frames, random),
                 bc = Rows::random(2 * states, frames, random, 1, 0, misaligned);
      for (size_t t = 0; t < frames; ++t)
        for (size_t c = 0; c < channels; ++c) dt.at(t, c) = static_cast<float>(random.log_uniform(0.03, 2));
      const AlignedFloats begin = h;
      AlignedFloats end = h;
      Rows y(channels, frames, ssm::kPad);

      ssm::ScanKernel scan{};
      scan.channels = w, scan.d_state = states;
      scan.a = a.data(), scan.D = d.data(), scan.dt = dt.data(), scan.u = u.data(), scan.stride = dt.stride;
      scan.B = bc.data(), scan.C = bc.data() + states, scan.bc_stride = bc.stride;
      scan.B_constant = constant_b ? b_constant.data() : nullptr,
      scan.C_constant = constant_c ? c_constant.data() : nullptr;
      scan.y = y.data(), scan.y_stride = y.stride;
      const ssm::Run run{frames, nullptr, h.data()}, end_run{frames, nullptr, end.data()};
      k.selective_scan_end(scan, {&end_run, 1});
      k.selective_scan(scan, {&run, 1});
      CHECK(test::same_bits(end, h));
      CHECK(y.guard_intact());

      compare(states, w, d, u, y, begin, h, errors, [&](size_t t, size_t c, size_t s, double& state) {
        const size_t i = ssm::state_index(c, s, w, states);
        const double step = dt.at(t, c), b = constant_b ? b_constant[i] : bc.at(t, s);
        state = std::exp2(step * a[i]) * state + step * u.at(t, c) * b;
        return double(constant_c ? c_constant[i] : bc.at(t, states + s));
      });
    }
    CHECK(errors.y <= kScanTolerance);
    CHECK(errors.state <= kScanTolerance);
  });
}

TEST_CASE("ssd: every number of frames, states and channels, the end state alone is the same") {
  for_each_target([](const Kernels& k) {
    test::Random random(12);
    ScanErrors errors;
    for (size_t n = 0; n <= kLongest; ++n) {
      const size_t channels = n % 35 + 1, w = padded(channels), states = n % 23 + 1, frames = n, misaligned = n % 4;
      AlignedFloats h(states * w, 0.0f);
      for (size_t s = 0; s < states; ++s)
        for (size_t c = 0; c < channels; ++c)
          h[ssm::state_index(c, s, w, states)] = static_cast<float>(random.normal());
      const AlignedFloats d = random_padded(channels, random), begin = h;
      Rows dt(channels, frames), decay(channels, frames), u = Rows::random(channels, frames, random, 1, ssm::kPad);
      const Rows bc = Rows::random(2 * states, frames, random, 1, 0, misaligned);
      for (size_t t = 0; t < frames; ++t)
        for (size_t c = 0; c < channels; ++c) {
          dt.at(t, c) = static_cast<float>(random.log_uniform(0.03, 2));
          decay.at(t, c) = static_cast<float>(random.uniform(0.1, 0.98) - 1);
        }
      AlignedFloats end = h;
      Rows y(channels, frames, ssm::kPad);
      ssm::SsdKernel scan{};
      scan.channels = w, scan.d_state = states;
      scan.D = d.data(), scan.decay = decay.data(), scan.dt = dt.data(), scan.stride = scan.dt_stride = dt.stride,
      scan.u = u.data(), scan.u_stride = u.stride;
      scan.B = bc.data(), scan.C = bc.data() + states, scan.bc_stride = bc.stride;
      scan.y = y.data(), scan.y_stride = y.stride;
      const ssm::Run run{frames, nullptr, h.data()}, end_run{frames, nullptr, end.data()};
      k.ssd_end(scan, {&end_run, 1});
      k.ssd(scan, {&run, 1});
      CHECK(test::same_bits(end, h));
      CHECK(y.guard_intact());

      compare(states, w, d, u, y, begin, h, errors, [&](size_t t, size_t c, size_t s, double& state) {
        const double step = dt.at(t, c);
        state += decay.at(t, c) * state + step * u.at(t, c) * bc.at(t, s);
        return double(bc.at(t, states + s));
      });
    }
    CHECK(errors.y <= kScanTolerance);
    CHECK(errors.state <= kScanTolerance);
  });
}

TEST_CASE("ssd: heads that fill whole vectors give the same bits as their values spread over the channels") {
  for_each_target([](const Kernels& k) {
    test::Random random(14);
    for (const size_t headdim : {16, 32, 48})
      for (const size_t frames : {0, 1, 7, 64}) {
        const size_t heads = 3, w = heads * headdim, states = 21;
        const Rows u = Rows::random(w, frames, random), bc = Rows::random(2 * states, frames, random);
        const AlignedFloats d = random_padded(w, random);
        Rows dt(heads, frames), decay(heads, frames), channel_dt(w, frames), channel_decay(w, frames), y(w, frames),
            channel_y(w, frames);
        for (size_t t = 0; t < frames; ++t)
          for (size_t c = 0; c < w; ++c) {
            if (c % headdim == 0)
              dt.at(t, c / headdim) = float(random.log_uniform(0.03, 2)),
                           decay.at(t, c / headdim) = float(-random.uniform(0.02, 0.9));
            channel_dt.at(t, c) = dt.at(t, c / headdim), channel_decay.at(t, c) = decay.at(t, c / headdim);
          }
        AlignedFloats h(states * w, 0.5f), channel_h = h;
        const ssm::Run run{frames, nullptr, h.data()}, channel_run{frames, nullptr, channel_h.data()};
        k.ssd({w, states, 0, headdim, d.data(), decay.data(), dt.data(), u.data(), decay.stride, dt.stride, u.stride,
               bc.data(), bc.data() + states, bc.stride, y.data(), y.stride},
              {&run, 1});
        k.ssd({w, states, 0, 0, d.data(), channel_decay.data(), channel_dt.data(), u.data(), w, w, u.stride, bc.data(),
               bc.data() + states, bc.stride, channel_y.data(), channel_y.stride},
              {&channel_run, 1});
        CHECK(test::same_bits(h, channel_h));
        CHECK(test::same_bits(y.floats, channel_y.floats));
      }
  });
}

TEST_CASE("linear gives the same bits for any split of the frames") {
  // Streams rely on this; tests every kind of tile.
  for_each_target([](const Kernels& k) {
    test::Random random(13);
    const size_t frames = 61;
    for (const auto format : {ssm::WeightFormat::f32, ssm::WeightFormat::bf16, ssm::WeightFormat::int8})
      for (const size_t d_in : {8, 13, 40})
        for (const size_t d_out : {1, 3, 8, 16, 32, 64, 90, 150}) {
          std::vector<float> weight(d_in * d_out), scale(frames, 0.7f);
          for (float& w : weight) w = static_cast<float>(random.normal());
          std::vector<int> rows(d_out), columns(d_in);
          for (size_t i = 0; i < d_out; ++i) rows[i] = static_cast<int>(i);
          for (size_t i = 0; i < d_in; ++i) columns[i] = static_cast<int>(i);
          const auto packed = ssm::pack_linear(k, format, weight.data(), d_in, nullptr, rows, columns);
          const Rows x = Rows::random(d_in, frames, random);
          for (const float* factors : {static_cast<const float*>(nullptr), static_cast<const float*>(scale.data())}) {
            Rows whole(d_out, frames), cut(d_out, frames);
            k.linear(packed, factors, x.data(), x.stride, whole.data(), whole.stride, frames, false);
            size_t done = 0;
            for (const size_t n : test::random_blocks(frames, random)) {
              k.linear(packed, factors, x.data() + done * x.stride, x.stride, cut.data() + done * cut.stride,
                       cut.stride, n, false);
              done += n;
            }
            CHECK(test::same_bits(whole.floats, cut.floats));
          }
        }
  });
}

}  // namespace
