// Splits several files, read in turns, into records. Each file has its own head; all records come out under the columns
// of the first.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sensor/formats/record_cutter.h"

namespace coil::sensor {

// As RecordCutter, with one cutter per file. The leading cutter handles the first file and messages without a file; its
// format is that of all records. One thread at a time.
class FileCutters {
 public:
  using Complaint = std::function<void(const Message&, const std::string& what)>;

  FileCutters(std::string format, std::function<bool(std::string_view)> knows, Complaint complain);

  void add(const Message& message, std::vector<Cut>& cuts);
  void finish(std::vector<Cut>& cuts);
  void release();

  bool is_between_records() const { return lead_.is_between_records(); }
  Format* format() const { return lead_.format(); }

  // The lines that define the meaning of all others.
  const std::vector<std::string>& head_lines() const { return lead_.head_lines(); }
  // Lines, besides the head, that are needed to continue from here: those of incomplete records, and heads of files
  // with other columns, which are marked as known.
  std::vector<Message> pending() const;
  // Call before the first message: the input continues under the head of an earlier run. That head's lines will not
  // come again.
  void recall(const std::vector<std::string>& opening, std::vector<Cut>& cuts);
  // Whether a stream that starts with this line continues under such a head.
  bool continues(const std::vector<std::string>& opening, const std::string& first_line) const;

 private:
  struct File {
    std::unique_ptr<RecordCutter> cutter;
    bool is_other = false;  // its columns differ from the leading file's
    bool is_told = false;   // a warning about columns without a place was given
  };

  void add_to_file(const Message& message, std::vector<Cut>& cuts);
  void begin(File& file, const Message& message);
  void under_lead(RecordCutter& cutter) const;
  void move_columns(File& file, std::vector<Cut>& cuts, size_t from);

  std::string format_;
  std::function<bool(std::string_view)> knows_;
  Complaint complain_;
  RecordCutter lead_;
  int32_t lead_file_ = 0;
  bool has_lead_file_ = false;
  std::map<int32_t, File> files_;  // other files that still have incomplete records or their own columns
  std::deque<Message> moved_, recalled_;
};

}  // namespace coil::sensor
