// Checks executions against each other; apart from runs.cpp, because programs without Catch's main use that.
#include <catch2/catch.hpp>

#include "tests/support/runs.h"

namespace coil::test {

void check_executions(const std::shared_ptr<const ssm::Model>& model, const ssm::State& fresh,
                      std::span<const float> in, std::span<const size_t> blocks, const ssm::ScanOptions& scan,
                      const ReferenceRun& reference, double tolerance) {
  auto state = fresh;
  CHECK(relative_error(run_steps(model, state, in), reference.output) <= tolerance);
  CHECK(state_error(state, reference) <= tolerance);
  state = fresh;
  CHECK(relative_error(run_blocks(model, state, in, blocks), reference.output) <= tolerance);
  CHECK(state_error(state, reference) <= tolerance);
  state = fresh;
  CHECK(relative_error(run_scan(model, state, in, scan), reference.output) <= tolerance);
  CHECK(state_error(state, reference) <= tolerance);
}

}  // namespace coil::test
