// The page for learning a device or converting a capture of another program.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include "plugin/editor/error_curve.h"
#include "plugin/editor/icon_button.h"
#include "plugin/editor/learn_words.h"
#include "plugin/editor/level_meter.h"
#include "plugin/processor.h"

namespace coil::plugin {

class LearnPage final : public juce::Component {
 public:
  explicit LearnPage(Processor& processor);
  ~LearnPage() override;

  void open();
  void offer(const juce::File& capture, const juce::String& description);  // offers to convert it
  void close();
  void tick(float seconds);  // call while it is visible

  std::function<void()> on_close;

 private:
  // Paragraphs, followed by remarks on the recordings. Remarks that do not fit are counted.
  class Text final : public juce::Component, public juce::SettableTooltipClient {
   public:
    Text() { setTitle("What to do"); }
    void show(const juce::String& text, const std::vector<LearnRemark>& remarks);

   private:
    void paint(juce::Graphics& g) override;

    juce::String text_;
    std::vector<LearnRemark> remarks_;
  };
  class Progress final : public juce::Component {
   public:
    Progress() { setTitle("Progress"); }
    void show(float part, const juce::String& text);

   private:
    void paint(juce::Graphics& g) override;

    float part_ = -1;
    juce::String text_;
  };

  void paint(juce::Graphics& g) override;
  void resized() override;
  bool keyPressed(const juce::KeyPress& key) override;
  void visibilityChanged() override;
  void begin(Processor::LearnFrom from);
  void keep();
  void discard();
  void show(const LearnStatus& status);
  void show_buttons(const LearnStatus& status, const LearnWords& words);

  Processor& processor_;
  juce::Label title_, error_, dry_name_, wet_name_;
  Text text_;
  Progress progress_;
  ErrorCurve curve_;
  LevelMeter dry_, wet_;
  juce::TextEditor name_;
  juce::TextButton learn_{"Learn"}, signal_{"Play test signal"}, stop_, keep_{"Keep"}, discard_{"Discard"};
  IconButton close_{Icon::close, "Close the Learn page", "Close (Escape); the learning continues"};
  juce::File offered_;  // empty: none
  juce::String offer_text_;
  bool converts_ = false;  // converts another program's capture, so no input is needed
  juce::String problem_;   // of the last action
  float since_status_s_ = 0, since_sound_s_ = 10;
};

}  // namespace coil::plugin
