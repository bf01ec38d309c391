// The look of JUCE's own widgets: menus, tooltips, text boxes, scroll bars, buttons, window frames.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

namespace coil::plugin {

// While an object exists, it is the default for all windows of this binary; hold it by juce::SharedResourcePointer.
// [message-thread]
class LookAndFeel final : public juce::LookAndFeel_V4 {
 public:
  LookAndFeel();
  ~LookAndFeel() override;

  juce::Typeface::Ptr getTypefaceForFont(const juce::Font& font) override;

  void drawPopupMenuBackgroundWithOptions(juce::Graphics& g, int width, int height,
                                          const juce::PopupMenu::Options& options) override;
  void drawPopupMenuItem(juce::Graphics& g, const juce::Rectangle<int>& area, bool separator, bool active,
                         bool highlighted, bool ticked, bool has_sub_menu, const juce::String& text,
                         const juce::String& shortcut, const juce::Drawable* icon, const juce::Colour* colour) override;
  void getIdealPopupMenuItemSize(const juce::String& text, bool separator, int standard_height, int& width,
                                 int& height) override;
  juce::Font getPopupMenuFont() override;
  int getPopupMenuBorderSize() override;

  juce::Rectangle<int> getTooltipBounds(const juce::String& text, juce::Point<int> position,
                                        juce::Rectangle<int> parent) override;
  void drawTooltip(juce::Graphics& g, const juce::String& text, int width, int height) override;

  void drawComboBox(juce::Graphics& g, int width, int height, bool down, int button_x, int button_y, int button_width,
                    int button_height, juce::ComboBox& box) override;
  juce::Font getComboBoxFont(juce::ComboBox& box) override;
  void positionComboBoxText(juce::ComboBox& box, juce::Label& label) override;

  void fillTextEditorBackground(juce::Graphics& g, int width, int height, juce::TextEditor& editor) override;
  void drawTextEditorOutline(juce::Graphics& g, int width, int height, juce::TextEditor& editor) override;

  int getDefaultScrollbarWidth() override;
  void drawScrollbar(juce::Graphics& g, juce::ScrollBar& bar, int x, int y, int width, int height, bool vertical,
                     int thumb_start, int thumb_size, bool over, bool down) override;

  void drawButtonBackground(juce::Graphics& g, juce::Button& button, const juce::Colour& colour, bool over,
                            bool down) override;
  void drawButtonText(juce::Graphics& g, juce::TextButton& button, bool over, bool down) override;
  juce::Font getTextButtonFont(juce::TextButton& button, int height) override;
  void drawToggleButton(juce::Graphics& g, juce::ToggleButton& button, bool over, bool down) override;

  void fillResizableWindowBackground(juce::Graphics& g, int width, int height, const juce::BorderSize<int>& border,
                                     juce::ResizableWindow& window) override;
  void drawResizableWindowBorder(juce::Graphics& g, int width, int height, const juce::BorderSize<int>& border,
                                 juce::ResizableWindow& window) override;
  void drawDocumentWindowTitleBar(juce::DocumentWindow& window, juce::Graphics& g, int width, int height, int title_x,
                                  int title_width, const juce::Image* icon, bool title_on_left) override;
  juce::Button* createDocumentWindowButton(int type) override;

  void drawCornerResizer(juce::Graphics& g, int width, int height, bool over, bool dragging) override;
};

}  // namespace coil::plugin
