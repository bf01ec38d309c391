// The chain as a row of tiles in the order of the signal: open, move, switch, mix, add and remove stages.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include <map>
#include <memory>
#include <vector>

#include "plugin/editor/icon_button.h"
#include "plugin/editor/stage_tile.h"
#include "plugin/processor.h"

namespace coil::plugin {

// The gate of the models, which stands before them and moves with them.
inline constexpr int kGateTile = dsp::kEqualiserStage - 1;

// A further stage's own name, or what it is.
juce::String name_of(const StageStatus& stage);

class StageRow final : public juce::Component {
 public:
  explicit StageRow(Parameters& parameters);

  // Call after a change of the list. The usual stages get the names of what they play.
  void show(const std::vector<StageStatus>& stages, const juce::String& model, const juce::String& cabinet);
  void show_open(int number);  // the stage whose page is open

  int height() const { return height_; }
  void set_low(bool low);  // for low windows

  // Where a file that is dropped there goes, as Processor::add_stage().
  int place_at(juce::Point<int> position) const;
  // The place behind the selected stage; without one, the end.
  int place_behind_selected() const;
  void select_next_added() { selects_added_ = true; }
  void show_drop(std::optional<juce::Point<int>> position);  // marks place_at()
  juce::PopupMenu menu_of(int number);                       // of a tile
  juce::Component& add_button() { return add_; }

  std::function<void(int number)> on_open, on_remove;
  std::function<void(int number, int place)> on_move;
  std::function<void()> on_add;
  std::function<void(const juce::String& midi_target)> on_learn_midi;
  std::function<void(juce::PopupMenu menu, juce::Component& from)> on_menu;
  std::function<void(const juce::String& words)> on_refused;

 private:
  TileParameters parameters_of(int number) const;
  StageTile* tile(int number) const;
  int index_of(int number) const;  // in order_; -1: not there
  int gap_at(int x) const;         // the index in order_ of the tile behind the nearest gap
  int place_of(int number, int gap) const;
  void select(int number);
  void focus(int index);
  void move(int number, int step);
  void remove(int number);
  bool key_pressed(int number, const juce::KeyPress& key);
  void scroll(int step);
  void lay_out();
  void paint(juce::Graphics& g) override;
  void paintOverChildren(juce::Graphics& g) override;
  void resized() override { lay_out(); }
  void mouseWheelMove(const juce::MouseEvent& event, const juce::MouseWheelDetails& wheel) override;

  Parameters& parameters_;
  StageTile::Actions actions_;
  std::vector<StageStatus> stages_;
  std::vector<int> order_;  // numbers of the tiles, with the gate's
  std::map<int, std::unique_ptr<StageTile>> tiles_;
  IconButton add_{Icon::add, "Add a stage", "Adds a stage behind the selected one"};
  IconButton left_{Icon::previous, "Earlier stages", "Shows earlier stages of the chain"};
  IconButton right_{Icon::next, "Later stages", "Shows later stages of the chain"};
  int height_ = 0;
  int selected_ = dsp::kModelsStage, open_ = dsp::kModelsStage;
  int first_ = 0, shown_ = 0;  // tiles that have room
  bool selects_added_ = false;
  std::optional<int> marked_gap_;  // where a drag would end
};

}  // namespace coil::plugin
