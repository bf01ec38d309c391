// Reads netlist files: a device's parts and values, its knobs, and its levels. README.md describes the statements.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "train/circuits/circuit.h"

namespace coil::circuits {

struct NetlistKnob {
  std::string name;
  double min = 0, max = 10, default_value = 5;
};

// A node between parts that are learned and parts that are exact filters.
struct NetlistStage {
  std::string node;
  double peak_volts = 1;    // at digital full scale
  double high_pass_hz = 0;  // its output passes a one-pole high-pass, which the filter then leaves out
};

struct Statement {
  std::vector<std::string> words;
  int line = 0;
};

struct Netlist {
  std::filesystem::path path;
  double input_peak_volts = 0.5, output_peak_volts = 1;  // at digital full scale
  int oversampling = 16;
  std::string output_node = "out";
  double output_high_pass_hz = 0;  // 0: none
  std::vector<NetlistKnob> knobs;
  std::vector<Statement> statements;
  std::map<std::string, NetlistStage> stages;
  std::map<std::string, Statement> models;
};

// Throws Error that names file and line.
Netlist read_netlist(const std::filesystem::path& path);

// The same netlist with a stage of it as its output. Throws Error if there is no such stage.
Netlist at_stage(Netlist netlist, const std::string& name);

// With the knobs at `positions`, in the netlist's units and order.
Circuit build_circuit(const Netlist& netlist, const std::vector<double>& positions);

// The same circuit for ngspice, with steps of at most `step_s`, and a damped sine of `volts` at the input.
struct TestWave {
  double volts = 0.1, hz = 440, damping = 20, seconds = 0.01;
};
std::string spice_deck(const Circuit& circuit, const TestWave& wave, double step_s, const std::string& output_file);

}  // namespace coil::circuits
