// The switch of the snapshots A to D. A click recalls one, or stores the sound if it is empty.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include <array>
#include <functional>
#include <memory>

#include "plugin/parameters.h"

namespace coil::plugin {

struct SnapshotStatus;

class SnapshotSwitch final : public juce::Component {
 public:
  SnapshotSwitch();

  void show(const SnapshotStatus& status);

  std::function<void(int number)> on_press;  // from 1

 private:
  class Letter final : public juce::Button {
   public:
    explicit Letter(int number);
    void show(bool filled, bool recalled, bool edited);

   private:
    void paintButton(juce::Graphics& g, bool over, bool down) override;
    void mouseDown(const juce::MouseEvent& event) override;
    void mouseUp(const juce::MouseEvent& event) override;
    const int number_;
    bool filled_ = false, edited_ = false;
  };

  void paint(juce::Graphics& g) override;
  void resized() override;

  std::array<std::unique_ptr<Letter>, kSnapshots> letters_;
};

}  // namespace coil::plugin
