// Content, layout and keys of the browser.
#include "plugin/editor/browser.h"

#include <algorithm>

#include "plugin/editor/theme.h"

namespace coil::plugin {
namespace {

juce::String origin(const LibraryEntry& entry) {
  juce::String text = entry.factory ? "Factory" : "User";
  if (entry.is_preset) text << " preset";
  if (entry.folder.isNotEmpty()) text << ", " << entry.folder;
  return text;
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
  const int indent = place.folder.isEmpty() ? theme::kGap : 2 * theme::kGap;
  g.drawText(place.label, indent, 0, width - indent, height, juce::Justification::centredLeft);
}

void Browser::EntryList::paintListBoxItem(int row, juce::Graphics& g, int width, int height, bool selected) {
  if (row < 0 || row >= getNumRows()) return;
  const auto& entry = browser_.shown_[static_cast<size_t>(row)];
  if (selected) paint_selection(g, width, height, browser_.entry_list_.hasKeyboardFocus(true));
  auto area = juce::Rectangle<int>(width, height).reduced(theme::kGap, 4);
  g.setFont(theme::font(theme::kTextNormal, theme::Weight::strong));
  g.setColour(theme::kText);
  g.drawText(entry.name, area.removeFromTop(area.getHeight() / 2), juce::Justification::centredLeft);
  const auto& task = browser_.details_of(entry).task;
  g.setFont(theme::font(theme::kTextSmall));
  g.setColour(theme::kTextFaint);
  g.drawText(entry.is_preset || task.isEmpty() ? origin(entry) : origin(entry) + ", " + task, area,
             juce::Justification::centredLeft);
}

juce::String Browser::EntryList::getNameForRow(int row) {
  if (row < 0 || row >= getNumRows()) return {};
  const auto& entry = browser_.shown_[static_cast<size_t>(row)];
  return entry.name + ", " + origin(entry) + ", " + browser_.details_of(entry).task;
}

Browser::Browser(ModelLibrary& library) : library_(library) {
  setTitle("Model browser");
  setFocusContainerType(FocusContainerType::keyboardFocusContainer);
  search_.setTitle("Search models and presets");
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
  load_.setTooltip("Load into the slot that plays (Return)");
  load_.onClick = [this] { load_selected(); };
  theme::make_primary(load_);
  place_list_.setModel(&place_model_);
  place_list_.setTitle("Places");
  place_list_.setRowHeight(theme::kRow + 2);
  entry_list_.setModel(&entry_model_);
  entry_list_.setTitle("Models and presets");
  entry_list_.setRowHeight(theme::kListRow);
  name_.setFont(theme::font(theme::kTextLarge, theme::Weight::strong));
  task_.setFont(theme::font(theme::kTextSmall, theme::Weight::strong));
  task_.setColour(juce::Label::textColourId, theme::kCopper);
  description_.setFont(theme::font(theme::kTextNormal));
  description_.setColour(juce::Label::textColourId, theme::kTextSoft);
  description_.setJustificationType(juce::Justification::topLeft);
  for (auto* label : {&name_, &task_, &description_}) {
    label->setBorderSize({});
    label->setMinimumHorizontalScale(1);
  }
  for (juce::Component* child : std::initializer_list<juce::Component*>{
           &search_, &open_file_, &close_, &place_list_, &entry_list_, &name_, &task_, &description_, &load_})
    addAndMakeVisible(child);
}

Browser::~Browser() { search_.removeKeyListener(this); }

void Browser::open(const juce::File& playing) {
  library_.rescan();
  details_.clear();
  search_.setText({}, juce::dontSendNotification);
  fill_places();
  place_list_.selectRow(0);
  fill_entries();
  const auto found =
      std::find_if(shown_.begin(), shown_.end(), [&](const auto& entry) { return entry.file == playing; });
  if (found != shown_.end()) select(static_cast<int>(found - shown_.begin()));
  setVisible(true);
  if (isShowing()) search_.grabKeyboardFocus();
}

void Browser::fill_places() {
  const auto entries = library_.entries();
  places_ = {{Place::Kind::all, "", "All"}, {Place::Kind::recent, "", "Recent"}};
  const auto add = [&](Place::Kind kind, const juce::String& label, bool factory) {
    places_.push_back({kind, "", label});
    juce::StringArray folders;
    for (const auto& entry : entries)
      if (entry.factory == factory && entry.folder.isNotEmpty()) folders.addIfNotAlreadyThere(entry.folder);
    for (const auto& folder : folders) places_.push_back({kind, folder, folder});
  };
  add(Place::Kind::factory, "Factory", true);
  add(Place::Kind::user, "User", false);
  place_list_.updateContent();
}

void Browser::fill_entries() {
  const auto found = library_.search(search_.getText());
  const Place place =
      places_[static_cast<size_t>(juce::jlimit(0, static_cast<int>(places_.size()) - 1, place_list_.getSelectedRow()))];
  const auto here = [&](const LibraryEntry& entry) {
    if (place.kind == Place::Kind::all) return true;
    return entry.factory == (place.kind == Place::Kind::factory) &&
           (place.folder.isEmpty() || entry.folder == place.folder);
  };
  shown_.clear();
  if (place.kind == Place::Kind::recent) {
    for (const auto& file : library_.recent()) {
      const auto listed =
          std::find_if(found.begin(), found.end(), [&](const auto& entry) { return entry.file == file; });
      if (listed != found.end())
        shown_.push_back(*listed);
      else if (file.getFileName().containsIgnoreCase(search_.getText().trim()))
        shown_.push_back({file, file.getFileNameWithoutExtension(), "", false, file.hasFileExtension("coil")});
    }
  } else {
    std::copy_if(found.begin(), found.end(), std::back_inserter(shown_), here);
  }
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

const EntryDetails& Browser::details_of(const LibraryEntry& entry) {
  const auto path = entry.file.getFullPathName();
  if (const auto known = details_.find(path); known != details_.end()) return known->second;
  return details_[path] = describe(entry);
}

void Browser::show_details() {
  const int row = entry_list_.getSelectedRow();
  const bool any = row >= 0 && row < static_cast<int>(shown_.size());
  load_.setEnabled(any);
  for (auto* label : {&name_, &task_, &description_}) label->setText({}, juce::dontSendNotification);
  if (any) {
    const auto& entry = shown_[static_cast<size_t>(row)];
    const auto& details = details_of(entry);
    name_.setText(entry.name, juce::dontSendNotification);
    task_.setText(details.task, juce::dontSendNotification);
    description_.setText(details.description + "\n\n" + details.facts.joinIntoString("\n"), juce::dontSendNotification);
    description_.setTooltip(entry.file.getFullPathName());
  }
}

void Browser::load_selected() {
  const int row = entry_list_.getSelectedRow();
  if (row < 0 || row >= static_cast<int>(shown_.size())) return;
  const auto file = shown_[static_cast<size_t>(row)].file;
  on_load(file);
}

bool Browser::keyPressed(const juce::KeyPress& key) {
  if (key == juce::KeyPress::escapeKey) {
    on_close();
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
    const auto text = search_.isEmpty() ? "Nothing here yet." : "Nothing has this name.";
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
  top.removeFromRight(theme::kGap);
  search_.setBounds(top);
  search_icon_area_ = top.withWidth(kSearchHeight).reduced(theme::kGap);
  area.removeFromTop(theme::kGap);
  place_list_.setBounds(area.removeFromLeft(kPlacesWidth));
  area.removeFromLeft(theme::kGap);
  details_area_ = area.removeFromRight(std::max(kMinDetails, area.getWidth() * 2 / 5));
  area.removeFromRight(theme::kGap);
  list_area_ = area;
  entry_list_.setBounds(area.reduced(theme::kGap / 2));
  auto details = details_area_.reduced(theme::kPad);
  load_.setBounds(details.removeFromBottom(theme::kButton + 2));
  details.removeFromBottom(theme::kGap);
  name_.setBounds(details.removeFromTop(kNameHeight));
  task_.setBounds(details.removeFromTop(kTaskHeight));
  details.removeFromTop(theme::kGap);
  description_.setBounds(details);
}

}  // namespace coil::plugin
