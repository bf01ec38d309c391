// Draws a MemoryHistory as a coil with one strand per layer: new sound enters at the top of the outer end and moves
// inwards as it ages.
#pragma once

#include <juce_graphics/juce_graphics.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "plugin/editor/memory_history.h"

namespace coil::plugin {

// Stores the layer and age that each pixel shows, so that drawing a frame is one pass over the pixels.
class CoilRaster {
 public:
  // `size`: side length in screen pixels.
  void prepare(int size, size_t layers);
  bool prepared_for(int size, size_t layers) const { return size == size_ && layers == layers_; }
  const juce::Image& draw(const MemoryHistory& history);

  // The strand at a position, given by coordinates in [0, 1].
  struct Place {
    size_t layer = 0;
    float seconds_ago = 0;
  };
  std::optional<Place> place(float x, float y) const;

 private:
  struct Pixel {
    uint16_t x, y;
    uint16_t entry;      // layer * kAges + age
    uint8_t off_middle;  // distance from the strand's centre line: 0 centre, 255 edge
    uint8_t cover;       // anti-aliasing at the coil's ends
  };
  static constexpr size_t kAges = 720;
  static constexpr size_t kMaxLayers = 64;

  int size_ = 0;
  size_t layers_ = 0;
  std::vector<Pixel> pixels_;
  juce::Image image_;
};

}  // namespace coil::plugin
