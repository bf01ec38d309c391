// Windows of a file through libsndfile's virtual I/O.
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

constexpr int kOpusRateHz = 48000;  // of its positions

class Window {
 public:
  Window(std::shared_ptr<ByteSource> source, const SoundLink& link)
      : source_(std::move(source)), link_(link), size_(link.end - link.begin + link.inserted.size()) {
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

  // From one side of the inserted bytes, or of them.
  size_t read_some(std::span<uint8_t> out) {
    const uint64_t before = link_.inserted.empty() ? size_ : link_.inserted_at - link_.begin,
                   after = before + link_.inserted.size();
    if (at_ >= before && at_ < after) {
      const size_t count = std::min<uint64_t>(out.size(), after - at_);
      std::copy_n(link_.inserted.begin() + static_cast<std::ptrdiff_t>(at_ - before), count, out.begin());
      return count;
    }
    if (at_ >= after) return source_->read_at(link_.begin + at_ - link_.inserted.size(), out);
    return source_->read_at(link_.begin + at_, out.first(std::min<uint64_t>(out.size(), before - at_)));
  }

  std::shared_ptr<ByteSource> source_;
  const SoundLink link_;
  uint64_t size_, at_ = 0;
  SF_INFO info_ = {};
  SNDFILE* file_ = nullptr;
  std::exception_ptr fault_;
};

class LinkedReader final : public SoundReader {
 public:
  LinkedReader(const std::filesystem::path& path, std::shared_ptr<ByteSource> source, std::vector<SoundLink> links)
      : source_(std::move(source)),
        links_(std::move(links)),
        first_(std::make_unique<Window>(source_, links_.front())),
        window_(first_.get()) {
    first_->rethrow();
    if (first_->file() == nullptr)
      throw Failure(kFailed, in_quotes(path) + ": cannot be read as a sound file: " + sf_strerror(nullptr));
    const SF_INFO& info = first_->info();
    layout_ = layout_of_format(info.format, info.channels);
    info_ = {info.samplerate, info.channels, info.format, -1, layout_.mask};
    if (links_.size() == 1 && info.frames < SF_COUNT_MAX) info_.frames = info.frames;
  }

  int64_t read(std::span<float> out) override {
    throw_if_interrupted();
    int64_t frames = 0;
    const int64_t wanted = static_cast<int64_t>(out.size()) / info_.channels;
    while (window_ != nullptr && frames < wanted) {
      const int64_t more = sf_readf_float(window_->file(), out.data() + frames * info_.channels, wanted - frames);
      window_->rethrow();
      frames += more;
      frames_of_link_ += more;
      if (more == 0) next_link();
    }
    layout_.reorder(out.first(static_cast<size_t>(frames) * info_.channels));
    return frames;
  }

  SoundFaults faults() const override { return faults_; }

 private:
  void end_link() {
    SoundFaults faults = links_[link_].faults;
    const SF_INFO& info = window_->info();
    const bool is_ogg = (info.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_OGG;
    const bool is_opus = (info.format & SF_FORMAT_SUBMASK) == SF_FORMAT_OPUS;
    if (is_opus) faults.first_damage_frame = faults.first_damage_frame * info.samplerate / kOpusRateHz;
    faults.first_damage_frame = std::min(faults.first_damage_frame, frames_of_link_);
    const int64_t missing = is_ogg && info.frames < SF_COUNT_MAX ? info.frames - frames_of_link_ : 0;
    if (missing > 0 && faults.damaged())
      faults.lost_frames += missing;
    else if (missing > 0)
      faults.truncated = true;
    faults_.add(faults, frames_before_);
    frames_before_ += std::exchange(frames_of_link_, 0);
  }

  void next_link() {
    end_link();
    const size_t before = link_++;
    window_ = nullptr;
    while (link_ < links_.size()) {
      later_ = std::make_unique<Window>(source_, links_[link_]);
      later_->rethrow();
      if (later_->file() != nullptr || !links_[link_].goes_on) break;
      ++link_;  // too little between two damaged places
    }
    if (link_ == links_.size()) return;
    const SF_INFO& info = later_->info();
    if (later_->file() != nullptr && info.channels == info_.channels && info.samplerate == info_.sample_rate_hz) {
      window_ = later_.get();
      return;
    }
    faults_.left_out =
        later_->file() != nullptr
            ? describe_left_out(links_.size() - before - 1, info.channels, info.samplerate)
            : "what was joined to it from byte " + std::to_string(links_[link_].begin) + " on cannot be read";
  }

  std::shared_ptr<ByteSource> source_;
  std::vector<SoundLink> links_;
  std::unique_ptr<Window> first_, later_;  // the first stays open for its metadata
  Window* window_;                         // null: all were read
  size_t link_ = 0;
  ChannelLayout layout_;
  int64_t frames_of_link_ = 0, frames_before_ = 0;
  SoundFaults faults_;  // of the links that were read
};

}  // namespace

std::unique_ptr<SoundReader> open_links(const std::filesystem::path& path, std::shared_ptr<ByteSource> source,
                                        std::vector<SoundLink> links) {
  return std::make_unique<LinkedReader>(path, std::move(source), std::move(links));
}

}  // namespace coil::cli
