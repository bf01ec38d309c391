// Splits lines and payloads into texts of one record each; determines the format and its head from the first lines.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sensor/formats/format.h"
#include "sensor/records/message.h"

namespace coil::sensor {

struct Cut {
  const Message* message;  // one record, with the position of its last line
  std::string error;       // not empty: the whole record is malformed
};

// Lines of a stream may share a record (quoted line ends, pretty-printed JSON) or hold several. Each payload of a
// broker stands alone. Results do not depend on how messages are grouped into calls. One thread at a time.
class RecordCutter {
 public:
  // `format`: its name; empty: determined from the first lines. `knows`: see make_csv.
  RecordCutter(const std::string& format, std::function<bool(std::string_view)> knows);

  // Appends the records that end with this message, which must outlive the cuts. Throws Error as Format::take_head
  // does.
  void add(const Message& message, std::vector<Cut>& cuts);
  // The stream has ended, and so has an incomplete record.
  void finish(std::vector<Cut>& cuts);
  // The previous cuts are no longer used.
  void release() { made_.clear(); }

  // The lines that were used to find the head; only for CSV.
  const std::vector<std::string>& head_lines() const { return head_lines_; }
  // Lines that belong to no record yet, as messages.
  std::vector<Message> pending() const;

  // True if no record is incomplete and the head is known: everything added was cut.
  bool is_between_records() const { return has_head_ && open_lines_.empty(); }
  Format* format() const { return has_head_ ? format_.get() : nullptr; }  // null: unknown yet

 private:
  void add_to_head(const Message& message, std::vector<Cut>& cuts);
  bool takes_format_of(const Message& message, std::vector<Cut>& cuts);
  void add_head_line(Message message);
  void take_head(bool at_end, std::vector<Cut>& cuts);
  void add_line(const Message& message, std::vector<Cut>& cuts);
  void give_up(std::vector<Cut>& cuts);
  void emit(const Message& message, std::vector<Cut>& cuts);
  const Message& keep(Message message) { return made_.emplace_back(std::move(message)); }
  Message joined() const;

  std::function<bool(std::string_view)> knows_;
  std::unique_ptr<Format> format_;  // null: unknown
  std::unique_ptr<Format> csv_;     // tried while the format is unknown
  bool has_head_ = false;
  std::vector<Message> head_;                         // lines until the head is known
  std::vector<std::string> head_texts_, head_lines_;  // their texts, before and after the head is known
  std::vector<Message> open_lines_;                   // of an incomplete record
  size_t open_bytes_ = 0;
  Format::Open open_;
  std::deque<Message> made_;  // that cuts point to
};

}  // namespace coil::sensor
