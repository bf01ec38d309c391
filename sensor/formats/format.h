// What a format can do: read a line as a record, write a result. Formats: NDJSON, CSV with header, InfluxDB line protocol.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "sensor/record.h"

namespace coil::sensor {

class Format {
 public:
  virtual ~Format() = default;

  virtual const char* name() const = 0;  // "ndjson", "csv", "line"

  // Takes the line for itself when it describes the ones that follow, as a CSV header does; true: it is no record. One thread.
  virtual bool take_header(std::string_view /*line*/) { return false; }
  // Of a format with columns: their names, once the header is known; else none.
  virtual std::span<const std::string> columns() const { return {}; }
  // Of a format with columns: whether the line is the header again, and whether it is a row of such columns and surely no header. [any thread]
  virtual bool is_header(std::string_view /*line*/) const { return false; }
  virtual bool is_row(std::string_view /*line*/) const { return true; }
  // The record as a row of these columns; what they do not have is left out. [any thread]
  virtual std::string row_of(const Record& /*record*/) const { return {}; }
  // Empty: `record` holds the line's fields; else what is wrong with it. [any thread]
  virtual std::string parse(std::string_view line, Record& record) const = 0;

  // What comes before the first result, without the end of line; none: nothing does. `record`: the first that will be written. One thread.
  virtual std::optional<std::string> header(const Record& /*record*/, std::span<const Added> /*added*/) { return std::nullopt; }
  // Appends one line, without its end. `as_it_came`: the record was read by this format, and its text is kept to the byte. [any thread]
  virtual void write(const Record& record, std::span<const Added> added, bool as_it_came, std::string& to) const = 0;
};

std::unique_ptr<Format> make_ndjson();
std::unique_ptr<Format> make_csv();
std::unique_ptr<Format> make_line_protocol();

// By name: "ndjson", "csv", "line"; null: there is none.
std::unique_ptr<Format> make_format(std::string_view name);
// By the first line of a stream: an object is NDJSON, `measurement field=...` the line protocol, anything else a CSV header.
std::unique_ptr<Format> detect_format(std::string_view first_line);

}  // namespace coil::sensor
