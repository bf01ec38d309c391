// The tensor names of a Mamba checkpoint, for every program that writes them.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace coil::ssm {

// Maps transformers' names ("backbone.layers.0.norm.weight", "backbone.embeddings.weight", "lm_head.weight") to those
// in the files, for the tensors whose names differ. The differences are the prefix ("model.", none, or a wrapper's
// "module.backbone."), and state-spaces' "embedding".
std::map<std::string, std::string, std::less<>> upstream_names(const std::vector<std::string>& stored);

}  // namespace coil::ssm
