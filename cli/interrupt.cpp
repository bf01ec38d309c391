// The flags that the signal handlers set.
#include "cli/interrupt.h"

#include <signal.h>

#include <atomic>

#include "cli/failure.h"

namespace coil::cli {
namespace {

std::atomic<bool> flag{false}, reload{false};
static_assert(std::atomic<bool>::is_always_lock_free, "the only thing that a signal handler may touch");

}  // namespace

void catch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = [](int) { flag.store(true); };
  sigemptyset(&action.sa_mask);
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // no SA_RESTART: a blocked read returns, and its loop checks the
                                                     // flag
  for (int signal_number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before = {};
    sigaction(signal_number, nullptr, &before);
    if (before.sa_handler != SIG_IGN) sigaction(signal_number, &action, nullptr);  // stays ignored, as nohup needs it
  }
  for (int signal_number : {SIGPIPE, SIGXFSZ}) signal(signal_number, SIG_IGN);
}

void catch_reload() {
  struct sigaction action = {};
  action.sa_handler = [](int) { reload.store(true); };
  sigemptyset(&action.sa_mask);
  sigaction(SIGHUP, &action, nullptr);
}

bool asked_to_reload() noexcept { return reload.exchange(false); }

bool interrupted() noexcept { return flag.load(); }

void throw_if_interrupted() {
  if (interrupted()) throw Interrupted();
}

}  // namespace coil::cli
