// Solves for the control voltages of the non-linear parts by Newton's method, step by step.
#include "train/circuits/solver.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "train/circuits/solver.cpp"
#include "hwy/foreach_target.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "hwy/highway.h"
#include "train/circuits/parts-inl.h"

#ifndef COIL_CIRCUITS_SOLVER_RUN
#define COIL_CIRCUITS_SOLVER_RUN
namespace coil::circuits {

constexpr size_t kMostControls = 24, kMostStates = 48;

constexpr size_t kTapeMemory = 3;  // values

// The buffers of run(); all except `parts` are interleaved by lane. In the search for the operating point, step_s is 0:
// the tape's bias does not advance.
struct Run {
  const std::vector<Part>* parts;
  size_t states, controls, currents;
  const double* matrix;
  double *state, *voltages, *before, *memory;
  double step_s;
};

}  // namespace coil::circuits
#endif

HWY_BEFORE_NAMESPACE();
namespace coil::circuits {
namespace HWY_NAMESPACE {

constexpr double kTolerance = 1e-5;  // volts; the remaining error is about its square over 0.1 V
constexpr int kMostRounds = 300;

// Above `knee`, the voltage of an exponential increases only by the logarithm of Newton's step.
struct Knee {
  double up = HUGE_VAL, up_volts = 1, down = -HUGE_VAL, down_volts = 1;
};

double knee_of(double amperes, double volts) { return volts * std::log(volts / (1.414 * amperes)); }

std::vector<Knee> knees_of(const std::vector<Part>& parts) {
  std::vector<Knee> knees;
  for (const Part& part : parts) {
    const auto& p = part.values;
    if (part.kind == PartKind::diode) {
      knees.push_back({knee_of(p[0], p[1]), p[1]});
    } else if (part.kind == PartKind::diode_pair) {
      knees.push_back({knee_of(p[0], p[1]), p[1], -knee_of(p[0], p[1]), p[1]});
    } else if (part.kind == PartKind::clamp) {
      knees.push_back({p[3], p[1], p[2], p[1]});
    } else if (part.kind == PartKind::bipolar || part.kind == PartKind::jfet) {
      const bool turned = part.kind == PartKind::bipolar && p[4] < 0;
      const double volts = part.kind == PartKind::jfet ? p[4] : p[3];
      const double knee = knee_of(part.kind == PartKind::jfet ? p[3] : p[0], volts);
      for (int k = 0; k < 2; ++k) knees.push_back(turned ? Knee{HUGE_VAL, 1, -knee, volts} : Knee{knee, volts});
    } else {
      knees.resize(knees.size() + part.controls.size());
    }
  }
  return knees;
}

Vec limited(const Knee& knee, Vec from, Vec to) {
  const Lanes d;
  if (knee.up < HUGE_VAL) {
    const Vec base = hn::Max(from, constant(knee.up)), volts = constant(knee.up_volts);
    const Mask far = hn::And(hn::Gt(to, base), hn::Gt(hn::Sub(to, base), hn::Add(volts, volts)));
    const Vec rise = hn::Max(hn::Div(hn::Sub(to, base), volts), constant(0));
    to = hn::IfThenElse(far, hn::MulAdd(volts, hn::Log1p(d, rise), base), to);
  }
  if (knee.down > -HUGE_VAL) {
    const Vec base = hn::Min(from, constant(knee.down)), volts = constant(knee.down_volts);
    const Mask far = hn::Gt(hn::Sub(base, to), hn::Add(volts, volts));
    const Vec fall = hn::Max(hn::Div(hn::Sub(base, to), volts), constant(0));
    to = hn::IfThenElse(far, hn::NegMulAdd(volts, hn::Log1p(d, fall), base), to);
  }
  return to;
}

// Newton's method for v = p + K i(v).
class Newton {
 public:
  explicit Newton(const Run& run) : run_(run), columns_(run.states + 2 + run.currents), knees_(knees_of(*run.parts)) {
    for (size_t q = 0; q < run.parts->size(); ++q)
      if ((*run.parts)[q].kind == PartKind::tape) tapes_.push_back(q);
    const auto at = [&](size_t i) { return hn::LoadU(Lanes(), run.memory + i * hn::Lanes(Lanes())); };
    for (size_t k = 0; k < tapes_.size(); ++k)
      memory_[k] = {at(kTapeMemory * k), at(kTapeMemory * k + 1), at(kTapeMemory * k + 2)};
  }

  // Ends a step: tapes keep their new state.
  void keep() {
    for (size_t k = 0; k < tapes_.size(); ++k) memory_[k] = next_[k];
  }

  void store_memory() const {
    const auto put = [&](size_t i, Vec x) { hn::StoreU(x, Lanes(), run_.memory + i * hn::Lanes(Lanes())); };
    for (size_t k = 0; k < tapes_.size(); ++k) {
      put(kTapeMemory * k, memory_[k].field);
      put(kTapeMemory * k + 1, memory_[k].share);
      put(kTapeMemory * k + 2, memory_[k].cycles);
    }
  }

  Vec limit(size_t control, Vec from, Vec to) const { return limited(knees_[control], from, to); }

  // Returns how many lanes did not converge. `v`: a guess, then the solution; `i`: the currents there.
  size_t solve(const Vec* p, Vec* v, Vec* i) {
    const Lanes d;
    for (int round = 0; round < kMostRounds; ++round) {
      linearise(p, v, i);
      eliminate();
      Vec most = constant(0);
      Vec moves[kMostControls];
      for (size_t r = 0; r < run_.controls; ++r) {
        const Vec to = limited(knees_[r], v[r], hn::NegMulAdd(constant(share(round)), side_[r], v[r]));
        moves[r] = hn::Sub(to, v[r]);
        most = hn::Max(most, hn::Abs(moves[r]));
        v[r] = to;
      }
      const Mask ended = hn::Lt(most, constant(kTolerance * share(round)));
      if (hn::AllTrue(d, ended) || round == kMostRounds - 1) {
        follow(moves, i);
        return hn::Lanes(d) - hn::CountTrue(d, ended);
      }
    }
    return 0;
  }

 private:
  // Where Newton's method oscillates, shorter steps converge.
  static double share(int round) { return round < 12 ? 1 : round < 40 ? 0.5 : round < 120 ? 0.2 : 0.05; }

  Vec gain(size_t row, size_t current) const {
    return hn::LoadU(Lanes(), run_.matrix + (row * columns_ + run_.states + 2 + current) * hn::Lanes(Lanes()));
  }

  // side = v - p - K i and matrix = 1 - K di/dv
  void linearise(const Vec* p, const Vec* v, Vec* i) {
    const size_t n = run_.controls;
    size_t control = 0, current = 0;
    for (size_t r = 0; r < n; ++r) side_[r] = hn::Sub(v[r], p[r]);
    for (size_t q = 0; q < run_.parts->size(); ++q) {
      const Part& part = (*run_.parts)[q];
      Response& response = responses_[q];
      if (part.kind == PartKind::tape) {
        const size_t k = size_t(std::find(tapes_.begin(), tapes_.end(), q) - tapes_.begin());
        tape(part, v + control, memory_[k], run_.step_s, response, next_[k]);
      } else {
        respond(part, v + control, response);
      }
      const size_t controls = part.controls.size(), currents = part.currents.size();
      for (size_t r = 0; r < n; ++r) {
        Vec row[kMostPorts];
        for (size_t c = 0; c < controls; ++c) row[c] = constant(r == control + c ? 1 : 0);
        for (size_t j = 0; j < currents; ++j) {
          const Vec k = gain(r, current + j);
          side_[r] = hn::NegMulAdd(k, response.i[j], side_[r]);
          for (size_t c = 0; c < controls; ++c) row[c] = hn::NegMulAdd(k, response.slope[j][c], row[c]);
        }
        for (size_t c = 0; c < controls; ++c) matrix_[r][control + c] = row[c];
      }
      for (size_t j = 0; j < currents; ++j) i[current + j] = response.i[j];
      control += controls, current += currents;
    }
  }

  // Computes side = matrix^-1 side. Passive parts have positive pivots, so no pivoting is needed.
  void eliminate() {
    const size_t n = run_.controls;
    for (size_t k = 0; k < n; ++k) {
      const Vec pivot = hn::Div(constant(1), matrix_[k][k]);
      for (size_t r = k + 1; r < n; ++r) {
        const Vec factor = hn::Mul(matrix_[r][k], pivot);
        for (size_t c = k + 1; c < n; ++c) matrix_[r][c] = hn::NegMulAdd(factor, matrix_[k][c], matrix_[r][c]);
        side_[r] = hn::NegMulAdd(factor, side_[k], side_[r]);
      }
      matrix_[k][k] = pivot;
    }
    for (size_t k = n; k-- > 0;) {
      for (size_t c = k + 1; c < n; ++c) side_[k] = hn::NegMulAdd(matrix_[k][c], side_[c], side_[k]);
      side_[k] = hn::Mul(side_[k], matrix_[k][k]);
    }
  }

  // The currents after the last update, by linear extrapolation.
  void follow(const Vec* moves, Vec* i) const {
    size_t control = 0, current = 0;
    for (size_t q = 0; q < run_.parts->size(); ++q) {
      const Part& part = (*run_.parts)[q];
      for (size_t j = 0; j < part.currents.size(); ++j)
        for (size_t c = 0; c < part.controls.size(); ++c)
          i[current + j] = hn::MulAdd(responses_[q].slope[j][c], moves[control + c], i[current + j]);
      control += part.controls.size(), current += part.currents.size();
    }
  }

  const Run& run_;
  size_t columns_;
  std::vector<Knee> knees_;
  std::vector<size_t> tapes_;  // their places among the parts
  TapeMemory memory_[kMostControls], next_[kMostControls];
  Response responses_[kMostControls];
  Vec matrix_[kMostControls][kMostControls], side_[kMostControls];
};

size_t RunSteps(const Run& run, const double* in, double* out, size_t steps) {
  const Lanes d;
  const size_t lanes = hn::Lanes(d), n = run.controls, states = run.states, columns = states + 2 + run.currents;
  const auto newton = std::make_unique<Newton>(run);
  Vec s[kMostStates], next[kMostStates], v[kMostControls], before[kMostControls], p[kMostControls], i[kMostControls];
  for (size_t k = 0; k < states; ++k) s[k] = hn::LoadU(d, run.state + k * lanes);
  for (size_t k = 0; k < n; ++k) {
    v[k] = hn::LoadU(d, run.voltages + k * lanes);
    before[k] = hn::LoadU(d, run.before + k * lanes);
  }
  // a row of the matrix over s, u and 1
  const auto linear = [&](size_t row, Vec u) {
    const double* m = run.matrix + row * columns * lanes;
    Vec sum = hn::MulAdd(hn::LoadU(d, m + states * lanes), u, hn::LoadU(d, m + (states + 1) * lanes));
    Vec more = hn::Zero(d);
    for (size_t k = 0; k + 1 < states; k += 2) {
      sum = hn::MulAdd(hn::LoadU(d, m + k * lanes), s[k], sum);
      more = hn::MulAdd(hn::LoadU(d, m + (k + 1) * lanes), s[k + 1], more);
    }
    if (states % 2) sum = hn::MulAdd(hn::LoadU(d, m + (states - 1) * lanes), s[states - 1], sum);
    return hn::Add(sum, more);
  };
  const auto with_currents = [&](size_t row, Vec sum) {
    const double* m = run.matrix + (row * columns + states + 2) * lanes;
    for (size_t j = 0; j < run.currents; ++j) sum = hn::MulAdd(hn::LoadU(d, m + j * lanes), i[j], sum);
    return sum;
  };
  size_t failures = 0;
  for (size_t t = 0; t < steps; ++t) {
    const Vec u = hn::LoadU(d, in + t * lanes);
    for (size_t r = 0; r < n; ++r) {
      p[r] = linear(r, u);
      const Vec guess = newton->limit(r, v[r], hn::Sub(hn::Add(v[r], v[r]), before[r]));
      before[r] = v[r];
      v[r] = guess;
    }
    failures += newton->solve(p, v, i);
    newton->keep();
    for (size_t k = 0; k < states; ++k) next[k] = with_currents(n + k, linear(n + k, u));
    hn::StoreU(with_currents(n + states, linear(n + states, u)), d, out + t * lanes);
    for (size_t k = 0; k < states; ++k) s[k] = next[k];
  }
  for (size_t k = 0; k < states; ++k) hn::StoreU(s[k], d, run.state + k * lanes);
  for (size_t k = 0; k < n; ++k) {
    hn::StoreU(v[k], d, run.voltages + k * lanes);
    hn::StoreU(before[k], d, run.before + k * lanes);
  }
  newton->store_memory();
  return failures;
}

size_t LaneCount() { return hn::Lanes(Lanes()); }

}  // namespace HWY_NAMESPACE
}  // namespace coil::circuits
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/error.h"
#include "train/circuits/system.h"

namespace coil::circuits {
namespace {

HWY_EXPORT(RunSteps);
HWY_EXPORT(LaneCount);

// Switches the supplies on with steps that grow to hours, by backward Euler, which damps everything that has not
// settled.
constexpr double kFirstStep = 1e-7, kLastStep = 1e4, kStepGrowth = 1.6;
constexpr size_t kLastSteps = 8;

std::vector<double> lane_by_lane(const std::vector<System>& systems) {
  std::vector<double> all(systems[0].matrix.size() * systems.size());
  for (size_t lane = 0; lane < systems.size(); ++lane)
    for (size_t i = 0; i < systems[lane].matrix.size(); ++i) all[i * systems.size() + lane] = systems[lane].matrix[i];
  return all;
}

std::vector<System> reduce_all(const std::vector<Circuit>& circuits, double step_s, Rule rule) {
  std::vector<System> systems;
  for (const Circuit& circuit : circuits) systems.push_back(reduce(circuit, step_s, rule));
  return systems;
}

}  // namespace

size_t lanes() { return HWY_DYNAMIC_DISPATCH(LaneCount)(); }

Solver::Solver(const std::vector<Circuit>& circuits, double step_s) : parts_(circuits.at(0).parts) {
  if (circuits.size() != lanes()) throw Error("as many circuits as lanes are needed");
  states_ = circuits[0].capacitors.size() + circuits[0].inductors.size();
  for (const Part& part : parts_) controls_ += part.controls.size(), currents_ += part.currents.size();
  if (states_ > kMostStates || controls_ > kMostControls || currents_ > kMostControls)
    throw Error("the circuit is too large: at most 48 capacitors and inductors, and 24 voltages of non-linear parts");
  find_rest(circuits, step_s);
}

void Solver::run(const double* in, double* out, size_t steps) {
  const Run run{&parts_,       states_,          controls_,      currents_,      matrix_.data(),
                state_.data(), voltages_.data(), before_.data(), memory_.data(), step_s_};
  failures_ += HWY_DYNAMIC_DISPATCH(RunSteps)(run, in, out, steps);
}

bool Solver::has_memory() const {
  return std::any_of(parts_.begin(), parts_.end(), [](const Part& part) { return part.kind == PartKind::tape; });
}

void Solver::find_rest(const std::vector<Circuit>& circuits, double step_s) {
  const size_t count = circuits.size(), capacitors = circuits[0].capacitors.size();
  state_.assign(states_ * count, 0);
  voltages_.assign(controls_ * count, 0);
  memory_.assign(kTapeMemory * parts_.size() * count, 0);
  std::vector<double> volts(states_ * count);  // of capacitors; amperes of inductors
  const std::vector<double> silence(count);
  rest_.assign(count, 0);
  const auto step = [&](double h) {
    const std::vector<System> systems = reduce_all(circuits, h, Rule::backward_euler);
    matrix_ = lane_by_lane(systems);
    const auto each = [&](auto&& action) {
      for (size_t k = 0; k < states_; ++k)
        for (size_t lane = 0; lane < count; ++lane)
          action(state_[k * count + lane], volts[k * count + lane], k < capacitors, systems[lane].conductance[k]);
    };
    each([](double& s, double v, bool capacitor, double g) { s = capacitor ? g * v : -v; });
    before_ = voltages_;  // no guess from a previous step
    failures_ = 0;
    run(silence.data(), rest_.data(), 1);
    each([](double s, double& v, bool capacitor, double g) { v = capacitor ? s / g : -s; });
  };
  for (double h = kFirstStep; h < kLastStep; h *= kStepGrowth) step(h);
  for (size_t i = 0; i < kLastSteps; ++i) step(kLastStep);
  if (failures_ > 0) throw Error("the circuit does not come to rest");
  const std::vector<System> systems = reduce_all(circuits, step_s, Rule::trapezoidal);
  matrix_ = lane_by_lane(systems);
  for (size_t k = 0; k < states_; ++k) {
    for (size_t lane = 0; lane < count; ++lane) {
      const double v = volts[k * count + lane];
      state_[k * count + lane] = k < capacitors ? systems[lane].conductance[k] * v : -v;
    }
  }
  before_ = voltages_;
  step_s_ = step_s;
}

}  // namespace coil::circuits
#endif
