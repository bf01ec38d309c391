// What a Mamba checkpoint's tensors are called, whatever program wrote them.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace coil::ssm {

// From transformers' names ("backbone.layers.0.norm.weight", "backbone.embeddings.weight", "lm_head.weight") to those
// in the files, for the tensors where they differ: by what stands in front ("model.", nothing, "module.backbone." of a
// wrapper), and by state-spaces' "embedding".
std::map<std::string, std::string, std::less<>> upstream_names(const std::vector<std::string>& stored);

}  // namespace coil::ssm
