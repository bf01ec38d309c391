// Chooses a model or preset: folders, search, list, and details of the selected entry.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include <map>
#include <vector>

#include "plugin/editor/entry_details.h"
#include "plugin/editor/icon_button.h"
#include "plugin/model_library.h"

namespace coil::plugin {

class Browser final : public juce::Component, private juce::KeyListener {
 public:
  explicit Browser(ModelLibrary& library);
  ~Browser() override;

  // Rescans the library, selects `playing` if it is listed, and takes the keyboard focus.
  void open(const juce::File& playing);

  std::function<void(const juce::File&)> on_load;
  std::function<void()> on_close, on_open_file;

 private:
  struct Place {
    enum class Kind { all, recent, factory, user } kind = Kind::all;
    juce::String folder;  // "": all folders
    juce::String label;
  };

  class PlaceList final : public juce::ListBoxModel {
   public:
    explicit PlaceList(Browser& browser) : browser_(browser) {}

   private:
    int getNumRows() override { return static_cast<int>(browser_.places_.size()); }
    void paintListBoxItem(int row, juce::Graphics& g, int width, int height, bool selected) override;
    juce::String getNameForRow(int row) override { return browser_.places_[static_cast<size_t>(row)].label; }
    void selectedRowsChanged(int) override { browser_.fill_entries(); }
    Browser& browser_;
  };

  class EntryList final : public juce::ListBoxModel {
   public:
    explicit EntryList(Browser& browser) : browser_(browser) {}

   private:
    int getNumRows() override { return static_cast<int>(browser_.shown_.size()); }
    void paintListBoxItem(int row, juce::Graphics& g, int width, int height, bool selected) override;
    juce::String getNameForRow(int row) override;
    void selectedRowsChanged(int) override { browser_.show_details(); }
    void returnKeyPressed(int) override { browser_.load_selected(); }
    void listBoxItemDoubleClicked(int, const juce::MouseEvent&) override { browser_.load_selected(); }
    Browser& browser_;
  };

  void paint(juce::Graphics& g) override;
  void paintOverChildren(juce::Graphics& g) override;
  void resized() override;
  bool keyPressed(const juce::KeyPress& key) override;
  bool keyPressed(const juce::KeyPress& key, juce::Component* from) override;  // from the search box

  void fill_places();
  void fill_entries();
  void show_details();
  void select(int row);
  void load_selected();
  const EntryDetails& details_of(const LibraryEntry& entry);

  ModelLibrary& library_;
  std::vector<Place> places_;
  std::vector<LibraryEntry> shown_;
  std::map<juce::String, EntryDetails> details_;  // by path

  juce::TextEditor search_;
  juce::TextButton open_file_{"Open file"}, load_{"Load"};
  IconButton close_{Icon::close, "Close the browser", "Close (Escape)"};
  PlaceList place_model_{*this};
  EntryList entry_model_{*this};
  juce::ListBox place_list_, entry_list_;
  juce::Label name_, task_, description_;
  juce::Rectangle<int> search_icon_area_, list_area_, details_area_;
};

}  // namespace coil::plugin
