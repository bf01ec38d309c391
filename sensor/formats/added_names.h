// What added fields are called where records have fields of the same names themselves.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sensor/records/record.h"

namespace coil::sensor {

// A name that a record's own field has is given up for all records from there on: `coil_` is put before it, as often as
// needed. Does not change once it is shared between threads.
class AddedNames {
 public:
  static constexpr std::string_view kPrefix = "coil_";

  AddedNames() = default;
  explicit AddedNames(const std::vector<std::string>& taken);

  bool are_plain() const { return renamed_.empty(); }
  // What the added field is called now; `name` lives as long as the result.
  std::string_view of(std::string_view name) const;
  // Names that records' own fields have, in order.
  std::vector<std::string> taken() const;

  // Those of the record's own names that would be an added one's and are not known yet. `prefix`: of all added names.
  // [any thread]
  std::vector<std::string> clashes(const Record& record, std::string_view prefix) const;

 private:
  std::map<std::string, std::string, std::less<>> renamed_;
};

// What the added field is called in a result, where `has` says which fields that has. [any thread]
template <class Has>
std::string name_in_result(std::string name, Has has) {
  while (has(std::string(AddedNames::kPrefix) + name)) name.insert(0, AddedNames::kPrefix);
  return name;
}

// Whether clashes() may find any: quick, for every record. [any thread]
bool may_clash(const Record& record, std::string_view prefix);

}  // namespace coil::sensor
