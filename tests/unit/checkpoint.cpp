// Model files and HuggingFace directories: where tensors are found, which dtypes count as weights, what is refused.
#include "ssm/model/checkpoint.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "ssm/verify/golden.h"
#include "ssm/run/model.h"
#include "ssm/verify/reference.h"
#include "ssm/model/upstream_names.h"
#include "tests/support/random_network.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;

const char* const kConfig =
    R"({"model_type": "mamba", "hidden_size": 4, "num_hidden_layers": 2, "vocab_size": 7, "state_size": 3,
                               "input_kind": "embeddings", "use_cache": true})";

void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string raw_tensor_file(const std::string& dtype, const std::string& shape, const std::string& bytes,
                            const std::string& metadata = R"("__metadata__":{"config":"{}"},)") {
  const std::string header = "{" + metadata + R"("w":{"dtype":")" + dtype + R"(","shape":)" + shape +
                             R"(,"data_offsets":[0,)" + std::to_string(bytes.size()) + "]}}";
  const uint64_t n = header.size();
  return std::string(reinterpret_cast<const char*>(&n), 8) + header + bytes;
}

template <class T>
std::string raw(std::initializer_list<T> values) {
  return std::string(reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(T));
}

// One step of the network on a fixed frame: equal only if all weights are equal.
std::vector<double> probe(const ssm::Checkpoint& checkpoint) {
  ssm::Reference reference(checkpoint);
  return reference.step(std::vector<double>{1, -0.5, 0.25, 2});
}

TEST_CASE("a directory and its shards give the same network as one file") {
  const test::TempDir dir;
  const test::ModelFile model = test::model_file(kConfig, 5);
  model.write(dir / "one.safetensors");
  const auto one = ssm::Checkpoint::open(dir / "one.safetensors");

  const auto whole = dir / "whole", sharded = dir / "sharded";
  std::filesystem::create_directory(whole);
  std::filesystem::create_directory(sharded);
  write_text(whole / "config.json", kConfig);
  write_text(sharded / "config.json", kConfig);
  ssm::write_safetensors(whole / "model.safetensors", {{"format", "pt"}}, model.tensors);

  nlohmann::json weight_map;
  std::vector<ssm::NamedFloats> shards[2];
  for (size_t i = 0; i < model.tensors.size(); ++i) {
    shards[i % 2].push_back(model.tensors[i]);
    weight_map[model.tensors[i].name] = i % 2 ? "model-2.safetensors" : "model-1.safetensors";
  }
  ssm::write_safetensors(sharded / "model-1.safetensors", {}, shards[0]);
  ssm::write_safetensors(sharded / "model-2.safetensors", {}, shards[1]);
  write_text(sharded / "model.safetensors.index.json",
             nlohmann::json{{"metadata", {{"total_size", 1}}}, {"weight_map", weight_map}}.dump());

  for (const auto& path : {whole, sharded}) {
    INFO(path);
    const auto checkpoint = ssm::Checkpoint::open(path);
    CHECK(checkpoint.names() == one.names());
    CHECK(checkpoint.hash() == one.hash());
    CHECK(probe(checkpoint) == probe(one));
    CHECK(checkpoint.card_json().empty());
  }

  // A missing shard, and names that lead out of the directory.
  std::filesystem::remove(sharded / "model-2.safetensors");
  CHECK_THROWS_WITH(ssm::Checkpoint::open(sharded), Catch::Contains("model-2.safetensors"));
  for (const std::string bad : {"../one.safetensors", "/etc/passwd", "", ".."}) {
    INFO(bad);
    for (auto& file : weight_map) file = bad;
    write_text(sharded / "model.safetensors.index.json", nlohmann::json{{"weight_map", weight_map}}.dump());
    CHECK_THROWS_AS(ssm::Checkpoint::open(sharded), Error);
  }
  for (const char* index : {"", "[]", "{}", R"({"weight_map": 3})", R"({"weight_map": {"a": 3}})"}) {
    INFO(index);
    write_text(sharded / "model.safetensors.index.json", index);
    CHECK_THROWS_WITH(ssm::Checkpoint::open(sharded), Catch::Contains("model.safetensors.index.json"));
  }
}

TEST_CASE("a file in memory is the same model as on disk, and outlives the bytes' first owner") {
  const test::TempDir dir;
  test::model_file(kConfig, 3).write(dir / "m.safetensors");
  std::ifstream file(dir / "m.safetensors", std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  auto bytes = std::make_shared<const std::vector<std::byte>>(begin, begin + text.size());
  const ssm::Checkpoint checkpoint = ssm::Checkpoint::from_bytes(std::exchange(bytes, nullptr), "a memory");
  const ssm::Checkpoint on_disk = ssm::Checkpoint::open(dir / "m.safetensors");
  CHECK(checkpoint.source() == "a memory");
  CHECK(checkpoint.hash() == on_disk.hash());
  CHECK(probe(checkpoint) == probe(on_disk));
  for (const size_t length : {size_t{0}, size_t{7}, size_t{8}, text.size() - 1}) {
    try {
      ssm::Checkpoint::from_bytes(std::make_shared<const std::vector<std::byte>>(begin, begin + length), "a memory");
      FAIL("was read");
    } catch (const Error& error) {
      CHECK_THAT(error.what(), Catch::StartsWith("a memory: "));
    }
  }
}

TEST_CASE("files that are not models are rejected") {
  const test::TempDir dir;
  CHECK_THROWS_WITH(ssm::Checkpoint::open(dir.path()), Catch::Contains("config.json"));
  write_text(dir / "config.json", kConfig);
  CHECK_THROWS_WITH(ssm::Checkpoint::open(dir.path()), Catch::Contains("model.safetensors"));
  write_text(dir / "pytorch_model.bin", "\x80");
  CHECK_THROWS_WITH(ssm::Checkpoint::open(dir.path()), Catch::Contains("pickled"));
  const test::TempDir alone;
  ssm::write_safetensors(alone / "plain.safetensors", {}, {});
  CHECK_THROWS_WITH(ssm::Checkpoint::open(alone / "plain.safetensors"), Catch::Contains("config"));
  CHECK_THROWS_AS(ssm::Checkpoint::open(dir / "nothing"), Error);
}

TEST_CASE("weights may be F32, F16, BF16 or F64") {
  const test::TempDir dir;
  const auto check = [&](const std::string& dtype, const std::string& bytes, double value) {
    INFO(dtype);
    write_text(dir / "w.safetensors", raw_tensor_file(dtype, "[1]", bytes));
    const auto checkpoint = ssm::Checkpoint::open(dir / "w.safetensors");
    CHECK(checkpoint.doubles("w", {1}) == std::vector<double>{value});
    CHECK(checkpoint.floats("w", {1}) == std::vector<float>{static_cast<float>(value)});
  };
  check("F32", raw({0.1f}), static_cast<double>(0.1f));
  check("F64", raw({0.1}), 0.1);
  check("F16", raw<uint16_t>({0xc248}), -3.140625);
  check("BF16", raw<uint16_t>({0x4049}), 3.140625);

  for (const auto& [dtype, bytes] : {std::pair<std::string, std::string>{"I32", raw<int32_t>({1})},
                                     {"BOOL", raw<uint8_t>({1})},
                                     {"U8", raw<uint8_t>({1})}}) {
    write_text(dir / "w.safetensors", raw_tensor_file(dtype, "[1]", bytes));
    CHECK_THROWS_WITH(ssm::Checkpoint::open(dir / "w.safetensors").floats("w", {1}),
                      Catch::Contains("'w'") && Catch::Contains(dtype));
  }
}

TEST_CASE("weights that are not finite in float32 are rejected") {
  const test::TempDir dir;
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  for (const auto& [dtype, bytes] :
       std::vector<std::pair<std::string, std::string>>{{"F32", raw({1.0f, infinity})},
                                                        {"F32", raw({nan, 1.0f})},
                                                        {"F32", raw({1.0f, -infinity})},
                                                        {"F64", raw({1.0, 1e300})},
                                                        {"F16", raw<uint16_t>({0x7c00, 0})},
                                                        {"F16", raw<uint16_t>({0, 0xfe01})},
                                                        {"BF16", raw<uint16_t>({0x7f80, 0})}}) {
    INFO(dtype);
    write_text(dir / "w.safetensors", raw_tensor_file(dtype, "[2]", bytes));
    CHECK_THROWS_WITH(ssm::Checkpoint::open(dir / "w.safetensors").floats("w", {2}),
                      Catch::Contains("w.safetensors") && Catch::Contains("'w'") && Catch::Contains("finite"));
  }
}

TEST_CASE("a tensor that is missing or has another shape is named with both shapes") {
  const test::TempDir dir;
  write_text(dir / "w.safetensors", raw_tensor_file("F32", "[2,3]", std::string(24, '\0')));
  const auto checkpoint = ssm::Checkpoint::open(dir / "w.safetensors");
  CHECK(checkpoint.find("w") != nullptr);
  CHECK(checkpoint.find("v") == nullptr);
  CHECK_THROWS_WITH(checkpoint.floats("v", {2, 3}),
                    Catch::Contains("w.safetensors") && Catch::Contains("'v'") && Catch::Contains("(2, 3)"));
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{3, 2}, {6}, {2, 3, 1}, {}})
    CHECK_THROWS_WITH(checkpoint.doubles("w", shape),
                      Catch::Contains("(2, 3)") && Catch::Contains(ssm::to_string(shape)));
}

TEST_CASE("a matrix stored as a convolution with one tap is read as a matrix") {
  const test::TempDir dir;
  write_text(dir / "w.safetensors", raw_tensor_file("F32", "[2,3,1]", std::string(24, '\0')));
  CHECK(ssm::Checkpoint::open(dir / "w.safetensors").floats("w", {2, 3}).size() == 6);
  write_text(dir / "w.safetensors", raw_tensor_file("F32", "[2,3,2]", std::string(48, '\0')));
  CHECK_THROWS_AS(ssm::Checkpoint::open(dir / "w.safetensors").floats("w", {2, 3}), Error);
}

// Writes the tensors of `model` under other names into a directory; returns its network's output for the probe.
std::vector<double> probe_renamed(const test::ModelFile& model, const std::function<std::string(std::string)>& rename) {
  const test::TempDir dir;
  write_text(dir / "config.json", model.config_json);
  std::vector<ssm::NamedFloats> tensors = model.tensors;
  for (ssm::NamedFloats& tensor : tensors) tensor.name = rename(tensor.name);
  ssm::write_safetensors(dir / "weights.safetensors", {{"format", "pt"}}, tensors);
  const auto checkpoint = ssm::Checkpoint::open(dir.path());
  CHECK(ssm::Model::load(checkpoint)->warnings().empty());
  CHECK(probe(ssm::Checkpoint::open(dir / "weights.safetensors")) == probe(checkpoint));  // the config is beside it
  CHECK_THROWS_WITH(checkpoint.floats("backbone.norm_f.weight", {5}),
                    Catch::Contains("'" + rename("backbone.norm_f.weight") + "'"));
  return probe(checkpoint);
}

TEST_CASE("any prefix of the tensor names gives the same network") {
  const test::ModelFile model = test::model_file(kConfig, 5);
  const std::string backbone = "backbone.";
  const std::vector<double> expected = probe_renamed(model, [](const std::string& name) { return name; });
  for (const std::string prefix : {"", "model.", "module.backbone.", "model.backbone.", "_orig_mod.backbone."}) {
    INFO("'" << prefix << "'");
    CHECK(probe_renamed(model, [&](const std::string& name) { return prefix + name.substr(backbone.size()); }) ==
          expected);
  }
}

TEST_CASE("names of layers under two prefixes are not guessed at") {
  using Names = std::map<std::string, std::string, std::less<>>;
  CHECK(ssm::upstream_names({"a.layers.0.norm.weight", "b.layers.0.norm.weight"}).empty());
  CHECK(ssm::upstream_names({"backbone.layers.0.norm.weight", "b.layers.0.norm.weight"}).empty());
  CHECK(ssm::upstream_names({"backbone.layers.0.norm.weight", "backbone.embedding.weight", "lm_head.weight"}) ==
        Names{{"backbone.embeddings.weight", "backbone.embedding.weight"}});
  CHECK(ssm::upstream_names({"m.layers.10.mixer.D", "m.norm_f.weight", "w.lm_head.weight", "input"}) ==
        Names{{"backbone.layers.10.mixer.D", "m.layers.10.mixer.D"},
              {"backbone.norm_f.weight", "m.norm_f.weight"},
              {"lm_head.weight", "w.lm_head.weight"}});
}

TEST_CASE("unused tensors cause a warning") {
  const test::TempDir dir;
  test::ModelFile model = test::model_file(kConfig, 5);
  for (const char* name : {"input", "output", "state.0.ssm", "lm_head.weight"})
    model.tensors.push_back({name, {1}, {1}});
  model.write(dir / "m.safetensors");
  CHECK(ssm::Model::load(dir / "m.safetensors")->warnings().empty());
  model.tensors.push_back({"optimizer.step", {1}, {1}});
  model.write(dir / "m.safetensors");
  const auto one = ssm::Model::load(dir / "m.safetensors")->warnings();
  REQUIRE(one.size() == 1);
  CHECK_THAT(one[0], Catch::Contains("m.safetensors") && Catch::Contains("one tensor is not used: 'optimizer.step'"));
  for (const char* name : {"x1", "x2", "x3"}) model.tensors.push_back({name, {1}, {1}});
  model.write(dir / "m.safetensors");
  CHECK_THAT(ssm::Model::load(dir / "m.safetensors")->warnings().at(0),
             Catch::Contains("4 tensors are not used: 'optimizer.step', 'x1', 'x2' ..."));
}

const char* const kTokens =
    R"({"model_type": "mamba", "hidden_size": 4, "num_hidden_layers": 1, "vocab_size": 7, "state_size": 3})";

TEST_CASE("a separate head in the file is used even if the config says that it is tied") {
  test::ModelFile model = test::model_file(kTokens, 5);
  const auto first_logit = [&] {
    const test::TempDir dir;
    model.write(dir / "m.safetensors");
    const auto checkpoint = ssm::Checkpoint::open(dir / "m.safetensors");
    return std::pair(ssm::Reference(checkpoint).step_token(3).at(0), ssm::Model::load(checkpoint)->warnings());
  };
  const auto tied = first_logit();
  CHECK(tied.second.empty());
  const auto table = *std::find_if(model.tensors.begin(), model.tensors.end(),
                                   [](const auto& t) { return t.name == "backbone.embeddings.weight"; });
  model.tensors.push_back({"lm_head.weight", table.shape, table.values});
  CHECK(first_logit() == tied);
  for (float& value : model.tensors.back().values) value *= 2;
  const auto own = first_logit();
  CHECK(own.first == Approx(2 * tied.first));
  REQUIRE(own.second.size() == 1);
  CHECK_THAT(own.second[0], Catch::Contains("lm_head.weight"));
}

TEST_CASE("state-spaces' vocabulary is as long as its tensor") {
  const test::TempDir dir;
  test::ModelFile model = test::model_file(kTokens, 5);
  for (ssm::NamedFloats& tensor : model.tensors) {
    if (tensor.name != "backbone.embeddings.weight") continue;
    tensor.name = "backbone.embedding.weight";
    tensor.shape[0] = 8;
    tensor.values.resize(8 * 4, 0.5f);
  }
  model.config_json = R"({"d_model": 4, "n_layer": 1, "vocab_size": 7, "ssm_cfg": {"d_state": 3}})";
  model.write(dir / "m.safetensors");
  CHECK(ssm::Reference(ssm::Checkpoint::open(dir / "m.safetensors")).step_token(7).size() == 8);
  CHECK(ssm::Model::load(dir / "m.safetensors")->config().d_output == 8);
}

TEST_CASE("a comparison with tokens that the model does not have is refused") {
  const test::TempDir dir;
  test::ModelFile model = test::model_file(kTokens, 5);
  model.tensors.push_back({"output", {1, 2, 7}, std::vector<float>(14)});
  const auto open = [&](int32_t first, int32_t second) {
    model.write(dir / "m.safetensors");
    const std::string header = R"({"input":{"dtype":"I32","shape":[1,2],"data_offsets":[0,8]},)"
                               R"("output":{"dtype":"F32","shape":[1,2,7],"data_offsets":[8,64]}})";
    const uint64_t n = header.size();
    write_text(dir / "io.safetensors", std::string(reinterpret_cast<const char*>(&n), 8) + header +
                                           raw<int32_t>({first, second}) + std::string(56, '\0'));
    return ssm::Golden::open(dir / "m.safetensors", dir / "io.safetensors");
  };
  CHECK(open(0, 6).frames() == 2);
  CHECK_THROWS_WITH(open(0, 7),
                    Catch::Contains("token id 7") && Catch::Contains("frame 1") && Catch::Contains("0 to 6"));
  CHECK_THROWS_WITH(open(-1, 0), Catch::Contains("token id -1"));
}

TEST_CASE("the hash changes with every part of a model, and with nothing else") {
  const test::TempDir dir;
  const auto hash_of = [&](const test::ModelFile& model) {
    model.write(dir / "m.safetensors");
    return ssm::Checkpoint::open(dir / "m.safetensors").hash();
  };
  const test::ModelFile model = test::model_file(kConfig, 5);
  const std::string hash = hash_of(model);
  CHECK(hash.size() == 32);
  CHECK(hash.find_first_not_of("0123456789abcdef") == std::string::npos);

  test::ModelFile same = model;
  std::swap(same.tensors.front(), same.tensors.back());  // the order in the file is not part of the model
  CHECK(hash_of(same) == hash);

  test::ModelFile value = model;
  value.tensors[3].values[0] = std::nextafter(value.tensors[3].values[0], 10.0f);
  CHECK(hash_of(value) != hash);
  test::ModelFile name = model;
  name.tensors[3].name += "x";
  CHECK(hash_of(name) != hash);
  test::ModelFile shape = model;
  shape.tensors[3].shape.push_back(1);
  CHECK(hash_of(shape) != hash);
  test::ModelFile config = model;
  config.config_json += " ";
  CHECK(hash_of(config) != hash);
}

TEST_CASE("the reference names what is missing from a file") {
  const test::TempDir dir;
  const test::ModelFile model = test::model_file(kConfig, 5);
  for (size_t i = 0; i < model.tensors.size(); ++i) {
    test::ModelFile without = model;
    without.tensors.erase(without.tensors.begin() + static_cast<std::ptrdiff_t>(i));
    without.write(dir / "m.safetensors");
    INFO(model.tensors[i].name);
    CHECK_THROWS_WITH(ssm::Reference(ssm::Checkpoint::open(dir / "m.safetensors")),
                      Catch::Contains("'" + model.tensors[i].name + "'"));
  }
}

}  // namespace
