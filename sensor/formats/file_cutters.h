// Records of several files that are read by turns: each has a head of its own, and all come out under the columns of
// the first.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sensor/formats/record_cutter.h"

namespace coil::sensor {

// As RecordCutter, with one of them for each file. Messages that come from no file, and those of the first one, are cut
// by the one that leads: its format is that of all records. One thread at a time.
class FileCutters {
 public:
  using Complaint = std::function<void(const Message&, const std::string& what)>;

  FileCutters(std::string format, std::function<bool(std::string_view)> knows, Complaint complain);

  void add(const Message& message, std::vector<Cut>& cuts);
  void finish(std::vector<Cut>& cuts);
  void release();

  bool is_between_records() const { return lead_.is_between_records(); }
  Format* format() const { return lead_.format(); }

  // The lines that said what all others mean.
  const std::vector<std::string>& head_lines() const { return lead_.head_lines(); }
  // Lines to begin with in order to go on here, beside the head: those of records that have not ended, and heads of
  // files of other columns, which are marked as known.
  std::vector<Message> pending() const;
  // Before the first message: what comes is under the head of an earlier run. A line that it opened with comes no more.
  void recall(const std::vector<std::string>& opening, std::vector<Cut>& cuts);
  // Whether a stream that begins with this line goes on under such a head.
  bool continues(const std::vector<std::string>& opening, const std::string& first_line) const;

 private:
  struct File {
    std::unique_ptr<RecordCutter> cutter;
    bool is_other = false;  // its columns are not those of the lead
    bool is_told = false;   // what there is no column for
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
  std::map<int32_t, File> files_;  // others, as long as something is to be remembered of them
  std::deque<Message> moved_, recalled_;
};

}  // namespace coil::sensor
