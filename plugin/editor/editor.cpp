// Layout, keys, menu and updates of the window.
#include "plugin/editor/editor.h"

#include <algorithm>
#include <cmath>

#include "capture/teachers/teacher.h"
#include "plugin/editor/menu_item.h"
#include "plugin/editor/midi_target.h"
#include "plugin/editor/theme.h"
#include "plugin/text.h"
#include "base/error.h"

namespace coil::plugin {
namespace {

constexpr int kTooltipDelayMs = 600, kTicksPerStatus = 6;
constexpr float kSaidForS = 8;

// Whether the name is that of another program's capture.
bool is_capture(const juce::String& path) { return capture::is_teacher_name(path.toStdString()); }

// Judged by the name; the content is checked when it loads.
bool is_loadable(const juce::String& path) {
  if (path.endsWithIgnoreCase(".safetensors") || path.endsWithIgnoreCase(kPresetExtension)) return true;
  if (is_capture(path) || path.endsWithIgnoreCase(kPackExtension)) return true;
  return juce::File::isAbsolutePath(path) && ModelLibrary::is_model_folder(juce::File(path));
}

// The first of several dropped files that can be a model or preset; else the first impulse response; else the first
// file.
juce::String chosen_of(const juce::StringArray& files) {
  for (const auto is_one : {is_loadable, is_response_name})
    if (const auto found = std::find_if(files.begin(), files.end(), is_one); found != files.end()) return *found;
  return files[0];
}

juce::String file_name(const juce::String& path) {
  return juce::File::createFileWithoutCheckingPath(path).getFileName();
}

// A shorter error for the message bar: "/music/amps/take.wav: is a WAV file" becomes "take.wav is a WAV file".
juce::String short_form(const juce::String& error) {
  const int end = error.indexOf(": ");
  const juce::String path = error.substring(0, std::max(0, end));
  if (!juce::File::isAbsolutePath(path)) return capitalised(error);
  const juce::String rest = error.substring(end + 2);
  const juce::StringArray verbs{"is ", "has ", "cannot ", "holds ", "needs "};
  const bool sentence =
      std::any_of(verbs.begin(), verbs.end(), [&](const juce::String& verb) { return rest.startsWith(verb); });
  return file_name(path) + (sentence ? " " : ": ") + rest;
}

}  // namespace

Editor::Editor(Processor& processor)
    : juce::AudioProcessorEditor(processor),
      processor_(processor),
      header_(processor),
      input_(processor.parameters(), processor.meters()),
      output_(processor.parameters(), processor.meters()),
      stage_row_(processor.parameters()),
      memory_(processor),
      spectrum_(processor.tap()),
      controls_(processor.parameters()),
      status_(processor),
      browser_(processor.library()),
      learn_page_(processor),
      cabinet_page_(processor),
      stage_page_(processor.parameters()),
      level_page_(processor),
      tuner_page_(processor),
      pack_page_(processor.library()),
      tooltips_(nullptr, kTooltipDelayMs) {
  setLookAndFeel(&*look_and_feel_);
  setTitle("Coil");
  setDescription("Plays trained models. Ctrl+F browses models and presets, Ctrl+O opens a file");
  setWantsKeyboardFocus(true);
  setFocusContainerType(FocusContainerType::keyboardFocusContainer);
  setOpaque(true);

  content_.setInterceptsMouseClicks(false, true);
  content_.setFocusContainerType(FocusContainerType::none);
  addAndMakeVisible(content_);
  using Components = std::initializer_list<juce::Component*>;
  for (auto* part :
       Components{&header_, &stage_row_, &input_, &memory_, &spectrum_, &controls_, &notice_, &output_, &status_})
    content_.addAndMakeVisible(part);
  content_.addChildComponent(message_);
  for (auto* overlay : Components{&stage_page_, &cabinet_page_, &browser_, &learn_page_, &level_page_, &tuner_page_,
                                  &pack_page_, &save_panel_, &drop_overlay_})
    content_.addChildComponent(overlay);

  connect_parts();
  processor_.addChangeListener(this);
  juce::Desktop::getInstance().addFocusChangeListener(this);
  update();
  setResizable(true, true);
  setResizeLimits(theme::kMinWidth, theme::kMinHeight, theme::kMaxWidth, theme::kMaxHeight);
  const auto size = settings_.size();
  setSize(size.getWidth(), size.getHeight());
}

void Editor::connect_parts() {
  header_.on_browse = [this] { browser_.isVisible() ? close_browser() : open_browser(); };
  header_.on_menu = [this] { show_menu(main_menu(), header_.menu_button()); };
  notice_.on_browse = [this] { open_browser(); };
  notice_.on_open = [this] { open_file_dialog(); };
  browser_.on_close = [this] { close_browser(); };
  browser_.on_open_file = [this] { open_file_dialog(); };
  browser_.on_load = [this](const juce::File& file) { load(file); };
  browser_.on_add = [this](const juce::File& file) { add_to_chain(file); };
  browser_.on_load_second_microphone = [this](const juce::File& file) { load_response(1, file); };
  browser_.on_licence = [this](const juce::File& pack) { pack_page_.open(pack); };
  browser_.on_menu = [this](juce::PopupMenu menu, juce::Rectangle<int> area) { show_menu(std::move(menu), area); };
  browser_.on_audition = [this](const juce::File& file) { processor_.audition(file); };
  browser_.on_auditions = [this](bool on) {
    settings_.keep_auditions(on);
    if (!on) processor_.cancel_audition();
  };
  browser_.on_add_folder = [this] { choose_folder(); };
  browser_.set_auditions(settings_.auditions());
  header_.on_snapshot = [this](int number) { press_snapshot(number); };
  content_.addMouseListener(this, true);
  learn_page_.on_close = [this] { close_learn_page(); };
  header_.on_cabinet = [this] { cabinet_page_.isVisible() ? close_cabinet_page() : open_cabinet_page(); };
  cabinet_page_.on_close = [this] { close_cabinet_page(); };
  connect_stages();
  header_.on_tuner = [this] { switch_tuner(!tuner_page_.isVisible()); };
  tuner_page_.on_close = [this] { switch_tuner(false); };
  level_page_.on_close = [this] { close_level_page(); };
  cabinet_page_.on_choose = [this](int microphone, juce::Component& from) {
    show_menu(cabinet_menu(microphone), from);
  };
  cabinet_page_.on_load = [this](int microphone, const juce::File& file) { load_response(microphone, file); };
  pack_page_.on_close = [this] { close_pack_page(); };
  pack_page_.on_browse = [this] {
    close_pack_page();
    open_browser();
  };
  pack_page_.on_problem = [this](const juce::String& problem) { say(MessageBar::Kind::error, short_form(problem)); };
  save_panel_.on_close = [this] { close_save_panel(); };
  message_.on_close = [this] { close_message(); };
  save_panel_.on_save = [this](const juce::String& name) { save_preset(name); };
}

Editor::~Editor() {
  stopTimer();
  content_.removeMouseListener(this);
  processor_.cancel_audition();
  processor_.stop_learning_midi();
  juce::Desktop::getInstance().removeFocusChangeListener(this);
  processor_.removeChangeListener(this);
  setLookAndFeel(nullptr);
}

void Editor::update() {
  header_.update();
  controls_.update();
  update_stages();
  if (cabinet_page_.isVisible()) cabinet_page_.update();
  if (level_page_.isVisible()) level_page_.update();
  const auto status = processor_.status(processor_.active_slot());
  playing_ = processor_.model(processor_.active_slot()) != nullptr;  // also while the next model loads
  if (!playing_) notice_.show(status, processor_.notice());
  notice_.setVisible(!playing_);
  controls_.setVisible(playing_);
  follow_midi_learning();
  show_problem();
  resized();
  status_.tick();
}

void Editor::changeListenerCallback(juce::ChangeBroadcaster*) { update(); }

juce::String Editor::problem() const {
  const int active = processor_.active_slot();
  const auto here = processor_.status(active), other = processor_.status(1 - active);
  if (here.load_error.isNotEmpty()) return here.load_error;
  for (int i = 0; i < kMicrophones; ++i) {
    const auto microphone = processor_.microphone(i);
    if (microphone.load_error.isNotEmpty()) return microphone.load_error;
    if (microphone.message.isNotEmpty()) return microphone.message;
  }
  if (const auto notice = processor_.notice(); notice.isNotEmpty() && playing_) return notice;
  const auto of_other = other.load_error.isNotEmpty() ? other.load_error : other.message;
  return of_other.isEmpty() ? of_other : "slot " + juce::String(active == 0 ? 2 : 1) + ": " + short_form(of_other);
}

void Editor::show_problem() {
  auto now = problem();
  if (now.isEmpty()) closed_problem_.clear();
  if (now == closed_problem_) now.clear();
  if (now == shown_problem_) return;
  shown_problem_ = now;
  if (now.isNotEmpty()) {
    said_for_s_ = 0;
    message_.show(MessageBar::Kind::error, short_form(now), now);
  } else if (said_for_s_ <= 0) {
    message_.hide();
  }
}

void Editor::say(MessageBar::Kind kind, const juce::String& text) {
  said_for_s_ = kSaidForS;
  message_.show(kind, text, text);
  resized();
}

void Editor::close_message() {
  if (shown_learning_.isNotEmpty()) return processor_.stop_learning_midi();
  closed_problem_ = std::exchange(shown_problem_, {});
  said_for_s_ = 0;
  message_.hide();
  processor_.dismiss_errors();
  resized();
}

void Editor::take_keyboard() {
  if (isShowing()) grabKeyboardFocus();
}

// The display can take the focus away for a moment; it then returns to where it was.
void Editor::take_keyboard_back() {
  if (last_focused_ && last_focused_->isShowing() && last_focused_->isEnabled()) last_focused_->grabKeyboardFocus();
  if (!hasKeyboardFocus(true)) take_keyboard();
}

// When the focused component disappears or is another window, the keyboard focus returns to this window.
void Editor::globalFocusChanged(juce::Component* focused) {
  if (focused && (focused == this || isParentOf(focused))) last_focused_ = focused;
  if (focused && !focused->isParentOf(this)) return;
  juce::MessageManager::callAsync([self = juce::Component::SafePointer<Editor>(this)] {
    const auto* now = juce::Component::getCurrentlyFocusedComponent();
    if (!self || (now && !now->isParentOf(self)) || self->isCurrentlyBlockedByAnotherModalComponent()) return;
    if (const auto* peer = self->getPeer(); peer && peer->isFocused()) self->take_keyboard_back();
  });
}

void Editor::visibilityChanged() {
  if (isShowing()) {
    last_tick_ms_ = juce::Time::getMillisecondCounter();
    startTimerHz(theme::kFramesPerSecond);
    keyboard_tries_ = theme::kFramesPerSecond;
  } else {
    stopTimer();
  }
}

void Editor::parentHierarchyChanged() { visibilityChanged(); }

void Editor::timerCallback() {
  if (!isShowing()) return;  // minimised
  const auto now_ms = juce::Time::getMillisecondCounter();
  const float seconds = static_cast<float>(now_ms - last_tick_ms_) / 1000;
  last_tick_ms_ = now_ms;
  input_.tick(seconds);
  output_.tick(seconds);
  if (learn_page_.isVisible()) learn_page_.tick(seconds);
  if (cabinet_page_.isVisible()) cabinet_page_.tick();
  if (level_page_.isVisible()) level_page_.tick(seconds);
  follow_tuner();
  if (tuner_page_.isVisible()) tuner_page_.tick(seconds);
  const bool covered = browser_.isVisible() || learn_page_.isVisible() || cabinet_page_.isVisible() ||
                       stage_page_.isVisible() || level_page_.isVisible() || tuner_page_.isVisible() ||
                       pack_page_.isVisible();
  if (memory_.isVisible() && !covered) {
    memory_.tick();
    spectrum_.tick(seconds);
  }
  if (++ticks_ % kTicksPerStatus == 0) {
    status_.tick();
    header_.tick();
  }
  // Shortcuts must work before the first click. Some hosts show their window a little later, so try repeatedly.
  if (keyboard_tries_ > 0) {
    if (!hasKeyboardFocus(true)) take_keyboard_back();
    keyboard_tries_ = hasKeyboardFocus(true) ? 0 : keyboard_tries_ - 1;
  }
  if (said_for_s_ > 0 && (said_for_s_ -= seconds) <= 0) {
    message_.hide();
    shown_problem_.clear();
    show_problem();
    resized();
  }
}

void Editor::load(const juce::File& file) {
  if (is_capture(file.getFullPathName())) return offer_conversion(file);
  if (file.hasFileExtension(kPackExtension)) return pack_page_.install(file);
  if (is_response_name(file.getFullPathName())) return load_response(0, file);
  processor_.load_file(processor_.active_slot(), file);
  close_browser();
}

// Loading a cabinet also switches it on.
void Editor::load_response(int microphone, const juce::File& file) {
  processor_.load_response(microphone, file);
  close_browser();
  auto* on = processor_.parameters().cabinet_on;
  if (on->get()) return;
  on->beginChangeGesture();
  on->setValueNotifyingHost(1);
  on->endChangeGesture();
}

juce::PopupMenu Editor::cabinet_menu(int microphone) {
  juce::PopupMenu menu;
  const auto playing = processor_.microphone(microphone).file;
  const auto add = [&](const juce::String& heading, bool factory) {
    bool first = true;
    for (const auto& entry : processor_.library().cabinets()) {
      if (entry.factory != factory) continue;
      if (std::exchange(first, false)) menu.addSectionHeader(heading);
      menu.addItem(entry.name, true, entry.file == playing,
                   [this, microphone, file = entry.file] { load_response(microphone, file); });
    }
  };
  add("Simulated cabinets", true);
  add("Your cabinets", false);
  menu.addSeparator();
  menu.addItem("Open a file", [this, microphone] { choose_response(microphone); });
  return menu;
}

void Editor::choose_response(int microphone) {
  const auto beside = processor_.microphone(microphone).file.getParentDirectory();
  file_chooser_ = std::make_unique<juce::FileChooser>(
      "Open an impulse response", beside.isDirectory() ? beside : processor_.library().user_folder(),
      "*.wav;*.aif;*.aiff;*.flac");
  constexpr int kFlags = juce::FileBrowserComponent::openMode | juce::FileBrowserComponent::canSelectFiles;
  file_chooser_->launchAsync(kFlags, [this, microphone](const juce::FileChooser& chooser) {
    if (const auto file = chooser.getResult(); file != juce::File()) load_response(microphone, file);
    take_keyboard();
  });
}

void Editor::choose_folder() {
  file_chooser_ =
      std::make_unique<juce::FileChooser>("Add a folder to the library", processor_.library().user_folder());
  constexpr int kFlags = juce::FileBrowserComponent::openMode | juce::FileBrowserComponent::canSelectDirectories;
  file_chooser_->launchAsync(kFlags, [this](const juce::FileChooser& chooser) {
    try {
      if (const auto folder = chooser.getResult(); folder != juce::File()) browser_.add_folder(folder);
    } catch (const Error& error) {
      say(MessageBar::Kind::error, from_utf8(error.what()));
    }
    take_keyboard();
  });
}

void Editor::press_snapshot(int number) {
  if (processor_.snapshots().filled[static_cast<size_t>(number - 1)]) return processor_.recall_snapshot(number);
  processor_.store_snapshot(number);
  say(MessageBar::Kind::done, "Stored the sound as snapshot " + snapshot_letter(number));
}

juce::String Editor::name_of_target(const juce::String& midi_target) const {
  constexpr int kLongestName = 64;
  for (const auto* parameter : processor_.getParameters())
    if (const auto* named = dynamic_cast<const juce::AudioProcessorParameterWithID*>(parameter);
        named && named->paramID == midi_target)
      return parameter->getName(kLongestName);
  return midi_target.replaceCharacter('_', ' ').substring(0, midi_target.length() - 1) +
         midi_target.getLastCharacters(1).toUpperCase();
}

juce::PopupMenu Editor::target_menu(const juce::String& midi_target) {
  juce::PopupMenu menu;
  const std::string target = midi_target.toStdString();
  for (int number = 1; number <= kSnapshots; ++number) {
    if (midi_target != "snapshot_" + snapshot_letter(number).toLowerCase()) continue;
    const bool filled = processor_.snapshots().filled[static_cast<size_t>(number - 1)];
    menu.addItem(filled ? "Replace by the sound of now" : "Store the sound of now", [this, number] {
      processor_.store_snapshot(number);
      say(MessageBar::Kind::done, "Stored the sound as snapshot " + snapshot_letter(number));
    });
    menu.addItem("Clear", filled, false, [this, number] { processor_.clear_snapshot(number); });
    menu.addSeparator();
  }
  menu.addItem("Learn MIDI", [this, target] { processor_.learn_midi(target); });
  if (const auto source = processor_.midi_setup().source_of(target))
    menu.addItem("Forget " + to_text(*source), [this, target] { processor_.forget_midi(target); });
  return menu;
}

void Editor::show_target_menu(juce::Component* component) {
  if (component) show_menu(target_menu(midi_target(*component)), *component);
}

void Editor::mouseDown(const juce::MouseEvent& event) {
  if (event.mods.isPopupMenu()) show_target_menu(with_midi_target(event.originalComponent));
}

void Editor::follow_midi_learning() {
  constexpr float kUntilItComes = 1e6f;
  const juce::String now = processor_.midi_learns();
  if (now == shown_learning_) return;
  const juce::String before = std::exchange(shown_learning_, now);
  if (now.isNotEmpty()) {
    say(MessageBar::Kind::warning, "Waiting for MIDI: move the controller for " + name_of_target(now) +
                                       (now.startsWith("snapshot") ? ", or play a note" : "") + " (Escape cancels)");
    said_for_s_ = kUntilItComes;
  } else if (const auto source = processor_.midi_setup().source_of(before.toStdString())) {
    say(MessageBar::Kind::done, name_of_target(before) + " follows " + to_text(*source));
  } else {
    said_for_s_ = 0;
    message_.hide();
  }
}

// If the file turns out not to be a capture, it is reported like any file that does not load.
void Editor::offer_conversion(const juce::File& file) {
  close_browser();
  processor_.describe_capture(file, [self = juce::Component::SafePointer<Editor>(this), file](
                                        const juce::String& text, Processor::CaptureFile kind) {
    if (!self) return;
    if (kind == Processor::CaptureFile::capture) {
      self->learn_page_.offer(file, text);
      self->learn_page_.toFront(false);
    } else if (kind == Processor::CaptureFile::other) {
      self->processor_.load_file(self->processor_.active_slot(), file);
    } else {
      self->say(MessageBar::Kind::error, text);
    }
  });
}

void Editor::close_pages() {
  if (browser_.isVisible()) close_browser();
  if (learn_page_.isVisible()) close_learn_page();
  if (cabinet_page_.isVisible()) close_cabinet_page();
  if (level_page_.isVisible()) close_level_page();
  if (stage_page_.isVisible()) close_stage_page();
  if (pack_page_.isVisible()) close_pack_page();
}

void Editor::close_pack_page() {
  pack_page_.setVisible(false);
  if (browser_.isVisible())
    browser_.take_keyboard();
  else
    take_keyboard();
}

void Editor::open_level_page() {
  close_pages();
  level_page_.update();
  level_page_.setVisible(true);
  level_page_.toFront(false);
}

void Editor::close_level_page() {
  level_page_.setVisible(false);
  take_keyboard();
}

void Editor::switch_tuner(bool on) {
  auto* tuner = processor_.parameters().tuner;
  tuner->beginChangeGesture();
  tuner->setValueNotifyingHost(on ? 1.0f : 0.0f);
  tuner->endChangeGesture();
  follow_tuner();
}

// The host can switch it as well, for example with a foot switch.
void Editor::follow_tuner() {
  const bool on = processor_.parameters().tuner->get();
  if (on == tuner_page_.isVisible()) return;
  header_.show_tuner(on);
  tuner_page_.setVisible(on);
  if (on)
    tuner_page_.toFront(false);
  else
    take_keyboard();
}

void Editor::open_cabinet_page(int stage) {
  close_pages();
  open_stage_ = stage;
  stage_row_.show_open(stage);
  cabinet_page_.setVisible(true);
  cabinet_page_.update();
  cabinet_page_.toFront(false);
}

void Editor::close_cabinet_page() {
  cabinet_page_.setVisible(false);
  open_stage_ = dsp::kModelsStage;
  stage_row_.show_open(open_stage_);
  take_keyboard();
}

void Editor::open_learn_page() {
  close_pages();
  learn_page_.open();
  learn_page_.toFront(false);
}

void Editor::close_learn_page() {
  learn_page_.close();
  take_keyboard();
}

void Editor::open_browser() {
  close_pages();
  browser_.open(processor_.status(processor_.active_slot()).file);
  browser_.toFront(false);
}

void Editor::close_browser() {
  browser_.setVisible(false);
  pack_page_.setVisible(false);  // above the browser, whose entry's licence it shows
  processor_.cancel_audition();  // without effect once it was kept
  take_keyboard();
}

void Editor::open_save_panel() {
  save_panel_.open(processor_.status(processor_.active_slot()).name);
  save_panel_.toFront(false);
}

void Editor::close_save_panel() {
  save_panel_.setVisible(false);
  take_keyboard();
}

void Editor::save_preset(const juce::String& name) {
  try {
    const bool replaces = processor_.preset_file(name).exists();
    const juce::File file = processor_.save_preset(name);
    close_save_panel();
    say(MessageBar::Kind::done, (replaces ? "Saved over the preset '" : "Saved as the preset '") +
                                    file.getFileNameWithoutExtension() + "' in " +
                                    file.getParentDirectory().getFullPathName());
  } catch (const Error& error) {
    save_panel_.show_error(from_utf8(error.what()));
  }
}

void Editor::open_file_dialog() {
  const auto beside = processor_.status(processor_.active_slot()).file.getParentDirectory();
  file_chooser_ = std::make_unique<juce::FileChooser>(
      "Open a model, a preset, an impulse response or a pack",
      beside.isDirectory() ? beside : processor_.library().user_folder(),
      juce::String("*.safetensors;*.nam;*.aidax;*.json;*.wav;*.aif;*.aiff;*.flac;*.zip;*") + kPresetExtension);
  constexpr int kFlags = juce::FileBrowserComponent::openMode | juce::FileBrowserComponent::canSelectFiles;
  file_chooser_->launchAsync(kFlags, [this](const juce::FileChooser& chooser) {
    if (const auto file = chooser.getResult(); file != juce::File()) load(file);
    take_keyboard();
  });
}

juce::PopupMenu Editor::main_menu() {
  const int slot = processor_.active_slot();
  const bool playing = processor_.model(slot) != nullptr;
  juce::PopupMenu menu;
  menu.addItem(menu_item("Browse models", "Ctrl+F", true, [this] { open_browser(); }));
  menu.addItem(menu_item("Open file", "Ctrl+O", true, [this] { open_file_dialog(); }));
  menu.addItem(menu_item("Learn a device", "Ctrl+L", true, [this] { open_learn_page(); }));
  menu.addItem(menu_item("Cabinet and equaliser", "Ctrl+E", true, [this] { open_cabinet_page(); }));
  menu.addItem(menu_item("Tuner", "Ctrl+T", true, [this] { switch_tuner(true); }));
  menu.addItem(menu_item("Input level", "Ctrl+I", true, [this] { open_level_page(); }));
  juce::PopupMenu recent;
  for (const auto& file : processor_.library().recent())
    recent.addItem(
        menu_item(file.getFileNameWithoutExtension(), file.getFileExtension(), true, [this, file] { load(file); }));
  menu.addSubMenu("Recent", recent, recent.containsAnyActiveItems());
  juce::PopupMenu packs;
  for (const auto& pack : processor_.library().packs())
    packs.addItem(menu_item(pack.getFileName(), "licence", true, [this, pack] {
      close_pages();
      pack_page_.open(pack);
    }));
  menu.addSubMenu("Installed packs", packs, packs.containsAnyActiveItems());
  menu.addSeparator();
  menu.addItem(menu_item("Save preset", "Ctrl+S", playing, [this] { open_save_panel(); }));
  menu.addItem(menu_item("Copy to the other slot", "", playing, [this] { processor_.copy_to_other_slot(); }));
  menu.addItem(menu_item("Empty this slot", "", processor_.status(slot).kind != SlotStatus::Kind::empty,
                         [this, slot] { processor_.clear(slot); }));
  menu.addSeparator();
  juce::PopupMenu rates;
  const auto rate_mode = [&](const juce::String& name, const juce::String& note, dsp::RateMode mode) {
    auto entry = menu_item(name, note, true, [this, mode] { processor_.set_rate_mode(mode); });
    entry.isTicked = processor_.rate_mode() == mode;
    rates.addItem(entry);
  };
  rate_mode("As the model says", "", dsp::RateMode::model_default);
  rate_mode("Resample", "adds latency", dsp::RateMode::resample);
  rate_mode("Rescale its steps", "no latency", dsp::RateMode::prefer_steps);
  menu.addSubMenu("When the host's rate is another", rates);
  add_midi_menu(menu);
  juce::PopupMenu sizes;
  const auto size = [&](const juce::String& name, int width, int height) {
    const auto pixels = juce::String(width) + juce::String::fromUTF8(" \xc3\x97 ") + juce::String(height);
    sizes.addItem(menu_item(name, pixels, true, [this, width, height] { setSize(width, height); }));
  };
  size("Small", theme::kMinWidth, theme::kMinHeight);
  size("Normal", theme::kWidth, theme::kHeight);
  size("Large", theme::kWidth * 3 / 2, theme::kHeight * 3 / 2);
  menu.addSubMenu("Window size", sizes);
  menu.addItem(menu_item("Show user presets on disk", "", true, [this] {
    processor_.library().preset_folder().createDirectory();
    processor_.library().preset_folder().revealToUser();
  }));
  return menu;
}

void Editor::add_midi_menu(juce::PopupMenu& menu) {
  juce::PopupMenu programs;
  const auto chosen = processor_.midi_setup().programs;
  const auto add = [&](const juce::String& name, MidiPrograms what) {
    programs.addItem(name, true, chosen == what, [this, what] { processor_.set_midi_programs(what); });
  };
  add("An entry of the library", MidiPrograms::library);
  add("A preset", MidiPrograms::presets);
  add("A snapshot", MidiPrograms::snapshots);
  menu.addSubMenu("MIDI program changes choose", programs);
}

bool Editor::keyPressed(const juce::KeyPress& key) {
  const auto mods = key.getModifiers();
  const auto is = [&](int code, juce::ModifierKeys wanted) {
    return key.isKeyCode(code) && mods.withoutMouseButtons() == wanted;
  };
  using Mods = juce::ModifierKeys;
  // The keys of panel and browser also work while the window itself has the focus.
  if (save_panel_.isVisible()) return (key == juce::KeyPress::escapeKey && (close_save_panel(), true));
  if (browser_.isVisible() && !pack_page_.isVisible() && browser_.handle_key(key)) return true;
  if (key == juce::KeyPress::escapeKey) {
    if (message_.isVisible()) return close_message(), true;
    if (pack_page_.isVisible()) return close_pack_page(), true;
    if (tuner_page_.isVisible()) return switch_tuner(false), true;
    if (learn_page_.isVisible()) return close_learn_page(), true;
    if (level_page_.isVisible()) return close_level_page(), true;
    if (cabinet_page_.isVisible()) return close_cabinet_page(), true;
    if (stage_page_.isVisible()) return close_stage_page(), true;
  }
  const Mods command(Mods::commandModifier), command_shift(Mods::commandModifier | Mods::shiftModifier),
      alt(Mods::altModifier);
  if (is('f', command) || is('F', command)) return browser_.isVisible() ? close_browser() : open_browser(), true;
  if (is('l', command) || is('L', command))
    return learn_page_.isVisible() ? close_learn_page() : open_learn_page(), true;
  if (is('e', command) || is('E', command))
    return cabinet_page_.isVisible() ? close_cabinet_page() : open_cabinet_page(), true;
  if (is('t', command) || is('T', command)) return switch_tuner(!tuner_page_.isVisible()), true;
  if (is('i', command) || is('I', command))
    return level_page_.isVisible() ? close_level_page() : open_level_page(), true;
  if (is('o', command) || is('O', command)) return open_file_dialog(), true;
  if (is('s', command) || is('S', command)) {
    if (processor_.model(processor_.active_slot())) open_save_panel();
    return true;
  }
  if (is('m', Mods()) || is('M', Mods())) {
    auto* target = with_midi_target(juce::Component::getCurrentlyFocusedComponent());
    return show_target_menu(target), target != nullptr;
  }
  if (is('z', command) || is('Z', command)) return processor_.undo(), true;
  if (is('z', command_shift) || is('Z', command_shift) || is('y', command) || is('Y', command))
    return processor_.redo(), true;
  if (is('b', command) || is('B', command)) {
    auto* bypass = processor_.parameters().bypass;
    bypass->beginChangeGesture();
    bypass->setValueNotifyingHost(bypass->get() ? 0.0f : 1.0f);
    bypass->endChangeGesture();
    return true;
  }
  if (is(juce::KeyPress::leftKey, alt)) return processor_.load_neighbour(-1), true;
  if (is(juce::KeyPress::rightKey, alt)) return processor_.load_neighbour(1), true;
  const Mods command_alt(Mods::commandModifier | Mods::altModifier);
  for (int number = 1; number <= kSnapshots; ++number) {
    if (is('0' + number, alt)) return press_snapshot(number), true;
    if (is('0' + number, command_alt)) return processor_.store_snapshot(number), true;
  }
  for (int slot = 0; slot < dsp::kSlots; ++slot)
    if (is('1' + slot, command)) return processor_.set_active_slot(slot), true;
  return false;
}

bool Editor::isInterestedInFileDrag(const juce::StringArray& files) { return !files.isEmpty(); }

void Editor::fileDragEnter(const juce::StringArray& files, int, int) {
  const auto path = chosen_of(files);
  const bool is_cabinet = !is_loadable(path) && is_response_name(path);
  const auto verb = is_capture(path) ? "convert" : path.endsWithIgnoreCase(kPackExtension) ? "install" : "load";
  drop_overlay_.show(file_name(path) + (is_cabinet ? " as the cabinet" : ""), verb, is_cabinet || is_loadable(path),
                     files.size() - 1);
  drop_overlay_.toFront(false);
}

void Editor::fileDragExit(const juce::StringArray&) { drop_overlay_.setVisible(false); }

void Editor::filesDropped(const juce::StringArray& files, int x, int y) {
  drop_overlay_.setVisible(false);
  const auto path = chosen_of(files);
  if (!juce::File::isAbsolutePath(path))
    return say(MessageBar::Kind::error, path + " is not a file on this computer: save it first, then drop the file");
  const juce::File file(path);
  const bool is_response = !is_loadable(path) && is_response_name(path);
  if (drop_on_stages(file, {x, y})) {
    close_pages();
  } else if (is_response && cabinet_page_.isVisible()) {
    load_response(cabinet_page_.microphone_at(cabinet_page_.getLocalPoint(this, juce::Point<int>(x, y))), file);
  } else {
    load(file);
  }
  if (files.size() == 1) return;
  juce::StringArray others;
  for (const auto& file : files)
    if (file != path) others.add(file_name(file));
  say(MessageBar::Kind::warning,
      "A slot takes one file: " + file_name(path) + " was taken, " + others.joinIntoString(", ") + " left out");
}

void Editor::paint(juce::Graphics& g) { g.fillAll(theme::kBackground); }

void Editor::resized() {
  const auto part = [](int length, int normal) { return static_cast<float>(length) / static_cast<float>(normal); };
  const float scale = juce::jlimit(1.0f, theme::kMaxScale,
                                   std::min(part(getWidth(), theme::kWidth), part(getHeight(), theme::kHeight)));
  content_.setTransform(juce::AffineTransform::scale(scale));
  const auto logical = [&](int length) { return static_cast<int>(std::ceil(static_cast<float>(length) / scale)); };
  content_.setBounds(0, 0, logical(getWidth()), logical(getHeight()));

  auto area = content_.getLocalBounds();
  drop_overlay_.setBounds(area);
  save_panel_.setBounds(area);
  header_.setBounds(area.removeFromTop(theme::kHeaderHeight));
  status_.setBounds(area.removeFromBottom(theme::kStatusHeight));
  if (const int height = message_.height(area.getWidth() - 2 * theme::kPad); height > 0) {
    message_.setBounds(area.removeFromTop(height).reduced(theme::kPad, 0));
    area.removeFromTop(theme::kGap);
  }
  for (juce::Component* page :
       std::initializer_list<juce::Component*>{&browser_, &learn_page_, &level_page_, &tuner_page_, &pack_page_})
    page->setBounds(area);
  stage_row_.set_low(content_.getHeight() < theme::kHeight * 4 / 5);
  stage_row_.setBounds(area.removeFromTop(stage_row_.height()).reduced(theme::kPad, 0));
  area.removeFromTop(theme::kGap);
  cabinet_page_.setBounds(area);
  stage_page_.setBounds(area);
  area.reduce(theme::kPad, 0);
  input_.setBounds(area.removeFromLeft(theme::kStripWidth));
  output_.setBounds(area.removeFromRight(theme::kStripWidth));
  area.reduce(theme::kGap, 0);
  notice_.setBounds(area);

  // Displays at the top, the model's knobs below with the height that they need. The coil is at most as wide as high;
  // the spectrum gets the remaining width.
  constexpr float kControls = 0.36f, kCoil = 0.5f;
  constexpr int kMinPictures = 96;
  const auto useful = controls_.useful_height(area.getWidth());
  const int wanted = useful.clipValue(juce::roundToInt(static_cast<float>(area.getHeight()) * kControls));
  pictures_have_room_ = area.getHeight() - wanted - theme::kGap >= kMinPictures;
  auto pictures = area.removeFromTop(pictures_have_room_ ? area.getHeight() - wanted - theme::kGap : 0);
  if (pictures_have_room_) area.removeFromTop(theme::kGap);
  controls_.setBounds(area);
  if (pictures.getHeight() > pictures.getWidth()) {
    memory_.setBounds(pictures.removeFromTop(juce::roundToInt(static_cast<float>(pictures.getHeight()) * kCoil)));
    pictures.removeFromTop(theme::kGap);
  } else {
    memory_.setBounds(pictures.removeFromLeft(
        std::min(pictures.getHeight(), juce::roundToInt(static_cast<float>(pictures.getWidth()) * kCoil))));
    pictures.removeFromLeft(theme::kGap);
  }
  spectrum_.setBounds(pictures);
  for (juce::Component* picture : std::initializer_list<juce::Component*>{&memory_, &spectrum_})
    picture->setVisible(playing_ && pictures_have_room_);

  if (isShowing()) settings_.keep_size(getWidth(), getHeight());
}

// Defined here, so that the processor does not depend on its window.
juce::AudioProcessorEditor* Processor::createEditor() { return new Editor(*this); }

}  // namespace coil::plugin
