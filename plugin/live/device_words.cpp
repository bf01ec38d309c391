// The known errors and their meanings.
#include "plugin/live/device_words.h"
#include "plugin/text.h"

namespace coil::plugin {
namespace {

// Part of the report, in lower case, and what it means after the device's name.
struct Meaning {
  const char* report;
  const char* words;
};
constexpr const char* kNoServer =
    "cannot be reached, because the sound server (PipeWire or PulseAudio) is not running: log in again to start it, or "
    "choose the card itself in the audio settings";
constexpr Meaning kMeanings[] = {
    {"busy", "is in use by another program: close that program, or choose another card in the audio settings"},
    {"no such device", "is not connected any more: connect it, or choose another card in the audio settings"},
    {"no such file", "is not connected any more: connect it, or choose another card in the audio settings"},
    {"permission denied", "may not be used by this user: add the user to the group 'audio' and log in again"},
    {"operation not permitted", "may not be used by this user: add the user to the group 'audio' and log in again"},
    {"invalid argument",
     "does not support this rate or size of blocks: choose others in the audio settings, or 'default' as the card"},
    {"compatible pcm format", "has no format that Coil can use: choose its 'plughw' entry or 'default' as the card"},
    {"no configurations available", "is not set up: choose another card in the audio settings"},
    {"no channels", "has no channel switched on: switch one on in the audio settings"},
    {"didn't start",
     "does not start: close other programs that use it, or choose another rate or size of blocks in the audio "
     "settings"},
    {"can't open the audio device",
     "cannot be opened, perhaps because another program uses it: close that program, or choose another card in the "
     "audio "
     "settings"},
    {"input/output error", "does not answer: disconnect it and connect it again"},
    {"host is down", kNoServer},
    {"connection refused", kNoServer},
    {"connection terminated", kNoServer},
    {"timed out", kNoServer},
    {"timeout", kNoServer},
};
constexpr const char* kNoJack =
    "JACK is not running: start it, or choose ALSA in the audio settings. With PipeWire, start this program by "
    "`pw-jack coil-live`";
constexpr Meaning kJackMeanings[] = {
    {"unable to connect", kNoJack},
    {"no jack client running", kNoJack},
    {"no such device", kNoJack},
    {"version does not match", "JACK and Coil use different versions of JACK: restart JACK after its update"},
    {"unable to initialize", "JACK refuses another program: restart it, or choose ALSA in the audio settings"},
};

}  // namespace

juce::String words_for(const DeviceTrouble& trouble) {
  const juce::String report = trouble.error.toLowerCase();
  if (trouble.type == "JACK") {
    for (const Meaning& each : kJackMeanings)
      if (report.contains(each.report)) return each.words;
    if (report.isEmpty() && !trouble.any_devices) return kNoJack;
  } else if (!trouble.any_devices) {
    return "No sound card was found: connect one. If there is one, add the user to the group 'audio' and log in again";
  }
  if (trouble.name.equalsIgnoreCase("default") &&
      (report.contains("no such file") || report.contains("no such device")))
    return "This computer has no default sound card: connect one, or choose one in the audio settings";
  if (report.isEmpty() || trouble.name.isEmpty()) return "No sound card is open: choose one in the audio settings";
  for (const Meaning& each : kMeanings)
    if (report.contains(each.report)) return trouble.name + " " + each.words;
  return trouble.name + " cannot be opened (" + trouble.error.trim().replaceCharacters("\n\r", "  ") +
         "): choose another card in the audio settings";
}

juce::String words_for_dropouts(int count) {
  if (count <= 0) return {};
  return counted(count, "dropout") + ": larger blocks in the audio settings help";
}

}  // namespace coil::plugin
