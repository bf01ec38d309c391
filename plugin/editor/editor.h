// The plugin's window: lays out all components, follows the processor, accepts dropped files and keys.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include "plugin/editor/browser.h"
#include "plugin/editor/cabinet_page.h"
#include "plugin/editor/drop_overlay.h"
#include "plugin/editor/header.h"
#include "plugin/editor/input_strip.h"
#include "plugin/editor/learn_page.h"
#include "plugin/editor/level_page.h"
#include "plugin/editor/look_and_feel.h"
#include "plugin/editor/memory_view.h"
#include "plugin/editor/message_bar.h"
#include "plugin/editor/model_controls.h"
#include "plugin/editor/notice.h"
#include "plugin/editor/output_strip.h"
#include "plugin/editor/pack_page.h"
#include "plugin/editor/save_panel.h"
#include "plugin/editor/spectrum_view.h"
#include "plugin/editor/stage_page.h"
#include "plugin/editor/stage_row.h"
#include "plugin/editor/status_bar.h"
#include "plugin/editor/tuner_page.h"
#include "plugin/editor/window_settings.h"
#include "plugin/processor.h"

namespace coil::plugin {

class Editor final : public juce::AudioProcessorEditor,
                     public juce::FileDragAndDropTarget,
                     private juce::ChangeListener,
                     private juce::FocusChangeListener,
                     private juce::Timer {
 public:
  explicit Editor(Processor& processor);
  ~Editor() override;

  // Actions of keys and menu.
  void open_browser();
  void close_browser();
  void open_save_panel();
  void close_save_panel();
  void open_file_dialog();
  void open_learn_page();
  void close_learn_page();
  void open_cabinet_page(int stage = dsp::kTailStage);  // `stage`: which of the two tiles was clicked
  void close_cabinet_page();
  void open_stage(int number);  // the page of a tile
  void close_stage_page();
  juce::PopupMenu add_menu();  // what can be added to the chain
  juce::PopupMenu main_menu();
  void open_level_page();
  void close_level_page();
  void switch_tuner(bool on);                                    // the parameter; the page follows it
  juce::PopupMenu cabinet_menu(int microphone);                  // what can be loaded into this microphone
  juce::PopupMenu target_menu(const juce::String& midi_target);  // of a knob, switch or snapshot

  bool isInterestedInFileDrag(const juce::StringArray& files) override;
  void fileDragEnter(const juce::StringArray& files, int x, int y) override;
  void fileDragExit(const juce::StringArray& files) override;
  void filesDropped(const juce::StringArray& files, int x, int y) override;

 private:
  void paint(juce::Graphics& g) override;
  void resized() override;
  bool keyPressed(const juce::KeyPress& key) override;
  void mouseDown(const juce::MouseEvent& event) override;  // on any component
  void visibilityChanged() override;
  void parentHierarchyChanged() override;
  void changeListenerCallback(juce::ChangeBroadcaster*) override;
  void globalFocusChanged(juce::Component* focused) override;
  void timerCallback() override;

  void follow_tuner();  // shows or hides its page
  void update();        // call after a change of the processor
  void close_pages();
  void close_pack_page();
  void add_to_chain(const juce::File& file);
  void connect_parts();
  void connect_stages();
  void update_stages();
  void choose_stage_file(int place);  // opens the dialog for files
  bool drop_on_stages(const juce::File& file, juce::Point<int> position);
  void show_menu(juce::PopupMenu menu, juce::Component& from);
  void show_menu(juce::PopupMenu menu, juce::Rectangle<int> screen_area);
  void take_keyboard();
  void take_keyboard_back();
  void load(const juce::File& file);
  void load_response(int microphone, const juce::File& file);
  void choose_response(int microphone);  // opens the dialog for files
  void choose_folder();                  // for the library
  void press_snapshot(int number);
  juce::String name_of_target(const juce::String& midi_target) const;
  void show_target_menu(juce::Component* component);
  void follow_midi_learning();
  void add_midi_menu(juce::PopupMenu& menu);
  void offer_conversion(const juce::File& file);

  // The current problem of the active slot, of the session, or of the other slot. Empty if there is none, or if the
  // centre of the window already shows it.
  juce::String problem() const;
  void show_problem();
  void say(MessageBar::Kind kind, const juce::String& text);  // shown for a while
  void close_message();
  void save_preset(const juce::String& name);

  Processor& processor_;
  juce::SharedResourcePointer<LookAndFeel> look_and_feel_;
  WindowSettings settings_;

  // Contains all components, at the window's size divided by its scale.
  juce::Component content_;
  Header header_;
  MessageBar message_;
  InputStrip input_;
  OutputStrip output_;
  StageRow stage_row_;
  MemoryView memory_;
  SpectrumView spectrum_;
  ModelControls controls_;
  Notice notice_;
  StatusBar status_;
  Browser browser_;
  LearnPage learn_page_;
  CabinetPage cabinet_page_;
  StagePage stage_page_;
  LevelPage level_page_;
  TunerPage tuner_page_;
  PackPage pack_page_;
  SavePanel save_panel_;
  DropOverlay drop_overlay_;
  juce::TooltipWindow tooltips_;

  std::unique_ptr<juce::FileChooser> file_chooser_;
  juce::String shown_problem_, closed_problem_;  // in the message bar; closed by the user
  juce::String shown_learning_;                  // the target that waits for MIDI
  juce::Component::SafePointer<juce::Component> last_focused_;
  float said_for_s_ = 0;  // remaining time of the message; 0: none
  juce::uint32 last_tick_ms_ = 0;
  int ticks_ = 0;
  int keyboard_tries_ = 0;              // remaining attempts of a window that was just opened
  int open_stage_ = dsp::kModelsStage;  // whose page is open; the models': the window's own centre
  bool playing_ = false, pictures_have_room_ = true;
};

}  // namespace coil::plugin
