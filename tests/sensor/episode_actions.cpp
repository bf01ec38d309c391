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
int offered(const std::string& trouble) {
  std::atomic<int> offers = 0;
  const Log log;
  {
    DeliveryQueue queue(
        {.name = "test", .patience = 0s, .patience_at_end = 500ms},
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
  CHECK(offered("") == 40);
  const int in_vain = offered("cannot be reached");
  CHECK((in_vain >= 1 && in_vain < 40));
}

}  // namespace
