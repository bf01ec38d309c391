// ChainPlayer: makes cabinet or stages anew if their version is no longer the one that plays.
#include "plugin/chain_player.h"

#include <exception>
#include <string>

namespace coil::plugin {

void ChainPlayer::follow() {
  const std::lock_guard making(making_);
  CabinetContent cabinet;
  StageList stages;
  uint64_t cabinet_version = 0, stages_version = 0;
  int slot = 0;
  {
    const std::lock_guard lock(store_.mutex);
    cabinet_version = store_.cabinet.version;
    stages_version = store_.stages_version;
    cabinet = store_.cabinet.content;
    stages = store_.stages;
    slot = store_.active_slot;
  }
  const auto play = [](uint64_t version, uint64_t& played, auto&& make, auto&& refuse) {
    if (version == played) return;
    try {
      make();
    } catch (const std::exception& error) {
      refuse(error.what());
    }
    played = version;
  };
  play(
      cabinet_version, played_cabinet_,
      [&] {
        store_.rack.load_tail(tail_of(cabinet));
        cabinet_seconds_ = plugin::tail_seconds(cabinet);
      },
      [&](const std::string& error) { store_.set_response_error(0, error); });
  play(
      stages_version, played_stages_,
      [&] {
        store_.rack.set_stages(rack_stages(stages));
        further_seconds_ = plugin::tail_seconds(stages);
      },
      [&](const std::string& error) { store_.set_error(slot, error); });
}

double ChainPlayer::tail_seconds() const {
  return further_seconds_ + (store_.parameters.cabinet_on->get() ? cabinet_seconds_.load() : 0);
}

}  // namespace coil::plugin
