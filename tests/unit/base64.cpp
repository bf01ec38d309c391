// Base64 against the examples of RFC 4648, and round trips.
#include "base/base64.h"

#include <catch2/catch.hpp>

namespace {

using namespace coil;

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

TEST_CASE("base64 is that of RFC 4648, and comes back") {
  const std::vector<std::pair<std::string, std::string>> examples = {
      {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, text] : examples) {
    CHECK(to_base64(bytes_of(plain)) == text);
    const auto back = from_base64(text);
    REQUIRE(back);
    CHECK(std::string(reinterpret_cast<const char*>(back->data()), back->size()) == plain);
  }
  std::vector<std::byte> all;
  for (int i = 0; i < 1000; ++i) all.push_back(static_cast<std::byte>(i * 7));
  CHECK(from_base64(to_base64(all)) == all);
  for (const char* wrong : {"Z", "Zg", "Zg=", "Z===", "Zg==Zg==", "Zm 9v", "Zm9v!"}) CHECK_FALSE(from_base64(wrong));
}

}  // namespace
