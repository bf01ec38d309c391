// Names are made once per value field; later records only point to them.
#include "sensor/results/encoder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

namespace coil::sensor {
namespace {

constexpr size_t kBytesOfField = 40;  // per added field, typically

Added number_or_null(std::string_view name, bool exists, double value) {
  return {name, exists && std::isfinite(value) ? Field::Kind::number : Field::Kind::null, value, {}};
}

}  // namespace

// The names of the added fields of one value field.
struct Encoder::Names {
  std::string field, expected, low, high, score;
  struct Ahead {
    std::string median, low, high;
  };
  std::vector<Ahead> ahead;

  Names(const AddedFields& fields, std::string_view of) : field(of), expected(expected_name(fields.prefix, of)) {
    const std::string base = fields.prefix + field + "_";
    low = base + "low", high = base + "high", score = base + "score";
    for (const size_t horizon : fields.horizons) {
      const std::string at = forecast_name(fields.prefix, field, horizon);
      ahead.push_back({at, at + "_low", at + "_high"});
    }
  }

  template <class Visit>
  void visit(bool with_score, Visit see) const {
    see(expected), see(low), see(high);
    if (with_score) see(score);
    for (const Ahead& at : ahead) see(at.median), see(at.low), see(at.high);
  }
};

std::string expected_name(std::string_view prefix, std::string_view value) {
  return std::string(prefix).append(value).append("_expected");
}

std::string forecast_name(std::string_view prefix, std::string_view value, size_t horizon) {
  return std::string(prefix).append(value).append("_forecast_").append(std::to_string(horizon));
}

std::vector<std::string> added_names(const AddedFields& fields, std::span<const std::string_view> values) {
  std::vector<std::string> names;
  for (const std::string_view value : values) {
    const std::string base = fields.prefix + std::string(value) + "_";
    for (const char* what : {"expected", "low", "high"}) names.push_back(base + what);
    if (values.size() > 1) names.push_back(base + "score");
    for (const size_t horizon : fields.horizons) {
      for (const char* what : {"", "_low", "_high"})
        names.push_back(forecast_name(fields.prefix, value, horizon) + what);
    }
  }
  for (const char* what : {"score", "status", "episode", "cause"}) names.push_back(fields.prefix + what);
  return names;
}

void take_time_out(Record& record, Selection& selection) {
  if (!selection.time_field) return;
  record.time_ns = selection.time_ns;
  std::array<const Field*, 2> fields = {selection.time_field, selection.clock_field};
  std::sort(fields.begin(), fields.end(), std::greater<>());
  for (const Field* field : fields) {
    if (field) record.fields.erase(record.fields.begin() + (field - record.fields.data()));
  }
  selection.time_field = selection.clock_field = nullptr;
}

Encoder::Encoder(const AddedFields& fields)
    : fields_(fields),
      score_name_(fields.prefix + "score"),
      status_name_(fields.prefix + "status"),
      episode_name_(fields.prefix + "episode"),
      cause_name_(fields.prefix + "cause") {}
Encoder::~Encoder() = default;

const Encoder::Names& Encoder::names(size_t place, std::string_view field) {
  if (place >= last_names_.size()) last_names_.resize(place + 1);
  const Names*& last = last_names_[place];
  if (last && last->field == field) return *last;
  std::unique_ptr<Names>& names = names_[std::string(field)];
  if (!names) names = std::make_unique<Names>(fields_, field);
  return *(last = names.get());
}

void Encoder::add_value(const Result& result, const ValueResult& value, const Names& names, bool with_score) {
  if (!result.is_scored) {
    names.visit(with_score, [&](const std::string& name) { added_.push_back(number_or_null(name, false, 0)); });
    return;
  }
  const Expected& expected = value.expected;
  added_.push_back(number_or_null(names.expected, expected.exists, expected.median));
  added_.push_back(number_or_null(names.low, expected.exists, expected.low));
  added_.push_back(number_or_null(names.high, expected.exists, expected.high));
  if (with_score) added_.push_back(number_or_null(names.score, !value.is_missing, value.score));
  for (size_t k = 0; k < value.ahead.size(); ++k) {
    const Expected& ahead = value.ahead[k];
    added_.push_back(number_or_null(names.ahead[k].median, ahead.exists, ahead.median));
    added_.push_back(number_or_null(names.ahead[k].low, ahead.exists, ahead.low));
    added_.push_back(number_or_null(names.ahead[k].high, ahead.exists, ahead.high));
  }
}

void Encoder::encode(const Result& result, const Format& output, bool as_it_came, std::string& text) {
  text.clear();
  added_.clear();
  bool with_score = result.values.size() > 1;
  for (size_t i = 0; i < result.values.size(); ++i) {
    const Names& names = this->names(i, result.values[i].name);
    with_score = with_score || (output.has_fixed_columns() && output.has_column(result.added_names->of(names.score)));
    add_value(result, result.values[i], names, with_score);
  }
  const char* episode = name_of(result.episode);
  added_.push_back(number_or_null(score_name_, result.has_score, result.score));
  added_.push_back({status_name_, Field::Kind::text, 0, name_of(result.status)});
  added_.push_back({episode_name_, *episode ? Field::Kind::text : Field::Kind::null, 0, episode});
  const std::string cause = result.cause ? cause_of(result) : std::string();
  added_.push_back({cause_name_, result.cause ? Field::Kind::text : Field::Kind::null, 0, cause});
  if (!result.added_names->are_plain()) {
    for (Added& added : added_) added.name = result.added_names->of(added.name);
  }
  text.reserve(result.record->line.size() + kBytesOfField * added_.size());
  output.write(*result.record, added_, as_it_came, text);
}

void Encoder::encode(const Silence& silence, const Record& record, const AddedNames& names, const Format& output,
                     bool as_it_came, std::string& text) {
  text.clear();
  const std::string cause = cause_of(silence);
  const Added added[] = {number_or_null(names.of(score_name_), false, 0),
                         {names.of(status_name_), Field::Kind::text, 0, silence.status()},
                         {names.of(episode_name_), Field::Kind::text, 0, silence.has_ended ? "end" : "begin"},
                         {names.of(cause_name_), Field::Kind::text, 0, cause}};
  output.write(record, added, as_it_came, text);
}

}  // namespace coil::sensor
