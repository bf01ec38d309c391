// The window's colours, text sizes and distances. Lengths are in logical pixels at the window's normal size.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

namespace coil::plugin::theme {

// Graphite; copper for output, steel for input.
inline const juce::Colour kBackground{0xff111316}, kPanel{0xff181b1f}, kRaised{0xff22262b}, kHover{0xff2b3036},
    kLine{0xff2a2e34};
inline const juce::Colour kText{0xffe9e7e3}, kTextSoft{0xffa3a7ad}, kTextFaint{0xff7d828a};
inline const juce::Colour kCopper{0xffe39a62}, kCopperDeep{0xff8c4f28}, kSteel{0xff7fb4c9}, kSteelDeep{0xff2f5668};
inline const juce::Colour kTrack{0xff30353c}, kFocus{0xfff2c79b}, kWarning{0xffefc15e}, kError{0xfff0776b};

inline constexpr float kTextSmall = 11.0f, kTextNormal = 12.5f, kTextLarge = 15.0f, kTextTitle = 21.0f;

inline constexpr int kGap = 8, kPad = 12, kHeaderHeight = 48, kStatusHeight = 24, kStripWidth = 84, kButton = 28,
                     kRow = 24, kListRow = 42;
inline constexpr float kCorner = 6.0f, kPanelCorner = 10.0f, kHairline = 1.0f, kFocusWidth = 1.5f;

inline constexpr int kMinWidth = 560, kMinHeight = 400, kWidth = 920, kHeight = 600, kMaxWidth = 1600,
                     kMaxHeight = 1100;
inline constexpr float kMaxScale = 1.75f;  // largest scale of a window beyond the normal size

inline constexpr int kFramesPerSecond = 30;

// The colours of heated copper: from 0, blue, through violet and rose to 1, pale gold.
juce::Colour heat(float part);

enum class Weight { regular, strong };
juce::Font font(float height, Weight weight = Weight::regular);

// Draws a panel.
void fill_panel(juce::Graphics& g, juce::Rectangle<float> area);
// Marks the main button.
void make_primary(juce::TextButton& button);
// The ring around the component with the keyboard focus.
void draw_focus(juce::Graphics& g, juce::Rectangle<float> area, float corner = kCorner);

}  // namespace coil::plugin::theme
