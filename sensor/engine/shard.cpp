// In this order: plan all records, score the waiting values, conclude record by record, free memory.
#include "sensor/engine/shard.h"

#include <nlohmann/json.hpp>

#include "base/json_fields.h"

namespace coil::sensor {
namespace {

constexpr size_t kRecordsAhead = 4;  // prefetch the memory of a sensor this many records ahead

}  // namespace

int normaliser_window(const ssm::Model& model) {
  const nlohmann::json card = parse_json(model.card().json, model.source() + ": card");
  if (!card.contains("forecast")) throw Error(model.source() + ": card.forecast is missing");
  return JsonFields(card["forecast"], model.source() + ": card.forecast").whole("window", 2, 1 << 20, 256);
}

Shard::Shard(std::shared_ptr<const ssm::Model> model, const EngineOptions& options, const Schema& schema,
             Counters& counters, size_t most_series)
    : scorer_(options, counters),
      sensors_(model, scorer_.horizon_rows().outputs(), normaliser_window(*model), most_series, counters),
      planner_(options, schema, counters, sensors_, schedule_),
      encoder_(options) {}

void Shard::process(std::span<const std::unique_ptr<Arrival>> arrivals, size_t shard, const Formats& formats) {
  schedule_.clear();
  for (const auto& arrival : arrivals) {
    if (arrival->shard == shard && arrival->record.error.empty()) planner_.accept(*arrival, *formats.input);
  }
  conclude(formats);
  sensors_.evict();
}

void Shard::release_all(std::vector<std::unique_ptr<PendingRecord>>& released, const Formats& formats,
                        const AddedNames& names) {
  schedule_.clear();
  planner_.release_all(released, *formats.input, names);
  conclude(formats);
}

void Shard::conclude(const Formats& formats) {
  scorer_.run(schedule_, sensors_.batch());
  const std::vector<PendingRecord*>& records = schedule_.records;
  for (size_t i = 0; i < records.size(); ++i) {
    if (const size_t ahead = i + kRecordsAhead; ahead < records.size() && records[ahead]->sensor)
      __builtin_prefetch(&records[ahead]->sensor->memory.in_episode);
    PendingRecord& record = *records[i];
    if (record.fate == PendingRecord::Fate::kDuplicate) continue;
    scorer_.conclude(record, schedule_);
    if (!formats.output) continue;
    const bool as_it_came = formats.output == formats.input;
    if (!as_it_came) take_time_out(record.record, record.selection);
    encoder_.encode(record.result, *formats.output, as_it_came, record.text);
    record.result.text = record.text;
  }
}

}  // namespace coil::sensor
