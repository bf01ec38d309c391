// Follows files that grow and are rotated, truncated, deleted and recreated. Reads each line once, also across
// restarts.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sensor/links/file_search.h"
#include "sensor/links/growing_file.h"
#include "sensor/links/source.h"
#include "sensor/service/log.h"

namespace coil::sensor {

struct FollowOptions {
  std::vector<std::string> names;       // files, which need not exist yet; folders; patterns
  std::set<std::string> ignored_names;  // absolute paths that folders and patterns skip
  int output = 1;                       // the results' descriptor; its file is never read, even if a pattern matches
};

// Polls its files, which works on every file system. A file is identified by its inode, not by its name: a renamed file
// is read to its end before the file that took its name. One thread at a time.
class FollowedFiles final : public Source {
 public:
  // Throws Error if a name can never be read. [main-thread]
  FollowedFiles(FollowOptions options, const Log& log);
  ~FollowedFiles() override;

  bool read(std::vector<Message>& messages, std::chrono::milliseconds wait) override;

  std::string place_after(size_t messages) const override;
  // Searches moved files under other names; warns about files that cannot be found.
  void go_on(const std::string& place) override;
  std::string describe(const Message& message) const override;

 private:
  using Clock = std::chrono::steady_clock;
  struct File;
  struct Path;
  struct TakenLine {
    File* file;
    GrowingFile::Mark before, after;
  };
  enum class Progress {
    kMore,  // there may be more data
    kDone,
    kLater  // after the data that was read is processed
  };

  enum class Rotation { kByName, kByCopy };
  enum class Opened { kItself, kAnother, kChanged };  // kChanged: it does not contain the data that was read before

  Path& path(const std::string& name, bool is_named);
  std::unique_ptr<File> make_file(Path& path, FilePlace place);
  void drop(std::unique_ptr<File> file);
  bool attach(File& file, int descriptor, const std::optional<FileIdentity>& known_as = {});
  bool attach_content(File& file, int descriptor, const std::string& name);

  void look();
  void add_due(File& file);
  void look_for_names();
  void look_at(Path& path);
  void find_of_reused_number(Path& path, const FoundFile& found);
  void look_at_left(Path& path);
  void notice(Path& path, const FoundFile& found);
  bool is_too_new(const Path& path, const FoundFile& found) const;
  bool adopt(Path& path, const FoundFile& found);
  bool find_again(Path& path, File& file);
  bool find_compressed(const Path& path, File& file);
  std::vector<FoundFile> find_unknown(const Path& path, int64_t since_ns, const FileIdentity& now,
                                      bool is_packed) const;
  std::vector<std::unique_ptr<File>> find_missed(Path& path, int64_t since_ns, const FileIdentity& now,
                                                 Rotation rotation);
  void find_missed_of_empty(Path& path, const FoundFile& found);
  void know_older(Path& path);
  bool has_news(File& file, const std::optional<FoundFile>& shown) const;
  bool is_over(const Path& path) const;
  void bound_descriptors();

  Progress advance(File& file, std::vector<Message>& messages);
  Opened open(File& file);
  void begin_anew(File& file, std::vector<Message>& messages);
  void take(File& file, Line line, const GrowingFile::Mark& before, std::vector<Message>& messages);
  void warn(const std::string& name, const std::string& what) const;

  FollowOptions options_;
  const Log& log_;
  size_t most_open_;
  std::optional<FileIdentity> output_identity_;
  std::map<std::string, Path> paths_;
  std::map<int32_t, File*> by_number_;
  std::map<FileIdentity, File*> by_identity_;
  int32_t next_number_ = 0;
  std::deque<File*> due_;         // that may have new data, in reading order
  std::vector<TakenLine> taken_;  // of the last read, one per message
  Clock::time_point names_due_at_{}, now_{};
  std::chrono::milliseconds pause_{0};
  bool is_first_look_ = true;
  size_t compressed_ = 0, read_since_bound_ = 0;
};

}  // namespace coil::sensor
