// Writes the circuit for ngspice: its own diodes, transistors and JFETs, and sources with equations for the other
// parts.
#include <cstdio>
#include <numbers>
#include <sstream>

#include "train/circuits/netlist.h"

namespace coil::circuits {
namespace {

class Deck {
 public:
  explicit Deck(const Circuit& circuit) : circuit_(circuit) {}

  std::string text(const TestWave& wave, double step_s, const std::string& output_file) {
    line("coil circuit");
    line("Vinput n_in 0 SIN(0 " + number(wave.volts) + " " + number(wave.hz) + " 0 " + number(wave.damping) + ")");
    for (const Branch& r : circuit_.resistors) branch("R", r);
    for (const Branch& c : circuit_.capacitors) branch("C", c);
    for (const Branch& l : circuit_.inductors) branch("L", l);
    for (const Branch& v : circuit_.sources) branch("V", v);
    for (const Controlled& g : circuit_.conductances) controlled("G", g);
    for (const Controlled& e : circuit_.amplifiers) controlled("E", e);
    for (const auto& [plus, minus, output] : circuit_.op_amps)
      line("Eop" + count() + " " + node(output) + " 0 " + node(plus) + " " + node(minus) + " 1e8");
    for (const Controlled& t : circuit_.transformers) transformer(t);
    for (const Part& p : circuit_.parts) part(p);
    line(".options reltol=1e-6 abstol=1e-8 vntol=1e-6 gmin=1e-14 method=trap itl4=200 trtol=1000 temp=27");
    line(".control\nset wr_singlescale\nset numdgt=14");
    line("tran " + number(step_s) + " " + number(wave.seconds) + " 0 " + number(step_s));
    line("wrdata " + output_file + " v(" + node(circuit_.output) + ")\n.endc\n.end");
    return text_.str();
  }

 private:
  static std::string number(double value) {
    char text[40];
    std::snprintf(text, sizeof text, "%.15g", value);
    return text;
  }
  void line(const std::string& text) { text_ << text << "\n"; }
  std::string count() { return std::to_string(++count_); }
  std::string node(int index) const {
    if (index == kGround) return "0";
    std::string name = "n_" + circuit_.nodes[size_t(index)];
    for (char& c : name)
      if (c == '.') c = '_';
    return name;
  }
  std::string volts(const std::array<int, 2>& between) const {
    return "(" + (between[0] == kGround ? "0" : "V(" + node(between[0]) + ")") +
           (between[1] == kGround ? "" : "-V(" + node(between[1]) + ")") + ")";
  }
  void branch(const char* kind, const Branch& b) {
    line(kind + count() + " " + node(b.a) + " " + node(b.b) + " " + number(b.value));
  }
  void controlled(const char* kind, const Controlled& c) {
    line(kind + count() + " " + node(c.a) + " " + node(c.b) + " " + node(c.c) + " " + node(c.d) + " " + number(c.gain));
  }
  // The primary's voltage follows the secondary's; the secondary's current follows the primary's.
  void transformer(const Controlled& t) {
    const std::string id = count(), inner = "nt" + id;
    line("Et" + id + " " + inner + " " + node(t.b) + " " + node(t.c) + " " + node(t.d) + " " + number(t.gain));
    line("Vt" + id + " " + node(t.a) + " " + inner + " 0");
    line("Ft" + id + " " + node(t.d) + " " + node(t.c) + " Vt" + id + " " + number(t.gain));
  }
  void current(const std::array<int, 2>& between, const std::string& equation) {
    line("B" + count() + " " + node(between[0]) + " " + node(between[1]) + " I=" + equation);
  }
  static std::string soft(const std::string& x) { return "ln(1+exp(min(" + x + ",300)))"; }
  static std::string grid(const std::string& v, double gg, double gx, double gc) {
    return number(gg) + "*exp(" + number(gx) + "*ln(" + soft(number(gc) + "*" + v) + "/" + number(gc) + "+1e-100))";
  }

  void part(const Part& p) {
    const auto& x = p.values;
    const std::string id = count();
    switch (p.kind) {
      case PartKind::diode:
      case PartKind::diode_pair: {
        const std::string a = node(p.controls[0][0]), b = node(p.controls[0][1]);
        line("D" + id + " " + a + " " + b + " m" + id);
        if (p.kind == PartKind::diode_pair) line("Dr" + id + " " + b + " " + a + " m" + id);
        line(".model m" + id + " D(IS=" + number(x[0]) + " N=" + number(x[1] / kThermalVolts) + ")");
        break;
      }
      case PartKind::bipolar:
        line("Q" + id + " " + node(p.controls[1][1]) + " " + node(p.controls[0][0]) + " " + node(p.controls[0][1]) +
             " m" + id);
        line(".model m" + id + (x[4] < 0 ? " PNP" : " NPN") + "(IS=" + number(x[0]) + " BF=" + number(x[1]) +
             " BR=" + number(x[2]) + ")");
        break;
      case PartKind::jfet:
        line("J" + id + " " + node(p.controls[1][1]) + " " + node(p.controls[0][0]) + " " + node(p.controls[0][1]) +
             " m" + id);
        line(".model m" + id + " NJF(VTO=" + number(x[0]) + " BETA=" + number(x[1]) + " LAMBDA=" + number(x[2]) +
             " IS=" + number(x[3]) + ")");
        break;
      case PartKind::tape:
        tape(p, id);
        break;
      default:
        by_equation(p);
    }
  }

  // The field is a node whose capacitor's current is its change, the magnetisation's share another capacitor's voltage.
  void tape(const Part& p, const std::string& id) {
    const auto& x = p.values;
    const std::string h = "h" + id, m = "share" + id, sense = "Vh" + id;
    const std::string coupling = number(x[4] * x[0]),
                      reach = "((V(" + h + ")+" + coupling + "*V(" + m + "))/" + number(x[1]) + ")";
    line("B" + h + " " + h + " 0 V=1e3*(" + volts(p.controls[0]) + "+" + volts(p.controls[1]) + "*sin(" +
         number(2 * std::numbers::pi * x[5]) + "*time))");
    line("C" + h + " " + h + " s" + h + " 1n");
    line(sense + " s" + h + " 0 0");
    line("Bx" + id + " x" + id + " 0 V=" + reach);
    const std::string at = "V(x" + id + ")", away = "sgn(" + at + ")*max(abs(" + at + "),0.05)",
                      near = "(abs(" + at + ")<0.05)";
    const std::string langevin = "(" + near + "?" + at + "/3-" + at + "^3/45:1/tanh(" + away + ")-1/(" + away + "))";
    const std::string slope =
        "(" + near + "?1/3-" + at + "^2/15:1/(" + away + ")^2-1/sinh(min(abs(" + away + "),300))^2)";
    line("Bg" + id + " g" + id + " 0 V=" + langevin + "-V(" + m + ")");
    line("Br" + id + " r" + id + " 0 V=" + number(x[3] / x[1]) + "*" + slope);
    const std::string gap = "V(g" + id + ")", back = "V(r" + id + ")", sign = "sgn(I(" + sense + "))";
    const std::string pinned = "(" + sign + "*" + number((1 - x[3]) * x[2]) + "-" + coupling + "*" + gap + ")";
    line("Bm" + id + " 0 " + m + " I=I(" + sense + ")*((" + sign + "*" + gap + ">0?" + number(1 - x[3]) + "*" + gap +
         "/" + pinned + ":0)+" + back + ")/(1-" + coupling + "*" + back + ")");
    line("C" + m + " " + m + " 0 1n");
    line("R" + m + " " + m + " 0 1e15");
    current(p.currents[0], "V(" + m + ")");
  }

  void by_equation(const Part& p) {
    const auto& x = p.values;
    const std::string v = volts(p.controls[0]);
    if (p.kind == PartKind::clamp) {
      current(p.currents[0], number(x[0]) + "*(exp(min((" + v + "-" + number(x[3]) + ")/" + number(x[1]) +
                                 ",200))-exp(min((" + number(x[2]) + "-" + v + ")/" + number(x[1]) + ",200)))");
    } else if (p.kind == PartKind::core) {
      current(p.currents[0], v + "/" + number(x[0]) + "*(1+(" + v + "/" + number(x[1]) + ")^8)");
    } else if (p.kind == PartKind::lamp) {
      current(p.currents[0], number(x[0]) + "*" + soft(v + "/" + number(x[0])));
    } else if (p.kind == PartKind::photo_resistor) {
      current(p.currents[0], v + "*(" + number(x[0]) + "+" + number(x[1]) + "*max(" + volts(p.controls[1]) + ",0))");
    } else if (p.kind == PartKind::triode) {
      current(p.currents[0], grid(v, x[5], x[6], x[7]));
      const std::string plate = "max(" + volts(p.controls[1]) + ",1e-3)";
      const std::string reach = plate + "/" + number(x[3]) + "*" +
                                soft("(" + number(x[3]) + "*(1/" + number(x[0]) + "+" + v + "/sqrt(" + number(x[4]) +
                                     "+" + plate + "*" + plate + ")))");
      current(p.currents[1], number(2 / x[2]) + "*exp(" + number(x[1]) + "*ln(" + reach + "+1e-100))");
    } else if (p.kind == PartKind::pentode) {
      current(p.currents[0], grid(v, x[6], x[7], x[8]));
      const std::string screen = "max(" + volts(p.controls[1]) + ",1)";
      const std::string flow = "exp(" + number(x[1]) + "*ln(" + screen + "/" + number(x[4]) + "*" +
                               soft("(" + number(x[4]) + "*(1/" + number(x[0]) + "+" + v + "/" + screen + "))") +
                               "+1e-100))";
      const std::string over = volts(p.controls[2]), knee = number(kKneeVolts);
      const std::string plate = "max(" + over + "," + knee + "*" + soft(over + "/" + knee) + ")";
      current(p.currents[1], flow + "/" + number(x[3]));
      current(p.currents[2], number(2 / x[2]) + "*" + flow + "*atan(" + plate + "/" + number(x[5]) + ")");
    }
  }

  static constexpr double kThermalVolts = 1.380649e-23 * 300.15 / 1.602176634e-19;
  const Circuit& circuit_;
  std::ostringstream text_;
  int count_ = 0;
};

}  // namespace

std::string spice_deck(const Circuit& circuit, const TestWave& wave, double step_s, const std::string& output_file) {
  return Deck(circuit).text(wave, step_s, output_file);
}

}  // namespace coil::circuits
