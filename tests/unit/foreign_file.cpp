// Files that are mistaken for models are identified.
#include "ssm/model/foreign_file.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <string>

#include "base/error.h"
#include "ssm/model/safetensors.h"

namespace {

using namespace std::string_literals;

std::string described(const std::string& content) {
  return coil::ssm::describe_foreign_file(std::as_bytes(std::span(content)));
}

}  // namespace

TEST_CASE("files are identified by their signatures", "[foreign_file]") {
  const std::string rest(600, '\1');
  for (const auto& [content, wanted] : {
           std::pair("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"s,
                     "a Git LFS pointer, not the file itself"s),
           {"/annex/objects/SHA256E-s1--0.safetensors\n", "a git-annex pointer"},
           {"\x1f\x8b\x08" + rest, "a gzip archive; unpack it first"},
           {"BZh9" + rest, "a bzip2 archive"},
           {"\xfd\x37zXZ\0"s + rest, "an xz archive"},
           {"\x28\xb5\x2f\xfd" + rest, "a zstd archive"},
           {"7z\xbc\xaf\x27\x1c" + rest, "a 7z archive"},
           {std::string(257, 'x') + "ustar" + rest, "a tar archive"},
           {"PK\3\4" + rest, "a zip archive"},
           {"PK\3\4" + rest + "archive/data.pkl" + rest, "a PyTorch checkpoint"},
           {"PK\3\4" + std::string(1 << 20, '\1') + "archive/data.pkl" + rest, "a PyTorch checkpoint"},
           {"PK\3\4" + rest + "weights.npy", "NumPy arrays"},
           {"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19." + rest, "a PyTorch checkpoint"},
           {"\x80\x04\x95" + rest, "a Python pickle"},
           {"\x08\x07\x12\x07pytorch\x1a\x05" + rest, "an ONNX model"},
           {"\x89HDF\r\n\x1a\n" + rest, "an HDF5 file"},
           {"GGUF" + rest, "a GGUF file"},
           {"\1\0\0\0TFL3"s + rest, "a TensorFlow Lite model"},
           {"RIFF....WAVEfmt " + rest, "a WAV file: sound"},
           {"fLaC" + rest, "a FLAC file"},
           {"OggS" + rest, "an Ogg file"},
           {"ID3\3" + rest, "an MP3 file"},
           {"coil stream state 3\n" + rest, "the state of `coil stream`"},
           {std::string(10000, '\0'), "nothing but zeros"},
       }) {
    INFO(content.substr(0, 20));
    CHECK_THAT(described(content), Catch::StartsWith(wanted));
  }
}

TEST_CASE("texts are identified by their content", "[foreign_file]") {
  for (const auto& [content, wanted] : {
           std::pair("<!DOCTYPE html><html></html>"s, "an HTML page"s),
           {"\xef\xbb\xbf \n<HTML lang=en>", "an HTML page"},
           {R"({"version": "0.5.4", "architecture": "LSTM", "config": {}, "weights": [1, 2]})",
            "a Neural Amp Modeler file (.nam); `coil capture FILE -o MODEL.safetensors` makes a model of it"},
           {R"({"version": "0.5.4", "architecture": "LSTM", "config": {}, "wei)", "a Neural Amp Modeler file"},
           {R"({"in_shape": [null, 1], "layers": []})", "an RTNeural file"},
           {R"({"model_data": {}, "state_dict": {"rec.weight": [[1]]}})", "weights as JSON"},
           {R"({"metadata": {}, "weight_map": {}})", "the index of a sharded checkpoint"},
           {R"({"model_type": "mamba"})", "a config without weights"},
           {R"({"deep": {"architecture": 1, "weights": 2}})", "a JSON file, not a model"},
           {"[1, 2, 3]", "a JSON file, not a model"},
           {"<?xml version=\"1.0\"?><x/>", "an XML file"},
           {"Entry not found", "text, not a model; it begins with \"Entry not found\""},
           {"{{ template }}\nmore", "text, not a model; it begins with \"{{ template }}\""},
           {"gr\xc3\xbcn\nmore", "text, not a model; it begins with \"gr??n\""},
       }) {
    INFO(content);
    CHECK_THAT(described(content), Catch::StartsWith(wanted));
  }
  CHECK(described("").empty());
  CHECK(described("\1\2\3\4\5\6\7").empty());
}

TEST_CASE("no bytes make a description fail", "[foreign_file]") {
  CHECK_FALSE(described(std::string(1 << 20, '[')).empty());  // brackets without end are text
  std::mt19937 random(1);
  const std::string signatures[] = {"PK\3\4", "{\"a\":", "\x80\x02", "\x08\x07\x12", "<html", "\xef\xbb\xbf",
                                    "",       "[",       "ID"};
  for (int i = 0; i < 20000; ++i) {
    std::string content = signatures[random() % std::size(signatures)];
    for (size_t left = random() % 40; left > 0; --left) content += static_cast<char>(random());
    const std::string what = described(content);
    CHECK(what.find('\n') == what.npos);
  }
}

TEST_CASE("the error names the kind of a file that is not a model", "[foreign_file]") {
  const auto refusal = [](const std::string& content) {
    const auto* begin = reinterpret_cast<const std::byte*>(content.data());
    try {
      coil::ssm::Safetensors::from_bytes(std::make_shared<const std::vector<std::byte>>(begin, begin + content.size()),
                                         "the model 'x'");
    } catch (const coil::Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  CHECK_THAT(refusal("version https://git-lfs.github.com/spec/v1\n"),
             Catch::StartsWith("the model 'x': is a Git LFS pointer"));
  CHECK(refusal("") == "the model 'x': is empty");
  CHECK(refusal("\1\2\3") ==
        "the model 'x': is not a .safetensors file: it does not begin with the size of a header and the header");
  CHECK(refusal("\x40\0\0\0\0\0\0\0{\"x\":"s) == "the model 'x': is cut off: it has 13 bytes, its header alone 64");
  CHECK(refusal("\2\0\0\0\0\0\0\0{}"s) == "accepted");
}
