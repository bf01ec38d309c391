// Lines of standard input or a file, results as lines on standard output.
#pragma once

#include <string>
#include <vector>

#include "sensor/formats/line_cutter.h"
#include "sensor/links/link.h"

namespace coil::sensor {

// `number`: of the line, from 1.
Message as_message(Line line, int64_t number);

// Back-pressure blocks: a reader of the output that is slow slows the source. One thread at a time.
class PipeLink final : public Link {
 public:
  // Descriptors that stay open as long as the link; -1: there is none.
  PipeLink(int input, int output) : input_(input), output_(output) {}

  bool read(std::vector<Message>& messages, std::chrono::milliseconds wait) override;
  void write(const Message& result) override;
  void flush() override;

 private:
  int input_, output_;
  int64_t lines_ = 0;
  LineCutter cutter_;
  std::string bytes_;  // of one read
  std::string out_;
};

}  // namespace coil::sensor
