// The user's edits of the cabinet and of the list of stages. The content changes at once; the sound follows when
// another thread has made the new stages.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>

#include "plugin/announcer.h"
#include "plugin/background.h"
#include "plugin/chain_player.h"
#include "plugin/model_library.h"
#include "plugin/store.h"
#include "plugin/undo.h"

namespace coil::plugin {

// [message-thread], without the store's mutex, unless stated otherwise
class ChainEditor {
 public:
  ChainEditor(Store& store, Undo& undo, ChainPlayer& player, ModelLibrary& library, Background& background,
              Announcer& announcer)
      : store_(store),
        undo_(undo),
        player_(player),
        library_(library),
        background_(background),
        announcer_(announcer) {}
  ~ChainEditor() { leave(); }
  void leave() { background_.leave(this); }  // drops what is not done yet

  // An audition switches the cabinet on, and belongs to no undo step. Returns the request's number.
  enum class Keep { at_once, audition };
  uint64_t load_response(int microphone, const juce::File& file, Keep keep);
  void clear_response(int microphone);
  // `is_step` false: belongs to the undo step of the previous call.
  void set_microphone(int microphone, const MicrophoneSettings& settings, bool is_step);
  // Sets all microphones, without an undo step. Returns false if nothing changes; else call follow() next. [any thread
  // but the audio thread], with the store's mutex
  bool recall(const std::array<MicrophoneSettings, kMicrophones>& settings);
  void follow();  // makes the edited chain on another thread [any thread but the audio thread]

  // See Processor.
  void add_stage(dsp::RigStage stage, int place);
  void add_stage(const juce::File& file, int place);
  void move_stage(int number, int place);
  void remove_stage(int number);
  void edit_stage(int number, const dsp::RigStage& settings, bool is_step);

 private:
  // With the mutex; return objects to be freed without it.
  History::Sessions edit_cabinet(bool is_step, const std::function<void(CabinetContent&)>& edit);
  History::Sessions edit_stages(bool is_step, const std::function<void(StageList&)>& edit);

  void load_response_now(int microphone, const juce::File& file, uint64_t request, Keep keep);
  void add_now(std::shared_ptr<const FurtherStage> stage, int place);
  void change_stages(bool is_step, const std::function<void(StageList&)>& edit);

  Store& store_;
  Undo& undo_;
  ChainPlayer& player_;
  ModelLibrary& library_;
  Background& background_;
  Announcer& announcer_;
};

}  // namespace coil::plugin
