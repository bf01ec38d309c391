// Texts of records, intact and damaged from fixed seeds: the fuzzers' invariants must hold for each.
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/fuzz/record_invariants.h"
#include "tests/support/random_network.h"

namespace {

using namespace coil;

// Texts that exercise each rule of a format.
std::vector<std::string> texts_of(const std::string& format) {
  if (format == "ndjson") {
    return {
        "{\"time\":\"2024-01-01T00:00:00Z\",\"v\":1.5,\"s\":\"a\\\"\\u00e9\\n\",\"n\":null}\n{\"v\":-2e3,\"o\":{\"x\":"
        "1,\"y\":[1,{\"z\":2}]}}\n",
        "\xef\xbb\xbf[{\"v\":1},\n{\"v\":2}]\n{\"v\":3}{\"v\":4}\n",
        "{\n \"v\": 1,\n \"o\": {\n  \"x\": 2\n }\n}\n# comment\n{\"v\":\"7\",\"status\":\"x\"}\n",
        "{\"v\":1,\n{\"v\":2}\n\n{\"coil_score\":1,\"score\":2}\r\n",
        "\xff\xfe{\0\"\0v\0\"\0:\0"
        "1\0}\0\n\0"};
  }
  if (format == "csv") {
    return {"time,temp,note\n2024-01-01T00:00:00Z,21.5,\"a \"\"b\"\"\nc\"\n2024-01-01T00:01:00Z,,x\n",
            "sep=;\r\nLogger;7\r\nDate;Time;T\r\n;;\xc2\xb0"
            "C\r\n22.05.2020;00:00;12,5\r\n",
            "#time\tv\t\n1\t0x10\t\n2\tn/a\n3\t1_000\t\t\n",
            "a|b\r1|2\r3|\"x\r4|5\r",
            "\xfe\xff\0t\0s\0,\0v\0\n\0"
            "1\0,\0"
            "2\0\n",
            "value\n1\n\n# comment\nvalue\n2\n",
            "a\tb\n1\t2\n3\t4\t\t\"\t\"\n5\t\"x\"\t\" \"\n",
            "\"\nc\"\n5 0 s\r0\n\"\nc\"\n7\n",
            "sep=\"\nc`\":\n\"\"\ncb\n1scolumn_2a0b\n"};
  }
  return {
      "weather,place=north\\ pole temp=1.5,wind=2i,on=t,note=\"a, \\\"b\\\" c\" 1699999880000000000\n# comment\nm "
      "v=1\n",
      "log,host=a msg=\"two\nlines\",v=1 5\nm,a=b\nm v=1,v=2\nm status=1i,score=2\r\n",
      "m v=\"x\nm v=2 3\n\nm\\,x,t\\=1=a\\ b f\\ g=-1e3u 9223372036854775807\n"};
}

std::string damaged(std::string text, const std::vector<std::string>& others, test::Random& random) {
  const std::string signs = "\"\"{}[],;:=\\\n\r\t|# 01.eE+-\xef\xff\x1e";
  for (int changes = random.whole(1, 6); changes > 0 && !text.empty(); --changes) {
    const size_t at = size_t(random.whole(0, int(text.size()) - 1)), length = size_t(random.whole(1, 12));
    switch (random.whole(0, 4)) {
      case 0:
        text.erase(at, length);
        break;
      case 1:
        text[at] = static_cast<char>(random.whole(0, 255));
        break;
      case 2:
        text.insert(at, 1, signs[size_t(random.whole(0, int(signs.size()) - 1))]);
        break;
      case 3:
        text.insert(at, text.substr(size_t(random.whole(0, int(text.size()) - 1)), length));
        break;
      default:
        text += others[size_t(random.whole(0, int(others.size()) - 1))];
        break;
    }
  }
  return text;
}

TEST_CASE("no text of records is lost, read in two ways, or written so that it cannot be read") {
  for (const std::string format : {"ndjson", "csv", "line"}) {
    const std::vector<std::string> texts = texts_of(format);
    test::Random random(7);
    for (int round = 0; round < 4000; ++round) {
      const std::string& text = texts[size_t(round) % texts.size()];
      const std::string tried = round < int(texts.size()) ? text : damaged(text, texts, random);
      INFO(format << ", round " << round << ": " << tried);
      CHECK_NOTHROW(test::check_stream(tried, random.chance(0.3) ? "" : format));
    }
  }
}

TEST_CASE("lines do not depend on how bytes are split, and end where the bytes do") {
  for (const std::string text : {"a\nb\r\n\r\nc", "a\rb\r\rc\r",
                                 "\xef\xbb\xbf"
                                 "a\n",
                                 "\n", "a\r\nb\rc\n", "a\rb\nc\r\nd"}) {
    std::vector<std::string> expected;
    for (size_t step = text.size(); step > 0; --step) {
      coil::sensor::LineCutter cutter;
      coil::sensor::Line line;
      std::vector<std::string> lines;
      int64_t end = 0;
      for (size_t at = 0; at < text.size(); at += step) {
        cutter.add(std::string_view(text).substr(at, step));
        while (cutter.next(line)) lines.push_back(line.text), end = line.end_byte;
      }
      while (cutter.next(line, true)) lines.push_back(line.text), end = line.end_byte;
      CHECK(end == int64_t(text.size()));
      if (expected.empty()) expected = lines;
      if (text.starts_with("a\rb\nc")) CHECK(lines == std::vector<std::string>{"a", "b", "c", "d"});
      CHECK(lines == expected);
    }
  }
  coil::sensor::LineCutter cutter;
  coil::sensor::Line line;
  cutter.add("first\n" + std::string(coil::sensor::kLongestLine + 1, 'x'));
  REQUIRE((cutter.next(line) && line.text == "first" && line.end_byte == 6));
  CHECK_FALSE(cutter.next(line));
  cutter.add(std::string(5000, 'x') + "\nlast");
  REQUIRE((cutter.next(line) && line.is_too_long && line.text.empty()));
  CHECK(line.end_byte == int64_t(6 + coil::sensor::kLongestLine + 1 + 5000 + 1));
  CHECK_FALSE(cutter.next(line));
  REQUIRE((cutter.next(line, true) && line.text == "last" && !line.has_end));
}

}  // namespace
