// `circuit`: makes dry sound, renders a device's output for a table of takes, and writes input for a check with
// ngspice.
#include <sndfile.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "train/circuits/dry.h"
#include "train/circuits/netlist.h"
#include "train/circuits/rendering.h"
#include "train/circuits/solver.h"

namespace coil::circuits {
namespace {

namespace fs = std::filesystem;
constexpr int kRateHz = 48000;

std::vector<float> read_sound(const fs::path& path) {
  SF_INFO info{};
  SNDFILE* file = sf_open(path.c_str(), SFM_READ, &info);
  if (!file) throw Error(path.string() + ": " + sf_strerror(nullptr));
  std::vector<float> sound(static_cast<size_t>(info.frames));
  const bool fits = info.channels == 1 && info.samplerate == kRateHz;
  const bool read = fits && sf_readf_float(file, sound.data(), info.frames) == info.frames;
  sf_close(file);
  if (!fits) throw Error(path.string() + ": must be mono at 48 kHz");
  if (!read) throw Error(path.string() + ": cannot be read to its end");
  return sound;
}

void write_sound(const fs::path& path, const std::vector<float>& sound) {
  SF_INFO info{0, kRateHz, 1, SF_FORMAT_WAV | SF_FORMAT_FLOAT, 0, 0};
  SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
  const auto frames = sf_count_t(sound.size());
  const bool written = file && sf_writef_float(file, sound.data(), frames) == frames;
  if (file) sf_close(file);
  if (!written) throw Error(path.string() + ": cannot be written");
}

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  std::istringstream text(line);
  for (std::string cell; std::getline(text, cell, ',');) cells.push_back(cell);
  return cells;
}

// Knobs that are not set have their defaults.
std::vector<double> positions_of(const Netlist& netlist, const std::map<std::string, double>& set) {
  std::vector<double> positions;
  for (const NetlistKnob& knob : netlist.knobs) {
    const auto found = set.find(knob.name);
    positions.push_back(found == set.end() ? knob.default_value : found->second);
  }
  for (const auto& [name, value] : set) {
    const auto known = [&](const NetlistKnob& knob) { return knob.name == name; };
    if (std::none_of(netlist.knobs.begin(), netlist.knobs.end(), known))
      throw Error(netlist.path.string() + ": has no knob '" + name + "'");
  }
  return positions;
}

std::map<std::string, double> parse_settings(const std::vector<std::string>& texts) {
  std::map<std::string, double> set;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos) throw Error("--set: '" + text + "' must be as in drive=5");
    set[text.substr(0, equals)] = std::stod(text.substr(equals + 1));
  }
  return set;
}

// Makes the wet files of a table with the columns wet, dry and knobs, as in `coil capture --table`.
void render_table(const fs::path& netlist_path, const std::string& stage, const fs::path& table, size_t threads) {
  const Netlist netlist = stage.empty() ? read_netlist(netlist_path) : at_stage(read_netlist(netlist_path), stage);
  std::ifstream file(table);
  if (!file) throw Error(table.string() + ": cannot be opened");
  std::string line;
  std::getline(file, line);
  const std::vector<std::string> head = cells_of(line);
  std::vector<Job> jobs;
  std::vector<fs::path> outputs;
  while (std::getline(file, line)) {
    const std::vector<std::string> cells = cells_of(line);
    if (cells.size() != head.size()) throw Error(table.string() + ": a row is not as long as the head");
    std::map<std::string, double> set;
    Job job;
    for (size_t i = 0; i < head.size(); ++i) {
      if (head[i] == "wet")
        outputs.push_back(table.parent_path() / cells[i]);
      else if (head[i] == "dry")
        job.dry = read_sound(table.parent_path() / cells[i]);
      else
        set[head[i]] = std::stod(cells[i]);
    }
    job.positions = positions_of(netlist, set);
    jobs.push_back(std::move(job));
  }
  const auto begin = std::chrono::steady_clock::now();
  const size_t failures = render(netlist, jobs, threads);
  double frames = 0, peak = 0;
  for (size_t i = 0; i < jobs.size(); ++i) {
    write_sound(outputs[i], jobs[i].wet);
    frames += double(jobs[i].wet.size());
    for (const float x : jobs[i].wet) peak = std::max(peak, std::abs(double(x)));
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("%s: %zu takes, %.0f s of sound in %.1f s, peak %.3f, %zu steps did not converge\n",
              netlist_path.filename().c_str(), jobs.size(), frames / kRateHz, seconds, peak, failures);
  if (double(failures) > 1e-6 * frames * netlist.oversampling)
    throw Error(netlist_path.string() + ": too many steps did not converge");
}

void make_dry(const std::vector<std::string>& recordings, double share, double half_speed_share, uint32_t seed,
              size_t count, double seconds, const fs::path& folder) {
  std::vector<std::vector<float>> sounds;
  for (const std::string& path : recordings) sounds.push_back(read_sound(path));
  const std::vector<std::vector<float>> takes = make_material(sounds, share, half_speed_share, seed, count, seconds);
  fs::create_directories(folder);
  for (size_t i = 0; i < takes.size(); ++i) {
    char name[32];
    std::snprintf(name, sizeof name, "dry_%03zu.wav", i + 1);
    write_sound(folder / name, takes[i]);
  }
}

void print_info(const fs::path& path) {
  const Netlist netlist = read_netlist(path);
  nlohmann::ordered_json json = {{"input_volts", netlist.input_peak_volts},
                                 {"output_volts", netlist.output_peak_volts},
                                 {"oversampling", netlist.oversampling},
                                 {"knobs", nlohmann::ordered_json::array()}};
  for (const NetlistKnob& knob : netlist.knobs)
    json["knobs"].push_back(
        {{"name", knob.name}, {"min", knob.min}, {"max", knob.max}, {"default", knob.default_value}});
  std::vector<double> positions = positions_of(netlist, {});
  const Circuit circuit = build_circuit(netlist, positions);
  Solver solver(std::vector<Circuit>(lanes(), circuit), 1e-6);
  json["rest_volts"] = solver.rest(0);
  std::printf("%s\n", json.dump(2).c_str());
}

// Writes a damped sine through the solver alone, in volts as raw doubles, and the ngspice deck for the same.
void make_wave(const fs::path& path, const std::vector<std::string>& settings, const TestWave& wave, double rate_hz,
               const fs::path& output, const fs::path& deck) {
  const Netlist netlist = read_netlist(path);
  const Circuit circuit = build_circuit(netlist, positions_of(netlist, parse_settings(settings)));
  if (!deck.empty()) std::ofstream(deck) << spice_deck(circuit, wave, 0.5 / rate_hz, deck.string() + ".out");
  const size_t count = lanes(), steps = size_t(wave.seconds * rate_hz);
  Solver solver(std::vector<Circuit>(count, circuit), 1 / rate_hz);
  std::vector<double> in(steps * count), out(steps * count);
  for (size_t i = 0; i < in.size(); ++i) {
    const double t = double(i / count + 1) / rate_hz;  // the step from the operating point
    in[i] = wave.volts * std::exp(-wave.damping * t) * std::sin(2 * M_PI * wave.hz * t);
  }
  solver.run(in.data(), out.data(), steps);
  std::ofstream file(output, std::ios::binary);
  for (size_t i = 0; i < out.size(); i += count) file.write(reinterpret_cast<const char*>(&out[i]), sizeof(double));
  if (!file || solver.failures() > 0) throw Error(std::to_string(solver.failures()) + " steps did not converge");
}

}  // namespace
}  // namespace coil::circuits

int main(int argc, char** argv) {
  using namespace coil::circuits;
  CLI::App app("Simulated circuits: sound to learn devices from");
  app.require_subcommand(1);
  std::string netlist, table, folder, output, deck, stage;
  std::vector<std::string> recordings, settings;
  size_t threads = std::max(1u, std::thread::hardware_concurrency()), count = 1;
  uint32_t seed = 1;
  double seconds = 8, rate_hz = 1.536e6, share = 0.5, half_speed_share = 0;
  TestWave wave;

  CLI::App* info = app.add_subcommand("info", "Print a netlist's levels, knobs and resting output as JSON");
  info->add_option("netlist", netlist)->required();
  CLI::App* render = app.add_subcommand("render", "Make the wet files of a table (wet, dry, knobs)");
  render->add_option("netlist", netlist)->required();
  render->add_option("table", table)->required();
  render->add_option("--threads", threads);
  render->add_option("--stage", stage, "Hear a stage of the netlist in place of its output");
  CLI::App* dry = app.add_subcommand("dry", "Make dry takes dry_001.wav ... to learn from");
  dry->add_option("folder", folder)->required();
  dry->add_option("--recordings", recordings, "Mono sound at 48 kHz to cut from");
  dry->add_option("--recorded-share", share, "How much is cut from recordings; the rest is synthetic");
  dry->add_option("--half-speed-share", half_speed_share, "How much of what is cut is played at half speed");
  dry->add_option("--seed", seed);
  dry->add_option("--count", count);
  dry->add_option("--seconds", seconds);
  CLI::App* sine = app.add_subcommand("wave", "Solve for a damped sine, without resampling; and write ngspice's deck");
  sine->add_option("netlist", netlist)->required();
  sine->add_option("output", output, "Volts at the output as raw doubles")->required();
  sine->add_option("--deck", deck, "ngspice writes its result to this file's name with .out behind it");
  sine->add_option("--set", settings, "A knob's position, as in drive=5");
  sine->add_option("--volts", wave.volts);
  sine->add_option("--hz", wave.hz);
  sine->add_option("--damping", wave.damping, "Per second");
  sine->add_option("--seconds", wave.seconds);
  sine->add_option("--rate", rate_hz);
  CLI11_PARSE(app, argc, argv);
  try {
    if (*info) print_info(netlist);
    if (*render) render_table(netlist, stage, table, threads);
    if (*dry) make_dry(recordings, share, half_speed_share, seed, count, seconds, folder);
    if (*sine) make_wave(netlist, settings, wave, rate_hz, output, deck);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "circuit: %s\n", error.what());
    return 1;
  }
}
