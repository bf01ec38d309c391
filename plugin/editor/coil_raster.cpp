// Geometry of the coil's strands, and the colours of their values.
#include "plugin/editor/coil_raster.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "plugin/editor/theme.h"

namespace coil::plugin {
namespace {

constexpr float kInnerRadius = 0.2f;                  // relative to the outer radius
constexpr float kThinnest = 0.22f, kThickest = 0.9f;  // lit share of a strand's width: when holding, when taking in
constexpr float kOldest = 0.25f;                      // brightness at the inner end
constexpr float kWire = 0.10f;                        // half width of the unlit wire
constexpr float kEdge = 255;
constexpr float kGlow = 0.35f;      // share of white at full brightness
constexpr float kRoundness = 0.5f;  // how much darker the wire's edges are than its centre

// As many windings, up to three, as leave enough pixels for each strand.
float turns_for(int size, size_t layers) {
  constexpr float kMinStrandPixels = 2.5f;
  for (float turns = 3; turns > 1; --turns)
    if ((1 - kInnerRadius) / (turns + 1) * static_cast<float>(size) / 2 / static_cast<float>(layers) >=
        kMinStrandPixels)
      return turns;
  return 1;
}

float smooth(float x) { return x * x * (3 - 2 * x); }

float squared(float x) { return x * x; }

struct Light {
  float red, green, blue;  // premultiplied
  float alpha;
  float half_width;  // relative to the strand's width
};

// Position in the coil: the winding from outside (with its fraction), and the position across it. Lengths are relative
// to the outer radius.
struct Spiral {
  float turns, pitch;
  Spiral(int size, size_t layers) : turns(turns_for(size, layers)), pitch((1 - kInnerRadius) / (turns + 1)) {}

  struct Position {
    float turn, across;  // turn: windings from the outer end; across: 0 at the winding's outer edge, 1 at its inner
                         // edge
  };
  std::optional<Position> position(float x, float y) const {                    // relative to the centre
    const float angle = std::atan2(x, -y) / juce::MathConstants<float>::twoPi;  // clockwise from the top
    const float part = angle < 0 ? angle + 1 : angle;
    const float from_outside = (1 - std::hypot(x, y)) / pitch - part;
    const float winding = std::floor(from_outside);
    if (winding < 0 || winding + part >= turns) return std::nullopt;
    return Position{winding + part, from_outside - winding};
  }
};

}  // namespace

void CoilRaster::prepare(int size, size_t layers) {
  size_ = size;
  layers_ = std::min(layers, kMaxLayers);
  image_ = juce::Image(juce::Image::ARGB, std::max(1, size), std::max(1, size), true, juce::SoftwareImageType());
  pixels_.clear();
  if (layers_ == 0) return;

  const Spiral spiral(size_, layers_);
  const auto strands = static_cast<float>(layers_);
  const float radius = static_cast<float>(size) / 2;
  for (int row = 0; row < size; ++row)
    for (int column = 0; column < size; ++column) {
      const float x = (static_cast<float>(column) + 0.5f - radius) / radius,
                  y = (static_cast<float>(row) + 0.5f - radius) / radius;
      const auto position = spiral.position(x, y);
      if (!position) continue;
      const float place = position->across * strands;
      const auto strand = std::min(static_cast<size_t>(place), layers_ - 1);
      const float off_middle = std::abs(2 * (place - static_cast<float>(strand)) - 1);
      const float age = position->turn / spiral.turns;
      // The ends of the wire are cut straight, anti-aliased over a pixel.
      const float pixels_per_turn = juce::MathConstants<float>::twoPi * std::hypot(x, y) * radius;
      const float cover =
          std::clamp(std::min(position->turn, spiral.turns - position->turn) * pixels_per_turn, 0.0f, 1.0f);
      pixels_.push_back({static_cast<uint16_t>(column), static_cast<uint16_t>(row),
                         static_cast<uint16_t>(strand * kAges + std::min(static_cast<size_t>(age * kAges), kAges - 1)),
                         static_cast<uint8_t>(off_middle * kEdge), static_cast<uint8_t>(cover * kEdge)});
    }
}

const juce::Image& CoilRaster::draw(const MemoryHistory& history) {
  if (layers_ == 0 || history.layers() == 0) return image_;
  // Compute the light once per strand and age; then each pixel needs only look-ups.
  std::vector<Light> lights(layers_ * kAges);
  const auto newest_to_oldest = static_cast<float>(history.length() - 2) / static_cast<float>(kAges);
  for (size_t layer = 0; layer < layers_; ++layer)
    for (size_t i = 0; i < kAges; ++i) {
      const float age = static_cast<float>(i) * newest_to_oldest;
      const float open = history.openness(layer, age), bright = history.brightness(layer, age);
      const float fade = kOldest + (1 - kOldest) * smooth(1 - static_cast<float>(i) / kAges);
      const auto colour =
          theme::heat(open).interpolatedWith(juce::Colours::white, kGlow * squared(squared(squared(bright))));
      const float alpha = squared(bright) * fade;
      lights[layer * kAges + i] = {colour.getFloatRed(), colour.getFloatGreen(), colour.getFloatBlue(), alpha,
                                   kThinnest + (kThickest - kThinnest) * open};
    }

  const Spiral spiral(size_, layers_);
  const float strand_pixels = spiral.pitch * static_cast<float>(size_) / 2 / static_cast<float>(layers_);
  const float sharpness = strand_pixels / 2;  // edges are anti-aliased over one pixel
  const juce::Image::BitmapData bitmap(image_, juce::Image::BitmapData::writeOnly);
  const auto wire = theme::kTrack;
  const float wire_red = wire.getFloatRed(), wire_green = wire.getFloatGreen(), wire_blue = wire.getFloatBlue();
  for (const Pixel& pixel : pixels_) {
    const Light& light = lights[pixel.entry];
    const float off = static_cast<float>(pixel.off_middle) / kEdge;
    const float cover = static_cast<float>(pixel.cover) / kEdge;
    const float round = 1 - kRoundness * std::min(1.0f, squared(off / light.half_width));
    const float lit = std::clamp((light.half_width - off) * sharpness + 0.5f, 0.0f, 1.0f) * light.alpha * round;
    const float unlit = std::clamp((kWire - off) * sharpness + 0.5f, 0.0f, 1.0f) * (1 - lit);
    const float scale = 255 * cover;
    auto* out = reinterpret_cast<juce::PixelARGB*>(bitmap.getPixelPointer(pixel.x, pixel.y));
    out->setARGB(static_cast<uint8_t>((lit + unlit) * scale),
                 static_cast<uint8_t>((light.red * lit + wire_red * unlit) * scale),
                 static_cast<uint8_t>((light.green * lit + wire_green * unlit) * scale),
                 static_cast<uint8_t>((light.blue * lit + wire_blue * unlit) * scale));
  }
  return image_;
}

std::optional<CoilRaster::Place> CoilRaster::place(float x, float y) const {
  if (layers_ == 0) return std::nullopt;
  const Spiral spiral(size_, layers_);
  const auto position = spiral.position(2 * x - 1, 2 * y - 1);
  if (!position) return std::nullopt;
  const auto strand = std::min(static_cast<size_t>(position->across * static_cast<float>(layers_)), layers_ - 1);
  return Place{strand, position->turn / spiral.turns * MemoryHistory::kSeconds};
}

}  // namespace coil::plugin
