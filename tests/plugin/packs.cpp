// Packs: what is installed, and what is refused without a trace.
#include "plugin/pack.h"

#include <catch2/catch.hpp>
#include <juce_audio_formats/juce_audio_formats.h>
#include <string>
#include <vector>

#include "base/error.h"
#include "tests/plugin/sessions.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;

juce::File file_at(const std::filesystem::path& path) { return juce::File(path.string()); }

std::string file_text(const juce::File& file) {
  juce::MemoryBlock bytes;
  REQUIRE(file.loadFileAsData(bytes));
  return {static_cast<const char*>(bytes.getData()), bytes.getSize()};
}

std::string model_bytes() { return file_text(juce::File(test::overdrive_path().string())); }

std::string response_bytes() {
  juce::MemoryBlock block;
  {
    std::unique_ptr<juce::AudioFormatWriter> writer(
        juce::WavAudioFormat().createWriterFor(new juce::MemoryOutputStream(block, false), 48000, 1, 24, {}, 0));
    const auto noise = test::noise(1, 200);
    const float* channel = noise[0].data();
    writer->writeFromFloatArrays(&channel, 1, 200);
  }
  return {static_cast<const char*>(block.getData()), block.getSize()};
}

// A library of its own, and archives to install into it.
struct Shop {
  test::TempDir dir;
  plugin::ModelLibrary library{{{}, file_at(dir / "user"), file_at(dir / "settings.json")}};

  juce::File archive(const std::vector<std::pair<std::string, std::string>>& entries, const char* name = "amps.zip") {
    juce::ZipFile::Builder builder;
    for (const auto& [path, content] : entries)
      builder.addEntry(new juce::MemoryInputStream(content.data(), content.size(), true), 9, juce::String(path), {});
    const juce::File file = file_at(dir / name);
    file.deleteFile();
    juce::FileOutputStream stream(file);
    REQUIRE(builder.writeToStream(stream, nullptr));
    return file;
  }
  std::string refusal(const juce::File& file) {
    try {
      plugin::install_pack(file, library);
    } catch (const Error& error) {
      // Nothing stays behind, not even hidden.
      CHECK(library.pack_folder().findChildFiles(juce::File::findFilesAndDirectories, true).isEmpty());
      return error.what();
    }
    return "was installed";
  }
};

const std::pair<std::string, std::string> kLicence{"LICENCE.txt", "Play it."};

TEST_CASE("a pack is installed as a folder of the library, with its models, presets and responses") {
  Shop shop;
  const std::string preset = R"({"rig": 1, "stages": [{"type": "model", "file": "drive.safetensors"}]})";
  const auto pack = plugin::install_pack(shop.archive({{"Fine Amps/LICENSE", "Share it."},
                                                       {"Fine Amps/drive.safetensors", model_bytes()},
                                                       {"Fine Amps/clean.coil", preset},
                                                       {"Fine Amps/cabs/cone.wav", response_bytes()},
                                                       {"Fine Amps/.DS_Store", "x"},
                                                       {"__MACOSX/Fine Amps/._drive.safetensors", "x"}}),
                                         shop.library);
  CHECK(pack.models == 1);
  CHECK(pack.presets == 1);
  CHECK(pack.cabinets == 1);
  CHECK(pack.licence == "Share it.");
  CHECK(pack.folder == shop.library.pack_folder().getChildFile("Fine Amps"));
  CHECK(file_text(pack.folder.getChildFile("drive.safetensors")) == model_bytes());
  CHECK(pack.folder.findChildFiles(juce::File::findFiles, true).size() == 4);
  shop.library.rescan();
  const auto entries = shop.library.entries();
  REQUIRE(entries.size() == 2);
  CHECK(entries[0].folder == "packs/Fine Amps");
  CHECK(shop.library.find_cabinet("cone") == pack.folder.getChildFile("cabs/cone.wav"));

  // A second time it is refused, and the first stays.
  CHECK_THROWS_WITH(plugin::install_pack(file_at(shop.dir / "amps.zip"), shop.library),
                    Catch::Contains("'Fine Amps' is installed already"));
  CHECK(pack.folder.getChildFile("drive.safetensors").existsAsFile());
}

TEST_CASE("a pack without a common folder has the name of its file") {
  Shop shop;
  const auto pack =
      plugin::install_pack(shop.archive({kLicence, {"cone.wav", response_bytes()}}, "My cones.zip"), shop.library);
  CHECK(pack.folder.getFileName() == "My cones");
}

TEST_CASE("a pack that cannot be trusted or used is refused in one line, and nothing of it stays") {
  Shop shop;
  const std::pair<std::string, std::string> model{"drive.safetensors", model_bytes()};
  const auto contains = [&](const std::vector<std::pair<std::string, std::string>>& entries, const char* said) {
    const std::string refusal = shop.refusal(shop.archive(entries));
    CHECK_THAT(refusal, Catch::Contains(said));
    CHECK(refusal.find('\n') == std::string::npos);
    CHECK_THAT(refusal, Catch::Contains("amps"));
  };
  for (const char* path : {"../evil.txt", "a/../../evil.txt", "/etc/evil.txt", "C:/evil.txt", "a\\..\\..\\evil.txt"}) {
    contains({kLicence, model, {path, "out"}}, "leaves the pack's folder");
    CHECK_FALSE(file_at(shop.dir / "evil.txt").exists());
  }
  contains({model}, "has no licence");
  contains({kLicence}, "holds no model");
  contains({kLicence, model, {"setup.exe", "MZ"}}, "amps.zip: setup.exe is no model");
  contains({kLicence, model, {"later.safetensors", "no model"}}, "amps.zip: later.safetensors");
  contains({kLicence, model, {"cone.wav", "no sound"}}, "amps.zip: cone.wav");
  contains({kLicence, model, {"lead.coil", "{"}}, "amps.zip: lead.coil");
  contains({kLicence, model, {"Licence.txt", "Twice."}}, "is there twice");
  const juce::File broken = file_at(shop.dir / "broken.zip");
  broken.replaceWithText("PK but no archive");
  CHECK_THAT(shop.refusal(broken), Catch::Contains("is no zip archive"));
  CHECK_THAT(shop.refusal(file_at(shop.dir / "gone.zip")), Catch::Contains("No such file"));
  const std::string whole = file_text(shop.archive({kLicence, model}));
  for (const size_t cut : {whole.size() / 2, whole.size() - 30}) {
    broken.replaceWithData(whole.data(), cut);
    CHECK_THAT(shop.refusal(broken), Catch::Contains("broken.zip"));
  }
}

}  // namespace
