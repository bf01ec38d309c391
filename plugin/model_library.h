// Finds models and presets, and keeps one copy of each loaded model for all instances of the plugin.
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

// A model in memory. It lives as long as it plays or can be reached by undo.
struct LoadedModel {
  std::shared_ptr<const ssm::Model> model;
  std::string name;  // from the card, else the file name
  std::shared_ptr<const std::vector<std::byte>>
      file_bytes;  // to be stored in sessions; null: larger than kMaxEmbeddedBytes
};

// Of user presets, which are sessions with only their first slot, and the cabinet.
inline constexpr const char* kPresetExtension = ".coil";
inline constexpr const char* kCabinetCategory = "cabinet";

// An entry of the browser.
struct LibraryEntry {
  juce::File file;
  juce::String name;    // from the card, else the file name
  juce::String folder;  // relative to the library's folder; "" at its top
  bool factory = false;
  bool is_preset = false;   // saved by the user (.coil); else a model (.safetensors)
  juce::String category;    // from the card or the rig, such as "drive"; without one, the card's task
  juce::StringArray tags;   // from the card or the rig
  bool is_cabinet = false;  // an impulse response
};

// An impulse response in a folder `cabinets` of the library.
struct CabinetEntry {
  juce::File file;
  juce::String name;  // of the file, without its extension
  bool factory = false;
  juce::String folder;  // of a pack or of the user's own folder; else empty
};

// The folders of the library, in the order of search.
struct LibraryFolders {
  std::vector<juce::File> factory;
  juce::File user;      // its subfolder "presets" holds what the user saves, "cabinets" the user's impulse responses
  juce::File settings;  // the file with the lists of recent files, favourites and further folders

  // Factory: the folders of $COIL_PRESETS (separated by colons), the folder beside the plugin, share/coil/presets of
  // the installation and of the system, the source tree. User: $XDG_DATA_HOME/coil, on other systems the folder for
  // application data.
  static LibraryFolders standard();
};

// One per process, by juce::SharedResourcePointer. All functions: [any thread but the audio thread].
class ModelLibrary {
 public:
  static constexpr size_t kMaxEmbeddedBytes = size_t{16} << 20;
  static constexpr size_t kMaxRecent = 12;

  explicit ModelLibrary(LibraryFolders folders = LibraryFolders::standard());

  // Loads a file, or a folder with config.json and weights. Throws Error, also for models that process no sound. A
  // model that is already in memory (same hash, same card) is shared.
  std::shared_ptr<const LoadedModel> load(const juce::File& file);
  static bool is_model_folder(const juce::File& file);         // checks for the typical files without reading them
  static std::vector<std::byte> read(const juce::File& file);  // the whole file; throws Error
  std::shared_ptr<const LoadedModel> load(std::shared_ptr<const std::vector<std::byte>> file_bytes,
                                          const std::string& name);
  std::shared_ptr<const LoadedModel> find_loaded(const std::string& hash);  // null: not in memory
  // The first file of the library with this hash. Reads files that were not read before.
  std::optional<juce::File> find_file(const std::string& hash);
  size_t loaded_count();

  // Sorted by folder and name, factory first, without models that process no sound. Scans the folders at the first call
  // and after rescan().
  std::vector<LibraryEntry> entries();
  void rescan();
  // The entries, and after them the impulse responses in the category kCabinetCategory.
  std::vector<LibraryEntry> everything();
  // Those of everything() whose name, folder, category or tags contain every word of `text`; ignores case.
  std::vector<LibraryEntry> search(const juce::String& text);
  // The entry `step` positions after `from` (before it, if negative), with wrap-around. If `from` is not listed, the
  // first or last entry. Null if the library is empty.
  std::optional<LibraryEntry> neighbour(const juce::File& from, int step);

  // The impulse responses in `cabinets` of each folder and anywhere in a pack, by name, factory first. Of several with
  // one name, the one in the folder that is searched first, as in `coil process --chain`. Reads the folders each time.
  std::vector<CabinetEntry> cabinets() const;
  juce::String name_of(const juce::File& file);  // as it is listed; of another file: without its extension
  // The folder of the pack that a file came with.
  std::optional<juce::File> pack_of(const juce::File& file) const;
  std::vector<juce::File> packs() const;  // the folders of the installed packs, by name
  // Null: none has this name.
  std::optional<juce::File> find_cabinet(const juce::String& name) const;

  const juce::File& user_folder() const { return folders_.user; }
  juce::File cabinet_folder() const { return folders_.user.getChildFile("cabinets"); }
  juce::File pack_folder() const { return folders_.user.getChildFile("packs"); }  // one folder for each pack
  juce::File preset_folder() const { return folders_.user.getChildFile("presets"); }

  // Newest first; only existing files. Saved between sessions, like the lists below.
  std::vector<juce::File> recent();
  void note_recent(const juce::File& file);
  std::vector<juce::File> favourites();
  void set_favourite(const juce::File& file, bool is_one);
  // Folders that the user has added. Their entries have the folder's name before their own folder.
  std::vector<juce::File> added_folders() const;
  void add_folder(const juce::File& folder);  // throws Error if it is no folder, or too large to be searched
  void remove_folder(const juce::File& folder);

 private:
  using Key = std::pair<std::string, std::string>;  // a model's hash, and the text of its card
  struct FileHash {
    juce::int64 size = 0;
    juce::Time changed;
    std::string hash;
  };

  std::shared_ptr<const LoadedModel> load(const ssm::Checkpoint& checkpoint, const std::string& name,
                                          std::shared_ptr<const std::vector<std::byte>> file_bytes);
  std::vector<LibraryEntry> scan() const;
  std::vector<juce::File> listed(const char* list) const;  // only those that exist
  void keep_list(const char* list, const std::vector<juce::File>& files);

  const LibraryFolders folders_;
  std::mutex loading_;  // guards the two below; not held while a model loads
  std::map<Key, std::weak_ptr<const LoadedModel>> loaded_;
  std::set<Key> coming_;  // being loaded; other requests for them wait
  std::condition_variable came_;
  std::mutex listing_;                       // guards everything below
  std::map<juce::String, FileHash> hashes_;  // by path
  std::optional<std::vector<LibraryEntry>> entries_, everything_;
};

}  // namespace coil::plugin
