// A `coil` chain without layers: only the direct path.
#include "tests/support/matrix_model.h"

#include "tests/support/random_network.h"
#include "tests/support/runs.h"

namespace coil::test {

std::shared_ptr<const ssm::Model> matrix_model(int width, std::vector<float> weights, double sample_rate_hz,
                                               const std::string& card_json) {
  const std::string w = std::to_string(width);
  ModelFile file;
  file.config_json =
      R"({"model_type": "coil", "d_model": 1, "direct": true, "norm_f": false, "layers": [], "d_input": )" + w +
      R"(, "d_output": )" + w + (sample_rate_hz > 0 ? R"(, "sample_rate": )" + std::to_string(sample_rate_hz) : "") +
      "}";
  file.card_json = card_json;
  const std::vector<float> zeros(width);
  file.tensors = {{"backbone.in_proj.weight", {1, width}, zeros},
                  {"backbone.in_proj.bias", {1}, {0}},
                  {"backbone.out_proj.weight", {width, 1}, zeros},
                  {"backbone.out_proj.bias", {width}, zeros},
                  {"backbone.direct.weight", {width, width}, std::move(weights)}};
  return load(file).model();
}

}  // namespace coil::test
