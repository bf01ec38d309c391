// `coil plot`: analyses two files and draws them.
#include "cli/commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>

#include "cli/failure.h"
#include "cli/plot/picture.h"
#include "cli/sound/sound_reader.h"
#include "cli/text.h"

namespace coil::cli {
namespace {

constexpr double kLowHz = 40, kHighHz = 20000;

struct PlotOptions {
  std::string before, after, output, title;
};

SoundInfo info_of(const std::string& path) {
  if (path == "-") throw Failure(kUsage, "'-': coil plot needs files, because it must know their length");
  const SoundInfo info = open_reader(path)->info();
  if (info.frames < 0) {
    throw Failure(kFailed, in_quotes(path) + ": does not say how long it is; coil plot needs that, as in a WAV file");
  }
  if (info.frames == 0) throw Failure(kFailed, in_quotes(path) + ": holds no sound to draw");
  return info;
}

std::string level(double amplitude) {
  if (!(amplitude > 0)) return "\u2212\u221e";
  const double db = std::round(10 * decibels(amplitude)) / 10;
  return (db < 0 ? "\u2212" : "") + fixed(std::fabs(db), 1);
}

std::string duration(double seconds) {
  if (seconds < 1) return number(1000 * seconds, 3) + " ms";
  if (seconds < 120) return fixed(seconds, 1) + " s";
  if (seconds < 7200) return fixed(seconds / 60, 1) + " min";
  return fixed(seconds / 3600, 1) + " h";
}

void run_plot(const PlotOptions& options) {
  const SoundInfo infos[2] = {info_of(options.before), info_of(options.after)};
  Picture picture;
  double highest_rate_hz = 0;
  for (const SoundInfo& info : infos) {
    picture.grid.seconds = std::max(picture.grid.seconds, static_cast<double>(info.frames) / info.sample_rate_hz);
    highest_rate_hz = std::max<double>(highest_rate_hz, info.sample_rate_hz);
  }
  picture.grid.columns = kPictureColumns;
  picture.grid.rows = kPictureRows;
  picture.grid.high_hz = std::min(kHighHz, highest_rate_hz / 2);
  picture.grid.low_hz = std::min(kLowHz, picture.grid.high_hz / 100);

  const std::string* paths[2] = {&options.before, &options.after};
  for (int side = 0; side < 2; ++side) {
    PicturePanel& panel = picture.panels[side];
    panel.analysis = analyse_sound(*paths[side], picture.grid);
    panel.title = side == 0 ? "Before" : "After";
    panel.subtitle = "peak " + level(panel.analysis.peak) + " dBFS, RMS " + level(panel.analysis.rms_all) + " dBFS";
  }
  const std::string before_name = std::filesystem::path(options.before).filename().string();
  const std::string after_name = std::filesystem::path(options.after).filename().string();
  picture.title = options.title.empty() ? after_name : options.title;
  picture.subtitle = before_name + " \u2192 " + after_name + ", " + duration(picture.grid.seconds) + ", " +
                     number(infos[1].sample_rate_hz / 1000.0) + " kHz, " +
                     (infos[1].channels == 1   ? "mono"
                      : infos[1].channels == 2 ? "stereo"
                                               : counted(infos[1].channels, "channel"));
  draw_picture(picture, options.output);
}

}  // namespace

CLI::App* setup_plot(CLI::App& app, int& exit_code) {
  CLI::App* command =
      app.add_subcommand("plot", "Draw waveforms and spectrograms of two sound files, before and after");
  auto options = std::make_shared<PlotOptions>();
  command->add_option("before", options->before, "The sound before processing")->required()->type_name("IN");
  command->add_option("after", options->after, "The sound after processing")->required()->type_name("OUT");
  command->add_option("-o,--output", options->output, "The picture")->required()->type_name("PNG");
  command->add_option("--title", options->title, "Heading (default: OUT's name)")->type_name("TEXT");
  command->callback([options, &exit_code] {
    run_plot(*options);
    exit_code = kOk;
  });
  return command;
}

}  // namespace coil::cli
