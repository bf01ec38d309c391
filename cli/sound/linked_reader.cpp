// Opens parts of a file through libsndfile's virtual I/O.
#include "cli/sound/linked_reader.h"

#include <sndfile.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "cli/failure.h"
#include "cli/interrupt.h"
#include "cli/text.h"

namespace coil::cli {
namespace {

constexpr int kOpusRateHz = 48000;       // rate of Opus' positions
constexpr int64_t kFramesAtOnce = 1152;  // that libsndfile drops before an error

class Window {
 public:
  Window(std::shared_ptr<ByteSource> source, const SoundLink& link) : source_(std::move(source)), pieces_(link.pieces) {
    for (const SoundLink::Piece& piece : pieces_) size_ += size_of(piece);
    SF_VIRTUAL_IO calls = {size, seek, read, nullptr, tell};
    file_ = sf_open_virtual(&calls, SFM_READ, &info_, this);
  }
  ~Window() {
    if (file_ != nullptr) sf_close(file_);
  }
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  SNDFILE* file() const { return file_; }
  const SF_INFO& info() const { return info_; }
  void rethrow() {
    if (fault_) std::rethrow_exception(std::exchange(fault_, nullptr));
  }

 private:
  static Window& self(void* data) { return *static_cast<Window*>(data); }
  static sf_count_t size(void* data) { return static_cast<sf_count_t>(self(data).size_); }
  static sf_count_t tell(void* data) { return static_cast<sf_count_t>(self(data).at_); }
  static sf_count_t seek(sf_count_t offset, int whence, void* data) {
    Window& window = self(data);
    const auto from = static_cast<sf_count_t>(whence == SEEK_SET ? 0 : whence == SEEK_CUR ? window.at_ : window.size_);
    window.at_ = static_cast<uint64_t>(std::clamp<sf_count_t>(from + offset, 0, static_cast<sf_count_t>(window.size_)));
    return static_cast<sf_count_t>(window.at_);
  }
  static sf_count_t read(void* out, sf_count_t count, void* data) {
    Window& window = self(data);
    std::span<uint8_t> left(static_cast<uint8_t*>(out), static_cast<size_t>(std::max<sf_count_t>(count, 0)));
    left = left.first(std::min<uint64_t>(left.size(), window.size_ - window.at_));
    const size_t wanted = left.size();
    try {
      while (const size_t got = window.read_some(left)) {
        window.at_ += got;
        left = left.subspan(got);
      }
    } catch (...) {
      window.fault_ = std::current_exception();
    }
    return static_cast<sf_count_t>(wanted - left.size());
  }

  static uint64_t size_of(const SoundLink::Piece& piece) {
    return piece.bytes.empty() ? piece.size : piece.bytes.size();
  }

  // Reads from one piece.
  size_t read_some(std::span<uint8_t> out) {
    uint64_t begin = 0;
    for (const SoundLink::Piece& piece : pieces_) {
      const uint64_t size = size_of(piece);
      if (at_ < begin + size) {
        const uint64_t place = at_ - begin;
        const std::span<uint8_t> part = out.first(std::min<uint64_t>(out.size(), size - place));
        if (piece.bytes.empty()) return source_->read_at(piece.at + place, part);
        std::copy_n(piece.bytes.begin() + static_cast<std::ptrdiff_t>(place), part.size(), part.begin());
        return part.size();
      }
      begin += size;
    }
    return 0;
  }

  std::shared_ptr<ByteSource> source_;
  const std::vector<SoundLink::Piece> pieces_;
  uint64_t size_ = 0, at_ = 0;
  SF_INFO info_ = {};
  SNDFILE* file_ = nullptr;
  std::exception_ptr fault_;
};

class LinkedReader final : public SoundReader {
 public:
  LinkedReader(const std::filesystem::path& path, std::shared_ptr<ByteSource> source, std::vector<SoundLink> links)
      : source_(std::move(source)), links_(std::move(links)) {
    open_first();
    if (window_->file() == nullptr)
      throw Failure(kFailed, in_quotes(path) + ": cannot be read as a sound file: " + sf_strerror(nullptr));
    const SF_INFO& info = window_->info();
    layout_ = layout_of_format(info.format, info.channels);
    is_opus_ = (info.format & SF_FORMAT_SUBMASK) == SF_FORMAT_OPUS;
    info_ = {info.samplerate, info.channels, info.format, -1, layout_.mask};
    if (links_.size() == 1 && info.frames < SF_COUNT_MAX) info_.frames = info.frames;
    if (link_ == 0) {
      begin_file(*window_);
    } else {
      first_position_ = in_frames(links_.front().begin_position);
      note_damage(links_[link_], *window_);
    }
  }

  int64_t read(std::span<float> out) override {
    throw_if_interrupted();
    int64_t frames = 0;
    const int64_t wanted = static_cast<int64_t>(out.size()) / info_.channels;
    while (frames < wanted) {
      const std::span<float> rest = out.subspan(static_cast<size_t>(frames) * info_.channels);
      const int64_t room = std::min(wanted - frames, length_ - frames_of_file_);
      int64_t more = std::min(silence_, room);
      if (more > 0) {
        std::fill_n(rest.begin(), more * info_.channels, 0.0f);
        silence_ -= more;
      } else if (window_ == nullptr) {
        break;
      } else {
        if (room > 0) more = sf_readf_float(window_->file(), rest.data(), std::min(room, kFramesAtOnce));
        window_->rethrow();
        layout_.reorder(rest.first(static_cast<size_t>(more) * info_.channels));
        if (more == 0) next_link();
      }
      frames += more;
      frames_of_file_ += more;
    }
    return frames;
  }

  SoundFaults faults() const override { return faults_; }

 private:
  // Opens the first link that is long enough.
  void open_first() {
    for (;; ++link_) {
      window_ = std::make_unique<Window>(source_, links_[link_]);
      window_->rethrow();
      if (window_->file() != nullptr || link_ + 1 == links_.size() || !links_[link_ + 1].goes_on) return;
    }
  }

  // Converts a position to frames.
  int64_t in_frames(int64_t position) const {
    return is_opus_ && position >= 0 ? position * info_.sample_rate_hz / kOpusRateHz : position;
  }

  // The position of a window's first frame, or of the end of an unreadable one; -1: unknown.
  int64_t position_of(const Window& window, const SoundLink& link) const {
    const int64_t end = in_frames(link.end_position), frames = window.file() != nullptr ? window.info().frames : 0;
    return end < 0 || frames < 0 || frames > end ? -1 : end - frames;
  }

  void begin_file(const Window& window) {
    const bool is_damaged = link_ + 1 < links_.size() && links_[link_ + 1].goes_on;
    first_position_ = position_of(window, links_[link_]);
    length_ = is_damaged && links_[link_].says_length ? window.info().frames : INT64_MAX;
  }

  // The current link has ended, or the one that continues it.
  void end_link() {
    const SoundLink& link = links_[link_];
    const SF_INFO& info = window_->info();
    SoundFaults faults = link.faults;
    const bool is_ogg = (info.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_OGG;
    const int64_t missing = is_ogg && info.frames < SF_COUNT_MAX && !link.goes_on ? info.frames - frames_of_file_ : 0;
    if (missing > 0 && faults.damaged())
      faults.lost_frames += missing;
    else if (missing > 0)
      faults.truncated = true;
    faults_.add(faults, frames_before_);
  }

  // After damage, silence fills the time until `window` starts.
  void note_damage(const SoundLink& link, const Window& window) {
    constexpr int64_t kLongestGap = int64_t{1} << 30;  // frames; larger jumps of positions are not believed
    const int64_t position = position_of(window, link);
    int64_t lost = 0;
    if (position >= 0 && first_position_ >= 0) {
      lost = position - first_position_ - frames_of_file_ - silence_;
    } else if (link.lost_before > 0) {
      // The decoder drops the first frames of MPEG.
      const int64_t skipped =
          window.file() != nullptr ? std::max<int64_t>(link.frames_found - window.info().frames, 0) : 0;
      lost = link.lost_before + skipped;
    }
    if (lost < 0 || lost > kLongestGap) lost = 0;
    SoundFaults faults;
    faults.damaged_places = 1;
    faults.first_damage_frame = frames_of_file_;
    faults.lost_frames = lost;
    faults_.add(faults, frames_before_);
    silence_ += lost;
  }

  void next_link() {
    end_link();
    const size_t before = link_++;
    window_.reset();
    std::unique_ptr<Window> next;
    for (; link_ < links_.size(); ++link_) {
      const SoundLink& link = links_[link_];
      next = std::make_unique<Window>(source_, link);
      next->rethrow();
      if (!link.goes_on) {
        frames_before_ += frames_of_file_ + silence_;
        frames_of_file_ = -silence_;
        break;
      }
      note_damage(link, *next);
      if (next->file() != nullptr) break;
      faults_.add(link.faults, frames_before_);  // too few data between two damaged places
    }
    if (link_ == links_.size()) return;
    const SF_INFO& info = next->info();
    if (next->file() != nullptr && info.channels == info_.channels && info.samplerate == info_.sample_rate_hz) {
      window_ = std::move(next);
      if (!links_[link_].goes_on) begin_file(*window_);
      return;
    }
    faults_.left_out = next->file() != nullptr
                           ? describe_left_out(links_.size() - before - 1, info.channels, info.samplerate)
                           : "the part that was joined to it from byte " + std::to_string(links_[link_].begin()) +
                                 " on cannot be read";
  }

  std::shared_ptr<ByteSource> source_;
  std::vector<SoundLink> links_;
  std::unique_ptr<Window> window_;  // null: all links were read
  size_t link_ = 0;
  ChannelLayout layout_;
  bool is_opus_ = false;
  int64_t first_position_ = -1;  // of the current file; -1: unknown
  int64_t length_ = INT64_MAX;   // of the current file, if it is damaged and states its length
  int64_t silence_ = 0;          // frames of silence before window_
  int64_t frames_of_file_ = 0, frames_before_ = 0;
  SoundFaults faults_;  // of the links read so far
};

}  // namespace

std::unique_ptr<SoundReader> open_links(const std::filesystem::path& path, std::shared_ptr<ByteSource> source,
                                        std::vector<SoundLink> links) {
  return std::make_unique<LinkedReader>(path, std::move(source), std::move(links));
}

}  // namespace coil::cli
