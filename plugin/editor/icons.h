// The window's icons as strokes, drawn for this plugin on a grid of 24.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

namespace coil::plugin {

enum class Icon {
  previous,
  next,
  undo,
  redo,
  power,
  menu,
  browse,
  copy,
  cabinet,
  tuner,
  close,
  search,
  save,
  star,
  listen,
  add,
  file,
  warning,
  done,
  minimise,
  maximise
};

// Strokes the icon in the centre of `area`, as large as fits.
void draw_icon(juce::Graphics& g, Icon icon, juce::Rectangle<float> area, juce::Colour colour);

// The same, filled.
void fill_icon(juce::Graphics& g, Icon icon, juce::Rectangle<float> area, juce::Colour colour);

// An Archimedean spiral from the centre outwards, with `turns` windings from `inner` to 1, relative to `radius`. It is
// the plugin's logo.
juce::Path coil_path(juce::Point<float> centre, float radius, float turns, float inner);

}  // namespace coil::plugin
