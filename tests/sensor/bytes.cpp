// The memory of sensors is saved field by field: no field is left out, and the same memory gives the same bytes.
#include "sensor/state/bytes.h"

#include <catch2/catch.hpp>
#include <cstring>

#include "sensor/engine/sensor.h"
#include "sensor/state/state_file.h"
#include "tests/support/random_network.h"

namespace {

using namespace coil::sensor;

template <class T>
Bytes bytes_of(const T& object) {
  Bytes bytes;
  ByteWriter(bytes).object(object);
  return bytes;
}

template <class T>
T filled(uint8_t with, T object) {
  std::memset(reinterpret_cast<char*>(&object), with, sizeof object);
  return object;
}

// A field that visit() forgets would keep its old value.
template <class T>
void check_round_trip(const T& empty) {
  const Bytes written = bytes_of(filled(1, empty));
  T read = filled(0, empty);
  ByteReader reader(written);
  reader.object(read);
  CHECK(reader.at_end());
  CHECK(written.size() == sizeof(T));
  CHECK(bytes_of(read) == written);
  CHECK(std::count(written.begin(), written.end(), std::byte(1)) ==
        std::count(reinterpret_cast<std::byte*>(&read), reinterpret_cast<std::byte*>(&read + 1), std::byte(1)));
}

TEST_CASE("every field of a sensor's memory is written and read back") {
  check_round_trip(SeriesMemory(256));
  check_round_trip(SensorMemory());
  check_round_trip(Piece());
}

struct Mixed {
  char small = 1;
  double large = 2;
  bool flag = true;

  template <class Fields>
  void visit(Fields&& fields) {
    fields(small, large, flag);
  }
};

TEST_CASE("padding bytes between fields are zero") {
  Mixed mixed = filled(0xff, Mixed());
  mixed.small = 1, mixed.large = 2, mixed.flag = true;
  const Bytes bytes = bytes_of(mixed);
  REQUIRE(bytes.size() == sizeof(Mixed));
  CHECK(bytes == bytes_of(Mixed()));
  for (const size_t place : {1, 7, 17, 23}) CHECK(bytes[place] == std::byte(0));
  CHECK(LayoutText::of(Mixed()) == "i8-7f64b8-7");
}

TEST_CASE("bytes that end too soon are refused") {
  Bytes bytes = bytes_of(SensorMemory());
  bytes.pop_back();
  SensorMemory memory;
  CHECK_THROWS_WITH(ByteReader(bytes).object(memory), "ends too soon");
}

}  // namespace
