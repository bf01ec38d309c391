// Reads archives, checks their entries, and installs them.
#include "plugin/pack.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "plugin/cabinet.h"
#include "plugin/preset.h"
#include "plugin/text.h"

namespace coil::plugin {

namespace {

constexpr int kMostEntries = 10000;
constexpr juce::int64 kMostBytes = juce::int64{2} << 30;
constexpr int kMostTextBytes = 1 << 20;

struct Item {
  int entry = 0;      // in the archive
  juce::String path;  // in the pack's folder
};

bool is_text(const juce::String& path) {
  return path.endsWithIgnoreCase(".txt") || path.endsWithIgnoreCase(".md") ||
         !path.fromLastOccurrenceOf("/", false, false).contains(".");
}

bool is_licence(const juce::String& path) {
  const auto name = path.fromLastOccurrenceOf("/", false, false).upToFirstOccurrenceOf(".", false, false);
  return is_text(path) && (name.startsWithIgnoreCase("licence") || name.startsWithIgnoreCase("license") ||
                           name.equalsIgnoreCase("copying"));
}

// What the systems' own programs add to an archive, and hidden files.
bool is_left_out(const juce::StringArray& parts) {
  return std::any_of(parts.begin(), parts.end(), [](const juce::String& part) {
    return part.startsWithChar('.') || part == "__MACOSX" || part.equalsIgnoreCase("Thumbs.db") ||
           part.equalsIgnoreCase("desktop.ini");
  });
}

class Pack {
 public:
  Pack(const juce::File& archive, ModelLibrary& library)
      : library_(library), zip_(archive), name_(archive.getFileName().toStdString()) {
    list(archive);
    strip_common_folder();
    folder_name_ = juce::File::createLegalFileName(folder_name_).trim().trimCharactersAtStart(".");
    if (folder_name_.isEmpty()) throw Error(name_ + " has no name of which a folder could be made: rename it");
    if (std::none_of(items_.begin(), items_.end(), [](const Item& item) { return is_licence(item.path); }))
      throw Error(name_ + " has no licence: a pack needs a text named LICENCE that says what may be done with it");
  }

  InstalledPack install() {
    const auto packs = library_.pack_folder();
    const auto target = packs.getChildFile(folder_name_);
    if (target.exists())
      throw Error("the pack '" + folder_name_.toStdString() + "' is installed already: to install " + name_ +
                  ", remove the folder " + path_of(target) + " first");
    const auto made = packs.getChildFile("." + folder_name_ + ".part");
    made.deleteRecursively();
    try {
      for (const Item& item : items_) add(item, made);
      const InstalledPack pack = installed_pack(made);
      if (pack.models + pack.presets + pack.cabinets == 0)
        throw Error(name_ + " holds no model (.safetensors), preset (.coil) or impulse response");
      if (!made.moveFileTo(target)) throw Error(path_of(target) + ": cannot be written");
    } catch (...) {
      made.deleteRecursively();
      throw;
    }
    return installed_pack(target);
  }

 private:
  void list(const juce::File& archive) {
    if (zip_.getNumEntries() == 0) throw Error(path_of(archive) + ": is no zip archive, is empty, or is damaged");
    if (zip_.getNumEntries() > kMostEntries)
      throw Error(name_ + " has more than " + std::to_string(kMostEntries) + " entries: it is no pack");
    juce::int64 bytes = 0;
    std::set<juce::String> paths;
    for (int i = 0; i < zip_.getNumEntries(); ++i) {
      const auto& entry = *zip_.getEntry(i);
      check_path(entry);
      const auto parts = juce::StringArray::fromTokens(entry.filename, "/", "");
      if (entry.filename.endsWithChar('/') || is_left_out(parts)) continue;
      bytes += std::max<juce::int64>(entry.uncompressedSize, 0);
      if (bytes > kMostBytes) throw Error(name_ + " holds more than 2 GiB: it is no pack");
      if (!paths.insert(entry.filename.toLowerCase()).second)
        throw Error(name_ + ": the entry '" + entry.filename.toStdString() + "' is there twice");
      items_.push_back({i, entry.filename});
    }
    folder_name_ = archive.getFileNameWithoutExtension();
  }

  void check_path(const juce::ZipFile::ZipEntry& entry) const {
    const auto parts = juce::StringArray::fromTokens(entry.filename, "/", "");
    const bool leaves = entry.filename.startsWithChar('/') || entry.filename.containsAnyOf("\\:") ||
                        parts.contains("..") || entry.isSymbolicLink;
    if (leaves)
      throw Error(name_ + ": the entry '" + entry.filename.toStdString() +
                  "' leaves the pack's folder, so nothing was installed");
  }

  void strip_common_folder() {
    if (items_.empty()) return;
    const auto first = items_[0].path.upToFirstOccurrenceOf("/", true, false);
    if (!first.endsWithChar('/')) return;
    if (!std::all_of(items_.begin(), items_.end(), [&](const Item& item) { return item.path.startsWith(first); }))
      return;
    folder_name_ = first.dropLastCharacters(1);
    for (Item& item : items_) item.path = item.path.substring(first.length());
  }

  std::string what(const Item& item) const { return name_ + ": " + item.path.toStdString(); }

  std::vector<std::byte> bytes_of(const Item& item) {
    const auto size = zip_.getEntry(item.entry)->uncompressedSize;
    const std::unique_ptr<juce::InputStream> stream(zip_.createStreamForEntry(item.entry));
    juce::MemoryBlock block;
    if (!stream || size < 0 || stream->readIntoMemoryBlock(block, size) != size_t(size))
      throw Error(what(item) + ": is damaged in the archive");
    const auto* begin = static_cast<const std::byte*>(block.getData());
    return {begin, begin + block.getSize()};
  }

  void add(const Item& item, const juce::File& folder) {
    const juce::String& path = item.path;
    const bool is_model = path.endsWithIgnoreCase(".safetensors"),
               is_preset = path.endsWithIgnoreCase(kPresetExtension);
    if (!is_model && !is_preset && !is_response_name(path) && !is_text(path))
      throw Error(what(item) +
                  " is no model (.safetensors), preset (.coil), impulse response or text, so nothing was installed");
    auto bytes = bytes_of(item);
    const juce::File file = folder.getChildFile(path);
    if (is_preset) {
      preset_from_bytes(bytes, what(item));
    } else if (is_text(path) && bytes.size() > size_t(kMostTextBytes)) {
      throw Error(what(item) + " is larger than 1 MiB and no text");
    }
    if (!file.getParentDirectory().createDirectory() || !file.replaceWithData(bytes.data(), bytes.size()))
      throw Error(path_of(file) + ": cannot be written");
    if (is_response_name(path)) check_response(item, file);
    if (is_model) library_.load(std::make_shared<const std::vector<std::byte>>(std::move(bytes)), what(item));
  }

  void check_response(const Item& item, const juce::File& file) const {
    try {
      microphone_with(file);
    } catch (const Error& error) {
      throw Error(from_utf8(error.what()).replace(file.getFullPathName(), from_utf8(what(item))).toStdString());
    }
  }

  ModelLibrary& library_;
  juce::ZipFile zip_;
  const std::string name_;  // of the archive, for messages
  juce::String folder_name_;
  std::vector<Item> items_;
};

}  // namespace

InstalledPack installed_pack(const juce::File& folder) {
  InstalledPack pack;
  pack.folder = folder;
  auto files = folder.findChildFiles(juce::File::findFiles | juce::File::ignoreHiddenFiles, true);
  files.sort();
  for (const juce::File& file : files) {
    pack.models += file.hasFileExtension(".safetensors");
    pack.presets += file.hasFileExtension(kPresetExtension);
    pack.cabinets += is_response_name(file.getFileName());
    if (is_licence(file.getRelativePathFrom(folder)))
      pack.licence << (pack.licence.isEmpty() ? "" : "\n\n") << file.loadFileAsString();
  }
  return pack;
}

InstalledPack install_pack(const juce::File& archive, ModelLibrary& library) {
  if (!archive.existsAsFile()) throw Error(path_of(archive) + ": cannot be opened: No such file or directory");
  return Pack(archive, library).install();
}

}  // namespace coil::plugin
