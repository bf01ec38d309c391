// The equations of the non-linear parts, for many circuits in the vector lanes.
//
// diode, pair: Shockley. bipolar: Ebers and Moll 1954, transport form. jfet: Shichman and Hodges 1968, as SPICE's level
// 1. triode, pentode: N. Koren, "Improved vacuum tube models for SPICE simulations", 1996. Their grid: I. Cohen and T.
// Helie, "Measures and parameter estimation of triodes for the real-time simulation of a multi-stage guitar
// preamplifier", 2010. tape: D. C. Jiles and D. L. Atherton, "Theory of ferromagnetic hysteresis", 1986.
#if defined(COIL_CIRCUITS_PARTS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef COIL_CIRCUITS_PARTS_INL_H
#undef COIL_CIRCUITS_PARTS_INL_H
#else
#define COIL_CIRCUITS_PARTS_INL_H
#endif

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "train/circuits/circuit.h"

HWY_BEFORE_NAMESPACE();
namespace coil::circuits {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Lanes = hn::CappedTag<double, 8>;
using Vec = hn::Vec<Lanes>;
using Mask = hn::Mask<Lanes>;

constexpr double kMostExponent = 200;
constexpr int kMostPorts = 3;

inline Vec constant(double value) { return hn::Set(Lanes(), value); }

// A value and its slope.
struct Curve {
  Vec value, slope;
};

inline Curve exponential(Vec x) {
  const Vec y = hn::Exp(Lanes(), hn::Min(x, constant(kMostExponent)));
  return {y, y};
}

// ln(1 + e^x)
inline Curve softplus(Vec x) {
  const Vec small = hn::Exp(Lanes(), hn::Max(hn::Neg(hn::Abs(x)), constant(-600)));
  const Vec share = hn::Div(constant(1), hn::Add(constant(1), small));
  return {hn::Add(hn::Max(x, constant(0)), hn::Log1p(Lanes(), small)),
          hn::IfThenElse(hn::Ge(x, constant(0)), share, hn::Mul(small, share))};
}

inline Vec power(Vec x, double exponent) {
  return hn::Exp(Lanes(), hn::Mul(constant(exponent), hn::Log(Lanes(), hn::Max(x, constant(1e-100)))));
}

// i[j], and di[j]/dv[k] in slope[j][k]
struct Response {
  Vec i[kMostPorts];
  Vec slope[kMostPorts][kMostPorts];
};

inline void diode(const Part& part, const Vec* v, Response& r) {
  const double is = part.values[0], scale = 1 / part.values[1];
  const Curve e = exponential(hn::Mul(v[0], constant(scale)));
  r.i[0] = hn::MulSub(constant(is), e.value, constant(is));
  r.slope[0][0] = hn::Mul(constant(is * scale), e.slope);
}

inline void diode_pair(const Part& part, const Vec* v, Response& r) {
  const double is = part.values[0], scale = 1 / part.values[1];
  const Vec e = exponential(hn::Mul(v[0], constant(scale))).value;
  const Vec back = exponential(hn::Mul(v[0], constant(-scale))).value;
  r.i[0] = hn::Mul(constant(is), hn::Sub(e, back));
  r.slope[0][0] = hn::Mul(constant(is * scale), hn::Add(e, back));
}

// amperes, volts, lowest, highest: limits an op-amp's output to its rails
inline void clamp(const Part& part, const Vec* v, Response& r) {
  const double scale = 1 / part.values[1];
  const Vec above = exponential(hn::Mul(hn::Sub(v[0], constant(part.values[3])), constant(scale))).value;
  const Vec below = exponential(hn::Mul(hn::Sub(constant(part.values[2]), v[0]), constant(scale))).value;
  r.i[0] = hn::Mul(constant(part.values[0]), hn::Sub(above, below));
  r.slope[0][0] = hn::Mul(constant(part.values[0] * scale), hn::Add(above, below));
}

// is, bf, br, thermal volts, -1 for PNP; currents b-e and b-c
inline void bipolar(const Part& part, const Vec* v, Response& r) {
  const double is = part.values[0], bf = part.values[1], br = part.values[2], vt = part.values[3],
               sign = part.values[4];
  const Vec e = exponential(hn::Mul(v[0], constant(sign / vt))).value;
  const Vec c = exponential(hn::Mul(v[1], constant(sign / vt))).value;
  const Vec is_v = constant(sign * is), slope = constant(is / vt);
  const Vec transport = hn::Mul(is_v, hn::Sub(e, c));
  r.i[0] = hn::Add(transport, hn::Mul(hn::Mul(is_v, constant(1 / bf)), hn::Sub(e, constant(1))));
  r.i[1] = hn::Sub(hn::Mul(hn::Mul(is_v, constant(1 / br)), hn::Sub(c, constant(1))), transport);
  r.slope[0][0] = hn::Mul(hn::Mul(slope, e), constant(1 + 1 / bf));
  r.slope[0][1] = hn::Neg(hn::Mul(slope, c));
  r.slope[1][0] = hn::Neg(hn::Mul(slope, e));
  r.slope[1][1] = hn::Mul(hn::Mul(slope, c), constant(1 + 1 / br));
}

// vto, beta, lambda, is, thermal volts; controls g-s and g-d; currents g-s, g-d, d-s
inline void jfet(const Part& part, const Vec* v, Response& r) {
  const double vto = part.values[0], is = part.values[3], vt = part.values[4];
  const Vec zero = constant(0), beta = constant(part.values[1]), lambda = constant(part.values[2]);
  for (int k = 0; k < 2; ++k) {
    const Vec e = exponential(hn::Mul(v[k], constant(1 / vt))).value;
    r.i[k] = hn::Mul(constant(is), hn::Sub(e, constant(1)));
    for (int j = 0; j < 2; ++j) r.slope[k][j] = k == j ? hn::Mul(constant(is / vt), e) : zero;
  }
  // The end with the lower voltage acts as the source.
  const Vec vds = hn::Sub(v[0], v[1]);
  const Mask forward = hn::Ge(vds, zero);
  const Vec across = hn::Abs(vds), over = hn::Max(hn::Sub(hn::IfThenElse(forward, v[0], v[1]), constant(vto)), zero);
  const Mask linear = hn::Lt(across, over);
  const Vec reach = hn::IfThenElse(linear, across, over);
  const Vec shape = hn::Mul(reach, hn::Sub(hn::Add(over, over), reach));
  const Vec length = hn::MulAdd(lambda, across, constant(1));
  const Vec i = hn::Mul(hn::Mul(beta, shape), length);
  const Vec by_over = hn::Mul(hn::Mul(beta, length), hn::Add(reach, reach));
  const Vec by_across = hn::Mul(
      beta, hn::MulAdd(lambda, shape,
                       hn::IfThenElse(linear, hn::Mul(length, hn::Mul(constant(2), hn::Sub(over, across))), zero)));
  r.i[2] = hn::IfThenElse(forward, i, hn::Neg(i));
  // forward: i(over = vgs - vto, across = vgs - vgd); backward: -i(vgd - vto, vgd - vgs)
  r.slope[2][0] = hn::IfThenElse(forward, hn::Add(by_over, by_across), by_across);
  r.slope[2][1] = hn::IfThenElse(forward, hn::Neg(by_across), hn::Neg(hn::Add(by_over, by_across)));
}

// gg, gx, gc: i = gg (softplus(gc v) / gc)^gx
inline Curve grid_current(Vec v, double gg, double gx, double gc) {
  const Curve s = softplus(hn::Mul(v, constant(gc)));
  const Vec reach = hn::Mul(s.value, constant(1 / gc));
  const Vec i = hn::Mul(constant(gg), power(reach, gx));
  return {i, hn::Mul(hn::Mul(i, constant(gx)), hn::Div(s.slope, hn::Max(reach, constant(1e-100))))};
}

// mu, ex, kg1, kp, kvb, gg, gx, gc; controls and currents g-k, p-k
inline void triode(const Part& part, const Vec* v, Response& r) {
  const auto& p = part.values;
  const double mu = p[0], ex = p[1], kg1 = p[2], kp = p[3], kvb = p[4];
  const Curve grid = grid_current(v[0], p[5], p[6], p[7]);
  const Vec plate = hn::Max(v[1], constant(1e-3));
  const Vec root = hn::Sqrt(hn::MulAdd(plate, plate, constant(kvb)));
  const Vec x = hn::Mul(constant(kp), hn::Add(constant(1 / mu), hn::Div(v[0], root)));
  const Curve s = softplus(x);
  const Vec reach = hn::Mul(hn::Mul(plate, constant(1 / kp)), s.value);
  const Vec i = hn::Mul(constant(2 / kg1), power(reach, ex));
  const Vec by_reach = hn::Mul(constant(ex), hn::Div(i, hn::Max(reach, constant(1e-100))));
  const Vec by_grid = hn::Div(hn::Mul(plate, s.slope), root);
  const Vec by_plate =
      hn::Sub(hn::Mul(constant(1 / kp), s.value), hn::Mul(by_grid, hn::Div(hn::Mul(plate, v[0]), hn::Mul(root, root))));
  r.i[0] = grid.value;
  r.i[1] = i;
  r.slope[0][0] = grid.slope;
  r.slope[0][1] = constant(0);
  r.slope[1][0] = hn::Mul(by_reach, by_grid);
  r.slope[1][1] = hn::IfThenElse(hn::Gt(v[1], constant(1e-3)), hn::Mul(by_reach, by_plate), constant(0));
}

// atan, by three half-angle steps and a power series; error 1e-15.
inline Vec arc_tangent(Vec x) {
  Vec y = x;
  for (int k = 0; k < 3; ++k) y = hn::Div(y, hn::Add(constant(1), hn::Sqrt(hn::MulAdd(y, y, constant(1)))));
  const Vec q = hn::Mul(y, y);
  Vec sum = constant(-1.0 / 19);
  for (int odd = 17; odd >= 1; odd -= 2) sum = hn::MulAdd(sum, q, constant((odd % 4 == 1 ? 1.0 : -1.0) / odd));
  return hn::Mul(constant(8), hn::Mul(y, sum));
}

// mu, ex, kg1, kg2, kp, kvb, gg, gx, gc; controls and currents g-k, s-k, p-k
inline void pentode(const Part& part, const Vec* v, Response& r) {
  const auto& p = part.values;
  const double mu = p[0], ex = p[1], kg1 = p[2], kg2 = p[3], kp = p[4], kvb = p[5];
  const Curve grid = grid_current(v[0], p[6], p[7], p[8]);
  const Vec screen = hn::Max(v[1], constant(1));
  const Curve above = softplus(hn::Mul(v[2], constant(1 / kKneeVolts)));
  const Vec plate = hn::Mul(constant(kKneeVolts), above.value);
  const Mask screen_on = hn::Gt(v[1], constant(1));
  const Vec x = hn::Mul(constant(kp), hn::Add(constant(1 / mu), hn::Div(v[0], screen)));
  const Curve s = softplus(x);
  const Vec reach = hn::Mul(hn::Mul(screen, constant(1 / kp)), s.value);
  const Vec flow = power(reach, ex);
  const Vec by_reach = hn::Mul(constant(ex), hn::Div(flow, hn::Max(reach, constant(1e-100))));
  const Vec by_grid = hn::Mul(by_reach, s.slope);
  const Vec by_screen = hn::IfThenElse(
      screen_on,
      hn::Mul(by_reach, hn::Sub(hn::Mul(constant(1 / kp), s.value), hn::Div(hn::Mul(s.slope, v[0]), screen))),
      constant(0));
  const Vec knee = arc_tangent(hn::Mul(plate, constant(1 / kvb)));
  const Vec by_plate = hn::Div(hn::Mul(above.slope, constant(1 / kvb)),
                               hn::MulAdd(hn::Mul(plate, plate), constant(1 / (kvb * kvb)), constant(1)));
  // The screen's share of the same current.
  const Vec of_plate = hn::Mul(constant(2 / kg1), knee), of_screen = constant(1 / kg2);
  r.i[0] = grid.value;
  r.i[1] = hn::Mul(of_screen, flow);
  r.i[2] = hn::Mul(of_plate, flow);
  r.slope[0][0] = grid.slope;
  r.slope[0][1] = r.slope[0][2] = r.slope[1][2] = constant(0);
  r.slope[1][0] = hn::Mul(of_screen, by_grid);
  r.slope[1][1] = hn::Mul(of_screen, by_screen);
  r.slope[2][0] = hn::Mul(of_plate, by_grid);
  r.slope[2][1] = hn::Mul(of_plate, by_screen);
  r.slope[2][2] = hn::Mul(hn::Mul(constant(2 / kg1), flow), by_plate);
}

// henry, saturation; control: the flux
inline void core(const Part& part, const Vec* v, Response& r) {
  const double henry = part.values[0], saturation = part.values[1];
  const Vec x = hn::Mul(v[0], constant(1 / saturation)), x2 = hn::Mul(x, x), x4 = hn::Mul(x2, x2);
  const Vec x8 = hn::Mul(x4, x4);
  r.i[0] = hn::Mul(hn::Mul(v[0], constant(1 / henry)), hn::Add(constant(1), x8));
  r.slope[0][0] = hn::Mul(constant(1 / henry), hn::MulAdd(constant(9), x8, constant(1)));
}

// dark siemens, siemens per volt of light; controls: its own voltage, the light
inline void photo_resistor(const Part& part, const Vec* v, Response& r) {
  const Vec light = hn::Max(v[1], constant(0));
  const Vec siemens = hn::MulAdd(constant(part.values[1]), light, constant(part.values[0]));
  r.i[0] = hn::Mul(siemens, v[0]);
  r.slope[0][0] = siemens;
  r.slope[0][1] = hn::IfThenElse(hn::Gt(v[1], constant(0)), hn::Mul(constant(part.values[1]), v[0]), constant(0));
}

inline void lamp(const Part& part, const Vec* v, Response& r) {
  const Curve s = softplus(hn::Mul(v[0], constant(1 / part.values[0])));
  r.i[0] = hn::Mul(constant(part.values[0]), s.value);
  r.slope[0][0] = s.slope;
}

// The tape's memory after the last step: field, magnetisation as a share of its largest, phase of the bias in cycles.
struct TapeMemory {
  Vec field, share, cycles;
};

// Langevin's function, coth x - 1 / x, and its slope.
inline Curve langevin(Vec x) {
  const Vec one = constant(1), x2 = hn::Mul(x, x);
  const Vec far = hn::Max(hn::Abs(x), constant(0.05));
  const Vec e = hn::Exp(Lanes(), hn::Mul(constant(-2), far)), rest = hn::Sub(one, e), back = hn::Div(one, far);
  const Vec value = hn::Sub(hn::Div(hn::Add(one, e), rest), back);
  const Vec slope = hn::Sub(hn::Mul(back, back), hn::Div(hn::Mul(constant(4), e), hn::Mul(rest, rest)));
  const Mask near = hn::Lt(hn::Abs(x), constant(0.05));
  const Vec series = hn::NegMulAdd(x2, hn::NegMulAdd(x2, constant(2.0 / 945), constant(1.0 / 45)), constant(1.0 / 3));
  const Vec bend = hn::NegMulAdd(x2, hn::NegMulAdd(x2, constant(2.0 / 189), constant(1.0 / 15)), constant(1.0 / 3));
  return {hn::IfThenElse(near, hn::Mul(x, series), hn::CopySign(value, x)), hn::IfThenElse(near, bend, slope)};
}

// d share / d field for a field that moves in the direction `sign`; values: largest magnetisation, a, k, c, alpha.
inline Vec magnetise(const Part& part, Vec field, Vec share, Vec sign) {
  const double most = part.values[0], a = part.values[1], k = part.values[2], c = part.values[3];
  const double coupling = part.values[4] * most;
  const Curve l = langevin(hn::Mul(hn::MulAdd(constant(coupling), share, field), constant(1 / a)));
  const Vec gap = hn::Sub(l.value, share);
  const Vec pinned = hn::NegMulAdd(constant(coupling), gap, hn::Mul(constant((1 - c) * k), sign));
  const Mask moves = hn::Gt(hn::Mul(sign, gap), constant(0));
  const Vec irreversible = hn::IfThenElse(moves, hn::Div(hn::Mul(constant(1 - c), gap), pinned), constant(0));
  const Vec reversible = hn::Mul(constant(c / a), l.slope);
  return hn::Div(hn::Add(irreversible, reversible), hn::NegMulAdd(constant(coupling), reversible, constant(1)));
}

// Controls: the recorded field and the bias' amplitude, 1 V per kA/m; its frequency is the last value. The current is
// the magnetisation's share, in amperes. From the last step's field to this one's by Runge and Kutta's method.
inline void tape(const Part& part, const Vec* v, const TapeMemory& before, double step_s, Response& r,
                 TapeMemory& after) {
  after.cycles = hn::Add(before.cycles, constant(part.values[5] * step_s));
  after.cycles = hn::Sub(after.cycles, hn::Floor(after.cycles));
  const Vec swing = hn::Sin(Lanes(), hn::Mul(constant(2 * M_PI), after.cycles)), half = constant(0.5);
  after.field = hn::Mul(constant(1e3), hn::MulAdd(v[1], swing, v[0]));
  const Vec way = hn::Sub(after.field, before.field), sign = hn::CopySign(constant(1), way);
  const Vec middle = hn::MulAdd(half, way, before.field), half_way = hn::Mul(half, way);
  const Vec k1 = magnetise(part, before.field, before.share, sign);
  const Vec k2 = magnetise(part, middle, hn::MulAdd(half_way, k1, before.share), sign);
  const Vec k3 = magnetise(part, middle, hn::MulAdd(half_way, k2, before.share), sign);
  const Vec k4 = magnetise(part, after.field, hn::MulAdd(way, k3, before.share), sign);
  const Vec sum = hn::Add(hn::Add(k1, k4), hn::Mul(constant(2), hn::Add(k2, k3)));
  after.share = hn::MulAdd(hn::Mul(way, constant(1.0 / 6)), sum, before.share);
  r.i[0] = after.share;
  r.slope[0][0] = hn::Mul(constant(1e3), k4);
  r.slope[0][1] = hn::Mul(r.slope[0][0], swing);
}

inline void respond(const Part& part, const Vec* v, Response& r) {
  switch (part.kind) {
    case PartKind::diode:
      return diode(part, v, r);
    case PartKind::diode_pair:
      return diode_pair(part, v, r);
    case PartKind::clamp:
      return clamp(part, v, r);
    case PartKind::bipolar:
      return bipolar(part, v, r);
    case PartKind::jfet:
      return jfet(part, v, r);
    case PartKind::triode:
      return triode(part, v, r);
    case PartKind::pentode:
      return pentode(part, v, r);
    case PartKind::core:
      return core(part, v, r);
    case PartKind::photo_resistor:
      return photo_resistor(part, v, r);
    case PartKind::lamp:
      return lamp(part, v, r);
    case PartKind::tape:
      return;  // it has a memory: see tape()
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::circuits
HWY_AFTER_NAMESPACE();

#endif
