// Finds the prefix of a checkpoint's tensor names from the names of its layers.
#include "ssm/model/upstream_names.h"

#include <algorithm>
#include <optional>
#include <set>

#include "ssm/model/config.h"

namespace coil::ssm {

namespace {

constexpr const char* kPrefix = "backbone.";

// "model." from "model.layers.12.mixer.D".
std::optional<std::string> prefix_of_layer(const std::string& name) {
  const std::string word = "layers.";
  for (size_t at = name.find(word); at != std::string::npos; at = name.find(word, at + 1)) {
    if (at > 0 && name[at - 1] != '.') continue;
    const size_t digits = at + word.size(), end = name.find_first_not_of("0123456789", digits);
    if (end == std::string::npos || end == digits) continue;
    if (name[end] == '.') return name.substr(0, at);
  }
  return std::nullopt;
}

// The common prefix of all layers; empty if there are several, or no layers.
std::optional<std::string> common_prefix(const std::vector<std::string>& names) {
  std::set<std::string> found;
  for (const std::string& name : names)
    if (const auto prefix = prefix_of_layer(name)) found.insert(*prefix);
  // heads that predict several tokens have their own layers
  for (const char* usual : {kPrefix, "model."})
    if (found.contains(usual)) return usual;
  return found.size() == 1 ? std::optional(*found.begin()) : std::nullopt;
}

}  // namespace

std::map<std::string, std::string, std::less<>> upstream_names(const std::vector<std::string>& stored) {
  std::map<std::string, std::string, std::less<>> names;
  const std::optional<std::string> prefix = common_prefix(stored);
  const std::set<std::string> there(stored.begin(), stored.end());
  const auto take = [&](const std::string& name, const std::string& as) {
    if (!there.contains(name)) names.try_emplace(name, as);
  };
  const std::string head = std::string(kHeadName) + ".weight";
  for (const std::string& name : stored) {
    if (name.ends_with("." + head)) take(head, name);
    if (!prefix || !name.starts_with(*prefix)) continue;
    const std::string rest = name.substr(prefix->size());
    if (rest == "embedding.weight" || rest == "embed_tokens.weight")
      take(std::string(kEmbeddingName) + ".weight", name);
    else if (rest == "embeddings.weight" || rest.starts_with("layers.") || rest.starts_with("norm_f.") ||
             rest.starts_with("norm.") || rest.starts_with("final_layernorm."))
      take(kPrefix + rest, name);
  }
  return names;
}

}  // namespace coil::ssm
