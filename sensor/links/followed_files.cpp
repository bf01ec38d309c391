// Checks repeatedly which file has which name, then reads the files that may have new data, one after another.
#include "sensor/links/followed_files.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "sensor/links/gzip_file.h"

namespace coil::sensor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr size_t kMostMessages = 4096;  // per read
constexpr size_t kMostOpen = 64;  // more files than this are closed while they wait; fewer if the system's limit is low
constexpr int kLookShare = 20;    // checking takes at most this fraction (1/n) of the time
constexpr milliseconds kShortestPause{20}, kLongestPause{1000}, kNamesPause{250};
constexpr seconds kLeftPatience{60};    // for a renamed file: its writer may not know of the renaming yet
constexpr seconds kUnendedPatience{2};  // for the end of a file's last line
constexpr seconds kCopyPatience{1};     // for a file that may be a copy; the original is truncated after copying

int open_file(const std::string& name) { return ::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }

size_t most_open() {
  rlimit limit;
  return ::getrlimit(RLIMIT_NOFILE, &limit) != 0 ? kMostOpen : std::clamp<size_t>(limit.rlim_cur / 4, 1, kMostOpen);
}

// Whether the file of this name contains the data that was read before the position, and there is such data.
bool holds(const std::string& name, const FilePlace& place) {
  const int descriptor = place.end() > 0 ? open_file(name) : -1;
  if (descriptor < 0) return false;
  const bool result = GrowingFile::holds(descriptor, place);
  ::close(descriptor);
  return result;
}

// Whether the file of this name starts with the content of the other one, judged by its last bytes.
bool is_same_content(const std::string& name, const FoundFile& other) {
  const int descriptor = open_file(other.name);
  if (descriptor < 0) return false;
  const FilePlace end = GrowingFile::place_in(descriptor, other.name, other.bytes);
  ::close(descriptor);
  return holds(name, end);
}

std::string absolute(const std::string& name) {
  std::error_code ignored;
  return std::filesystem::absolute(name, ignored).lexically_normal().string();
}

}  // namespace

struct FollowedFiles::File : GrowingFile {
  File(Path& path, FilePlace place) : GrowingFile(std::move(place)), path(&path), begins(mark().lines == 0) {}

  Path* path;
  bool begins;                                          // the next line is the file's first
  bool is_restored = false;                             // from a state, and not opened yet
  bool must_look = false;                               // it could not be read
  bool must_end = false;                                // its last line counts without a line end
  bool is_due = false;                                  // whether it is in due_
  bool is_in_batch = false;                             // whether taken_ has marks of it
  bool is_unpacked = false;                             // the open file is an unpacked copy of a gzip file
  std::set<std::pair<FileIdentity, int64_t>> unpacked;  // compressed files that were searched for it, and their sizes
  Clock::time_point grew_at{};
};

struct FollowedFiles::Path {
  std::string name;
  bool is_named = false;  // given by name, not found by a folder or pattern
  std::deque<std::unique_ptr<File>>
      files;  // each is read to its end before the next; the last one has the name, or had it last
  std::vector<std::unique_ptr<File>> left{};  // earlier owners of the name: may still grow, and are recognised under
                                              // other names
  std::optional<FileIdentity> shown{};        // the current owner of the name
  bool was_complained = false;
  Clock::time_point search_at{};
};

FollowedFiles::FollowedFiles(FollowOptions options, const Log& log)
    : options_(std::move(options)), log_(log), most_open_(most_open()) {
  struct stat found;
  if (::fstat(options_.output, &found) == 0 && S_ISREG(found.st_mode)) output_identity_ = identity_of(found);
  for (const std::string& name : options_.names) {
    if (is_group(name)) continue;
    if (is_compressed(name) && !name.ends_with(".gz"))
      throw Error("--follow '" + name + "': is compressed; only text and gzip files can be followed");
    const std::optional<FoundFile> file = find_file(name);
    if (file && file->identity == output_identity_) throw Error("--follow '" + name + "': is where the results go");
    std::error_code ignored;
    if (!file && std::filesystem::exists(name, ignored))
      throw Error("--follow '" + name + "': is not a regular file; pipes are read without --follow");
    if (!file) log_.write(LogLevel::kInfo, name, "does not exist yet; waiting for it");
    path(name, true);
  }
}
FollowedFiles::~FollowedFiles() = default;

FollowedFiles::Path& FollowedFiles::path(const std::string& name, bool is_named) {
  Path& path = paths_[name];
  path.name = name;
  path.is_named |= is_named;
  return path;
}

std::unique_ptr<FollowedFiles::File> FollowedFiles::make_file(Path& path, FilePlace place) {
  place.name = path.name;
  if (place.number == 0) place.number = ++next_number_;
  auto file = std::make_unique<File>(path, std::move(place));
  file->grew_at = now_;
  by_number_[file->number()] = file.get();
  by_identity_[file->identity()] = file.get();
  return file;
}

void FollowedFiles::drop(std::unique_ptr<File> file) {
  if (const auto known = by_number_.find(file->number()); known != by_number_.end() && known->second == file.get())
    by_number_.erase(known);
  if (const auto known = by_identity_.find(file->identity());
      known != by_identity_.end() && known->second == file.get())
    by_identity_.erase(known);
}

// Takes ownership of the descriptor. Returns false, and closes it, if it is another file. `known_as`: the identity of
// the file with the name, if this is another one.
bool FollowedFiles::attach(File& file, int descriptor, const std::optional<FileIdentity>& known_as) {
  const FileIdentity before = file.identity();
  if (!file.attach(descriptor)) return false;
  if (known_as) file.set_identity(*known_as);
  file.is_unpacked = known_as.has_value();
  file.is_restored = false;
  if (before != file.identity()) {
    if (const auto known = by_identity_.find(before); known != by_identity_.end() && known->second == &file)
      by_identity_.erase(known);
    by_identity_[file.identity()] = &file;
  }
  return true;
}

// The same, where the file must contain the data that was read before; it may be a gzip file.
bool FollowedFiles::attach_content(File& file, int descriptor, const std::string& name) {
  UnpackedFile content{descriptor, {}};
  std::optional<FileIdentity> known_as;
  if (struct stat found; is_gzip(descriptor) && ::fstat(descriptor, &found) == 0) {
    known_as = identity_of(found);
    content.descriptor = -1;
    try {
      content = unpack_gzip(descriptor);
    } catch (const Error& error) {
      warn(name, error.what());
    }
    ::close(descriptor);
    if (content.descriptor < 0) return false;
  }
  if (!GrowingFile::holds(content.descriptor, file.place())) {
    ::close(content.descriptor);
    return false;
  }
  if (!content.damage.empty()) warn(name, content.damage + "; the data before that is processed");
  return attach(file, content.descriptor, known_as);
}

void FollowedFiles::warn(const std::string& name, const std::string& what) const {
  log_.write(LogLevel::kWarning, name, what);
}

void FollowedFiles::go_on(const std::string& place) {
  now_ = Clock::now();
  for (FilePlace& one : unpack_places(place)) {
    const bool is_named = std::find(options_.names.begin(), options_.names.end(), one.name) != options_.names.end();
    const auto has = [&](const std::string& name) { return is_in_group(name, one.name); };
    if (!is_named && std::none_of(options_.names.begin(), options_.names.end(), has)) {
      warn(one.name, "is in the state and not followed any more; how far it was read is forgotten");
      continue;
    }
    Path& owner = path(one.name, is_named);
    const bool is_left = one.is_left;
    one.is_left = false;
    next_number_ = std::max(next_number_, one.number);
    std::unique_ptr<File> file = make_file(owner, std::move(one));
    file->is_restored = true;
    if (is_left)
      owner.left.push_back(std::move(file));
    else
      owner.files.push_back(std::move(file));
  }
}

std::string FollowedFiles::place_after(size_t messages) const {
  std::map<const File*, GrowingFile::Mark> marks;
  for (size_t i = 0; i < messages; ++i) marks.insert_or_assign(taken_[i].file, taken_[i].after);
  for (size_t i = messages; i < taken_.size(); ++i) marks.try_emplace(taken_[i].file, taken_[i].before);
  std::vector<FilePlace> places;
  const auto add = [&](const File& file, bool is_left) {
    const auto mark = marks.find(&file);
    places.push_back(file.place_at(mark == marks.end() ? file.mark() : mark->second));
    places.back().is_left = is_left;
  };
  for (const auto& [name, path] : paths_) {
    for (const auto& file : path.left) add(*file, true);
    for (const auto& file : path.files) add(*file, false);
  }
  return pack(places);
}

std::string FollowedFiles::describe(const Message& message) const {
  const auto file = by_number_.find(message.file);
  const std::string line = "line " + std::to_string(message.offset);
  return file == by_number_.end() ? line : file->second->name() + ": " + line;
}

bool FollowedFiles::read(std::vector<Message>& messages, milliseconds wait) {
  for (const TakenLine& line : taken_) line.file->is_in_batch = false;
  taken_.clear();
  const auto end = Clock::now() + wait;
  for (;;) {
    if (due_.empty()) look();
    while (!due_.empty() && messages.size() < kMostMessages) {
      File& file = *due_.front();
      const Progress progress = advance(file, messages);
      if (progress == Progress::kLater) break;
      if (progress != Progress::kDone) continue;
      due_.erase(std::find(due_.begin(), due_.end(), &file));
      file.is_due = false;
      if (++read_since_bound_ >= most_open_ / 2) bound_descriptors();
    }
    if (!messages.empty()) return true;
    if (!due_.empty()) continue;
    const auto left = std::chrono::ceil<milliseconds>(end - Clock::now());
    if (left.count() <= 0) return true;
    if (::poll(nullptr, 0, int(std::min(left, pause_).count())) < 0) return true;  // interrupted: a stop was requested
  }
}

void FollowedFiles::look() {
  now_ = Clock::now();
  if (now_ >= names_due_at_) look_for_names();
  for (auto it = paths_.begin(); it != paths_.end();) {
    Path& path = it->second;
    look_at(path);
    if (!is_over(path)) {
      ++it;
      continue;
    }
    std::erase_if(due_, [&](const File* file) { return file->path == &path; });
    for (auto& file : path.files) drop(std::move(file));
    for (auto& file : path.left) drop(std::move(file));
    it = paths_.erase(it);
  }
  std::stable_sort(due_.begin(), due_.end(),
                   [](const File* a, const File* b) { return a->modified_ns() < b->modified_ns(); });
  is_first_look_ = false;
  bound_descriptors();
  pause_ = std::clamp(std::chrono::duration_cast<milliseconds>(kLookShare * (Clock::now() - now_)), kShortestPause,
                      kLongestPause);
}

void FollowedFiles::look_for_names() {
  size_t compressed = 0;
  for (const std::string& name : options_.names) {
    if (!is_group(name)) continue;
    for (const FoundFile& file : find_group(name, compressed)) {
      if (file.identity == output_identity_ || options_.ignored_names.count(absolute(file.name)) > 0) continue;
      path(file.name, false);
    }
  }
  if (compressed > 0 && compressed_ == 0)
    warn("",
         "--follow: compressed files are not read, and there are some, at the moment " + std::to_string(compressed));
  compressed_ = compressed;
  const auto pause = std::max<Clock::duration>(kNamesPause, kLookShare * (Clock::now() - now_));
  names_due_at_ = Clock::now() + pause;
}

void FollowedFiles::add_due(File& file) {
  if (!std::exchange(file.is_due, true)) due_.push_back(&file);
}

// Whether a file has unread bytes, as far as this is known without reading.
bool FollowedFiles::has_news(File& file, const std::optional<FoundFile>& shown) const {
  if (shown && shown->identity == file.identity()) {
    const bool is_changed = shown->modified_ns != file.modified_ns();
    if (file.is_unpacked && is_changed) file.close();  // to be unpacked again
    const bool is_new = file.must_look || is_changed || (!file.is_unpacked && shown->bytes != file.read_end());
    file.set_modified_ns(shown->modified_ns);
    return is_new;
  }
  struct stat found;
  if (!file.is_open() || ::fstat(file.descriptor(), &found) != 0) return false;
  const bool is_new = file.must_look || found.st_size != file.read_end();
  file.set_modified_ns(sensor::modified_ns(found));
  return is_new;
}

void FollowedFiles::look_at(Path& path) {
  std::optional<FoundFile> found = find_file(path.name);
  path.shown.reset();
  if (found) path.shown = found->identity;
  if (found && !path.files.empty()) find_of_reused_number(path, *found);
  if (found && (path.files.empty() || path.files.back()->identity() != found->identity)) notice(path, *found);
  if (found && !path.files.empty()) find_missed_of_empty(path, *found);
  while (!path.files.empty()) {
    File& file = *path.files.front();
    const bool is_elsewhere = path.shown != file.identity() && !file.is_open();
    if (is_elsewhere && (path.files.size() > 1 || now_ >= path.search_at) && !find_again(path, file)) {
      path.search_at = now_ + kUnendedPatience;
      if (path.files.size() == 1) break;
      warn(path.name, "the file that was read up to byte " + std::to_string(file.place().end()) +
                          " cannot be found any more; what was written behind "
                          "that is lost, if anything was");
      std::unique_ptr<File> gone = std::move(path.files.front());
      path.files.pop_front();
      drop(std::move(gone));
      continue;
    }
    const bool has_lost_its_name = path.files.size() > 1 || !path.shown;
    if (has_news(file, found)) {
      add_due(file);
      break;
    }
    if (path.files.size() == 1) {
      if ((has_lost_its_name || file.is_unpacked) && file.has_unended() && now_ >= file.grew_at + kUnendedPatience)
        file.must_end = true, add_due(file);
      break;
    }
    file.grew_at = now_;
    path.left.push_back(std::move(path.files.front()));
    path.files.pop_front();
  }
  look_at_left(path);
}

// The system reuses the inode number of a deleted file. So what was read earlier may be under another name, and the
// file with the name is new.
void FollowedFiles::find_of_reused_number(Path& path, const FoundFile& found) {
  File& file = *path.files.back();
  if (!file.is_restored || file.is_open() || file.identity() != found.identity || file.place().end() == 0 ||
      holds(found.name, file.place()))
    return;
  by_identity_.erase(found.identity);
  file.set_identity({});
  by_identity_[file.identity()] = &file;
  if (find_again(path, file)) return;
  by_identity_.erase(file.identity());
  file.set_identity(found.identity);  // it was truncated
  by_identity_[file.identity()] = &file;
}

void FollowedFiles::look_at_left(Path& path) {
  for (const auto& file : path.left) {
    if (file->is_restored && !file->is_open()) find_again(path, *file), file->is_restored = false;
    if (!file->is_open()) continue;
    if (has_news(*file, std::nullopt)) {
      add_due(*file);
    } else if (file->has_unended() && now_ >= file->grew_at + kUnendedPatience) {
      file->must_end = true;
      add_due(*file);
    } else if (now_ >= file->grew_at + kLeftPatience) {
      file->close();
    }
  }
}

// The name belongs to another file than before.
void FollowedFiles::notice(Path& path, const FoundFile& found) {
  if (adopt(path, found) || is_too_new(path, found)) return;
  if (!path.files.empty()) {
    File& before = *path.files.back();
    if (before.is_open() || find_again(path, before)) {
      if (before.identity() == found.identity) return;  // only the device number changed
    } else if (before.is_restored && holds(found.name, before.place()) && attach(before, open_file(found.name))) {
      return;  // copied or restored while Coil was not running
    }
    for (auto& missed : find_missed(path, before.modified_ns(), found.identity, Rotation::kByName))
      path.files.push_back(std::move(missed));
  }
  if (is_first_look_ && path.files.empty() && path.left.empty()) know_older(path);
  FilePlace place;
  for (const auto& [name, other] : paths_) {  // a copy of a file that was read: read only the later data
    if (!is_rotated(path.name, name) || other.files.empty()) continue;
    if (const FilePlace read = other.files.back()->place(); holds(found.name, read)) place = read;
  }
  place.identity = found.identity, place.modified_ns = 0;
  path.files.push_back(make_file(path, std::move(place)));
}

// It may be a copy that is still being written, and whose original will be truncated.
bool FollowedFiles::is_too_new(const Path& path, const FoundFile& found) const {
  if (path.is_named || !path.files.empty()) return false;
  const auto is_original = [&](const auto& other) { return is_rotated(path.name, other.first); };
  if (std::none_of(paths_.begin(), paths_.end(), is_original)) return false;
  struct timespec wall;
  ::clock_gettime(CLOCK_REALTIME, &wall);
  return found.modified_ns >
         int64_t(wall.tv_sec) * 1'000'000'000 + wall.tv_nsec - std::chrono::nanoseconds(kCopyPatience).count();
}

// Finds a followed file that was renamed, or has two names.
bool FollowedFiles::adopt(Path& path, const FoundFile& found) {
  const auto known = by_identity_.find(found.identity);
  if (known == by_identity_.end()) return false;
  File& file = *known->second;
  Path& owner = *file.path;
  const auto take_from = [&](auto& files) {
    const auto it = std::find_if(files.begin(), files.end(), [&](const auto& one) { return one.get() == &file; });
    if (it == files.end()) return std::unique_ptr<File>();
    std::unique_ptr<File> taken = std::move(*it);
    files.erase(it);
    return taken;
  };
  const int descriptor = file.is_open() ? -1 : open_file(found.name);
  const bool is_it = file.is_open() || (descriptor >= 0 && GrowingFile::holds(descriptor, file.place()));
  if (descriptor >= 0) ::close(descriptor);
  if (!is_it) {  // it was deleted, and a new file has its inode number
    by_identity_.erase(known);
    if (std::unique_ptr<File> gone = take_from(owner.left)) drop(std::move(gone));
    return false;
  }
  if (&owner != &path && owner.shown == found.identity) return true;
  std::unique_ptr<File> taken = take_from(owner.left);
  if (!taken && &owner == &path) return true;
  if (!taken) taken = take_from(owner.files);
  taken->path = &path;
  taken->set_name(path.name);
  path.files.push_back(std::move(taken));
  return true;
}

// Opens a file that may have another name now, or a copy.
bool FollowedFiles::find_again(Path& path, File& file) {
  const FilePlace place = file.place();
  std::vector<FoundFile> candidates = find_rotated(path.name);
  if (std::optional<FoundFile> same = find_by_inode(path.name, file.identity().inode)) candidates.push_back(*same);
  std::reverse(candidates.begin(), candidates.end());
  for (const FoundFile& candidate : candidates) {
    const bool is_same = candidate.identity.inode == file.identity().inode;
    if (!is_same && (place.end() == 0 || by_identity_.count(candidate.identity) > 0)) continue;
    const int descriptor = open_file(candidate.name);
    if (descriptor < 0) continue;
    if (attach_content(file, descriptor, candidate.name)) return true;
  }
  return place.end() > 0 && find_compressed(path, file);
}

// Opens the content of a file that was compressed since it was read.
bool FollowedFiles::find_compressed(const Path& path, File& file) {
  std::vector<FoundFile> candidates = find_rotated_gzip(path.name);
  std::reverse(candidates.begin(), candidates.end());
  for (const FoundFile& candidate : candidates) {
    if (!file.unpacked.insert({candidate.identity, candidate.bytes}).second) continue;
    const int packed = open_file(candidate.name);
    if (packed >= 0 && attach_content(file, packed, candidate.name)) return true;
  }
  return false;
}

// Files that were rotated before the first start are not read.
void FollowedFiles::know_older(Path& path) {
  for (const FoundFile& found : find_rotated(path.name)) {
    const auto has = [&](const std::string& group) { return is_group(group) && is_in_group(group, found.name); };
    if (paths_.count(found.name) > 0 || by_identity_.count(found.identity) > 0 ||
        std::any_of(options_.names.begin(), options_.names.end(), has))
      continue;
    const int descriptor = open_file(found.name);
    if (descriptor < 0) continue;
    FilePlace place = GrowingFile::place_in(descriptor, path.name, found.bytes);
    ::close(descriptor);
    place.identity = found.identity, place.modified_ns = found.modified_ns;
    path.left.push_back(make_file(path, std::move(place)));
  }
}

// For a file that was empty so far, its copies show what it contained in the meantime.
void FollowedFiles::find_missed_of_empty(Path& path, const FoundFile& found) {
  File& file = *path.files.back();
  if (file.identity() != found.identity || file.read_end() > 0 || file.modified_ns() == 0 ||
      file.modified_ns() == found.modified_ns)
    return;
  auto missed = find_missed(path, file.modified_ns(), found.identity, Rotation::kByCopy);
  file.set_modified_ns(found.modified_ns);
  path.files.insert(std::prev(path.files.end()), std::make_move_iterator(missed.begin()),
                    std::make_move_iterator(missed.end()));
}

// Files that rotation may have made from this one, were last changed at `since_ns` or later, and are not known yet.
// `now`: the file that has the name.
std::vector<FoundFile> FollowedFiles::find_unknown(const Path& path, int64_t since_ns, const FileIdentity& now,
                                                   bool is_packed) const {
  std::vector<FoundFile> files = is_packed ? find_rotated_gzip(path.name) : find_rotated(path.name);
  std::erase_if(files, [&](const FoundFile& found) {
    return found.modified_ns < since_ns || found.identity == now || by_identity_.count(found.identity) > 0 ||
           (is_packed && find_file(found.name.substr(0, found.name.rfind('.'))));  // it is still being compressed
  });
  return files;
}

// Files that had the name, or are copies of such files, and were last changed at `since_ns` or later. `now`: the file
// that has the name.
std::vector<std::unique_ptr<FollowedFiles::File>> FollowedFiles::find_missed(Path& path, int64_t since_ns,
                                                                             const FileIdentity& now,
                                                                             Rotation rotation) {
  const bool may_be_packed = !find_unknown(path, since_ns, now, true).empty();
  std::erase_if(path.left, [&](std::unique_ptr<File>& file) {
    const std::optional<FoundFile> known = find_by_inode(path.name, file->identity().inode);
    const bool is_it = known && (is_compressed(known->name) || holds(known->name, file->place()));
    if (file->is_open() || is_it) return false;
    if (may_be_packed && file->place().end() > 0 && find_compressed(path, *file)) return file->close(), false;
    drop(std::move(file));
    return true;
  });
  std::vector<FoundFile> unknown = find_unknown(path, since_ns, now, false);
  if (rotation == Rotation::kByCopy)  // a copy, whose original is only now being truncated
    std::erase_if(unknown, [&](const FoundFile& found) { return is_same_content(path.name, found); });
  for (FoundFile& found : find_unknown(path, since_ns, now, true)) unknown.push_back(std::move(found));
  std::stable_sort(unknown.begin(), unknown.end(),
                   [](const FoundFile& a, const FoundFile& b) { return a.modified_ns < b.modified_ns; });
  std::vector<std::unique_ptr<File>> missed;
  for (const FoundFile& found : unknown) {
    FilePlace place;
    place.identity = found.identity;
    std::unique_ptr<File> file = make_file(path, std::move(place));
    if (const int descriptor = open_file(found.name);
        descriptor >= 0 && attach_content(*file, descriptor, found.name)) {
      missed.push_back(std::move(file));
    } else {
      warn(found.name, std::string("cannot be read: ") + std::strerror(errno));
      drop(std::move(file));
    }
  }
  return missed;
}

bool FollowedFiles::is_over(const Path& path) const {
  if (path.is_named || path.shown) return false;
  const auto is_over = [&](const std::unique_ptr<File>& file) {
    if (!file->is_open()) return true;
    if (file->has_unended() || file->must_end || file->is_due) return false;
    struct stat found;
    return ::fstat(file->descriptor(), &found) != 0 || found.st_nlink == 0 || now_ >= file->grew_at + kLeftPatience;
  };
  return std::all_of(path.files.begin(), path.files.end(), is_over) &&
         std::all_of(path.left.begin(), path.left.end(), is_over);
}

// Closes files that still have their name, because they can be reopened.
void FollowedFiles::bound_descriptors() {
  read_since_bound_ = 0;
  std::vector<File*> open;
  size_t count = 0;
  for (const auto& [identity, file] : by_identity_) {
    if (!file->is_open()) continue;
    ++count;
    if (file->path->shown == identity && !file->is_due) open.push_back(file);
  }
  if (count <= most_open_) return;
  std::sort(open.begin(), open.end(), [](const File* a, const File* b) { return a->grew_at < b->grew_at; });
  for (size_t i = 0; i < std::min(open.size(), count - most_open_); ++i) open[i]->close();
}

FollowedFiles::Progress FollowedFiles::advance(File& file, std::vector<Message>& messages) {
  const GrowingFile::Mark before = file.mark();
  if (file.must_end) {
    file.must_end = false;
    if (std::optional<Line> line = file.take_unended()) take(file, std::move(*line), before, messages);
    return Progress::kDone;
  }
  if (!file.is_in_batch) file.forget_taken();
  GrowingFile::Found found = GrowingFile::Found::kOther;
  file.must_look = true;
  try {
    const Opened opened = file.is_open() ? Opened::kItself : open(file);
    if (opened == Opened::kAnother) return Progress::kDone;
    if (opened == Opened::kItself) found = file.read();
  } catch (const Error& error) {
    if (!std::exchange(file.path->was_complained, true)) warn(file.name(), error.what());
    return Progress::kDone;
  }
  file.must_look = file.path->was_complained = false;
  if (found == GrowingFile::Found::kNothing) return Progress::kDone;
  if (found == GrowingFile::Found::kOther) {
    if (!messages.empty()) return Progress::kLater;
    begin_anew(file, messages);
    return Progress::kMore;
  }
  file.grew_at = now_;
  for (;;) {
    const GrowingFile::Mark before_line = file.mark();
    std::optional<Line> line = file.next_line();
    if (!line) return Progress::kMore;
    take(file, std::move(*line), before_line, messages);
  }
}

FollowedFiles::Opened FollowedFiles::open(File& file) {
  const int descriptor = open_file(file.path->name);
  struct stat found;
  if (descriptor < 0) throw Error(std::string("cannot be read: ") + std::strerror(errno));
  if (::fstat(descriptor, &found) != 0 || identity_of(found) != file.identity()) {  // renamed since the last check
    ::close(descriptor);
    return Opened::kAnother;
  }
  const bool is_it = is_gzip(descriptor) ? attach_content(file, descriptor, file.name()) : attach(file, descriptor);
  return is_it ? Opened::kItself : Opened::kChanged;
}

// The file has new content. A copy may hold the unread part of the old content; it is read first.
void FollowedFiles::begin_anew(File& file, std::vector<Message>& messages) {
  Path& path = *file.path;
  const auto place =
      std::find_if(path.files.begin(), path.files.end(), [&](const auto& one) { return one.get() == &file; });
  if (place == path.files.end()) return file.close(), file.restart();
  FilePlace before = file.place();
  before.number = 0;
  bool is_known = before.end() == 0;
  std::unique_ptr<File> copy;
  int64_t copied_ns = 0;
  for (const FoundFile& found : find_rotated(path.name)) {
    if (!holds(found.name, before)) continue;
    is_known = true, copied_ns = found.modified_ns;
    if (by_identity_.count(found.identity) > 0) continue;
    FilePlace of_copy = before;
    of_copy.identity = found.identity;
    if (copy) drop(std::move(copy));
    copy = make_file(path, std::move(of_copy));
    if (!attach(*copy, open_file(found.name))) drop(std::move(copy));
  }
  if (!is_known) {
    FilePlace of_copy = before;
    of_copy.identity = {};
    copy = make_file(path, std::move(of_copy));
    is_known = find_compressed(path, *copy);
    copied_ns = before.modified_ns;
    if (!is_known) drop(std::move(copy));
  }
  std::optional<Line> unended;
  if (!is_known) {
    unended = file.take_unended();
    warn(path.name, "was truncated or written anew after byte " + std::to_string(before.end()) +
                        "; it is read from its beginning");
  }
  file.restart();
  if (unended) take(file, std::move(*unended), file.mark(), messages);
  file.begins = true, file.is_restored = false;
  if (!copy) return;
  // The reader of the old lines keeps the number under which their head is known.
  const int32_t fresh = copy->number();
  copy->set_number(file.number()), file.set_number(fresh);
  by_number_[copy->number()] = copy.get(), by_number_[fresh] = &file;
  std::vector<std::unique_ptr<File>> before_it = find_missed(path, copied_ns, file.identity(), Rotation::kByCopy);
  before_it.insert(before_it.begin(), std::move(copy));
  for (auto it = before_it.rbegin(); it != before_it.rend(); ++it) due_.push_front(it->get()), (*it)->is_due = true;
  path.files.insert(place, std::make_move_iterator(before_it.begin()), std::make_move_iterator(before_it.end()));
}

void FollowedFiles::take(File& file, Line line, const GrowingFile::Mark& before, std::vector<Message>& messages) {
  messages.push_back(as_message(std::move(line), file.line()));
  messages.back().file = file.number();
  messages.back().begins_file = std::exchange(file.begins, false);
  taken_.push_back({&file, before, file.mark()});
  file.is_in_batch = true;
}

}  // namespace coil::sensor
