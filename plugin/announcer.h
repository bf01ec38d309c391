// The interface through which parts of the plugin report changes to the host and the window.
#pragma once

namespace coil::plugin {

enum class By { player, host };

// [any thread but the audio thread], without the store's mutex
class Announcer {
 public:
  virtual ~Announcer() = default;

  // The host learns of the latency at once; host and window get everything else on the message thread.
  virtual void tell_of_change(By by) = 0;
  virtual void tell_window() = 0;  // after a request or an error
};

}  // namespace coil::plugin
