// Compares a record's names with the names of added fields.
#include "sensor/formats/added_names.h"

#include <algorithm>

namespace coil::sensor {
namespace {

constexpr std::string_view kOfRecord[] = {"score", "status", "episode", "cause"};
constexpr std::string_view kOfValue[] = {"_expected", "_low", "_high", "_score"};
constexpr std::string_view kAhead = "_forecast_";

bool is_of_record(std::string_view name) {
  return std::find(std::begin(kOfRecord), std::end(kOfRecord), name) != std::end(kOfRecord);
}

// The value whose forecast or score has this name; empty: none.
std::string_view value_of(std::string_view name) {
  if (const size_t ahead = name.rfind(kAhead); ahead != std::string_view::npos) return name.substr(0, ahead);
  for (const std::string_view what : kOfValue) {
    if (name.ends_with(what)) return name.substr(0, name.size() - what.size());
  }
  return {};
}

// Calls is_added for the name without the prefix, then with each leading `coil_` removed, until it returns true.
template <class IsAdded>
bool is_added_name(std::string_view name, std::string_view prefix, IsAdded is_added) {
  for (;;) {
    if (name.starts_with(prefix) && is_added(name.substr(prefix.size()))) return true;
    if (!name.starts_with(AddedNames::kPrefix)) return false;
    name.remove_prefix(AddedNames::kPrefix.size());
  }
}

}  // namespace

AddedNames::AddedNames(const std::vector<std::string>& taken) {
  for (const std::string& name : taken) renamed_[name];
  for (auto& [name, free] : renamed_) {
    free = name;
    while (renamed_.contains(free)) free.insert(0, kPrefix);
  }
}

std::string_view AddedNames::of(std::string_view name) const {
  const auto found = renamed_.find(name);
  return found == renamed_.end() ? name : std::string_view(found->second);
}

std::vector<std::string> AddedNames::taken() const {
  std::vector<std::string> names;
  for (const auto& [name, free] : renamed_) names.push_back(name);
  return names;
}

std::vector<std::string> AddedNames::clashes(const Record& record, std::string_view prefix) const {
  std::vector<std::string> found;
  for (const Field& field : record.fields) {
    if (renamed_.contains(field.name)) continue;
    const bool is_taken = is_added_name(field.name, prefix, [&](std::string_view name) {
      const std::string_view value = value_of(name);
      return is_of_record(name) || (!value.empty() && record.find(value));
    });
    if (is_taken) found.emplace_back(field.name);
  }
  return found;
}

bool may_clash(const Record& record, std::string_view prefix) {
  return std::any_of(record.fields.begin(), record.fields.end(), [&](const Field& field) {
    const bool may_be_of_value = field.name.find('_') != std::string_view::npos;
    if (!may_be_of_value) return field.name.starts_with(prefix) && is_of_record(field.name.substr(prefix.size()));
    return is_added_name(field.name, prefix, [](std::string_view name) {
      return is_of_record(name) || (name.size() > 4 && !value_of(name).empty());
    });
  });
}

}  // namespace coil::sensor
