// The field `snapshots` of a rig's JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/json_fields.h"
#include "dsp/rig.h"

namespace coil::dsp {

// Empty if the rig has none. Throws Error. [any thread but the audio thread]
RigSnapshots read_snapshots(const JsonFields& rig, std::vector<std::string>& warnings);
nlohmann::ordered_json snapshots_json(const RigSnapshots& snapshots);

}  // namespace coil::dsp
