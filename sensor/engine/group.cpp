// Collects values into rounds.
#include "sensor/engine/group.h"

#include <algorithm>

namespace coil::sensor {
namespace {

constexpr uint32_t kAwaited = 20;                    // rounds in a row that wait for a missing value
constexpr double kLongestFades = 0.9;                // per round
constexpr double kPatience = 2, kLeastPatience = 2;  // times the longest complete round; records beyond it

}  // namespace

// A new member restarts the learning.
Group::Member* Group::find(std::string_view key, std::string_view name) {
  const size_t count = members_.size();
  for (size_t i = 0; i < count; ++i) {
    const size_t place = next_ + i < count ? next_ + i : next_ + i - count;
    if (members_[place].name != name || members_[place].key != key) continue;
    next_ = place + 1 < count ? place + 1 : 0;
    return &members_[place];
  }
  if (count == kMostMembers) return nullptr;
  members_.push_back({std::string(key), std::string(name)});
  next_ = 0;
  waiting_.reset();
  if (members_.size() > 1) relations_ = std::make_unique<Relations>(members_.size());
  return &members_.back();
}

void Group::see(std::string_view key, std::string_view name, double value) {
  Member* const member = find(key, name);
  if (!member) return;
  member->value = value;
  ++member->came;
  member->absent = 0;
}

bool Group::is_over() const {
  bool all = true;
  uint32_t most = 0;
  for (const Member& member : members_) {
    all = all && (member.came > 0 || member.absent >= kAwaited);
    most = std::max(most, member.came);
  }
  return relations_ && (all || most > kPatience * longest_ + kLeastPatience);
}

Group::Waiting Group::end_round() {
  values_.clear();
  bool is_complete = true;
  uint32_t most = 0;
  for (Member& member : members_) {
    values_.push_back(member.came > 0 ? member.value : NAN);
    is_complete = is_complete && member.came > 0;
    most = std::max(most, member.came);
    if (member.came == 0 && member.absent < kAwaited) ++member.absent;
    member.came = 0;
  }
  if (is_complete) longest_ = std::max<double>(most, kLongestFades * longest_);
  const Relations::Judgement judgement = relations_->observe(values_);
  return {judgement, values_[judgement.value]};
}

Group::Verdict Group::verdict_of(const Waiting& waiting) const {
  const Relations::Judgement& judgement = waiting.judgement;
  Verdict verdict{judgement.evidence, judgement.event, {}};
  if (judgement.event == 0) return verdict;
  const Member& cause = members_[judgement.value];
  verdict.relation = {cause.key, cause.name, waiting.number, judgement.expected, {}};
  for (const size_t other : judgement.others) {
    const Member& member = members_[other];
    if (other != judgement.value && (verdict.relation.others.empty() || other != judgement.others[0]))
      verdict.relation.others.emplace_back(member.key, member.name);
  }
  return verdict;
}

Group::Verdict Group::judge(std::string_view key) {
  const auto is_of_sensor = [&](const Waiting& waiting) { return members_[waiting.judgement.value].key == key; };
  Verdict verdict;
  if (waiting_ && is_of_sensor(*waiting_)) verdict = verdict_of(*waiting_), waiting_.reset();
  if (!is_over()) return verdict;
  // The last verdict is given now if its sensor has sent nothing since.
  if (waiting_ && waiting_->judgement.event > verdict.event) verdict = verdict_of(*waiting_);
  waiting_ = end_round();
  if (!is_of_sensor(*waiting_)) return verdict;
  if (Verdict now = verdict_of(*waiting_); now.event >= verdict.event) verdict = std::move(now);
  waiting_.reset();
  return verdict;
}

}  // namespace coil::sensor
