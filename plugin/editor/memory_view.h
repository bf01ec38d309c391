// The activity of the model's memory: the coil, its title, and its legend.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include "plugin/editor/coil_raster.h"
#include "plugin/editor/memory_history.h"

namespace coil::plugin {

class Processor;

class MemoryView final : public juce::Component, public juce::TooltipClient {
 public:
  explicit MemoryView(Processor& processor);

  void tick();

 private:
  void paint(juce::Graphics& g) override;
  void resized() override;
  juce::String getTooltip() override;
  void paint_legend(juce::Graphics& g) const;

  Processor& processor_;
  MemoryHistory history_;
  CoilRaster raster_;
  std::vector<ssm::LayerActivity> activity_;
  const ssm::Model* model_ = nullptr;  // the model of the history; only compared
  size_t frames_written_ = 0;
  juce::Rectangle<int> title_area_, coil_area_, legend_area_;
};

}  // namespace coil::plugin
