// Implements the models BPE and Unigram.
#include "cli/tokens/token_model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <queue>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/json_fields.h"
#include "cli/tokens/utf8.h"

namespace coil::cli {
namespace {

using Json = nlohmann::json;

// Begins with characters and merges the pair of neighbours that comes first in the list of merges, over and over.
// Source: Sennrich, Haddow & Birch 2016.
class Bpe : public TokenModel {
 public:
  Bpe(const JsonFields& fields, const Json& json) {
    read_vocabulary(fields, json);
    continuing_ = fields.text("continuing_subword_prefix", "");
    ending_ = fields.text("end_of_word_suffix", "");
    fuse_unknown_ = fields.flag("fuse_unk", false);
    byte_fallback_ = fields.flag("byte_fallback", false);
    whole_words_first_ = fields.flag("ignore_merges", false);
    if (fields.number("dropout", 0) != 0)
      throw Error(fields.where("dropout") + " is not supported: equal texts must give equal tokens; set it to null");
    if (fields.has("unk_token")) {
      unknown_ = vocabulary_.id(fields.text("unk_token"));
      if (!unknown_) throw fields.wrong("unk_token", "a token of the vocabulary");
    }
    read_merges(fields, json);
  }

  size_t encode(std::string_view text, std::vector<int32_t>& ids) const override {
    if (whole_words_first_) {
      if (const auto id = vocabulary_.id(text)) {
        ids.push_back(*id);
        return 0;
      }
    }
    std::vector<Symbol> symbols;
    const size_t dropped = begin(text, symbols);
    merge(symbols);
    for (const Symbol& symbol : symbols)
      if (symbol.id >= 0) ids.push_back(symbol.id);
    return dropped;
  }

 private:
  // An element of a linked list. id -1: merged into the previous one.
  struct Symbol {
    int32_t id = -1;
    int previous = -1, next = -1;
  };
  struct Merge {
    uint32_t rank;
    int32_t id;
  };

  static uint64_t pair(int32_t left, int32_t right) { return uint64_t(uint32_t(left)) << 32 | uint32_t(right); }

  void read_vocabulary(const JsonFields& fields, const Json& json) {
    if (!fields.has("vocab") || !json["vocab"].is_object()) throw fields.wrong("vocab", "an object of pieces and ids");
    for (const auto& [piece, id] : json["vocab"].items()) {
      if (!id.is_number_integer()) throw Error(fields.where("vocab") + ": its ids must be whole numbers");
      vocabulary_.add(piece, id.get<int64_t>(), fields.where("vocab"));
    }
  }

  void read_merges(const JsonFields& fields, const Json& json) {
    if (!fields.has("merges") || !json["merges"].is_array()) throw fields.wrong("merges", "a list");
    uint32_t rank = 0;
    for (const Json& entry : json["merges"]) {
      const std::string where = fields.where("merges") + "[" + std::to_string(rank) + "]";
      const auto [left, right] = parts(entry, where);
      const auto first = vocabulary_.id(left), second = vocabulary_.id(right);
      const bool continues = right.starts_with(continuing_);
      const auto merged = vocabulary_.id(left + right.substr(continues ? continuing_.size() : 0));
      if (!first || !second || !merged) throw Error(where + " has a piece that is not in the vocabulary");
      merges_.insert_or_assign(pair(*first, *second), Merge{rank++, *merged});
    }
  }

  static std::pair<std::string, std::string> parts(const Json& entry, const std::string& where) {
    if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string())
      return {entry[0].get<std::string>(), entry[1].get<std::string>()};
    const std::string text = entry.is_string() ? entry.get<std::string>() : "";
    const size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
      throw Error(where + " must be two pieces: a list, or a text with one space between them");
    return {text.substr(0, space), text.substr(space + 1)};
  }

  size_t begin(std::string_view text, std::vector<Symbol>& symbols) const {
    size_t dropped = 0;
    bool after_unknown = false;
    const auto add = [&](int32_t id, bool is_unknown) {
      if (!is_unknown || !after_unknown || !fuse_unknown_)
        symbols.push_back({id, int(symbols.size()) - 1, int(symbols.size()) + 1});
      after_unknown = is_unknown;
    };
    for (size_t at = 0, bytes = 0; at < text.size(); at += bytes) {
      bytes = character_bytes(text.substr(at));
      std::string piece(text.substr(at, bytes));
      if (at > 0) piece.insert(0, continuing_);
      if (at + bytes == text.size()) piece += ending_;
      if (const auto id = vocabulary_.id(piece)) {
        add(*id, false);
        continue;
      }
      const auto fallback = byte_fallback_ ? vocabulary_.bytes(piece) : std::nullopt;
      if (fallback)
        for (const int32_t id : *fallback) add(id, false);
      else if (unknown_)
        add(*unknown_, true);
      else
        ++dropped;
    }
    if (!symbols.empty()) symbols.back().next = -1;
    return dropped;
  }

  void merge(std::vector<Symbol>& symbols) const {
    struct Candidate {
      uint32_t rank;
      int at;
      int32_t left, right, id;
      bool operator>(const Candidate& other) const { return std::tie(rank, at) > std::tie(other.rank, other.at); }
    };
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
    const auto consider = [&](int at) {
      if (at < 0 || symbols[size_t(at)].next < 0) return;
      const int32_t left = symbols[size_t(at)].id, right = symbols[size_t(symbols[size_t(at)].next)].id;
      const auto found = merges_.find(pair(left, right));
      if (found != merges_.end()) candidates.push({found->second.rank, at, left, right, found->second.id});
    };
    for (int at = 0; at < int(symbols.size()); ++at) consider(at);
    while (!candidates.empty()) {
      const Candidate best = candidates.top();
      candidates.pop();
      Symbol& symbol = symbols[size_t(best.at)];
      if (symbol.id != best.left || symbol.next < 0 || symbols[size_t(symbol.next)].id != best.right) continue;
      Symbol& gone = symbols[size_t(symbol.next)];
      symbol.id = best.id;
      symbol.next = gone.next;
      gone = Symbol{};
      if (symbol.next >= 0) symbols[size_t(symbol.next)].previous = best.at;
      consider(symbol.previous);
      consider(best.at);
    }
  }

  std::unordered_map<uint64_t, Merge> merges_;
  std::string continuing_, ending_;
  std::optional<int32_t> unknown_;
  bool fuse_unknown_ = false, byte_fallback_ = false, whole_words_first_ = false;
};

// Finds the pieces with the largest product of probabilities, by dynamic programming. Source: Kudo 2018.
class Unigram : public TokenModel {
 public:
  Unigram(const JsonFields& fields, const Json& json) {
    if (!fields.has("vocab") || !json["vocab"].is_array()) throw fields.wrong("vocab", "a list");
    for (const Json& entry : json["vocab"]) {
      const std::string where = fields.where("vocab") + "[" + std::to_string(scores_.size()) + "]";
      if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number())
        throw Error(where + " must be a piece and the logarithm of its probability");
      const std::string piece = entry[0];
      vocabulary_.add(piece, int64_t(scores_.size()), where);
      scores_.push_back(entry[1]);
      longest_ = std::max(longest_, piece.size());
      lowest_ = std::min(lowest_, scores_.back());
    }
    byte_fallback_ = fields.flag("byte_fallback", false);
    if (fields.has("unk_id")) unknown_ = fields.whole("unk_id", 0, int(scores_.size()) - 1);
    where_ = fields.where();
  }

  size_t encode(std::string_view text, std::vector<int32_t>& ids) const override {
    for (const std::string_view piece : best_pieces(text)) {
      const auto id = vocabulary_.id(piece);
      const auto fallback = !id && byte_fallback_ ? vocabulary_.bytes(piece) : std::nullopt;
      if (fallback)
        ids.insert(ids.end(), fallback->begin(), fallback->end());
      else
        ids.push_back(id ? *id : *unknown_);
    }
    return 0;
  }

 private:
  struct End {  // the last piece of the best path to a position
    std::optional<size_t> begin;
    double score = 0;
    bool unknown = false;
  };

  // Adjacent characters that are in no piece become one unknown piece.
  std::vector<std::string_view> best_pieces(std::string_view text) const {
    constexpr double kUnknownPenalty = 10;
    std::vector<End> ends(text.size() + 1);
    const auto consider = [&](size_t begin, size_t end, double score, bool unknown) {
      score += ends[begin].score;
      if (!ends[end].begin || score > ends[end].score) ends[end] = {begin, score, unknown};
    };
    for (size_t at = 0, bytes = 0; at < text.size(); at += bytes) {
      bytes = character_bytes(text.substr(at));
      for (size_t end = at + bytes; end - at <= longest_; end += character_bytes(text.substr(end))) {
        if (const auto id = vocabulary_.id(text.substr(at, end - at))) consider(at, end, scores_[size_t(*id)], false);
        if (end == text.size()) break;
      }
      if (vocabulary_.id(text.substr(at, bytes))) continue;
      if (!unknown_)
        throw Error(where_ + ".unk_id is missing, and the vocabulary has no piece for '" +
                    std::string(text.substr(at, bytes)) + "'");
      consider(at, at + bytes, lowest_ - kUnknownPenalty, true);
    }
    std::vector<std::string_view> pieces;
    bool before_unknown = false;
    for (size_t end = text.size(); end > 0; end = *ends[end].begin) {
      const size_t begin = *ends[end].begin;
      if (ends[end].unknown && before_unknown)
        pieces.back() = {text.data() + begin, pieces.back().size() + (end - begin)};
      else
        pieces.push_back(text.substr(begin, end - begin));
      before_unknown = ends[end].unknown;
    }
    std::reverse(pieces.begin(), pieces.end());
    return pieces;
  }

  std::vector<double> scores_;
  double lowest_ = std::numeric_limits<double>::infinity();
  size_t longest_ = 0;
  bool byte_fallback_ = false;
  std::optional<int32_t> unknown_;
  std::string where_;
};

}  // namespace

std::unique_ptr<TokenModel> TokenModel::from_json(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  // Files of earlier versions have no type; only a BPE has merges, only a Unigram a list.
  const std::string type = fields.text("type", json.contains("merges") ? "BPE" : "Unigram");
  if (type == "BPE") return std::make_unique<Bpe>(fields, json);
  if (type == "Unigram") return std::make_unique<Unigram>(fields, json);
  throw Error(fields.where("type") + " '" + type.substr(0, 40) + "' is not supported; supported are BPE and Unigram");
}

}  // namespace coil::cli
