// Modified nodal analysis with companion models, and its reduction.
//
// A capacitor has i = g v - s, and an inductor likewise. The update of s depends on the integration rule:
//   trapezoidal: capacitor g = 2 C / h, s+ = 2 g v - s; inductor g = h / 2 L, s+ = s - 2 g v
//   backward Euler: capacitor g = C / h, s+ = g v; inductor g = h / L, s+ = s - g v
// The reduction is the nodal DK method (D. T. Yeh, "Digital Implementation of Musical Distortion Circuits by Analysis
// and Simulation", 2009, chapter 3).
#include "train/circuits/system.h"

#include <Eigen/Dense>

#include "base/error.h"

namespace coil::circuits {
namespace {

constexpr double kLeak = 1e-12;  // siemens from every node to ground, so that none floats

class Analysis {
 public:
  Analysis(const Circuit& circuit, double step_s, Rule rule)
      : circuit_(circuit),
        nodes_(circuit.nodes.size()),
        matrix_(Eigen::MatrixXd::Zero(Eigen::Index(unknowns()), Eigen::Index(unknowns()))) {
    for (size_t i = 0; i < nodes_; ++i) matrix_(Eigen::Index(i), Eigen::Index(i)) = kLeak;
    for (const Branch& r : circuit.resistors) conduct(r.a, r.b, 1 / r.value);
    const double trapezoid = rule == Rule::trapezoidal ? 2 : 1;
    for (const Branch& c : circuit.capacitors) add_state(c, trapezoid * c.value / step_s);
    for (const Branch& l : circuit.inductors) add_state(l, step_s / (trapezoid * l.value));
    for (const Controlled& g : circuit.conductances) {
      for (const auto& [row, sign] : {std::pair{g.a, 1.0}, {g.b, -1.0}}) {
        entry(row, g.c, sign * g.gain);
        entry(row, g.d, -sign * g.gain);
      }
    }
    add_rows();
  }

  System reduced(Rule rule) {
    const Eigen::PartialPivLU<Eigen::MatrixXd> lu(matrix_);
    const Eigen::Index n = matrix_.rows(), states = Eigen::Index(states_.size());
    System system;
    system.states = states_.size();
    for (const Part& part : circuit_.parts) {
      system.controls += part.controls.size();
      system.currents += part.currents.size();
    }
    Eigen::MatrixXd sides = Eigen::MatrixXd::Zero(n, Eigen::Index(system.columns()));
    for (Eigen::Index k = 0; k < states; ++k) inject(sides, k, states_[size_t(k)]->a, states_[size_t(k)]->b, 1);
    sides(Eigen::Index(nodes_), states) = 1;
    for (size_t i = 0; i < circuit_.sources.size(); ++i)
      sides(Eigen::Index(nodes_ + 1 + i), states + 1) = circuit_.sources[i].value;
    Eigen::Index column = states + 2;
    for (const Part& part : circuit_.parts)
      for (const auto& [a, b] : part.currents) inject(sides, column++, a, b, -1);
    const Eigen::MatrixXd x = lu.solve(sides);
    if (!x.allFinite()) throw Error("the circuit has no solution: a node floats, or sources contradict each other");

    using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    Rows m = Rows::Zero(Eigen::Index(system.rows()), Eigen::Index(system.columns()));
    Eigen::Index row = 0;
    for (const Part& part : circuit_.parts)
      for (const auto& [a, b] : part.controls) m.row(row++) = between(x, a, b);
    for (Eigen::Index k = 0; k < states; ++k, ++row) {
      const bool capacitor = size_t(k) < circuit_.capacitors.size();
      const double turn = rule == Rule::trapezoidal ? (capacitor ? -1 : 1) : (capacitor ? 0 : 1);
      const double gain = (rule == Rule::trapezoidal ? 2 : 1) * (capacitor ? 1 : -1);
      m.row(row) = gain * conductance_[size_t(k)] * between(x, states_[size_t(k)]->a, states_[size_t(k)]->b);
      m(row, k) += turn;
    }
    m.row(row) = between(x, circuit_.output, kGround);
    system.matrix.assign(m.data(), m.data() + m.size());
    system.conductance = conductance_;
    return system;
  }

 private:
  size_t unknowns() const {
    return nodes_ + 1 + circuit_.sources.size() + circuit_.amplifiers.size() + circuit_.op_amps.size() +
           circuit_.transformers.size();
  }

  void entry(int row, int column, double value) {
    if (row != kGround && column != kGround) matrix_(row, column) += value;
  }
  void conduct(int a, int b, double siemens) {
    entry(a, a, siemens);
    entry(b, b, siemens);
    entry(a, b, -siemens);
    entry(b, a, -siemens);
  }
  void add_state(const Branch& branch, double siemens) {
    conduct(branch.a, branch.b, siemens);
    states_.push_back(&branch);
    conductance_.push_back(siemens);
  }
  // A branch whose current is an unknown and flows through it from a to b.
  void carry(int row, int a, int b, double share = 1) {
    entry(a, row, share);
    entry(b, row, -share);
  }

  void add_rows() {
    int row = int(nodes_);
    const auto measure = [&](int a, int b, double gain) {
      entry(row, a, gain);
      entry(row, b, -gain);
    };
    carry(row, circuit_.input, kGround);
    measure(circuit_.input, kGround, 1);
    ++row;
    for (const Branch& v : circuit_.sources) {
      carry(row, v.a, v.b);
      measure(v.a, v.b, 1);
      ++row;
    }
    for (const Controlled& e : circuit_.amplifiers) {
      carry(row, e.a, e.b);
      measure(e.a, e.b, 1);
      measure(e.c, e.d, -e.gain);
      ++row;
    }
    for (const auto& [plus, minus, output] : circuit_.op_amps) {
      carry(row, output, kGround);
      measure(plus, minus, 1);
      ++row;
    }
    for (const Controlled& t : circuit_.transformers) {
      carry(row, t.a, t.b);
      carry(row, t.c, t.d, -t.gain);
      measure(t.a, t.b, 1);
      measure(t.c, t.d, -t.gain);
      ++row;
    }
  }

  static void inject(Eigen::MatrixXd& sides, Eigen::Index column, int a, int b, double sign) {
    if (a != kGround) sides(a, column) += sign;
    if (b != kGround) sides(b, column) -= sign;
  }
  static Eigen::RowVectorXd between(const Eigen::MatrixXd& x, int a, int b) {
    Eigen::RowVectorXd row = Eigen::RowVectorXd::Zero(x.cols());
    if (a != kGround) row += x.row(a);
    if (b != kGround) row -= x.row(b);
    return row;
  }

  const Circuit& circuit_;
  size_t nodes_;
  Eigen::MatrixXd matrix_;
  std::vector<const Branch*> states_;
  std::vector<double> conductance_;
};

}  // namespace

System reduce(const Circuit& circuit, double step_s, Rule rule) {
  return Analysis(circuit, step_s, rule).reduced(rule);
}

}  // namespace coil::circuits
