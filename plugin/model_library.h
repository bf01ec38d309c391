// Where models and presets are found, and the one copy of each loaded model that all instances of the plugin share.
#pragma once

#include <juce_core/juce_core.h>

#include <condition_variable>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ssm/run/model.h"

namespace coil::plugin {

// A model in memory. Lives as long as anybody plays it or could go back to it.
struct LoadedModel {
  std::shared_ptr<const ssm::Model> model;
  std::string name;  // the card's, or the file's
  std::shared_ptr<const std::vector<std::byte>>
      file_bytes;  // to be embedded in sessions; null: more than kMaxEmbeddedBytes
};

// What the browser lists.
struct LibraryEntry {
  juce::File file;
  juce::String name;    // the card's, or the file's
  juce::String folder;  // below the library's folder, "" at its top
  bool factory = false;
  bool is_preset = false;  // saved by the user (.coil); else a model (.safetensors)
};

// Where the library looks, in this order.
struct LibraryFolders {
  std::vector<juce::File> factory;
  juce::File user;      // its folder "presets" takes what the user saves
  juce::File settings;  // the file that keeps the list of recent files

  // Factory: the folders of $COIL_PRESETS (separated by colons), beside the plugin, share/coil/presets of the
  // installation and of the system, the source tree. User: $XDG_DATA_HOME/coil, elsewhere the system's folder for
  // application data.
  static LibraryFolders standard();
};

// Held by juce::SharedResourcePointer, so that a process has one. All functions: any thread but the audio thread.
class ModelLibrary {
 public:
  static constexpr size_t kMaxEmbeddedBytes = size_t{16} << 20;
  static constexpr size_t kMaxRecent = 12;

  explicit ModelLibrary(LibraryFolders folders = LibraryFolders::standard());

  // A file, or a folder with config.json and weights. Throws Error, also for models that have no sound. A model that is
  // already in memory (same hash, same card) is not loaded again.
  std::shared_ptr<const LoadedModel> load(const juce::File& file);
  static bool is_model_folder(const juce::File& file);         // looks whether it could be one, not into its files
  static std::vector<std::byte> read(const juce::File& file);  // all of it; throws Error
  std::shared_ptr<const LoadedModel> load(std::shared_ptr<const std::vector<std::byte>> file_bytes,
                                          const std::string& name);
  std::shared_ptr<const LoadedModel> find_loaded(const std::string& hash);  // null: not in memory
  // The first file of the library with this hash. Reads files that it has not seen before.
  std::optional<juce::File> find_file(const std::string& hash);
  size_t loaded_count();

  // Sorted by folder and name, factory first, without forecasters. Looks into the folders at the first call and after
  // rescan().
  std::vector<LibraryEntry> entries();
  void rescan();
  // Those whose name or folder holds every word of `text`, in whatever case.
  std::vector<LibraryEntry> search(const juce::String& text);
  // The entry `step` places after `from` (before it, if negative), around the ends; from a file that is not listed: the
  // first or last. Null: the library is empty.
  std::optional<LibraryEntry> neighbour(const juce::File& from, int step);

  const juce::File& user_folder() const { return folders_.user; }
  juce::File preset_folder() const { return folders_.user.getChildFile("presets"); }

  // The newest first; only those that exist. Kept between sessions.
  std::vector<juce::File> recent();
  void note_recent(const juce::File& file);

 private:
  using Key = std::pair<std::string, std::string>;  // a model's hash, its card's text
  struct FileHash {
    juce::int64 size = 0;
    juce::Time changed;
    std::string hash;
  };

  std::shared_ptr<const LoadedModel> load(const ssm::Checkpoint& checkpoint, const std::string& name,
                                          std::shared_ptr<const std::vector<std::byte>> file_bytes);
  std::vector<LibraryEntry> scan() const;

  const LibraryFolders folders_;
  std::mutex loading_;  // guards the two below; not held while a model loads
  std::map<Key, std::weak_ptr<const LoadedModel>> loaded_;
  std::set<Key> coming_;  // who wants one of these as well waits for it
  std::condition_variable came_;
  std::mutex listing_;                       // guards all below
  std::map<juce::String, FileHash> hashes_;  // by path
  std::optional<std::vector<LibraryEntry>> entries_;
};

}  // namespace coil::plugin
