// The dial of a knob: drag (finer with shift), wheel, keys, double click for the default.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include <optional>

namespace coil::plugin {

class Dial final : public juce::Slider {
 public:
  explicit Dial(juce::Colour colour);

  // The value at which the arc begins; by default the lower end of the range.
  void set_origin(double value);
  // Shows a thin inner arc, 0 to 1 (for the gate: how far it is open); default: none.
  void set_activity(float part);

  // Ends a running drag, so that the host gets the end of the gesture.
  void release() { drag_.reset(); }

  std::function<void()> on_type;  // called when the user wants to type a value

 private:
  void paint(juce::Graphics& g) override;
  void mouseDown(const juce::MouseEvent& event) override;
  void mouseDrag(const juce::MouseEvent& event) override;
  void mouseUp(const juce::MouseEvent& event) override;
  void mouseDoubleClick(const juce::MouseEvent& event) override;
  void mouseWheelMove(const juce::MouseEvent& event, const juce::MouseWheelDetails& wheel) override;
  bool keyPressed(const juce::KeyPress& key) override;
  void focusGained(FocusChangeType cause) override;
  void focusLost(FocusChangeType cause) override;

  void move_by(double proportion);
  void return_to_default();

  juce::Colour colour_;
  std::optional<double> origin_;
  std::optional<float> activity_;
  std::optional<ScopedDragNotification> drag_;
  juce::Point<float> last_drag_;
  bool focus_by_key_ = false;  // only then the focus ring is drawn
  double proportion_ = 0;      // position of the drag, before the value snaps to its steps
};

}  // namespace coil::plugin
