// Names of the SIMD targets.
#include "ssm/machine/target.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "base/error.h"

namespace {

using coil::ssm::Target;

TEST_CASE("targets are found by their names, best first") {
  const auto all = Target::all();
  REQUIRE(!all.empty());
  CHECK(all.front() == Target::best());
  std::set<std::string> names;
  for (const Target& target : all) {
    CHECK(Target::from_name(target.name()) == target);
    names.insert(target.name());
  }
  CHECK(names.size() == all.size());
}

TEST_CASE("an unknown target is an error that lists the known ones") {
  for (const char* name : {"", "mmx", "avx2 "}) {
    try {
      Target::from_name(name);
      FAIL("accepted");
    } catch (const coil::Error& error) {
      for (const Target& target : Target::all())
        CHECK_THAT(error.what(), Catch::Contains(target.name(), Catch::CaseSensitive::No));
    }
  }
}

}  // namespace
