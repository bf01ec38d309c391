// The picture of `coil plot`: waveform and spectrogram of two sounds side by side, on common scales.
#pragma once

#include <array>
#include <filesystem>
#include <string>

#include "cli/plot/sound_analysis.h"

namespace coil::cli {

inline constexpr int kPictureColumns = 1120;  // width of one panel, in pixels
inline constexpr int kPictureRows = 760;      // height of one spectrogram, in pixels

struct PicturePanel {
  std::string title, subtitle;
  SoundAnalysis analysis;
};

struct Picture {
  std::string title, subtitle;
  AnalysisGrid grid;
  std::array<PicturePanel, 2> panels;
};

// Throws Failure. [main-thread]
void draw_picture(const Picture& picture, const std::filesystem::path& path);

}  // namespace coil::cli
