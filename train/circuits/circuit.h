// A circuit in the solver's form: linear parts by kind, and non-linear parts, whose currents are functions of voltages.
#pragma once

#include <array>
#include <string>
#include <vector>

namespace coil::circuits {

constexpr int kGround = -1;
constexpr double kKneeVolts = 0.5;  // voltage range over which a pentode's plate current starts; Koren's model has an
                                    // edge there

// From node a to node b: a capacitor, an inductor, a voltage source and so on.
struct Branch {
  std::string name;
  int a = kGround, b = kGround;
  double value = 0;
};

// The quantity between a and b is `gain` times the voltage between c and d.
struct Controlled {
  std::string name;
  int a, b, c, d;
  double gain;
};

enum class PartKind { diode, diode_pair, clamp, bipolar, jfet, triode, pentode, core, photo_resistor, lamp, tape };

// A part whose currents are functions of its control voltages: instantaneous ones, except for the tape's, which has a
// memory. parts-inl.h has the equations.
struct Part {
  PartKind kind;
  std::string name;
  std::array<double, 10> values{};
  std::vector<std::array<int, 2>> controls;  // voltages between two nodes
  std::vector<std::array<int, 2>> currents;  // from the first node through the part to the second
};

struct Circuit {
  std::vector<std::string> nodes;
  std::vector<Branch> resistors, capacitors, inductors, sources;
  std::vector<Controlled> conductances;     // voltage-controlled current sources
  std::vector<Controlled> amplifiers;       // voltage-controlled voltage sources
  std::vector<std::array<int, 3>> op_amps;  // ideal: plus, minus, output
  std::vector<Controlled> transformers;     // ideal: v(a, b) = gain v(c, d)
  std::vector<Part> parts;
  int input = kGround, output = kGround;
};

}  // namespace coil::circuits
