// Creates a cutter when a file starts, and drops it when no record is incomplete and its rows need no conversion.
#include "sensor/formats/file_cutters.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace coil::sensor {
namespace {

bool is_payload(const Message& message) { return !message.topic.empty() || message.partition >= 0; }

// Columns that the first file does not have; empty: it has them all.
std::string missing_columns(const Format& lead, const Format& format) {
  std::string names;
  for (const std::string& column : format.columns()) {
    if (std::find(lead.columns().begin(), lead.columns().end(), column) != lead.columns().end()) continue;
    if (!names.empty()) names += ", ";
    names.append("'").append(column).append("'");
  }
  return names;
}

}  // namespace

FileCutters::FileCutters(std::string format, std::function<bool(std::string_view)> knows, Complaint complain)
    : format_(std::move(format)), knows_(std::move(knows)), complain_(std::move(complain)), lead_(format_, knows_) {}

void FileCutters::add(const Message& message, std::vector<Cut>& cuts) {
  if (message.begins_file && lead_.format() && has_lead_file_ && message.file == lead_file_) {
    lead_.finish(cuts);
    has_lead_file_ = false;
  }
  const bool may_lead = !lead_.format() || lead_.format()->columns().empty();
  if (!has_lead_file_ && may_lead) lead_file_ = message.file, has_lead_file_ = true;
  if (is_payload(message) || (has_lead_file_ && message.file == lead_file_)) return lead_.add(message, cuts);
  add_to_file(message, cuts);
}

// For a file that has no header, or continues under a known one.
void FileCutters::under_lead(RecordCutter& cutter) const {
  std::vector<Cut> none;
  std::deque<Message> lines;
  for (const std::string& line : lead_.head_lines()) {
    lines.push_back({.topic = {}, .text = line, .is_known = true});
    cutter.add(lines.back(), none);
  }
  cutter.release();
}

void FileCutters::begin(File& file, const Message& message) {
  const Format* lead = lead_.format();
  file = {std::make_unique<RecordCutter>(lead ? lead->name() : format_, knows_)};
  const bool has_head = message.begins_file && !(lead && lead->is_row(message.text));
  if (lead && !lead->columns().empty() && !has_head) under_lead(*file.cutter);
}

void FileCutters::add_to_file(const Message& message, std::vector<Cut>& cuts) {
  File& file = files_[message.file];
  if (!file.cutter || message.begins_file) {
    if (file.cutter) file.cutter->finish(cuts);
    begin(file, message);
  }
  const size_t from = cuts.size();
  const bool had_format = file.cutter->format() != nullptr;
  try {
    file.cutter->add(message, cuts);
  } catch (const Error& error) {
    if (!lead_.format()) throw;
    complain_(message, error.what() + std::string("; its rows are taken to have the columns of the first file"));
    std::vector<Message> lines = file.cutter->pending();
    file.cutter = std::make_unique<RecordCutter>(lead_.format()->name(), knows_);
    under_lead(*file.cutter);
    for (Message& line : lines) file.cutter->add(recalled_.emplace_back(std::move(line)), cuts);
  }
  if (!lead_.format() && file.cutter->format()) {  // the header of this file is the first one
    std::swap(lead_, *file.cutter);
    if (has_lead_file_) std::swap(files_[lead_file_].cutter, file.cutter);
    files_.erase(message.file);
    lead_file_ = message.file, has_lead_file_ = true;
    return;
  }
  if (!lead_.format() || !file.cutter->format()) return;
  if (!had_format) file.is_other = !lead_.format()->has_rows_of(*file.cutter->format());
  if (file.is_other) move_columns(file, cuts, from);
}

void FileCutters::move_columns(File& file, std::vector<Cut>& cuts, size_t from) {
  const Format& lead = *lead_.format();
  for (size_t i = from; i < cuts.size(); ++i) {
    if (!cuts[i].error.empty()) continue;
    const Message& message = *cuts[i].message;
    const std::string names = std::exchange(file.is_told, true) ? "" : missing_columns(lead, *file.cutter->format());
    if (!names.empty() && !message.is_known)
      complain_(message, "the file has columns that the first one has not: " + names + "; they are left out");
    Record record;
    cuts[i].error = file.cutter->format()->parse(message.text, record);
    if (!cuts[i].error.empty()) continue;
    Message& moved = moved_.emplace_back(message);
    moved.text = lead.row_of(record);
    cuts[i].message = &moved;
  }
}

void FileCutters::finish(std::vector<Cut>& cuts) {
  lead_.finish(cuts);
  for (auto& [number, file] : files_) {
    const size_t from = cuts.size();
    file.cutter->finish(cuts);
    if (file.is_other) move_columns(file, cuts, from);
  }
}

void FileCutters::release() {
  lead_.release();
  for (auto it = files_.begin(); it != files_.end();) {
    it->second.cutter->release();
    const bool is_needed = it->second.is_other || !it->second.cutter->is_between_records();
    it = is_needed ? std::next(it) : files_.erase(it);
  }
  moved_.clear();
  recalled_.clear();
}

std::vector<Message> FileCutters::pending() const {
  std::vector<Message> lines = lead_.pending();
  for (const auto& [number, file] : files_) {
    if (file.is_other) {
      for (const std::string& line : file.cutter->head_lines()) {
        lines.push_back({.topic = {},
                         .text = line,
                         .file = number,
                         .begins_file = &line == &file.cutter->head_lines().front(),
                         .is_known = true});
      }
    }
    for (Message& line : file.cutter->pending()) lines.push_back(std::move(line));
  }
  return lines;
}

void FileCutters::recall(const std::vector<std::string>& opening, std::vector<Cut>& cuts) {
  for (const std::string& line : opening)
    lead_.add(recalled_.emplace_back(Message{.topic = {}, .text = line, .is_known = true}), cuts);
}

bool FileCutters::continues(const std::vector<std::string>& opening, const std::string& first_line) const {
  if (opening.empty() || (format_.empty() && detect_format(first_line))) return false;
  FileCutters other(format_, knows_, complain_);
  std::vector<Cut> cuts;
  other.recall(opening, cuts);
  return other.format() && other.format()->is_row(first_line);
}

}  // namespace coil::sensor
