// From lines and payloads to texts of one record each; finds the format and its head in the first lines.
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
  const Message* message;  // one record, with the place of the line that it ends on
  std::string error;       // not empty: it is malformed as a whole
};

// Lines of a stream may share a record (quoted line ends, JSON in print) or hold several; each payload of a broker
// stands for itself. Results do not depend on how messages are cut into calls. One thread at a time.
class RecordCutter {
 public:
  // `format`: its name; empty: found out from the first lines. `knows`: see make_csv.
  RecordCutter(const std::string& format, std::function<bool(std::string_view)> knows);

  // Appends the records that end with this message, which must live as long as the cuts are used. Throws Error as
  // Format::take_head does.
  void add(const Message& message, std::vector<Cut>& cuts);
  // The stream has ended: what is open ends too.
  void finish(std::vector<Cut>& cuts);
  // The cuts so far are no longer used.
  void release() { made_.clear(); }

  // The lines that were looked at to find the head; none but for CSV.
  const std::vector<std::string>& head_lines() const { return head_lines_; }
  // Lines that belong to no record yet, as messages of their own.
  std::vector<Message> pending() const;

  // No record is open, and the head is known: all that was added has been cut.
  bool is_between_records() const { return has_head_ && open_lines_.empty(); }
  Format* format() const { return has_head_ ? format_.get() : nullptr; }  // null: not known yet

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
  std::unique_ptr<Format> format_;  // null: not known
  std::unique_ptr<Format> csv_;     // is tried as long as it is not
  bool has_head_ = false;
  std::vector<Message> head_;                         // lines until the head is known
  std::vector<std::string> head_texts_, head_lines_;  // their texts until then, and from then on
  std::vector<Message> open_lines_;                   // of a record that goes on
  size_t open_bytes_ = 0;
  Format::Open open_;
  std::deque<Message> made_;  // that cuts point to
};

}  // namespace coil::sensor
