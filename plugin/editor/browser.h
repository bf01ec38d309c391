// Chooses a model, preset or cabinet: places, tags, search, list, and details of the selected entry, which is heard at
// once.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include <map>
#include <memory>
#include <vector>

#include "plugin/editor/entry_details.h"
#include "plugin/editor/icon_button.h"
#include "plugin/model_library.h"

namespace coil::plugin {

class Browser final : public juce::Component, private juce::KeyListener, private juce::Timer {
 public:
  explicit Browser(ModelLibrary& library);
  ~Browser() override;

  // Rescans the library, selects `playing` if it is listed, and takes the keyboard focus.
  void open(const juce::File& playing);
  void take_keyboard();
  // Handles a key that is pressed in the search box. Returns false if the browser has no use for it.
  bool handle_key(const juce::KeyPress& key) { return keyPressed(key) || keyPressed(key, nullptr); }
  juce::PopupMenu entry_menu();               // of the selected entry
  void add_folder(const juce::File& folder);  // throws Error

  std::function<void(const juce::File&)> on_load;
  std::function<void(const juce::File&)> on_add;  // to the chain, as a stage of its own
  std::function<void(const juce::File&)> on_load_second_microphone;
  std::function<void(const juce::File& pack)> on_licence;
  std::function<void(juce::PopupMenu, juce::Rectangle<int> screen_area)> on_menu;
  std::function<void(const juce::File&)> on_audition;  // the user has selected this entry
  std::function<void(bool on)> on_auditions;           // the user has switched auditioning on or off
  std::function<void()> on_close, on_open_file, on_add_folder;

  void set_auditions(bool on) { audition_.setToggleState(on, juce::dontSendNotification); }

 private:
  struct Place {
    enum class Kind { all, favourites, recent, category, factory, user } kind = Kind::all;
    juce::String name;  // of the category or folder; "": all of this kind
    juce::String label;
    juce::File added;  // the user's own folder, which can be removed
  };

  class PlaceList final : public juce::ListBoxModel {
   public:
    explicit PlaceList(Browser& browser) : browser_(browser) {}

   private:
    int getNumRows() override { return static_cast<int>(browser_.places_.size()); }
    void paintListBoxItem(int row, juce::Graphics& g, int width, int height, bool selected) override;
    juce::String getNameForRow(int row) override { return browser_.places_[static_cast<size_t>(row)].label; }
    void selectedRowsChanged(int) override { browser_.show_place(); }
    void deleteKeyPressed(int) override { browser_.remove_folder(); }
    Browser& browser_;
  };

  class EntryList final : public juce::ListBoxModel {
   public:
    explicit EntryList(Browser& browser) : browser_(browser) {}

   private:
    int getNumRows() override { return static_cast<int>(browser_.shown_.size()); }
    void paintListBoxItem(int row, juce::Graphics& g, int width, int height, bool selected) override;
    juce::String getNameForRow(int row) override;
    void selectedRowsChanged(int) override { browser_.entry_selected(); }
    void listBoxItemClicked(int row, const juce::MouseEvent& event) override;
    void returnKeyPressed(int) override { browser_.load_selected(); }
    void listBoxItemDoubleClicked(int, const juce::MouseEvent&) override { browser_.load_selected(); }
    Browser& browser_;
  };

  void paint(juce::Graphics& g) override;
  void paintOverChildren(juce::Graphics& g) override;
  void resized() override;
  bool keyPressed(const juce::KeyPress& key) override;
  bool keyPressed(const juce::KeyPress& key, juce::Component* from) override;  // from the search box
  void timerCallback() override;

  void fill_places();
  void show_place();  // with all its tags
  void fill_tags();
  void fill_entries();
  std::vector<LibraryEntry> entries_of(const Place& place);
  const Place& place() const;
  void show_details();
  void entry_selected();
  void select(int row);
  const LibraryEntry* selected() const;
  bool is_favourite(const juce::File& file) const;
  void turn_favourite(int row);
  void remove_folder();
  void layout_tags();
  void load_selected();
  void add_selected();
  void show_licence();
  void show_entry_menu();
  const EntryDetails& details_of(const LibraryEntry& entry);

  ModelLibrary& library_;
  std::vector<Place> places_;
  std::vector<LibraryEntry> shown_;
  std::vector<juce::File> favourites_;
  std::map<juce::String, EntryDetails> details_;  // by path
  bool filling_ = false;                          // while the browser itself changes the selection

  juce::TextEditor search_;
  IconButton audition_{
      Icon::listen, "Audition",
      "Audition: hear an entry as soon as it is selected. Closing the browser brings back the sound of "
      "before, loading keeps the new one"};
  IconButton add_folder_{Icon::add, "Add a folder", "Adds a folder of your own to the library"};
  IconButton favourite_{Icon::star, "Favourite", "Favourite (Ctrl+D)"};
  juce::TextButton open_file_{"Open file"}, load_{"Load"}, add_{"Add to chain"}, licence_{"Licence of the pack"},
      remove_folder_{"Remove folder"};
  std::vector<std::unique_ptr<juce::TextButton>> tags_;  // lit: only entries with this tag
  IconButton close_{Icon::close, "Close the browser", "Close (Escape)"};
  PlaceList place_model_{*this};
  EntryList entry_model_{*this};
  juce::ListBox place_list_, entry_list_;
  juce::Label name_, task_;
  juce::TextEditor description_;  // for reading only
  juce::Rectangle<int> search_icon_area_, list_area_, tags_area_, details_area_;
};

}  // namespace coil::plugin
