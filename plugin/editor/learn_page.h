// The page on which a device is learned, or a capture of another program converted.
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
  void offer(const juce::File& capture, const juce::String& description);  // to convert it
  void close();
  void tick(float seconds);  // while it is visible

  std::function<void()> on_close;

 private:
  // Paragraphs, and below them what the recordings are like; what finds no room is counted.
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
  IconButton close_{Icon::close, "Close the Learn page", "Close (Escape); what goes on goes on"};
  juce::File offered_;  // none: nothing is
  juce::String offer_text_;
  bool converts_ = false;  // a capture of another program: nothing comes in
  juce::String problem_;   // of what was pressed last
  float since_status_s_ = 0, since_sound_s_ = 10;
};

}  // namespace coil::plugin
