// Searches and reads files, and keeps weak references to loaded models.
#include "plugin/model_library.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "dsp/model_processor.h"
#include "plugin/cabinet.h"

namespace coil::plugin {

namespace {

constexpr const char* kModelExtension = ".safetensors";
constexpr int kMaxFolderDepth = 8;
constexpr const char* kForecastTask = "forecast";  // models for `coil stream`, which process no sound
constexpr const char* kWanted = "; a model (.safetensors) or a preset (.coil) is needed";

std::filesystem::path path_of(const juce::File& file) { return file.getFullPathName().toStdString(); }

juce::File folder_from_environment(const char* variable, const juce::File& otherwise) {
  const juce::String path = juce::SystemStats::getEnvironmentVariable(variable, "");
  return juce::File::isAbsolutePath(path) ? juce::File(path) : otherwise;
}

// What the browser lists an entry by.
struct Label {
  juce::String name, task, category;  // empty: not stated
  juce::StringArray tags;
};

// If a card or rig cannot be read, loading it will report that.
Label label_of(const nlohmann::json& json) {
  Label label;
  if (!json.is_object()) return label;
  const auto utf8 = [](const nlohmann::json& text) {
    return text.is_string() ? juce::String::fromUTF8(text.get_ref<const std::string&>().c_str()) : juce::String();
  };
  const auto text = [&](const char* key) { return json.contains(key) ? utf8(json[key]) : juce::String(); };
  label.name = text("name");
  label.task = text("task");
  label.category = text("category");
  if (label.category.isEmpty()) label.category = label.task;
  if (json.contains("tags") && json["tags"].is_array())
    for (const auto& tag : json["tags"])
      if (const juce::String word = utf8(tag); word.isNotEmpty()) label.tags.addIfNotAlreadyThere(word, true);
  return label;
}

Label label_of_card(const std::string& card_json) { return label_of(nlohmann::json::parse(card_json, nullptr, false)); }

// Only the rig's own fields: embedded files may be large.
Label label_of_rig(const juce::File& file) {
  constexpr juce::int64 kMostBytes = 64 << 20;
  if (file.getSize() > kMostBytes) return {};
  const auto skip = [](int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    return !(depth == 1 && event == Event::key && parsed == "embedded") && depth < 3;
  };
  return label_of(nlohmann::json::parse(file.loadFileAsString().toStdString(), skip, false));
}

LibraryEntry entry_of(const juce::File& file, const juce::String& below, bool factory, const Label& label) {
  const bool is_preset = file.hasFileExtension(kPresetExtension);
  const bool by_file = is_preset || label.name.isEmpty();  // a preset's file is renamed without its content
  return {
      file,      by_file ? file.getFileNameWithoutExtension() : label.name, below, factory, is_preset, label.category,
      label.tags};
}

void add_files_of(const juce::File& folder, const juce::String& below, bool factory, int depth,
                  std::vector<LibraryEntry>& entries) {
  for (const auto& item : juce::RangedDirectoryIterator(
           folder, false, "*", juce::File::findFilesAndDirectories | juce::File::ignoreHiddenFiles)) {
    const juce::File file = item.getFile();
    if (item.isDirectory()) {
      if (depth < kMaxFolderDepth)
        add_files_of(file, below.isEmpty() ? file.getFileName() : below + "/" + file.getFileName(), factory, depth + 1,
                     entries);
    } else if (file.hasFileExtension(kModelExtension)) {
      Label label;
      bool reads_tokens = false;
      try {
        const auto checkpoint = ssm::Checkpoint::open(path_of(file));
        label = label_of_card(checkpoint.card_json());
        reads_tokens = nlohmann::json::parse(checkpoint.config_json(), nullptr, false).contains("vocab_size");
      } catch (const Error&) {
        // listed under its file name; selecting it shows what is wrong
      }
      if (label.task == kForecastTask || reads_tokens) continue;
      entries.push_back(entry_of(file, below, factory, label));
    } else if (file.hasFileExtension(kPresetExtension)) {
      entries.push_back(entry_of(file, below, factory, label_of_rig(file)));
    }
  }
}

}  // namespace

LibraryFolders LibraryFolders::standard() {
  LibraryFolders folders;
  for (const juce::String& path :
       juce::StringArray::fromTokens(juce::SystemStats::getEnvironmentVariable("COIL_PRESETS", ""), ":", ""))
    if (juce::File::isAbsolutePath(path)) folders.factory.push_back(juce::File(path));

  const juce::File binary = juce::File::getSpecialLocation(juce::File::currentExecutableFile);
  folders.factory.push_back(
      binary.getParentDirectory().getParentDirectory().getChildFile("Resources/presets"));  // VST3, AU
  folders.factory.push_back(binary.getSiblingFile("presets"));                              // LV2
  for (juce::File above = binary.getParentDirectory(); !above.isRoot(); above = above.getParentDirectory())
    folders.factory.push_back(above.getChildFile("share/coil/presets"));
#if !JUCE_WINDOWS
  for (const char* prefix : {"/usr/local", "/usr"})
    folders.factory.push_back(juce::File(prefix).getChildFile("share/coil/presets"));
#endif
  folders.factory.push_back(juce::File(COIL_SOURCE_PRESETS));

  const juce::File home = juce::File::getSpecialLocation(juce::File::userHomeDirectory);
#if JUCE_LINUX || JUCE_BSD
  folders.user = folder_from_environment("XDG_DATA_HOME", home.getChildFile(".local/share")).getChildFile("coil");
  folders.settings =
      folder_from_environment("XDG_CONFIG_HOME", home.getChildFile(".config")).getChildFile("coil/plugin.json");
#else
  juce::ignoreUnused(home);
  folders.user = juce::File::getSpecialLocation(juce::File::userApplicationDataDirectory).getChildFile("Coil");
  folders.settings = folders.user.getChildFile("plugin.json");
#endif
  return folders;
}

ModelLibrary::ModelLibrary(LibraryFolders folders) : folders_(std::move(folders)) {}

bool ModelLibrary::is_model_folder(const juce::File& file) {
  return file.isDirectory() && file.getChildFile("config.json").existsAsFile();
}

std::vector<std::byte> ModelLibrary::read(const juce::File& file) {
  const std::string path = file.getFullPathName().toStdString();
  std::error_code error;
  if (std::filesystem::is_other(path_of(file), error))
    throw Error(path + ": is not a regular file" + kWanted);  // reading a pipe could block
  juce::FileInputStream stream(file);
  if (stream.failedToOpen())
    throw Error(path + ": cannot be opened: " + stream.getStatus().getErrorMessage().toStdString());
  std::vector<std::byte> bytes(size_t(std::max<juce::int64>(0, stream.getTotalLength())));
  size_t count = 0;
  while (count < bytes.size()) {
    const int got = stream.read(bytes.data() + count, int(std::min<size_t>(bytes.size() - count, size_t{1} << 20)));
    if (got <= 0)
      throw Error(path + ": cannot be read to its end: it has " + std::to_string(bytes.size()) + " bytes, " +
                  std::to_string(count) + " came");
    count += size_t(got);
  }
  return bytes;
}

std::shared_ptr<const LoadedModel> ModelLibrary::load(const juce::File& file) {
  const std::string name = file.getFileNameWithoutExtension().toStdString(),
                    path = file.getFullPathName().toStdString();
  if (file.isDirectory()) {
    if (!is_model_folder(file)) throw Error(path + ": is a folder without a model's config.json" + kWanted);
    return load(ssm::Checkpoint::open(path_of(file)), name, nullptr);
  }
  if (file.getSize() > juce::int64(kMaxEmbeddedBytes)) return load(ssm::Checkpoint::open(path_of(file)), name, nullptr);
  auto bytes = std::make_shared<const std::vector<std::byte>>(read(file));
  try {
    return load(ssm::Checkpoint::from_bytes(bytes, path), name, bytes);
  } catch (const Error& error) {
    if (file.hasFileExtension(kModelExtension)) throw;
    throw Error(error.what() + std::string(kWanted));
  }
}

std::shared_ptr<const LoadedModel> ModelLibrary::load(std::shared_ptr<const std::vector<std::byte>> file_bytes,
                                                      const std::string& name) {
  return load(ssm::Checkpoint::from_bytes(file_bytes, "the model '" + name + "' in the session"), name, file_bytes);
}

std::shared_ptr<const LoadedModel> ModelLibrary::load(const ssm::Checkpoint& checkpoint, const std::string& name,
                                                      std::shared_ptr<const std::vector<std::byte>> file_bytes) {
  const Key key{checkpoint.hash(), checkpoint.card_json()};
  if (label_of_card(key.second).task == kForecastTask)
    throw Error(
        checkpoint.source() +
        ": is a forecaster, which watches sensors with `coil stream` and has no sound; a model of audio is needed");
  {
    std::unique_lock lock(loading_);
    came_.wait(lock, [&] { return !coming_.contains(key); });
    std::erase_if(loaded_, [](const auto& item) { return item.second.expired(); });
    if (const auto it = loaded_.find(key); it != loaded_.end())
      if (auto model = it->second.lock()) return model;
    coming_.insert(key);
  }
  const auto come = [&](const std::shared_ptr<const LoadedModel>& loaded) {
    {
      const std::lock_guard lock(loading_);
      coming_.erase(key);
      if (loaded) loaded_[key] = loaded;
    }
    came_.notify_all();
  };
  try {
    auto loaded = std::make_shared<LoadedModel>();
    loaded->model = ssm::Model::load(checkpoint);
    dsp::require_audio_model(*loaded->model);
    loaded->name = loaded->model->card().name.empty() ? name : loaded->model->card().name;
    loaded->file_bytes = std::move(file_bytes);
    come(loaded);
    return loaded;
  } catch (...) {
    come(nullptr);
    throw;
  }
}

std::shared_ptr<const LoadedModel> ModelLibrary::find_loaded(const std::string& hash) {
  const std::lock_guard lock(loading_);
  for (const auto& [key, weak] : loaded_)
    if (key.first == hash)
      if (auto model = weak.lock()) return model;
  return nullptr;
}

std::optional<juce::File> ModelLibrary::find_file(const std::string& hash) {
  if (hash.empty()) return std::nullopt;
  rescan();
  for (const LibraryEntry& entry : entries()) {
    if (entry.is_preset) continue;
    const juce::String path = entry.file.getFullPathName();
    FileHash now{entry.file.getSize(), entry.file.getLastModificationTime(), {}};
    {
      const std::lock_guard lock(listing_);
      const auto it = hashes_.find(path);
      if (it != hashes_.end() && it->second.size == now.size && it->second.changed == now.changed)
        now.hash = it->second.hash;
    }
    if (now.hash.empty()) {
      try {
        now.hash = ssm::Checkpoint::open(path_of(entry.file)).hash();
      } catch (const Error&) {
        continue;
      }
      const std::lock_guard lock(listing_);
      hashes_[path] = now;
    }
    if (now.hash == hash) return entry.file;
  }
  return std::nullopt;
}

size_t ModelLibrary::loaded_count() {
  const std::lock_guard lock(loading_);
  return size_t(std::count_if(loaded_.begin(), loaded_.end(), [](const auto& item) { return !item.second.expired(); }));
}

std::vector<LibraryEntry> ModelLibrary::scan() const {
  std::vector<LibraryEntry> entries;
  std::set<juce::String> seen;
  const auto add = [&](const juce::File& folder, bool factory, const juce::String& below = {}) {
    if (!folder.isDirectory() || !seen.insert(folder.getLinkedTarget().getFullPathName()).second) return;
    const size_t first = entries.size();
    add_files_of(folder, below, factory, 0, entries);
    std::stable_sort(entries.begin() + std::ptrdiff_t(first), entries.end(),
                     [](const LibraryEntry& a, const LibraryEntry& b) {
                       const int folders = a.folder.compareNatural(b.folder);
                       return folders != 0 ? folders < 0 : a.name.compareNatural(b.name) < 0;
                     });
  };
  for (const juce::File& folder : folders_.factory) {
    add(folder, true);
    if (!entries.empty()) break;  // later folders hold other versions of the same presets
  }
  add(folders_.user, false);
  for (const juce::File& folder : added_folders()) add(folder, false, folder.getFileName());
  return entries;
}

std::vector<LibraryEntry> ModelLibrary::entries() {
  {
    const std::lock_guard lock(listing_);
    if (entries_) return *entries_;
  }
  auto found = scan();
  const std::lock_guard lock(listing_);
  entries_ = std::move(found);
  return *entries_;
}

void ModelLibrary::rescan() {
  const std::lock_guard lock(listing_);
  entries_.reset();
  everything_.reset();
}

std::vector<LibraryEntry> ModelLibrary::everything() {
  {
    const std::lock_guard lock(listing_);
    if (everything_) return *everything_;
  }
  auto found = entries();
  for (const CabinetEntry& cabinet : cabinets())
    found.push_back({cabinet.file, cabinet.name, cabinet.folder, cabinet.factory, false, kCabinetCategory, {}, true});
  const std::lock_guard lock(listing_);
  everything_ = std::move(found);
  return *everything_;
}

std::vector<LibraryEntry> ModelLibrary::search(const juce::String& text) {
  std::vector<LibraryEntry> found = everything();
  for (const juce::String& word : juce::StringArray::fromTokens(text, true))
    std::erase_if(found, [&](const LibraryEntry& entry) {
      const juce::String all =
          entry.folder + "/" + entry.name + "\n" + entry.category + "\n" + entry.tags.joinIntoString("\n");
      return !all.containsIgnoreCase(word);
    });
  return found;
}

std::optional<LibraryEntry> ModelLibrary::neighbour(const juce::File& from, int step) {
  const std::vector<LibraryEntry> all = entries();
  if (all.empty()) return std::nullopt;
  const auto it = std::find_if(all.begin(), all.end(), [&](const LibraryEntry& entry) { return entry.file == from; });
  const auto count = std::ptrdiff_t(all.size());
  if (it == all.end()) return step < 0 ? all.back() : all.front();
  const std::ptrdiff_t index = (it - all.begin() + step) % count;
  return all[size_t(index < 0 ? index + count : index)];
}

std::vector<CabinetEntry> ModelLibrary::cabinets() const {
  std::vector<CabinetEntry> found;
  std::set<juce::String> names;
  const auto add_all = [&](const juce::File& folder, bool factory, const juce::String& place, bool below) {
    for (const juce::File& file : folder.findChildFiles(juce::File::findFiles | juce::File::ignoreHiddenFiles, below))
      if (is_response_name(file.getFileName()) && names.insert(file.getFileNameWithoutExtension()).second)
        found.push_back({file, file.getFileNameWithoutExtension(), factory, place});
  };
  const auto add = [&](const juce::File& folder, bool factory, const juce::String& place = {}) {
    add_all(folder.getChildFile("cabinets"), factory, place, false);
  };
  for (const juce::File& folder : folders_.factory) add(folder, true);
  add(folders_.user, false);
  for (const auto& pack : packs()) add_all(pack, false, pack.getRelativePathFrom(folders_.user), true);
  for (const juce::File& folder : added_folders()) add(folder, false, folder.getFileName());
  std::stable_sort(found.begin(), found.end(), [](const CabinetEntry& a, const CabinetEntry& b) {
    return a.factory != b.factory ? a.factory : a.name.compareNatural(b.name) < 0;
  });
  return found;
}

// Without packs that are being installed, whose names begin with a dot.
std::vector<juce::File> ModelLibrary::packs() const {
  std::vector<juce::File> found;
  for (const auto& pack :
       pack_folder().findChildFiles(juce::File::findDirectories | juce::File::ignoreHiddenFiles, false))
    found.push_back(pack);
  std::ranges::sort(found, [](const juce::File& a, const juce::File& b) {
    return a.getFileName().compareNatural(b.getFileName()) < 0;
  });
  return found;
}

juce::String ModelLibrary::name_of(const juce::File& file) {
  for (const LibraryEntry& entry : entries())
    if (entry.file == file) return entry.name;
  return file.getFileNameWithoutExtension();
}

std::optional<juce::File> ModelLibrary::pack_of(const juce::File& file) const {
  for (const juce::File& pack : packs())
    if (file.isAChildOf(pack)) return pack;
  return std::nullopt;
}

std::optional<juce::File> ModelLibrary::find_cabinet(const juce::String& name) const {
  for (const CabinetEntry& entry : cabinets())
    if (entry.name == name) return entry.file;
  return std::nullopt;
}

// -- lists that stay

std::vector<juce::File> ModelLibrary::listed(const char* list) const {
  const auto json = nlohmann::json::parse(folders_.settings.loadFileAsString().toStdString(), nullptr, false);
  std::vector<juce::File> files;
  if (!json.is_object() || !json.contains(list) || !json[list].is_array()) return files;
  for (const auto& path : json[list]) {
    if (!path.is_string()) continue;
    const juce::String text = juce::String::fromUTF8(path.get<std::string>().c_str());
    if (juce::File::isAbsolutePath(text) && juce::File(text).exists()) files.push_back(juce::File(text));
  }
  return files;
}

void ModelLibrary::keep_list(const char* list, const std::vector<juce::File>& files) {
  auto json = nlohmann::json::parse(folders_.settings.loadFileAsString().toStdString(), nullptr, false);
  if (!json.is_object()) json = nlohmann::json::object();
  json[list] = nlohmann::json::array();
  for (const juce::File& item : files) json[list].push_back(item.getFullPathName().toStdString());
  folders_.settings.getParentDirectory().createDirectory();
  folders_.settings.replaceWithText(json.dump(1) + "\n");  // failing to save the list is not an error
}

std::vector<juce::File> ModelLibrary::recent() {
  std::vector<juce::File> files = listed("recent");
  files.resize(std::min(files.size(), kMaxRecent));
  return files;
}

void ModelLibrary::note_recent(const juce::File& file) {
  std::vector<juce::File> files = recent();
  std::erase(files, file);
  files.insert(files.begin(), file);
  files.resize(std::min(files.size(), kMaxRecent));
  keep_list("recent", files);
}

std::vector<juce::File> ModelLibrary::favourites() { return listed("favourites"); }

void ModelLibrary::set_favourite(const juce::File& file, bool is_one) {
  std::vector<juce::File> files = favourites();
  std::erase(files, file);
  if (is_one) files.push_back(file);
  keep_list("favourites", files);
}

std::vector<juce::File> ModelLibrary::added_folders() const { return listed("folders"); }

void ModelLibrary::add_folder(const juce::File& folder) {
  const std::string path = folder.getFullPathName().toStdString();
  if (!folder.isDirectory()) throw Error(path + ": is not a folder");
  if (folder.isRoot() || folder == juce::File::getSpecialLocation(juce::File::userHomeDirectory))
    throw Error(path + ": is too large to be searched for models; add a folder in it");
  std::vector<juce::File> folders = added_folders();
  if (std::ranges::find(folders, folder) == folders.end()) folders.push_back(folder);
  keep_list("folders", folders);
  rescan();
}

void ModelLibrary::remove_folder(const juce::File& folder) {
  std::vector<juce::File> folders = added_folders();
  std::erase(folders, folder);
  keep_list("folders", folders);
  rescan();
}

}  // namespace coil::plugin
