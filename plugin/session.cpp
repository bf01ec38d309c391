// The session's file format: magic, version, checksum, sizes, a JSON text, then the embedded model files and impulse
// responses.
#include "plugin/session.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace coil::plugin {

namespace {

using Json = nlohmann::json;
using Bytes = std::vector<std::byte>;

constexpr char kMagic[4] = {'C', 'O', 'I', 'L'};
constexpr uint32_t kVersion = 1;

// Little-endian, like every platform that the plugin is built for.
struct Header {
  char magic[4];
  uint32_t version;
  uint64_t checksum;       // XXH3, 64 bits, of everything that follows
  uint64_t content_bytes;  // without the header: some hosts return more bytes than they got
  uint64_t json_bytes;
};
static_assert(sizeof(Header) == 32);
constexpr size_t kChecked = offsetof(Header, content_bytes);

// By name, as in `coil process --rate-scaling`. A session without an entry uses the models' own settings.
constexpr std::pair<const char*, dsp::RateMode> kRateScalings[] = {{"steps", dsp::RateMode::prefer_steps},
                                                                   {"resample", dsp::RateMode::resample}};

Json to_json(dsp::RateMode mode) {
  for (const auto& [name, named] : kRateScalings)
    if (named == mode) return name;
  return nullptr;
}

dsp::RateMode rate_mode_from(const Json& json) {
  for (const auto& [name, named] : kRateScalings)
    if (json == name) return named;
  return dsp::RateMode::model_default;
}

void append(Bytes& to, const void* data, size_t size) {
  const auto* begin = static_cast<const std::byte*>(data);
  to.insert(to.end(), begin, begin + size);
}

Json to_json(const SlotContent& slot) {
  if (slot.empty()) return nullptr;
  return {{"hash", slot.hash},         {"name", slot.name},
          {"path", slot.path},         {"preset", slot.preset},
          {"controls", slot.controls}, {"file_bytes", slot.file_bytes ? slot.file_bytes->size() : 0}};
}

std::map<std::string, float> finite_values(const Json& json) {
  auto values = json.get<std::map<std::string, float>>();
  std::erase_if(values, [](const auto& item) { return !std::isfinite(item.second); });
  return values;
}

SlotContent slot_from(const Json& json, std::span<const std::byte>& files, const std::string& what) {
  SlotContent slot;
  if (json.is_null()) return slot;
  slot.hash = json.at("hash").get<std::string>();
  slot.name = json.at("name").get<std::string>();
  slot.path = json.at("path").get<std::string>();
  slot.preset = json.value("preset", std::string());
  slot.controls = finite_values(json.at("controls"));
  const size_t size = json.at("file_bytes").get<size_t>();
  if (size > files.size()) throw Error(what + " is damaged: a model in it is cut off");
  if (size > 0) slot.file_bytes = std::make_shared<const Bytes>(files.begin(), files.begin() + std::ptrdiff_t(size));
  files = files.subspan(size);
  return slot;
}

bool embeds(const MicrophoneContent& microphone) {
  return microphone.response && fits_into_session(*microphone.response);
}

Json to_json(const MicrophoneContent& microphone) {
  if (microphone.empty()) return nullptr;
  const MicrophoneSettings& settings = microphone.settings;
  Json json = {{"name", microphone.name},       {"path", microphone.path}, {"checksum", microphone.checksum},
               {"level_db", settings.level_db}, {"pan", settings.pan},     {"delay_ms", settings.delay_ms},
               {"inverted", settings.inverted}};
  if (embeds(microphone)) {
    const dsp::ImpulseResponse& response = *microphone.response;
    json["samples"] = {{"sample_rate_hz", response.sample_rate_hz},
                       {"channels", response.channels.size()},
                       {"frames", response.channels[0].size()}};
  }
  return json;
}

std::shared_ptr<const dsp::ImpulseResponse> response_from(const Json& json, std::span<const std::byte>& files,
                                                          const std::string& what) {
  const size_t channels = json.at("channels").get<size_t>(), frames = json.at("frames").get<size_t>();
  if (channels < 1 || channels > 2 || frames > files.size() / channels / sizeof(float))
    throw Error(what + " is damaged: an impulse response in it is cut off");
  auto response = std::make_shared<dsp::ImpulseResponse>();
  response->sample_rate_hz = json.at("sample_rate_hz").get<double>();
  response->channels.assign(channels, std::vector<float>(frames));
  for (std::vector<float>& channel : response->channels) {
    std::memcpy(channel.data(), files.data(), frames * sizeof(float));
    files = files.subspan(frames * sizeof(float));
  }
  return response;
}

MicrophoneSettings settings_from(const Json& json) {
  const auto within = [&](const char* key, float min, float max) {
    const float value = json.at(key).get<float>();
    return std::isfinite(value) ? std::clamp(value, min, max) : 0.0f;
  };
  return {within("level_db", kMinMicrophoneDb, kMaxMicrophoneDb), within("pan", -1, 1),
          within("delay_ms", 0, dsp::kMaxMicrophoneDelayMs), json.at("inverted").get<bool>()};
}

MicrophoneContent microphone_from(const Json& json, std::span<const std::byte>& files, const std::string& what) {
  MicrophoneContent microphone;
  if (json.is_null()) return microphone;
  microphone.name = json.at("name").get<std::string>();
  microphone.path = json.at("path").get<std::string>();
  microphone.checksum = json.at("checksum").get<std::string>();
  microphone.settings = settings_from(json);
  if (json.contains("samples")) microphone.response = response_from(json.at("samples"), files, what);
  return microphone;
}

Json to_json(const Snapshot& snapshot) {
  Json microphones = Json::array();
  for (const MicrophoneSettings& each : snapshot.microphones)
    microphones.push_back(
        {{"level_db", each.level_db}, {"pan", each.pan}, {"delay_ms", each.delay_ms}, {"inverted", each.inverted}});
  return {{"slot", snapshot.slot},
          {"chain", snapshot.chain},
          {"controls", snapshot.controls},
          {"microphones", std::move(microphones)}};
}

SnapshotBank snapshots_from(const Json& json) {
  SnapshotBank bank;
  for (size_t i = 0; i < bank.all.size(); ++i) {
    const Json& from = json.at("all").at(i);
    if (from.is_null()) continue;
    Snapshot& to = bank.all[i].emplace();
    to.slot = std::clamp(from.at("slot").get<int>(), 0, dsp::kSlots - 1);
    to.chain = finite_values(from.at("chain"));
    to.controls = finite_values(from.at("controls"));
    for (size_t m = 0; m < to.microphones.size(); ++m) to.microphones[m] = settings_from(from.at("microphones").at(m));
  }
  bank.recalled = std::clamp(json.at("recalled").get<int>(), 0, kSnapshots);
  if (bank.recalled > 0 && !bank.all[size_t(bank.recalled - 1)]) bank.recalled = 0;
  return bank;
}

constexpr std::pair<MidiSource::Kind, const char*> kMidiKinds[] = {{MidiSource::Kind::controller, "controller"},
                                                                   {MidiSource::Kind::note, "note"}};
constexpr std::pair<MidiPrograms, const char*> kMidiPrograms[] = {
    {MidiPrograms::library, "library"}, {MidiPrograms::presets, "presets"}, {MidiPrograms::snapshots, "snapshots"}};

// The value with this name, or the first value if none has it.
template <typename Names>
auto named(const Names& names, const Json& name) {
  for (const auto& [value, text] : names)
    if (name == text) return value;
  return names[0].first;
}

template <typename Names, typename Value>
std::string name_of(const Names& names, Value value) {
  for (const auto& [each, text] : names)
    if (each == value) return text;
  return names[0].second;
}

Json to_json(const MidiSetup& midi) {
  Json links = Json::array();
  for (const MidiLink& link : midi.links)
    links.push_back(
        {{"kind", name_of(kMidiKinds, link.source.kind)}, {"number", link.source.number}, {"target", link.target}});
  return {{"links", std::move(links)}, {"programs", name_of(kMidiPrograms, midi.programs)}};
}

MidiSetup midi_from(const Json& json) {
  MidiSetup midi;
  for (const Json& link : json.at("links"))
    midi.link({named(kMidiKinds, link.at("kind")), std::clamp(link.at("number").get<int>(), 0, 127)},
              link.at("target").get<std::string>());
  midi.programs = named(kMidiPrograms, json.at("programs"));
  return midi;
}

}  // namespace

std::vector<std::byte> to_bytes(const Session& session) {
  Json object = {{"active_slot", session.active_slot},
                 {"chain", session.chain},
                 {"rate_scaling", to_json(session.rate_mode)},
                 {"slots", {to_json(session.slots[0]), to_json(session.slots[1])}}};
  if (session.cabinet)
    for (const MicrophoneContent& each : session.cabinet->microphones) object["cabinet"].push_back(to_json(each));
  object["stages"] = text_of(session.stages);
  if (!session.snapshots.empty()) {
    object["snapshots"] = {{"recalled", session.snapshots.recalled}, {"all", Json::array()}};
    for (const auto& each : session.snapshots.all) object["snapshots"]["all"].push_back(each ? to_json(*each) : Json());
  }
  if (session.midi != MidiSetup{}) object["midi"] = to_json(session.midi);
  const std::string json = object.dump(-1, ' ', false, Json::error_handler_t::replace);
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.json_bytes = json.size();

  Bytes bytes;
  append(bytes, &header, sizeof header);
  append(bytes, json.data(), json.size());
  for (const SlotContent& slot : session.slots)
    if (slot.file_bytes) append(bytes, slot.file_bytes->data(), slot.file_bytes->size());
  if (session.cabinet)
    for (const MicrophoneContent& each : session.cabinet->microphones)
      if (embeds(each))
        for (const std::vector<float>& channel : each.response->channels)
          append(bytes, channel.data(), channel.size() * sizeof(float));
  header.content_bytes = bytes.size() - sizeof header;
  std::memcpy(bytes.data(), &header, sizeof header);
  header.checksum = XXH3_64bits(bytes.data() + kChecked, bytes.size() - kChecked);
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

Session session_from_bytes(std::span<const std::byte> bytes, const std::string& what) {
  Header header;
  if (bytes.size() < sizeof header || std::memcmp(bytes.data(), kMagic, sizeof kMagic) != 0)
    throw Error(what + " is not one of Coil: its first bytes should read COIL");
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.version > kVersion)
    throw Error(what + " was saved by a newer Coil (its format is " + std::to_string(header.version) +
                ", this one reads up to " + std::to_string(kVersion) + "): install that version to open it");
  if (header.content_bytes > bytes.size() - sizeof header)
    throw Error(what + " is cut off: it has " + std::to_string(bytes.size()) + " bytes and needs " +
                std::to_string(header.content_bytes) + " after its first " + std::to_string(sizeof header));
  bytes = bytes.first(sizeof header + header.content_bytes);
  if (header.checksum != XXH3_64bits(bytes.data() + kChecked, bytes.size() - kChecked) ||
      header.json_bytes > header.content_bytes)
    throw Error(what + " is damaged: its checksum does not fit its bytes");

  const auto* text = reinterpret_cast<const char*>(bytes.data()) + sizeof header;
  std::span<const std::byte> files = bytes.subspan(sizeof header + header.json_bytes);
  try {
    const Json json = Json::parse(text, text + header.json_bytes);
    Session session;
    session.active_slot = std::clamp(json.at("active_slot").get<int>(), 0, dsp::kSlots - 1);
    session.chain = finite_values(json.at("chain"));
    session.rate_mode = rate_mode_from(json.value("rate_scaling", Json()));
    for (size_t i = 0; i < session.slots.size(); ++i) session.slots[i] = slot_from(json.at("slots").at(i), files, what);
    if (json.contains("cabinet")) {
      session.cabinet.emplace();
      for (size_t i = 0; i < session.cabinet->microphones.size(); ++i)
        session.cabinet->microphones[i] = microphone_from(json.at("cabinet").at(i), files, what);
    }
    if (json.contains("stages")) session.stages = stages_from_text(json.at("stages").get<std::string>(), what);
    if (json.contains("snapshots")) session.snapshots = snapshots_from(json.at("snapshots"));
    if (json.contains("midi")) session.midi = midi_from(json.at("midi"));
    return session;
  } catch (const Json::exception& error) {
    throw Error(what + " cannot be read: " + error.what());
  }
}

}  // namespace coil::plugin
