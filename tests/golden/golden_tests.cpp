// Runs every golden file through every execution on every SIMD target, and checks that the comparison detects errors.
#include "ssm/verify/golden.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "ssm/model/safetensors.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;

const std::filesystem::path kDir = COIL_GOLDEN_DIR;

// The design's tolerance for float32: 1e-5 of max(1, peak), which is 84 epsilon. A signal undergoes about 50 roundings
// per layer and frame (two projections, exponentials accurate to 5 epsilon, a scan that forgets) in at most 4 layers.
constexpr double kTolerance = 1e-5;
// dt reaches 100 in this file. dt A log2(e) is about 2^7, so its rounding error alone changes the exponential by 2^7
// epsilon.
constexpr double kLargeDeltaTolerance = 1e-4;
// The reference computes in double precision. The remaining error is the rounding of the file's numbers to float32,
// half an epsilon of the peak.
constexpr double kReferenceTolerance = 1e-7;

const std::map<std::string, std::vector<std::string>> kFiles = {
    {"selective scan",
     {"op_ss_l1", "op_ss_l7", "op_ss_l64", "op_ss_l64_n64", "op_ss_l257_n4", "op_ss_l2048", "op_ss_init",
      "op_ss_groups2_init", "op_ss_constB", "op_ss_constC", "op_ss_constBC_plain", "op_ss_nosoftplus_nobias",
      "op_ss_nosoftplus_bias", "op_ss_large_delta"}},
    {"ssd", {"op_ssd_a", "op_ssd_groups2_init", "op_ssd_l1_init"}},
    {"mamba1",
     {"mamba1_d16_l2", "mamba1_d24_conv3_noconvbias_bias_rank5", "mamba1_d32_noconvbias", "mamba1_d64_l4",
      "mamba1_lm_v97_tied"}},
    {"falcon_mamba", {"falcon_mamba_d32", "falcon_mamba_lm_v97"}},
    {"mamba2",
     {"mamba2_d32_g1", "mamba2_d32_g2_conv3_bias", "mamba2_d64_g2_n64", "mamba2_groupnorm_g2", "mamba2_lm_v97"}},
    {"mamba3",
     {"mamba3_mimo_r2_norm_rope1", "mamba3_mimo_r4", "mamba3_siso_d32", "mamba3_siso_d32_n32_g2_rope1",
      "mamba3_siso_d64_l2_norm", "mamba3_siso_lm_v97"}},
    {"jamba", {"jamba_l3_dense_audio", "jamba_l4_moe4"}},
    {"s4d", {"s4d_complex_bilinear", "s4d_complex_zoh", "s4d_layer_complex_zoh", "s4d_real_bilinear", "s4d_real_zoh"}},
    {"forecaster", {"coil_forecaster"}},
    {"rest", {"coil_rest", "coil_rest_knobs", "coil_rest_slow"}},
};

std::filesystem::path file_of(const std::string& name) { return kDir / (name + ".safetensors"); }

void check_family(const std::string& family) {
  const auto targets = ssm::Target::all();
  REQUIRE(!targets.empty());
  for (const std::string& name : kFiles.at(family)) {
    const auto golden = ssm::Golden::open(file_of(name));
    golden.require_complete();
    const auto results = golden.run(ssm::all_golden_executions(), targets);
    CHECK(results.size() == 1 + 3 * targets.size());
    for (const ssm::GoldenResult& result : results) {
      INFO(name << " " << ssm::to_string(result.execution) << " " << result.target << ", worst state "
                << result.errors.worst_state);
      const double tolerance = result.execution == ssm::GoldenExecution::reference ? kReferenceTolerance
                               : name == "op_ss_large_delta"                       ? kLargeDeltaTolerance
                                                                                   : kTolerance;
      CHECK(result.errors.output <= tolerance);
      CHECK(result.errors.output_step <= tolerance);
      CHECK(result.errors.state <= tolerance);
    }
  }
}

TEST_CASE("selective scan files agree") { check_family("selective scan"); }
TEST_CASE("ssd files agree") { check_family("ssd"); }
TEST_CASE("mamba1 files agree") { check_family("mamba1"); }
TEST_CASE("falcon_mamba files agree") { check_family("falcon_mamba"); }
TEST_CASE("mamba2 files agree") { check_family("mamba2"); }
TEST_CASE("mamba3 files agree") { check_family("mamba3"); }
TEST_CASE("jamba files agree") { check_family("jamba"); }
TEST_CASE("s4d files agree") { check_family("s4d"); }
TEST_CASE("forecaster files agree") { check_family("forecaster"); }
TEST_CASE("files of networks that are silent at rest agree") { check_family("rest"); }

TEST_CASE("the list of golden files and the folder are the same") {
  std::set<std::string> listed, found;
  for (const auto& [family, names] : kFiles) listed.insert(names.begin(), names.end());
  for (const auto& entry : std::filesystem::directory_iterator(kDir))
    if (entry.path().extension() == ".safetensors") found.insert(entry.path().stem().string());
  CHECK(listed == found);
}

// Logits of transformers for directories as it saves them, and of mamba_ssm's arithmetic for its own format.
TEST_CASE("hybrids agree with transformers and mamba_ssm") {
  size_t directories = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kDir / "hybrids")) {
    if (!entry.is_directory()) continue;
    ++directories;
    const auto golden = ssm::Golden::open(entry.path(), entry.path().string() + ".io.safetensors");
    CHECK(golden.warnings().empty());
    for (const ssm::GoldenResult& result : golden.run(ssm::all_golden_executions(), ssm::Target::all())) {
      INFO(entry.path() << " " << ssm::to_string(result.execution) << " " << result.target);
      CHECK(result.errors.output <= kTolerance);
    }
  }
  CHECK(directories == 7);
}

TEST_CASE(
    "attention without a window is an error that says how to set it, and a window shorter than the input counts") {
  const auto directory = kDir / "hybrids" / "jamba_a";
  CHECK_THROWS_WITH(ssm::Model::load(directory), Catch::Contains("--window N") && Catch::Contains("sliding_window"));
  const ssm::GoldenExecution reference[] = {ssm::GoldenExecution::reference};
  const auto error = [&](int window) {
    return ssm::Golden::open(directory, directory.string() + ".io.safetensors", window)
        .run(reference, {})[0]
        .errors.output;
  };
  CHECK(error(4) > 1e-3);
  CHECK(error(45) <= kTolerance);
  CHECK(error(1000) <= kTolerance);
}

// A golden file as tensors that can be changed and rewritten.
struct Editable {
  std::map<std::string, std::string> metadata;
  std::vector<ssm::NamedFloats> tensors;

  explicit Editable(const std::string& name) {
    const auto file = ssm::Safetensors::open(file_of(name));
    metadata = file.metadata();
    for (const auto& [tensor_name, tensor] : file.tensors())
      tensors.push_back({tensor_name, tensor.shape, tensor.to_floats()});
  }

  ssm::NamedFloats& tensor(const std::string& name) {
    for (auto& tensor : tensors)
      if (tensor.name == name) return tensor;
    throw std::runtime_error("no tensor " + name);
  }

  void remove(const std::string& name) {
    std::erase_if(tensors, [&](const auto& tensor) { return tensor.name == name; });
  }

  ssm::Golden open(const test::TempDir& dir) const {
    ssm::write_safetensors(dir / "edited.safetensors", metadata, tensors);
    return ssm::Golden::open(dir / "edited.safetensors");
  }
};

ssm::GoldenErrors reference_errors(const ssm::Golden& golden) {
  const ssm::GoldenExecution reference[] = {ssm::GoldenExecution::reference};
  return golden.run(reference, {}).at(0).errors;
}

TEST_CASE("a missing golden file, or one without expected values, is an error") {
  CHECK_THROWS_AS(ssm::Golden::open(file_of("mamba1_no_such_file")), Error);

  const test::TempDir dir;
  for (const char* name : {"input", "output"}) {
    Editable file("mamba1_d16_l2");
    file.remove(name);
    CHECK_THROWS_WITH(file.open(dir), Catch::Contains(std::string("tensor ") + name + " is missing"));
  }
  for (const char* name : {"output_step", "state.0.conv", "state.1.ssm"}) {
    Editable file("mamba1_d16_l2");
    file.remove(name);
    CHECK_THROWS_WITH(file.open(dir).require_complete(),
                      Catch::Contains(std::string("tensor ") + name + " is missing"));
  }
  Editable operator_file("op_ssd_a");
  operator_file.remove("state.ssm");
  CHECK_THROWS_WITH(operator_file.open(dir).require_complete(), Catch::Contains("tensor state.ssm is missing"));
}

TEST_CASE("a file with input and output only can still be compared") {
  const test::TempDir dir;
  Editable file("mamba2_groupnorm_g2");
  file.remove("output_step");
  std::erase_if(file.tensors, [](const auto& tensor) {
    return tensor.name.starts_with("state.") || tensor.name.starts_with("debug.");
  });
  const auto golden = file.open(dir);
  CHECK_FALSE(golden.has_states());
  CHECK(reference_errors(golden).output <= kReferenceTolerance);
  CHECK(reference_errors(golden).state == 0);
}

TEST_CASE("states that the model does not have are an error") {
  const test::TempDir dir;
  Editable file("mamba1_d16_l2");
  file.tensor("state.1.ssm").name = "state.7.ssm";
  CHECK_THROWS_WITH(file.open(dir), Catch::Contains("state.7.ssm is not a state of this model"));
}

TEST_CASE("a wrong value at any place is detected, relative to max(1, peak)") {
  const test::TempDir dir;
  for (const std::string name : {"mamba1_d16_l2", "op_ss_l64", "op_ssd_a", "s4d_complex_zoh"}) {
    for (const std::string where :
         {"output", "output_step", name.starts_with("mamba") ? "state.1.conv" : "state.ssm"}) {
      INFO(name << " " << where);
      Editable file(name);
      auto& values = file.tensor(where).values;
      float peak = 1;
      for (float v : values) peak = std::max(peak, std::abs(v));
      values.back() = values.back() > 0
                          ? values.back() - 0.125f
                          : values.back() + 0.125f;  // the last entry's last value; does not increase the peak
      const auto errors = reference_errors(file.open(dir));
      const double found = where == "output"        ? errors.output
                           : where == "output_step" ? errors.output_step
                                                    : errors.state;
      CHECK(found == Approx(0.125 / peak).epsilon(1e-3));
      CHECK(errors.worst() == found);
    }
  }
}

TEST_CASE("expected values that are not finite are an error") {
  const test::TempDir dir;
  Editable file("op_ss_l7");
  file.tensor("output").values[3] = std::nanf("");
  CHECK_THROWS_WITH(file.open(dir), Catch::Contains("output holds a value that is not finite"));
}

TEST_CASE("shapes that do not match are an error") {
  const test::TempDir dir;
  const auto swapped = [&](const std::string& name, const std::string& tensor) {
    Editable file(name);
    std::swap(file.tensor(tensor).shape[0], file.tensor(tensor).shape[1]);
    CHECK_THROWS_AS(file.open(dir), Error);
  };
  swapped("mamba1_d16_l2", "output");
  swapped("mamba1_d16_l2", "state.0.ssm");
  swapped("op_ss_l64", "delta");
  swapped("op_ss_l64", "B");
  swapped("op_ss_constB", "B");
  swapped("op_ssd_a", "dt");
  swapped("op_ssd_a", "C");
}

TEST_CASE("names of executions") {
  for (const auto execution : ssm::all_golden_executions())
    CHECK(ssm::golden_execution_from_name(ssm::to_string(execution)) == execution);
  CHECK_THROWS_WITH(ssm::golden_execution_from_name("fast"), Catch::Contains("reference, step, block, scan"));
}

}  // namespace
