// The texts for each stage.
#include "plugin/editor/learn_words.h"
#include "plugin/text.h"

#include <algorithm>
#include <cmath>

namespace coil::plugin {
namespace {

using Stage = LearnStatus::Stage;

juce::String seconds(double s) { return juce::String(static_cast<int>(std::lround(std::max(0.0, s)))) + " s"; }

LearnWords before_it_begins(const LearnConnection& connection) {
  LearnWords words;
  words.title = "Learn a device";
  if (connection.is_live) {
    words.text =
        "1. Plug your guitar into input 1, as it also goes into the device.\n"
        "2. Plug the device's output into input 2, and unmute the input.\n"
        "3. Press Learn and play for a minute.\n"
        "Or connect an output to the device and its return to an input, and let Coil play its test signal: loud, for "
        "a minute. Turn down amplifiers first.";
    return words;
  }
  words.text =
      "1. Send the dry sound into this track, as it also goes into the device.\n"
      "2. Send what comes back from the device into this plugin's side chain.\n"
      "3. Press Learn and play for a minute.";
  if (!connection.sound_runs)
    words.text << "\nNo sound arrives yet: start the host's playback or monitoring.";
  else if (!connection.has_return)
    words.text << "\nThe side chain is not connected yet: route the device's return to it in the host.";
  return words;
}

// Whether learning has made no progress for a while, although there is something to learn from.
bool waits_for_processor(const LearnStatus& status) {
  constexpr double kLongS = 8, kEnoughS = 5;
  const double last_s = status.curve.empty() ? kEnoughS : status.curve.back().seconds;
  const bool works = status.stage == Stage::gathering || status.stage == Stage::learning;
  return works && !status.converts && status.sounding_s > kEnoughS && status.elapsed_s - last_s > kLongS;
}

LearnWords while_it_gathers(const LearnStatus& status) {
  LearnWords words;
  if (status.converts) {
    words.title = "Converting";
    words.text = "The capture plays a test signal, from which the model learns.";
    words.progress = static_cast<float>(status.progress);
    words.progress_text = "Playing: " + juce::String(juce::roundToInt(100 * status.progress)) + " %";
    words.stop = {};
    return words;
  }
  words.title = status.plays_signal ? "Playing the test signal" : "Play";
  words.text =
      status.plays_signal
          ? "Leave the device as it is. The model learns meanwhile."
          : "Loud and soft, chords and single notes, low and high, with short rests. The model learns meanwhile, "
            "and plays as soon as it is better than nothing.";
  const double done = status.plays_signal ? status.recorded_s : status.sounding_s;
  words.progress = static_cast<float>(done / std::max(1.0, status.wanted_s));
  words.progress_text = seconds(std::min(done, status.wanted_s)) + " of " + seconds(status.wanted_s) +
                        (status.plays_signal ? "" : " of sound");
  words.stop = "Stop recording";
  return words;
}

LearnWords words_of_stage(const LearnStatus& status, const LearnConnection& connection) {
  LearnWords words;
  switch (status.stage) {
    case Stage::idle:
      return before_it_begins(connection);
    case Stage::gathering:
      return while_it_gathers(status);
    case Stage::learning:
      words.title = status.converts ? "Converting" : "Learning";
      words.text = status.converts
                       ? "In the background: what plays plays on. The model then goes into the library, and loads."
                       : "You can stop playing. What is best so far is heard.";
      words.progress = static_cast<float>(status.progress);
      words.progress_text =
          juce::String(juce::roundToInt(100 * status.progress)) + " %, about " + seconds(status.left_s) + " left";
      words.stop = "Stop learning";
      return words;
    case Stage::done:
      words.title = "Learned";
      words.text = status.message.empty() ? juce::String("Play the model. Keep it under a name, or discard it.")
                                          : from_utf8(status.message);
      return words;
    case Stage::saving:
      words.title = "Saving";
      words.text = "The model is written, and measured for its report.";
      return words;
    case Stage::kept:
      words.title = "Kept: " + from_utf8(status.model.stem().string());
      words.text = from_utf8(status.message) +
                   "\nThe report with pictures and sounds is beside it in the library's folder 'learned'.";
      return words;
    case Stage::failed:
      words.title = status.converts ? "Not converted" : "Not learned";
      words.text = from_utf8(status.message);
      words.text = capitalised(words.text) + ".";
      return words;
  }
  return words;
}

}  // namespace

LearnWords words_for(const LearnStatus& status, const LearnConnection& connection) {
  LearnWords words = words_of_stage(status, connection);
  if (waits_for_processor(status))
    words.text << "\nThe processor is busy: learning waits for time that nothing else needs.";
  return words;
}

juce::String error_text(double esr) {
  const double percent = 100 * esr;
  const int digits = std::clamp(1 - static_cast<int>(std::floor(std::log10(std::max(percent, 1e-6)))), 0, 5);
  const char* const verdict = esr < 0.001  ? "hard to tell from the device"
                              : esr < 0.01 ? "close to the device"
                              : esr < 0.1  ? "like the device"
                                           : "still rough";
  return juce::String(percent, digits) + " % (" +
         juce::String(juce::roundToInt(10 * std::log10(std::max(esr, 1e-12)))) + " dB): " + verdict;
}

}  // namespace coil::plugin
