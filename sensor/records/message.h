// What a source gives: one text with the place that it came from.
#pragma once

#include <cstdint>
#include <string>

namespace coil::sensor {

struct Message {
  std::string topic;       // empty on a pipe
  std::string text;        // one record as it came, without the end of line
  int32_t partition = -1;  // of a partitioned source, else -1
  // Place in the partition; of a pipe or file the number of the line, from 1; -1: the source has none.
  int64_t offset = -1;
  std::string trouble{};     // not empty: why the text is left out
  int32_t file = 0;          // of a source of several files: from which one, each of which may have a head of its own
  bool begins_file = false;  // it is the first line of `file`
  bool is_known = false;  // an earlier run has seen it: it says what follows means, as a header does, and has no result
};

}  // namespace coil::sensor
