// The interface of record formats: reads a text as a record, writes a result. Formats: NDJSON, CSV with header,
// InfluxDB line protocol.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sensor/records/record.h"

namespace coil::sensor {

class Format {
 public:
  // The syntactic state at the end of a line.
  struct Open {
    bool in_quotes = false;
    int depth = 0;  // depth of objects and arrays
  };

  virtual ~Format() = default;

  virtual const char* name() const = 0;  // "ndjson", "csv", "line"

  // How many of the first lines describe those that follow, as a CSV header does. Nullopt if more lines are needed;
  // never with `at_end`. Throws Error if they cannot be understood. One thread.
  virtual std::optional<size_t> take_head(std::span<const std::string> /*lines*/, bool /*at_end*/) { return 0; }
  // Whether a record on this line continues on the next one. `open`: the state before the line; updated to the state
  // after it. [any thread]
  virtual bool goes_on(std::string_view line, Open& open) const = 0;
  // Whether a line that would belong to an incomplete record is a whole record itself. If so, the incomplete one will
  // never end. [any thread]
  virtual bool stands_alone(std::string_view line) const;
  // For formats with columns, once the head is known: the column names; whether the line is certainly a row of them;
  // whether rows of another format object mean the same here; and a record as a row, without the fields that have no
  // column. [any thread]
  virtual std::span<const std::string> columns() const { return {}; }
  virtual bool is_row(std::string_view /*line*/) const { return false; }
  virtual bool has_rows_of(const Format& /*other*/) const { return true; }
  virtual std::string row_of(const Record& /*record*/) const { return {}; }
  // Whether the text is an empty line, a comment or another line without a record. [any thread]
  virtual bool is_no_record(std::string_view line) const;
  // Calls `found` for each record of a text that may hold several. [any thread]
  virtual void cut(std::string_view text, const std::function<void(std::string_view)>& found) const { found(text); }
  // For a text that is only a value, as simple devices send it: the same as a record. Nullopt: the text is something
  // else. [any thread]
  virtual std::optional<std::string> record_of_value(std::string_view /*text*/) const { return std::nullopt; }

  // Empty: `record` now holds the text's fields; else what is wrong with it. [any thread]
  virtual std::string parse(std::string_view text, Record& record) const = 0;

  // The text before the first result, without a line end; nullopt: none. `record`: the first one that will be written.
  // One thread.
  virtual std::optional<std::string> header(const Record& /*record*/, std::span<const Added> /*added*/) {
    return std::nullopt;
  }
  // Appends one record, without a line end. `as_it_came`: the record was read by this format, and its text is kept byte
  // for byte. [any thread]
  virtual void write(const Record& record, std::span<const Added> added, bool as_it_came, std::string& to) const = 0;

  // A text of this format with the record's fields, which this format reads again as they are. [any thread]
  virtual std::string text_of(const Record& record) const = 0;

  // For formats whose header fixes the columns: whether it has this added field, and which fields of a record of
  // another format have no column. [any thread]
  virtual bool has_fixed_columns() const { return false; }
  virtual bool has_column(std::string_view /*added*/) const { return true; }
  virtual std::vector<const Field*> left_out(const Record& /*record*/) const { return {}; }
};

// A name that two fields of the record have, or an empty text. A tag and a field may share a name. [any thread]
std::string_view find_repeated_name(const Record& record);

// `knows`: whether an option names a field, or its name is usual for times; used to tell a header from other lines.
std::unique_ptr<Format> make_ndjson();
std::unique_ptr<Format> make_csv(std::function<bool(std::string_view)> knows);
std::unique_ptr<Format> make_line_protocol();

// By name: "ndjson", "csv", "line"; null: unknown.
std::unique_ptr<Format> make_format(
    std::string_view name, std::function<bool(std::string_view)> knows = [](std::string_view) { return false; });
// The format of this line if it is a record on its own (NDJSON or line protocol); null: neither. `text`: the line.
std::unique_ptr<Format> detect_format(std::string_view text);

}  // namespace coil::sensor
