// The part of the window for the chain: connects the row of stages and the page of a stage to the processor.
#include <algorithm>

#include "plugin/editor/editor.h"
#include "plugin/editor/stage_menu.h"
#include "plugin/editor/theme.h"
#include "plugin/text.h"

namespace coil::plugin {

void Editor::connect_stages() {
  stage_row_.on_open = [this](int number) { open_stage(number); };
  stage_row_.on_move = [this](int number, int place) { processor_.move_stage(number, place); };
  stage_row_.on_remove = [this](int number) { processor_.remove_stage(number); };
  stage_row_.on_add = [this] { show_menu(add_menu(), stage_row_.add_button()); };
  stage_row_.on_learn_midi = [this](const juce::String& target) { processor_.learn_midi(target.toStdString()); };
  stage_row_.on_menu = [this](juce::PopupMenu menu, juce::Component& from) { show_menu(std::move(menu), from); };
  stage_row_.on_refused = [this](const juce::String& words) { say(MessageBar::Kind::warning, words); };
  stage_page_.on_close = [this] { close_stage_page(); };
  stage_page_.on_remove = [this](int number) { processor_.remove_stage(number); };
  stage_page_.on_edit = [this](int number, const dsp::RigStage& settings, bool is_step) {
    processor_.edit_stage(number, settings, is_step);
  };
}

void Editor::show_menu(juce::PopupMenu menu, juce::Component& from) {
  menu.setLookAndFeel(&*look_and_feel_);
  menu.showMenuAsync(juce::PopupMenu::Options().withTargetComponent(from).withDeletionCheck(*this));
}

void Editor::show_menu(juce::PopupMenu menu, juce::Rectangle<int> screen_area) {
  menu.setLookAndFeel(&*look_and_feel_);
  menu.showMenuAsync(juce::PopupMenu::Options().withTargetScreenArea(screen_area).withDeletionCheck(*this));
}

// Behind the selected tile. The browser closes first, which brings back the sound of before an audition.
void Editor::add_to_chain(const juce::File& file) {
  close_browser();
  stage_row_.select_next_added();
  processor_.add_stage(file, stage_row_.place_behind_selected());
}

juce::PopupMenu Editor::add_menu() {
  const int place = stage_row_.place_behind_selected();
  const auto add = [this, place](auto what) {
    stage_row_.select_next_added();
    processor_.add_stage(what, place);
  };
  return stage_menu(processor_.library(),
                    {[add](dsp::RigStage stage) { add(std::move(stage)); },
                     [add](const juce::File& file) { add(file); }, [this, place] { choose_stage_file(place); }});
}

void Editor::choose_stage_file(int place) {
  file_chooser_ = std::make_unique<juce::FileChooser>("Add a model or an impulse response to the chain",
                                                      processor_.library().user_folder(),
                                                      "*.safetensors;*.wav;*.aif;*.aiff;*.flac");
  constexpr int kFlags = juce::FileBrowserComponent::openMode | juce::FileBrowserComponent::canSelectFiles;
  file_chooser_->launchAsync(kFlags, [this, place](const juce::FileChooser& chooser) {
    if (const auto file = chooser.getResult(); file != juce::File()) {
      stage_row_.select_next_added();
      processor_.add_stage(file, place);
    }
    take_keyboard();
  });
}

// The usual stages have their own places in the window.
void Editor::open_stage(int number) {
  if (number == dsp::kTailStage || number == dsp::kEqualiserStage) return open_cabinet_page(number);
  close_pages();
  if (number == dsp::kModelsStage) return;
  open_stage_ = number;
  update_stages();
  stage_page_.setVisible(true);
  stage_page_.toFront(false);
}

void Editor::close_stage_page() {
  stage_page_.setVisible(false);
  open_stage_ = dsp::kModelsStage;
  stage_row_.show_open(open_stage_);
  take_keyboard();
}

void Editor::update_stages() {
  const auto stages = processor_.stages();
  juce::StringArray cabinet;
  for (int i = 0; i < kMicrophones; ++i)
    if (const auto name = processor_.microphone(i).name; name.isNotEmpty()) cabinet.add(name);
  const int slot = processor_.active_slot();
  const auto model = processor_.model(slot);  // its name says more than that of the preset
  const auto name = model ? from_utf8(model->card().name) : juce::String();
  stage_row_.show(stages, name.isEmpty() ? processor_.status(slot).name : name, cabinet.joinIntoString(", "));
  stage_row_.show_open(open_stage_);
  if (open_stage_ == kGateTile) return stage_page_.show_gate();
  if (open_stage_ < 0) return;
  const auto stage = processor_.further_stage_at(open_stage_);
  const auto status =
      std::find_if(stages.begin(), stages.end(), [&](const auto& s) { return s.number == open_stage_; });
  if (!stage || status == stages.end()) return close_stage_page();  // it was removed
  stage_page_.show(open_stage_, stage, name_of(*status), status->message);
}

// A file that is dropped on the row becomes a stage. Returns false if it was dropped elsewhere, or cannot be a stage.
bool Editor::drop_on_stages(const juce::File& file, juce::Point<int> position) {
  const auto place = stage_row_.getLocalPoint(this, position);
  if (!stage_row_.isShowing() || !stage_row_.getLocalBounds().contains(place)) return false;
  if (!file.hasFileExtension(".safetensors") && !is_response_name(file.getFileName()) &&
      !ModelLibrary::is_model_folder(file))
    return false;
  stage_row_.select_next_added();
  processor_.add_stage(file, stage_row_.place_at(place));
  return true;
}

}  // namespace coil::plugin
