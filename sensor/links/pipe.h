// Reads lines from standard input or a named pipe; writes results as lines to standard output.
#pragma once

#include <string>
#include <vector>

#include "sensor/formats/line_cutter.h"
#include "sensor/links/sink.h"
#include "sensor/links/source.h"

namespace coil::sensor {

// Back-pressure blocks: a slow reader of the output slows the source. One thread at a time.
class PipeSource final : public Source {
 public:
  explicit PipeSource(int descriptor) : descriptor_(descriptor) {}  // closes it
  ~PipeSource() override;
  PipeSource(const PipeSource&) = delete;
  PipeSource& operator=(const PipeSource&) = delete;

  bool read(std::vector<Message>& messages, std::chrono::milliseconds wait) override;

 private:
  int descriptor_;
  int64_t lines_ = 0;
  LineCutter cutter_;
  std::string bytes_;  // of one read
};

// One thread at a time.
class PipeSink final : public Sink {
 public:
  explicit PipeSink(int descriptor) : descriptor_(descriptor) {}  // must stay open as long as this object exists

  void write_header(const std::string& line) override { add(line); }
  void write(const Result& result) override { add(result.text); }
  void note(const Silence& silence) override {
    if (!silence.text.empty()) add(silence.text);
  }
  void flush() override;

 private:
  void add(std::string_view line) {
    out_ += line;
    out_ += '\n';
  }

  int descriptor_;
  std::string out_;
};

}  // namespace coil::sensor
