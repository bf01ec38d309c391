// A message from a source: one text and its position.
#pragma once

#include <cstdint>
#include <string>

namespace coil::sensor {

struct Message {
  std::string topic;       // empty on a pipe
  std::string text;        // one record, unchanged, without the line end
  int32_t partition = -1;  // -1 if the source has no partitions
  // The position in the partition. For a pipe or file, the number of the line, from 1. -1: the source has none.
  int64_t offset = -1;
  std::string trouble{};     // not empty: why the text is left out
  int32_t file = 0;          // which file of a source with several files; each may have its own head
  bool begins_file = false;  // it is the first line of `file`
  bool is_known = false;  // an earlier run has processed it: it defines the meaning of later lines, as a header does,
                          // and has no result
};

}  // namespace coil::sensor
