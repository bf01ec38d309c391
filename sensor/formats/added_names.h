// Names of added fields when records have fields with the same names.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sensor/records/record.h"

namespace coil::sensor {

// If a record has a field with the name of an added field, the added field is renamed for all later records: `coil_` is
// prepended as often as needed. Immutable once it is shared between threads.
class AddedNames {
 public:
  static constexpr std::string_view kPrefix = "coil_";

  AddedNames() = default;
  explicit AddedNames(const std::vector<std::string>& taken);

  bool are_plain() const { return renamed_.empty(); }
  // The current name of the added field. `name` must live as long as the result.
  std::string_view of(std::string_view name) const;
  // Names that the records' own fields use, in order.
  std::vector<std::string> taken() const;

  // Names of the record's own fields that equal an added one's and are not known yet. `prefix`: of all added names.
  // [any thread]
  std::vector<std::string> clashes(const Record& record, std::string_view prefix) const;

 private:
  std::map<std::string, std::string, std::less<>> renamed_;
};

// The name of the added field in a result; `has` tells which fields the record has. [any thread]
template <class Has>
std::string name_in_result(std::string name, Has has) {
  while (has(std::string(AddedNames::kPrefix) + name)) name.insert(0, AddedNames::kPrefix);
  return name;
}

// Whether clashes() may find any; fast enough for every record. [any thread]
bool may_clash(const Record& record, std::string_view prefix);

}  // namespace coil::sensor
