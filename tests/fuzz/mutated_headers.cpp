// Thousands of damaged model files, from fixed seeds: each must load, or be rejected with an Error.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <exception>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "ssm/verify/golden.h"
#include "ssm/verify/reference.h"
#include "tests/fuzz/some_frames.h"
#include "tests/support/random_network.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_file(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// The parts of a file. The length field is computed from the header, unless a mutation damages it on purpose.
struct Parts {
  std::string header, data;

  explicit Parts(const std::string& bytes) {
    uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    header = bytes.substr(8, length);
    data = bytes.substr(8 + length);
  }

  std::string joined() const {
    const uint64_t length = header.size();
    return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
  }
};

const char* const kTokens[] = {"{",
                               "}",
                               "[",
                               "]",
                               ",",
                               ":",
                               "\"",
                               "\\\"",
                               "\\",
                               "null",
                               "true",
                               "-1",
                               "0",
                               "1",
                               "2",
                               "3",
                               "1.5",
                               "1e9",
                               "1e308",
                               "65536",
                               "2147483647",
                               "2147483648",
                               "4294967296",
                               "9223372036854775807",
                               "18446744073709551615",
                               "18446744073709551616",
                               "F32",
                               "F16",
                               "BF16",
                               "I64",
                               "U8",
                               "mamba",
                               "mamba2",
                               "s4d",
                               "coil",
                               "film",
                               "glu",
                               "tanh",
                               "linear",
                               "repeat",
                               "Infinity",
                               "NaN",
                               "\xff",
                               "\\u0000",
                               "__metadata__",
                               "config",
                               "card",
                               "data_offsets",
                               "shape"};

size_t place_in(const std::string& text, test::Random& random) {
  return text.empty() ? 0 : random.bits() % text.size();
}

std::string mutated(const std::string& original, const std::vector<std::string>& corpus, test::Random& random) {
  Parts parts(original);
  const int count = random.whole(1, 3);
  for (int i = 0; i < count; ++i) {
    std::string& text = parts.header;
    const size_t at = place_in(text, random), length = 1 + random.bits() % 24;
    switch (random.whole(0, 9)) {
      case 0:
        text[at] = static_cast<char>(random.bits());
        break;
      case 1:
        text[at] = static_cast<char>(text[at] ^ (1 << (random.bits() % 8)));
        break;
      case 2:
        text.erase(at, length);
        break;
      case 3:
        text.insert(at, text.substr(place_in(text, random), length));
        break;
      case 4:
        text.insert(at, kTokens[random.bits() % std::size(kTokens)]);
        break;
      case 5: {  // replaces a number
        const size_t digit = text.find_first_of("0123456789", at);
        if (digit == std::string::npos) break;
        const size_t end = text.find_first_not_of("0123456789.e", digit);
        text.replace(digit, end - digit, kTokens[11 + random.bits() % 15]);
        break;
      }
      case 6: {  // replaces a word
        const size_t quote = text.find('"', at);
        if (quote == std::string::npos) break;
        const size_t end = text.find('"', quote + 1);
        if (end == std::string::npos) break;
        text.replace(quote + 1, end - quote - 1, kTokens[random.bits() % std::size(kTokens)]);
        break;
      }
      case 7: {  // inserts a piece of another file's header
        const std::string& other = Parts(corpus[random.bits() % corpus.size()]).header;
        text.replace(at, length, other.substr(place_in(other, random), length * 4));
        break;
      }
      case 8:
        if (!parts.data.empty()) {  // makes a weight non-finite or huge
          const uint32_t bits = random.pick({0x7f800000u, 0xffc00000u, 0x7f7fffffu, 0x00000001u, 0x80000000u});
          const size_t word = random.bits() % (parts.data.size() / 4 + 1) * 4;
          if (word + 4 <= parts.data.size()) std::memcpy(parts.data.data() + word, &bits, 4);
        }
        break;
      default:
        parts.data.resize(random.chance(0.5) ? place_in(parts.data, random) : parts.data.size() + length);
        break;
    }
    if (text.empty()) text = " ";
  }
  std::string bytes = parts.joined();
  if (random.chance(0.05)) {  // the length field itself
    const uint64_t length = random.pick<uint64_t>(
        {0, 1, 8, bytes.size() - 8, bytes.size(), uint64_t{1} << 32, ~uint64_t{0}, ~uint64_t{0} - 7});
    std::memcpy(bytes.data(), &length, 8);
  }
  if (random.chance(0.05)) bytes.resize(place_in(bytes, random));
  return bytes;
}

// Returns true if it succeeded, false if it was rejected with a one-line error; any other exception fails the test.
template <class Do>
bool done_or_refused(const Do& action) {
  try {
    action();
    return true;
  } catch (const Error& error) {
    const std::string line = error.what();
    CHECK_FALSE(line.empty());
    CHECK(line.find('\n') == std::string::npos);
    return false;
  } catch (const std::exception& other) {
    FAIL_CHECK("not an Error: " << other.what());
    return false;
  }
}

void run_a_little(const std::shared_ptr<const ssm::Model>& model) { CHECK(test::finite_for_some_frames(model)); }

std::vector<std::string> corpus() {
  std::vector<std::string> files;
  for (const char* name :
       {"op_ss_l1", "op_ss_l7", "op_ss_constBC_plain", "op_ssd_l1_init", "s4d_real_zoh", "s4d_layer_complex_zoh",
        "mamba1_d24_conv3_noconvbias_bias_rank5", "mamba2_d32_g2_conv3_bias", "falcon_mamba_lm_v97"})
    files.push_back(read_file(std::filesystem::path(COIL_GOLDEN_DIR) / (std::string(name) + ".safetensors")));
  const test::TempDir dir;
  for (uint32_t seed = 0; seed < 12; ++seed) {
    test::random_coil_network(seed).write(dir / "model.safetensors");
    files.push_back(read_file(dir / "model.safetensors"));
  }
  return files;
}

TEST_CASE("damaged model files load or are rejected") {
  constexpr int kMutations = 4000;
  const auto files = corpus();
  const test::TempDir dir;
  const auto path = dir / "damaged.safetensors";
  int opened = 0, loaded = 0, refused = 0;
  for (int i = 0; i < kMutations; ++i) {
    test::Random random(static_cast<uint32_t>(i));
    const std::string& original = files[random.bits() % files.size()];
    INFO("mutation " << i);
    write_file(path, mutated(original, files, random));
    const bool readable = done_or_refused([&] { ssm::Safetensors::open(path); });
    opened += readable;
    refused += !readable;
    if (!readable) continue;
    done_or_refused([&] { ssm::Golden::open(path); });
    done_or_refused([&] { ssm::Reference(ssm::Checkpoint::open(path)); });
    loaded += done_or_refused([&] { run_a_little(ssm::Model::load(path)); });
  }
  // Both outcomes must be frequent, otherwise the mutations test nothing.
  CHECK(opened > 300);
  CHECK(loaded > 100);
  CHECK(refused > 1000);
}

TEST_CASE("damaged state files load or are rejected") {
  constexpr int kMutations = 1000;
  const test::TempDir dir;
  test::random_coil_network(2).write(dir / "model.safetensors");
  const auto model = ssm::Model::load(dir / "model.safetensors");
  model->initial_state().save(dir / "state.safetensors");
  const std::vector<std::string> files = {read_file(dir / "state.safetensors")};
  int loaded = 0, refused = 0;
  for (int i = 0; i < kMutations; ++i) {
    test::Random random(static_cast<uint32_t>(i));
    INFO("mutation " << i);
    write_file(dir / "damaged.safetensors", mutated(files[0], files, random));
    const bool fine = done_or_refused([&] {
      const ssm::State state = ssm::State::load(dir / "damaged.safetensors", model->state_layout());
      CHECK(state.is_finite());
      ssm::Stream stream(model);
      stream.state().copy_from(state);
      std::vector<float> out(200 * static_cast<size_t>(model->config().d_output));
      stream.process(std::vector<float>(200 * static_cast<size_t>(model->config().d_input), 1.0f), out);
      CHECK(std::all_of(out.begin(), out.end(), [](float v) { return v * 0 == 0; }));
    });
    loaded += fine;
    refused += !fine;
  }
  CHECK(loaded > 5);
  CHECK(refused > 500);
}

}  // namespace
