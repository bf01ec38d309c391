// Sensors on disk: a file of blocks with one piece per sensor, and a manifest that lists the valid pieces and the
// position in the input.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "sensor/records/message.h"
#include "sensor/state/bytes.h"

namespace coil::sensor {

// The place of a sensor in the file of blocks.
struct Piece {
  uint64_t offset = 0, bytes = 0;  // 0 bytes: not stored
  uint64_t checksum = 0;
  uint64_t commit = 0;  // number of commits before it was written

  template <class Fields>
  void visit(Fields&& fields) {
    fields(offset, bytes, checksum, commit);
  }
};

// What the silence detection needs to know of a sensor.
struct SilenceMark {
  int64_t time_ns = INT64_MIN;  // of the last record; INT64_MIN: there is none
  double usual_s = 0;           // usual interval of its records; 0: unknown
  double ago_s = 0;             // since the last record, by the time of the whole stream
  bool is_silent = false;

  template <class Fields>
  void visit(Fields&& fields) {
    fields(time_ns, usual_s, ago_s, is_silent);
  }
};

// `PATH` is the manifest, `PATH.series` the blocks. A piece that the manifest on disk names is never overwritten. So
// whenever the process ends, the manifest and its pieces are those of the last commit. Both files belong to this
// process alone.
class StateFile {
 public:
  struct Content {
    int64_t position = 0;  // for a partition: offset of the first message not included in the states
    std::string place;  // for a source that can be read again from any position: that of the first message not included
    std::vector<std::string> opening;  // the lines that define the meaning of all others: a header, and the first
                                       // record
    std::vector<Message> pending;      // lines before the position that belong to no record yet
    std::map<std::string, Piece> pieces;
    std::map<std::string, SilenceMark> marks;  // of some sensors
    std::vector<std::string> taken_names;      // names that records' own fields use, see AddedNames
  };

  // What the states belong to. `of_version_4`: the form in version 4, whose states can be read too.
  struct Identity {
    std::string now, of_version_4;
  };

  // `path` empty: a temporary file for sensors that do not fit into memory. Throws Error if the file has another
  // identity, is damaged, or is held by another process. `content`: receives the file's content. [main-thread]
  StateFile(const std::filesystem::path& path, Identity identity, Content& content);
  ~StateFile();
  StateFile(const StateFile&) = delete;
  StateFile& operator=(const StateFile&) = delete;

  bool is_temporary() const { return path_.empty(); }

  // Throw Error. [any thread]
  Piece write(const Bytes& bytes);
  Bytes read(const Piece& piece) const;
  void release(const Piece& piece) noexcept;  // it may be overwritten once no manifest names it

  // Ensures that everything is on disk, and makes the manifest name these pieces. On failure throws Error and leaves
  // the files as they were. [main-thread]
  void commit(const Content& content);

 private:
  void load(Content& content);
  void find_gaps(const Content& content);

  std::filesystem::path path_, blocks_path_;
  Identity identity_;
  int blocks_ = -1;
  mutable std::mutex mutex_;                        // what follows
  uint64_t commits_ = 1, end_ = 0;                  // end_: of the file, in blocks
  std::map<uint64_t, std::vector<uint64_t>> free_;  // count of blocks -> first blocks
  std::vector<Piece> waiting_;                      // until the next commit
};

}  // namespace coil::sensor
