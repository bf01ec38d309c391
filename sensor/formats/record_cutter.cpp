// An unclosed bracket or quote must not swallow the records that follow.
#include "sensor/formats/record_cutter.h"

#include "sensor/formats/line_cutter.h"

namespace coil::sensor {
namespace {

constexpr size_t kMostLines = 256;  // per record

bool is_payload(const Message& message) { return !message.topic.empty() || message.partition >= 0; }

Message with_text(const Message& message, std::string text) {
  Message other = message;
  other.text = std::move(text);
  return other;
}

}  // namespace

RecordCutter::RecordCutter(const std::string& format, std::function<bool(std::string_view)> knows)
    : knows_(std::move(knows)) {
  if (format.empty()) return;
  format_ = make_format(format, knows_);
  has_head_ = format != "csv";
}

void RecordCutter::emit(const Message& message, std::vector<Cut>& cuts) {
  if (format_->is_no_record(message.text)) return;
  format_->cut(message.text, [&](std::string_view text) {
    if (text.size() == message.text.size()) {
      cuts.push_back({&message, {}});
    } else {
      cuts.push_back({&keep(with_text(message, std::string(text))), {}});
    }
  });
}

void RecordCutter::add(const Message& message, std::vector<Cut>& cuts) {
  if (!message.trouble.empty()) {
    if (has_head_) give_up(cuts);
    cuts.push_back({&message, message.trouble});
    return;
  }
  if (!has_head_) return add_to_head(message, cuts);
  if (!is_payload(message)) return add_line(message, cuts);
  if (std::optional<std::string> record = format_->record_of_value(message.text)) {
    cuts.push_back({&keep(with_text(message, std::move(*record))), {}});
  } else {
    emit(message, cuts);
  }
}

Message RecordCutter::joined() const {
  Message all = open_lines_.back();
  all.text.clear();
  for (const Message& line : open_lines_) (all.text += line.text) += '\n';
  all.text.pop_back();
  return all;
}

void RecordCutter::add_line(const Message& message, std::vector<Cut>& cuts) {
  if (open_lines_.empty()) {
    if (format_->is_no_record(message.text)) return;
    open_ = {};
    open_bytes_ = 0;
    if (!format_->goes_on(message.text, open_)) return emit(message, cuts);
  } else if (open_lines_.size() >= kMostLines || open_bytes_ + message.text.size() > kLongestLine ||
             format_->stands_alone(message.text)) {
    give_up(cuts);
    return add_line(message, cuts);
  } else if (!format_->goes_on(message.text, open_)) {
    open_lines_.push_back(message);
    const Message& all = keep(joined());
    open_lines_.clear();
    return emit(all, cuts);
  }
  open_lines_.push_back(message);
  open_bytes_ += message.text.size();
}

// Treats each of the open lines as a record.
void RecordCutter::give_up(std::vector<Cut>& cuts) {
  while (!open_lines_.empty()) {
    std::vector<Message> lines = std::move(open_lines_);
    open_lines_.clear();
    emit(keep(std::move(lines.front())), cuts);
    for (size_t i = 1; i < lines.size(); ++i) add_line(keep(std::move(lines[i])), cuts);
  }
}

// Whether the line is a record of a format other than CSV. If so, the lines before it are not a CSV head.
bool RecordCutter::takes_format_of(const Message& message, std::vector<Cut>& cuts) {
  if (format_) return false;
  std::unique_ptr<Format> found = detect_format(message.text);
  if (!found) return false;
  bool is_first = true;
  for (const Message& line : head_) is_first = is_first && found->is_no_record(line.text);
  if (!is_first) {
    Record record;
    const bool is_sure = found->parse(message.text, record).empty() &&
                         (record.measurement.empty() || record.time_ns || record.fields.front().is_tag);
    if (!is_sure) return false;
  }
  format_ = std::move(found);
  has_head_ = true;
  head_.insert(head_.end(), std::make_move_iterator(open_lines_.begin()), std::make_move_iterator(open_lines_.end()));
  open_lines_.clear();
  for (Message& line : head_) emit(keep(std::move(line)), cuts);
  head_.clear();
  head_texts_.clear();
  add(message, cuts);
  return true;
}

void RecordCutter::add_to_head(const Message& message, std::vector<Cut>& cuts) {
  if (takes_format_of(message, cuts)) return;
  if (!format_ && !csv_) csv_ = make_csv(knows_);
  const Format& format = format_ ? *format_ : *csv_;
  const bool is_comment = open_lines_.empty() && message.text.starts_with('#');
  if (open_lines_.empty()) open_ = {};
  open_lines_.push_back(message);
  if (!is_comment && format.goes_on(message.text, open_) && open_lines_.size() < kMostLines) return;
  add_head_line(joined());
  open_lines_.clear();
  take_head(false, cuts);
}

void RecordCutter::add_head_line(Message message) {
  head_texts_.push_back(message.text);
  head_.push_back(std::move(message));
}

void RecordCutter::take_head(bool at_end, std::vector<Cut>& cuts) {
  if (!format_ && !csv_) csv_ = make_csv(knows_);
  const std::optional<size_t> taken = (format_ ? *format_ : *csv_).take_head(head_texts_, at_end);
  if (!taken) return;
  if (!format_) format_ = std::move(csv_);
  has_head_ = true;
  head_lines_ = std::move(head_texts_);
  std::vector<Message> rest(std::make_move_iterator(head_.begin() + ptrdiff_t(*taken)),
                            std::make_move_iterator(head_.end()));
  head_.clear();
  for (Message& line : rest) emit(keep(std::move(line)), cuts);
}

std::vector<Message> RecordCutter::pending() const {
  std::vector<Message> lines = head_;
  lines.insert(lines.end(), open_lines_.begin(), open_lines_.end());
  return lines;
}

void RecordCutter::finish(std::vector<Cut>& cuts) {
  if (has_head_) return give_up(cuts);
  std::vector<Message> lines = std::move(open_lines_);
  open_lines_.clear();
  for (Message& line : lines) add_head_line(std::move(line));
  if (!head_.empty()) take_head(true, cuts);
}

}  // namespace coil::sensor
