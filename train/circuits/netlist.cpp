// Reads netlist files and sets a circuit's knobs.
#include "train/circuits/netlist.h"

#include <charconv>
#include <cmath>
#include <fstream>
#include <sstream>

#include "base/error.h"

namespace coil::circuits {
namespace {

constexpr double kThermalVolts = 1.380649e-23 * 300.15 / 1.602176634e-19;
constexpr double kTrackEnd = 0.0005;  // share of a potentiometer's track that remains between wiper and end
constexpr double kRailAmperes = 1e-3, kRailVolts = 0.05;

// "4.7k": a number with p, n, u, m, k or M for 1e-12 ... 1e6.
bool parse_value(const std::string& text, double& value) {
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || !std::isfinite(value)) return false;
  const std::string unit(stop, text.data() + text.size());
  static const std::map<std::string, double> units = {{"", 1},     {"p", 1e-12}, {"n", 1e-9}, {"u", 1e-6},
                                                      {"m", 1e-3}, {"k", 1e3},   {"M", 1e6}};
  const auto found = units.find(unit);
  if (found == units.end()) return false;
  value *= found->second;
  return true;
}

// The wiper's position on the track, from the bottom, for a turn of 0 to 1.
double taper(const std::string& name, double turn, const std::string& where) {
  const auto audio = [](double x, double half) {
    const double root = 1 / half - 1;
    return (std::pow(root, 2 * x) - 1) / (root * root - 1);
  };
  if (name == "linear") return turn;
  if (name == "audio") return audio(turn, 0.15);
  if (name == "audio10") return audio(turn, 0.1);
  if (name == "audio30") return audio(turn, 0.3);
  if (name == "reverse") return 1 - audio(1 - turn, 0.15);
  if (name == "s") return turn * turn * (3 - 2 * turn);
  throw Error(where + ": the taper must be linear, audio, audio10, audio30, reverse or s, found '" + name + "'");
}

class Builder {
 public:
  Builder(const Netlist& netlist, const std::vector<double>& positions) : netlist_(netlist), positions_(positions) {}

  Circuit build() {
    if (positions_.size() != netlist_.knobs.size())
      throw Error(netlist_.path.string() + ": has " + std::to_string(netlist_.knobs.size()) + " knobs, " +
                  std::to_string(positions_.size()) + " positions were given");
    circuit_.input = node("in");
    for (const Statement& statement : netlist_.statements) add(statement);
    const size_t known = circuit_.nodes.size();
    circuit_.output = node(netlist_.output_node);
    if (circuit_.nodes.size() != known)
      throw Error(netlist_.path.string() + ": no part is at the node '" + netlist_.output_node + "'");
    return std::move(circuit_);
  }

 private:
  int node(const std::string& name) {
    if (name == "0") return kGround;
    for (size_t i = 0; i < circuit_.nodes.size(); ++i)
      if (circuit_.nodes[i] == name) return int(i);
    circuit_.nodes.push_back(name);
    return int(circuit_.nodes.size()) - 1;
  }

  std::string where() const { return netlist_.path.string() + ": line " + std::to_string(now_->line); }
  const std::string& word(size_t i) const {
    if (i >= now_->words.size()) throw Error(where() + ": " + now_->words[0] + " needs more words");
    return now_->words[i];
  }
  int at(size_t i) { return node(word(i)); }
  double value(size_t i) const {
    double found = 0;
    if (!parse_value(word(i), found)) throw Error(where() + ": a value is needed, found '" + word(i) + "'");
    return found;
  }
  double turn(size_t i) const {
    for (size_t k = 0; k < netlist_.knobs.size(); ++k) {
      const NetlistKnob& knob = netlist_.knobs[k];
      if (knob.name == word(i)) return (positions_[k] - knob.min) / (knob.max - knob.min);
    }
    throw Error(where() + ": there is no knob '" + word(i) + "'");
  }

  // Values of the model named by word `i`, in the order of `names`.
  std::vector<double> model(size_t i, const std::vector<std::string>& names) const {
    const auto found = netlist_.models.find(word(i));
    if (found == netlist_.models.end()) throw Error(where() + ": there is no model '" + word(i) + "'");
    std::vector<double> values;
    for (const std::string& name : names) {
      double value = NAN;
      for (const std::string& w : found->second.words)
        if (w.starts_with(name + "=") && !parse_value(w.substr(name.size() + 1), value))
          throw Error(where() + ": model '" + word(i) + "': " + w + " has no value");
      if (std::isnan(value)) throw Error(where() + ": model '" + word(i) + "' has no " + name);
      values.push_back(value);
    }
    return values;
  }

  void part(PartKind kind, const std::vector<double>& values, std::vector<std::array<int, 2>> controls,
            std::vector<std::array<int, 2>> currents) {
    Part part{kind, word(0) + "_" + word(1), {}, std::move(controls), std::move(currents)};
    std::copy(values.begin(), values.end(), part.values.begin());
    circuit_.parts.push_back(std::move(part));
  }

  void add(const Statement& statement) {
    now_ = &statement;
    const std::string& kind = word(0);
    const std::string name = kind + "_" + word(1);
    if (kind == "R")
      circuit_.resistors.push_back({name, at(2), at(3), value(4)});
    else if (kind == "C")
      circuit_.capacitors.push_back({name, at(2), at(3), value(4)});
    else if (kind == "L")
      circuit_.inductors.push_back({name, at(2), at(3), value(4)});
    else if (kind == "V")
      circuit_.sources.push_back({name, at(2), at(3), value(4)});
    else if (kind == "pot")
      add_potentiometer(name);
    else if (kind == "rheostat")
      circuit_.resistors.push_back({name, at(2), at(3), value(4) * (kTrackEnd + taper(word(5), turn(6), where()))});
    else if (kind == "follower")
      circuit_.amplifiers.push_back({name, at(3), kGround, at(2), kGround, now_->words.size() > 4 ? value(4) : 1});
    else if (kind == "amplifier")
      circuit_.amplifiers.push_back({name, at(4), kGround, at(2), at(3), value(5)});
    else if (kind == "conductance")
      circuit_.conductances.push_back({name, at(2), at(3), at(4), at(5), value(6)});
    else if (kind == "transformer")
      circuit_.transformers.push_back({name, at(2), at(3), at(4), at(5), value(6)});
    else if (kind == "opamp")
      add_op_amp(name);
    else
      add_part(kind);
  }

  // top wiper bottom ohm taper knob
  void add_potentiometer(const std::string& name) {
    const double ohm = value(5), share = taper(word(6), turn(7), where());
    circuit_.resistors.push_back({name + "_top", at(2), at(3), ohm * (kTrackEnd + 1 - share)});
    circuit_.resistors.push_back({name + "_bottom", at(3), at(4), ohm * (kTrackEnd + share)});
  }

  // plus minus output: ideal. With gain, bandwidth in Hz and the output limits: one pole and soft rails.
  void add_op_amp(const std::string& name) {
    if (now_->words.size() <= 5) {
      circuit_.op_amps.push_back({at(2), at(3), at(4)});
      return;
    }
    const int inner = node(name + ".inner");
    circuit_.conductances.push_back({name + "_in", kGround, inner, at(2), at(3), 1});
    circuit_.resistors.push_back({name + "_gain", inner, kGround, value(5)});
    circuit_.capacitors.push_back({name + "_pole", inner, kGround, 1 / (2 * M_PI * value(6))});
    circuit_.amplifiers.push_back({name + "_out", at(4), kGround, inner, kGround, 1});
    part(PartKind::clamp, {kRailAmperes, kRailVolts, value(7), value(8)}, {{inner, kGround}}, {{inner, kGround}});
  }

  void add_part(const std::string& kind) {
    if (kind == "diode" || kind == "pair") {
      std::vector<double> values = model(4, {"is", "n"});
      values[1] *= kThermalVolts;
      part(kind == "pair" ? PartKind::diode_pair : PartKind::diode, values, {{at(2), at(3)}}, {{at(2), at(3)}});
    } else if (kind == "npn" || kind == "pnp") {
      const int c = at(2), b = at(3), e = at(4);
      std::vector<double> values = model(5, {"is", "bf", "br"});
      values.insert(values.end(), {kThermalVolts, kind == "pnp" ? -1.0 : 1.0});
      part(PartKind::bipolar, values, {{b, e}, {b, c}}, {{b, e}, {b, c}});
    } else if (kind == "jfet") {
      const int d = at(2), g = at(3), s = at(4);
      std::vector<double> values = model(5, {"vto", "beta", "lambda", "is"});
      values.push_back(kThermalVolts);
      part(PartKind::jfet, values, {{g, s}, {g, d}}, {{g, s}, {g, d}, {d, s}});
    } else if (kind == "triode") {
      const int p = at(2), g = at(3), k = at(4);
      part(PartKind::triode, model(5, {"mu", "ex", "kg1", "kp", "kvb", "gg", "gx", "gc"}), {{g, k}, {p, k}},
           {{g, k}, {p, k}});
    } else if (kind == "pentode") {
      const int p = at(2), s = at(3), g = at(4), k = at(5);
      part(PartKind::pentode, model(6, {"mu", "ex", "kg1", "kg2", "kp", "kvb", "gg", "gx", "gc"}),
           {{g, k}, {s, k}, {p, k}}, {{g, k}, {s, k}, {p, k}});
    } else if (kind == "core") {
      add_core();
    } else if (kind == "lamp") {
      // from to volts: a current of softplus(V / volts) * volts into `to`, where V is the voltage of node `from`
      part(PartKind::lamp, {value(4)}, {{at(2), kGround}}, {{kGround, at(3)}});
    } else if (kind == "photoresistor") {
      // a b control dark_siemens siemens_per_volt
      part(PartKind::photo_resistor, {value(5), value(6)}, {{at(2), at(3)}, {at(4), kGround}}, {{at(2), at(3)}});
    } else if (kind == "tape") {
      // field bias out model
      part(PartKind::tape, model(5, {"ms", "a", "k", "c", "alpha", "hz"}), {{at(2), kGround}, {at(3), kGround}},
           {{kGround, at(4)}});
    } else {
      throw Error(where() + ": there is no part '" + kind + "'");
    }
  }

  // a b henry saturation_weber: i = flux / henry (1 + (flux / saturation)^8). The flux is a capacitor's voltage.
  void add_core() {
    const int flux = node(word(0) + "_" + word(1) + ".flux");
    circuit_.conductances.push_back({word(1) + "_flux", kGround, flux, at(2), at(3), 1});
    circuit_.capacitors.push_back({word(1) + "_integral", flux, kGround, 1});
    part(PartKind::core, {value(4), value(5)}, {{flux, kGround}}, {{at(2), at(3)}});
  }

  const Netlist& netlist_;
  const std::vector<double>& positions_;
  Circuit circuit_;
  const Statement* now_ = nullptr;
};

double number_in(const Netlist& netlist, const Statement& statement, size_t i) {
  double value = 0;
  if (i >= statement.words.size() || !parse_value(statement.words[i], value))
    throw Error(netlist.path.string() + ": line " + std::to_string(statement.line) + ": " + statement.words[0] +
                " needs a value");
  return value;
}

}  // namespace

Netlist read_netlist(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) throw Error(path.string() + ": cannot be opened");
  Netlist netlist;
  netlist.path = path;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    std::istringstream text(line.substr(0, line.find('#')));
    Statement statement{{}, number};
    for (std::string word; text >> word;) statement.words.push_back(word);
    if (statement.words.empty()) continue;
    const std::string& kind = statement.words[0];
    if (kind == "input_volts")
      netlist.input_peak_volts = number_in(netlist, statement, 1);
    else if (kind == "output_volts")
      netlist.output_peak_volts = number_in(netlist, statement, 1);
    else if (kind == "oversampling")
      netlist.oversampling = int(number_in(netlist, statement, 1));
    else if (kind == "knob")
      netlist.knobs.push_back({statement.words.at(1), number_in(netlist, statement, 2),
                               number_in(netlist, statement, 3), number_in(netlist, statement, 4)});
    else if (kind == "stage" && statement.words.size() > 2)
      netlist.stages[statement.words[1]] = {statement.words[2], number_in(netlist, statement, 3),
                                            statement.words.size() > 4 ? number_in(netlist, statement, 4) : 0};
    else if (kind == "model" && statement.words.size() > 1)
      netlist.models[statement.words[1]] = statement;
    else
      netlist.statements.push_back(std::move(statement));
  }
  return netlist;
}

Netlist at_stage(Netlist netlist, const std::string& name) {
  const auto found = netlist.stages.find(name);
  if (found == netlist.stages.end()) throw Error(netlist.path.string() + ": there is no stage '" + name + "'");
  netlist.output_node = found->second.node;
  netlist.output_peak_volts = found->second.peak_volts;
  netlist.output_high_pass_hz = found->second.high_pass_hz;
  return netlist;
}

Circuit build_circuit(const Netlist& netlist, const std::vector<double>& positions) {
  return Builder(netlist, positions).build();
}

}  // namespace coil::circuits
