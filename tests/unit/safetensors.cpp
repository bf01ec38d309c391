// The .safetensors reader with intact, damaged and hostile files.
#include "ssm/model/safetensors.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>

#include "base/error.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;

std::filesystem::path write_bytes(const test::TempDir& dir, const std::string& bytes) {
  const auto path = dir / "file.safetensors";
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  return path;
}

std::string length_prefix(uint64_t n) {
  std::string out(8, '\0');
  std::memcpy(out.data(), &n, 8);
  return out;
}

// A file with this header and this many data bytes.
std::filesystem::path file_with(const test::TempDir& dir, const std::string& header, size_t data_bytes) {
  return write_bytes(dir, length_prefix(header.size()) + header + std::string(data_bytes, '\0'));
}

// The message of the Error that opening throws; it must name the file.
std::string refusal(const std::filesystem::path& path) {
  try {
    ssm::Safetensors::open(path);
  } catch (const Error& error) {
    CHECK_THAT(error.what(), Catch::Contains(path.filename().string()));
    return error.what();
  }
  FAIL("the file was accepted");
  return "";
}

void refuses(const std::string& header, size_t data_bytes, const std::string& naming) {
  const test::TempDir dir;
  INFO(header.substr(0, 200));
  CHECK_THAT(refusal(file_with(dir, header, data_bytes)), Catch::Contains(naming));
}

TEST_CASE("files of write_safetensors can be read back") {
  const test::TempDir dir;
  const std::vector<ssm::NamedFloats> tensors = {{"b.weight", {2, 3}, {1, -2, 3.5f, 0, -0.0f, 1e-38f}},
                                                 {"a", {}, {7}},
                                                 {"empty", {0, 4}, {}},
                                                 {"c \"quoted\" ü", {1}, {5}}};
  ssm::write_safetensors(dir / "file.safetensors", {{"config", "{\"x\": 1}"}, {"note", "ä\n"}}, tensors);
  const auto file = ssm::Safetensors::open(dir / "file.safetensors");
  CHECK(file.metadata().at("config") == "{\"x\": 1}");
  CHECK(file.metadata().at("note") == "ä\n");
  REQUIRE(file.tensors().size() == tensors.size());
  for (const auto& wanted : tensors) {
    const ssm::Tensor& found = file.tensors().at(wanted.name);
    CHECK(found.shape == wanted.shape);
    CHECK(found.dtype == ssm::Dtype::f32);
    CHECK(found.size() == static_cast<int64_t>(wanted.values.size()));
    const std::vector<float> values = found.to_floats();
    REQUIRE(values.size() == wanted.values.size());
    if (!values.empty()) CHECK(std::memcmp(values.data(), wanted.values.data(), values.size() * sizeof(float)) == 0);
  }
  // Nothing but the file remains.
  CHECK(std::distance(std::filesystem::directory_iterator(dir.path()), {}) == 1);
}

TEST_CASE("writing over a file replaces it, also while it is mapped") {
  const test::TempDir dir;
  const std::vector<ssm::NamedFloats> one = {{"x", {1}, {1}}}, two = {{"x", {1}, {2}}};
  ssm::write_safetensors(dir / "f", {}, one);
  const auto before = ssm::Safetensors::open(dir / "f");
  ssm::write_safetensors(dir / "f", {}, two);
  CHECK(before.tensors().at("x").to_floats() == std::vector<float>{1});
  CHECK(ssm::Safetensors::open(dir / "f").tensors().at("x").to_floats() == std::vector<float>{2});
}

TEST_CASE("writing to an impossible place is an error") {
  const test::TempDir dir;
  const std::vector<ssm::NamedFloats> one = {{"x", {1}, {1}}};
  CHECK_THROWS_AS(ssm::write_safetensors(dir.path() / "no" / "such" / "folder.safetensors", {}, one), Error);
}

TEST_CASE("every dtype is converted") {
  const test::TempDir dir;
  struct Case {
    std::string dtype, bytes;
    double value;
  };
  const auto raw = [](auto value) { return std::string(reinterpret_cast<const char*>(&value), sizeof value); };
  const std::vector<Case> cases = {
      {"F64", raw(-1.0 / 3), -1.0 / 3},
      {"F32", raw(2.5f), 2.5},
      {"F16", raw(uint16_t{0x3c00}), 1},
      {"F16", raw(uint16_t{0xc248}), -3.140625},
      {"F16", raw(uint16_t{0x0001}), std::ldexp(1.0, -24)},          // the smallest subnormal
      {"F16", raw(uint16_t{0x83ff}), -1023 * std::ldexp(1.0, -24)},  // the largest, negative
      {"F16", raw(uint16_t{0x7bff}), 65504},
      {"F16", raw(uint16_t{0x7c00}), std::numeric_limits<double>::infinity()},
      {"BF16", raw(uint16_t{0x3f80}), 1},
      {"BF16", raw(uint16_t{0xc049}), -3.140625},
      {"I64", raw(int64_t{-5000000000}), -5e9},
      {"I32", raw(int32_t{-70000}), -70000},
      {"I16", raw(int16_t{-300}), -300},
      {"I8", raw(int8_t{-3}), -3},
      {"U8", raw(uint8_t{200}), 200},
      {"U16", raw(uint16_t{65535}), 65535},
      {"U32", raw(uint32_t{4000000000}), 4e9},
      {"U64", raw(uint64_t{1} << 63), std::ldexp(1.0, 63)},
      {"BOOL", raw(uint8_t{1}), 1},
  };
  for (const Case& c : cases) {
    INFO(c.dtype << " " << c.value);
    const std::string header =
        R"({"x":{"dtype":")" + c.dtype + R"(","shape":[1],"data_offsets":[0,)" + std::to_string(c.bytes.size()) + "]}}";
    const auto file = ssm::Safetensors::open(write_bytes(dir, length_prefix(header.size()) + header + c.bytes));
    const ssm::Tensor& tensor = file.tensors().at("x");
    CHECK(tensor.to_doubles() == std::vector<double>{c.value});
    CHECK(tensor.to_floats() == std::vector<float>{static_cast<float>(c.value)});
    CHECK(tensor.dtype_name == c.dtype);
  }
}

TEST_CASE("whole numbers are only taken from whole numbers that fit") {
  const test::TempDir dir;
  const auto tensor_of = [&](const std::string& dtype, const std::string& bytes) {
    const std::string header =
        R"({"x":{"dtype":")" + dtype + R"(","shape":[1],"data_offsets":[0,)" + std::to_string(bytes.size()) + "]}}";
    return ssm::Safetensors::open(write_bytes(dir, length_prefix(header.size()) + header + bytes));
  };
  const auto raw = [](auto value) { return std::string(reinterpret_cast<const char*>(&value), sizeof value); };
  CHECK(tensor_of("I64", raw(int64_t{-7})).tensors().at("x").to_ints() == std::vector<int32_t>{-7});
  CHECK_THROWS_AS(tensor_of("I64", raw(int64_t{1} << 40)).tensors().at("x").to_ints(), Error);
  CHECK(tensor_of("U16", raw(uint16_t{65535})).tensors().at("x").to_ints() == std::vector<int32_t>{65535});
  CHECK_THROWS_AS(tensor_of("U32", raw(uint32_t{4000000000})).tensors().at("x").to_ints(), Error);
  CHECK_THROWS_AS(tensor_of("U64", raw(uint64_t{1} << 63)).tensors().at("x").to_ints(), Error);
  CHECK_THROWS_AS(tensor_of("F32", raw(1.0f)).tensors().at("x").to_ints(), Error);
}

TEST_CASE("not a file") {
  const test::TempDir dir;
  CHECK_THROWS_AS(ssm::Safetensors::open(dir / "nothing"), Error);
  CHECK_THROWS_AS(ssm::Safetensors::open(dir.path()), Error);
}

TEST_CASE("files too short for their own header are refused") {
  const test::TempDir dir;
  for (size_t bytes = 0; bytes < 8; ++bytes) refusal(write_bytes(dir, std::string(bytes, '\0')));
  refusal(write_bytes(dir, length_prefix(0)));  // an empty header is not JSON
  refusal(write_bytes(dir, length_prefix(3) + "{}"));
  refusal(write_bytes(dir, length_prefix(uint64_t{1} << 40) + "{}"));
  refusal(write_bytes(dir, length_prefix(std::numeric_limits<uint64_t>::max()) + "{}"));
  refusal(write_bytes(dir, length_prefix(std::numeric_limits<uint64_t>::max() - 7) + "{}"));
}

TEST_CASE("headers that are not a JSON object are refused") {
  for (const char* header :
       {"hello", "[1, 2]", "3", "null", "\"text\"", "{", "{\"x\": }", "{\"\xff\": 1}", "{} {}", "{\"x\": 1e999}"})
    refuses(header, 0, "header");
}

TEST_CASE("the same key twice is refused") {
  const std::string x = R"("x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  refuses("{" + x + "," + x + "}", 4, "x");
  refuses(R"({"__metadata__":{"a":"1","a":"2"}})", 0, "a");
  refuses(R"({"__metadata__":{"a":"1"},"__metadata__":{"b":"2"}})", 0, "__metadata__");
  refuses(R"({"x":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4, "dtype");
}

TEST_CASE("metadata must be an object of strings") {
  for (const char* metadata : {"3", "[]", "\"text\""})
    refuses("{\"__metadata__\":" + std::string(metadata) + "}", 0, "__metadata__");
  for (const char* value : {"3", "[]", "{}", "null", "true"})
    refuses(R"({"__metadata__":{"config":)" + std::string(value) + "}}", 0, "config");
}

TEST_CASE("entries that are not tensors are refused") {
  for (const char* entry : {"3", "null", "[]", "{}", R"({"dtype":"F32","shape":[1]})",
                            R"({"dtype":"F32","data_offsets":[0,4]})", R"({"shape":[1],"data_offsets":[0,4]})"})
    refuses("{\"some.tensor\":" + std::string(entry) + "}", 4, "some.tensor");
}

TEST_CASE("a file without metadata may say so") {
  const test::TempDir dir;
  CHECK(ssm::Safetensors::open(file_with(dir, R"({"__metadata__":null})", 0)).metadata().empty());
}

TEST_CASE("tensors of an unsupported dtype may be in a file, but their values cannot be read") {
  const test::TempDir dir;
  for (const char* dtype : {"F8_E5M2", "F8_E4M3", "F4", "C64", "I128"}) {
    const std::string header =
        R"({"w":{"dtype":")" + std::string(dtype) +
        R"(","shape":[1],"data_offsets":[0,4]},"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})";
    const auto file = ssm::Safetensors::open(file_with(dir, header, 8));
    CHECK(file.tensors().at("x").to_floats().size() == 1);
    CHECK_THROWS_WITH(file.tensors().at("w").to_floats(), Catch::Contains(dtype));
    CHECK_THROWS_WITH(file.tensors().at("w").to_ints(), Catch::Contains(dtype));
  }
  for (const char* dtype : {"\"f32\"", "\"\"", "3", "null", "[\"F32\"]", "{}", "\"F32 \""})
    refuses(R"({"some.tensor":{"dtype":)" + std::string(dtype) + R"(,"shape":[1],"data_offsets":[0,4]}})", 4,
            "some.tensor");
}

TEST_CASE("invalid or overflowing shapes are rejected") {
  for (const char* shape :
       {"[-1]", "[1.0]", "[1.5]", "[\"1\"]", "[[1]]", "[null]", "3", "null", "{}", "[true]", "[18446744073709551615]",
        "[9223372036854775808]", "[4611686018427387904]", "[4294967296,4294967296]", "[9223372036854775807,2]",
        "[4294967296,4294967296,0]", "[1,1,1,1,1,1,1,1,1,1,1,1]"})
    refuses(R"({"some.tensor":{"dtype":"F32","shape":)" + std::string(shape) + R"(,"data_offsets":[0,4]}})", 4,
            "some.tensor");
}

TEST_CASE("invalid, reversed or too large offsets are rejected") {
  for (const char* offsets :
       {"[4,0]", "[0,8]", "[4,8]", "[-4,0]", "[0]", "[0,4,8]", "[]", "4", "null", "[0.0,4.0]", "[\"0\",\"4\"]",
        "[18446744073709551612,18446744073709551616]", "[18446744073709551612,18446744073709551615]",
        "[9223372036854775804,9223372036854775807]"})
    refuses(R"({"some.tensor":{"dtype":"F32","shape":[1],"data_offsets":)" + std::string(offsets) + "}}", 4,
            "some.tensor");
}

TEST_CASE("a size that the shape does not give is refused") {
  for (const char* shape : {"[0]", "[2]", "[1,2]", "[3,0]"})
    refuses(R"({"some.tensor":{"dtype":"F32","shape":)" + std::string(shape) + R"(,"data_offsets":[0,4]}})", 4,
            "some.tensor");
  refuses(R"({"some.tensor":{"dtype":"F64","shape":[1],"data_offsets":[0,4]}})", 4, "some.tensor");
}

TEST_CASE("tensors that overlap or leave holes are refused") {
  const auto tensor = [](const std::string& name, int begin, int end) {
    return "\"" + name + R"(":{"dtype":"U8","shape":[)" + std::to_string(end - begin) + R"(],"data_offsets":[)" +
           std::to_string(begin) + "," + std::to_string(end) + "]}";
  };
  refuses("{" + tensor("first", 0, 6) + "," + tensor("second", 4, 8) + "}", 8, "second");
  refuses("{" + tensor("first", 0, 8) + "," + tensor("second", 2, 4) + "}", 8, "second");
  refuses("{" + tensor("first", 0, 8) + "," + tensor("second", 0, 8) + "}", 8, "overlaps");
  refuses("{" + tensor("first", 0, 2) + "," + tensor("second", 4, 8) + "}", 8, "second");
  refuses("{" + tensor("first", 2, 8) + "}", 8, "first");
  refuses("{" + tensor("first", 0, 6) + "}", 8, "after the last");
  refuses("{}", 1, "after the last");

  const test::TempDir dir;
  // In any order of names, and with empty tensors at any position.
  const auto file = ssm::Safetensors::open(
      file_with(dir, "{" + tensor("b", 0, 3) + "," + tensor("a", 3, 8) + "," + tensor("empty", 2, 2) + "}", 8));
  CHECK(file.tensors().size() == 3);
}

TEST_CASE("a file cut short anywhere is refused") {
  const test::TempDir dir;
  const std::string header = R"({"x":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})";
  const std::string whole = length_prefix(header.size()) + header + std::string(12, '\1');
  ssm::Safetensors::open(write_bytes(dir, whole));
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    INFO(bytes);
    refusal(write_bytes(dir, whole.substr(0, bytes)));
  }
}

TEST_CASE("a header with endless nesting is rejected without deep recursion") {
  const std::string deep = std::string(200000, '[') + std::string(200000, ']');
  refuses("{\"some.tensor\":" + deep + "}", 0, "file.safetensors");
  refuses(R"({"some.tensor":{"dtype":)" + deep + R"(,"shape":[1],"data_offsets":[0,4]}})", 4, "file.safetensors");
  refuses(R"({"some.tensor":{"dtype":"F32","shape":[)" + deep + R"(],"data_offsets":[0,4]}})", 4, "file.safetensors");
  refuses(R"({"some.tensor":{"dtype":"F32","shape":[1],"data_offsets":[0,)" + deep + "]}}", 4, "file.safetensors");
}

}  // namespace
