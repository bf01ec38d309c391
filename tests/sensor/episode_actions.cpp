// Events at the end of a stream: delivery stops if the receiver takes none.
#include "sensor/links/episode_actions.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

namespace {

using namespace coil::sensor;
using namespace std::chrono_literals;

// How many of 40 events are offered at the end to a receiver that needs 50 ms for each.
int offered(const std::string& trouble, std::chrono::milliseconds patience_at_end) {
  std::atomic<int> offers = 0;
  const Log log;
  {
    DeliveryQueue queue(
        {.name = "test", .patience = 0s, .patience_at_end = patience_at_end},
        [&](const std::string&, const std::atomic<bool>&) {
          ++offers;
          std::this_thread::sleep_for(50ms);
          return trouble;
        },
        log);
    for (int event = 0; event < 40; ++event) queue.add("{}");
  }
  return offers;
}

TEST_CASE("at the end of a stream, delivery stops if the receiver takes nothing for a while") {
  CHECK(offered("", 60s) == 40);
  CHECK(offered("cannot be reached", 500ms) < 40);
}

}  // namespace
