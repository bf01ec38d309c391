// The values of a sensor, or of several sensors, that are judged together.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sensor/results/broken_relation.h"
#include "sensor/scoring/relations.h"

namespace coil::sensor {

// Values arrive one by one. A round ends when each has arrived, or when one has arrived so often that the missing ones
// are given up. A round is judged as a whole. One thread at a time.
class Group {
 public:
  static constexpr size_t kMostMembers = 32;

  struct Verdict {
    double evidence = 0, event = 0;  // as in Relations::Judgement
    BrokenRelation relation;         // if there is an event
  };

  // A value of a record; NaN: missing. [any thread]
  void see(std::string_view key, std::string_view name, double value);
  // Call after all values of a record of the sensor `key`. The verdict on a round belongs to the sensor whose value is
  // the cause, and comes with its next record. [any thread]
  Verdict judge(std::string_view key);

  // `Writer`, `Reader`: of state files.
  template <class Writer>
  void write(Writer& writer) const {
    writer.value(static_cast<uint64_t>(members_.size()));
    for (const Member& member : members_) {
      writer.text(member.key), writer.text(member.name);
      writer.value(member.value), writer.value(member.came), writer.value(member.absent);
    }
    writer.value(longest_);
    writer.value(waiting_.has_value());
    if (waiting_) {
      const Relations::Judgement& judgement = waiting_->judgement;
      for (const double number : {judgement.evidence, judgement.event, judgement.expected, waiting_->number})
        writer.value(number);
      for (const size_t place : {judgement.value, judgement.others[0], judgement.others[1]})
        writer.value(static_cast<uint64_t>(place));
    }
    writer.value(relations_ != nullptr);
    if (relations_) relations_->write(writer);
  }
  template <class Reader>
  void read(Reader& reader) {
    for (auto count = reader.template value<uint64_t>(); count > 0; --count) {
      Member& member = members_.emplace_back();
      member.key = reader.text(), member.name = reader.text();
      member.value = reader.template value<double>();
      member.came = reader.template value<uint32_t>(), member.absent = reader.template value<uint32_t>();
    }
    longest_ = reader.template value<double>();
    if (reader.template value<bool>()) {
      Waiting& waiting = waiting_.emplace();
      Relations::Judgement& judgement = waiting.judgement;
      for (double* number : {&judgement.evidence, &judgement.event, &judgement.expected, &waiting.number})
        *number = reader.template value<double>();
      for (size_t* place : {&judgement.value, &judgement.others[0], &judgement.others[1]})
        *place = reader.template value<uint64_t>();
    }
    if (reader.template value<bool>()) {
      relations_ = std::make_unique<Relations>(members_.size());
      relations_->read(reader);
    }
  }

 private:
  struct Member {
    std::string key, name;
    double value = NAN;
    uint32_t came = 0, absent = 0;  // arrivals in this round; rounds in a row without one
  };
  struct Waiting {
    Relations::Judgement judgement;
    double number = 0;  // the value that is the cause
  };

  Member* find(std::string_view key, std::string_view name);
  bool is_over() const;
  Waiting end_round();
  Verdict verdict_of(const Waiting& waiting) const;

  std::vector<Member> members_;
  size_t next_ = 0;     // the member that is expected next
  double longest_ = 0;  // most arrivals of one value in a complete round
  std::optional<Waiting> waiting_;
  std::unique_ptr<Relations> relations_;  // null: there is only one member
  std::vector<double> values_;
};

}  // namespace coil::sensor
