// The state of a stream: layout, named tensors, copies, and its file format.
#include "ssm/model/state.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;

// Two tensors; the second is transposed and padded in the arena.
std::shared_ptr<ssm::StateLayout> small_layout(const std::string& hash = "0123456789abcdef0123456789abcdef") {
  auto layout = std::make_shared<ssm::StateLayout>();
  layout->model_hash = hash;
  layout->add({"state.0.conv", {3}}, 3, {0, 1, 2});
  layout->add({"state.0.ssm", {2, 3}}, 32, {0, 16, 1, 17, 2, 18});
  return layout;
}

TEST_CASE("tensors of a layout begin at aligned places and do not overlap") {
  const auto layout = small_layout();
  REQUIRE(layout->tensors.size() == 2);
  CHECK(layout->tensors[0].offset == 0);
  CHECK(layout->tensors[1].offset % 16 == 0);
  CHECK(layout->tensors[1].offset >= 3);
  CHECK(layout->size >= layout->tensors[1].offset + 32);
  const ssm::State state(layout);
  CHECK(state.bytes() == layout->size * sizeof(float));
  CHECK(reinterpret_cast<uintptr_t>(state.data()) % ssm::kAlignment == 0);
}

TEST_CASE("a fresh state is zero, tensors are set and read in upstream's order") {
  ssm::State state(small_layout());
  for (const auto& tensor : state.tensors())
    for (float v : tensor.values) CHECK(v == 0);
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  state.set("state.0.ssm", values);
  const auto tensors = state.tensors();
  REQUIRE(tensors.size() == 2);
  CHECK(tensors[1].name == "state.0.ssm");
  CHECK(tensors[1].shape == std::vector<int64_t>{2, 3});
  CHECK(tensors[1].values == values);
  CHECK(tensors[0].values == std::vector<float>{0, 0, 0});
  // Element 1 is where the layout says.
  CHECK(state.data()[state.layout().tensors[1].offset + 16] == 2);

  CHECK_THROWS_WITH(state.set("state.1.ssm", values), Catch::Contains("state.1.ssm"));
  CHECK_THROWS_WITH(state.set("state.0.ssm", std::vector<float>(5)),
                    Catch::Contains("state.0.ssm") && Catch::Contains("6") && Catch::Contains("5"));
}

TEST_CASE("equality, copies and clearing") {
  ssm::State a(small_layout()), b(small_layout());
  CHECK(a == b);
  a.set("state.0.conv", std::vector<float>{1, 2, 3});
  CHECK_FALSE(a == b);
  const ssm::State copy = a;
  CHECK(copy == a);
  b.copy_from(a);
  CHECK(b == a);
  a.clear();
  CHECK_FALSE(a == b);
  CHECK(a == ssm::State(small_layout()));
  CHECK_FALSE(a == ssm::State(small_layout("ffffffffffffffffffffffffffffffff")));
}

TEST_CASE("non-finite values are detected") {
  for (float v : {std::nanf(""), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    ssm::State state(small_layout());
    CHECK(state.is_finite());
    state.set("state.0.ssm", std::vector<float>{0, 0, 0, 0, 0, v});
    CHECK_FALSE(state.is_finite());
  }
}

TEST_CASE("a state goes through a file to the bit") {
  const test::TempDir dir;
  ssm::State state(small_layout());
  state.set("state.0.conv", std::vector<float>{-0.0f, 1e-42f, 3.4e38f});
  state.set("state.0.ssm", std::vector<float>{1, 2, 3, 4, 5, 0.1f});
  state.save(dir / "s");
  const ssm::State loaded = ssm::State::load(dir / "s", small_layout());
  CHECK(loaded == state);

  const auto file = ssm::Safetensors::open(dir / "s");
  CHECK(file.metadata().at("model") == state.layout().model_hash);
  CHECK(file.tensors().at("state.0.ssm").shape == std::vector<int64_t>{2, 3});
}

TEST_CASE("a state file with another layout is rejected") {
  const test::TempDir dir;
  const auto path = dir / "state.safetensors";
  const auto layout = small_layout(), more = small_layout(), other_shape = std::make_shared<ssm::StateLayout>();
  more->add({"state.0.ring", {3}}, 3, {0, 1, 2});
  other_shape->model_hash = layout->model_hash;
  other_shape->add({"state.0.conv", {3}}, 3, {0, 1, 2});
  other_shape->add({"state.0.ssm", {3, 2}}, 32, {0, 16, 1, 17, 2, 18});
  CHECK(layout->id() == small_layout()->id());
  CHECK(layout->id() != more->id());
  CHECK(layout->id() != other_shape->id());
  ssm::State(more).save(path);
  CHECK_THROWS_WITH(ssm::State::load(path, layout), Catch::Contains("state.safetensors") &&
                                                        Catch::Contains(more->id()) && Catch::Contains(layout->id()));
  CHECK_NOTHROW(ssm::State::load(path, more));
}

TEST_CASE("a state file of another model, another version, or damaged is refused") {
  const test::TempDir dir;
  const auto layout = small_layout();
  ssm::State state(layout);
  state.save(dir / "s");

  CHECK_THROWS_WITH(
      ssm::State::load(dir / "s", small_layout("ffffffffffffffffffffffffffffffff")),
      Catch::Contains("0123456789abcdef0123456789abcdef") && Catch::Contains("ffffffffffffffffffffffffffffffff"));
  CHECK_THROWS_AS(ssm::State::load(dir / "nothing", layout), Error);

  const auto rewritten = [&](std::map<std::string, std::string> metadata,
                             const std::vector<ssm::NamedFloats>& tensors) {
    ssm::write_safetensors(dir / "t", metadata, tensors);
    return dir / "t";
  };
  const std::map<std::string, std::string> good = {{"coil_state", "1"}, {"model", layout->model_hash}};
  const std::vector<ssm::NamedFloats> tensors = state.tensors();
  CHECK(ssm::State::load(rewritten(good, tensors), layout) == state);
  CHECK_THROWS_WITH(ssm::State::load(rewritten({{"model", layout->model_hash}}, tensors), layout),
                    Catch::Contains("coil_state"));
  CHECK_THROWS_WITH(ssm::State::load(rewritten({{"coil_state", "2"}, {"model", layout->model_hash}}, tensors), layout),
                    Catch::Contains("version 2"));
  CHECK_THROWS_AS(ssm::State::load(rewritten({{"coil_state", "1"}}, tensors), layout), Error);

  auto changed = tensors;
  changed.pop_back();
  CHECK_THROWS_WITH(ssm::State::load(rewritten(good, changed), layout), Catch::Contains("state.0.ssm"));
  changed = tensors;
  changed[1].shape = {3, 2};
  CHECK_THROWS_WITH(ssm::State::load(rewritten(good, changed), layout),
                    Catch::Contains("state.0.ssm") && Catch::Contains("(2, 3)"));
  changed = tensors;
  changed[0].values[1] = std::nanf("");
  CHECK_THROWS_WITH(ssm::State::load(rewritten(good, changed), layout), Catch::Contains("finite"));
}

}  // namespace
