// Opens the plugin's window in each of its states, at several sizes, while a recording plays. Checks layout, names,
// keys and cost, and saves pictures. Needs a display. `editor_pictures --pictures FOLDER` keeps the pictures; otherwise
// it is an ordinary Catch2 program.
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#include <sndfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <thread>

#include "plugin/editor/editor.h"
#include "plugin/editor/dial.h"
#include "plugin/editor/theme.h"
#include "plugin/live/device_words.h"
#include "plugin/live/live_window.h"
#include "tests/plugin/simulated_device.h"
#include "tests/support/random_network.h"
#include "tests/support/temp_dir.h"

namespace coil::plugin {
namespace {

constexpr double kRate_hz = 48000;
constexpr int kBlock = 256;

std::string pictures_folder;  // empty: pictures are not saved

// JUCE's windows belong to the main thread, which runs its message loop. The tests run on another thread, like a host's
// audio thread.
template <typename Function>
void on_message_thread(Function function) {
  juce::MessageManager::getInstance()->callFunctionOnMessageThread(
      [](void* f) -> void* {
        (*static_cast<Function*>(f))();
        return nullptr;
      },
      &function);
}

void wait_ms(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

// Whether it becomes true within some seconds.
bool wait_for(const std::function<bool()>& becomes) {
  for (int i = 0; i < 500 && !becomes(); ++i) wait_ms(10);
  return becomes();
}

std::vector<float> recording() {
  SF_INFO info{};
  SNDFILE* file = sf_open(COIL_ASSETS_DIR "/guitar_slide_lead.flac", SFM_READ, &info);
  REQUIRE(file);
  std::vector<float> frames(static_cast<size_t>(info.frames));
  REQUIRE(sf_readf_float(file, frames.data(), info.frames) == info.frames);
  sf_close(file);
  return frames;
}

void keep(const juce::Image& image, const std::string& name) {
  if (pictures_folder.empty()) return;
  const juce::File file(
      juce::File::getCurrentWorkingDirectory().getChildFile(pictures_folder).getChildFile(name + ".png"));
  file.getParentDirectory().createDirectory();
  file.deleteFile();
  juce::FileOutputStream stream(file);
  juce::PNGImageFormat().writeImageToStream(image, stream);
}

struct Size {
  int width, height;
};
constexpr Size kSmall{theme::kMinWidth, theme::kMinHeight}, kNormal{theme::kWidth, theme::kHeight},
    kLarge{theme::kMaxWidth, theme::kMaxHeight};

// A processor and its open window.
class Session {
 public:
  Session() {
    on_message_thread([&] {
      processor_ = std::make_unique<Processor>();
      processor_->setRateAndBufferSizeDetails(kRate_hz, kBlock);
      processor_->prepareToPlay(kRate_hz, kBlock);
      editor_ = std::make_unique<Editor>(*processor_);
      editor_->addToDesktop(0);
      editor_->setVisible(true);
    });
    wait_for_keyboard();
  }
  ~Session() {
    on_message_thread([&] {
      editor_.reset();
      processor_.reset();
    });
  }

  Processor& processor() { return *processor_; }
  Editor& editor() { return *editor_; }

  // Simulates a key press: JUCE passes it to the component with the focus.
  void press(int key, int modifiers = 0, juce::juce_wchar text = 0) {
    REQUIRE(wait_for_keyboard());
    on_message_thread([&] { editor_->getPeer()->handleKeyPress(juce::KeyPress(key, modifiers, text)); });
    wait_ms(60);
  }

  // The display gives the focus some time after the window asked for it.
  bool wait_for_keyboard() {
    bool has = false;
    for (int i = 0; i < 500 && !has; ++i) {
      if (i > 0) wait_ms(10);
      on_message_thread([&] { has = editor_->hasKeyboardFocus(true); });
    }
    return has;
  }

  // Gives a component the keyboard focus. The window may get its own later, and then passes it on to another component.
  void focus(juce::Component& component) {
    int held = 0;
    for (int i = 0; i < 500 && held < 8; ++i) {
      on_message_thread([&] {
        held = component.hasKeyboardFocus(true) ? held + 1 : 0;
        if (held == 0) component.grabKeyboardFocus();
      });
      wait_ms(20);
    }
    REQUIRE(held == 8);
  }

  void drop(const juce::StringArray& files) {
    on_message_thread([&] { editor_->filesDropped(files, 10, 10); });
    const auto loads = [&] {
      return processor_->status(processor_->active_slot()).kind == SlotStatus::Kind::loading ||
             processor_->microphone(0).kind == MicrophoneStatus::Kind::loading ||
             processor_->microphone(1).kind == MicrophoneStatus::Kind::loading;
    };
    for (int i = 0; i < 200 && loads(); ++i) wait_ms(25);
    wait_ms(100);  // the window updates
  }

  void load(const std::filesystem::path& path, SlotStatus::Kind expected = SlotStatus::Kind::playing) {
    on_message_thread([&] { processor_->load_file(processor_->active_slot(), juce::File(path.string())); });
    for (int i = 0; i < 200 && processor_->status(processor_->active_slot()).kind != expected; ++i) wait_ms(25);
    INFO(processor_->status(processor_->active_slot()).message);
    REQUIRE(processor_->status(processor_->active_slot()).kind == expected);
    wait_ms(100);  // the window updates
    processor_->reset_load();
  }

  void resize(Size size) {
    on_message_thread([&] { editor_->setSize(size.width, size.height); });
    wait_ms(80);
  }

  // Plays the dry sound on the track, and a simulated overdrive's output on the side chain; much faster than real time,
  // but not faster than it is read.
  void send(double seconds, bool with_return = true) {
    if (processor_->getTotalNumInputChannels() < 4) {
      on_message_thread([&] {
        auto layout = processor_->getBusesLayout();
        layout.inputBuses.getReference(1) = juce::AudioChannelSet::stereo();
        REQUIRE(processor_->setBusesLayout(layout));
        processor_->prepareToPlay(kRate_hz, kBlock);
      });
    }
    const test::Device device(static_cast<size_t>(seconds * kRate_hz));
    juce::AudioBuffer<float> block(4, kBlock);
    juce::MidiBuffer midi;
    for (size_t at = 0; at + kBlock <= device.dry.size(); at += kBlock) {
      for (int channel = 0; channel < 4; ++channel)
        block.copyFrom(channel, 0, (channel < 2 ? device.dry : device.wet).data() + at, kBlock);
      if (!with_return) block.clear(2, 0, kBlock), block.clear(3, 0, kBlock);
      processor_->processBlock(block, midi);
      if (at % 65536 == 0) wait_ms(30);
    }
  }

  // In real time.
  void play(double seconds) {
    static const auto frames = recording();
    juce::AudioBuffer<float> block(processor_->getTotalNumInputChannels(), kBlock);
    juce::MidiBuffer midi;
    const auto begin = std::chrono::steady_clock::now();
    const auto blocks = static_cast<int>(seconds * kRate_hz / kBlock);
    for (int i = 0; i < blocks; ++i, position_ += kBlock) {
      if (position_ + kBlock > frames.size()) position_ = 0;
      for (int channel = 0; channel < 2; ++channel) block.copyFrom(channel, 0, frames.data() + position_, kBlock);
      processor_->processBlock(block, midi);
      std::this_thread::sleep_until(begin + std::chrono::duration<double>((i + 1) * kBlock / kRate_hz));
    }
  }

  // A sine on both channels, at a host's pace.
  void play_tone(double hz, double seconds, float peak = 0.25f) {
    juce::AudioBuffer<float> block(processor_->getTotalNumInputChannels(), kBlock);
    juce::MidiBuffer midi;
    const auto begin = std::chrono::steady_clock::now();
    const auto blocks = static_cast<int>(seconds * kRate_hz / kBlock);
    for (int i = 0; i < blocks; ++i) {
      for (int frame = 0; frame < kBlock; ++frame, ++tone_position_)
        for (int channel = 0; channel < block.getNumChannels(); ++channel)
          block.setSample(
              channel, frame,
              channel < 2 ? peak * static_cast<float>(std::sin(2 * M_PI * hz * tone_position_ / kRate_hz)) : 0.0f);
      processor_->processBlock(block, midi);
      std::this_thread::sleep_until(begin + std::chrono::duration<double>((i + 1) * kBlock / kRate_hz));
    }
  }

  juce::Image picture(const std::string& name, float scale = 1) {
    juce::Image image;
    on_message_thread([&] { image = editor_->createComponentSnapshot(editor_->getLocalBounds(), true, scale); });
    keep(image, name);
    return image;
  }

 private:
  std::unique_ptr<Processor> processor_;
  std::unique_ptr<Editor> editor_;
  size_t position_ = 0;
  double tone_position_ = 0;
};

size_t colours(const juce::Image& image) {
  std::set<juce::uint32> seen;
  for (int y = 0; y < image.getHeight(); y += 2)
    for (int x = 0; x < image.getWidth(); x += 2) seen.insert(image.getPixelAt(x, y).getARGB());
  return seen.size();
}

bool same(const juce::Image& a, const juce::Image& b) {
  if (a.getBounds() != b.getBounds()) return false;
  for (int y = 0; y < a.getHeight(); ++y)
    for (int x = 0; x < a.getWidth(); ++x)
      if (a.getPixelAt(x, y) != b.getPixelAt(x, y)) return false;
  return true;
}

// How many columns have a pixel similar to that colour, at or below a row.
int columns_of(const juce::Image& image, juce::Colour colour, int first_row) {
  int columns = 0;
  for (int x = 0; x < image.getWidth(); ++x) {
    bool found = false;
    for (int y = first_row; y < image.getHeight() && !found; ++y) {
      const auto pixel = image.getPixelAt(x, y);
      found = std::abs(pixel.getRed() - colour.getRed()) < 50 && std::abs(pixel.getBlue() - colour.getBlue()) < 50;
    }
    columns += found;
  }
  return columns;
}

std::string name_of(const juce::Component& component) {
  const auto name = component.getTitle().isNotEmpty() ? component.getTitle() : component.getName();
  return (name + " (" + typeid(component).name() + ") at " + component.getBounds().toString()).toStdString();
}

// JUCE's own composites lay out their parts themselves.
bool is_composite(const juce::Component& component) {
  return dynamic_cast<const juce::ListBox*>(&component) || dynamic_cast<const juce::TextEditor*>(&component) ||
         dynamic_cast<const juce::ComboBox*>(&component) || dynamic_cast<const juce::Slider*>(&component) ||
         dynamic_cast<const juce::Label*>(&component) || dynamic_cast<const EqualiserView*>(&component);
}

// These overlap others on purpose.
bool is_overlay(const juce::Component& component) {
  return dynamic_cast<const Browser*>(&component) || dynamic_cast<const SavePanel*>(&component) ||
         dynamic_cast<const DropOverlay*>(&component) || dynamic_cast<const LearnPage*>(&component) ||
         dynamic_cast<const CabinetPage*>(&component) || dynamic_cast<const StagePage*>(&component) ||
         dynamic_cast<const PackPage*>(&component) || dynamic_cast<const LevelPage*>(&component) ||
         dynamic_cast<const TunerPage*>(&component) || dynamic_cast<const juce::ResizableCornerComponent*>(&component);
}

// Checks that everything is inside its parent, nothing overlaps a neighbour, and no text is cut off.
void check_layout(const juce::Component& parent) {
  if (is_composite(parent)) return;
  const auto children = parent.getChildren();
  for (const auto* child : children) {
    if (!child->isVisible()) continue;
    INFO(name_of(*child) << " in " << name_of(parent));
    CHECK(child->getWidth() >= 8);
    CHECK(child->getHeight() >= 8);
    CHECK(parent.getLocalBounds().contains(child->getBounds()));
    for (const auto* other : children)
      if (other != child && other->isVisible() && !is_overlay(*child) && !is_overlay(*other)) {
        INFO("beside " << name_of(*other));
        CHECK_FALSE(child->getBounds().intersects(other->getBounds()));
      }
    if (const auto* label = dynamic_cast<const juce::Label*>(child))
      if (const float text_height = label->getFont().getHeight();
          static_cast<float>(label->getHeight()) < 2 * text_height) {
        const auto room = label->getBorderSize().subtractedFrom(label->getLocalBounds()).toFloat();
        INFO("text: " << label->getText());
        CHECK(label->getFont().getStringWidthFloat(label->getText()) * label->getMinimumHorizontalScale() <=
              room.getWidth() + 1);
        CHECK(text_height <= room.getHeight() + 1);
      }
    check_layout(*child);
  }
}

void check_layout(Session& session) {
  on_message_thread([&] { check_layout(*session.editor().getChildComponent(0)); });
}

// Checks that everything reachable by Tab has a name for screen readers. Returns their number.
int check_names(juce::Component& from) {
  int focusable = 0;
  for (auto* child : from.getChildren()) {
    if (!child->isVisible()) continue;
    if (child->getWantsKeyboardFocus() && child->isEnabled()) {
      ++focusable;
      INFO(name_of(*child));
      auto* handler = child->getAccessibilityHandler();
      CHECK((handler && handler->getTitle().isNotEmpty()));
      const bool says_itself = dynamic_cast<juce::ListBox*>(child) || dynamic_cast<juce::TextEditor*>(child);
      if (auto* tooltips = dynamic_cast<juce::TooltipClient*>(child); tooltips && !says_itself)
        CHECK(tooltips->getTooltip().isNotEmpty());
    }
    if (!is_composite(*child)) focusable += check_names(*child);
  }
  return focusable;
}

int check_names(Session& session) {
  int focusable = 0;
  on_message_thread([&] { focusable = check_names(static_cast<juce::Component&>(session.editor())); });
  return focusable;
}

enum class Sound { no, yes };

void check_at_all_sizes(Session& session, const std::string& name, Sound sound = Sound::no) {
  constexpr Size kTall{kSmall.width, kLarge.height}, kWide{kLarge.width, kSmall.height};
  for (const auto& [size, suffix] : std::initializer_list<std::pair<Size, const char*>>{
           {kSmall, "small"}, {kNormal, "normal"}, {kLarge, "large"}, {kTall, "tall"}, {kWide, "wide"}}) {
    INFO(name << " " << suffix);
    session.resize(size);
    check_layout(session);
    if (sound == Sound::yes) session.play(0.5);
    CHECK(colours(session.picture(name + "_" + suffix)) > 60);
  }
}

std::filesystem::path overdrive() { return COIL_PRESETS_DIR "/green_overdrive.safetensors"; }

// A network with memory whose dt follows the sound, and with the maximum number of controls.
std::filesystem::path many_controls(const test::TempDir& folder, int controls) {
  auto file =
      test::model_file(R"({"model_type": "coil", "sample_rate": 48000, "d_input": 1, "d_output": 1, "d_model": 8,
    "direct": true, "norm_f": false,
    "layers": [{"repeat": 4, "parts": [{"type": "rmsnorm", "name": "norm"}, {"type": "mamba1", "name": "mixer",
        "d_state": 8}, {"type": "film"}]}],
    "controls": {"count": )" +
                           std::to_string(std::max(1, controls)) + R"(, "hidden": 8}})",
                       3);
  std::string list;
  for (int i = 0; i < std::max(1, controls); ++i) {
    static constexpr const char* kNames[] = {"attack", "presence and air", "bass", "room"};
    list += (i ? ", " : "") + std::string(R"({"name": ")") + kNames[i % 4] + (i < 4 ? "" : std::to_string(i)) +
            R"(", "min": -100, "max": 100, "default": 0, "unit": "Hz", "to": "network"})";
  }
  file.card_json = R"({"name": "Many Controls", "task": "test", "sample_rate": 48000, "controls": [)" + list + "]}";
  file.write(folder / "many_controls.safetensors");
  return folder / "many_controls.safetensors";
}

std::filesystem::path no_controls(const test::TempDir& folder) {
  test::model_file(R"({"model_type": "coil", "sample_rate": 48000, "d_input": 1, "d_output": 1, "d_model": 8,
    "direct": true, "norm_f": false,
    "layers": [{"repeat": 2, "parts": [{"type": "mamba2", "name": "mixer", "d_state": 16, "headdim": 8}]}]})",
                   5)
      .write(folder / "no_controls.safetensors");
  return folder / "no_controls.safetensors";
}

// The component of this kind and title; null: none.
template <typename Component>
Component* find(juce::Component& from, const juce::String& title) {
  for (auto* child : from.getChildren()) {
    if (auto* found = dynamic_cast<Component*>(child); found && found->getTitle() == title) return found;
    if (auto* deeper = find<Component>(*child, title)) return deeper;
  }
  return nullptr;
}

std::vector<juce::Button*> buttons(juce::Component& from) {
  std::vector<juce::Button*> found;
  for (auto* child : from.getChildren()) {
    if (auto* button = dynamic_cast<juce::Button*>(child)) found.push_back(button);
    for (auto* deeper : buttons(*child)) found.push_back(deeper);
  }
  return found;
}

juce::TextButton* button_with(juce::Component& from, const juce::String& text) {
  for (auto* child : from.getChildren()) {
    if (auto* button = dynamic_cast<juce::TextButton*>(child); button && button->getButtonText() == text) return button;
    if (auto* deeper = button_with(*child, text)) return deeper;
  }
  return nullptr;
}

void press_button_of(juce::Component& parent, const juce::String& text) {
  on_message_thread([&] {
    if (auto* button = button_with(parent, text)) button->onClick();
  });
  wait_ms(60);
}

// Picks the item of this text; false: there is none.
bool pick(const juce::PopupMenu& menu, const juce::String& text) {
  for (juce::PopupMenu::MenuItemIterator item(menu, true); item.next();)
    if (item.getItem().text == text && item.getItem().action) return item.getItem().action(), true;
  return false;
}

double thread_cpu_s() {  // of the message thread
  double seconds = 0;
  on_message_thread([&] {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    seconds = static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  });
  return seconds;
}

TEST_CASE("an empty window says what to do, at every size") {
  Session session;
  check_at_all_sizes(session, "empty");
  CHECK(check_names(session) > 15);
}

TEST_CASE("the overdrive plays: pictures at every size and scale, and they move") {
  Session session;
  session.load(overdrive());
  session.play(13);
  const auto before = session.picture("overdrive_a");
  session.play(0.4);
  CHECK_FALSE(same(before, session.picture("overdrive_b")));
  check_at_all_sizes(session, "overdrive", Sound::yes);
  CHECK(check_names(session) > 18);
  session.resize(kNormal);
  session.play(0.5);
  CHECK(colours(session.picture("overdrive_2x", 2)) > 200);
  CHECK(session.processor().load().median > 0);
}

TEST_CASE("sixteen controls find room at every size") {
  const test::TempDir folder;
  Session session;
  session.load(many_controls(folder, 16));
  session.play(5);
  check_at_all_sizes(session, "sixteen", Sound::yes);
  CHECK(check_names(session) > 18 + 13);
}

TEST_CASE("a model without controls has a proper layout") {
  const test::TempDir folder;
  Session session;
  session.load(no_controls(folder));
  session.play(2);
  check_at_all_sizes(session, "no_controls", Sound::yes);
}

juce::String message(Session& session) {
  juce::String text;
  on_message_thread([&] {
    if (auto* bar = find<MessageBar>(session.editor(), "Message"); bar && bar->isVisible()) text = bar->text();
  });
  return text;
}

juce::String title(Session& session) {
  juce::String title;
  on_message_thread([&] {
    for (auto* button : buttons(session.editor()))
      if (button->getTitle().startsWith("Browse models, now: "))
        title = button->getTitle().fromFirstOccurrenceOf(": ", false, false);
  });
  return title;
}

struct BadFile {
  const char* name;
  const char* content;  // null: missing
  const char* said;
};
const BadFile kBadFiles[] = {
    {"take.wav", "RIFF\x24\0\0\0WAVE", "take.wav is not a WAV, AIFF or FLAC file, or is damaged"},
    {"amp.nam", R"({"version": "0.5.4", "architecture": "WaveNet", "config": {}, "weights": []})", "amp.nam"},
    {"notes.json", R"({"a": 1})", "notes.json is a JSON file, not a model"},
    {"page.safetensors", "<!DOCTYPE html><html></html>", "page.safetensors is an HTML page"},
    {"pointer.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "`git lfs pull` fetches it"},
    {"empty.safetensors", "", "empty.safetensors is empty"},
    {"mine.coil", "no preset", "mine.coil: the preset is not one of Coil"},
    {"gone.safetensors", nullptr, "gone.safetensors cannot be opened: No such file or directory"},
    {"gone.coil", nullptr, "gone.coil cannot be opened: No such file or directory"},
};

void write(const std::filesystem::path& path, const BadFile& bad) {
  if (!bad.content) return;
  const juce::String name(bad.name);
  const size_t size = name == "take.wav" ? 12 : std::strlen(bad.content);
  std::ofstream(path, std::ios::binary).write(bad.content, static_cast<std::streamsize>(size));
}

TEST_CASE("dropping a bad file shows the error, and the current model keeps its title and plays on") {
  const test::TempDir folder;
  Session session;
  session.load(overdrive());
  const auto model = session.processor().model(0);
  const auto check = [&](const std::filesystem::path& path, const juce::String& said) {
    session.drop({juce::String(path.string())});
    INFO(path << ": " << message(session));
    CHECK(message(session).contains(said));
    CHECK(message(session).length() < 220);
    CHECK(title(session) == "Green Overdrive");
    CHECK(session.processor().status(0).kind == SlotStatus::Kind::playing);
    CHECK(session.processor().model(0) == model);
  };
  for (const BadFile& bad : kBadFiles) {
    write(folder / bad.name, bad);
    check(folder / bad.name, bad.said);
  }
  std::filesystem::create_directory(folder / "amps");
  check(folder / "amps",
        "amps is a folder without a model's config.json; a model (.safetensors) or a preset (.coil) is needed");
  REQUIRE(mkfifo((folder / "pipe.safetensors").c_str(), 0600) == 0);
  check(folder / "pipe.safetensors", "pipe.safetensors is not a regular file");
  check(COIL_PRESETS_DIR "/watch_small.safetensors", "watch_small.safetensors is a forecaster");
  if (geteuid() != 0) {  // root may read everything
    std::filesystem::copy_file(overdrive(), folder / "locked.safetensors");
    std::filesystem::permissions(folder / "locked.safetensors", std::filesystem::perms::none);
    check(folder / "locked.safetensors", "locked.safetensors cannot be opened: Permission denied");
  }
  session.play(1);
  check_at_all_sizes(session, "error");
  session.resize(kNormal);
  session.press(juce::KeyPress::escapeKey);
  CHECK(message(session).isEmpty());
  session.drop({juce::String((folder / "take.wav").string())});  // said again
  CHECK(message(session).contains("take.wav is not a WAV"));
  session.press(juce::KeyPress::escapeKey);
  session.drop({juce::String(overdrive().string())});
  CHECK(message(session).isEmpty());
}

TEST_CASE("an error of a bad file is also shown in an empty window") {
  const test::TempDir folder;
  write(folder / "take.wav", kBadFiles[0]);
  Session session;
  session.drop({juce::String((folder / "take.wav").string())});
  CHECK(message(session).contains("take.wav is not a WAV"));
  CHECK(title(session) == "Choose a model");
  check_at_all_sizes(session, "error_empty");
}

TEST_CASE("of several dropped files the first loadable one is loaded, and the others are named") {
  Session session;
  session.drop({"/music/take.ogg", juce::String(overdrive().string()), "/music/cover.png"});
  CHECK(session.processor().status(0).name == "Green Overdrive");
  CHECK(message(session) ==
        "A slot takes one file: green_overdrive.safetensors was taken, take.ogg, cover.png left out");
  session.picture("several");
}

TEST_CASE("problems of the other slot or the session are shown while a model plays") {
  Session session;
  session.load(overdrive());
  on_message_thread([&] { session.processor().load_file(1, juce::File("/nowhere/amp.safetensors")); });
  wait_ms(300);
  CHECK(message(session) == "Slot 2: amp.safetensors cannot be opened: No such file or directory");
  session.press('2', juce::ModifierKeys::commandModifier);
  CHECK(message(session) == "amp.safetensors cannot be opened: No such file or directory");
  session.press('1', juce::ModifierKeys::commandModifier);
  session.press(juce::KeyPress::escapeKey);
  CHECK(message(session).isEmpty());
  const std::string strange = "no session";
  on_message_thread([&] { session.processor().setStateInformation(strange.data(), static_cast<int>(strange.size())); });
  wait_ms(100);
  CHECK(message(session).startsWith("The session is not one of Coil"));
  CHECK(title(session) == "Green Overdrive");
}

TEST_CASE("a saved preset is confirmed, and gives the slot its name") {
  Session session;
  session.load(overdrive());
  session.play(1);
  const auto save_as = [&](const char* name) {
    session.press('S', juce::ModifierKeys::commandModifier);
    auto* field = find<juce::TextEditor>(session.editor(), "Name of the preset");
    REQUIRE(field);
    on_message_thread([&] { field->setText(name); });
    session.press(juce::KeyPress::returnKey);
    wait_ms(100);
  };
  save_as("Sunday / lead");
  CHECK(message(session).startsWith("Saved as the preset 'Sunday  lead' in "));
  CHECK(title(session) == "Sunday  lead");
  check_at_all_sizes(session, "saved");
  save_as("Sunday  lead");
  CHECK(message(session).startsWith("Saved over the preset 'Sunday  lead' in "));
  session.press('B', juce::ModifierKeys::commandModifier);  // the window has the focus again
  CHECK(session.processor().parameters().bypass->get());
  session.processor().preset_file("Sunday  lead").deleteFile();
}

TEST_CASE("a model that is missing is named, and sound passes") {
  plugin::Session lost;
  lost.slots[0].hash = "00112233445566778899aabbccddeeff";
  lost.slots[0].name = "My Amp";
  lost.slots[0].path = "/music/models/my_amp.safetensors";
  const auto bytes = to_bytes(lost);
  Session session;
  on_message_thread([&] { session.processor().setStateInformation(bytes.data(), static_cast<int>(bytes.size())); });
  wait_ms(200);
  REQUIRE(session.processor().status(0).kind == SlotStatus::Kind::missing);
  check_at_all_sizes(session, "missing");
}

TEST_CASE("the browser has room and names at every size") {
  Session session;
  session.load(overdrive());
  session.play(1);
  on_message_thread([&] { session.editor().open_browser(); });
  check_at_all_sizes(session, "browser");
  CHECK(check_names(session) > 4);
}

TEST_CASE("the browser filters by what is typed, and Return loads what is selected") {
  Session session;
  on_message_thread([&] { session.editor().open_browser(); });
  auto* search = find<juce::TextEditor>(session.editor(), "Search models, presets and cabinets");
  auto* list = find<juce::ListBox>(session.editor(), "Models, presets and cabinets");
  auto* browser = find<Browser>(session.editor(), "Model browser");
  REQUIRE((search && list && browser));
  const auto type = [&](const char* text) {
    int rows = -1;
    on_message_thread([&] {
      search->setText(text, juce::dontSendNotification);
      search->onTextChange();
      rows = list->getModel()->getNumRows();
    });
    return rows;
  };
  CHECK(type("no such model") == 0);
  on_message_thread([&] { search->onReturnKey(); });
  CHECK(browser->isVisible());
  CHECK(type("GREEN over") >= 1);
  CHECK(type("GREEN over") < type(""));
  type("GREEN over");
  on_message_thread([&] { search->onReturnKey(); });
  CHECK_FALSE(browser->isVisible());
  for (int i = 0; i < 200 && session.processor().status(0).kind != SlotStatus::Kind::playing; ++i) wait_ms(25);
  CHECK(session.processor().status(0).name == "Green Overdrive");
}

// The rows of a list, as a screen reader hears them.
juce::StringArray rows_of(juce::ListBox& list) {
  juce::StringArray rows;
  for (int i = 0; i < list.getModel()->getNumRows(); ++i) rows.add(list.getModel()->getNameForRow(i));
  return rows;
}

struct OpenBrowser {
  explicit OpenBrowser(Session& session) : session_(session) {
    on_message_thread([&] { session.editor().open_browser(); });
    wait_ms(100);
    places = find<juce::ListBox>(session.editor(), "Places");
    list = find<juce::ListBox>(session.editor(), "Models, presets and cabinets");
    search = find<juce::TextEditor>(session.editor(), "Search models, presets and cabinets");
    REQUIRE((places && list && search));
  }
  void go_to(const char* place) {
    int row = -1;
    on_message_thread([&] {
      row = rows_of(*places).indexOf(place);
      if (row >= 0) places->selectRow(row);
    });
    INFO(place);
    REQUIRE(row >= 0);
    wait_ms(60);
  }
  juce::StringArray rows() {
    juce::StringArray rows;
    on_message_thread([&] { rows = rows_of(*list); });
    return rows;
  }
  juce::ListBox *places = nullptr, *list = nullptr;
  juce::TextEditor* search = nullptr;

 private:
  Session& session_;
};

TEST_CASE("the browser lists by category, tags and favourites, by key as well") {
  Session session;
  session.resize(kNormal);
  session.load(overdrive());
  OpenBrowser browser(session);
  const int all = browser.rows().size();
  const auto entries = session.processor().library().entries();
  const auto count = [&](auto&& fits) { return static_cast<int>(std::count_if(entries.begin(), entries.end(), fits)); };
  browser.go_to("Drive");
  CHECK(browser.rows().size() == count([](const auto& entry) { return entry.category == "drive"; }));
  CHECK(browser.rows()[0].startsWith("Green Overdrive, Factory, Drive: overdrive, guitar"));
  session.picture("browser_category");
  browser.go_to("All");
  CHECK(browser.rows().size() == all);
  auto* tag = button_with(session.editor(), "tube");
  REQUIRE(tag);
  on_message_thread([&] { tag->triggerClick(); });
  wait_ms(100);
  CHECK(browser.rows().size() == count([](const auto& entry) { return entry.tags.contains("tube"); }));
  session.picture("browser_tag");
  CHECK(check_names(session) > 12);
  on_message_thread([&] { browser.search->setText("clean tone", true); });
  wait_ms(100);
  CHECK(browser.rows()[0].startsWith("Clean Preamp, "));
  CHECK(browser.rows().size() < 5);
  session.press('D', juce::ModifierKeys::commandModifier);
  CHECK(browser.rows()[0].endsWith(", favourite"));
  on_message_thread([&] { browser.search->setText("", true); });
  browser.go_to("Favourites");
  CHECK(browser.rows().size() == 1);
  session.picture("browser_favourites");
  session.press('D', juce::ModifierKeys::commandModifier);
  CHECK(browser.rows().isEmpty());
  check_at_all_sizes(session, "browser_no_favourites");
  on_message_thread([&] { session.editor().grabKeyboardFocus(); });  // not the browser
  session.press(juce::KeyPress::escapeKey);
  CHECK_FALSE(find<Browser>(session.editor(), "Model browser")->isVisible());
}

TEST_CASE("a user's folder is listed, and removed from the list again") {
  const test::TempDir folder;
  std::filesystem::create_directories(folder / "amps" / "clean");
  std::filesystem::copy_file(overdrive(), folder / "amps" / "clean" / "mine.safetensors");
  Session session;
  session.resize(kNormal);
  OpenBrowser browser(session);
  const int before = browser.rows().size();
  auto* view = find<Browser>(session.editor(), "Model browser");
  on_message_thread([&] { view->add_folder(juce::File((folder / "amps").string())); });
  wait_ms(100);
  CHECK(browser.rows().size() == 1);
  session.picture("browser_folder");
  check_layout(session);
  browser.go_to("All");
  CHECK(browser.rows().size() == before + 1);
  browser.go_to("amps");
  auto* remove = button_with(session.editor(), "Remove folder");
  REQUIRE((remove && remove->isVisible()));
  on_message_thread([&] { remove->onClick(); });
  CHECK(browser.rows().size() == before);
  CHECK_FALSE(remove->isVisible());
}

TEST_CASE("what is selected in the browser is heard at once, and the old model comes back unless it is loaded") {
  Session session;
  session.resize(kNormal);
  session.load(overdrive());
  auto& processor = session.processor();
  auto& drive = *processor.parameters().controls[0];
  on_message_thread([&] { drive.setValueNotifyingHost(0.9f); });
  const auto model = processor.model(0);
  const auto plays = [&](const juce::String& name) {
    for (int i = 0; i < 200 && processor.status(0).name != name; ++i) wait_ms(10);
    for (int i = 0; i < 200 && processor.status(0).kind != SlotStatus::Kind::playing; ++i) wait_ms(10);
    return processor.status(0).name == name;
  };
  const auto entries = processor.library().entries();
  const auto green =
      std::find_if(entries.begin(), entries.end(), [](const auto& entry) { return entry.name == "Green Overdrive"; });
  REQUIRE(entries.end() - green > 2);
  const juce::String second = (green + 1)->name, third = (green + 2)->name;
  const auto audition = [&] {
    on_message_thread([&] { session.editor().open_browser(); });
    wait_ms(300);
    CHECK(processor.auditioned() == juce::File());  // opening it changes nothing
    session.press(juce::KeyPress::downKey);
    CHECK(plays(second));
    session.press(juce::KeyPress::downKey);
    CHECK(plays(third));
  };
  audition();
  session.picture("browser_audition");
  session.press(juce::KeyPress::escapeKey);
  CHECK(plays("Green Overdrive"));
  wait_ms(100);
  CHECK(processor.model(0) == model);
  CHECK(drive.getValue() == Approx(0.9f));
  audition();
  session.press(juce::KeyPress::returnKey);
  wait_ms(200);
  CHECK(plays(third));
  CHECK_FALSE(find<Browser>(session.editor(), "Model browser")->isVisible());
  session.press('Z', juce::ModifierKeys::commandModifier);  // one step for all of them
  CHECK(plays("Green Overdrive"));
  CHECK(drive.getValue() == Approx(0.9f));

  on_message_thread([&] { session.editor().open_browser(); });
  auto* switch_off = find<juce::Button>(session.editor(), "Audition");
  REQUIRE(switch_off);
  on_message_thread([&] { switch_off->setToggleState(false, juce::sendNotificationSync); });
  session.press(juce::KeyPress::downKey);
  wait_ms(400);
  CHECK(plays("Green Overdrive"));
  on_message_thread([&] { switch_off->setToggleState(true, juce::sendNotificationSync); });
  session.press(juce::KeyPress::escapeKey);
}

TEST_CASE("snapshots are stored, recalled and shown as changed, and MIDI is taught by menu and key") {
  Session session;
  session.load(overdrive());
  auto& processor = session.processor();
  auto& drive = *processor.parameters().controls[0];
  constexpr int kAlt = juce::ModifierKeys::altModifier;
  session.press('1', kAlt);
  CHECK(message(session) == "Stored the sound as snapshot A");
  on_message_thread([&] { drive.setValueNotifyingHost(0.9f); });
  wait_ms(400);
  CHECK(find<juce::Button>(session.editor(), "Snapshot A, changed"));
  session.press('2', kAlt);
  session.press('1', kAlt);
  CHECK(drive.getValue() == Approx(0.5f));
  check_at_all_sizes(session, "snapshots", Sound::yes);
  session.resize(kNormal);
  auto* letter = find<juce::Button>(session.editor(), "Snapshot B");
  REQUIRE(letter);
  on_message_thread([&] { letter->triggerClick(); });
  wait_ms(150);
  CHECK(drive.getValue() == Approx(0.9f));
  on_message_thread([&] { CHECK(pick(session.editor().target_menu("snapshot_b"), "Clear")); });
  wait_ms(60);
  CHECK(find<juce::Button>(session.editor(), "Snapshot B, empty"));

  on_message_thread([&] { REQUIRE(pick(session.editor().target_menu("control_1"), "Learn MIDI")); });
  wait_ms(60);
  CHECK(message(session).startsWith("Waiting for MIDI: move the controller for drive"));
  session.picture("midi_learning");
  session.press(juce::KeyPress::escapeKey);
  CHECK(message(session).isEmpty());
  on_message_thread([&] { REQUIRE(pick(session.editor().target_menu("control_1"), "Learn MIDI")); });
  juce::AudioBuffer<float> block(processor.getTotalNumInputChannels(), kBlock);
  block.clear();
  juce::MidiBuffer midi;
  midi.addEvent(juce::MidiMessage::controllerEvent(1, 74, 10), 0);
  processor.processBlock(block, midi);
  wait_ms(200);
  CHECK(message(session) == "drive follows CC 74");
  session.picture("midi_learned");
  on_message_thread([&] { CHECK(pick(session.editor().target_menu("control_1"), "Forget CC 74")); });
}

TEST_CASE("a dropped model is loaded") {
  Session session;
  session.drop({juce::String(overdrive().string())});
  CHECK(session.processor().status(0).kind == SlotStatus::Kind::playing);
}

// Written with libsndfile, to test the plugin's own reader.
void write_response(const std::filesystem::path& path, double resonance_hz) {
  std::vector<float> taps(4800);
  for (size_t i = 0; i < taps.size(); ++i) {
    const double t = static_cast<double>(i) / kRate_hz;
    taps[i] = static_cast<float>(0.4 * std::exp(-t * 300) * std::cos(2 * M_PI * resonance_hz * t) +
                                 0.3 * std::exp(-t * 4000) * std::cos(2 * M_PI * 2500 * t));
  }
  SF_INFO info{};
  info.samplerate = static_cast<int>(kRate_hz);
  info.channels = 1;
  info.format = SF_FORMAT_WAV | SF_FORMAT_PCM_24;
  SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
  REQUIRE(file);
  sf_writef_float(file, taps.data(), static_cast<sf_count_t>(taps.size()));
  sf_close(file);
}

TEST_CASE("a dropped response is the cabinet, its page shows it and moves equaliser and microphones by key") {
  const test::TempDir folder;
  write_response(folder / "cone.wav", 110);
  write_response(folder / "edge.wav", 240);
  Session session;
  session.load(overdrive());
  session.press('E', juce::ModifierKeys::commandModifier);
  check_at_all_sizes(session, "cabinet_empty");
  session.resize(kNormal);
  session.press('E', juce::ModifierKeys::commandModifier);
  auto& parameters = session.processor().parameters();
  on_message_thread([&] { parameters.cabinet_on->setValueNotifyingHost(0); });
  session.drop({juce::String((folder / "cone.wav").string())});
  CHECK(session.processor().microphone(0).name == "cone");
  CHECK(session.processor().status(0).kind == SlotStatus::Kind::playing);
  CHECK(parameters.cabinet_on->get());
  CHECK(message(session).isEmpty());
  on_message_thread([&] { session.processor().load_response(1, juce::File((folder / "edge.wav").string())); });
  session.press('E', juce::ModifierKeys::commandModifier);
  wait_ms(300);
  const auto press = [&](const char* title, int key) {
    auto* component = find<juce::Component>(session.editor(), title);
    REQUIRE(component);
    on_message_thread([&] { component->keyPressed(juce::KeyPress(key)); });
    wait_ms(60);
  };
  for (int i = 0; i < 6; ++i) press("Low mid", juce::KeyPress::downKey);
  for (int i = 0; i < 4; ++i) press("High shelf", juce::KeyPress::upKey);
  for (int i = 0; i < 10; ++i) press("Low cut", juce::KeyPress::rightKey);
  CHECK(parameters.bands[1].gain->get() == Approx(-6 * 0.02 * 48).margin(0.01));
  CHECK(parameters.low_cut->get() > 40);
  for (int i = 0; i < 5; ++i) press("Level of microphone 2", juce::KeyPress::downKey);
  press("Pan of microphone 2", juce::KeyPress::pageUpKey);
  CHECK(session.processor().microphone(1).settings.level_db < -2);
  CHECK(session.processor().microphone(1).settings.pan > 0.1f);
  CHECK(check_names(session) > 12);
  check_at_all_sizes(session, "cabinet", Sound::yes);
  session.resize(kNormal);
  CHECK(columns_of(session.picture("cabinet_curves"), theme::kCopper, 220) > kNormal.width * 3 / 4);  // the curve
  session.press('Z', juce::ModifierKeys::commandModifier);
  for (int i = 0; i < 200 && session.processor().microphone(1).settings.pan != 0; ++i) wait_ms(10);
  CHECK(session.processor().microphone(1).settings.pan == 0);
  on_message_thread([&] { find<juce::Button>(session.editor(), "Remove the response of microphone 2")->onClick(); });
  wait_ms(60);
  CHECK(session.processor().microphone(1).kind == MicrophoneStatus::Kind::empty);
  session.press(juce::KeyPress::escapeKey);
}

TEST_CASE("the page of the cabinet offers the simulated cabinets, and steps through them by key") {
  Session session;
  session.load(overdrive());
  session.press('E', juce::ModifierKeys::commandModifier);
  const auto plays = [&](const char* name) {
    for (int i = 0; i < 200 && session.processor().microphone(0).kind != MicrophoneStatus::Kind::playing; ++i)
      wait_ms(10);
    wait_ms(100);
    return session.processor().microphone(0).name == name;
  };
  on_message_thread([&] { REQUIRE(pick(session.editor().cabinet_menu(0), "british_4x12_edge")); });
  CHECK(plays("british_4x12_edge"));
  const auto step = [&](const char* title) {
    auto* button = find<juce::Button>(session.editor(), title);
    REQUIRE(button);
    on_message_thread([&] {
      button->grabKeyboardFocus();
      static_cast<juce::Component*>(button)->keyPressed(juce::KeyPress(juce::KeyPress::returnKey));
    });
    wait_ms(150);
  };
  step("Next cabinet for microphone 1");
  CHECK(plays("british_4x12_ribbon"));
  step("Previous cabinet for microphone 1");
  CHECK(plays("british_4x12_edge"));
  session.picture("cabinet_simulated");
  on_message_thread([&] {
    auto menu = session.editor().cabinet_menu(0);
    int ticked = 0, items = 0;
    for (juce::PopupMenu::MenuItemIterator item(menu, true); item.next();) {
      ticked += item.getItem().isTicked;
      items += item.getItem().action != nullptr;
    }
    CHECK(ticked == 1);
    CHECK(items == 12 + 1);
  });
}

TEST_CASE("the tuner names the note that is played, mutes, and closes by key and by the host") {
  Session session;
  session.load(overdrive());
  auto& parameters = session.processor().parameters();
  session.press('T', juce::ModifierKeys::commandModifier);
  CHECK(parameters.tuner->get());
  check_at_all_sizes(session, "tuner_waiting");
  session.resize(kNormal);
  auto* page = find<TunerPage>(session.editor(), "Tuner");
  REQUIRE(page);
  session.play_tone(110 * std::exp2(12.0 / 1200), 1.2);
  juce::String heard;
  on_message_thread([&] { heard = page->getDescription(); });
  CHECK(heard.startsWith("A2, +1"));
  session.picture("tuner_sharp");
  session.play_tone(110, 1.2);
  on_message_thread([&] { heard = page->getDescription(); });
  CHECK(heard.startsWith("A2, "));
  check_at_all_sizes(session, "tuner");
  CHECK(check_names(session) > 3);
  session.press(juce::KeyPress::escapeKey);
  CHECK_FALSE(parameters.tuner->get());
  CHECK_FALSE(page->isVisible());
  on_message_thread([&] { parameters.tuner->setValueNotifyingHost(1); });
  wait_ms(150);
  CHECK(page->isVisible());
}

TEST_CASE("the input level is measured from a tone, and says what the model gets") {
  Session session;
  session.load(overdrive());
  session.press('I', juce::ModifierKeys::commandModifier);
  auto* page = find<LevelPage>(session.editor(), "Input level");
  REQUIRE(page);
  session.play_tone(1000, 0.8);
  wait_ms(250);
  check_at_all_sizes(session, "level");
  CHECK(check_names(session) > 4);
  auto* measure = button_with(*page, "Take over");
  REQUIRE(measure);
  session.play_tone(1000, 0.8);
  wait_ms(250);
  on_message_thread([&] { measure->onClick(); });
  CHECK(session.processor().parameters().input_dbu->get() == Approx(2.2 + 12).margin(0.2));  // a tone of -12 dBFS
  session.press(juce::KeyPress::escapeKey);
  CHECK_FALSE(page->isVisible());
}

TEST_CASE("a meter keeps clipping until it is clicked") {
  Session session;
  session.load(overdrive());
  auto* meter = find<LevelMeter>(session.editor(), "Input level");
  REQUIRE(meter);
  session.play_tone(200, 0.3, 1.2f);
  session.play_tone(200, 0.5, 0.1f);
  CHECK(meter->has_clipped());
  session.picture("clipped");
  on_message_thread([&] {
    static_cast<juce::Component*>(meter)->mouseDown(juce::MouseEvent(
        juce::Desktop::getInstance().getMainMouseSource(), {}, {}, 0, 0, 0, 0, 0, meter, meter, {}, {}, {}, 1, false));
  });
  CHECK_FALSE(meter->has_clipped());
  session.play_tone(200, 0.3, 1.2f);
  wait_ms(100);
  CHECK(meter->has_clipped());
  CHECK(meter->getDescription() == "Loudest: 1.6 dBFS, has clipped");
  on_message_thread(
      [&] { static_cast<juce::Component*>(meter)->keyPressed(juce::KeyPress(juce::KeyPress::returnKey)); });
  CHECK_FALSE(meter->has_clipped());
}

StageTile* tile(Session& session, const juce::String& name) {
  StageTile* found = nullptr;
  on_message_thread([&] {
    auto* row = find<StageRow>(session.editor(), "Stages of the chain");
    for (auto* child : row->getChildren())
      if (auto* each = dynamic_cast<StageTile*>(child); each && each->name() == name) found = each;
  });
  return found;
}

// The names of the tiles that have room, in their order on the screen.
juce::String row_of(Session& session) {
  std::map<int, juce::String> by_place;
  on_message_thread([&] {
    for (auto* child : find<StageRow>(session.editor(), "Stages of the chain")->getChildren())
      if (auto* each = dynamic_cast<StageTile*>(child); each && each->isVisible())
        by_place[each->getX()] = each->name();
  });
  juce::StringArray names;
  for (const auto& [x, name] : by_place) names.add(name);
  return names.joinIntoString(", ");
}

bool row_becomes(Session& session, const juce::String& names) {
  for (int i = 0; i < 300 && row_of(session) != names; ++i) wait_ms(20);
  INFO("the row is: " << row_of(session));
  CHECK(row_of(session) == names);
  return row_of(session) == names;
}

void focus(Session& session, const juce::String& name) {
  auto* each = tile(session, name);
  REQUIRE(each);
  session.focus(*each);
}

// A rig with one further stage of each kind, and one that is missing.
std::filesystem::path long_rig(const test::TempDir& folder) {
  std::ofstream(folder / "long.coil") << R"({"rig": 1, "name": "Long", "stages": [
      {"type": "gate", "name": "noise gate"}, {"type": "model", "name": "boost", "file": "treble_booster"},
      {"type": "equaliser", "name": "mids", "bands": [{"kind": "bell", "hz": 300, "gain_db": -4, "q": 1}]},
      {"type": "model", "file": "crunch_preamp", "main": true},
      {"type": "gain", "db": -2}, {"type": "equaliser", "low_cut_hz": 90},
      {"type": "cabinet", "microphones": [{"file": "british_4x12_edge"}]},
      {"type": "model", "name": "glue", "file": "nowhere"}, {"type": "gain", "name": "trim", "db": 1},
      {"type": "cabinet", "name": "room", "normalise": false,
       "microphones": [{"file": "american_1x12_centre"}, {"file": "british_4x12_edge"}]}]})";
  return folder / "long.coil";
}

TEST_CASE("the chain is a row of tiles, whose pages have room at every size") {
  const test::TempDir folder;
  Session session;
  session.load(long_rig(folder));
  session.play(1);
  session.resize({theme::kMaxWidth, theme::kHeight});
  CHECK(row_becomes(
      session, "noise gate, boost, mids, Gate, Crunch Preamp, Gain, Equaliser, british_4x12_edge, glue, trim, room"));
  check_at_all_sizes(session, "stages", Sound::yes);
  CHECK(check_names(session) > 20);
  CHECK(tile(session, "glue")->getTitle().contains("does not play"));
  CHECK(tile(session, "boost")->getTitle() == "boost, Model, 2 of 11, on, mix 100 %");
  session.press(juce::KeyPress::escapeKey);  // closes the message on the missing model
  for (const char* name : {"noise gate", "boost", "mids", "Gate", "Gain", "glue", "room"}) {
    auto* each = tile(session, name);
    REQUIRE(each);
    on_message_thread([&] { session.editor().open_stage(each->number()); });
    wait_ms(60);
    check_at_all_sizes(session, "stage_" + juce::String(name).replaceCharacter(' ', '_').toStdString());
    CHECK(check_names(session) > 20);
  }
  session.resize(kNormal);
  session.picture("stage_room_2x", 2);
  session.press(juce::KeyPress::escapeKey);
  for (const char* page : {"cabinet", "equaliser"}) {
    on_message_thread([&] { session.editor().open_stage(page[0] == 'c' ? dsp::kTailStage : dsp::kEqualiserStage); });
    check_at_all_sizes(session, std::string("stages_") + page);
  }
}

TEST_CASE("keys on a tile select, move, switch, mix, remove and open a stage, and each can be undone") {
  const test::TempDir folder;
  Session session;
  session.resize({theme::kMaxWidth, theme::kHeight});
  session.load(long_rig(folder));
  const juce::String all =
      "noise gate, boost, mids, Gate, Crunch Preamp, Gain, Equaliser, british_4x12_edge, glue, trim, room";
  REQUIRE(row_becomes(session, all));
  const auto& parameters = session.processor().parameters();
  constexpr int kCommand = juce::ModifierKeys::commandModifier;
  focus(session, "boost");
  session.press(juce::KeyPress::rightKey, kCommand);
  CHECK(row_becomes(
      session, "noise gate, mids, boost, Gate, Crunch Preamp, Gain, Equaliser, british_4x12_edge, glue, trim, room"));
  session.press(juce::KeyPress::leftKey, kCommand);
  CHECK(row_becomes(session, all));
  session.press(juce::KeyPress::spaceKey);
  CHECK_FALSE(parameters.further[1].on->get());
  session.press(juce::KeyPress::downKey);
  session.press(juce::KeyPress::downKey, juce::ModifierKeys::shiftModifier);
  CHECK(parameters.further[1].mix->get() == Approx(94));
  session.press(juce::KeyPress::rightKey);  // to the equaliser, which is removed
  session.press(juce::KeyPress::deleteKey);
  CHECK(row_becomes(session,
                    "noise gate, boost, Gate, Crunch Preamp, Gain, Equaliser, british_4x12_edge, glue, trim, room"));
  session.press(juce::KeyPress::spaceKey);  // the focus has moved to the neighbour, the gate of the model
  CHECK(parameters.gate_threshold->get() == Approx(-60));
  session.press(juce::KeyPress::spaceKey);
  CHECK(parameters.gate_threshold->get() == dsp::kGateOffDb);
  session.press(juce::KeyPress::deleteKey);
  CHECK(message(session).contains("stays in the chain"));
  session.press(juce::KeyPress::returnKey);
  auto* page = find<StagePage>(session.editor(), "Stage");
  CHECK(page->isVisible());
  session.press(juce::KeyPress::escapeKey);  // the message
  session.press(juce::KeyPress::escapeKey);
  CHECK_FALSE(page->isVisible());
  for (int i = 0; i < 8; ++i) session.press('Z', kCommand);
  CHECK(row_becomes(session, all));
  CHECK(parameters.further[1].on->get());
  CHECK(parameters.further[1].mix->get() == Approx(100));
}

TEST_CASE("stages are added by menu and by drop, dragged with the mouse, and their knobs moved") {
  Session session;
  session.resize({theme::kMaxWidth, theme::kHeight});
  session.load(overdrive());
  auto& editor = session.editor();
  REQUIRE(row_becomes(session, "Gate, Green Overdrive, Cabinet, Equaliser"));
  on_message_thread([&] { CHECK(pick(editor.add_menu(), "Gain")); });
  CHECK(row_becomes(session, "Gate, Green Overdrive, Gain, Cabinet, Equaliser"));
  on_message_thread([&] { CHECK(pick(editor.add_menu(), "Treble Booster")); });
  CHECK(row_becomes(session, "Gate, Green Overdrive, Gain, Treble Booster, Cabinet, Equaliser"));
  auto* gate = tile(session, "Gate");
  const auto over = [&](StageTile* each, juce::Component* relative_to) {
    return relative_to->getLocalPoint(each, juce::Point<int>(4, 10));
  };
  on_message_thread([&] {
    const auto at = over(gate, &editor);
    editor.filesDropped({COIL_PRESETS_DIR "/crunch_preamp.safetensors"}, at.x, at.y);
  });
  CHECK(row_becomes(session, "Crunch Preamp, Gate, Green Overdrive, Gain, Treble Booster, Cabinet, Equaliser"));

  auto* dragged = tile(session, "Treble Booster");
  const auto mouse = [&](juce::Point<float> at, bool moved) {
    return juce::MouseEvent(juce::Desktop::getInstance().getMainMouseSource(), at,
                            juce::ModifierKeys(juce::ModifierKeys::leftButtonModifier), 1, 0, 0, 0, 0, dragged, dragged,
                            {}, {40, 10}, {}, 1, moved);
  };
  on_message_thread([&] {
    auto& component = static_cast<juce::Component&>(*dragged);
    const auto to = over(tile(session, "Crunch Preamp"), dragged).toFloat();
    component.mouseDown(mouse({40, 10}, false));
    component.mouseDrag(mouse(to, true));
    session.picture("stages_drag");
    component.mouseUp(mouse(to, true));
  });
  CHECK(row_becomes(session, "Treble Booster, Crunch Preamp, Gate, Green Overdrive, Gain, Cabinet, Equaliser"));
  on_message_thread([&] { editor.open_stage(dragged->number()); });
  auto* page = find<StagePage>(editor, "Stage");
  auto* dial = find<Dial>(*page, "Boost");
  REQUIRE(dial);
  const int number = dragged->number();
  const auto boost = [&] {
    const auto& controls = std::get<dsp::RigModel>(session.processor().further_stage_at(number)->rig.kind).controls;
    return controls.contains("boost") ? double(controls.at("boost")) : -1.0;
  };
  const double usual = dial->getValue();
  on_message_thread(
      [&] { static_cast<juce::Component*>(dial)->keyPressed(juce::KeyPress(juce::KeyPress::pageUpKey)); });
  wait_ms(100);
  CHECK(boost() == Approx(usual + 1));
  session.press('Z', juce::ModifierKeys::commandModifier);
  for (int i = 0; i < 200 && dial->getValue() != Approx(usual); ++i) wait_ms(20);
  CHECK(dial->getValue() == Approx(usual));
  on_message_thread([&] { button_with(*page, "Remove")->onClick(); });
  CHECK(row_becomes(session, "Crunch Preamp, Gate, Green Overdrive, Gain, Cabinet, Equaliser"));
  CHECK_FALSE(page->isVisible());
}

TEST_CASE("the browser adds what is selected to the chain by key, button and menu, and each is one undo step") {
  Session session;
  session.resize({theme::kMaxWidth, theme::kHeight});
  session.load(overdrive());
  auto& processor = session.processor();
  const juce::String usual = "Gate, Green Overdrive, Cabinet, Equaliser";
  REQUIRE(row_becomes(session, usual));
  auto* view = find<Browser>(session.editor(), "Model browser");
  constexpr int kCommand = juce::ModifierKeys::commandModifier;
  const auto open_at = [&](const char* place, const char* text) {
    OpenBrowser browser(session);
    browser.go_to(place);
    on_message_thread([&] { browser.search->setText(text, true); });
    wait_ms(60);
    return browser.rows().size();
  };
  REQUIRE(open_at("All", "treble booster") > 0);
  session.press(juce::KeyPress::downKey);  // is heard, until it is added
  wait_for([&] { return processor.auditioned() != juce::File(); });
  const juce::String chosen = processor.library().name_of(processor.auditioned());
  session.press(juce::KeyPress::returnKey, kCommand);
  CHECK_FALSE(view->isVisible());
  CHECK(row_becomes(session, "Gate, Green Overdrive, " + chosen + ", Cabinet, Equaliser"));
  CHECK(title(session) == "Green Overdrive");
  CHECK(message(session).isEmpty());

  REQUIRE(open_at("Cabinet", "british_4x12_edge") == 1);
  session.picture("browser_cabinet");
  check_layout(session);
  press_button_of(*view, "Add to chain");  // behind the stage that was added before
  CHECK(row_becomes(session, "Gate, Green Overdrive, " + chosen + ", british_4x12_edge, Cabinet, Equaliser"));
  CHECK(processor.microphone(0).kind == MicrophoneStatus::Kind::empty);

  REQUIRE(open_at("All", "clean preamp") > 0);
  on_message_thread([&] { CHECK(pick(view->entry_menu(), "Add to chain")); });
  CHECK(row_becomes(session,
                    "Gate, Green Overdrive, " + chosen + ", british_4x12_edge, Clean Preamp, Cabinet, Equaliser"));
  session.picture("browser_added");
  session.press('Z', kCommand);
  CHECK(row_becomes(session, "Gate, Green Overdrive, " + chosen + ", british_4x12_edge, Cabinet, Equaliser"));
  session.press('Z', kCommand);
  CHECK(row_becomes(session, "Gate, Green Overdrive, " + chosen + ", Cabinet, Equaliser"));
  session.press('Z', kCommand);
  CHECK(row_becomes(session, usual));
}

TEST_CASE(
    "a cabinet that is selected in the browser is heard at once, and the old one comes back unless it is loaded") {
  Session session;
  session.resize(kNormal);
  session.load(overdrive());
  auto& processor = session.processor();
  auto& cabinet_on = *processor.parameters().cabinet_on;
  const auto model = processor.model(0);
  on_message_thread([&] { cabinet_on.setValueNotifyingHost(0); });
  const auto plays = [&](const juce::String& name) {
    return wait_for([&] {
      return processor.microphone(0).kind != MicrophoneStatus::Kind::loading && processor.microphone(0).name == name;
    });
  };
  const auto audition = [&] {
    OpenBrowser browser(session);
    browser.go_to("Cabinet");
    session.press(juce::KeyPress::downKey);
    CHECK(plays(browser.rows()[1].upToFirstOccurrenceOf(",", false, false)));
    CHECK(cabinet_on.get());
    return processor.microphone(0).name;
  };
  audition();
  session.picture("browser_cabinet_audition");
  session.press(juce::KeyPress::escapeKey);
  CHECK(plays(""));
  CHECK(wait_for([&] { return !cabinet_on.get(); }));
  const auto name = audition();
  session.press(juce::KeyPress::returnKey);
  wait_ms(200);
  CHECK(plays(name));
  CHECK(processor.model(0) == model);
  CHECK(cabinet_on.get());
  session.press('Z', juce::ModifierKeys::commandModifier);
  CHECK(plays(""));
  CHECK(wait_for([&] { return !cabinet_on.get(); }));

  {
    OpenBrowser browser(session);  // first a model, then a cabinet: the model of before returns
    session.press(juce::KeyPress::downKey);
    CHECK(wait_for([&] { return processor.model(0) != model && processor.auditioned() != juce::File(); }));
    browser.go_to("Cabinet");
    session.press(juce::KeyPress::downKey);
    CHECK(plays(name));
    CHECK(wait_for([&] { return processor.model(0) == model; }));
    on_message_thread([&] {
      CHECK(pick(find<Browser>(session.editor(), "Model browser")->entry_menu(), "Load as the second microphone"));
    });
    CHECK(wait_for([&] { return processor.microphone(1).name == name; }));
    CHECK(plays(""));
  }
}

TEST_CASE("a pack that is dropped is installed and shows its licence, and a broken one says what is wrong") {
  const test::TempDir folder;
  const juce::File good(juce::String((folder / "Good amps.zip").string())),
      bad(juce::String((folder / "bad.zip").string()));
  const auto write = [](const juce::File& archive, const std::vector<std::pair<juce::String, juce::String>>& texts) {
    juce::ZipFile::Builder builder;
    builder.addFile(juce::File(juce::String(overdrive().string())), 9, "models/drive.safetensors");
    for (const auto& [path, text] : texts)
      builder.addEntry(new juce::MemoryInputStream(text.toRawUTF8(), text.getNumBytesAsUTF8(), true), 9, path, {});
    juce::FileOutputStream stream(archive);
    REQUIRE(builder.writeToStream(stream, nullptr));
  };
  write(good, {{"LICENCE.txt", "Play it, share it, name its maker."}});
  write(bad, {{"LICENCE.txt", "Free."}, {"../evil.txt", "out"}});
  Session session;
  session.drop({bad.getFullPathName()});
  for (int i = 0; i < 300 && message(session).isEmpty(); ++i) wait_ms(20);
  CHECK(message(session).contains("'../evil.txt' leaves the pack's folder"));
  session.press(juce::KeyPress::escapeKey);
  session.drop({good.getFullPathName()});
  auto* page = find<PackPage>(session.editor(), "Pack");
  for (int i = 0; i < 500 && !page->isVisible(); ++i) wait_ms(20);
  REQUIRE(page->isVisible());
  on_message_thread([&] {
    CHECK(find<juce::TextEditor>(*page, "Licence of the pack")->getText() == "Play it, share it, name its maker.");
  });
  CHECK(check_names(session) > 2);
  check_at_all_sizes(session, "pack");
  press_button_of(*page, "Browse");
  auto* view = find<Browser>(session.editor(), "Model browser");
  CHECK(view->isVisible());

  OpenBrowser browser(session);
  browser.go_to("Good amps");  // where the licence is shown later as well
  check_at_all_sizes(session, "browser_pack");
  session.resize(kNormal);
  press_button_of(*view, "Licence of the pack");
  CHECK(page->isVisible());
  const auto licence = [&] {
    juce::String text;
    on_message_thread([&] { text = find<juce::TextEditor>(*page, "Licence of the pack")->getText(); });
    return text;
  };
  CHECK(licence() == "Play it, share it, name its maker.");
  session.picture("pack_later");
  session.press(juce::KeyPress::escapeKey);
  CHECK_FALSE(page->isVisible());
  CHECK(view->isVisible());
  session.press(juce::KeyPress::escapeKey);
  CHECK_FALSE(view->isVisible());
  on_message_thread([&] { CHECK(pick(session.editor().main_menu(), "Good amps")); });
  CHECK(page->isVisible());
  CHECK(licence() == "Play it, share it, name its maker.");
  session.press(juce::KeyPress::escapeKey);
  session.processor().library().pack_folder().deleteRecursively();
}

TEST_CASE("the save panel and the drop state have room") {
  Session session;
  session.load(overdrive());
  on_message_thread([&] { session.editor().open_save_panel(); });
  check_at_all_sizes(session, "save");
  on_message_thread([&] { session.editor().fileDragEnter({"/music/amp.safetensors"}, 10, 10); });
  check_at_all_sizes(session, "drop");
  on_message_thread([&] {
    session.editor().fileDragExit({});
    session.editor().fileDragEnter({"/music/amp.ogg"}, 10, 10);
  });
  check_at_all_sizes(session, "drop_no");
}

TEST_CASE("keys turn a dial, finer with shift, and go back to the default") {
  Session session;
  session.load(overdrive());
  auto& drive = *session.processor().parameters().controls[0];
  const float usual = drive.getValue();
  auto* dial = find<Dial>(session.editor(), "Drive");
  REQUIRE(dial);
  on_message_thread([&] { static_cast<juce::Component&>(*dial).keyPressed(juce::KeyPress(juce::KeyPress::upKey)); });
  CHECK(drive.getValue() == Approx(usual + 0.01));
  on_message_thread([&] {
    static_cast<juce::Component&>(*dial).keyPressed({juce::KeyPress::upKey, juce::ModifierKeys::shiftModifier, 0});
  });
  CHECK(drive.getValue() == Approx(usual + 0.011));
  on_message_thread(
      [&] { static_cast<juce::Component&>(*dial).keyPressed(juce::KeyPress(juce::KeyPress::deleteKey)); });
  CHECK(drive.getValue() == Approx(usual));
}

TEST_CASE("shortcuts: browser, slots, bypass, next model, undo") {
  Session session;
  session.load(overdrive());
  auto& processor = session.processor();
  const auto press = [&](int key, int modifiers) { session.press(key, modifiers); };  // before any click
  constexpr int kCommand = juce::ModifierKeys::commandModifier, kShift = juce::ModifierKeys::shiftModifier;
  press('B', kCommand);
  CHECK(processor.parameters().bypass->get());
  press('B', kCommand);
  CHECK_FALSE(processor.parameters().bypass->get());
  press('2', kCommand);
  CHECK(processor.active_slot() == 1);
  press(juce::KeyPress::rightKey, juce::ModifierKeys::altModifier);
  for (int i = 0; i < 200 && processor.status(1).kind != SlotStatus::Kind::playing; ++i) wait_ms(25);
  CHECK(processor.status(1).kind == SlotStatus::Kind::playing);
  const auto becomes = [&](SlotStatus::Kind kind) {
    for (int i = 0; i < 200 && processor.status(1).kind != kind; ++i) wait_ms(25);
    return processor.status(1).kind == kind;
  };
  press('Z', kCommand);
  CHECK(becomes(SlotStatus::Kind::empty));
  press('Z', kCommand | kShift);
  CHECK(becomes(SlotStatus::Kind::playing));
  press('1', kCommand);
  CHECK(processor.active_slot() == 0);
}

TEST_CASE("the keyboard focus returns to the window after a typed value, new knobs, the save panel and the browser") {
  const test::TempDir folder;
  Session session;
  session.load(overdrive());
  auto& parameters = session.processor().parameters();
  constexpr int kCommand = juce::ModifierKeys::commandModifier;
  const auto shortcut_works = [&] {
    const bool before = parameters.bypass->get();
    session.press('B', kCommand);
    return parameters.bypass->get() != before;
  };
  const auto focus_dial = [&] {
    if (auto* dial = find<Dial>(session.editor(), "Drive")) session.focus(*dial);
  };
  const auto type = [&](int last_key) {
    session.press(juce::KeyPress::returnKey);
    for (const char key : {'7', '.', '5'}) session.press(key, 0, static_cast<juce::juce_wchar>(key));
    session.press(last_key);
    wait_ms(60);
  };
  focus_dial();
  type(juce::KeyPress::returnKey);
  CHECK(parameters.controls[0]->value_in_units() == 7.5f);
  CHECK(shortcut_works());
  session.press(juce::KeyPress::upKey);  // the dial has the focus
  CHECK(parameters.controls[0]->value_in_units() == Approx(7.6));
  type(juce::KeyPress::escapeKey);
  CHECK(parameters.controls[0]->value_in_units() == Approx(7.6));
  CHECK(shortcut_works());

  focus_dial();
  session.load(many_controls(folder, 3));  // other knobs: the dial with the focus is gone
  CHECK(shortcut_works());
  session.press('S', kCommand);
  session.press(juce::KeyPress::escapeKey);
  CHECK(shortcut_works());
  session.press('F', kCommand);
  session.press(juce::KeyPress::escapeKey);
  CHECK(shortcut_works());
}

using Stage = LearnStatus::Stage;

bool reaches(Session& session, Stage stage) {
  for (int i = 0; i < 4000 && session.processor().learn_status().stage != stage; ++i) wait_ms(10);
  wait_ms(300);  // the page updates
  return session.processor().learn_status().stage == stage;
}

LearnSettings quick(double million_frames = 6) {
  LearnSettings settings;
  settings.quality = "lite";
  settings.wanted_s = 12;
  settings.million_frames = million_frames;
  settings.gives_way = false;
  return settings;
}

void press_button(Session& session, const char* text) {
  juce::TextButton* button = nullptr;
  on_message_thread([&] {
    button = button_with(*find<LearnPage>(session.editor(), "Learn a device"), text);
    if (button && button->isVisible()) button->onClick();
  });
  REQUIRE(button);
  wait_ms(60);
}

juce::String page_text(Session& session) {
  juce::String text;
  on_message_thread([&] {
    auto* page = find<LearnPage>(session.editor(), "Learn a device");
    for (auto* child : page->getChildren())
      if (auto* label = dynamic_cast<juce::Label*>(child))
        text << label->getText() << "\n";
      else if (child->isVisible())
        text << child->getDescription() << "\n";
  });
  return text;
}

TEST_CASE("the Learn page says what to connect, shows what goes on, and keeps or discards what was learned") {
  const test::TempDir folder;
  Session session;
  session.processor().learn_settings() = quick();
  session.press('L', juce::ModifierKeys::commandModifier);
  CHECK(page_text(session).contains("No sound arrives yet"));
  check_at_all_sizes(session, "learn_ready");
  session.resize(kNormal);
  session.play(0.7);
  CHECK(page_text(session).contains("The side chain is not connected yet"));
  CHECK(check_names(session) > 2);
  press_button(session, "Learn");
  CHECK(page_text(session).contains("0 s of 12 s"));
  session.send(6);
  for (int i = 0; i < 1000 && !session.processor().learn_status().has_model; ++i) wait_ms(10);
  wait_ms(400);
  CHECK(page_text(session).contains("ound trip of about 6.9 ms"));
  check_at_all_sizes(session, "learn_playing");
  session.send(8);
  REQUIRE(reaches(session, Stage::done));
  CHECK(title(session) == "Learned just now");
  check_at_all_sizes(session, "learn_done");
  session.resize(kNormal);
  press_button(session, "Keep");
  REQUIRE(reaches(session, Stage::kept));
  CHECK(page_text(session).contains("Kept: My device"));
  check_at_all_sizes(session, "learn_kept");
  CHECK(title(session) == "My device");
  press_button(session, "Close");
  session.press('L', juce::ModifierKeys::commandModifier);
  CHECK(title(session) == "My device");
  session.processor().library().user_folder().getChildFile("learned").deleteRecursively();
}

TEST_CASE("the Learn page warns of recordings that nothing can be learned from, and says the likely cause") {
  Session session;
  session.processor().learn_settings() = quick();
  session.press('L', juce::ModifierKeys::commandModifier);
  session.send(0.1);
  press_button(session, "Learn");
  session.send(6, false);
  wait_ms(400);
  CHECK(page_text(session).contains("the return is silent"));
  session.picture("learn_warning");
  press_button(session, "Stop recording");
  REQUIRE(reaches(session, Stage::failed));
  check_at_all_sizes(session, "learn_failed");
}

TEST_CASE("a capture of another program that is dropped is offered for conversion, which can be cancelled") {
  const std::string capture = COIL_CAPTURE_TESTS_DIR "/teachers/lstm.nam";
  Session session;
  session.load(overdrive());
  session.processor().learn_settings() = quick(20);
  on_message_thread([&] { session.editor().fileDragEnter({juce::String(capture)}, 10, 10); });
  session.picture("drop_capture");
  session.drop({juce::String(capture)});
  wait_ms(400);
  CHECK(page_text(session).contains("Convert lstm.nam?"));
  CHECK(page_text(session).contains("LSTM"));
  check_at_all_sizes(session, "convert_offer");
  press_button(session, "Cancel");
  CHECK(session.processor().learn_status().stage == Stage::idle);
  session.drop({juce::String(capture)});
  wait_ms(400);
  press_button(session, "Convert");
  CHECK(session.processor().learn_status().converts);
  session.picture("convert_playing");
  press_button(session, "Cancel");
  CHECK(session.processor().learn_status().stage == Stage::idle);
  CHECK(title(session) == "Green Overdrive");

  session.drop({juce::String(capture)});
  wait_ms(400);
  press_button(session, "Convert");
  for (int i = 0; i < 4000 && session.processor().learn_status().curve.empty(); ++i) wait_ms(5);
  wait_ms(200);
  check_at_all_sizes(session, "convert_learning");
  REQUIRE(reaches(session, Stage::kept));
  check_at_all_sizes(session, "convert_kept");
  CHECK(title(session) == "lstm");
  CHECK(session.processor().status(0).file.getFileName() == "lstm.safetensors");
  session.processor().library().user_folder().getChildFile("learned").deleteRecursively();
}

TEST_CASE("errors of ALSA and JACK are explained in plain words, with a remedy") {
  const auto alsa = [](const char* error) { return words_for({error, "ALSA", "Scarlett 2i2", true}); };
  CHECK(alsa("Device or resource busy").startsWith("Scarlett 2i2 is in use by another program: close"));
  CHECK(alsa("No such device").startsWith("Scarlett 2i2 is not connected any more: "));
  CHECK(alsa("Permission denied").contains("group 'audio'"));
  CHECK(alsa("Invalid argument").contains("rate or size of blocks"));
  CHECK(alsa("Host is down").contains("sound server"));
  CHECK(alsa("Connection refused").endsWith("choose the card itself in the audio settings"));
  CHECK(alsa("Can't open the audio device!\n\nThis may be because").contains("close that program"));
  CHECK(words_for({"No such file or directory", "ALSA", "default", true})
            .startsWith("This computer has no default sound card: connect one"));
  CHECK(alsa("Level 2 not\nsynchronized") ==
        "Scarlett 2i2 cannot be opened (Level 2 not synchronized): choose another card in the audio settings");
  CHECK(alsa("") == "No sound card is open: choose one in the audio settings");
  CHECK(words_for({"", "ALSA", "", false}).startsWith("No sound card was found: "));
  CHECK(words_for({"Unable to connect to JACK server", "JACK", "", true}).startsWith("JACK is not running: start it"));
  CHECK(words_for({"", "JACK", "", false}).startsWith("JACK is not running: start it"));
  CHECK(words_for_dropouts(0).isEmpty());
  CHECK(words_for_dropouts(1).startsWith("1 dropout: "));
  CHECK(words_for_dropouts(3).startsWith("3 dropouts: "));
}

TEST_CASE("coil-live unmutes the input after one click, remembers that, and follows the window's size") {
  juce::PropertySet settings;
  std::unique_ptr<LiveWindow> window;
  const auto open = [&] {
    on_message_thread([&] {
      window = std::make_unique<LiveWindow>(settings, [] {});
      window->setVisible(true);
    });
    wait_ms(300);
  };
  const auto button = [&](const char* text) {
    juce::TextButton* found = nullptr;
    on_message_thread([&] { found = button_with(*window->getContentComponent(), text); });
    return found;
  };
  const auto look = [&](const char* name) {
    wait_ms(100);
    on_message_thread([&] {
      auto& content = *window->getContentComponent();
      check_layout(content);
      check_names(content);
      keep(content.createComponentSnapshot(content.getLocalBounds()), name);
    });
  };

  open();
  on_message_thread([&] { window->setContentComponentSize(theme::kWidth, theme::kHeight + LiveContent::kBarHeight); });
  look("live_muted");
  auto* unmute = button("Unmute");
  REQUIRE(unmute);
  on_message_thread([&] { unmute->onClick(); });
  wait_ms(300);
  CHECK_FALSE(settings.getBoolValue("shouldMuteInput", true));
  CHECK(button("Mute"));
  on_message_thread([&] { window->setSize(theme::kWidth + 100, theme::kHeight + 200); });
  look("live");
  on_message_thread(
      [&] { window->setBoundsConstrained(window->getBounds().withSize(100, 100)); });  // the smallest size
  look("live_small");
  int width = 0, height = 0;
  on_message_thread([&] {
    width = window->getContentComponent()->getWidth();
    height = window->getContentComponent()->getHeight();
    window.reset();
  });
  CHECK(width == theme::kMinWidth);
  CHECK(height == theme::kMinHeight + LiveContent::kBarHeight);
  open();
  CHECK(button("Mute"));
  on_message_thread([&] { window.reset(); });
}

// A sound card that does what the test says.
struct FakeCard {
  juce::String open_error, last_error;  // what opening it reports, and how it has stopped
};

class FakeDevice final : public juce::AudioIODevice {
 public:
  explicit FakeDevice(FakeCard& card) : juce::AudioIODevice("Scarlett 2i2", "Fake"), card_(card) {}

 private:
  juce::StringArray getOutputChannelNames() override { return {"1", "2"}; }
  juce::StringArray getInputChannelNames() override { return {"1", "2"}; }
  juce::Array<double> getAvailableSampleRates() override { return {48000.0}; }
  juce::Array<int> getAvailableBufferSizes() override { return {256}; }
  int getDefaultBufferSize() override { return 256; }
  juce::String open(const juce::BigInteger&, const juce::BigInteger&, double, int) override {
    open_ = card_.open_error.isEmpty();
    return card_.open_error;
  }
  void close() override { open_ = false; }
  bool isOpen() override { return open_; }
  void start(juce::AudioIODeviceCallback* callback) override {
    if (callback) callback->audioDeviceAboutToStart(this);
  }
  void stop() override {}
  bool isPlaying() override { return open_ && card_.last_error.isEmpty(); }
  juce::String getLastError() override { return card_.open_error + card_.last_error; }
  int getCurrentBufferSizeSamples() override { return 256; }
  double getCurrentSampleRate() override { return 48000; }
  int getCurrentBitDepth() override { return 24; }
  juce::BigInteger getActiveOutputChannels() const override { return juce::BigInteger(3); }
  juce::BigInteger getActiveInputChannels() const override { return juce::BigInteger(3); }
  int getOutputLatencyInSamples() override { return 0; }
  int getInputLatencyInSamples() override { return 0; }

  FakeCard& card_;
  bool open_ = false;
};

class FakeCards final : public juce::AudioIODeviceType {
 public:
  explicit FakeCards(FakeCard& card) : juce::AudioIODeviceType("Fake"), card_(card) {}

 private:
  void scanForDevices() override {}
  juce::StringArray getDeviceNames(bool) const override { return {"Scarlett 2i2"}; }
  int getDefaultDeviceIndex(bool) const override { return 0; }
  int getIndexOfDevice(juce::AudioIODevice*, bool) const override { return 0; }
  bool hasSeparateInputsAndOutputs() const override { return false; }
  juce::AudioIODevice* createDevice(const juce::String&, const juce::String&) override { return new FakeDevice(card_); }

  FakeCard& card_;
};

TEST_CASE("the bar of coil-live says why a card does not open, has stopped, or is muted, and what to do") {
  juce::PropertySet settings;
  FakeCard card;
  std::unique_ptr<juce::StandalonePluginHolder> holder;
  std::unique_ptr<LiveContent> content;
  DeviceBar* bar = nullptr;
  const auto says = [&](const juce::String& start) {
    juce::String text;
    const bool did = wait_for([&] {
      on_message_thread([&] { text = bar->text(); });
      return text.startsWith(start);
    });
    INFO("the bar says: " << text);
    CHECK(did);
  };
  on_message_thread([&] {
    card.open_error = "Device or resource busy";
    holder = std::make_unique<juce::StandalonePluginHolder>(&settings, false);
    holder->deviceManager.addAudioDeviceType(std::make_unique<FakeCards>(card));
    holder->deviceManager.setCurrentAudioDeviceType("Fake", true);
    content = std::make_unique<LiveContent>(*holder);
    content->setSize(theme::kWidth, theme::kHeight + LiveContent::kBarHeight);
    bar = find<DeviceBar>(*content, "Sound card");
  });
  REQUIRE(bar);
  const auto picture = [&](const char* name) {
    on_message_thread([&] {
      check_layout(*content);
      keep(content->createComponentSnapshot(content->getLocalBounds()), name);
    });
  };
  says("Scarlett 2i2 is in use by another program: close that program");
  picture("live_busy");
  const auto reopen = [&] {
    on_message_thread([&] {
      auto setup = holder->deviceManager.getAudioDeviceSetup();
      setup.outputDeviceName = setup.inputDeviceName = "Scarlett 2i2";
      holder->deviceManager.setAudioDeviceSetup(setup, true);
    });
  };
  card.open_error.clear();
  reopen();
  says("The input is muted: press Unmute to play.");
  picture("live_first_start");
  on_message_thread([&] { button_with(*bar, "Unmute")->onClick(); });
  says("Scarlett 2i2, 48 kHz, blocks of 256 (5.3 ms)");
  card.last_error = "No such device";  // unplugged
  says("Scarlett 2i2 is not connected any more: connect it");
  card.last_error.clear();
  reopen();
  says("Scarlett 2i2, 48 kHz");
  on_message_thread([&] {
    content.reset();
    holder.reset();
  });
}

// Sends random events to the window, as a user who plays with everything would.
class RandomUser {
 public:
  RandomUser(Session& session, unsigned seed) : session_(session), random_(seed) {}

  void act() {
    const int kind = below(20);
    if (kind < 7) return click(juce::ModifierKeys::leftButtonModifier);
    if (kind < 9) return click(juce::ModifierKeys::rightButtonModifier);
    if (kind < 12) return drag();
    if (kind < 13) return turn_wheel();
    if (kind < 18) return press_key();
    if (kind < 19) return choose_from_menu();
    play();
  }

 private:
  int below(int n) { return std::uniform_int_distribution<int>(0, n - 1)(random_); }
  juce::Point<float> somewhere() {
    return {static_cast<float>(below(session_.editor().getWidth())),
            static_cast<float>(below(session_.editor().getHeight()))};
  }

  void send(juce::Point<float> at, int modifiers) {
    on_message_thread([&] {
      if (auto* peer = session_.editor().getPeer())
        peer->handleMouseEvent(juce::MouseInputSource::InputSourceType::mouse, at, juce::ModifierKeys(modifiers), 0, 0,
                               juce::Time::currentTimeMillis());
    });
  }
  void click(int button) {
    const auto at = somewhere();
    send(at, 0);
    send(at, button);
    send(at, 0);
  }
  void drag() {
    send(somewhere(), 0);
    for (int i = 0; i < 4; ++i) send(somewhere(), juce::ModifierKeys::leftButtonModifier);
    send(somewhere(), 0);
  }
  void turn_wheel() {
    juce::MouseWheelDetails wheel{};
    wheel.deltaY = below(2) ? 0.3f : -0.3f;
    const auto at = somewhere();
    on_message_thread([&] {
      session_.editor().getPeer()->handleMouseWheel(juce::MouseInputSource::InputSourceType::mouse, at,
                                                    juce::Time::currentTimeMillis(), wheel);
    });
  }

  // All shortcuts but Ctrl+O, which opens the system's own dialog.
  void press_key() {
    using Key = juce::KeyPress;
    const int keys[] = {Key::tabKey,
                        Key::returnKey,
                        Key::spaceKey,
                        Key::escapeKey,
                        Key::upKey,
                        Key::downKey,
                        Key::leftKey,
                        Key::rightKey,
                        Key::deleteKey,
                        Key::insertKey,
                        Key::homeKey,
                        Key::endKey,
                        Key::pageUpKey,
                        Key::F10Key,
                        '1',
                        '2',
                        'B',
                        'D',
                        'E',
                        'F',
                        'I',
                        'L',
                        'M',
                        'S',
                        'T',
                        'Y',
                        'Z',
                        '7'};
    const int modifiers[] = {0,
                             0,
                             juce::ModifierKeys::commandModifier,
                             juce::ModifierKeys::commandModifier,
                             juce::ModifierKeys::shiftModifier,
                             juce::ModifierKeys::altModifier};
    const int key = keys[below(static_cast<int>(std::size(keys)))], with = modifiers[below(6)];
    on_message_thread([&] {
      const auto text = key < 128 && with == 0 ? static_cast<juce::juce_wchar>(key) : juce::juce_wchar(0);
      session_.editor().getPeer()->handleKeyPress(juce::KeyPress(key, juce::ModifierKeys(with), text));
    });
  }

  // Items that open another program are left out.
  void choose_from_menu() {
    on_message_thread([&] {
      auto& editor = session_.editor();
      const auto menu = below(3) == 0 ? editor.main_menu()
                        : below(2)    ? editor.add_menu()
                                      : editor.cabinet_menu(below(2));
      std::vector<std::function<void()>> actions;
      for (juce::PopupMenu::MenuItemIterator item(menu, true); item.next();)
        if (const auto& each = item.getItem(); each.action && each.isEnabled && !each.text.startsWith("Show ") &&
                                               !each.text.startsWith("Open ") && !each.text.startsWith("Choose "))
          actions.push_back(each.action);
      if (!actions.empty()) actions[static_cast<size_t>(below(static_cast<int>(actions.size())))]();
    });
  }
  void play() {
    auto& processor = session_.processor();
    juce::AudioBuffer<float> block(processor.getTotalNumInputChannels(), kBlock);
    juce::MidiBuffer midi;
    for (int i = 0; i < 20; ++i) {
      for (int channel = 0; channel < block.getNumChannels(); ++channel)
        for (int frame = 0; frame < kBlock; ++frame)
          block.setSample(channel, frame, 0.001f * static_cast<float>(below(400) - 200));
      processor.processBlock(block, midi);
    }
  }

  Session& session_;
  std::mt19937 random_;
};

TEST_CASE("after five hundred random clicks, drags and keys the window still works") {
  const char* given = std::getenv("COIL_SEED");
  const unsigned seed = given ? static_cast<unsigned>(std::atoi(given)) : 1;
  INFO("seed " << seed);
  Session session;
  session.processor().learn_settings() = quick();
  session.load(overdrive());
  RandomUser user(session, seed);
  for (int i = 0; i < 500; ++i) {
    user.act();
    if (i % 25 != 0) continue;
    INFO("after event " << i);
    on_message_thread([] { juce::PopupMenu::dismissAllActiveMenus(); });
    wait_ms(20);
    check_layout(session);
  }
  on_message_thread([&] {
    juce::PopupMenu::dismissAllActiveMenus();
    session.processor().discard_learned();
  });
  session.picture("after_random");
  auto& editor = session.editor();
  const auto open_pages = [&] {
    std::string names;
    on_message_thread([&] {
      for (auto* child : editor.getChildComponent(0)->getChildren())
        if (is_overlay(*child) && child->isVisible()) names += name_of(*child) + "; ";
    });
    return names;
  };
  for (int i = 0; i < 20 && !open_pages().empty(); ++i) session.press(juce::KeyPress::escapeKey);
  CHECK(open_pages() == "");
  for (int i = 0; i < 3; ++i) session.press(juce::KeyPress::escapeKey);  // messages
  auto& bypass = *session.processor().parameters().bypass;
  const bool before = bypass.get();
  session.press('B', juce::ModifierKeys::commandModifier);
  CHECK(bypass.get() != before);
  session.press('F', juce::ModifierKeys::commandModifier);
  CHECK(find<Browser>(editor, "Model browser")->isVisible());
  session.press(juce::KeyPress::escapeKey);
  session.drop({juce::String(overdrive().string())});
  CHECK(wait_for([&] {
    const auto status = session.processor().status(session.processor().active_slot());
    return status.kind == SlotStatus::Kind::playing && status.name == "Green Overdrive";
  }));
  session.processor().library().user_folder().getChildFile("presets").deleteRecursively();
  session.processor().library().user_folder().getChildFile("learned").deleteRecursively();
}

TEST_CASE("a window without changes costs almost nothing") {
  Session session;
  session.load(overdrive());
  session.play(2);
  wait_ms(4000);  // until meters and curves stand still
  const auto still = session.picture("still");
  const auto measure = [&](auto&& during) {
    const double before_s = thread_cpu_s();
    const auto begin = std::chrono::steady_clock::now();
    during();
    return (thread_cpu_s() - before_s) /
           std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  const double idle = measure([] { wait_ms(3000); });
  CHECK(same(still, session.picture("still")));
  const double busy = measure([&] { session.play(3); });
  double hidden = 0;
  on_message_thread([&] { session.editor().setVisible(false); });
  hidden = measure([&] { session.play(2); });
  WARN("share of one core that the window takes: still " << 100 * idle << " %, playing " << 100 * busy << " %, hidden "
                                                         << 100 * hidden << " %");
  CHECK(idle < 0.03);
  CHECK(hidden < 0.02);
}

}  // namespace
}  // namespace coil::plugin

int main(int argc, char** argv) {
  // The built factory presets, an empty user folder, no settings of this machine.
  const coil::test::TempDir home;
  setenv("XDG_DATA_HOME", home.path().c_str(), 1);
  setenv("XDG_CONFIG_HOME", home.path().c_str(), 1);
  setenv("HOME", home.path().c_str(), 1);

  Catch::Session session;
  session.cli(session.cli() |
              Catch::clara::Opt(coil::plugin::pictures_folder, "folder")["--pictures"]("keep the pictures there"));
  if (const int error = session.applyCommandLine(argc, argv)) return error;

  // A standalone program, not a plugin in a host: JUCE then tolerates an X server without a window manager.
  juce::JUCEApplicationBase::createInstance = []() -> juce::JUCEApplicationBase* { return nullptr; };
  const juce::ScopedJuceInitialiser_GUI juce;
  if (juce::Desktop::getInstance().getDisplays().displays.isEmpty()) {
    std::cerr << "editor_pictures: no display; run it under xvfb-run\n";
    return 1;
  }
  int result = 1;
  std::thread tests([&] {
    result = session.run();
    juce::MessageManager::getInstance()->stopDispatchLoop();
  });
  juce::MessageManager::getInstance()->runDispatchLoop();
  tests.join();
  return result;
}
