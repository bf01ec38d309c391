// Tokenizers agree with the tokenizers library on tricky texts (see make_tokenizers.py), and name what they cannot do.
#include "cli/tokens/tokenizer.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/tokens/utf8.h"

namespace {

using coil::cli::TextWriter;
using coil::cli::Tokenizer;
using Json = nlohmann::json;

const std::filesystem::path kFolder = COIL_TOKENS_TESTS_DIR;
const std::vector<std::string> kNames = {"neox",  "gpt2_prefixed", "llama3",  "digits",       "llama2",
                                         "jamba", "bpe_unknown",   "unigram", "unigram_bytes"};

Json read_json(const std::string& name) {
  std::ifstream file(kFolder / name);
  return Json::parse(file);
}

std::string written(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  TextWriter writer(tokenizer);
  std::string text;
  for (const int32_t id : ids) {
    const std::string part = writer.add(id);
    CHECK(coil::cli::valid_utf8(part) == part);  // no character is cut
    text += part;
  }
  return text + writer.finish();
}

// How loading fails if the field at `pointer` has another value.
std::string failure(const std::string& name, const std::string& pointer, const Json& value) {
  Json json = read_json(name + ".json");
  json[Json::json_pointer(pointer)] = value;
  const auto path = std::filesystem::temp_directory_path() / ("coil_tokenizer_" + std::to_string(::getpid()) + ".json");
  std::ofstream(path) << json;
  std::string message = "none";
  try {
    Tokenizer::load(path);
  } catch (const coil::Error& error) {
    message = error.what();
  }
  std::filesystem::remove(path);
  return message;
}

}  // namespace

TEST_CASE("texts have the tokens of the tokenizers library", "[tokens]") {
  for (const std::string& name : kNames) {
    const Tokenizer tokenizer = Tokenizer::load(kFolder / (name + ".json"));
    const Json expected = read_json(name + ".expected.json");
    REQUIRE(expected["texts"].size() > 20);
    for (const Json& item : expected["texts"]) {
      INFO(name << ": " << item["text"]);
      CHECK(tokenizer.encode(item["text"], true).ids == item["ids"].get<std::vector<int32_t>>());
      CHECK(tokenizer.encode(item["text"], false).ids == item["plain"].get<std::vector<int32_t>>());
      CHECK(written(tokenizer, item["ids"]) == item["decoded"].get<std::string>());
    }
  }
}

TEST_CASE("any tokens have the text of the tokenizers library", "[tokens]") {
  for (const std::string& name : kNames) {
    const Tokenizer tokenizer = Tokenizer::load(kFolder / (name + ".json"));
    for (const Json& item : read_json(name + ".expected.json")["tokens"]) {
      INFO(name << ": " << item["ids"]);
      CHECK(written(tokenizer, item["ids"]) == item["decoded"].get<std::string>());
    }
  }
}

TEST_CASE("characters come out whole, and what can never be one as a replacement character", "[tokens]") {
  const Tokenizer tokenizer = Tokenizer::load(kFolder / "llama2.json");
  const auto byte = [](int value) { return 2 + value; };  // after <unk> and <s>
  TextWriter writer(tokenizer);
  for (const int first : {0xf0, 0x9f, 0x8e}) CHECK(writer.add(byte(first)).empty());
  CHECK(writer.held() == "\xf0\x9f\x8e");
  TextWriter other(tokenizer);
  other.go_on(writer.held());
  CHECK(other.add(byte(0xb8)) == "🎸");
  CHECK(other.add(byte(0xc3)).empty());
  CHECK(other.add(byte('A')) ==
        "\xef\xbf\xbd"
        "A");
  CHECK(other.add(byte(0xff)) == "\xef\xbf\xbd");
  CHECK(other.add(byte(0xe2)).empty());
  CHECK(other.finish() == "\xef\xbf\xbd");
  CHECK(other.finish().empty());
}

TEST_CASE("only the beginning of a text loses its first blank", "[tokens]") {
  const Tokenizer tokenizer = Tokenizer::load(kFolder / "llama2.json");
  const std::vector<int32_t> ids = tokenizer.encode("the model", true).ids;
  TextWriter begins(tokenizer), goes_on(tokenizer);
  goes_on.go_on("");
  std::string first, later;
  for (const int32_t id : ids) first += begins.add(id), later += goes_on.add(id);
  CHECK(first == "the model");
  CHECK(later == " the model");
}

TEST_CASE("invalid UTF-8 becomes replacement characters", "[tokens]") {
  const std::string mark(coil::cli::kReplacementCharacter);
  CHECK(coil::cli::valid_utf8("a\xff"
                              "b\xc3") == "a" + mark + "b" + mark);
  CHECK(coil::cli::valid_utf8("\xe2\x82x") == mark + "x");
  CHECK(coil::cli::valid_utf8("\xed\xa0\x80") == mark + mark + mark);  // a surrogate
  CHECK(coil::cli::valid_utf8("\xc0\xaf") == mark + mark);             // overlong
  CHECK(coil::cli::valid_utf8("grün 🎸") == "grün 🎸");
}

TEST_CASE("what is not supported is named with its field", "[tokens]") {
  for (const auto& [name, pointer, value, words] : {
           std::tuple("neox", "/model/type", Json("WordPiece"), "model.type 'WordPiece' is not supported"),
           {"neox", "/normalizer/type", "BertNormalizer", "normalizer.type 'BertNormalizer' is not supported"},
           {"llama2", "/normalizer/normalizers/1/type", "Precompiled", "normalizer.normalizers[1].type 'Precompiled'"},
           {"neox", "/pre_tokenizer/type", "UnicodeScripts", "pre_tokenizer.type 'UnicodeScripts' is not supported"},
           {"llama3", "/post_processor/processors/1/type", "BertProcessing", "post_processor.processors[1].type"},
           {"neox", "/decoder/type", "CTC", "decoder.type 'CTC' is not supported"},
           {"llama2", "/decoder/decoders/3/stop", 1, "decoder.decoders[3].stop must be 0"},
           {"neox", "/model/dropout", 0.1, "model.dropout is not supported"},
           {"neox", "/model/vocab/x", -1, "model.vocab has the id -1"},
           {"neox", "/model/vocab/x", 1e15, "ids must be whole numbers"},
           {"neox", "/model/merges/0", "nothing", "model.merges[0] must be two pieces"},
           {"neox", "/model/merges/0", Json::array({"the", "nowhere"}), "model.merges[0] has a piece that is not"},
           {"llama2", "/model/unk_token", "<none>", "model.unk_token must be a token of the vocabulary"},
           {"unigram", "/model/unk_id", 100000, "model.unk_id must be a whole number from 0"},
           {"unigram", "/model/vocab/3", "x", "model.vocab[3] must be a piece"},
           {"llama3", "/pre_tokenizer/pretokenizers/0/pattern/Regex", "(", "pattern.Regex is not a regular expression"},
           {"llama3", "/pre_tokenizer/pretokenizers/0/behavior", "Odd", "behavior must be Removed, Isolated"},
           {"jamba", "/pre_tokenizer/prepend_scheme", "odd", "prepend_scheme must be always, first or never"},
           {"neox", "/added_tokens/0/id", -5, "added_tokens[0].id must be a whole number"},
           {"neox", "/model", nullptr, "model must be a JSON object"},
       }) {
    INFO(name << pointer);
    CHECK_THAT(failure(name, pointer, value), Catch::Contains(words));
  }
  CHECK_THROWS_WITH(Tokenizer::load(kFolder / "none.json"), Catch::Contains("none.json: cannot be read"));
}
