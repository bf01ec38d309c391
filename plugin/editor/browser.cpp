// Content, layout and keys of the browser.
#include "plugin/editor/browser.h"

#include <algorithm>

#include "plugin/cabinet.h"
#include "plugin/editor/menu_item.h"
#include "plugin/editor/theme.h"
#include "plugin/text.h"

namespace coil::plugin {
namespace {

constexpr const char* kPackPlace = "packs/";
constexpr int kAuditionAfterMs = 120, kStarWidth = 30, kTagHeight = 20, kTagRows = 2;

juce::String origin(const LibraryEntry& entry) {
  juce::String text = entry.factory ? "Factory" : "User";
  if (entry.is_preset) text << " preset";
  if (entry.folder.isNotEmpty()) text << ", " << entry.folder;
  return text;
}

// The second line of an entry.
juce::String kind_of(const LibraryEntry& entry) {
  juce::StringArray others = entry.tags;
  others.removeString(entry.category, true);
  const juce::String tags = others.joinIntoString(", ");
  const juce::String kind = entry.is_preset || entry.category.isEmpty() ? origin(entry) : capitalised(entry.category);
  return tags.isEmpty() ? kind : kind + ": " + tags;
}

// A pack is one place, with all its folders; every other folder is a place of its own.
juce::String top_of(const juce::String& folder) {
  if (!folder.startsWith(kPackPlace)) return folder;
  return kPackPlace + folder.fromFirstOccurrenceOf(kPackPlace, false, false).upToFirstOccurrenceOf("/", false, false);
}

bool has_tags(const LibraryEntry& entry, const juce::StringArray& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& tag) { return entry.tags.contains(tag, true); });
}

void paint_selection(juce::Graphics& g, int width, int height, bool with_keyboard) {
  const auto area = juce::Rectangle<int>(width, height).toFloat().reduced(0, 1);
  g.setColour(theme::kHover);
  g.fillRoundedRectangle(area, theme::kCorner);
  if (with_keyboard) theme::draw_focus(g, area);
}

}  // namespace

void Browser::PlaceList::paintListBoxItem(int row, juce::Graphics& g, int width, int height, bool selected) {
  if (row < 0 || row >= getNumRows()) return;
  const auto& place = browser_.places_[static_cast<size_t>(row)];
  if (selected) paint_selection(g, width, height, browser_.place_list_.hasKeyboardFocus(true));
  g.setFont(theme::font(theme::kTextNormal));
  g.setColour(selected ? theme::kText : theme::kTextSoft);
  const bool is_folder = place.kind == Place::Kind::factory || place.kind == Place::Kind::user;
  const int indent = is_folder && place.name.isNotEmpty() ? 2 * theme::kGap : theme::kGap;
  g.drawText(place.label, indent, 0, width - indent, height, juce::Justification::centredLeft);
}

void Browser::EntryList::paintListBoxItem(int row, juce::Graphics& g, int width, int height, bool selected) {
  if (row < 0 || row >= getNumRows()) return;
  const auto& entry = browser_.shown_[static_cast<size_t>(row)];
  if (selected) paint_selection(g, width, height, browser_.entry_list_.hasKeyboardFocus(true));
  auto area = juce::Rectangle<int>(width, height).reduced(theme::kGap, 4);
  const auto star = area.removeFromRight(kStarWidth - theme::kGap).toFloat().withSizeKeepingCentre(15, 15);
  if (browser_.is_favourite(entry.file))
    fill_icon(g, Icon::star, star, theme::kCopper);
  else if (selected)
    draw_icon(g, Icon::star, star, theme::kTextFaint);
  g.setFont(theme::font(theme::kTextNormal, theme::Weight::strong));
  g.setColour(theme::kText);
  g.drawText(entry.name, area.removeFromTop(area.getHeight() / 2), juce::Justification::centredLeft);
  g.setFont(theme::font(theme::kTextSmall));
  g.setColour(theme::kTextFaint);
  g.drawText(kind_of(entry), area, juce::Justification::centredLeft);
}

juce::String Browser::EntryList::getNameForRow(int row) {
  if (row < 0 || row >= getNumRows()) return {};
  const auto& entry = browser_.shown_[static_cast<size_t>(row)];
  return entry.name + ", " + origin(entry) + ", " + kind_of(entry) +
         (browser_.is_favourite(entry.file) ? ", favourite" : "");
}

void Browser::EntryList::listBoxItemClicked(int row, const juce::MouseEvent& event) {
  if (event.mods.isPopupMenu()) return browser_.show_entry_menu();
  if (event.x > event.eventComponent->getWidth() - kStarWidth) browser_.turn_favourite(row);
}

Browser::Browser(ModelLibrary& library) : library_(library) {
  setTitle("Model browser");
  setFocusContainerType(FocusContainerType::keyboardFocusContainer);
  search_.setTitle("Search models, presets and cabinets");
  search_.setTextToShowWhenEmpty("Search", theme::kTextFaint);
  search_.setFont(theme::font(theme::kTextNormal));
  search_.setIndents(30, theme::kGap - 1);
  search_.setSelectAllWhenFocused(true);
  search_.addKeyListener(this);
  search_.onTextChange = [this] { fill_entries(); };
  search_.onReturnKey = [this] { load_selected(); };
  search_.onEscapeKey = [this] { on_close(); };
  open_file_.setTooltip("Open a model (.safetensors) or preset (.coil) from disk (Ctrl+O)");
  open_file_.onClick = [this] { on_open_file(); };
  close_.onClick = [this] { on_close(); };
  audition_.setClickingTogglesState(true);
  audition_.onClick = [this] {
    on_auditions(audition_.getToggleState());
    if (audition_.getToggleState() && selected()) on_audition(selected()->file);
  };
  add_folder_.onClick = [this] { on_add_folder(); };
  remove_folder_.setTooltip("Takes this folder off the library; its files stay where they are (Delete)");
  remove_folder_.onClick = [this] { remove_folder(); };
  favourite_.onClick = [this] { turn_favourite(entry_list_.getSelectedRow()); };
  load_.onClick = [this] { load_selected(); };
  add_.onClick = [this] { add_selected(); };
  licence_.setTooltip("Shows what the pack's maker allows");
  licence_.onClick = [this] { show_licence(); };
  theme::make_primary(load_);
  place_list_.setModel(&place_model_);
  place_list_.setTitle("Places");
  place_list_.setRowHeight(theme::kRow + 2);
  entry_list_.setModel(&entry_model_);
  entry_list_.setTitle("Models, presets and cabinets");
  entry_list_.setRowHeight(theme::kListRow);
  name_.setFont(theme::font(theme::kTextLarge, theme::Weight::strong));
  task_.setFont(theme::font(theme::kTextSmall, theme::Weight::strong));
  task_.setColour(juce::Label::textColourId, theme::kCopper);
  for (auto* label : {&name_, &task_}) {
    label->setBorderSize({});
    label->setMinimumHorizontalScale(0.7f);
  }
  description_.setTitle("Details");
  description_.setMultiLine(true);
  description_.setReadOnly(true);
  description_.setCaretVisible(false);
  description_.setFont(theme::font(theme::kTextNormal));
  description_.setIndents(0, 0);
  description_.setBorder({});
  description_.setColour(juce::TextEditor::textColourId, theme::kTextSoft);
  description_.setColour(juce::TextEditor::outlineColourId, juce::Colours::transparentBlack);
  description_.onEscapeKey = [this] { on_close(); };
  for (juce::Component* child :
       std::initializer_list<juce::Component*>{&search_, &audition_, &add_folder_, &open_file_, &close_, &place_list_,
                                               &entry_list_, &name_, &favourite_, &task_, &description_, &add_, &load_})
    addAndMakeVisible(child);
  addChildComponent(remove_folder_);
  addChildComponent(licence_);
}

Browser::~Browser() { search_.removeKeyListener(this); }

void Browser::open(const juce::File& playing) {
  library_.rescan();
  details_.clear();
  search_.setText({}, juce::dontSendNotification);
  const juce::ScopedValueSetter<bool> filling(filling_, true);
  fill_places();
  place_list_.selectRow(0);
  show_place();
  const auto found =
      std::find_if(shown_.begin(), shown_.end(), [&](const auto& entry) { return entry.file == playing; });
  if (found != shown_.end()) select(static_cast<int>(found - shown_.begin()));
  setVisible(true);
  take_keyboard();
}

void Browser::take_keyboard() {
  if (isShowing()) search_.grabKeyboardFocus();
}

void Browser::add_folder(const juce::File& folder) {
  library_.add_folder(folder);
  fill_places();
  for (size_t i = 0; i < places_.size(); ++i)
    if (places_[i].added == folder) place_list_.selectRow(static_cast<int>(i));
}

void Browser::remove_folder() {
  if (place().added == juce::File()) return;
  library_.remove_folder(place().added);
  fill_places();
  place_list_.selectRow(0);
  show_place();
}

void Browser::fill_places() {
  const auto entries = library_.everything();
  using Kind = Place::Kind;
  places_ = {{Kind::all, "", "All", {}}, {Kind::favourites, "", "Favourites", {}}, {Kind::recent, "", "Recent", {}}};
  juce::StringArray categories;
  for (const auto& entry : entries)
    if (entry.category.isNotEmpty()) categories.addIfNotAlreadyThere(entry.category, true);
  categories.sort(true);
  for (const auto& category : categories) places_.push_back({Kind::category, category, capitalised(category), {}});
  const auto add = [&](Kind kind, const juce::String& label, bool factory) {
    places_.push_back({kind, "", label, {}});
    juce::StringArray folders;
    for (const auto& entry : entries)
      if (entry.factory == factory && entry.folder.isNotEmpty()) folders.addIfNotAlreadyThere(top_of(entry.folder));
    const auto added = library_.added_folders();
    if (!factory)
      for (const auto& folder : added) folders.addIfNotAlreadyThere(folder.getFileName());  // also an empty one
    for (const auto& folder : folders) {
      const auto own = std::find_if(added.begin(), added.end(),
                                    [&](const auto& each) { return !factory && each.getFileName() == folder; });
      const auto label =
          folder.startsWith(kPackPlace) ? folder.fromFirstOccurrenceOf(kPackPlace, false, false) : folder;
      places_.push_back({kind, folder, label, own != added.end() ? *own : juce::File()});
    }
  };
  add(Kind::factory, "Factory", true);
  add(Kind::user, "User", false);
  place_list_.updateContent();
}

const Browser::Place& Browser::place() const {
  const int last = static_cast<int>(places_.size()) - 1;
  return places_[static_cast<size_t>(juce::jlimit(0, last, place_list_.getSelectedRow()))];
}

void Browser::show_place() {
  tags_.clear();
  remove_folder_.setVisible(place().added != juce::File());
  resized();
  fill_entries();
  fill_tags();
}

std::vector<LibraryEntry> Browser::entries_of(const Place& place) {
  using Kind = Place::Kind;
  const auto found = library_.search(search_.getText());
  std::vector<LibraryEntry> entries;
  if (place.kind == Kind::recent) {
    for (const auto& file : library_.recent()) {
      const auto listed =
          std::find_if(found.begin(), found.end(), [&](const auto& entry) { return entry.file == file; });
      if (listed != found.end())
        entries.push_back(*listed);
      else if (file.getFileName().containsIgnoreCase(search_.getText().trim()))
        entries.push_back({file,
                           file.getFileNameWithoutExtension(),
                           "",
                           false,
                           file.hasFileExtension("coil"),
                           {},
                           {},
                           is_response_name(file.getFileName())});
    }
    return entries;
  }
  std::copy_if(found.begin(), found.end(), std::back_inserter(entries), [&](const LibraryEntry& entry) {
    if (place.kind == Kind::all) return true;
    if (place.kind == Kind::favourites) return is_favourite(entry.file);
    if (place.kind == Kind::category) return entry.category.equalsIgnoreCase(place.name);
    return entry.factory == (place.kind == Kind::factory) &&
           (place.name.isEmpty() || entry.folder == place.name || entry.folder.startsWith(place.name + "/"));
  });
  return entries;
}

// The tags of what is listed, the most frequent first. A tag of all entries or of only one would filter nothing.
void Browser::fill_tags() {
  std::map<juce::String, int> counts;
  for (const auto& entry : shown_)
    for (const auto& tag : entry.tags) ++counts[tag];
  std::vector<std::pair<int, juce::String>> order;
  for (const auto& [tag, count] : counts)
    if (count > 1 && count < static_cast<int>(shown_.size())) order.emplace_back(-count, tag);
  std::sort(order.begin(), order.end());
  for (const auto& [count, tag] : order) {
    auto button = std::make_unique<juce::TextButton>(tag);
    button->setTitle("Tag " + tag);
    button->setTooltip("Lists only what has the tag " + tag);
    button->setClickingTogglesState(true);
    button->setMouseClickGrabsKeyboardFocus(false);
    button->onClick = [this] { fill_entries(); };
    addChildComponent(*button);
    tags_.push_back(std::move(button));
  }
  resized();
}

void Browser::fill_entries() {
  const juce::ScopedValueSetter<bool> filling(filling_, true);
  favourites_ = library_.favourites();
  juce::StringArray wanted;
  for (const auto& tag : tags_)
    if (tag->getToggleState()) wanted.add(tag->getButtonText());
  shown_ = entries_of(place());
  std::erase_if(shown_, [&](const LibraryEntry& entry) { return !has_tags(entry, wanted); });
  entry_list_.updateContent();
  entry_list_.deselectAllRows();
  select(0);
  show_details();
  repaint(list_area_);
}

void Browser::select(int row) {
  if (shown_.empty()) return;
  entry_list_.selectRow(juce::jlimit(0, static_cast<int>(shown_.size()) - 1, row));
}

const LibraryEntry* Browser::selected() const {
  const int row = entry_list_.getSelectedRow();
  return row >= 0 && row < static_cast<int>(shown_.size()) ? &shown_[static_cast<size_t>(row)] : nullptr;
}

void Browser::entry_selected() {
  show_details();
  if (!filling_ && audition_.getToggleState() && selected()) startTimer(kAuditionAfterMs);
}

void Browser::timerCallback() {
  stopTimer();
  if (isVisible() && selected()) on_audition(selected()->file);
}

bool Browser::is_favourite(const juce::File& file) const {
  return std::find(favourites_.begin(), favourites_.end(), file) != favourites_.end();
}

void Browser::turn_favourite(int row) {
  if (row < 0 || row >= static_cast<int>(shown_.size())) return;
  const auto file = shown_[static_cast<size_t>(row)].file;
  library_.set_favourite(file, !is_favourite(file));
  favourites_ = library_.favourites();
  if (place().kind == Place::Kind::favourites) fill_entries();
  show_details();
  entry_list_.repaint();
}

const EntryDetails& Browser::details_of(const LibraryEntry& entry) {
  const auto path = entry.file.getFullPathName();
  if (const auto known = details_.find(path); known != details_.end()) return known->second;
  return details_[path] = describe(entry);
}

void Browser::show_details() {
  const auto* entry = selected();
  load_.setEnabled(entry);
  load_.setTooltip(entry && entry->is_cabinet ? "Loads it into the first microphone of the cabinet (Return)"
                                              : "Loads it into the slot that plays (Return)");
  add_.setEnabled(entry && !entry->is_preset);
  add_.setTooltip(entry && entry->is_preset ? "A preset is a whole chain: it can only be loaded"
                                            : "Adds it as a stage behind the selected one (Ctrl+Return)");
  favourite_.setEnabled(entry);
  favourite_.setToggleState(entry && is_favourite(entry->file), juce::dontSendNotification);
  for (auto* label : {&name_, &task_}) label->setText({}, juce::dontSendNotification);
  description_.clear();
  const bool has_pack = entry && library_.pack_of(entry->file);
  if (licence_.isVisible() != has_pack) {
    licence_.setVisible(has_pack);
    resized();
  }
  if (!entry) return;
  const auto& details = details_of(*entry);
  name_.setText(entry->name, juce::dontSendNotification);
  task_.setText(details.task, juce::dontSendNotification);
  juce::StringArray facts = details.facts;
  if (const auto pack = library_.pack_of(entry->file)) facts.insert(0, "Pack: " + pack->getFileName());
  description_.setText(details.description + "\n\n" + facts.joinIntoString("\n"), false);
  description_.moveCaretToTop(false);
  description_.setTooltip(entry->file.getFullPathName());
}

void Browser::load_selected() {
  stopTimer();
  if (const auto* entry = selected()) {
    const auto file = entry->file;
    on_load(file);
  }
}

void Browser::add_selected() {
  stopTimer();
  if (const auto* entry = selected(); entry && !entry->is_preset) {
    const auto file = entry->file;
    on_add(file);
  }
}

void Browser::show_licence() {
  if (const auto* entry = selected())
    if (const auto pack = library_.pack_of(entry->file)) on_licence(*pack);
}

juce::PopupMenu Browser::entry_menu() {
  juce::PopupMenu menu;
  const auto* entry = selected();
  if (!entry) return menu;
  const auto item = [&](const juce::String& text, const juce::String& keys, bool enabled, std::function<void()> act) {
    menu.addItem(menu_item(text, keys, enabled, std::move(act)));
  };
  item("Load", "Return", true, [this] { load_selected(); });
  if (entry->is_cabinet)
    item("Load as the second microphone", "", true, [this, file = entry->file] { on_load_second_microphone(file); });
  item("Add to chain", "Ctrl+Return", !entry->is_preset, [this] { add_selected(); });
  menu.addSeparator();
  item(is_favourite(entry->file) ? "No favourite any more" : "Make it a favourite", "Ctrl+D", true,
       [this] { turn_favourite(entry_list_.getSelectedRow()); });
  if (library_.pack_of(entry->file)) item("Licence of the pack", "", true, [this] { show_licence(); });
  item("Show on disk", "", true, [file = entry->file] { file.revealToUser(); });
  return menu;
}

void Browser::show_entry_menu() {
  const int row = entry_list_.getSelectedRow();
  if (row < 0) return;
  on_menu(entry_menu(), entry_list_.localAreaToGlobal(entry_list_.getRowPosition(row, true)));
}

bool Browser::keyPressed(const juce::KeyPress& key) {
  if (key == juce::KeyPress::escapeKey) return on_close(), true;
  if (key == juce::KeyPress(juce::KeyPress::returnKey, juce::ModifierKeys::commandModifier, 0))
    return add_selected(), true;
  if (key == juce::KeyPress(juce::KeyPress::F10Key, juce::ModifierKeys::shiftModifier, 0))
    return show_entry_menu(), true;
  if (key.isKeyCode('d') || key.isKeyCode('D')) {
    if (!key.getModifiers().isCommandDown()) return false;
    turn_favourite(entry_list_.getSelectedRow());
    return true;
  }
  return false;
}

bool Browser::keyPressed(const juce::KeyPress& key, juce::Component*) {
  const int code = key.getKeyCode(), row = entry_list_.getSelectedRow(),
            page = std::max(1, entry_list_.getNumRowsOnScreen() - 1);
  if (code == juce::KeyPress::downKey) return select(row + 1), true;
  if (code == juce::KeyPress::upKey) return select(row - 1), true;
  if (code == juce::KeyPress::pageDownKey) return select(row + page), true;
  if (code == juce::KeyPress::pageUpKey) return select(row - page), true;
  return false;
}

void Browser::paint(juce::Graphics& g) {
  g.fillAll(theme::kBackground);
  theme::fill_panel(g, list_area_.toFloat());
  theme::fill_panel(g, details_area_.toFloat());
  if (shown_.empty()) {
    g.setFont(theme::font(theme::kTextNormal));
    g.setColour(theme::kTextFaint);
    const auto text = !search_.isEmpty()                        ? "Nothing has this name or tag."
                      : place().kind == Place::Kind::favourites ? "No favourites yet: click the star of an entry."
                                                                : "Nothing here yet.";
    g.drawFittedText(text, list_area_.reduced(theme::kPad), juce::Justification::centred, 2);
  }
}

void Browser::paintOverChildren(juce::Graphics& g) {
  draw_icon(g, Icon::search, search_icon_area_.toFloat(), theme::kTextFaint);
}

void Browser::resized() {
  constexpr int kPlacesWidth = 118, kSearchHeight = 30, kOpenWidth = 92, kMinDetails = 200, kNameHeight = 22,
                kTaskHeight = 18;
  auto area = getLocalBounds().reduced(theme::kPad, theme::kGap);
  auto top = area.removeFromTop(kSearchHeight);
  close_.setBounds(top.removeFromRight(kSearchHeight));
  top.removeFromRight(theme::kGap);
  open_file_.setBounds(top.removeFromRight(kOpenWidth));
  top.removeFromRight(theme::kGap / 2);
  add_folder_.setBounds(top.removeFromRight(kSearchHeight));
  audition_.setBounds(top.removeFromRight(kSearchHeight));
  top.removeFromRight(theme::kGap / 2);
  search_.setBounds(top);
  search_icon_area_ = top.withWidth(kSearchHeight).reduced(theme::kGap);
  area.removeFromTop(theme::kGap);
  auto places = area.removeFromLeft(kPlacesWidth);
  if (remove_folder_.isVisible()) remove_folder_.setBounds(places.removeFromBottom(theme::kRow));
  place_list_.setBounds(places);
  area.removeFromLeft(theme::kGap);
  details_area_ = area.removeFromRight(std::max(kMinDetails, area.getWidth() * 2 / 5));
  area.removeFromRight(theme::kGap);
  list_area_ = area;
  tags_area_ = area.reduced(theme::kGap, theme::kGap / 2 + 2);
  layout_tags();
  entry_list_.setBounds(area.reduced(theme::kGap / 2).withTop(tags_area_.getBottom() + theme::kGap / 2));
  auto details = details_area_.reduced(theme::kPad);
  auto buttons = details.removeFromBottom(theme::kButton + 2);
  add_.setBounds(buttons.removeFromLeft((buttons.getWidth() - theme::kGap) / 2));
  load_.setBounds(buttons.withTrimmedLeft(theme::kGap));
  details.removeFromBottom(theme::kGap);
  if (licence_.isVisible()) {
    licence_.setBounds(details.removeFromBottom(theme::kButton));
    details.removeFromBottom(theme::kGap);
  }
  auto head = details.removeFromTop(kNameHeight);
  favourite_.setBounds(head.removeFromRight(kNameHeight));
  name_.setBounds(head.withTrimmedRight(theme::kGap / 2));
  task_.setBounds(details.removeFromTop(kTaskHeight));
  details.removeFromTop(theme::kGap);
  description_.setBounds(details);
}

// Shows as many tags as fit into two rows.
void Browser::layout_tags() {
  const auto font = theme::font(theme::kTextSmall);
  auto row = tags_area_.withHeight(kTagHeight);
  int rows = tags_.empty() ? 0 : 1;
  for (auto& tag : tags_) {
    const int width = juce::roundToInt(font.getStringWidthFloat(tag->getButtonText())) + 2 * theme::kGap;
    if (width > row.getWidth() && rows < kTagRows) {
      ++rows;
      row = tags_area_.withY(row.getBottom() + theme::kGap / 2).withHeight(kTagHeight);
    }
    const bool fits = rows <= kTagRows && width <= row.getWidth();
    tag->setVisible(fits);
    if (!fits) continue;
    tag->setBounds(row.removeFromLeft(width));
    row.removeFromLeft(theme::kGap / 2);
  }
  tags_area_ = tags_area_.withHeight(rows > 0 ? row.getBottom() - tags_area_.getY() : 0);
}

}  // namespace coil::plugin
