// `coil info`: shows a model's config, card and cost, or describes an installed cabinet.
#include "cli/commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "cli/failure.h"
#include "cli/models.h"
#include "cli/sound/sound_reader.h"
#include "cli/text.h"
#include "dsp/model_processor.h"

namespace coil::cli {
namespace {

using nlohmann::json;

// "6 x (s4d, linear, film, tanh, linear)"; equal neighbours are combined.
std::string describe_layers(const std::vector<ssm::LayerConfig>& layers) {
  std::vector<std::pair<std::string, int>> runs;
  for (const ssm::LayerConfig& layer : layers) {
    std::string parts;
    for (const ssm::PartConfig& part : layer.parts)
      parts += (parts.empty() ? "" : ", ") + std::string(ssm::traits_of(part).kind);
    if (runs.empty() || runs.back().first != parts) runs.emplace_back(parts, 0);
    ++runs.back().second;
  }
  std::string text;
  for (const auto& [parts, count] : runs)
    text += (text.empty() ? "" : " + ") + std::to_string(count) + " x (" + parts + ")";
  return text;
}

json describe(const ssm::Model& model) {
  const ssm::ModelConfig& config = model.config();
  const ssm::Card& card = model.card();
  const double rate_hz = dsp::sample_rate_hz(model);
  json result = {{"file", model.source()},
                 {"hash", model.hash()},
                 {"model_type", config.model_type},
                 {"input", config.input_kind == ssm::InputKind::token_ids ? "token ids" : "frames"},
                 {"d_input", config.d_input},
                 {"d_model", config.d_model},
                 {"d_output", config.d_output},
                 {"layers", config.layers.size()},
                 {"structure", describe_layers(config.layers)},
                 {"parameters", model.cost().parameters},
                 {"macs_per_step", model.cost().macs_per_step},
                 {"exps_per_step", model.cost().exps_per_step},
                 {"state_bytes", model.state_layout()->size * sizeof(float)},
                 {"sample_rate_hz", rate_hz > 0 ? json(rate_hz) : json(nullptr)},
                 {"rate_scaling", ssm::to_string(config.rate_scaling)},
                 {"steps_can_be_rescaled", ssm::steps_obstacle(config).empty()},
                 {"latency_frames", card.latency_frames},
                 {"latency_ms", rate_hz > 0 ? json(1000 * card.latency_frames / rate_hz) : json(nullptr)},
                 {"target", model.target().name()},
                 {"controls", json::array()},
                 {"card", card.json.empty() ? json(nullptr) : json::parse(card.json)}};
  if (config.slow_path) {
    result["slow_path"] = {{"hop_frames", config.slow_path->hop_frames},
                           {"d_model", config.slow_path->in_proj.d_out},
                           {"structure", describe_layers(config.slow_path->layers)}};
  }
  for (const ssm::Control& control : card.controls) {
    result["controls"].push_back({{"name", control.name},
                                  {"min", control.min},
                                  {"max", control.max},
                                  {"default", control.default_value},
                                  {"unit", control.unit},
                                  {"description", control.description}});
  }
  return result;
}

// A heading and lines of label and text, with aligned texts.
class Section {
 public:
  explicit Section(const std::string& title) : title_(title) {}

  void row(const std::string& label, const std::string& text) {
    if (!text.empty()) rows_.emplace_back(label, text);
  }

  // All values in a JSON value; nested names are joined by dots.
  void rows(const json& value, const std::string& label) {
    if (value.is_object()) {
      for (const auto& [key, item] : value.items()) rows(item, label.empty() ? key : label + "." + key);
    } else {
      row(label, value.is_string()         ? value.get<std::string>()
                 : value.is_number_float() ? number(value.get<double>(), 5)
                                           : value.dump());
    }
  }

  void print() const {
    if (rows_.empty()) return;
    size_t width = 12;
    for (const auto& [label, text] : rows_) width = std::max(width, label.size());
    std::printf("\n%s\n", title_.c_str());
    for (const auto& [label, text] : rows_)
      std::printf("  %-*s  %s\n", static_cast<int>(width), label.c_str(), text.c_str());
  }

 private:
  std::string title_;
  std::vector<std::pair<std::string, std::string>> rows_;
};

std::string with_prefix(double value, const std::string& unit) {
  if (value >= 1e9) return number(value / 1e9, 3) + " G" + unit;
  if (value >= 1e6) return number(value / 1e6, 3) + " M" + unit;
  if (value >= 1e3) return number(value / 1e3, 3) + " k" + unit;
  return number(value, 3) + " " + unit;
}

// What `coil process` and the plugin do at other rates.
std::string other_rates(const ssm::ModelConfig& config) {
  if (config.rate_scaling == ssm::RateScaling::steps) return "steps are rescaled";
  return ssm::steps_obstacle(config).empty() ? "resampled; --rate-scaling steps is possible" : "resampled";
}

void print_text(const ssm::Model& model) {
  const ssm::ModelConfig& config = model.config();
  const ssm::Card& card = model.card();
  const double rate_hz = dsp::sample_rate_hz(model);
  std::printf("%s\n", card.name.empty() ? model.source().c_str() : card.name.c_str());
  if (!card.description.empty()) std::printf("%s\n", card.description.c_str());

  Section about("Model");
  about.row("file", model.source());
  about.row("hash", model.hash());
  about.row("type", config.model_type);
  about.row("takes",
            config.input_kind == ssm::InputKind::token_ids
                ? "token ids, gives " + std::to_string(config.d_output) + " logits"
                : std::to_string(config.d_input) + " in, " + std::to_string(config.d_output) + " out per frame");
  about.row("width", "d_model " + std::to_string(config.d_model));
  about.row("layers", describe_layers(config.layers));
  if (config.slow_path) {
    about.row("slow path", describe_layers(config.slow_path->layers) + ", d_model " +
                               std::to_string(config.slow_path->in_proj.d_out) + ", every " +
                               std::to_string(config.slow_path->hop_frames) + " frames");
  }
  about.print();

  Section cost("Cost");
  cost.row("parameters", std::to_string(model.cost().parameters));
  cost.row("per step",
           number(model.cost().macs_per_step, 7) + " MACs, " + number(model.cost().exps_per_step, 7) + " exps");
  if (rate_hz > 0) {
    cost.row("per second", with_prefix(model.cost().macs_per_step * rate_hz, "MAC") + ", " +
                               with_prefix(model.cost().exps_per_step * rate_hz, "exp"));
  }
  cost.row("state", std::to_string(model.state_layout()->size * sizeof(float)) + " bytes per stream");
  cost.row("kernels", model.target().name());
  cost.print();

  Section signal("Signal");
  signal.row("rate", rate_hz > 0 ? number(rate_hz, 9) + " Hz" : "any");
  if (rate_hz > 0) signal.row("other rates", other_rates(config));
  signal.row("latency", std::to_string(card.latency_frames) + " frames" +
                            (rate_hz > 0 ? " (" + number(1000 * card.latency_frames / rate_hz, 3) + " ms)" : ""));
  signal.print();

  Section controls("Controls");
  for (const ssm::Control& control : card.controls) {
    const std::string unit = control.unit.empty() ? "" : " " + control.unit;
    controls.row(control.name, number(control.min) + " to " + number(control.max) + unit + ", default " +
                                   number(control.default_value) + unit +
                                   (control.description.empty() ? "" : "  " + control.description));
  }
  controls.print();

  if (!card.json.empty()) {
    json rest = json::parse(card.json);
    for (const char* shown : {"name", "description", "controls", "sample_rate", "latency_frames"}) rest.erase(shown);
    Section section("Card");
    section.rows(rest, "");
    section.print();
  }
}

void describe_cabinet(const std::string& name, const std::filesystem::path& file, bool as_json) {
  const SoundInfo sound = open_reader(file)->info();
  const double ms = 1000.0 * static_cast<double>(sound.frames) / sound.sample_rate_hz;
  if (as_json) {
    const json result = {
        {"file", file.string()},      {"kind", "cabinet"},      {"sample_rate_hz", sound.sample_rate_hz},
        {"channels", sound.channels}, {"frames", sound.frames}, {"duration_ms", ms}};
    std::printf("%s\n", result.dump(2, ' ', false, json::error_handler_t::replace).c_str());
    return;
  }
  std::printf("%s\nThe impulse response of a loudspeaker cabinet, not a model.\n", name.c_str());
  Section section("Cabinet");
  section.row("file", file.string());
  section.row("rate", number(sound.sample_rate_hz, 9) + " Hz");
  section.row("channels", std::to_string(sound.channels));
  section.row("duration", number(ms, 4) + " ms");
  section.row("in a rig", R"({"type": "cabinet", "microphones": [{"file": ")" + name + R"("}]})");
  section.print();
}

}  // namespace

CLI::App* setup_info(CLI::App& app, int& exit_code) {
  struct Options {
    std::string model;
    int window = 0;
    bool json = false;
  };
  CLI::App* command = app.add_subcommand("info", "Show what a model is, its cost, and its controls");
  auto options = std::make_shared<Options>();
  command->add_option("model", options->model, "Model file or folder, or name of a preset or an installed cabinet")
      ->required()
      ->type_name("MODEL");
  add_window_option(*command, options->window);
  command->add_flag("--json", options->json, "As one JSON object");
  command->callback([options, &exit_code] {
    exit_code = kOk;
    if (const auto cabinet = installed_cabinet(options->model); !cabinet.empty() && !names_a_model(options->model))
      return describe_cabinet(options->model, cabinet, options->json);
    const std::shared_ptr<const ssm::Model> model =
        load_model(open_model(options->model, options->window), ssm::Target::best());
    if (options->json) {
      std::printf("%s\n", describe(*model).dump(2, ' ', false, json::error_handler_t::replace).c_str());
    } else {
      print_text(*model);
    }
  });
  return command;
}

}  // namespace coil::cli
